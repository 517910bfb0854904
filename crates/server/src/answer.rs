//! Errors in their one form.

use adjutant_engine::EngineError;
use adjutant_model::run::ErrorClass;
use adjutant_protocol::{ApiError, ErrorCode};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// An error that is on its way out.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    error: ApiError,
}

/// What a handler gives.
pub(crate) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(crate) fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        ApiError::new(code, error).into()
    }

    pub(crate) fn invalid(error: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, error)
    }

    /// Gives the error itself.
    pub(crate) fn error(&self) -> &ApiError {
        &self.error
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let code = ErrorCode::parse(&error.code).unwrap_or(ErrorCode::Internal);
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Refusal { status, error }
    }
}

impl From<EngineError> for Refusal {
    fn from(error: EngineError) -> Self {
        let api = ApiError {
            error: told(&error),
            code: error.code().to_owned(),
            hint: error.hint(),
            details: error.details().as_ref().map(Into::into),
        };
        let mut refusal = Refusal::from(api);
        if matches!(error, EngineError::Workspace { .. }) && error.class() != ErrorClass::User {
            refusal.status = StatusCode::INTERNAL_SERVER_ERROR;
        }
        refusal
    }
}

/// Gives an error with its causes, each once.
fn told(error: &EngineError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.error)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
