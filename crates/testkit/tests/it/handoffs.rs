//! A handoff as a scenario: a session does half of the work and commits nothing, its work is handed over to another agent
//! as it is stopped, and the other agent goes on from what was there. Whoever asked asks again, by the same key, until the
//! handoff is over.

use adjutant_engine::handoffs::HandoffParams;
use adjutant_engine::hosting::{HostParams, SessionCommand, SessionFilter};
use adjutant_engine::{EngineError, Settings};
use adjutant_model::event::Event;
use adjutant_model::session::{Desired, Session, SessionPhase};
use adjutant_model::{SessionId, Value};
use adjutant_testkit::trial::{End, Life, Scenario};
use adjutant_testkit::{Home, json, owner, repository};
use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the first agent is told, in words that only this scenario has.
const TASK: &str = "begin the bridge";
/// What the brief begins with.
const BRIEF: &str = "You take over the work";

/// Print mode: does half of the work.
const GIVER: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  printf '%s\n' "$line" >> "$1"
  echo "half a bridge" > work.txt
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

/// The same, for the other half, which needs the first.
const TAKER: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S2","model":"m"}'
  printf '%s\n' "$line" >> "$1"
  cat work.txt > whole.txt && echo "and the other half" >> whole.txt
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

/// One handoff, from the session whose work it is to the rest of its successor.
#[derive(Debug, Clone)]
pub(crate) struct HandoffCase {
    /// Whether the successor may be told its brief again where nobody knows whether it was.
    once: bool,
}

/// Where the handoff of a session stands, as the journal says.
#[derive(Debug, Default)]
struct Handed {
    begun: Vec<SessionId>,
    ended: Vec<Option<String>>,
}

impl HandoffCase {
    pub(crate) fn new() -> Self {
        HandoffCase { once: false }
    }

    /// As it is without a fault: the brief is told exactly once.
    pub(crate) fn without_fault() -> Self {
        HandoffCase { once: true }
    }

    async fn first(&self, life: &Life<'_>) -> Result<Session, EngineError> {
        // The oldest.
        if let Some(managed) = life.plane.sessions_managed(SessionFilter::default()).await?.pop() {
            return Ok(managed.session);
        }
        let params = HostParams {
            project: Some(life.home.path("project")),
            task: TASK.to_owned(),
            agent: Some("giver".to_owned()),
            name_hint: Some("first".to_owned()),
            ..HostParams::default()
        };
        Ok(life.plane.session_host(&owner(), params, Duration::ZERO).await?.session)
    }

    async fn live_through(&self, life: &Life<'_>) -> Result<(), EngineError> {
        let first = self.first(life).await?.id;
        let handed = handed(life, first).await?;
        if handed.begun.is_empty() {
            brought_on(life, first).await?;
        }
        if handed.ended.is_empty() {
            self.hand_over(life, first).await?;
        }
        let handed = self::handed(life, first).await?;
        let [successor] = handed.begun[..] else { panic!("there is one handoff: {handed:?}") };
        brought_on(life, successor).await?;
        rested(life, successor).await
    }

    /// Asks for the handoff, as often as it has to be asked for, all at once.
    async fn hand_over(&self, life: &Life<'_>, first: SessionId) -> Result<(), EngineError> {
        let asking = (0..life.asks).map(|_| {
            let params = HandoffParams {
                agent: "taker".to_owned(),
                key: Some("over".to_owned()),
                stops: true,
                ..HandoffParams::default()
            };
            let caller = owner();
            async move { life.plane.handoff(&caller, first, params).await }
        });
        let mut made = Vec::new();
        for asked in join_all(asking).await {
            let handoff = asked?;
            assert!(handoff.ended_at.is_some(), "whoever asked is answered when it is over: {handoff:?}");
            made.push((handoff.id, handoff.successor));
        }
        made.dedup();
        assert_eq!(made.len(), 1, "a request that is repeated finds the same: {made:?}");
        Ok(())
    }
}

async fn handed(life: &Life<'_>, first: SessionId) -> Result<Handed, EngineError> {
    let mut handed = Handed::default();
    for row in life.plane.events_of(&first.to_string(), 0, 10_000).await? {
        match row.event {
            Event::HandoffBegun { successor, .. } => handed.begun.push(successor),
            Event::HandoffEnded { error, .. } => handed.ended.push(error),
            _ => {}
        }
    }
    Ok(handed)
}

/// Waits until a session has ended a turn, and does what a person does of one that was stopped before.
async fn brought_on(life: &Life<'_>, id: SessionId) -> Result<(), EngineError> {
    loop {
        let session = life.plane.session_managed(id).await?.session;
        let is_under_way =
            adjutant_rules::session::pending(&session).is_some() || session.parked_until.is_some();
        match session.phase {
            _ if session.turns > 0 => return Ok(()),
            _ if is_under_way => changed(life, &session).await?,
            SessionPhase::Running => {
                let unable =
                    session.reason.as_deref().is_some_and(|reason| reason.contains("could not be told"));
                if unable {
                    life.plane.session_send(id, session.task.clone()).await?;
                }
                changed(life, &session).await?;
            }
            _ => want(life, id, SessionCommand::Resume).await?,
        }
    }
}

/// Has a session stopped, and waits until it is at rest.
async fn rested(life: &Life<'_>, id: SessionId) -> Result<(), EngineError> {
    loop {
        let session = life.plane.session_managed(id).await?.session;
        if session.desired == Desired::Stopped && adjutant_rules::session::is_at_rest(&session) {
            return Ok(());
        }
        match session.desired {
            Desired::Running => want(life, id, SessionCommand::Stop).await?,
            Desired::Stopped | Desired::Decommissioned => changed(life, &session).await?,
        }
    }
}

async fn want(life: &Life<'_>, id: SessionId, command: SessionCommand) -> Result<(), EngineError> {
    match life.plane.session_command(id, command, Duration::from_secs(30)).await {
        // It was so before.
        Ok(_) | Err(EngineError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until a session is another one.
async fn changed(life: &Life<'_>, stood: &Session) -> Result<(), EngineError> {
    let mut committed = life.plane.committed();
    while life.plane.session_managed(stood.id).await?.session == *stood {
        committed.changed().await.map_err(|_| EngineError::Stopping)?;
    }
    Ok(())
}

impl Scenario for HandoffCase {
    fn name(&self) -> &str {
        "a handoff"
    }

    fn prepare(&self, home: &Home) {
        repository::with_one_file(&home.path("project"));
        home.agent("giver", GIVER);
        home.agent("taker", TAKER);
    }

    fn settings(&self, home: &Home) -> Settings {
        home.settings_hosting()
    }

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.live_through(life))
    }

    /// Gives what anybody can look up: that the handoff is over, once; that there is one successor, which was told the
    /// brief and had what was not committed; and that nothing lives on.
    fn left<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Value> {
        Box::pin(async move {
            let (sessions, alive) = life.sessions_left().await;
            let [successor, first] = &sessions[..] else { panic!("there are two sessions: {sessions:?}") };
            let handed = handed(life, first.session.id).await.expect("the journal is readable");
            assert_eq!(handed.begun, [successor.session.id]);
            assert_eq!(handed.ended, [None], "it is over, once, and well");
            let briefs = life.home.told("taker").lines().filter(|line| line.contains(BRIEF)).count();
            assert!(briefs == 1 || !self.once, "the brief was told {briefs} times");
            let workspace = successor.workspace.as_ref().expect("it stays");
            let whole = fs::read_to_string(Path::new(&workspace.path).join("whole.txt"));
            json(json!({
                "told": briefs > 0,
                "agents": [first.session.agent, successor.session.agent],
                "name": successor.session.name,
                "whole": whole.expect("the work went on"),
                "alive": alive,
            }))
        })
    }

    /// The first agent may end with the daemon, and is started again and told before the handoff goes on.
    fn commits_of_a_life(&self) -> u64 {
        8
    }

    /// The first session begins as any does.
    fn commits_tried_elsewhere(&self) -> u64 {
        7
    }

    /// A prompt may come twice where nobody knows whether it came, and a session may have been stopped by the daemon's
    /// death or by a person.
    fn seen(&self, end: &End) -> End {
        let mut end = end.clone();
        for session in &mut end.sessions {
            (session.turns, session.reason) = (0, None);
        }
        end
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        // A person asks again.
        Some(Arc::new(self.clone()))
    }
}
