//! Traces of what was done, sent by OTLP over HTTP where a setting says so.
//!
//! One task follows the journal behind everybody else and makes spans of what it finds in the store, so nothing waits
//! for it, and whatever is in a trace was durable before. Where it stands is kept in a file: the next daemon goes on
//! there. What the receiver does not take is given up and counted.

mod door;
mod headers;
mod send;
mod spans;
mod trust;

pub(crate) use headers::is_name as is_header_name;

use crate::clients;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::client_run::ClientRun;
use adjutant_model::event::{ClientTurnNote, Event, FlowInput, JournalRow};
use adjutant_model::run::{RunRecord, TurnKind};
use adjutant_model::session::{Activity, Session};
use adjutant_model::{RunId, SessionId, Timestamp};
use opentelemetry_sdk::trace::SpanData;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use send::Sender;
use spans::{Content, SettledTurn, Stretch};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many rows are looked at at once, and so many spans go in one batch at most.
const ROWS_AT_ONCE: usize = 256;
/// Whoever is so many rows behind leaves out what is in between.
const ROWS_BEHIND_MAX: i64 = 1_000_000;
/// So many rows of a session are looked through for where a turn began.
const ROWS_BACK: usize = 256;
/// So many blueprints' agents are remembered.
const BLUEPRINTS_KEPT: usize = 64;
/// The file that says up to where the journal was sent, in the data folder.
const FILE: &str = "telemetry.seq";

/// What was counted of spans; a clone counts on in the same numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct TelemetryMeters {
    /// Spans that the receiver has taken.
    sent: Counter,
    /// Spans that it has not taken, and rows that were left out.
    dropped: Counter,
}

impl TelemetryMeters {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("telemetry_spans_sent", "Spans that the receiver has taken", self.sent.clone());
        let help = "Spans that the receiver has not taken, and journal rows that were left out";
        registry.register("telemetry_spans_dropped", help, self.dropped.clone());
    }
}

/// Looks whether a file of certificates can be used, for whoever sets it.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn ca_file_check(path: &Path) -> Result<(), String> {
    trust::certificates(path).map(drop)
}

/// Looks whether a file of headers can be used, for whoever sets it.
///
/// # Errors
/// What is wrong with it, without any of its values.
pub(crate) fn headers_file_check(path: &Path) -> Result<(), String> {
    headers::of_file(path).map(drop)
}

/// Starts to send, where a setting says so.
pub(crate) fn start(core: &Arc<Core>) {
    let meters = core.meters.telemetry.clone();
    let Some(sender) = Sender::start(&core.settings.telemetry, &core.settings.version, meters) else {
        return;
    };
    let content = if core.settings.telemetry.with_content { Content::Told } else { Content::Withheld };
    let follower = Follower { core: core.clone(), sender, content, kinds: HashMap::new() };
    core.tasks.spawn(follower.run());
}

struct Follower {
    core: Arc<Core>,
    sender: Sender,
    content: Content,
    /// The kinds of agents by the hash of their blueprint.
    kinds: HashMap<String, HashMap<String, String>>,
}

impl Follower {
    async fn run(mut self) {
        let mut committed = self.core.store.committed();
        let end = *committed.borrow_and_update();
        // Without a file nothing was sent before, and what was before is not sent.
        let mut seq = self.seq_kept().unwrap_or(end).min(end);
        let stopping = self.core.stopping.clone();
        loop {
            let behind = *committed.borrow_and_update() - seq;
            if behind > ROWS_BEHIND_MAX {
                self.core.meters.telemetry.dropped.inc_by(behind.unsigned_abs());
                seq += behind;
            }
            let went_on = tokio::select! {
                // What is under way is sent again by the next daemon.
                () = stopping.cancelled() => return,
                went_on = self.page(seq) => went_on,
            };
            match went_on {
                Ok(Some(next)) => {
                    seq = next;
                    self.seq_keep(seq).await;
                    continue;
                }
                Ok(None) => {}
                Err(Stopped::Sender) => return,
                Err(Stopped::Store(error)) => tracing::warn!(%error, "traces wait for the store"),
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                changed = committed.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Sends what follows from the rows behind a place; gives the place of the last of them.
    async fn page(&mut self, seq: i64) -> Result<Option<i64>, Stopped> {
        let rows = self.core.store.journal_after(seq, ROWS_AT_ONCE).await.map_err(EngineError::from)?;
        let Some(last) = rows.last().map(|row| row.seq) else { return Ok(None) };
        let mut spans = Vec::new();
        for row in &rows {
            self.look(row, &mut spans).await?;
            // A row of a client's run may tell of a thousand turns.
            while spans.len() >= ROWS_AT_ONCE {
                let rest = spans.split_off(ROWS_AT_ONCE);
                if !self.sender.send(std::mem::replace(&mut spans, rest)).await {
                    return Err(Stopped::Sender);
                }
            }
        }
        if !spans.is_empty() && !self.sender.send(spans).await {
            return Err(Stopped::Sender);
        }
        Ok(Some(last))
    }

    async fn look(&mut self, row: &JournalRow, spans: &mut Vec<SpanData>) -> Result<(), EngineError> {
        match &row.event {
            Event::RunAdvanced { inputs, .. } => {
                let settled = inputs.iter().filter_map(|input| match input {
                    FlowInput::Settled { turn, .. } => Some(*turn),
                    _ => None,
                });
                for turn in settled {
                    spans.extend(self.turn(row, turn).await?);
                }
            }
            Event::ToolSettled { turn, .. } => spans.extend(self.turn(row, *turn).await?),
            Event::ToolJudged { turn, judgement, .. } if !judgement.allowed => {
                let found = self.turn(row, *turn).await?;
                // A step that was refused settles in a row of its own.
                spans.extend(found.filter(|span| span.name.starts_with("execute_tool")));
            }
            Event::RunStatusChanged { to, .. } if to.is_terminal() => {
                let Ok(run_id) = row.subject.parse::<RunId>() else { return Ok(()) };
                // A run that was removed since is nobody's concern.
                let run = self.core.store.run_get(&run_id).await?;
                spans.extend(run.map(|run| spans::of_run(&RunRecord { status: *to, ..run }, row.at)));
            }
            Event::ClientRunAdvanced { settled, .. } => {
                spans.extend(self.client_turns(row, settled).await?);
            }
            Event::ClientRunEnded { status, reason, .. } => {
                let found = self.client_run(row).await?;
                let run = found.map(|run| ClientRun { status: *status, ..run });
                let ended = |run| spans::of_client_run(&run, (reason.as_deref(), self.content), row.at);
                spans.extend(run.map(ended));
            }
            Event::SessionActivityChanged(report) if report.activity == Activity::Idle => {
                spans.extend(self.session_turn(row).await?);
            }
            Event::SessionExited { launch, .. } => spans.extend(self.launch(row, *launch).await?),
            _ => {}
        }
        Ok(())
    }

    /// Makes the span of a turn of a run, when it has settled and is still there.
    async fn turn(&mut self, row: &JournalRow, index: u64) -> Result<Option<SpanData>, EngineError> {
        let Ok(run_id) = row.subject.parse::<RunId>() else { return Ok(None) };
        let store = self.core.store.clone();
        let Some(turn) = store.turn_get(&run_id, index).await? else { return Ok(None) };
        let (step, kind) = match turn.kind {
            TurnKind::Tool => (store.step_turn_before(&run_id, &turn).await?, None),
            TurnKind::Step => (None, self.kind(&run_id, &turn.name).await?),
        };
        let settled =
            SettledTurn { run_id: &run_id, turn: &turn, step, kind: kind.as_deref(), content: self.content };
        Ok(Some(spans::of_turn(&settled, row.at)))
    }

    /// Gives the kind of an agent of a run's blueprint.
    async fn kind(&mut self, run_id: &RunId, agent: &str) -> Result<Option<String>, EngineError> {
        let Some(run) = self.core.store.run_get(run_id).await? else { return Ok(None) };
        if !self.kinds.contains_key(&run.blueprint_hash) {
            if self.kinds.len() >= BLUEPRINTS_KEPT {
                self.kinds.clear();
            }
            let document = self.core.store.blueprint_get(&run.blueprint_hash).await?;
            let kinds = document.map(|document| kinds(&document)).unwrap_or_default();
            self.kinds.insert(run.blueprint_hash.clone(), kinds);
        }
        Ok(self.kinds.get(&run.blueprint_hash).and_then(|kinds| kinds.get(agent)).cloned())
    }

    async fn client_run(&self, row: &JournalRow) -> Result<Option<ClientRun>, EngineError> {
        let Some(run_id) = clients::run_of_subject(&row.subject) else { return Ok(None) };
        Ok(self.core.store.client_run_get(run_id).await?)
    }

    /// Makes the spans of turns of a client's run that have settled, when it is still there.
    async fn client_turns(
        &self,
        row: &JournalRow,
        settled: &[ClientTurnNote],
    ) -> Result<Vec<SpanData>, EngineError> {
        let Some(run) = self.client_run(row).await? else { return Ok(Vec::new()) };
        let mut spans = Vec::new();
        for index in settled.iter().filter_map(|note| note.turn) {
            // One at a time, because a turn may be large.
            let found = self.core.store.client_turns(&run.id, index, 1).await?;
            let turn = found.into_iter().find(|turn| turn.index == index);
            spans.extend(turn.map(|turn| spans::of_client_turn(&run, &turn, self.content)));
        }
        Ok(spans)
    }

    /// Makes the span of a turn that a session's agent took: from what it was told until it rested.
    async fn session_turn(&self, row: &JournalRow) -> Result<Option<SpanData>, EngineError> {
        let Some(session) = self.session(&row.subject).await? else { return Ok(None) };
        let before = self.core.store.journal_before(&row.subject, row.seq, ROWS_BACK).await?;
        // A turn begins with what the agent was told, and else with its first sign of work.
        let mut from = None;
        for row in &before {
            match &row.event {
                Event::SessionActivityChanged(report) => match report.activity {
                    Activity::Working | Activity::Waiting(_) => from = Some(report.since),
                    Activity::Unknown => {}
                    Activity::Idle => break,
                },
                Event::SessionTold { .. } | Event::SessionLaunched { .. } => {
                    from = from.map(|_| row.at);
                    break;
                }
                _ => {}
            }
        }
        let Some(from) = from else { return Ok(None) };
        let step = self.step_of(&session, from).await?;
        let stretch = Stretch { session: &session, step, from, to: row.at, seq: row.seq };
        Ok(Some(spans::of_session_turn(&stretch)))
    }

    /// Makes the span of one start of an agent that does no run's step.
    async fn launch(&self, row: &JournalRow, launch: u32) -> Result<Option<SpanData>, EngineError> {
        let Some(session) = self.session(&row.subject).await?.filter(|session| session.run_id.is_none())
        else {
            return Ok(None);
        };
        let before = self.core.store.journal_before(&row.subject, row.seq, ROWS_BACK).await?;
        let is_start = |row: &&JournalRow| matches!(row.event, Event::SessionLaunched { launch: is, .. } if is == launch);
        let started = before.iter().find(is_start).map(|row| row.at).or(session.launched_at);
        let from = started.unwrap_or(session.created_at);
        let stretch = Stretch { session: &session, step: None, from, to: row.at, seq: row.seq };
        Ok(Some(spans::of_launch(&stretch, launch)))
    }

    async fn session(&self, subject: &str) -> Result<Option<Session>, EngineError> {
        let Ok(id) = subject.parse::<SessionId>() else { return Ok(None) };
        Ok(self.core.store.session_get(id).await?.map(|entry| entry.session))
    }

    async fn step_of(&self, session: &Session, at: Timestamp) -> Result<Option<u64>, EngineError> {
        let (Some(run_id), Some(plays)) = (&session.run_id, &session.plays) else { return Ok(None) };
        Ok(self.core.store.step_turn_at(run_id, plays, at).await?)
    }

    fn file(&self) -> PathBuf {
        self.core.settings.folder.join(FILE)
    }

    fn seq_kept(&self) -> Option<i64> {
        std::fs::read_to_string(self.file()).ok()?.trim().parse().ok()
    }

    /// Keeps up to where was sent. When that is lost, some spans are sent twice.
    async fn seq_keep(&self, seq: i64) {
        let (path, fresh) = (self.file(), self.file().with_extension("seq.new"));
        let write = async {
            tokio::fs::write(&fresh, seq.to_string()).await?;
            tokio::fs::rename(&fresh, &path).await
        };
        if let Err(error) = write.await {
            tracing::debug!(%error, "up to where traces were sent could not be kept");
        }
    }
}

/// Gives the kinds of a blueprint's agents by their names.
fn kinds(document: &str) -> HashMap<String, String> {
    let document: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
    let agents = document.get("agents").and_then(serde_json::Value::as_array);
    let kind = |agent: &serde_json::Value| {
        Some((agent.get("name")?.as_str()?.to_owned(), agent.get("kind")?.as_str()?.to_owned()))
    };
    agents.into_iter().flatten().filter_map(kind).collect()
}

/// Why sending does not go on.
enum Stopped {
    /// Nothing can be sent.
    Sender,
    /// The store cannot be read now.
    Store(EngineError),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Stopped::Store(error)
    }
}
