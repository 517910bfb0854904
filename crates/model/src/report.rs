//! Errors of Adjutant that were captured, and how they become issues: previews, consent, filings.

use crate::id::TokenId;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What was taken out of a text before it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubChange {
    /// The rule's name, such as `GithubToken`.
    pub pattern: String,
    /// For people: what it was, and how often.
    pub hint: String,
}

/// An error that was captured, however often it came; nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRecord {
    /// What equal errors have in common, as 64 hex digits.
    pub fingerprint: String,
    /// The module that told it.
    pub target: String,
    /// The version of Adjutant.
    pub version: String,
    /// What it said last.
    pub message: String,
    /// What it said besides, a line for each field.
    pub fields: String,
    /// The file and the line that told it.
    pub location: Option<String>,
    /// The operating system.
    pub os: String,
    /// The processor's architecture.
    pub arch: String,
    /// How often it came.
    pub occurrences: u64,
    /// When it came first.
    pub first_seen_at: Timestamp,
    /// When it came last.
    pub last_seen_at: Timestamp,
    /// What was taken out of it.
    pub scrub_changes: Vec<ScrubChange>,
}

/// An issue as it would be filed, and will be in no other words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDraft {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
}

/// What a person was shown and may agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportPreview {
    /// What consent names: SHA-256 over where it goes and what it says, as 64 hex digits.
    pub hash: String,
    /// The error that it is about.
    pub fingerprint: String,
    /// Where it goes: the API's base and the repository; nothing when none is set.
    pub destination: Option<String>,
    /// What it says.
    pub draft: ReportDraft,
    /// What was taken out of it.
    pub scrub_changes: Vec<ScrubChange>,
    /// Whose token it was shown to last.
    pub shown_to: TokenId,
    /// When it was shown last.
    pub shown_at: Timestamp,
}

/// How far a filing has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilingState {
    /// A daemon is at it, or has died over it.
    Begun,
    /// Whether an issue came of it is not known.
    Uncertain,
    /// The issue is there.
    Filed,
    /// Nothing was filed.
    Failed,
}

impl FilingState {
    /// Gives the name in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            FilingState::Begun => "begun",
            FilingState::Uncertain => "uncertain",
            FilingState::Filed => "filed",
            FilingState::Failed => "failed",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [FilingState::Begun, FilingState::Uncertain, FilingState::Filed, FilingState::Failed];
        all.into_iter().find(|state| state.as_str() == text)
    }
}

/// The issue that a report has become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledIssue {
    /// Its number in the repository.
    pub number: u64,
    /// Where people read it.
    pub url: String,
    /// Whether it was there before.
    pub deduped: bool,
}

/// A report that somebody has agreed to, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filing {
    /// Its name.
    pub id: String,
    /// The error that it is about.
    pub fingerprint: String,
    /// The preview that was agreed to.
    pub preview: String,
    /// How far it has got.
    pub state: FilingState,
    /// The daemon that is at it.
    pub owner: String,
    /// When it was agreed to.
    pub begun_at: Timestamp,
    /// The issue, once it is known.
    pub issue: Option<FiledIssue>,
}
