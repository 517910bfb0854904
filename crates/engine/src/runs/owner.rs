//! The owner of a run: the only task that moves it.

use super::questions::{About, Asked, Ears, Questions};
use super::recover;
use super::run_gate::RunGate;
use super::take::take_command;
use super::transition::{Dispatch, Follows, Timer, Transition};
use super::turn_book::TurnBook;
use super::{EVENTS_MAX, RunCommand, RunHandle, STORE_RETRY};
use crate::blueprints::Linked;
use crate::clock;
use crate::dispatch::{self, InFlight, StepJob};
use crate::error::EngineError;
use crate::faults::{self, EffectKey};
use crate::goals;
use crate::operators::RunOperators;
use crate::plane::Core;
use crate::policies::RunPolicies;
use crate::spawning::RunStarter;
use crate::workspaces::{self, WorkspacePlan};
use adjutant_model::blueprint::AgentSpec;
use adjutant_model::event::Event;
use adjutant_model::run::{
    ErrorClass, FlowError, FlowErrorCode, RunRecord, RunStatus, StepOutcome, StepPath,
};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::flow::{FlowEffect, FlowEnd, FlowEvent, FlowState};
use adjutant_sessions::{Mailbox, mailbox};
use adjutant_store::{Draft, Fence, Json, RunStatusChange, Write, WriteError};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A run that is to be owned.
pub(crate) struct Launch {
    pub(crate) run: RunRecord,
    pub(crate) linked: Arc<Linked>,
    pub(crate) state: FlowState,
    /// The policies of files that hold in it.
    pub(crate) policies: RunPolicies,
    pub(crate) starter: RunStarter,
    /// Who has to do with its steps besides its agents.
    pub(crate) operators: Option<Arc<RunOperators>>,
    pub(crate) origin: Origin,
}

/// Where a run comes from.
pub(crate) enum Origin {
    /// It was asked for just now.
    New {
        /// What makes it exist; kept together with its first transition.
        creation: Write,
        /// The directory it will work in, when it needs one.
        workspace: Option<WorkspacePlan>,
        /// Told when the run is durable, or why it is not.
        accepted: oneshot::Sender<Result<(), EngineError>>,
    },
    /// It was found in the store; its events have been folded.
    Resumed {
        turns: TurnBook,
        workspace: Option<WorkspacePlan>,
        /// What its time to live counts from.
        clock_from: Timestamp,
    },
}

/// Starts the owner of a run and enters it in the directory.
pub(crate) fn start(core: &Arc<Core>, launch: Launch) -> RunHandle {
    let (commands, received) = mailbox(EVENTS_MAX);
    let (ended_tx, ended) = watch::channel(None);
    let gone = CancellationToken::new();
    let handle = RunHandle { commands: commands.clone(), ended, gone: gone.clone() };
    core.runs.insert(launch.run.id.clone(), handle.clone());
    let (run_id, epoch) = (launch.run.id.clone(), launch.run.epoch);
    let (works, over) = (CancellationToken::new(), handle.ended.clone());
    let owner = Owner::new(core.clone(), launch, (commands, works.clone()), ended_tx);
    let core = core.clone();
    core.clone().tasks.spawn(async move {
        // A panic in an owner is a defect of ours: it interrupts this run and nothing else.
        let why = match tokio::spawn(owner.live(received)).await {
            Ok(()) => "its owner left it",
            Err(_) => "its owner met a defect",
        };
        works.cancel();
        if over.borrow().is_none() {
            recover::left(&core, &run_id, (&core.owner, epoch), why).await;
        }
        core.runs.remove(&run_id);
        gone.cancel();
    });
    handle
}

struct Owner {
    core: Arc<Core>,
    run: RunRecord,
    /// The run's owner, as its fence names it.
    owner: Arc<str>,
    linked: Arc<Linked>,
    state: FlowState,
    policies: RunPolicies,
    starter: RunStarter,
    operators: Option<Arc<RunOperators>>,
    turns: TurnBook,
    /// What must be durable before or with the next transition.
    prefix: Write,
    /// The run's row is there, so its writes are fenced.
    exists: bool,
    accepted: Option<oneshot::Sender<Result<(), EngineError>>>,
    workspace: Option<WorkspacePlan>,
    /// Whether the goal that the run serves has still to be told of it; the run is accepted behind that.
    link: Link,
    /// Events that wait for the next transition.
    waiting: VecDeque<FlowEvent>,
    /// What the machine waits for and no turn is open for; the next transition begins it.
    unbegun: Vec<FlowEffect>,
    timers: Vec<Timer>,
    in_flight: HashMap<(StepPath, u32), InFlight>,
    questions: Questions,
    /// What the run's time to live counts from.
    clock_from: Timestamp,
    /// Is cancelled when nothing of the run may be performed any more, also after a panic.
    works: CancellationToken,
    commands: mpsc::Sender<RunCommand>,
    ended: watch::Sender<Option<Arc<RunRecord>>>,
}

/// Somebody who is answered when the transition is durable.
pub(super) type Reply = Box<dyn FnOnce() + Send>;

/// What a wait of the owner ended with.
#[expect(clippy::large_enum_variant, reason = "there is one at a time, and it is taken apart at once")]
enum Woken {
    Command(RunCommand),
    TimeToLive,
    Timer,
    Stopping,
}

/// Whether the run is linked to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Due,
    /// It is, or there is no goal.
    Done,
}

/// Whether the owner goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Leave,
}

impl Owner {
    fn new(
        core: Arc<Core>,
        launch: Launch,
        (commands, works): (mpsc::Sender<RunCommand>, CancellationToken),
        ended: watch::Sender<Option<Arc<RunRecord>>>,
    ) -> Self {
        let link = if launch.run.goal_id.is_some() { Link::Due } else { Link::Done };
        let mut owner = Owner {
            core,
            owner: launch.run.owner.as_str().into(),
            clock_from: launch.run.created_at,
            works,
            run: launch.run,
            linked: launch.linked,
            state: launch.state,
            policies: launch.policies,
            starter: launch.starter,
            operators: launch.operators,
            turns: TurnBook::default(),
            prefix: Write::default(),
            exists: true,
            accepted: None,
            workspace: None,
            link,
            waiting: VecDeque::new(),
            unbegun: Vec::new(),
            timers: Vec::new(),
            in_flight: HashMap::new(),
            questions: Questions::default(),
            commands,
            ended,
        };
        match launch.origin {
            Origin::New { creation, workspace, accepted } => {
                owner.prefix = creation;
                owner.exists = false;
                owner.accepted = Some(accepted);
                owner.workspace = workspace;
            }
            Origin::Resumed { turns, workspace, clock_from } => {
                owner.turns = turns;
                owner.workspace = workspace;
                owner.clock_from = clock_from;
            }
        }
        owner
    }

    async fn live(mut self, mut received: Mailbox<RunCommand>) {
        if self.begin().await == Next::Leave {
            return self.park().await;
        }
        loop {
            let mut replies = Vec::new();
            let mut commands = Vec::new();
            if self.waiting.is_empty() && self.unbegun.is_empty() {
                match self.wait(&mut received).await {
                    Woken::Command(command) => commands.push(command),
                    Woken::TimeToLive => self.waiting.push_back(FlowEvent::TtlExpired),
                    Woken::Timer => self.fire_timers(),
                    Woken::Stopping => return self.park().await,
                }
            } else if self.core.stopping.is_cancelled() {
                return self.park().await;
            } else if self.ttl_left().is_zero() {
                self.waiting.push_back(FlowEvent::TtlExpired);
            }
            while commands.len() < EVENTS_MAX {
                match received.try_recv() {
                    Ok(command) => commands.push(command),
                    Err(_) => break,
                }
            }
            if self.advance(commands, &mut replies).await == Next::Leave {
                return self.park().await;
            }
            replies.into_iter().for_each(|reply| reply());
            if self.run.status.is_terminal() {
                return self.end().await;
            }
        }
    }

    /// Makes the run durable and its workspace ready, and lets the machine begin or go on.
    async fn begin(&mut self) -> Next {
        if self.link == Link::Due && self.link_goal().await == Next::Leave {
            return Next::Leave;
        }
        if let Some(plan) = self.workspace.take() {
            if !self.exists && self.keep_prefix().await == Next::Leave {
                return Next::Leave;
            }
            match workspaces::provide(&self.core, &self.run, &plan).await {
                Ok(workspace) => {
                    self.prefix.workspace_set(&self.run.id.clone().into(), &workspace);
                    self.prefix.journal(self.draft(Event::WorkspaceReady(workspace.clone())));
                    self.run.workspace = Some(workspace);
                }
                Err(error) => return self.fail_to_begin(&error).await,
            }
        }
        if self.run.status == RunStatus::Pending {
            self.waiting.push_back(FlowEvent::Begun);
            return Next::GoOn;
        }
        self.perform_pending();
        Next::GoOn
    }

    /// Links the run to its goal before it can end, so that no crash leaves a run that its goal does not know.
    async fn link_goal(&mut self) -> Next {
        if !self.exists && self.keep_prefix().await == Next::Leave {
            return Next::Leave;
        }
        while let Err(error) = goals::link_run(&self.core, &self.run).await {
            let EngineError::Write(error) = error else {
                tracing::error!(run = %self.run.id, %error, "the run goes on without its goal");
                break;
            };
            if self.refused(&error).await == Next::Leave {
                return Next::Leave;
            }
        }
        self.link = Link::Done;
        self.accept();
        Next::GoOn
    }

    /// Tells whoever asked for the run that it is accepted.
    fn accept(&mut self) {
        if let Some(accepted) = self.accepted.take() {
            drop(accepted.send(Ok(())));
        }
    }

    /// Keeps the creation alone, because making a workspace takes time.
    async fn keep_prefix(&mut self) -> Next {
        let write = std::mem::take(&mut self.prefix);
        self.keep(write).await
    }

    async fn fail_to_begin(&mut self, error: &EngineError) -> Next {
        let message = match error.hint() {
            Some(hint) => format!("no workspace: {error} ({hint})"),
            None => format!("no workspace: {error}"),
        };
        let error =
            FlowError { code: FlowErrorCode::StepFailed, message, step: None, reference: None, value: None };
        let end = FlowEnd::Failed { error, ctx: self.state.ctx().clone() };
        let mut write = self.fenced();
        let changed = self.finish(&mut write, &end, clock::now());
        if self.keep(write).await == Next::Leave {
            return Next::Leave;
        }
        self.run = changed;
        goals::told(&self.core, self.run.id.as_str());
        self.publish();
        Next::Leave
    }

    /// Performs again what was in flight when the last owner left, and waits for the answers that it waited for. What
    /// has no open turn is begun by the next transition.
    fn perform_pending(&mut self) {
        let (mut dispatches, mut asked) = (Vec::new(), Vec::new());
        for effect in self.state.pending() {
            match effect {
                FlowEffect::Dispatch { ref path, attempt, .. }
                | FlowEffect::Ask { ref path, attempt, .. }
                    if self.turns.step(path, attempt).is_none() =>
                {
                    self.unbegun.push(effect);
                }
                FlowEffect::Dispatch { path, attempt, agent, unit, input, timeout_ms } => {
                    let dispatch = Dispatch { path, attempt, agent, unit, input, timeout_ms };
                    if self.turns.is_asked(&dispatch.path, attempt) {
                        let id = self.turns.approval_id(&self.run.id, &dispatch.path, attempt);
                        asked.push(Asked { id, about: About::Step(dispatch) });
                    } else {
                        dispatches.push(dispatch);
                    }
                }
                FlowEffect::Ask { path, attempt, parameters, .. } => {
                    let id = self.turns.approval_id(&self.run.id, &path, attempt);
                    asked.push(Asked { id, about: About::Node { path, attempt, parameters } });
                }
                FlowEffect::SetTimer { path, attempt, due_at } => {
                    self.timers.push(Timer { path, attempt, due_at })
                }
                FlowEffect::Yield => self.waiting.push_back(FlowEvent::Resumed),
                FlowEffect::Abort { .. } | FlowEffect::Finish(_) => unreachable!("neither is ever pending"),
            }
        }
        self.ask(asked);
        self.perform(dispatches, Vec::new());
    }

    async fn wait(&self, received: &mut Mailbox<RunCommand>) -> Woken {
        let timer = self.timers.iter().map(|timer| timer.due_at).min().map(clock::until);
        tokio::select! {
            biased;
            command = received.recv() => Woken::Command(command.expect("the owner holds a sender itself")),
            () = self.core.stopping.cancelled() => Woken::Stopping,
            () = tokio::time::sleep(self.ttl_left()) => Woken::TimeToLive,
            () = tokio::time::sleep(timer.unwrap_or_default()), if timer.is_some() => Woken::Timer,
        }
    }

    fn ttl_left(&self) -> Duration {
        clock::until(self.clock_from.plus_ms(self.run.ttl_ms))
    }

    fn fire_timers(&mut self) {
        let now = clock::now();
        let (due, rest) =
            std::mem::take(&mut self.timers).into_iter().partition(|timer: &Timer| timer.due_at <= now);
        self.timers = rest;
        let due: Vec<Timer> = due;
        self.waiting.extend(
            due.into_iter().map(|Timer { path, attempt, .. }| FlowEvent::TimerFired { path, attempt }),
        );
    }

    /// Takes what waits and what was said through one transition, keeps it, and performs what follows.
    async fn advance(&mut self, commands: Vec<RunCommand>, replies: &mut Vec<Reply>) -> Next {
        let now = clock::now();
        let mut write = if self.exists { self.fenced() } else { Write::default() };
        write.append(std::mem::take(&mut self.prefix));
        let gate = RunGate {
            core: &self.core,
            policies: &self.policies,
            linked: &self.linked,
            run: &self.run,
            starter: &self.starter,
            operators: self.operators.as_ref(),
            approval_ms: self.core.live().approval_ms,
        };
        let mut turn = Transition::new(&self.run.id, now, &mut self.state, &mut self.turns, write);
        turn.start_again(std::mem::take(&mut self.unbegun), &gate);
        for event in std::mem::take(&mut self.waiting) {
            turn.take(event, &gate);
        }
        for command in commands {
            if let RunCommand::Settled { path, attempt, .. } = &command {
                self.in_flight.remove(&(path.clone(), *attempt));
            }
            take_command(command, &mut turn, &gate, (&self.in_flight, &mut self.questions), replies);
        }
        let mut follows = turn.done();
        let changed = self.settle_status(&mut follows, now);
        let Follows { write, dispatches, aborted, timers, asked, settled, yielded, end: _ } = follows;
        if !write.is_empty() && self.keep(write).await == Next::Leave {
            // The state has gone ahead of the store, and is not looked at again.
            return Next::Leave;
        }
        self.core.meters.steps_settled(&settled);
        if let Some(changed) = changed {
            self.run = changed;
            goals::told(&self.core, self.run.id.as_str());
        }
        self.timers.retain(|timer| !aborted.iter().any(|(path, _)| *path == timer.path));
        self.timers.extend(timers);
        if yielded {
            self.waiting.push_back(FlowEvent::Resumed);
        }
        self.ask(asked);
        self.questions.withdraw_closed(&self.core, &self.turns);
        self.perform(dispatches, aborted);
        Next::GoOn
    }

    /// Waits for the answers to questions whose approvals are durable.
    fn ask(&mut self, asked: Vec<Asked>) {
        let ears =
            Ears { core: self.core.clone(), run_id: self.run.id.clone(), commands: self.commands.clone() };
        for question in asked {
            self.questions.open(&ears, question);
        }
    }

    /// Writes the status that follows from the transition, and gives the run as it is then when that is news.
    fn settle_status(&self, follows: &mut Follows, now: Timestamp) -> Option<RunRecord> {
        if let Some(end) = follows.end.take() {
            return Some(self.finish(&mut follows.write, &end, now));
        }
        let rests = self.turns.in_flight() == 0 && !follows.yielded && self.state.waits();
        let status = if rests { RunStatus::Waiting } else { RunStatus::Running };
        if status == self.run.status {
            return None;
        }
        let event = Event::RunStatusChanged {
            from: self.run.status,
            to: status,
            reason: None,
            error: None,
            result_hash: None,
        };
        follows.write.journal(self.draft_at(event, now));
        let change = RunStatusChange { status, error: None, result: None, ended_at: None };
        follows.write.run_status_set(&self.run.id, change);
        Some(RunRecord { status, ..self.run.clone() })
    }

    fn finish(&self, write: &mut Write, end: &FlowEnd, now: Timestamp) -> RunRecord {
        let (status, error, result, reason) = match end {
            FlowEnd::Done(ctx) => (RunStatus::Done, None, Some(ctx.clone()), None),
            FlowEnd::Failed { error, ctx } => {
                (RunStatus::Failed, Some(error.clone()), Some(ctx.clone()), None)
            }
            FlowEnd::Cancelled { reason } => (RunStatus::Cancelled, None, None, Some(reason.clone())),
        };
        let change =
            RunStatusChange { status, error: error.as_ref(), result: result.as_ref(), ended_at: Some(now) };
        write.run_status_set(&self.run.id, change);
        write.run_tokens_revoke(&self.run.id, now);
        if self.operators.is_some() {
            write.run_stages_forget(&self.run.id);
        }
        let event = Event::RunStatusChanged {
            from: self.run.status,
            to: status,
            reason,
            error: error.clone(),
            result_hash: result.as_ref().map(|result| Json::of(result).sha256()),
        };
        write.journal(self.draft_at(event, now));
        RunRecord { status, error, result, ended_at: Some(now), ..self.run.clone() }
    }

    /// Keeps a write, however long the disk refuses it; a new run is refused instead.
    async fn keep(&mut self, write: Write) -> Next {
        let write = Arc::new(write);
        loop {
            match self.core.store.write(write.clone()).await {
                Ok(_) => {
                    self.exists = true;
                    if self.link == Link::Done {
                        self.accept();
                    }
                    return Next::GoOn;
                }
                Err(error) => {
                    if let Some(accepted) = self.accepted.take() {
                        drop(accepted.send(Err(error.into())));
                        return Next::Leave;
                    }
                    if self.refused(&error).await == Next::Leave {
                        return Next::Leave;
                    }
                }
            }
        }
    }

    async fn refused(&self, error: &WriteError) -> Next {
        if error.class() != ErrorClass::Retry {
            tracing::error!(run = %self.run.id, %error, "the run cannot be written and is left as it stands in the store");
            return Next::Leave;
        }
        tracing::warn!(run = %self.run.id, %error, "the store refuses the run's next step; it is offered again");
        tokio::select! {
            () = self.core.stopping.cancelled() => Next::Leave,
            () = tokio::time::sleep(STORE_RETRY) => Next::GoOn,
        }
    }

    /// Stops what was aborted, then starts what was dispatched; a new step waits until what it replaces has ended.
    fn perform(&mut self, dispatches: Vec<Dispatch>, aborted: Vec<(StepPath, u32)>) {
        let mut after = Vec::new();
        for key in aborted {
            if let Some(in_flight) = self.in_flight.remove(&key) {
                in_flight.cancel.cancel();
                after.push(in_flight.ended);
            }
        }
        for dispatch in dispatches {
            let agent = self.linked.agent(dispatch.unit, &dispatch.agent);
            let blueprint = self.linked.blueprint(dispatch.unit);
            let is_plain = |operators: &Arc<RunOperators>| operators.plan(blueprint, agent).is_plain();
            // One with a limit may have to wait, which is done apart, as what has to do with operators is.
            if let (AgentSpec::Function { fn_id }, None) = (&agent.spec, agent.max_concurrency)
                && self.operators.as_ref().is_none_or(is_plain)
            {
                let Dispatch { path, attempt, input, .. } = dispatch;
                let key = || EffectKey::Step { run_id: self.run.id.clone(), path: path.clone(), attempt };
                let fault = self.core.settings.faults.of_effect(key);
                let outcomes = faults::perform_now(fault, || dispatch::function(agent, fn_id, &input));
                let settled = |outcome| FlowEvent::Settled { path: path.clone(), attempt, outcome };
                self.waiting.extend(outcomes.map(settled));
            } else {
                self.perform_apart(dispatch, &after);
            }
        }
    }

    fn perform_apart(&mut self, dispatch: Dispatch, after: &[CancellationToken]) {
        let key = (dispatch.path.clone(), dispatch.attempt);
        let job = StepJob {
            run_id: self.run.id.clone(),
            task_id: self.run.task_id.clone(),
            owner: self.owner.clone(),
            epoch: self.run.epoch,
            deadline: self.clock_from.plus_ms(self.run.ttl_ms),
            agent_override: self.run.agent_override.clone(),
            workspace: self.run.workspace.clone(),
            blueprint: self.linked.blueprint(dispatch.unit).clone(),
            unit: dispatch.unit,
            path: dispatch.path,
            attempt: dispatch.attempt,
            reruns: self.turns.reruns(),
            agent: dispatch.agent,
            input: dispatch.input,
            timeout_ms: dispatch.timeout_ms,
            operators: self.operators.clone(),
            after: after.to_vec(),
            cancel: self.works.child_token(),
            commands: self.commands.clone(),
        };
        self.in_flight.insert(key, dispatch::start(&self.core, job));
    }

    async fn end(self) {
        self.publish();
        self.stop_in_flight().await;
    }

    /// Leaves the run open in the store; the next owner folds its journal and goes on.
    async fn park(self) {
        self.stop_in_flight().await;
    }

    async fn stop_in_flight(&self) {
        for in_flight in self.in_flight.values() {
            in_flight.cancel.cancel();
        }
        for in_flight in self.in_flight.values() {
            in_flight.ended.cancelled().await;
        }
    }

    fn publish(&self) {
        drop(self.ended.send_replace(Some(Arc::new(self.run.clone()))));
    }

    fn fenced(&self) -> Write {
        Write::fenced(Fence { run_id: self.run.id.clone(), owner: self.owner.clone(), epoch: self.run.epoch })
    }

    fn draft(&self, event: Event) -> Draft {
        self.draft_at(event, clock::now())
    }

    fn draft_at(&self, event: Event, at: Timestamp) -> Draft {
        Draft { at, actor: "plane".into(), subject: (&self.run.id).into(), event }
    }
}

/// Gives the outcome of a step whose worker panicked: a defect of ours, told as a failure of the step.
pub(crate) fn panicked() -> StepOutcome {
    StepOutcome::Failed(adjutant_model::run::StepFailure {
        message: "the worker panicked".to_owned(),
        class: ErrorClass::Bug,
        value: None::<Value>,
    })
}
