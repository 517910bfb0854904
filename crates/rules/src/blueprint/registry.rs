//! What may become a version of a registered blueprint, and which of its versions is meant.

use adjutant_model::registry::BlueprintBase;
use semver::{Version, VersionReq};
use thiserror::Error;

/// Where a blueprint stands when somebody writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing<'a> {
    /// The version that is its head.
    pub version: &'a str,
    /// Whether it is archived.
    pub archived: bool,
}

/// What follows from a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// The head holds this document already.
    Same,
    /// It becomes the head, behind the one that was named.
    Next,
    /// It becomes the first version.
    First,
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRefusal {
    /// Archived blueprints do not change.
    Archived,
    /// It was to be new, and there is one.
    Exists,
    /// The head is another version than the one that was named.
    Moved,
    /// A version was named, and there is none.
    Missing,
}

/// Says what follows from writing `version` on the base that its writer names.
///
/// # Errors
/// [`WriteRefusal`]
pub fn admit(
    standing: Option<Standing<'_>>,
    base: &BlueprintBase,
    version: &str,
) -> Result<Admitted, WriteRefusal> {
    match (standing, base) {
        (Some(Standing { archived: true, .. }), _) => Err(WriteRefusal::Archived),
        (Some(head), _) if head.version == version => Ok(Admitted::Same),
        (Some(_), BlueprintBase::CreateOnly) => Err(WriteRefusal::Exists),
        (Some(head), BlueprintBase::Version(named)) if head.version == named => Ok(Admitted::Next),
        (Some(_), BlueprintBase::Version(_)) => Err(WriteRefusal::Moved),
        (None, BlueprintBase::CreateOnly) => Ok(Admitted::First),
        (None, BlueprintBase::Version(_)) => Err(WriteRefusal::Missing),
    }
}

/// A requirement that no label could be held against.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{requirement}` is no requirement of semantic versions: {reason}")]
pub struct InvalidRequirement {
    /// What was given.
    pub requirement: String,
    /// Why not.
    pub reason: String,
}

/// Finds the highest label that a requirement lets through, and gives what belongs to it; of equal labels the first
/// that is given. What is no semantic version counts as no label.
///
/// # Errors
/// [`InvalidRequirement`]
pub fn highest<'l, T>(
    requirement: &str,
    labels: impl IntoIterator<Item = (&'l str, T)>,
) -> Result<Option<T>, InvalidRequirement> {
    let wanted = VersionReq::parse(requirement).map_err(|error| InvalidRequirement {
        requirement: requirement.chars().take(80).collect(),
        reason: error.to_string(),
    })?;
    let mut best: Option<(Version, T)> = None;
    for (label, of) in labels {
        let Ok(version) = Version::parse(label) else { continue };
        let is_higher = best.as_ref().is_none_or(|(best, _)| version.cmp_precedence(best).is_gt());
        if wanted.matches(&version) && is_higher {
            best = Some((version, of));
        }
    }
    Ok(best.map(|(_, of)| of))
}

/// Tells whether a text names a version: 64 hex digits in lower case.
pub fn is_version(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_follows_the_head_that_it_names_and_nothing_else() {
        let create = BlueprintBase::CreateOnly;
        let on = |version: &str| BlueprintBase::Version(version.to_owned());
        let head = |version, archived| Some(Standing { version, archived });
        for (standing, base, version, expected) in [
            (None, create.clone(), "b", Ok(Admitted::First)),
            (None, on("a"), "b", Err(WriteRefusal::Missing)),
            (head("a", false), create.clone(), "b", Err(WriteRefusal::Exists)),
            (head("a", false), create.clone(), "a", Ok(Admitted::Same)),
            (head("a", false), on("a"), "b", Ok(Admitted::Next)),
            (head("a", false), on("a"), "a", Ok(Admitted::Same)),
            (head("c", false), on("a"), "b", Err(WriteRefusal::Moved)),
            (head("b", false), on("a"), "b", Ok(Admitted::Same)),
            (head("a", true), on("a"), "b", Err(WriteRefusal::Archived)),
            (head("a", true), create, "a", Err(WriteRefusal::Archived)),
        ] {
            assert_eq!(admit(standing, &base, version), expected, "{standing:?} {base:?} {version}");
        }
    }

    #[test]
    fn a_requirement_takes_the_highest_label_and_of_equal_ones_the_newest() {
        let newest_first =
            [("1.2.0", 5), ("2.0.0", 4), ("1.10.0", 3), ("1.10.0", 2), ("nonsense", 1), ("1.11.0-rc.1", 0)];
        for (requirement, expected) in [
            ("^1", Some(3)),
            ("^1.2", Some(3)),
            ("~1.2", Some(5)),
            ("=1.10.0", Some(3)),
            (">=1.11.0-rc.0, <1.12", Some(0)),
            ("*", Some(4)),
            ("^3", None),
        ] {
            assert_eq!(highest(requirement, newest_first), Ok(expected), "{requirement}");
        }
        for wrong in ["", "v1", "latest", "1.2.3.4"] {
            assert!(highest(wrong, newest_first).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_version_is_64_hex_digits() {
        assert!(is_version(&"0af9".repeat(16)));
        for wrong in ["", "0af9", &"0AF9".repeat(16), &"0af9".repeat(17), &"../.".repeat(16)] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }
}
