//! All acceptance vectors of the flow language.

use crate::driver::{Driven, drive, flow};
use adjutant_model::Value;
use adjutant_model::value::Object;
use adjutant_rules::flow::{FlowEnd, FlowState, Program};

const VECTORS: &str = include_str!("../vectors/flow-vectors.json");

#[test]
fn every_acceptance_vector_ends_as_it_must() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the vectors are JSON");
    let cases = vectors.as_array().expect("the vectors are an array");
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| mismatch(case).map(|m| format!("{}: {m}", case.get("id").unwrap())))
        .collect();
    assert!(wrong.is_empty(), "{} of {} vectors differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(cases.len(), 300, "the whole set is here");
}

/// Runs a case twice: as it stands, and with one branch at a time. The second is how the dispatches were counted,
/// with steps that settle before the next branch begins; both must end the same.
fn mismatch(case: &Value) -> Option<String> {
    let concurrent = run(case, case.get("flow")?);
    let one_by_one = run(case, &one_branch_at_a_time(case.get("flow")?));
    let expected = case.get("expect")?;
    for driven in [&concurrent, &one_by_one] {
        if !ended_as(expected, &driven.end) {
            return Some(format!("expected {expected}, ended {:?}", driven.end));
        }
    }
    let counted = case.get("dispatches").filter(|n| !same(n, &Value::from(one_by_one.dispatches)));
    counted.map(|n| format!("expected {n} dispatches, made {}", one_by_one.dispatches))
}

fn run(case: &Value, document: &Value) -> Driven {
    let ctx = case.get("ctx").expect("a case has a context").clone();
    drive(FlowState::new(Program::compile(&flow(document)), ctx))
}

fn ended_as(expected: &Value, end: &FlowEnd) -> bool {
    match (end, expected.get("ok"), expected.get("error")) {
        (FlowEnd::Done(ctx), Some(ok), None) => same(ok, ctx),
        (FlowEnd::Failed { error, .. }, None, Some(wanted)) => {
            wanted.get("kind").and_then(Value::as_str) == Some(error.code.as_str())
                && wanted.get("ref").is_none_or(|name| name.as_str() == error.reference.as_deref())
                && !error.message.is_empty()
        }
        _ => false,
    }
}

fn one_branch_at_a_time(document: &Value) -> Value {
    match document {
        Value::Array(items) => Value::array(items.as_slice().iter().map(one_branch_at_a_time)),
        Value::Object(object) => {
            let mut copy: Object = object.iter().map(|(k, v)| (k.clone(), one_branch_at_a_time(v))).collect();
            if document.get("kind").and_then(Value::as_str) == Some("fanout") {
                copy.insert("max_parallel".into(), Value::from(1_u64));
            }
            Value::Object(copy)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => document.clone(),
    }
}

/// Compares as the vectors ask for: numbers by value, `{"$any": …}` is any text that is not empty.
fn same(expected: &Value, found: &Value) -> bool {
    if expected.get("$any").is_some() {
        return found.as_str().is_some_and(|text| !text.is_empty());
    }
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.as_slice().len() == b.as_slice().len()
                && a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((ka, a), (kb, b))| ka == kb && same(a, b))
        }
        _ => expected == found,
    }
}
