//! The life of an issue: a blueprint is changed when verifiers, and perhaps a person, let it.
//!
//! ```text
//!               begin                 apply
//! pending ────────────────▶ in_flight ───────▶ applied
//!  │  │ ▲                    │  │  │
//!  │  │ └── somebody else ───┘  │  └─ cancel ─▶ cancelled
//!  │  │     changed the         │                 ▲
//!  │  │     blueprint           └─ reject ──┐     │
//!  │  └──── reject: no epoch can begin ─────┴─▶ rejected
//!  └─────── cancel ───────────────────────────────┘
//! ```
//!
//! An issue goes back to `pending` only when the blueprint was changed under it, and at most [`CONFLICTS_MAX`] times.
//! `applied`, `rejected` and `cancelled` are final. While an issue is pending it may say what it waits for; that is no
//! state of its own, because nothing but its turn has to come.
//!
//! A refusal changes nothing: every function takes the issue by reference and gives a new one.

pub mod commit;
pub mod patch;
pub mod setting;

use crate::limits;
use adjutant_model::event::Event;
use adjutant_model::issue::{EnhanceEntry, EnhanceOutcome, Epoch, Issue, IssueState, IssueStatus, Verdict};
use adjutant_model::run::{ErrorClass, FlowErrorCode, RunRecord, RunStatus};
use adjutant_model::{IssueId, Timestamp, Value};
use commit::{Applied, Decision};

/// The axes that the built-in flow verifies.
pub const AXES: [&str; 6] = ["des", "canonical", "noop", "agent-ref", "compiles", "approval"];
/// The axes of a setting that names none.
pub const DEFAULT_AXES: [&str; 5] = ["des", "canonical", "noop", "agent-ref", "compiles"];
/// The id of the built-in flow.
pub const DEFAULT_ORBIT: &str = "enhance-default";
/// The id of the setting that issues are handled by.
pub const DEFAULT_SETTING: &str = "default";
/// So many new epochs an issue gets when the blueprint was changed under it.
pub const CONFLICTS_MAX: u32 = 3;
/// The longest intent, in bytes.
pub const INTENT_BYTES_MAX: usize = 16 << 10;
/// So many verdicts and reasons of an epoch are kept.
const LIST_MAX: usize = 100;
/// The longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 8 << 10;

/// What a new issue is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssue {
    /// Its id.
    pub id: IssueId,
    /// The blueprint.
    pub blueprint_id: String,
    /// What is wanted; must say something.
    pub intent: String,
    /// SHA-256 of the intent, for the journal.
    pub intent_hash: String,
    /// Who opens it.
    pub author: String,
}

/// What is to happen to an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssueCommand {
    /// A run takes it up.
    Begin(Epoch),
    /// It waits for something, or for nothing but its turn.
    Wait {
        /// For what.
        waits_for: Option<String>,
    },
    /// The blueprint has got its new version.
    Apply {
        /// The version.
        new_version: String,
    },
    /// The blueprint stays as it is.
    Reject {
        /// Why.
        reason: String,
    },
    /// Somebody else has changed the blueprint since the epoch began; what the epoch gave is of no use.
    Conflict {
        /// The version that is the head now.
        head: String,
    },
    /// A person takes it back.
    Cancel {
        /// Who, and why.
        reason: String,
    },
}

/// Why a command on an issue was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueRefusal {
    /// It wants nothing.
    #[error("the intent is blank")]
    Blank,
    /// It wants too much.
    #[error("the intent is longer than {INTENT_BYTES_MAX} bytes")]
    TooLong,
    /// The table has no such transition.
    #[error("an issue that is {from} cannot become {to}")]
    Transition {
        /// Where it stands.
        from: IssueStatus,
        /// Where it was to go.
        to: IssueStatus,
    },
}

impl IssueRefusal {
    /// Says what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            IssueRefusal::Blank | IssueRefusal::TooLong | IssueRefusal::Transition { .. } => ErrorClass::User,
        }
    }
}

/// Makes a pending issue.
///
/// # Errors
/// [`IssueRefusal`] when the intent is blank or too long.
pub fn open(new: NewIssue, now: Timestamp) -> Result<(Issue, Vec<Event>), IssueRefusal> {
    let NewIssue { id, blueprint_id, intent, intent_hash, author } = new;
    if intent.trim().is_empty() {
        return Err(IssueRefusal::Blank);
    }
    if intent.len() > INTENT_BYTES_MAX {
        return Err(IssueRefusal::TooLong);
    }
    let event = Event::IssueOpened { blueprint_id: blueprint_id.clone(), intent_hash };
    let issue = Issue {
        id,
        blueprint_id,
        intent,
        state: IssueState::Pending { waits_for: None },
        epoch: None,
        conflicts: 0,
        revision: 1,
        author,
        created_at: now,
        updated_at: now,
    };
    Ok((issue, vec![event]))
}

/// Tells whether `to` may follow `from`.
pub fn can(from: IssueStatus, to: IssueStatus) -> bool {
    use IssueStatus::{Applied, Cancelled, InFlight, Pending, Rejected};
    let followers: &[IssueStatus] = match from {
        Pending => &[InFlight, Rejected, Cancelled],
        InFlight => &[Pending, Applied, Rejected, Cancelled],
        Applied | Rejected | Cancelled => &[],
    };
    followers.contains(&to)
}

/// Applies a command: gives the issue as it is then, and what the journal records; no event means that nothing changes.
///
/// # Errors
/// [`IssueRefusal`] when the command must not happen; the issue stays as it is.
pub fn step(
    issue: &Issue,
    command: IssueCommand,
    now: Timestamp,
) -> Result<(Issue, Vec<Event>), IssueRefusal> {
    let mut next = issue.clone();
    let state = match command {
        IssueCommand::Wait { waits_for } => return wait(issue, waits_for, now),
        IssueCommand::Begin(epoch) => {
            next.epoch = Some(epoch);
            IssueState::InFlight
        }
        IssueCommand::Apply { new_version } => IssueState::Applied { new_version },
        IssueCommand::Reject { reason } => IssueState::Rejected { reason: cut(&reason) },
        IssueCommand::Cancel { reason } => IssueState::Cancelled { reason: cut(&reason) },
        IssueCommand::Conflict { head } => {
            next.conflicts = next.conflicts.saturating_add(1);
            after_conflict(next.conflicts, &head)
        }
    };
    let (from, to) = (issue.state.status(), state.status());
    if !can(from, to) {
        return Err(IssueRefusal::Transition { from, to });
    }
    let event = Event::IssueStatusChanged {
        from,
        to,
        run_id: next.epoch.as_ref().map(|epoch| epoch.run_id.clone()),
        new_version: state.new_version().map(str::to_owned),
        reason: state.reason().map(str::to_owned),
    };
    Ok((changed(Issue { state, ..next }, now), vec![event]))
}

fn after_conflict(conflicts: u32, head: &str) -> IssueState {
    if conflicts > CONFLICTS_MAX {
        let reason = format!(
            "the blueprint was changed by somebody else during each of {conflicts} epochs; nothing was overwritten, \
             its head is {head}"
        );
        return IssueState::Rejected { reason };
    }
    let waits_for = format!(
        "a new epoch: the blueprint was changed by somebody else to {head}, and nothing was overwritten \
         ({conflicts} of {CONFLICTS_MAX})"
    );
    IssueState::Pending { waits_for: Some(waits_for) }
}

fn wait(
    issue: &Issue,
    waits_for: Option<String>,
    now: Timestamp,
) -> Result<(Issue, Vec<Event>), IssueRefusal> {
    let IssueState::Pending { waits_for: before } = &issue.state else {
        let from = issue.state.status();
        return Err(IssueRefusal::Transition { from, to: IssueStatus::Pending });
    };
    let waits_for = waits_for.as_deref().map(cut);
    if *before == waits_for {
        return Ok((issue.clone(), Vec::new()));
    }
    let state = IssueState::Pending { waits_for: waits_for.clone() };
    Ok((changed(Issue { state, ..issue.clone() }, now), vec![Event::IssueWaits { waits_for }]))
}

fn changed(issue: Issue, now: Timestamp) -> Issue {
    Issue { revision: issue.revision + 1, updated_at: now, ..issue }
}

/// What an epoch came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Conclusion {
    /// The blueprint is to get this version.
    Apply(Applied),
    /// It stays as it is.
    Reject(Rejection),
    /// A person has cancelled the run.
    Cancel,
}

/// Why a blueprint stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whether it was decided, or came to no decision.
    pub outcome: EnhanceOutcome,
    /// Why, at least one.
    pub reasons: Vec<String>,
    /// Why the change was proposed.
    pub rationale: String,
    /// What each axis said.
    pub verdicts: Vec<Verdict>,
}

impl Rejection {
    /// Makes the rejection of an issue whose epoch came to no decision.
    pub fn fault(reason: impl Into<String>) -> Self {
        let reasons = vec![reason.into()];
        let (rationale, verdicts) = (String::new(), Vec::new());
        Rejection { outcome: EnhanceOutcome::Faulted, reasons, rationale, verdicts }
    }

    /// Gives the reasons in one text.
    pub fn reason(&self) -> String {
        let reasons = self.reasons.join("; ");
        match self.outcome {
            EnhanceOutcome::Rejected => format!("verifier deny: {reasons}"),
            EnhanceOutcome::Applied | EnhanceOutcome::Faulted => reasons,
        }
    }
}

/// Gives what follows from the end of an epoch's run; `hash` gives a document's version.
pub fn conclude(
    issue: &Issue,
    epoch: &Epoch,
    run: &RunRecord,
    hash: impl FnOnce(&Value) -> String,
) -> Conclusion {
    match run.status {
        RunStatus::Done => decided(issue, run.result.as_ref().unwrap_or(&Value::Null), hash),
        RunStatus::Cancelled => Conclusion::Cancel,
        RunStatus::Failed
        | RunStatus::Pending
        | RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::Interrupted
        | RunStatus::Incomplete => Conclusion::Reject(Rejection::fault(failed(epoch, run))),
    }
}

fn decided(issue: &Issue, final_ctx: &Value, hash: impl FnOnce(&Value) -> String) -> Conclusion {
    let decision = commit::read(final_ctx).and_then(|decision| {
        if let Decision::Applied(applied) = &decision {
            applied.check(&issue.blueprint_id, &hash(&applied.new_bp))?;
        }
        Ok(decision)
    });
    match decision {
        Ok(Decision::Applied(applied)) => Conclusion::Apply(applied),
        Ok(Decision::Rejected { reasons, rationale, verdicts }) => {
            let outcome = EnhanceOutcome::Rejected;
            Conclusion::Reject(Rejection { outcome, reasons, rationale, verdicts })
        }
        Err(shape) => Conclusion::Reject(Rejection::fault(shape.to_string())),
    }
}

/// Makes the entry of an issue that was rejected; an endless list of verdicts or reasons is cut.
pub fn rejected_entry(issue: &Issue, rejection: &Rejection, now: Timestamp) -> EnhanceEntry {
    let Rejection { outcome, reasons, rationale, verdicts } = rejection;
    let reasons = reasons.iter().take(LIST_MAX).map(|reason| cut(reason)).collect();
    entry(issue, (*outcome, verdicts, rationale), now, |entry| EnhanceEntry { reasons, ..entry })
}

/// Makes the entry of an issue that was applied.
pub fn applied_entry(issue: &Issue, applied: &Applied, now: Timestamp) -> EnhanceEntry {
    let decided = (EnhanceOutcome::Applied, &applied.verdicts, &applied.rationale);
    let new_hash = applied.new_version.clone();
    entry(issue, decided, now, |entry| EnhanceEntry { new_hash, ..entry })
}

fn entry(
    issue: &Issue,
    (outcome, verdicts, rationale): (EnhanceOutcome, &Vec<Verdict>, &String),
    at: Timestamp,
    complete: impl FnOnce(EnhanceEntry) -> EnhanceEntry,
) -> EnhanceEntry {
    let epoch = issue.epoch.as_ref();
    let kept = |verdict: &Verdict| Verdict { detail: cut(&verdict.detail), ..verdict.clone() };
    complete(EnhanceEntry {
        issue_id: issue.id.clone(),
        blueprint_id: issue.blueprint_id.clone(),
        run_id: epoch.map(|epoch| epoch.run_id.clone()),
        prev_hash: epoch.map(|epoch| epoch.base_version.clone()).unwrap_or_default(),
        new_hash: String::new(),
        intent: issue.intent.clone(),
        rationale: cut(rationale),
        verdicts: verdicts.iter().take(LIST_MAX).map(kept).collect(),
        outcome,
        reasons: Vec::new(),
        at,
    })
}

fn failed(epoch: &Epoch, run: &RunRecord) -> String {
    match &run.error {
        Some(error) if error.code == FlowErrorCode::TtlExpired => format!(
            "the epoch exceeded the {}s ceiling (`ttl_secs` of the enhance setting `{}`); its work was ended and \
             nothing was committed",
            epoch.ttl_secs, epoch.setting_id
        ),
        Some(error) => format!("dispatch failed: {error}"),
        None => format!("dispatch failed: the run {} is {}", run.id, run.status),
    }
}

fn cut(text: &str) -> String {
    limits::cut(text, REASON_BYTES_MAX)
}

#[cfg(test)]
mod tests;
