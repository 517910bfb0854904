//! `/v1/data`: large results, streamed to files and from files.

use super::range::{self, Wanted};
use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::page::Page;
use adjutant_engine::Plane;
use adjutant_engine::data::{EmitParams, OutputParams, Upload};
use adjutant_model::action::Caller;
use adjutant_model::data::OutputRecord;
use adjutant_model::{OutputId, Value};
use adjutant_protocol::{ApiError, ErrorCode, http};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use std::io::{self, SeekFrom};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

/// How long a list is.
const PAGE: Page = Page { usual: 100, max: 1000 };
/// So much of a file is read at once.
const READ_BYTES: u64 = 64 << 10;

/// Takes what a worker emits: a small JSON value, found by its id.
#[utoipa::path(post, path = "/v1/data/emit", tag = "data", request_body = http::EmitParams, responses(
    (status = 200, body = http::EmittedView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, description = "The token is of no step, or of another.", body = ApiError), (status = 404, body = ApiError),
    (status = 413, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn emit(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    JsonBody(params): JsonBody<http::EmitParams>,
) -> Answer<Json<http::EmittedView>> {
    let params = EmitParams {
        task_id: params.task_id,
        attempt: params.attempt,
        producer_agent: params.producer_agent,
        event: Value::from(params.event),
        parents: output_ids(params.parent_refs.iter().map(String::as_str))?,
    };
    let output = plane.output_emit(&caller, params).await?;
    Ok(Json(http::EmittedView { out_id: output.id.to_string() }))
}

/// Beside a body that is put.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutQuery {
    /// The run, for a host or an operator; a worker's token has its own. Without one the output is kept for a day unless
    /// a task's `init_ctx` refers to it.
    #[serde(default)]
    run_id: Option<String>,
    /// The outputs that it was made from, with commas between them.
    #[serde(default)]
    parent_refs: Option<String>,
}

/// Puts a body of any content type under a name; the latest of a name is found by it.
///
/// The body is streamed to disk, up to 64 MiB unless the daemon is set otherwise. Nothing is kept of one that is larger or
/// that does not arrive as a whole.
#[utoipa::path(post, path = "/v1/data/{key}", tag = "data", params(("key" = String, Path,
        description = "The name: 1 to 128 letters, digits and `._-`, beginning with a letter or digit."), PutQuery),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses(
    (status = 200, body = http::OutputView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is no such run.", body = ApiError),
    (status = 408, description = "The body stopped arriving.", body = ApiError), (status = 413, body = ApiError),
    (status = 429, description = "Too many bodies arrive at once.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn put(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(name): PathPart,
    QueryOf(query): QueryOf<PutQuery>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<http::OutputView>> {
    let parents = query.parent_refs.as_deref().unwrap_or_default();
    let params = OutputParams {
        name,
        content_type: content_type(&headers)?,
        run_id: query.run_id.as_deref().map(id).transpose()?,
        parents: output_ids(parents.split(',').filter(|part| !part.is_empty()))?,
        length: headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok()),
    };
    let upload = plane.output_begin(&caller, params).await?;
    let output = arrived(&plane, upload, body).await?.finish().await?;
    Ok(Json(convert::output(&output)))
}

fn content_type(headers: &HeaderMap) -> Answer<Option<String>> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str());
    let text = given.transpose().map_err(|_| Refusal::invalid("the content type is not plain text"))?;
    Ok(text.map(str::to_owned))
}

fn output_ids<'a>(texts: impl Iterator<Item = &'a str>) -> Answer<Vec<OutputId>> {
    texts.map(id).collect()
}

/// Takes a body to its end.
async fn arrived(plane: &Plane, mut upload: Upload, body: Body) -> Answer<Upload> {
    let mut chunks = body.into_data_stream();
    let idle = plane.body_idle();
    loop {
        match tokio::time::timeout(idle, chunks.next()).await {
            Ok(Some(Ok(chunk))) => upload.write(&chunk).await?,
            Ok(Some(Err(error))) => {
                return Err(Refusal::invalid(format!("the body did not arrive as a whole: {error}")));
            }
            Ok(None) => return Ok(upload),
            Err(_) => {
                let error = format!("nothing of the body arrived for {} s", idle.as_secs());
                return Err(Refusal::new(ErrorCode::TooSlow, error));
            }
        }
    }
}

/// Which outputs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputsQuery {
    /// Only those that this run refers to.
    #[serde(default)]
    run_id: Option<String>,
    /// At most so many, up to 1000; 100 unless said otherwise.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Lists outputs, the newest first; a worker sees those of its run.
#[utoipa::path(get, path = "/v1/data", tag = "data", params(OutputsQuery), responses(
    (status = 200, body = http::OutputsView), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn list(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    QueryOf(query): QueryOf<OutputsQuery>,
) -> Answer<Json<http::OutputsView>> {
    let run_id = query.run_id.as_deref().map(id).transpose()?;
    let outputs = plane.outputs(&caller, run_id, PAGE.limit(query.limit)?).await?;
    Ok(Json(http::OutputsView { outputs: outputs.iter().map(convert::output).collect() }))
}

/// Which of several outputs of a name.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetQuery {
    /// Only one that this run refers to.
    #[serde(default)]
    run_id: Option<String>,
}

/// Gives an output by its id, else the latest of that name which the caller sees; `HEAD` gives its head alone.
///
/// A body comes as it was put, with an entity tag, and in part when one `Range` asks for it; more ranges at once are left
/// aside. What was emitted comes as a record in JSON. The header `x-output-id` says which output it is.
#[utoipa::path(get, path = "/v1/data/{key}", tag = "data",
    params(("key" = String, Path, description = "An output's id, or a name."), GetQuery), responses(
    (status = 200, description = "The body, or the record of what was emitted.", content(
        (Vec<u8> = "application/octet-stream"), (http::OutputRecordView = "application/json"))),
    (status = 206, description = "A part of the body.", body = Vec<u8>, content_type = "application/octet-stream"),
    (status = 304, description = "The client has it."), (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 403, body = ApiError), (status = 404, description = "There is none, or none for this caller.", body = ApiError),
    (status = 416, description = "The body has nothing of the range.", body = ApiError), (status = 503, body = ApiError)))]
pub(crate) async fn get(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(key): PathPart,
    QueryOf(query): QueryOf<GetQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let run_id = query.run_id.as_deref().map(id).transpose()?;
    let output = plane.output_get(&caller, &key, run_id).await?;
    let etag = format!("\"{}\"", output.sha256);
    if range::is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, about(&output, etag)).into_response());
    }
    if let Some(record) = convert::output_record(&output) {
        return Ok((about(&output, etag), Json(record)).into_response());
    }
    let len = output.size_bytes;
    let (first, last) = match range::wanted(&headers, &etag, len) {
        Wanted::Whole => {
            let body = bytes_of(&plane, &output, 0, len).await?;
            return Ok((about(&output, etag), of_length(len), kept(&output), body).into_response());
        }
        Wanted::Part { first, last } => (first, last),
        Wanted::Nothing => {
            let error = format!("the body has {len} bytes, and nothing of this range");
            let refusal = Refusal::new(ErrorCode::RangeUnsatisfiable, error);
            return Ok(([(header::CONTENT_RANGE, format!("bytes */{len}"))], refusal).into_response());
        }
    };
    let part_len = last - first + 1;
    let body = bytes_of(&plane, &output, first, part_len).await?;
    let range = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{len}"))];
    let head = (about(&output, etag), of_length(part_len), kept(&output), range);
    Ok((StatusCode::PARTIAL_CONTENT, head, body).into_response())
}

/// What is said of every output.
fn about(output: &OutputRecord, etag: String) -> [(HeaderName, String); 4] {
    [
        (header::ETAG, etag),
        (HeaderName::from_static("x-output-id"), output.id.to_string()),
        // Whoever may see it now may not later, and a name moves on.
        (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        (header::ACCEPT_RANGES, if output.event.is_some() { "none" } else { "bytes" }.to_owned()),
    ]
}

/// What is said of a body. It is somebody else's: a browser saves it, and runs nothing of it as a page of the daemon.
fn kept(output: &OutputRecord) -> [(HeaderName, String); 4] {
    let name = output.name.as_deref().unwrap_or("output");
    [
        (header::CONTENT_TYPE, output.content_type.clone()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ]
}

fn of_length(len: u64) -> [(HeaderName, String); 1] {
    [(header::CONTENT_LENGTH, len.to_string())]
}

/// Gives a part of an output's file as it is read.
async fn bytes_of(plane: &Plane, output: &OutputRecord, first: u64, len: u64) -> Answer<Body> {
    let mut file = plane.output_open(output).await?;
    if first > 0 {
        let sought = file.seek(SeekFrom::Start(first)).await;
        sought.map_err(|error| Refusal::new(ErrorCode::StoreUnreadable, error.to_string()))?;
    }
    Ok(Body::from_stream(chunks(file, len)))
}

fn chunks(file: File, len: u64) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::try_unfold((file, len), async |(mut file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let size = usize::try_from(left.min(READ_BYTES)).expect("it is no more than is read at once");
        let mut chunk = vec![0; size];
        let read = file.read(&mut chunk).await?;
        if read == 0 {
            // The head has promised more; without an error the client would take this for the whole.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunk.truncate(read);
        Ok(Some((Bytes::from(chunk), (file, left - read as u64))))
    })
}
