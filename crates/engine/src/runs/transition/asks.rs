//! Asking: a turn whose action waits for a person, and the approval that is raised with it.

use super::{Dispatch, Transition, refusal};
use crate::approvals::{self, Asker, Question};
use crate::gate::ToolJudged;
use crate::record;
use crate::runs::questions::{About, Asked};
use crate::runs::run_gate::RunGate;
use crate::runs::{ToolAsked, ToolQuestion};
use adjutant_model::Value;
use adjutant_model::action::StepBinding;
use adjutant_model::client_run::Approval;
use adjutant_model::event::Event;
use adjutant_model::policy::{Judgement, ToolCall};
use adjutant_model::run::{StepPath, TurnStatus};
use adjutant_rules::approval::{self, ASK, Answered};
use adjutant_store::TurnSettlement;
use std::sync::Arc;

impl Transition<'_> {
    /// Asks before a step, whose turn has been opened, is performed.
    pub(super) fn ask_before(&mut self, dispatch: Dispatch, judgement: Judgement, gate: &RunGate<'_>) {
        let Dispatch { path, attempt, .. } = &dispatch;
        let turn = self.turns.step(path, *attempt).expect("the turn was opened just now");
        self.turns.ask(path.clone(), *attempt, judgement.rule.clone());
        let asker = gate.starter.asker(Some(dispatch.agent.clone()));
        let id = self.raise(
            self.turns.approval_id(self.run_id, path, *attempt),
            &asker,
            (gate.call(&dispatch), judgement.reason.clone()),
            gate.approval_ms,
        );
        self.step_judged(turn, &dispatch, &judgement);
        self.follows.asked.push(Asked { id, about: About::Step(dispatch) });
    }

    /// Asks what a flow's own question says; its turn has been opened.
    pub(super) fn ask_person(
        &mut self,
        (path, attempt): (StepPath, u32),
        parameters: Value,
        wait_ms: u64,
        gate: &RunGate<'_>,
    ) {
        self.turns.ask(path.clone(), attempt, None);
        let call = ToolCall { tool: ASK.to_owned(), parameters: parameters.clone() };
        let reason = format!("the flow asks at {path}");
        let id = self.turns.approval_id(self.run_id, &path, attempt);
        let id = self.raise(id, &gate.starter.asker(None), (call, reason), wait_ms);
        self.follows.asked.push(Asked { id, about: About::Node { path, attempt, parameters } });
    }

    /// Takes the answer about a step: it is performed, or it settles at once as one that the gate refused.
    pub(in crate::runs) fn answered(&mut self, dispatch: Dispatch, approval: &Approval, gate: &RunGate<'_>) {
        let Some(rule) = self.turns.answer(&dispatch.path, dispatch.attempt) else { return };
        let judgement = approval::judgement(rule.as_deref(), &approval.reason, &Answered::from(approval));
        if !judgement.allowed {
            let settled = self.reject(dispatch, judgement);
            return self.take(settled, gate);
        }
        let Dispatch { path, attempt, .. } = &dispatch;
        let turn = self.turns.step(path, *attempt).expect("an asked step has an open turn");
        self.step_judged(turn, &dispatch, &judgement);
        self.follows.dispatches.push(dispatch);
    }

    /// Asks before an agent's tool is called; gives nothing back, because the agent waits.
    pub(in crate::runs) fn tool_asked(
        &mut self,
        question: ToolQuestion,
        judgement: Judgement,
        gate: &RunGate<'_>,
    ) {
        let ToolQuestion { caller, binding, call, reply } = question;
        let (rule, reason) = (judgement.rule.clone(), judgement.reason.clone());
        let step = (binding.path.clone(), binding.attempt);
        let ToolJudged { turn, .. } = self.tool_judged(step, &call, judgement);
        let asker = Asker {
            // A worker answers nothing; a model that has started the run answers nothing of it either.
            token_id: gate.starter.by_model().unwrap_or_else(|| caller.token_id.as_str().to_owned()),
            agent_id: caller.agent_id,
            connection: Arc::from(format!("step:{}/{}", self.run_id, binding.path)),
        };
        let tool = call.tool.clone();
        let id = approvals::id_of(format_args!("{}/turn {turn}", self.run_id));
        let id = self.raise(id, &asker, (call, reason), gate.approval_ms);
        let asked = ToolAsked { binding, turn, tool, rule };
        self.follows.asked.push(Asked { id, about: About::Tool { asked, reply } });
    }

    /// Takes the answer about a tool call; gives nothing when the call is not open any more.
    pub(in crate::runs) fn tool_answered(
        &mut self,
        asked: &ToolAsked,
        approval: &Approval,
    ) -> Option<ToolJudged> {
        let ToolAsked { binding: StepBinding { path, attempt, .. }, turn, tool, rule } = asked;
        let step_turn = self.turns.step(path, *attempt).filter(|_| self.turns.has_tool(*turn))?;
        let judgement = approval::judgement(rule.as_deref(), &approval.reason, &Answered::from(approval));
        if let Some(error) = refusal(&judgement) {
            self.turns.close_tool(*turn, step_turn);
            let settlement = TurnSettlement {
                status: TurnStatus::Rejected,
                output: None,
                error: Some(&error),
                rule: rule.as_deref(),
                ended_at: self.now,
            };
            self.follows.write.turn_settle(self.run_id, *turn, settlement);
        }
        let event = Event::ToolJudged {
            turn: *turn,
            path: path.clone(),
            tool: tool.clone(),
            judgement: record::judgement(&judgement),
        };
        self.journal("plane", event);
        Some(ToolJudged { turn: *turn, judgement })
    }

    /// Enters an approval into the write of this transition; gives back its id, which follows from what it is about.
    fn raise(
        &mut self,
        id: String,
        asker: &Asker,
        (call, reason): (ToolCall, String),
        wait_ms: u64,
    ) -> String {
        let question = Question { call, reason, run_id: Some(Arc::from(self.run_id.as_str())) };
        let times = (self.now, self.now.plus_ms(wait_ms));
        approvals::raise(&mut self.follows.write, id.clone(), (asker, &question), times);
        id
    }
}
