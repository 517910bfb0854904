//! Operators in a blueprint: the seats of its runs, what an operator starts, the layers around steps.

use super::agent::Unknown;
use super::fields::{fields, optional, text, texts};
use super::support;
use crate::document::{Cursor, Lints};
use adjutant_model::blueprint::{OperatorSeat, OperatorSpec, Runner, StepLayer, SubmitFormat};
use adjutant_model::operator::OperatorKind;
use std::collections::{BTreeMap, BTreeSet};

/// A name is at most so many characters.
const NAME_MAX: usize = 128;

/// What a blueprint says of operators.
#[derive(Debug, Default)]
pub(super) struct Operators {
    /// The seats, by name.
    pub(super) seats: BTreeMap<String, OperatorSeat>,
    /// The names of all seats, so that a mistake inside one is not reported as its absence too.
    names: BTreeSet<String>,
    pub(super) default_kind: Option<OperatorKind>,
    pub(super) layers: Vec<StepLayer>,
    /// The named runners; one that could not be read is there without what it says.
    runners: BTreeMap<String, Option<Runner>>,
    default_runner: Option<Runner>,
    /// The kind of agents that say none.
    pub(super) default_agent_kind: Option<String>,
}

/// Reads what stands beside `agents`.
pub(super) fn operators(at: &Cursor<'_>, lints: &mut Lints) -> Operators {
    let mut read = Operators {
        default_kind: optional(at, "default_operator_kind").and_then(|kind| operator_kind(&kind, lints)),
        default_agent_kind: text(at, "default_agent_kind", lints).filter(|kind| !kind.is_empty()),
        layers: layers(at, lints),
        ..Operators::default()
    };
    seats(at, &mut read, lints);
    runners(at, &mut read, lints);
    read
}

fn operator_kind(at: &Cursor<'_>, lints: &mut Lints) -> Option<OperatorKind> {
    let name = at.string(lints)?;
    let kind = OperatorKind::parse(name);
    if kind.is_none() {
        let known = &OperatorKind::ALL.map(OperatorKind::as_str);
        Unknown { lint: "unknown-operator-kind", what: "operator kind", name, known }.refuse(at, lints);
    }
    kind
}

fn layers(at: &Cursor<'_>, lints: &mut Lints) -> Vec<StepLayer> {
    let Some(hints) = optional(at, "spawner_hints") else { return Vec::new() };
    if fields(&hints, &["layers"], &[], lints).is_none() {
        return Vec::new();
    }
    let Some(list) = optional(&hints, "layers") else { return Vec::new() };
    let mut layers = Vec::new();
    for entry in list.elements(lints) {
        let Some(name) = entry.string(lints) else { continue };
        match StepLayer::ALL.into_iter().find(|layer| layer.as_str() == name) {
            Some(layer) if layers.contains(&layer) => {
                lints.error(&entry, "duplicate-layer", format!("the layer `{name}` stands there already"));
            }
            Some(layer) => layers.push(layer),
            None => {
                let known = &StepLayer::ALL.map(StepLayer::as_str);
                Unknown { lint: "unknown-layer", what: "layer", name, known }.refuse(&entry, lints);
            }
        }
    }
    layers
}

fn seats(at: &Cursor<'_>, read: &mut Operators, lints: &mut Lints) {
    let Some(list) = optional(at, "operators") else { return };
    for entry in list.elements(lints) {
        let known = &["name", "display_name", "kind"];
        if fields(&entry, known, support::OPERATOR, lints).is_none() {
            continue;
        }
        let seat = OperatorSeat {
            display_name: text(&entry, "display_name", lints),
            kind: optional(&entry, "kind").and_then(|kind| operator_kind(&kind, lints)),
        };
        let Some(name_at) = entry.required("name", lints) else { continue };
        let Some(name) = name_at.string(lints) else { continue };
        if !is_slot(name) {
            let message =
                format!("an operator's name is 1 to {NAME_MAX} characters and does not begin with `$`");
            lints.error(&name_at, "invalid-name", message);
        } else if !read.names.insert(name.to_owned()) {
            lints.error(&name_at, "duplicate-operator-name", format!("a second operator is called `{name}`"));
        } else {
            read.seats.insert(name.to_owned(), seat);
        }
    }
}

fn is_slot(name: &str) -> bool {
    !name.trim().is_empty()
        && !name.starts_with('$')
        && name.chars().count() <= NAME_MAX
        && !name.chars().any(char::is_control)
}

fn runners(at: &Cursor<'_>, read: &mut Operators, lints: &mut Lints) {
    let list = optional(at, "runners");
    let entries = list.as_ref().map(|list| list.elements(lints)).unwrap_or_default();
    for entry in entries {
        if fields(&entry, &["name", "runner"], &[], lints).is_none() {
            continue;
        }
        let spec = entry.required("runner", lints).and_then(|spec| runner(&spec, lints));
        let Some(name_at) = entry.required("name", lints) else { continue };
        let Some(name) = name_at.string(lints) else { continue };
        if read.runners.insert(name.to_owned(), spec).is_some() {
            lints.error(&name_at, "duplicate-runner-name", format!("a second runner is called `{name}`"));
        }
    }
    let default = optional(at, "default_runner");
    read.default_runner = default.and_then(|name| named_runner(&name, &read.runners, lints));
}

fn named_runner(
    at: &Cursor<'_>,
    runners: &BTreeMap<String, Option<Runner>>,
    lints: &mut Lints,
) -> Option<Runner> {
    let name = at.string(lints)?;
    if let Some(found) = runners.get(name) {
        return found.clone();
    }
    let known: Vec<&str> = runners.keys().map(String::as_str).collect();
    Unknown { lint: "unresolved-runner-ref", what: "runner", name, known: &known }.refuse(at, lints);
    None
}

/// Reads a runner; of the ways to start a worker only an operator's are left to say, the others are kinds of agents.
fn runner(at: &Cursor<'_>, lints: &mut Lints) -> Option<Runner> {
    let backend_at = at.required("backend", lints)?;
    let hint = match backend_at.string(lints)? {
        "ws_operator" | "ws_claude_code" => {
            fields(at, &["backend", "variant", "tools"], &[], lints)?;
            return Some(Runner {
                variant: text(at, "variant", lints).unwrap_or_default(),
                tools: texts(at, "tools", lints),
            });
        }
        "agent_block_in_process" => "an agent program is started by an agent of kind `command` or `session`",
        "subprocess" => "write an agent of kind `command`, and its template into `subprocesses`",
        _ => "backends: ws_operator, ws_claude_code",
    };
    let message = "a runner says what an operator starts; this backend is none of an operator's";
    lints.error_with_hint(&backend_at, "unsupported-runner", message, hint);
    None
}

impl Operators {
    /// Gives what an operator starts for an agent: its own runner, the one that it names, or the blueprint's.
    pub(super) fn runner_of(
        &self,
        agent: &Cursor<'_>,
        kind: Option<&str>,
        lints: &mut Lints,
    ) -> Option<Runner> {
        let is_asked = kind == Some("operator") || self.layers.contains(&StepLayer::OperatorDelegate);
        let (own, named) = (optional(agent, "runner"), optional(agent, "runner_ref"));
        if let (Some(said), false) = (own.as_ref().or(named.as_ref()), is_asked) {
            let message = "no operator does this agent's steps, so its runner would change nothing";
            let hint = "remove it, or add the layer `operator_delegate`";
            lints.error_with_hint(said, "unused-runner", message, hint);
            return None;
        }
        match (own, named) {
            (Some(_), Some(named)) => {
                lints.error(&named, "two-sources", "write either `runner` or `runner_ref`");
                None
            }
            (Some(own), None) => runner(&own, lints),
            (None, Some(named)) => named_runner(&named, &self.runners, lints),
            (None, None) => self.default_runner.clone().filter(|_| is_asked),
        }
    }

    /// Reads the spec of an agent whose steps an operator does; one declared seat need not be named.
    pub(super) fn spec(&self, agent: &Cursor<'_>, lints: &mut Lints) -> Option<OperatorSpec> {
        let spec = optional(agent, "spec");
        let mut said = None;
        let mut submit_format = SubmitFormat::default();
        if let Some(spec) = &spec {
            fields(spec, &["operator_ref", "submit_format"], &[], lints)?;
            if let Some(format) = optional(spec, "submit_format") {
                submit_format = read_format(&format, lints)?;
            }
            said = optional(spec, "operator_ref");
        }
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let operator_ref = match (&said, names.as_slice()) {
            (Some(said), names) => {
                let name = said.string(lints)?;
                if !names.contains(&name) {
                    Unknown { lint: "unresolved-operator-ref", what: "operator", name, known: names }
                        .refuse(said, lints);
                    return None;
                }
                name.to_owned()
            }
            (None, [only]) => (*only).to_owned(),
            (None, names) => {
                let hint = match names {
                    [] => "declare one: `operators: [{name: …}]`".to_owned(),
                    names => format!("operators here: {}", names.join(", ")),
                };
                let message = "the agent does not say which operator it is";
                lints.error_with_hint(
                    spec.as_ref().unwrap_or(agent),
                    "unresolved-operator-ref",
                    message,
                    hint,
                );
                return None;
            }
        };
        Some(OperatorSpec { operator_ref, submit_format })
    }
}

fn read_format(at: &Cursor<'_>, lints: &mut Lints) -> Option<SubmitFormat> {
    match at.string(lints)? {
        "auto" => Some(SubmitFormat::Auto),
        "json" => Some(SubmitFormat::Json),
        "text" => Some(SubmitFormat::Text),
        name => {
            let known = &["auto", "json", "text"];
            Unknown { lint: "unknown-format", what: "submit format", name, known }.refuse(at, lints);
            None
        }
    }
}
