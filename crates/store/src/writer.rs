//! The one thread that writes: it takes what waits, commits it in one transaction, and answers each.
//!
//! It never dies of a failed write. When the disk is full or fails, nothing of the batch is acknowledged, the health
//! says why, and the next write is tried like any other; after a failed flush the log is first made good (see
//! `dialect.rs`).

use crate::batch::{self, Ledger};
use crate::commits::CommitMeters;
use crate::dialect;
use crate::fault::Faults;
use crate::store::{Health, WriteFailure};
use crate::write::{Committed, Residue, Write, WriteError};
use rusqlite::Connection;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// A batch takes no further write once it has so many statements and journal rows.
const BATCH_ROWS_MAX: usize = 8192;

/// How long the writer looks for the next write before it sleeps. A sequential flow sends its next step within this
/// time, and saves the wake-up of a thread.
const SPIN: Duration = Duration::from_micros(50);

/// When no write comes for so long, the journal's head is brought up to the last row.
const IDLE: Duration = Duration::from_millis(100);

type Answer = Result<Committed, WriteError>;

/// What the writer is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Commit this.
    Write(Queued),
    /// Commit what waits, and close.
    Close(oneshot::Sender<Result<(), WriteError>>),
}

/// A write that waits.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) write: Arc<Write>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

impl Queued {
    fn answer(self, answer: Answer) {
        // The one who asked may keep the write for another try, and then frees it on its own thread.
        drop(self.write);
        // Whoever asked may have gone; the write counts all the same.
        drop(self.reply.send(answer));
    }
}

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Writer {
    db: Connection,
    ledger: Ledger,
    committed: watch::Sender<i64>,
    health: Arc<Mutex<Health>>,
    log: Log,
    /// Whether the log still holds what was to be removed from the files.
    log_to_wipe: bool,
    refused: u64,
    faults: Faults,
    meters: CommitMeters,
}

/// Whether the log can be written to as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Good,
    /// A flush may have failed; the log must be made good first.
    Suspect,
}

impl Writer {
    pub(crate) fn new(
        db: Connection,
        last_seq: i64,
        committed: watch::Sender<i64>,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        Writer {
            db,
            ledger: Ledger::new(last_seq),
            committed,
            health,
            log: Log::Good,
            log_to_wipe: false,
            refused: 0,
            faults: Faults::default(),
            meters: CommitMeters::default(),
        }
    }

    /// Lets a trial's faults befall the commits.
    pub(crate) fn with_faults(self, faults: Faults) -> Self {
        Writer { faults, ..self }
    }

    /// Counts commits in these.
    pub(crate) fn with_meters(self, meters: CommitMeters) -> Self {
        Writer { meters, ..self }
    }

    /// Serves the queue until it is closed.
    pub(crate) fn run(mut self, queue: mpsc::Receiver<Command>) {
        let mut queue = Queue(queue);
        let mut closing = None;
        while let Some(command) = self.next(&mut queue.0) {
            let mut waiting = Vec::new();
            let mut rows = 0;
            let mut taken = Some(command);
            while let Some(command) = taken {
                match command {
                    Command::Write(write) => {
                        rows += write.write.rows();
                        waiting.push(write);
                    }
                    Command::Close(reply) => {
                        // Later writes are refused at the door; those in the queue are still served.
                        queue.0.close();
                        closing = Some(reply);
                    }
                }
                taken = if rows < BATCH_ROWS_MAX { queue.0.try_recv().ok() } else { None };
            }
            self.serve(waiting);
            if self.faults.halted() {
                return self.abandon();
            }
        }
        let closed = self.close();
        if let Some(reply) = closing {
            drop(reply.send(closed));
        }
    }

    /// Gives the next command, and nothing when no more can come. Looks for it a short while, then sleeps; when none
    /// comes for longer, brings the journal's head up before it sleeps for good.
    fn next(&mut self, queue: &mut mpsc::Receiver<Command>) -> Option<Command> {
        let began = Instant::now();
        while began.elapsed() < SPIN {
            match queue.try_recv() {
                Ok(command) => return Some(command),
                Err(mpsc::error::TryRecvError::Disconnected) => return None,
                Err(mpsc::error::TryRecvError::Empty) => std::hint::spin_loop(),
            }
        }
        if self.ledger.head_lags() {
            match receive_within(queue, IDLE) {
                Received::Command(command) => return Some(command),
                Received::Closed => return None,
                Received::Nothing => self.head_catch_up(),
            }
        }
        while self.log_to_wipe {
            match receive_within(queue, IDLE) {
                Received::Command(command) => return Some(command),
                Received::Closed => return None,
                Received::Nothing => self.log_wipe(),
            }
        }
        queue.blocking_recv()
    }

    /// Empties the log, which still holds pages as they were; a reader of an old snapshot keeps it from doing so, and
    /// then it is tried again.
    fn log_wipe(&mut self) {
        let emptied = dialect::checkpoint(&self.db);
        self.log_to_wipe = matches!(emptied, Ok(dialect::Checkpoint::Blocked));
        if let Err(error) = emptied {
            tracing::warn!(%error, "the log of the store holds what was removed until it is written over");
        }
    }

    /// Brings the head up; when that fails it is tried again after the next write.
    fn head_catch_up(&mut self) {
        if self.log == Log::Suspect {
            return;
        }
        if let Err(error) = batch::head_catch_up(&self.db, &mut self.ledger) {
            tracing::warn!(%error, "the journal's head stays behind");
            self.suspect(&error);
        }
    }

    fn suspect(&mut self, error: &WriteError) {
        if matches!(error, WriteError::Io(_)) {
            self.log = Log::Suspect;
        }
    }

    fn serve(&mut self, waiting: Vec<Queued>) {
        if waiting.is_empty() {
            return;
        }
        let entries: Vec<&Write> = waiting.iter().map(|queued| &*queued.write).collect();
        match self.commit(&entries) {
            Ok(answers) => {
                for (write, answer) in waiting.into_iter().zip(answers) {
                    write.answer(answer);
                }
            }
            // The process counts as dead: nobody is answered.
            Err(WriteError::Closed) => {}
            // One large write may be what does not fit: each gets its own try.
            Err(WriteError::Full(_)) if waiting.len() > 1 => {
                for write in waiting {
                    self.serve(vec![write]);
                }
            }
            Err(error) => {
                self.refused(&error, waiting.len());
                for write in waiting {
                    write.answer(Err(error.clone()));
                }
            }
        }
    }

    fn commit(&mut self, entries: &[&Write]) -> Result<Vec<Answer>, WriteError> {
        if self.log == Log::Suspect {
            dialect::checkpoint(&self.db).map_err(dialect::write_error)?;
            self.log = Log::Good;
        }
        let fault = self.faults.before()?;
        let began = Instant::now();
        let answers = batch::commit(&self.db, &mut self.ledger, entries)?;
        self.meters.committed(entries.len(), began.elapsed());
        self.faults.after(fault)?;
        let wiped = |(entry, answer): (&&Write, &Answer)| entry.residue() == Residue::None && answer.is_ok();
        if entries.iter().zip(&answers).any(wiped) {
            self.log_wipe();
        }
        if answers.iter().any(Result::is_ok) {
            self.went_through();
        }
        Ok(answers)
    }

    fn went_through(&mut self) {
        let seq = self.ledger.seq();
        self.committed.send_if_modified(|last| std::mem::replace(last, seq) != seq);
        if self.refused > 0 {
            self.refused = 0;
            self.health_set(Health::default());
            tracing::info!("the store takes writes again");
        }
    }

    fn refused(&mut self, error: &WriteError, count: usize) {
        self.suspect(error);
        if self.refused == 0 {
            tracing::error!(%error, "the store refuses writes");
        }
        self.refused += count as u64;
        self.health_set(Health {
            writes_failing: Some(WriteFailure { error: error.clone(), refused: self.refused }),
        });
    }

    fn health_set(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// Leaves the log as a process leaves it that dies.
    fn abandon(self) {
        if let Err(error) = dialect::keep_log(&self.db) {
            tracing::warn!(%error, "the log is moved into the database as the store is abandoned");
        }
    }

    fn close(mut self) -> Result<(), WriteError> {
        if self.ledger.head_lags() {
            self.head_catch_up();
        }
        let moved = dialect::checkpoint(&self.db).map(drop).map_err(dialect::write_error);
        let closed = self.db.close().map_err(|(_, error)| dialect::write_error(error));
        moved.and(closed)
    }
}

/// The writer's end of the queue. When the writer goes, whatever way it goes, nobody waits for an answer any more.
struct Queue(mpsc::Receiver<Command>);

impl Drop for Queue {
    fn drop(&mut self) {
        // A dropped receiver empties its queue once, and may miss a command that is being put in at that instant. Its
        // caller would wait for as long as the store has a handle. Received to its end the queue misses none.
        self.0.close();
        while self.0.blocking_recv().is_some() {}
    }
}

enum Received {
    Command(Command),
    Nothing,
    Closed,
}

/// Waits for a command, but no longer than `limit`.
fn receive_within(queue: &mut mpsc::Receiver<Command>, limit: Duration) -> Received {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    let began = Instant::now();
    loop {
        match queue.poll_recv(&mut cx) {
            Poll::Ready(Some(command)) => return Received::Command(command),
            Poll::Ready(None) => return Received::Closed,
            Poll::Pending => {}
        }
        let Some(left) = limit.checked_sub(began.elapsed()) else { return Received::Nothing };
        std::thread::park_timeout(left);
    }
}

/// Wakes the writer's thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
