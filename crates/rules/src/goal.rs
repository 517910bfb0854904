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
//! goes back to `pending`. Setting the state that a goal already has changes nothing and is no error; it says that a
//! person has seen the goal's alert. Whoever gives a goal up says why.
//!
//! A link goes from `launched` to `running` and `failed` by what its run or session tells itself, and is `verified` by
//! evidence alone. Once evidence has spoken, for it or against it, what the run or session tells changes it no more.
//!
//! A refusal changes nothing: every function takes the goal by reference and gives a new one.

mod depends;
mod gate;
pub mod pursuit;
mod refusal;
mod schedule;

pub use depends::{OtherGoal, Others, unfinished};
pub use gate::{GateRefusal, Tally, Trees, gate, stale};
pub use refusal::GoalRefusal;

use adjutant_model::event::Event;
use adjutant_model::goal::{
    Criterion, Evidence, EvidenceSource, Goal, GoalAlert, GoalAlertKind, GoalLink, GoalStatus, LinkState,
    Recheck,
};
use adjutant_model::session::SessionBudget;
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
    /// The goals that must be done before it.
    pub depends_on: Vec<GoalId>,
    /// What its pursuit may spend.
    pub budget: SessionBudget,
    /// Until when it is to be done.
    pub deadline: Option<Timestamp>,
    /// When its checks are run again by themselves, a cron expression in UTC.
    pub recheck: Option<String>,
}

/// What is to be different about a goal; what is not said stays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GoalChange {
    /// The intent.
    pub description: Option<String>,
    /// The project's repository.
    pub project: Option<String>,
    /// The goals that must be done before it.
    pub depends_on: Option<Vec<GoalId>>,
    /// What its pursuit may spend.
    pub budget: Option<SessionBudget>,
    /// Until when it is to be done; nothing inside takes the deadline away.
    pub deadline: Option<Option<Timestamp>>,
    /// When its checks are run again by themselves; nothing inside takes the schedule away.
    pub recheck: Option<Option<String>>,
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
    /// Takes what a linked session or run tells of itself.
    Follow {
        /// The session's or run's id.
        session_id: String,
        /// Where it stands by its own word; never verified.
        state: LinkState,
    },
    /// Records evidence for a criterion; a failed check re-opens a goal that was done.
    AddEvidence {
        /// Which criterion, from 0.
        criterion: usize,
        /// The evidence.
        evidence: Evidence,
    },
    /// Changes what is wanted.
    Change(GoalChange),
    /// Sets when the schedule is due next: its checks have been run.
    Rechecked,
    /// Tells a person that the deadline has passed, once for each deadline; nothing happens before that, to a goal that
    /// is not open, or while a pursuit has yet to stop.
    DeadlinePassed,
    /// Asks for a person's look.
    Alert {
        /// What it is about.
        what: GoalAlertKind,
        /// The same in words.
        text: String,
    },
    /// Takes what happened to its pursuit.
    Pursue(pursuit::PursuitEvent),
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

/// Makes a pending goal.
///
/// # Errors
/// [`GoalRefusal`] when a text is blank or too long, there are too many criteria, or a dependency or the schedule cannot
/// be.
pub fn create(new: NewGoal, others: &Others<'_>, now: Timestamp) -> Result<(Goal, Vec<Event>), GoalRefusal> {
    let description = words(new.description, "description")?;
    within(new.acceptance.len(), "criteria")?;
    let acceptance = new.acceptance.into_iter().map(criterion).collect::<Result<Vec<_>, _>>()?;
    let depends_on = depends::checked(&new.id, new.depends_on, others)?;
    let recheck = new.recheck.map(|cron| recheck(&acceptance, cron, now)).transpose()?;
    let event = Event::GoalCreated { description: description.clone(), criteria: acceptance.len() as u64 };
    let goal = Goal {
        id: new.id,
        description,
        status: GoalStatus::Pending,
        reason: None,
        acceptance,
        sessions: Vec::new(),
        progress: 0,
        project: new.project,
        depends_on,
        budget: new.budget,
        deadline: new.deadline,
        deadline_told: false,
        recheck,
        alert: None,
        pursuit: None,
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
pub fn step(
    goal: &Goal,
    command: GoalCommand,
    others: &Others<'_>,
    now: Timestamp,
) -> Result<(Goal, Vec<Event>), GoalRefusal> {
    let mut next = goal.clone();
    let events = match command {
        GoalCommand::Link { session_id, task } => link(&mut next, session_id, task)?,
        GoalCommand::SetLink { session_id, state, evidence } => {
            set_link(&mut next, LinkChange { session_id, state, evidence }, now)?
        }
        GoalCommand::Follow { session_id, state } => follow(&mut next, &session_id, state),
        GoalCommand::AddEvidence { criterion, evidence } => {
            add_evidence(&mut next, criterion, evidence, now)?
        }
        GoalCommand::Change(wanted) => change(&mut next, wanted, others, now)?,
        GoalCommand::Rechecked => rechecked(&mut next, now)?,
        GoalCommand::DeadlinePassed => deadline_passed(&mut next, now),
        GoalCommand::Alert { what, text } => alert(&mut next, GoalAlert { what, text, since: now }),
        GoalCommand::Pursue(event) => pursuit::pursue(&mut next, event, others, now)?,
        GoalCommand::Note { text } => note(&mut next, text)?,
        GoalCommand::SetStatus { to, reason, trees } => {
            let mut events = set_status(&mut next, StatusChange { to, reason, trees }, others)?;
            events.extend(pursuit::leave(&mut next, to, now));
            events
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

/// Gives `floor(100·verified/total)` of the links, or of the criteria while nothing is linked; 0 when there are none of
/// either: 100 means all.
pub fn progress(links: &[GoalLink], criteria: &[Criterion]) -> u8 {
    let (verified, total) = match links.len() {
        0 => {
            let proofs = criteria.iter().filter_map(|criterion| criterion.evidence.as_ref());
            (proofs.filter(|evidence| evidence.passed).count(), criteria.len())
        }
        total => (links.iter().filter(|link| link.state == LinkState::Verified).count(), total),
    };
    (100 * verified).checked_div(total).and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
}

fn progressed(goal: &mut Goal) {
    goal.progress = progress(&goal.sessions, &goal.acceptance);
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
    progressed(goal);
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

fn set_link(goal: &mut Goal, change: LinkChange, now: Timestamp) -> Result<Vec<Event>, GoalRefusal> {
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
    progressed(goal);
    let mut events = vec![Event::GoalLinkChanged { session_id: session_id.clone(), state }];
    if goal.status == GoalStatus::Done && state != LinkState::Verified {
        events.push(reopen(goal, format!("`{session_id}` is {}", state.as_str()), now));
    }
    Ok(events)
}

fn follow(goal: &mut Goal, session_id: &str, state: LinkState) -> Vec<Event> {
    let link = goal.sessions.iter_mut().find(|link| link.session_id == session_id);
    let Some(link) = link.filter(|link| link.evidence.is_none() && link.state != state) else {
        return Vec::new();
    };
    if !goal.status.is_open() || state == LinkState::Verified {
        return Vec::new();
    }
    link.state = state;
    progressed(goal);
    vec![Event::GoalLinkChanged { session_id: session_id.to_owned(), state }]
}

fn add_evidence(
    goal: &mut Goal,
    index: usize,
    evidence: Evidence,
    now: Timestamp,
) -> Result<Vec<Event>, GoalRefusal> {
    if goal.status == GoalStatus::Abandoned {
        return Err(GoalRefusal::Closed { status: goal.status });
    }
    require_named(&evidence)?;
    let count = goal.acceptance.len();
    let criterion =
        goal.acceptance.get_mut(index).ok_or(GoalRefusal::UnknownCriterion { criterion: index, count })?;
    if is_proved_otherwise(criterion, &evidence) {
        return note(goal, beside_check(index, &evidence));
    }
    let failed = !evidence.passed;
    let reason = format!("not met any more: {}", criterion.text);
    criterion.evidence = Some(evidence.clone());
    progressed(goal);
    let mut events = vec![Event::GoalEvidence { criterion: index as u64, evidence }];
    if failed && goal.status == GoalStatus::Done {
        events.push(reopen(goal, reason, now));
    }
    Ok(events)
}

/// Tells whether a criterion has what its own check said, which nothing else may take the place of.
fn is_proved_otherwise(criterion: &Criterion, evidence: &Evidence) -> bool {
    let is_check = |evidence: &Evidence| matches!(evidence.source, EvidenceSource::Check { .. });
    criterion.check.is_some() && criterion.evidence.as_ref().is_some_and(is_check) && !is_check(evidence)
}

/// Says what somebody else has found of a criterion that its check proves.
fn beside_check(index: usize, evidence: &Evidence) -> String {
    let by = match &evidence.source {
        EvidenceSource::SignOff { person } => format!("signed off by {person}"),
        EvidenceSource::Turn { run_id, index } => format!("turn {index} of {run_id}"),
        EvidenceSource::Check { command } => format!("`{command}`"),
    };
    let spoke = if evidence.passed { "passed" } else { "failed" };
    format!("criterion {index}, which its check proves, {by}: {spoke}: {}", evidence.detail)
}

fn change(
    goal: &mut Goal,
    wanted: GoalChange,
    others: &Others<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, GoalRefusal> {
    let GoalChange { description, project, depends_on, budget, deadline, recheck: schedule } = wanted;
    let is_schedule_alone = description.is_none()
        && project.is_none()
        && depends_on.is_none()
        && budget.is_none()
        && deadline.is_none();
    // A goal that is done keeps what it was proved by, but may be proved again from time to time.
    if !(is_schedule_alone && goal.status == GoalStatus::Done) {
        require_open(goal)?;
    }
    let mut what = Vec::new();
    if let Some(description) = description {
        goal.description = words(description, "description")?;
        what.push("description");
    }
    if let Some(project) = project {
        goal.project = Some(words(project, "project")?);
        what.push("project");
    }
    if let Some(depends_on) = depends_on {
        goal.depends_on = depends::checked(&goal.id, depends_on, others)?;
        what.push("depends_on");
    }
    if let Some(budget) = budget {
        goal.budget = budget;
        what.push("budget");
    }
    if let Some(deadline) = deadline {
        goal.deadline = deadline;
        goal.deadline_told = false;
        what.push("deadline");
    }
    if let Some(schedule) = schedule {
        goal.recheck = schedule.map(|cron| recheck(&goal.acceptance, cron, now)).transpose()?;
        what.push("recheck");
    }
    Ok(changed(&what))
}

fn changed(what: &[&str]) -> Vec<Event> {
    match what {
        [] => Vec::new(),
        what => vec![Event::GoalChanged { what: what.iter().map(|name| (*name).to_owned()).collect() }],
    }
}

fn recheck(acceptance: &[Criterion], cron: String, now: Timestamp) -> Result<Recheck, GoalRefusal> {
    if acceptance.iter().all(|criterion| criterion.check.is_none()) {
        return Err(GoalRefusal::NothingToRecheck);
    }
    let next_at = schedule::next(&cron, now)?;
    Ok(Recheck { cron, next_at })
}

fn rechecked(goal: &mut Goal, now: Timestamp) -> Result<Vec<Event>, GoalRefusal> {
    let Some(recheck) = &mut goal.recheck else { return Ok(Vec::new()) };
    recheck.next_at = schedule::next(&recheck.cron, now)?;
    Ok(changed(&["next_check"]))
}

fn alert(goal: &mut Goal, alert: GoalAlert) -> Vec<Event> {
    goal.alert = Some(alert);
    changed(&["alert"])
}

fn deadline_passed(goal: &mut Goal, now: Timestamp) -> Vec<Event> {
    let has_passed = goal.deadline.is_some_and(|deadline| deadline <= now);
    if !has_passed || goal.deadline_told || !goal.status.is_open() || goal.pursued().is_some() {
        return Vec::new();
    }
    goal.deadline_told = true;
    // A pursuit that it has stopped has said so already.
    if goal.alert.is_some() {
        return changed(&["deadline_told"]);
    }
    let text = "its deadline has passed, and it is not done".to_owned();
    alert(goal, GoalAlert { what: GoalAlertKind::Deadline, text, since: now })
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

fn set_status(goal: &mut Goal, change: StatusChange, others: &Others<'_>) -> Result<Vec<Event>, GoalRefusal> {
    let StatusChange { to, reason, trees } = change;
    let reason = reason.map(|reason| words(reason, "reason")).transpose()?;
    if goal.status == to {
        return Ok(goal.alert.take().map_or_else(Vec::new, |_seen| changed(&["alert"])));
    }
    if !can(goal.status, to) {
        return Err(GoalRefusal::Transition { from: goal.status, to });
    }
    match to {
        GoalStatus::Done => gate(goal, &trees, &unfinished(&goal.depends_on, others))?,
        GoalStatus::Abandoned if reason.is_none() => return Err(GoalRefusal::Blank { what: "reason" }),
        GoalStatus::Pending | GoalStatus::InProgress | GoalStatus::Blocked | GoalStatus::Abandoned => {}
    }
    goal.alert = None;
    Ok(vec![enter(goal, to, reason)])
}

fn enter(goal: &mut Goal, to: GoalStatus, reason: Option<String>) -> Event {
    let from = std::mem::replace(&mut goal.status, to);
    goal.reason.clone_from(&reason);
    Event::GoalStatusChanged { from, to, reason }
}

/// Takes a goal that was done up again, since what proved it does so no more.
fn reopen(goal: &mut Goal, reason: String, now: Timestamp) -> Event {
    goal.alert = Some(GoalAlert { what: GoalAlertKind::Reopened, text: reason.clone(), since: now });
    enter(goal, GoalStatus::InProgress, Some(reason))
}

fn require_open(goal: &Goal) -> Result<(), GoalRefusal> {
    match goal.status.is_open() {
        true => Ok(()),
        false => Err(GoalRefusal::Closed { status: goal.status }),
    }
}

fn require_named(evidence: &Evidence) -> Result<(), GoalRefusal> {
    match &evidence.source {
        EvidenceSource::SignOff { person } if person.trim().is_empty() => Err(GoalRefusal::AnonymousSignOff),
        EvidenceSource::SignOff { person } if person.contains('\0') || evidence.detail.contains('\0') => {
            Err(GoalRefusal::Unprintable { what: "sign-off" })
        }
        EvidenceSource::SignOff { .. } | EvidenceSource::Check { .. } | EvidenceSource::Turn { .. } => Ok(()),
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
    if text.contains('\0') {
        return Err(GoalRefusal::Unprintable { what });
    }
    Ok(text)
}

fn within(count: usize, what: &'static str) -> Result<(), GoalRefusal> {
    if count > ITEMS_MAX { Err(GoalRefusal::TooMany { what }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
