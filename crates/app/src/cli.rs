//! The command line. Every command but a few is a client of the HTTP door.

mod approvals;
mod blueprint;
mod breakers;
mod budget;
mod client_trace;
mod data;
mod delegations;
pub(crate) mod demo;
mod doctor;
mod enhance;
mod errors;
mod goals;
mod hooks;
mod ids;
mod inbox;
mod journal;
mod memory;
mod policy;
mod rerun;
mod run;
mod runs;
mod session;
mod settings;
mod steps;
mod store;
mod supervisor;
mod table;
mod tokens;
mod watch;
mod workspaces;

use crate::commands::Commands;
use crate::{bench, config, daemon, drive, exit, hook, launch, log, mcp, rehearsal};
use adjutant_engine::reports::{ErrorTap, LeftErrors};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::{Context, Result};
use blueprint::BlueprintCommand;
use clap::{CommandFactory, Parser, Subcommand};
use policy::PolicyCommand;
use std::io::{self, Write};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// A control plane for coding agents: it starts them in isolated git worktrees, judges their tool calls, records
/// every turn, and calls a goal done only when checks that it ran itself have proved it.
#[derive(Debug, Parser)]
#[command(name = "adjutant", version, max_term_width = 110)]
struct Cli {
    /// The data folder; by default ADJUTANT_HOME, or `adjutant` below the XDG data folder.
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job on a sample project: an agent fixes a failing test, checks prove it, a goal closes.
    Demo(demo::DemoArgs),
    /// Execute a blueprint and follow it.
    Run(run::RunArgs),
    /// Drive an agent, check, feed the failure back, until a check passes or the attempts or the budget are spent.
    Drive(drive::DriveArgs),
    /// List runs, the newest first.
    Runs(runs::RunsArgs),
    /// Show a run.
    Show(runs::ShowArgs),
    /// Show every turn of a run.
    Trace(runs::TraceArgs),
    /// List the steps of a run.
    Steps(steps::StepsArgs),
    /// Print what came out of a step.
    Step(steps::StepArgs),
    /// Let a run that is over go on again from one of its steps, and follow it.
    Rerun(rerun::RerunArgs),
    /// Go on with a run that is interrupted, and follow it.
    Resume(rerun::ResumeArgs),
    /// Cancel a run: what it has in flight is ended.
    Cancel(runs::CancelArgs),
    /// Sessions: agents that the daemon hosts, each in a workspace of its own.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Delegations: work that sessions have given to others.
    #[command(subcommand)]
    Delegation(delegations::DelegationCommand),
    /// Hand a session's work over to another agent, which is told by a brief where it stands.
    Handoff(session::handoff::HandoffArgs),
    /// Everything that waits for a person, and how it is answered.
    Inbox(inbox::InboxArgs),
    /// Goals: made, pursued, checked, closed by proof.
    Goal(goals::GoalArgs),
    /// Blueprints: checked, registered, compared, exported.
    #[command(subcommand)]
    Blueprint(BlueprintCommand),
    /// Issues: requests to change a blueprint, which verifiers let through or not.
    #[command(subcommand)]
    Issue(enhance::IssueCommand),
    /// The enhance loop: how issues are handled, and how they were decided.
    #[command(subcommand)]
    Enhance(enhance::EnhanceCommand),
    /// Workspaces: what agents worked in.
    Workspace(workspaces::WorkspaceArgs),
    /// Large results beside a flow: put, fetched by steps, listed.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Memory: facts that outlive the session, the run or the person that they came from.
    #[command(subcommand)]
    Memory(memory::MemoryCommand),
    /// The journal: what happened, in order.
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// The store: backed up, restored, checked, and what takes how much room in it.
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// What agents wait for: questions that a person answers.
    Approvals(approvals::ApprovalsArgs),
    /// Breakers: which agents are left alone because they failed again and again.
    Breakers(breakers::BreakersArgs),
    /// Errors of Adjutant itself: listed, and reported when you agree to the words.
    Errors(errors::ErrorsArgs),
    /// Hand on what an agent gives its hooks, and print what it is told; agents call this.
    Hook(hook::HookArgs),
    /// Hooks for agents that you start yourself: installed, removed, shown.
    #[command(subcommand)]
    Hooks(hooks::HooksCommand),
    /// Tokens: made for agents that connect from outside, listed, taken back.
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Policies: what they say, and what they said.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Settings: shown, and changed in `config.toml`.
    #[command(subcommand)]
    Config(settings::ConfigCommand),
    /// The fleet at one glance, and whether agents that died by themselves are started again.
    Supervisor(supervisor::SupervisorArgs),
    /// Speak the Model Context Protocol on standard input and output: agents drive Adjutant by this.
    Mcp,
    /// Run the daemon in the foreground.
    Serve(daemon::ServeArgs),
    /// Stop the daemon; open runs go on at its next start.
    Stop,
    /// Show whether the daemon runs and how it is.
    Status,
    /// Look at everything that Adjutant needs.
    Doctor,
    /// Measure this machine.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Play a script as an agent would: try a blueprint without spending tokens.
    Rehearsal(rehearsal::RehearsalArgs),
    /// Print the OpenAPI document of the HTTP door.
    Openapi,
    /// Print a shell's completions.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command line.
pub(crate) fn main() -> Result<Code> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way as well.
            let code = if error.use_stderr() { Code::Usage } else { Code::Ok };
            error.print().context("nothing can be printed")?;
            return Ok(code);
        }
    };
    let filter = EnvFilter::try_new(config::var("ADJUTANT_LOG").unwrap_or_else(|| log::USUAL.to_owned()))
        .unwrap_or_default();
    let tap = ErrorTap::default();
    log::init(&tap, filter);
    let _left = config::data_folder(cli.home.as_deref()).ok().map(|folder| LeftErrors {
        tap: tap.clone(),
        folder,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let commands = config::data_folder(cli.home.as_deref()).map(|folder| Commands::of(&folder));
    let commands = commands.unwrap_or_default();
    runtime.block_on(dispatch(cli, tap)).map_err(|error| exit::with_commands(error, &commands))
}

/// A flat match: each arm hands over to its command.
async fn dispatch(cli: Cli, tap: ErrorTap) -> Result<Code> {
    let folder = || config::data_folder(cli.home.as_deref());
    match cli.command {
        Command::Demo(args) => demo::run(&folder()?, args).await,
        Command::Run(args) => run::run(&folder()?, args).await,
        Command::Drive(args) => drive::run(&folder()?, args).await,
        Command::Runs(args) => runs::list(&connect(&cli.home).await?, args).await,
        Command::Show(args) => runs::show(&connect(&cli.home).await?, args).await,
        Command::Trace(args) => runs::trace(&connect(&cli.home).await?, args).await,
        Command::Steps(args) => steps::list(&connect(&cli.home).await?, args).await,
        Command::Step(args) => steps::content(&connect(&cli.home).await?, args).await,
        Command::Rerun(args) => rerun::rerun(&folder()?, args).await,
        Command::Resume(args) => rerun::resume(&folder()?, args).await,
        Command::Cancel(args) => runs::cancel(&connect(&cli.home).await?, args).await,
        Command::Session(command) => session::run(&folder()?, command).await,
        Command::Delegation(command) => {
            let client = connect(&cli.home).await?;
            delegations::run(&client, &Commands::of(&folder()?), command).await
        }
        Command::Handoff(args) => session::handoff::run(&folder()?, args).await,
        Command::Inbox(args) => inbox::run(&folder()?, args).await,
        Command::Goal(args) => goals::run(&folder()?, args).await,
        Command::Blueprint(BlueprintCommand::Lint { file }) => blueprint::lint(&file),
        Command::Blueprint(command) => blueprint::run(&folder()?, command).await,
        Command::Issue(command) => enhance::issue(&connect(&cli.home).await?, command).await,
        Command::Enhance(command) => enhance::enhance(&connect(&cli.home).await?, command).await,
        Command::Workspace(args) => workspaces::run(&connect(&cli.home).await?, args).await,
        Command::Data(command) => data::run(&data::client(&folder()?).await?, command).await,
        Command::Memory(command) => memory::run(&connect(&cli.home).await?, command).await,
        Command::Journal(command) => journal::run(&folder()?, command),
        Command::Store(command) => store::run(&folder()?, command).await,
        Command::Approvals(args) => approvals::run(&connect(&cli.home).await?, args).await,
        Command::Breakers(args) => breakers::run(&connect(&cli.home).await?, args).await,
        Command::Errors(args) => {
            errors::run(&connect(&cli.home).await?, &Commands::of(&folder()?), args).await
        }
        Command::Hook(args) => {
            // Nothing but its answer is its own, so it ends like any other command.
            let _always_well = hook::run(cli.home, args);
            Ok(Code::Ok)
        }
        Command::Hooks(command) => hooks::run(command),
        Command::Token(command) => tokens::run(&connect(&cli.home).await?, command).await,
        Command::Policy(PolicyCommand::Test(args)) => policy::test(&folder()?, args),
        Command::Policy(PolicyCommand::Explain(args)) => {
            policy::explain(&connect(&cli.home).await?, args).await
        }
        Command::Config(command) => settings::run(&connect(&cli.home).await?, command).await,
        Command::Supervisor(args) => supervisor::run(&connect(&cli.home).await?, args).await,
        Command::Mcp => mcp::run(cli.home).await,
        Command::Serve(args) => daemon::serve(&folder()?, args, tap).await,
        Command::Stop => doctor::stop(&folder()?).await,
        Command::Status => doctor::status(&folder()?).await,
        Command::Doctor => doctor::doctor(&folder()?).await,
        Command::Bench(command) => bench::run(command).await,
        Command::Rehearsal(args) => rehearsal::run(args).await,
        Command::Openapi => print(adjutant_server::openapi_json().trim_end()),
        Command::Completions { shell } => {
            // The generator panics when it cannot write, so it writes where that does not happen.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "adjutant", &mut script);
            print(String::from_utf8_lossy(&script).trim_end())
        }
    }
}

async fn connect(home: &Option<PathBuf>) -> Result<Client> {
    launch::client(&config::data_folder(home.as_deref())?).await
}

/// Prints a text and its line end.
fn print(text: &str) -> Result<Code> {
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(Code::Ok)
}
