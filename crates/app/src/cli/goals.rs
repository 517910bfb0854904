//! `adjutant goal …`: all that the door does with goals, and what is known of them when no daemon can be had.

mod list;
mod mirror;
mod prove;
mod show;
mod spec;

pub(crate) use show::told;

use super::{ids, print};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::launch;
use crate::progress::visible;
use adjutant_model::goal::GoalStatus;
use adjutant_protocol::http::{GoalStatusParams, GoalView, LinkParams, NoteParams, PursueParams};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// A watched goal is looked at so often.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// What to do with goals, and how to tell of it.
#[derive(Debug, Args)]
pub(crate) struct GoalArgs {
    #[command(subcommand)]
    command: GoalCommand,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// What to do with goals.
#[derive(Debug, Subcommand)]
enum GoalCommand {
    /// Make a goal.
    #[command(visible_alias = "create")]
    New(spec::NewArgs),
    /// List goals, the oldest first.
    #[command(visible_alias = "list")]
    Ls {
        /// Only those in this state.
        #[arg(long, value_parser = PossibleValuesParser::new(GoalStatus::ALL.map(GoalStatus::as_str)))]
        status: Option<String>,
    },
    /// Show everything that is known of a goal, with its evidence.
    Show(GoalArg),
    /// Change a goal: all that is said is kept together, or nothing.
    Update(spec::UpdateArgs),
    /// Link a session or a run to a goal; its workspace is where checks run then.
    Link(LinkArgs),
    /// Leave a note on a goal.
    Note {
        #[command(flatten)]
        goal: GoalArg,
        /// What is said.
        #[arg(allow_hyphen_values = true)]
        note: String,
    },
    /// Record what shows that a criterion holds, or that a linked session or run has done its part.
    Evidence(prove::EvidenceArgs),
    /// Say as a person that a criterion holds.
    SignOff(prove::SignOffArgs),
    /// Take a goal to another state.
    Status {
        #[command(flatten)]
        goal: GoalArg,
        /// Which; `done` only when fresh evidence proves it.
        #[arg(value_parser = PossibleValuesParser::new(["inProgress", "blocked", "done", "abandoned"]))]
        status: String,
        /// Why; whoever gives a goal up says so.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Run every check of a goal now.
    Check(GoalArg),
    /// Call a goal done, when fresh evidence proves it.
    Close(GoalArg),
    /// Have agents work for a goal until its checks pass, or there is no more to spend.
    Pursue(PursueArgs),
}

/// A goal.
#[derive(Debug, Args)]
struct GoalArg {
    /// A goal's id, or a part that only one has.
    goal: String,
}

/// What is to be linked.
#[derive(Debug, Args)]
struct LinkArgs {
    #[command(flatten)]
    goal: GoalArg,
    /// A session's name or id, or a run's id, or a part of an id that only one has.
    work: String,
    /// What it is to do.
    #[arg(long, value_name = "TEXT", default_value = "linked by hand")]
    task: String,
    /// The id is taken as it is: it is somebody's whom Adjutant does not know.
    #[arg(long)]
    foreign: bool,
}

/// How a goal is to be pursued.
#[derive(Debug, Args)]
struct PursueArgs {
    #[command(flatten)]
    goal: GoalArg,
    /// The profile of the agents; claude when nothing is said.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How they are hosted: tmux, pty, acp or headless.
    #[arg(long)]
    driver: Option<String>,
    /// Their model, by the agents' own name for it.
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// How often an agent is told at most; 3 when nothing is said.
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// Tell what happens, wait for the end, and fail when the goal is not reached.
    #[arg(long)]
    watch: bool,
    /// Give the pursuit up.
    #[arg(long, conflicts_with_all = ["agent", "driver", "model", "attempts", "watch"])]
    stop: bool,
}

/// How a goal is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Does it; what only looks is answered from the mirror when no daemon can be had.
pub(crate) async fn run(folder: &Path, args: GoalArgs) -> Result<Code> {
    let form = if args.json { Form::Json } else { Form::Text };
    // What is wrong with a request is said before a daemon is started for it.
    let request = Request::of(args.command)?;
    let commands = Commands::of(folder);
    let client = match launch::client(folder).await {
        Ok(client) => client,
        Err(error) => return mirror::look(folder, &request, (form, &commands), error),
    };
    match act(&client, &request, (form, &commands)).await {
        Err(error) if mirror::is_away(&error) => mirror::look(folder, &request, (form, &commands), error),
        done => done,
    }
}

/// A command whose words are understood.
enum Request {
    New(spec::NewGoal),
    Update(Box<spec::Update>),
    Other(GoalCommand),
}

impl Request {
    fn of(command: GoalCommand) -> Result<Request> {
        Ok(match command {
            GoalCommand::New(args) => Request::New(args.read()?),
            GoalCommand::Update(args) => Request::Update(Box::new(args.read()?)),
            other => Request::Other(other),
        })
    }
}

/// A flat match: each arm hands over to its command.
async fn act(client: &Client, request: &Request, (form, commands): (Form, &Commands)) -> Result<Code> {
    let command = match request {
        Request::New(new) => return tell(&client.goal_create(&new.params(client).await?).await?, form),
        Request::Update(update) => return tell(&update.apply(client).await?, form),
        Request::Other(command) => command,
    };
    let goal = match command {
        GoalCommand::Ls { status } => {
            return list::show(&client.goals(status.as_deref()).await?, (form, commands));
        }
        GoalCommand::Show(goal) => return show::show(client, &goal.goal, form).await,
        GoalCommand::Link(args) => link(client, args).await?,
        GoalCommand::Note { goal, note } => {
            on(client, &goal.goal, "notes", &NoteParams { note: note.clone() }).await?
        }
        GoalCommand::Evidence(args) => args.record(client).await?,
        GoalCommand::SignOff(args) => args.record(client).await?,
        GoalCommand::Status { goal, status, reason } => {
            let params = GoalStatusParams { status: status.clone(), reason: reason.clone() };
            on(client, &goal.goal, "status", &params).await?
        }
        GoalCommand::Check(goal) => return check(client, &goal.goal, form).await,
        GoalCommand::Close(goal) => prove::close(client, &goal.goal).await?,
        GoalCommand::Pursue(PursueArgs { goal, stop: true, .. }) => {
            on(client, &goal.goal, "pursue/stop", &json!({})).await?
        }
        GoalCommand::Pursue(args) => return pursue(client, args, form).await,
        GoalCommand::New(_) | GoalCommand::Update(_) => unreachable!("they were read above"),
    };
    tell(&goal, form)
}

/// Does one thing to the goal that is meant.
async fn on(
    client: &Client,
    goal: &str,
    what: &str,
    params: &(impl serde::Serialize + Sync),
) -> Result<GoalView> {
    Ok(client.goal_do(&ids::goal(client, goal).await?, what, params).await?)
}

fn tell(goal: &GoalView, form: Form) -> Result<Code> {
    if let Form::Json = form {
        return print(&serde_json::to_string(goal)?);
    }
    for line in told(goal) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

async fn link(client: &Client, args: &LinkArgs) -> Result<GoalView> {
    let LinkArgs { goal, work, task, foreign } = args;
    let session_id = if *foreign { work.clone() } else { ids::work(client, work).await? };
    on(client, &goal.goal, "links", &LinkParams { session_id, task: task.clone() }).await
}

/// Runs the checks, and fails when one of them does.
async fn check(client: &Client, goal: &str, form: Form) -> Result<Code> {
    let goal = on(client, goal, "check", &json!({})).await?;
    tell(&goal, form)?;
    let checks = goal.acceptance.iter().filter(|criterion| criterion.check.is_some());
    let failed: Vec<_> =
        checks.clone().filter_map(|check| check.evidence.as_ref()).filter(|found| !found.passed).collect();
    let message = match (failed.is_empty(), goal.sessions.iter().any(|link| link.state == "failed")) {
        (false, _) => format!("{} of {} checks did not pass", failed.len(), checks.count()),
        (true, true) => "not every linked run passes the checks".to_owned(),
        (true, false) => return Ok(Code::Ok),
    };
    let place = failed.iter().find_map(|found| found.workspace.as_ref());
    let place = place.map_or_else(String::new, |place| format!("they ran in {place}; "));
    let hint = format!("{place}when it is mended: `adjutant goal check {}`", goal.id);
    Err(Failure::new(Code::Failed, message).hinted(hint).into())
}

async fn pursue(client: &Client, args: &PursueArgs, form: Form) -> Result<Code> {
    let PursueArgs { goal, agent, driver, model, attempts, watch, .. } = args;
    let params = PursueParams {
        agent: agent.clone(),
        driver: driver.clone(),
        model: model.clone(),
        attempts: *attempts,
    };
    let goal = on(client, &goal.goal, "pursue", &params).await?;
    if *watch { watched(client, goal, form).await } else { tell(&goal, form) }
}

/// Tells what happens to a pursued goal until its pursuit is over.
async fn watched(client: &Client, mut goal: GoalView, form: Form) -> Result<Code> {
    let mut told = goal.notes.len();
    loop {
        if let Form::Text = form {
            for note in goal.notes.iter().skip(told) {
                print(&visible(note))?;
            }
        }
        told = goal.notes.len();
        let pursuit = goal.pursuit.as_ref();
        if let Some(reached) = pursuit.and_then(|pursuit| pursuit.reached) {
            let reason = pursuit.and_then(|pursuit| pursuit.reason.clone());
            tell(&goal, form)?;
            return match reached {
                true => Ok(Code::Ok),
                false => {
                    let why = reason.unwrap_or_else(|| "it was given up".to_owned());
                    Err(Failure::new(Code::Failed, format!("the goal is not reached: {why}")).into())
                }
            };
        }
        tokio::time::sleep(WATCH_PAUSE).await;
        goal = client.goal(&goal.id).await?;
    }
}
