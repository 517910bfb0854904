use super::*;

fn value(text: &str) -> Value {
    match read(text) {
        Ok(source) => source.value().clone(),
        Err(lints) => panic!("{text:?} was refused: {lints:?}"),
    }
}

#[track_caller]
fn refused(text: &str) -> Vec<String> {
    let lints = read(text).expect_err("the text must be refused");
    assert!(!lints.is_empty(), "{text:?}");
    for placed in &lints {
        assert!(text.get(placed.span.bytes.clone()).is_some(), "{text:?} {placed:?}");
    }
    lints.iter().map(ToString::to_string).collect()
}

#[test]
fn plain_scalars_follow_the_core_schema() {
    let rows = [
        ("", "null"),
        ("~", "null"),
        ("null", "null"),
        ("NULL", "null"),
        ("nULL", "\"nULL\""),
        ("true", "true"),
        ("FALSE", "false"),
        ("yes", "\"yes\""),
        ("on", "\"on\""),
        ("off", "\"off\""),
        ("2026-01-31", "\"2026-01-31\""),
        ("12", "12"),
        ("+12", "12"),
        ("-0", "0"),
        ("012", "12"),
        ("0o17", "15"),
        ("0xfF", "255"),
        ("0b1", "\"0b1\""),
        ("1_000", "\"1_000\""),
        ("9007199254740992", "9007199254740992"),
        ("-9007199254740992", "-9007199254740992"),
        ("1.5", "1.5"),
        (".5", "0.5"),
        ("1.", "1.0"),
        ("-1e3", "-1000.0"),
        ("1e", "\"1e\""),
        (".", "\".\""),
        ("1.2.3", "\"1.2.3\""),
        ("\"12\"", "\"12\""),
        ("'true'", "\"true\""),
        ("!!str 12", "\"12\""),
        ("! 12", "\"12\""),
        ("!!int 12", "12"),
        ("!!float 12", "12.0"),
        ("|\n  a\n  b\n", "\"a\\nb\\n\""),
        (">\n  a\n  b\n", "\"a b\\n\""),
    ];
    for (text, expected) in rows {
        let found = value(&format!("k: {text}\n"));
        assert_eq!(found.get("k").expect("the key is there").to_string(), expected, "{text}");
    }
}

#[test]
fn what_cannot_be_a_value_is_refused_with_its_place() {
    let rows = [
        ("a: 1\na: 2\n", "2:1: the key `a` stands here twice, first on line 1 [duplicate-key]"),
        ("x: {a: 1, 'a': 2}\n", "1:11: the key `a` stands here twice, first on line 1 [duplicate-key]"),
        ("{\"a\": 1,\n \"a\": 2}", "2:2: the key `a` stands here twice, first on line 1 [duplicate-key]"),
        ("a: .nan\n", "1:4: JSON has no form for .nan [invalid-scalar]"),
        ("a: -.inf\n", "1:4: JSON has no form for -.inf [invalid-scalar]"),
        (
            "a: 9007199254740993\n",
            "1:4: the integer 9007199254740993 is beyond ±2^53 and would lose digits; write it as a string \
             [invalid-scalar]",
        ),
        (
            "{\"é\": -9007199254740993}",
            "1:7: the integer -9007199254740993 is beyond ±2^53 and would lose digits; write it as a string \
             [invalid-scalar]",
        ),
        ("a: 1e999\n", "1:4: the number 1e999 is too large [invalid-scalar]"),
        ("[1e999]", "1:2: the number 1e999 is too large [invalid-scalar]"),
        ("1: a\n", "1:1: a key must be a string [key-not-a-string]"),
        ("[a]: b\n", "1:1: a key must be a string [key-not-a-string]"),
        ("a: 1\n---\nb: 2\n", "2:1: a second document begins here; only one is read [several-documents]"),
        ("a: !secret x\n", "1:4: the tag `!secret` means nothing here [unknown-tag]"),
        ("a: !!binary x\n", "1:4: the tag `tag:yaml.org,2002:!binary` means nothing here [unknown-tag]"),
        ("a: !!set {b}\n", "1:4: the tag `tag:yaml.org,2002:!set` means nothing here [unknown-tag]"),
        ("a: !!int x\n", "1:4: `x` is not what its tag says [invalid-scalar]"),
        ("a: &a [*a]\n", "1:8: this alias stands inside of what it names [recursive-alias]"),
        ("# nothing\n", "1:1: the document is empty [empty-document]"),
        ("", "1:1: the document is empty [empty-document]"),
    ];
    for (text, expected) in rows {
        assert_eq!(refused(text), [expected], "{text:?}");
    }
}

#[test]
fn every_mistake_is_told_and_not_only_the_first() {
    let lints = refused("a: .nan\nb: !x 1\nc: 1\nc: 2\n");
    assert_eq!(lints.len(), 3, "{lints:?}");
}

#[test]
fn a_syntax_error_says_where() {
    for (text, line) in [
        ("a: [1, 2\n", 2),
        ("a: b: c\n", 1),
        ("a: 1\n b: 2\n", 2),
        ("a: \"x\n", 1),
        ("{a: 1, b: [}", 1),
        ("\"a\": *nobody\n", 1),
    ] {
        let lints = read(text).expect_err("the text must be refused");
        assert_eq!(lints[0].lint.name, SYNTAX, "{text:?} {lints:?}");
        assert_eq!(lints[0].span.line, line, "{text:?} {lints:?}");
    }
}

#[test]
fn a_mistake_in_json_is_told_in_the_words_of_json() {
    let lints = refused("{\n\t\"a\": 1\n\t\"b\": 2\n}");
    assert_eq!(lints, ["3:2: not valid JSON: expected `,` or `}` [invalid-syntax]"]);
    assert!(refused("{a: 1, b: [}")[0].contains("not valid YAML"));
}

#[test]
fn json_keeps_tabs_escapes_and_surrogates() {
    let text = "{\n\t\"a\": \"\\u00e9\\ud83d\\ude00\\n\",\n\t\"b\": [1.5, -2, true, null, \"x y\"]\n}\n";
    let json = "{\"a\":\"é😀\\n\",\"b\":[1.5,-2,true,null,\"x y\"]}";
    assert_eq!(value(text).to_string(), json);
}

#[test]
fn a_value_of_json_has_the_value_of_the_same_yaml() {
    for text in ["[1, 2.0, \"a\", {}]", "{\"a\": {\"b\": []}}", "\"x\"", "12", "null", "[[], {}]"] {
        let mut problems = Problems::default();
        let yaml = yaml::tree(text, &mut problems).and_then(|tree| tree.value(&mut problems));
        assert_eq!(yaml.expect("it is YAML too").to_string(), value(text).to_string(), "{text}");
    }
}

#[test]
fn aliases_are_expanded_and_stand_where_their_anchor_is() {
    let source = read("base: &b\n  x: 1\nuse: *b\nkey: &k name\n*k : 2\n").expect("it is valid");
    assert_eq!(source.value().to_string(), r#"{"base":{"x":1},"key":"name","name":2,"use":{"x":1}}"#);
    assert_eq!(source.span("/use/x").line, 2);
    assert_eq!(source.span("/use").line, 3);
}

#[test]
fn a_small_text_cannot_grow_without_end() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(refused(&text)[0].ends_with("[too-large]"));
    let deep = "[".repeat(5000);
    assert!(refused(&deep)[0].ends_with("[too-large]") || refused(&deep)[0].ends_with("[invalid-syntax]"));
    let closed = "[".repeat(5000) + &"]".repeat(5000);
    assert_eq!(refused(&closed), ["1:113: the document nests deeper than 112 [too-large]"]);
    let block = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<String>();
    assert!(refused(&block)[0].ends_with("[too-large]"));
    let fits = "[".repeat(112) + &"]".repeat(112);
    assert_eq!(value(&fits).depth(), 112);
    let wide = format!("[{}0]", "0,".repeat(NODES_MAX));
    assert!(refused(&wide)[0].ends_with("[too-large]"));
}

#[test]
fn a_pointer_leads_to_line_and_column() {
    let yaml = "id: demo\nagents:\n  - name: é\n    kind: lua\n    \"sp/ec\": {source: 'x', n: 1}\n";
    let json =
        "{\"id\": \"demo\",\n \"agents\": [\n  {\"name\": \"é\", \"kind\": \"lua\", \"sp/ec\": {\"n\": 1}}]}";
    let rows = [
        (yaml, "", (1, 1)),
        (yaml, "/id", (1, 5)),
        (yaml, "/agents/0", (3, 5)),
        (yaml, "/agents/0/name", (3, 11)),
        (yaml, "/agents/0/sp~1ec/n", (5, 31)),
        (yaml, "/agents/0/sp~1ec/missing/deeper", (5, 14)),
        (yaml, "/agents/7/name", (3, 3)),
        (yaml, "/nothing", (1, 1)),
        (json, "/id", (1, 8)),
        (json, "/agents", (2, 12)),
        (json, "/agents/0/kind", (3, 25)),
        (json, "/agents/0/sp~1ec/n", (3, 47)),
    ];
    for (text, pointer, expected) in rows {
        let span = read(text).expect("it is valid").span(pointer);
        assert_eq!((span.line, span.column), expected, "{pointer} {span:?}");
    }
}

#[test]
fn the_bytes_of_a_span_are_the_text_of_the_value() {
    let text = "a: héllo\nb: [1, 'zwei']\nc:\n  d: ü\n  e: 2\n\n# end\n";
    let source = read(text).expect("it is valid");
    let rows =
        [("/a", "héllo"), ("/b", "[1, 'zwei']"), ("/b/1", "'zwei'"), ("/c", "d: ü\n  e: 2"), ("/c/d", "ü")];
    for (pointer, expected) in rows {
        assert_eq!(&text[source.span(pointer).bytes], expected, "{pointer}");
    }
    assert_eq!(&text[source.key_span("/c/d").bytes], "d");
}

#[test]
fn a_lint_about_a_field_points_at_its_key() {
    let source = read("id: x\nflow:\n  kind: seq\n  chldren:\n    - 1\n").expect("it is valid");
    let lint = |name, pointer: &str| Lint {
        level: LintLevel::Error,
        name,
        pointer: pointer.to_owned(),
        message: "m".to_owned(),
        hint: None,
    };
    let rows = [
        ("unknown-field", "/flow/chldren", (4, 3)),
        ("wrong-type", "/flow/kind", (3, 9)),
        ("missing-field", "/flow", (2, 1)),
        ("missing-field", "", (1, 1)),
    ];
    for (name, pointer, expected) in rows {
        let span = source.place(lint(name, pointer)).span;
        assert_eq!((span.line, span.column), expected, "{name} {pointer}");
        assert!(!source.text()[span.bytes].contains('\n'));
    }
}
