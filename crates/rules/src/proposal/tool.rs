//! Tools as they are registered: read, checked, and kept as a set that proposals share.

use super::outcome;
use super::schema::Schema;
use crate::document::{Cursor, Lint, Lints};
use adjutant_model::Value;
use adjutant_model::proposal::{OutcomeSpec, RateLimit, ToolSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A tool's name is at most so long, in bytes.
const NAME_MAX: usize = 128;
/// A tool's definition is at most so large, as JSON.
const TOOL_BYTES_MAX: u64 = 256 * 1024;
/// Answers are kept at most so long: a year.
const TTL_SECS_MAX: u64 = 31_536_000;

/// A tool that can be called.
#[derive(Debug)]
pub struct Tool {
    spec: ToolSpec,
    schema: Option<Schema>,
}

impl Tool {
    /// Reads a tool as a client sends it: `{name, description?, parameters?, returns?, idempotent?, cache_ttl_secs?,
    /// rate_limit?: {max_calls, interval_secs}, x-outcome?}`. A field that is null counts as absent, and an unknown
    /// one says nothing. `x-outcome` is `"cli"`, `"verifier"` or an object with `kind` and the names of members.
    ///
    /// # Errors
    /// Everything that is wrong: a missing or bad name, wrong types, a schema that does not compile.
    pub fn read(value: &Value) -> Result<Tool, Vec<Lint>> {
        let mut lints = Lints::default();
        let tool = read_tool(&Cursor::root(value), &mut lints);
        match tool {
            Some(tool) if !lints.has_error() => Ok(tool),
            Some(_) | None => Err(lints.into_vec()),
        }
    }

    /// Gives what was registered.
    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    /// Gives how its output is read: as it declares, or as a built-in tool of the same name does.
    pub fn outcome_spec(&self) -> Option<OutcomeSpec> {
        self.spec.outcome.clone().or_else(|| outcome::built_in(&self.spec.name))
    }

    /// Gives what is wrong with the parameters of a call.
    pub(super) fn errors(&self, parameters: &Value) -> Vec<String> {
        self.schema.as_ref().map(|schema| schema.errors(parameters)).unwrap_or_default()
    }
}

/// The tools that a proposal may call. A clone is O(1).
#[derive(Debug, Clone, Default)]
pub struct ToolSet(Arc<BTreeMap<Arc<str>, Arc<Tool>>>);

impl ToolSet {
    /// Gives a tool by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.0.get(name)
    }

    /// Adds a tool, in place of one with the same name.
    pub fn insert(&mut self, tool: Tool) {
        Arc::make_mut(&mut self.0).insert(tool.spec.name.clone(), Arc::new(tool));
    }

    /// Removes a tool; tells whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.contains_key(name) && Arc::make_mut(&mut self.0).remove(name).is_some()
    }

    /// Gives the tools in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tool>> {
        self.0.values()
    }
}

impl FromIterator<Tool> for ToolSet {
    fn from_iter<I: IntoIterator<Item = Tool>>(tools: I) -> Self {
        let named = tools.into_iter().map(|tool| (tool.spec.name.clone(), Arc::new(tool)));
        ToolSet(Arc::new(named.collect()))
    }
}

fn read_tool(at: &Cursor<'_>, lints: &mut Lints) -> Option<Tool> {
    if at.value().size_bytes() > TOOL_BYTES_MAX {
        lints.error(at, "too-large", format!("a tool takes at most {TOOL_BYTES_MAX} bytes"));
        return None;
    }
    let name = name(at, lints);
    let description = match optional(at, "description") {
        Some(text) => text.string(lints).unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let parameters = optional(at, "parameters").map_or_else(empty_object, |schema| schema.value().clone());
    let schema = Schema::compile(&parameters).unwrap_or_else(|why| {
        lints.error(&optional(at, "parameters").unwrap_or(*at), "invalid-schema", why.to_string());
        None
    });
    let spec = ToolSpec {
        name: name?,
        description,
        parameters,
        returns: optional(at, "returns").map(|schema| schema.value().clone()),
        idempotent: optional(at, "idempotent").and_then(|flag| flag.boolean(lints)).unwrap_or(false),
        cache_ttl_secs: optional(at, "cache_ttl_secs").and_then(|secs| secs.whole(0, TTL_SECS_MAX, lints)),
        rate_limit: optional(at, "rate_limit").and_then(|limit| rate_limit(&limit, lints)),
        outcome: optional(at, "x-outcome").and_then(|spec| outcome_spec(&spec, lints)),
    };
    Some(Tool { spec, schema })
}

fn name(at: &Cursor<'_>, lints: &mut Lints) -> Option<Arc<str>> {
    let place = at.required("name", lints);
    if place.is_none() && at.value().as_object().is_none() {
        at.wrong_type("an object", lints);
    }
    let place = place?;
    let name = place.string(lints)?;
    if name.trim().is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        let message = format!("a tool's name is 1 to {NAME_MAX} bytes without control characters");
        lints.error(&place, "invalid-name", message);
        return None;
    }
    Some(name.into())
}

fn rate_limit(at: &Cursor<'_>, lints: &mut Lints) -> Option<RateLimit> {
    let calls = at.required("max_calls", lints).and_then(|calls| calls.whole(1, 1_000_000_000, lints));
    let place = at.required("interval_secs", lints)?;
    let secs = match place.value() {
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    let Some(interval_secs) = secs.filter(|secs| *secs > 0.0 && *secs <= TTL_SECS_MAX as f64) else {
        place.wrong_type("a number of seconds above 0", lints);
        return None;
    };
    Some(RateLimit { max_calls: calls?, interval_secs })
}

fn outcome_spec(at: &Cursor<'_>, lints: &mut Lints) -> Option<OutcomeSpec> {
    let kind = match at.value() {
        Value::String(kind) => &**kind,
        Value::Object(_) => at.required("kind", lints)?.string(lints)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            at.wrong_type("\"cli\", \"verifier\" or an object", lints);
            return None;
        }
    };
    let mut member = |key| match optional(at, key) {
        Some(name) => name.string(lints).unwrap_or(key).to_owned(),
        None => key.to_owned(),
    };
    match kind {
        "cli" => Some(OutcomeSpec::Cli {
            exit_code: member("exit_code"),
            timed_out: member("timed_out"),
            signal: member("signal"),
        }),
        "verifier" => Some(OutcomeSpec::Verifier { passed: member("passed") }),
        other => {
            lints.error_with_hint(
                at,
                "unknown-kind",
                format!("unknown kind of outcome `{other}`"),
                "kinds: cli, verifier",
            );
            None
        }
    }
}

/// Goes to a member that is there and not null.
pub(super) fn optional<'a>(at: &'a Cursor<'a>, key: &'a str) -> Option<Cursor<'a>> {
    at.member(key).filter(|member| *member.value() != Value::Null)
}

pub(super) fn empty_object() -> Value {
    Value::Object(adjutant_model::value::Object::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(tool: serde_json::Value) -> Result<Tool, Vec<String>> {
        Tool::read(&Value::from(tool)).map_err(|lints| lints.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_tool_is_read_with_what_it_leaves_out() {
        let tool = read(json!({"name": "drive_cli", "parameters": {}, "returns": null})).unwrap();
        assert!(tool.schema.is_none() && !tool.spec.idempotent && tool.spec.outcome.is_none());
        assert!(
            matches!(tool.outcome_spec(), Some(OutcomeSpec::Cli { exit_code, .. }) if exit_code == "exit_code")
        );
        let tool = read(json!({
            "name": "pytest", "x-outcome": {"kind": "verifier", "passed": "green"},
            "rate_limit": {"max_calls": 2, "interval_secs": 0.5}, "cache_ttl_secs": 3
        }))
        .unwrap();
        assert_eq!(tool.outcome_spec(), Some(OutcomeSpec::Verifier { passed: "green".to_owned() }));
        assert_eq!(tool.spec.rate_limit, Some(RateLimit { max_calls: 2, interval_secs: 0.5 }));
        assert!(read(json!({"name": "x", "x-outcome": "cli"})).unwrap().spec.outcome.is_some());
    }

    #[test]
    fn what_is_wrong_in_a_tool_is_named_with_its_place() {
        for (tool, expected) in [
            (json!([]), "/: expected an object"),
            (json!({}), "/: the field `name` is missing"),
            (json!({"name": " "}), "/name: a tool's name is"),
            (json!({"name": "t", "parameters": 3}), "/parameters: not a JSON Schema"),
            (json!({"name": "t", "idempotent": "yes"}), "/idempotent: expected true or false"),
            (
                json!({"name": "t", "rate_limit": {"max_calls": 0, "interval_secs": 1}}),
                "/rate_limit/max_calls",
            ),
            (
                json!({"name": "t", "rate_limit": {"max_calls": 1, "interval_secs": 0}}),
                "/rate_limit/interval_secs",
            ),
            (json!({"name": "t", "x-outcome": "exit"}), "/x-outcome: unknown kind of outcome `exit`"),
        ] {
            let lints = read(tool.clone()).unwrap_err();
            assert!(lints[0].starts_with(expected), "{tool}: {lints:?}");
        }
    }
}
