//! `adjutant doctor | status | stop`

use super::print;
use crate::exit::Failure;
use crate::progress::visible;
use crate::{config, launch};
use adjutant_engine::doctor::{self, AgentFinding, Finding, Grade, LookParams};
use adjutant_protocol::ExitCode as Code;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

/// The name of the finding about the mirror of goals.
const GOALS: &str = "goals";

/// How long a daemon may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

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
    let (store, queues) = (&status.store, &status.queues);
    print(&format!(
        "store: {} KiB tables, {} KiB log, {} KiB files of outputs",
        store.tables_bytes >> 10,
        store.wal_bytes >> 10,
        store.blobs_bytes >> 10
    ))?;
    print(&format!(
        "waiting: {} writes, {} approvals, {} bodies that arrive",
        queues.writer, queues.waiting_approvals, queues.arriving_bodies
    ))?;
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
    let exe = std::env::current_exe().context("Adjutant's own program is not found")?;
    let env = config::environment();
    let looked = doctor::look(LookParams { folder, env: &env, exe: &exe }).await;
    let mut findings = looked.findings;
    findings.push(store(folder).await);
    findings.extend(mirror_of_goals(folder).await);
    findings.extend(looked.agents.iter().map(AgentFinding::finding));
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or_default();
    for finding in &findings {
        let mark = match finding.grade {
            Grade::Fine => "ok  ",
            Grade::Worse => "warn",
            Grade::Bad => "FAIL",
        };
        print(&format!("{mark}  {:<width$} {}", finding.name, visible(&finding.detail)))?;
    }
    let bad = findings.iter().filter(|finding| finding.grade == Grade::Bad).count();
    if bad == 0 {
        Ok(Code::Ok)
    } else {
        Err(Failure::new(Code::Failed, format!("{bad} things are wrong")).into())
    }
}

/// Says that `goals.json` is behind, when a daemon runs that says so; whether one runs is said of the store.
async fn mirror_of_goals(folder: &Path) -> Option<Finding> {
    let client = launch::running(folder).await.ok()??;
    let said = client.doctor().await.ok()?.checks.into_iter().find(|finding| finding.name == GOALS)?;
    Some(Finding::new(GOALS, Grade::Worse, said.detail))
}

async fn store(folder: &Path) -> Finding {
    let found = |grade, detail: String| Finding::new("store", grade, detail);
    let client = match launch::running(folder).await {
        Ok(Some(client)) => client,
        Ok(None) => {
            return found(Grade::Fine, "no daemon runs; one is started when it is needed".to_owned());
        }
        Err(error) => return found(Grade::Bad, format!("{error:#}")),
    };
    match client.status().await {
        Ok(status) => match status.store_failure {
            None => {
                found(Grade::Fine, format!("daemon pid {}, {} journal rows", status.pid, status.journal_seq))
            }
            Some(failure) => found(Grade::Bad, format!("writes fail: {failure}")),
        },
        Err(error) => found(Grade::Bad, error.to_string()),
    }
}
