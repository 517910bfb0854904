//! Agents in terminals that this process holds.

use crate::terminal_fixture::{agent, exit, is_alive, shown};
use adjutant_model::session::{AgentExit, AskAnswer, DriverKind, Signal};
use adjutant_sessions::driver::pty::{self, PtyAgent};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec};
use adjutant_sessions::screen::scrollback_read;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

fn spec(dir: &Path, argv: &[&str]) -> LaunchSpec {
    agent(dir, DriverKind::Pty, "pty", argv)
}

async fn launch(spec: LaunchSpec) -> (PtyAgent, mpsc::Receiver<Signal>) {
    let (signals, heard) = mpsc::channel(64);
    (pty::launch(spec, signals).await.unwrap(), heard)
}

#[tokio::test]
async fn the_end_of_an_agent_is_told_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let table = [
        ("exit 0", AgentExit::Code(0)),
        ("exit 7", AgentExit::Code(7)),
        ("kill -KILL $$", AgentExit::Signal(9)),
    ];
    for (script, expected) in table {
        let (agent, mut signals) = launch(spec(dir.path(), &["sh", "-c", script])).await;
        assert_eq!(exit(&mut signals).await, expected, "{script}");
        assert!(signals.recv().await.is_none(), "the last signal is the last");
        assert!(matches!(agent.send("x").await, Err(DriverError::Gone)));
        assert_eq!(agent.end(Duration::from_secs(1)).await.unwrap().exit, expected);
    }
    let missing = pty::launch(spec(dir.path(), &["no-such-program"]), mpsc::channel(1).0).await;
    assert!(matches!(missing, Err(DriverError::Start { .. })));
}

/// Asks its terminal where the cursor is before it goes on, as agents' interfaces do, and reads a paste.
const INTERFACE: &str = r#"
import os, sys, tty
tty.setraw(0)
os.write(1, b"\x1b[6n")
while not os.read(0, 100).endswith(b"R"): pass
os.write(1, b"\x1b[?2004hready\r\n")
data = b""
while not data.endswith(b"\x1b[201~\r"):
    data += os.read(0, 65536)
start, end = data.find(b"\x1b[200~"), data.rfind(b"\x1b[201~")
open(sys.argv[1], "wb").write(data[start + 6:end].replace(b"\r", b"\n"))
os.write(1, b"got %d\r\n" % data.count(b"\x1b"))
os.read(0, 1)
print("\r\nanswered %s\r" % os.get_terminal_size().columns, flush=True)
while os.read(0, 1) != b"\x03": pass
"#;

#[tokio::test]
async fn an_interface_is_answered_told_and_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("got");
    let spec = spec(dir.path(), &["python3", "-c", INTERFACE, file.to_str().unwrap()]);
    let folder = spec.folder.clone();
    let (agent, mut signals) = launch(spec).await;
    let line = "ünïcode 漢字 🎉 'quotes' $HOME\n";
    let text = line.repeat(100 * 1024 / line.len());
    agent.send(&format!("{text}\u{1b}[201~\rend")).await.unwrap();
    shown(&agent, &mut signals, "got 2").await;
    assert!(std::fs::read_to_string(file).unwrap() == format!("{text}\nend"));
    agent.resize(77, 20).await.unwrap();
    agent.answer("ask", AskAnswer::Allow).await.unwrap();
    shown(&agent, &mut signals, "answered 77").await;
    agent.interrupt().await.unwrap();
    assert_eq!(exit(&mut signals).await, AgentExit::Code(0));
    let kept = scrollback_read(&folder, 1 << 20).unwrap();
    assert!(kept.contains("ready") && kept.contains("answered 77") && !kept.contains('\u{1b}'));
}

#[tokio::test]
async fn a_flood_is_taken_and_what_is_kept_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let spec = spec(
        dir.path(),
        &["sh", "-c", "head -c 10485760 /dev/zero | tr '\\0' x; printf '\\377 done\\n'; exec sleep 1000"],
    );
    let folder = spec.folder.clone();
    let (agent, mut signals) = launch(spec).await;
    shown(&agent, &mut signals, "done").await;
    let kept: u64 =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 1 << 20);
}

#[tokio::test]
async fn an_agent_ends_with_who_holds_its_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mkfifo p; setsid sh -c 'trap \"\" TERM HUP; echo $$ > p; exec sleep 1000' & read pid < p; echo \"pid $pid.\"; exec sleep 1000";
    let spec = spec(dir.path(), &["sh", "-c", script]);
    let (agent, mut signals) = launch(spec.clone()).await;
    let lines = shown(&agent, &mut signals, "pid ").await.concat();
    let hidden = lines.split("pid ").nth(1).unwrap().split('.').next().unwrap().to_owned();
    let handle = agent.handle();
    assert!(is_alive(&hidden) && is_alive(&handle.pid.to_string()));
    drop(agent);
    let adopted = pty::adopt(handle.clone(), spec, mpsc::channel(1).0).await.unwrap();
    assert!(matches!(adopted, Adopted::Ended(AgentExit::WithDaemon)));
    assert!(!is_alive(&hidden));
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_alive(&handle.pid.to_string()) {
        assert!(Instant::now() < deadline, "{handle:?} is still there");
        tokio::task::yield_now().await;
    }
}
