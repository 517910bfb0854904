//! Bodies and ids of requests, read so that a mistake names its place.

use crate::answer::{Answer, Refusal};
use adjutant_model::id::InvalidId;
use adjutant_protocol::ErrorCode;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// A JSON body; an empty one reads as `{}`.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(too_large)?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let read = serde_json::from_slice(text);
        read.map(JsonBody).map_err(|error| Refusal::invalid(format!("the body cannot be read: {error}")))
    }
}

fn too_large(rejection: BytesRejection) -> Refusal {
    match rejection.status().as_u16() {
        413 => Refusal::new(ErrorCode::TooLarge, "the body is larger than 2 MiB"),
        _ => Refusal::invalid(rejection.body_text()),
    }
}

/// Reads an id from a path or a body.
pub(crate) fn id<T: FromStr<Err = InvalidId>>(text: &str) -> Answer<T> {
    text.parse().map_err(|error: InvalidId| Refusal::invalid(format!("this is no id: {error}")))
}
