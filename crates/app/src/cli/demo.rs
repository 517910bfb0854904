//! `adjutant demo`: the main job on a sample project, told as it happens.

use super::run::{follow, next_steps};
use super::{goals, print};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::progress::{View, cost};
use crate::{config, launch};
use adjutant_model::Value;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{BlueprintRefParams, CriterionParams, GoalParams, TaskParams};
use adjutant_rules::source;
use adjutant_sessions::process::{Exit, ProcessSpec, run as run_process};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The sample project, file by file.
const SAMPLE: &[(&str, &str)] = &[
    ("slug.sh", include_str!("../../../../examples/sample-project/slug.sh")),
    ("tests/run.sh", include_str!("../../../../examples/sample-project/tests/run.sh")),
    ("README.md", include_str!("../../../../examples/sample-project/README.md")),
    (".gitignore", include_str!("../../../../examples/sample-project/.gitignore")),
];
const BLUEPRINT: &str = include_str!("../../../../examples/fix-failing-test.yaml");
const CHECK: &str = "sh tests/run.sh";

/// How to show it.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The program that does the work: rehearsal (no model, no network), claude, codex.
    #[arg(long, default_value = "rehearsal")]
    agent: String,
    /// What the agent is told; the blueprint has a text of its own.
    #[arg(long)]
    task: Option<String>,
    /// Where the sample project goes; by default a new folder below the temporary one.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Gives the blueprints that are built in, by id.
pub(crate) fn builtin_blueprints() -> BTreeMap<String, Value> {
    let read = source::read(BLUEPRINT)
        .map(|source| source.value().clone())
        .expect("the built-in blueprint is tested");
    BTreeMap::from([("fix-failing-test".to_owned(), read)])
}

/// Runs the main job from a failing test to a closed goal.
pub(crate) async fn run(folder: &Path, args: DemoArgs) -> Result<Code> {
    let client = launch::client(folder).await?;
    let began = Instant::now();
    let project = sample(args.dir.as_deref()).await?;
    print(&format!("1. a project whose tests fail: {}", project.display()))?;
    let prepared = began.elapsed();

    let criterion = CriterionParams { text: "the tests pass".to_owned(), check: Some(CHECK.to_owned()) };
    let params = GoalParams {
        description: "make the sample project's tests pass".to_owned(),
        acceptance: vec![criterion],
        project: Some(project.to_string_lossy().into_owned()),
        ..GoalParams::default()
    };
    let goal = client.goal_create(&params).await?;
    print(&format!("2. a goal that only a passing check closes: {}", goal.id))?;

    print(&format!("3. a blueprint in which the agent `{}` works in its own worktree:", args.agent))?;
    if args.agent != "rehearsal" {
        print("   note: the step is gated; this agent's own tool calls are not yet")?;
    }
    let started = client.task_start(&task(&project, &goal.id, &args)).await?;
    let (client, ended) = follow(folder, &started.run_id, View::choose(false)).await?;
    let worked = began.elapsed() - prepared;
    if let Some(cost) = cost::of(&ended) {
        print(&format!("   cost: {cost}"))?;
    }
    if ended.status != "done" {
        let why = ended.error.map_or_else(String::new, |error| format!(": {}", error.message));
        let failure = Failure::new(Code::Failed, format!("the run is {}{why}", ended.status));
        return Err(failure.hinted(format!("`adjutant trace {}` shows every turn", ended.id)).into());
    }

    print("4. the goal's own check, in a fresh process on the tree that stands:")?;
    client.goal_do(&goal.id, "check", &json!({})).await?;
    let closed = client.goal_do(&goal.id, "close", &json!({})).await?;
    for line in goals::told(&closed) {
        print(&format!("   {line}"))?;
    }
    let ms = |span: std::time::Duration| span.as_millis();
    print(&format!(
        "done in {} ms: project {} ms, run {} ms, goal {} ms",
        ms(began.elapsed()),
        ms(prepared),
        ms(worked),
        ms(began.elapsed() - prepared - worked)
    ))?;
    print("where to look next:")?;
    let commands = Commands::of(folder);
    for line in next_steps(&ended, &commands) {
        print(&format!("   {line}"))?;
    }
    print(&format!("   the goal:      {}", commands.line(&format!("goal show {}", goal.id))))?;
    Ok(Code::Ok)
}

fn task(project: &Path, goal_id: &str, args: &DemoArgs) -> TaskParams {
    let init_ctx = args.task.as_ref().map_or_else(|| json!({}), |task| json!({"task": task}));
    TaskParams {
        blueprint: BlueprintRefParams::Id { id: "fix-failing-test".to_owned(), version: None },
        init_ctx,
        project_root: Some(project.to_string_lossy().into_owned()),
        work_dir: None,
        task_metadata: None,
        ttl_secs: None,
        operator: None,
        operator_sid: None,
        operator_desc: None,
        operator_slot: None,
        timeout_secs: None,
        goal: Some("fix the failing tests".to_owned()),
        check_policy: None,
        detach: true,
        goal_id: Some(goal_id.to_owned()),
        agent: Some(args.agent.clone()),
    }
}

/// Puts the sample project into a folder of its own, as a git repository with one commit.
async fn sample(dir: Option<&Path>) -> Result<PathBuf> {
    let dir = match dir {
        Some(dir) if dir.exists() => {
            let failure = Failure::usage(format!("{} is there already", dir.display()));
            return Err(failure.hinted("name a folder that is not there yet").into());
        }
        Some(dir) => std::path::absolute(dir)?,
        None => {
            tempfile::Builder::new().prefix("adjutant-demo-").tempdir().context("no temporary folder")?.keep()
        }
    };
    for (name, content) in SAMPLE {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let person =
        ["-c", "user.name=Adjutant", "-c", "user.email=adjutant@localhost", "-c", "commit.gpgSign=false"];
    git(&dir, &["-c", "init.defaultBranch=main", "init", "--quiet"]).await?;
    git(&dir, &["add", "--all"]).await?;
    git(&dir, &[&person[..], &["commit", "--quiet", "-m", "A tool with two failing tests"]].concat()).await?;
    Ok(dir)
}

async fn git(dir: &Path, args: &[&str]) -> Result<()> {
    let argv = ["git"].iter().chain(args).map(|arg| (*arg).to_owned()).collect();
    let outcome = run_process(
        ProcessSpec { env: config::environment(), ..ProcessSpec::new(argv, dir.to_owned()) },
        CancellationToken::new(),
        None,
    )
    .await
    .map_err(|error| Failure::new(Code::Failed, error.to_string()).hinted("install git"))?;
    match outcome.exit {
        Exit::Code(0) => Ok(()),
        Exit::Code(_) | Exit::Signal(_) => {
            anyhow::bail!("git {}: {}", args.join(" "), outcome.stderr_tail.trim())
        }
    }
}
