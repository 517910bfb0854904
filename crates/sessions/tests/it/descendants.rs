//! What programs leave behind, and that it ends.
//!
//! Each script makes sure that its descendant stands before it goes on: the descendant writes its pid into a pipe.

#![cfg(target_os = "linux")]

use crate::fixtures::{run, shell};
use adjutant_sessions::process::{self, sweep, sweep_prefix};
use adjutant_sessions::{EndedBy, Exit, Outcome, ProcessSpec, Swept};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const IN_THE_GROUP: &str = "mkfifo p; sh -c 'echo $$ > p; exec sleep 1000' & read pid < p; echo $pid; ";
const IN_A_SESSION: &str =
    "mkfifo p; setsid sh -c 'echo $$ > p; exec sleep 1000' & read pid < p; echo $pid; ";
const TWICE_FORKED: &str =
    "mkfifo p; setsid sh -c 'sh -c \"echo \\$\\$ > p; exec sleep 1000\" &' & read pid < p; echo $pid; ";
const DEAF: &str =
    "mkfifo p; setsid sh -c 'trap \"\" TERM; echo $$ > p; exec sleep 1000' & read pid < p; echo $pid; ";
const WITHOUT_ENVIRONMENT: &str =
    "mkfifo p; env -i setsid /bin/sh -c 'echo $$ > p; exec /bin/sleep 1000' & read pid < p; echo $pid; ";

fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}

fn marked(dir: &Path, script: &str, marker: &str) -> ProcessSpec {
    ProcessSpec { marker: Some(marker.to_owned()), ..shell(dir, script) }
}

fn unique(name: &str) -> String {
    format!("{}/{name}", uuid::Uuid::now_v7())
}

fn first_line(outcome: &Outcome) -> String {
    String::from_utf8(outcome.stdout.clone()).unwrap().lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn descendants_are_ended_after_a_normal_end_even_when_they_hold_the_output() {
    for script in [IN_THE_GROUP, IN_A_SESSION, TWICE_FORKED, DEAF] {
        let dir = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let outcome = run(marked(dir.path(), &format!("{script} exit 4"), &unique("end"))).await;
        assert_eq!((outcome.exit, outcome.ended_by), (Exit::Code(4), EndedBy::Itself), "{script}");
        assert!(outcome.descendants_killed >= 1 && outcome.descendants_alive == 0, "{script}: {outcome:?}");
        assert!(!is_alive(&first_line(&outcome)), "{script}");
        assert!(began.elapsed() < Duration::from_secs(20), "{script}");
    }
}

#[tokio::test]
async fn descendants_are_ended_after_a_timeout() {
    for script in [IN_THE_GROUP, IN_A_SESSION, TWICE_FORKED, DEAF, WITHOUT_ENVIRONMENT] {
        let dir = tempfile::tempdir().unwrap();
        let cancel = CancellationToken::new();
        let (sender, mut lines) = mpsc::channel(8);
        let spec = ProcessSpec {
            grace: Duration::from_millis(500),
            ..marked(dir.path(), &format!("{script} exec sleep 1000"), &unique("timeout"))
        };
        let running = tokio::spawn(process::run(spec, cancel.clone(), Some(sender)));
        let pid = lines.recv().await.unwrap();
        assert!(is_alive(&pid), "{script}");
        cancel.cancel();
        let outcome = running.await.unwrap().unwrap();
        assert_eq!((outcome.exit, outcome.ended_by), (Exit::Signal(15), EndedBy::Cancelled), "{script}");
        assert!(!is_alive(&pid), "{script}");
    }
}

#[tokio::test]
async fn a_helper_behind_the_output_may_write_its_last_words() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mkfifo p; (read line < p; echo \"late $line\") & echo word > p; exit 0";
    let outcome = run(marked(dir.path(), script, &unique("late"))).await;
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "late word\n");
    assert_eq!(outcome.descendants_killed, 0);
}

#[tokio::test]
async fn what_a_dead_daemon_left_behind_is_found_by_its_marker() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let run_id = uuid::Uuid::now_v7();
    let pid = abandoned(dir.path(), &format!("{run_id}/0")).await;
    let other_pid = abandoned(other.path(), &format!("{run_id}0/0")).await;

    assert_eq!(sweep("").await, Swept::default());
    assert_eq!(sweep_prefix("").await, Swept::default());
    assert_eq!(sweep(&run_id.to_string()).await, Swept::default(), "a marker is compared as a whole");
    assert!(is_alive(&pid) && is_alive(&other_pid));
    assert_eq!(sweep_prefix(&format!("{run_id}/")).await, Swept { killed: 1, alive: 0 });
    assert!(!is_alive(&pid) && is_alive(&other_pid));
    assert_eq!(sweep(&format!("{run_id}0/0")).await, Swept { killed: 1, alive: 0 });
    assert!(!is_alive(&other_pid));
}

/// Starts a program, stops waiting for it as a dying daemon does, and gives the pid of what it left in a session of
/// its own.
async fn abandoned(dir: &Path, marker: &str) -> String {
    let (sender, mut lines) = mpsc::channel(8);
    let spec = marked(dir, &format!("{IN_A_SESSION} exec sleep 1000"), marker);
    let running = tokio::spawn(process::run(spec, CancellationToken::new(), Some(sender)));
    let pid = lines.recv().await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    pid
}

#[tokio::test]
async fn a_run_that_nobody_waits_for_takes_its_group_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, mut lines) = mpsc::channel(8);
    let spec = shell(dir.path(), "echo $$; exec sleep 1000");
    let running = tokio::spawn(process::run(spec, CancellationToken::new(), Some(sender)));
    let pid = lines.recv().await.unwrap();
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_alive(&pid) {
        assert!(Instant::now() < deadline, "{pid} is still there");
        tokio::task::yield_now().await;
    }
}
