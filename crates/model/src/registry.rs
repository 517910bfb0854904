//! Registered blueprints: their versions, their heads, and how one of their versions is named.

use crate::time::Timestamp;

/// A version of a registered blueprint, without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintVersion {
    /// The blueprint.
    pub id: String,
    /// Its place among the versions of the blueprint, from 1.
    pub number: u64,
    /// SHA-256 of the document's canonical JSON, as 64 hex digits.
    pub version: String,
    /// The version that it was based on.
    pub parent: Option<String>,
    /// Who wrote it.
    pub author: String,
    /// Why, in the author's words; nothing is ever read out of it.
    pub rationale: String,
    /// A semantic version that people give it.
    pub label: Option<String>,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Where a registered blueprint stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintHead {
    /// Its newest version.
    pub newest: BlueprintVersion,
    /// What its document says of it.
    pub about: BlueprintAbout,
    /// When it was archived: it is kept, and neither runs nor changes.
    pub archived_at: Option<Timestamp>,
}

/// What a blueprint's document says of it, for lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlueprintAbout {
    /// One sentence for people.
    pub description: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What a write of a blueprint was based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlueprintBase {
    /// Nothing: there must be no blueprint of this id.
    CreateOnly,
    /// The version that must still be the head.
    Version(String),
}

/// Which version of a blueprint is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum VersionSelector {
    /// The head.
    #[default]
    Latest,
    /// The one with this hash.
    Fixed(String),
    /// The one with the highest label that the requirement lets through, such as `^1.2`.
    SemverReq(String),
}
