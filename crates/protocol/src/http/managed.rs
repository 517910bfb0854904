//! Managed sessions: agent programs that the daemon hosts, and the inbox of what waits for people.

use super::ApprovalView;
use crate::object;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Another agent is to go on with a session's work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoffParams {
    /// The profile of the agent that goes on.
    pub agent: String,
    /// `tmux`, `pty`, `acp` or `headless`; the profile's first that can be used when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// `haiku`, `sonnet` or `opus`: how capable its model is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Its model; over the tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What is said to it besides, at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// By what a repeated request is known: it finds the handoff that the first one made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether the session's agent is stopped before.
    #[serde(default)]
    pub stop: bool,
}

/// A handoff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HandoffView {
    /// Its id.
    pub handoff_id: String,
    /// The session whose work it is.
    pub session_id: String,
    /// The session that goes on with it.
    pub successor: ManagedView,
    /// What the successor's branch starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// What the successor's agent is told first.
    pub brief: String,
}

/// A managed session is wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostParams {
    /// The absolute path of a git repository on the daemon's machine; this or `repo_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The URL of a git repository; this or `project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo_url: Option<String>,
    /// The branch, tag or commit that the session's branch starts from; the default one when nothing is said.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// What the agent is told first, up to 256 KiB.
    pub task: String,
    /// The profile of the agent; `claude` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Another name for `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// `tmux`, `pty`, `acp` or `headless`; the profile's first that can be used when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// What the session is called, about; the project's name when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_hint: Option<String>,
    /// The goal that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// `haiku`, `sonnet` or `opus`; the profile says which model that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The model, by the agent's own name for it; over `tier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may spend.
    #[serde(default, deserialize_with = "object::one")]
    pub budget: BudgetView,
    /// Whether the project's own settings and hooks may hold for the agent; an agent that asks whether a folder is trusted
    /// does not ask then.
    #[serde(default)]
    pub trust: bool,
    /// How long to wait for its agent to be there, in milliseconds, up to 120000; 30000 when nothing is said. It goes on
    /// all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// What a session may spend; it is stopped before it passes that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetView {
    /// US dollars; what the agent tells as tokens alone counts by its model's price, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// Tokens: read by the model, written by it, and put into its cache; not those read from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Minutes in which the agent was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_minutes: Option<u64>,
}

/// What an agent does, since when, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivityView {
    /// `working`, `waiting`, `idle` or `unknown`.
    pub activity: String,
    /// What it waits for: `permission`, `question` or `quota`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// Since when, RFC 3339.
    pub since: String,
    /// Which kind of signal said so, from the one that is trusted most: `process`, `protocol`, `hook`, `terminal`,
    /// `nothing`.
    pub source: String,
    /// Which signal, in words.
    pub evidence: String,
}

/// Something that an agent asks and nobody has answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuestionView {
    /// By what it is answered.
    pub ask_id: String,
    /// `permission` or `question`.
    pub kind: String,
    /// What is asked.
    pub text: String,
    /// The tool that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The answers that there are, by their words; a free text when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The subagent that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subagent: Option<String>,
    /// When it was asked, RFC 3339.
    pub asked_at: String,
}

/// What a session used, as far as its agent says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionUsageView {
    /// Tokens that the model read, without those from its cache.
    pub input_tokens: u64,
    /// Tokens that it wrote.
    pub output_tokens: u64,
    /// Tokens that were read from its cache.
    pub cache_read_tokens: u64,
    /// Tokens that were put into its cache.
    pub cache_write_tokens: u64,
    /// US dollars; absent when neither the agent says nor its model has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Whether that was reckoned from the tokens and the model's price.
    #[serde(default)]
    pub cost_is_estimated: bool,
    /// How many tokens the context holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_used: Option<u64>,
    /// How many it can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
}

/// Work that a session gives to another one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateParams {
    /// The agent; one that no profile is of is played by the default profile.
    pub agent: String,
    /// What it is told, up to 256 KiB.
    pub task: String,
    /// `haiku`, `sonnet` or `opus`; `sonnet` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The model, by the agent's own name for it; over `tier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the child's branch starts from; the branch of the session when nothing is said.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
}

/// A delegation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DelegationView {
    /// Its id, a UUID.
    pub delegation_id: String,
    /// The session that delegates.
    pub session_id: String,
    /// The session that does it; it is made when the delegation is launched.
    pub child_session_id: String,
    /// The agent, by the name that was asked for.
    pub agent: String,
    /// The profile that plays it.
    pub profile: String,
    /// `haiku`, `sonnet` or `opus`.
    pub tier: String,
    /// The model, over the tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the agent's breaker stands: `closed`, `open` or `half_open`.
    pub circuit: String,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// Why, when that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it was told.
    pub task: String,
    /// What it said last, up to 8 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// The approval that it waits for, or waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When it ended, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// When its end was told to the session's agent, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_at: Option<String>,
}

/// Delegations, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DelegationList {
    /// The delegations.
    pub delegations: Vec<DelegationView>,
}

/// How full the context of a session's agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionContextView {
    /// Tokens that it holds.
    pub used_tokens: u64,
    /// Tokens that it can hold.
    pub window_tokens: u64,
    /// The part of the window that it takes, from 0 to 1.
    pub fraction: f64,
    /// `ok`, `warn`, `alert` or `compact`.
    pub pressure: String,
}

/// A managed session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ManagedView {
    /// Its id, a UUID.
    pub id: String,
    /// Its name; unique while it is not decommissioned, and good wherever an id is.
    pub name: String,
    /// `provisioning`, `active`, `stopped`, `errored` or `decommissioned`.
    pub state: String,
    /// What is being done: `provisioning`, `launching`, `running`, `ending`, `removing`, `parked` or `resting`.
    pub phase: String,
    /// What people want: `running`, `stopped` or `decommissioned`.
    pub desired: String,
    /// Why it stands there, when that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its agent does.
    pub activity: ActivityView,
    /// What its agent asks, the oldest first.
    pub questions: Vec<QuestionView>,
    /// The text of the oldest question.
    pub pending_decision: Option<String>,
    /// The first answer of the oldest question that has any.
    pub proposed_default: Option<String>,
    /// The profile of its agent.
    pub agent: String,
    /// The same.
    pub runtime: String,
    /// `tmux`, `pty`, `acp` or `headless`.
    pub driver: String,
    /// `haiku`, `sonnet` or `opus`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The model that its agent says it uses, or else the one that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The repository on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The repository's URL.
    pub repo_url: Option<String>,
    /// What its branch starts from.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// Its workspace, while that is there.
    pub workspace_path: Option<String>,
    /// Its branch.
    pub branch: Option<String>,
    /// What its agent was told first.
    pub task: String,
    /// When that was seen to arrive, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_at: Option<String>,
    /// The goal that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal_id: Option<String>,
    /// The session that has started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// The agent's own id of its session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_session: Option<String>,
    /// The agent's process, while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// How a person attaches to its terminal.
    pub attach_cmd: Option<String>,
    /// How often its agent was started.
    pub launches: u32,
    /// How many turns its agent has ended.
    pub turns: u64,
    /// Until when it is left alone, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_until: Option<String>,
    /// What it used.
    pub usage: SessionUsageView,
    /// How full its agent's context is, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<SessionContextView>,
    /// What it may spend.
    pub budget: BudgetView,
    /// The ref of the last snapshot of its workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_ref: Option<String>,
    /// The machine that it is on.
    pub node: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When something about it changed last, RFC 3339.
    pub updated_at: String,
    /// When its agent was heard of last, RFC 3339.
    pub last_activity_at: Option<String>,
}

/// Managed sessions, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ManagedList {
    /// The sessions.
    pub sessions: Vec<ManagedView>,
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SendParams {
    /// The text, up to 1 MiB.
    pub text: String,
}

/// It was handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SentView {
    /// The session.
    pub id: String,
    /// Whether it was handed over; always.
    pub sent: bool,
    /// The session's name.
    pub tmux_name: String,
}

/// An answer to what an agent asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnswerParams {
    /// Of a permission `allow`, or `deny` with a reason behind it; of a question the words of one of its options, or any.
    pub answer: String,
    /// Which question; the oldest when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask_id: Option<String>,
}

/// It was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnsweredView {
    /// Whether the agent has it; always.
    pub injected: bool,
    /// The session's name.
    pub tmux_name: String,
}

/// How a session is to be ended for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecommissionParams {
    /// Although its work stands nowhere else but in snapshots.
    #[serde(default)]
    pub force: bool,
}

/// What a session does, and what its terminal shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ManagedActivityView {
    /// The session.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: String,
    /// What its agent does.
    pub activity: ActivityView,
    /// Whether its agent is there.
    pub runtime_active: bool,
    /// The last lines of its terminal, or of what it said; empty when its agent is not there.
    pub raw_pane: String,
    /// How many lines that are.
    pub lines: usize,
    /// What its agent asks.
    pub questions: Vec<QuestionView>,
    /// The text of the oldest question.
    pub pending_decision: Option<String>,
    /// The first answer of the oldest question that has any.
    pub proposed_default: Option<String>,
    /// What it used.
    pub usage: SessionUsageView,
}

/// What a session's terminal shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScreenView {
    /// Its last lines, without escape sequences.
    pub lines: Vec<String>,
    /// Its columns; 0 where there is no terminal.
    pub columns: u16,
    /// Its rows; 0 where there is no terminal.
    pub rows: u16,
    /// Where the cursor is, column and row from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<(u16, u16)>,
}

/// How a person attaches to a session's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttachView {
    /// The command, for a shell.
    pub attach_cmd: String,
    /// The same, word by word.
    pub argv: Vec<String>,
}

/// What waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InboxView {
    /// Approvals that the gate waits for, the oldest first.
    pub approvals: Vec<ApprovalView>,
    /// Sessions that ask, failed, or are parked, the one that has waited longest first.
    pub sessions: Vec<InboxItem>,
    /// Goals that were re-opened, or whose pursuit has stopped, the one that has waited longest first.
    #[serde(default)]
    pub goals: Vec<InboxGoal>,
}

/// A goal that a person should look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InboxGoal {
    /// The goal.
    pub goal_id: String,
    /// Its intent.
    pub description: String,
    /// `reopened`, `pursuit_stopped`, `deadline` or `unchecked`.
    pub kind: String,
    /// What it is about.
    pub text: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A session that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InboxItem {
    /// The session.
    pub session_id: String,
    /// Its name.
    pub name: String,
    /// `question`, `permission`, `quota`, `errored`, `untold` or `context`.
    pub kind: String,
    /// What it is about.
    pub text: String,
    /// The question, when it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionView>,
    /// Since when, RFC 3339.
    pub since: String,
}
