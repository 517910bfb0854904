//! From a request to a session that is durable and owned.

use super::workspace;
use crate::agents;
use crate::clock;
use crate::error::EngineError;
use crate::goals;
use crate::plane::Core;
use crate::record;
use crate::workspaces;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::profile::AgentProfile;
use adjutant_model::session::{DriverKind, ModelTier, NewSession, Session, SessionBudget, SessionSource};
use adjutant_model::{GoalId, RunId, SessionId};
use adjutant_rules::profile;
use adjutant_rules::session::name;
use adjutant_store::{Draft, SessionEntry, SessionFilter, Write, WriteError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest task, in bytes.
const TASK_BYTES_MAX: usize = 256 << 10;
/// The longest name of a model, in bytes.
const MODEL_BYTES_MAX: usize = 256;
/// Sessions start sessions at most so deep (DESIGN.md, limits).
pub const DEPTH_MAX: u32 = 5;
/// So many names are tried before the next request has to.
const NAME_TRIES: u32 = 8;

/// The default agent of a session.
pub(crate) const AGENT_DEFAULT: &str = "claude";

/// A request for a managed session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostParams {
    /// A repository on this machine, absolute; this or `repo_url`.
    pub project: Option<PathBuf>,
    /// A repository somewhere else.
    pub repo_url: Option<String>,
    /// What the session's branch starts from.
    pub git_ref: Option<String>,
    /// What the agent is told first.
    pub task: String,
    /// The profile of its agent.
    pub agent: Option<String>,
    /// How it is hosted; the profile's first driver that can be used here when nothing is said.
    pub driver: Option<DriverKind>,
    /// What it is called, about.
    pub name_hint: Option<String>,
    /// The goal that it serves.
    pub goal_id: Option<GoalId>,
    /// How capable its model is wanted.
    pub tier: Option<ModelTier>,
    /// Its model; over the tier.
    pub model: Option<String>,
    /// What it may spend.
    pub budget: SessionBudget,
    /// The session that starts it.
    pub parent: Option<SessionId>,
    /// Whether the project's own settings and hooks may hold for the agent.
    pub is_trusted: bool,
    /// The id that it gets; the session that has it already is found and nothing is made.
    pub id: Option<SessionId>,
    /// The step that it does; its directory is the one that the session works in.
    pub step: Option<StepOrigin>,
}

/// The step of a run that a session does.
#[derive(Debug, Clone, PartialEq)]
pub struct StepOrigin {
    /// The run.
    pub run_id: RunId,
    /// The agent of the blueprint whose step it is.
    pub plays: String,
    /// The run's workspace.
    pub directory: PathBuf,
}

/// Makes a session; its workspace and its agent follow.
pub(crate) async fn create(
    core: &Arc<Core>,
    caller: &Caller,
    params: HostParams,
) -> Result<Session, EngineError> {
    if let Some(id) = params.id
        && let Some(entry) = core.store.session_get(id).await?
    {
        return Ok(entry.session);
    }
    let mut session = check(core, params).await?;
    if let Some(goal_id) = &session.goal_id {
        goals::link_check(core, goal_id, Some(&session.task)).await?;
    }
    core.hosting.place_take(session.id, core.live().sessions_alive_max)?;
    match keep(core, caller, &mut session).await {
        Ok(Kept::Made) => {
            super::owned(core, SessionEntry { session: session.clone(), revision: 1 });
            Ok(session)
        }
        // The place is that session's.
        Ok(Kept::Found(found)) => Ok(*found),
        Err(error) => {
            core.hosting.place_leave(session.id);
            Err(error)
        }
    }
}

/// What became of a session that was to be kept.
enum Kept {
    /// It is in the store.
    Made,
    /// Somebody was quicker with the same id.
    Found(Box<Session>),
}

async fn check(core: &Arc<Core>, params: HostParams) -> Result<Session, EngineError> {
    let task = params.task.trim();
    task_check(task)?;
    let name = params.agent.as_deref().unwrap_or(AGENT_DEFAULT);
    let (found, driver) = driver_check(core, name, params.driver)?;
    budget_check(&params.budget)?;
    model_check(params.model.as_deref())?;
    let (depth, parent_goal) = match params.parent {
        None => (0, None),
        Some(parent) => {
            let parent = super::get(core, parent).await?;
            (parent.depth + 1, parent.goal_id)
        }
    };
    if depth > DEPTH_MAX {
        return Err(EngineError::Forbidden(format!("sessions start sessions at most {DEPTH_MAX} deep")));
    }
    let (source, place) = source(core, &params).await?;
    let default_model = params.tier.is_none().then(|| core.live().sessions_default_model.clone()).flatten();
    let now = clock::now();
    let hint = params.name_hint.as_deref().filter(|hint| !hint.trim().is_empty());
    let new = NewSession {
        id: params.id.unwrap_or_else(|| SessionId::new(clock::fresh_id())),
        name: name::slug(hint.unwrap_or(&place)),
        agent: found.name.clone(),
        driver,
        source,
        task: record::text(task),
    };
    Ok(Session {
        parent: params.parent,
        run_id: params.step.as_ref().map(|step| step.run_id.clone()),
        plays: params.step.map(|step| step.plays),
        depth,
        tier: params.tier,
        model: params.model.or(default_model),
        goal_id: params.goal_id.or(parent_goal),
        is_trusted: params.is_trusted,
        budget: params.budget,
        ..Session::new(new, now)
    })
}

/// Finds the profile of an agent and how it would be hosted; refuses one that cannot be.
pub(crate) fn driver_check(
    core: &Core,
    agent: &str,
    wanted: Option<DriverKind>,
) -> Result<(Arc<AgentProfile>, DriverKind), EngineError> {
    let found = agents::find(core, agent)?;
    let usable = core.hosting.drivers.usable();
    let driver = profile::choose_driver(&found, wanted, &usable).map_err(EngineError::invalid)?.driver;
    Ok((found, driver))
}

/// Refuses a task that says nothing, or too much.
pub(crate) fn task_check(task: &str) -> Result<(), EngineError> {
    if task.is_empty() || task.len() > TASK_BYTES_MAX {
        let message = format!("`task` has 1 to {TASK_BYTES_MAX} bytes, not {}", task.len());
        return Err(EngineError::invalid(message));
    }
    Ok(())
}

/// Refuses what an agent's program could take for an option, and what cannot stand among its arguments.
pub(crate) fn model_check(model: Option<&str>) -> Result<(), EngineError> {
    let Some(model) = model else { return Ok(()) };
    let is_plain = (1..=MODEL_BYTES_MAX).contains(&model.len())
        && !model.starts_with('-')
        && !model.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_plain {
        return Ok(());
    }
    let shown: String = model.chars().take(80).collect();
    Err(EngineError::Invalid {
        message: format!("`model` is a model's name of at most {MODEL_BYTES_MAX} bytes, not `{shown}`"),
        hint: Some("leave it out to have the agent's own, or say a `tier`".to_owned()),
    })
}

/// Refuses a budget that allows nothing, or is no amount.
pub(crate) fn budget_check(budget: &SessionBudget) -> Result<(), EngineError> {
    let is_no_amount = |amount: f64| !amount.is_finite() || amount <= 0.0;
    if budget.max_cost_usd.is_some_and(is_no_amount) {
        return Err(EngineError::invalid("`max_cost_usd` must be more than 0"));
    }
    if budget.max_tokens == Some(0) || budget.max_minutes == Some(0) {
        return Err(EngineError::invalid("`max_tokens` and `max_minutes` must be more than 0"));
    }
    Ok(())
}

/// Gives what a session works on, and what that is called.
async fn source(core: &Core, params: &HostParams) -> Result<(SessionSource, String), EngineError> {
    workspaces::check_room(core).await?;
    let git_ref = params.git_ref.clone().filter(|name| !name.is_empty());
    if let Some(name) = &git_ref {
        workspace::ref_check(name)?;
    }
    if let Some(step) = &params.step {
        let path = step.directory.to_string_lossy().into_owned();
        return Ok((SessionSource::Directory { path }, step.plays.clone()));
    }
    match (&params.project, &params.repo_url) {
        (Some(project), None) => {
            workspace::project_check(core, project).await?;
            let name = project.file_name().map(|name| name.to_string_lossy().into_owned());
            let path = project.to_string_lossy().into_owned();
            Ok((SessionSource::Project { path, git_ref }, name.unwrap_or_default()))
        }
        (None, Some(url)) => {
            let url = workspace::remote_check(url)?.to_string();
            let name = Path::new(url.trim_end_matches('/')).file_stem();
            let name = name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Ok((SessionSource::Remote { url, git_ref }, name))
        }
        (Some(_), Some(_)) | (None, None) => Err(EngineError::Invalid {
            message: "say `project`, a path, or `repo_url`, one of them".to_owned(),
            hint: None,
        }),
    }
}

/// Keeps a new session, under the first of its names that is free.
async fn keep(core: &Core, caller: &Caller, session: &mut Session) -> Result<Kept, EngineError> {
    let slug = session.name.clone();
    for _ in 0..NAME_TRIES {
        let filter = SessionFilter { is_live: true, ..SessionFilter::default() };
        let taken: HashSet<String> =
            core.store.sessions(filter).await?.into_iter().map(|entry| entry.session.name).collect();
        let free = (0..).map(|times| name::nth(&slug, times)).find(|name| !taken.contains(name));
        session.name = free.expect("there is always one more");
        let mut write = Write::default();
        write.session_create(session);
        write.journal(Draft {
            at: session.created_at,
            actor: caller.actor().into(),
            subject: session.id.to_string().into(),
            event: Event::SessionCreated {
                name: session.name.clone(),
                agent: session.agent.clone(),
                driver: session.driver,
                parent: session.parent,
                goal_id: session.goal_id.clone(),
                task_hash: format!("{:x}", Sha256::digest(&session.task)),
            },
        });
        match core.store.write(write).await {
            Ok(_) => return Ok(Kept::Made),
            Err(WriteError::Constraint(_)) => {
                if let Some(found) = core.store.session_get(session.id).await? {
                    return Ok(Kept::Found(Box::new(found.session)));
                }
                // Somebody was quicker with the name.
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(EngineError::Crowded(format!("no name like `{slug}` is free for long enough")))
}
