//! `/v1/events`: the journal as it grows.
//!
//! A reader has a cursor and reads pages from it at its own pace; it misses nothing and slows nobody. When there is
//! no more it waits for the store to say that something was committed.

use crate::answer::{Answer, Refusal};
use crate::body::QueryOf;
use crate::convert;
use adjutant_engine::Plane;
use adjutant_model::action::Caller;
use adjutant_model::event::JournalRow;
use adjutant_protocol::{ApiError, http};
use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{FutureExt, Stream};
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

/// How many rows are read at once.
const PAGE: usize = 256;
/// A comment goes out so often, so that both sides notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Where to begin.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventsQuery {
    /// Behind this `seq`; a `Last-Event-ID` goes before. Without either: from now on.
    #[serde(default)]
    after: Option<i64>,
    /// Only what is about this: a run's or goal's id, or `plane`.
    #[serde(default)]
    subject: Option<String>,
    /// Whether to go on with what comes; without it the stream ends with what there is. `true` unless said otherwise.
    #[serde(default)]
    follow: Option<bool>,
}

/// What a stream is of.
#[derive(Debug)]
pub(crate) struct FeedSpec {
    /// Only what is about this.
    pub(crate) subject: Option<String>,
    /// The place behind which it begins.
    pub(crate) cursor: i64,
    /// Whether it goes on with what comes.
    pub(crate) follows: bool,
}

struct Feed {
    plane: Plane,
    committed: tokio::sync::watch::Receiver<i64>,
    subject: Option<String>,
    follows: bool,
    cursor: i64,
    page: VecDeque<JournalRow>,
    /// Ends the feed with the token that it was opened with.
    token_ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Streams the journal as server-sent events: `id` is the `seq`, `event` the kind, `data` the row.
#[utoipa::path(get, path = "/v1/events", tag = "events", params(EventsQuery), responses(
    (status = 200, description = "A stream of rows.", body = http::EventView, content_type = "text/event-stream"),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn stream(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    QueryOf(query): QueryOf<EventsQuery>,
) -> Answer<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    let cursor = last_seen(&headers)?.or(query.after).unwrap_or_else(|| *plane.committed().borrow());
    let (subject, follows) = (query.subject, query.follow.unwrap_or(true));
    Ok(feed(plane, caller, FeedSpec { subject, cursor, follows }))
}

/// Reads where a reader that comes back had got to.
pub(crate) fn last_seen(headers: &HeaderMap) -> Answer<Option<i64>> {
    let Some(id) = headers.get("last-event-id") else { return Ok(None) };
    let seq = id.to_str().ok().and_then(|id| id.parse().ok());
    let wrong = || Refusal::invalid("`Last-Event-ID` is the `seq` of the last event that was seen");
    seq.map(Some).ok_or_else(wrong)
}

/// Makes the stream of what a caller may see, until its token ends.
pub(crate) fn feed(
    plane: Plane,
    caller: Caller,
    FeedSpec { subject, cursor, follows }: FeedSpec,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (committed, watched) = (plane.committed(), plane.clone());
    let token_ended = Box::pin(async move { watched.token_ended(&caller).await });
    let feed = Feed { plane, committed, subject, follows, cursor, page: VecDeque::new(), token_ended };
    let rows = futures_util::stream::unfold(feed, async |mut feed| feed.next().await.map(|row| (row, feed)));
    let events = futures_util::StreamExt::map(rows, |row| {
        let view = convert::event(&row);
        let data = serde_json::to_string(&view).expect("an event is JSON");
        Ok(Event::default().id(view.seq.to_string()).event(view.kind).data(data))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT))
}

impl Feed {
    /// Gives the next row, however long that takes; `None` when there is no more and it does not follow, the plane stops, the token lets nobody in any more, or
    /// the store cannot be read, upon which the client comes back with its cursor.
    async fn next(&mut self) -> Option<JournalRow> {
        loop {
            if let Some(row) = self.page.pop_front() {
                self.cursor = row.seq;
                return Some(row);
            }
            if (&mut self.token_ended).now_or_never().is_some() {
                return None;
            }
            self.committed.mark_unchanged();
            self.page = self.read().await?.into();
            if self.page.is_empty() {
                if !self.follows {
                    return None;
                }
                tokio::select! {
                    changed = self.committed.changed() => changed.ok()?,
                    () = self.plane.stopping().cancelled_owned() => return None,
                    () = &mut self.token_ended => return None,
                }
            }
        }
    }

    async fn read(&mut self) -> Option<Vec<JournalRow>> {
        let read = match &self.subject {
            Some(subject) => self.plane.events_of(subject, self.cursor, PAGE).await,
            None => self.plane.events(self.cursor, PAGE).await,
        };
        read.inspect_err(|error| tracing::warn!(%error, "a reader of the journal is sent away")).ok()
    }
}
