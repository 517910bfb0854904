//! JSON Schemas of tools, from the same types that the OpenAPI document is made of.
//!
//! They say the same in fewer words of the language: not all clients take a list of types, a schema that is `true` or
//! `false`, or one that says nothing. So each schema has one type, or is any of several, and what may be anything is said to
//! be any of all.

use rmcp::model::JsonObject;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// Where a schema of the OpenAPI document refers to another.
const COMPONENTS: &str = "#/components/schemas/";
/// Where a schema that stands alone does.
const DEFINITIONS: &str = "#/$defs/";
/// What a schema says to people alone.
const TELLING: [&str; 6] = ["title", "description", "default", "example", "examples", "deprecated"];

/// Gives the schema of a type, with all that it refers to.
pub(super) fn schema_of<T: ToSchema>() -> JsonObject {
    let mut all = Vec::new();
    T::schemas(&mut all);
    let mut definitions: Map<String, Value> =
        all.into_iter().map(|(name, schema)| (name, alone(&schema))).collect();
    let Value::Object(mut root) = alone(&T::schema()) else { unreachable!("a schema is an object") };
    let mut needed = Vec::new();
    referred(&Value::Object(root.clone()), &mut needed);
    let mut kept = Map::new();
    while let Some(name) = needed.pop() {
        if let Some(definition) = definitions.remove(&name) {
            referred(&definition, &mut needed);
            kept.insert(name, definition);
        }
    }
    if !kept.is_empty() {
        root.insert("$defs".to_owned(), Value::Object(kept));
    }
    root
}

fn alone(schema: &impl serde::Serialize) -> Value {
    let mut schema = serde_json::to_value(schema).expect("a schema is JSON");
    point_to_definitions(&mut schema);
    make_portable(&mut schema);
    schema
}

/// Says a schema, and all below it, in the words that every client takes.
fn make_portable(schema: &mut Value) {
    let members = match schema {
        Value::Object(members) if members.keys().any(|name| !TELLING.contains(&name.as_str())) => members,
        Value::Object(members) => {
            members.insert("anyOf".to_owned(), anything());
            return;
        }
        Value::Bool(true) => return *schema = json!({"anyOf": anything()}),
        Value::Bool(false) => return *schema = json!({"not": {}}),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return,
    };
    close_tuple(members);
    for (name, member) in members.iter_mut() {
        match (name.as_str(), member) {
            ("properties" | "$defs" | "patternProperties", Value::Object(named)) => {
                named.values_mut().for_each(make_portable);
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Value::Array(each)) => {
                each.iter_mut().for_each(make_portable);
            }
            ("additionalProperties", Value::Bool(_)) => {}
            ("items" | "additionalProperties", below) => make_portable(below),
            _ => {}
        }
    }
    split_types(members);
}

/// Says of an array with a schema for each item how long it is.
fn close_tuple(members: &mut Map<String, Value>) {
    if members.get("items") == Some(&Value::Bool(false))
        && let Some(len) = members.get("prefixItems").and_then(Value::as_array).map(Vec::len)
    {
        members.remove("items");
        members.insert("minItems".to_owned(), len.into());
        members.insert("maxItems".to_owned(), len.into());
    }
}

/// Makes any of several schemas of one with several types.
fn split_types(members: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = members.get("type").cloned() else { return };
    let (telling, rest): (Map<_, _>, Map<_, _>) =
        std::mem::take(members).into_iter().partition(|(name, _)| TELLING.contains(&name.as_str()));
    let branch = |kind: Value| match kind == "null" {
        true => json!({"type": kind}),
        false => {
            let mut branch = rest.clone();
            branch.insert("type".to_owned(), kind);
            Value::Object(branch)
        }
    };
    *members = telling;
    members.insert("anyOf".to_owned(), types.into_iter().map(branch).collect());
}

/// Gives the schemas of which every value has one.
fn anything() -> Value {
    ["object", "array", "string", "number", "boolean", "null"]
        .map(|kind| json!({"type": kind}))
        .to_vec()
        .into()
}

fn point_to_definitions(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => {
                        *target = target.replace(COMPONENTS, DEFINITIONS);
                    }
                    member => point_to_definitions(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(point_to_definitions),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Gathers the names of what a schema refers to.
fn referred(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str);
            names.extend(target.and_then(|target| target.strip_prefix(DEFINITIONS)).map(str::to_owned));
            members.values().for_each(|member| referred(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| referred(item, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_says_the_same_in_words_that_every_client_takes() {
        let all = anything();
        for (schema, expected) in [
            (json!({"type": "string"}), json!({"type": "string"})),
            (
                json!({"type": ["integer", "null"], "minimum": 0, "description": "d"}),
                json!({"description": "d", "anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]}),
            ),
            (json!({"description": "d"}), json!({"description": "d", "anyOf": all})),
            (json!({}), json!({"anyOf": all})),
            (
                json!({"type": "object", "properties": {"type": {"type": ["string", "null"]}},
                    "additionalProperties": false}),
                json!({"type": "object", "properties": {"type": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                    "additionalProperties": false}),
            ),
            (
                json!({"type": ["array", "null"], "items": false, "prefixItems": [{"type": "string"}, {}]}),
                json!({"anyOf": [{"type": "array", "minItems": 2, "maxItems": 2,
                    "prefixItems": [{"type": "string"}, {"anyOf": all}]}, {"type": "null"}]}),
            ),
            (json!({"type": "array", "items": true}), json!({"type": "array", "items": {"anyOf": all}})),
            (json!({"$ref": "#/$defs/X"}), json!({"$ref": "#/$defs/X"})),
        ] {
            let mut portable = schema.clone();
            make_portable(&mut portable);
            assert_eq!(portable, expected, "{schema}");
            make_portable(&mut portable);
            assert_eq!(portable, expected, "twice: {schema}");
        }
    }
}
