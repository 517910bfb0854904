//! The context that a flow begins with.

use adjutant_model::Value;
use std::sync::Arc;

/// Gives the context that a flow begins with: what it is given over what its blueprint declares, member by member.
/// Nothing when the two do not go together, because what is given is no object.
pub fn first_context(declared: Option<&Value>, given: &Value) -> Option<Value> {
    match (declared, given) {
        (Some(Value::Object(below)), Value::Object(over)) => Some(Value::Object(
            below.iter().chain(over.iter()).map(|(key, value)| (key.clone(), value.clone())).collect(),
        )),
        (Some(below), Value::Null) => Some(below.clone()),
        (None, Value::Null) => Some(Value::object::<Arc<str>>([])),
        (Some(_), _) => None,
        (None, given) => Some(given.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_goes_over_what_is_declared() {
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        for (declared, given, expected) in [
            (Some(r#"{"a":1,"b":{"x":1}}"#), r#"{"b":{"y":2}}"#, Some(r#"{"a":1,"b":{"y":2}}"#)),
            (Some(r#"{"a":1}"#), "null", Some(r#"{"a":1}"#)),
            (Some(r#"{"a":1}"#), "5", None),
            (None, "null", Some("{}")),
            (None, "5", Some("5")),
        ] {
            let found = first_context(declared.map(json).as_ref(), &json(given));
            assert_eq!(found, expected.map(json), "{declared:?} {given}");
        }
    }
}
