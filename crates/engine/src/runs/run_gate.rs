//! The gate as the steps and agents of one run meet it.

use super::transition::Dispatch;
use crate::blueprints::Linked;
use crate::dispatch::InFlight;
use crate::gate::{CallOrigin, StepCall};
use crate::operators::RunOperators;
use crate::plane::Core;
use crate::policies::{RunPolicies, names_of};
use crate::spawning::RunStarter;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::Agent;
use adjutant_model::policy::{Judgement, ToolCall};
use adjutant_model::run::RunRecord;
use std::sync::Arc;

/// The gate, with what it has to know of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunGate<'a> {
    pub(super) core: &'a Core,
    pub(super) policies: &'a RunPolicies,
    pub(super) linked: &'a Linked,
    pub(super) run: &'a RunRecord,
    pub(super) starter: &'a RunStarter,
    /// Who holds the run's seats.
    pub(super) operators: Option<&'a Arc<RunOperators>>,
    /// How long a person has to answer, in milliseconds.
    pub(super) approval_ms: u64,
}

impl RunGate<'_> {
    /// Judges a step that the machine wants dispatched.
    pub(super) fn step(&self, dispatch: &Dispatch) -> Judgement {
        let step = self.step_call(dispatch);
        self.core.gate.judge_step(self.policies, &self.names(step.agent), step, self.origin(step.agent))
    }

    /// Gives what a step is to the gate, as people are shown it.
    pub(super) fn call(&self, dispatch: &Dispatch) -> ToolCall {
        self.step_call(dispatch).call()
    }

    fn step_call<'d>(&'d self, dispatch: &'d Dispatch) -> StepCall<'d> {
        let Dispatch { agent, unit, input, .. } = dispatch;
        let agent = self.linked.agent(*unit, agent);
        let asked = self.starter.why_asked(self.core, agent, self.run.agent_override.as_deref());
        StepCall { blueprint: self.linked.blueprint(*unit), agent, input, asked }
    }

    /// Judges a tool call that an agent makes in its step.
    pub(super) fn tool(&self, caller: &Caller, step: &InFlight, call: &ToolCall) -> Judgement {
        let agent = self.linked.agent(step.unit, &step.agent);
        self.core.gate.judge(caller, self.policies, &self.names(agent), call, self.origin(agent))
    }

    fn names<'a>(&'a self, agent: &'a Agent) -> Vec<&'a str> {
        names_of(agent, self.run.agent_override.as_deref())
    }

    fn origin<'a>(&'a self, agent: &'a Agent) -> CallOrigin<'a> {
        let workspace = self.run.workspace.as_ref();
        CallOrigin {
            agent: Some(&agent.name),
            run: Some(self.run.id.as_str()),
            project: workspace.and_then(|workspace| workspace.project.as_deref()),
            workspace: workspace.map(|workspace| workspace.path.as_str()),
            ..CallOrigin::default()
        }
    }
}
