//! Compiled flows: a table of operations, so that a frame of the machine is a few words.
//!
//! A flow and those that its calls lead to are linked into one table. Each is a *unit*; an operation that names an
//! agent says of which unit, so that equal names never meet.

use adjutant_model::Value;
use adjutant_model::flow::{
    AskNode, CallNode, CallTarget, CtxPath, ErrFormat, Expr, FanoutNode, Node, StepNode, WaitUntil,
};
use adjutant_model::run::StepPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A flow ready to run. Linking the same flows gives the same program.
#[derive(Debug, PartialEq)]
pub struct Program {
    ops: Vec<Op>,
}

/// Which of the linked flows: 0 is the run's own.
pub type UnitId = u32;

/// A flow that is to be linked.
#[derive(Debug, Clone, Copy)]
pub struct Unit<'a> {
    /// The flow.
    pub flow: &'a Node,
    /// What a call's input goes over.
    pub default_ctx: Option<&'a Value>,
}

/// Where an operation stands in its program.
pub(super) type OpId = u32;

#[derive(Debug, PartialEq)]
pub(super) enum Op {
    Step { node: StepNode, unit: UnitId },
    Seq { children: Vec<OpId> },
    Branch { cond: Expr, then: OpId, otherwise: OpId },
    Loop { counter: Expr, cond: Expr, max: u32, body: OpId },
    Fanout { node: FanoutNode, body: OpId },
    Try { body: OpId, catch: OpId, err_at: Option<Expr>, err_format: ErrFormat },
    Let { at: CtxPath, value: Expr },
    Wait(WaitUntil),
    Ask(AskNode),
    Call { node: CallNode, callee: Option<Callee> },
}

/// What a call leads to; a call without one is an error of the run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Callee {
    pub(super) root: OpId,
    pub(super) default_ctx: Option<Value>,
}

impl Program {
    /// Compiles a flow that calls no other.
    pub fn compile(flow: &Node) -> Arc<Program> {
        Self::link(&[Unit { flow, default_ctx: None }], &BTreeMap::new())
    }

    /// Compiles the first flow with all that its calls lead to; `callees` says which unit a call means.
    ///
    /// # Panics
    /// When there is no unit at all.
    pub fn link(units: &[Unit<'_>], callees: &BTreeMap<CallTarget, UnitId>) -> Arc<Program> {
        let mut linker = Linker { units, callees, ops: Vec::new(), roots: BTreeMap::new() };
        // The root must be the last one placed, so that children exist before their parents name them.
        linker.place(units[0].flow, 0);
        Arc::new(Program { ops: linker.ops })
    }

    /// Gives the names of the agents that the steps call, each once.
    pub fn agents(&self) -> BTreeSet<&str> {
        self.ops
            .iter()
            .filter_map(|op| match op {
                Op::Step { node, .. } => Some(&*node.agent),
                Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => None,
                Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Ask(_) | Op::Call { .. } => None,
            })
            .collect()
    }

    /// Gives the agent of the step at a path, and the unit that it is of; nothing when no step stands there.
    pub fn agent_at(&self, path: &StepPath) -> Option<(UnitId, &str)> {
        let mut at = self.root();
        for segment in path.as_str().split('/').filter(|segment| *segment != ".") {
            at = self.child(at, segment)?;
        }
        match self.op(at) {
            Op::Step { node, unit } => Some((*unit, &node.agent)),
            Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => None,
            Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Ask(_) | Op::Call { .. } => None,
        }
    }

    /// Gives the child that a path's segment leads to.
    fn child(&self, at: OpId, segment: &str) -> Option<OpId> {
        let is_body = segment.starts_with("body#");
        match (self.op(at), segment) {
            (Op::Seq { children }, index) => children.get(index.parse::<usize>().ok()?).copied(),
            (Op::Branch { then, .. }, "then") => Some(*then),
            (Op::Branch { otherwise, .. }, "else") => Some(*otherwise),
            (Op::Loop { body, .. } | Op::Fanout { body, .. }, _) if is_body => Some(*body),
            (Op::Try { body, .. }, "body") => Some(*body),
            (Op::Try { catch, .. }, "catch") => Some(*catch),
            (Op::Call { callee, .. }, "call") => Some(callee.as_ref()?.root),
            (Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } | Op::Try { .. }, _) => None,
            (Op::Call { .. } | Op::Step { .. } | Op::Let { .. } | Op::Wait(_) | Op::Ask(_), _) => None,
        }
    }

    pub(super) fn root(&self) -> OpId {
        OpId::try_from(self.ops.len()).expect("documents have fewer nodes than u32 counts") - 1
    }

    pub(super) fn op(&self, id: OpId) -> &Op {
        &self.ops[id as usize]
    }
}

struct Linker<'a> {
    units: &'a [Unit<'a>],
    callees: &'a BTreeMap<CallTarget, UnitId>,
    ops: Vec<Op>,
    /// Where each callee's root was placed; nothing while it is being placed.
    roots: BTreeMap<UnitId, Option<OpId>>,
}

impl Linker<'_> {
    fn place(&mut self, node: &Node, unit: UnitId) -> OpId {
        let op = match node {
            Node::Step(node) => Op::Step { node: node.clone(), unit },
            Node::Seq { children } => {
                Op::Seq { children: children.iter().map(|child| self.place(child, unit)).collect() }
            }
            Node::Branch { cond, then, otherwise } => Op::Branch {
                cond: cond.clone(),
                then: self.place(then, unit),
                otherwise: self.place(otherwise, unit),
            },
            Node::Loop { counter, cond, max, body } => {
                let body = self.place(body, unit);
                Op::Loop { counter: counter.clone(), cond: cond.clone(), max: *max, body }
            }
            Node::Fanout(fanout) => {
                // The body is compiled on its own; the copy kept for the other fields stays without it.
                let body = self.place(&fanout.body, unit);
                let node =
                    FanoutNode { body: Box::new(Node::Seq { children: Vec::new() }), ..fanout.clone() };
                Op::Fanout { node, body }
            }
            Node::Try { body, catch, err_at, err_format } => Op::Try {
                body: self.place(body, unit),
                catch: self.place(catch, unit),
                err_at: err_at.clone(),
                err_format: *err_format,
            },
            Node::Let { at, value } => Op::Let { at: at.clone(), value: value.clone() },
            Node::Wait(until) => Op::Wait(until.clone()),
            Node::Ask(ask) => Op::Ask(ask.clone()),
            Node::Call(call) => Op::Call { node: call.clone(), callee: self.callee(call) },
        };
        self.ops.push(op);
        OpId::try_from(self.ops.len()).expect("documents have fewer nodes than u32 counts") - 1
    }

    /// Places what a call leads to, once for all calls of it; one that leads back to itself is left without.
    fn callee(&mut self, call: &CallNode) -> Option<Callee> {
        let unit = *self.callees.get(&call.target)?;
        let Unit { flow, default_ctx } = *self.units.get(unit as usize)?;
        let root = match self.roots.get(&unit) {
            Some(placed) => (*placed)?,
            None => {
                self.roots.insert(unit, None);
                let root = self.place(flow, unit);
                self.roots.insert(unit, Some(root));
                root
            }
        };
        Some(Callee { root, default_ctx: default_ctx.cloned() })
    }
}
