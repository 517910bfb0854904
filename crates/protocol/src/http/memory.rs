//! Memory on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something to remember.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RememberParams {
    /// What, at most 8 KiB; secrets are taken out of it.
    pub text: String,
    /// For whom: `plane`, `project:<path or URL>`, `agent:<name>` or `goal:<id>`. When nothing is said an agent's
    /// project, and a person's `plane`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Words that it is found by, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Until when it holds (RFC 3339); without an end when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
}

/// What is to be recalled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecallParams {
    /// Words; facts that have any of them are found.
    pub query: String,
    /// Only in these scopes; wherever the caller may look when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Only what has all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// At most so many, up to 50; 10 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 50)]
    pub limit: Option<usize>,
}

/// What takes a fact's place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SupersedeParams {
    /// What holds now.
    pub text: String,
    /// Its tags; those of the fact before it when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Until when it holds (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
}

/// A fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactView {
    /// Its id.
    pub id: String,
    /// For whom it holds.
    pub scope: String,
    /// What is remembered.
    pub text: String,
    /// Words that it is found by, too.
    pub tags: Vec<String>,
    /// Where it came from.
    pub source: FactSourceView,
    /// When it was said.
    pub created_at: String,
    /// Until when it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// The fact that took its place; it may be forgotten since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<String>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<String>,
    /// How well it fits what was asked for; more is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// Where a fact came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactSourceView {
    /// `session`, `run` or `person`.
    pub kind: String,
    /// The session's or run's id, or what the journal calls the person.
    pub id: String,
    /// The step of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// Facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FactsView {
    /// The facts, in the order that was asked for.
    pub facts: Vec<FactView>,
}
