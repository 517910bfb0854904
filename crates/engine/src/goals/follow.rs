//! Where a link stands by what its run or session tells itself: never by a word on a screen, and never verified.

use crate::error::EngineError;
use adjutant_model::goal::LinkState;
use adjutant_model::run::RunStatus;
use adjutant_model::session::{Session, SessionState, TaskEnd};
use adjutant_store::Store;

/// Gives where a link to a run or session stands; nothing when it is neither, or says nothing of it.
pub(super) async fn state(store: &Store, session_id: &str) -> Result<Option<LinkState>, EngineError> {
    if let Ok(id) = session_id.parse() {
        return Ok(store.session_get(id).await?.and_then(|entry| of_session(&entry.session)));
    }
    if let Ok(id) = session_id.parse()
        && let Some(run) = store.run_get(&id).await?
    {
        return Ok(Some(of_run(run.status)));
    }
    Ok(store.client_run_get(session_id).await?.map(|run| of_run(run.status)))
}

/// A run that has done its work is not proved by that: it stays `running` until evidence speaks.
fn of_run(status: RunStatus) -> LinkState {
    match status {
        RunStatus::Pending => LinkState::Launched,
        RunStatus::Running | RunStatus::Waiting | RunStatus::Done => LinkState::Running,
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Interrupted | RunStatus::Incomplete => {
            LinkState::Failed
        }
    }
}

fn of_session(session: &Session) -> Option<LinkState> {
    match (session.state, &session.task_end) {
        (SessionState::Errored, _) => Some(LinkState::Failed),
        (SessionState::Active, _) => Some(LinkState::Running),
        (SessionState::Provisioning, _) => Some(LinkState::Launched),
        (SessionState::Stopped | SessionState::Decommissioned, Some(end)) => Some(match end {
            TaskEnd::Completed { .. } => LinkState::Running,
            TaskEnd::Failed { .. } | TaskEnd::Cancelled { .. } => LinkState::Failed,
        }),
        (SessionState::Stopped | SessionState::Decommissioned, None) => None,
    }
}
