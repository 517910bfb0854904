//! From a document to rules.

use super::Glob;
use crate::document::{Cursor, Lint, LintLevel, Lints};
use adjutant_model::Value;
use adjutant_model::policy::{PolicyEffect, PolicyMatcher, PolicyRule};

/// One entry of a file may stand for so many rules.
const EXPANSION_MAX: usize = 1000;

/// What fills the placeholders of a policy file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places<'a> {
    /// Fills `{data_folder}`: the data folder's absolute path without a slash at the end.
    pub data_folder: &'a str,
}

/// Reads the rules of a policy file: `[[rule]]` with `name`, `effect` (`deny` or `allow`), `tool` (a glob),
/// `params` (parameter to glob, or to several globs of which one must match) and `reason`.
///
/// # Errors
/// Everything that is wrong: unknown fields, unknown effects, empty or broken globs.
pub fn read_toml(text: &str, places: &Places<'_>) -> Result<Vec<PolicyRule>, Vec<Lint>> {
    let table = text.parse::<toml::Table>().map_err(|why| vec![invalid_toml(&why)])?;
    let document = value_of(toml::Value::Table(table));
    let mut lints = Lints::default();
    let root = Cursor::root(&document);
    root.object(&["rule"], &mut lints);
    let mut rules = Vec::new();
    if let Some(list) = root.member("rule") {
        for entry in list.elements(&mut lints) {
            rules.extend(file_rules(&entry, places, &mut lints));
        }
    }
    if lints.has_error() { Err(lints.into_vec()) } else { Ok(rules) }
}

/// Reads one rule of the wire: `{name?, rule, target, key, pattern, value}`, where `rule` is `deny_tool`,
/// `deny_connector`, `deny_tool_param` or `require_state`. A field that the kind does not read must be absent, null
/// or empty.
///
/// # Errors
/// Everything that is wrong: unknown kinds and fields, an empty target, key or pattern.
pub fn read_wire(rule: &Value) -> Result<PolicyRule, Vec<Lint>> {
    let mut lints = Lints::default();
    let found = wire_rule(&Cursor::root(rule), &mut lints);
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
        PolicyMatcher::Pattern { tool, .. } => format!("{kind} {tool}"),
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

fn file_rules(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Vec<PolicyRule> {
    at.object(&["name", "effect", "tool", "params", "reason"], lints);
    let name = filled(at, "name", lints);
    let effect = at.required("effect", lints).and_then(|effect| effect_of(&effect, lints));
    let tool = at.required("tool", lints).and_then(|tool| tool_glob(&tool, places, lints));
    let reason = match at.member("reason") {
        Some(reason) => reason.string(lints).map(str::to_owned),
        None => None,
    };
    let params = params(at, places, lints);
    match (name, effect, tool, params) {
        (Some(name), Some(effect), Some(tool), Some(combinations)) => combinations
            .into_iter()
            .map(|params| {
                let matcher = PolicyMatcher::Pattern { tool: tool.clone(), params };
                PolicyRule { name: name.clone(), effect, matcher, reason: reason.clone() }
            })
            .collect(),
        _ => Vec::new(),
    }
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

/// Gives every combination of one glob per parameter.
fn params(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Option<Vec<Vec<(String, String)>>> {
    let mut combinations = vec![Vec::new()];
    let Some(params) = at.member("params") else { return Some(combinations) };
    let mut valid = params.value().as_object().is_some();
    for (key, place) in params.entries(lints) {
        if key.split('|').any(|name| name.trim().is_empty()) {
            lints.error(&place, "empty", "a parameter's name is empty");
            valid = false;
        }
        let Some(globs) = globs(&place, places, lints) else {
            valid = false;
            continue;
        };
        if combinations.len() * globs.len() > EXPANSION_MAX {
            lints.error(
                &place,
                "too-many",
                format!("this rule stands for more than {EXPANSION_MAX} combinations"),
            );
            return None;
        }
        let with = |head: &Vec<(String, String)>| {
            let head = head.clone();
            let extend = move |glob: &String| [head.as_slice(), &[(key.to_owned(), glob.clone())]].concat();
            globs.iter().map(extend).collect::<Vec<_>>()
        };
        combinations = combinations.iter().flat_map(with).collect();
    }
    valid.then_some(combinations)
}

fn tool_glob(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Option<String> {
    at.string(lints)?;
    globs(at, places, lints)?.pop()
}

/// Takes a glob or several, with the placeholders filled.
fn globs(at: &Cursor<'_>, places: &Places<'_>, lints: &mut Lints) -> Option<Vec<String>> {
    let mut globs = Vec::new();
    if at.value().as_array().is_some() {
        let items = at.elements(lints);
        if items.is_empty() {
            lints.error(at, "empty", "no pattern is given, so this would match nothing");
            return None;
        }
        for item in items {
            globs.push(filled_in(item.string(lints)?, places));
        }
    } else {
        globs.push(filled_in(at.string(lints)?, places));
    }
    for glob in &globs {
        if let Err(why) = Glob::new(glob) {
            lints.error(at, "invalid-pattern", why.to_string());
            return None;
        }
    }
    Some(globs)
}

fn filled_in(glob: &str, places: &Places<'_>) -> String {
    glob.replace("{data_folder}", &Glob::escape(places.data_folder))
}

fn invalid_toml(why: &toml::de::Error) -> Lint {
    Lint {
        level: LintLevel::Error,
        name: "invalid-toml",
        pointer: String::new(),
        message: why.to_string().trim_end().to_owned(),
        hint: None,
    }
}

fn value_of(toml: toml::Value) -> Value {
    match toml {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from_f64(number).unwrap_or_default(),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(instant) => Value::from(instant.to_string()),
        toml::Value::Array(items) => Value::array(items.into_iter().map(value_of)),
        toml::Value::Table(table) => {
            Value::object(table.into_iter().map(|(key, value)| (key, value_of(value))))
        }
    }
}
