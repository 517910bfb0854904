//! Delegations: how one comes to its end, and what its parent is told.
//!
//! ```text
//! Queued ──Launched──▶ Running ──▶ Completed | Failed | Cancelled
//!    └────────────── Failed (no session could be made) | Cancelled (denied, nobody answered)
//! ```

use crate::limits;
use adjutant_model::delegation::{Delegation, DelegationStatus};
use adjutant_model::session::TaskEnd;

/// So much of what a child said last is kept and told to its parent, in bytes.
pub const RESULT_BYTES_MAX: usize = 8 << 10;
/// So much of the reason is, in bytes.
const REASON_BYTES_MAX: usize = 2 << 10;
/// The longest name of an agent, in bytes.
const AGENT_BYTES_MAX: usize = 128;

/// What happened to a delegation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DelegationEvent {
    /// Its session is there.
    Launched,
    /// Its session cannot be made.
    Refused {
        /// Why.
        reason: String,
    },
    /// A person has denied it, or nobody has answered in time.
    Denied {
        /// Why.
        reason: String,
    },
    /// Its session's task has ended.
    Ended(TaskEnd),
}

/// Gives where a delegation stands after an event, why, and what came out; nothing when the event changes nothing there.
pub fn step(status: DelegationStatus, event: DelegationEvent) -> Option<DelegationStep> {
    let (status, reason, result) = match (status, event) {
        (DelegationStatus::Queued, DelegationEvent::Launched) => (DelegationStatus::Running, None, None),
        (DelegationStatus::Queued, DelegationEvent::Refused { reason }) => {
            (DelegationStatus::Failed, Some(reason), None)
        }
        (DelegationStatus::Queued, DelegationEvent::Denied { reason }) => {
            (DelegationStatus::Cancelled, Some(reason), None)
        }
        (DelegationStatus::Running, DelegationEvent::Ended(end)) => match end {
            TaskEnd::Completed { text } => (DelegationStatus::Completed, None, text),
            TaskEnd::Failed { reason, text } => (DelegationStatus::Failed, Some(reason), text),
            TaskEnd::Cancelled { reason } => (DelegationStatus::Cancelled, Some(reason), None),
        },
        (DelegationStatus::Queued, DelegationEvent::Ended(_))
        | (
            DelegationStatus::Running,
            DelegationEvent::Launched | DelegationEvent::Refused { .. } | DelegationEvent::Denied { .. },
        )
        | (DelegationStatus::Completed | DelegationStatus::Failed | DelegationStatus::Cancelled, _) => {
            return None;
        }
    };
    let cut = |text: Option<String>, max| text.map(|text| limits::cut(&text, max));
    Some(DelegationStep {
        status,
        reason: cut(reason, REASON_BYTES_MAX),
        result: cut(result, RESULT_BYTES_MAX),
    })
}

/// Where a delegation stands after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationStep {
    /// Where it stands.
    pub status: DelegationStatus,
    /// Why, when that is not plain.
    pub reason: Option<String>,
    /// What the child said last.
    pub result: Option<String>,
}

/// Says what is wrong with an agent's name.
pub fn agent_problem(name: &str) -> Option<String> {
    let is_good =
        !name.trim().is_empty() && name.len() <= AGENT_BYTES_MAX && !name.chars().any(char::is_control);
    (!is_good).then(|| format!("`agent` is a name of 1 to {AGENT_BYTES_MAX} bytes in one line"))
}

/// Gives what a parent's agent is told of delegations that have ended; `branch` is where a child's work stands.
pub fn message(ended: &[(&Delegation, Option<&str>)]) -> String {
    let told = ended.iter().map(|(delegation, branch)| words(delegation, *branch));
    told.collect::<Vec<_>>().join("\n\n")
}

fn words(delegation: &Delegation, branch: Option<&str>) -> String {
    let Delegation { id, agent, status, .. } = delegation;
    let mut text = format!("Your delegation {id} to the agent {agent} is {status}");
    if let Some(reason) = &delegation.reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text.push('.');
    if let Some(branch) = branch {
        text.push_str(&format!(" Its work is on the branch {branch}, in its own worktree."));
    }
    if let Some(result) = &delegation.result {
        text.push_str("\nIts last words were:\n");
        text.push_str(result);
    }
    printable(&text)
}

/// A terminal must not take what a child said for keys.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use DelegationStatus::{Cancelled, Completed, Failed, Queued, Running};
    use adjutant_model::id::Uuid;
    use adjutant_model::session::ModelTier;
    use adjutant_model::{DelegationId, SessionId, Timestamp};

    fn ended(end: TaskEnd) -> DelegationEvent {
        DelegationEvent::Ended(end)
    }

    fn why(reason: &str) -> String {
        reason.to_owned()
    }

    #[test]
    fn each_event_does_in_each_status_what_the_diagram_says_and_nothing_follows_an_end() {
        let completed = TaskEnd::Completed { text: Some(why("done")) };
        let failed = TaskEnd::Failed { reason: why("no"), text: None };
        let cancelled = TaskEnd::Cancelled { reason: why("stopped") };
        let events = [
            DelegationEvent::Launched,
            DelegationEvent::Refused { reason: why("crowded") },
            DelegationEvent::Denied { reason: why("denied") },
            ended(completed),
            ended(failed),
            ended(cancelled),
        ];
        for (before, after) in [
            (Queued, [Some(Running), Some(Failed), Some(Cancelled), None, None, None]),
            (Running, [None, None, None, Some(Completed), Some(Failed), Some(Cancelled)]),
            (Completed, [None; 6]),
            (Failed, [None; 6]),
            (Cancelled, [None; 6]),
        ] {
            for (event, after) in events.iter().zip(after) {
                let stepped = step(before, event.clone()).map(|step| step.status);
                assert_eq!(stepped, after, "{before} {event:?}");
            }
        }
    }

    #[test]
    fn what_a_child_said_is_bounded_and_told_without_control_characters() {
        let long = "x".repeat(RESULT_BYTES_MAX * 2);
        let kept = step(Running, ended(TaskEnd::Completed { text: Some(long) })).unwrap().result.unwrap();
        assert!(kept.len() <= RESULT_BYTES_MAX && kept.ends_with("[truncated]"));
        let id = Uuid::from_u128(7);
        let delegation = Delegation {
            id: DelegationId::new(id),
            session: SessionId::new(id),
            child: SessionId::new(id),
            agent: why("research"),
            profile: why("claude"),
            tier: ModelTier::Sonnet,
            model: None,
            git_ref: None,
            task: why("look"),
            status: Failed,
            reason: Some(why("it died")),
            result: Some(why("half\u{1b}[2J\nway\r")),
            approval_id: None,
            created_at: Timestamp::from_unix_ms(0),
            ended_at: None,
            told_at: None,
        };
        let text = message(&[(&delegation, Some("adjutant/x-1"))]);
        let expected = format!(
            "Your delegation {} to the agent research is failed: it died. Its work is on the branch adjutant/x-1, in \
             its own worktree.\nIts last words were:\nhalf[2J\nway",
            delegation.id
        );
        assert_eq!(text, expected);
    }
}
