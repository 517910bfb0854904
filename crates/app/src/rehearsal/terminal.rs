//! The interactive mode: a person, or whoever sends keys in their place, prompts at a terminal.
//!
//! It works in tmux, under a pseudo terminal, and with lines through a pipe. Keys that arrive during a turn are taken
//! at once: they answer a dialog, interrupt, or write the next prompt, which waits for its turn.

mod desk;

mod keys;

mod raw;

mod screen;

pub(super) use screen::Screen;

use super::cast::Cast;
use super::gate::Gate;
use super::input;
use super::play::{End, Player};
use super::script::{Hang, OnTerm};
use super::session::{Origin, Session};
use anyhow::{Context, Result};
use desk::{Act, Desk};
use keys::{Key, Keys, LineFeed};
use raw::Raw;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// An escape that is followed by nothing for so long was a key.
const ESCAPE_PATIENCE: Duration = Duration::from_millis(50);

/// What a shell adds to a signal's number for a program's exit code.
const SIGNALLED: u8 = 128;

/// Plays turns until the person leaves; gives how it ends.
pub(super) async fn run(cast: &Cast, session: Session, prompt: String) -> Result<End> {
    let raw = Raw::enter().context("the terminal cannot be used")?;
    let line_feed = if raw.is_some() { LineFeed::Continues } else { LineFeed::Submits };
    let desk = Rc::new(RefCell::new(Desk::default()));
    let player = cast.player(Screen::new(Rc::clone(&desk)), session, Gate::Absent);
    let mut terminal = Terminal {
        player,
        desk,
        typed: Typed::start(line_feed),
        signals: Signals::start()?,
        queue: Some(prompt).filter(|prompt| !prompt.trim().is_empty()).into_iter().collect(),
        is_open: true,
    };
    let end = terminal.play().await.context("the terminal cannot be used")?;
    if let End::Hung(hang) = end {
        // The terminal stays as a hung program leaves it.
        return terminal.signals.hang(hang).await;
    }
    drop(raw);
    Ok(end)
}

struct Terminal {
    player: Player<Screen>,
    desk: Rc<RefCell<Desk>>,
    typed: Typed,
    signals: Signals,
    queue: VecDeque<String>,
    is_open: bool,
}

/// What the agent was waiting for.
enum Occasion {
    Prompt(String),
    Leave,
    Killed(u8),
}

impl Terminal {
    async fn play(&mut self) -> io::Result<End> {
        self.greet().await?;
        loop {
            let prompt = match self.queue.pop_front() {
                Some(prompt) => prompt,
                None => match self.prompt().await? {
                    Occasion::Prompt(prompt) => prompt,
                    Occasion::Leave => return self.leave("prompt_input_exit", End::Done).await,
                    Occasion::Killed(code) => return self.killed(code).await,
                },
            };
            if matches!(prompt.trim(), "/exit" | "/quit") {
                self.player.stage.submitted(&prompt)?;
                return self.leave("prompt_input_exit", End::Done).await;
            }
            self.player.stage.submitted(&prompt)?;
            match self.turn(&prompt).await? {
                Turn::Killed(code) => return self.killed(code).await,
                Turn::Ended(end) => match end {
                    End::Done | End::Limited { .. } => {}
                    End::Interrupted => self.player.stage.line("  ⎿  Interrupted")?,
                    End::Stopped(reason) => self.player.stage.line(&format!("  ⎿  Stopped: {reason}"))?,
                    End::Exited { .. } => return self.leave("other", end).await,
                    End::Crashed(_) | End::Hung(_) => return Ok(end),
                },
            }
        }
    }

    async fn greet(&mut self) -> io::Result<()> {
        let id = self.player.session.id().to_owned();
        let cwd = self.player.session.cwd();
        self.player.stage.line(&format!("rehearsal · session {id} · {cwd}"))?;
        if self.player.session.origin() == Origin::Resumed {
            let earlier = self.player.session.earlier();
            self.player.stage.line(&format!("resumed with {earlier} earlier turns"))?;
        }
        self.player.open().await
    }

    async fn leave(&mut self, reason: &str, end: End) -> io::Result<End> {
        self.player.close(reason).await?;
        Ok(end)
    }

    async fn killed(&mut self, code: u8) -> io::Result<End> {
        // The terminal may be gone, but the hooks are told.
        let _unseen = self.player.close("other").await;
        Ok(End::Exited { code, result: None })
    }

    /// Waits for a prompt; idle for long it says so once.
    async fn prompt(&mut self) -> io::Result<Occasion> {
        if !self.is_open {
            return Ok(Occasion::Leave);
        }
        self.player.stage.draw()?;
        let idle = tokio::time::sleep(self.player.script.idle);
        tokio::pin!(idle);
        let mut is_told = false;
        loop {
            let key = tokio::select! {
                key = self.typed.next() => key,
                code = self.signals.next() => return Ok(Occasion::Killed(code)),
                () = &mut idle, if !is_told => {
                    is_told = true;
                    self.player.idle().await?;
                    continue;
                }
            };
            let Some(key) = key else {
                self.is_open = false;
                return Ok(Occasion::Leave);
            };
            let act = self.desk.borrow_mut().key(key);
            match act {
                Act::Submit(prompt) => return Ok(Occasion::Prompt(prompt)),
                Act::Leave => return Ok(Occasion::Leave),
                Act::Interrupt => {
                    self.desk.borrow_mut().key(Key::Clear);
                    self.player.stage.draw()?;
                }
                Act::Draw | Act::Nothing => self.player.stage.draw()?,
            }
        }
    }

    /// Plays a turn, with an ear for keys.
    async fn turn(&mut self, prompt: &str) -> io::Result<Turn> {
        let Terminal { player, desk, typed, signals, queue, is_open } = self;
        let cancel = CancellationToken::new();
        let mut screen = player.stage.clone();
        let turn = player.turn(prompt, &cancel);
        tokio::pin!(turn);
        let mut killed = None;
        loop {
            let key = tokio::select! {
                end = &mut turn => return Ok(killed.map_or(Turn::Ended(end?), Turn::Killed)),
                code = signals.next() => {
                    cancel.cancel();
                    killed = (code != SIGNALLED + INTERRUPT).then_some(code);
                    continue;
                }
                key = typed.next(), if *is_open => key,
            };
            let Some(key) = key else {
                *is_open = false;
                desk.borrow_mut().close();
                continue;
            };
            let act = desk.borrow_mut().key(key);
            match act {
                Act::Submit(prompt) => queue.push_back(prompt),
                Act::Interrupt => cancel.cancel(),
                Act::Leave => *is_open = false,
                Act::Draw if desk.borrow().has_dialog() => screen.draw()?,
                Act::Draw | Act::Nothing => {}
            }
        }
    }
}

/// How a turn at the terminal ended.
enum Turn {
    Ended(End),
    Killed(u8),
}

/// The keys that arrive.
struct Typed {
    chunks: mpsc::Receiver<Vec<u8>>,
    keys: Keys,
    ready: VecDeque<Key>,
}

impl Typed {
    fn start(line_feed: LineFeed) -> Typed {
        Typed { chunks: input::chunks(), keys: Keys::new(line_feed), ready: VecDeque::new() }
    }

    /// Gives the next key, `None` when the terminal is gone. It may be cancelled: no key is lost.
    async fn next(&mut self) -> Option<Key> {
        loop {
            if let Some(key) = self.ready.pop_front() {
                return Some(key);
            }
            let chunk = if self.keys.is_undecided() {
                match timeout(ESCAPE_PATIENCE, self.chunks.recv()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        self.ready.extend(self.keys.decide());
                        continue;
                    }
                }
            } else {
                self.chunks.recv().await
            };
            self.ready.extend(self.keys.feed(&chunk?));
        }
    }
}

/// The number of SIGINT.
const INTERRUPT: u8 = 2;

/// The signals that end a program, which may still want to say goodbye.
struct Signals {
    terminate: Signal,
    hangup: Signal,
    interrupt: Signal,
}

impl Signals {
    fn start() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Gives the exit code that goes with the next signal.
    async fn next(&mut self) -> u8 {
        let number = tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.hangup.recv() => 1,
            _ = self.interrupt.recv() => INTERRUPT,
        };
        SIGNALLED + number
    }

    /// Stays, and hears a signal only when the script lets it.
    async fn hang(&mut self, hang: Hang) -> Result<End> {
        loop {
            let code = self.next().await;
            if hang.on_term == OnTerm::End {
                return Ok(End::Exited { code, result: None });
            }
        }
    }
}
