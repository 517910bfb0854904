//! Readers take anything: whatever stands in a document, they answer with it or with what is wrong, and never panic.

use adjutant_model::blueprint::{OutputFormat, OutputSpec};
use adjutant_model::policy::PolicyScope;
use adjutant_model::shell::{ShellCommand, ShellLine};
use adjutant_model::{Timestamp, Value};
use adjutant_rules::blueprint::{self, Builtins};
use adjutant_rules::output::{self, Ending, Finished};
use adjutant_rules::policy::{PolicySet, Subject};
use adjutant_rules::{policy, source};
use proptest::prelude::*;

const BUILTINS: Builtins<'static> =
    Builtins { functions: &["identity"], lua: &[("plan", "return ...")], templates: &["claude"] };

/// Words that documents are made of, so that arbitrary values come close to real ones.
const WORDS: [&str; 36] = [
    "id",
    "flow",
    "agents",
    "templates",
    "subprocesses",
    "metadata",
    "name",
    "kind",
    "spec",
    "profile",
    "fn_id",
    "source",
    "program",
    "args",
    "argv",
    "env",
    "cwd",
    "output",
    "format",
    "command",
    "step",
    "seq",
    "children",
    "ref",
    "in",
    "out",
    "op",
    "path",
    "at",
    "$.x",
    "lua",
    "check",
    "function",
    "text",
    "claude",
    "demo",
];

fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => proptest::sample::select(WORDS.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| Value::from_f64(number).unwrap_or_default()),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::array),
            proptest::collection::vec((word(), inner), 0..8).prop_map(Value::object),
        ]
    })
}

/// A value whose top looks like a blueprint's.
fn document() -> impl Strategy<Value = Value> {
    let agent = (value(), value()).prop_map(|(spec, profile)| {
        Value::object([
            ("name", Value::from("a")),
            ("kind", Value::from("command")),
            ("spec", spec),
            ("profile", profile),
        ])
    });
    let step = value().prop_map(|input| {
        Value::object([("kind", Value::from("step")), ("ref", Value::from("a")), ("in", input)])
    });
    let whole = (value(), step, proptest::collection::vec(agent, 0..3), value(), value());
    whole.prop_map(|(id, flow, agents, templates, metadata)| {
        let agents = Value::array(agents);
        Value::object([
            ("id", id),
            ("flow", flow),
            ("agents", agents),
            ("templates", templates),
            ("metadata", metadata),
        ])
    })
}

/// Text that is made of pieces of YAML.
fn yaml_like() -> impl Strategy<Value = String> {
    const PIECES: [&str; 40] = [
        "a",
        "b: ",
        ": ",
        "- ",
        "-",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "\\",
        "\\u00",
        "&x ",
        "*x",
        "!t ",
        "!!int ",
        "|",
        ">",
        "|-\n ",
        "#",
        "? ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "é",
        "😀",
        "\u{feff}",
        "\0",
        "\r\n",
        "1e9",
        "~",
        "0x1",
        "<<: ",
        "@",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..40)
        .prop_map(|pieces| pieces.concat())
}

/// A word or pattern that is made of pieces of shell.
fn shell_like() -> impl Strategy<Value = String> {
    const PIECES: [&str; 24] = [
        "rm",
        " ",
        "-r",
        "--force",
        "/",
        "..",
        ".",
        "*",
        "?",
        "[a]",
        "[",
        "$X",
        "${Y}",
        "`",
        "~",
        "|",
        "\\",
        "{outside}",
        "{data_folder}",
        "{",
        "-",
        "=",
        "é",
        ";",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..10)
        .prop_map(|pieces| pieces.concat())
}

/// Text that is made of pieces of conditions.
fn condition_like() -> impl Strategy<Value = String> {
    const PIECES: [&str; 36] = [
        "tool",
        "shell",
        ".commands",
        ".exists(c, ",
        ")",
        "(",
        "parameters",
        ".a",
        "[",
        "]",
        "0",
        "'a'",
        "\"b\"",
        " == ",
        " && ",
        " || ",
        "!",
        "-",
        " in ",
        "size(",
        "now",
        ".getHours()",
        "c",
        ".program",
        "{",
        "}",
        ": ",
        ", ",
        " ? ",
        ".matches('a')",
        "has(",
        "state",
        " + ",
        "true",
        "9223372036854775807",
        "é",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES.to_vec()), 0..12)
        .prop_map(|pieces| pieces.concat())
}

fn line_of(words: &[String]) -> ShellLine {
    let (flags, operands): (Vec<_>, Vec<_>) =
        words[1..].iter().cloned().partition(|word| word.starts_with('-'));
    let command = ShellCommand {
        program: words[0].clone(),
        args: words[1..].to_vec(),
        paths: operands.clone(),
        writes: operands.clone(),
        flags,
        operands,
        ..ShellCommand::default()
    };
    ShellLine { commands: vec![command], opaque: Vec::new() }
}

#[track_caller]
fn take_text(text: &str) {
    match source::read(text) {
        Ok(source) => {
            let _whole = &source.text()[source.span("/a/0/b").bytes];
            let _canonical = blueprint::canonical(source.value());
        }
        Err(lints) => {
            assert!(!lints.is_empty(), "{text:?}");
            for placed in lints {
                assert!(text.get(placed.span.bytes.clone()).is_some(), "{text:?} {placed:?}");
                assert!(placed.span.line >= 1 && placed.span.column >= 1, "{text:?} {placed:?}");
            }
        }
    }
}

/// The values of a document in which numbers survive.
fn survives(value: &Value) -> bool {
    match value {
        Value::Number(number) => {
            number.as_f64().is_some_and(|float| float.abs() <= 9_007_199_254_740_992.0 || number.is_f64())
        }
        Value::Array(items) => items.as_slice().iter().all(survives),
        Value::Object(object) => object.iter().all(|(_, member)| survives(member)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn source_takes_any_text(text in "\\PC{0,80}") {
        take_text(&text);
    }

    #[test]
    fn source_takes_any_text_that_looks_like_yaml(text in yaml_like()) {
        take_text(&text);
    }

    #[test]
    fn source_gives_back_the_value_of_any_json(value in value()) {
        let text = value.to_string();
        let read = source::read(&text);
        if survives(&value) {
            let source = read.expect("the text is JSON within bounds");
            prop_assert_eq!(blueprint::canonical(source.value()), blueprint::canonical(&value));
            let pretty = serde_json::to_string_pretty(&value).expect("a value is JSON").replace("  ", "\t");
            prop_assert!(source::read(&pretty).is_ok());
        } else {
            prop_assert!(read.is_err());
        }
    }

    #[test]
    fn blueprint_takes_any_value(value in prop_oneof![value(), document()]) {
        match blueprint::read(&value, &BUILTINS) {
            Ok((read, _)) => prop_assert_eq!(Some(read.id.as_str()), value.get("id").and_then(Value::as_str)),
            Err(lints) => {
                prop_assert!(!lints.is_empty());
                for lint in lints {
                    prop_assert!(value.pointer(&lint.pointer).is_some(), "{}", lint);
                }
            }
        }
        prop_assert_eq!(blueprint::hash(&value).len(), 64);
    }

    #[test]
    fn policy_takes_any_rule_and_any_call(rule in value(), tool in word(), parameters in value()) {
        let subject = Subject::new(&tool, &parameters, Timestamp::default());
        if let Ok(rule) = policy::read_wire(&rule) {
            policy::judge(&[&PolicySet::new(PolicyScope::Connection, [rule])], &subject);
        }
        let places = policy::Places { data_folder: "/data" };
        let shipped = policy::read_file(policy::DEFAULT_POLICY, &places).expect("the shipped policy is valid");
        let plane = PolicySet::new(PolicyScope::Plane, shipped.rules).with_default(shipped.default);
        policy::judge(&[&plane], &subject);
        policy::shell_texts(&parameters);
    }

    #[test]
    fn policy_takes_any_pattern_condition_and_line(
        pattern in shell_like(),
        condition in condition_like(),
        words in proptest::collection::vec(shell_like(), 1..6),
    ) {
        let toml = |value: &str| toml::Value::from(value).to_string();
        let entries = [format!("command = {}", toml(&pattern)), format!("when = {}", toml(&condition))];
        let line = line_of(&words);
        let parameters = Value::object([("command", Value::from(words.join(" ")))]);
        let now = Timestamp::default();
        let subject = Subject { shell: Some(&line), workspace: Some("/w"), ..Subject::new("t", &parameters, now) };
        let places = policy::Places { data_folder: "/data" };
        for (entry, effect) in entries.iter().flat_map(|entry| [(entry, "deny"), (entry, "allow")]) {
            let file = format!("[[rule]]\nname = \"r\"\neffect = \"{effect}\"\n{entry}\n");
            match policy::read_file(&file, &places) {
                Ok(file) => drop(policy::judge(&[&PolicySet::new(PolicyScope::Run, file.rules)], &subject)),
                Err(lints) => prop_assert!(!lints.is_empty()),
            }
        }
    }

    #[test]
    fn output_takes_any_bytes(stdout in proptest::collection::vec(any::<u8>(), 0..200), code in 0..2_i32) {
        use OutputFormat::{Auto, CodexJson, Json, StreamJson, Text};
        for format in [Auto, Json, Text, StreamJson, CodexJson] {
            let spec = OutputSpec { format, ..OutputSpec::default() };
            let ending = Ending::Exited { code };
            let finished = Finished { ending, stdout: &stdout, stdout_truncated: false, stderr_tail: &stdout };
            output::interpret(&spec, &finished);
            output::progress(format, &String::from_utf8_lossy(&stdout));
        }
    }
}
