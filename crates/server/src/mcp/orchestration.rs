//! Tools by which agents work together: delegations, breakers, hooks, and how full a context is.

use super::ids;
use super::tool::{Access, Asked, Effect, Tool};
use crate::answer::{Answer, Refusal};
use crate::convert;
use adjutant_engine::approvals::Face;
use adjutant_engine::breakers::BreakerInfo;
use adjutant_engine::delegations::{DEPTH_MAX, DelegateParams};
use adjutant_engine::hooks::HookParams;
use adjutant_engine::pressure::Pressure;
use adjutant_model::Value;
use adjutant_model::action::Verb;
use adjutant_model::hook::HookEvent;
use adjutant_protocol::{http, mcp};
use serde_json::json;

/// A list has at most so many.
const LIST_MAX: usize = 10_000;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            (
                "agent_delegate",
                "Give work to another agent",
                "Gives work to another agent: a session of its own on the same project, from the branch of the session \
                 that asks. Its end is told to that session. `queued` waits for a person, unless the owner allows \
                 agents to begin sessions. Refused while the agent's circuit breaker is open, and deeper than 5.",
            ),
            Access::OwnSession(Verb::Operate),
            Effect::Adds,
            agent_delegate,
        ),
        Tool::new(
            (
                "memory_protect",
                "Say how full your context is",
                "Takes how full a session's context is and says what that means: at `Compact`, write down what must not \
                 be lost and compact.",
            ),
            Access::OwnSession(Verb::Operate),
            Effect::Sets,
            memory_protect,
        ),
        Tool::new(
            (
                "circuit_breaker_status",
                "Show circuit breakers",
                "Shows which agents are left alone because they failed again and again, of one agent or all. Looking \
                 changes nothing.",
            ),
            Access::Verb(Verb::Read),
            Effect::Reads,
            circuit_breaker_status,
        ),
        Tool::new(
            (
                "hook_event",
                "Tell of a hook",
                "Takes an event of an agent's life, as its hooks tell it. `SubagentStop` and `SubagentStopFailure` with \
                 `agent` in the payload feed that agent's circuit breaker; `PreToolUse` is judged.",
            ),
            Access::Verb(Verb::Work),
            Effect::Adds,
            hook_event,
        ),
    ]
}

async fn agent_delegate(asked: Asked, params: mcp::AgentDelegateParams) -> Answer<http::DelegationView> {
    let id = ids::session(&params.session_id)?;
    let mcp::AgentDelegateParams { session_id: _, agent, task, tier } = params;
    let params = DelegateParams { agent, task, tier, ..DelegateParams::default() };
    let info = asked.plane.delegate(&asked.caller, id, params, Face::Model).await?;
    Ok(convert::delegation(&info))
}

async fn memory_protect(asked: Asked, params: mcp::MemoryProtectParams) -> Answer<mcp::MemoryPressureView> {
    let id = ids::session(&params.session_id)?;
    let said = (params.used_tokens, params.window_tokens);
    let found = asked.plane.memory_protect(&asked.caller, id, said).await?;
    let pressure = match found.pressure {
        Pressure::Ok => "Ok",
        Pressure::Warn => "Warn",
        Pressure::Alert => "Alert",
        Pressure::Compact => "Compact",
    };
    let config = mcp::PressureConfigView {
        warn_at: found.config.warn_at,
        alert_at: found.config.alert_at,
        compact_at: found.config.compact_at,
    };
    Ok(mcp::MemoryPressureView { fraction: found.fraction, pressure: pressure.to_owned(), config })
}

async fn circuit_breaker_status(asked: Asked, params: mcp::BreakerParams) -> Answer<mcp::BreakerStatusView> {
    let Some(agent) = params.agent else {
        let all = asked.plane.breakers(LIST_MAX).await?;
        let view = |info: &BreakerInfo| mcp::AgentBreakerView {
            agent: info.record.agent.clone(),
            breaker: breaker(info),
        };
        let breakers = Some(all.iter().map(view).collect());
        return Ok(mcp::BreakerStatusView { breakers, ..mcp::BreakerStatusView::default() });
    };
    let breaker = Some(breaker(&asked.plane.breaker(&agent).await?));
    Ok(mcp::BreakerStatusView { agent: Some(agent), breaker, breakers: None })
}

fn breaker(info: &BreakerInfo) -> mcp::BreakerStateView {
    let view = convert::breaker(info);
    mcp::BreakerStateView {
        state: view.state,
        consecutive_failures: view.consecutive_failures,
        trial_at: view.trial_at,
        config: mcp::BreakerConfigView { failure_threshold: view.failure_threshold, max_depth: DEPTH_MAX },
    }
}

async fn hook_event(asked: Asked, params: mcp::HookEventParams) -> Answer<mcp::HookReceivedView> {
    let id = ids::session(&params.session_id)?;
    let mcp::HookEventParams { session_id: _, event, payload } = params;
    if HookEvent::parse(&event).is_none() {
        let shown: String = event.chars().take(80).collect();
        return Err(Refusal::invalid(format!("unknown hook event `{shown}`")));
    }
    let body = json!({"session_id": id.to_string(), "event": event, "payload": payload});
    let size_bytes = body.to_string().len() as u64;
    let params = HookParams { body: Value::from(body), session: None, size_bytes, hook_id: None };
    let answered = convert::hook_answer(&asked.plane.hook_received(&asked.caller, params).await?);
    let http::HookAnswerView { accepted, session_id, decision } = answered;
    Ok(mcp::HookReceivedView { received: accepted, session_id, decision })
}
