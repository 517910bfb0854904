//! From the text of a document, YAML or JSON, to its value and the places in it.
//!
//! YAML is read by the core schema of YAML 1.2: `yes`, `on` and dates are strings. What a value of JSON cannot hold,
//! or what would not survive its canonical form, is refused: keys that are no strings, NaN, infinities, integers
//! beyond ±2^53. So is what a reader could take in two ways: a key that stands twice, several documents, tags
//! beside the core ones. Aliases are expanded within bounds, so that a small text cannot grow without end.

mod json;
mod scalar;
mod tree;
mod write;
mod yaml;

pub use write::to_yaml;

use crate::document::{Lint, LintLevel};
use adjutant_model::Value;
use std::fmt;
use std::ops::Range;
use tree::Tree;

/// The most scalars and containers that a document may have once its aliases are expanded.
pub const NODES_MAX: usize = 200_000;
/// The most mistakes that one reading reports.
const LINTS_MAX: usize = 100;

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The line it begins on, from 1.
    pub line: usize,
    /// The character of that line it begins with, from 1.
    pub column: usize,
    /// The bytes of the text it covers.
    pub bytes: Range<usize>,
}

/// A lint and where in the text it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedLint {
    /// What is wrong.
    pub lint: Lint,
    /// Where.
    pub span: Span,
}

impl fmt::Display for PlacedLint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} [{}]", self.span.line, self.span.column, self.lint.message, self.lint.name)
    }
}

/// A document that has been read.
#[derive(Debug, Clone)]
pub struct Source {
    text: String,
    value: Value,
    tree: Tree,
}

impl Source {
    /// Gives what the document says.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Gives the text it was read from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Gives the place of what an RFC 6901 pointer points at, or of its nearest ancestor that is there.
    pub fn span(&self, pointer: &str) -> Span {
        self.tree.find(pointer).value.clone()
    }

    /// Gives the place of the key that a pointer ends with; of the value itself where there is no such key.
    pub fn key_span(&self, pointer: &str) -> Span {
        let found = self.tree.find(pointer);
        found.key.unwrap_or(found.value).clone()
    }

    /// Says where a lint is: at the key for a field that should not be there, else at the value. A value of several
    /// lines is shown by its key, or by its first line when it has none.
    pub fn place(&self, lint: Lint) -> PlacedLint {
        let found = self.tree.find(&lint.pointer);
        let about_key =
            found.exact && matches!(lint.name, "unknown-field" | "unsupported-field" | "unread-field");
        let lines = self.text.get(found.value.bytes.clone()).unwrap_or("").lines().count();
        let span = match found.key {
            Some(key) if about_key || lines > 1 => key.clone(),
            Some(_) | None => self.first_line(found.value),
        };
        PlacedLint { lint, span }
    }

    fn first_line(&self, span: &Span) -> Span {
        let covered = self.text.get(span.bytes.clone()).unwrap_or("");
        let len = covered.lines().next().map_or(0, str::len);
        Span { bytes: span.bytes.start..span.bytes.start + len, ..span.clone() }
    }
}

/// Reads a document; what is valid JSON is read as JSON, anything else as YAML.
///
/// # Errors
/// What is wrong with it, at most [`LINTS_MAX`] lints in the order of the text.
pub fn read(text: &str) -> Result<Source, Vec<PlacedLint>> {
    let json_error = serde_json::from_str::<serde::de::IgnoredAny>(text).err();
    let mut problems = Problems::default();
    let tree = match &json_error {
        None => json::tree(text, &mut problems),
        Some(_) => yaml::tree(text, &mut problems),
    };
    let value = tree.as_ref().and_then(|tree| tree.value(&mut problems));
    match (tree, value) {
        (Some(tree), Some(value)) if problems.0.is_empty() => {
            Ok(Source { text: text.to_owned(), value, tree })
        }
        _ => Err(told_by(text, json_error, problems.0)),
    }
}

/// Lets JSON's own error speak for a text that is meant as JSON, unless the YAML reader got further.
fn told_by(text: &str, json_error: Option<serde_json::Error>, lints: Vec<PlacedLint>) -> Vec<PlacedLint> {
    let syntax = lints.first().filter(|placed| placed.lint.name == SYNTAX);
    match (json_error, syntax) {
        (Some(error), Some(yaml)) if is_meant_as_json(text) => {
            let json = json::syntax_error(text, &error);
            if json.span.line >= yaml.span.line { vec![json] } else { lints }
        }
        (Some(_) | None, Some(_) | None) => lints,
    }
}

/// Tells whether a text begins as JSON does: a bracket, and then a quoted key, a value or another bracket.
fn is_meant_as_json(text: &str) -> bool {
    let text = text.trim_start();
    match (text.strip_prefix('{'), text.strip_prefix('[')) {
        (Some(rest), _) => rest.trim_start().starts_with('"'),
        (None, Some(rest)) => rest.trim_start().starts_with(['"', '{', '[']),
        (None, None) => false,
    }
}

/// The name of a lint about a text that has no structure.
const SYNTAX: &str = "invalid-syntax";

/// What is wrong with a text, noted on the way.
#[derive(Debug, Default)]
struct Problems(Vec<PlacedLint>);

impl Problems {
    fn note(&mut self, name: &'static str, span: Span, message: impl Into<String>) {
        self.note_with_hint(name, span, message, None);
    }

    fn note_with_hint(
        &mut self,
        name: &'static str,
        span: Span,
        message: impl Into<String>,
        hint: Option<&str>,
    ) {
        if self.0.len() < LINTS_MAX {
            let (message, hint) = (message.into(), hint.map(str::to_owned));
            let lint = Lint { level: LintLevel::Error, name, pointer: String::new(), message, hint };
            self.0.push(PlacedLint { lint, span });
        }
    }
}

#[cfg(test)]
mod tests;
