//! From a document to a blueprint that can run.
//!
//! Reading refuses what is unknown and what is known elsewhere and not supported here, each with the pointer to it;
//! nothing is ignored that would make a run differ from what the document says. A blueprint that was read has no
//! loose ends: every step's agent, every template, function and chunk is there.

mod agent;
pub mod authoring;
mod command;
mod diff;
mod fields;
mod fill;
mod levels;
mod operators;
mod refs;
pub mod registry;
mod support;
mod verdicts;
mod version;

pub use diff::{changed_lines, patch};
pub use fields::{is_id, is_semver};
pub use fill::{Fillings, MissingSource, fill, placeholders};
pub use version::{canonical, hash, version_of};

use crate::document::{Cursor, Lint, Lints};
use crate::flow;
use crate::redact::redact_value;
use adjutant_model::Value;
use adjutant_model::blueprint::{Blueprint, Metadata};
use adjutant_model::value::DEPTH_MAX;
use fields::{fields, optional};
use levels::Levels;

/// The longest default time to live that a blueprint may give its runs, in seconds: seven days.
pub const TTL_SECS_MAX: u64 = 604_800;

/// What an id is made of.
const ID_HINT: &str = "1 to 64 of a-z, 0-9, `.`, `_`, `-`, beginning with a letter or digit";

/// Integers up to here are exact in every reader of JSON; the canonical form rounds larger ones.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What a plane brings along for blueprints to name.
#[derive(Debug, Clone, Copy)]
pub struct Builtins<'a> {
    /// The ids of its functions.
    pub functions: &'a [&'a str],
    /// Its Luau chunks: id and source.
    pub lua: &'a [(&'a str, &'a str)],
    /// The names of its command templates.
    pub templates: &'a [&'a str],
}

/// Reads a blueprint; gives it together with what is probably not meant.
///
/// # Errors
/// All lints, when at least one of them is an error.
pub fn read(document: &Value, builtins: &Builtins<'_>) -> Result<(Blueprint, Vec<Lint>), Vec<Lint>> {
    let mut lints = Lints::default();
    let root = Cursor::root(document);
    let mut levels = Levels::default();
    let blueprint = if document.depth() > DEPTH_MAX {
        lints.error(&root, "too-large", format!("the document nests deeper than {DEPTH_MAX}"));
        None
    } else {
        refuse_inexact(&root, &mut lints);
        support::refuse_keys(&root, &mut lints);
        read_levels(&root, &mut levels, &mut lints);
        if redact_value(document).is_some() {
            // The document is kept as it is, because its hash is its version.
            let message =
                "the blueprint holds what looks like a secret; let the program take it from its environment";
            lints.warning(&root, "secret", message);
        }
        blueprint(&root, builtins, &mut lints)
    };
    let lints = levels.applied(lints.into_vec());
    match blueprint {
        Some(blueprint) if !lints.iter().any(Lint::is_error) => Ok((blueprint, lints)),
        Some(_) | None => Err(lints),
    }
}

/// Reads what the document and its agents want of their warnings.
fn read_levels(root: &Cursor<'_>, levels: &mut Levels, lints: &mut Lints) {
    let metadata = optional(root, "metadata");
    if let Some(said) = metadata.as_ref().and_then(|metadata| optional(metadata, "lints")) {
        levels.read(&said, String::new(), lints);
    }
    let Some(agents) = root.member("agents").filter(|agents| agents.value().as_array().is_some()) else {
        return;
    };
    for agent in agents.elements(lints) {
        if let Some(said) = optional(&agent, "lints") {
            levels.read(&said, agent.pointer(), lints);
        }
    }
}

fn blueprint(at: &Cursor<'_>, builtins: &Builtins<'_>, lints: &mut Lints) -> Option<Blueprint> {
    const KNOWN: &[&str] = &[
        "schema_version",
        "id",
        "flow",
        "agents",
        "templates",
        "subprocesses",
        "metadata",
        "default_init_ctx",
        "operators",
        "default_operator_kind",
        "default_agent_kind",
        "spawner_hints",
        "runners",
        "default_runner",
        "strategy",
    ];
    fields(at, KNOWN, support::BLUEPRINT, lints)?;
    if let Some(strategy) = optional(at, "strategy") {
        support::strategy(&strategy, lints);
    }
    if let Some(version) = optional(at, "schema_version") {
        check_schema_version(&version, lints);
    }
    let id = at.required("id", lints).and_then(|id| read_id(&id, lints));
    let flow = at.required("flow", lints).and_then(|flow| flow::read::node(&flow, lints));
    let templates = command::templates(at, lints);
    let template_names: Vec<&str> =
        templates.names.iter().map(String::as_str).chain(builtins.templates.iter().copied()).collect();
    let operators = operators::operators(at, lints);
    let known = agent::Known { builtins, templates: &template_names, operators: &operators };
    let agents = agent::agents(at, &known, lints);
    if let Some(flow) = &flow {
        refs::check(flow, &agents.names, lints);
        refs::check_calls(flow, lints);
        refs::warn_unused(flow, at, lints);
        verdicts::check(flow, &agents.read, lints);
    }
    let metadata = match optional(at, "metadata") {
        Some(metadata) => read_metadata(&metadata, lints),
        None => Metadata::default(),
    };
    let default_init_ctx = optional(at, "default_init_ctx").map(|ctx| {
        if ctx.value().as_object().is_none() {
            ctx.wrong_type("an object", lints);
        }
        ctx.value().clone()
    });
    Some(Blueprint {
        id: id?,
        flow: flow?,
        agents: agents.read,
        templates: templates.read,
        metadata,
        default_init_ctx,
        operators: operators.seats,
        default_operator_kind: operators.default_kind,
        layers: operators.layers,
    })
}

fn read_id(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let id = at.string(lints)?;
    if !is_id(id) {
        lints.error_with_hint(at, "invalid-id", "this is no id", ID_HINT);
        return None;
    }
    Some(id.to_owned())
}

fn check_schema_version(at: &Cursor<'_>, lints: &mut Lints) {
    let Some(version) = at.string(lints) else { return };
    if !is_semver(version) {
        lints.error(at, "invalid-version", "expected a semantic version such as 0.1.0");
    } else if !version.starts_with("0.") {
        let message =
            format!("the document's schema {version} is newer than 0.x, which is what can be read here");
        lints.error(at, "schema-too-new", message);
    }
}

fn read_metadata(at: &Cursor<'_>, lints: &mut Lints) -> Metadata {
    const KNOWN: &[&str] =
        &["description", "tags", "version_label", "default_run_ttl_secs", "origin", "lints"];
    if fields(at, KNOWN, support::METADATA, lints).is_none() {
        return Metadata::default();
    }
    if let Some(origin) = optional(at, "origin") {
        support::origin(&origin, lints);
    }
    let version_label = optional(at, "version_label").and_then(|label| {
        let text = label.string(lints)?;
        if !is_semver(text) {
            lints.error(&label, "invalid-version", "expected a semantic version such as 0.1.0");
        }
        Some(text.to_owned())
    });
    Metadata {
        description: fields::text(at, "description", lints),
        tags: fields::texts(at, "tags", lints),
        version_label,
        default_run_ttl_secs: optional(at, "default_run_ttl_secs")
            .and_then(|c| c.whole(1, TTL_SECS_MAX, lints)),
    }
}

/// Refuses numbers that the canonical form, and so the version, would not tell apart.
fn refuse_inexact(at: &Cursor<'_>, lints: &mut Lints) {
    match at.value() {
        Value::Number(number) => {
            let is_integer = number.is_i64() || number.is_u64();
            if is_integer && number.as_f64().is_none_or(|n| n.abs() > EXACT_MAX || !same_digits(number, n)) {
                let message = format!("the integer {number} is beyond ±2^53 and would lose digits");
                lints.error_with_hint(at, "inexact-number", message, "write it as a string");
            }
        }
        Value::Array(_) => at.elements(lints).iter().for_each(|item| refuse_inexact(item, lints)),
        Value::Object(_) => at.entries(lints).iter().for_each(|(_, member)| refuse_inexact(member, lints)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn same_digits(number: &adjutant_model::value::Number, float: f64) -> bool {
    number.as_i64().is_some_and(|integer| integer as f64 == float && (float as i64) == integer)
}

#[cfg(test)]
mod tests;
