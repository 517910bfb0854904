//! Ids in the arguments of tools.

use crate::answer::{Answer, Refusal};
use adjutant_model::SessionId;
use adjutant_protocol::{ApiError, ErrorCode};

/// Reads the id of a session of any kind.
pub(super) fn session(text: &str) -> Answer<SessionId> {
    read(text, "is not a valid session id")
}

/// Reads the id of a session that Adjutant hosts.
pub(super) fn managed_session(text: &str) -> Answer<SessionId> {
    read(text, "is not a valid managed session id")
}

fn read(text: &str, what: &str) -> Answer<SessionId> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        let error = ApiError::new(ErrorCode::InvalidRequest, format!("`{shown}` {what}"));
        Refusal::from(error.hinted("it is a UUID: `id` in `session_list`"))
    })
}
