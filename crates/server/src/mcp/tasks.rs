//! The protocol's extension for tasks: a client that has it is given a handle of a long call at once, and asks later.
//!
//! A handle is a call of the engine's ([`adjutant_engine::calls`]), so it outlives its daemon where what it stands for
//! does. A result is the one that the tool would have given to a client that waits. Nothing here ever asks its client
//! for input: whoever is at this door answers no question.

use super::tool::{failed, result_of};
use crate::answer::{Answer, Refusal};
use crate::http::tasks;
use adjutant_engine::Plane;
use adjutant_engine::calls::{CallInfo, CallStands, KEPT_MS};
use adjutant_model::CallId;
use adjutant_model::action::Caller;
use adjutant_model::call::Call;
use adjutant_protocol::{ApiError, ErrorCode};
use rmcp::model::{CallToolResult, DetailedTask, JsonObject, Task, TaskPayload, TaskStatus};
use serde_json::{Value, json};

/// A client is told to ask so often, in milliseconds.
const POLL_MS: u64 = 1000;

/// Gives the handle of a call that has begun.
pub(super) fn handle(call: &Call) -> Task {
    let at = call.created_at.to_string();
    Task::new(call.id.as_str(), TaskStatus::Working, at.clone(), at)
        .with_ttl_ms(KEPT_MS)
        .with_poll_interval_ms(POLL_MS)
}

/// Gives where a call of the caller stands.
pub(super) async fn get(plane: &Plane, caller: &Caller, id: &str) -> Answer<DetailedTask> {
    let CallInfo { call, stands, changed_at } = plane.call_get(caller, &call_id(id)?).await?;
    let mut task = handle(&call);
    task.last_updated_at = changed_at.to_string();
    let payload = match stands {
        CallStands::Working(message) => {
            task.status_message = Some(message);
            TaskPayload::Working
        }
        CallStands::RunOver { started, run } => {
            let done = tasks::done(&started, &run);
            let told = done.map(|view| serde_json::to_value(view).expect("a view is JSON"));
            TaskPayload::Completed { result: object(&result_of(told, None)) }
        }
        CallStands::Answered(answer) => match Value::from(&answer) {
            Value::Object(result) => TaskPayload::Completed { result },
            _ => return Err(Refusal::new(ErrorCode::Internal, "the answer of the call is damaged")),
        },
        CallStands::Cancelled => TaskPayload::Cancelled,
        CallStands::Lost => TaskPayload::Failed { error: lost() },
    };
    Ok(DetailedTask::new(task, payload))
}

/// Ends a call of the caller; one that is over stays as it is.
pub(super) async fn cancel(plane: &Plane, caller: &Caller, id: &str) -> Answer<()> {
    Ok(plane.call_cancel(caller, &call_id(id)?).await?)
}

/// Gives a result as it is kept, and as a task has it.
pub(super) fn object(result: &CallToolResult) -> JsonObject {
    match serde_json::to_value(result) {
        Ok(Value::Object(object)) => object,
        _ => object(&failed(&ApiError::new(ErrorCode::Internal, "the result is no JSON"))),
    }
}

/// Reads a handle; what never was one is as unknown as one of somebody else.
fn call_id(text: &str) -> Answer<CallId> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let error = ApiError::new(ErrorCode::NotFound, format!("call `{shown}` is not known"));
        error.hinted("the `taskId` is the one that came with the call's answer").into()
    })
}

fn lost() -> JsonObject {
    let error = json!({
        "code": rmcp::model::ErrorCode::INTERNAL_ERROR.0,
        "message": "the daemon ended before the call did, and nothing was recorded",
        "data": {"code": ErrorCode::Stopping.as_str(), "hint": "call the tool again"},
    });
    error.as_object().cloned().unwrap_or_default()
}
