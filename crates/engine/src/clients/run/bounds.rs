//! What a client's run is bound to: its rules, its policy sessions, and how much it may take.

use super::{Batch, BoundTo, Owner};
use crate::clients::StartedRun;
use crate::clock;
use adjutant_model::Value;
use adjutant_model::event::Event;
use adjutant_rules::client_run;

impl Owner {
    pub(super) fn bind(&mut self, rule: Value, scope: BoundTo) {
        let (in_run, session) = match scope {
            BoundTo::Run => (true, None),
            BoundTo::Session(id) => (false, Some(id)),
            BoundTo::Both(id) => (true, Some(id)),
        };
        if let Some(id) = session {
            self.run.sessions.entry(id).or_default().push(rule.clone());
        }
        if in_run {
            self.run.policies.push(rule);
        }
    }

    /// Counts a call that is about to be made; refuses it when a limit leaves none.
    pub(super) fn leave(&mut self, batch: &mut Batch) -> Result<(), String> {
        if let Some(reason) = client_run::time_over(&self.run.limits, self.run.started_at, clock::now()) {
            self.time_is_over(batch);
            return Err(reason);
        }
        let calls = client_run::call_leave(&self.run.limits, self.run.tool_calls).inspect_err(|reason| {
            if !std::mem::replace(&mut self.calls_are_over, true) {
                self.journal(batch, Event::ClientRunLimitReached { reason: reason.clone() });
            }
        })?;
        if self.run.limits.max_tool_calls.is_some() {
            self.run.tool_calls = calls;
            batch.called = true;
        }
        Ok(())
    }

    pub(super) fn time_is_over(&mut self, batch: &mut Batch) {
        let reason = client_run::time_over(&self.run.limits, self.run.started_at, clock::now());
        if let (Some(reason), Some(_)) = (reason, self.over_at) {
            self.over_at = None;
            self.journal(batch, Event::ClientRunLimitReached { reason });
        }
    }

    pub(super) fn bound(&self) -> StartedRun {
        StartedRun {
            run_id: self.run.id.clone(),
            agent_id: self.run.agent_id.clone(),
            cursor: self.settled,
            policies: self.run.policies.clone(),
            sessions: self.run.sessions.clone(),
            state: self.run.state.clone(),
            files: self.files.clone(),
        }
    }
}
