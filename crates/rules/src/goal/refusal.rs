//! Why a command on a goal was refused.

use super::{GateRefusal, ITEMS_MAX, TEXT_MAX};
use adjutant_model::GoalId;
use adjutant_model::goal::GoalStatus;
use adjutant_model::run::ErrorClass;

/// Why a command on a goal was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoalRefusal {
    /// A text says nothing.
    #[error("the {what} is blank")]
    Blank {
        /// Which text.
        what: &'static str,
    },
    /// A text is too long.
    #[error("the {what} is longer than {TEXT_MAX} bytes")]
    TooLong {
        /// Which text.
        what: &'static str,
    },
    /// A text has what no program takes.
    #[error("the {what} has a NUL character")]
    Unprintable {
        /// Which text.
        what: &'static str,
    },
    /// There are too many of something.
    #[error("a goal has at most {ITEMS_MAX} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// The session or run is linked already.
    #[error("`{session_id}` is linked to this goal already")]
    DuplicateLink {
        /// Which.
        session_id: String,
    },
    /// The session or run is not linked.
    #[error("`{session_id}` is not linked to this goal")]
    UnknownLink {
        /// Which.
        session_id: String,
    },
    /// There is no such criterion.
    #[error("there is no criterion {criterion}; the goal has {count}")]
    UnknownCriterion {
        /// Which, from 0.
        criterion: usize,
        /// How many there are.
        count: usize,
    },
    /// A link cannot be verified without proof.
    #[error("`verified` needs evidence: a check that passed or a named person's sign-off")]
    EvidenceMissing,
    /// A link cannot be verified by evidence that speaks against it.
    #[error("the evidence did not pass, so it verifies nothing")]
    EvidenceFailed,
    /// A sign-off names nobody.
    #[error("a sign-off needs the name of a person")]
    AnonymousSignOff,
    /// The schedule cannot be read, or never comes.
    #[error("the schedule `{cron}` cannot be used: {why}")]
    Schedule {
        /// The expression.
        cron: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no check to run again.
    #[error("the goal has no check that a schedule could run again")]
    NothingToRecheck,
    /// A dependency is no goal.
    #[error("there is no goal {goal_id} to depend on")]
    UnknownDependency {
        /// Which.
        goal_id: GoalId,
    },
    /// The goal would wait for itself.
    #[error("goals cannot wait for each other: {}", .path.iter().map(GoalId::as_str).collect::<Vec<_>>().join(" → "))]
    Cycle {
        /// From the goal over its dependencies back to it.
        path: Vec<GoalId>,
    },
    /// The goal is done or abandoned.
    #[error("the goal is {}; set it to inProgress to go on with it", .status.as_str())]
    Closed {
        /// Where it stands.
        status: GoalStatus,
    },
    /// The table has no such transition.
    #[error("a goal that is {} cannot become {}", .from.as_str(), .to.as_str())]
    Transition {
        /// Where it stands.
        from: GoalStatus,
        /// Where it was to go.
        to: GoalStatus,
    },
    /// It is pursued already.
    #[error("the goal is pursued already; its pursuit can be stopped")]
    Pursued,
    /// It is not pursued.
    #[error("the goal is not pursued")]
    NotPursued,
    /// Its deadline has passed.
    #[error("the deadline of the goal has passed; a later one lets it be pursued")]
    DeadlineOver,
    /// Others must be done before.
    #[error("the goal waits for others: {}", .goals.iter().map(GoalId::as_str).collect::<Vec<_>>().join(", "))]
    Waits {
        /// Which.
        goals: Vec<GoalId>,
    },
    /// The gate keeps it open.
    #[error(transparent)]
    Gate(#[from] GateRefusal),
}

impl GoalRefusal {
    /// Says what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            GoalRefusal::UnknownLink { .. } | GoalRefusal::UnknownCriterion { .. } => ErrorClass::Gone,
            GoalRefusal::Blank { .. }
            | GoalRefusal::TooLong { .. }
            | GoalRefusal::Unprintable { .. }
            | GoalRefusal::TooMany { .. }
            | GoalRefusal::DuplicateLink { .. }
            | GoalRefusal::EvidenceMissing
            | GoalRefusal::EvidenceFailed
            | GoalRefusal::AnonymousSignOff
            | GoalRefusal::Schedule { .. }
            | GoalRefusal::NothingToRecheck
            | GoalRefusal::UnknownDependency { .. }
            | GoalRefusal::Cycle { .. }
            | GoalRefusal::Closed { .. }
            | GoalRefusal::Pursued
            | GoalRefusal::NotPursued
            | GoalRefusal::DeadlineOver
            | GoalRefusal::Waits { .. }
            | GoalRefusal::Transition { .. }
            | GoalRefusal::Gate(_) => ErrorClass::User,
        }
    }

    /// Tells whether what was said cannot be, however the goal stands.
    pub fn is_malformed(&self) -> bool {
        match self {
            GoalRefusal::Blank { .. }
            | GoalRefusal::TooLong { .. }
            | GoalRefusal::Unprintable { .. }
            | GoalRefusal::AnonymousSignOff
            | GoalRefusal::Schedule { .. } => true,
            GoalRefusal::TooMany { .. }
            | GoalRefusal::DuplicateLink { .. }
            | GoalRefusal::UnknownLink { .. }
            | GoalRefusal::UnknownCriterion { .. }
            | GoalRefusal::EvidenceMissing
            | GoalRefusal::EvidenceFailed
            | GoalRefusal::NothingToRecheck
            | GoalRefusal::UnknownDependency { .. }
            | GoalRefusal::Cycle { .. }
            | GoalRefusal::Closed { .. }
            | GoalRefusal::Pursued
            | GoalRefusal::NotPursued
            | GoalRefusal::DeadlineOver
            | GoalRefusal::Waits { .. }
            | GoalRefusal::Transition { .. }
            | GoalRefusal::Gate(_) => false,
        }
    }
}
