//! A value as YAML that people and models read; reading it gives the same value.
//!
//! Texts stand in quotes as in JSON, which YAML reads alike, or as a block when they have several lines. So no text is
//! ever taken for a number or a word of the core schema.

use adjutant_model::Value;
use std::fmt::Write as _;

/// Writes a value as YAML.
pub fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => members(&mut text, value, 0),
        Value::Array(items) if !items.as_slice().is_empty() => elements(&mut text, value, 0),
        scalar => {
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
    text
}

/// Writes what stands behind `key:` or `-`: on the same line, or deeper on the next ones.
fn nested(text: &mut String, value: &Value, level: usize) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            text.push('\n');
            members(text, value, level);
        }
        Value::Array(items) if !items.as_slice().is_empty() => {
            text.push('\n');
            elements(text, value, level);
        }
        Value::String(lines) if is_block(lines) => block(text, lines, level),
        scalar => {
            text.push(' ');
            text.push_str(&inline(scalar));
            text.push('\n');
        }
    }
}

fn members(text: &mut String, value: &Value, level: usize) {
    for (key, member) in value.as_object().into_iter().flat_map(|object| object.iter()) {
        indent(text, level);
        match is_plain_key(key) {
            true => text.push_str(key),
            false => text.push_str(&inline(&Value::from(&**key))),
        }
        text.push(':');
        nested(text, member, level + 1);
    }
}

fn elements(text: &mut String, value: &Value, level: usize) {
    for item in value.as_array().unwrap_or_default() {
        indent(text, level);
        text.push('-');
        nested(text, item, level + 1);
    }
}

/// Writes lines as a block that keeps each of them, and their last line end or none.
fn block(text: &mut String, lines: &str, level: usize) {
    text.push_str(if lines.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in lines.lines() {
        if !line.is_empty() {
            indent(text, level);
            text.push_str(line);
        }
        text.push('\n');
    }
}

/// Tells whether a text may be a block: several lines of printable letters, where no blank at an edge could get lost.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && text.chars().all(|c| c == '\n' || is_printable(c))
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn is_plain_key(key: &str) -> bool {
    const WORDS: [&str; 8] = ["null", "true", "false", "yes", "no", "on", "off", "nan"];
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && !WORDS.contains(&key.to_ascii_lowercase().as_str())
}

/// Gives a scalar, or an empty container, as JSON without letters that YAML does not print.
fn inline(value: &Value) -> String {
    let json = value.to_string();
    if json.chars().all(is_printable) {
        return json;
    }
    json.chars().fold(String::with_capacity(json.len()), |mut escaped, c| {
        match is_printable(c) {
            true => escaped.push(c),
            // None of them is beyond the basic plane, so four digits are enough.
            false => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
        }
        escaped
    })
}

fn indent(text: &mut String, level: usize) {
    text.extend(std::iter::repeat_n("  ", level));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source;
    use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};

    #[test]
    fn a_document_reads_as_people_write_it() {
        let json = r#"{"agents":[{"name":"id","spec":{"fn_id":"identity","argv":[]}},{"name":"b"}],"flow":{"kind":"seq",
            "children":[1,[2],{}]},"id":"main","prompt":"one\n\n  two\n","tail":"a\nb","yes":null,"2":"1.0"}"#;
        let value: Value = serde_json::from_str(json).expect("JSON");
        let yaml = to_yaml(&value);
        let expected = "\"2\": \"1.0\"\nagents:\n  -\n    name: \"id\"\n    spec:\n      argv: []\n      fn_id: \"identity\"\n  -\n    \
                        name: \"b\"\nflow:\n  children:\n    - 1\n    -\n      - 2\n    - {}\n  kind: \"seq\"\nid: \"main\"\nprompt: |\n  \
                        one\n\n    two\ntail: |-\n  a\n  b\n\"yes\": null\n";
        assert_eq!(yaml, expected);
        assert_eq!(source::read(&yaml).expect("YAML").value(), &value);
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<String>(),
            "[a-c \n\t:#\\-|>'\"\r\u{85}\u{2028}]{0,12}",
            Just("null".to_owned()),
            Just("1e3".to_owned()),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-9_007_199_254_740_992_i64..9_007_199_254_740_992).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::array),
                prop::collection::vec((text.clone(), inner), 0..4).prop_map(Value::object),
            ]
        })
    }

    proptest! {
        #[test]
        fn reading_gives_back_what_was_written(value in values()) {
            let yaml = to_yaml(&value);
            let read = source::read(&yaml);
            let read = read.map(|source| source.value().clone()).map_err(|lints| lints[0].to_string());
            prop_assert_eq!(read, Ok(value), "{}", yaml);
        }
    }
}
