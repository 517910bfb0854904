//! Rules made ready to be asked: patterns and conditions are compiled once and kept beside the rule.

use super::call::{Call, canonical};
use super::command::CommandPattern;
use super::condition::Condition;
use super::glob::Glob;
use super::shell;
use adjutant_model::policy::{
    PolicyEffect, PolicyMatch, PolicyMatcher, PolicyPattern, PolicyRule, PolicyScope,
};

/// Rules of one scope, ready to be asked; see [`super::judge`].
#[derive(Debug, Clone)]
pub struct PolicySet {
    scope: PolicyScope,
    default: PolicyEffect,
    rules: Vec<ReadyRule>,
}

#[derive(Debug, Clone)]
struct ReadyRule {
    rule: PolicyRule,
    /// A rule that does not compile denies whatever it is asked; the text says why it does not.
    ready: Result<Ready, String>,
}

#[derive(Debug, Clone)]
enum Ready {
    /// Asked as it stands.
    Plain,
    /// `deny_tool_param` whose pattern reads like a command.
    ParamCommand(CommandPattern),
    Pattern(ReadyPattern),
}

#[derive(Debug, Clone)]
struct ReadyPattern {
    tool: Glob,
    params: Vec<(String, Vec<Glob>)>,
    commands: Vec<CommandPattern>,
    when: Option<Condition>,
}

/// How a rule is about a call.
enum Fit {
    /// As it is written.
    Certain(String),
    /// It would be, if what cannot be read were what it speaks of.
    Possible(String),
}

impl PolicySet {
    /// Makes rules ready; what none of them is about is allowed as far as this set is concerned.
    ///
    /// Rules that [`super::read_file`] and [`super::read_wire`] gave always compile. One that does not, because it was
    /// made or stored elsewhere, denies every call.
    pub fn new(scope: PolicyScope, rules: impl IntoIterator<Item = PolicyRule>) -> Self {
        let mut set = PolicySet { scope, default: PolicyEffect::Allow, rules: Vec::new() };
        rules.into_iter().for_each(|rule| set.push(rule));
        set
    }

    /// Decides by `default` what no rule of the set is about.
    pub fn with_default(self, default: PolicyEffect) -> Self {
        PolicySet { default, ..self }
    }

    /// Adds a rule behind the others; names may repeat.
    pub fn push(&mut self, rule: PolicyRule) {
        let ready = ready(&rule.matcher);
        self.rules.push(ReadyRule { rule, ready });
    }

    /// Removes every rule of a name, and tells how many there were.
    pub fn remove(&mut self, name: &str) -> usize {
        let before = self.rules.len();
        self.rules.retain(|ready| ready.rule.name != name);
        before - self.rules.len()
    }

    /// Gives the scope.
    pub fn scope(&self) -> PolicyScope {
        self.scope
    }

    /// Gives what decides when no rule of the set is about a call.
    pub fn default_effect(&self) -> PolicyEffect {
        self.default
    }

    /// Gives the rules in their order.
    pub fn rules(&self) -> impl Iterator<Item = &PolicyRule> {
        self.rules.iter().map(|ready| &ready.rule)
    }

    /// Gives the rules that have something to say about a call, in their order.
    pub(super) fn matches<'a>(&'a self, call: &mut Call<'a>) -> Vec<PolicyMatch> {
        self.rules.iter().filter_map(|ready| ready.asked(self.scope, call)).collect()
    }
}

impl ReadyRule {
    fn asked<'a>(&'a self, scope: PolicyScope, call: &mut Call<'a>) -> Option<PolicyMatch> {
        let PolicyRule { name, effect, reason, .. } = &self.rule;
        let told = |why: String| reason.clone().unwrap_or(why);
        let fit = self.ready.as_ref().map_err(String::clone).and_then(|ready| self.fit(ready, call));
        let (effect, why) = match fit {
            Ok(None) => return None,
            Ok(Some(Fit::Certain(why))) => (*effect, told(why)),
            Ok(Some(Fit::Possible(why))) => {
                let unread = call.unread.as_deref().unwrap_or_default();
                (*effect, format!("{} (the rule could apply: {unread})", told(why)))
            }
            Err(why) => (PolicyEffect::Deny, format!("it cannot be evaluated, so it denies: {why}")),
        };
        Some(PolicyMatch { rule: name.clone(), scope, effect, why })
    }

    /// Says how the rule is about a call; `None` when it is not.
    fn fit<'a>(&'a self, ready: &'a Ready, call: &mut Call<'a>) -> Result<Option<Fit>, String> {
        let tool = call.subject.tool;
        let why = match &self.rule.matcher {
            PolicyMatcher::Tool(name) => (tool == name).then(|| format!("tool '{name}' denied")),
            PolicyMatcher::Connector(slug) => {
                let theirs = tool.strip_prefix("mcp_").and_then(|rest| rest.strip_prefix(slug.as_str()));
                theirs.is_some_and(|rest| rest.starts_with('_')).then(|| format!("connector '{slug}' denied"))
            }
            PolicyMatcher::ToolParam { tool: name, key, pattern } => {
                return Ok(if tool == name { param_fit(ready, key, pattern, call) } else { None });
            }
            PolicyMatcher::RequireState { key, value } => {
                let is_so = call.subject.state.get(key) == Some(value);
                (!is_so).then(|| format!("state['{key}'] must be {value}"))
            }
            PolicyMatcher::Pattern(pattern) => {
                let Ready::Pattern(ready) = ready else { return Ok(None) };
                let fit = if self.rule.effect == PolicyEffect::Allow {
                    ready.must_fit(call)?.then_some(Fit::Certain as fn(String) -> Fit)
                } else {
                    ready.could_fit(call)?
                };
                return Ok(fit.map(|fit| fit(described(pattern))));
            }
        };
        Ok(why.map(Fit::Certain))
    }
}

fn param_fit<'a>(ready: &'a Ready, key: &'a str, pattern: &str, call: &mut Call<'a>) -> Option<Fit> {
    let why = format!("param '{key}' matches '{pattern}'");
    if call.texts_of(key).iter().any(|text| text.contains(pattern)) {
        return Some(Fit::Certain(why));
    }
    let Ready::ParamCommand(command) = ready else { return None };
    if !call.names_shell_text(key) {
        return None;
    }
    if call.subject.shell.is_some_and(|line| command.could_match(line, call.subject.workspace)) {
        return Some(Fit::Certain(why));
    }
    call.unread.is_some().then_some(Fit::Possible(why))
}

type Fitting = fn(String) -> Fit;

impl ReadyPattern {
    /// Says whether a rule that denies or asks is about a call, as far as anyone can tell before it is made.
    fn could_fit<'a>(&'a self, call: &mut Call<'a>) -> Result<Option<Fitting>, String> {
        if !self.tool.is_match(call.subject.tool) {
            return Ok(None);
        }
        let mut fit: Fitting = Fit::Certain;
        for (key, globs) in &self.params {
            if call.texts_named_by(key).iter().any(|text| globs.iter().any(|glob| glob.is_match(text))) {
                continue;
            }
            if call.unread.is_none() || !call.names_shell_text(key) {
                return Ok(None);
            }
            fit = Fit::Possible;
        }
        if !self.commands.is_empty() {
            let line = call.subject.shell;
            let one = |pattern: &CommandPattern| {
                line.is_some_and(|line| pattern.could_match(line, call.subject.workspace))
            };
            if !self.commands.iter().any(one) {
                if call.unread.is_none() {
                    return Ok(None);
                }
                fit = Fit::Possible;
            }
        }
        match &self.when {
            None => Ok(Some(fit)),
            Some(when) if when.uses_shell() && call.unread.is_some() => {
                let could = when.could_hold(&call.facts).map_err(|why| why.to_string())?;
                Ok(could.then_some(Fit::Possible))
            }
            Some(when) => Ok(when.holds(&call.facts).map_err(|why| why.to_string())?.then_some(fit)),
        }
    }

    /// Tells whether a rule that allows is about all of a call for certain.
    fn must_fit<'a>(&'a self, call: &mut Call<'a>) -> Result<bool, String> {
        if !self.tool.is_match(call.subject.tool) {
            return Ok(false);
        }
        for (key, globs) in &self.params {
            let fits = |text: &str| globs.iter().any(|glob| glob.is_match(text));
            let fitting = if call.names_shell_text(key) {
                call.every_command(|command, ground| {
                    CommandPattern::runs_plainly(command, ground) && fits(&canonical(command))
                })
            } else {
                call.texts_named_by(key).iter().any(|text| fits(text))
            };
            if !fitting {
                return Ok(false);
            }
        }
        let allowed = self.commands.is_empty()
            || call.every_command(|command, ground| {
                self.commands.iter().any(|pattern| pattern.must_match(command, ground))
            });
        if !allowed {
            return Ok(false);
        }
        match &self.when {
            None => Ok(true),
            Some(when) if when.uses_shell() && call.unread.is_some() => Ok(false),
            Some(when) => when.holds(&call.facts).map_err(|why| why.to_string()),
        }
    }
}

fn ready(matcher: &PolicyMatcher) -> Result<Ready, String> {
    Ok(match matcher {
        PolicyMatcher::Tool(_) | PolicyMatcher::Connector(_) | PolicyMatcher::RequireState { .. } => {
            Ready::Plain
        }
        PolicyMatcher::ToolParam { key, pattern, .. } => {
            let command = shell::is_key(key).then(|| CommandPattern::of_plain_text(pattern)).flatten();
            command.map_or(Ready::Plain, Ready::ParamCommand)
        }
        PolicyMatcher::Pattern(pattern) => Ready::Pattern(ready_pattern(pattern)?),
    })
}

fn ready_pattern(pattern: &PolicyPattern) -> Result<ReadyPattern, String> {
    let glob = |text: &String| Glob::new(text).map_err(|why| why.to_string());
    let params = pattern.params.iter().map(|param| {
        Ok((param.key.clone(), param.globs.iter().map(glob).collect::<Result<Vec<_>, String>>()?))
    });
    let command = |text: &String| CommandPattern::new(text).map_err(|why| why.to_string());
    Ok(ReadyPattern {
        tool: glob(&pattern.tool)?,
        params: params.collect::<Result<_, String>>()?,
        commands: pattern.commands.iter().map(command).collect::<Result<_, _>>()?,
        when: pattern.when.as_deref().map(Condition::new).transpose().map_err(|why| why.to_string())?,
    })
}

fn described(pattern: &PolicyPattern) -> String {
    let or = |texts: &[String]| texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(" or ");
    let mut text = format!("tool '{}'", pattern.tool);
    for param in &pattern.params {
        text += &format!(", param '{}' matches {}", param.key, or(&param.globs));
    }
    if !pattern.commands.is_empty() {
        text += &format!(", command {}", or(&pattern.commands));
    }
    if let Some(when) = &pattern.when {
        text += &format!(", when {}", when.trim());
    }
    text
}
