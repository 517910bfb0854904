//! `adjutant session …`: agents that the daemon hosts.

mod attach;
pub(super) mod handoff;
mod list;
mod logs;
mod new;
#[cfg(test)]
pub(super) mod sample;
mod several;
mod show;
mod words;

pub(super) use new::project_here;
pub(super) use show::answers;
pub(super) use words::ago;

use super::ids::{self, AnySession};
use super::{print, workspaces};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::launch;
use crate::progress::visible_lines;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{AnswerParams, SendParams};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use several::Deed;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much an agent is told at once, in bytes; the daemon takes no more.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// So many lines of a terminal stand below what happened.
const SCREEN_LINES: usize = 40;

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Begin a session: an agent is told its task in a workspace of its own.
    New(Box<new::NewArgs>),
    /// List sessions; what waits for a person stands first.
    Ls(list::LsArgs),
    /// Show everything that is known of a session.
    Show {
        #[command(flatten)]
        session: SessionArg,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tell a session's agent something, as its next prompt.
    Send {
        #[command(flatten)]
        session: SessionArg,
        /// What it is told; `-` is standard input.
        #[arg(value_name = "TEXT|-", allow_hyphen_values = true)]
        text: String,
    },
    /// Answer what a session's agent asks.
    Answer {
        #[command(flatten)]
        session: SessionArg,
        /// To a permission `allow`, or `deny` with a reason behind it; to a question the words of an option, or any.
        #[arg(allow_hyphen_values = true)]
        answer: String,
        /// Which question, as `adjutant session show` names it; the oldest when nothing is said.
        #[arg(long = "ask", value_name = "ASK_ID")]
        ask_id: Option<String>,
    },
    /// Make a session's agent leave its present turn; it stays there.
    Interrupt {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Take part in a session's terminal.
    Attach {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Print what a session's terminal shows, or what its agent said last.
    Screen {
        #[command(flatten)]
        session: SessionArg,
        /// So many of its last lines.
        #[arg(long, value_name = "N", default_value_t = 60)]
        lines: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print what happened to a session.
    Logs {
        #[command(flatten)]
        session: SessionArg,
        /// Go on with what happens, until its agent is not there any more.
        #[arg(short, long)]
        follow: bool,
        /// Print what its terminal shows as well, when all else is printed.
        #[arg(long, conflicts_with = "json")]
        screen: bool,
        /// Print events as JSON lines.
        #[arg(long)]
        json: bool,
    },
    /// End the agents of sessions; their workspaces stay.
    Stop(SeveralArgs),
    /// Start the agents of sessions again, where they were.
    Resume(SeveralArgs),
    /// End sessions for good; a snapshot of each workspace stays.
    Rm {
        #[command(flatten)]
        sessions: SeveralArgs,
        /// Although their work stands nowhere but in the snapshots.
        #[arg(long)]
        force: bool,
    },
    /// Show what a session changed since its base, untracked files included.
    Diff {
        #[command(flatten)]
        session: SessionArg,
    },
    /// Merge what a session has committed into a branch, when the checks pass on the merged tree.
    Merge {
        #[command(flatten)]
        session: SessionArg,
        #[command(flatten)]
        merge: workspaces::MergeArgs,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Which session.
#[derive(Debug, Args)]
pub(super) struct SessionArg {
    /// A session's name, its id, or a part of that which only one has.
    #[arg(value_name = "SESSION")]
    session: String,
}

/// Which sessions.
#[derive(Debug, Args)]
pub(super) struct SeveralArgs {
    /// Names of sessions, their ids, or parts of these which only one has.
    #[arg(value_name = "SESSION", required = true)]
    sessions: Vec<String>,
    /// Print a JSON line for each.
    #[arg(long)]
    json: bool,
}

/// A flat match: each arm hands over to its command.
pub(super) async fn run(folder: &Path, command: SessionCommand) -> Result<Code> {
    let find = async |arg: SessionArg| {
        let client = launch::client(folder).await?;
        let session = ids::session(&client, &arg.session).await?;
        anyhow::Ok((client, session))
    };
    match command {
        SessionCommand::New(args) => new::run(folder, *args).await,
        SessionCommand::Ls(args) => list::run(folder, args).await,
        SessionCommand::Show { session, json } => {
            let client = launch::client(folder).await?;
            let session = ids::any_session(&client, &session.session).await?;
            match (json, &session) {
                (true, AnySession::Managed(session)) => print(&serde_json::to_string(session)?),
                (true, AnySession::Other(session)) => print(&serde_json::to_string(session)?),
                (false, AnySession::Managed(session)) => {
                    show::run(&client, session, &Commands::of(folder)).await
                }
                (false, AnySession::Other(session)) => {
                    show::other::run(&client, session, &Commands::of(folder)).await
                }
            }
        }
        SessionCommand::Send { session, text } => {
            let text = if text == "-" { text_of("-", TEXT_BYTES_MAX)? } else { text };
            let (client, session) = find(session).await?;
            let sent = client.session_send(&session.id, &SendParams { text }).await?;
            print(&format!("{} is told", sent.tmux_name))
        }
        SessionCommand::Answer { session, answer, ask_id } => {
            let (client, session) = find(session).await?;
            let answered = client.session_answer(&session.id, &AnswerParams { answer, ask_id }).await?;
            print(&format!("{} has the answer", answered.tmux_name))
        }
        SessionCommand::Interrupt { session } => {
            let (client, session) = find(session).await?;
            let session = client.session_command(&session.id, "interrupt").await?;
            print(&format!("{} is interrupted", session.name))
        }
        SessionCommand::Attach { session } => {
            let (client, session) = find(session).await?;
            attach::run(&client, &session).await
        }
        SessionCommand::Screen { session, lines, json } => {
            let (client, session) = find(session).await?;
            let screen = client.session_screen(&session.id, lines).await?;
            match json {
                true => print(&serde_json::to_string(&screen)?),
                false => show_screen(&screen.lines.join("\n")),
            }
        }
        SessionCommand::Logs { session, follow, screen, json } => {
            let client = launch::client(folder).await?;
            let session = ids::any_session(&client, &session.session).await?;
            logs::run(folder, (&client, session.id()), (json, follow)).await?;
            match screen {
                true => show_screen(&client.session_activity(session.id(), SCREEN_LINES).await?.raw_pane),
                false => Ok(Code::Ok),
            }
        }
        SessionCommand::Stop(args) => several::run(folder, Deed::Stop, args).await,
        SessionCommand::Resume(args) => several::run(folder, Deed::Resume, args).await,
        SessionCommand::Rm { sessions, force } => {
            several::run(folder, Deed::Remove { force }, sessions).await
        }
        SessionCommand::Diff { session } => {
            let (client, session) = find(session).await?;
            workspaces::diff(&client, &session.id, false).await
        }
        SessionCommand::Merge { session, merge, json } => {
            let (client, session) = find(session).await?;
            workspaces::merge(&client, &session.id, (merge, json)).await
        }
    }
}

/// Prints what a terminal shows, without what is empty at its end.
fn show_screen(text: &str) -> Result<Code> {
    print(visible_lines(text).trim_end())
}

/// Reads a text from a file, or from standard input where that is `-`; one that is too long is refused.
fn text_of(path: &str, bytes_max: usize) -> Result<String> {
    let source: Box<dyn Read> = match path {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(File::open(path).map_err(|error| {
            Failure::new(Code::NotFound, format!("{path} cannot be read: {error}")).hinted("check the path")
        })?),
    };
    let mut text = String::new();
    // One byte more than there may be tells that there is more.
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    source.take(limit).read_to_string(&mut text).with_context(|| format!("{path} is no text"))?;
    if text.len() > bytes_max {
        return Err(Failure::usage(format!("{path} is longer than {bytes_max} bytes"))
            .hinted("put it into a file of the project and name that")
            .into());
    }
    Ok(text)
}
