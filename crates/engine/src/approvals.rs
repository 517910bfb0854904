//! Approvals: what people are asked, durable until it is answered or its deadline is over.
//!
//! An approval is raised by a write, so that a run raises it together with the turn that is about it, and ends by
//! another that only the first to come makes. Whoever waits for it looks into the store, and is woken to look again:
//! so a question outlives the daemon when its asker does. Nobody answers their own question: the token that asked never
//! may, and what the owner's token asked on a connection is answered by the owner elsewhere, which the journal says.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use crate::reports;
use crate::runs::STORE_RETRY;
use adjutant_model::action::{Caller, Role, Verb};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::event::Event;
use adjutant_model::policy::ToolCall;
use adjutant_model::run::ErrorClass;
use adjutant_model::{Timestamp, Value};
use adjutant_rules::access;
use adjutant_rules::approval::{self, Answered};
use adjutant_store::{ApprovalResolution, DelegationFilter, Draft, Write, WriteError};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};

/// So many ends may be told before somebody who waits has heard of them; beyond it they look for themselves.
const ENDED_MAX: usize = 64;

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

impl Asker {
    /// Gives the plane as the one who asks, for a run of its own; nobody has its token.
    pub(crate) fn plane(agent_id: Option<Arc<str>>) -> Self {
        Asker { token_id: "plane".to_owned(), agent_id, connection: "plane".into() }
    }
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
pub enum Answer<'a> {
    /// The action may go on.
    Approve {
        /// Which of a question's options is meant; the first when nothing is said.
        option: Option<&'a str>,
    },
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
    /// Who is at the other end.
    pub face: Face,
    /// What they say besides.
    pub reason: &'a str,
}

/// Who is at the other end of a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// A person, as far as anybody can tell.
    Person,
    /// A model's client: what its own token has asked it never answers, whosever token that is.
    Model,
}

/// Tells those who wait which approvals have ended.
#[derive(Debug)]
pub(crate) struct Approvals {
    ended: broadcast::Sender<Arc<str>>,
}

impl Default for Approvals {
    fn default() -> Self {
        Approvals { ended: broadcast::Sender::new(ENDED_MAX) }
    }
}

/// Gives the name of an effect: the same tool with the same parameters has the same, whatever the order of keys.
pub fn fingerprint(call: &ToolCall) -> String {
    let named =
        Value::object([("tool", Value::from(call.tool.as_str())), ("parameters", call.parameters.clone())]);
    format!("{:x}", Sha256::digest(adjutant_rules::blueprint::canonical(&named)))
}

/// Gives the id of the approval that a run raises about something it names: the same whenever it is asked for.
pub(crate) fn id_of(about: impl std::fmt::Display) -> String {
    format!("approval-{}", &format!("{:x}", Sha256::digest(about.to_string()))[..24])
}

/// Makes the approval that a question is, and enters it into a write.
pub(crate) fn raise(
    write: &mut Write,
    id: String,
    (asker, question): (&Asker, &Question),
    (now, deadline): (Timestamp, Timestamp),
) {
    let approval = Approval {
        id,
        run_id: question.run_id.clone(),
        agent_id: asker.agent_id.clone(),
        token_id: asker.token_id.clone(),
        connection: asker.connection.to_string(),
        tool: question.call.tool.clone(),
        parameters: record::without_secrets(&question.call.parameters),
        fingerprint: fingerprint(&question.call),
        reason: record::text(&question.reason),
        status: ApprovalStatus::Pending,
        deadline,
        created_at: now,
        resolved_at: None,
        resolved_by: None,
        option: None,
    };
    write.approval_put(&approval);
    let event = Event::ApprovalRaised {
        approval_id: approval.id.clone(),
        tool: approval.tool.clone(),
        fingerprint: approval.fingerprint.clone(),
        deadline: approval.deadline,
    };
    write.journal(Draft { at: now, actor: "plane".into(), subject: approval.id.as_str().into(), event });
}

/// Tells whether a text is the id of an approval.
pub(crate) fn is_id(text: &str) -> bool {
    text.starts_with("approval-")
}

/// Draws the id of an approval that is raised once.
pub(crate) fn fresh_id() -> String {
    format!("approval-{}", &clock::fresh_id().simple().to_string()[20..])
}

/// Raises an approval and waits for it; gives the reason when it is not approved.
pub(crate) async fn ask(core: &Arc<Core>, asker: Asker, question: Question) -> Result<(), String> {
    let why = question.reason.clone();
    let ended = ask_as(core, fresh_id(), asker, question).await?;
    let last = approval::judgement(None, &why, &Answered::from(&ended));
    if last.allowed { Ok(()) } else { Err(last.reason) }
}

/// Raises an approval under an id and gives how it ended; the reason why when nobody could be asked.
pub(crate) async fn ask_as(
    core: &Arc<Core>,
    id: String,
    asker: Asker,
    question: Question,
) -> Result<Approval, String> {
    let now = clock::now();
    let mut write = Write::default();
    raise(&mut write, id.clone(), (&asker, &question), (now, now.plus_ms(core.live().approval_ms)));
    // Before the write: whoever goes away while it is made leaves no question behind.
    let mut waiting = Waiting { core: core.clone(), id, is_over: false };
    core.store.write(write).await.map_err(|error| format!("nobody could be asked: {error}"))?;
    let ended = ended(core, &waiting.id).await;
    waiting.is_over = true;
    ended.ok_or_else(|| format!("{} is gone", waiting.id))
}

/// Withdraws the question when whoever asked stops waiting.
struct Waiting {
    core: Arc<Core>,
    id: String,
    is_over: bool,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over && !self.core.stopping.is_cancelled() {
            withdraw_apart(&self.core, self.id.clone());
        }
    }
}

/// Waits until an approval has ended, and gives it; one whose deadline is over ends here. Gives nothing when there is
/// none.
///
/// Whoever stops waiting changes nothing.
pub(crate) async fn ended(core: &Core, id: &str) -> Option<Approval> {
    // Before the first look, so that no end falls between the look and the wait.
    let mut heard = core.approvals.ended.subscribe();
    loop {
        let pause = match core.store.approval_get(id).await {
            Ok(Some(found)) if found.status == ApprovalStatus::Pending => clock::until(found.deadline),
            Ok(found) => return found,
            Err(error) => {
                tracing::warn!(approval = %id, %error, "the approval cannot be read; it is looked for again");
                STORE_RETRY
            }
        };
        if pause.is_zero() {
            expire(core, id).await;
            continue;
        }
        tokio::select! {
            () = hear(&mut heard, id) => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Returns when an approval may have ended.
async fn hear(heard: &mut broadcast::Receiver<Arc<str>>, id: &str) {
    loop {
        match heard.recv().await {
            Ok(other) if *other != *id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

async fn expire(core: &Core, id: &str) {
    let end = End { status: ApprovalStatus::Expired, by: "the deadline", option: None };
    match resolve(core, id, end).await {
        // An answer that was a moment quicker stands.
        Ok(()) | Err(WriteError::RowsUnexpected { .. }) => {}
        Err(error) => {
            tracing::warn!(approval = %id, %error, "the approval's end could not be kept; it is offered again");
            tokio::time::sleep(STORE_RETRY).await;
        }
    }
}

/// Withdraws a question that nobody waits for any more, however long the disk refuses it; one that has ended stays as
/// it is.
pub(crate) async fn withdraw(core: &Core, id: &str, by: &str) {
    let end = End { status: ApprovalStatus::Withdrawn, by, option: None };
    while let Err(error) = resolve(core, id, end).await {
        if error.class() != ErrorClass::Retry {
            return tracing::debug!(approval = %id, %error, "the approval has ended already");
        }
        tokio::select! {
            // The next daemon finds that nobody waits for it.
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

/// Does [`withdraw`] apart from whoever asked.
pub(crate) fn withdraw_apart(core: &Arc<Core>, id: String) {
    let apart = core.clone();
    core.tasks.spawn(async move { withdraw(&apart, &id, "its asker").await });
}

/// How an approval ends.
#[derive(Clone, Copy)]
struct End<'a> {
    status: ApprovalStatus,
    by: &'a str,
    option: Option<&'a str>,
}

async fn resolve(core: &Core, id: &str, end: End<'_>) -> Result<(), WriteError> {
    let now = clock::now();
    let End { status, by, option } = end;
    let mut write = Write::default();
    write.approval_resolve(id, ApprovalResolution { status, by, option, at: now });
    let event = Event::ApprovalResolved { approval_id: id.to_owned(), status, by: by.to_owned() };
    write.journal(Draft { at: now, actor: "plane".into(), subject: id.into(), event });
    core.store.write(write).await?;
    // Without anybody who waits the end stands all the same.
    let _nobody_waits = core.approvals.ended.send(id.into());
    Ok(())
}

/// Takes a person's answer.
pub(crate) async fn answer(
    core: &Core,
    id: &str,
    answer: Answer<'_>,
    answerer: Answerer<'_>,
) -> Result<Approval, EngineError> {
    let approval =
        core.store.approval_get(id).await?.ok_or_else(|| EngineError::not_found("approval", id))?;
    may_answer(&approval, &answerer)?;
    let (status, option) = match answer {
        Answer::Approve { option } => {
            let options = approval::options(&approval.tool, &approval.parameters);
            let chosen = approval::choice(&options, option);
            (ApprovalStatus::Approved, chosen.map_err(|error| EngineError::invalid(error.to_string()))?)
        }
        Answer::Deny => (ApprovalStatus::Denied, None),
    };
    let by = match answerer.reason {
        "" => answerer.caller.actor(),
        reason => format!("{}: {reason}", answerer.caller.actor()),
    };
    match resolve(core, id, End { status, by: &by, option: option.as_deref() }).await {
        Ok(()) => {}
        Err(WriteError::RowsUnexpected { .. }) => {
            return Err(EngineError::Conflict { message: format!("{id} has an answer already"), hint: None });
        }
        Err(error) => return Err(error.into()),
    }
    core.store.approval_get(id).await?.ok_or_else(|| EngineError::not_found("approval", id))
}

fn may_answer(approval: &Approval, answerer: &Answerer<'_>) -> Result<(), EngineError> {
    let own_connection = answerer.connection == Some(approval.connection.as_str());
    let own_token = answerer.caller.token_id.as_str() == approval.token_id;
    let role = answerer.caller.role;
    let by_role = access::may(role, Verb::Answer) && answerer.caller.agent_id.is_none();
    if !by_role {
        return Err(EngineError::Forbidden(format!("the role {} answers no approvals", role.as_str())));
    }
    // The owner asks and answers with one token, so from another connection it is a person at another face.
    let is_person = role == Role::Host && answerer.face == Face::Person;
    if approval.tool == reports::TOOL && !is_person {
        let why =
            "only the owner agrees that something leaves this machine, and no model's client does for it";
        return Err(EngineError::Forbidden(why.to_owned()));
    }
    if own_connection || (own_token && !is_person) {
        return Err(EngineError::Forbidden(
            "whoever asked cannot answer; answer from another face".to_owned(),
        ));
    }
    Ok(())
}

/// Ends what nobody waits for any more after the daemon was down; what open runs and
/// open delegations have asked is theirs to look through.
pub(crate) async fn withdraw_left_over(core: &Core) -> Result<(), EngineError> {
    let open: HashSet<String> =
        core.store.runs_open().await?.into_iter().map(|run| run.id.as_str().to_owned()).collect();
    let filter = DelegationFilter { is_open: true, ..DelegationFilter::default() };
    let delegations = core.store.delegations(filter).await?;
    let delegated: HashSet<String> =
        delegations.into_iter().filter_map(|entry| entry.delegation.approval_id).collect();
    for approval in pending(core).await? {
        if delegated.contains(&approval.id) {
            continue;
        }
        if approval.run_id.as_deref().is_none_or(|run_id| !open.contains(run_id)) {
            let end = End { status: ApprovalStatus::Withdrawn, by: "the daemon's start", option: None };
            resolve(core, &approval.id, end).await?;
        }
    }
    Ok(())
}

/// Gives what waits for an answer.
pub(crate) async fn pending(core: &Core) -> Result<Vec<Approval>, EngineError> {
    Ok(core.store.approvals(Some(ApprovalStatus::Pending), usize::MAX).await?)
}
