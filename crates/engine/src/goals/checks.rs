//! Where a goal's checks run, and what they say.

use crate::checks::{self, CheckJob, CheckedBy};
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::worker::check::CheckReport;
use crate::workspaces;
use adjutant_model::goal::{Evidence, EvidenceSource, Goal, GoalLink};
use adjutant_model::run::{TurnRecord, WorkspaceKind};
use adjutant_model::{Holder, RunId, SessionId, Timestamp, Value};
use adjutant_rules::goal::Trees;
use adjutant_sessions::worktree;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A directory that a goal's checks run in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// The linked runs and sessions whose work stands there.
    pub(super) links: Vec<String>,
    /// Whether what is found here is the criteria's evidence: so it is in the workspace that was linked last.
    pub(super) speaks_for_criteria: bool,
}

/// Gives the workspaces of what is linked, or the project when there is none. Work that was proved and merged is looked
/// at where it was merged to: in the project.
pub(super) async fn places(core: &Core, goal: &Goal) -> Result<Vec<Place>, EngineError> {
    if goal.acceptance.iter().all(|criterion| criterion.check.is_none()) {
        return Err(EngineError::Conflict {
            message: format!("goal {} has no check to run", goal.id),
            hint: Some("a person can sign off its criteria: `adjutant goal sign-off`".to_owned()),
        });
    }
    let mut places = Vec::new();
    for link in &goal.sessions {
        let Some(path) = work_place(core, goal, link).await? else { continue };
        let mut links = vec![link.session_id.clone()];
        // Each directory is looked at once, in the place of the last link to it.
        if let Some(same) = places.iter().position(|place: &Place| place.path == path) {
            links.splice(..0, places.remove(same).links);
        }
        places.push(Place { path, links, speaks_for_criteria: false });
    }
    if places.is_empty() {
        places.extend(project(goal).map(|path| Place { path, links: Vec::new(), speaks_for_criteria: true }));
    }
    match places.last_mut() {
        Some(last) => last.speaks_for_criteria = true,
        None => return Err(nowhere(goal)),
    }
    Ok(places)
}

/// Says why a goal's checks have no place to run in.
fn nowhere(goal: &Goal) -> EngineError {
    let why = goal
        .project
        .as_ref()
        .map_or_else(String::new, |path| format!(": its project {path} is no directory"));
    EngineError::Conflict {
        message: format!("goal {} has no place to run its checks in{why}", goal.id),
        hint: Some(
            "link a run or session that has a workspace, or give it a project: `adjutant goal update`"
                .to_owned(),
        ),
    }
}

/// Gives where a link's work is looked at: its workspace, until it is proved and stands nowhere else than in the project.
async fn work_place(core: &Core, goal: &Goal, link: &GoalLink) -> Result<Option<PathBuf>, EngineError> {
    let own = place_of(core, &link.session_id).await?;
    let was_proved = link.evidence.as_ref().is_some_and(|evidence| evidence.passed);
    let (Some(project), true) = (project(goal), was_proved) else { return Ok(own) };
    let Some(holder) = holder(&link.session_id) else { return Ok(own) };
    let Some(record) = core.store.workspace_of(&holder).await? else { return Ok(Some(project)) };
    if record.kind != WorkspaceKind::Worktree || own.is_none() {
        return Ok(own.or(Some(project)));
    }
    let unsaved = worktree::unsaved(&core.git, &record).await.map_err(workspaces::git_refused)?;
    Ok(if unsaved.is_empty() { Some(project) } else { own })
}

/// Gives where the criteria are looked at: the workspace that was linked last, or the project.
pub(super) async fn speaking_place(core: &Core, goal: &Goal) -> Result<Option<PathBuf>, EngineError> {
    for link in goal.sessions.iter().rev() {
        if let Some(path) = place_of(core, &link.session_id).await? {
            return Ok(Some(path));
        }
    }
    Ok(project(goal))
}

fn project(goal: &Goal) -> Option<PathBuf> {
    goal.project.as_ref().map(PathBuf::from).filter(|path| path.is_dir())
}

/// Gives the directory of a linked run or session, while it is there.
pub(super) async fn place_of(core: &Core, session_id: &str) -> Result<Option<PathBuf>, EngineError> {
    let Some(holder) = holder(session_id) else { return Ok(None) };
    let workspace = core.store.workspace_of(&holder).await?;
    Ok(workspace.map(|workspace| PathBuf::from(workspace.path)).filter(|path| path.is_dir()))
}

fn holder(session_id: &str) -> Option<Holder> {
    match (session_id.parse::<SessionId>(), session_id.parse::<RunId>()) {
        (Ok(id), _) => Some(Holder::Session(id)),
        (Err(_), Ok(id)) => Some(Holder::Run(id)),
        (Err(_), Err(_)) => None,
    }
}

/// Gives the tree that a directory has, and the directory's name in evidence; nothing outside of git.
pub(super) async fn tree_in(core: &Core, path: &Path) -> Result<Option<(String, String)>, EngineError> {
    let tree = workspaces::tree(&core.git, path).await.map_err(workspaces::git_refused)?;
    Ok(tree.map(|tree| (tree, path.to_string_lossy().into_owned())))
}

/// Makes evidence of a step whose result says whether it passed, and of which tree.
pub(super) fn of_turn(
    run_id: &RunId,
    turn: TurnRecord,
    workspace: Option<String>,
    at: Timestamp,
) -> Result<Evidence, EngineError> {
    let said = |name: &str| turn.output.as_ref().and_then(|output| output.as_object()?.get(name).cloned());
    let (Some(Value::Bool(passed)), Some(Value::String(tree))) = (said("passed"), said("tree")) else {
        return Err(EngineError::Conflict {
            message: format!(
                "turn {} of {} says not whether it passed, and on which tree",
                turn.index, run_id
            ),
            hint: Some("steps of agents of kind `check` do".to_owned()),
        });
    };
    let detail = format!("step {} ({})", turn.path, turn.name);
    let source = EvidenceSource::Turn { run_id: run_id.clone(), index: turn.index };
    Ok(Evidence { source, passed, tree: Some(tree.to_string()), workspace, detail, at })
}

/// Runs every check of a goal in a directory, one after the other.
pub(super) async fn run_all(
    core: &Arc<Core>,
    by: &CheckedBy,
    (goal, dir): (&Goal, &Path),
) -> Result<Vec<(usize, Evidence)>, EngineError> {
    let mut found = Vec::new();
    for (index, criterion) in goal.acceptance.iter().enumerate() {
        if let Some(command) = &criterion.check {
            let report = checks::run(core, by, job(goal, command, dir)).await?;
            found.push((index, evidence(command, &report, dir)));
        }
    }
    Ok(found)
}

/// Refuses checks that the gate would never let run in a goal's project.
pub(super) async fn may_run(core: &Core, goal: &Goal) -> Result<(), EngineError> {
    let Some(dir) = project(goal) else { return Ok(()) };
    for command in goal.acceptance.iter().filter_map(|criterion| criterion.check.as_deref()) {
        checks::may_run(core, job(goal, command, &dir)).await?;
    }
    Ok(())
}

fn job<'a>(goal: &'a Goal, command: &'a str, dir: &'a Path) -> CheckJob<'a> {
    CheckJob { command, dir, project: goal.project.as_deref(), subject: goal.id.as_str() }
}

fn evidence(command: &str, report: &CheckReport, dir: &Path) -> Evidence {
    Evidence {
        source: EvidenceSource::Check { command: command.to_owned() },
        passed: report.passed,
        tree: report.tree.clone(),
        workspace: Some(dir.to_string_lossy().into_owned()),
        detail: report.summary(),
        at: clock::now(),
    }
}

/// Gives the tree that each workspace named in a goal's evidence has now.
pub(super) async fn trees(core: &Core, goal: &Goal) -> Result<Trees, EngineError> {
    let of_criteria = goal.acceptance.iter().filter_map(|criterion| criterion.evidence.as_ref());
    let of_links = goal.sessions.iter().filter_map(|link| link.evidence.as_ref());
    let named: BTreeSet<&String> = of_criteria.chain(of_links).filter_map(|e| e.workspace.as_ref()).collect();
    let mut trees = Trees::new();
    for workspace in named {
        // A workspace that is gone has no tree, so what was proved in it is stale.
        let path = Path::new(workspace);
        if path.is_dir()
            && let Some((tree, _)) = tree_in(core, path).await?
        {
            trees.insert(workspace.clone(), tree);
        }
    }
    Ok(trees)
}
