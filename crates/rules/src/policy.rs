//! Policies: which tool calls may happen.
//!
//! Rules come from TOML that a person wrote ([`read_toml`]) or from the wire ([`read_wire`]); what is unknown in
//! them is refused and never ignored. [`judge`] asks every rule: `deny` wins over `allow`, a rule that cannot be
//! evaluated denies, and when no rule matches the default decides.
//!
//! Patterns are matched against the text of parameters as it stands. A shell command is not taken apart here, so a
//! pattern sees `rm -rf /` and misses `rm  -r -f /`; parsed commands are to be one more matcher, judged before
//! the patterns.

mod glob;
mod read;

pub use glob::{Glob, InvalidGlob};
pub use read::{Places, read_toml, read_wire};

use adjutant_model::Value;
use adjutant_model::policy::{PolicyEffect, PolicyMatcher, PolicyRule, ToolCall};
use std::collections::BTreeMap;

/// The policy of a fresh install, as TOML with the placeholders of [`Places`]: ordinary commands run, the data
/// folder's own files are out of reach, and plainly destructive commands are refused.
pub const DEFAULT_POLICY: &str = include_str!("policy/default.toml");

/// What the rules say about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Whether the call may go on.
    pub effect: PolicyEffect,
    /// The rule that decided; `None` when none matched and the default did.
    pub rule: Option<String>,
    /// For people: why.
    pub reason: String,
    /// Every rule that matched, in the order of the rules.
    pub matched: Vec<String>,
}

/// Judges a call: the first rule that denies decides, else the first that allows, else `default`.
///
/// When several rules deny, the reason names each of them.
pub fn judge(rules: &[PolicyRule], default: PolicyEffect, call: &ToolCall, state: &Value) -> Verdict {
    let texts = Texts { parameters: &call.parameters, by_key: BTreeMap::new() };
    let mut subject = Subject { tool: &call.tool, texts, state };
    let hits: Vec<Hit<'_>> = rules.iter().filter_map(|rule| hit(rule, &mut subject)).collect();
    let matched = hits.iter().map(|hit| hit.rule.name.clone()).collect();
    let of = |effect| hits.iter().filter(move |hit| hit.effect == effect);
    let strongest =
        [PolicyEffect::Deny, PolicyEffect::Ask].into_iter().find(|effect| of(*effect).next().is_some());
    let (effect, deciding): (_, Vec<&Hit<'_>>) = match strongest {
        Some(effect) => (effect, of(effect).collect()),
        None => (PolicyEffect::Allow, of(PolicyEffect::Allow).take(1).collect()),
    };
    match deciding.first() {
        Some(first) => {
            let reasons: Vec<_> =
                deciding.iter().map(|hit| format!("policy `{}`: {}", hit.rule.name, hit.why)).collect();
            Verdict { effect, rule: Some(first.rule.name.clone()), reason: reasons.join("; "), matched }
        }
        None => {
            let reason = match default {
                PolicyEffect::Allow => "no rule is against it",
                PolicyEffect::Ask => "no rule decides it, so a person does",
                PolicyEffect::Deny => "no rule allows it",
            };
            Verdict { effect: default, rule: None, reason: reason.to_owned(), matched }
        }
    }
}

/// A rule that has something to say about a call.
struct Hit<'a> {
    rule: &'a PolicyRule,
    effect: PolicyEffect,
    why: String,
}

/// What rules are asked about.
struct Subject<'a> {
    tool: &'a str,
    texts: Texts<'a>,
    state: &'a Value,
}

fn hit<'a>(rule: &'a PolicyRule, subject: &mut Subject<'a>) -> Option<Hit<'a>> {
    match matches(&rule.matcher, subject) {
        Ok(None) => None,
        Ok(Some(why)) => Some(Hit { rule, effect: rule.effect, why: rule.reason.clone().unwrap_or(why) }),
        Err(why) => Some(Hit {
            rule,
            effect: PolicyEffect::Deny,
            why: format!("it cannot be evaluated, so it denies: {why}"),
        }),
    }
}

/// Says why a matcher is about a call; `None` when it is not.
fn matches<'a>(matcher: &'a PolicyMatcher, subject: &mut Subject<'a>) -> Result<Option<String>, InvalidGlob> {
    let Subject { tool, texts, state } = subject;
    Ok(match matcher {
        PolicyMatcher::Tool(name) => (*tool == name).then(|| format!("tool '{name}' denied")),
        PolicyMatcher::Connector(slug) => {
            let theirs = tool.strip_prefix("mcp_").and_then(|rest| rest.strip_prefix(slug.as_str()));
            theirs.is_some_and(|rest| rest.starts_with('_')).then(|| format!("connector '{slug}' denied"))
        }
        PolicyMatcher::ToolParam { tool: name, key, pattern } => {
            let found = *tool == name && texts.of(key).iter().any(|text| text.contains(pattern));
            found.then(|| format!("param '{key}' matches '{pattern}'"))
        }
        PolicyMatcher::RequireState { key, value } => {
            (state.get(key) != Some(value)).then(|| format!("state['{key}'] must be {value}"))
        }
        PolicyMatcher::Pattern { tool: name, params } => {
            if !Glob::new(name)?.is_match(tool) {
                return Ok(None);
            }
            for (key, pattern) in params {
                let glob = Glob::new(pattern)?;
                if !texts.named_by(key).iter().any(|text| glob.is_match(text)) {
                    return Ok(None);
                }
            }
            Some(described(name, params))
        }
    })
}

fn described(tool: &str, params: &[(String, String)]) -> String {
    let params: Vec<_> =
        params.iter().map(|(key, pattern)| format!(", param '{key}' matches '{pattern}'")).collect();
    format!("tool '{tool}'{}", params.concat())
}

/// The texts of a call's parameters; made once for all the rules that ask for the same ones.
struct Texts<'a> {
    parameters: &'a Value,
    by_key: BTreeMap<(Naming, &'a str), Vec<String>>,
}

/// How a rule names parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// By exactly this key.
    Plain,
    /// By one key, by several with `|` between them, or by `*` for any, nested ones included.
    Pattern,
}

impl<'a> Texts<'a> {
    fn of(&mut self, key: &'a str) -> &[String] {
        let parameters = self.parameters;
        self.by_key.entry((Naming::Plain, key)).or_insert_with(|| own_texts(parameters.get(key)))
    }

    fn named_by(&mut self, key: &'a str) -> &[String] {
        let parameters = self.parameters;
        self.by_key.entry((Naming::Pattern, key)).or_insert_with(|| match key {
            "*" => any_texts(parameters),
            key => key.split('|').flat_map(|key| own_texts(parameters.get(key))).collect(),
        })
    }
}

/// A string as it is, anything else as JSON; an argument list also as one line.
fn own_texts(value: Option<&Value>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let text = match value {
        Value::String(text) => text.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    std::iter::once(text).chain(line_of(value)).collect()
}

fn any_texts(parameters: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let mut take = |value| {
        texts.extend(own_texts(Some(value)));
        nested_texts(value, &mut texts);
    };
    match parameters {
        Value::Object(object) => object.iter().for_each(|(_, value)| take(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            take(parameters)
        }
    }
    texts
}

/// Takes the scalars and argument lists below a value; a container's own JSON is not repeated on every level.
fn nested_texts(value: &Value, texts: &mut Vec<String>) {
    let mut take = |child: &Value| match child {
        Value::Array(_) | Value::Object(_) => {
            texts.extend(line_of(child));
            nested_texts(child, texts);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            texts.extend(own_texts(Some(child)))
        }
    };
    match value {
        Value::Array(items) => items.as_slice().iter().for_each(take),
        Value::Object(object) => object.iter().for_each(|(_, member)| take(member)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn line_of(value: &Value) -> Option<String> {
    let words = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
    Some(words.join(" "))
}

#[cfg(test)]
mod tests;
