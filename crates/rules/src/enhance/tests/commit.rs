//! `ctx.commit`, each violation with its own text.

use super::value;
use crate::enhance::commit::{CommitShape, Decision, read};
use adjutant_model::issue::AxisStatus;
use serde_json::{Value as Json, json};

fn applied() -> Json {
    json!({"committed": true, "new_version": "a".repeat(64), "new_bp_yaml": "id: main", "new_bp_json": {"id": "main"},
        "bump": "minor", "rationale": "r", "verdicts_summary": [{"axis": "des", "status": "pass", "evidence": "e"}]})
}

fn rejected() -> Json {
    json!({"committed": false, "reasons": ["noop: n"], "rationale": "", "verdicts_summary":
        [{"axis": "noop", "status": "deny", "reason": "n"}]})
}

fn without(mut commit: Json, key: &str) -> Json {
    commit.as_object_mut().expect("an object").remove(key);
    commit
}

fn with(mut commit: Json, key: &str, member: Json) -> Json {
    commit[key] = member;
    commit
}

fn told(commit: Json) -> String {
    read(&value(json!({"commit": commit}))).expect_err("it is refused").to_string()
}

#[test]
fn both_forms_are_read() {
    let Ok(Decision::Applied(decision)) = read(&value(json!({"commit": applied()}))) else { panic!() };
    assert_eq!((decision.rationale.as_str(), decision.verdicts[0].status), ("r", AxisStatus::Pass));
    assert_eq!(decision.verdicts[0].detail, "e");
    let Ok(Decision::Rejected { reasons, verdicts, .. }) = read(&value(json!({"commit": rejected()}))) else {
        panic!()
    };
    assert_eq!((reasons, verdicts[0].status), (vec!["noop: n".to_owned()], AxisStatus::Deny));
    for commit in [
        without(applied(), "new_bp_yaml"),
        with(applied(), "more", json!(1)),
        with(rejected(), "more", json!(1)),
    ] {
        assert!(read(&value(json!({"commit": commit.clone()}))).is_ok(), "{commit}");
    }
}

#[test]
fn every_violation_has_a_text_of_its_own() {
    assert_eq!(read(&value(json!({}))), Err(CommitShape::Missing));
    let verdict = |verdict: Json| with(applied(), "verdicts_summary", json!([verdict]));
    let mut texts = vec![CommitShape::Missing.to_string()];
    for (commit, text) in [
        (json!([]), "`commit` must be an object, found array"),
        (without(applied(), "committed"), "`committed` is missing"),
        (with(applied(), "committed", json!("yes")), "`committed` must be true or false, found string"),
        (without(applied(), "rationale"), "`rationale` is missing"),
        (with(applied(), "rationale", json!(1)), "`rationale` must be a text, found number"),
        (without(rejected(), "rationale"), "`rationale` is missing"),
        (without(applied(), "verdicts_summary"), "`verdicts_summary` is missing"),
        (with(applied(), "verdicts_summary", json!({})), "`verdicts_summary` must be an array, found object"),
        (verdict(json!(1)), "`verdicts_summary[0]` must be an object, found number"),
        (verdict(json!({"status": "pass", "evidence": "e"})), "`verdicts_summary[0].axis` is missing"),
        (verdict(json!({"axis": "a", "evidence": "e"})), "`verdicts_summary[0].status` is missing"),
        (
            verdict(json!({"axis": "a", "status": "maybe"})),
            "`verdicts_summary[0].status` is `maybe`, and must be pass or deny",
        ),
        (verdict(json!({"axis": "a", "status": "pass"})), "`verdicts_summary[0].evidence` is missing"),
        (
            verdict(json!({"axis": "a", "status": "deny", "reason": "r"})),
            "it is committed although the axis `a` denies it",
        ),
        (without(applied(), "new_version"), "`new_version` is missing"),
        (with(applied(), "new_version", json!("")), "`new_version` is empty"),
        (with(applied(), "new_version", json!("abc")), "`new_version` is `abc`, and must be 64 hex digits"),
        (without(applied(), "bump"), "`bump` is missing"),
        (with(applied(), "bump", json!("huge")), "`bump` is `huge`, and must be major, minor or patch"),
        (without(applied(), "new_bp_json"), "`new_bp_json` is missing"),
        (with(applied(), "new_bp_json", json!("id: main")), "`new_bp_json` must be an object, found string"),
        (without(rejected(), "reasons"), "`reasons` is missing"),
        (with(rejected(), "reasons", json!([])), "`reasons` is empty"),
        (with(rejected(), "reasons", json!(["a", 2])), "`reasons[1]` must be a text, found number"),
    ] {
        assert_eq!(told(commit), format!("commit shape: {text}"));
        texts.push(text.to_owned());
    }
}

#[test]
fn a_document_that_is_not_the_one_is_found_before_it_is_written() {
    let Ok(Decision::Applied(decision)) = read(&value(json!({"commit": applied()}))) else { panic!() };
    assert_eq!(decision.check("main", &"a".repeat(64)), Ok(()));
    let mismatch = decision.check("main", &"b".repeat(64)).expect_err("another version").to_string();
    assert!(mismatch.contains("`new_version` is aaaa") && mismatch.contains("is bbbb"), "{mismatch}");
    let moved = decision.check("other", &"a".repeat(64)).expect_err("another id").to_string();
    assert!(moved.contains("\"main\"") && moved.contains("the id of `other` cannot change"), "{moved}");
}
