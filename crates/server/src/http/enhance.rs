//! `/v1/issues`, `/v1/enhance-settings` and `/v1/enhance/log`

use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::enhance::{IssueFilter, IssueParams, OrbitParams, SettingParams, default_axes};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::issue::{EnhanceSetting, IssueStatus};
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 100, max: 1000 };
/// The orbit of a setting that names none.
const DEFAULT_ORBIT: &str = "enhance-default";

/// Opens an issue: a request to change a blueprint.
#[utoipa::path(post, path = "/v1/issues", tag = "enhance", request_body = http::IssueParams, responses(
    (status = 201, body = http::IssueOpenedView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is no such blueprint.", body = ApiError),
    (status = 409, description = "The blueprint is archived.", body = ApiError), (status = 413, body = ApiError),
    (status = 429, description = "Too many issues wait.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn open(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::IssueParams>,
) -> Answer<(StatusCode, Json<http::IssueOpenedView>)> {
    let http::IssueParams { blueprint_id, intent } = params;
    let issue = plane.issue_open(&caller, IssueParams { blueprint_id, intent }).await?;
    let status = issue.state.status().as_str().to_owned();
    Ok((StatusCode::CREATED, Json(http::IssueOpenedView { issue_id: issue.id.to_string(), status })))
}

/// Which issues.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuesQuery {
    /// Of this blueprint.
    #[serde(default)]
    blueprint_id: Option<String>,
    /// In this state.
    #[serde(default)]
    status: Option<String>,
    /// How many at most, up to 1000.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists issues, the newest first.
#[utoipa::path(get, path = "/v1/issues", tag = "enhance", params(IssuesQuery), responses(
    (status = 200, body = http::IssuesView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<IssuesQuery>,
) -> Answer<Json<http::IssuesView>> {
    let IssuesQuery { blueprint_id, status, limit } = query;
    let status = status.as_deref().map(issue_status).transpose()?;
    let issues = plane.issue_list(IssueFilter { blueprint_id, status, limit: PAGE.limit(limit)? }).await?;
    Ok(Json(http::IssuesView { issues: issues.iter().map(convert::issue).collect() }))
}

/// Gives an issue.
#[utoipa::path(get, path = "/v1/issues/{id}", tag = "enhance", params(("id" = String, Path, description = "The issue's id.")), responses(
    (status = 200, body = http::IssueView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::IssueView>> {
    Ok(Json(convert::issue(&plane.issue_get(&id(&text)?).await?)))
}

/// Takes an issue back; the run that handles it is cancelled first.
#[utoipa::path(post, path = "/v1/issues/{id}/cancel", tag = "enhance", params(("id" = String, Path, description = "The issue's id.")),
    request_body = http::IssueCancelParams, responses(
    (status = 200, body = http::IssueView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It was applied or rejected already.", body = ApiError), (status = 413, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn cancel(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(text): PathPart,
    JsonBody(params): JsonBody<http::IssueCancelParams>,
) -> Answer<Json<http::IssueView>> {
    Ok(Json(convert::issue(&plane.issue_cancel(&caller, &id(&text)?, &params.reason).await?)))
}

/// Lists the ids of settings.
#[utoipa::path(get, path = "/v1/enhance-settings", tag = "enhance", responses(
    (status = 200, body = Vec<String>), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn setting_ids(State(plane): State<Plane>) -> Answer<Json<Vec<String>>> {
    Ok(Json(plane.enhance_setting_ids(PAGE.max).await?))
}

/// Keeps a setting under the id that it brings; one that is there already is replaced.
#[utoipa::path(post, path = "/v1/enhance-settings", tag = "enhance", request_body = http::EnhanceSettingParams, responses(
    (status = 201, body = http::EnhanceSettingView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is no such orbit.", body = ApiError),
    (status = 409, description = "The orbit's head is not what it is based on.", body = ApiError), (status = 413, body = ApiError),
    (status = 422, description = "The orbit cannot run.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn setting_post(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::EnhanceSettingParams>,
) -> Answer<(StatusCode, Json<http::EnhanceSettingView>)> {
    let id = params.id.clone().ok_or_else(|| Refusal::invalid("`id` is missing"))?;
    let kept = plane.enhance_setting_put(&caller, setting_params(id, params)?).await?;
    Ok((StatusCode::CREATED, Json(convert::enhance_setting(&kept))))
}

/// Gives a setting.
#[utoipa::path(get, path = "/v1/enhance-settings/{id}", tag = "enhance", params(("id" = String, Path, description = "The setting's id.")), responses(
    (status = 200, body = http::EnhanceSettingView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn setting(
    State(plane): State<Plane>,
    PathPart(id): PathPart,
) -> Answer<Json<http::EnhanceSettingView>> {
    Ok(Json(convert::enhance_setting(&plane.enhance_setting(&id).await?)))
}

/// Keeps a setting; one that is there already is replaced.
#[utoipa::path(put, path = "/v1/enhance-settings/{id}", tag = "enhance", params(("id" = String, Path, description = "The setting's id.")),
    request_body = http::EnhanceSettingParams, responses(
    (status = 200, body = http::EnhanceSettingView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is no such orbit.", body = ApiError),
    (status = 409, description = "The orbit's head is not what it is based on.", body = ApiError), (status = 413, body = ApiError),
    (status = 422, description = "The orbit cannot run.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn setting_put(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
    JsonBody(params): JsonBody<http::EnhanceSettingParams>,
) -> Answer<Json<http::EnhanceSettingView>> {
    if let Some(own) = params.id.as_ref().filter(|own| **own != id) {
        return Err(Refusal::invalid(format!("the setting calls itself `{own}` and is put as `{id}`")));
    }
    let kept = plane.enhance_setting_put(&caller, setting_params(id, params)?).await?;
    Ok(Json(convert::enhance_setting(&kept)))
}

/// Removes a setting; without one that is called `default` issues wait.
#[utoipa::path(delete, path = "/v1/enhance-settings/{id}", tag = "enhance", params(("id" = String, Path, description = "The setting's id.")), responses(
    (status = 204), (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn setting_remove(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
) -> Answer<StatusCode> {
    plane.enhance_setting_remove(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which decisions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// About this blueprint.
    #[serde(default)]
    blueprint_id: Option<String>,
    /// How many at most, up to 1000.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists the last decisions about issues, the oldest of them first.
#[utoipa::path(get, path = "/v1/enhance/log", tag = "enhance", params(LogQuery), responses(
    (status = 200, body = Vec<http::EnhanceEntryView>), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn log(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<LogQuery>,
) -> Answer<Json<Vec<http::EnhanceEntryView>>> {
    let entries = plane.enhance_log(query.blueprint_id, PAGE.limit(query.limit)?).await?;
    Ok(Json(entries.iter().map(convert::enhance_entry).collect()))
}

/// Gives the decision about an issue.
#[utoipa::path(get, path = "/v1/enhance/log/{id}", tag = "enhance", params(("id" = String, Path, description = "The issue's id.")), responses(
    (status = 200, body = http::EnhanceEntryView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn entry(
    State(plane): State<Plane>,
    PathPart(text): PathPart,
) -> Answer<Json<http::EnhanceEntryView>> {
    Ok(Json(convert::enhance_entry(&plane.enhance_entry(&id(&text)?).await?)))
}

fn setting_params(id: String, params: http::EnhanceSettingParams) -> Answer<SettingParams> {
    let orbit = params.blueprint.map(Value::from);
    let own = orbit.as_ref().and_then(|orbit| orbit.get("id")).and_then(Value::as_str).map(str::to_owned);
    let blueprint_id = match (params.blueprint_id, own) {
        (Some(said), Some(own)) if said != own => {
            return Err(Refusal::invalid(format!(
                "`blueprint_id` is `{said}`, and `blueprint` calls itself `{own}`"
            )));
        }
        (Some(said), _) => said,
        (None, own) => own.unwrap_or_else(|| DEFAULT_ORBIT.to_owned()),
    };
    if orbit.is_none() && params.base.is_some() {
        return Err(Refusal::invalid("`base` goes with `blueprint`"));
    }
    let setting = EnhanceSetting {
        id,
        blueprint_id,
        version: params.version.as_ref().map(super::tasks::selector).unwrap_or_default(),
        ttl_secs: params.ttl_secs,
        verifier_axes: params.verifier_axes.unwrap_or_else(default_axes),
        spawner: params.spawner.map(Value::from),
        meta: params.meta.map_or_else(|| Value::object::<&str>([]), Value::from),
    };
    let orbit = orbit.map(|document| OrbitParams { document, base: params.base });
    Ok(SettingParams { setting, orbit })
}

fn issue_status(text: &str) -> Answer<IssueStatus> {
    IssueStatus::parse(text).ok_or_else(|| {
        let known = IssueStatus::ALL.map(IssueStatus::as_str).join(", ");
        Refusal::invalid(format!("there is no status `{text}`; known: {known}"))
    })
}
