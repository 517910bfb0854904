//! What both kinds of terminals share: what is known of one from moment to moment, and what that means as signals.

use super::{DriverError, Signals};
use crate::screen::Scrollback;
use adjutant_model::profile::TerminalSpec;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, Signal, SignalSource};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// How long a text can be that is typed into a terminal.
pub const TYPED_BYTES_MAX: usize = 1 << 20;

/// How many pieces of output wait for being written to the scrollback.
const PIECES_MAX: usize = 256;

/// What is known of a terminal's output.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    /// When it changed last, or when it began to be watched.
    pub(super) at: Instant,
    /// How many pieces of output there were.
    pub(super) pieces: u64,
}

/// Where a terminal's host tells what happens. It never waits.
#[derive(Debug)]
pub(super) struct Feed {
    pulse: watch::Sender<Pulse>,
    pieces: mpsc::Sender<Vec<u8>>,
    ended: watch::Sender<Option<AgentExit>>,
}

/// Where that is heard.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) pulse: watch::Receiver<Pulse>,
    pub(super) ended: watch::Receiver<Option<AgentExit>>,
    pieces: mpsc::Receiver<Vec<u8>>,
}

/// Makes the two ends of what is told of one terminal.
pub(super) fn feed() -> (Feed, Tap) {
    let (pulse, pulse_heard) = watch::channel(Pulse { at: Instant::now(), pieces: 0 });
    let (ended, ended_heard) = watch::channel(None);
    let (pieces, pieces_heard) = mpsc::channel(PIECES_MAX);
    let tap = Tap { pulse: pulse_heard, ended: ended_heard, pieces: pieces_heard };
    (Feed { pulse, pieces, ended }, tap)
}

impl Feed {
    /// Tells what was put out. What finds no room is missing in the scrollback, and nowhere else.
    pub(super) fn output(&self, bytes: Vec<u8>) {
        self.pulse.send_modify(|pulse| *pulse = Pulse { at: Instant::now(), pieces: pulse.pieces + 1 });
        self.pieces.try_send(bytes).ok();
    }

    /// Tells how the program ended; only the first time counts.
    pub(super) fn end(&self, exit: AgentExit) {
        self.ended.send_if_modified(|ended| {
            let is_first = ended.is_none();
            ended.get_or_insert(exit);
            is_first
        });
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// Waits until a terminal was quiet for some time, or until `deadline`. Quiet counts from `since` at the earliest.
pub(super) async fn quiet(
    mut pulse: watch::Receiver<Pulse>,
    since: Instant,
    quiet_for: Duration,
    deadline: Instant,
) {
    loop {
        let until = pulse.borrow_and_update().at.max(since) + quiet_for;
        if until <= Instant::now() {
            return;
        }
        let changed = timeout_at(until.min(deadline), pulse.changed()).await;
        if Instant::now() >= deadline || matches!(changed, Ok(Err(_))) {
            return;
        }
    }
}

/// Waits until a terminal is ready for a prompt: it has shown something, and was quiet for as long as the profile says.
pub(super) async fn ready(mut pulse: watch::Receiver<Pulse>, spec: &TerminalSpec) {
    let began = Instant::now();
    let deadline = began + Duration::from_millis(spec.ready_max_ms);
    let shown = pulse.wait_for(|pulse| pulse.pieces > 0);
    if !matches!(timeout_at(deadline, shown).await, Ok(Ok(_))) {
        return;
    }
    let since = pulse.borrow().at;
    quiet(pulse, since, Duration::from_millis(spec.ready_quiet_ms), deadline).await;
}

/// Tells a terminal's signals until its program has ended, and keeps its scrollback. Gives how it ended; that is not
/// told yet.
pub(super) async fn watch(
    mut tap: Tap,
    mut scrollback: Option<Scrollback>,
    idle_quiet: Duration,
    signals: Signals,
) -> AgentExit {
    let mut is_quiet = false;
    let mut changed_at = Instant::now();
    let mut pieces = Vec::new();
    let mut seen = 0;
    loop {
        tokio::select! {
            biased;
            count = tap.pieces.recv_many(&mut pieces, PIECES_MAX) => {
                keep(scrollback.as_mut(), &mut pieces);
                if count == 0 {
                    return exit_of(&mut tap.ended).await;
                }
                let pulse = *tap.pulse.borrow();
                changed_at = pulse.at;
                if is_quiet || seen == 0 {
                    is_quiet = false;
                    tell(&signals, "output", AgentSignal::Output).await;
                }
                seen = pulse.pieces;
            }
            exit = exit_of(&mut tap.ended) => {
                while let Ok(piece) = tap.pieces.try_recv() {
                    pieces.push(piece);
                }
                keep(scrollback.as_mut(), &mut pieces);
                return exit;
            }
            () = tokio::time::sleep_until(changed_at + idle_quiet), if !is_quiet => {
                is_quiet = true;
                let quiet_ms = u64::try_from(changed_at.elapsed().as_millis()).unwrap_or(u64::MAX);
                let evidence = format!("no output for {}", seconds(idle_quiet));
                tell(&signals, &evidence, AgentSignal::Quiet { quiet_ms }).await;
            }
        }
    }
}

/// Waits for how the program ended; whose host is gone has vanished.
pub(super) async fn exit_of(ended: &mut watch::Receiver<Option<AgentExit>>) -> AgentExit {
    match ended.wait_for(Option::is_some).await {
        Ok(exit) => exit.unwrap_or(AgentExit::Vanished),
        Err(_) => AgentExit::Vanished,
    }
}

/// Tells the last signal.
pub(super) async fn tell_exit(signals: &Signals, exit: AgentExit) {
    let signal = Signal::new(SignalSource::Process, exit.to_string(), AgentSignal::Exited(exit));
    // Whoever does not listen any more does not want to know.
    signals.send(signal).await.ok();
}

async fn tell(signals: &Signals, evidence: &str, what: AgentSignal) {
    signals.send(Signal::new(SignalSource::Terminal, evidence, what)).await.ok();
}

fn keep(scrollback: Option<&mut Scrollback>, pieces: &mut Vec<Vec<u8>>) {
    let Some(scrollback) = scrollback else { return pieces.clear() };
    // A full disk costs scrollback and nothing else.
    if let Err(error) = scrollback.write(&pieces.concat()) {
        tracing::debug!(%error, "the scrollback could not be written");
    }
    pieces.clear();
}

fn seconds(span: Duration) -> String {
    if span.subsec_millis() == 0 {
        format!("{} s", span.as_secs())
    } else {
        format!("{} ms", span.as_millis())
    }
}

/// What is done with a terminal to answer what its agent asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Keys are pressed.
    Keys(&'a [String]),
    /// A text is typed.
    Text(String),
}

/// Says how a question is answered in a profile's terminal.
pub(super) fn answered<'a>(spec: &'a TerminalSpec, answer: AskAnswer) -> Result<Answer<'a>, DriverError> {
    let keys = |keys: &'a [String], what: &str| {
        if keys.is_empty() {
            let what = format!("the agent's profile does not say which keys {what}");
            return Err(DriverError::Unsupported { what });
        }
        Ok(Answer::Keys(keys))
    };
    match answer {
        AskAnswer::Allow => keys(&spec.allow_keys, "allow"),
        AskAnswer::Deny { .. } => keys(&spec.deny_keys, "deny"),
        AskAnswer::Text(text) => Ok(Answer::Text(text)),
    }
}

/// Gives what is typed of a text: nothing that could end the paste or steer the agent's interface.
pub(super) fn typed(text: &str) -> Result<String, DriverError> {
    if text.len() > TYPED_BYTES_MAX {
        let what = format!(
            "a text of {} bytes is too long for a terminal; {TYPED_BYTES_MAX} can be typed",
            text.len()
        );
        return Err(DriverError::Unsupported { what });
    }
    Ok(crate::screen::plain(text))
}

/// Waits until an agent has most likely taken a pasted text: agents swallow an Enter that comes too close behind it. A
/// long text is taken while it is shown, so the wait is for quiet, and bounded by its length.
pub(super) async fn taken(pulse: watch::Receiver<Pulse>, spec: &TerminalSpec, text_len: usize) {
    let pause = Duration::from_millis(spec.submit_pause_ms);
    let now = Instant::now();
    let by_length = Duration::from_millis(text_len as u64 / 64);
    quiet(pulse, now, pause, now + pause * 2 + by_length).await;
}
