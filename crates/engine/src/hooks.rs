//! Hooks of agents: what they tell is kept and passed on, and what they ask is decided by the gate.
//!
//! What happens to a tool call, in this order: `PreToolUse` is judged. A rule that denies denies; a rule that asks raises
//! an approval and the agent waits for its end; a rule that allows allows, and the agent asks nobody. When no rule is
//! about the call nothing is said, so that the agent's own rules of permission hold: a project's own `deny` is not
//! weakened. What they would ask a person comes as `PermissionRequest`. Nobody sees a dialog of an agent
//! that Adjutant hosts, so there the plane's policy is the answer: what it allows, by a rule or by its default, is
//! allowed. An agent that somebody else has started has somebody who sees its dialogs, so there nothing is said then.
//!
//! The agent of a run's step that is a program shows the step's token; it is judged as the step's tool calls are
//! ([`step`]).
//!
//! A judgement that says something is durable before the agent hears it. What is kept for people to look at is written
//! behind the answer, in batches (`hooks/keep.rs`).

mod keep;
mod session;
pub(crate) mod spool;
pub(crate) mod step;

pub(crate) use keep::{Hooks, forget_old, keep};

use crate::approvals::{self, Asker, Question};
use crate::breakers;
use crate::clock;
use crate::error::EngineError;
use crate::gate::CallOrigin;
use crate::plane::Core;
use crate::policies::{self, PolicyOwners};
use crate::record;
use crate::roster;
use adjutant_model::action::{Caller, Role};
use adjutant_model::event::Event;
use adjutant_model::hook::{HookCall, HookEvent, HookVerdict};
use adjutant_model::id::Uuid;
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, ToolCall};
use adjutant_model::session::{AgentSignal, Signal, SignalSource};
use adjutant_model::{SessionId, Timestamp, Value};
use adjutant_rules::breaker::BreakerEvent;
use adjutant_rules::hook::answer::Vendor;
use adjutant_rules::hook::read::{Posted, posted};
use adjutant_rules::hook::signals::{HookClock, permission};
use adjutant_rules::hook::tool::SubagentEnd;
use adjutant_rules::{approval, hook};
use adjutant_store::{Draft, Write};
use keep::HookArrival;
pub(crate) use session::{HookedSession, hosted, session_of};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

/// What is enough to answer a hook.
#[derive(Debug, Clone, PartialEq)]
pub struct HookParams {
    /// What was posted.
    pub body: Value,
    /// The session that the request's header names.
    pub session: Option<String>,
    /// How large the body was, in bytes.
    pub size_bytes: u64,
    /// By what it is known again when it comes by another way as well.
    pub hook_id: Option<Uuid>,
}

/// What a hook is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct HookAnswered {
    /// The event's name, as it came.
    pub event: Arc<str>,
    /// The session that it is of.
    pub session_id: SessionId,
    /// What was decided, when the event asks for it and there was something to say.
    pub decision: Option<HookDecision>,
    /// In which form it was posted, which is that of its answer.
    pub form: HookForm,
}

/// In which form a hook was posted.
#[derive(Debug, Clone, PartialEq)]
pub enum HookForm {
    /// As the agent calls its hooks.
    Agent {
        /// What the agent is answered; nothing when it is told nothing.
        answer: Option<serde_json::Value>,
    },
    /// By somebody who says for which session.
    Named,
}

/// What was decided about a tool that an agent wants to use.
#[derive(Debug, Clone, PartialEq)]
pub struct HookDecision {
    /// What the agent is told.
    pub verdict: HookVerdict,
    /// What the gate said last.
    pub judgement: Judgement,
}

/// Takes a hook of an agent and gives its answer.
pub(crate) async fn received(
    core: &Arc<Core>,
    caller: &Caller,
    params: HookParams,
) -> Result<HookAnswered, EngineError> {
    if core.stopping.is_cancelled() {
        return Err(EngineError::Stopping);
    }
    let began = Instant::now();
    let HookParams { body, session, size_bytes, hook_id } = params;
    let (claimed, call) = match posted(body).map_err(EngineError::invalid)? {
        Posted::Agent(call) => (None, call),
        Posted::For { session_id, call } => (Some(session_id), call),
    };
    let is_named = claimed.is_some();
    let session = session_for(core, caller, (&[claimed, session], &call)).await?;
    let (at, session_id) = (clock::now(), session.id);
    let Some(event) = call.event.filter(|event| event.decides()) else {
        let form = if is_named { HookForm::Named } else { HookForm::Agent { answer: None } };
        let answered = HookAnswered { event: call.name.clone(), session_id, decision: None, form };
        if hook_id.is_none_or(|id| core.hooks.is_first(id)) {
            heard_apart(
                core,
                session,
                HookArrival { session_id, call, size_bytes, decision: None, at, hook_id },
            )
            .await?;
        }
        return Ok(answered);
    };
    heard(core, &session, &call, at).await;
    let decision = decide(core, caller, &session, Asked { event, call: &call, at }).await?;
    let form = match is_named {
        true => HookForm::Named,
        false => HookForm::Agent { answer: answer_of(&call, decision.as_ref()) },
    };
    let answered = HookAnswered { event: call.name.clone(), session_id, decision, form };
    let decision = answered.decision.as_ref().map(|decision| match decision.verdict {
        HookVerdict::Allow { .. } => "allow",
        HookVerdict::Deny { .. } => "deny",
    });
    core.meters.hook_answered(&answered, began.elapsed());
    core.hooks.arrived(HookArrival { session_id, call, size_bytes, decision, at, hook_id: None });
    Ok(answered)
}

/// Takes what a hook tells that decides nothing. Its agent may go away while that is done, and leave it in a file: it is
/// known by its id there, so it is done to the end here.
async fn heard_apart(
    core: &Arc<Core>,
    session: HookedSession,
    arrival: HookArrival,
) -> Result<(), EngineError> {
    let hearing = {
        let core = core.clone();
        async move {
            heard(&core, &session, &arrival.call, arrival.at).await;
            core.hooks.arrived(arrival);
        }
    };
    core.tasks.spawn(hearing).await.map_err(|_| EngineError::Defect("what hears hooks panicked"))
}

/// Takes what a hook tells, behind what earlier ones have left.
async fn heard(core: &Arc<Core>, session: &HookedSession, call: &HookCall, at: Timestamp) {
    spool::take(core, session.id).await;
    tell(core, session, call, at).await;
    learn(core, call).await;
}

/// Gives what an agent reads, in its own format.
fn answer_of(call: &HookCall, decision: Option<&HookDecision>) -> Option<serde_json::Value> {
    hook::agent_answer(call.event?, &decision?.verdict, Vendor::of(&call.payload))
}

/// Finds the session that a hook is of: its token's, and of the owner's token the one that is named; when none is, that
/// of an agent which somebody else has started.
async fn session_for(
    core: &Arc<Core>,
    caller: &Caller,
    (claimed, call): (&[Option<String>], &HookCall),
) -> Result<HookedSession, EngineError> {
    let claimed = || claimed.iter().flatten();
    if let Some(own) = caller.of_session {
        if claimed().any(|id| *id != own.to_string()) {
            return Err(EngineError::Forbidden(
                "the token is another session's than the one that is named".into(),
            ));
        }
        return session::session_of(core, own).await?.ok_or_else(|| EngineError::not_found("session", own));
    }
    if caller.role != Role::Host {
        return Err(EngineError::Forbidden(
            "hooks are called with the token of a session, or the owner's".into(),
        ));
    }
    let Some(id) = claimed().next() else {
        // Somebody else has started it.
        let known = roster::discovered::of_hook(core, call).await?;
        let nameless = || EngineError::NotFound { kind: "session", id: "of this agent".to_owned() };
        return known.as_ref().map(session::discovered).ok_or_else(nameless);
    };
    if claimed().any(|other| other != id) {
        return Err(EngineError::invalid("the header and the body name different sessions"));
    }
    let unknown = || EngineError::not_found("session", id.chars().take(80).collect::<String>());
    let session_id: SessionId = id.parse().map_err(|_| unknown())?;
    session::session_of(core, session_id).await?.ok_or_else(unknown)
}

/// Passes on what a hook tells, but for what is asked: whether somebody is asked is decided here.
async fn tell(core: &Arc<Core>, session: &HookedSession, call: &HookCall, at: Timestamp) {
    let decides = call.event.is_some_and(HookEvent::decides);
    let clock = HookClock { now: at, offset_secs: clock::offset_secs() };
    let mut signals = hook::signals(call, clock);
    signals.retain(|signal| !(decides && matches!(signal.what, AgentSignal::Asked(_))));
    if signals.is_empty() && session.is_attended {
        roster::discovered::heard_of(core, session.id, call).await;
    }
    session::told(core, session.id, signals).await;
}

/// Takes a subagent's end into its breaker; a store that refuses that must not hold an agent up.
async fn learn(core: &Core, call: &HookCall) {
    let Some((agent, end)) = hook::subagent_end(call) else { return };
    let event = match end {
        SubagentEnd::Well => BreakerEvent::Succeeded,
        SubagentEnd::Failed => BreakerEvent::Failed,
    };
    if let Err(error) = breakers::learn(core, agent, event).await {
        tracing::warn!(%agent, %error, "an agent's end could not be taken into its breaker");
    }
}

/// A tool that an agent wants to use.
#[derive(Clone, Copy)]
struct Asked<'a> {
    event: HookEvent,
    call: &'a HookCall,
    at: Timestamp,
}

impl Asked<'_> {
    fn tool_call(&self) -> ToolCall {
        let nameless = || ToolCall { tool: String::new(), parameters: Value::Null };
        self.call.tool.as_ref().map_or_else(nameless, hook::tool_call)
    }

    fn signal(&self, what: AgentSignal) -> Signal {
        Signal::new(SignalSource::Hook, &*self.call.name, what)
    }
}

/// Lets the gate decide: capability, validation, policy, breaker, approval.
async fn decide(
    core: &Arc<Core>,
    caller: &Caller,
    session: &HookedSession,
    asked: Asked<'_>,
) -> Result<Option<HookDecision>, EngineError> {
    let tool_call = asked.tool_call();
    let mut judgement = judge(core, caller, session, (&asked, &tool_call)).await?;
    let delegated = asked.call.tool.as_ref().and_then(hook::delegated);
    if judgement.effect != PolicyEffect::Deny
        && let Some(agent) = delegated
        && let Some(why) = breakers::refusal(core, agent).await?
    {
        judgement = Judgement {
            matched: judgement.matched,
            ..Judgement::new(GateStage::Breaker, PolicyEffect::Deny, why)
        };
    }
    if judgement.is_telling() {
        note(core, session.id, (&asked.call.name, &tool_call), &judgement).await?;
    }
    if judgement.effect == PolicyEffect::Ask {
        judgement = ask(core, caller, session, (&asked, &tool_call), judgement).await?;
        note(core, session.id, (&asked.call.name, &tool_call), &judgement).await?;
    }
    if let Some(agent) = delegated.filter(|_| judgement.allowed) {
        breakers::learn(core, agent, BreakerEvent::Admitted).await?;
    }
    let decision = verdict(asked.event, judgement, session.is_attended);
    settle(core, session, &asked, decision.as_ref()).await;
    Ok(decision)
}

async fn judge(
    core: &Core,
    caller: &Caller,
    session: &HookedSession,
    (asked, tool_call): (&Asked<'_>, &ToolCall),
) -> Result<Judgement, EngineError> {
    match judgement(core, (caller, session), asked.call.subagent.as_deref(), tool_call).await {
        // What cannot be read may have denied it.
        Err(error @ EngineError::Invalid { .. }) => {
            Ok(Judgement::new(GateStage::Policy, PolicyEffect::Deny, error.to_string()))
        }
        judged => judged,
    }
}

/// Has the rules judge a tool call of a session's agent, or of a subagent of it; nobody is asked.
///
/// # Errors
/// [`EngineError::Invalid`] when a policy that holds for it cannot be used.
pub(crate) async fn judgement(
    core: &Core,
    (caller, session): (&Caller, &HookedSession),
    subagent: Option<&str>,
    call: &ToolCall,
) -> Result<Judgement, EngineError> {
    let own = session.plays.as_deref().into_iter().chain(session.agent.as_deref());
    let names: Vec<&str> = own.chain(subagent).collect();
    let owners = PolicyOwners {
        directories: session.project.iter().cloned().collect(),
        agents: names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
    };
    let policies = policies::read(core, owners).await?;
    let (id, path) = (session.id.to_string(), |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| path.to_string_lossy().into_owned())
    });
    let (project, workspace) = (path(&session.project), path(&session.workspace));
    let from = CallOrigin {
        agent: names.first().copied(),
        session: Some(&id),
        project: project.as_deref(),
        run: session.run_id.as_ref().map(|run_id| run_id.as_str()),
        workspace: workspace.as_deref(),
        state: None,
    };
    Ok(core.gate.judge(caller, &policies, &names, call, from))
}

/// Writes what the gate said of a tool call that an event of an agent asks about; durable when this returns.
pub(crate) async fn note(
    core: &Core,
    session_id: SessionId,
    (event, tool_call): (&str, &ToolCall),
    judgement: &Judgement,
) -> Result<(), EngineError> {
    let event = Event::HookJudged {
        event: record::progress(event),
        tool: record::progress(&tool_call.tool),
        judgement: record::judgement(judgement),
    };
    let mut write = Write::default();
    write.journal(Draft {
        at: clock::now(),
        actor: "plane".into(),
        subject: session_id.to_string().into(),
        event,
    });
    core.store.write(write).await?;
    Ok(())
}

/// Asks a person, who has as long as any approval; a person who has approved the call already is not asked again when
/// the agent asks for its permission.
async fn ask(
    core: &Arc<Core>,
    caller: &Caller,
    session: &HookedSession,
    (asked, tool_call): (&Asked<'_>, &ToolCall),
    judgement: Judgement,
) -> Result<Judgement, EngineError> {
    let connection: Arc<str> = format!("hook:{}", session.id).into();
    let since = Timestamp::from_unix_ms(asked.at.unix_ms() - core.live().approval_ms.cast_signed());
    if asked.event == HookEvent::PermissionRequest {
        let fingerprint = approvals::fingerprint(tool_call);
        let said = core.store.approval_settled(&connection, &fingerprint, since).await?;
        if let Some(said) = said {
            return Ok(approval::judgement(judgement.rule.as_deref(), &judgement.reason, &(&said).into()));
        }
    }
    let id = approvals::fresh_id();
    let mut question = permission(asked.call, asked.at);
    question.ask_id.clone_from(&id);
    question.text = record::text(&question.text);
    session::told(core, session.id, vec![asked.signal(AgentSignal::Asked(question))]).await;
    let settling = Settling { core: core.clone(), session_id: session.id, ask_id: Some(id.clone()) };
    let asker = Asker {
        token_id: caller.token_id.to_string(),
        agent_id: session.agent.clone().or_else(|| Some(connection.clone())),
        connection,
    };
    let question = Question { call: tool_call.clone(), reason: judgement.reason.clone(), run_id: None };
    let said = approvals::ask_as(core, id, asker, question).await;
    settling.now().await;
    let last = match said {
        Ok(approved) => {
            approval::judgement(judgement.rule.as_deref(), &judgement.reason, &(&approved).into())
        }
        Err(reason) => Judgement::new(GateStage::Approval, PolicyEffect::Deny, reason),
    };
    Ok(last)
}

/// Tells that a question is settled, also when the hook goes away while it waits.
struct Settling {
    core: Arc<Core>,
    session_id: SessionId,
    ask_id: Option<String>,
}

impl Settling {
    async fn now(mut self) {
        if let Some(ask_id) = self.ask_id.take() {
            session::told(&self.core, self.session_id, vec![settled(ask_id)]).await;
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let Some(ask_id) = self.ask_id.take() else { return };
        let (core, session_id) = (self.core.clone(), self.session_id);
        self.core.tasks.spawn(async move { session::told(&core, session_id, vec![settled(ask_id)]).await });
    }
}

fn settled(ask_id: String) -> Signal {
    Signal::new(SignalSource::Hook, "approval", AgentSignal::AskSettled { ask_id: Some(ask_id) })
}

/// Gives what the agent is told; nothing when it goes by its own rules.
fn verdict(event: HookEvent, judgement: Judgement, is_attended: bool) -> Option<HookDecision> {
    let reason = judgement.reason.clone();
    let by_a_rule = judgement.is_telling() || judgement.decided_by == GateStage::Approval;
    let verdict = match judgement.allowed {
        false => HookVerdict::Deny { reason },
        true if by_a_rule => HookVerdict::Allow { reason },
        true if event == HookEvent::PermissionRequest && !is_attended => HookVerdict::Allow { reason },
        true => return None,
    };
    Some(HookDecision { verdict, judgement })
}

/// Tells what follows from a decision: a tool that is denied has ended.
async fn settle(
    core: &Arc<Core>,
    session: &HookedSession,
    asked: &Asked<'_>,
    decision: Option<&HookDecision>,
) {
    let is_denied = decision.is_some_and(|decision| matches!(decision.verdict, HookVerdict::Deny { .. }));
    let Some(tool) = asked.call.tool.as_ref().filter(|_| is_denied) else { return };
    let what = AgentSignal::ToolEnded {
        tool: tool.name.to_string(),
        call_id: tool.call_id.as_deref().map(str::to_owned),
        ok: false,
    };
    session::told(core, session.id, vec![asked.signal(what)]).await;
}
