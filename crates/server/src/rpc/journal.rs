//! The journal as a live feed: from a cursor, in order, without gaps, as fast as the client reads.

use super::Session;
use super::frame;
use super::methods::Answer;
use super::params::Params;
use adjutant_model::action::Role;
use adjutant_protocol::rpc::{RpcCode, RpcError};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError};
use tokio_util::sync::CancellationToken;

/// How many rows are read at once.
const PAGE: usize = 256;

/// Sends every row after `cursor` as `events.event`; a second call replaces the first.
pub(super) async fn subscribe(session: &Arc<Session>, given: Value) -> Answer {
    if session.connection.caller().role != Role::Host {
        return Err(RpcError::new(
            RpcCode::Forbidden,
            "events.subscribe: only a host sees the whole journal",
        )
        .hinted("`runs.subscribe` shows a run of yours"));
    }
    let mut params = Params::of("events.subscribe", given)?;
    let last = session.door.plane.status().journal_seq;
    let cursor = match params.number("cursor")? {
        Some(cursor) => {
            i64::try_from(cursor).map_err(|_| params.wrong("`cursor` is no place of the journal"))?
        }
        None => last,
    };
    let stop = CancellationToken::new();
    let replaced = session.feed.lock().unwrap_or_else(PoisonError::into_inner).replace(stop.clone());
    if let Some(replaced) = replaced {
        replaced.cancel();
    }
    tokio::spawn(feed(session.clone(), cursor, stop));
    Ok(json!({"cursor": cursor, "last": last}))
}

pub(super) fn unsubscribe(session: &Session) -> Value {
    let stopped = session.feed.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(stopped) = &stopped {
        stopped.cancel();
    }
    json!({"removed": stopped.is_some()})
}

async fn feed(session: Arc<Session>, mut cursor: i64, stop: CancellationToken) {
    let mut committed = session.door.plane.committed();
    loop {
        let rows = match session.door.plane.events(cursor, PAGE).await {
            Ok(rows) => rows,
            Err(error) => return tracing::warn!(%error, "a feed of the journal ends"),
        };
        for row in &rows {
            let params = json!(crate::convert::event(row));
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                () = session.over.cancelled() => return,
                sent = session.outbound.send(frame::notification("events.event", params)) => sent,
            };
            if !sent {
                return;
            }
            cursor = row.seq;
        }
        if rows.is_empty() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = session.over.cancelled() => return,
                changed = committed.wait_for(|last| *last > cursor) => if changed.is_err() { return },
            }
        }
    }
}
