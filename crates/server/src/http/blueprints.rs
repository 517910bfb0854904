//! `/v1/blueprints`

use crate::answer::{Answer, Refusal};
use crate::body::{AnyJson, PathPart, PathParts, QueryOf};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::registry::{BlueprintBase, BlueprintDocument, BlueprintFilter, BlueprintWrite};
use adjutant_engine::{Lint, Plane};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_protocol::{ApiError, http};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

/// How long a list is.
const PAGE: Page = Page { usual: 1000, max: 1000 };
/// How long a history is.
const HISTORY: Page = Page { usual: 20, max: 1000 };

/// What a version was based on, and why it is written.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteQuery {
    /// The version that is the head until now, as 64 hex digits; `If-Match` says the same. Without either there must
    /// be no blueprint of this id.
    #[serde(default)]
    base: Option<String>,
    /// Why, for people.
    #[serde(default)]
    rationale: String,
    /// A semantic version, when the document's `metadata.version_label` does not say it.
    #[serde(default)]
    label: Option<String>,
}

/// Registers a version of a blueprint, which becomes its head.
#[utoipa::path(post, path = "/v1/blueprints/{id}", tag = "blueprints", request_body = serde_json::Value,
    params(("id" = String, Path, description = "The blueprint's id, which is the document's own."), WriteQuery,
    ("If-Match" = Option<String>, Header, description = "The version that is the head until now.")), responses(
    (status = 201, description = "It is the head.", body = http::BlueprintWrittenView),
    (status = 200, description = "The head holds the same document already.", body = http::BlueprintWrittenView),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 409, description = "The head is not the one that was named, or the blueprint is archived.", body = ApiError),
    (status = 413, body = ApiError), (status = 422, description = "The blueprint cannot run.", body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn write(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
    QueryOf(query): QueryOf<WriteQuery>,
    headers: HeaderMap,
    AnyJson(document): AnyJson,
) -> Answer<(StatusCode, Json<http::BlueprintWrittenView>)> {
    let write = BlueprintWrite {
        id: id.clone(),
        document: Value::from(document),
        base: base(query.base, &headers)?,
        rationale: query.rationale,
        label: query.label,
    };
    let written = plane.blueprint_write(&caller, write).await?;
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    let diagnostics = written.warnings.iter().map(convert::lint).collect();
    let view =
        http::BlueprintWrittenView { id, version: written.version, seeded: written.created, diagnostics };
    Ok((status, Json(view)))
}

/// Takes the base from the query or from `If-Match`, which must not contradict each other.
fn base(in_query: Option<String>, headers: &HeaderMap) -> Answer<BlueprintBase> {
    let in_header = match headers.get(header::IF_MATCH).map(|value| value.to_str()) {
        None => None,
        Some(Ok(tag)) if tag.trim() != "*" => Some(tag.trim().trim_matches('"').to_owned()),
        Some(_) => {
            return Err(Refusal::invalid("`If-Match` names the one version that the change is based on"));
        }
    };
    match (in_query, in_header) {
        (Some(query), Some(header)) if query != header => {
            Err(Refusal::invalid("`base` and `If-Match` name different versions"))
        }
        (Some(version), _) | (None, Some(version)) => Ok(BlueprintBase::Version(version)),
        (None, None) => Ok(BlueprintBase::CreateOnly),
    }
}

/// Says everything that is wrong with a document, and keeps nothing.
#[utoipa::path(post, path = "/v1/blueprints:lint", tag = "blueprints", request_body = serde_json::Value, responses(
    (status = 200, body = http::BlueprintLintsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn lint(
    State(plane): State<Plane>,
    AnyJson(document): AnyJson,
) -> Answer<Json<http::BlueprintLintsView>> {
    let lints = plane.blueprint_lint(&Value::from(document)).await?;
    let (errors, warnings): (Vec<Lint>, Vec<Lint>) = lints.into_iter().partition(Lint::is_error);
    Ok(Json(http::BlueprintLintsView {
        can_run: errors.is_empty(),
        errors: errors.iter().map(convert::lint).collect(),
        warnings: warnings.iter().map(convert::lint).collect(),
    }))
}

/// Which blueprints.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Archived ones too.
    #[serde(default)]
    pub(crate) include_archived: bool,
    /// Behind this id.
    #[serde(default)]
    pub(crate) after: Option<String>,
    /// At most so many, up to 1000, which is also what it is without a word.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
}

/// Lists blueprints in the order of their ids, the daemon's own among them.
#[utoipa::path(get, path = "/v1/blueprints", tag = "blueprints", params(ListQuery), responses(
    (status = 200, body = http::BlueprintListView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    QueryOf(query): QueryOf<ListQuery>,
) -> Answer<Json<http::BlueprintListView>> {
    let filter = BlueprintFilter {
        after: query.after,
        archived: query.include_archived,
        limit: PAGE.limit(query.limit)?,
    };
    let listed = plane.blueprint_list(filter).await?;
    Ok(Json(http::BlueprintListView {
        blueprints: listed.into_iter().map(convert::blueprint_entry).collect(),
    }))
}

/// Gives the head of a blueprint; its version is the `ETag`, too.
#[utoipa::path(get, path = "/v1/blueprints/{id}/head", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id.")), responses(
    (status = 200, body = http::BlueprintDocumentView, headers(("ETag" = String, description = "The version, for `If-Match`."))),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn head(State(plane): State<Plane>, PathPart(id): PathPart) -> Answer<Response> {
    Ok(document(plane.blueprint_head(&id).await?))
}

/// Gives a version of a blueprint.
#[utoipa::path(get, path = "/v1/blueprints/{id}/versions/{version}", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id."),
    ("version" = String, Path, description = "64 hex digits.")), responses(
    (status = 200, body = http::BlueprintDocumentView, headers(("ETag" = String, description = "The version."))),
    (status = 400, body = ApiError), (status = 401, body = ApiError), (status = 403, body = ApiError),
    (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn version(
    State(plane): State<Plane>,
    PathParts(id, version): PathParts,
) -> Answer<Response> {
    Ok(document(plane.blueprint_version(&id, &version).await?))
}

fn document(found: BlueprintDocument) -> Response {
    let tag = [(header::ETAG, format!("\"{}\"", found.version))];
    (tag, Json(convert::blueprint_document(found))).into_response()
}

/// Which versions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Before this number.
    #[serde(default)]
    before: Option<u64>,
    /// At most so many, up to 1000; 20 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Gives the versions of a blueprint, the newest first.
#[utoipa::path(get, path = "/v1/blueprints/{id}/history", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id."), HistoryQuery), responses(
    (status = 200, body = http::BlueprintHistoryView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn history(
    State(plane): State<Plane>,
    PathPart(id): PathPart,
    QueryOf(query): QueryOf<HistoryQuery>,
) -> Answer<Json<http::BlueprintHistoryView>> {
    let limit = HISTORY.limit(query.limit)?;
    let versions = plane.blueprint_history(&id, query.before, limit).await?;
    let entries: Vec<_> = versions.into_iter().map(convert::blueprint_version).collect();
    Ok(Json(http::BlueprintHistoryView { count: entries.len(), entries }))
}

/// Which two versions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The one; the version that the other was based on when nothing is said.
    #[serde(default)]
    from: Option<String>,
    /// The other; the head when nothing is said.
    #[serde(default)]
    to: Option<String>,
}

/// Says what changed from one version to another.
#[utoipa::path(get, path = "/v1/blueprints/{id}/diff", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id."), DiffQuery), responses(
    (status = 200, body = http::BlueprintDiffView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn diff(
    State(plane): State<Plane>,
    PathPart(id): PathPart,
    QueryOf(query): QueryOf<DiffQuery>,
) -> Answer<Json<http::BlueprintDiffView>> {
    let diff = plane.blueprint_diff(&id, query.from.as_deref(), query.to.as_deref()).await?;
    Ok(Json(http::BlueprintDiffView {
        from: diff.from,
        to: diff.to,
        patch: (&diff.patch).into(),
        text: diff.text,
    }))
}

/// Archives a blueprint: it is kept, and neither runs nor changes. Its open runs go on.
#[utoipa::path(delete, path = "/v1/blueprints/{id}", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id.")), responses(
    (status = 204, description = "It is archived."), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 409, description = "It is the daemon's own.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn archive(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
) -> Answer<StatusCode> {
    plane.blueprint_archive(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a blueprint out of the archive.
#[utoipa::path(post, path = "/v1/blueprints/{id}/unarchive", tag = "blueprints",
    params(("id" = String, Path, description = "The blueprint's id.")), responses(
    (status = 204, description = "It runs and changes again."), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn unarchive(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(id): PathPart,
) -> Answer<StatusCode> {
    plane.blueprint_unarchive(&caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
