//! How actions end, and how the end of one ends others.

use super::slot::{Phase, Slot};
use super::{ProposalEffect, SettledBy, Turn};
use crate::proposal::tool::empty_object;
use adjutant_model::Value;
use adjutant_model::proposal::{ActionResult, ActionStatus};
use std::sync::Arc;

/// The end of an action.
struct End {
    status: ActionStatus,
    output: Option<Value>,
    error: Option<String>,
    state_changes: Value,
    by: SettledBy,
}

impl End {
    fn without_output(status: ActionStatus, error: String, by: SettledBy) -> End {
        End { status, output: None, error: Some(error), state_changes: empty_object(), by }
    }
}

impl Turn {
    pub(super) fn set(&mut self, index: usize, slot: Slot) {
        self.state.slots[index] = Arc::new(slot);
    }

    pub(super) fn reject(&mut self, index: usize, by: SettledBy, error: String) {
        self.settle(index, End::without_output(ActionStatus::Rejected, error, by));
    }

    pub(super) fn settle_succeeded(&mut self, index: usize, output: Value, changes: Value, by: SettledBy) {
        let status = ActionStatus::Succeeded;
        self.settle(index, End { status, output: Some(output), error: None, state_changes: changes, by });
    }

    pub(super) fn settle_failed(&mut self, index: usize, error: String) {
        self.settle(index, End::without_output(ActionStatus::Failed, error, SettledBy::Execution));
    }

    pub(super) fn settle_skipped(&mut self, index: usize, error: String) {
        self.settle(index, End::without_output(ActionStatus::Skipped, error, SettledBy::Execution));
    }

    pub(super) fn settle_stopped(&mut self, index: usize, error: String) {
        self.settle(index, End::without_output(ActionStatus::Skipped, error, SettledBy::Stop));
    }

    /// Skips what has not begun; what has begun goes on.
    pub(super) fn stop_rest(&mut self, reason: &str) {
        for index in 0..self.state.slots.len() {
            match &*self.state.slots[index] {
                Slot::Waiting { .. } | Slot::Judging => self.stop_one(index, reason),
                Slot::Running(_) | Slot::Settled(_) => {}
            }
        }
        self.ready.clear();
    }

    /// Skips what has not begun and cancels what has.
    pub(super) fn stop_all(&mut self, reason: &str) {
        for index in 0..self.state.slots.len() {
            self.stop_one(index, reason);
        }
        self.ready.clear();
    }

    /// Stops everything because an action failed, and takes back what this proposal wrote to the state.
    pub(super) fn abort(&mut self, culprit: usize) {
        let reason = format!("action '{}' failed and aborts the proposal", self.state.action(culprit).id);
        self.stop_all(&reason);
        let written = std::mem::take(&mut self.state.written);
        let writes = written.into_iter().map(|(key, own)| (key, own.version, own.before.as_ref()));
        for key in self.world.state.undo(writes) {
            let value = self.world.state.get(&key).cloned();
            self.effects.push(ProposalEffect::StateChanged { key, value });
        }
        for (place, call) in &std::mem::take(&mut self.state.kept) {
            self.world.caches.idempotent_forget(call, *place);
        }
    }

    fn stop_one(&mut self, index: usize, reason: &str) {
        let (effect, what) = match &*self.state.slots[index] {
            Slot::Settled(_) => return,
            Slot::Waiting { .. } => (None, "not started"),
            Slot::Judging => (Some(ProposalEffect::Withdraw { action: index }), "not started"),
            Slot::Running(run) => match run.phase {
                Phase::Executing { .. } => {
                    (Some(ProposalEffect::Cancel { action: index, attempt: run.attempt }), "canceled")
                }
                Phase::Throttled { .. } | Phase::BackingOff { .. } => (None, "canceled"),
            },
        };
        self.effects.extend(effect);
        self.settle_stopped(index, format!("{what}: {reason}"));
    }

    /// Ends an action; what waited for nobody else becomes ready.
    fn settle(&mut self, index: usize, end: End) {
        let run = self.state.slots[index].running();
        let (attempt, duration_ms) = match run {
            Some(run) => (run.attempt, Some(self.now.ms_since(run.started_at))),
            None => (0, None),
        };
        let result = Arc::new(ActionResult {
            action_id: self.state.action(index).id.clone(),
            status: end.status,
            output: end.output,
            error: end.error,
            state_changes: end.state_changes,
            duration_ms,
            timestamp: self.now,
        });
        self.set(index, Slot::Settled(result.clone()));
        self.state.unsettled -= 1;
        self.state.cost.actions_skipped += u64::from(end.status == ActionStatus::Skipped);
        self.effects.push(ProposalEffect::Settled { action: index, attempt, by: end.by, result });
        let plan = self.state.plan.clone();
        for follower in plan.graph.after(index) {
            self.one_before_settled(*follower);
        }
    }

    fn one_before_settled(&mut self, index: usize) {
        let Slot::Waiting { before } = &*self.state.slots[index] else { return };
        let before = before - 1;
        self.set(index, Slot::Waiting { before });
        if before == 0 {
            self.ready.push_back(index);
        }
    }
}
