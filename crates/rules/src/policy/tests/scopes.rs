//! Sets of several scopes: a set can only tighten what the others say.

use super::*;
use PolicyEffect::{Allow, Ask, Deny};
use PolicyScope::{Agent, Connection, Plane, Project, Run};

fn set(scope: PolicyScope, default: PolicyEffect, effects: &[PolicyEffect]) -> PolicySet {
    let rule = |effect: &PolicyEffect| {
        let pattern = PolicyPattern { tool: "x".to_owned(), ..PolicyPattern::default() };
        let name = format!("{}-{}", scope.as_str(), effect.as_str());
        let matcher = PolicyMatcher::Pattern(pattern);
        PolicyRule { name, effect: *effect, matcher, reason: Some("because".to_owned()) }
    };
    PolicySet::new(scope, effects.iter().map(rule)).with_default(default)
}

type Row = (Vec<(PolicyScope, PolicyEffect, &'static [PolicyEffect])>, PolicyEffect, &'static str);

#[test]
fn the_strictest_scope_decides_and_a_narrower_one_only_tightens() {
    let rows: Vec<Row> = vec![
        (vec![], Allow, "-"),
        (vec![(Plane, Allow, &[])], Allow, "-"),
        (vec![(Plane, Deny, &[])], Deny, "-"),
        (vec![(Plane, Ask, &[])], Ask, "-"),
        (vec![(Plane, Deny, &[Allow])], Allow, "plane-allow"),
        (vec![(Plane, Allow, &[Allow, Ask])], Ask, "plane-ask"),
        (vec![(Plane, Allow, &[Ask, Deny, Allow])], Deny, "plane-deny"),
        (vec![(Plane, Deny, &[Ask])], Ask, "plane-ask"),
        (vec![(Plane, Allow, &[Deny]), (Connection, Allow, &[Allow])], Deny, "plane-deny"),
        (vec![(Plane, Allow, &[Ask]), (Run, Allow, &[Allow])], Ask, "plane-ask"),
        (vec![(Plane, Deny, &[]), (Agent, Allow, &[Allow])], Deny, "-"),
        (vec![(Plane, Ask, &[]), (Agent, Allow, &[Allow])], Ask, "-"),
        (vec![(Plane, Allow, &[Allow]), (Agent, Allow, &[Deny])], Deny, "agent-deny"),
        (vec![(Plane, Allow, &[Allow]), (Project, Allow, &[Ask])], Ask, "project-ask"),
        (vec![(Plane, Allow, &[Allow]), (Run, Deny, &[])], Deny, "-"),
        (vec![(Plane, Allow, &[Ask]), (Run, Allow, &[Deny])], Deny, "run-deny"),
        (vec![(Plane, Allow, &[]), (Connection, Allow, &[])], Allow, "-"),
        (vec![(Plane, Allow, &[Deny]), (Agent, Allow, &[Deny])], Deny, "plane-deny"),
    ];
    for (sets, effect, rule) in rows {
        let made: Vec<_> =
            sets.iter().map(|(scope, default, effects)| set(*scope, *default, effects)).collect();
        let verdict = judge(&made.iter().collect::<Vec<_>>(), &Subject::new("x", &Value::Null, now()));
        assert_eq!(
            (verdict.effect, verdict.rule.as_deref().unwrap_or("-")),
            (effect, rule),
            "{sets:?} {verdict:?}"
        );
        assert_eq!(verdict.matched.len(), sets.iter().map(|(_, _, effects)| effects.len()).sum::<usize>());
    }
}

#[test]
fn no_set_loosens_what_the_others_say() {
    let effects: [&[PolicyEffect]; 5] = [&[], &[Allow], &[Ask], &[Deny], &[Allow, Ask]];
    let all: Vec<_> = [Plane, Project, Agent, Run, Connection]
        .into_iter()
        .flat_map(|scope| [Allow, Ask, Deny].into_iter().map(move |default| (scope, default)))
        .flat_map(|(scope, default)| effects.iter().map(move |effects| set(scope, default, effects)))
        .collect();
    let subject = Subject::new("x", &Value::Null, now());
    for one in &all {
        let alone = judge(&[one], &subject).effect;
        for other in &all {
            let (both, turned) = (judge(&[one, other], &subject), judge(&[other, one], &subject));
            assert_eq!(both.effect, alone.max(judge(&[other], &subject).effect));
            assert_eq!(turned.effect, both.effect);
        }
    }
}

#[test]
fn a_verdict_tells_every_rule_with_its_scope_and_every_one_that_decided_in_the_reason() {
    let sets = [set(Plane, Allow, &[Allow, Deny]), set(Agent, Allow, &[Ask]), set(Run, Allow, &[Deny])];
    let verdict = judge(&sets.iter().collect::<Vec<_>>(), &Subject::new("x", &Value::Null, now()));
    let told: Vec<_> = verdict.matched.iter().map(|hit| (hit.scope, hit.effect, hit.rule.as_str())).collect();
    assert_eq!(
        told,
        [
            (Plane, Allow, "plane-allow"),
            (Plane, Deny, "plane-deny"),
            (Agent, Ask, "agent-ask"),
            (Run, Deny, "run-deny")
        ]
    );
    assert_eq!(verdict.scope, Some(Plane));
    assert_eq!(verdict.reason, "policy 'plane-deny': because; policy 'run-deny': because");
}

#[test]
fn the_scope_of_a_default_that_decided_is_told() {
    let sets = [set(Plane, Allow, &[Allow]), set(Run, Deny, &[])];
    let verdict = judge(&sets.iter().collect::<Vec<_>>(), &Subject::new("x", &Value::Null, now()));
    assert_eq!((verdict.scope, verdict.reason.as_str()), (Some(Run), "no rule allows it"));
    assert_eq!(verdict.rule, None);
}

#[test]
fn a_rule_that_was_removed_is_not_asked() {
    let mut set = set(Connection, Allow, &[Deny, Deny, Allow]);
    assert_eq!(set.remove("connection-deny"), 2);
    assert_eq!(set.remove("connection-deny"), 0);
    assert_eq!(set.rules().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["connection-allow"]);
    assert_eq!(judged(&set, "x", &Value::Null).effect, Allow);
}
