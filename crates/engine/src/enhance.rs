//! The enhance loop: an issue improves a blueprint through verifiers.
//!
//! An issue is a row. The consumer takes the oldest one of each blueprint and starts a run for it, an epoch; the issue
//! is in flight by the write that makes the run exist, so no crash leaves one without the other, and of two that would
//! take it up one is refused. A run outlives the daemon: the next daemon finds the issue in flight and takes the outcome
//! of the same run. The version, the entry in the log and the issue's end are one write, which names the version that
//! the patch was based on.

mod consumer;
mod epoch;
mod orbit;

pub(crate) use consumer::round;

use crate::clock;
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use crate::record;
use crate::registry::{self, BlueprintBase, BlueprintWrite, VersionSelector};
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::issue::{EnhanceEntry, EnhanceSetting, Issue, IssueState, IssueStatus};
use adjutant_model::{IssueId, Timestamp, Value};
use adjutant_rules::enhance::setting::{self, SettingRefusal};
use adjutant_rules::enhance::{self, DEFAULT_AXES, DEFAULT_ORBIT, IssueCommand, NewIssue};
use adjutant_rules::redact::redact_value;
use adjutant_rules::source;
pub use adjutant_store::IssueFilter;
use adjutant_store::{Draft, Json, Write, WriteError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;

/// The name of the consumer among the periodic jobs.
pub(crate) const JOB: &str = "enhance";
/// So many issues may wait at once.
const PENDING_MAX: u64 = 10_000;
/// So many epochs run at once; of one blueprint never more than one.
const EPOCHS_MAX: usize = 8;

/// The built-in orbit.
static ORBIT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../blueprints/enhance-default.yaml");
    source::read(text).expect("the built-in blueprint is tested").value().clone()
});

/// Gives the built-in orbit: its id, and the document.
pub fn builtin_blueprint() -> (String, Value) {
    (DEFAULT_ORBIT.to_owned(), ORBIT.clone())
}

/// What the consumer and the epochs share; all of it is found again in the store.
#[derive(Debug)]
pub(crate) struct Enhance {
    /// The epochs that may begin.
    slots: Arc<Semaphore>,
    /// The issues whose run somebody waits for.
    followed: Mutex<HashSet<IssueId>>,
}

impl Default for Enhance {
    fn default() -> Self {
        Enhance { slots: Arc::new(Semaphore::new(EPOCHS_MAX)), followed: Mutex::default() }
    }
}

impl Enhance {
    fn followed(&self) -> MutexGuard<'_, HashSet<IssueId>> {
        // The set is whole after every single operation on it.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a new issue is made of, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueParams {
    /// The blueprint that is to change.
    pub blueprint_id: String,
    /// What is wanted.
    pub intent: String,
}

/// A setting, as people say it.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingParams {
    /// What is to be kept; its `blueprint_id` is the orbit's.
    pub setting: EnhanceSetting,
    /// An orbit to register first; it must have the id that the setting names.
    pub orbit: Option<OrbitParams>,
}

/// An orbit that comes with its setting.
#[derive(Debug, Clone, PartialEq)]
pub struct OrbitParams {
    /// What it says.
    pub document: Value,
    /// The head that it was based on; without one there must be none, or the same.
    pub base: Option<String>,
}

/// Gives the axes of a setting that names none.
pub fn default_axes() -> Vec<String> {
    DEFAULT_AXES.map(str::to_owned).to_vec()
}

/// Opens an issue.
pub(crate) async fn open(core: &Core, caller: &Caller, params: IssueParams) -> Result<Issue, EngineError> {
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    let intent = record::text(&params.intent);
    let new = NewIssue {
        id: IssueId::new(clock::fresh_id()),
        blueprint_id: params.blueprint_id,
        intent_hash: hex::encode(Sha256::digest(&intent)),
        intent,
        author: caller.actor(),
    };
    let now = clock::now();
    let (issue, events) =
        enhance::open(new, now).map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
    let head = registry::head(core, &issue.blueprint_id).await?;
    if head.archived_at.is_some() {
        return Err(EngineError::BlueprintArchived(head.id));
    }
    let pending = core.store.issue_count(IssueStatus::Pending).await?;
    if pending >= PENDING_MAX {
        return Err(EngineError::Crowded(format!("{pending} issues wait already, and no more are taken")));
    }
    let mut write = Write::default();
    write.issue_create(&issue);
    journal(&mut write, &issue, caller.actor(), events, now);
    core.store.write(write).await?;
    core.jobs.nudge(JOB);
    Ok(issue)
}

/// Gives an issue.
pub(crate) async fn get(core: &Core, id: &IssueId) -> Result<Issue, EngineError> {
    core.store.issue_get(id).await?.ok_or_else(|| EngineError::not_found("issue", id))
}

/// Takes an issue back; what runs for it is ended first.
pub(crate) async fn cancel(
    plane: &Plane,
    caller: &Caller,
    id: &IssueId,
    reason: &str,
) -> Result<Issue, EngineError> {
    let core = &plane.core;
    only_people(caller, "take an issue back")?;
    let told = match record::text(reason) {
        text if text.trim().is_empty() => format!("cancelled by {}", caller.actor()),
        text => format!("cancelled by {}: {text}", caller.actor()),
    };
    let mut changes = core.store.committed();
    loop {
        changes.mark_unchanged();
        let issue = get(core, id).await?;
        match (&issue.state, &issue.epoch) {
            (IssueState::Pending { .. }, _) => {
                let command = IssueCommand::Cancel { reason: told.clone() };
                match change(core, &issue, command, caller.actor(), |_, _| {}).await {
                    Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => {}
                    changed => return changed,
                }
            }
            (IssueState::InFlight, Some(epoch)) => {
                // When the run has just ended its outcome counts, and the issue is about to say so.
                match plane.run_cancel(caller, &epoch.run_id, reason).await {
                    Ok(_) | Err(EngineError::Conflict { .. }) => {}
                    // Its owner has left between two looks.
                    Err(EngineError::Stopping) if !core.stopping.is_cancelled() => {}
                    Err(error) => return Err(error),
                }
                tokio::select! {
                    () = core.stopping.cancelled() => return Err(EngineError::Stopping),
                    changed = changes.changed() => changed.map_err(|_| EngineError::Stopping)?,
                }
            }
            (IssueState::Cancelled { .. }, _) => return Ok(issue),
            (IssueState::InFlight | IssueState::Applied { .. } | IssueState::Rejected { .. }, _) => {
                let message = format!("{id} is {} already", issue.state.status());
                return Err(EngineError::Conflict { message, hint: None });
            }
        }
    }
}

/// Takes an issue one step on, with whatever else belongs to that.
async fn change(
    core: &Core,
    issue: &Issue,
    command: IssueCommand,
    actor: String,
    with: impl FnOnce(&mut Write, Timestamp),
) -> Result<Issue, EngineError> {
    let now = clock::now();
    let (next, write) = changing(issue, command, actor, now, with)?;
    if !write.is_empty() {
        core.store.write(write).await?;
    }
    Ok(next)
}

/// Makes the write that takes an issue one step on; empty when nothing changes.
fn changing(
    issue: &Issue,
    command: IssueCommand,
    actor: String,
    now: Timestamp,
    with: impl FnOnce(&mut Write, Timestamp),
) -> Result<(Issue, Write), EngineError> {
    let (next, events) = enhance::step(issue, command, now)
        .map_err(|refusal| EngineError::Conflict { message: refusal.to_string(), hint: None })?;
    let mut write = Write::default();
    if !events.is_empty() {
        write.issue_update(&next);
        journal(&mut write, &next, actor, events, now);
        with(&mut write, now);
    }
    Ok((next, write))
}

fn journal(write: &mut Write, issue: &Issue, actor: String, events: Vec<Event>, at: Timestamp) {
    for event in events {
        write.journal(Draft { at, actor: actor.clone().into(), subject: (&issue.id).into(), event });
    }
}

/// Gives a setting.
pub(crate) async fn setting(core: &Core, id: &str) -> Result<EnhanceSetting, EngineError> {
    core.store.enhance_setting_get(id).await?.ok_or_else(|| EngineError::not_found("enhance setting", id))
}

/// Keeps a setting, and its orbit with it when it brings one. Everything is looked at before anything is kept.
pub(crate) async fn setting_put(
    core: &Core,
    caller: &Caller,
    params: SettingParams,
) -> Result<EnhanceSetting, EngineError> {
    only_people(caller, "say how issues are handled")?;
    let SettingParams { setting, orbit } = params;
    setting::check(&setting).map_err(setting_refused)?;
    if setting.spawner.as_ref().is_some_and(|spawner| redact_value(spawner).is_some()) {
        return Err(EngineError::Invalid {
            message: "`spawner` holds what looks like a secret".to_owned(),
            hint: Some("let the program take it from its environment".to_owned()),
        });
    }
    let setting = EnhanceSetting { meta: record::without_secrets(&setting.meta), ..setting };
    let document = match &orbit {
        Some(orbit) => orbit.document.clone(),
        None => registry::resolve(core, &setting.blueprint_id, &setting.version).await?.1,
    };
    orbit::ready(&document, &setting)?;
    let now = clock::now();
    let mut write = Write::default();
    write.enhance_setting_put(&setting, now);
    let event = Event::EnhanceSettingPut { setting_id: setting.id.clone(), hash: setting_hash(&setting) };
    write.journal(Draft { at: now, actor: caller.actor().into(), subject: "plane".into(), event });
    match orbit {
        Some(OrbitParams { document, base }) => {
            let new = BlueprintWrite {
                id: setting.blueprint_id.clone(),
                document,
                base: base.map_or(BlueprintBase::CreateOnly, BlueprintBase::Version),
                rationale: format!("the orbit of the enhance setting {}", setting.id),
                label: None,
            };
            registry::write(core, &caller.actor(), new, Some(write)).await?;
        }
        None => drop(core.store.write(write).await?),
    }
    core.jobs.nudge(JOB);
    Ok(setting)
}

/// Removes a setting.
pub(crate) async fn setting_remove(core: &Core, caller: &Caller, id: &str) -> Result<(), EngineError> {
    only_people(caller, "say how issues are handled")?;
    let mut write = Write::default();
    write.enhance_setting_remove(id);
    let event = Event::EnhanceSettingRemoved { setting_id: id.chars().take(80).collect() };
    write.journal(Draft { at: clock::now(), actor: caller.actor().into(), subject: "plane".into(), event });
    match core.store.write(write).await {
        Ok(_) => {}
        Err(WriteError::RowsUnexpected { .. }) => return Err(EngineError::not_found("enhance setting", id)),
        Err(error) => return Err(error.into()),
    }
    core.jobs.nudge(JOB);
    Ok(())
}

fn setting_refused(refusal: SettingRefusal) -> EngineError {
    EngineError::Invalid { message: refusal.to_string(), hint: refusal.hint() }
}

fn setting_hash(setting: &EnhanceSetting) -> String {
    let version = match &setting.version {
        VersionSelector::Latest => Value::Null,
        VersionSelector::Fixed(version) => Value::object([("fixed", Value::from(version.as_str()))]),
        VersionSelector::SemverReq(req) => Value::object([("semver_req", Value::from(req.as_str()))]),
    };
    let said = Value::object([
        ("blueprint_id", Value::from(setting.blueprint_id.as_str())),
        ("version", version),
        ("ttl_secs", Value::from(setting.ttl_secs)),
        ("verifier_axes", Value::array(setting.verifier_axes.iter().map(|axis| Value::from(axis.as_str())))),
        ("spawner", setting.spawner.clone().unwrap_or_default()),
        ("meta", setting.meta.clone()),
    ]);
    Json::of(&said).sha256()
}

/// An agent may ask for a change; what judges it is not its to say.
fn only_people(caller: &Caller, what: &str) -> Result<(), EngineError> {
    match &caller.agent_id {
        Some(_) => Err(EngineError::Forbidden(format!("an agent's token may not {what}"))),
        None => Ok(()),
    }
}

/// Gives what was decided about an issue.
pub(crate) async fn entry(core: &Core, id: &IssueId) -> Result<EnhanceEntry, EngineError> {
    core.store
        .enhance_entry_get(id)
        .await?
        .ok_or_else(|| EngineError::not_found("log entry of the issue", id))
}
