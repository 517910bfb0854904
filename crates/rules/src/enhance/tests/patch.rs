//! Patches: what producers give, and RFC 6902 to the letter.

use super::value;
use crate::enhance::patch::{Bump, OPS_MAX, apply, bumped, read, unfence};
use serde_json::{Value as Json, json};

fn patched(document: Json, ops: Json) -> Result<Json, String> {
    let ops = value(ops);
    apply(&value(document), ops.as_array().expect("an array"))
        .map(|patched| Json::from(&patched))
        .map_err(|error| error.to_string())
}

#[test]
fn operations_do_what_the_standard_says() {
    for (document, ops, expected) in [
        (json!({"a": []}), json!([{"op": "add", "path": "/a/0", "value": 1}]), json!({"a": [1]})),
        (json!({"a": []}), json!([{"op": "add", "path": "/a/-", "value": {}}]), json!({"a": [{}]})),
        (json!({"a": [1]}), json!([{"op": "add", "path": "/a/0", "value": 0}]), json!({"a": [0, 1]})),
        (json!({"a": 1}), json!([{"op": "replace", "path": "/a", "value": 2}]), json!({"a": 2})),
        (json!({"a": 1}), json!([{"op": "replace", "path": "", "value": [2]}]), json!([2])),
        (json!({"a": 1, "b": 2}), json!([{"op": "remove", "path": "/a"}]), json!({"b": 2})),
        (json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1})),
        (json!({"a": [1]}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": [1], "b": [1]})),
        (json!({"a~/": 1}), json!([{"op": "test", "path": "/a~0~1", "value": 1}]), json!({"a~/": 1})),
        (
            json!({"a": {"b": [1, 2]}}),
            json!([{"op": "test", "path": "/a", "value": {"b": [1.0, 2]}}]),
            json!({"a": {"b": [1, 2]}}),
        ),
        (json!({"a": 1}), json!([]), json!({"a": 1})),
    ] {
        assert_eq!(patched(document, ops.clone()), Ok(expected), "{ops}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    for (document, ops, expected) in [
        (
            json!({}),
            json!([{"op": "replace", "path": "/a", "value": 1}]),
            "operation 0 (replace \"/a\"): there is no such place",
        ),
        (
            json!({}),
            json!([{"op": "remove", "path": "/a"}]),
            "operation 0 (remove \"/a\"): there is no such place",
        ),
        (
            json!({"a": []}),
            json!([{"op": "add", "path": "/a/1", "value": 1}]),
            "operation 0 (add \"/a/1\"): there is no such place",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "add", "path": "/a/01", "value": 1}]),
            "operation 0 (add \"/a/01\"): there is no such place",
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "remove", "path": "/a/-"}]),
            "operation 0 (remove \"/a/-\"): there is no such place",
        ),
        (
            json!({}),
            json!([{"op": "add", "path": "/a/b", "value": 1}]),
            "operation 0 (add \"/a/b\"): there is no such place",
        ),
        (
            json!({}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            "operation 0 (copy \"/b\"): there is nothing at `from`",
        ),
        (
            json!({"a": {}}),
            json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
            "operation 0 (move \"/a/b\"): a value cannot be moved into itself",
        ),
        (
            json!({"a": {"b": [1, {"c": 2}]}}),
            json!([{"op": "test", "path": "/a", "value": {"b": [1, {"c": 3}]}}]),
            "operation 0 (test \"/a\"): the value there is another one",
        ),
        (
            json!({"a": 1}),
            json!([{"op": "remove", "path": "/a"}, {"op": "remove", "path": "/a"}]),
            "operation 1 (remove \"/a\"): there is no such place",
        ),
    ] {
        assert_eq!(patched(document, ops), Err(expected.to_owned()));
    }
    for ops in [
        json!([{"op": "merge", "path": "/a"}]),
        json!([{"op": "add", "path": "/a"}]),
        json!([{"op": "add", "path": "a", "value": 1}]),
        json!([{"op": "move", "path": "/a"}]),
        json!(["add"]),
        json!([null]),
    ] {
        let refused = patched(json!({}), ops.clone()).expect_err("it is refused");
        assert!(refused.starts_with("operation 0 cannot be read: "), "{ops}: {refused}");
    }
}

#[test]
fn a_patch_cannot_grow_a_document_without_end() {
    let doubling = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let wide = Json::Array(vec![doubling; 40]);
    let refused = patched(json!({"a": ["x".repeat(1000)]}), wide).expect_err("it is too large");
    assert!(refused.contains("makes the document larger"), "{refused}");
    let deeper = json!({"op": "copy", "from": "", "path": "/a"});
    let refused = patched(json!({"a": 1}), Json::Array(vec![deeper; 10])).expect("ten levels are fine");
    assert!(refused.is_object());
    let deeper = json!({"op": "copy", "from": "", "path": "/a"});
    let refused = patched(json!({"a": 1}), Json::Array(vec![deeper; 200])).expect_err("it is too deep");
    assert!(refused.contains("deeper"), "{refused}");
    let many = Json::Array(vec![json!({"op": "test", "path": "", "value": {}}); OPS_MAX + 1]);
    assert_eq!(patched(json!({}), many), Err("a patch has at most 1000 operations, found 1001".to_owned()));
}

#[test]
fn a_fence_around_the_json_is_taken_off() {
    let patch = r#"{"ops": [], "rationale": "r"}"#;
    for text in [
        patch.to_owned(),
        format!("  {patch}\n"),
        format!("```json\n{patch}\n```"),
        format!("```\n{patch}\n```\n"),
        format!("Here it is:\n\n```json\n{patch}\n```\nI hope it helps."),
        format!("```sh\nls\n```\n  ```json\n{patch}\n  ```"),
        format!("```json\n{patch}"),
    ] {
        assert_eq!(unfence(&text), Some(value(json!({"ops": [], "rationale": "r"}))), "{text}");
        assert!(read(&value(json!(text))).is_ok(), "{text}");
    }
    for text in ["", "no", "```json\nno\n```", "```json\n{}\n```\n```json\n{}\n```"] {
        assert_eq!(unfence(text), None, "{text}");
    }
}

#[test]
fn what_a_producer_gives_is_read_strictly() {
    let spec = read(&value(json!({"rationale": "r"}))).expect("no change is legal");
    assert_eq!((spec.ops.len(), spec.bump, spec.rationale.as_str()), (0, Bump::Patch, "r"));
    for (given, text) in [
        (
            json!("hello"),
            "expected one JSON object {ops, bump, rationale}, found a text without one: \"hello\"",
        ),
        (json!([1]), "`patch` must be an object, found array"),
        (json!("[1]"), "`patch` must be an object, found array"),
        (json!({"ops": []}), "`rationale` must be a text that says why, of at most 4 KiB, found nothing"),
        (
            json!({"rationale": " "}),
            "`rationale` must be a text that says why, of at most 4 KiB, found \" \"",
        ),
        (json!({"rationale": 1}), "`rationale` must be a text that says why, of at most 4 KiB, found number"),
        (json!({"ops": {}, "rationale": "r"}), "`ops` must be an array, found object"),
        (
            json!({"bump": "big", "rationale": "r"}),
            "`bump` must be `major`, `minor` or `patch`, found \"big\"",
        ),
        (json!({"raw": "x", "rationale": "r"}), "unknown field `raw`; a patch has ops, bump and rationale"),
    ] {
        assert_eq!(read(&value(given)).expect_err("it is refused").to_string(), text);
    }
}

#[test]
fn a_label_rises_where_the_bump_says() {
    for (label, bump, expected) in [
        (Some("1.2.3"), Bump::Patch, "1.2.4"),
        (Some("1.2.3"), Bump::Minor, "1.3.0"),
        (Some("1.2.3"), Bump::Major, "2.0.0"),
        (Some("1.2.3-rc.1+b"), Bump::Patch, "1.2.4"),
        (None, Bump::Patch, "0.0.1"),
        (Some("first"), Bump::Minor, "0.1.0"),
        (Some("1.2"), Bump::Major, "1.0.0"),
        (Some("1.2.3.4"), Bump::Patch, "0.0.1"),
        (Some("4294967295.0.0"), Bump::Major, "4294967295.0.0"),
    ] {
        assert_eq!(bumped(label, bump), expected, "{label:?} {bump}");
    }
}
