//! Attached sessions, and tokens of any kind.

use super::{ActivityView, QuestionView, SessionUsageView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionParams {
    /// What its bearer is called; of a worker's the agent that it acts as.
    pub agent_id: String,
    /// `operator`, `worker`, `observer` or `senior`, in any case.
    pub role: String,
    /// How long it lives, in seconds, up to 2592000 (30 days); an hour when nothing is said.
    #[serde(default)]
    pub ttl_secs: Option<u64>,
}

/// A session with its secret, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionMadeView {
    /// The secret: what its bearer shows, and what `DELETE /v1/sessions` takes. It is kept nowhere.
    pub session_id: String,
    /// Its public name, a UUID.
    pub id: String,
    /// What its bearer is called.
    pub agent_id: String,
    /// What it may do.
    pub role: String,
    /// Whether its end is enforced; it always is.
    pub ttl_enforced: bool,
    /// When it ends, RFC 3339.
    pub expires_at: String,
}

/// A session, whoever has begun it, without any secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// `attached`: an outside client holds its token. `managed`: Adjutant hosts its agent. `discovered`: somebody else has
    /// started its agent, whose hooks come here.
    pub kind: String,
    /// Its public name, a UUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What the bearer of an attached one is called, and else the agent.
    pub agent_id: String,
    /// What an attached one may do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Where it stands: as managed sessions do, and else `active` or `over`.
    pub state: String,
    /// What its agent does.
    pub activity: ActivityView,
    /// What its agent asks, the oldest first.
    pub questions: Vec<QuestionView>,
    /// The goal that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_id: Option<String>,
    /// What it used.
    pub usage: SessionUsageView,
    /// Where it works, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// When it was made, or heard of first, RFC 3339.
    pub created_at: String,
    /// When an attached one ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// How often the token of an attached one was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// When it was shown, or heard of, last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// Sessions that live, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionsView {
    /// The sessions.
    pub sessions: Vec<SessionView>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenEntryView {
    /// Its public name.
    pub id: String,
    /// What its bearer may do.
    pub role: String,
    /// The agent that it acts as, or what the bearer of a session is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The session that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The run whose step it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The step that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The attempt of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339; the owner's has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was taken back, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// How often it was shown.
    pub uses: u64,
    /// When it was shown last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<String>,
}

/// Tokens, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokensView {
    /// The tokens.
    pub tokens: Vec<TokenEntryView>,
}
