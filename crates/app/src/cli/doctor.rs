//! `adjutant doctor | status | stop`

use super::print;
use crate::exit::Failure;
use crate::{config, launch};
use adjutant_protocol::ExitCode as Code;
use adjutant_sessions::process::{Exit, ProcessSpec, run as run_process};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a daemon may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a program may take to tell its version.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// Less free space than this is worth a warning.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// A clock before this (2024) is wrong: nothing of Adjutant is that old.
const CLOCK_MS_MIN: i64 = 1_704_067_200_000;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Fine,
    Worse,
    Bad,
}

struct Item {
    name: &'static str,
    finding: Finding,
    detail: String,
}

pub(crate) async fn status(folder: &Path) -> Result<Code> {
    let Some(client) = launch::running(folder).await? else {
        let failure = Failure::new(Code::Unreachable, format!("no daemon runs for {}", folder.display()));
        return Err(failure
            .hinted("every command that needs one starts it; `adjutant serve` runs it in the foreground")
            .into());
    };
    let status = client.status().await?;
    print(&format!(
        "daemon {} pid {} at {}, since {}",
        status.version,
        status.pid,
        client.address(),
        status.started_at
    ))?;
    print(&format!("{} open runs, {} journal rows", status.runs_open, status.journal_seq))?;
    match status.store_failure {
        Some(failure) => Err(Failure::new(Code::Failed, format!("writes fail: {failure}")).into()),
        None => Ok(Code::Ok),
    }
}

pub(crate) async fn stop(folder: &Path) -> Result<Code> {
    let daemon = match (launch::running(folder).await?, launch::daemon_file(folder)?) {
        (Some(_), Some(daemon)) => daemon,
        (None, _) | (_, None) => return print("no daemon runs"),
    };
    let pid =
        i32::try_from(daemon.pid).ok().and_then(Pid::from_raw).context("the daemon's pid makes no sense")?;
    kill_process(pid, Signal::TERM).context("the daemon cannot be told to stop")?;
    let deadline = Instant::now() + STOP_TIMEOUT;
    // One that has ended keeps its pid until its parent has asked for it; its socket and its lock are gone before.
    let lives = || {
        test_kill_process(pid).is_ok() && (Path::new(&daemon.socket).exists() || launch::lock_is_held(folder))
    };
    while lives() {
        if Instant::now() > deadline {
            let failure =
                Failure::new(Code::Failed, format!("the daemon (pid {}) has not stopped yet", daemon.pid));
            return Err(failure.hinted("it ends its agents first; look again with `adjutant status`").into());
        }
        // Nothing tells a process that another one, which is not its child, has ended.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    print("the daemon has stopped; open runs go on at its next start")
}

pub(crate) async fn doctor(folder: &Path) -> Result<Code> {
    let mut items = vec![
        program("git", Finding::Bad, "worktrees and checks need it: install git").await,
        program("tmux", Finding::Worse, "interactive sessions will need it: install tmux").await,
        disk(folder),
        clock(),
        store(folder).await,
    ];
    for agent in ["claude", "codex"] {
        items.push(program(agent, Finding::Worse, "not installed; the rehearsal agent needs nothing").await);
    }
    for item in &items {
        let mark = match item.finding {
            Finding::Fine => "ok  ",
            Finding::Worse => "warn",
            Finding::Bad => "FAIL",
        };
        print(&format!("{mark}  {:<7} {}", item.name, item.detail))?;
    }
    let bad = items.iter().filter(|item| item.finding == Finding::Bad).count();
    if bad == 0 {
        Ok(Code::Ok)
    } else {
        Err(Failure::new(Code::Failed, format!("{bad} things are wrong")).into())
    }
}

async fn program(name: &'static str, when_missing: Finding, advice: &str) -> Item {
    let flag = if name == "tmux" { "-V" } else { "--version" };
    let spec = ProcessSpec {
        timeout: Some(PROBE_TIMEOUT),
        env: config::environment(),
        ..ProcessSpec::new(vec![name.to_owned(), flag.to_owned()], "/".into())
    };
    match run_process(spec, CancellationToken::new(), None).await {
        Ok(outcome) if outcome.exit == Exit::Code(0) => {
            let said = String::from_utf8_lossy(&outcome.stdout);
            Item { name, finding: Finding::Fine, detail: said.lines().next().unwrap_or_default().to_owned() }
        }
        Ok(_) => Item { name, finding: when_missing, detail: format!("`{name} {flag}` failed") },
        Err(_) => Item { name, finding: when_missing, detail: advice.to_owned() },
    }
}

fn disk(folder: &Path) -> Item {
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let (finding, detail) = match rustix::fs::statvfs(there) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let finding = if free < FREE_BYTES_MIN { Finding::Worse } else { Finding::Fine };
            (finding, format!("{} MiB free for {}", free >> 20, folder.display()))
        }
        Err(error) => (Finding::Bad, format!("{}: {error}", there.display())),
    };
    Item { name: "disk", finding, detail }
}

fn clock() -> Item {
    let now = adjutant_engine::clock::now();
    let finding = if now.unix_ms() < CLOCK_MS_MIN { Finding::Bad } else { Finding::Fine };
    Item { name: "clock", finding, detail: now.to_string() }
}

async fn store(folder: &Path) -> Item {
    let name = "store";
    let client = match launch::running(folder).await {
        Ok(Some(client)) => client,
        Ok(None) => {
            return Item {
                name,
                finding: Finding::Fine,
                detail: "no daemon runs; one is started when it is needed".to_owned(),
            };
        }
        Err(error) => return Item { name, finding: Finding::Bad, detail: format!("{error:#}") },
    };
    let (finding, detail) = match client.status().await {
        Ok(status) => match status.store_failure {
            None => {
                (Finding::Fine, format!("daemon pid {}, {} journal rows", status.pid, status.journal_seq))
            }
            Some(failure) => (Finding::Bad, format!("writes fail: {failure}")),
        },
        Err(error) => (Finding::Bad, error.to_string()),
    };
    Item { name, finding, detail }
}
