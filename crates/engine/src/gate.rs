//! The gate: the fixed order in which every action is judged.
//!
//! Capability of the caller, validity of the call, policy, breaker, approval. The first that refuses decides, and
//! its reason goes into the journal. What the rules ask is answered by a person before the action goes on
//! ([`crate::approvals`]). The breaker is asked by whoever starts an agent ([`crate::breakers`]); other calls pass it.

use crate::clock;
use crate::metrics::{AskedFor, Meters};
use crate::policies::RunPolicies;
use adjutant_model::Value;
use adjutant_model::action::{Caller, Role};
use adjutant_model::blueprint::{Agent, AgentSpec, Blueprint, CommandSpec};
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, PolicyScope, ToolCall};
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

/// The rules in force everywhere.
#[derive(Debug)]
pub struct Gate {
    plane: PolicySet,
    /// Whether a rule could refuse a built-in function.
    judges_functions: bool,
    meters: Meters,
}

impl Gate {
    /// Takes the plane's policy.
    pub fn new(file: PolicyFile) -> Self {
        let judges_functions = policy::names_functions(&file);
        let PolicyFile { default, rules } = file;
        let plane = PolicySet::new(PolicyScope::Plane, rules).with_default(default);
        Gate { plane, judges_functions, meters: Meters::default() }
    }

    /// Counts what it says in these.
    pub(crate) fn with_meters(self, meters: Meters) -> Self {
        Gate { meters, ..self }
    }

    fn counted(&self, asked_for: AskedFor, judgement: Judgement) -> Judgement {
        self.meters.judged(asked_for, &judgement);
        judgement
    }

    /// Judges a tool call that an agent makes in its step: by the plane's rules, and by those of files.
    pub(crate) fn judge(
        &self,
        caller: &Caller,
        policies: &RunPolicies,
        agent: &[&str],
        call: &ToolCall,
        from: CallOrigin<'_>,
    ) -> Judgement {
        let by_policy = || judged(&self.with(policies.sets(agent).map(|set| &**set)), call, from);
        let judgement = capability(caller).or_else(|| validation(call)).unwrap_or_else(by_policy);
        self.counted(AskedFor::Tool, judgement)
    }

    /// Judges a step of a flow, before its turn starts; the plane itself is the caller.
    ///
    /// Steps are tools named `step:<kind>`; a command's words or a check's line stand in `command`, so that the same
    /// patterns hold for it and for an agent's own shell. Functions are pure and touch nothing: only sets with a rule
    /// that names them are asked about them.
    pub(crate) fn judge_step(
        &self,
        policies: &RunPolicies,
        names: &[&str],
        step: StepCall<'_>,
        from: CallOrigin<'_>,
    ) -> Judgement {
        let is_function = matches!(step.agent.spec, AgentSpec::Function { .. });
        let sets: Vec<&PolicySet> = match is_function {
            true => {
                let plane = self.judges_functions.then_some(&self.plane);
                plane.into_iter().chain(policies.function_sets(names)).collect()
            }
            false => self.with(policies.sets(names).map(|set| &**set)),
        };
        if sets.is_empty() {
            let reason = "no rule is against functions";
            let judgement = Judgement::new(GateStage::Policy, PolicyEffect::Allow, reason);
            return self.counted(AskedFor::Step, judgement);
        }
        let judgement = judged(&sets, &step.call(), from);
        let judgement = match step.asked.filter(|_| judgement.effect == PolicyEffect::Allow) {
            Some(why) => Judgement::new(GateStage::Approval, PolicyEffect::Ask, why),
            None => judgement,
        };
        self.counted(AskedFor::Step, judgement)
    }

    /// Judges an action of an outside client: by the plane's rules, and by those of files, its run and its connection,
    /// which can only tighten.
    pub(crate) fn judge_action(
        &self,
        own: &[Arc<PolicySet>],
        call: &ToolCall,
        from: CallOrigin<'_>,
    ) -> Judgement {
        let by_policy = || judged(&self.with(own.iter().map(|set| &**set)), call, from);
        self.counted(AskedFor::Action, validation(call).unwrap_or_else(by_policy))
    }

    /// Judges a check that no run makes: by the plane's rules, and by those of the project.
    pub(crate) fn judge_check(
        &self,
        policies: &RunPolicies,
        call: &ToolCall,
        from: CallOrigin<'_>,
    ) -> Judgement {
        let judgement = judged(&self.with(policies.sets(&[]).map(|set| &**set)), call, from);
        self.counted(AskedFor::Step, judgement)
    }

    fn with<'a>(&'a self, narrower: impl Iterator<Item = &'a PolicySet>) -> Vec<&'a PolicySet> {
        std::iter::once(&self.plane).chain(narrower).collect()
    }
}

/// A step that is to be judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepCall<'a> {
    pub(crate) blueprint: &'a Blueprint,
    pub(crate) agent: &'a Agent,
    pub(crate) input: &'a Value,
    /// Why a person has to approve it though the rules let it.
    pub(crate) asked: Option<&'static str>,
}

impl StepCall<'_> {
    /// Gives what the step is to the gate.
    pub(crate) fn call(&self) -> ToolCall {
        let StepCall { blueprint, agent, input, asked: _ } = self;
        let command = match &agent.spec {
            AgentSpec::Function { .. }
            | AgentSpec::Lua(_)
            | AgentSpec::Operator(_)
            | AgentSpec::Session(_) => None,
            AgentSpec::Command(spec) => Some(command_words(spec, blueprint)),
            AgentSpec::Check(spec) => Some(Value::from(spec.command.to_string())),
        };
        let parameters = Value::object(
            [("agent", Value::from(agent.name.as_str())), ("input", (*input).clone())]
                .into_iter()
                .chain(command.map(|command| ("command", command))),
        );
        ToolCall { tool: format!("step:{}", agent.spec.kind()), parameters }
    }
}

/// Judges a call by one policy file, as the plane would; for whoever tries a policy out.
pub fn judge_by(file: PolicyFile, call: &ToolCall) -> Judgement {
    judged(&[&Gate::new(file).plane], call, CallOrigin::default())
}

/// Where a call comes from, as far as it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOrigin<'a> {
    pub(crate) agent: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) project: Option<&'a str>,
    pub(crate) run: Option<&'a str>,
    /// The absolute path of the folder that it works in.
    pub(crate) workspace: Option<&'a str>,
    pub(crate) state: Option<&'a Value>,
}

fn judged(sets: &[&PolicySet], call: &ToolCall, from: CallOrigin<'_>) -> Judgement {
    let texts = policy::shell_texts(&call.parameters);
    let line = texts.iter().map(|text| shell::parse(text)).fold(ShellLine::default(), joined);
    let CallOrigin { agent, session, project, run, workspace, state } = from;
    let subject = Subject {
        shell: (!texts.is_empty()).then_some(&line),
        agent,
        session,
        project,
        run,
        workspace,
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
        Role::Worker => caller.step.is_some() || caller.of_session.is_some(),
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
        let caller = |role| Caller {
            token_id: TokenId::new(Uuid::nil()),
            role,
            step: None,
            agent_id: None,
            of_session: None,
            name: None,
        };
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
            let (none, from) = (RunPolicies::default(), CallOrigin::default());
            let judgement = gate.judge(&caller(role), &none, &[], &call(tool, command), from);
            assert_eq!((judgement.allowed, judgement.decided_by), expected, "{role:?} {tool} {command}");
        }
    }
}
