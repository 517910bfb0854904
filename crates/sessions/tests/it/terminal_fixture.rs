//! What the tests of drivers share: agents that are small programs, and waiting for their signals.

use adjutant_model::profile::{
    AgentProfile, DriverSpec, Fillings, HookFlavour, OnUnreachable, PromptDelivery, StreamFlavour,
    TerminalSpec, VersionProbe,
};
use adjutant_model::session::{AgentExit, AgentSignal, DriverKind, Signal};
use adjutant_sessions::driver::{AgentDriver, LaunchSpec};
use adjutant_testkit::environment::hermetic;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long anything that is waited for may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Gives a profile of a program that is told things by its terminal.
pub(crate) fn profile(driver: DriverKind) -> AgentProfile {
    AgentProfile {
        name: "test".to_owned(),
        aliases: Vec::new(),
        program: "sh".to_owned(),
        version: VersionProbe { args: Vec::new(), known: None },
        drivers: vec![driver_spec(driver)],
        env_allow: Vec::new(),
        env_set: BTreeMap::new(),
        models: BTreeMap::new(),
        hooks: HookFlavour::None,
        on_unreachable: OnUnreachable::Deny,
        tools_read_only: Vec::new(),
        terminal: TerminalSpec {
            ready_quiet_ms: 50,
            ready_max_ms: 20_000,
            submit_pause_ms: 50,
            idle_quiet_ms: 200,
            interrupt_keys: vec!["C-c".to_owned()],
            exit_text: None,
            allow_keys: vec!["y".to_owned(), "Enter".to_owned()],
            deny_keys: Vec::new(),
        },
    }
}

fn driver_spec(driver: DriverKind) -> DriverSpec {
    DriverSpec {
        driver,
        program: None,
        args: Vec::new(),
        resume_args: Vec::new(),
        prompt: PromptDelivery::Typed,
        stream: StreamFlavour::None,
        env_set: BTreeMap::new(),
    }
}

/// Gives the first start of a session, whose agent is this program.
pub(crate) fn agent(dir: &Path, driver: DriverKind, name: &str, argv: &[&str]) -> LaunchSpec {
    let session = uuid::Uuid::now_v7().to_string();
    let folder = dir.join(&session);
    std::fs::create_dir_all(&folder).unwrap();
    LaunchSpec {
        marker: format!("{session}/1"),
        session,
        name: name.to_owned(),
        launch: 1,
        profile: Arc::new(profile(driver)),
        driver: driver_spec(driver),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: hermetic(dir),
        cwd: dir.to_owned(),
        folder,
        size: (100, 30),
        fillings: Fillings::default(),
        prompt: None,
        resume: None,
        scrollback_bytes_max: 1 << 20,
        cgroups: None,
    }
}

/// Waits for the signal that a test is about; gives those that came before it as well.
pub(crate) async fn until(
    signals: &mut mpsc::Receiver<Signal>,
    is_it: impl Fn(&AgentSignal) -> bool,
) -> Vec<AgentSignal> {
    let mut seen = Vec::new();
    loop {
        let signal = timeout(PATIENCE, signals.recv()).await;
        let signal = signal.unwrap_or_else(|_| panic!("only {seen:?} came")).expect("the driver goes on");
        seen.push(signal.what);
        if seen.last().is_some_and(&is_it) {
            return seen;
        }
    }
}

/// Waits for how the agent ended, which is the last signal.
pub(crate) async fn exit(signals: &mut mpsc::Receiver<Signal>) -> AgentExit {
    let seen = until(signals, |signal| matches!(signal, AgentSignal::Exited(_))).await;
    match seen.last() {
        Some(AgentSignal::Exited(exit)) => *exit,
        other => panic!("{other:?}"),
    }
}

/// Waits until the screen has a line with this text, looking again whenever the terminal has changed and come to rest.
pub(crate) async fn shown(
    agent: &dyn AgentDriver,
    signals: &mut mpsc::Receiver<Signal>,
    text: &str,
) -> Vec<String> {
    loop {
        let lines = agent.screen(1_000).await.unwrap().lines;
        if lines.iter().any(|line| line.contains(text)) {
            return lines;
        }
        let signal = timeout(PATIENCE, signals.recv()).await;
        assert!(signal.is_ok(), "`{text}` is not on the screen: {lines:#?}");
    }
}

/// Tells whether a process is there and no zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}
