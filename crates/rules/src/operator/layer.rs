//! What stands around a step, and who does it.

use adjutant_model::blueprint::StepLayer;
use adjutant_model::operator::OperatorKind;

/// What may say an agent's kind, the first that does decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KindCascade {
    /// What the request says of this agent.
    pub of_agent: Option<OperatorKind>,
    /// What the request says of all.
    pub of_request: Option<OperatorKind>,
    /// What the agent's seat says.
    pub of_seat: Option<OperatorKind>,
    /// What the blueprint says.
    pub of_blueprint: Option<OperatorKind>,
}

/// Gives whose decisions an agent stands for.
pub fn kind(cascade: KindCascade) -> OperatorKind {
    let KindCascade { of_agent, of_request, of_seat, of_blueprint } = cascade;
    of_agent.or(of_request).or(of_seat).or(of_blueprint).unwrap_or(OperatorKind::Automate)
}

/// What decides about the layers of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepFacts<'a> {
    /// The layers that the blueprint has, from the inside out.
    pub layers: &'a [StepLayer],
    /// The kind of the step's agent.
    pub kind: OperatorKind,
    /// Whether the run has somebody who hears of its steps.
    pub hook: bool,
    /// Whether it has somebody to ask.
    pub bridge: bool,
    /// Whether it has somebody whom steps are delegated to.
    pub backend: bool,
    /// The seat that does the step, when its agent is an operator.
    pub seat: Option<&'a str>,
}

/// What is done for a step, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepPlan {
    /// Whether an operator must let it begin.
    pub hook_before: bool,
    /// Who does it.
    pub performer: Performer,
    /// What follows.
    pub after: Vec<After>,
}

/// Who does a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performer {
    /// Its agent, here.
    Agent,
    /// Whoever holds this seat.
    Seat(String),
}

/// What follows when a step was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// An operator is told.
    HookAfter,
    /// An operator is asked when it did not go well.
    Escalate,
}

impl StepPlan {
    /// Tells whether the step's agent does it and nobody else has to do with it.
    pub fn is_plain(&self) -> bool {
        !self.hook_before && self.performer == Performer::Agent && self.after.is_empty()
    }
}

/// Gives what is done for a step.
pub fn plan(facts: StepFacts<'_>) -> StepPlan {
    let is_led = match facts.kind {
        OperatorKind::MainAi | OperatorKind::Composite => true,
        OperatorKind::Automate => false,
    };
    let own = facts.seat.map_or(Performer::Agent, |seat| Performer::Seat(seat.to_owned()));
    let mut plan = StepPlan { hook_before: false, performer: own, after: Vec::new() };
    for layer in facts.layers {
        match layer {
            StepLayer::MainAi if is_led && facts.hook => {
                plan.hook_before = true;
                plan.after.push(After::HookAfter);
            }
            StepLayer::SeniorEscalation if facts.bridge => plan.after.push(After::Escalate),
            StepLayer::OperatorDelegate if is_led && facts.backend => {
                plan.performer = Performer::Seat(adjutant_model::operator::BACKEND_SEAT.to_owned());
            }
            StepLayer::MainAi | StepLayer::SeniorEscalation | StepLayer::OperatorDelegate => {}
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use OperatorKind::{Automate, Composite, MainAi};

    #[test]
    fn the_first_that_says_a_kind_decides() {
        let all = KindCascade {
            of_agent: Some(MainAi),
            of_request: Some(Composite),
            of_seat: Some(Automate),
            of_blueprint: Some(MainAi),
        };
        for (cascade, expected) in [
            (all, MainAi),
            (KindCascade { of_agent: None, ..all }, Composite),
            (KindCascade { of_agent: None, of_request: None, ..all }, Automate),
            (KindCascade { of_blueprint: all.of_blueprint, ..KindCascade::default() }, MainAi),
            (KindCascade::default(), Automate),
        ] {
            assert_eq!(kind(cascade), expected, "{cascade:?}");
        }
    }

    #[test]
    fn a_layer_holds_for_its_kinds_when_the_run_has_somebody_for_it() {
        let all = StepFacts {
            layers: &StepLayer::ALL,
            kind: MainAi,
            hook: true,
            bridge: true,
            backend: true,
            seat: None,
        };
        let backend = || Performer::Seat("$backend".to_owned());
        let both = vec![After::HookAfter, After::Escalate];
        let swapped = [StepLayer::SeniorEscalation, StepLayer::MainAi];
        for (facts, expected) in [
            (all, (true, backend(), both.clone())),
            (StepFacts { kind: Composite, ..all }, (true, backend(), both.clone())),
            (StepFacts { kind: Automate, ..all }, (false, Performer::Agent, vec![After::Escalate])),
            (StepFacts { hook: false, ..all }, (false, backend(), vec![After::Escalate])),
            (StepFacts { bridge: false, ..all }, (true, backend(), vec![After::HookAfter])),
            (StepFacts { backend: false, ..all }, (true, Performer::Agent, both)),
            (StepFacts { layers: &[], ..all }, (false, Performer::Agent, vec![])),
            (StepFacts { layers: &[], seat: Some("a"), ..all }, (false, Performer::Seat("a".into()), vec![])),
            (
                StepFacts { seat: Some("a"), ..all },
                (true, backend(), vec![After::HookAfter, After::Escalate]),
            ),
            (
                StepFacts { layers: &swapped, backend: false, ..all },
                (true, Performer::Agent, vec![After::Escalate, After::HookAfter]),
            ),
        ] {
            let StepPlan { hook_before, performer, after } = plan(facts);
            assert_eq!((hook_before, performer, after), expected, "{facts:?}");
        }
    }
}
