//! What agents ask by their protocol: may I use this tool, would you do this for me? The gate answers, and a person where
//! a rule asks.

use super::perform::Performed;
use crate::approvals::{self, Asker, Question};
use crate::error::EngineError;
use crate::hooks;
use crate::plane::Core;
use adjutant_model::action::{Caller, Role};
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, ToolCall};
use adjutant_model::session::{AgentQuestion, AskAnswer, Session};
use adjutant_model::{TokenId, Value};
use adjutant_rules::approval;
use std::sync::Arc;

/// Something that a person is to be asked, because a rule wants it.
#[derive(Debug)]
pub(super) struct Asked {
    /// The message of the protocol.
    pub(super) message: String,
    /// What the agent asks.
    pub(super) question: AgentQuestion,
    /// What the gate said.
    pub(super) judgement: Judgement,
}

/// Has the gate judge what an agent asks for by a message of its protocol.
pub(super) async fn judge(
    core: Arc<Core>,
    session: Session,
    (message, question): (String, AgentQuestion),
) -> Performed {
    let (ask_id, call) = (question.ask_id.clone(), call_of(&question));
    let judged = async {
        let judgement = judgement(&core, &session, (&caller_of(&session), &call)).await?;
        // No hook tells of such a call, so this is all that the journal has of it.
        hooks::note(&core, session.id, (&message, &call), &judgement).await?;
        Ok::<_, EngineError>(judgement)
    };
    let answer = match judged.await {
        Ok(judgement) => match judgement.effect {
            PolicyEffect::Allow => AskAnswer::Allow,
            PolicyEffect::Deny => AskAnswer::Deny { reason: judgement.reason },
            PolicyEffect::Ask => return Performed::Asks(Box::new(Asked { message, question, judgement })),
        },
        Err(error) => AskAnswer::Deny { reason: error.to_string() },
    };
    Performed::Judged { ask_id, answer }
}

/// Asks a person what a rule wants a person to be asked.
pub(super) async fn ask(core: Arc<Core>, session: Session, asked: Asked) -> Performed {
    let Asked { message, question, judgement } = asked;
    let asker = Asker {
        token_id: caller_of(&session).token_id.to_string(),
        agent_id: Some(session.agent.as_str().into()),
        connection: format!("session:{}", session.id).into(),
    };
    let call = call_of(&question);
    let about = Question { call: call.clone(), reason: judgement.reason.clone(), run_id: None };
    let last = match approvals::ask_as(&core, approvals::fresh_id(), asker, about).await {
        Ok(ended) => approval::judgement(judgement.rule.as_deref(), &judgement.reason, &(&ended).into()),
        Err(reason) => Judgement::new(GateStage::Approval, PolicyEffect::Deny, reason),
    };
    let answer = match hooks::note(&core, session.id, (&message, &call), &last).await {
        Ok(()) if last.allowed => AskAnswer::Allow,
        Ok(()) => AskAnswer::Deny { reason: last.reason },
        Err(error) => AskAnswer::Deny { reason: error.to_string() },
    };
    Performed::Judged { ask_id: question.ask_id, answer }
}

/// Gives what a question is about as a tool call.
fn call_of(question: &AgentQuestion) -> ToolCall {
    let words = || Value::object([("text", Value::from(question.text.as_str()))]);
    ToolCall {
        tool: question.tool.clone().unwrap_or_else(|| "unknown".to_owned()),
        parameters: question.input.clone().unwrap_or_else(words),
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
