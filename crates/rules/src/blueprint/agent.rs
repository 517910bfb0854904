//! Agents: who does the steps.

use super::Builtins;
use super::command::{agent_command, arguments};
use super::fields::{argument, closest, fields, optional, text, texts};
use super::operators::Operators;
use super::support;
use super::verdicts;
use crate::document::{Cursor, Lints};
use adjutant_model::blueprint::{
    Agent, AgentSpec, CheckCommand, CheckSpec, KeepSession, LuaSpec, Profile, SessionSpec, StepLayer,
    VerdictChannel,
};
use adjutant_model::session::{DriverKind, ModelTier};
use std::collections::{BTreeMap, BTreeSet};

/// A chunk may hold between 1 MiB and 4 GiB.
const LUA_BYTES: (u64, u64) = (1 << 20, 1 << 32);
/// A chunk may run a day.
const LUA_MS_MAX: u64 = 86_400_000;
/// A check may run a day.
const CHECK_SECS_MAX: u64 = 86_400;
/// So many steps of one agent may be asked for at once.
const CONCURRENCY_MAX: u64 = 10_000;
/// An agent's name is at most so many characters.
const NAME_MAX: usize = 128;

const FIELDS: &[&str] = &[
    "name",
    "kind",
    "spec",
    "profile",
    "description",
    "meta",
    "lints",
    "max_concurrency",
    "runner",
    "runner_ref",
    "verdict",
];
const KINDS: &str = "kinds: function, lua, command, check, session, operator";

/// What agents may name.
pub(super) struct Known<'k> {
    pub(super) builtins: &'k Builtins<'k>,
    pub(super) templates: &'k [&'k str],
    pub(super) operators: &'k Operators,
}

/// The agents of a document.
pub(super) struct Agents {
    /// Those that could be read.
    pub(super) read: BTreeMap<String, Agent>,
    /// The names of all, so that a mistake inside one is not reported as its absence too.
    pub(super) names: BTreeSet<String>,
}

/// Reads `agents`.
pub(super) fn agents(at: &Cursor<'_>, known: &Known<'_>, lints: &mut Lints) -> Agents {
    let mut agents = Agents { read: BTreeMap::new(), names: BTreeSet::new() };
    let Some(list) = optional(at, "agents") else { return agents };
    for entry in list.elements(lints) {
        let spec = fields(&entry, FIELDS, &[], lints).and_then(|()| agent_spec(&entry, known, lints));
        let profile = profile(&entry, lints);
        if let Some(meta) = optional(&entry, "meta") {
            support::agent_meta(&meta, lints);
        }
        let kind = spec.as_ref().map(AgentSpec::kind);
        if kind == Some("session")
            && let Some(profile) = optional(&entry, "profile")
            && let Some(tools) = optional(&profile, "tools")
        {
            let message = "the tools of a session are its program's, and what it may do is the policy's";
            let hint = "write a policy for the agent: `policies/agents/NAME.toml` in the data folder";
            lints.error_with_hint(&tools, "unsupported-field", message, hint);
        }
        let runner = known.operators.runner_of(&entry, kind, lints);
        let verdict = verdicts::contract(&entry, lints);
        if let (Some(verdict), Some(kind)) = (&verdict, kind) {
            let is_delegated = known.operators.layers.contains(&StepLayer::OperatorDelegate);
            if verdict.channel == VerdictChannel::Part && kind != "operator" && !is_delegated {
                let message =
                    format!("an agent of kind `{kind}` gives no parts, so its verdict is its `body`");
                lints.error(&entry, "verdict-channel-mismatch", message);
            }
        }
        let max_concurrency = optional(&entry, "max_concurrency")
            .and_then(|max| max.whole(1, CONCURRENCY_MAX, lints))
            .and_then(|max| u32::try_from(max).ok());
        let Some(name_at) = entry.required("name", lints) else { continue };
        let Some(name) = name_at.string(lints) else { continue };
        if !is_name(name) {
            let message = format!("an agent's name is 1 to {NAME_MAX} characters without line ends");
            lints.error(&name_at, "invalid-name", message);
        } else if !agents.names.insert(name.to_owned()) {
            lints.error(&name_at, "duplicate-agent-name", format!("a second agent is called `{name}`"));
        } else if let Some(spec) = spec {
            let agent = Agent { profile, runner, verdict, max_concurrency, ..Agent::new(name, spec) };
            agents.read.insert(name.to_owned(), agent);
        }
    }
    agents
}

/// A name that is none of the known ones.
pub(super) struct Unknown<'n> {
    /// The lint.
    pub(super) lint: &'static str,
    /// What the name should have named.
    pub(super) what: &'static str,
    /// The name.
    pub(super) name: &'n str,
    /// What it could have been.
    pub(super) known: &'n [&'n str],
}

impl Unknown<'_> {
    /// Notes it as an error, with the name that was probably meant.
    pub(super) fn refuse(&self, at: &Cursor<'_>, lints: &mut Lints) {
        let known = match self.known {
            [] => "there is none".to_owned(),
            known => format!("known: {}", known.join(", ")),
        };
        let hint = match closest(self.name, self.known) {
            Some(meant) => format!("did you mean `{meant}`? {known}"),
            None => known,
        };
        lints.error_with_hint(at, self.lint, format!("unknown {} `{}`", self.what, self.name), hint);
    }
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control)
}

fn profile(at: &Cursor<'_>, lints: &mut Lints) -> Profile {
    let description = text(at, "description", lints);
    let Some(profile) = optional(at, "profile") else { return Profile { description, ..Profile::default() } };
    if fields(&profile, &["system_prompt", "model", "tools", "description"], support::PROFILE, lints)
        .is_none()
    {
        return Profile::default();
    }
    Profile {
        system_prompt: text(&profile, "system_prompt", lints).filter(|prompt| !prompt.is_empty()),
        model: text(&profile, "model", lints).filter(|model| !model.is_empty()),
        tools: texts(&profile, "tools", lints),
        description: text(&profile, "description", lints).or(description),
    }
}

fn agent_spec(at: &Cursor<'_>, known: &Known<'_>, lints: &mut Lints) -> Option<AgentSpec> {
    let said = optional(at, "kind");
    let default = known.operators.default_agent_kind.as_deref();
    let (kind_at, kind) = match (said, default) {
        (Some(said), _) => (said, said.string(lints)?),
        (None, Some(default)) => (*at, default),
        (None, None) => return at.required("kind", lints).and(None),
    };
    match kind {
        "function" | "rust_fn" | "lua" | "command" | "subprocess" | "check" | "session" => {}
        "operator" => return known.operators.spec(at, lints).map(AgentSpec::Operator),
        "agent_block" => {
            let hint = "an agent that is hosted is of kind `session`";
            lints.error_with_hint(
                &kind_at,
                "unsupported-kind",
                "agents of kind `agent_block` do not exist here",
                hint,
            );
            return None;
        }
        other => {
            lints.error_with_hint(&kind_at, "unknown-kind", format!("unknown agent kind `{other}`"), KINDS);
            return None;
        }
    }
    let spec_at = at.required("spec", lints)?;
    match kind {
        "function" | "rust_fn" => function(&spec_at, known, lints),
        "lua" => lua(&spec_at, at, known, lints),
        "check" => check(&spec_at, lints),
        "session" => session(&spec_at, lints),
        // Only the two names of a command are left.
        _ => agent_command(&spec_at, known.templates, lints).map(AgentSpec::Command),
    }
}

fn function(at: &Cursor<'_>, known: &Known<'_>, lints: &mut Lints) -> Option<AgentSpec> {
    fields(at, &["fn_id"], &[], lints)?;
    let id_at = at.required("fn_id", lints)?;
    let id = id_at.string(lints)?;
    if !known.builtins.functions.contains(&id) {
        let known = known.builtins.functions;
        Unknown { lint: "unknown-function", what: "function", name: id, known }.refuse(&id_at, lints);
        return None;
    }
    Some(AgentSpec::Function { fn_id: id.to_owned() })
}

fn lua(at: &Cursor<'_>, agent: &Cursor<'_>, known: &Known<'_>, lints: &mut Lints) -> Option<AgentSpec> {
    fields(at, &["source", "fn_id", "label", "memory_bytes", "timeout_ms"], &[], lints)?;
    let label = text(at, "label", lints);
    let memory_bytes = optional(at, "memory_bytes").and_then(|c| c.whole(LUA_BYTES.0, LUA_BYTES.1, lints));
    let timeout_ms = optional(at, "timeout_ms").and_then(|c| c.whole(1, LUA_MS_MAX, lints));
    let (source, default_label) = match (optional(at, "source"), optional(at, "fn_id")) {
        (Some(source), None) => {
            let name = agent.member("name").and_then(|name| name.value().as_str()).unwrap_or("chunk");
            (source.string(lints)?, name)
        }
        (None, Some(id_at)) => {
            let id = id_at.string(lints)?;
            let Some((id, source)) = known.builtins.lua.iter().find(|(known, _)| *known == id) else {
                let ids: Vec<&str> = known.builtins.lua.iter().map(|(id, _)| *id).collect();
                Unknown { lint: "unknown-function", what: "chunk", name: id, known: &ids }
                    .refuse(&id_at, lints);
                return None;
            };
            (*source, *id)
        }
        (Some(_), Some(id_at)) => {
            lints.error(&id_at, "two-sources", "write either `source` or `fn_id`");
            return None;
        }
        (None, None) => {
            lints.error(at, "missing-field", "a chunk needs `source` or `fn_id`");
            return None;
        }
    };
    let label = label.filter(|label| !label.is_empty()).unwrap_or_else(|| default_label.to_owned());
    Some(AgentSpec::Lua(LuaSpec { source: source.to_owned(), label, memory_bytes, timeout_ms }))
}

fn session(at: &Cursor<'_>, lints: &mut Lints) -> Option<AgentSpec> {
    fields(at, &["agent", "driver", "tier", "model", "keep"], &[], lints)?;
    let driver = one_of(at, "driver", &DriverKind::ALL.map(|kind| (kind.as_str(), kind)), lints);
    let tier = one_of(at, "tier", &ModelTier::ALL.map(|tier| (tier.as_str(), tier)), lints);
    let keep = one_of(at, "keep", &KeepSession::ALL.map(|keep| (keep.as_str(), keep)), lints);
    let model = text(at, "model", lints).filter(|model| !model.is_empty());
    let agent_at = at.required("agent", lints)?;
    let agent = agent_at.string(lints)?;
    if !is_name(agent) {
        lints.error(&agent_at, "invalid-name", "the name of an agent profile, such as `claude`");
        return None;
    }
    let keep = keep.unwrap_or_default();
    Some(AgentSpec::Session(SessionSpec { agent: agent.to_owned(), driver, tier, model, keep }))
}

/// Reads a member that is one of some names.
fn one_of<T: Copy>(at: &Cursor<'_>, name: &str, known: &[(&'static str, T)], lints: &mut Lints) -> Option<T> {
    let said_at = optional(at, name)?;
    let said = said_at.string(lints)?;
    let found = known.iter().find(|(name, _)| *name == said).map(|(_, value)| *value);
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Unknown { lint: "unknown-value", what: "value", name: said, known: &names }.refuse(&said_at, lints);
    }
    found
}

fn check(at: &Cursor<'_>, lints: &mut Lints) -> Option<AgentSpec> {
    fields(at, &["command", "expect_exit", "output_contains", "timeout_secs"], &[], lints)?;
    let expect_exit = optional(at, "expect_exit").and_then(|c| c.whole(0, 255, lints)).unwrap_or(0);
    let output_contains = text(at, "output_contains", lints);
    let timeout_secs = optional(at, "timeout_secs").and_then(|c| c.whole(1, CHECK_SECS_MAX, lints));
    let command_at = at.required("command", lints)?;
    let command = if command_at.value().as_array().is_some() {
        CheckCommand::Argv(arguments(&command_at, lints))
    } else {
        let line = argument(&command_at, lints)?;
        if line.trim().is_empty() {
            lints.error(&command_at, "empty", "no command is given");
        }
        CheckCommand::Line(line)
    };
    let expect_exit = i32::try_from(expect_exit).expect("the range ends at 255");
    Some(AgentSpec::Check(CheckSpec { command, expect_exit, output_contains, timeout_secs }))
}
