//! What clients of the family call the state of a session, in their two vocabularies.
//!
//! | state | and its agent | status |
//! | --- | --- | --- |
//! | provisioning | | `Starting` |
//! | active | waits for a permission or an answer | `AwaitingApproval` |
//! | active | waits for its quota, or is left alone | `Paused` |
//! | active | anything else | `Active` |
//! | stopped, errored, decommissioned | | `Stopped` |
//!
//! A discovered agent is named by what it does, and `Stopped` when it is over. An attached client that has shown its token is `Active`, and `Detached` before that.

use adjutant_model::Timestamp;
use adjutant_model::session::{Activity, DriverKind, Session, SessionPhase, SessionState, WaitingFor};

/// What a session is called beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusNames {
    /// `Starting`, `Active`, `AwaitingApproval`, `Detached`, `Paused` or `Stopped`.
    pub status: &'static str,
    /// `Tmux`, `Pty` or `Sdk`.
    pub control: &'static str,
    /// `tmux` or `native`.
    pub origin: &'static str,
}

/// Names a session that Adjutant hosts.
pub fn of_managed(session: &Session) -> StatusNames {
    let (control, origin) = match session.driver {
        DriverKind::Tmux => ("Tmux", "tmux"),
        DriverKind::Pty => ("Pty", "native"),
        DriverKind::Acp | DriverKind::Headless => ("Sdk", "native"),
    };
    let status = match session.state {
        SessionState::Provisioning => "Starting",
        SessionState::Active if session.phase == SessionPhase::Parked => "Paused",
        SessionState::Active => active(session.activity.activity),
        SessionState::Stopped | SessionState::Errored | SessionState::Decommissioned => "Stopped",
    };
    StatusNames { status, control, origin }
}

fn active(activity: Activity) -> &'static str {
    match activity {
        Activity::Waiting(WaitingFor::Permission | WaitingFor::Question) => "AwaitingApproval",
        Activity::Waiting(WaitingFor::Quota) => "Paused",
        Activity::Working | Activity::Idle | Activity::Unknown => "Active",
    }
}

/// Names an outside client by when it has shown its token last.
pub fn of_attached(last_seen_at: Option<Timestamp>) -> StatusNames {
    let status = if last_seen_at.is_some() { "Active" } else { "Detached" };
    StatusNames { status, control: "Sdk", origin: "native" }
}

/// Names an agent that somebody else has started by what it does, unless it is over.
pub fn of_discovered(activity: Option<Activity>) -> StatusNames {
    StatusNames { status: activity.map_or("Stopped", active), control: "Sdk", origin: "native" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::SessionId;
    use adjutant_model::id::Uuid;
    use adjutant_model::session::{NewSession, SessionSource};

    #[test]
    fn each_state_has_a_name_in_both_vocabularies() {
        use Activity::{Idle, Unknown, Waiting, Working};
        let new = NewSession {
            id: SessionId::new(Uuid::nil()),
            name: "x".to_owned(),
            agent: "claude".to_owned(),
            driver: DriverKind::Tmux,
            source: SessionSource::Directory { path: "/x".to_owned() },
            task: "look".to_owned(),
        };
        let mut session = Session::new(new, Timestamp::from_unix_ms(0));
        for (state, phase, activity, status) in [
            (SessionState::Provisioning, SessionPhase::Launching, Unknown, "Starting"),
            (SessionState::Active, SessionPhase::Running, Working, "Active"),
            (SessionState::Active, SessionPhase::Running, Idle, "Active"),
            (SessionState::Active, SessionPhase::Running, Unknown, "Active"),
            (SessionState::Active, SessionPhase::Running, Waiting(WaitingFor::Question), "AwaitingApproval"),
            (
                SessionState::Active,
                SessionPhase::Running,
                Waiting(WaitingFor::Permission),
                "AwaitingApproval",
            ),
            (SessionState::Active, SessionPhase::Running, Waiting(WaitingFor::Quota), "Paused"),
            (SessionState::Active, SessionPhase::Parked, Idle, "Paused"),
            (SessionState::Stopped, SessionPhase::Resting, Working, "Stopped"),
            (SessionState::Errored, SessionPhase::Parked, Working, "Stopped"),
            (SessionState::Decommissioned, SessionPhase::Resting, Working, "Stopped"),
        ] {
            (session.state, session.phase, session.activity.activity) = (state, phase, activity);
            assert_eq!(of_managed(&session).status, status, "{state:?} {phase:?} {activity:?}");
        }
        for (driver, names) in [
            (DriverKind::Tmux, ("Tmux", "tmux")),
            (DriverKind::Pty, ("Pty", "native")),
            (DriverKind::Acp, ("Sdk", "native")),
            (DriverKind::Headless, ("Sdk", "native")),
        ] {
            session.driver = driver;
            let StatusNames { control, origin, .. } = of_managed(&session);
            assert_eq!((control, origin), names);
        }
        let shown = Some(Timestamp::from_unix_ms(0));
        assert_eq!((of_attached(shown).status, of_attached(None).status), ("Active", "Detached"));
    }
}
