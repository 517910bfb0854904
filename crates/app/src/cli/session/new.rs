//! `adjutant session new`: an agent begins in a workspace of its own.

use super::show::{next, told};
use super::{attach, logs};
use crate::cli::budget::BudgetArgs;
use crate::cli::{ids, print};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::launch;
use crate::progress::feed::Feed;
use crate::progress::visible;
use adjutant_model::session::{DriverKind, ModelTier, SessionState};
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{HostParams, ManagedView};
use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a task may be, in bytes; the daemon takes no longer one.
const TASK_BYTES_MAX: usize = 256 << 10;
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// What is to be begun.
#[derive(Debug, Args)]
pub(in crate::cli) struct NewArgs {
    /// The project: a directory in a git repository; that of the current directory when nothing is said. The agent works
    /// in a worktree of it.
    #[arg(long, value_name = "DIR", conflicts_with = "repo")]
    project: Option<PathBuf>,
    /// The URL of a git repository somewhere else.
    #[arg(long, value_name = "URL")]
    repo: Option<String>,
    /// The branch, tag or commit that the session's branch starts from.
    #[arg(long = "ref", value_name = "REF")]
    git_ref: Option<String>,
    /// What the agent is told first.
    #[arg(long, value_name = "TEXT", required_unless_present = "task_file", allow_hyphen_values = true)]
    task: Option<String>,
    /// A file with what the agent is told first; `-` is standard input.
    #[arg(long, value_name = "FILE|-", conflicts_with = "task")]
    task_file: Option<PathBuf>,
    /// The profile of the agent; claude when nothing is said.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How it is hosted; the first way that its profile knows and this machine has when nothing is said.
    #[arg(long, value_parser = PossibleValuesParser::new(DriverKind::ALL.map(DriverKind::as_str)))]
    driver: Option<String>,
    /// What the session is called, about; the project's name when nothing is said.
    #[arg(long, value_name = "HINT")]
    name: Option<String>,
    /// The goal that it serves.
    #[arg(long, value_name = "GOAL")]
    goal: Option<String>,
    /// How capable a model is wanted; the agent's profile says which one that is.
    #[arg(long, value_parser = PossibleValuesParser::new(ModelTier::ALL.map(ModelTier::as_str)))]
    tier: Option<String>,
    /// The model, by the agent's own name for it; over `--tier`.
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Trust the project: its own settings and hooks may hold for the agent, which then does not ask whether to trust it.
    #[arg(long)]
    trust: bool,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Return as soon as the session is durable.
    #[arg(long, conflicts_with = "attach")]
    no_wait: bool,
    /// Take part in its terminal as soon as its agent is there.
    #[arg(long, conflicts_with = "json")]
    attach: bool,
    /// Print the session as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(folder: &Path, args: NewArgs) -> Result<Code> {
    // What is wrong with the request is said before a daemon is started for it.
    let mut params = params(&args)?;
    let client = launch::client(folder).await?;
    if let Some(goal) = &args.goal {
        params.goal = Some(ids::goal(&client, goal).await?);
    }
    let mut session = client.session_host(&params).await?;
    if !args.no_wait {
        session = until_there(folder, &session).await?;
    }
    if args.json {
        print(&serde_json::to_string(&session)?)?;
    }
    let commands = Commands::of(folder);
    if session.state == SessionState::Errored.as_str() {
        return Err(errored(&session).into());
    }
    if args.attach {
        return attach::run(&client, &session).await;
    }
    if !args.json {
        print(&told(&session))?;
        for (title, command) in next(&session) {
            print(&format!("{:<12} {}", format!("{title}:"), commands.line(&command)))?;
        }
    }
    Ok(Code::Ok)
}

fn params(args: &NewArgs) -> Result<HostParams> {
    let project = match (&args.repo, &args.project) {
        (Some(_), _) => None,
        (None, Some(given)) => Some(project_of(given)?),
        (None, None) => Some(project_here("say which project it is: `--project DIR`, or `--repo URL`")?),
    };
    let task = match (&args.task, &args.task_file) {
        (Some(task), _) => task.clone(),
        (None, Some(path)) => super::text_of(&path.to_string_lossy(), TASK_BYTES_MAX)?,
        (None, None) => {
            return Err(Failure::usage("what is the agent to do?").hinted("say `--task TEXT`").into());
        }
    };
    Ok(HostParams {
        project: project.map(|project| project.to_string_lossy().into_owned()),
        repo_url: args.repo.clone(),
        git_ref: args.git_ref.clone(),
        task,
        agent: args.agent.clone(),
        runtime: None,
        driver: args.driver.clone(),
        name_hint: args.name.clone(),
        goal: None,
        tier: args.tier.clone(),
        model: args.model.clone(),
        budget: args.budget.view(),
        trust: args.trust,
        wait_ms: Some(0),
    })
}

/// Gives the repository that a directory is in; the directory itself where no `.git` says so, which may be a bare one.
fn project_of(given: &Path) -> Result<PathBuf> {
    let found = given.canonicalize().map_err(|error| {
        Failure::new(Code::NotFound, format!("the directory {} cannot be used: {error}", given.display()))
            .hinted("check the path")
    })?;
    Ok(repository_around(&found).unwrap_or(found))
}

/// Gives the project that this directory is in; `otherwise` says what to do where it is in none.
pub(in crate::cli) fn project_here(otherwise: &str) -> Result<PathBuf> {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.ok()
        .and_then(|here| repository_around(&here))
        .ok_or_else(|| Failure::usage("this directory is in no git repository").hinted(otherwise).into())
}

fn repository_around(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|above| above.join(".git").exists()).map(Path::to_owned)
}

/// Waits until a session's agent is there, or cannot be; a spinner turns meanwhile on a terminal.
pub(super) async fn until_there(folder: &Path, session: &ManagedView) -> Result<ManagedView> {
    let spinner = ProgressBar::new_spinner();
    spinner.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("the template is valid"));
    spinner.set_message(format!("{}: its workspace is made", session.name));
    spinner.enable_steady_tick(TICK);
    let mut feed = Feed::behind(0, &session.id, folder).await?;
    loop {
        let event = feed.next().await?;
        if event.kind == "workspace_ready" {
            spinner.set_message(format!("{}: its agent is started", session.name));
        }
        if logs::entered(&event).is_some_and(|state| state != SessionState::Provisioning) {
            break;
        }
    }
    spinner.finish_and_clear();
    Ok(feed.client().session_managed(&session.id).await?)
}

pub(super) fn errored(session: &ManagedView) -> Failure {
    let reason = session.reason.as_deref().unwrap_or("nobody said why");
    let name = &session.name;
    Failure::new(Code::Failed, format!("{name} could not begin: {}", visible(reason))).hinted(format!(
        "when its reason is gone: `adjutant session resume {name}`; or `adjutant session rm {name}`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_the_repository_around_a_directory() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/.git")).unwrap();
        std::fs::create_dir_all(root.join("a/b/c")).unwrap();
        assert_eq!(project_of(&root.join("a/b/c")).unwrap(), root.join("a"));
        assert!(project_of(&root.join("nowhere")).is_err());
    }
}
