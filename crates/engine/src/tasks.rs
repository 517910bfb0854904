//! Tasks: from a request to a run that is durable and owned.

use crate::blueprints::Ready;
use crate::clock;
use crate::data;
use crate::error::EngineError;
use crate::goals;
use crate::operators;
use crate::plane::Core;
use crate::policies::{self, PolicyOwners};
use crate::record;
use crate::registry;
use crate::runs::{self, Launch, Origin};
use crate::templates;
use crate::worker::{function, lua};
use crate::workspaces::WorkspacePlan;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::{AgentSpec, Blueprint};
use adjutant_model::event::Event;
use adjutant_model::registry::VersionSelector;
use adjutant_model::run::{RunRecord, RunStatus, TaskRecord, TtlSource};
use adjutant_model::{GoalId, RunId, TaskId, Value};
use adjutant_rules::blueprint::{self, Builtins};
use adjutant_rules::document::{Lint, LintLevel};
use adjutant_rules::flow::FlowState;
use adjutant_rules::run::{TtlCascade, ttl};
use adjutant_store::{Draft, Write};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Which blueprint a task executes.
#[derive(Debug, Clone, PartialEq)]
pub enum BlueprintRef {
    /// The document itself.
    Inline(Value),
    /// A version of a blueprint that the plane knows.
    Id {
        /// The blueprint.
        id: String,
        /// Which version of it.
        version: VersionSelector,
    },
}

/// A request to execute a blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskParams {
    /// What to execute.
    pub blueprint: BlueprintRef,
    /// The first context; merged over the blueprint's `default_init_ctx`.
    pub init_ctx: Value,
    /// A git repository; the run works in a worktree of it.
    pub project_root: Option<PathBuf>,
    /// A directory to work in as it is; goes before `project_root`.
    pub work_dir: Option<PathBuf>,
    /// How long the run may take, in seconds.
    pub ttl_secs: Option<u64>,
    /// What it is for, in the asker's words.
    pub goal: Option<String>,
    /// The goal that the run serves; it is linked when the run is accepted.
    pub goal_id: Option<GoalId>,
    /// The program that stands in for agents started by template: `rehearsal`, `claude`, `codex`.
    pub agent: Option<String>,
    /// The rest of the request, kept as it came.
    pub rest: Value,
}

/// A task that was accepted; its run is durable.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStarted {
    /// The task.
    pub task_id: TaskId,
    /// Its run.
    pub run_id: RunId,
    /// SHA-256 of the blueprint's canonical JSON, as 64 hex digits.
    pub bound_version: String,
    /// How long the run may take, in seconds.
    pub effective_ttl_secs: u64,
    /// Where that came from.
    pub ttl_source: TtlSource,
    /// What is probably not meant in the blueprint.
    pub warnings: Vec<Lint>,
}

/// Reads a blueprint with the functions, chunks and templates that this plane has.
///
/// # Errors
/// All lints of a blueprint that cannot run.
pub fn read_blueprint(document: &Value) -> Result<(Blueprint, Vec<Lint>), Vec<Lint>> {
    let functions: Vec<&str> = function::names().collect();
    let builtins = Builtins { functions: &functions, lua: lua::BUILTINS, templates: templates::NAMES };
    let (read, warnings) = blueprint::read(document, &builtins)?;
    let broken = broken_chunks(&read, document);
    if broken.is_empty() { Ok((read, warnings)) } else { Err(broken.into_iter().chain(warnings).collect()) }
}

/// Finds the chunks that no run could ever begin.
fn broken_chunks(blueprint: &Blueprint, document: &Value) -> Vec<Lint> {
    let names = document.get("agents").and_then(Value::as_array).unwrap_or_default();
    let of_agent = |(place, agent): (usize, &Value)| {
        let AgentSpec::Lua(spec) = &blueprint.agents.get(agent.get("name")?.as_str()?)?.spec else {
            return None;
        };
        let message = lua::check_syntax(&spec.source).err()?;
        Some(Lint {
            level: LintLevel::Error,
            name: "lua-syntax",
            pointer: format!("/agents/{place}/spec/source"),
            message: format!("the chunk cannot be compiled: {message}"),
            hint: None,
        })
    };
    names.iter().enumerate().filter_map(of_agent).collect()
}

/// Accepts a task: checks everything, makes the run durable, and lets it begin.
pub(crate) async fn start(
    core: &Arc<Core>,
    caller: &Caller,
    params: TaskParams,
) -> Result<TaskStarted, EngineError> {
    start_with(core, caller, params, |_| Ok(Write::default())).await
}

/// As [`start`]; what `with` gives for the run is committed with it.
pub(crate) async fn start_with(
    core: &Arc<Core>,
    caller: &Caller,
    params: TaskParams,
    with: impl FnOnce(&RunRecord) -> Result<Write, EngineError>,
) -> Result<TaskStarted, EngineError> {
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    if core.runs.len() >= core.settings.runs_open_max {
        return Err(EngineError::Busy(core.runs.len()));
    }
    let params = TaskParams {
        init_ctx: record::without_secrets(&params.init_ctx),
        goal: params.goal.as_deref().map(record::text),
        rest: record::without_secrets(&params.rest),
        ..params
    };
    let document = document_of(core, &params.blueprint).await?;
    let ready = core.blueprints.ready(&document).map_err(|lints| EngineError::Blueprint { lints })?;
    let blueprint = &ready.blueprint;
    check_agent(params.agent.as_deref())?;
    if !matches!(params.init_ctx, Value::Object(_) | Value::Null) && blueprint.default_init_ctx.is_some() {
        return Err(EngineError::invalid(
            "`init_ctx` must be an object, because the blueprint has a `default_init_ctx`",
        ));
    }
    let cascade = TtlCascade {
        request_secs: params.ttl_secs,
        metadata_secs: blueprint.metadata.default_run_ttl_secs,
        default_secs: core.settings.run_ttl_secs,
    };
    let (ttl_ms, ttl_source) = ttl(cascade).map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
    let request = kept_request(&params);
    let workspace = workspace_plan(blueprint, &request)?;
    if let Some(plan) = &workspace {
        plan.check(&core.git).await?;
    }
    if let Some(goal_id) = &params.goal_id {
        goals::link_check(core, goal_id, params.goal.as_deref()).await?;
    }

    let agent_names = |agent| policies::names_of(agent, params.agent.as_deref());
    let owners = PolicyOwners {
        directories: params.project_root.iter().chain(&params.work_dir).cloned().collect(),
        agents: blueprint.agents.values().flat_map(agent_names).map(str::to_owned).collect(),
    };
    let policies = policies::read(core, owners).await?;

    let now = clock::now();
    let task = TaskRecord {
        id: TaskId::new(clock::fresh_id()),
        goal: params.goal.clone(),
        blueprint_id: blueprint.id.clone(),
        blueprint_hash: ready.version.clone(),
        input: params.init_ctx.clone(),
        request,
        created_at: now,
    };
    let run = RunRecord {
        id: RunId::new(clock::fresh_id()),
        task_id: task.id.clone(),
        status: RunStatus::Pending,
        owner: core.owner.clone(),
        epoch: 1,
        blueprint_id: blueprint.id.clone(),
        blueprint_hash: ready.version.clone(),
        ttl_ms,
        ttl_source,
        workspace: None,
        goal_id: params.goal_id.clone(),
        agent_override: params.agent.clone(),
        error: None,
        result: None,
        created_at: now,
        ended_at: None,
    };
    let started = TaskStarted {
        task_id: task.id.clone(),
        run_id: run.id.clone(),
        bound_version: ready.version.clone(),
        effective_ttl_secs: ttl_ms / 1000,
        ttl_source,
        warnings: ready.warnings.clone(),
    };
    let mut creation = creation(caller, &ready.canonical, &task, &run);
    let launched = operators::launch(core, blueprint, &run.id, &task.request)?;
    creation.append(launched.write);
    creation.append(with(&run)?);
    for event in policies.events().chain(launched.events) {
        creation.journal(Draft { at: now, actor: "plane".into(), subject: (&run.id).into(), event });
    }
    data::refer(&mut creation, &run.id, &task.input);
    let state = FlowState::new(ready.program.clone(), first_context(blueprint, &task.input));
    let (accepted, answer) = oneshot::channel();
    let origin = Origin::New { creation, workspace, accepted };
    runs::start(
        core,
        Launch { run, blueprint: blueprint.clone(), state, policies, operators: launched.operators, origin },
    );
    // An owner that left without an answer was told to stop before the run was durable.
    answer.await.map_err(|_| EngineError::Stopping)??;
    Ok(started)
}

fn creation(caller: &Caller, canonical: &str, task: &TaskRecord, run: &RunRecord) -> Write {
    let mut write = Write::default();
    write.blueprint_put(&run.blueprint_hash, &run.blueprint_id, canonical);
    write.task_create(task);
    write.run_create(run);
    write.journal(Draft {
        at: run.created_at,
        actor: caller.actor().into(),
        subject: (&run.id).into(),
        event: Event::RunCreated {
            task_id: task.id.clone(),
            blueprint_id: run.blueprint_id.clone(),
            blueprint_hash: run.blueprint_hash.clone(),
            input_hash: hex::encode(Sha256::digest(task.input.to_string().as_bytes())),
            ttl_ms: run.ttl_ms,
            goal_id: run.goal_id.clone(),
        },
    });
    write
}

async fn document_of(core: &Core, reference: &BlueprintRef) -> Result<Value, EngineError> {
    match reference {
        BlueprintRef::Inline(document) => Ok(document.clone()),
        BlueprintRef::Id { id, version } => {
            registry::resolve(core, id, version).await.map(|(_, document)| document)
        }
    }
}

fn check_agent(agent: Option<&str>) -> Result<(), EngineError> {
    match agent {
        Some(name) if !templates::NAMES.contains(&name) => Err(EngineError::Invalid {
            message: format!("there is no agent `{name}`"),
            hint: Some(format!("agents: {}", templates::NAMES.join(", "))),
        }),
        Some(_) | None => Ok(()),
    }
}

/// Gives the document of a version that the store keeps.
pub(crate) async fn document_kept(core: &Core, hash: &str) -> Result<Value, EngineError> {
    let text =
        core.store.blueprint_get(hash).await?.ok_or_else(|| EngineError::not_found("blueprint", hash))?;
    serde_json::from_str(&text).map_err(|error| EngineError::Conflict {
        message: format!("blueprint {hash} is damaged: {error}"),
        hint: None,
    })
}

/// Gives a blueprint that a run is pinned to.
pub(crate) async fn blueprint_of(core: &Core, hash: &str) -> Result<Arc<Ready>, EngineError> {
    let document = document_kept(core, hash).await?;
    core.blueprints.ready(&document).map_err(|lints| EngineError::Blueprint { lints })
}

/// Gives the context that a run begins with: the request's over the blueprint's own.
pub(crate) fn first_context(blueprint: &Blueprint, input: &Value) -> Value {
    match (&blueprint.default_init_ctx, input) {
        (Some(Value::Object(below)), Value::Object(over)) => Value::Object(
            below.iter().chain(over.iter()).map(|(key, value)| (key.clone(), value.clone())).collect(),
        ),
        (Some(below), Value::Null) => below.clone(),
        (None, Value::Null) => Value::object::<Arc<str>>([]),
        (Some(_) | None, input) => input.clone(),
    }
}

/// Gives the directory a run needs: the one it asked for, or a scratch folder when an agent starts a program.
pub(crate) fn workspace_plan(
    blueprint: &Blueprint,
    request: &Value,
) -> Result<Option<WorkspacePlan>, EngineError> {
    let path = |key: &str| request.get(key).and_then(Value::as_str).map(PathBuf::from);
    if let Some(dir) = path("work_dir") {
        return Ok(Some(WorkspacePlan::Given { path: dir }));
    }
    if let Some(project) = path("project_root") {
        return Ok(Some(WorkspacePlan::Worktree { project }));
    }
    let starts_programs = blueprint.agents.values().any(|agent| match agent.spec {
        AgentSpec::Command(_) | AgentSpec::Check(_) => true,
        AgentSpec::Function { .. } | AgentSpec::Lua(_) | AgentSpec::Operator(_) => false,
    });
    Ok(starts_programs.then_some(WorkspacePlan::Scratch))
}

/// Gives what the store keeps of a request besides its context.
fn kept_request(params: &TaskParams) -> Value {
    let path =
        |path: &Option<PathBuf>| path.as_ref().map(|path| Value::from(path.to_string_lossy().into_owned()));
    let mut request = params.rest.as_object().cloned().unwrap_or_default();
    for (key, value) in [("project_root", path(&params.project_root)), ("work_dir", path(&params.work_dir))] {
        if let Some(value) = value {
            request.insert(key.into(), value);
        }
    }
    Value::Object(request)
}
