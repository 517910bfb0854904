//! The gate: the fixed order in which every action is judged.
//!
//! Capability of the caller, validity of the call, policy, breaker, approval. The first that refuses decides, and
//! its reason goes into the journal. The last two always pass until breakers and approvals exist.

use adjutant_model::Value;
use adjutant_model::action::{Caller, Role};
use adjutant_model::blueprint::{Agent, AgentSpec, Blueprint, CommandSpec};
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, PolicyMatcher, PolicyRule, ToolCall};
use adjutant_rules::policy::{self, Verdict};

/// A tool's name is at most so long.
const TOOL_NAME_MAX: usize = 128;

/// What the gate said of a tool call, and the turn that records it.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolJudged {
    /// The turn.
    pub turn: u64,
    /// The judgement.
    pub judgement: Judgement,
}

/// The rules in force.
#[derive(Debug)]
pub struct Gate {
    rules: Vec<PolicyRule>,
    default: PolicyEffect,
    /// Whether a rule could refuse a built-in function.
    judges_functions: bool,
}

impl Gate {
    /// Takes the plane's rules; what no rule is about is allowed.
    pub fn new(rules: Vec<PolicyRule>) -> Self {
        let judges_functions =
            rules.iter().any(|rule| rule.effect == PolicyEffect::Deny && names_functions(&rule.matcher));
        Gate { rules, default: PolicyEffect::Allow, judges_functions }
    }

    /// Judges an action of a caller.
    pub fn judge(&self, caller: &Caller, call: &ToolCall) -> Judgement {
        capability(caller).or_else(|| validation(call)).unwrap_or_else(|| self.by_policy(call))
    }

    /// Judges a step of a flow, before its turn starts; the plane itself is the caller.
    ///
    /// Steps are tools named `step:<kind>`; a command's or check's line stands in `command`, so that the same
    /// patterns hold for it and for an agent's own shell. Functions are pure and touch nothing: a rule is about them
    /// only when it names them, as `step:function` or by a pattern that begins with `step:`.
    pub(crate) fn judge_step(&self, blueprint: &Blueprint, agent: &str, input: &Value) -> Judgement {
        let agent = &blueprint.agents[agent];
        if matches!(agent.spec, AgentSpec::Function { .. }) && !self.judges_functions {
            return allowed("no rule is against functions");
        }
        self.by_policy(&step_call(blueprint, agent, input))
    }

    /// Judges an action of an outside client: by the plane's rules, and by those of its connection and run, which can
    /// only tighten.
    pub(crate) fn judge_action(&self, own: &[PolicyRule], call: &ToolCall, state: &Value) -> Verdict {
        if let Some(refused) = validation(call) {
            return Verdict {
                effect: PolicyEffect::Deny,
                rule: None,
                reason: refused.reason,
                matched: Vec::new(),
            };
        }
        let plane = policy::judge(&self.rules, self.default, call, state);
        let own = policy::judge(own, PolicyEffect::Allow, call, state);
        match (plane.effect, own.effect) {
            (PolicyEffect::Deny, PolicyEffect::Deny) => Verdict {
                reason: format!("{}; {}", plane.reason, own.reason),
                matched: [plane.matched, own.matched].concat(),
                ..plane
            },
            (PolicyEffect::Deny, _) | (PolicyEffect::Ask | PolicyEffect::Allow, PolicyEffect::Allow) => plane,
            (PolicyEffect::Allow | PolicyEffect::Ask, PolicyEffect::Deny | PolicyEffect::Ask) => own,
        }
    }

    fn by_policy(&self, call: &ToolCall) -> Judgement {
        let verdict = policy::judge(&self.rules, self.default, call, &Value::Null);
        Judgement {
            allowed: verdict.effect == PolicyEffect::Allow,
            decided_by: GateStage::Policy,
            rule: verdict.rule,
            reason: verdict.reason,
        }
    }
}

fn names_functions(matcher: &PolicyMatcher) -> bool {
    match matcher {
        PolicyMatcher::Tool(tool) | PolicyMatcher::ToolParam { tool, .. } => tool == "step:function",
        PolicyMatcher::Pattern { tool, .. } => tool.starts_with("step:"),
        PolicyMatcher::Connector(_) => false,
        PolicyMatcher::RequireState { .. } => true,
    }
}

fn step_call(blueprint: &Blueprint, agent: &Agent, input: &Value) -> ToolCall {
    let command = match &agent.spec {
        AgentSpec::Function { .. } | AgentSpec::Lua(_) => None,
        AgentSpec::Command(spec) => Some(command_line(spec, blueprint)),
        AgentSpec::Check(spec) => Some(spec.command.to_string()),
    };
    let parameters = Value::object(
        [("agent", Value::from(agent.name.as_str())), ("input", input.clone())]
            .into_iter()
            .chain(command.map(|line| ("command", Value::from(line)))),
    );
    ToolCall { tool: format!("step:{}", agent.spec.kind()), parameters }
}

fn command_line(spec: &CommandSpec, blueprint: &Blueprint) -> String {
    let template = spec.template.as_ref().and_then(|name| blueprint.templates.get(name));
    let argv = if spec.argv.is_empty() {
        template.map_or(&spec.argv, |template| &template.argv)
    } else {
        &spec.argv
    };
    argv.join(" ")
}

fn capability(caller: &Caller) -> Option<Judgement> {
    let may = match caller.role {
        Role::Host | Role::Operator => true,
        Role::Worker => caller.step.is_some(),
        Role::Observer | Role::Senior => false,
    };
    (!may)
        .then(|| refused(GateStage::Capability, format!("the role {} calls no tools", caller.role.as_str())))
}

fn validation(call: &ToolCall) -> Option<Judgement> {
    let name_ok = !call.tool.is_empty()
        && call.tool.len() <= TOOL_NAME_MAX
        && call.tool.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:/".contains(c));
    if !name_ok {
        let reason = format!("a tool's name is 1 to {TOOL_NAME_MAX} letters, digits and `_-.:/`");
        return Some(refused(GateStage::Validation, reason));
    }
    let is_object = matches!(call.parameters, Value::Object(_) | Value::Null);
    (!is_object).then(|| refused(GateStage::Validation, "a tool's parameters are an object".to_owned()))
}

fn refused(decided_by: GateStage, reason: String) -> Judgement {
    Judgement { allowed: false, decided_by, rule: None, reason }
}

fn allowed(reason: &str) -> Judgement {
    Judgement { allowed: true, decided_by: GateStage::Policy, rule: None, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::TokenId;
    use adjutant_model::id::Uuid;

    #[test]
    fn the_first_question_that_refuses_decides() {
        let rules = policy::read_toml(
            "[[rule]]\nname = \"no-rm\"\neffect = \"deny\"\ntool = \"Bash\"\nparams = { command = \"rm *\" }\n",
            &policy::Places { data_folder: "/data" },
        )
        .expect("the rules are valid");
        let gate = Gate::new(rules);
        let caller = |role| Caller { token_id: TokenId::new(Uuid::nil()), role, step: None, agent_id: None };
        let call = |tool: &str, command: &str| ToolCall {
            tool: tool.to_owned(),
            parameters: Value::object([("command", Value::from(command))]),
        };
        for (role, tool, command, expected) in [
            (Role::Host, "Bash", "ls", (true, GateStage::Policy)),
            (Role::Host, "Bash", "rm x", (false, GateStage::Policy)),
            (Role::Observer, "Bash", "rm x", (false, GateStage::Capability)),
            (Role::Worker, "Bash", "ls", (false, GateStage::Capability)),
            (Role::Host, "", "rm x", (false, GateStage::Validation)),
            (Role::Host, "a tool", "ls", (false, GateStage::Validation)),
        ] {
            let judgement = gate.judge(&caller(role), &call(tool, command));
            assert_eq!((judgement.allowed, judgement.decided_by), expected, "{role:?} {tool} {command}");
        }
    }
}
