//! Handoffs: another agent goes on with a session's work, in a session of its own from the first one's branch.
//!
//! The row comes first, with the brief and the successor's id, so making the successor again finds it; whoever finds an
//! open handoff at the daemon's start does that. What was not committed is kept as a snapshot, and then the successor
//! begins from that. The first session stays as it is, unless it is to be stopped before.

use crate::approvals;
use crate::clock;
use crate::error::EngineError;
use crate::hosting::{self, HostParams};
use crate::identity;
use crate::memory;
use crate::plane::{Core, Plane};
use crate::record;
use crate::runs::STORE_RETRY;
use crate::workspaces;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::handoff::Handoff;
use adjutant_model::memory::Fact;
use adjutant_model::run::{ErrorClass, WorkspaceRecord};
use adjutant_model::session::{Desired, DriverKind, ModelTier, Session, SessionSource};
use adjutant_model::{HandoffId, Holder, SessionId, Value};
use adjutant_rules::handoff::{self, BriefParts};
use adjutant_rules::session::SessionCommand;
use adjutant_sessions::worktree::{self, WorkSummary};
use adjutant_store::{Draft, FactFilter, Write, WriteError};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// What a person says to the successor is at most so long, in bytes.
const NOTE_BYTES_MAX: usize = 4 << 10;
/// The longest key of a request, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// So long the first session's agent has to end when it is to be stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// So many facts are told.
const FACTS_MAX: usize = 40;
/// So many of the last hooks are looked through.
const HOOKS_MAX: usize = 400;
/// The tag of facts that are told before others.
const DECISION: &str = "decision";

/// The handoffs that come to their end in this daemon.
#[derive(Debug)]
pub(crate) struct Handoffs {
    /// One at a time.
    ends: Semaphore,
}

impl Default for Handoffs {
    fn default() -> Self {
        Handoffs { ends: Semaphore::new(1) }
    }
}

/// A request for a handoff.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandoffParams {
    /// The profile of the agent that goes on.
    pub agent: String,
    /// How it is hosted; the profile's first driver that can be used here when nothing is said.
    pub driver: Option<DriverKind>,
    /// How capable its model is wanted.
    pub tier: Option<ModelTier>,
    /// Its model; over the tier.
    pub model: Option<String>,
    /// What is said to it besides.
    pub note: Option<String>,
    /// By what a repeated request is known: it finds the handoff that the first one made.
    pub key: Option<String>,
    /// Whether the first session's agent is stopped before.
    pub stops: bool,
}

impl Plane {
    /// Hands a session's work over to another agent.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Invalid`], [`EngineError::Conflict`] when the key stands for another
    /// request or there is no workspace yet, [`EngineError::Workspace`], [`EngineError::Crowded`].
    pub async fn handoff(
        &self,
        caller: &Caller,
        session: SessionId,
        params: HandoffParams,
    ) -> Result<Handoff, EngineError> {
        let core = &self.core;
        check(core, &params)?;
        let handoff = match keyed(core, session, &params).await? {
            Some(found) => found,
            None => begin(core, caller, (session, params)).await?,
        };
        // Whoever has begun it may have gone, or may be at it: its end is the same.
        end(core, caller, handoff).await
    }
}

/// Ends every handoff that an earlier daemon has begun.
pub(crate) async fn resume_open(core: &Arc<Core>) -> Result<(), EngineError> {
    for handoff in core.store.handoffs_open().await? {
        let (apart, stopping) = (core.clone(), core.stopping.clone());
        core.tasks.spawn(async move {
            tokio::select! {
                // The next daemon does it.
                () = stopping.cancelled() => {}
                () = go_on(&apart, handoff) => {}
            }
        });
    }
    Ok(())
}

async fn go_on(core: &Arc<Core>, handoff: Handoff) {
    let caller = identity::unauthenticated_owner();
    loop {
        let Err(error) = end(core, &caller, handoff.clone()).await else { return };
        if error.class() != ErrorClass::Retry || matches!(error, EngineError::Crowded(_)) {
            return tracing::error!(handoff = %handoff.id, %error, "a handoff has failed");
        }
        tracing::warn!(handoff = %handoff.id, %error, "a handoff is tried again");
        tokio::time::sleep(STORE_RETRY).await;
    }
}

fn check(core: &Arc<Core>, params: &HandoffParams) -> Result<(), EngineError> {
    hosting::driver_check(core, &params.agent, params.driver)?;
    hosting::model_check(params.model.as_deref())?;
    let too_long = |name: &str, text: &Option<String>, max: usize| {
        text.as_ref().filter(|text| text.len() > max).map(|_| format!("`{name}` has at most {max} bytes"))
    };
    let wrong = too_long("note", &params.note, NOTE_BYTES_MAX)
        .or_else(|| too_long("key", &params.key, KEY_BYTES_MAX))
        .or_else(|| (params.key.as_deref() == Some("")).then(|| "`key` says something".to_owned()));
    wrong.map_or(Ok(()), |wrong| Err(EngineError::invalid(wrong)))
}

/// Finds what the same request has made before.
async fn keyed(
    core: &Core,
    session: SessionId,
    params: &HandoffParams,
) -> Result<Option<Handoff>, EngineError> {
    let Some(key) = &params.key else { return Ok(None) };
    let Some(found) = core.store.handoff_keyed(session, key).await? else { return Ok(None) };
    let HandoffParams { agent, driver, tier, model, .. } = params;
    let same = (&found.agent, &found.driver, &found.tier, &found.model) == (agent, driver, tier, model);
    match same {
        true => Ok(Some(found)),
        false => Err(EngineError::Conflict {
            message: format!("the key stands for {}, which was asked for otherwise", found.id),
            hint: Some("say another `key`".to_owned()),
        }),
    }
}

/// Makes a handoff durable, with its brief.
async fn begin(
    core: &Arc<Core>,
    caller: &Caller,
    (id, params): (SessionId, HandoffParams),
) -> Result<Handoff, EngineError> {
    let mut session = hosting::get(core, id).await?;
    if params.stops && session.desired == Desired::Running {
        session = hosting::command(core, id, SessionCommand::Stop, STOP_PATIENCE).await?;
    }
    let place = place(core, &session).await?;
    let note = params.note.as_deref().map(record::text);
    let brief = record::text(&write(core, &session, (note.as_deref(), &place)).await?);
    let handoff = Handoff {
        id: HandoffId::new(clock::fresh_id()),
        session: id,
        successor: SessionId::new(clock::fresh_id()),
        agent: params.agent,
        driver: params.driver,
        tier: params.tier,
        model: params.model,
        key: params.key,
        git_ref: place.git_ref,
        brief: adjutant_rules::limits::cut(&brief, handoff::BRIEF_BYTES_MAX),
        actor: caller.actor(),
        created_at: clock::now(),
        ended_at: None,
        error: None,
    };
    let mut write = Write::default();
    write.handoff_create(&handoff);
    let event = Event::HandoffBegun {
        handoff_id: handoff.id.clone(),
        successor: handoff.successor,
        agent: handoff.agent.clone(),
        brief_hash: format!("{:x}", Sha256::digest(&handoff.brief)),
    };
    let subject = id.to_string().into();
    write.journal(Draft { at: handoff.created_at, actor: caller.actor().into(), subject, event });
    match core.store.write(write).await {
        Ok(_) => Ok(handoff),
        // The same request came twice at once, and the other was quicker.
        Err(WriteError::Constraint(_)) => {
            let key = handoff.key.as_deref().unwrap_or_default();
            let found = core.store.handoff_keyed(id, key).await?;
            found.ok_or(EngineError::Defect("a handoff could not be kept"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the successor, or finds it, and keeps how that went; of a handoff that has ended it gives that.
async fn end(core: &Arc<Core>, caller: &Caller, handoff: Handoff) -> Result<Handoff, EngineError> {
    // Who asks again and who goes on after a restart may both be here: what the first comes to is the end for all.
    let _one = core.handoffs.ends.acquire().await.map_err(|_| EngineError::Stopping)?;
    let handoff = core.store.handoff_get(&handoff.id).await?.unwrap_or(handoff);
    if handoff.ended_at.is_some() {
        return outcome(handoff);
    }
    let made = async {
        let params = successor(core, &handoff).await?;
        hosting::create(core, caller, params).await
    };
    let refused = match made.await {
        Ok(_) => None,
        // The store may take it later.
        Err(error @ (EngineError::Write(_) | EngineError::Read(_) | EngineError::Stopping)) => {
            return Err(error);
        }
        Err(error) => Some(error),
    };
    let error = refused.as_ref().map(|error| record::progress(&error.to_string()));
    let ended = Handoff { ended_at: Some(clock::now()), error: error.clone(), ..handoff };
    let mut write = Write::default();
    write.handoff_end(&ended);
    let event = Event::HandoffEnded { handoff_id: ended.id.clone(), successor: ended.successor, error };
    let (at, subject) = (clock::now(), ended.session.to_string().into());
    write.journal(Draft { at, actor: "plane".into(), subject, event });
    core.store.write(write).await?;
    refused.map_or(Ok(ended), Err)
}

/// Tells whoever asks again how a handoff has ended.
fn outcome(ended: Handoff) -> Result<Handoff, EngineError> {
    match &ended.error {
        None => Ok(ended),
        Some(error) => Err(EngineError::Conflict {
            message: format!("{} has failed: {error}", ended.id),
            hint: Some("say another `key` to try again".to_owned()),
        }),
    }
}

/// Gives the successor: on the first session's project and goal, with its budget.
async fn successor(core: &Core, handoff: &Handoff) -> Result<HostParams, EngineError> {
    let first = hosting::get(core, handoff.session).await?;
    let (project, repo_url) = match &first.source {
        SessionSource::Project { path, .. } | SessionSource::Directory { path } => {
            (Some(PathBuf::from(path)), None)
        }
        SessionSource::Remote { url, .. } => (None, Some(url.clone())),
    };
    Ok(HostParams {
        id: Some(handoff.successor),
        project,
        repo_url,
        git_ref: handoff.git_ref.clone(),
        task: handoff.brief.clone(),
        agent: Some(handoff.agent.clone()),
        driver: handoff.driver,
        name_hint: Some(format!("{}-{}", first.name, handoff.agent)),
        goal_id: first.goal_id,
        tier: handoff.tier,
        model: handoff.model.clone(),
        budget: first.budget,
        is_trusted: first.is_trusted,
        ..HostParams::default()
    })
}

/// Where a session's work stands.
struct Place {
    workspace: Option<WorkspaceRecord>,
    /// What a branch can start from to have all of it.
    git_ref: Option<String>,
    /// Whether that is a snapshot of what was not committed.
    is_snapshot: bool,
}

/// Finds a session's work: on its branch when all is committed, else in a snapshot that is taken now.
async fn place(core: &Core, session: &Session) -> Result<Place, EngineError> {
    let holder = Holder::Session(session.id);
    let known = core.store.workspace_known(&holder).await?.map(|entry| entry.workspace);
    let Some(workspace) = known else {
        return Err(EngineError::Conflict {
            message: format!("the session {} has no workspace yet", session.name),
            hint: Some(format!("wait until `adjutant session show {}` tells one", session.name)),
        });
    };
    let own = (workspace.branch.clone(), session.has_workspace && Path::new(&workspace.path).is_dir());
    let (git_ref, is_snapshot) = match own {
        // The directory of a run: it is not ours to keep, and the successor starts from where it is.
        (None, true) => (worktree::head(&core.git, Path::new(&workspace.path)).await.ok(), false),
        (Some(branch), true) => {
            let status = worktree::status(&core.git, Path::new(&workspace.path), None).await;
            match status.map_err(workspaces::git_refused)?.is_dirty() {
                false => (Some(branch), false),
                true => (Some(kept(core, &holder).await?), true),
            }
        }
        (_, false) => (session.snapshot_ref.clone(), true),
    };
    Ok(Place { workspace: Some(workspace), git_ref, is_snapshot })
}

/// Keeps a workspace as it is now; gives the ref.
async fn kept(core: &Core, holder: &Holder) -> Result<String, EngineError> {
    if let Some(snapshot) = workspaces::snapshot(core, holder).await? {
        return Ok(snapshot.refname);
    }
    // The last one is the same.
    let last = workspaces::snapshots(core, holder).await?.pop();
    Ok(last.ok_or(EngineError::Defect("a workspace with changes has no snapshot"))?.refname)
}

async fn write(
    core: &Core,
    session: &Session,
    (note, place): (Option<&str>, &Place),
) -> Result<String, EngineError> {
    let goal = match &session.goal_id {
        Some(goal_id) => core.store.goal_get(goal_id).await?,
        None => None,
    };
    let parts = BriefParts {
        session,
        note,
        goal: goal.as_ref(),
        facts: &facts(core, session).await?,
        tree: &tree(core, place).await,
        waits: &waits(core, session).await?,
        turns: &turns(core, session).await?,
    };
    Ok(handoff::brief(&parts))
}

/// Gives what is remembered where the session looks, decisions first.
async fn facts(core: &Core, session: &Session) -> Result<Vec<Fact>, EngineError> {
    let scopes = memory::session_scopes(core, session).await?;
    let filter = FactFilter {
        scopes: Some(scopes),
        valid_at: Some(clock::now()),
        limit: FACTS_MAX,
        ..FactFilter::default()
    };
    let decided = FactFilter { tags: vec![DECISION.to_owned()], ..filter.clone() };
    let mut facts = core.store.facts(decided).await?;
    let rest = core.store.facts(filter).await?;
    facts.extend(rest.into_iter().filter(|fact| !fact.tags.iter().any(|tag| tag == DECISION)));
    Ok(facts)
}

/// Says how the tree stands; what cannot be looked at is left out.
async fn tree(core: &Core, place: &Place) -> Vec<String> {
    let Some(workspace) = &place.workspace else { return Vec::new() };
    let mut lines = Vec::new();
    lines.extend(workspace.branch.as_ref().map(|branch| format!("its branch was {branch}")));
    if place.is_snapshot {
        lines.push("what it had not committed is committed on your branch as a snapshot".to_owned());
    }
    let folder = workspace.project.as_deref().unwrap_or(&workspace.path);
    let (Some(base), Some(tip)) = (&workspace.base, &place.git_ref) else { return lines };
    match worktree::summary(&core.git, Path::new(folder), base, tip).await {
        Ok(WorkSummary { commits, files, files_count }) => {
            lines.extend(commits.iter().map(|commit| format!("commit {commit}")));
            if files_count == 0 {
                lines.push("no file differs from where it began".to_owned());
            }
            lines.extend(files.iter().map(|file| format!("changed {file}")));
            let more = files_count - files.len();
            lines.extend((more > 0).then(|| format!("{more} more files differ")));
        }
        Err(error) => tracing::warn!(%error, "the work that is handed over cannot be looked at"),
    }
    lines
}

/// Says what the gate asks people about the session.
async fn waits(core: &Core, session: &Session) -> Result<Vec<String>, EngineError> {
    let connection = format!("session:{}", session.id);
    let pending = approvals::pending(core).await?.into_iter();
    let own = pending.filter(|approval| approval.connection == connection);
    Ok(own
        .map(|approval| format!("a person has to approve {}: {}", approval.tool, approval.reason))
        .collect())
}

/// Says what the session's agent did last, as far as its hooks told.
async fn turns(core: &Core, session: &Session) -> Result<Vec<String>, EngineError> {
    let told = core.store.hook_events_last(session.id, HOOKS_MAX).await?;
    let line = |draft: &adjutant_model::hook::HookDraft| {
        let payload: serde_json::Value = serde_json::from_str(&draft.payload).unwrap_or_default();
        handoff::turn_line(&draft.event, draft.tool.as_deref(), &Value::from(payload))
    };
    Ok(told.iter().filter_map(|record| line(&record.draft)).collect())
}
