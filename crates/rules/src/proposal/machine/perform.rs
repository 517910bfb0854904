//! The way of an action from validation to its attempts.

use super::slot::{Phase, Run, Slot};
use super::{ProposalEffect, ProposalTimer, SettledBy, ToolOutcome, Turn};
use crate::proposal::cache::CallKey;
use crate::proposal::condition::{equal, form_errors, unmet};
use crate::proposal::graph::own_key;
use crate::proposal::state::StateRefusal;
use crate::proposal::tool::Tool;
use adjutant_model::proposal::{ActionType, FailureBehavior};
use adjutant_model::{Timestamp, Value};
use std::sync::Arc;

/// The pause before the second attempt; it doubles with each that follows.
const BACKOFF_MS: u64 = 100;
/// The longest pause.
const BACKOFF_MS_MAX: u64 = 60_000;

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The tool said so, or what it needed is not so; trying again may help.
    Told,
    /// It never began.
    NeverBegan,
    /// It did not answer, so it may have done its work.
    TimedOut,
    /// It has done its work, and what followed went wrong.
    AfterWork,
}

impl Turn {
    pub(super) fn validate(&mut self, index: usize) {
        let action = self.state.action(index);
        let mut reasons = form_errors(action, &self.state.plan.tools);
        reasons.extend(unmet(action, &self.world.state));
        if reasons.is_empty() {
            self.set(index, Slot::Judging);
            self.effects.push(ProposalEffect::Judge { action: index });
        } else {
            self.reject(index, SettledBy::Validation, reasons.join("; "));
        }
    }

    pub(super) fn refused(&mut self, index: usize, reason: String) {
        if self.is_judging(index) {
            self.reject(index, SettledBy::Gate, reason);
        }
    }

    pub(super) fn allowed(&mut self, index: usize) {
        if !self.is_judging(index) {
            return;
        }
        // The gate may have waited for a person, and others have moved the state meanwhile.
        let reasons = unmet(self.state.action(index), &self.world.state);
        if !reasons.is_empty() {
            return self.reject(index, SettledBy::Validation, reasons.join("; "));
        }
        let call = self.call_key(index);
        let cached = call.and_then(|call| self.cached(index, &call));
        if let Some(reason) = self.limit_reached(index, cached.as_ref()) {
            return self.stop_rest(&reason);
        }
        self.state.cost.actions_executed += 1;
        let run = Run::first(call, self.now);
        self.set(index, Slot::Running(run.clone()));
        match cached {
            Some((output, by)) => self.succeed(index, output, by),
            None => self.attempt(index, run),
        }
    }

    /// Says which limit keeps an action from beginning.
    fn limit_reached(&self, index: usize, cached: Option<&(Value, SettledBy)>) -> Option<String> {
        let (limits, cost) = (&self.state.plan.limits, &self.state.cost);
        let is_call = self.state.action(index).kind == ActionType::ToolCall && cached.is_none();
        let actions = limits.max_actions.filter(|max| cost.actions_executed >= *max);
        let calls = limits.max_tool_calls.filter(|max| is_call && cost.tool_calls >= *max);
        let of_actions = actions.map(|max| format!("the limit of {max} actions is reached"));
        of_actions.or_else(|| calls.map(of_calls))
    }

    pub(super) fn tool_settled(&mut self, index: usize, attempt: u32, outcome: ToolOutcome) {
        let Some(run) = self.state.slots.get(index).and_then(|slot| slot.running()) else { return };
        if run.attempt != attempt || !matches!(run.phase, Phase::Executing { .. }) {
            return;
        }
        match outcome {
            ToolOutcome::Done(value) => self.tool_done(index, value),
            ToolOutcome::Failed { message } => self.failed(index, message, Failure::Told),
            ToolOutcome::TimedOut => self.failed(index, self.timed_out(index), Failure::TimedOut),
        }
    }

    pub(super) fn action_timer_fired(&mut self, index: usize, attempt: u32, timer: ProposalTimer) {
        let Some(run) = self.state.slots.get(index).and_then(|slot| slot.running()) else { return };
        if run.attempt != attempt {
            return;
        }
        match run.phase {
            Phase::Executing { .. } => {}
            Phase::Throttled { due_at } => {
                let run = run.clone();
                if self.is_due(timer, due_at) {
                    self.call(index, run);
                }
            }
            Phase::BackingOff { due_at } => {
                let run = Run { attempt_at: self.now, ..run.clone() };
                if self.is_due(timer, due_at) {
                    self.attempt(index, run);
                }
            }
        }
    }

    fn is_judging(&self, index: usize) -> bool {
        self.state.slots.get(index).is_some_and(|slot| matches!(**slot, Slot::Judging))
    }

    /// Gives the key of a call that a cache may know.
    fn call_key(&self, index: usize) -> Option<CallKey> {
        let tool = self.tool(index)?;
        let action = self.state.action(index);
        (action.idempotent || tool.spec().cache_ttl_secs.is_some()).then(|| CallKey::new(action))
    }

    fn cached(&self, index: usize, call: &CallKey) -> Option<(Value, SettledBy)> {
        let caches = &self.world.caches;
        let known = self.state.action(index).idempotent.then(|| caches.idempotent(call)).flatten();
        match known {
            Some(output) => Some((output.clone(), SettledBy::IdempotencyCache)),
            None => caches.result(call, self.now).map(|output| (output.clone(), SettledBy::ResultCache)),
        }
    }

    fn attempt(&mut self, index: usize, run: Run) {
        match self.state.action(index).kind {
            ActionType::ToolCall => self.call(index, run),
            ActionType::StateWrite => {
                let value = self.parameter(index, "value");
                self.succeed(index, value, SettledBy::Execution);
            }
            ActionType::StateRead => {
                let key = own_key(self.state.action(index)).unwrap_or_default();
                let value = self.world.state.get(key).cloned().unwrap_or_default();
                self.succeed(index, value, SettledBy::Execution);
            }
            ActionType::Assertion => self.assert(index, run),
        }
    }

    fn assert(&mut self, index: usize, run: Run) {
        self.state.cost.retries += u64::from(run.attempt > 1);
        let expected = self.parameter(index, "expected");
        let key = own_key(self.state.action(index)).unwrap_or_default();
        if self.world.state.get(key).is_some_and(|found| equal(found, &expected)) {
            return self.succeed(index, Value::Bool(true), SettledBy::Execution);
        }
        let shown: String = expected.to_string().chars().take(80).collect();
        let error = format!("assertion failed: '{key}' is not {shown}");
        self.set(index, Slot::Running(run));
        self.failed(index, error, Failure::Told);
    }

    fn parameter(&self, index: usize, key: &str) -> Value {
        self.state.action(index).parameters.get(key).cloned().unwrap_or_default()
    }

    /// Calls the tool as soon as its rate limit lets it.
    fn call(&mut self, index: usize, run: Run) {
        if let Some(max) = self.state.plan.limits.max_tool_calls
            && self.state.cost.tool_calls >= max
        {
            return self.out_of_calls(index, &run, &of_calls(max));
        }
        let Some(tool) = self.tool(index) else { return };
        let timeout_ms = self.timeout_ms(index);
        let late_at = run.attempt_at.plus_ms(timeout_ms);
        if self.now >= late_at {
            self.set(index, Slot::Running(run));
            return self.failed(index, self.timed_out(index), Failure::NeverBegan);
        }
        match self.world.caches.rate_take(&tool, self.now) {
            Ok(()) => {
                self.state.cost.tool_calls += 1;
                self.state.cost.retries += u64::from(run.attempt > 1);
                let timeout_ms = late_at.ms_since(self.now);
                let attempt = run.attempt;
                self.set(index, Slot::Running(Run { phase: Phase::Executing { timeout_ms }, ..run }));
                self.effects.push(self.state.execute(index, attempt, timeout_ms));
            }
            Err(free_at) => {
                let due_at = free_at.min(late_at);
                self.rest(index, Run { phase: Phase::Throttled { due_at }, ..run }, due_at);
            }
        }
    }

    /// Ends an action that may not call its tool, and with it everything that has not begun.
    fn out_of_calls(&mut self, index: usize, run: &Run, reason: &str) {
        match &run.last_error {
            Some(error) => self.settle_failed(index, error.to_string()),
            None => self.settle_stopped(index, format!("not started: {reason}")),
        }
        self.stop_rest(reason);
    }

    /// Takes back what was counted for a call that was not made.
    pub(super) fn call_refused(&mut self, index: usize, attempt: u32, reason: &str) {
        let Some(run) = self.state.slots.get(index).and_then(|slot| slot.running()) else { return };
        if run.attempt != attempt || !matches!(run.phase, Phase::Executing { .. }) {
            return;
        }
        let run = run.clone();
        self.state.cost.tool_calls -= 1;
        if attempt > 1 {
            self.state.cost.retries -= 1;
        } else {
            self.state.cost.actions_executed -= 1;
            // It never began, and its end says so.
            self.set(index, Slot::Judging);
        }
        self.out_of_calls(index, &run, reason);
    }

    fn rest(&mut self, index: usize, run: Run, due_at: Timestamp) {
        let timer = ProposalTimer::Action { action: index, attempt: run.attempt };
        self.set(index, Slot::Running(run));
        self.effects.push(ProposalEffect::SetTimer { timer, due_at });
    }

    fn tool_done(&mut self, index: usize, output: Value) {
        if let (Some(tool), Some(call)) = (self.tool(index), self.run_of(index).and_then(|run| run.call)) {
            self.world.caches.result_keep(call, &tool, &output, self.now);
            if self.state.action(index).idempotent {
                let place = self.world.caches.idempotent_keep(call, &tool.spec().name, &output);
                self.state.kept.insert_cow(place, call);
            }
        }
        self.succeed(index, output, SettledBy::Execution);
    }

    fn succeed(&mut self, index: usize, output: Value, by: SettledBy) {
        match self.write_effects(index) {
            Ok(changes) => self.settle_succeeded(index, output, changes, by),
            Err(why) => self.failed(index, why.to_string(), Failure::AfterWork),
        }
    }

    /// Writes what an action that succeeded changes, all of it or nothing, and gives it as an object.
    fn write_effects(&mut self, index: usize) -> Result<Value, StateRefusal> {
        let action = self.state.action(index);
        let own = match action.kind {
            ActionType::StateWrite => {
                own_key(action).map(|key| (Arc::from(key), self.parameter(index, "value")))
            }
            ActionType::ToolCall | ActionType::StateRead | ActionType::Assertion => None,
        };
        let expected = action.expected_effects.as_object().into_iter().flat_map(|effects| effects.iter());
        let changes: adjutant_model::value::Object =
            own.into_iter().chain(expected.map(|(key, value)| (key.clone(), value.clone()))).collect();
        if changes.is_empty() {
            return Ok(Value::Object(changes));
        }
        let mut book = self.world.state.clone();
        let mut versions = Vec::with_capacity(changes.len());
        for (key, value) in changes.iter() {
            versions.push(book.set(key.clone(), value.clone())?);
        }
        for ((key, value), version) in changes.iter().zip(versions) {
            self.remember(key, version);
            self.effects.push(ProposalEffect::StateChanged { key: key.clone(), value: Some(value.clone()) });
        }
        self.world.state = book;
        Ok(Value::Object(changes))
    }

    /// Remembers what stood at a key that is about to be written: before this proposal's first write, or since
    /// somebody else has written it.
    fn remember(&mut self, key: &Arc<str>, version: u64) {
        let current = self.world.state.version(key);
        let before = match self.state.written.get(key) {
            Some(written) if current == Some(written.version) => written.before.clone(),
            Some(_) | None => self.world.state.get(key).cloned(),
        };
        self.state.written.insert_cow(key.clone(), super::Written { before, version });
    }

    fn failed(&mut self, index: usize, error: String, failure: Failure) {
        let Some(run) = self.run_of(index).cloned() else { return };
        let action = self.state.action(index);
        let repeatable = match failure {
            Failure::Told | Failure::NeverBegan => true,
            Failure::TimedOut => {
                action.idempotent || self.tool(index).is_some_and(|tool| tool.spec().idempotent)
            }
            Failure::AfterWork => false,
        };
        match action.failure_behavior {
            FailureBehavior::Retry if repeatable && run.attempt <= action.max_retries => {
                let due_at = self.now.plus_ms(backoff_ms(run.attempt));
                let phase = Phase::BackingOff { due_at };
                let next = Run { attempt: run.attempt + 1, phase, last_error: Some(error.into()), ..run };
                self.rest(index, next, due_at);
            }
            FailureBehavior::Retry => self.settle_failed(index, error),
            FailureBehavior::Skip => self.settle_skipped(index, error),
            FailureBehavior::Abort => {
                self.settle_failed(index, error);
                self.abort(index);
            }
        }
    }

    fn timed_out(&self, index: usize) -> String {
        format!("action timed out after {}ms", self.timeout_ms(index))
    }

    fn timeout_ms(&self, index: usize) -> u64 {
        self.state.action(index).timeout_ms.unwrap_or(self.state.plan.limits.tool_timeout_ms)
    }

    fn run_of(&self, index: usize) -> Option<&Run> {
        self.state.slots[index].running()
    }

    fn tool(&self, index: usize) -> Option<Arc<Tool>> {
        let action = self.state.action(index);
        let name = action.tool.as_deref().filter(|_| action.kind == ActionType::ToolCall)?;
        self.state.plan.tools.get(name).cloned()
    }
}

fn of_calls(max: u64) -> String {
    format!("the limit of {max} tool calls is reached")
}

/// Gives the pause after an attempt, from 1.
fn backoff_ms(attempt: u32) -> u64 {
    let doubled = 1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX);
    BACKOFF_MS.saturating_mul(doubled).min(BACKOFF_MS_MAX)
}
