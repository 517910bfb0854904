//! `adjutant run`: execute a blueprint and follow it.

use super::ids;
use crate::commands::{Commands, quoted};
use crate::exit::Failure;
use crate::launch;
use crate::progress::{self, View, cost, visible};
use adjutant_protocol::http::{
    BlueprintRefParams, RekickParams, RunView, TaskDetachedView, TaskInputParams, TaskParams,
};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// What to run, in what, with what.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A blueprint's file (YAML or JSON), or the id of one that is registered or built in.
    #[arg(value_name = "FILE|ID", required_unless_present = "task")]
    blueprint: Option<String>,
    /// Execute this task again as another run, with its own blueprint, limits and goal; a task's id, or a part that only
    /// one has. Inputs and directories go over what it was given.
    #[arg(long, value_name = "TASK", conflicts_with_all = ["blueprint", "agent", "goal", "ttl"])]
    task: Option<String>,
    /// The project: a directory in a git repository; the run works in a worktree of it.
    #[arg(long, value_name = "DIR", conflicts_with = "work_dir")]
    repo: Option<PathBuf>,
    /// A directory to work in as it is, without a worktree.
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// A value of the first context; JSON when it parses, else text.
    #[arg(long = "input", value_name = "KEY=VALUE")]
    inputs: Vec<String>,
    /// A file with the first context as JSON; `--input` goes over it.
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// The program that stands in for agents started by template: rehearsal, claude, codex.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The goal that the run serves.
    #[arg(long, value_name = "GOAL")]
    goal: Option<String>,
    /// How long the run may take, in seconds.
    #[arg(long, value_name = "SECS")]
    ttl: Option<u64>,
    /// Return as soon as the run is durable.
    #[arg(long, conflicts_with = "follow")]
    detach: bool,
    /// Follow the run to its end, which is what happens without `--detach`.
    #[arg(long)]
    follow: bool,
    /// Print events as JSON lines, and the run last.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(folder: &Path, args: RunArgs) -> Result<Code> {
    let started = match &args.task {
        Some(task) => again(folder, task, &args).await?,
        None => start(folder, &args).await?,
    };
    for warning in started.warnings.iter().filter(|_| !args.json) {
        super::print(&format!("warning: {} [{}]", visible(&warning.message), warning.name))?;
    }
    let commands = Commands::of(folder);
    if args.detach {
        return detached(&started, &commands, args.json);
    }
    let view = View::choose(args.json);
    let (_, run) = follow(folder, &started.run_id, view).await?;
    ended(&run, view, &commands)
}

/// Prints how a run that was followed has ended, and where to look next.
pub(crate) fn ended(run: &RunView, view: View, commands: &Commands) -> Result<Code> {
    if view == View::Json {
        super::print(&serde_json::to_string(run)?)?;
    } else {
        let cost = cost::of(run).map(|cost| format!("what it cost:  {cost}"));
        for line in cost.into_iter().chain(next_steps(run, commands)) {
            super::print(&line)?;
        }
    }
    Ok(if run.status == "done" { Code::Ok } else { Code::Failed })
}

/// Starts another run of a task.
async fn again(folder: &Path, task: &str, args: &RunArgs) -> Result<TaskDetachedView> {
    let over = input(args)?;
    let given = TaskInputParams {
        project_root: args.repo.as_deref().map(directory).transpose()?,
        work_dir: args.work_dir.as_deref().map(directory).transpose()?,
        task_metadata: None,
    };
    let params = RekickParams {
        init_ctx_override: Some(over)
            .filter(|over| over.as_object().is_some_and(|members| !members.is_empty())),
        task_input_override: Some(given),
        detach: true,
        ..RekickParams::default()
    };
    let client = launch::client(folder).await?;
    Ok(client.task_rekick(&ids::task(&client, task).await?, &params).await?)
}

async fn start(folder: &Path, args: &RunArgs) -> Result<TaskDetachedView> {
    // What is wrong with the request is said before a daemon is started for it.
    let mut params = params(args)?;
    let client = launch::client(folder).await?;
    if let Some(goal) = &args.goal {
        params.goal_id = Some(ids::goal(&client, goal).await?);
    }
    Ok(client.task_start(&params).await?)
}

/// Follows a run to its end; gives it, and a client of the daemon that runs then, which may be another one.
pub(crate) async fn follow(folder: &Path, run_id: &str, view: View) -> Result<(Client, RunView)> {
    follow_from(folder, run_id, (view, 0)).await
}

/// As [`follow`], from behind a place of the journal.
pub(crate) async fn follow_from(folder: &Path, run_id: &str, from: (View, i64)) -> Result<(Client, RunView)> {
    let client = progress::follow(folder, run_id, from).await?;
    let ended = client.run(run_id).await?;
    Ok((client, ended))
}

fn detached(started: &TaskDetachedView, commands: &Commands, json: bool) -> Result<Code> {
    if json {
        return super::print(&serde_json::to_string(started)?);
    }
    let text = format!("{} is accepted; `adjutant show {}` shows it", started.run_id, started.run_id);
    super::print(&commands.in_text(&text))
}

fn params(args: &RunArgs) -> Result<TaskParams> {
    Ok(TaskParams {
        blueprint: blueprint(args.blueprint.as_deref().unwrap_or_default())?,
        init_ctx: input(args)?,
        project_root: args.repo.as_deref().map(directory).transpose()?,
        work_dir: args.work_dir.as_deref().map(directory).transpose()?,
        task_metadata: None,
        ttl_secs: args.ttl,
        operator: None,
        operator_sid: None,
        operator_desc: None,
        operator_slot: None,
        timeout_secs: None,
        goal: None,
        check_policy: None,
        detach: true,
        goal_id: None,
        agent: args.agent.clone(),
    })
}

/// Takes a file when there is one, and an id when it looks like one.
fn blueprint(given: &str) -> Result<BlueprintRefParams> {
    let path = Path::new(given);
    if path.is_file() {
        return Ok(BlueprintRefParams::Inline { value: super::blueprint::checked(path)? });
    }
    if given.contains(['/', '\\'])
        || path.extension().is_some_and(|ext| ["yaml", "yml", "json"].contains(&&*ext.to_string_lossy()))
    {
        let failure = Failure::new(Code::NotFound, format!("there is no blueprint file {given}"));
        return Err(failure
            .hinted("check the path; registered and built-in blueprints go by their id")
            .into());
    }
    Ok(BlueprintRefParams::Id { id: given.to_owned(), version: None })
}

fn input(args: &RunArgs) -> Result<Value> {
    let mut input = match &args.input_file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            serde_json::from_str::<Map<String, Value>>(&text).map_err(|error| {
                Failure::usage(format!("{} is not a JSON object: {error}", path.display()))
            })?
        }
        None => Map::new(),
    };
    for pair in &args.inputs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::usage(format!("`--input {pair}` is not KEY=VALUE")))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        input.insert(key.to_owned(), value);
    }
    Ok(Value::Object(input))
}

fn directory(path: &Path) -> Result<String> {
    let found = path.canonicalize().map_err(|error| {
        Failure::new(Code::NotFound, format!("the directory {} cannot be used: {error}", path.display()))
            .hinted("check the path")
    })?;
    Ok(found.to_string_lossy().into_owned())
}

/// Says where to look next.
pub(crate) fn next_steps(run: &RunView, commands: &Commands) -> Vec<String> {
    let mut lines = vec![format!("every turn:    {}", commands.line(&format!("trace {}", run.id)))];
    if let (Some(agent), "failed") = (&run.agent, run.status.as_str()) {
        lines.push(format!("is it there?   {} looks for {agent}", commands.line("doctor")));
    }
    if let Some(workspace) = &run.workspace
        && let (Some(branch), Some(project)) = (&workspace.branch, &workspace.project)
    {
        lines.push(format!("what changed:  {}", commands.line(&format!("workspace diff {}", run.id))));
        if run.status == "done" {
            lines.push(format!("take it over:  git -C {} merge {branch}", quoted(project)));
        }
        lines.push(format!("clean up:      {}", commands.line(&format!("workspace rm {}", run.id))));
    }
    lines
}
