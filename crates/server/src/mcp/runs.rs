//! Tools for blueprints, their runs, and requests to change them.

use super::tool::{Access, Asked, Effect, Tool};
use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::blueprints::{self, ListQuery};
use crate::http::page::Page;
use crate::http::{enhance, runs, tasks};
use adjutant_engine::tasks::TaskStarted;
use adjutant_engine::{Superseded, TurnFilter, TurnPart};
use adjutant_model::RunId;
use adjutant_model::action::Verb;
use adjutant_model::run::RunRecord;
use adjutant_protocol::{ApiError, ErrorCode, http, mcp};
use axum::Extension;
use axum::extract::State;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;

/// So many turns a page of a trace has.
const TURNS: Page = Page { usual: 100, max: 1000 };
/// It holds about so many bytes at most, and one turn at least.
const TRACE_BYTES_MAX: usize = 1 << 20;
/// So many rows of a run's journal are read at once.
const ROWS: usize = 200;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    let (read, operate) = (Access::Verb(Verb::Read), Access::Verb(Verb::Operate));
    vec![
        Tool::new(
            (
                "task_run",
                "Execute a blueprint and wait",
                "Executes a blueprint and waits for its end; tells progress where that is asked for. When the call is \
                 cancelled the run is, too. `run_start` does not wait. A step that begins an agent waits for a person, \
                 unless the owner allows agents to begin sessions.",
            ),
            operate,
            Effect::Adds,
            task_run,
        )
        .with_handle(async |asked: Asked, params| {
            Ok(asked.plane.task_call(&asked.caller, tasks::task_params(request(params)?)?).await?)
        }),
        Tool::new(
            (
                "run_start",
                "Start a run",
                "Executes a blueprint and answers as soon as its run is durable; `run_status` tells how it is. A step that \
                 begins an agent waits for a person, unless the owner allows agents to begin sessions.",
            ),
            operate,
            Effect::Adds,
            run_start,
        ),
        Tool::new(
            ("run_status", "Show a run", "Shows a run: where it stands, what it used, what came out."),
            read,
            Effect::Reads,
            run_status,
        ),
        Tool::new(
            ("run_trace", "Show the turns of a run", "Gives what was done in a run, turn by turn, in pages."),
            read,
            Effect::Reads,
            run_trace,
        ),
        Tool::new(
            ("blueprint_list", "List blueprints", "Lists the blueprints that can be executed."),
            read,
            Effect::Reads,
            blueprint_list,
        ),
        Tool::new(
            (
                "blueprint_show",
                "Show a blueprint",
                "Gives a blueprint's document: its head, or a version of it.",
            ),
            read,
            Effect::Reads,
            blueprint_show,
        ),
        Tool::new(
            (
                "issue_open",
                "Ask for a change of a blueprint",
                "Opens an issue: a request in words to change a blueprint, which verifiers let through or not.",
            ),
            operate,
            Effect::Adds,
            issue_open,
        ),
    ]
}

async fn task_run(asked: Asked, params: mcp::RunStartParams) -> Answer<http::TaskDoneView> {
    let started = asked.plane.task_spawn(&asked.caller, tasks::task_params(request(params)?)?).await?;
    let ended = ended(&asked, &started).await?;
    tasks::done(&started, &ended)
}

/// Waits for a run's end, and tells how far it is.
async fn ended(asked: &Asked, started: &TaskStarted) -> Answer<Arc<RunRecord>> {
    let (plane, run_id) = (&asked.plane, &started.run_id);
    let (news, heard) = watch::channel("the run begins".to_owned());
    tokio::select! {
        ended = plane.run_ended(run_id) => Ok(ended?),
        error = plane.store_stays_shut(tasks::STORE_PATIENCE) => Err(tasks::held_up(error, started)),
        () = asked.cancelled.cancelled() => {
            // Its own end may be a moment quicker, and nobody hears of either.
            let cancelled = plane.run_cancel(&asked.caller, run_id, "its call was cancelled").await;
            let told = cancelled.map_or_else(|error| error.to_string(), |run| format!("{run_id} is {}", run.status));
            Err(Refusal::new(ErrorCode::RunCancelled, format!("the call was cancelled: {told}")))
        }
        never = follow(asked, run_id, news) => match never {},
        never = asked.progress.tell_each_second(|| heard.borrow().clone()) => match never {},
    }
}

/// Keeps what has happened in a run last, for as long as anybody waits.
async fn follow(asked: &Asked, run_id: &RunId, news: watch::Sender<String>) -> Infallible {
    let (mut committed, mut after) = (asked.plane.committed(), 0);
    loop {
        let rows = asked.plane.events_of(run_id.as_str(), after, ROWS).await.unwrap_or_default();
        if let Some(last) = rows.last() {
            after = last.seq;
            news.send_replace(last.event.kind().replace('_', " "));
        }
        if rows.len() < ROWS && committed.changed().await.is_err() {
            // The store is closed; the run's end is told by whoever waits for it.
            return std::future::pending().await;
        }
    }
}

async fn run_start(asked: Asked, params: mcp::RunStartParams) -> Answer<http::TaskDetachedView> {
    let started = asked.plane.task_spawn(&asked.caller, tasks::task_params(request(params)?)?).await?;
    Ok(tasks::detached(&started))
}

fn request(params: mcp::RunStartParams) -> Answer<http::TaskParams> {
    let blueprint = match (params.blueprint_id, params.blueprint, params.version) {
        (Some(id), None, version) => {
            let version = version.map(|value| http::VersionSelectorParams::Fixed { value });
            http::BlueprintRefParams::Id { id, version }
        }
        (None, Some(value), None) => http::BlueprintRefParams::Inline { value },
        (None, Some(_), Some(_)) => return Err(Refusal::invalid("`version` goes with `blueprint_id`")),
        (Some(_), Some(_), _) | (None, None, _) => {
            let error =
                ApiError::new(ErrorCode::InvalidRequest, "say `blueprint_id` or `blueprint`, one of them");
            return Err(error.hinted("`blueprint_list` lists those that the daemon knows").into());
        }
    };
    Ok(http::TaskParams {
        blueprint,
        init_ctx: params.input.unwrap_or_else(|| json!({})),
        project_root: params.project_root,
        work_dir: params.work_dir,
        task_metadata: None,
        ttl_secs: params.ttl_secs,
        operator: None,
        operator_sid: params.operator_sid,
        operator_desc: None,
        operator_slot: None,
        timeout_secs: None,
        goal: params.goal,
        check_policy: None,
        detach: false,
        goal_id: params.goal_id,
        agent: None,
    })
}

async fn run_status(asked: Asked, params: mcp::RunParams) -> Answer<http::RunView> {
    Ok(runs::get(State(asked.plane), PathPart(params.run_id)).await?.0)
}

async fn run_trace(asked: Asked, params: mcp::RunTraceParams) -> Answer<mcp::RunTraceView> {
    let run_id: RunId = id(&params.run_id)?;
    let limit = TURNS.limit(params.limit)?;
    let filter = TurnFilter {
        after: params.after,
        limit,
        part: TurnPart::First,
        kind: None,
        step: params.step,
        attempt: None,
        superseded: Superseded::Shown,
    };
    let found = asked.plane.turns_where(&run_id, filter).await?;
    let (mut turns, mut bytes) = (Vec::new(), 0);
    for turn in &found {
        let view = convert::turn(turn);
        bytes += serde_json::to_value(&view).map_or(0, |value: Value| value.to_string().len());
        if bytes > TRACE_BYTES_MAX && !turns.is_empty() {
            break;
        }
        turns.push(view);
    }
    let is_last = turns.len() == found.len() && found.len() < limit;
    let next_after = turns.last().map(|turn| turn.index).filter(|_| !is_last);
    Ok(mcp::RunTraceView { run_id: run_id.to_string(), turns, next_after })
}

async fn blueprint_list(asked: Asked, params: mcp::BlueprintListParams) -> Answer<http::BlueprintListView> {
    let query = ListQuery { include_archived: params.include_archived, after: None, limit: None };
    Ok(blueprints::list(State(asked.plane), QueryOf(query)).await?.0)
}

async fn blueprint_show(
    asked: Asked,
    params: mcp::BlueprintShowParams,
) -> Answer<http::BlueprintDocumentView> {
    let mcp::BlueprintShowParams { blueprint_id, version } = params;
    let found = match version {
        Some(version) => asked.plane.blueprint_version(&blueprint_id, &version).await?,
        None => asked.plane.blueprint_head(&blueprint_id).await?,
    };
    Ok(convert::blueprint_document(found))
}

async fn issue_open(asked: Asked, params: http::IssueParams) -> Answer<http::IssueOpenedView> {
    Ok(enhance::open(State(asked.plane), Extension(asked.caller), JsonBody(params)).await?.1.0)
}
