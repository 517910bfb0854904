//! What becomes of a blueprint's warnings: `metadata.lints` and an agent's `lints` say `allow`, `warn` or `deny` for a
//! warning by its name, for a `category:…` of them, or for `all`. The nearer and the more particular word counts: an
//! agent's before the blueprint's, a name before a category before `all`. Errors cannot be switched off.

use super::fields::closest;
use crate::document::{Cursor, Lint, LintLevel, Lints};

/// The warnings that a reading may leave, each with its category; a new one is entered here.
const WARNINGS: &[(&str, &str)] = &[
    ("unused-agent", "suspicious"),
    ("not-a-path", "correctness"),
    ("unknown-extern", "correctness"),
    ("secret", "suspicious"),
];
const CATEGORIES: &[&str] = &["correctness", "suspicious", "style", "contract", "migration"];

/// What a document wants of its warnings.
#[derive(Debug, Default)]
pub(super) struct Levels(Vec<Said>);

#[derive(Debug)]
struct Said {
    /// The pointer below which it holds; empty is the whole document.
    below: String,
    about: About,
    level: Level,
}

/// From the least to the most particular.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    All,
    Category(String),
    Name(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Allow,
    Warn,
    Deny,
}

impl Levels {
    /// Reads a `lints` that holds for everything below `below`.
    pub(super) fn read(&mut self, at: &Cursor<'_>, below: String, lints: &mut Lints) {
        for (key, member) in at.entries(lints) {
            let about = about(key, &member, lints);
            let level = match member.string(lints) {
                Some("allow") => Some(Level::Allow),
                Some("warn") => Some(Level::Warn),
                Some("deny") => Some(Level::Deny),
                Some(other) => {
                    let message = format!("unknown level `{other}`");
                    lints.error_with_hint(&member, "unknown-level", message, "levels: allow, warn, deny");
                    None
                }
                None => None,
            };
            if let (Some(about), Some(level)) = (about, level) {
                self.0.push(Said { below: below.clone(), about, level });
            }
        }
    }

    /// Gives the lints as the document wants them.
    pub(super) fn applied(&self, lints: Vec<Lint>) -> Vec<Lint> {
        let wanted = |lint: Lint| match self.of(&lint) {
            Some(Level::Allow) => None,
            Some(Level::Deny) => Some(Lint { level: LintLevel::Error, ..lint }),
            Some(Level::Warn) | None => Some(lint),
        };
        lints.into_iter().filter_map(|lint| if lint.is_error() { Some(lint) } else { wanted(lint) }).collect()
    }

    fn of(&self, lint: &Lint) -> Option<Level> {
        let speaks = |said: &&Said| {
            let is_below = lint
                .pointer
                .strip_prefix(&*said.below)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            is_below
                && match &said.about {
                    About::All => true,
                    About::Category(category) => {
                        WARNINGS.iter().any(|(name, of)| *name == lint.name && of == category)
                    }
                    About::Name(name) => name == lint.name,
                }
        };
        let nearest = self.0.iter().filter(speaks).max_by_key(|said| (said.below.len(), &said.about));
        nearest.map(|said| said.level)
    }
}

fn about(key: &str, at: &Cursor<'_>, lints: &mut Lints) -> Option<About> {
    if key == "all" {
        return Some(About::All);
    }
    if let Some(category) = key.strip_prefix("category:") {
        if !CATEGORIES.contains(&category) {
            let hint = format!("categories: {}", CATEGORIES.join(", "));
            lints.error_with_hint(at, "unknown-lint-kind", format!("unknown category `{category}`"), hint);
            return None;
        }
        return Some(About::Category(category.to_owned()));
    }
    let names: Vec<&str> = WARNINGS.iter().map(|(name, _)| *name).collect();
    if !names.contains(&key) {
        let known = format!("warnings: {}; errors cannot be switched off", names.join(", "));
        let hint = match closest(key, &names) {
            Some(meant) => format!("did you mean `{meant}`? {known}"),
            None => known,
        };
        lints.error_with_hint(at, "unknown-lint-kind", format!("no warning is called `{key}`"), hint);
        return None;
    }
    Some(About::Name(key.to_owned()))
}
