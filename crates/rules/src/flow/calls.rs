//! Which blueprints call which, and whether that comes to an end.

use adjutant_model::flow::{CallTarget, Node};

/// A call may lead to a call, and so on, so often.
pub const CALL_DEPTH_MAX: usize = 8;

/// A blueprint that runs, or is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallUnit<'a> {
    /// Its id, for messages.
    pub id: &'a str,
    /// The units that it calls.
    pub calls: Vec<usize>,
}

/// Why calls cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallRefusal {
    /// A blueprint calls itself, on whatever way.
    #[error("a blueprint may not call itself: {}", .0.join(" → "))]
    Cycle(Vec<String>),
    /// Calls nest too deep.
    #[error("calls nest deeper than {CALL_DEPTH_MAX}: {}", .0.join(" → "))]
    TooDeep(Vec<String>),
}

/// Gives the calls of a flow, each with the RFC 6901 pointer to it in its blueprint.
pub fn calls(flow: &Node) -> Vec<(String, &CallTarget)> {
    let mut found = Vec::new();
    visit(flow, "/flow", &mut |pointer, node| {
        if let Node::Call(call) = node {
            found.push((pointer.to_owned(), &call.target));
        }
    });
    found
}

/// Shows every node of a flow with the pointer to it, parents first.
pub(crate) fn visit<'f>(node: &'f Node, pointer: &str, seen: &mut impl FnMut(&str, &'f Node)) {
    seen(pointer, node);
    match node {
        Node::Seq { children } => {
            for (index, child) in children.iter().enumerate() {
                visit(child, &format!("{pointer}/children/{index}"), seen);
            }
        }
        Node::Branch { then, otherwise, .. } => {
            visit(then, &format!("{pointer}/then"), seen);
            visit(otherwise, &format!("{pointer}/else"), seen);
        }
        Node::Loop { body, .. } => visit(body, &format!("{pointer}/body"), seen),
        Node::Fanout(fanout) => visit(&fanout.body, &format!("{pointer}/body"), seen),
        Node::Try { body, catch, .. } => {
            visit(body, &format!("{pointer}/body"), seen);
            visit(catch, &format!("{pointer}/catch"), seen);
        }
        Node::Step(_) | Node::Let { .. } | Node::Wait(_) | Node::Ask(_) | Node::Call(_) => {}
    }
}

/// Looks whether the calls of the first unit come to an end, and soon enough.
///
/// # Errors
/// [`CallRefusal`] with the ids on the way.
pub fn check(units: &[CallUnit<'_>]) -> Result<(), CallRefusal> {
    let mut walk = Walk { units, deepest: vec![None; units.len()], way: Vec::new() };
    let depth = walk.depth(0)?;
    if depth <= CALL_DEPTH_MAX { Ok(()) } else { Err(CallRefusal::TooDeep(walk.deepest_way())) }
}

struct Walk<'a> {
    units: &'a [CallUnit<'a>],
    /// How deep the calls of a unit go, and by which of them, once it is known.
    deepest: Vec<Option<(usize, Option<usize>)>>,
    /// The units that are being looked at, from the first.
    way: Vec<usize>,
}

impl Walk<'_> {
    fn depth(&mut self, unit: usize) -> Result<usize, CallRefusal> {
        if let Some((depth, _)) = self.deepest[unit] {
            return Ok(depth);
        }
        if let Some(from) = self.way.iter().position(|at| *at == unit) {
            return Err(CallRefusal::Cycle(self.ids(self.way[from..].iter().chain([&unit]))));
        }
        self.way.push(unit);
        let mut deepest = (0, None);
        for callee in &self.units[unit].calls {
            let depth = self.depth(*callee)? + 1;
            if depth > deepest.0 {
                deepest = (depth, Some(*callee));
            }
        }
        self.way.pop();
        self.deepest[unit] = Some(deepest);
        Ok(deepest.0)
    }

    fn deepest_way(&self) -> Vec<String> {
        let next = |unit: &usize| self.deepest[*unit].and_then(|(_, callee)| callee);
        self.ids(std::iter::successors(Some(0), next).collect::<Vec<_>>().iter())
    }

    fn ids<'u>(&self, units: impl Iterator<Item = &'u usize>) -> Vec<String> {
        units.map(|unit| self.units[*unit].id.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(units: &[(&str, &[usize])]) -> String {
        let units: Vec<_> = units.iter().map(|(id, calls)| CallUnit { id, calls: calls.to_vec() }).collect();
        check(&units).map_or_else(|refusal| refusal.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn calls_that_lead_back_or_too_deep_are_told_with_their_way() {
        assert_eq!(told(&[("a", &[])]), "fine");
        assert_eq!(told(&[("a", &[1, 2]), ("b", &[2]), ("c", &[])]), "fine");
        assert_eq!(
            told(&[("a", &[1]), ("b", &[2]), ("c", &[1])]),
            "a blueprint may not call itself: b → c → b"
        );
        assert_eq!(told(&[("a", &[0])]), "a blueprint may not call itself: a → a");
        let ids = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        let next: Vec<[usize; 1]> = (1..=ids.len()).map(|n| [n]).collect();
        let chain = |len: usize| -> Vec<(&str, &[usize])> {
            (0..len).map(|n| (ids[n], if n + 1 < len { &next[n][..] } else { &[][..] })).collect()
        };
        assert_eq!(told(&chain(9)), "fine");
        assert_eq!(told(&chain(10)), "calls nest deeper than 8: a → b → c → d → e → f → g → h → i → j");
    }
}
