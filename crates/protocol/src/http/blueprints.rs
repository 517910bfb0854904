//! Blueprints on the wire.

use super::LintView;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A version that is the head now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintWrittenView {
    /// The blueprint.
    pub id: String,
    /// SHA-256 of the document's canonical JSON, as 64 hex digits.
    pub version: String,
    /// Whether it is new; not when the head held the same document already.
    pub seeded: bool,
    /// What is probably not meant in it.
    pub diagnostics: Vec<LintView>,
}

/// A version with its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintDocumentView {
    /// The blueprint.
    pub id: String,
    /// SHA-256 of the document's canonical JSON, as 64 hex digits.
    pub version: String,
    /// The document.
    pub blueprint: Value,
    /// Whether it is the daemon's own and nothing is registered.
    pub built_in: bool,
    /// Who wrote it, when and why; null when it is built in.
    pub entry: Option<BlueprintVersionView>,
    /// When the blueprint was archived, RFC 3339.
    pub archived_at: Option<String>,
}

/// A version without its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintVersionView {
    /// Its place among the versions of the blueprint, from 1.
    pub number: u64,
    /// SHA-256 of the document's canonical JSON, as 64 hex digits.
    pub version: String,
    /// The same as `version`.
    pub hash: String,
    /// The semantic version that people give it.
    pub version_label: Option<String>,
    /// Why it was written, in the author's words.
    pub rationale: String,
    /// Who wrote it.
    pub author: String,
    /// The version that it was based on.
    pub parent: Option<String>,
    /// When it was written, RFC 3339.
    pub created_at: String,
}

/// Versions of a blueprint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintHistoryView {
    /// How many there are in here.
    pub count: usize,
    /// The versions, the newest first.
    pub entries: Vec<BlueprintVersionView>,
}

/// A blueprint as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintEntryView {
    /// Its id.
    pub id: String,
    /// Its head.
    pub version: String,
    /// The head's label.
    pub version_label: Option<String>,
    /// What the document says of itself.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Whether it is the daemon's own and nothing is registered.
    pub built_in: bool,
    /// Who wrote the head.
    pub author: Option<String>,
    /// When the head was written, RFC 3339.
    pub created_at: Option<String>,
    /// When it was archived, RFC 3339.
    pub archived_at: Option<String>,
}

/// A page of blueprints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintListView {
    /// The blueprints, in the order of their ids.
    pub blueprints: Vec<BlueprintEntryView>,
}

/// What changed from one version to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintDiffView {
    /// The one.
    pub from: String,
    /// The other.
    pub to: String,
    /// The operations that make the other of the one, by RFC 6902.
    pub patch: Value,
    /// The lines that changed, for people.
    pub text: String,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlueprintLintsView {
    /// Whether it can run.
    pub can_run: bool,
    /// Why it cannot.
    pub errors: Vec<LintView>,
    /// What is probably not meant.
    pub warnings: Vec<LintView>,
}
