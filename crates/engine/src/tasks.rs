//! Tasks: from a request to a run that is durable and owned.

use crate::approvals::Face;
use crate::blueprints::{self, Callees, Linked, Ready};
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
use crate::spawning::RunStarter;
use crate::templates;
use crate::worker::{function, lua};
use crate::workspaces::WorkspacePlan;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::{AgentSpec, Blueprint};
use adjutant_model::event::Event;
use adjutant_model::flow::CallTarget;
use adjutant_model::registry::VersionSelector;
use adjutant_model::run::{RunInput, RunRecord, RunStatus, TaskRecord, TtlSource};
use adjutant_model::{GoalId, RunId, TaskId, Value};
use adjutant_rules::blueprint::{self, Builtins};
use adjutant_rules::document::{Lint, LintLevel};
use adjutant_rules::flow::{self, FlowState};
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
    /// What it is for, in the asker's words.
    pub goal: Option<String>,
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

/// Another run of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RekickParams {
    /// Goes over the task's context, member by member; what is no object takes its place.
    pub init_ctx: Option<Value>,
    /// Goes over what the task's request says besides the context, member by member; null takes a member away.
    pub request: Vec<(Arc<str>, Value)>,
}

/// Accepts a task: checks everything, makes the run durable, and lets it begin.
pub(crate) async fn start(
    core: &Arc<Core>,
    by: (&Caller, Face),
    params: TaskParams,
) -> Result<TaskStarted, EngineError> {
    start_with(core, by, params, |_| Ok(Write::default())).await
}

/// As [`start`]; what `with` gives for the run is committed with it.
pub(crate) async fn start_with(
    core: &Arc<Core>,
    by: (&Caller, Face),
    params: TaskParams,
    with: impl FnOnce(&RunRecord) -> Result<Write, EngineError>,
) -> Result<TaskStarted, EngineError> {
    admit(core)?;
    let params = TaskParams {
        init_ctx: record::without_secrets(&params.init_ctx),
        goal: params.goal.as_deref().map(record::text),
        rest: record::without_secrets(&params.rest),
        ..params
    };
    if let (Face::Model, BlueprintRef::Inline(document)) = (by.1, &params.blueprint) {
        blueprints::secret_check(document)?;
    }
    let document = document_of(core, &params.blueprint).await?;
    let ready = core.blueprints.ready(&document).map_err(|lints| EngineError::Blueprint { lints })?;
    let task = TaskRecord {
        id: TaskId::new(clock::fresh_id()),
        goal: params.goal.clone(),
        blueprint_id: ready.blueprint.id.clone(),
        blueprint_hash: ready.version.clone(),
        input: params.init_ctx.clone(),
        request: kept_request(&params),
        created_at: clock::now(),
    };
    let given = RunInput { input: task.input.clone(), request: task.request.clone() };
    accept(core, by, Asked { task, is_new: true, given, ready }, with).await
}

/// Accepts another run of a task, under the version that the task is bound to.
pub(crate) async fn rekick(
    core: &Arc<Core>,
    caller: &Caller,
    task_id: &TaskId,
    params: RekickParams,
) -> Result<TaskStarted, EngineError> {
    admit(core)?;
    let task = core.store.task_get(task_id).await?.ok_or_else(|| EngineError::not_found("task", task_id))?;
    let over = params.init_ctx.as_ref().map(record::without_secrets);
    let input = over.map_or_else(|| task.input.clone(), |over| merged(&task.input, &over));
    let mut request = task.request.as_object().cloned().unwrap_or_default();
    for (key, value) in params.request {
        request.insert(key, record::without_secrets(&value));
    }
    let request = request.iter().filter(|(_, value)| **value != Value::Null);
    let request = Value::object(request.map(|(key, value)| (key.clone(), value.clone())));
    let ready = blueprint_of(core, &task.blueprint_hash).await?;
    let given = RunInput { input, request };
    let asked = Asked { task, is_new: false, given, ready };
    accept(core, (caller, Face::Person), asked, |_| Ok(Write::default())).await
}

/// Refuses another open run while the plane stops, or when there are enough.
pub(crate) fn admit(core: &Core) -> Result<(), EngineError> {
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    if core.runs.len() >= core.live().runs_open_max {
        return Err(EngineError::Busy(core.runs.len()));
    }
    Ok(())
}

/// A run that is asked for.
struct Asked {
    task: TaskRecord,
    /// Whether the task comes with it.
    is_new: bool,
    given: RunInput,
    ready: Arc<Ready>,
}

async fn accept(
    core: &Arc<Core>,
    (caller, face): (&Caller, Face),
    asked: Asked,
    with: impl FnOnce(&RunRecord) -> Result<Write, EngineError>,
) -> Result<TaskStarted, EngineError> {
    let Asked { task, given, ready, .. } = &asked;
    let linked = Arc::new(blueprints::link(core, ready.clone(), Callees::Now).await?);
    let said = |key: &str| given.request.get(key).and_then(Value::as_str);
    let agent = said("agent").map(str::to_owned);
    check_agent(agent.as_deref())?;
    let ctx = first_context(&ready.blueprint, &given.input)?;
    let (ttl_ms, ttl_source) = ttl(TtlCascade {
        request_secs: match given.request.get("ttl_secs") {
            Some(Value::Number(secs)) => secs.as_u64(),
            Some(_) | None => None,
        },
        metadata_secs: ready.blueprint.metadata.default_run_ttl_secs,
        default_secs: core.live().run_ttl_secs,
    })
    .map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
    let workspace = workspace_plan(&linked, &given.request)?;
    if let Some(plan) = &workspace {
        plan.check(&core.git).await?;
        plan.check_room(core).await?;
    }
    let goal_id: Option<GoalId> = said("goal_id").and_then(|id| id.parse().ok());
    if let Some(goal_id) = &goal_id {
        goals::link_check(core, goal_id, task.goal.as_deref()).await?;
    }
    let owners = PolicyOwners {
        directories: ["project_root", "work_dir"].into_iter().filter_map(said).map(PathBuf::from).collect(),
        agents: linked
            .agents()
            .flat_map(|one| policies::names_of(one, agent.as_deref()))
            .map(str::to_owned)
            .collect(),
    };
    let policies = policies::read(core, owners).await?;

    let now = clock::now();
    let run = RunRecord {
        id: RunId::new(clock::fresh_id()),
        task_id: task.id.clone(),
        status: RunStatus::Pending,
        owner: core.owner.clone(),
        epoch: 1,
        blueprint_id: ready.blueprint.id.clone(),
        blueprint_hash: ready.version.clone(),
        ttl_ms,
        ttl_source,
        workspace: None,
        goal_id,
        agent_override: agent,
        error: None,
        result: None,
        created_at: now,
        ended_at: None,
    };
    let started = TaskStarted {
        task_id: task.id.clone(),
        run_id: run.id.clone(),
        goal: task.goal.clone(),
        bound_version: ready.version.clone(),
        effective_ttl_secs: ttl_ms / 1000,
        ttl_source,
        warnings: ready.warnings.clone(),
    };
    let starter = RunStarter::of(caller, face);
    let mut creation = creation((caller, &starter), &linked, &asked, &run);
    let launched = operators::launch(core, &linked, &run.id, &given.request)?;
    creation.append(launched.write);
    creation.append(with(&run)?);
    for event in policies.events().chain(launched.events) {
        creation.journal(Draft { at: now, actor: "plane".into(), subject: (&run.id).into(), event });
    }
    data::refer(&mut creation, &run.id, &given.input);
    let state = FlowState::new(linked.program.clone(), ctx);
    let (accepted, answer) = oneshot::channel();
    let origin = Origin::New { creation, workspace, accepted };
    let operators = launched.operators;
    runs::start(core, Launch { run, linked, state, policies, starter, operators, origin });
    // An owner that left without an answer was told to stop before the run was durable.
    answer.await.map_err(|_| EngineError::Stopping)??;
    Ok(started)
}

fn creation(
    (caller, starter): (&Caller, &RunStarter),
    linked: &Linked,
    asked: &Asked,
    run: &RunRecord,
) -> Write {
    let Asked { task, is_new, given, .. } = asked;
    let mut write = Write::default();
    for unit in linked.units() {
        write.blueprint_put(&unit.version, &unit.blueprint.id, &unit.canonical);
    }
    if *is_new {
        write.task_create(task);
    }
    write.run_create(run);
    if (&given.input, &given.request) != (&task.input, &task.request) {
        write.run_input_set(&run.id, given);
    }
    write.journal(Draft {
        at: run.created_at,
        actor: caller.actor().into(),
        subject: (&run.id).into(),
        event: Event::RunCreated {
            task_id: task.id.clone(),
            blueprint_id: run.blueprint_id.clone(),
            blueprint_hash: run.blueprint_hash.clone(),
            input_hash: hex::encode(Sha256::digest(given.input.to_string().as_bytes())),
            ttl_ms: run.ttl_ms,
            goal_id: run.goal_id.clone(),
            by_model: starter.by_model(),
        },
    });
    if !linked.pins().is_empty() {
        let event = Event::CallsPinned { calls: linked.pins().to_vec() };
        write.journal(Draft { at: run.created_at, actor: "plane".into(), subject: (&run.id).into(), event });
    }
    write
}

/// Puts one value over another, member by member; what is no object takes the other's place.
fn merged(below: &Value, over: &Value) -> Value {
    let is_object = matches!(over, Value::Object(_)) && matches!(below, Value::Object(_));
    flow::first_context(Some(below).filter(|_| is_object), over).unwrap_or_else(|| over.clone())
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

/// Gives what was said of a run when it was accepted.
pub(crate) async fn started_of(core: &Core, run: &RunRecord) -> Result<TaskStarted, EngineError> {
    let task = core.store.task_get(&run.task_id).await?;
    let task = task.ok_or_else(|| EngineError::not_found("task", &run.task_id))?;
    let ready = blueprint_of(core, &run.blueprint_hash).await?;
    Ok(TaskStarted {
        task_id: task.id,
        run_id: run.id.clone(),
        goal: task.goal,
        bound_version: run.blueprint_hash.clone(),
        effective_ttl_secs: run.ttl_ms / 1000,
        ttl_source: run.ttl_source,
        warnings: ready.warnings.clone(),
    })
}

/// Gives what a run was given: what its task brought, unless it was given something of its own.
pub(crate) async fn given(core: &Core, run: &RunRecord) -> Result<RunInput, EngineError> {
    if let Some(given) = core.store.run_input_get(&run.id).await? {
        return Ok(given);
    }
    let task = core.store.task_get(&run.task_id).await?;
    let task = task.ok_or_else(|| EngineError::not_found("task", &run.task_id))?;
    Ok(RunInput { input: task.input, request: task.request })
}

/// Gives the context that a run begins with: the request's over the blueprint's own.
pub(crate) fn first_context(blueprint: &Blueprint, input: &Value) -> Result<Value, EngineError> {
    flow::first_context(blueprint.default_init_ctx.as_ref(), input).ok_or_else(|| {
        EngineError::invalid("`init_ctx` must be an object, because the blueprint has a `default_init_ctx`")
    })
}

/// Gives the document of a blueprint that a call names, as it is now.
pub(crate) async fn callee_document(core: &Core, target: &CallTarget) -> Result<Value, EngineError> {
    registry::resolve(core, &target.blueprint, &target.version).await.map(|(_, document)| document)
}

/// Gives the directory a run needs: the one it asked for, or a scratch folder when an agent starts a program.
pub(crate) fn workspace_plan(linked: &Linked, request: &Value) -> Result<Option<WorkspacePlan>, EngineError> {
    let path = |key: &str| request.get(key).and_then(Value::as_str).map(PathBuf::from);
    if let Some(dir) = path("work_dir") {
        return Ok(Some(WorkspacePlan::Given { path: dir }));
    }
    if let Some(project) = path("project_root") {
        return Ok(Some(WorkspacePlan::Worktree { project }));
    }
    let starts_programs = linked.agents().any(|agent| match agent.spec {
        AgentSpec::Command(_) | AgentSpec::Check(_) | AgentSpec::Session(_) => true,
        AgentSpec::Function { .. } | AgentSpec::Lua(_) | AgentSpec::Operator(_) => false,
    });
    Ok(starts_programs.then_some(WorkspacePlan::Scratch))
}

/// Gives what the store keeps of a request besides its context: what another run of the task needs again.
fn kept_request(params: &TaskParams) -> Value {
    let path =
        |path: &Option<PathBuf>| path.as_ref().map(|path| Value::from(path.to_string_lossy().into_owned()));
    let mut request = params.rest.as_object().cloned().unwrap_or_default();
    for (key, value) in [
        ("project_root", path(&params.project_root)),
        ("work_dir", path(&params.work_dir)),
        ("ttl_secs", params.ttl_secs.map(Value::from)),
        ("agent", params.agent.as_deref().map(Value::from)),
        ("goal_id", params.goal_id.as_ref().map(|id| Value::from(id.as_str()))),
    ] {
        if let Some(value) = value {
            request.insert(key.into(), value);
        }
    }
    Value::Object(request)
}
