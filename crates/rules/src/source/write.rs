//! From a value to YAML that people read: what [`super::read`] makes the same value of.

use adjutant_model::Value;
use std::fmt::Write;

/// A list or object of scalars stands on one line when it takes no more bytes than this.
const LINE_MAX: usize = 76;

/// Writes a value as YAML, with members in the order of their keys.
pub fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match one_line(value) {
        Some(line) => text.push_str(&line),
        None => block(value, 0, &mut text),
    }
    text.truncate(text.trim_end_matches('\n').len());
    text.push('\n');
    text
}

/// Writes the lines of a container; the first is begun at the column where it stands already.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(object) => {
            for (place, (key, member)) in object.iter().enumerate() {
                if place > 0 {
                    pad(indent, text);
                }
                text.push_str(&scalar_text(key));
                text.push(':');
                below(member, indent, text);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.as_slice().iter().enumerate() {
                if place > 0 {
                    pad(indent, text);
                }
                text.push('-');
                match (one_line(item), item) {
                    (None, Value::Array(_) | Value::Object(_)) => {
                        text.push(' ');
                        block(item, indent + 2, text);
                    }
                    _ => below(item, indent, text),
                }
            }
        }
        Value::String(string) => literal(string, indent, text),
        Value::Null | Value::Bool(_) | Value::Number(_) => unreachable!("it stands on one line"),
    }
}

/// Writes what stands behind a key or a dash.
fn below(value: &Value, indent: usize, text: &mut String) {
    if let Some(line) = one_line(value) {
        text.push(' ');
        text.push_str(&line);
        text.push('\n');
        return;
    }
    match value {
        Value::String(string) => {
            text.push(' ');
            literal(string, indent + 2, text);
        }
        _ => {
            text.push('\n');
            pad(indent + 2, text);
            block(value, indent + 2, text);
        }
    }
}

/// Writes a text of several lines as they are.
fn literal(string: &str, indent: usize, text: &mut String) {
    text.push_str(if string.ends_with('\n') { "|\n" } else { "|-\n" });
    for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
        if !line.is_empty() {
            pad(indent.max(2), text);
        }
        text.push_str(line);
        text.push('\n');
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// Gives a value that stands on one line.
fn one_line(value: &Value) -> Option<String> {
    let joined = |parts: Option<Vec<String>>, open: &str, close: &str| {
        let line = parts.map(|parts| format!("{open}{}{close}", parts.join(", ")))?;
        (line.len() <= LINE_MAX).then_some(line)
    };
    match value {
        Value::Null => Some("null".to_owned()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(string) => (!is_literal(string)).then(|| scalar_text(string)),
        Value::Array(items) if items.as_slice().is_empty() => Some("[]".to_owned()),
        Value::Object(object) if object.is_empty() => Some("{}".to_owned()),
        Value::Array(items) => joined(items.as_slice().iter().map(leaf).collect(), "[", "]"),
        Value::Object(object) => {
            let member = |(key, value)| Some(format!("{}: {}", scalar_text(key), leaf(value)?));
            let members = object.iter().map(|(key, value)| member((&**key, value)));
            joined(members.collect(), "{ ", " }")
        }
    }
}

/// Gives what may stand in a line among others.
fn leaf(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) if !items.as_slice().is_empty() => None,
        Value::Object(object) if !object.is_empty() => None,
        _ => one_line(value),
    }
}

/// Tells whether a text of several lines can be written as it is.
fn is_literal(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.ends_with('\n')
        && lines.split('\n').all(|line| line.is_empty() || !line.trim().is_empty())
        && text.chars().all(|c| c == '\n' || !must_be_escaped(c))
}

/// Tells whether a character could drive a terminal, or would not be read as it is.
fn must_be_escaped(c: char) -> bool {
    let turns_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_no_text = matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    c.is_control() || turns_direction || is_no_text
}

fn scalar_text(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if must_be_escaped(c) => write!(quoted, "\\u{:04x}", u32::from(c)).expect("a string takes all"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// Tells whether every reader takes a text for a string without quotes.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./$ ()".contains(c))
        && !text.ends_with(' ')
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_as_people_write_it() {
        let value = json!({
            "id": "demo", "note": "first line\nsecond: line\n", "empty": [], "none": null, "yes": "yes",
            "agents": [{"name": "a", "spec": {"args": ["-c", "x: y"]}, "deep": {"b": {"c": [[1], {"d": {"e": 2}}]}}}],
            "flow": {"kind": "step", "in": {"op": "path", "at": "$.in"}},
        });
        let expected = "\
agents:
  - deep:
      b:
        c:
          - [1]
          - d: { e: 2 }
    name: a
    spec:
      args: [\"-c\", \"x: y\"]
empty: []
flow:
  in: { at: $.in, op: path }
  kind: step
id: demo
none: null
note: |
  first line
  second: line
\"yes\": \"yes\"
";
        assert_eq!(to_yaml(&value.into()), expected);
    }

    fn texts() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            Just("\n".to_owned()),
            Just(" ".to_owned()),
            Just("- ".to_owned()),
            Just(": ".to_owned()),
            Just("#".to_owned()),
            Just("\t".to_owned()),
            Just("\r".to_owned()),
            Just("~".to_owned()),
            Just("true".to_owned()),
            Just("1e3".to_owned()),
            Just("\u{85}".to_owned()),
            Just("\u{feff}".to_owned()),
            "[a-z]{1,4}",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat())
    }

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|flag| json!(flag)),
            any::<i32>().prop_map(|number| json!(number)),
            (-1e9..1e9).prop_map(|number: f64| json!(number)),
            texts().prop_map(|text| json!(text)),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
                prop::collection::btree_map(texts(), inner, 0..4).prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_it_was(value in values()) {
            let value = Value::from(value);
            let text = to_yaml(&value);
            let read = source::read(&text).map(|source| source.value().clone());
            prop_assert_eq!(read.as_ref().map_err(|lints| format!("{lints:?}")), Ok(&value), "{}", text);
        }
    }
}
