//! The life of a goal: an intent that is done only when evidence has proved it.
//!
//! ```text
//!             link                      gate
//! pending ───────────▶ inProgress ───────────────▶ done
//!    │ ▲                 │  ▲  ▲                     │
//!    │ └── (never)       ▼  │  └── re-open, or a ────┘
//!    │                blocked      check that fails
//!    │                   │
//!    └──────▶ abandoned ◀┴── from inProgress too
//!                 │
//!                 └── re-open ──▶ inProgress
//! ```
//!
//! `done` can be reached from `pending`, `inProgress` and `blocked`, and always through the [`gate`]. A goal that
//! is done or abandoned takes no new links; somebody who wants to go on re-opens it by setting `inProgress`. Nothing
//! goes back to `pending`. Setting the state that a goal already has changes nothing and is no error.
//!
//! A refusal changes nothing: every function takes the goal by reference and gives a new one.

mod gate;

pub use gate::{GateRefusal, Tally, Trees, gate};

use adjutant_model::event::Event;
use adjutant_model::goal::{Criterion, Evidence, EvidenceSource, Goal, GoalLink, GoalStatus, LinkState};
use adjutant_model::run::ErrorClass;
use adjutant_model::{GoalId, Timestamp};

/// The longest description, note, task or criterion, in bytes.
pub const TEXT_MAX: usize = 16 * 1024;
/// The most criteria, links and notes that a goal may have, each.
pub const ITEMS_MAX: usize = 1000;

/// What a new goal is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGoal {
    /// Its id.
    pub id: GoalId,
    /// The intent; must say something.
    pub description: String,
    /// What proves it.
    pub acceptance: Vec<CriterionSpec>,
    /// The project's repository.
    pub project: Option<String>,
}

/// A criterion as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CriterionSpec {
    /// For people; when it is blank the check's command line stands in.
    pub text: String,
    /// A command line that proves it.
    pub check: Option<String>,
}

/// What is to happen to a goal.
#[derive(Debug, Clone, PartialEq)]
pub enum GoalCommand {
    /// Links a session or run, each at most once; a pending goal is then in progress.
    Link {
        /// The session's or run's id.
        session_id: String,
        /// What it is to do.
        task: String,
    },
    /// Says where a link stands. `verified` needs passed evidence; any other state drops the evidence that was
    /// there, so that what has failed is proved anew.
    SetLink {
        /// The session's or run's id.
        session_id: String,
        /// Where it stands.
        state: LinkState,
        /// What shows it.
        evidence: Option<Evidence>,
    },
    /// Records evidence for a criterion; a failed check re-opens a goal that was done.
    AddEvidence {
        /// Which criterion, from 0.
        criterion: usize,
        /// The evidence.
        evidence: Evidence,
    },
    /// Leaves a note.
    Note {
        /// What is said.
        text: String,
    },
    /// Goes to another state; `done` only through the gate.
    SetStatus {
        /// The state.
        to: GoalStatus,
        /// Why.
        reason: Option<String>,
        /// What the workspaces hold now; only the gate reads it.
        trees: Trees,
    },
}

impl GoalCommand {
    /// Makes the command that closes a goal through the gate.
    pub fn close(trees: Trees) -> Self {
        GoalCommand::SetStatus { to: GoalStatus::Done, reason: None, trees }
    }
}

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
            | GoalRefusal::TooMany { .. }
            | GoalRefusal::DuplicateLink { .. }
            | GoalRefusal::EvidenceMissing
            | GoalRefusal::EvidenceFailed
            | GoalRefusal::AnonymousSignOff
            | GoalRefusal::Closed { .. }
            | GoalRefusal::Transition { .. }
            | GoalRefusal::Gate(_) => ErrorClass::User,
        }
    }
}

/// Makes a pending goal.
///
/// # Errors
/// [`GoalRefusal`] when a text is blank or too long, or when there are too many criteria.
pub fn create(new: NewGoal, now: Timestamp) -> Result<(Goal, Vec<Event>), GoalRefusal> {
    let description = words(new.description, "description")?;
    within(new.acceptance.len(), "criteria")?;
    let acceptance = new.acceptance.into_iter().map(criterion).collect::<Result<Vec<_>, _>>()?;
    let event = Event::GoalCreated { description: description.clone(), criteria: acceptance.len() as u64 };
    let goal = Goal {
        id: new.id,
        description,
        status: GoalStatus::Pending,
        acceptance,
        sessions: Vec::new(),
        progress: 0,
        project: new.project,
        notes: Vec::new(),
        created: now,
        updated: now,
    };
    Ok((goal, vec![event]))
}

/// Applies a command: gives the goal as it is then, and what the journal records.
///
/// # Errors
/// [`GoalRefusal`] when the command must not happen; the goal stays as it is.
pub fn step(goal: &Goal, command: GoalCommand, now: Timestamp) -> Result<(Goal, Vec<Event>), GoalRefusal> {
    let mut next = goal.clone();
    let events = match command {
        GoalCommand::Link { session_id, task } => link(&mut next, session_id, task)?,
        GoalCommand::SetLink { session_id, state, evidence } => {
            set_link(&mut next, LinkChange { session_id, state, evidence })?
        }
        GoalCommand::AddEvidence { criterion, evidence } => add_evidence(&mut next, criterion, evidence)?,
        GoalCommand::Note { text } => note(&mut next, text)?,
        GoalCommand::SetStatus { to, reason, trees } => {
            set_status(&mut next, StatusChange { to, reason, trees })?
        }
    };
    if !events.is_empty() {
        next.updated = now;
    }
    Ok((next, events))
}

/// Tells whether the table lets `to` follow `from`; `done` must pass the gate besides.
pub fn can(from: GoalStatus, to: GoalStatus) -> bool {
    use GoalStatus::{Abandoned, Blocked, Done, InProgress, Pending};
    let followers: &[GoalStatus] = match from {
        Pending => &[InProgress, Blocked, Done, Abandoned],
        InProgress => &[Blocked, Done, Abandoned],
        Blocked => &[InProgress, Done, Abandoned],
        Done | Abandoned => &[InProgress],
    };
    followers.contains(&to)
}

/// Gives `floor(100·verified/total)` of the links, 0 when there are none: 100 means all.
pub fn progress(links: &[GoalLink]) -> u8 {
    let verified = links.iter().filter(|link| link.state == LinkState::Verified).count();
    (100 * verified).checked_div(links.len()).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
}

fn link(goal: &mut Goal, session_id: String, task: String) -> Result<Vec<Event>, GoalRefusal> {
    require_open(goal)?;
    let session_id = words(session_id, "session id")?;
    if task.len() > TEXT_MAX {
        return Err(GoalRefusal::TooLong { what: "task" });
    }
    if goal.sessions.iter().any(|link| link.session_id == session_id) {
        return Err(GoalRefusal::DuplicateLink { session_id });
    }
    within(goal.sessions.len() + 1, "links")?;
    let mut events = vec![Event::GoalLinked { session_id: session_id.clone() }];
    goal.sessions.push(GoalLink { session_id, task, state: LinkState::Launched, evidence: None });
    goal.progress = progress(&goal.sessions);
    if goal.status == GoalStatus::Pending {
        events.push(enter(goal, GoalStatus::InProgress, None));
    }
    Ok(events)
}

struct LinkChange {
    session_id: String,
    state: LinkState,
    evidence: Option<Evidence>,
}

fn set_link(goal: &mut Goal, change: LinkChange) -> Result<Vec<Event>, GoalRefusal> {
    let LinkChange { session_id, state, evidence } = change;
    if goal.status == GoalStatus::Abandoned {
        return Err(GoalRefusal::Closed { status: goal.status });
    }
    if let Some(evidence) = &evidence {
        require_named(evidence)?;
    }
    let Some(link) = goal.sessions.iter_mut().find(|link| link.session_id == session_id) else {
        return Err(GoalRefusal::UnknownLink { session_id });
    };
    match state {
        LinkState::Verified => {
            let proof = evidence.or(link.evidence.take()).ok_or(GoalRefusal::EvidenceMissing)?;
            if !proof.passed {
                return Err(GoalRefusal::EvidenceFailed);
            }
            link.evidence = Some(proof);
        }
        LinkState::Launched | LinkState::Running | LinkState::Failed => link.evidence = evidence,
    }
    link.state = state;
    goal.progress = progress(&goal.sessions);
    let mut events = vec![Event::GoalLinkChanged { session_id: session_id.clone(), state }];
    if goal.status == GoalStatus::Done && state != LinkState::Verified {
        let reason = format!("`{session_id}` is {} again", link_word(state));
        events.push(enter(goal, GoalStatus::InProgress, Some(reason)));
    }
    Ok(events)
}

fn add_evidence(goal: &mut Goal, index: usize, evidence: Evidence) -> Result<Vec<Event>, GoalRefusal> {
    if goal.status == GoalStatus::Abandoned {
        return Err(GoalRefusal::Closed { status: goal.status });
    }
    require_named(&evidence)?;
    let count = goal.acceptance.len();
    let criterion =
        goal.acceptance.get_mut(index).ok_or(GoalRefusal::UnknownCriterion { criterion: index, count })?;
    let failed = !evidence.passed;
    let reason = format!("not met any more: {}", criterion.text);
    criterion.evidence = Some(evidence.clone());
    let mut events = vec![Event::GoalEvidence { criterion: index as u64, evidence }];
    if failed && goal.status == GoalStatus::Done {
        events.push(enter(goal, GoalStatus::InProgress, Some(reason)));
    }
    Ok(events)
}

fn note(goal: &mut Goal, text: String) -> Result<Vec<Event>, GoalRefusal> {
    let note = words(text, "note")?;
    within(goal.notes.len() + 1, "notes")?;
    goal.notes.push(note.clone());
    Ok(vec![Event::GoalNoted { note }])
}

struct StatusChange {
    to: GoalStatus,
    reason: Option<String>,
    trees: Trees,
}

fn set_status(goal: &mut Goal, change: StatusChange) -> Result<Vec<Event>, GoalRefusal> {
    let StatusChange { to, reason, trees } = change;
    if goal.status == to {
        return Ok(Vec::new());
    }
    if !can(goal.status, to) {
        return Err(GoalRefusal::Transition { from: goal.status, to });
    }
    if to == GoalStatus::Done {
        gate(goal, &trees)?;
    }
    Ok(vec![enter(goal, to, reason)])
}

fn enter(goal: &mut Goal, to: GoalStatus, reason: Option<String>) -> Event {
    let from = std::mem::replace(&mut goal.status, to);
    Event::GoalStatusChanged { from, to, reason }
}

fn require_open(goal: &Goal) -> Result<(), GoalRefusal> {
    match goal.status {
        GoalStatus::Pending | GoalStatus::InProgress | GoalStatus::Blocked => Ok(()),
        GoalStatus::Done | GoalStatus::Abandoned => Err(GoalRefusal::Closed { status: goal.status }),
    }
}

fn require_named(evidence: &Evidence) -> Result<(), GoalRefusal> {
    match &evidence.source {
        EvidenceSource::SignOff { person } if person.trim().is_empty() => Err(GoalRefusal::AnonymousSignOff),
        EvidenceSource::SignOff { .. } | EvidenceSource::Check { .. } => Ok(()),
    }
}

fn criterion(spec: CriterionSpec) -> Result<Criterion, GoalRefusal> {
    let check = spec.check.map(|check| words(check, "check")).transpose()?;
    let text = match &check {
        Some(check) if spec.text.trim().is_empty() => check.clone(),
        Some(_) | None => words(spec.text, "criterion")?,
    };
    Ok(Criterion { text, check, evidence: None })
}

fn words(text: String, what: &'static str) -> Result<String, GoalRefusal> {
    if text.trim().is_empty() {
        return Err(GoalRefusal::Blank { what });
    }
    if text.len() > TEXT_MAX {
        return Err(GoalRefusal::TooLong { what });
    }
    Ok(text)
}

fn within(count: usize, what: &'static str) -> Result<(), GoalRefusal> {
    if count > ITEMS_MAX { Err(GoalRefusal::TooMany { what }) } else { Ok(()) }
}

fn link_word(state: LinkState) -> &'static str {
    match state {
        LinkState::Launched => "launched",
        LinkState::Running => "running",
        LinkState::Verified => "verified",
        LinkState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests;
