//! `/v1/gate`: what started agents ask; their token names the run and the step.

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart};
use crate::convert;
use adjutant_engine::worker::Progress;
use adjutant_engine::{Plane, ToolEnd, ToolWent};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::policy::ToolCall;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::{Extension, Json};

/// Judges a tool call before it is made; the call is recorded either way.
///
/// When a rule asks, the answer comes when a person has answered the approval, or when its deadline is over: after five
/// minutes unless the daemon is set otherwise.
#[utoipa::path(post, path = "/v1/gate/judge", tag = "gate", request_body = http::JudgeParams, responses(
    (status = 200, body = http::JudgementView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "The step is not in flight.", body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn judge(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::JudgeParams>,
) -> Answer<Json<http::JudgementView>> {
    let call = ToolCall { tool: params.tool, parameters: Value::from(params.parameters) };
    let judged = plane.tool_judge(&caller, call).await?;
    Ok(Json(http::JudgementView {
        turn: judged.turn,
        allowed: judged.judgement.allowed,
        decided_by: convert::gate_stage(judged.judgement.decided_by).to_owned(),
        rule: judged.judgement.rule,
        reason: judged.judgement.reason,
    }))
}

/// Takes the end of a tool call that was allowed.
#[utoipa::path(post, path = "/v1/gate/turns/{turn}/settle", tag = "gate", params(("turn" = u64, Path, description = "The call's turn.")),
    request_body = http::SettleParams, responses(
    (status = 200, body = Object), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, description = "The call is not open.", body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn settle(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(turn): PathPart,
    JsonBody(params): JsonBody<http::SettleParams>,
) -> Answer<Json<serde_json::Value>> {
    let turn = turn.parse().map_err(|_| Refusal::invalid(format!("`{turn}` is no turn")))?;
    let went = if params.ok { ToolWent::Well } else { ToolWent::Wrong };
    plane.tool_settle(&caller, turn, ToolEnd { went, output: Value::from(params.output) }).await?;
    Ok(Json(serde_json::json!({})))
}

/// Takes what an agent says or does besides tool calls.
#[utoipa::path(post, path = "/v1/gate/progress", tag = "gate", request_body = http::ProgressParams, responses(
    (status = 200, body = Object), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, description = "The step is not in flight.", body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn progress(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::ProgressParams>,
) -> Answer<Json<serde_json::Value>> {
    if !["said", "thought", "tool", "note"].contains(&params.what.as_str()) {
        return Err(Refusal::invalid(format!(
            "`what` is said, thought, tool or note, not `{}`",
            params.what
        )));
    }
    plane.progress(&caller, Progress { what: params.what, text: params.text }).await?;
    Ok(Json(serde_json::json!({})))
}
