//! Open runs: one owner task each, and the directory that finds it.
//!
//! ```text
//!  start ──► Pending ── workspace ready ──► Running ◄──► Waiting
//!               │                              │            │
//!               └────────────── done, failed, cancelled ◄───┘
//! ```
//!
//! The owner alone writes its run, each write fenced by its epoch. It takes what has happened in batches, asks the
//! machine, keeps the transition in one transaction, and performs the effects only when that is durable. Stopping
//! the daemon parks an owner: the run stays open in the store, and the next daemon folds its journal and goes on. An
//! owner that leaves a run otherwise leaves it interrupted. A run that is over can be taken back to a step ([`rerun`]).

mod delete;

mod found;

mod owner;

mod questions;

mod recover;

mod rerun;

mod run_gate;

mod take;

mod transition;

mod turn_book;

pub(crate) use delete::{delete, delete_as};
pub(crate) use owner::{Launch, Origin, panicked, start};
pub use recover::Resumed;
pub(crate) use recover::{cancel_interrupted, resume_interrupted, resume_open};
pub use rerun::Rerun;
pub(crate) use rerun::rerun;

use crate::error::EngineError;
use crate::gate::ToolJudged;
use crate::operators::AcquireQuestion;
use crate::worker::{Performed, Progress};
use adjutant_model::action::{Caller, StepBinding};
use adjutant_model::client_run::Approval;
use adjutant_model::policy::ToolCall;
use adjutant_model::run::{RunRecord, StepPath};
use adjutant_model::{RunId, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How many events may wait for an owner before its effects wait.
const EVENTS_MAX: usize = 1024;

/// How long a write of a run waits before it is offered again when the disk has refused it.
pub(crate) const STORE_RETRY: Duration = Duration::from_millis(500);

/// What an owner is told.
#[derive(Debug)]
pub(crate) enum RunCommand {
    /// A step has settled.
    Settled { path: StepPath, attempt: u32, performed: Performed },
    /// An agent said or did something worth showing.
    Progress { path: StepPath, attempt: u32, progress: Progress },
    /// Stop, and say when that is durable.
    Cancel { reason: String, reply: oneshot::Sender<()> },
    /// Judge a tool call of an agent, and answer when the judgement is durable; a call that a rule asks about is
    /// answered when a person has answered.
    Judge(ToolQuestion),
    /// The approval that a rule wants for a step has ended.
    Answered { path: StepPath, attempt: u32, approval: Box<Approval> },
    /// The approval that a rule wants for a tool call has ended; its agent waits.
    ToolAnswered {
        asked: ToolAsked,
        approval: Box<Approval>,
        reply: oneshot::Sender<Result<ToolJudged, EngineError>>,
    },
    /// Somebody takes a seat of the run over.
    Acquire { question: AcquireQuestion, by: String },
    /// A tool call that was allowed has ended.
    ToolSettled {
        binding: StepBinding,
        turn: u64,
        end: ToolEnd,
        reply: oneshot::Sender<Result<(), EngineError>>,
    },
}

/// A tool call to judge, of an agent that waits for the answer.
#[derive(Debug)]
pub(crate) struct ToolQuestion {
    pub(crate) caller: Caller,
    pub(crate) binding: StepBinding,
    pub(crate) call: ToolCall,
    pub(crate) reply: oneshot::Sender<Result<ToolJudged, EngineError>>,
}

/// A tool call that a person is asked about.
#[derive(Debug)]
pub(crate) struct ToolAsked {
    binding: StepBinding,
    turn: u64,
    tool: String,
    /// The rule that asks.
    rule: Option<String>,
}

/// How a tool call ended, as its agent tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolEnd {
    /// How it went.
    pub went: ToolWent,
    /// What came out.
    pub output: Value,
}

/// How a tool call went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolWent {
    /// As it should.
    Well,
    /// It failed.
    Wrong,
}

/// The way to an owner; clone it to talk to the run.
#[derive(Debug, Clone)]
pub(crate) struct RunHandle {
    pub(crate) commands: mpsc::Sender<RunCommand>,
    /// Holds the run's record once it is over; closed without one when the owner left before.
    pub(crate) ended: watch::Receiver<Option<Arc<RunRecord>>>,
    /// Is cancelled when the owner has left and the store says how it left the run.
    pub(crate) gone: CancellationToken,
}

/// The open runs of this daemon.
#[derive(Debug, Default)]
pub(crate) struct RunDirectory {
    open: Mutex<HashMap<RunId, RunHandle>>,
}

impl RunDirectory {
    pub(crate) fn get(&self, run_id: &RunId) -> Option<RunHandle> {
        self.lock().get(run_id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn insert(&self, run_id: RunId, handle: RunHandle) {
        self.lock().insert(run_id, handle);
    }

    fn remove(&self, run_id: &RunId) {
        let removed = self.lock().remove(run_id);
        drop(removed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<RunId, RunHandle>> {
        // The map is whole after every single operation on it, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
