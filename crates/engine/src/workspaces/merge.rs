//! Merging what was done in a workspace into a branch, when the checks pass on the tree that comes out.

use super::restore::note;
use super::{apart, folder, git_refused};
use crate::checks::{self, CheckJob, CheckedBy};
use crate::error::{EngineError, chain};
use crate::plane::Core;
use crate::record;
use crate::worker::check::CheckReport;
use adjutant_model::Holder;
use adjutant_model::event::Event;
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use adjutant_sessions::worktree::{self, MergeBegun, MergeError, MergeParams, MergeTrial};
use adjutant_store::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many checks one merge can have.
const CHECKS_MAX: usize = 16;

/// How much of a failed check's output its refusal has.
const OUTPUT_SHOWN_BYTES: usize = 4 << 10;

/// What to merge into, and what has to pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeRequest {
    /// The branch.
    pub into: String,
    /// What has to pass on the merged tree.
    pub checks: MergeChecks,
}

/// What has to pass on a merged tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MergeChecks {
    /// The checks of the goal that is worked on.
    OfGoal,
    /// These command lines.
    Commands(Vec<String>),
    /// Nothing: whoever asks takes it as it is.
    None,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedInfo {
    /// The branch.
    pub into: String,
    /// Where it is now.
    pub commit: String,
    /// Whether it had everything already.
    pub is_unchanged: bool,
    /// The checks that passed.
    pub checks: Vec<CheckedInfo>,
    /// The working tree that is on the branch and followed it.
    pub followed: Option<PathBuf>,
}

/// A check that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInfo {
    /// The command line.
    pub command: String,
    /// How it ended, in one line.
    pub summary: String,
}

/// Merges what was committed in a workspace into a branch.
pub(crate) async fn merge(
    core: &Arc<Core>,
    by: CheckedBy,
    holder: &Holder,
    request: MergeRequest,
) -> Result<MergedInfo, EngineError> {
    let entry = core.store.workspace_known(holder).await?;
    let entry = entry.ok_or_else(|| EngineError::not_found("workspace", holder))?;
    if entry.workspace.kind != WorkspaceKind::Worktree {
        return Err(EngineError::invalid(format!("the workspace of {holder} is no worktree")));
    }
    let commands = commands(core, holder, request.checks).await?;
    let source = source(core, &entry.workspace).await?;
    let (own, holder, wanted) = (core.clone(), holder.clone(), (request.into, commands));
    apart(core, async move { checked(&own, &by, (&holder, &entry.workspace), &source, wanted).await }).await
}

/// Gives the command lines that have to pass.
async fn commands(core: &Core, holder: &Holder, checks: MergeChecks) -> Result<Vec<String>, EngineError> {
    let commands = match checks {
        MergeChecks::None => return Ok(Vec::new()),
        MergeChecks::Commands(commands) => commands,
        MergeChecks::OfGoal => goal_checks(core, holder).await?,
    };
    let is_command = |line: &String| !line.trim().is_empty() && !line.contains('\0') && line.len() <= 8192;
    if commands.len() > CHECKS_MAX || !commands.iter().all(is_command) {
        return Err(EngineError::invalid(format!(
            "checks are at most {CHECKS_MAX} command lines of at most 8192 bytes"
        )));
    }
    if commands.is_empty() {
        return Err(EngineError::Invalid {
            message: format!("it is not known what has to pass: {holder} works on no goal with a check"),
            hint: Some("give `--check COMMAND`, or say `--no-check`".to_owned()),
        });
    }
    Ok(commands)
}

/// Gives the checks of the goal that is worked on.
async fn goal_checks(core: &Core, holder: &Holder) -> Result<Vec<String>, EngineError> {
    let goal_id = match holder {
        Holder::Run(run_id) => core.store.run_get(run_id).await?.and_then(|run| run.goal_id),
        Holder::Session(id) => core.store.session_get(*id).await?.and_then(|entry| entry.session.goal_id),
    };
    let Some(goal_id) = goal_id else { return Ok(Vec::new()) };
    let goal = core.store.goal_get(&goal_id).await?;
    let criteria = goal.map(|goal| goal.acceptance).unwrap_or_default();
    Ok(criteria.into_iter().filter_map(|criterion| criterion.check).collect())
}

/// Gives the commit to merge: where the workspace is, with nothing beside it, or its branch when it is gone.
async fn source(core: &Core, workspace: &WorkspaceRecord) -> Result<String, EngineError> {
    let dir = Path::new(&workspace.path);
    if dir.is_dir() {
        let status = worktree::status(&core.git, dir, None).await.map_err(git_refused)?;
        if status.is_dirty() {
            return Err(refusal(
                format!("{} has changes that are not committed", dir.display()),
                format!("commit them: git -C '{0}' add -A && git -C '{0}' commit", dir.display()),
            ));
        }
        return worktree::head(&core.git, dir).await.map_err(git_refused);
    }
    let (Some(project), Some(branch)) = (&workspace.project, &workspace.branch) else {
        return Err(EngineError::Defect("a worktree has a project and a branch"));
    };
    let tip = worktree::branch_tip(&core.git, Path::new(project), branch).await.map_err(git_refused)?;
    tip.ok_or_else(|| {
        refusal(
            format!("the workspace and its branch `{branch}` are gone"),
            "`adjutant workspace restore` gives the work back".to_owned(),
        )
    })
}

async fn checked(
    core: &Arc<Core>,
    by: &CheckedBy,
    (holder, workspace): (&Holder, &WorkspaceRecord),
    source: &str,
    (into, commands): (String, Vec<String>),
) -> Result<MergedInfo, EngineError> {
    let (message, workspaces) = (format!("Merge the workspace of {holder}"), folder(core));
    let project = Path::new(workspace.project.as_deref().unwrap_or(&workspace.path));
    let shown = project.to_string_lossy().into_owned();
    let params = MergeParams { project, source, into: &into, message: &message, workspaces: &workspaces };
    let trial = match worktree::merge_begin(&core.git, params).await.map_err(merge_refused)? {
        MergeBegun::Trial(trial) => *trial,
        MergeBegun::Nothing { commit } => {
            return Ok(MergedInfo { into, commit, is_unchanged: true, checks: Vec::new(), followed: None });
        }
    };
    let checks = match run_checks(core, by, (holder, &shown), (&trial, commands)).await {
        Ok(checks) => checks,
        Err(error) => {
            if let Err(left) = worktree::merge_abandon(&core.git, trial).await {
                tracing::warn!(%holder, error = %left, "the worktree of a merge is left for the next one");
            }
            return Err(error);
        }
    };
    let commit = trial.commit.clone();
    let followed = worktree::merge_finish(&core.git, trial).await.map_err(merge_refused)?;
    let passed = checks.iter().map(|check| check.command.clone()).collect();
    let event = Event::WorkspaceMerged { into: into.clone(), commit: commit.clone(), checks: passed };
    note(core, holder, event, Write::default()).await?;
    Ok(MergedInfo { into, commit, is_unchanged: false, checks, followed })
}

/// Runs the checks one after the other, each in a fresh process, until one does not pass.
async fn run_checks(
    core: &Arc<Core>,
    by: &CheckedBy,
    (holder, project): (&Holder, &str),
    (trial, commands): (&MergeTrial, Vec<String>),
) -> Result<Vec<CheckedInfo>, EngineError> {
    let mut passed = Vec::new();
    for command in commands {
        let (subject, project) = (holder.to_string(), Some(project));
        let job = CheckJob { command: &command, dir: &trial.dir, project, subject: &subject };
        let report = checks::run(core, by, job).await?;
        if !report.passed {
            return Err(failed(&command, &report));
        }
        passed
            .push(CheckedInfo { command: record::text(&command), summary: record::text(&report.summary()) });
    }
    Ok(passed)
}

fn failed(command: &str, report: &CheckReport) -> EngineError {
    let output = &report.output_tail;
    let from = output.ceil_char_boundary(output.len().saturating_sub(OUTPUT_SHOWN_BYTES));
    refusal(
        record::text(&format!(
            "the check `{command}` does not pass on the merged tree: {}\n{}",
            report.summary(),
            &output[from..]
        )),
        "nothing was merged; go on in the workspace, and try again".to_owned(),
    )
}

fn refusal(message: String, hint: String) -> EngineError {
    EngineError::Workspace { message, hint: Some(hint), class: ErrorClass::User }
}

fn merge_refused(error: MergeError) -> EngineError {
    let (message, hint) = (chain(&error), error.hint());
    match error {
        MergeError::Conflict { .. } | MergeError::Dirty { .. } | MergeError::Moved { .. } => {
            EngineError::Conflict { message, hint }
        }
        MergeError::Worktree(_) | MergeError::NoBranch { .. } => EngineError::Invalid { message, hint },
        MergeError::Io { .. } | MergeError::Git(_) => {
            EngineError::Workspace { message, hint, class: error.class() }
        }
    }
}
