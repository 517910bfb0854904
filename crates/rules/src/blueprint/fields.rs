//! Fields that several parts of a blueprint have in common.

use super::support::Unsupported;
use crate::document::{Cursor, Lints};
use adjutant_model::Value;

/// Takes an object: refuses fields that nobody knows, and fields in `unsupported` unless they say nothing.
pub(super) fn fields(
    at: &Cursor<'_>,
    known: &[&str],
    unsupported: &[Unsupported],
    lints: &mut Lints,
) -> Option<()> {
    for (key, member) in at.entries(lints) {
        if known.contains(&key) {
            continue;
        }
        let Some((_, instead)) = unsupported.iter().find(|(name, _)| *name == key) else {
            let message = format!("unknown field `{key}`");
            let hint = match closest(key, known) {
                Some(meant) => format!("did you mean `{meant}`? known here: {}", known.join(", ")),
                None => format!("known here: {}", known.join(", ")),
            };
            lints.error_with_hint(&member, "unknown-field", message, hint);
            continue;
        };
        if !says_nothing(key, member.value()) {
            let message = format!("the field `{key}` is not supported here");
            lints.error_with_hint(&member, "unsupported-field", message, *instead);
        }
    }
    at.value().as_object().map(|_| ())
}

/// Goes to a member that is there and not null.
pub(super) fn optional<'a>(at: &'a Cursor<'a>, key: &'a str) -> Option<Cursor<'a>> {
    at.member(key).filter(|member| *member.value() != Value::Null)
}

/// Takes an optional text.
pub(super) fn text(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<String> {
    optional(at, key).and_then(|member| member.string(lints).map(str::to_owned))
}

/// Takes an optional list of texts.
pub(super) fn texts(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Vec<String> {
    let Some(list) = optional(at, key) else { return Vec::new() };
    list.elements(lints).iter().filter_map(|item| item.string(lints).map(str::to_owned)).collect()
}

/// Takes an argument of a program: any text without a zero byte, which no program can be handed.
pub(super) fn argument(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let text = at.string(lints)?;
    if text.contains('\0') {
        lints.error(at, "invalid-argument", "a zero byte cannot be handed to a program");
        return None;
    }
    Some(text.to_owned())
}

/// Finds the candidate that was probably meant.
pub(super) fn closest<'c>(given: &str, candidates: &[&'c str]) -> Option<&'c str> {
    const COMPARED_MAX: usize = 64;
    if given.len() > COMPARED_MAX {
        return None;
    }
    candidates
        .iter()
        .filter(|candidate| candidate.len() <= COMPARED_MAX)
        .map(|candidate| (distance(given, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the insertions, deletions and replacements that make one text of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, c) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

/// Tells whether a text is `[a-z0-9][a-z0-9._-]{0,63}`.
pub fn is_id(text: &str) -> bool {
    let is_head = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 64 && text.starts_with(is_head) && text.chars().all(|c| is_head(c) || "._-".contains(c))
}

/// Tells whether a text is a semantic version: `1.2.3`, with `-pre.release` and `+build` if need be.
pub fn is_semver(text: &str) -> bool {
    semver::Version::parse(text).is_ok()
}

/// Tells whether a value asks for nothing: empty, or what holds anyway.
fn says_nothing(key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty() || (key == "default_agent_kind" && &**text == "operator"),
        Value::Array(items) => items.as_slice().is_empty(),
        Value::Object(object) => object.iter().all(|(key, member)| says_nothing(key, member)),
    }
}
