//! Goals: one keeper takes every change in order, keeps it, and mirrors it.
//!
//! The store is the truth. After every change, and before whoever asked for it is answered, `goals.json` in the data
//! folder says the same for people and other programs ([`keeper`]). When that file cannot be written the change stands,
//! the file stays the whole one that it was, the doctor says that it is behind, and it is written as soon as it can be.

mod checks;
mod door;
mod follow;
mod keeper;
mod mirror;
pub(crate) mod overdue;
mod pursue;
pub(crate) mod recheck;
mod shelf;

pub use adjutant_store::GoalFilter;
pub use door::{GoalPage, GoalShown, GoalUpdate, LinkUpdate, Outdated, PAGE_MAX, Proof, ProofBy, ProofOf};
pub(crate) use keeper::Goals;
pub use mirror::mirrored;
pub use pursue::PursueParams;
pub(crate) use pursue::resume_open as pursuits_resume;

use crate::checks::CheckedBy;
use crate::clock;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::Core;
use crate::record;
use adjutant_model::goal::{Evidence, EvidenceSource, Goal, GoalStatus, LinkState};
use adjutant_model::run::RunRecord;
use adjutant_model::session::{Session, SessionBudget};
use adjutant_model::{GoalId, Holder, Timestamp};
use adjutant_rules::goal::{self, GoalCommand, GoalRefusal, NewGoal};
pub use adjutant_rules::goal::{CriterionSpec, GoalChange};
use adjutant_rules::limits;
use std::path::Path;
use std::sync::Arc;

/// So much of what a session was told is kept beside its link, in bytes.
const LINK_TASK_BYTES_MAX: usize = 4 << 10;
/// The plane's name in the journal.
const PLANE: &str = "plane";

/// What a new goal is made of, as people say it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GoalParams {
    /// The intent.
    pub description: String,
    /// What proves it.
    pub acceptance: Vec<CriterionSpec>,
    /// A directory in the project's repository; checks run there when nothing that is linked has a workspace.
    pub project: Option<String>,
    /// The goals that must be done before it.
    pub depends_on: Vec<GoalId>,
    /// What its pursuit may spend.
    pub budget: SessionBudget,
    /// Until when it is pursued.
    pub deadline: Option<Timestamp>,
    /// When its checks are run again by themselves, a cron expression in UTC.
    pub recheck: Option<String>,
}

/// Makes a goal in somebody's name.
async fn create(core: &Core, actor: String, params: GoalParams) -> Result<Goal, EngineError> {
    hosting::budget_check(&params.budget)?;
    project_check(params.project.as_deref())?;
    params.acceptance.iter().filter_map(|spec| spec.check.as_deref()).try_for_each(check_without_secrets)?;
    let acceptance = params.acceptance.into_iter();
    let new = NewGoal {
        id: GoalId::new(clock::fresh_id()),
        description: record::text(&params.description),
        acceptance: acceptance.map(|spec| CriterionSpec { text: record::text(&spec.text), ..spec }).collect(),
        project: params.project,
        depends_on: params.depends_on,
        budget: params.budget,
        deadline: params.deadline,
        recheck: params.recheck,
    };
    core.goals.create(actor, new).await
}

/// Refuses a check that could not be kept as it is: without its secret it would be another one.
fn check_without_secrets(check: &str) -> Result<(), EngineError> {
    let kept = record::text(check);
    if kept == check {
        return Ok(());
    }
    Err(EngineError::Invalid {
        message: format!("the check `{kept}` holds a secret"),
        hint: Some("have it read the secret from a file or from the daemon's environment".to_owned()),
    })
}

/// Refuses a project that depends on where the daemon was started.
fn project_check(project: Option<&str>) -> Result<(), EngineError> {
    match project {
        Some(path) if !Path::new(path).is_absolute() => {
            Err(EngineError::invalid("`project` is an absolute path"))
        }
        Some(_) | None => Ok(()),
    }
}

/// What a link says of a run that nobody has described.
const UNDESCRIBED: &str = "a run";

/// Refuses a run that its goal would refuse to be linked to.
pub(crate) async fn link_check(core: &Core, goal_id: &GoalId, task: Option<&str>) -> Result<(), EngineError> {
    let goal = core.goals.get(goal_id).await?;
    let task = limits::cut(task.unwrap_or(UNDESCRIBED), LINK_TASK_BYTES_MAX);
    let link = GoalCommand::Link { session_id: "a run to be".to_owned(), task };
    goal::step(&goal, link, &|_| None, clock::now()).map(drop).map_err(EngineError::Goal)
}

/// Links a run to the goal that it serves; one that is linked already, or serves none, stays as it is.
pub(crate) async fn link_run(core: &Core, run: &RunRecord) -> Result<(), EngineError> {
    let Some(goal_id) = &run.goal_id else { return Ok(()) };
    if is_linked(core, goal_id, run.id.as_str()).await? {
        return Ok(());
    }
    let task = core.store.task_get(&run.task_id).await?;
    let what = task.and_then(|task| task.goal).unwrap_or_else(|| UNDESCRIBED.to_owned());
    link(core, goal_id, run.id.to_string(), &what).await
}

/// Links a session to the goal that it serves, likewise.
pub(crate) async fn link_session(core: &Core, session: &Session) -> Result<(), EngineError> {
    let Some(goal_id) = &session.goal_id else { return Ok(()) };
    let id = session.id.to_string();
    if is_linked(core, goal_id, &id).await? {
        return Ok(());
    }
    link(core, goal_id, id, &session.task).await
}

async fn link(core: &Core, goal_id: &GoalId, session_id: String, task: &str) -> Result<(), EngineError> {
    let task = limits::cut(task, LINK_TASK_BYTES_MAX);
    let linked = core.goals.step(PLANE, goal_id, GoalCommand::Link { session_id, task }).await;
    match linked {
        // Another task has linked it meanwhile.
        Err(EngineError::Goal(GoalRefusal::DuplicateLink { .. })) => Ok(()),
        linked => linked.map(drop),
    }
}

async fn is_linked(core: &Core, goal_id: &GoalId, id: &str) -> Result<bool, EngineError> {
    Ok(core.goals.get(goal_id).await?.sessions.iter().any(|link| link.session_id == id))
}

/// Lets the links of a run or session follow it, when there are any.
pub(crate) fn told(core: &Arc<Core>, session_id: &str) {
    if core.goals.follows(session_id) {
        let (goals, session_id) = (core.goals.clone(), session_id.to_owned());
        core.tasks.spawn(async move { goals.follow(session_id).await });
    }
}

/// Runs every check of a goal now, in the workspaces of its linked runs and sessions or in its project, and records what
/// they said in one write; a link whose workspace passes them all is verified. One that the gate refuses ends it, and
/// nothing is recorded.
pub(crate) async fn check(core: &Arc<Core>, by: &CheckedBy, goal_id: &GoalId) -> Result<Goal, EngineError> {
    let _alone = core.goals.checking(goal_id).await;
    let goal = core.goals.get(goal_id).await?;
    if goal.status == GoalStatus::Abandoned {
        return Err(EngineError::Goal(GoalRefusal::Closed { status: goal.status }));
    }
    let mut commands = Vec::new();
    for place in checks::places(core, &goal).await? {
        let found = checks::run_all(core, by, (&goal, &place.path)).await?;
        let against = found.iter().find(|(_, evidence)| !evidence.passed);
        let state = if against.is_none() { LinkState::Verified } else { LinkState::Failed };
        let proof = against.or(found.last()).map(|(_, evidence)| evidence.clone());
        if place.speaks_for_criteria {
            commands.extend(
                found
                    .into_iter()
                    .map(|(criterion, evidence)| GoalCommand::AddEvidence { criterion, evidence }),
            );
        }
        for session_id in place.links {
            let proof = proof.clone();
            commands.push(GoalCommand::SetLink { session_id, state, evidence: proof });
        }
    }
    core.goals.steps(&by.actor, goal_id, commands).await
}

/// Takes a goal to another state; `done` goes through the gate.
async fn status_command(
    core: &Core,
    goal_id: &GoalId,
    to: GoalStatus,
    reason: Option<String>,
) -> Result<GoalCommand, EngineError> {
    let trees = match to {
        GoalStatus::Done => checks::trees(core, &core.goals.get(goal_id).await?).await?,
        GoalStatus::Pending | GoalStatus::InProgress | GoalStatus::Blocked | GoalStatus::Abandoned => {
            Default::default()
        }
    };
    Ok(GoalCommand::SetStatus { to, reason, trees })
}

/// Makes evidence of what a person says, or of what a step of a run has found.
async fn evidence(core: &Core, goal: &Goal, proof: &Proof) -> Result<Evidence, EngineError> {
    let at = clock::now();
    match &proof.by {
        ProofBy::Person { person, words } => {
            let place = match &proof.of {
                ProofOf::Criterion(_) => checks::speaking_place(core, goal).await?,
                ProofOf::Link(id) => checks::place_of(core, id).await?,
            };
            // It is about what stood there when it was said.
            let (tree, workspace) = match place {
                Some(path) => checks::tree_in(core, &path).await?.unzip(),
                None => (None, None),
            };
            let source = EvidenceSource::SignOff { person: person.clone() };
            Ok(Evidence { source, passed: true, tree, workspace, detail: words.clone(), at })
        }
        ProofBy::Turn { run_id, index } => {
            let turn = core.store.turn_get(run_id, *index).await?;
            let turn = turn.ok_or_else(|| EngineError::not_found("turn", format!("{index} of {run_id}")))?;
            let workspace = core.store.workspace_known(&Holder::Run(run_id.clone())).await?;
            let workspace = workspace.map(|entry| entry.workspace.path);
            checks::of_turn(run_id, turn, workspace, at)
        }
    }
}
