//! What the door answers that is no message at all, or comes in a way that the protocol does not know.
//!
//! A body that is no message is answered by the protocol's own error, with the status 400. Everything else that goes
//! wrong before a message is looked at has the one form of errors, with the status that the protocol says.

use super::message::{BadMessage, McpMessage};
use crate::body::too_large;
use adjutant_protocol::{ApiError, ErrorCode};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// What is said of an error in plain text has at most so many bytes.
const SAID_BYTES_MAX: usize = 64 << 10;
const JSON: &str = "application/json";

/// Reads the message of a request, and gives the request as it was. There is none in what is no post of JSON.
pub(super) async fn message(request: Request) -> Result<(Request, Option<McpMessage>), Response> {
    if request.method() != Method::POST || !is_json(request.headers()) {
        return Ok((request, None));
    }
    let (head, body) = request.into_parts();
    let taken = Bytes::from_request(Request::from_parts(head.clone(), body), &()).await;
    let bytes = taken.map_err(|refused| too_large(refused).into_response())?;
    let message = McpMessage::read(&bytes).map_err(|bad| malformed(&bad))?;
    Ok((Request::from_parts(head, Body::from(bytes)), Some(message)))
}

fn malformed(bad: &BadMessage) -> Response {
    (StatusCode::BAD_REQUEST, Json(bad.answer())).into_response()
}

/// Says a refusal that has no form of ours in it; `message` is what was asked.
pub(super) async fn in_form(answer: Response, message: Option<&McpMessage>) -> Response {
    let status = answer.status();
    if !(status.is_client_error() || status.is_server_error()) || is_json(answer.headers()) {
        return answer;
    }
    // It is JSON, so what it is must be what cannot be read.
    if let (StatusCode::UNSUPPORTED_MEDIA_TYPE, Some(message)) = (status, message) {
        return malformed(&BadMessage::invalid(
            message.id(),
            "it is neither a request, a notification nor an answer",
        ));
    }
    let (mut head, body) = answer.into_parts();
    let said = axum::body::to_bytes(body, SAID_BYTES_MAX).await.unwrap_or_default();
    let (code, hint) = match status {
        StatusCode::METHOD_NOT_ALLOWED => (ErrorCode::MethodNotAllowed, "messages are posted here"),
        StatusCode::NOT_ACCEPTABLE => {
            (ErrorCode::InvalidRequest, "send `Accept: application/json, text/event-stream`")
        }
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (ErrorCode::InvalidRequest, "send `Content-Type: application/json`")
        }
        status if status.is_server_error() => (ErrorCode::Internal, "`adjutant doctor` looks at the daemon"),
        _ => (ErrorCode::InvalidRequest, "the protocol's transport says what a request needs"),
    };
    let error = ApiError::new(code, String::from_utf8_lossy(&said)).hinted(hint);
    head.headers.remove(header::CONTENT_LENGTH);
    let (_, form) = Json(error).into_response().into_parts();
    head.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(JSON));
    Response::from_parts(head, form)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
}
