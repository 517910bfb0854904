//! `adjutant handoff`: another agent goes on with a session's work.

use super::new::{errored, until_there};
use super::show::{next, told};
use crate::cli::{ids, print};
use crate::commands::Commands;
use crate::launch;
use crate::progress::visible_lines;
use adjutant_model::session::SessionState;
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::HandoffParams;
use anyhow::Result;
use clap::Args;
use std::path::Path;

/// Whose work, and who goes on with it.
#[derive(Debug, Args)]
pub(in crate::cli) struct HandoffArgs {
    /// A session's name, its id, or a part of that which only one has.
    session: String,
    /// The profile of the agent that goes on.
    #[arg(long, value_name = "AGENT")]
    to: String,
    /// How it is hosted: tmux, pty, acp or headless.
    #[arg(long)]
    driver: Option<String>,
    /// How capable its model is wanted: haiku, sonnet or opus.
    #[arg(long)]
    tier: Option<String>,
    /// Its model; over the tier.
    #[arg(long)]
    model: Option<String>,
    /// What is said to it besides the brief.
    #[arg(long)]
    note: Option<String>,
    /// By what the request is known when it is repeated.
    #[arg(long)]
    key: Option<String>,
    /// Stop the session's agent first.
    #[arg(long)]
    stop: bool,
    /// Print the brief as well.
    #[arg(long)]
    brief: bool,
    /// Return as soon as the session is asked for.
    #[arg(long)]
    no_wait: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(folder: &Path, args: HandoffArgs) -> Result<Code> {
    let HandoffArgs { session, to, driver, tier, model, note, key, stop, brief, no_wait, json } = args;
    let client = launch::client(folder).await?;
    let session = ids::session(&client, &session).await?;
    let params = HandoffParams { agent: to, driver, tier, model, note, key, stop };
    let mut handoff = client.session_handoff(&session.id, &params).await?;
    if !no_wait {
        handoff.successor = until_there(folder, &handoff.successor).await?;
    }
    if json {
        return print(&serde_json::to_string(&handoff)?);
    }
    if brief {
        print(visible_lines(&handoff.brief).trim_end())?;
        print("")?;
    }
    let successor = &handoff.successor;
    if successor.state == SessionState::Errored.as_str() {
        return Err(errored(successor).into());
    }
    print(&told(successor))?;
    let commands = Commands::of(folder);
    for (title, command) in next(successor) {
        print(&format!("{:<12} {}", format!("{title}:"), commands.line(&command)))?;
    }
    Ok(Code::Ok)
}
