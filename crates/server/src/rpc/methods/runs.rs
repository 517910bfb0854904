//! Runs: started, told of, watched, ended, read.

use super::{Answer, params, refused};
use crate::rpc::Session;
use crate::rpc::frame;
use adjutant_engine::clients::{Dropped, RunEvent, RunStart, Subscriber};
use adjutant_model::action::Role;
use adjutant_model::client_run::ClientRunLimits;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::mpsc;

/// So many records may wait for one subscriber.
const WAITING_MAX: usize = 1024;
/// A page of a trace has so many records when nothing is said.
const PAGE: u64 = 1000;
/// A page of a trace has at most so many records.
const PAGE_MAX: u64 = 5000;

pub(super) async fn start(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.start", given)?;
    let start = RunStart {
        intent: params.required_text("intent")?,
        agent_id: params.text("agent_id")?,
        agent_name: params.text("agent_name")?,
        outcome_description: params.text("outcome_description")?,
        idempotency_key: params.text("idempotency_key")?,
        limits: ClientRunLimits {
            max_tool_calls: params.number("max_tool_calls")?,
            max_duration_ms: params.number("max_duration_ms")?,
        },
        session_id: params.text("session_id")?,
    };
    let started = session.connection.run_start(start).await.map_err(refused("runs.start"))?;
    Ok(json!({"run_id": started.run_id, "agent_id": started.agent_id}))
}

pub(super) async fn complete(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.complete", given)?;
    let (run_id, outcome) = (params.required_text("run_id")?, params.required("outcome")?);
    session.connection.run_complete(&run_id, outcome.into()).await.map_err(refused("runs.complete"))?;
    Ok(json!({"run_id": run_id, "ok": true}))
}

pub(super) async fn cancel(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.cancel", given)?;
    let run_id = params.required_text("run_id")?;
    let reason = params.text("reason")?.unwrap_or_else(|| "no reason given".to_owned());
    session.connection.run_cancel(&run_id, &reason).await.map_err(refused("runs.cancel"))?;
    Ok(json!({"run_id": run_id, "ok": true, "status": "cancelled"}))
}

pub(super) async fn resume(session: &Arc<Session>, given: Value) -> Answer {
    let run_id = params("runs.resume", given)?.required_text("run_id")?;
    let resumed = session.connection.run_resume(&run_id).await.map_err(refused("runs.resume"))?;
    Ok(json!({
        "run_id": resumed.run_id, "agent_id": resumed.agent_id, "cursor": resumed.cursor, "status": "in_progress",
    }))
}

pub(super) async fn record_turns(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.record_turns", given)?;
    let run_id = params.required_text("run_id")?;
    let turns = params.list("turns")?.ok_or_else(|| params.wrong("`turns` is missing"))?;
    let turns: Vec<_> = turns.into_iter().map(adjutant_model::Value::from).collect();
    let recorded =
        session.connection.record_turns(&run_id, &turns).await.map_err(refused("runs.record_turns"))?;
    Ok(match recorded {
        Ok(base) => json!({"run_id": run_id, "base_index": base, "count": turns.len(), "ok": true}),
        Err(dropped) => dropped_json(&run_id, dropped),
    })
}

fn dropped_json(run_id: &str, dropped: Dropped) -> Value {
    json!({"run_id": run_id, "base_index": 0, "count": 0, "ok": false, "dropped": dropped.as_str()})
}

pub(super) async fn subscribe(session: &Arc<Session>, given: Value) -> Answer {
    let run_id = params("runs.subscribe", given)?.required_text("run_id")?;
    let (events, waiting) = mpsc::channel(WAITING_MAX);
    let subscriber = Subscriber::new(session.connection.id().clone(), events, session.closing.clone());
    let tail =
        session.connection.run_subscribe(&run_id, subscriber).await.map_err(refused("runs.subscribe"))?;
    let Some(tail) = tail else { return Ok(json!({"run_id": run_id, "not_found": true})) };
    let answer = json!({
        "run_id": tail.run_id, "agent_id": tail.agent_id, "turns_so_far": tail.turns_so_far,
        "cursor": tail.cursor, "status": tail.status,
    });
    tokio::spawn(forward(session.clone(), waiting));
    Ok(answer)
}

/// Sends on what a subscriber is told.
async fn forward(session: Arc<Session>, mut waiting: mpsc::Receiver<Arc<RunEvent>>) {
    let over = session.over.clone();
    loop {
        let event = tokio::select! {
            () = over.cancelled() => return,
            event = waiting.recv() => event,
        };
        let Some(event) = event else { return };
        let params = json!({
            "run_id": event.run_id, "agent_id": event.agent_id, "record": event.record, "cursor": event.cursor,
            "status": event.status,
        });
        if !session.outbound.offer(frame::notification("runs.trace.event", params)) {
            return;
        }
    }
}

pub(super) async fn unsubscribe(session: &Arc<Session>, given: Value) -> Answer {
    let run_id = params("runs.unsubscribe", given)?.required_text("run_id")?;
    let removed = session.connection.run_unsubscribe(&run_id).await;
    Ok(json!({"run_id": run_id, "removed": removed}))
}

pub(super) async fn list(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.list", given)?;
    let own = session.connection.caller().agent_id.as_deref().map(str::to_owned);
    let agent_id = params.text("agent_id")?.or(own);
    if agent_id.is_none() && session.connection.caller().role != Role::Host {
        return Err(params.wrong("`agent_id` is missing; only a host may list the runs of all agents"));
    }
    let limit = params.number("limit")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let runs = session.connection.run_list(agent_id.as_deref(), limit).await.map_err(refused("runs.list"))?;
    let runs: Vec<Value> = runs
        .into_iter()
        .map(|run| {
            let mut summary = json!({
                "run_id": run.run_id, "agent_id": run.agent_id, "intent": run.intent, "started_at": run.started_at,
                "status": run.status, "turn_count": run.turn_count,
            });
            if let Some(ended_at) = run.ended_at {
                summary["ended_at"] = json!(ended_at);
            }
            summary
        })
        .collect();
    Ok(json!({"agent_id": agent_id, "runs": runs}))
}

pub(super) async fn get_trace(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("runs.get_trace", given)?;
    let run_id = params.required_text("run_id")?;
    let cursor = params.number("cursor")?.unwrap_or(0);
    let limit = params.number("limit")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let trace =
        session.connection.run_trace(&run_id, cursor, limit).await.map_err(refused("runs.get_trace"))?;
    Ok(match trace {
        Some(trace) => json!({
            "run_id": run_id, "agent_id": trace.agent_id, "records": trace.records, "cursor": trace.cursor,
            "more": trace.more,
        }),
        None => json!({"run_id": run_id, "not_found": true}),
    })
}
