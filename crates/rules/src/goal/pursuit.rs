//! The pursuit of a goal: a session works, the checks are run on what it made, what failed is told to it, and so on.
//!
//! ```text
//!  begin        launched          turn over            failed, attempts left
//!    ──▶ Launching ───▶ Working ───────────▶ Checking ───────────────────────▶ Telling
//!           ▲  │        ▲    │                 │                               │   │
//!           │  │        └────│─────────────────│──────────── told ─────────────┘   │
//!           └──│─────────────│─────────────────│──────────── lost ─────────────────┘
//!              │             │                 │ reached, or failed for the last time
//!              └──── stop ───┴──▶ Ending ◀─────┴──── stop ──── (Telling too)
//!                                   │ rested
//!                                   ▼
//!                                 Ended
//! ```
//!
//! Each state is durable before what it stands for is done, and doing that again is harmless: a session is made under the
//! id that stands here, checks say the same again, and what an agent is told carries the number of the attempt. An event
//! that does not belong to the state changes nothing: it tells of a step that was done before. An agent that was started
//! again since it was told, and is idle, is told again: `Working` goes back to `Telling` in the same attempt.

use super::{GoalRefusal, Others, changed, enter, note, progressed, unfinished};
use adjutant_model::event::Event;
use adjutant_model::goal::{
    Criterion, Evidence, Goal, GoalAlert, GoalAlertKind, GoalLink, GoalStatus, LinkState, Pursuit,
    PursuitEnd, PursuitState,
};
use adjutant_model::session::{DriverKind, SessionBudget};
use adjutant_model::{SessionId, Timestamp};

/// An agent is told so often at most when nothing is said.
pub const ATTEMPTS: u32 = 3;
/// Nobody may ask for more attempts.
pub const ATTEMPTS_MAX: u32 = 20;
/// So many failures are told to an agent at once.
const FAILURES_MAX: usize = 20;
/// So much of what a check said is told, in bytes.
const FAILURE_BYTES_MAX: usize = 4 << 10;
const MS_PER_MINUTE: u64 = 60_000;

/// How a goal is to be pursued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPursuit {
    /// Who wants it.
    pub by: String,
    /// The profile of its agents.
    pub agent: String,
    /// How they are hosted.
    pub driver: Option<DriverKind>,
    /// Their model.
    pub model: Option<String>,
    /// How often an agent is told at most.
    pub attempts_max: u32,
    /// The first session, which is yet to be made.
    pub session: SessionId,
}

/// What happened to a pursuit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PursuitEvent {
    /// Somebody wants it.
    Begun(NewPursuit),
    /// Its session is there, and its agent is told its task.
    Launched,
    /// The agent has ended its turn, or is gone.
    TurnOver,
    /// The checks say that the goal is not reached.
    Failed {
        /// What failed, in words.
        failures: Vec<String>,
        /// How many turns the agent has ended.
        turns: u64,
    },
    /// The agent was told.
    Told {
        /// How often it had been started by then.
        launches: u32,
    },
    /// The agent was started again since it was told, and sits there idle: what it was told ended with its last start.
    Forgot {
        /// How many turns it has ended.
        turns: u64,
    },
    /// The agent cannot be told any more: another one takes over.
    Lost {
        /// Why.
        reason: String,
        /// Its session, which is yet to be made.
        session: SessionId,
        /// The branch of the one before.
        git_ref: Option<String>,
    },
    /// The goal is done.
    Reached,
    /// It is given up.
    Stopped {
        /// Why.
        reason: String,
        /// Whether somebody wanted that, who needs not be told.
        is_wanted: bool,
    },
    /// Its session is stopped.
    Rested,
}

/// What the sessions of a goal used together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// US dollars.
    pub cost_usd: f64,
    /// Tokens.
    pub tokens: u64,
    /// For how long their agents were there, in milliseconds.
    pub active_ms: u64,
}

/// Gives what is left of a budget.
///
/// # Errors
/// What is spent, in words, when nothing is left.
pub fn remaining(budget: &SessionBudget, spent: Spent) -> Result<SessionBudget, String> {
    if let Some(max) = budget.max_cost_usd.filter(|max| spent.cost_usd >= *max) {
        return Err(format!("{:.4} of {max:.4} US dollars", spent.cost_usd));
    }
    if let Some(max) = budget.max_tokens.filter(|max| spent.tokens >= *max) {
        return Err(format!("{} of {max} tokens", spent.tokens));
    }
    let spent_minutes = spent.active_ms / MS_PER_MINUTE;
    if let Some(max) = budget.max_minutes.filter(|max| spent_minutes >= *max) {
        return Err(format!("{spent_minutes} of {max} minutes"));
    }
    Ok(SessionBudget {
        max_cost_usd: budget.max_cost_usd.map(|max| max - spent.cost_usd),
        max_tokens: budget.max_tokens.map(|max| max - spent.tokens),
        max_minutes: budget.max_minutes.map(|max| max - spent_minutes),
    })
}

/// Gives what an agent is told first: the goal in its owner's own words, and what is not proved yet.
pub fn prompt(goal: &Goal, failures: &[String]) -> String {
    let mut text = format!("Work towards this goal ({}):\n\n{}\n", goal.id, goal.description);
    let open: Vec<&Criterion> = goal.acceptance.iter().filter(|criterion| !is_proved(criterion)).collect();
    if !open.is_empty() {
        text.push_str("\nIt is reached when all of this holds:\n");
        open.iter().for_each(|criterion| text.push_str(&line(criterion)));
    }
    if !failures.is_empty() {
        text.push_str("\nWhat was tried before has not reached it:\n");
        failures.iter().for_each(|failure| text.push_str(&format!("- {failure}\n")));
    }
    text.push_str(
        "\nWork in the present directory, which is a git worktree of your own. When you end your turn, Adjutant runs the \
         checks itself on what is there.",
    );
    text
}

/// Gives what an agent is told when its work has not reached the goal.
/// Before anything has failed that is what it was told first.
pub fn feedback(goal: &Goal, pursuit: &Pursuit, failures: &[String]) -> String {
    if failures.is_empty() {
        return prompt(goal, failures);
    }
    let Pursuit { attempt, attempts_max, .. } = pursuit;
    let mut text = format!(
        "Attempt {attempt} of {attempts_max}: the goal ({}) is not reached yet:\n\n{}\n\nAdjutant ran the checks on your \
         work:\n",
        goal.id, goal.description
    );
    failures.iter().for_each(|failure| text.push_str(&format!("- {failure}\n")));
    text.push_str("\nMend that, and end your turn; the checks are run again.");
    text
}

fn is_proved(criterion: &Criterion) -> bool {
    criterion.evidence.as_ref().is_some_and(|evidence| evidence.passed)
}

fn line(criterion: &Criterion) -> String {
    match &criterion.check {
        Some(check) if *check == criterion.text => format!("- `{check}` succeeds\n"),
        Some(check) => format!("- {} (`{check}` succeeds)\n", criterion.text),
        None => format!("- {}\n", criterion.text),
    }
}

/// Gives what failed of a goal's checks, in words for its agent.
pub fn failures(goal: &Goal) -> Vec<String> {
    failures_of(&goal.acceptance)
}

fn failures_of(acceptance: &[Criterion]) -> Vec<String> {
    let failed = |criterion: &Criterion| {
        let Evidence { detail, .. } = criterion.evidence.as_ref().filter(|evidence| !evidence.passed)?;
        let detail = crate::limits::cut(detail, FAILURE_BYTES_MAX);
        Some(format!("{}: {detail}", line(criterion).trim_start_matches("- ").trim_end()))
    };
    acceptance.iter().filter_map(failed).take(FAILURES_MAX).collect()
}

/// Applies an event to the pursuit of a goal.
pub(super) fn pursue(
    goal: &mut Goal,
    event: PursuitEvent,
    others: &Others<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, GoalRefusal> {
    if let PursuitEvent::Begun(new) = event {
        return begin(goal, new, others, now);
    }
    let Some(pursuit) = &mut goal.pursuit else { return Ok(Vec::new()) };
    let (state, said) = match (&pursuit.state, event) {
        (PursuitState::Launching { .. }, PursuitEvent::Launched) => {
            let said = format!(
                "attempt {} of {}: {} works",
                pursuit.attempt,
                pursuit.attempts_max,
                pursuit.session()
            );
            (PursuitState::Working { turns: 0, launches: 1 }, Some(said))
        }
        (PursuitState::Working { .. }, PursuitEvent::Forgot { turns }) => {
            let said = format!(
                "attempt {} of {}: {} was started again, and is told again",
                pursuit.attempt,
                pursuit.attempts_max,
                pursuit.session()
            );
            let failures = if pursuit.attempt > 1 { failures_of(&goal.acceptance) } else { Vec::new() };
            (PursuitState::Telling { turns, failures }, Some(said))
        }
        (PursuitState::Working { .. }, PursuitEvent::TurnOver) => (PursuitState::Checking, None),
        (PursuitState::Checking, PursuitEvent::Failed { failures, turns }) => {
            let said = format!(
                "attempt {} of {} has not reached it; what fails: {}",
                pursuit.attempt,
                pursuit.attempts_max,
                failures.join("; ")
            );
            if pursuit.attempt >= pursuit.attempts_max {
                let reason = format!("not reached in {} attempts", pursuit.attempts_max);
                let mut events = noted(goal, &said);
                events.extend(stop(goal, reason, Telling::Person, now));
                return Ok(events);
            }
            pursuit.attempt += 1;
            (PursuitState::Telling { turns, failures }, Some(said))
        }
        (PursuitState::Telling { turns, .. }, PursuitEvent::Told { launches }) => {
            let said = format!(
                "attempt {} of {}: {} was told what failed",
                pursuit.attempt,
                pursuit.attempts_max,
                pursuit.session()
            );
            (PursuitState::Working { turns: *turns, launches }, Some(said))
        }
        (PursuitState::Telling { failures, .. }, PursuitEvent::Lost { reason, session, git_ref }) => {
            let (failures, lost) = (failures.clone(), pursuit.session());
            pursuit.sessions.push(session);
            // The one that takes over goes on with its work, and is what has to be proved.
            goal.sessions.retain(|link| link.session_id != lost.to_string());
            progressed(goal);
            let said = format!("{lost} cannot go on ({reason}), so {session} takes over");
            (PursuitState::Launching { failures, git_ref }, Some(said))
        }
        (PursuitState::Checking, PursuitEvent::Reached) => {
            let said = format!("reached in attempt {} of {}", pursuit.attempt, pursuit.attempts_max);
            (PursuitState::Ending { end: PursuitEnd::Reached }, Some(said))
        }
        (PursuitState::Ending { end }, PursuitEvent::Rested) => {
            (PursuitState::Ended { end: end.clone() }, None)
        }
        (
            PursuitState::Launching { .. }
            | PursuitState::Working { .. }
            | PursuitState::Checking
            | PursuitState::Telling { .. },
            PursuitEvent::Stopped { reason, is_wanted },
        ) => {
            let telling = if is_wanted { Telling::Nobody } else { Telling::Person };
            return Ok(stop(goal, reason, telling, now));
        }
        _ => return Ok(Vec::new()),
    };
    if let Some(pursuit) = &mut goal.pursuit {
        pursuit.state = state;
    }
    let mut events = changed(&["pursuit"]);
    events.extend(said.into_iter().flat_map(|said| noted(goal, &said)));
    Ok(events)
}

fn begin(
    goal: &mut Goal,
    new: NewPursuit,
    others: &Others<'_>,
    now: Timestamp,
) -> Result<Vec<Event>, GoalRefusal> {
    super::require_open(goal)?;
    if goal.pursued().is_some() {
        return Err(GoalRefusal::Pursued);
    }
    let waits_for = unfinished(&goal.depends_on, others);
    if !waits_for.is_empty() {
        return Err(GoalRefusal::Waits { goals: waits_for });
    }
    if goal.deadline.is_some_and(|deadline| deadline <= now) {
        return Err(GoalRefusal::DeadlineOver);
    }
    let NewPursuit { by, agent, driver, model, attempts_max, session } = new;
    let mut sessions = goal.pursuit.take().map(|before| before.sessions).unwrap_or_default();
    // What sessions of an earlier pursuit have left undone is no work that has to be proved any more.
    let is_left = |link: &GoalLink| {
        link.state != LinkState::Verified && sessions.iter().any(|id| id.to_string() == link.session_id)
    };
    goal.sessions.retain(|link| !is_left(link));
    progressed(goal);
    sessions.push(session);
    goal.pursuit = Some(Pursuit {
        by,
        agent,
        driver,
        model,
        attempts_max,
        attempt: 1,
        sessions,
        state: PursuitState::Launching { failures: Vec::new(), git_ref: None },
        started_at: now,
    });
    goal.alert = None;
    let mut events = changed(&["pursuit"]);
    if goal.status != GoalStatus::InProgress {
        events.push(enter(goal, GoalStatus::InProgress, Some("it is pursued".to_owned())));
    }
    Ok(events)
}

/// Gives a pursuit up since the goal itself has gone elsewhere.
pub(super) fn leave(goal: &mut Goal, to: GoalStatus, now: Timestamp) -> Vec<Event> {
    let is_under_way = goal.pursuit.as_ref().is_some_and(|pursuit| pursuit.end().is_none());
    // Its own pursuit closes a goal as well, and says so itself.
    match is_under_way && to != GoalStatus::InProgress && to != GoalStatus::Done {
        true => stop(goal, format!("the goal was set to {}", to.as_str()), Telling::Nobody, now),
        false => Vec::new(),
    }
}

/// Who is told that a pursuit was given up.
#[derive(Debug, Clone, Copy)]
enum Telling {
    Person,
    Nobody,
}

fn stop(goal: &mut Goal, reason: String, telling: Telling, now: Timestamp) -> Vec<Event> {
    let Some(pursuit) = &mut goal.pursuit else { return Vec::new() };
    pursuit.state = PursuitState::Ending { end: PursuitEnd::Stopped { reason: reason.clone() } };
    let text = format!("its pursuit has stopped: {reason}");
    goal.reason = Some(crate::limits::cut(&text, FAILURE_BYTES_MAX));
    let mut events = changed(&["pursuit"]);
    events.extend(noted(goal, &text));
    if let Telling::Person = telling {
        goal.alert = Some(GoalAlert { what: GoalAlertKind::PursuitStopped, text, since: now });
    }
    events
}

/// Notes what happened; a goal that has no room for notes goes on without.
fn noted(goal: &mut Goal, text: &str) -> Vec<Event> {
    note(goal, crate::limits::cut(text, FAILURE_BYTES_MAX)).unwrap_or_default()
}
