//! Hooks of an agent that does a step of a run as a program: what it asks is judged and recorded as the step's own tool
//! calls are.
//!
//! Its token is bound to the step, so it can tell of no session. `PreToolUse` begins a turn of the run, and the hook that
//! tells of the call's end settles it. The same hooks may be installed twice, for this step and for all agents of a
//! machine: the agent's id of a call makes them one. What a call's end is not told of ends with its step.

use super::{Asked, HookDecision, answer_of, verdict};
use crate::clock;
use crate::error::EngineError;
use crate::gate::ToolJudged;
use crate::plane::Plane;
use crate::runs::{ToolEnd, ToolWent};
use adjutant_model::Value;
use adjutant_model::action::{Caller, StepBinding};
use adjutant_model::hook::{HookCall, HookEvent};
use adjutant_model::policy::ToolCall;
use adjutant_rules::hook::read::{Posted, posted};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::OnceCell;

/// So many calls are known at once; of those that are forgotten the end is not told by hooks.
const CALLS_MAX: usize = 10_000;
/// The longest id of a call, in bytes.
const CALL_ID_BYTES_MAX: usize = 256;
/// The members of a payload that hold what a tool gave, the best first.
const OUTPUTS: [&str; 3] = ["tool_response", "tool_output", "error"];

type Judged = Arc<OnceCell<ToolJudged>>;

/// The calls of steps that are judged and have not ended, by the agents' ids of them.
#[derive(Debug, Default)]
pub(crate) struct StepCalls(Mutex<HashMap<(StepBinding, Arc<str>), Judged>>);

impl StepCalls {
    fn known(&self) -> MutexGuard<'_, HashMap<(StepBinding, Arc<str>), Judged>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the place for the judgement of a call, the same for whoever asks about it.
    fn place(&self, key: (StepBinding, Arc<str>)) -> Judged {
        let mut known = self.known();
        if known.len() >= CALLS_MAX {
            known.clear();
        }
        known.entry(key).or_default().clone()
    }

    fn take(&self, key: &(StepBinding, Arc<str>)) -> Option<ToolJudged> {
        self.known().remove(key)?.get().cloned()
    }
}

/// Takes a hook of a step's agent, and gives what the agent reads; nothing when it is told nothing.
pub(crate) async fn received(
    plane: &Plane,
    caller: &Caller,
    body: Value,
) -> Result<Option<serde_json::Value>, EngineError> {
    let not_a_step = || EngineError::Forbidden("the token is no step's".to_owned());
    let binding = caller.step.clone().ok_or_else(not_a_step)?;
    let call = match posted(body).map_err(EngineError::invalid)? {
        Posted::Agent(call) => call,
        Posted::For { .. } => {
            return Err(EngineError::Forbidden("the token of a step tells of no session".to_owned()));
        }
    };
    match call.event {
        Some(event @ (HookEvent::PreToolUse | HookEvent::PermissionRequest)) => {
            let decision = decided(plane, caller, &binding, Asked { event, call: &call, at: clock::now() });
            Ok(answer_of(&call, decision.await?.as_ref()))
        }
        Some(HookEvent::PostToolUse) => ended(plane, caller, (binding, &call), ToolWent::Well).await,
        Some(HookEvent::PostToolUseFailure) => ended(plane, caller, (binding, &call), ToolWent::Wrong).await,
        // What it does besides is told by its output.
        _ => Ok(None),
    }
}

async fn decided(
    plane: &Plane,
    caller: &Caller,
    binding: &StepBinding,
    asked: Asked<'_>,
) -> Result<Option<HookDecision>, EngineError> {
    let tool_call = asked.tool_call();
    let judged = match call_id(asked.call) {
        None => plane.tool_judge(caller, tool_call).await?,
        Some(call_id) => {
            let place = plane.core.hooks.steps.place((binding.clone(), call_id));
            let judging = || judge(plane, caller, tool_call);
            place.get_or_try_init(judging).await?.clone()
        }
    };
    Ok(verdict(asked.event, judged.judgement, false))
}

async fn judge(plane: &Plane, caller: &Caller, call: ToolCall) -> Result<ToolJudged, EngineError> {
    plane.tool_judge(caller, call).await
}

/// Settles the turn of a call that has ended. One that is not open was denied, or is told of twice.
async fn ended(
    plane: &Plane,
    caller: &Caller,
    (binding, call): (StepBinding, &HookCall),
    went: ToolWent,
) -> Result<Option<serde_json::Value>, EngineError> {
    let Some(call_id) = call_id(call) else { return Ok(None) };
    let Some(judged) = plane.core.hooks.steps.take(&(binding, call_id)) else { return Ok(None) };
    let output = OUTPUTS.iter().find_map(|key| call.payload.get(key)).cloned().unwrap_or_default();
    match plane.tool_settle(caller, judged.turn, ToolEnd { went, output }).await {
        Ok(()) | Err(EngineError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn call_id(call: &HookCall) -> Option<Arc<str>> {
    call.tool.as_ref()?.call_id.clone().filter(|id| id.len() <= CALL_ID_BYTES_MAX)
}
