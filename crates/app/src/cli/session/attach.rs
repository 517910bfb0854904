//! `adjutant session attach`: a person takes part in a session's terminal.

use crate::cli::print;
use crate::exit::Failure;
use adjutant_protocol::http::ManagedView;
use adjutant_protocol::{Client, ClientError, ErrorCode, ExitCode as Code};
use anyhow::{Context, Result};
use std::io::{self, IsTerminal};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes the program that shows the terminal; where there is no terminal to show it on, says which that is.
pub(super) async fn run(client: &Client, session: &ManagedView) -> Result<Code> {
    let found = match client.session_attach(&session.id).await {
        Err(ClientError::Api { error, .. }) if error.code == ErrorCode::Conflict.as_str() => {
            return Err(without_terminal(session, error.error).into());
        }
        found => found?,
    };
    if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return print(&found.attach_cmd);
    }
    let (program, args) = found.argv.split_first().context("the daemon names no command")?;
    // It comes back only when that program cannot be started.
    Err(Command::new(program).args(args).exec()).with_context(|| format!("{program} cannot be started"))
}

fn without_terminal(session: &ManagedView, why: String) -> Failure {
    let name = &session.name;
    let hint = match session.phase.as_str() {
        "running" => format!(
            "`adjutant session logs {name} -f` follows it, `adjutant session screen {name}` shows what it said last"
        ),
        _ => format!("`adjutant session show {name}` tells why, `adjutant session resume {name}` starts it"),
    };
    Failure::new(Code::Failed, why).hinted(hint)
}
