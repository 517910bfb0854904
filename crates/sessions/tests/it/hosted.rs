//! Agents to host: starts of small programs, and what they tell.

use adjutant_model::profile::{
    AgentProfile, DriverSpec, Fillings, HookFlavour, OnUnreachable, PromptDelivery, StreamFlavour,
    TerminalSpec, VersionProbe,
};
use adjutant_model::session::{AgentQuestion, AgentSignal, DriverKind, SessionUsage, Signal};
use adjutant_sessions::driver::LaunchSpec;
use adjutant_testkit::environment;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// However slow the machine is, an agent that says nothing for so long will not.
const PATIENCE: Duration = Duration::from_secs(60);

/// A place where an agent can be hosted.
pub(crate) struct Stage {
    pub(crate) dir: TempDir,
    pub(crate) marker: String,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        for name in ["folder", "work"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        Stage { dir, marker: format!("session/{}/1", uuid::Uuid::new_v4()) }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("folder")
    }

    /// Gives the start of a program.
    pub(crate) fn spec(&self, driver: DriverSpec, argv: &[&str]) -> LaunchSpec {
        LaunchSpec {
            session: "00000000-0000-7000-8000-000000000001".to_owned(),
            name: "try".to_owned(),
            launch: 1,
            profile: Arc::new(profile(argv[0], driver.clone())),
            driver,
            argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
            fillings: Fillings::default(),
            env: environment::hermetic(self.dir.path()),
            cwd: self.work(),
            folder: self.folder(),
            size: (80, 24),
            marker: self.marker.clone(),
            prompt: None,
            resume: None,
            scrollback_bytes_max: 1 << 20,
            cgroups: None,
        }
    }

    /// Gives the start of a shell script that speaks a protocol.
    pub(crate) fn script(&self, driver: DriverKind, script: &str) -> LaunchSpec {
        let path = self.write("agent.sh", script);
        let (prompt, stream) = match driver {
            DriverKind::Acp => (PromptDelivery::Protocol, StreamFlavour::Acp),
            _ => (PromptDelivery::Protocol, StreamFlavour::ClaudeStreamJson),
        };
        self.spec(driver_of(driver, prompt, stream), &["sh", &path])
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

pub(crate) fn driver_of(driver: DriverKind, prompt: PromptDelivery, stream: StreamFlavour) -> DriverSpec {
    let (args, resume_args, env_set) = (Vec::new(), Vec::new(), BTreeMap::new());
    DriverSpec { driver, program: None, args, resume_args, prompt, stream, env_set }
}

fn profile(program: &str, driver: DriverSpec) -> AgentProfile {
    AgentProfile {
        name: "stand-in".to_owned(),
        aliases: Vec::new(),
        program: program.to_owned(),
        version: VersionProbe { args: vec!["--version".to_owned()], known: None },
        drivers: vec![driver],
        env_allow: Vec::new(),
        env_set: Default::default(),
        models: Default::default(),
        hooks: HookFlavour::None,
        on_unreachable: OnUnreachable::DenyWrites,
        tools_read_only: Vec::new(),
        terminal: TerminalSpec {
            ready_quiet_ms: 100,
            ready_max_ms: 1000,
            submit_pause_ms: 50,
            idle_quiet_ms: 1000,
            interrupt_keys: Vec::new(),
            exit_text: None,
            allow_keys: Vec::new(),
            deny_keys: Vec::new(),
        },
    }
}

/// What an agent tells, in order.
pub(crate) struct Told(mpsc::Receiver<Signal>);

impl Told {
    pub(crate) fn channel() -> (mpsc::Sender<Signal>, Told) {
        let (sender, receiver) = mpsc::channel(4);
        (sender, Told(receiver))
    }

    /// Waits for the first signal that is looked for, and gives it with all before it.
    pub(crate) async fn until(&mut self, is_it: impl Fn(&AgentSignal) -> bool) -> Vec<AgentSignal> {
        let mut told = Vec::new();
        loop {
            let next = timeout(PATIENCE, self.0.recv()).await;
            let Ok(Some(signal)) = next else { panic!("the signals ended, or stopped, after {told:#?}") };
            let is_last = is_it(&signal.what);
            told.push(signal.what);
            if is_last {
                return told;
            }
        }
    }

    pub(crate) async fn turn_end(&mut self) -> Vec<AgentSignal> {
        self.until(|signal| matches!(signal, AgentSignal::TurnEnded { .. })).await
    }

    pub(crate) async fn exit(&mut self) -> Vec<AgentSignal> {
        let told = self.until(|signal| matches!(signal, AgentSignal::Exited(_))).await;
        assert!(timeout(PATIENCE, self.0.recv()).await.unwrap().is_none(), "nothing comes behind the end");
        told
    }

    pub(crate) async fn asked(&mut self) -> AgentQuestion {
        let told = self.until(|signal| matches!(signal, AgentSignal::Asked(_))).await;
        match told.into_iter().last() {
            Some(AgentSignal::Asked(question)) => question,
            other => panic!("unexpected {other:?}"),
        }
    }
}

/// Adds up what was used.
pub(crate) fn used(told: &[AgentSignal]) -> SessionUsage {
    told.iter().fold(SessionUsage::default(), |sum, signal| match signal {
        AgentSignal::UsedMore(more) => sum.plus(more),
        _ => sum,
    })
}

/// Counts the processes that carry a marker; Linux tells.
pub(crate) fn alive(marker: &str) -> usize {
    let mark = format!("ADJUTANT_EFFECT={marker}");
    let carries = |path: &Path| {
        let environ = std::fs::read(path.join("environ")).unwrap_or_default();
        let is_zombie = std::fs::read_to_string(path.join("stat")).is_ok_and(|stat| stat.contains(") Z "));
        !is_zombie && environ.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter(|entry| entry.as_ref().is_ok_and(|entry| carries(&entry.path()))).count()
}
