//! The methods of the runtime door.

pub(super) mod session;

mod permission;

mod proposals;

mod registry;

mod runs;

use super::Session;
use super::params::Params;
use adjutant_engine::EngineError;
use adjutant_model::action::Verb;
use adjutant_model::run::ErrorClass;
use adjutant_protocol::rpc::{RpcCode, RpcError};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What a call is answered with.
pub(super) type Answer = Result<Value, RpcError>;

/// The rest of a call that has begun.
pub(super) type Doing = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A call is answered within this time, but for those that wait for tools or people.
const DEADLINE: Duration = Duration::from_secs(60);

/// Every method's name, for `server.info` and for whoever misspells one.
pub(super) const NAMES: [&str; 36] = [
    "events.subscribe",
    "events.unsubscribe",
    "permission.approve",
    "permission.evaluate",
    "permission.pending",
    "permission.reject",
    "policy.list",
    "policy.register",
    "policy.remove",
    "proposal.cancel",
    "proposal.submit",
    "runs.cancel",
    "runs.complete",
    "runs.get_trace",
    "runs.list",
    "runs.record_turns",
    "runs.resume",
    "runs.start",
    "runs.subscribe",
    "runs.unsubscribe",
    "server.info",
    "session.auth",
    "session.init",
    "session.policy.close",
    "session.policy.open",
    "state.exists",
    "state.get",
    "state.keys",
    "state.set",
    "state.snapshot",
    "tools.execute",
    "tools.cancel",
    "tools.list",
    "tools.register",
    "tools.unregister",
    "verify",
];

/// Tells whether a method drives a run of the client's own, or makes ready for it. The others look at what the client
/// may see, or say who it is.
fn drives(method: &str) -> bool {
    let (family, name) = method.split_once('.').unwrap_or((method, ""));
    match family {
        "proposal" => true,
        "session" => name != "auth",
        "tools" => name != "list",
        "policy" => name != "list",
        "state" => name == "set",
        "runs" => matches!(name, "start" | "complete" | "cancel" | "resume" | "record_turns"),
        _ => false,
    }
}

/// Begins a call: what must stand in the order of the frames is done when this returns.
pub(super) async fn begin(session: &Arc<Session>, method: &str, params: Value) -> Doing {
    let caller = session.connection.caller();
    if drives(method) && !session.door.plane.may(caller, Verb::Drive) {
        let error = format!("{method}: the role {} drives no runs", caller.role.as_str());
        return ready(Err(RpcError::new(RpcCode::Forbidden, error)));
    }
    match method {
        "proposal.submit" => return proposals::submit(session, params).await,
        "tools.register" => return ready(registry::tools_register(session, params)),
        "tools.unregister" => return ready(registry::tools_unregister(session, params)),
        "tools.list" => return ready(Ok(registry::tools_list(session))),
        "policy.list" => return ready(Ok(registry::policy_list(session))),
        "policy.remove" => return ready(registry::policy_remove(session, params)),
        "session.policy.open" => return ready(Ok(registry::session_open(session).await)),
        "session.policy.close" => return ready(registry::session_close(session, params).await),
        "state.get" => return ready(registry::state_get(session, params)),
        "state.exists" => return ready(registry::state_exists(session, params)),
        "state.keys" => return ready(Ok(registry::state_keys(session))),
        "state.snapshot" => return ready(Ok(registry::state_snapshot(session))),
        "verify" => return ready(proposals::verify(session, params)),
        "proposal.cancel" => return ready(proposals::cancel(session, params)),
        "server.info" => return ready(Ok(session::info(session))),
        "permission.evaluate" => return ready(permission::evaluate(session, params).await),
        _ => {}
    }
    let (session, method) = (session.clone(), method.to_owned());
    Box::pin(async move {
        match tokio::time::timeout(DEADLINE, perform(&session, &method, params)).await {
            Ok(answer) => answer,
            Err(_) => {
                let error = format!("{method} took longer than {} s", DEADLINE.as_secs());
                Err(RpcError::new(RpcCode::Deadline, error).hinted("what it began may still be done"))
            }
        }
    })
}

async fn perform(session: &Arc<Session>, method: &str, params: Value) -> Answer {
    match method {
        "session.auth" => session::auth_again(session, params).await,
        "session.init" => session::init(session, params).await,
        "policy.register" => registry::policy_register(session, params).await,
        "state.set" => registry::state_set(session, params).await,
        "runs.start" => runs::start(session, params).await,
        "runs.complete" => runs::complete(session, params).await,
        "runs.cancel" => runs::cancel(session, params).await,
        "runs.resume" => runs::resume(session, params).await,
        "runs.record_turns" => runs::record_turns(session, params).await,
        "runs.subscribe" => runs::subscribe(session, params).await,
        "runs.unsubscribe" => runs::unsubscribe(session, params).await,
        "runs.list" => runs::list(session, params).await,
        "runs.get_trace" => runs::get_trace(session, params).await,
        "permission.pending" => permission::pending(session, params).await,
        "permission.approve" => permission::approve(session, params).await,
        "permission.reject" => permission::reject(session, params).await,
        "events.subscribe" => super::journal::subscribe(session, params).await,
        "events.unsubscribe" => Ok(super::journal::unsubscribe(session)),
        other => Err(unknown(other)),
    }
}

fn ready(answer: Answer) -> Doing {
    Box::pin(std::future::ready(answer))
}

fn unknown(method: &str) -> RpcError {
    let shown: String = method.chars().take(100).collect();
    let family = method.split('.').next().unwrap_or(method);
    let near: Vec<&str> = NAMES.into_iter().filter(|name| name.split('.').next() == Some(family)).collect();
    let hint = match near.is_empty() {
        true => "`server.info` lists the methods".to_owned(),
        false => format!("there are {}", near.join(", ")),
    };
    RpcError::new(RpcCode::MethodNotFound, format!("there is no method `{shown}`")).hinted(hint)
}

/// Gives the error of a call that the plane refused.
pub(super) fn refused(method: &'static str) -> impl Fn(EngineError) -> RpcError {
    move |error| {
        let code = match &error {
            EngineError::Invalid { .. } | EngineError::Blueprint { .. } | EngineError::TooLarge { .. } => {
                RpcCode::InvalidParams
            }
            EngineError::NotFound { .. } | EngineError::NotHosted { .. } => RpcCode::NotFound,
            EngineError::Forbidden(_) | EngineError::SpawnOff => RpcCode::Forbidden,
            EngineError::Over(_) | EngineError::Unfit(_) => RpcCode::InvalidParams,
            EngineError::NoOperator(_) | EngineError::OutOfReach(_) => RpcCode::Busy,
            EngineError::Conflict { .. }
            | EngineError::RerunRefused { .. }
            | EngineError::BlueprintConflict { .. }
            | EngineError::BlueprintArchived(_)
            | EngineError::Config { .. }
            | EngineError::Goal(_)
            | EngineError::GoalGate { .. } => RpcCode::Conflict,
            EngineError::Busy(_) | EngineError::Crowded(_) => RpcCode::Busy,
            EngineError::Stopping => RpcCode::Stopping,
            EngineError::Write(error) if error.class() == ErrorClass::Bug => RpcCode::Internal,
            EngineError::Write(_) | EngineError::Body { .. } | EngineError::Held(_) => RpcCode::Store,
            EngineError::Read(_)
            | EngineError::Workspace { .. }
            | EngineError::Report { .. }
            | EngineError::Care { .. }
            | EngineError::Defect(_) => RpcCode::Internal,
        };
        tracing::debug!(method, %error, "a call of the runtime door is refused");
        let refused = RpcError::new(code, format!("{method}: {error}"));
        match error.hint() {
            Some(hint) => refused.hinted(hint),
            None => refused,
        }
    }
}

fn params(method: &'static str, params: Value) -> Result<Params, RpcError> {
    Params::of(method, params)
}
