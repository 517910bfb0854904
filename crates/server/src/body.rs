//! Bodies and ids of requests, read so that a mistake names its place.

use crate::answer::{Answer, Refusal};
use adjutant_model::id::InvalidId;
use adjutant_protocol::{ApiError, ErrorCode, Object};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// A JSON object as the body; an empty one reads as `{}`.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let Object(read) = json(request, state).await?;
        Ok(JsonBody(read))
    }
}

/// Any JSON as the body; an empty one reads as `{}`.
#[derive(Debug)]
pub(crate) struct AnyJson(pub(crate) serde_json::Value);

impl<S: Send + Sync> FromRequest<S> for AnyJson {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        Ok(AnyJson(json(request, state).await?))
    }
}

async fn json<T: DeserializeOwned, S: Send + Sync>(request: Request, state: &S) -> Answer<T> {
    let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    let mut body = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut body).map_err(|error| {
        let place = match error.path().to_string() {
            path if path == "." => String::new(),
            path => format!(" at `{path}`"),
        };
        Refusal::invalid(format!("the body cannot be read{place}: {}", error.into_inner()))
    })?;
    body.end().map_err(|error| Refusal::invalid(format!("the body cannot be read: {error}")))?;
    Ok(read)
}

/// A body that is taken as text, whatever its type says; what is no UTF-8 in it is replaced.
#[derive(Debug)]
pub(crate) struct TextBody(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for TextBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
        Ok(TextBody(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// Refuses a body that cannot be taken.
pub(crate) fn too_large(rejection: BytesRejection) -> Refusal {
    match rejection.status().as_u16() {
        413 => ApiError::new(ErrorCode::TooLarge, "the body is larger than 2 MiB")
            .hinted("say less at once; large results are kept by `POST /v1/data/NAME`")
            .into(),
        _ => Refusal::invalid(rejection.body_text()),
    }
}

/// The query of a request, refused in our form.
#[derive(Debug)]
pub(crate) struct QueryOf<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let read = Query::from_request_parts(parts, state).await;
        read.map(|Query(query)| QueryOf(query)).map_err(|rejection| Refusal::invalid(rejection.body_text()))
    }
}

/// The one variable part of a route's path, refused in our form.
#[derive(Debug)]
pub(crate) struct PathPart(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path(part)| PathPart(part)).map_err(|rejection| Refusal::invalid(rejection.body_text()))
    }
}

/// The two variable parts of a route's path, refused in our form.
#[derive(Debug)]
pub(crate) struct PathParts(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathParts {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path((first, second))| PathParts(first, second))
            .map_err(|rejection| Refusal::invalid(rejection.body_text()))
    }
}

/// The three variable parts of a route's path, refused in our form.
#[derive(Debug)]
pub(crate) struct PathTriple(pub(crate) String, pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathTriple {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let read = Path::from_request_parts(parts, state).await;
        read.map(|Path((first, second, third))| PathTriple(first, second, third))
            .map_err(|rejection| Refusal::invalid(rejection.body_text()))
    }
}

/// Reads an id from a path or a body.
pub(crate) fn id<T: FromStr<Err = InvalidId>>(text: &str) -> Answer<T> {
    text.parse().map_err(|error: InvalidId| Refusal::invalid(format!("this is no id: {error}")))
}
