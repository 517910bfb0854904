//! JSON Schemas of tools' parameters.
//!
//! A schema is compiled once, when its tool is registered. References leave the schema nowhere: nothing is fetched.
//! Errors name the place and never repeat the value, which may be a secret.

use adjutant_model::Value;
use jsonschema::{PatternOptions, Validator};
use std::fmt;

/// How deep a regular expression may search for a match before it counts as none.
const BACKTRACK_MAX: usize = 100_000;
/// So many errors are told at once.
const ERRORS_MAX: usize = 8;

/// A schema that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON Schema: {reason}")]
pub struct InvalidSchema {
    /// What is wrong with it.
    pub reason: String,
}

/// A schema, ready to be used.
pub struct Schema(Validator);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

impl Schema {
    /// Compiles a schema; an empty object, which takes everything, gives `None`.
    ///
    /// # Errors
    /// [`InvalidSchema`] when it is no object, breaks its own draft's rules or refers to another document.
    pub fn compile(schema: &Value) -> Result<Option<Schema>, InvalidSchema> {
        let Some(object) = schema.as_object() else {
            return Err(InvalidSchema { reason: format!("it is {}, not an object", schema.type_name()) });
        };
        if object.is_empty() {
            return Ok(None);
        }
        jsonschema::options()
            .offline()
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_MAX))
            .build(&serde_json::Value::from(schema))
            .map(|validator| Some(Schema(validator)))
            .map_err(|why| InvalidSchema { reason: shown(&why, "") })
    }

    /// Gives what is wrong with `parameters`, at most a handful; empty when they are as the schema wants them.
    pub fn errors(&self, parameters: &Value) -> Vec<String> {
        let instance = serde_json::Value::from(parameters);
        if self.0.is_valid(&instance) {
            return Vec::new();
        }
        self.0.iter_errors(&instance).take(ERRORS_MAX).map(|why| shown(&why, "parameters")).collect()
    }
}

fn shown(why: &jsonschema::ValidationError<'_>, root: &str) -> String {
    let place = format!("{root}{}", why.instance_path());
    if place.is_empty() { why.masked().to_string() } else { format!("{place}: {}", why.masked()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compiled(schema: serde_json::Value) -> Result<Option<Schema>, InvalidSchema> {
        Schema::compile(&Value::from(schema))
    }

    #[test]
    fn parameters_are_checked_and_the_errors_name_the_place_and_no_value() {
        let schema = compiled(json!({
            "type": "object",
            "required": ["cli"],
            "properties": {"cli": {"type": "string"}, "tries": {"type": "integer", "minimum": 1}},
        }))
        .unwrap()
        .expect("it says something");
        assert_eq!(schema.errors(&Value::from(json!({"cli": "x", "other": [1]}))), Vec::<String>::new());
        assert_eq!(
            schema.errors(&Value::from(json!({"tries": "hunter2"}))),
            [
                "parameters: \"cli\" is a required property",
                "parameters/tries: value is not of type \"integer\""
            ]
        );
    }

    #[test]
    fn what_is_no_schema_is_refused_when_it_is_registered_and_nothing_is_fetched() {
        assert!(compiled(json!({})).unwrap().is_none());
        for wrong in [
            json!(true),
            json!([]),
            json!({"type": "strnig"}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"properties": {"a": {"pattern": "("}}}),
        ] {
            assert!(compiled(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_that_would_search_for_ever_gives_up() {
        let schema = compiled(json!({"properties": {"a": {"pattern": "^(a+)+\\1$"}}}))
            .unwrap()
            .expect("it says something");
        let hostile = Value::from(json!({"a": format!("{}b", "a".repeat(5_000))}));
        assert!(!schema.errors(&hostile).is_empty());
    }
}
