//! A step that a session does: it is hosted in the run's workspace, told the step's prompt, and done when its first turn
//! is over.
//!
//! The session's id follows from the run, the path and the attempt, so whoever performs the step again finds the session
//! that was started for it, and its end in its record. When the step is over the agent is not there any more.

use super::{HostParams, SessionCommand, StepOrigin, command, create, seen_until};
use crate::cost;
use crate::dispatch::{self, StepJob};
use crate::plane::Core;
use crate::worker::command::prompt;
use crate::worker::{Performed, WorkerContext};
use adjutant_model::action::{Caller, Role};
use adjutant_model::blueprint::{Agent, KeepSession, SessionSpec};
use adjutant_model::id::Uuid;
use adjutant_model::run::{ErrorClass, StepFailure, StepOutcome, Usage};
use adjutant_model::session::{Session, SessionUsage, TaskEnd};
use adjutant_model::{SessionId, TokenId, Value};
use adjutant_rules::session::is_at_rest;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The end of a step's agent may take so long on top of its grace.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Does a step by a session.
pub(crate) async fn perform(
    core: &Arc<Core>,
    job: &StepJob,
    (agent, spec): (&Agent, &SessionSpec),
    ctx: &WorkerContext,
) -> Performed {
    let id = session_id(job);
    let params = params(id, job, (agent, spec), ctx);
    if let Err(error) = create(core, &caller(), params).await {
        if core.stopping.is_cancelled() {
            return as_daemon_stops(ctx).await;
        }
        return failed(error.class(), format!("no session could be made: {}", error.with_hint()), None)
            .into();
    }
    let has_ended = |session: &Session| session.task_end.is_some();
    let ended = tokio::select! {
        ended = seen_until(core, id, has_ended) => ended,
        () = ctx.cancel.cancelled() => return left(core, id).await,
    };
    let session = match ended {
        Ok(session) => session,
        Err(_) if core.stopping.is_cancelled() => return as_daemon_stops(ctx).await,
        Err(error) => return failed(error.class(), error.with_hint(), None).into(),
    };
    let Some(end) = session.task_end.clone() else { unreachable!("it was waited for") };
    let keeps = match spec.keep {
        KeepSession::Always => true,
        KeepSession::OnFailure => !matches!(end, TaskEnd::Completed { .. }),
        KeepSession::Never => false,
    };
    let session = put_away(core, session, keeps).await;
    let used = usage(core, &session);
    let value = |text: Option<String>| {
        Value::object([
            ("text", text.map_or(Value::Null, Value::from)),
            ("session_id", Value::from(id.to_string())),
            ("usage", usage_value(&session.usage)),
        ])
    };
    let outcome = match end {
        TaskEnd::Completed { text } => StepOutcome::Done(value(text)),
        TaskEnd::Failed { reason, text } => failed(ErrorClass::Retry, reason, Some(value(text))),
        TaskEnd::Cancelled { reason } => {
            failed(ErrorClass::User, format!("its session was stopped: {reason}"), Some(value(None)))
        }
    };
    Performed { outcome, usage: (!used.is_empty()).then_some(used) }
}

/// Gives the id of the session that does a step, the same whenever it is performed.
fn session_id(job: &StepJob) -> SessionId {
    let marker = dispatch::marker(&job.run_id, &job.path, job.attempt);
    let digest = Sha256::digest(format!("session of {marker} again {}", job.reruns));
    let bytes: [u8; 16] = digest[..16].try_into().expect("a digest is longer than a UUID");
    SessionId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

fn params(
    id: SessionId,
    job: &StepJob,
    (agent, spec): (&Agent, &SessionSpec),
    ctx: &WorkerContext,
) -> HostParams {
    let prompt = prompt(&job.input);
    let task = match &agent.profile.system_prompt {
        Some(system) => format!("{system}\n\n---\n\n{prompt}"),
        None => prompt,
    };
    let directory = ctx.work_dir.clone();
    HostParams {
        id: Some(id),
        step: Some(StepOrigin { run_id: job.run_id.clone(), plays: agent.name.clone(), directory }),
        task,
        agent: Some(spec.agent.clone()),
        driver: spec.driver,
        name_hint: Some(agent.name.clone()),
        tier: spec.tier,
        model: spec.model.clone().or_else(|| agent.profile.model.clone()),
        ..HostParams::default()
    }
}

/// Gives the plane as the one who starts a step's session.
fn caller() -> Caller {
    Caller {
        token_id: TokenId::new(Uuid::nil()),
        role: Role::Host,
        step: None,
        agent_id: None,
        name: Some("run".into()),
        of_session: None,
    }
}

/// Ends the session of a step that nobody wants any more. When the daemon stops, its agent is left alone: the next
/// daemon performs the step again and finds it.
async fn left(core: &Arc<Core>, id: SessionId) -> Performed {
    if core.stopping.is_cancelled() {
        return stops();
    }
    let session = super::get(core, id).await;
    let used = match session {
        Ok(session) => usage(core, &put_away(core, session, true).await),
        Err(_) => Usage::default(),
    };
    let outcome = failed(ErrorClass::Gone, "cancelled".to_owned(), None);
    Performed { outcome, usage: (!used.is_empty()).then_some(used) }
}

/// Ends with the daemon: the session's owner may leave before the run's, which would take the step for failed.
async fn as_daemon_stops(ctx: &WorkerContext) -> Performed {
    ctx.cancel.cancelled().await;
    stops()
}

fn stops() -> Performed {
    failed(ErrorClass::Gone, "the daemon stops".to_owned(), None).into()
}

/// Ends a session's agent, and the session too when it is not kept; gives the session as it is then.
async fn put_away(core: &Arc<Core>, session: Session, keeps: bool) -> Session {
    let id = session.id;
    let wanted = match keeps {
        true if is_at_rest(&session) => return session,
        true => SessionCommand::Stop,
        // The directory is the run's, so nothing of the work goes.
        false => SessionCommand::Decommission { force: true },
    };
    match command(core, id, wanted, core.settings.worker.grace + END_PATIENCE).await {
        Ok(session) => session,
        Err(error) => {
            tracing::debug!(session = %id, %error, "the session of a step was put away before");
            session
        }
    }
}

fn usage(core: &Core, session: &Session) -> Usage {
    let used = &session.usage;
    if *used == SessionUsage::default() {
        return Usage::default();
    }
    Usage {
        model: session.model_used.clone().or_else(|| session.model.clone()),
        input_tokens: Some(used.input_tokens),
        output_tokens: Some(used.output_tokens),
        num_turns: Some(session.turns),
        cost_usd: cost::of_session(core, session).map(|cost| cost.usd),
    }
}

fn usage_value(used: &SessionUsage) -> Value {
    let cost = used.cost_usd.and_then(serde_json::Number::from_f64);
    Value::object(
        [
            ("input_tokens", Value::from(used.input_tokens)),
            ("output_tokens", Value::from(used.output_tokens)),
            ("cache_read_tokens", Value::from(used.cache_read_tokens)),
            ("cache_write_tokens", Value::from(used.cache_write_tokens)),
        ]
        .into_iter()
        .chain(cost.map(|cost| ("cost_usd", Value::from(serde_json::Value::Number(cost))))),
    )
}

fn failed(class: ErrorClass, message: String, value: Option<Value>) -> StepOutcome {
    StepOutcome::Failed(StepFailure { message, class, value })
}
