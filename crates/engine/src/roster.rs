//! The roster: every session that there is, whoever has begun it, from one look.
//!
//! A *managed* session is an agent that Adjutant hosts, an *attached* one an outside client that holds a token with a role,
//! a *discovered* one an agent that somebody else has started and whose hooks come here ([`discovered`]).

pub(crate) mod discovered;

pub(crate) use discovered::Roster;

use crate::cost::{self, Cost};
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use crate::{hosting, sessions};
use adjutant_model::action::TokenRecord;
use adjutant_model::discovered::Discovered;
use adjutant_model::session::{ActivityReport, AgentQuestion, Session, SessionUsage};
use adjutant_model::{GoalId, SessionId, Timestamp};
use adjutant_rules::session::status::{self, StatusNames};
use adjutant_store::SessionFilter;

/// Where a discovered session stands that is over.
const OVER: &str = "over";

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterKind {
    /// Adjutant hosts its agent.
    Managed,
    /// An outside client holds its token.
    Attached,
    /// Somebody else has started its agent.
    Discovered,
}

impl RosterKind {
    /// All kinds.
    pub const ALL: [RosterKind; 3] = [RosterKind::Managed, RosterKind::Attached, RosterKind::Discovered];

    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RosterKind::Managed => "managed",
            RosterKind::Attached => "attached",
            RosterKind::Discovered => "discovered",
        }
    }

    /// Reads a kind's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Which sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RosterFilter {
    /// Only those of a kind.
    pub kind: Option<RosterKind>,
    /// At most so many, the newest first.
    pub limit: usize,
}

/// A session, whoever has begun it.
#[derive(Debug, Clone, PartialEq)]
pub struct RosterEntry {
    /// Whose it is.
    pub kind: RosterKind,
    /// Its public name.
    pub id: SessionId,
    /// What people call it.
    pub name: String,
    /// Its agent; of an attached one what its bearer is called.
    pub agent: String,
    /// Where it stands: as managed sessions do, and else `active` or `over`.
    pub state: &'static str,
    /// What it does.
    pub activity: ActivityReport,
    /// What it asks and nobody has answered, the oldest first.
    pub questions: Vec<AgentQuestion>,
    /// The goal that it serves.
    pub goal_id: Option<GoalId>,
    /// What it used.
    pub usage: SessionUsage,
    /// What it cost, as far as that is known.
    pub cost: Option<Cost>,
    /// Where it works, as far as that is known here.
    pub cwd: Option<String>,
    /// The token that an attached one is.
    pub token: Option<TokenRecord>,
    /// When it was begun, or heard of first.
    pub created_at: Timestamp,
    /// When it was heard of last.
    pub heard_at: Option<Timestamp>,
}

impl Plane {
    /// Gives every session that there is, the newest first; of managed ones those that are not decommissioned.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn roster(&self, filter: RosterFilter) -> Result<Vec<RosterEntry>, EngineError> {
        list(&self.core, filter).await
    }

    /// Gives an agent that somebody else has started, when it is known.
    pub fn session_discovered(&self, id: SessionId) -> Option<RosterEntry> {
        self.core.roster.get(id).map(|known| of_discovered(&self.core, known))
    }
}

/// Gives what clients of the family call where a discovered session stands.
pub fn status_names(entry: &RosterEntry) -> StatusNames {
    status::of_discovered((entry.state != OVER).then_some(entry.activity.activity))
}

async fn list(
    core: &Core,
    RosterFilter { kind, limit }: RosterFilter,
) -> Result<Vec<RosterEntry>, EngineError> {
    let wants = |of| kind.is_none_or(|kind| kind == of);
    let mut entries = Vec::new();
    if wants(RosterKind::Managed) {
        let filter = SessionFilter { is_live: true, limit, ..SessionFilter::default() };
        for session in hosting::list(core, filter).await? {
            let workspace = core.store.workspace_of(&session.id.into()).await?;
            let cost = cost::of_session(core, &session);
            entries.push(managed(session, cost, workspace.map(|workspace| workspace.path)));
        }
    }
    if wants(RosterKind::Attached) {
        let known = sessions::list(core, limit).await?;
        entries.extend(known.into_iter().filter_map(attached));
    }
    if wants(RosterKind::Discovered) {
        entries.extend(core.roster.all().into_iter().map(|known| of_discovered(core, known)));
    }
    entries.sort_by_key(|entry| std::cmp::Reverse((entry.created_at, entry.id)));
    entries.truncate(limit);
    Ok(entries)
}

fn managed(session: Session, cost: Option<Cost>, cwd: Option<String>) -> RosterEntry {
    RosterEntry {
        kind: RosterKind::Managed,
        id: session.id,
        name: session.name,
        agent: session.agent,
        state: session.state.as_str(),
        activity: session.activity,
        questions: session.questions,
        goal_id: session.goal_id,
        usage: session.usage,
        cost,
        cwd: cwd.filter(|_| session.has_workspace),
        token: None,
        created_at: session.created_at,
        heard_at: session.last_activity_at,
    }
}

fn attached(token: TokenRecord) -> Option<RosterEntry> {
    let agent = token.agent_id.as_deref().unwrap_or_default().to_owned();
    let (since, evidence) = match token.last_seen_at {
        Some(at) => (at, "its token was shown last then"),
        None => (token.created_at, "its token was never shown"),
    };
    Some(RosterEntry {
        kind: RosterKind::Attached,
        id: token.session_id?,
        name: agent.clone(),
        agent,
        state: "active",
        activity: ActivityReport::unknown(since, evidence),
        questions: Vec::new(),
        goal_id: None,
        usage: SessionUsage::default(),
        cost: None,
        cwd: None,
        created_at: token.created_at,
        heard_at: token.last_seen_at,
        token: Some(token),
    })
}

fn of_discovered(core: &Core, known: Discovered) -> RosterEntry {
    let id = known.id.to_string();
    RosterEntry {
        kind: RosterKind::Discovered,
        id: known.id,
        // The ends of ids differ where their beginnings do not.
        name: format!("{}-{}", known.agent, &id[id.len() - 8..]),
        agent: known.agent,
        state: if known.is_over { OVER } else { "active" },
        activity: known.activity,
        questions: known.questions,
        goal_id: None,
        cost: cost::of_usage(core, None, &known.usage),
        usage: known.usage,
        cwd: known.cwd,
        token: None,
        created_at: known.created_at,
        heard_at: Some(known.heard_at),
    }
}
