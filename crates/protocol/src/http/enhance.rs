//! Issues, the settings they are handled by, and the log of decisions.

use super::tasks::VersionSelectorParams;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A blueprint is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueParams {
    /// The blueprint.
    pub blueprint_id: String,
    /// What is wanted, in words.
    pub intent: String,
}

/// An issue was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssueOpenedView {
    /// Its id.
    pub issue_id: String,
    /// `pending`
    pub status: String,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssueView {
    /// Its id.
    pub issue_id: String,
    /// `pending`, `in_flight`, `applied`, `rejected` or `cancelled`.
    pub status: String,
    /// The blueprint.
    pub blueprint_id: String,
    /// What is wanted.
    pub intent: String,
    /// Why it was rejected or cancelled; of one that is pending, what it waits for besides its turn.
    pub reason: Option<String>,
    /// The version that the blueprint has got.
    pub new_version: Option<String>,
    /// The run of its last epoch.
    pub run_id: Option<String>,
    /// The version that its last epoch is about.
    pub base_version: Option<String>,
    /// How many epochs were of no use because the blueprint was changed meanwhile.
    pub conflicts: u32,
    /// Who opened it.
    pub author: String,
    /// When it was opened, RFC 3339.
    pub created_at: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
}

/// Issues, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct IssuesView {
    /// The issues.
    pub issues: Vec<IssueView>,
}

/// An issue is taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueCancelParams {
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// How issues are to be handled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnhanceSettingParams {
    /// Its id; issues are handled by the one that is called `default`. On a route that names it, it may be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The blueprint whose run is an epoch; `enhance-default` when neither this nor `blueprint` is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint_id: Option<String>,
    /// That blueprint itself, which is registered first unless the head holds the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blueprint: Option<Value>,
    /// The head that `blueprint` is based on; without it there must be none, or the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Which version of it; the newest when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionSelectorParams>,
    /// How long an epoch may take, in seconds; its work is ended then.
    pub ttl_secs: u64,
    /// What is verified; `des`, `canonical`, `noop`, `agent-ref` and `compiles` when nothing is said. `approval` asks a
    /// person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verifier_axes: Option<Vec<String>>,
    /// An agent as blueprints define them, which takes the place of the orbit's `patch-spawner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawner: Option<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Value>,
}

/// How issues are handled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnhanceSettingView {
    /// Its id.
    pub id: String,
    /// The blueprint whose run is an epoch.
    pub blueprint_id: String,
    /// Which version of it.
    pub version: VersionSelectorParams,
    /// How long an epoch may take, in seconds.
    pub ttl_secs: u64,
    /// What is verified.
    pub verifier_axes: Vec<String>,
    /// The agent that takes the place of the orbit's `patch-spawner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spawner: Option<Value>,
    /// For people.
    pub meta: Value,
}

/// How an issue was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EnhanceEntryView {
    /// The issue.
    pub issue_id: String,
    /// The blueprint.
    pub blueprint_id: String,
    /// The run of the last epoch.
    pub run_id: Option<String>,
    /// The version that the change was based on; empty when it came to none.
    pub prev_hash: String,
    /// The version that the blueprint has got; empty when it was rejected.
    pub new_hash: String,
    /// What was wanted.
    pub intent: String,
    /// Why the change was proposed.
    pub rationale: String,
    /// What each axis said.
    pub verdicts: Vec<AxisVerdictView>,
    /// `applied` or `rejected`.
    pub status: String,
    /// Whether it came to no decision: a worker failed, the time was over, the flow gave no proper commit.
    pub fault: bool,
    /// Why it was rejected.
    pub reasons: Vec<String>,
    /// When, in milliseconds since 1970.
    pub ts_ms: i64,
}

/// What an axis said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AxisVerdictView {
    /// The axis.
    pub axis: String,
    /// `pass` or `deny`.
    pub status: String,
    /// The evidence, or the reason.
    pub detail: String,
}
