//! Approvals: what the gate asks a person, durable until it is answered or its deadline is over.
//!
//! The one who asks waits here. Nobody answers their own question: the token that asked never may, and what the owner's
//! token asked on a connection is answered by the owner elsewhere, which the journal says.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use adjutant_model::Value;
use adjutant_model::action::{Caller, Role};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::event::Event;
use adjutant_model::policy::ToolCall;
use adjutant_store::{ApprovalResolution, Draft, Write, WriteError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// The token that was shown.
    pub(crate) token_id: String,
    /// The agent it acts as.
    pub(crate) agent_id: Option<Arc<str>>,
    /// The connection it came over.
    pub(crate) connection: Arc<str>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) call: ToolCall,
    /// The rule that asks, and why.
    pub(crate) reason: String,
    pub(crate) run_id: Option<Arc<str>>,
}

/// What a person says to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The action may go on.
    Approve,
    /// It may not.
    Deny,
}

/// Who answers, and from where.
#[derive(Debug, Clone)]
pub struct Answerer<'a> {
    /// Whose token was shown.
    pub caller: &'a Caller,
    /// The connection of the runtime door, when it came over one.
    pub connection: Option<&'a str>,
    /// What they say besides.
    pub reason: &'a str,
}

/// Those who wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    waiting: Mutex<HashMap<String, oneshot::Sender<ApprovalStatus>>>,
}

impl Approvals {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<ApprovalStatus>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the name of an effect: the same tool with the same parameters has the same, whatever the order of keys.
pub fn fingerprint(call: &ToolCall) -> String {
    let named =
        Value::object([("tool", Value::from(call.tool.as_str())), ("parameters", call.parameters.clone())]);
    format!("{:x}", Sha256::digest(adjutant_rules::blueprint::canonical(&named)))
}

/// Raises an approval and waits for it; gives the reason when it is not approved.
pub(crate) async fn ask(core: &Arc<Core>, asker: Asker, question: Question) -> Result<(), String> {
    let approval =
        raise(core, &asker, &question).await.map_err(|error| format!("nobody could be asked: {error}"))?;
    let (told, answer) = oneshot::channel();
    core.approvals.lock().insert(approval.id.clone(), told);
    let mut waiting = Waiting { core: core.clone(), id: approval.id.clone(), is_over: false };
    let status = tokio::select! {
        answer = answer => answer.unwrap_or(ApprovalStatus::Withdrawn),
        () = tokio::time::sleep(clock::until(approval.deadline)) => {
            resolve(core, &approval.id, ApprovalStatus::Expired, "the deadline").await.ok();
            ApprovalStatus::Expired
        }
    };
    waiting.is_over = true;
    let who = question.reason;
    match status {
        ApprovalStatus::Approved => Ok(()),
        ApprovalStatus::Denied => Err(format!("{who}; it was denied (approval {})", approval.id)),
        ApprovalStatus::Expired => Err(format!("{who}; nobody answered in time (approval {})", approval.id)),
        ApprovalStatus::Pending | ApprovalStatus::Withdrawn => {
            Err(format!("{who}; the question was withdrawn (approval {})", approval.id))
        }
    }
}

/// Withdraws the question when whoever asked stops waiting.
struct Waiting {
    core: Arc<Core>,
    id: String,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.core.approvals.lock().remove(&self.id);
        if self.is_over || self.core.stopping.is_cancelled() {
            return;
        }
        let (core, id) = (self.core.clone(), self.id.clone());
        self.core.tasks.spawn(async move {
            if let Err(error) = resolve(&core, &id, ApprovalStatus::Withdrawn, "its asker").await {
                tracing::debug!(approval = %id, %error, "the approval had an answer already");
            }
        });
    }
}

async fn raise(core: &Core, asker: &Asker, question: &Question) -> Result<Approval, EngineError> {
    let now = clock::now();
    let approval = Approval {
        id: format!("approval-{}", &clock::fresh_id().simple().to_string()[20..]),
        run_id: question.run_id.clone(),
        agent_id: asker.agent_id.clone(),
        token_id: asker.token_id.clone(),
        connection: asker.connection.to_string(),
        tool: question.call.tool.clone(),
        parameters: record::without_secrets(&question.call.parameters),
        fingerprint: fingerprint(&question.call),
        reason: record::text(&question.reason),
        status: ApprovalStatus::Pending,
        deadline: now.plus_ms(core.settings.approval_ms),
        created_at: now,
        resolved_at: None,
        resolved_by: None,
    };
    let mut write = Write::default();
    write.approval_put(&approval);
    let event = Event::ApprovalRaised {
        approval_id: approval.id.clone(),
        tool: approval.tool.clone(),
        fingerprint: approval.fingerprint.clone(),
        deadline: approval.deadline,
    };
    write.journal(Draft { at: now, actor: "plane".into(), subject: approval.id.as_str().into(), event });
    core.store.write(write).await?;
    Ok(approval)
}

async fn resolve(core: &Core, id: &str, status: ApprovalStatus, by: &str) -> Result<(), WriteError> {
    let now = clock::now();
    let mut write = Write::default();
    write.approval_resolve(id, ApprovalResolution { status, by, at: now });
    let event = Event::ApprovalResolved { approval_id: id.to_owned(), status, by: by.to_owned() };
    write.journal(Draft { at: now, actor: "plane".into(), subject: id.into(), event });
    core.store.write(write).await.map(drop)
}

/// Takes a person's answer.
pub(crate) async fn answer(
    core: &Core,
    id: &str,
    answer: Answer,
    answerer: Answerer<'_>,
) -> Result<Approval, EngineError> {
    let approval =
        core.store.approval_get(id).await?.ok_or_else(|| EngineError::not_found("approval", id))?;
    may_answer(&approval, &answerer)?;
    let status = match answer {
        Answer::Approve => ApprovalStatus::Approved,
        Answer::Deny => ApprovalStatus::Denied,
    };
    let by = match answerer.reason {
        "" => answerer.caller.actor(),
        reason => format!("{}: {reason}", answerer.caller.actor()),
    };
    match resolve(core, id, status, &by).await {
        Ok(()) => {}
        Err(WriteError::RowsUnexpected { .. }) => {
            return Err(EngineError::Conflict { message: format!("{id} has an answer already"), hint: None });
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(told) = core.approvals.lock().remove(id) {
        // The one who asked may have gone just now; the answer stands all the same.
        let _asker_is_gone = told.send(status);
    }
    core.store.approval_get(id).await?.ok_or_else(|| EngineError::not_found("approval", id))
}

fn may_answer(approval: &Approval, answerer: &Answerer<'_>) -> Result<(), EngineError> {
    let own_connection = answerer.connection == Some(approval.connection.as_str());
    let own_token = answerer.caller.token_id.as_str() == approval.token_id;
    let role = answerer.caller.role;
    let by_role =
        matches!(role, Role::Host | Role::Operator | Role::Senior) && answerer.caller.agent_id.is_none();
    if !by_role {
        return Err(EngineError::Forbidden(format!("the role {} answers no approvals", role.as_str())));
    }
    // The owner asks and answers with one token, so from another connection it is a person at another face.
    if own_connection || (own_token && role != Role::Host) {
        return Err(EngineError::Forbidden(
            "whoever asked cannot answer; answer from another face".to_owned(),
        ));
    }
    Ok(())
}

/// Ends what nobody waits for any more after the daemon was down.
pub(crate) async fn withdraw_left_over(core: &Core) -> Result<(), EngineError> {
    for approval in core.store.approvals(Some(ApprovalStatus::Pending), usize::MAX).await? {
        resolve(core, &approval.id, ApprovalStatus::Withdrawn, "the daemon's start").await?;
    }
    Ok(())
}
