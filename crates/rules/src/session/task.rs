//! How what a session was told first ends: with its agent's first turn, or with the agent.
//!
//! Where nobody tells of turns, because an agent has neither hooks nor a protocol, its own end in good order is the
//! task's end: a terminal that is quiet proves nothing.

use super::budget;
use crate::price::Price;
use adjutant_model::Timestamp;
use adjutant_model::session::{Desired, Session, SessionState, TaskEnd};

/// So much of what an agent said last is kept, in bytes.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// So much of what went wrong is kept, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;

/// Gives how the task has ended with a turn.
pub(super) fn end_of_turn(text: Option<String>, error: Option<&str>) -> TaskEnd {
    let text = text.map(|text| crate::limits::cut(&text, TEXT_BYTES_MAX));
    match error {
        None => TaskEnd::Completed { text },
        Some(error) => TaskEnd::Failed { reason: crate::limits::cut(error, REASON_BYTES_MAX), text },
    }
}

/// Gives how the task has ended of a session whose agent is gone for good before its first turn was over.
pub(super) fn end_of_rest(session: &Session, price: Option<Price>, now: Timestamp) -> Option<TaskEnd> {
    if !super::is_at_rest(session) {
        return None;
    }
    let reason = session.reason.clone().unwrap_or_else(|| format!("the session is {}", session.state));
    if let Some(spent) = budget::over(session, price, now) {
        return Some(TaskEnd::Failed { reason: format!("its budget is spent: {spent}"), text: None });
    }
    Some(match (session.state, session.desired) {
        (SessionState::Errored, _) => TaskEnd::Failed { reason, text: None },
        (SessionState::Decommissioned, _) | (_, Desired::Stopped | Desired::Decommissioned) => {
            TaskEnd::Cancelled { reason }
        }
        (SessionState::Provisioning | SessionState::Active | SessionState::Stopped, Desired::Running) => {
            TaskEnd::Completed { text: None }
        }
    })
}
