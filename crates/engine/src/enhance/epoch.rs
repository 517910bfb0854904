//! An epoch: one run for one issue, from its beginning to what follows from its end.

use super::orbit::Orbit;
use super::{JOB, change, changing};
use crate::approvals::Face;
use crate::clock;
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use crate::record;
use crate::registry::{self, BlueprintBase, BlueprintDocument, BlueprintWrite};
use crate::runs::STORE_RETRY;
use crate::tasks::{self, BlueprintRef, TaskParams};
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::issue::{EnhanceEntry, EnhanceOutcome, Epoch, Issue, IssueState};
use adjutant_model::run::{ErrorClass, RunRecord, RunStatus};
use adjutant_model::{RunId, Timestamp, Value};
use adjutant_rules::blueprint;
use adjutant_rules::enhance::commit::Applied;
use adjutant_rules::enhance::{self, Conclusion, IssueCommand, Rejection};
use adjutant_rules::redact::redact_value;
use adjutant_rules::source;
use adjutant_store::{Draft, Json, Write, WriteError};
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

/// Who starts epochs, and writes what they give.
const ACTOR: &str = "enhance";
/// How many rows of a run's journal are read at once.
const PAGE: usize = 1000;

/// What came of taking up an issue.
pub(super) enum Begun {
    /// Its run is durable.
    Run(Box<Issue>),
    /// It can never begin, and says why.
    Rejected,
    /// It cannot begin now.
    Waits(String),
    /// Somebody else has changed it.
    Gone,
}

/// Starts the run of an issue's epoch; the issue is in flight by the write that makes the run exist.
///
/// # Errors
/// [`EngineError`] for what may be otherwise in a moment; what never will be ends the issue.
pub(super) async fn begin(core: &Arc<Core>, issue: &Issue, orbit: &Orbit) -> Result<Begun, EngineError> {
    match try_begin(core, issue, orbit).await {
        Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => Ok(Begun::Gone),
        Err(error) => match error.class() {
            ErrorClass::Retry => Err(error),
            ErrorClass::User | ErrorClass::Gone | ErrorClass::Bug => {
                reject(core, issue, format!("dispatch failed: {error}")).await
            }
        },
        begun => begun,
    }
}

async fn try_begin(core: &Arc<Core>, issue: &Issue, orbit: &Orbit) -> Result<Begun, EngineError> {
    let target = registry::head(core, &issue.blueprint_id).await?;
    if target.archived_at.is_some() {
        let unarchive = format!("`adjutant blueprint unarchive {}`", target.id);
        return Ok(Begun::Waits(format!("the blueprint, which is archived: {unarchive}")));
    }
    if redact_value(&target.document).is_some() {
        // A run would see it without the secret, and would commit it so.
        let reason = "the blueprint holds what looks like a secret, which no run is shown; let the program take it \
                      from its environment";
        return reject(core, issue, reason.to_owned()).await;
    }
    let now = clock::now();
    let mut begun = Begun::Gone;
    tasks::start_with(core, (&caller(), Face::Person), params(issue, orbit, &target, now), |run| {
        let epoch = Epoch {
            run_id: run.id.clone(),
            base_version: target.version.clone(),
            setting_id: orbit.setting.id.clone(),
            ttl_secs: orbit.setting.ttl_secs,
            started_at: now,
        };
        let (next, write) = changing(issue, IssueCommand::Begin(epoch), ACTOR.to_owned(), now, |_, _| {})?;
        begun = Begun::Run(Box::new(next));
        Ok(write)
    })
    .await?;
    Ok(begun)
}

fn params(issue: &Issue, orbit: &Orbit, target: &BlueprintDocument, now: Timestamp) -> TaskParams {
    let text = |text: &str| Value::from(text);
    let told = Value::object([
        ("issue_id", text(issue.id.as_str())),
        ("blueprint_id", text(&issue.blueprint_id)),
        ("intent", text(&issue.intent)),
    ]);
    let epoch = Value::object([
        ("blueprint_id", text(&issue.blueprint_id)),
        ("start_version", text(&target.version)),
        ("started_at_ms", Value::from(now.unix_ms())),
    ]);
    let verifiers = orbit.setting.verifier_axes.iter().map(|axis| text(axis));
    let init_ctx = Value::object([
        ("issue", told),
        ("prev_bp", target.document.clone()),
        ("prev_bp_yaml", Value::from(source::to_yaml(&target.document))),
        ("prev_hash", text(&target.version)),
        ("epoch_id", epoch),
        ("verifiers", Value::array(verifiers)),
    ]);
    TaskParams {
        blueprint: BlueprintRef::Inline(orbit.document.clone()),
        init_ctx,
        project_root: None,
        work_dir: None,
        ttl_secs: Some(orbit.setting.ttl_secs),
        goal: Some(format!("issue {} on {}", issue.id, issue.blueprint_id)),
        goal_id: None,
        agent: None,
        rest: Value::object([("issue_id", text(issue.id.as_str()))]),
    }
}

fn caller() -> Caller {
    Caller { agent_id: Some(ACTOR.into()), ..crate::identity::unauthenticated_owner() }
}

/// Waits for the end of an issue's run, apart from the consumer, and does what follows; the slot is free then.
pub(super) fn follow(core: &Arc<Core>, issue: &Issue, slot: Option<OwnedSemaphorePermit>) {
    let (core, issue) = (core.clone(), issue.clone());
    core.enhance.followed().insert(issue.id.clone());
    let tasks = core.tasks.clone();
    tasks.spawn(async move {
        let (working, id) = (core.clone(), issue.id.clone());
        if tokio::spawn(async move { to_its_end(&working, &issue).await }).await.is_err() {
            tracing::error!(issue = %id, "the end of an epoch met a defect; it is taken up again");
        }
        core.enhance.followed().remove(&id);
        drop(slot);
        core.jobs.nudge(JOB);
    });
}

async fn to_its_end(core: &Arc<Core>, issue: &Issue) {
    let Some(epoch) = &issue.epoch else { return };
    loop {
        let ended = match run_ended(core, &epoch.run_id).await {
            Ok(run) => conclude(core, issue, epoch, &run).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => return,
            // Somebody else has ended the issue.
            Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => return,
            Err(EngineError::Stopping) if core.stopping.is_cancelled() => return,
            Err(error) => {
                tracing::warn!(issue = %issue.id, %error, "the end of the epoch is taken again in a moment");
            }
        }
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = sleep(STORE_RETRY) => {}
        }
    }
}

async fn run_ended(core: &Arc<Core>, run_id: &RunId) -> Result<RunRecord, EngineError> {
    Plane { core: core.clone() }.run_ended(run_id).await.map(|run| RunRecord::clone(&run))
}

/// Does what follows from the end of a run.
async fn conclude(core: &Core, issue: &Issue, epoch: &Epoch, run: &RunRecord) -> Result<(), EngineError> {
    match enhance::conclude(issue, epoch, run, blueprint::hash) {
        Conclusion::Apply(applied) => commit(core, issue, epoch, applied).await,
        Conclusion::Reject(rejection) => finish_rejected(core, issue, &rejection).await,
        Conclusion::Cancel => {
            let reason = cancel_reason(core, &run.id).await?;
            let command = IssueCommand::Cancel { reason: format!("its run was cancelled: {reason}") };
            change(core, issue, command, ACTOR.to_owned(), |_, _| {}).await.map(drop)
        }
    }
}

/// Writes the version; it, the entry and the issue's end are kept together or not at all.
async fn commit(core: &Core, issue: &Issue, epoch: &Epoch, applied: Applied) -> Result<(), EngineError> {
    let now = clock::now();
    let command = IssueCommand::Apply { new_version: applied.new_version.clone() };
    let entry = enhance::applied_entry(issue, &applied, now);
    let (_, extra) = changing(issue, command, ACTOR.to_owned(), now, |write, at| enter(write, &entry, at))?;
    let write = BlueprintWrite {
        id: issue.blueprint_id.clone(),
        document: applied.new_bp.clone(),
        base: BlueprintBase::Version(epoch.base_version.clone()),
        rationale: entry.rationale.clone(),
        label: None,
    };
    let denied = match registry::write(core, &format!("{ACTOR}:{}", issue.id), write, Some(extra)).await {
        Ok(_) => return Ok(()),
        Err(EngineError::BlueprintConflict { head, .. }) => {
            return conflict(core, issue, head.unwrap_or_default(), &applied).await;
        }
        Err(EngineError::Blueprint { lints }) => {
            lints.iter().map(|lint| format!("compiles: {lint}")).collect()
        }
        Err(error) if matches!(error.class(), ErrorClass::User) => {
            let rejection = Rejection::fault(format!("the version could not be written: {error}"));
            return finish_rejected(core, issue, &rejection).await;
        }
        Err(error) => return Err(error),
    };
    let Applied { rationale, verdicts, .. } = applied;
    let rejection = Rejection { outcome: EnhanceOutcome::Rejected, reasons: denied, rationale, verdicts };
    finish_rejected(core, issue, &rejection).await
}

/// Gives the issue a new epoch, or none any more, because somebody else has changed the blueprint.
async fn conflict(core: &Core, issue: &Issue, head: String, applied: &Applied) -> Result<(), EngineError> {
    let now = clock::now();
    let (next, mut write) =
        changing(issue, IssueCommand::Conflict { head }, ACTOR.to_owned(), now, |_, _| {})?;
    if let IssueState::Rejected { reason } = &next.state {
        let rejection = Rejection {
            rationale: applied.rationale.clone(),
            verdicts: applied.verdicts.clone(),
            ..Rejection::fault(reason.clone())
        };
        enter(&mut write, &enhance::rejected_entry(issue, &rejection, now), now);
    }
    core.store.write(write).await?;
    Ok(())
}

async fn finish_rejected(core: &Core, issue: &Issue, rejection: &Rejection) -> Result<(), EngineError> {
    let command = IssueCommand::Reject { reason: record::text(&rejection.reason()) };
    let with =
        |write: &mut Write, at: Timestamp| enter(write, &enhance::rejected_entry(issue, rejection, at), at);
    change(core, issue, command, ACTOR.to_owned(), with).await.map(drop)
}

/// Ends an issue that no epoch can begin for.
async fn reject(core: &Core, issue: &Issue, reason: String) -> Result<Begun, EngineError> {
    match finish_rejected(core, issue, &Rejection::fault(reason)).await {
        Ok(()) => Ok(Begun::Rejected),
        Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => Ok(Begun::Gone),
        Err(error) => Err(error),
    }
}

/// Adds an entry to the log, and says so in the journal.
fn enter(write: &mut Write, entry: &EnhanceEntry, at: Timestamp) {
    write.enhance_entry_add(entry);
    let event = Event::IssueDecided {
        outcome: entry.outcome,
        prev_hash: entry.prev_hash.clone(),
        entry_hash: entry_hash(entry),
    };
    let subject = (&entry.issue_id).into();
    write.journal(Draft { at, actor: ACTOR.into(), subject, event });
}

fn entry_hash(entry: &EnhanceEntry) -> String {
    let texts = |texts: &[String]| Value::array(texts.iter().map(|text| Value::from(text.as_str())));
    let verdicts = entry.verdicts.iter().map(|verdict| {
        texts(&[verdict.axis.clone(), verdict.status.as_str().to_owned(), verdict.detail.clone()])
    });
    let said = Value::object([
        ("outcome", Value::from(entry.outcome.as_str())),
        ("prev_hash", Value::from(entry.prev_hash.as_str())),
        ("new_hash", Value::from(entry.new_hash.as_str())),
        ("rationale", Value::from(entry.rationale.as_str())),
        ("verdicts", Value::array(verdicts)),
        ("reasons", texts(&entry.reasons)),
    ]);
    Json::of(&said).sha256()
}

/// Finds who has cancelled a run, and why.
async fn cancel_reason(core: &Core, run_id: &RunId) -> Result<String, EngineError> {
    let (mut after, mut found) = (0, None);
    loop {
        let rows = core.store.journal_of(run_id.as_str(), after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(found.unwrap_or_else(|| "nobody said why".to_owned()));
        };
        after = last.seq;
        for row in rows {
            if let Event::RunStatusChanged { to: RunStatus::Cancelled, reason, .. } = row.event {
                found = reason.or(found);
            }
        }
    }
}
