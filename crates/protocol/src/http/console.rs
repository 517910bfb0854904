//! The console's view of the daemon, and its settings, on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The daemon at one glance, for consoles that show several services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleView {
    /// `adjutant`.
    pub service_id: String,
    /// What it is called for people.
    pub display_name: String,
    /// The daemon's version.
    pub version: String,
    /// `ok`, or `degraded` when a session is errored, the store takes no writes or the settings cannot be read.
    pub status: String,
    /// What is wrong, in words.
    pub problems: Vec<String>,
    /// The numbers.
    pub metrics: SupervisorView,
    /// The form of `metrics`: 1.
    pub metrics_schema_version: u32,
    /// When the daemon started, RFC 3339.
    pub started_at: String,
    /// For how long it runs, in seconds.
    pub uptime_secs: u64,
    /// When this was looked at, RFC 3339.
    pub generated_at: String,
}

/// The fleet, and whether agents that died by themselves are started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SupervisorView {
    /// The managed sessions, counted.
    pub fleet: FleetView,
    /// Whether agents that died by themselves are started again.
    pub auto_resume: AutoResumeView,
}

/// The managed sessions, counted by where they stand.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FleetView {
    /// Being made.
    pub provisioning: u64,
    /// With an agent.
    pub active: u64,
    /// Without one.
    pub stopped: u64,
    /// A person has to look.
    pub errored: u64,
    /// Over.
    pub decommissioned: u64,
    /// All of them.
    pub total: u64,
    /// What agents ask and nobody has answered, the oldest first, at most 256.
    pub pending_decisions: Vec<PendingDecisionView>,
    /// When an agent of a session that is not over was heard of last, RFC 3339.
    pub last_activity_at: Option<String>,
    /// What the supervisor has done since the daemon's start.
    pub run_stats: RunStatsView,
}

/// A question that an agent waits with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PendingDecisionView {
    /// The session.
    pub session_id: String,
    /// Its name.
    pub name: String,
    /// The name of its terminal.
    pub tmux_name: Option<String>,
    /// What is asked.
    pub question: String,
    /// The first of the answers that there are.
    pub proposed_default: Option<String>,
    /// Since when, RFC 3339.
    pub asked_at: String,
}

/// What the supervisor has done since the daemon's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunStatsView {
    /// Agents that died by themselves and were started again.
    pub auto_resumed: u64,
    /// Those that could not be started again.
    pub resume_failures: u64,
    /// Always 0: sessions are looked after when something happens to them and not in sweeps.
    pub sweeps: u64,
    /// Always 0: no model is asked what an agent does.
    pub classified: u64,
}

/// Whether agents that died by themselves are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutoResumeView {
    /// What the settings say.
    pub desired: bool,
    /// What the daemon does now.
    pub env: bool,
    /// Whether what the settings say holds only after a restart: the file was changed by hand.
    pub pending_restart: bool,
}

/// Agents that died by themselves are to be started again, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoResumeParams {
    /// Whether they are.
    pub enabled: bool,
}

/// Settings are to be changed, all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigParams {
    /// The new values by key, such as `{"sessions.max_alive": 32}`; null takes one out of the file, so that its default
    /// holds.
    #[schema(value_type = std::collections::HashMap<String, Object>)]
    pub set: BTreeMap<String, Value>,
}

/// The settings of `config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    /// The file.
    pub path: String,
    /// The settings.
    pub settings: Vec<SettingView>,
    /// Whether agents that died by themselves are started again, as the file says.
    pub auto_resume: bool,
    /// The model of sessions that say neither a model nor a tier, as the file says.
    pub default_model: Option<String>,
    /// Where workspaces stand: `{data}` is the data folder. It cannot be changed.
    pub workspace_root_template: String,
    /// The same as a path.
    pub workspace_root: String,
}

/// A setting, as it stands and as it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its key.
    pub key: String,
    /// What the file says, or else the default; null for nothing, and for a secret.
    pub value: Value,
    /// What it is when the file says nothing.
    pub default: Value,
    /// What the daemon does now.
    pub in_force: Value,
    /// Whether the file says it.
    pub is_set: bool,
    /// Whether its value is shown to nobody.
    pub is_secret: bool,
    /// When a change of it holds: `at_once` or `restart`.
    pub takes_effect: String,
    /// Whether what the file says does not hold yet.
    pub pending_restart: bool,
    /// What it is for.
    pub about: String,
}

/// What a run or a goal cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostView {
    /// US dollars, as far as they are known; absent when of nothing they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Whether some of it was reckoned from tokens and the prices of their models.
    pub is_estimated: bool,
    /// Tokens that were read, without those from caches.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// The tokens in it whose cost nobody knows.
    pub unpriced_tokens: u64,
    /// How many sessions are in it.
    pub sessions: u64,
    /// How many runs are in it.
    pub runs: u64,
}
