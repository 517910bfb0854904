//! Versions of blueprints, and how one is chosen.

use std::fmt;

/// Which version of a blueprint is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VersionSelector {
    /// The head.
    #[default]
    Latest,
    /// The one with this hash.
    Fixed(String),
    /// The one with the highest label that the requirement lets through, such as `^1.2`.
    SemverReq(String),
}

impl fmt::Display for VersionSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VersionSelector::Latest => f.write_str("latest"),
            VersionSelector::Fixed(hash) => write!(f, "fixed {hash}"),
            VersionSelector::SemverReq(requirement) => write!(f, "semver_req {requirement}"),
        }
    }
}
