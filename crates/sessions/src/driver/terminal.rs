//! What both kinds of terminals share: what is known of one from moment to moment, and what that means as signals.

use super::{DriverError, Ended, LaunchSpec, Signals};
use crate::EFFECT_VARIABLE;
use crate::process::{self, Hosted, Swept};
use crate::screen::Scrollback;
use adjutant_model::profile::TerminalSpec;
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, Signal, SignalSource};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a text can be that is typed into a terminal.
pub const TYPED_BYTES_MAX: usize = 1 << 20;

/// How many pieces of output wait for being written to the scrollback.
const PIECES_MAX: usize = 256;

/// How long what an agent left behind when it ended by itself may take to end.
pub(super) const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

/// How long the host of a terminal may take to tell how a program ended that was ended.
const END_PATIENCE: Duration = Duration::from_secs(10);

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

/// Makes the two ends of what is told of one terminal, which has shown so many pieces of output before.
pub(super) fn feed(pieces_before: u64) -> (Feed, Tap) {
    let (pulse, pulse_heard) = watch::channel(Pulse { at: Instant::now(), pieces: pieces_before });
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

    /// Says in the scrollback that something is missing there.
    pub(super) fn gap(&self) {
        self.pieces.try_send(b"\r\n[output left out]\r\n".to_vec()).ok();
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
///
/// # Errors
/// [`DriverError::Gone`], at once, when its program has ended.
pub(super) async fn ready(
    pulse: watch::Receiver<Pulse>,
    mut ended: watch::Receiver<Option<AgentExit>>,
    spec: &TerminalSpec,
) -> Result<(), DriverError> {
    tokio::select! {
        biased;
        _ = ended_at_all(&mut ended) => Err(DriverError::Gone),
        () = settled(pulse, spec) => Ok(()),
    }
}

async fn settled(mut pulse: watch::Receiver<Pulse>, spec: &TerminalSpec) {
    let began = Instant::now();
    let deadline = began + Duration::from_millis(spec.ready_max_ms);
    let shown = pulse.wait_for(|pulse| pulse.pieces > 0);
    if !matches!(timeout_at(deadline, shown).await, Ok(Ok(_))) {
        return;
    }
    let since = pulse.borrow().at;
    quiet(pulse, since, Duration::from_millis(spec.ready_quiet_ms), deadline).await;
}

/// Tells a terminal's signals until its program has ended, and keeps its scrollback. Gives how it ended, which is not
/// told yet; `None` when the terminal is watched no more and nothing is known of an end.
async fn watch(
    mut tap: Tap,
    mut scrollback: Option<Scrollback>,
    idle_quiet: Duration,
    signals: Signals,
) -> Option<AgentExit> {
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
                    return *tap.ended.borrow();
                }
                let pulse = *tap.pulse.borrow();
                changed_at = pulse.at;
                if is_quiet || seen == 0 {
                    is_quiet = false;
                    tell(&signals, "output", AgentSignal::Output).await;
                }
                seen = pulse.pieces;
            }
            exit = ended_at_all(&mut tap.ended) => {
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

/// Tells a terminal's signals to the end. When that is told, nothing is left of the agent.
pub(super) fn host(
    tap: Tap,
    spec: &LaunchSpec,
    signals: Signals,
    hosted: Hosted,
    swept: watch::Sender<Option<Swept>>,
) -> impl Future<Output = ()> + Send + 'static {
    let scrollback = Scrollback::open(&spec.folder, spec.scrollback_bytes_max)
        .inspect_err(|error| tracing::warn!(%error, session = spec.session, "no scrollback is kept"))
        .ok();
    let idle_quiet = Duration::from_millis(spec.profile.terminal.idle_quiet_ms);
    async move {
        let Some(exit) = watch(tap, scrollback, idle_quiet, signals.clone()).await else { return };
        swept.send_replace(Some(process::end_hosted(&hosted, LEFTOVER_GRACE).await));
        tell_exit(&signals, exit).await;
    }
}

/// Says how an agent ended that was ended: as its host tells, and with what was swept by itself.
pub(super) async fn ended(
    mut ended: watch::Receiver<Option<AgentExit>>,
    mut by_itself: watch::Receiver<Option<Swept>>,
    swept: Swept,
) -> Ended {
    let exit = timeout(END_PATIENCE, ended_at_all(&mut ended)).await.ok().flatten();
    let exit = exit.unwrap_or(AgentExit::Vanished);
    let earlier = timeout(END_PATIENCE, by_itself.wait_for(Option::is_some)).await;
    let earlier = earlier.ok().and_then(|swept| swept.ok().and_then(|swept| *swept)).unwrap_or_default();
    Ended { exit, swept: Swept { killed: swept.killed + earlier.killed, alive: swept.alive } }
}

/// Waits for how the program ended; `None` when nobody will tell.
async fn ended_at_all(ended: &mut watch::Receiver<Option<AgentExit>>) -> Option<AgentExit> {
    ended.wait_for(Option::is_some).await.ok().and_then(|exit| *exit)
}

/// Tells the last signal.
async fn tell_exit(signals: &Signals, exit: AgentExit) {
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

/// Refuses what cannot be started, before there is a terminal.
pub(super) fn startable(spec: &LaunchSpec) -> Result<(), DriverError> {
    if spec.cwd.is_dir() {
        return super::piped::found(super::piped::Start::of(spec));
    }
    Err(DriverError::Start {
        what: format!("the directory {} does not exist", spec.cwd.display()),
        hint: None,
        class: ErrorClass::Gone,
    })
}

/// Gives the whole environment of an agent in a terminal: what it was given, its marker, and the terminal's kind.
pub(super) fn environment(spec: &LaunchSpec, term: &str) -> Vec<(String, String)> {
    let mut env = spec.env.clone();
    let own = [("TERM", term), (EFFECT_VARIABLE, spec.marker.as_str())];
    env.retain(|(name, _)| !own.iter().any(|(own, _)| own == name));
    env.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    env
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

/// Gives the keys that interrupt an agent.
pub(super) fn interrupt_keys(spec: &TerminalSpec) -> Result<&[String], DriverError> {
    if spec.interrupt_keys.is_empty() {
        let what = "the agent's profile does not say which keys interrupt it".to_owned();
        return Err(DriverError::Unsupported { what });
    }
    Ok(&spec.interrupt_keys)
}

/// Says that a profile names a key that there is not.
pub(super) fn no_key(key: &str) -> DriverError {
    DriverError::Unsupported { what: format!("`{}` is no key", key.escape_debug()) }
}

/// Gives a size that a terminal can have.
pub(super) fn bounded((columns, rows): (u16, u16)) -> (u16, u16) {
    (columns.clamp(2, 1_000), rows.clamp(2, 1_000))
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
