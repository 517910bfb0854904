//! Children that outlive their agent: the same program, waiting.

use super::script::{Fork, ForkEnvironment, ForkHome, OnTerm};
use crate::exit::Failure;
use adjutant_protocol::ExitCode as Code;
use anyhow::Result;
use clap::Args;
use std::io::{self, Write};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// A child that nobody ends goes by itself after one hour.
const LIFE: Duration = Duration::from_secs(3600);

/// What a child is.
#[derive(Debug, Args)]
pub(super) struct ChildArgs {
    /// Wait as a child that a script left behind.
    #[arg(long, hide = true)]
    pub(super) child: bool,
    /// In a session of its own.
    #[arg(long, hide = true, requires = "child")]
    detach: bool,
    /// Without regard to SIGTERM and SIGHUP.
    #[arg(long, hide = true, requires = "child")]
    ignore_term: bool,
}

/// Starts the children, waits until each is as it should be, and says who they are.
pub(super) async fn start(fork: Fork) -> io::Result<String> {
    let program = std::env::current_exe()?;
    let mut pids = Vec::new();
    for _ in 0..fork.count {
        let mut command = Command::new(&program);
        command.args(["rehearsal", "--child"]);
        if fork.home == ForkHome::Own {
            command.arg("--detach");
        }
        if fork.on_term == OnTerm::Ignore {
            command.arg("--ignore-term");
        }
        if fork.environment == ForkEnvironment::Empty {
            command.env_clear();
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("a child has no output"))?;
        let ready = BufReader::new(stdout).lines().next_line().await?;
        pids.push(ready.ok_or_else(|| io::Error::other("a child ended at once"))?);
    }
    Ok(format!("children: {}", pids.join(" ")))
}

/// Waits as a child.
pub(super) async fn wait(args: &ChildArgs) -> Result<Code> {
    let signals = if args.ignore_term {
        vec![
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
        ]
    } else {
        Vec::new()
    };
    if args.detach {
        rustix::process::setsid().map_err(|error| {
            Failure::new(Code::Failed, format!("a session of its own cannot be had: {error}"))
        })?;
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", std::process::id())?;
    stdout.flush()?;
    drop(stdout);
    tokio::time::sleep(LIFE).await;
    drop(signals);
    Ok(Code::Ok)
}
