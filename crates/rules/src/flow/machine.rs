//! The machine that runs a program.
//!
//! A *thread* is one line of control with its own context and a stack of frames; the root is one, and every
//! branch of a fanout is one. A thread rests only on a frame that waits for the world:
//!
//! ```text
//!            dispatch            settled well
//!  enter ──► Step::InFlight ───────────────────────► written at `out`, returns
//!              ▲        │ failed, attempts left
//!      timer   │        ▼
//!            Step::BackingOff
//!  enter ──► Step::InFlight of a question ── answered ──► written at `out`, returns
//!  enter ──► Waiting ── timer ──► returns
//!  enter ──► Fanout ── the join is decided ──► written at `out`, returns
//! ```
//!
//! A call changes the thread's context for the callee's own until the callee's flow returns or raises, and nothing else
//! of the thread.
//!
//! Everything else happens inside one call of [`FlowState::take`]. An event for a step that is not open, or for
//! another attempt of it, changes nothing: performing an effect twice is harmless. Between two events at most
//! [`MOVES_MAX`] moves are made; a loop that dispatches nothing yields then, so it can be stopped.

mod fanout;

mod frame;

mod thread;

use super::expr::EvalError;
use super::program::{OpId, Program, UnitId};
use adjutant_model::run::{FlowError, FlowErrorCode, StepOutcome, StepPath};
use adjutant_model::{Timestamp, Value};
use frame::{Frame, FrameKind, Phase};
use std::collections::BTreeMap;
use std::sync::Arc;
use thread::{Thread, ThreadId};

/// How many moves one event may cause before the machine yields.
pub(crate) const MOVES_MAX: u32 = 100_000;
/// How large a context may grow, as JSON; beyond it a write is an error that `try` can catch.
pub(crate) const CONTEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What happened to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowEvent {
    /// It may begin.
    Begun,
    /// A dispatched step settled.
    Settled {
        /// The step.
        path: StepPath,
        /// Which attempt of it.
        attempt: u32,
        /// How it ended.
        outcome: StepOutcome,
    },
    /// A timer went off.
    TimerFired {
        /// The step or wait that set it.
        path: StepPath,
        /// The attempt it precedes.
        attempt: u32,
    },
    /// The machine may go on after it yielded.
    Resumed,
    /// It shall stop.
    CancelRequested {
        /// Who asked and why.
        reason: String,
    },
    /// Its time to live is over.
    TtlExpired,
}

/// What the machine wants done, keyed by path and attempt; doing one twice is harmless.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowEffect {
    /// Dispatch a step to its agent.
    Dispatch {
        /// The step.
        path: StepPath,
        /// Which attempt of it, from 1.
        attempt: u32,
        /// The agent's name.
        agent: Arc<str>,
        /// The linked flow whose agent it is.
        unit: UnitId,
        /// What it gets.
        input: Value,
        /// How long this attempt may take.
        timeout_ms: Option<u64>,
    },
    /// Ask a person, and say [`FlowEvent::Settled`] with what [`crate::approval::outcome`] makes of the answer.
    Ask {
        /// The node.
        path: StepPath,
        /// Always the first.
        attempt: u32,
        /// What is asked: `{question, options}`, the options only when there are any.
        parameters: Value,
        /// How long there is to answer.
        timeout_ms: Option<u64>,
    },
    /// Say [`FlowEvent::TimerFired`] at an instant.
    SetTimer {
        /// The step or wait.
        path: StepPath,
        /// The attempt it precedes.
        attempt: u32,
        /// When.
        due_at: Timestamp,
    },
    /// Stop what is in flight or waited for; its answer is not wanted any more.
    Abort {
        /// The step or wait.
        path: StepPath,
        /// Which attempt of it.
        attempt: u32,
    },
    /// Say [`FlowEvent::Resumed`] soon.
    Yield,
    /// The run is over.
    Finish(FlowEnd),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowEnd {
    /// With its final context.
    Done(Value),
    /// With an error that nothing caught.
    Failed {
        /// The error.
        error: FlowError,
        /// The context it left.
        ctx: Value,
    },
    /// By request.
    Cancelled {
        /// Who asked and why.
        reason: String,
    },
}

/// The state of a run's machine. A clone costs what is open and shares every context.
#[derive(Debug, Clone)]
pub struct FlowState {
    program: Arc<Program>,
    threads: BTreeMap<ThreadId, Thread>,
    thread_next: ThreadId,
    /// The thread that rests on each open step or wait.
    open: BTreeMap<StepPath, ThreadId>,
    /// What is left to do when the machine has yielded.
    yielded: Vec<Move>,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq)]
enum Stage {
    New(Value),
    Running,
    Ended(FlowEnd),
}

/// One thing that a thread has to do next.
#[derive(Debug, Clone)]
struct Move {
    thread: ThreadId,
    what: MoveKind,
}

#[derive(Debug, Clone)]
enum MoveKind {
    Enter {
        op: OpId,
        path: StepPath,
    },
    Return,
    Raise(FlowError),
    /// Start the next branch of the fanout at this path.
    Spawn {
        path: StepPath,
    },
    /// A branch of the fanout at this path has settled.
    Join {
        path: StepPath,
        index: usize,
        outcome: Result<Value, FlowError>,
    },
}

/// One call of `take`: the state under construction and what came of it.
struct Turn<'a> {
    state: &'a mut FlowState,
    effects: Vec<FlowEffect>,
    moves: Vec<Move>,
    now: Timestamp,
}

const ROOT: ThreadId = 0;

impl FlowState {
    /// Makes the state of a run that has not begun.
    pub fn new(program: Arc<Program>, ctx: Value) -> Self {
        FlowState {
            program,
            threads: BTreeMap::new(),
            thread_next: ROOT + 1,
            open: BTreeMap::new(),
            yielded: Vec::new(),
            stage: Stage::New(ctx),
        }
    }

    /// Takes one event and gives the next state and what follows from it; the old state stays as it is.
    #[must_use]
    pub fn step(&self, event: FlowEvent, now: Timestamp) -> (FlowState, Vec<FlowEffect>) {
        let mut state = self.clone();
        let effects = state.take(event, now);
        (state, effects)
    }

    /// Takes one event in place and gives what follows from it: [`FlowState::step`] for whoever needs the old state no
    /// more.
    #[must_use]
    pub fn take(&mut self, event: FlowEvent, now: Timestamp) -> Vec<FlowEffect> {
        let mut turn = Turn { state: self, effects: Vec::new(), moves: Vec::new(), now };
        turn.take(event);
        turn.run();
        turn.effects
    }

    /// Gives the end of a run that is over.
    pub fn end(&self) -> Option<&FlowEnd> {
        match &self.stage {
            Stage::Ended(end) => Some(end),
            Stage::New(_) | Stage::Running => None,
        }
    }

    /// Gives the context of the run's root as it stands.
    pub fn ctx(&self) -> &Value {
        match &self.stage {
            Stage::New(ctx) | Stage::Ended(FlowEnd::Done(ctx) | FlowEnd::Failed { ctx, .. }) => ctx,
            Stage::Running | Stage::Ended(FlowEnd::Cancelled { .. }) => {
                self.threads.get(&ROOT).map_or(&Value::Null, Thread::own_ctx)
            }
        }
    }

    /// Tells whether anything was asked for and not answered.
    pub fn waits(&self) -> bool {
        !(self.open.is_empty() && self.yielded.is_empty())
    }

    /// Gives the effects that were asked for and not answered, for whoever must perform them again.
    pub fn pending(&self) -> Vec<FlowEffect> {
        let mut effects: Vec<_> = self
            .threads
            .values()
            .filter_map(Thread::top)
            .filter_map(|frame| match &frame.kind {
                FrameKind::Step { attempt, input, phase: Phase::InFlight } => {
                    Some(frame.in_flight(&self.program, *attempt, input))
                }
                FrameKind::Step { attempt, phase: Phase::BackingOff { due_at }, .. } => {
                    Some(FlowEffect::SetTimer {
                        path: frame.path.clone(),
                        attempt: attempt + 1,
                        due_at: *due_at,
                    })
                }
                FrameKind::Waiting { due_at } => {
                    Some(FlowEffect::SetTimer { path: frame.path.clone(), attempt: 1, due_at: *due_at })
                }
                FrameKind::Seq { .. }
                | FrameKind::Loop { .. }
                | FrameKind::Try { .. }
                | FrameKind::Call { .. }
                | FrameKind::Fanout(_) => None,
            })
            .collect();
        if !self.yielded.is_empty() {
            effects.push(FlowEffect::Yield);
        }
        effects
    }
}

impl Turn<'_> {
    fn take(&mut self, event: FlowEvent) {
        match (&self.state.stage, event) {
            (Stage::New(ctx), FlowEvent::Begun) => {
                let root = Thread::new(ctx.clone(), None);
                self.state.threads.insert(ROOT, root);
                self.state.stage = Stage::Running;
                let op = self.state.program.root();
                self.push(ROOT, MoveKind::Enter { op, path: StepPath::new(".") });
            }
            (Stage::Running, FlowEvent::Settled { path, attempt, outcome }) => {
                self.settled(&path, attempt, outcome)
            }
            (Stage::Running, FlowEvent::TimerFired { path, attempt }) => self.timer_fired(&path, attempt),
            (Stage::Running, FlowEvent::Resumed) => self.moves = std::mem::take(&mut self.state.yielded),
            (Stage::New(_) | Stage::Running, FlowEvent::CancelRequested { reason }) => {
                self.stop(FlowEnd::Cancelled { reason });
            }
            (Stage::New(_) | Stage::Running, FlowEvent::TtlExpired) => {
                let error = FlowError {
                    code: FlowErrorCode::TtlExpired,
                    message: "the run's time to live is over".to_owned(),
                    step: None,
                    reference: None,
                    value: None,
                };
                self.stop(FlowEnd::Failed { error, ctx: self.state.ctx().clone() });
            }
            (Stage::Running, FlowEvent::Begun) | (Stage::Ended(_), _) => {}
            (
                Stage::New(_),
                FlowEvent::Settled { .. } | FlowEvent::TimerFired { .. } | FlowEvent::Resumed,
            ) => {}
        }
    }

    /// Makes moves until every thread rests, the run is over, or it is time to yield.
    fn run(&mut self) {
        let mut moves_left = MOVES_MAX;
        while let Some(next) = self.moves.pop() {
            if moves_left == 0 {
                self.moves.push(next);
                self.state.yielded = std::mem::take(&mut self.moves);
                self.effects.push(FlowEffect::Yield);
                return;
            }
            moves_left -= 1;
            // A thread that lost a race may still have moves on the list.
            if self.state.threads.contains_key(&next.thread) {
                self.make(next);
            }
        }
    }

    fn make(&mut self, next: Move) {
        let thread = next.thread;
        match next.what {
            MoveKind::Enter { op, path } => self.enter(thread, op, path),
            MoveKind::Return => self.returned(thread),
            MoveKind::Raise(error) => self.raised(thread, error),
            MoveKind::Spawn { path } => self.spawn(thread, &path),
            MoveKind::Join { path, index, outcome } => self.join(thread, &path, index, outcome),
        }
    }

    fn push(&mut self, thread: ThreadId, what: MoveKind) {
        self.moves.push(Move { thread, what });
    }

    fn settled(&mut self, path: &StepPath, attempt: u32, outcome: StepOutcome) {
        let Some(thread) = self.resting(path, attempt, Rest::InFlight) else { return };
        match outcome {
            StepOutcome::Done(value) | StepOutcome::Skipped(value) => self.step_done(thread, value),
            StepOutcome::Failed(failure) => self.step_failed(thread, failure),
        }
    }

    fn timer_fired(&mut self, path: &StepPath, attempt: u32) {
        if let Some(thread) = self.resting(path, attempt, Rest::Waiting) {
            self.close(thread, path);
            self.push(thread, MoveKind::Return);
        } else if let Some(thread) = self.resting(path, attempt, Rest::BackingOff) {
            self.dispatch_again(thread);
        }
    }

    /// Gives the thread that rests at `path` in the way that an event is about.
    fn resting(&self, path: &StepPath, attempt: u32, rest: Rest) -> Option<ThreadId> {
        let thread = *self.state.open.get(path)?;
        let found = match &self.state.threads.get(&thread)?.top()?.kind {
            FrameKind::Step { attempt, phase: Phase::InFlight, .. } => (Rest::InFlight, *attempt),
            FrameKind::Step { attempt, phase: Phase::BackingOff { .. }, .. } => {
                (Rest::BackingOff, attempt + 1)
            }
            FrameKind::Waiting { .. } => (Rest::Waiting, 1),
            FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => return None,
            FrameKind::Call { .. } | FrameKind::Fanout(_) => return None,
        };
        (found == (rest, attempt)).then_some(thread)
    }

    /// Pops the frame that a thread rests on.
    fn close(&mut self, thread: ThreadId, path: &StepPath) {
        self.state.open.remove(path);
        self.pop(thread);
    }

    fn pop(&mut self, thread: ThreadId) -> Option<Frame> {
        self.state.threads.get_mut(&thread)?.pop()
    }

    fn set_top(&mut self, thread: ThreadId, kind: FrameKind) {
        if let Some(thread) = self.state.threads.get_mut(&thread) {
            thread.set_top(kind);
        }
    }

    /// Ends the run now: everything open is aborted.
    fn stop(&mut self, end: FlowEnd) {
        for thread in std::mem::take(&mut self.state.open).into_values() {
            if let Some(resting) = self.pop(thread) {
                self.abort(&resting);
            }
        }
        self.finish(end);
    }

    /// Says that what a thread rested on is not wanted any more.
    fn abort(&mut self, resting: &Frame) {
        let attempt = match &resting.kind {
            FrameKind::Step { attempt, phase: Phase::InFlight, .. } => *attempt,
            FrameKind::Step { attempt, phase: Phase::BackingOff { .. }, .. } => attempt + 1,
            FrameKind::Waiting { .. } => 1,
            FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => not_at_rest(),
            FrameKind::Call { .. } | FrameKind::Fanout(_) => not_at_rest(),
        };
        self.state.open.remove(&resting.path);
        self.effects.push(FlowEffect::Abort { path: resting.path.clone(), attempt });
    }

    fn finish(&mut self, end: FlowEnd) {
        self.moves.clear();
        self.state.yielded.clear();
        self.state.threads = BTreeMap::new();
        self.state.open = BTreeMap::new();
        self.state.stage = Stage::Ended(end.clone());
        self.effects.push(FlowEffect::Finish(end));
    }

    /// Writes into a thread's context; the context stays as it was when the write is refused.
    fn write(
        &mut self,
        thread: ThreadId,
        target: &adjutant_model::flow::Expr,
        value: Value,
    ) -> Result<(), EvalError> {
        let Some(thread) = self.state.threads.get_mut(&thread) else { return Ok(()) };
        thread.write(target, value)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    InFlight,
    BackingOff,
    Waiting,
}

fn not_at_rest() -> ! {
    unreachable!("no thread rests on it")
}
