//! The inbox: everything that waits for a person, from one look into the store.
//!
//! What the gate asks is an approval, wherever the tool call came from; a session that asks a permission which the gate
//! has raised as an approval shows there alone. What else stops a session stands beside: a question to a person, a
//! spent quota, an agent that is not started again, one whose context is nearly full. A goal shows when it was re-opened by
//! what its checks said, when nobody pursues it any more although it is not done, or when its deadline has passed.

use crate::approvals;
use crate::error::EngineError;
use crate::plane::Core;
use crate::pressure::{self, Pressure, SessionContext};
use adjutant_model::client_run::Approval;
use adjutant_model::goal::{Goal, GoalAlert};
use adjutant_model::session::{AgentQuestion, Session, SessionPhase, SessionState, WaitingFor};
use adjutant_model::{GoalId, SessionId, Timestamp};
use adjutant_rules::session::is_untold;
use adjutant_store::SessionFilter;

/// What waits for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Inbox {
    /// What the gate asks, the oldest first.
    pub approvals: Vec<Approval>,
    /// Sessions, the one that has waited longest first.
    pub sessions: Vec<InboxItem>,
    /// Goals that a person should look at, the one that has waited longest first.
    pub goals: Vec<GoalItem>,
}

/// A goal that a person should look at.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalItem {
    /// The goal.
    pub goal_id: GoalId,
    /// Its intent.
    pub description: String,
    /// What it is about.
    pub alert: GoalAlert,
}

/// A session that waits for a person.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxItem {
    /// The session.
    pub session_id: SessionId,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub what: InboxKind,
    /// The same in words.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// What a session waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum InboxKind {
    /// Its agent asks.
    Asks(AgentQuestion),
    /// Its quota is spent.
    Quota,
    /// It could not be made or started, or died too often.
    Errored,
    /// Its agent could not be told its task, and is not told again by itself.
    Untold,
    /// Its agent's context is nearly full: it is about to forget.
    Context,
}

impl InboxKind {
    /// Gives the name on the wire.
    pub fn as_str(&self) -> &'static str {
        match self {
            InboxKind::Asks(question) => question.what.as_str(),
            InboxKind::Quota => "quota",
            InboxKind::Errored => "errored",
            InboxKind::Untold => "untold",
            InboxKind::Context => "context",
        }
    }
}

/// Looks at what waits.
pub(crate) async fn of(core: &Core) -> Result<Inbox, EngineError> {
    let mut approvals = approvals::pending(core).await?;
    approvals.sort_by_key(|approval| approval.created_at);
    let filter = SessionFilter { is_live: true, ..SessionFilter::default() };
    let said = core.store.context_usages().await?;
    let mut sessions: Vec<InboxItem> = core
        .store
        .sessions(filter)
        .await?
        .into_iter()
        .flat_map(|entry| {
            let context = pressure::of_session(&entry.session, said.get(&entry.session.id));
            items(entry.session, &approvals, context)
        })
        .collect();
    sessions.sort_by_key(|item| item.since);
    let goals = core.store.goals_with_alert().await?.into_iter();
    let item = |goal: Goal| {
        let alert = goal.alert?;
        Some(GoalItem { goal_id: goal.id, description: goal.description, alert })
    };
    let mut goals: Vec<GoalItem> = goals.filter_map(item).collect();
    goals.sort_by_key(|item| item.alert.since);
    Ok(Inbox { approvals, sessions, goals })
}

fn items(session: Session, approvals: &[Approval], context: Option<SessionContext>) -> Vec<InboxItem> {
    let (session_id, name) = (session.id, session.name.clone());
    let item = |what, text: String, since| InboxItem { session_id, name: name.clone(), what, text, since };
    let connection = format!("session:{session_id}");
    let is_with_the_gate = |question: &AgentQuestion| {
        question.what == WaitingFor::Permission
            && approvals
                .iter()
                .any(|approval| approval.id == question.ask_id || approval.connection == connection)
    };
    let mut found: Vec<InboxItem> = session
        .questions
        .iter()
        .filter(|question| !is_with_the_gate(question))
        .map(|question| item(InboxKind::Asks(question.clone()), question.text.clone(), question.asked_at))
        .collect();
    let reason = session.reason.clone().unwrap_or_default();
    if session.activity.activity.waiting_for() == Some(WaitingFor::Quota) {
        found.push(item(InboxKind::Quota, reason.clone(), session.activity.since));
    }
    if is_untold(&session) {
        found.push(item(InboxKind::Untold, reason.clone(), session.updated_at));
    }
    let is_full = |context: &SessionContext| context.pressure >= Pressure::Alert;
    if let Some(context) = context.filter(is_full).filter(|_| session.phase == SessionPhase::Running) {
        let SessionContext { used_tokens, window_tokens, fraction, said_at, .. } = context;
        let percent = (fraction * 100.0).round();
        let text = format!("its context holds {used_tokens} of {window_tokens} tokens ({percent} %)");
        found.push(item(InboxKind::Context, text, said_at.unwrap_or(session.activity.since)));
    }
    if session.state == SessionState::Errored {
        found.push(item(InboxKind::Errored, reason, session.updated_at));
    }
    found
}
