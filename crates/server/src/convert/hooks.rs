//! Hooks and breakers on their way out.

use super::gate_stage;
use adjutant_engine::breakers::BreakerInfo;
use adjutant_engine::hooks::{HookAnswered, HookDecision};
use adjutant_model::hook::HookVerdict;
use adjutant_protocol::http;

pub(crate) fn hook_answer(answered: &HookAnswered) -> http::HookAnswerView {
    http::HookAnswerView {
        accepted: answered.event.to_string(),
        session_id: answered.session_id.to_string(),
        decision: answered.decision.as_ref().map(decision),
    }
}

fn decision(decision: &HookDecision) -> http::HookDecisionView {
    let (effect, reason) = match &decision.verdict {
        HookVerdict::Allow { reason } => ("allow", reason),
        HookVerdict::Deny { reason } => ("deny", reason),
    };
    http::HookDecisionView {
        effect: effect.to_owned(),
        decided_by: gate_stage(decision.judgement.decided_by).to_owned(),
        rule: decision.judgement.rule.clone(),
        reason: reason.clone(),
    }
}

pub(crate) fn breaker(info: &BreakerInfo) -> http::BreakerView {
    let record = &info.record;
    http::BreakerView {
        agent: record.agent.clone(),
        state: info.circuit.as_str().to_owned(),
        consecutive_failures: record.breaker.consecutive_failures,
        failure_threshold: info.failure_threshold,
        since: info.circuit.since().map(|at| at.to_string()),
        trial_at: info.trial_at.map(|at| at.to_string()),
        updated_at: record.updated_at.to_string(),
    }
}
