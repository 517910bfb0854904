//! JSON Schemas of tools, from the same types that the OpenAPI document is made of.

use rmcp::model::JsonObject;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Where a schema of the OpenAPI document refers to another.
const COMPONENTS: &str = "#/components/schemas/";
/// Where a schema that stands alone does.
const DEFINITIONS: &str = "#/$defs/";

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
    schema
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
