//! Managed sessions as scenarios: begun, told their task, stopped, gone on with and ended behind a snapshot, with a
//! small program as the agent.

use adjutant_engine::hooks::HookParams;
use adjutant_engine::hosting::{HostParams, SessionCommand, SessionFilter};
use adjutant_engine::{EngineError, Settings};
use adjutant_model::action::{Caller, Role};
use adjutant_model::event::Event;
use adjutant_model::session::{Desired, DriverKind, Session, SessionPhase, SessionState};
use adjutant_model::{SessionId, Value};
use adjutant_sessions::process;
use adjutant_testkit::trial::{Life, Scenario};
use adjutant_testkit::{Home, json, owner, repository};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// What the agent is told to do.
const TASK: &str = "write it down";
/// What it writes in the workspace for each prompt.
const WORK: &str = "by the agent";
/// What somebody writes there when nobody takes a snapshot any more but the removal.
const LATE: &str = "by a person";

/// Print mode: notes what it is told, works, and ends its turn.
const HEADLESS: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  text=${line#*'"content":"'}; text=${text%%'"'*}
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  echo "$text" >> "$1"
  echo "by the agent" > work.txt
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

/// A terminal: the same, and says so.
const TERMINAL: &str = r#"
echo ready
while read -r line; do
  echo "by the agent" > work.txt
  echo "$line" >> "$1"
  echo done
done
"#;

/// One session, from the request to its end.
#[derive(Debug, Clone)]
pub(crate) struct SessionCase {
    driver: DriverKind,
    /// Whether the agent may be told its task again where nobody knows whether it was.
    once: bool,
}

impl SessionCase {
    pub(crate) fn new(driver: DriverKind) -> Self {
        SessionCase { driver, once: false }
    }

    /// As it is without a fault: the task is told exactly once.
    pub(crate) fn without_fault(driver: DriverKind) -> Self {
        SessionCase { driver, once: true }
    }

    async fn session(&self, life: &Life<'_>) -> Result<Session, EngineError> {
        let found = life.plane.sessions_managed(SessionFilter::default()).await?.pop();
        if let Some(managed) = found {
            return Ok(managed.session);
        }
        let params = HostParams {
            project: Some(life.home.path("project")),
            task: TASK.to_owned(),
            agent: Some("noter".to_owned()),
            driver: Some(self.driver),
            name_hint: Some("trial".to_owned()),
            ..HostParams::default()
        };
        Ok(life.plane.session_host(&owner(), params, Duration::ZERO).await?.session)
    }

    async fn live_through(&self, life: &Life<'_>) -> Result<(), EngineError> {
        let id = self.session(life).await?.id;
        loop {
            let stood = life.plane.session_managed(id).await?.session;
            if stood.state == SessionState::Decommissioned {
                return Ok(());
            }
            let next = match is_under_way(&stood) {
                true => None,
                false => self.next(life, &stood).await?,
            };
            match next {
                Some(command) => {
                    for _ in 0..life.asks {
                        self.want(life, id, command).await?;
                    }
                }
                None => changed(life, &stood).await?,
            }
        }
    }

    /// Gives what a person does next, when nothing is under way; nothing while the agent works.
    async fn next(&self, life: &Life<'_>, session: &Session) -> Result<Option<SessionCommand>, EngineError> {
        let was_stopped = was_stopped(life, session.id).await?;
        match (session.phase, session.desired) {
            (SessionPhase::Running, _) if !was_stopped => {
                if session.turns > 0 {
                    return Ok(Some(SessionCommand::Stop));
                }
                self.help(life, session).await?;
                Ok(None)
            }
            (SessionPhase::Running, _) => {
                let workspace = life.plane.session_managed(session.id).await?.workspace;
                let path = workspace.expect("it has one while it runs").path;
                fs::write(Path::new(&path).join("late.txt"), LATE).expect("the file is written");
                Ok(Some(SessionCommand::Decommission { force: true }))
            }
            (_, Desired::Running | Desired::Stopped) => Ok(Some(SessionCommand::Resume)),
            (_, Desired::Decommissioned) => Ok(Some(SessionCommand::Decommission { force: true })),
        }
    }

    /// Tells the agent what it could not be told, and is the hook of an agent that has none.
    async fn help(&self, life: &Life<'_>, session: &Session) -> Result<(), EngineError> {
        if session.reason.as_deref().is_some_and(|reason| reason.contains("could not be told"))
            && told(life.home) == 0
        {
            life.plane.session_send(session.id, TASK.to_owned()).await?;
        }
        if self.driver == DriverKind::Headless {
            return Ok(());
        }
        while told(life.home) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let agent = Caller { role: Role::Worker, of_session: Some(session.id), ..owner() };
        for event in ["SessionStart", "UserPromptSubmit", "Stop"] {
            let body = json(json!({"hook_event_name": event, "session_id": "S1"}));
            let params = HookParams { size_bytes: 64, hook_id: None, body, session: None };
            life.plane.hook_received(&agent, params).await?;
        }
        // What hooks tell is taken a moment later.
        let mut stood = session.clone();
        while stood.turns == 0 && stood.phase == SessionPhase::Running {
            changed(life, &stood).await?;
            stood = life.plane.session_managed(session.id).await?.session;
        }
        Ok(())
    }

    async fn want(&self, life: &Life<'_>, id: SessionId, command: SessionCommand) -> Result<(), EngineError> {
        match life.plane.session_command(id, command, Duration::from_secs(30)).await {
            // It was asked for twice.
            Ok(_) | Err(EngineError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Tells whether something comes to its end by itself.
fn is_under_way(session: &Session) -> bool {
    adjutant_rules::session::pending(session).is_some() || session.parked_until.is_some()
}

async fn was_stopped(life: &Life<'_>, id: SessionId) -> Result<bool, EngineError> {
    let rows = life.plane.events_of(&id.to_string(), 0, 10_000).await?;
    let is_stop = |event: &Event| {
        matches!(event, Event::SessionStateChanged { to: SessionState::Stopped, reason: Some(reason), .. }
            if reason == "stopped as asked")
    };
    Ok(rows.iter().any(|row| is_stop(&row.event)))
}

/// Waits until a session is another one.
async fn changed(life: &Life<'_>, stood: &Session) -> Result<(), EngineError> {
    let mut committed = life.plane.committed();
    while life.plane.session_managed(stood.id).await?.session == *stood {
        committed.changed().await.map_err(|_| EngineError::Stopping)?;
    }
    Ok(())
}

/// Gives how often the agent was told its task.
fn told(home: &Home) -> usize {
    home.told("noter").lines().filter(|line| line.contains(TASK)).count()
}

impl Scenario for SessionCase {
    fn name(&self) -> &str {
        match self.driver {
            DriverKind::Tmux => "a session in tmux",
            DriverKind::Pty => "a session in a terminal of the daemon's",
            DriverKind::Acp => "a session over ACP",
            DriverKind::Headless => "a session in print mode",
        }
    }

    fn prepare(&self, home: &Home) {
        repository::with_one_file(&home.path("project"));
        let (script, driver) = match self.driver {
            DriverKind::Headless | DriverKind::Acp => {
                (HEADLESS, "prompt = \"protocol\"\nstream = \"claude_stream_json\"")
            }
            DriverKind::Tmux | DriverKind::Pty => (TERMINAL, "prompt = \"typed\""),
        };
        let driver = format!(
            "[terminal]\nready_quiet_ms = 50\nready_max_ms = 2000\nsubmit_pause_ms = 20\nidle_quiet_ms = 1000\n\
             [[driver]]\nkind = \"{}\"\n{driver}\n",
            self.driver.as_str()
        );
        home.agent_by("noter", script, &driver);
    }

    fn settings(&self, home: &Home) -> Settings {
        home.settings_hosting()
    }

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.live_through(life))
    }

    /// Gives what anybody can look up: whether the agent was told, what of the work can be restored, what lives on.
    fn left<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Value> {
        Box::pin(async move {
            let sessions =
                life.plane.sessions_managed(SessionFilter::default()).await.expect("they are readable");
            let [managed] = &sessions[..] else { panic!("there is one session: {sessions:?}") };
            let session = &managed.session;
            let swept = process::sweep_prefix(&format!("session:{}/", session.id)).await;
            let told = told(life.home);
            assert!(told == 1 || !self.once, "the task was told {told} times");
            let snapshot = session.snapshot_ref.clone().expect("its last state is kept");
            let kept = |name: &str| {
                repository::git(&life.home.path("project"), &["show", &format!("{snapshot}:{name}")])
            };
            assert_eq!((kept("work.txt"), kept("late.txt")), (WORK.to_owned(), LATE.to_owned()));
            let terminals = terminals(life.home);
            json(
                json!({"told": told > 0, "killed": swept.killed, "alive": swept.alive, "terminals": terminals}),
            )
        })
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        // A person asks again.
        Some(Arc::new(self.clone()))
    }
}

/// Gives the terminals of agents that are left.
fn terminals(home: &Home) -> Vec<String> {
    let mut tmux = Command::new("tmux");
    tmux.arg("-S").arg(home.path("tmux.sock")).args(["list-sessions", "-F", "#{session_name}"]);
    let listed = tmux.env_remove("TMUX").output().expect("tmux starts").stdout;
    let listed = String::from_utf8(listed).expect("names");
    listed.lines().filter(|name| name.contains("trial")).map(str::to_owned).collect()
}
