//! The gate: the fixed order in which every action is judged.
//!
//! Capability of the caller, validity of the call, policy, breaker, approval. The first that refuses decides, and
//! its reason goes into the journal. What the rules ask is answered by a person before the action goes on
//! ([`crate::approvals`]); the breaker always passes until there are any.

use crate::clock;
use adjutant_model::Value;
use adjutant_model::action::{Caller, Role};
use adjutant_model::blueprint::{Agent, AgentSpec, Blueprint, CommandSpec};
use adjutant_model::policy::{
    GateStage, Judgement, PolicyEffect, PolicyMatcher, PolicyRule, PolicyScope, ToolCall,
};
use adjutant_model::shell::ShellLine;
use adjutant_rules::policy::{self, PolicyFile, PolicySet, Subject};
use adjutant_rules::shell;
use std::sync::Arc;

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
    plane: PolicySet,
    /// Whether a rule could refuse a built-in function.
    judges_functions: bool,
}

impl Gate {
    /// Takes the plane's policy.
    pub fn new(file: PolicyFile) -> Self {
        let PolicyFile { default, rules } = file;
        let against =
            |rule: &PolicyRule| rule.effect != PolicyEffect::Allow && names_functions(&rule.matcher);
        let judges_functions = default != PolicyEffect::Allow || rules.iter().any(against);
        Gate { plane: PolicySet::new(PolicyScope::Plane, rules).with_default(default), judges_functions }
    }

    /// Judges an action of a caller.
    pub fn judge(&self, caller: &Caller, call: &ToolCall) -> Judgement {
        capability(caller).or_else(|| validation(call)).unwrap_or_else(|| self.by_policy(call))
    }

    /// Judges a step of a flow, before its turn starts; the plane itself is the caller.
    ///
    /// Steps are tools named `step:<kind>`; a command's words or a check's line stand in `command`, so that the same
    /// patterns hold for it and for an agent's own shell. Functions are pure and touch nothing: a rule is about them
    /// only when it names them, as `step:function` or by a pattern that begins with `step:`.
    pub(crate) fn judge_step(&self, blueprint: &Blueprint, agent: &str, input: &Value) -> Judgement {
        let agent = &blueprint.agents[agent];
        if matches!(agent.spec, AgentSpec::Function { .. }) && !self.judges_functions {
            let reason = "no rule is against functions";
            return Judgement::new(GateStage::Policy, PolicyEffect::Allow, reason);
        }
        self.by_policy(&step_call(blueprint, agent, input))
    }

    /// Judges an action of an outside client: by the plane's rules, and by those of its run and connection, which can
    /// only tighten.
    pub(crate) fn judge_action(
        &self,
        own: &[Arc<PolicySet>],
        call: &ToolCall,
        from: CallOrigin<'_>,
    ) -> Judgement {
        if let Some(refused) = validation(call) {
            return refused;
        }
        let sets: Vec<&PolicySet> =
            std::iter::once(&self.plane).chain(own.iter().map(|set| &**set)).collect();
        judged(&sets, call, from)
    }

    fn by_policy(&self, call: &ToolCall) -> Judgement {
        judged(&[&self.plane], call, CallOrigin::default())
    }
}

/// Judges a call by one policy file, as the plane would; for whoever tries a policy out.
pub fn judge_by(file: PolicyFile, call: &ToolCall) -> Judgement {
    Gate::new(file).by_policy(call)
}

/// Where a call comes from, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOrigin<'a> {
    pub(crate) agent: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) run: Option<&'a str>,
    pub(crate) state: Option<&'a Value>,
}

fn judged(sets: &[&PolicySet], call: &ToolCall, from: CallOrigin<'_>) -> Judgement {
    let texts = policy::shell_texts(&call.parameters);
    let line = texts.iter().map(|text| shell::parse(text)).fold(ShellLine::default(), joined);
    let CallOrigin { agent, session, run, state } = from;
    let subject = Subject {
        shell: (!texts.is_empty()).then_some(&line),
        agent,
        session,
        run,
        state: state.unwrap_or(&Value::Null),
        ..Subject::new(&call.tool, &call.parameters, clock::now())
    };
    let verdict = policy::judge(sets, &subject);
    Judgement {
        rule: verdict.rule,
        matched: verdict.matched,
        ..Judgement::new(GateStage::Policy, verdict.effect, verdict.reason)
    }
}

fn names_functions(matcher: &PolicyMatcher) -> bool {
    match matcher {
        PolicyMatcher::Tool(tool) | PolicyMatcher::ToolParam { tool, .. } => tool == "step:function",
        PolicyMatcher::Pattern(pattern) => pattern.tool.starts_with("step:"),
        PolicyMatcher::Connector(_) => false,
        PolicyMatcher::RequireState { .. } => true,
    }
}

/// Gives what a step is to the gate.
pub(crate) fn step_call(blueprint: &Blueprint, agent: &Agent, input: &Value) -> ToolCall {
    let command = match &agent.spec {
        AgentSpec::Function { .. } | AgentSpec::Lua(_) => None,
        AgentSpec::Command(spec) => Some(command_words(spec, blueprint)),
        AgentSpec::Check(spec) => Some(Value::from(spec.command.to_string())),
    };
    let parameters = Value::object(
        [("agent", Value::from(agent.name.as_str())), ("input", input.clone())]
            .into_iter()
            .chain(command.map(|command| ("command", command))),
    );
    ToolCall { tool: format!("step:{}", agent.spec.kind()), parameters }
}

fn command_words(spec: &CommandSpec, blueprint: &Blueprint) -> Value {
    let template = spec.template.as_ref().and_then(|name| blueprint.templates.get(name));
    let argv = if spec.argv.is_empty() {
        template.map_or(&spec.argv, |template| &template.argv)
    } else {
        &spec.argv
    };
    Value::array(argv.iter().map(|word| Value::from(word.as_str())))
}

fn joined(mut line: ShellLine, more: ShellLine) -> ShellLine {
    line.commands.extend(more.commands);
    line.opaque.extend(more.opaque);
    line
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
    Judgement::new(decided_by, PolicyEffect::Deny, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::TokenId;
    use adjutant_model::id::Uuid;

    #[test]
    fn the_first_question_that_refuses_decides() {
        let rules = policy::read_file(
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
