//! Driving a proposal: the machine decides, this performs what it asks for and tells it what happened.
//!
//! A proposal of a run reserves its turns' indexes when it is submitted. A turn is kept before its action's effect and
//! again when it settles, and the result is given when all of that is durable.

use super::connection::{Connection, InForce};
use super::run::{ClientRunHandle, RunCommand};
use super::turns::{self, End, Placed};
use super::{Dropped, subject};
use crate::approvals::{self, Question};
use crate::clock;
use crate::error::EngineError;
use crate::record;
use adjutant_model::client_run::ClientTurn;
use adjutant_model::event::{ClientTurnNote, Event};
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, ToolCall};
use adjutant_model::proposal::{Action, ActionResult, OutcomeSpec, Proposal, ProposalResult};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::proposal::{
    ProposalEffect, ProposalEvent, ProposalLimits, ProposalState, ProposalTimer, SettledBy, ToolOutcome,
    ToolSet,
};
use adjutant_store::{Draft, Write};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// A call of a tool that the client offers.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolExecution {
    /// The action's label.
    pub action_id: Arc<str>,
    /// The tool.
    pub tool: Arc<str>,
    /// What it gets.
    pub parameters: Value,
    /// How long it may take.
    pub timeout_ms: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// The way to a client's tools. Dropping the future says that the answer is not wanted any more.
pub trait ToolExecutor: fmt::Debug + Send + Sync {
    /// Calls a tool; gives what it answers, or what went wrong.
    fn execute(
        &self,
        call: ToolExecution,
    ) -> Pin<Box<dyn Future<Output = Result<Value, String>> + Send + '_>>;
}

/// How a proposal is submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmitParams {
    /// The proposal as it came.
    pub proposal: Value,
    /// The scope of rules that it is also judged by.
    pub session_id: Option<String>,
    /// How much it may take.
    pub limits: ProposalLimits,
}

/// A proposal that is to be driven.
pub(super) struct Drive {
    pub(super) connection: Arc<Connection>,
    pub(super) proposal: Proposal,
    pub(super) tools: ToolSet,
    pub(super) limits: ProposalLimits,
    pub(super) in_force: InForce,
    /// The run it is of, and the index of its first turn.
    pub(super) run: Option<(ClientRunHandle, Arc<str>, u64)>,
    pub(super) cancel: CancellationToken,
}

/// A proposal in flight.
struct Driver {
    connection: Arc<Connection>,
    in_force: Arc<InForce>,
    run: Option<(ClientRunHandle, Arc<str>, u64)>,
    proposal: Proposal,
    tools: ToolSet,
    state: ProposalState,
    events: VecDeque<ProposalEvent>,
    heard: mpsc::UnboundedSender<ProposalEvent>,
    calls: JoinSet<()>,
    call_handles: HashMap<(usize, u32), AbortHandle>,
    timers: BTreeMap<ProposalTimer, AbortHandle>,
    started: HashMap<usize, Timestamp>,
    /// What the gate said of actions, until it is kept.
    judgements: HashMap<usize, Judgement>,
    kept: Vec<oneshot::Receiver<()>>,
}

/// Drives a proposal to its end.
///
/// # Errors
/// [`EngineError::Stopping`] when the daemon stops first; the next one accounts for its turns.
pub(super) async fn drive(drive: Drive) -> Result<Arc<ProposalResult>, EngineError> {
    let (heard, mut hearing) = mpsc::unbounded_channel();
    let Drive { connection, proposal, tools, limits, in_force, run, cancel } = drive;
    let stopping = connection.core().stopping.clone();
    let run_ending = run.as_ref().map(|(handle, ..)| handle.ending.clone()).unwrap_or_default();
    let spent = run.as_ref().and_then(|(handle, ..)| handle.time_over());
    let first = spent.map_or(ProposalEvent::Begun, |reason| ProposalEvent::LimitReached { reason });
    let mut driver = Driver {
        state: ProposalState::new(proposal.clone(), tools.clone(), limits),
        connection,
        in_force: Arc::new(in_force),
        run,
        proposal,
        tools,
        events: VecDeque::from([first]),
        heard,
        calls: JoinSet::new(),
        call_handles: HashMap::new(),
        timers: BTreeMap::new(),
        started: HashMap::new(),
        judgements: HashMap::new(),
        kept: Vec::new(),
    };
    let handle = driver.run.as_ref().map(|(handle, ..)| handle.clone());
    let mut cancelled = false;
    let mut spent = false;
    loop {
        while let Some(event) = driver.events.pop_front() {
            driver.step(event).await?;
        }
        if let Some(result) = driver.state.result().cloned() {
            for kept in driver.kept.drain(..) {
                kept.await.map_err(|_| EngineError::Stopping)?;
            }
            return Ok(result);
        }
        tokio::select! {
            () = stopping.cancelled() => return Err(EngineError::Stopping),
            () = cancel.cancelled(), if !cancelled => {
                cancelled = true;
                let reason = "cancelled by its client, or its connection is gone".to_owned();
                driver.events.push_back(ProposalEvent::CancelRequested { reason });
            }
            () = run_ending.cancelled(), if !cancelled => {
                cancelled = true;
                let reason = "its run ends".to_owned();
                driver.events.push_back(ProposalEvent::CancelRequested { reason });
            }
            () = out_of_time(handle.as_ref()), if !spent => {
                let reason = handle.as_ref().and_then(ClientRunHandle::time_over);
                spent = reason.is_some();
                driver.events.extend(reason.map(|reason| ProposalEvent::LimitReached { reason }));
            }
            event = hearing.recv() => driver.events.extend(event),
        }
    }
}

/// Waits until a run has taken all its time; without a run for ever.
async fn out_of_time(run: Option<&ClientRunHandle>) {
    match run {
        Some(run) => run.out_of_time().await,
        None => std::future::pending().await,
    }
}

impl Driver {
    async fn step(&mut self, event: ProposalEvent) -> Result<(), EngineError> {
        if let ProposalEvent::ToolSettled { action, attempt, .. } = &event {
            self.call_handles.remove(&(*action, *attempt));
            self.judgements.remove(action);
        }
        self.note_answer(&event);
        let (state, effects) = self.connection.with_world(|world| {
            let stepped = self.state.step(world, event, clock::now());
            *world = stepped.world;
            (stepped.state, stepped.effects)
        });
        self.state = state;
        let mut state_changed = false;
        for effect in effects {
            state_changed |= matches!(effect, ProposalEffect::StateChanged { .. });
            self.perform(effect, &mut state_changed).await?;
        }
        Ok(())
    }

    /// Performs one effect; a change of the state is kept before the turn that it comes from.
    async fn perform(&mut self, effect: ProposalEffect, state_changed: &mut bool) -> Result<(), EngineError> {
        match effect {
            ProposalEffect::Judge { action } => self.judge(action),
            ProposalEffect::Execute { action, attempt, tool, parameters, timeout_ms } => {
                let action_id = self.proposal.actions[action].id.clone();
                let call = ToolExecution { action_id, tool, parameters, timeout_ms, attempt };
                self.execute(action, call).await;
            }
            ProposalEffect::Cancel { action, attempt } => {
                if let Some(handle) = self.call_handles.remove(&(action, attempt)) {
                    handle.abort();
                }
            }
            ProposalEffect::Withdraw { action } => {
                if let Some(handle) = self.call_handles.remove(&(action, 0)) {
                    handle.abort();
                }
            }
            ProposalEffect::SetTimer { timer, due_at } => self.set_timer(timer, due_at),
            ProposalEffect::StateChanged { .. } => {}
            ProposalEffect::Settled { action, attempt, by, result } => {
                if std::mem::take(state_changed) {
                    self.state_keep().await;
                }
                self.settled(action, attempt, by, &result).await?;
            }
            ProposalEffect::Finish(_) => {
                if std::mem::take(state_changed) {
                    self.state_keep().await;
                }
            }
        }
        Ok(())
    }

    /// Takes a person's answer into what the gate has said.
    fn note_answer(&mut self, event: &ProposalEvent) {
        let (action, effect, said) = match event {
            ProposalEvent::Allowed { action } => (action, PolicyEffect::Allow, None),
            ProposalEvent::Refused { action, reason } => (action, PolicyEffect::Deny, Some(reason)),
            ProposalEvent::Begun
            | ProposalEvent::ToolSettled { .. }
            | ProposalEvent::CallRefused { .. }
            | ProposalEvent::TimerFired(_)
            | ProposalEvent::CancelRequested { .. }
            | ProposalEvent::LimitReached { .. } => return,
        };
        let asked = self.judgements.get_mut(action).filter(|said| said.effect == PolicyEffect::Ask);
        if let Some(judgement) = asked {
            let reason = said.cloned().unwrap_or_else(|| format!("{}; it was approved", judgement.reason));
            let Judgement { rule, matched, .. } = judgement.clone();
            *judgement = Judgement { rule, matched, ..Judgement::new(GateStage::Approval, effect, reason) };
        }
    }

    /// Gives what the gate said of an action, for the first that is told of it.
    fn judgement_of(&mut self, action: usize) -> Option<Box<Judgement>> {
        self.judgements.remove(&action).map(|judgement| Box::new(record::judgement(&judgement)))
    }

    fn judge(&mut self, action: usize) {
        let call = call_of(&self.proposal.actions[action]);
        let judged = self.connection.judge(&self.in_force, &call);
        if judged.is_telling() {
            self.judgements.insert(action, judged.clone());
        }
        match judged.effect {
            PolicyEffect::Allow => self.events.push_back(ProposalEvent::Allowed { action }),
            PolicyEffect::Deny => {
                self.events.push_back(ProposalEvent::Refused { action, reason: judged.reason })
            }
            PolicyEffect::Ask => {
                let question = Question {
                    call,
                    reason: judged.reason,
                    run_id: self.run.as_ref().map(|(_, run_id, _)| run_id.clone()),
                };
                let (connection, heard) = (self.connection.clone(), self.heard.clone());
                let handle = self.calls.spawn(async move {
                    let answer = approvals::ask(connection.core(), connection.asker(), question).await;
                    let event = match answer {
                        Ok(()) => ProposalEvent::Allowed { action },
                        Err(reason) => ProposalEvent::Refused { action, reason },
                    };
                    drop(heard.send(event));
                });
                self.call_handles.insert((action, 0), handle);
            }
        }
    }

    async fn execute(&mut self, action: usize, call: ToolExecution) {
        let first = self.started.insert(action, clock::now()).is_none();
        let turn = self.placed(action, call.attempt).filter(|_| first).map(turns::started);
        // Without a limit only the first attempt has something to tell.
        let told =
            self.run.as_ref().filter(|(run, ..)| turn.is_some() || run.limits.max_tool_calls.is_some());
        let leave = match told {
            Some((run, ..)) => {
                // It stays with us until the tool has settled: a call that is refused its leave has told of nothing.
                let judgement = self.judgements.get(&action).map(|said| Box::new(record::judgement(said)));
                let (reply, leave) = oneshot::channel();
                // Asked here and not by the call's task: what stops the call must not let its start come after its end.
                let call = RunCommand::Call { turn: turn.map(Box::new), judgement, reply };
                drop(run.commands.send(call).await);
                Some(leave)
            }
            None => None,
        };
        let (connection, heard) = (self.connection.clone(), self.heard.clone());
        let attempt = call.attempt;
        let handle = self.calls.spawn(async move {
            if let Some(leave) = leave {
                let refused = match leave.await {
                    Ok(Ok(())) => None,
                    Ok(Err(reason)) => Some(ProposalEvent::CallRefused { action, attempt, reason }),
                    Err(_) => {
                        let outcome = ToolOutcome::Failed { message: "its run is over".to_owned() };
                        Some(ProposalEvent::ToolSettled { action, attempt, outcome })
                    }
                };
                if let Some(refused) = refused {
                    return drop(heard.send(refused));
                }
            }
            let limit = Duration::from_millis(call.timeout_ms);
            let outcome = match tokio::time::timeout(limit, connection.executor().execute(call)).await {
                Ok(Ok(value)) => ToolOutcome::Done(value),
                Ok(Err(message)) => ToolOutcome::Failed { message },
                Err(_) => ToolOutcome::TimedOut,
            };
            drop(heard.send(ProposalEvent::ToolSettled { action, attempt, outcome }));
        });
        self.call_handles.insert((action, attempt), handle);
    }

    fn set_timer(&mut self, timer: ProposalTimer, due_at: Timestamp) {
        let heard = self.heard.clone();
        let handle = self.calls.spawn(async move {
            tokio::time::sleep(clock::until(due_at)).await;
            drop(heard.send(ProposalEvent::TimerFired(timer)));
        });
        if let Some(replaced) = self.timers.insert(timer, handle) {
            replaced.abort();
        }
    }

    async fn state_keep(&mut self) {
        if let Some((handle, ..)) = &self.run {
            let snapshot = self.connection.with_world(|world| world.state.snapshot());
            drop(handle.commands.send(RunCommand::StateSet(snapshot)).await);
        }
    }

    async fn settled(
        &mut self,
        action: usize,
        attempt: u32,
        by: SettledBy,
        result: &Arc<ActionResult>,
    ) -> Result<(), EngineError> {
        let spec = self.spec_of(action);
        let judgement = self.judgement_of(action);
        let end = End { result, by, spec: spec.as_ref() };
        match (self.placed(action, attempt), &self.run) {
            (Some(placed), Some((handle, ..))) => {
                let turn = Box::new(turns::settled(placed, end));
                let (reply, kept) = oneshot::channel();
                // A run that is over has its end already; what came after it is not a turn of it.
                let put = RunCommand::Put { turn, judgement, reply: Some(reply) };
                if handle.commands.send(put).await.is_ok() {
                    self.kept.push(kept);
                }
                Ok(())
            }
            (_, None) | (None, _) => self.journal_alone(action, attempt, end, judgement).await,
        }
    }

    /// Without a run an action is journalled under its connection.
    async fn journal_alone(
        &self,
        action: usize,
        attempt: u32,
        end: End<'_>,
        judgement: Option<Box<Judgement>>,
    ) -> Result<(), EngineError> {
        let placed = Placed {
            index: 0,
            proposal_id: &self.proposal.id,
            action: &self.proposal.actions[action],
            attempt,
            started_at: clock::now(),
        };
        let ClientTurn { tool, proposal_id, action_id, status, policy_rejected, .. } =
            turns::settled(placed, end);
        let note = ClientTurnNote {
            turn: None,
            tool: tool.unwrap_or_default(),
            proposal_id: proposal_id.as_deref().map(str::to_owned),
            action_id: action_id.as_deref().map(str::to_owned),
            status,
            hash: None,
            rule: policy_rejected.map(|rejected| rejected.rule),
            judgement,
        };
        let mut write = Write::default();
        write.journal(Draft {
            at: clock::now(),
            actor: self.connection.caller().actor().into(),
            subject: subject(&format!("connection/{}", self.connection.id())),
            event: Event::ActionSettled { action: note },
        });
        self.connection.core().store.write(write).await?;
        Ok(())
    }

    fn placed(&self, action: usize, attempt: u32) -> Option<Placed<'_>> {
        let (_, _, base) = self.run.as_ref()?;
        Some(Placed {
            index: base + action as u64,
            proposal_id: &self.proposal.id,
            action: &self.proposal.actions[action],
            attempt,
            started_at: self.started.get(&action).copied().unwrap_or_else(clock::now),
        })
    }

    fn spec_of(&self, action: usize) -> Option<OutcomeSpec> {
        let tool = self.proposal.actions[action].tool.as_ref()?;
        self.tools.get(tool)?.outcome_spec()
    }
}

/// Gives what the gate judges of an action; what calls no tool is judged by its kind.
pub(super) fn call_of(action: &Action) -> ToolCall {
    ToolCall {
        tool: action.tool.as_deref().unwrap_or(action.kind.as_str()).to_owned(),
        parameters: action.parameters.clone(),
    }
}

/// Gives the error of a batch that a run does not take.
pub(super) fn refused(dropped: Dropped) -> EngineError {
    EngineError::Conflict {
        message: dropped.to_string(),
        hint: Some("start another run with `runs.start`".to_owned()),
    }
}
