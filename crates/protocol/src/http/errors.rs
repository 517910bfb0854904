//! Errors of Adjutant and their reports on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The errors that were seen last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorsView {
    /// Those that were seen last first.
    pub errors: Vec<ErrorView>,
    /// How many are kept.
    pub total: u64,
    /// So many of them are here at most.
    pub limit: usize,
}

/// An error, however often it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// What equal errors have in common, as 64 hex digits.
    pub fingerprint: String,
    /// The module that told it.
    pub crate_target: String,
    /// The version of Adjutant.
    pub crate_version: String,
    /// `[target] message (file:line)`.
    pub summary: String,
    /// How often it came.
    pub occurrences: u64,
    /// When it came last, in seconds since 1970.
    pub timestamp_secs: i64,
    /// When it came first.
    pub first_seen_at: String,
    /// When it came last.
    pub last_seen_at: String,
    /// The operating system.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
}

/// An error with all that is kept of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetailView {
    /// The error.
    pub error: ErrorView,
    /// What it said last.
    pub message: String,
    /// What it said besides, a line for each field.
    pub fields: String,
    /// The file and the line that told it.
    pub location: Option<String>,
    /// What was taken out of it.
    pub scrub_changes: Vec<ScrubChangeView>,
    /// What became of its last report.
    pub report: Option<FilingView>,
}

/// What was taken out of a text before it was kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScrubChangeView {
    /// The rule's name, such as `GithubToken`.
    pub pattern: String,
    /// For people: what it was, and how often.
    pub hint: String,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FilingView {
    /// The hash of the preview that was agreed to.
    pub preview: String,
    /// `begun`, `uncertain`, `filed` or `failed`.
    pub state: String,
    /// When it was agreed to.
    pub begun_at: String,
    /// The issue's address.
    pub issue_url: Option<String>,
    /// The issue's number.
    pub issue_number: Option<u64>,
}

/// An issue as it will be filed when its hash is agreed to, and in no other words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportPreviewView {
    /// The error.
    pub fingerprint: String,
    /// What consent names: a hash of where it goes and what it says, as 64 hex digits.
    pub hash: String,
    /// The API and the repository that it goes to; nothing when none is set.
    pub destination: Option<String>,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// What was taken out of it.
    pub scrub_changes: Vec<ScrubChangeView>,
    /// For people: what it means.
    pub note: String,
}

/// Whether an error is to be reported.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportParams {
    /// Whether somebody agrees; otherwise a preview is the answer, and nothing leaves the machine.
    #[serde(default)]
    pub confirm: bool,
    /// The hash of the preview that is agreed to; without it the one that this token was shown last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ReportedView {
    /// Whether the issue, or a comment of it, is there.
    pub filed: bool,
    /// Whether the issue was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deduped: Option<bool>,
    /// The issue's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_url: Option<String>,
    /// The issue's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue_number: Option<u64>,
    /// Whether it was not filed because too many were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limited: Option<bool>,
    /// For people: why it was not filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The approval by which the owner agrees, when a model has asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// What would be filed, when nobody has agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<ReportPreviewView>,
}
