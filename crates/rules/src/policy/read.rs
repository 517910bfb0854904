//! From a document to rules.

use super::Glob;
use super::command::{CommandPattern, escape};
use super::condition::Condition;
use crate::document::{self, Cursor, Lint, Lints};
use adjutant_model::Value;
use adjutant_model::policy::{ParamPattern, PolicyEffect, PolicyMatcher, PolicyPattern, PolicyRule};

/// Stands for the data folder in patterns.
const DATA_FOLDER: &str = "{data_folder}";

/// What fills the placeholders of a policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places<'a> {
    /// Fills `{data_folder}`: the data folder's absolute path without a slash at the end.
    pub data_folder: &'a str,
}

/// A policy file: rules, and what decides when none of them is about a call.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyFile {
    /// `default` of the file; `allow` when it does not say.
    pub default: PolicyEffect,
    /// The rules in their order.
    pub rules: Vec<PolicyRule>,
}

/// Reads a policy file; [`crate::policy`] tells its form.
///
/// # Errors
/// Everything that is wrong: unknown fields and effects, empty or broken patterns, conditions that cannot be.
pub fn read_file(text: &str, places: &Places<'_>) -> Result<PolicyFile, Vec<Lint>> {
    let known = &["default", "rule"];
    let document = document::from_toml(text).map_err(|why| vec![why])?;
    let mut lints = Lints::default();
    let root = Cursor::root(&document);
    root.object(known, &mut lints);
    let default = root.member("default").and_then(|default| effect_of(&default, &mut lints));
    let mut rules = Vec::new();
    if let Some(list) = root.member("rule") {
        for entry in list.elements(&mut lints) {
            rules.extend(file_rule(&entry, places, &mut lints));
        }
    }
    let default = default.unwrap_or(PolicyEffect::Allow);
    if lints.has_error() { Err(lints.into_vec()) } else { Ok(PolicyFile { default, rules }) }
}

/// Reads one rule of the wire: `{name?, rule, target, key, pattern, value}`, where `rule` is `deny_tool`,
/// `deny_connector`, `deny_tool_param` or `require_state`; or a rule as files have it, which says its `effect`. A field
/// that the kind does not read must be absent, null or empty.
///
/// # Errors
/// Everything that is wrong: unknown kinds and fields, an empty target, key or pattern.
pub fn read_wire(rule: &Value) -> Result<PolicyRule, Vec<Lint>> {
    let mut lints = Lints::default();
    let root = Cursor::root(rule);
    let found = match root.member("effect") {
        Some(_) => {
            if rule.to_string().contains(DATA_FOLDER) {
                lints.error(
                    &root,
                    "invalid-pattern",
                    "`{data_folder}` stands for nothing here; it is for files",
                );
            }
            file_rule(&root, &Places { data_folder: DATA_FOLDER }, &mut lints)
        }
        None => wire_rule(&root, &mut lints),
    };
    match found {
        Some(rule) if !lints.has_error() => Ok(rule),
        Some(_) | None => Err(lints.into_vec()),
    }
}

fn wire_rule(at: &Cursor<'_>, lints: &mut Lints) -> Option<PolicyRule> {
    at.object(&["name", "rule", "target", "key", "pattern", "value"], lints)?;
    let kind_at = at.required("rule", lints)?;
    let kind = kind_at.string(lints)?;
    let matcher = match kind {
        "deny_tool" => {
            refuse_unread(at, &["key", "pattern", "value"], lints);
            PolicyMatcher::Tool(filled(at, "target", lints)?)
        }
        "deny_connector" => {
            refuse_unread(at, &["key", "pattern", "value"], lints);
            PolicyMatcher::Connector(filled(at, "target", lints)?)
        }
        "deny_tool_param" => {
            refuse_unread(at, &["value"], lints);
            let (tool, key, pattern) =
                (filled(at, "target", lints), filled(at, "key", lints), filled(at, "pattern", lints));
            PolicyMatcher::ToolParam { tool: tool?, key: key?, pattern: pattern? }
        }
        "require_state" => {
            refuse_unread(at, &["target", "pattern"], lints);
            let value = at.member("value").map(|c| c.value().clone()).unwrap_or_default();
            PolicyMatcher::RequireState { key: filled(at, "key", lints)?, value }
        }
        other => {
            let kinds = "kinds: deny_tool, deny_connector, deny_tool_param, require_state";
            lints.error_with_hint(&kind_at, "unknown-kind", format!("unknown rule kind `{other}`"), kinds);
            return None;
        }
    };
    let name = match at.member("name").filter(|name| !is_blank(name.value())) {
        Some(name) => name.string(lints)?.to_owned(),
        None => wire_name(kind, &matcher),
    };
    Some(PolicyRule { name, effect: PolicyEffect::Deny, matcher, reason: None })
}

fn wire_name(kind: &str, matcher: &PolicyMatcher) -> String {
    match matcher {
        PolicyMatcher::Tool(target) | PolicyMatcher::Connector(target) => format!("{kind} {target}"),
        PolicyMatcher::ToolParam { tool, key, .. } => format!("{kind} {tool}.{key}"),
        PolicyMatcher::RequireState { key, .. } => format!("{kind} {key}"),
        PolicyMatcher::Pattern(pattern) => format!("{kind} {}", pattern.tool),
    }
}

/// Takes a text that must say something: an empty target would match nothing, an empty pattern everything.
fn filled(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<String> {
    let place = at.required(key, lints)?;
    let text = place.string(lints)?;
    if text.trim().is_empty() {
        lints.error(&place, "empty", format!("`{key}` is empty"));
        return None;
    }
    Some(text.to_owned())
}

fn refuse_unread(at: &Cursor<'_>, keys: &[&str], lints: &mut Lints) {
    for key in keys {
        if let Some(place) = at.member(key).filter(|member| !is_blank(member.value())) {
            lints.error(&place, "unread-field", format!("`{key}` means nothing for this kind of rule"));
        }
    }
}

fn is_blank(value: &Value) -> bool {
    matches!(value, Value::Null) || value.as_str() == Some("")
}

fn file_rule(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Option<PolicyRule> {
    at.object(&["name", "effect", "tool", "params", "command", "when", "reason"], lints);
    let name = filled(at, "name", lints);
    let effect = at.required("effect", lints).and_then(|effect| effect_of(&effect, lints));
    let tool = match at.member("tool") {
        Some(tool) => tool_glob(&tool, lints),
        None => Some("*".to_owned()),
    };
    let reason = match at.member("reason") {
        Some(reason) => reason.string(lints).map(str::to_owned),
        None => None,
    };
    let params = params(at, places, lints);
    let commands = commands(at, effect, places, lints);
    let when = condition(at, lints);
    if at.value().as_object().is_some()
        && !["tool", "params", "command", "when"].iter().any(|key| at.member(key).is_some())
    {
        let hint = "give `tool`, `params`, `command` or `when`; `tool = \"*\"` is every call";
        lints.error_with_hint(at, "missing-field", "the rule does not say which calls it is about", hint);
    }
    let pattern = PolicyPattern { tool: tool?, params, commands, when };
    Some(PolicyRule { name: name?, effect: effect?, matcher: PolicyMatcher::Pattern(pattern), reason })
}

fn effect_of(at: &Cursor<'_>, lints: &mut Lints) -> Option<PolicyEffect> {
    match at.string(lints)? {
        "deny" => Some(PolicyEffect::Deny),
        "ask" => Some(PolicyEffect::Ask),
        "allow" => Some(PolicyEffect::Allow),
        other => {
            lints.error_with_hint(
                at,
                "unknown-effect",
                format!("unknown effect `{other}`"),
                "effects: deny, ask, allow",
            );
            None
        }
    }
}

fn params(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Vec<ParamPattern> {
    let Some(params) = at.member("params") else { return Vec::new() };
    let mut patterns = Vec::new();
    for (key, place) in params.entries(lints) {
        if key.split('|').any(|name| name.trim().is_empty()) {
            lints.error(&place, "empty", "a parameter's name is empty");
        }
        let globs: Vec<String> =
            texts(&place, lints).iter().flat_map(|text| places.filled_in(text)).collect();
        if let Some(why) = globs.iter().find_map(|glob| Glob::new(glob).err()) {
            lints.error(&place, "invalid-pattern", why.to_string());
        }
        patterns.push(ParamPattern { key: key.to_owned(), globs });
    }
    patterns
}

fn tool_glob(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let text = at.string(lints)?;
    if let Err(why) = Glob::new(text) {
        lints.error(at, "invalid-pattern", why.to_string());
    }
    Some(text.to_owned())
}

fn commands(
    at: &Cursor<'_>,
    effect: Option<PolicyEffect>,
    places: &Places<'_>,
    lints: &mut Lints,
) -> Vec<String> {
    let Some(place) = at.member("command") else { return Vec::new() };
    let patterns: Vec<String> =
        texts(&place, lints).iter().map(|text| places.filled_into_command(text)).collect();
    for pattern in &patterns {
        match CommandPattern::new(pattern) {
            Err(why) => lints.error(&place, "invalid-command", format!("`{pattern}`: {why}")),
            Ok(read) if effect == Some(PolicyEffect::Allow) && read.names_places() => {
                let message = "`{outside}` and `{workspace}` are for rules that deny or ask";
                lints.error(&place, "invalid-command", message);
            }
            Ok(_) => {}
        }
    }
    patterns
}

fn condition(at: &Cursor<'_>, lints: &mut Lints) -> Option<String> {
    let place = at.member("when")?;
    let text = place.string(lints)?;
    if let Err(why) = Condition::new(text) {
        lints.error(&place, "invalid-condition", why.to_string());
    }
    Some(text.to_owned())
}

/// Takes a text or several.
fn texts<'a>(at: &Cursor<'a>, lints: &mut Lints) -> Vec<&'a str> {
    let Some(items) = at.value().as_array() else { return at.string(lints).into_iter().collect() };
    if items.is_empty() {
        lints.error(at, "empty", "no pattern is given, so this would match nothing");
    }
    for item in at.elements(lints) {
        item.string(lints);
    }
    items.iter().filter_map(Value::as_str).collect()
}

impl Places<'_> {
    /// Fills a glob over parameters: one for each way to write the data folder.
    fn filled_in(&self, glob: &str) -> Vec<String> {
        if !glob.contains(DATA_FOLDER) {
            return vec![glob.to_owned()];
        }
        self.spellings().iter().map(|folder| glob.replace(DATA_FOLDER, &Glob::escape(folder))).collect()
    }

    /// Fills a pattern over commands: a word that names the data folder becomes one alternative for each way to
    /// write it.
    fn filled_into_command(&self, pattern: &str) -> String {
        if !pattern.contains(DATA_FOLDER) {
            return pattern.to_owned();
        }
        let alternatives = |part: &str| -> Vec<String> {
            let spellings =
                self.spellings().into_iter().map(|folder| part.replace(DATA_FOLDER, &escape(&folder)));
            if part.contains(DATA_FOLDER) { spellings.collect() } else { vec![part.to_owned()] }
        };
        let word = |word: &str| word.split('|').flat_map(alternatives).collect::<Vec<_>>().join("|");
        pattern.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
    }

    /// Gives the data folder as it stands and, when it lies in a user's home, as a shell may name that.
    fn spellings(&self) -> Vec<String> {
        let folder = self.data_folder;
        let home = ["/home/", "/Users/"].iter().find_map(|homes| folder.strip_prefix(homes)?.split_once('/'));
        let below = home.map(|(_, below)| below).or_else(|| folder.strip_prefix("/root/"));
        let short = ["~", "$HOME", "${HOME}"].into_iter();
        let named =
            below.into_iter().flat_map(|below| short.clone().map(move |home| format!("{home}/{below}")));
        std::iter::once(folder.to_owned()).chain(named).collect()
    }
}
