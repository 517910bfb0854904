//! The tree of a text that is valid JSON.
//!
//! `serde_json` has accepted the text before; here only its structure and places are found, and each scalar is
//! handed to a reader of its own.

use super::tree::{Builder, Content, Kind, Stop, Tree};
use super::{PlacedLint, Problems, SYNTAX, Span, scalar};
use crate::document::{Lint, LintLevel};
use adjutant_model::Value;

pub(super) fn tree(text: &str, problems: &mut Problems) -> Option<Tree> {
    let mut builder = Builder::new(problems);
    let mut scanner = Scanner { text, at: 0, line: 1, column: 1 };
    while let Some(token) = scanner.next_token() {
        if build(&mut builder, token).is_err() {
            return None;
        }
    }
    builder.finish()
}

/// Says where JSON stopped being JSON.
pub(super) fn syntax_error(text: &str, error: &serde_json::Error) -> PlacedLint {
    let line_start: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = text.floor_char_boundary((line_start + error.column().saturating_sub(1)).min(text.len()));
    let column = text[line_start.min(at)..at].chars().count() + 1;
    let full = error.to_string();
    let message = full.split(" at line ").next().unwrap_or(&full);
    let lint = Lint {
        level: LintLevel::Error,
        name: SYNTAX,
        pointer: String::new(),
        message: format!("not valid JSON: {message}"),
        hint: None,
    };
    PlacedLint { lint, span: Span { line: error.line().max(1), column, bytes: at..at } }
}

fn build(builder: &mut Builder<'_>, (token, span): (&str, Span)) -> Result<(), Stop> {
    match token.as_bytes().first() {
        Some(b'{') => builder.open(Kind::Mapping, span, 0),
        Some(b'[') => builder.open(Kind::Sequence, span, 0),
        Some(b'}' | b']') => builder.close(&span),
        Some(b',' | b':') | None => Ok(()),
        Some(_) => {
            let value = scalar(token).unwrap_or_else(|why| {
                builder.problems.note("invalid-scalar", span.clone(), why);
                Value::Null
            });
            builder.value(Tree { span, content: Content::Scalar(value) }, 0)
        }
    }
}

fn scalar(token: &str) -> Result<Value, String> {
    match token.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(token).map(Value::from).map_err(|why| why.to_string()),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'n') => Ok(Value::Null),
        Some(_) | None => scalar::json_number(token),
    }
}

/// Cuts valid JSON into tokens and knows where each stands.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Scanner<'t> {
    fn next_token(&mut self) -> Option<(&'t str, Span)> {
        let blank = self.rest().bytes().take_while(|b| b.is_ascii_whitespace()).count();
        self.advance(blank);
        let rest = self.rest();
        let len = match rest.bytes().next()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_len(rest),
            _ => rest.find(|c: char| c.is_ascii_whitespace() || ",:]}".contains(c)).unwrap_or(rest.len()),
        };
        let span = Span { line: self.line, column: self.column, bytes: self.at..self.at + len };
        self.advance(len);
        Some((&rest[..len], span))
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn advance(&mut self, len: usize) {
        for c in self.text[self.at..self.at + len].chars() {
            if c == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.at += len;
    }
}

/// Gives the length of the string that a text begins with, its quotes included.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, b) in text.bytes().enumerate().skip(1) {
        match b {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}
