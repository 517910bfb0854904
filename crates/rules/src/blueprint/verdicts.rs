//! Verdict contracts: reading them, and whether the flow's conditions look for what an agent may say.

use super::fields::{fields, optional};
use crate::document::{Cursor, Lint, LintLevel, Lints};
use adjutant_model::Value;
use adjutant_model::blueprint::{Agent, VerdictChannel, VerdictContract};
use adjutant_model::flow::{Comparison, Expr, Node, Segment, WaitUntil};
use std::collections::BTreeMap;

/// A contract has at most so many values.
const VALUES_MAX: usize = 64;
/// A value has at most so many characters.
const VALUE_MAX: usize = 128;

/// Reads an agent's `verdict`.
pub(super) fn contract(agent: &Cursor<'_>, lints: &mut Lints) -> Option<VerdictContract> {
    let at = optional(agent, "verdict")?;
    fields(&at, &["channel", "values"], &[], lints)?;
    let channel_at = at.required("channel", lints)?;
    let channel = match channel_at.string(lints)? {
        "body" => VerdictChannel::Body,
        "part" => VerdictChannel::Part,
        other => {
            let message = format!("unknown channel `{other}`");
            lints.error_with_hint(&channel_at, "unknown-channel", message, "channels: body, part");
            return None;
        }
    };
    let values_at = at.required("values", lints)?;
    let mut values: Vec<String> = Vec::new();
    for entry in values_at.elements(lints) {
        let value = entry.string(lints)?;
        if value.trim() != value || value.is_empty() || value.chars().count() > VALUE_MAX {
            let message = format!("a verdict is 1 to {VALUE_MAX} characters without blanks at its ends");
            lints.error(&entry, "invalid-verdict", message);
        } else if values.iter().any(|known| known == value) {
            lints.error(&entry, "duplicate-verdict", format!("the verdict `{value}` stands there already"));
        } else {
            values.push(value.to_owned());
        }
    }
    if values.is_empty() || values.len() > VALUES_MAX {
        lints.error(&values_at, "invalid-verdict", format!("a contract has 1 to {VALUES_MAX} values"));
        return None;
    }
    Some(VerdictContract { channel, values })
}

/// What stands at a place of the context: the contracts of all whose steps write it.
struct Written<'f> {
    out: &'f [Segment],
    channel: VerdictChannel,
    values: Vec<&'f str>,
    /// The values that some condition looks for.
    sought: Vec<&'f str>,
}

/// Compares the conditions of a flow with the contracts of the agents whose results they look at.
pub(super) fn check(flow: &Node, agents: &BTreeMap<String, Agent>, lints: &mut Lints) {
    let mut written = written(flow, agents);
    if written.is_empty() {
        return;
    }
    walk(flow, "/flow", &mut |node, pointer| {
        for (field, expr) in conditions(node) {
            look(expr, &format!("{pointer}/{field}"), &mut written, lints);
        }
    });
    for place in written.iter().filter(|place| !place.sought.is_empty()) {
        // What is not looked for falls to an `else`; more than one such value is probably forgotten.
        let left: Vec<&str> = place.values.iter().filter(|v| !place.sought.contains(v)).copied().collect();
        if left.len() > 1 {
            note(
                lints,
                LintLevel::Warning,
                "verdict-value-unhandled",
                "/flow".to_owned(),
                format!("no condition looks for the verdicts {}", left.join(", ")),
            );
        }
    }
}

/// Gives the places that only agents with a contract write, all by the same channel.
fn written<'f>(flow: &'f Node, agents: &'f BTreeMap<String, Agent>) -> Vec<Written<'f>> {
    let mut places: Vec<(&[Segment], Vec<Option<&VerdictContract>>)> = Vec::new();
    walk(flow, "/flow", &mut |node, _| {
        let Node::Step(step) = node else { return };
        let Expr::Path(out) = &step.out else { return };
        let contract = agents.get(&*step.agent).and_then(|agent| agent.verdict.as_ref());
        match places.iter_mut().find(|(place, _)| *place == &*out.segments) {
            Some((_, contracts)) => contracts.push(contract),
            None => places.push((&out.segments, vec![contract])),
        }
    });
    places
        .into_iter()
        .filter_map(|(out, contracts)| {
            let contracts: Vec<&VerdictContract> = contracts.into_iter().collect::<Option<_>>()?;
            let channel = contracts.first()?.channel;
            let is_one = contracts.iter().all(|contract| contract.channel == channel);
            let mut values: Vec<&str> = Vec::new();
            for value in contracts.iter().flat_map(|contract| &contract.values) {
                if !values.contains(&value.as_str()) {
                    values.push(value);
                }
            }
            is_one.then_some(Written { out, channel, values, sought: Vec::new() })
        })
        .collect()
}

/// Visits every node with its pointer.
fn walk<'f>(node: &'f Node, pointer: &str, visit: &mut dyn FnMut(&'f Node, &str)) {
    visit(node, pointer);
    match node {
        Node::Seq { children } => {
            for (index, child) in children.iter().enumerate() {
                walk(child, &format!("{pointer}/children/{index}"), visit);
            }
        }
        Node::Branch { then, otherwise, .. } => {
            walk(then, &format!("{pointer}/then"), visit);
            walk(otherwise, &format!("{pointer}/else"), visit);
        }
        Node::Loop { body, .. } => walk(body, &format!("{pointer}/body"), visit),
        Node::Fanout(fanout) => walk(&fanout.body, &format!("{pointer}/body"), visit),
        Node::Try { body, catch, .. } => {
            walk(body, &format!("{pointer}/body"), visit);
            walk(catch, &format!("{pointer}/catch"), visit);
        }
        Node::Step(_) | Node::Let { .. } | Node::Wait(_) | Node::Ask(_) | Node::Call(_) => {}
    }
}

/// Gives the expressions of a node that may compare, with the field that each stands in.
fn conditions(node: &Node) -> Vec<(&'static str, &Expr)> {
    match node {
        Node::Branch { cond, .. } | Node::Loop { cond, .. } => vec![("cond", cond)],
        Node::Let { value, .. } => vec![("value", value)],
        Node::Step(step) => vec![("in", &step.input)],
        Node::Call(call) => vec![("in", &call.input)],
        Node::Fanout(fanout) => std::iter::once(("items", &fanout.items))
            .chain(fanout.collect.iter().map(|c| ("collect", c)))
            .collect(),
        Node::Wait(WaitUntil::Ms(expr) | WaitUntil::Instant(expr)) => vec![("ms", expr)],
        Node::Seq { .. } | Node::Try { .. } | Node::Ask(_) => Vec::new(),
    }
}

/// Looks through an expression for comparisons with constants.
fn look<'f>(expr: &'f Expr, pointer: &str, written: &mut [Written<'f>], lints: &mut Lints) {
    match expr {
        Expr::Compare(comparison, sides) => {
            let is_equality = matches!(comparison, Comparison::Eq | Comparison::Ne);
            let compared = match &**sides {
                [Expr::Path(path), Expr::Lit(literal)] | [Expr::Lit(literal), Expr::Path(path)] => {
                    Some((path, literal)).filter(|_| is_equality)
                }
                [_, _] => None,
            };
            if let Some((path, literal)) = compared {
                compare(&path.segments, &[literal], pointer, written, lints);
            }
            look(&sides[0], &format!("{pointer}/lhs"), written, lints);
            look(&sides[1], &format!("{pointer}/rhs"), written, lints);
        }
        Expr::In { needle, haystack } => {
            if let (Expr::Path(path), Expr::Lit(Value::Array(items))) = (&**needle, &**haystack) {
                let items: Vec<&Value> = items.as_slice().iter().collect();
                compare(&path.segments, &items, pointer, written, lints);
            }
        }
        Expr::Not(arg) | Expr::Exists(arg) | Expr::Len(arg) => {
            look(arg, &format!("{pointer}/arg"), written, lints);
        }
        Expr::And(args) | Expr::Or(args) | Expr::CallExtern { args, .. } => {
            for (index, arg) in args.iter().enumerate() {
                look(arg, &format!("{pointer}/args/{index}"), written, lints);
            }
        }
        Expr::Arith(_, sides) => {
            look(&sides[0], &format!("{pointer}/lhs"), written, lints);
            look(&sides[1], &format!("{pointer}/rhs"), written, lints);
        }
        Expr::Path(_) | Expr::Lit(_) => {}
    }
}

/// Compares what a condition looks for at a place with what may stand there.
fn compare<'f>(
    path: &[Segment],
    literals: &[&'f Value],
    pointer: &str,
    written: &mut [Written<'f>],
    lints: &mut Lints,
) {
    let Some((place, rest)) = written.iter_mut().find_map(|place| {
        let rest = path.strip_prefix(place.out)?;
        Some((place, rest))
    }) else {
        return;
    };
    let (fits, right) = match place.channel {
        VerdictChannel::Body => (is(rest, &[]) || is(rest, &["out"]), "the result itself"),
        VerdictChannel::Part => (is(rest, &["parts", "verdict"]), "`.parts.verdict` of the result"),
    };
    if !fits {
        let message = format!("the condition looks in the wrong place: the verdict is {right}");
        return note(lints, LintLevel::Error, "verdict-channel-mismatch", pointer.to_owned(), message);
    }
    for literal in literals {
        match literal.as_str().filter(|literal| place.values.contains(literal)) {
            Some(value) => place.sought.push(value),
            None => {
                let message =
                    format!("{literal} is no verdict here; the agent may say {}", place.values.join(", "));
                note(lints, LintLevel::Error, "verdict-value-not-in-contract", pointer.to_owned(), message);
            }
        }
    }
}

fn is(rest: &[Segment], keys: &[&str]) -> bool {
    rest.len() == keys.len()
        && rest
            .iter()
            .zip(keys)
            .all(|(segment, key)| matches!(segment, Segment::Key(found) if **found == **key))
}

fn note(lints: &mut Lints, level: LintLevel, name: &'static str, pointer: String, message: String) {
    lints.note(Lint { level, name, pointer, message, hint: None });
}
