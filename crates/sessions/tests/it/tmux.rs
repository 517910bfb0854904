//! Agents in terminals of a real tmux server, each test with a server of its own.

use crate::terminal_fixture::{PATIENCE, agent, exit, is_alive, shown, until};
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, DriverKind, Signal};
use adjutant_sessions::driver::tmux::{self, TmuxAgent, TmuxParams, TmuxServer};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec};
use adjutant_sessions::process::Cgroups;
use adjutant_sessions::screen::scrollback_read;
use adjutant_testkit::environment::hermetic;
use futures_util::future::join_all;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A tmux server that ends with the test.
struct Ground {
    dir: TempDir,
    server: TmuxServer,
}

impl Ground {
    fn new() -> Ground {
        Ground::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut TmuxParams)) -> Ground {
        let dir = tempfile::tempdir().unwrap();
        let mut params = params(dir.path());
        change(&mut params);
        let server = TmuxServer::new(params);
        Ground { dir, server }
    }

    fn spec(&self, name: &str, argv: &[&str]) -> LaunchSpec {
        agent(self.dir.path(), DriverKind::Tmux, name, argv)
    }

    async fn launch(&self, spec: LaunchSpec) -> (TmuxAgent, mpsc::Receiver<Signal>) {
        let (signals, heard) = mpsc::channel(64);
        (tmux::launch(&self.server, spec, signals).await.unwrap(), heard)
    }

    async fn shell(&self, name: &str, script: &str) -> (TmuxAgent, mpsc::Receiver<Signal>) {
        self.launch(self.spec(name, &["sh", "-c", script])).await
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").arg("-S").arg(socket(self.dir.path())).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn socket(dir: &Path) -> std::path::PathBuf {
    dir.join("t.sock")
}

fn params(dir: &Path) -> TmuxParams {
    TmuxParams {
        program: "tmux".to_owned(),
        socket: socket(dir),
        env: hermetic(dir),
        host: Vec::new(),
        cgroups: None,
    }
}

#[tokio::test]
async fn the_end_of_an_agent_is_told_as_it_was() {
    let ground = Ground::new();
    let table = [
        ("exit 0", AgentExit::Code(0)),
        ("exit 7", AgentExit::Code(7)),
        ("kill -TERM $$", AgentExit::Signal(15)),
        ("kill -KILL $$", AgentExit::Signal(9)),
    ];
    for (at, (script, expected)) in table.into_iter().enumerate() {
        let (agent, mut signals) = ground.shell(&format!("end-{at}"), script).await;
        assert_eq!(exit(&mut signals).await, expected, "{script}");
        assert!(signals.recv().await.is_none(), "the last signal is the last");
        assert!(matches!(agent.send("hello").await, Err(DriverError::Gone)));
        let ended = agent.end(Duration::from_secs(1)).await.unwrap();
        assert_eq!((ended.exit, ended.swept.alive), (expected, 0));
    }
    assert_eq!(ground.server.terminals().await.unwrap(), []);
    assert!(ground.server.end_if_empty().await.unwrap());
}

#[tokio::test]
async fn a_server_without_agents_ends_but_not_with_what_a_person_has_there() {
    let ground = Ground::new();
    assert!(ground.server.end_if_empty().await.unwrap(), "where there never was one");
    let (agent, _signals) = ground.shell("stays", "exec sleep 1000").await;
    assert!(!ground.server.end_if_empty().await.unwrap());
    ground.tmux(&["new-session", "-d", "-s", "mine", "sleep 1000"]);
    assert_eq!(agent.end(Duration::from_secs(5)).await.unwrap().swept.alive, 0);
    assert!(ground.server.end_if_empty().await.unwrap());
    assert_eq!(ground.tmux(&["list-sessions", "-F", "#{session_name}"]), "mine\n");

    let (agent, _signals) = ground.shell("again", "exec sleep 1000").await;
    assert_eq!(agent.end(Duration::from_secs(5)).await.unwrap().swept.alive, 0);
    let server: i32 = ground.tmux(&["display-message", "-p", "#{pid}"]).trim().parse().unwrap();
    assert!(ground.server.end_if_empty().await.unwrap());
    ground.tmux(&["kill-session", "-t", "=mine"]);
    while is_alive(&server.to_string()) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_start_that_was_made_is_found_and_a_later_one_takes_its_place() {
    let ground = Ground::new();
    let spec = ground.spec("twice", &["sh", "-c", "echo up; exec sleep 1000"]);
    let (first, mut signals) = ground.launch(spec.clone()).await;
    shown(&first, &mut signals, "up").await;
    let (again, mut signals_again) = ground.launch(spec.clone()).await;
    let handle = first.handle();
    assert_eq!(handle, again.handle());
    drop(first);
    assert!(is_alive(&handle.pid.to_string()) && handle.started_ticks > 0);

    let marker = format!("{}/2", spec.session);
    let (later, _signals) = ground.launch(LaunchSpec { launch: 2, marker, ..spec.clone() }).await;
    exit(&mut signals_again).await;
    assert!(!is_alive(&handle.pid.to_string()));
    assert_ne!(later.handle().pid, handle.pid);
    let names: Vec<_> = ground
        .server
        .terminals()
        .await
        .unwrap()
        .into_iter()
        .map(|found| (found.name, found.launch))
        .collect();
    assert_eq!(names, [("adj-twice".to_owned(), 2)]);

    let other = ground.spec("twice", &["sh"]);
    let refused = tmux::launch(&ground.server, other, mpsc::channel(1).0).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the agent could not be started: the terminal `adj-twice` is another session's"
    );
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_before_there_is_a_terminal() {
    let ground = Ground::new();
    let long = "a".repeat(41);
    for name in ["", "a b", "x:0", "=x", "#(touch pwned)", "$(touch pwned)", "a'b", "A", "ü", long.as_str()]
    {
        let refused = tmux::launch(&ground.server, ground.spec(name, &["sh"]), mpsc::channel(1).0).await;
        assert!(matches!(refused, Err(DriverError::Start { .. })), "{name:?}");
    }
    let missing =
        tmux::launch(&ground.server, ground.spec("gone", &["no-such-program"]), mpsc::channel(1).0).await;
    assert_eq!(
        missing.unwrap_err().to_string(),
        "the agent could not be started: the program `no-such-program` was not found in PATH"
    );
    let params = TmuxParams { program: "no-such-tmux".to_owned(), ..params(ground.dir.path()) };
    let refused = tmux::launch(&TmuxServer::new(params), ground.spec("a", &["sh"]), mpsc::channel(1).0).await;
    assert!(refused.unwrap_err().to_string().contains("no-such-tmux"));
    assert_eq!(ground.server.terminals().await.unwrap(), []);
    assert!(!ground.dir.path().join("pwned").exists());
}

#[tokio::test]
async fn an_agent_has_its_environment_and_nothing_else_and_no_secret_is_seen() {
    let ground = Ground::new();
    let mut spec = ground.spec(
        "env",
        &["sh", "-c", "env | cut -d= -f1 | sort | tr '\\n' ' '; echo \"<$TOKEN>\"; exec sleep 1000"],
    );
    spec.env.push(("TOKEN".to_owned(), "it's $ecret `x`".to_owned()));
    let folder = spec.folder.clone();
    let (agent, mut signals) = ground.launch(spec).await;
    let lines = shown(&agent, &mut signals, "<it's $ecret `x`>").await.concat();
    let names: Vec<&str> = lines.split(" <").next().unwrap().split(' ').collect();
    let names: Vec<&str> =
        names.into_iter().filter(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name)).collect();
    assert_eq!(
        names,
        ["ADJUTANT_EFFECT", "HOME", "PATH", "TERM", "TOKEN<it's"].map(|name| name.trim_end_matches("<it's"))
    );
    assert!(std::fs::read_dir(folder).unwrap().all(|entry| entry.unwrap().file_name() == "scrollback"));
    let server_pid = ground.tmux(&["display-message", "-p", "#{pid}"]);
    let environ = std::fs::read(format!("/proc/{}/environ", server_pid.trim())).unwrap();
    assert!(!String::from_utf8_lossy(&environ).contains("ecret"));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server_pid.trim())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    assert_eq!(fields[2..4], [server_pid.trim(); 2], "the server leads a group and a session of its own");
    assert_ne!(fields[1], std::process::id().to_string(), "and is nobody's child here");
    assert!(
        !String::from_utf8_lossy(&environ).contains("CARGO"),
        "nothing of this process leaks into the server"
    );
}

/// Reads its terminal as an agent's interface does: it asks for bracketed paste and tells what it got.
const READER: &str = r#"
import os, sys, tty, hashlib
tty.setraw(0)
os.write(1, b"\x1b[?2004hready\r\n")
data = b""
while not data.endswith(b"\x1b[201~\r"):
    data += os.read(0, 65536)
start, end = data.find(b"\x1b[200~"), data.rfind(b"\x1b[201~")
text = data[start + 6:end].replace(b"\r", b"\n")
open(sys.argv[1], "wb").write(text)
os.write(1, b"got %d %d\r\n" % (data.count(b"\x1b[201~"), data.count(b"\x1b")))
os.read(0, 1)
"#;

#[tokio::test]
async fn a_long_text_arrives_as_it_is_and_cannot_end_its_own_paste() {
    let ground = Ground::new();
    let file = ground.dir.path().join("got");
    let spec = ground.spec("reader", &["python3", "-c", READER, file.to_str().unwrap()]);
    let (agent, mut signals) = ground.launch(spec).await;
    let line = "ünïcode 漢字 🎉 'quotes' \"double\" $HOME `x` #{pane_id} ; kill-server \\ % \n";
    let text = line.repeat(100 * 1024 / line.len());
    agent.send(&format!("{text}\u{1b}[201~\r\u{9b}201~end")).await.unwrap();
    shown(&agent, &mut signals, "got 1 2").await;
    assert!(std::fs::read_to_string(file).unwrap() == format!("{text}\nend"));

    let (sink, mut signals) = ground.shell("sink", "echo up; exec cat > /dev/null").await;
    shown(&sink, &mut signals, "up").await;
    let refused = sink.send(&"x".repeat((1 << 20) + 1)).await.unwrap_err();
    assert!(matches!(refused, DriverError::Unsupported { .. }), "{refused}");
}

#[tokio::test]
async fn an_agent_is_told_answered_and_interrupted_by_its_keys() {
    let ground = Ground::new();
    let script = "trap 'echo interrupted' INT; echo ready; while read -r line; do echo \"got <$line>\"; done; \
                  while read -r line; do echo \"got <$line>\"; done";
    let (agent, mut signals) = ground.shell("keys", script).await;
    agent.send("one 漢字").await.unwrap();
    shown(&agent, &mut signals, "got <one 漢字>").await;
    agent.answer("ask", AskAnswer::Allow).await.unwrap();
    shown(&agent, &mut signals, "got <y>").await;
    agent.answer("ask", AskAnswer::Text("words".to_owned())).await.unwrap();
    shown(&agent, &mut signals, "got <words>").await;
    let refused = agent.answer("ask", AskAnswer::Deny { reason: "no".to_owned() }).await;
    assert!(matches!(refused, Err(DriverError::Unsupported { .. })));
    // A person who scrolls there takes no keys away.
    ground.tmux(&["copy-mode", "-t", "=adj-keys:"]);
    agent.interrupt().await.unwrap();
    shown(&agent, &mut signals, "interrupted").await;
    assert_eq!(agent.screen(1).await.unwrap().lines.len(), 1);
    assert_eq!(agent.screen(9).await.unwrap().size, (100, 30));
}

#[tokio::test]
async fn quiet_and_output_are_told_once_each_time() {
    let ground = Ground::new();
    let (agent, mut signals) =
        ground.shell("turns", "echo up; while read -r line; do echo \"$line\"; done").await;
    let is_quiet = |signal: &AgentSignal| matches!(signal, AgentSignal::Quiet { .. });
    for _ in 0..3 {
        let seen = until(&mut signals, is_quiet).await;
        assert!(
            matches!(seen[..], [AgentSignal::Output, AgentSignal::Quiet { quiet_ms: 200.. }]),
            "{seen:?}"
        );
        ground.tmux(&["send-keys", "-t", "=adj-turns:", "x", "Enter"]);
    }
    drop(agent);
}

#[tokio::test]
async fn agents_outlive_who_started_them_and_are_taken_up_again() {
    let ground = Ground::new();
    let spec = ground.spec("living", &["sh", "-c", "echo up; read -r line; echo \"got $line\"; exit 3"]);
    let (agent, mut signals) = ground.launch(spec.clone()).await;
    shown(&agent, &mut signals, "up").await;
    let dying = ground.spec("dying", &["sh", "-c", "sleep 0.2; kill -9 $$"]);
    let (dying_agent, _dying_signals) = ground.launch(dying.clone()).await;
    let (handle, dying_handle) = (agent.handle(), dying_agent.handle());
    drop((agent, dying_agent));
    let dir = ground.dir.path().to_owned();

    let server = TmuxServer::new(params(&dir));
    let (told, mut signals) = mpsc::channel(64);
    let Adopted::Living(agent) = tmux::adopt(&server, handle.clone(), spec.clone(), told).await.unwrap()
    else {
        panic!("it lives");
    };
    assert_eq!(agent.handle(), handle);
    agent.send("again").await.unwrap();
    assert_eq!(exit(&mut signals).await, AgentExit::Code(3));
    assert!(agent.screen(100).await.unwrap().lines.iter().any(|line| line == "got again"));

    // How it ended is known although nobody was there.
    let ended = loop {
        match tmux::adopt(&server, dying_handle.clone(), dying.clone(), mpsc::channel(64).0).await.unwrap() {
            Adopted::Ended(exit) => break exit,
            Adopted::Living(_) => tokio::task::yield_now().await,
        }
    };
    assert_eq!(ended, AgentExit::Signal(9));
    let other = adjutant_model::session::HostHandle { pid: handle.pid + 1, ..handle };
    let gone = tmux::adopt(&server, other, spec, mpsc::channel(1).0).await.unwrap();
    assert!(matches!(gone, Adopted::Ended(AgentExit::Vanished)), "another process is not taken for it");
}

#[tokio::test]
async fn a_server_that_is_gone_took_its_agents_with_it() {
    let ground = Ground::new();
    let (agent, mut signals) = ground.shell("gone", "echo up; exec sleep 1000").await;
    shown(&agent, &mut signals, "up").await;
    ground.tmux(&["kill-server"]);
    assert_eq!(exit(&mut signals).await, AgentExit::Vanished);
    assert!(!is_alive(&agent.handle().pid.to_string()));
    assert_eq!(ground.server.terminals().await.unwrap(), []);
    assert!(matches!(agent.send("x").await, Err(DriverError::Gone)));
    // The next start makes a new one.
    let (agent, mut signals) = ground.shell("gone", "echo again; exec sleep 1000").await;
    shown(&agent, &mut signals, "again").await;
}

#[tokio::test]
async fn a_flood_costs_neither_memory_nor_the_end_of_it() {
    let ground = Ground::new();
    let script = "head -c 104857600 /dev/zero | tr '\\0' x; printf '\\377\\376 bad \\033]0;title\\007\\033[31mred\\n'; echo done; exec sleep 1000";
    let spec = ground.spec("flood", &["sh", "-c", script]);
    let folder = spec.folder.clone();
    let before = resident_kib("self");
    let (agent, mut signals) = ground.launch(spec).await;
    let lines = shown(&agent, &mut signals, "done").await;
    assert!(lines.iter().any(|line| line.contains("bad red")), "{:?}", lines.last());
    assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
    let grown = resident_kib("self").saturating_sub(before);
    // Of 100 MiB; the other tests of this process grow it, too.
    assert!(grown < 96 << 10, "this process grew by {grown} KiB");
    let server_pid = ground.tmux(&["display-message", "-p", "#{pid}"]);
    assert!(
        resident_kib(server_pid.trim()) < 128 << 10,
        "the server has {} KiB",
        resident_kib(server_pid.trim())
    );
    let kept: u64 =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 1 << 20, "{kept} bytes are kept");
    assert!(!scrollback_read(&folder, 1 << 20).unwrap().contains('\u{1b}'));
}

fn resident_kib(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn ending_an_agent_ends_what_hides_from_it() {
    let ground = Ground::new();
    // In its own session, deaf, and without its environment while its parent lives.
    let script = "mkfifo p; env -i setsid /bin/sh -c 'trap \"\" TERM HUP; echo $$ > p; while :; do /bin/sleep 1; done' & \
                  read pid < p; echo \"pid $pid.\"; trap '' TERM; while :; do sleep 1; done";
    let (agent, mut signals) = ground.shell("hide", script).await;
    let lines = shown(&agent, &mut signals, "pid ").await.concat();
    let pid = lines.split("pid ").nth(1).unwrap().split('.').next().unwrap().to_owned();
    assert!(is_alive(&pid));
    let began = Instant::now();
    let ended = agent.end(Duration::from_millis(300)).await.unwrap();
    assert_eq!((ended.exit, ended.swept.alive), (AgentExit::Signal(9), 0));
    assert!(ended.swept.killed >= 1 && began.elapsed() < PATIENCE);
    assert!(!is_alive(&pid) && !is_alive(&agent.handle().pid.to_string()));
    assert_eq!(exit(&mut signals).await, AgentExit::Signal(9));
    assert_eq!(ground.server.terminals().await.unwrap(), []);
    let again = agent.end(Duration::from_millis(300)).await.unwrap();
    assert_eq!(again.exit, AgentExit::Signal(9), "doing it again is fine");
}

/// Leaves a descendant behind that forked twice, began a session of its own, wiped its environment and is deaf, and
/// whose parent is gone; then goes on.
const ESCAPE: &str = "mkfifo p; (env -i setsid /bin/sh -c 'trap \"\" TERM HUP INT; echo $$ > p; while :; do /bin/sleep 1; done' &); \
                      read pid < p; echo \"pid $pid.\"; ";

fn pid_in(lines: &[String]) -> String {
    lines.concat().split("pid ").nth(1).unwrap().split('.').next().unwrap().to_owned()
}

#[tokio::test]
async fn nobody_leaves_a_cgroup() {
    let name = format!("adjutant-test-{}", uuid::Uuid::now_v7());
    let Some(cgroups) = Cgroups::detect(&name) else {
        println!("no cgroup can be made here: not tried");
        return;
    };
    let ground = Ground::with(|params| params.cgroups = Some(cgroups.clone()));
    let bomb = "n=0; while [ $n -lt 300 ]; do setsid sleep 1000 & n=$((n+1)); done; ";
    let script = format!("{ESCAPE} {bomb} echo armed; exec sleep 1000");
    let (agent, mut signals) = ground.shell("cgroup", &script).await;
    let hidden = pid_in(&shown(&agent, &mut signals, "armed").await);
    assert!(is_alive(&hidden));
    let ended = agent.end(Duration::from_millis(300)).await.unwrap();
    assert!(ended.swept.killed >= 301 && ended.swept.alive == 0, "{ended:?}");
    assert!(!is_alive(&hidden) && !is_alive(&agent.handle().pid.to_string()));

    // What is left when the agent ends by itself is ended before its end is told.
    let (agent, mut signals) = ground.shell("leaver", &format!("{ESCAPE} read -r line; exit 4")).await;
    let hidden = pid_in(&shown(&agent, &mut signals, "pid ").await);
    agent.send("go").await.unwrap();
    assert_eq!(exit(&mut signals).await, AgentExit::Code(4));
    assert!(!is_alive(&hidden));
    assert!(agent.end(Duration::from_secs(1)).await.unwrap().swept.killed >= 1);
    drop((agent, ground));
    cgroups.remove();
}

/// Becomes a program that adopts its descendants' orphans, as the hidden command of the binary does.
const HOST: &str =
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])";

#[tokio::test]
async fn an_agent_that_adopts_its_orphans_hides_none_without_a_cgroup() {
    let ground = Ground::with(|params| params.host = ["python3", "-c", HOST].map(str::to_owned).to_vec());
    let (agent, mut signals) = ground.shell("host", &format!("{ESCAPE} exec sleep 1000")).await;
    let hidden = pid_in(&shown(&agent, &mut signals, "pid ").await);
    assert!(is_alive(&hidden));
    let ended = agent.end(Duration::from_millis(300)).await.unwrap();
    assert!(ended.swept.killed >= 1 && ended.swept.alive == 0, "{ended:?}");
    assert!(!is_alive(&hidden));
}

#[tokio::test]
async fn fifty_terminals_are_taken_up_at_once() {
    let ground = Ground::new();
    let specs: Vec<LaunchSpec> = (0..50)
        .map(|at| ground.spec(&format!("many-{at}"), &["sh", "-c", "echo up; exec sleep 1000"]))
        .collect();
    let began = Instant::now();
    let started = join_all(specs.iter().map(|spec| ground.launch(spec.clone()))).await;
    let launched = began.elapsed();
    let handles: Vec<_> = started.iter().map(|(agent, _)| agent.handle()).collect();
    drop(started);

    let server = TmuxServer::new(params(ground.dir.path()));
    let began = Instant::now();
    let adopted = join_all(
        specs
            .iter()
            .zip(&handles)
            .map(|(spec, handle)| tmux::adopt(&server, handle.clone(), spec.clone(), mpsc::channel(64).0)),
    )
    .await;
    println!("50 launched in {launched:?}, adopted in {:?}", began.elapsed());
    let living: Vec<TmuxAgent> = adopted
        .into_iter()
        .filter_map(|adopted| match adopted.unwrap() {
            Adopted::Living(agent) => Some(agent),
            Adopted::Ended(_) => None,
        })
        .collect();
    assert_eq!(living.iter().map(AgentDriver::handle).collect::<Vec<_>>(), handles);
    let ended = join_all(living.iter().map(|agent| agent.end(Duration::from_secs(5)))).await;
    for ended in ended {
        // On a loaded machine one may still be a shell that has not taken its TERM when its grace is over.
        let exit = ended.unwrap().exit;
        assert!(matches!(exit, AgentExit::Signal(15 | 9)), "{exit:?}");
    }
    assert!(handles.iter().all(|handle| !is_alive(&handle.pid.to_string())));
    assert!(ground.server.end_if_empty().await.unwrap());
}
