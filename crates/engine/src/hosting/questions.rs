//! What agents ask by their protocol: may I use this tool? The gate answers, and a person where a rule asks.

use super::perform::Performed;
use crate::approvals::{self, Asker, Question};
use crate::error::EngineError;
use crate::hooks;
use crate::plane::Core;
use adjutant_model::action::{Caller, Role};
use adjutant_model::policy::{Judgement, PolicyEffect, ToolCall};
use adjutant_model::session::{AgentQuestion, AskAnswer, Session};
use adjutant_model::{TokenId, Value};
use std::sync::Arc;

/// Has the gate judge what an agent asks for; waits for a person where a rule asks.
pub(super) async fn judge(core: Arc<Core>, session: Session, question: AgentQuestion) -> Performed {
    let ask_id = question.ask_id.clone();
    let words = || Value::object([("text", Value::from(question.text.as_str()))]);
    let call = ToolCall {
        tool: question.tool.clone().unwrap_or_else(|| "unknown".to_owned()),
        parameters: question.input.clone().unwrap_or_else(words),
    };
    let answer = match allowed(&core, &session, call).await {
        Ok(()) => AskAnswer::Allow,
        Err(reason) => AskAnswer::Deny { reason },
    };
    Performed::Judged { ask_id, answer }
}

/// Tells whether a session's agent may use a tool now; the reason when it may not.
async fn allowed(core: &Arc<Core>, session: &Session, call: ToolCall) -> Result<(), String> {
    let caller = caller_of(session);
    let judgement = judgement(core, session, (&caller, &call)).await.map_err(|error| error.to_string())?;
    match judgement.effect {
        PolicyEffect::Allow => Ok(()),
        PolicyEffect::Deny => Err(judgement.reason),
        PolicyEffect::Ask => {
            let asker = Asker {
                token_id: caller.token_id.to_string(),
                agent_id: Some(session.agent.as_str().into()),
                connection: format!("session:{}", session.id).into(),
            };
            approvals::ask(core, asker, Question { call, reason: judgement.reason, run_id: None }).await
        }
    }
}

/// Gives a session's agent as the one who acts.
pub(crate) fn caller_of(session: &Session) -> Caller {
    let nobody = || TokenId::new(adjutant_model::id::Uuid::nil());
    Caller {
        token_id: session.token_id.clone().unwrap_or_else(nobody),
        role: Role::Worker,
        step: None,
        agent_id: None,
        name: None,
        of_session: Some(session.id),
    }
}

/// Has the gate judge a call of a session's agent; an approval is not asked for.
pub(crate) async fn judgement(
    core: &Core,
    session: &Session,
    (caller, call): (&Caller, &ToolCall),
) -> Result<Judgement, EngineError> {
    let hooked = hooks::hosted(core, session).await?;
    hooks::judgement(core, (caller, &hooked), None, call).await
}
