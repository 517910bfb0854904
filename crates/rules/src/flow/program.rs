//! Compiled flows: a table of operations, so that a frame of the machine is a few words.

use adjutant_model::flow::{AskNode, CtxPath, ErrFormat, Expr, FanoutNode, Node, StepNode, WaitUntil};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A flow ready to run. Compiling the same flow gives the same program.
#[derive(Debug, PartialEq)]
pub struct Program {
    ops: Vec<Op>,
}

/// Where an operation stands in its program.
pub(super) type OpId = u32;

#[derive(Debug, PartialEq)]
pub(super) enum Op {
    Step(StepNode),
    Seq { children: Vec<OpId> },
    Branch { cond: Expr, then: OpId, otherwise: OpId },
    Loop { counter: Expr, cond: Expr, max: u32, body: OpId },
    Fanout { node: FanoutNode, body: OpId },
    Try { body: OpId, catch: OpId, err_at: Option<Expr>, err_format: ErrFormat },
    Let { at: CtxPath, value: Expr },
    Wait(WaitUntil),
    Ask(AskNode),
}

impl Program {
    /// Compiles a flow.
    pub fn compile(flow: &Node) -> Arc<Program> {
        let mut ops = Vec::new();
        // The root must be the last one placed, so that children exist before their parents name them.
        place(flow, &mut ops);
        Arc::new(Program { ops })
    }

    /// Gives the names of the agents that the steps call, each once.
    pub fn agents(&self) -> BTreeSet<&str> {
        self.ops
            .iter()
            .filter_map(|op| match op {
                Op::Step(step) => Some(&*step.agent),
                Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => None,
                Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Ask(_) => None,
            })
            .collect()
    }

    pub(super) fn root(&self) -> OpId {
        OpId::try_from(self.ops.len()).expect("a document has fewer nodes than u32 counts") - 1
    }

    pub(super) fn op(&self, id: OpId) -> &Op {
        &self.ops[id as usize]
    }
}

fn place(node: &Node, ops: &mut Vec<Op>) -> OpId {
    let op = match node {
        Node::Step(step) => Op::Step(step.clone()),
        Node::Seq { children } => {
            Op::Seq { children: children.iter().map(|child| place(child, ops)).collect() }
        }
        Node::Branch { cond, then, otherwise } => {
            Op::Branch { cond: cond.clone(), then: place(then, ops), otherwise: place(otherwise, ops) }
        }
        Node::Loop { counter, cond, max, body } => {
            Op::Loop { counter: counter.clone(), cond: cond.clone(), max: *max, body: place(body, ops) }
        }
        Node::Fanout(fanout) => {
            // The body is compiled on its own; the copy kept for the other fields stays without it.
            let body = place(&fanout.body, ops);
            let node = FanoutNode { body: Box::new(Node::Seq { children: Vec::new() }), ..fanout.clone() };
            Op::Fanout { node, body }
        }
        Node::Try { body, catch, err_at, err_format } => Op::Try {
            body: place(body, ops),
            catch: place(catch, ops),
            err_at: err_at.clone(),
            err_format: *err_format,
        },
        Node::Let { at, value } => Op::Let { at: at.clone(), value: value.clone() },
        Node::Wait(until) => Op::Wait(until.clone()),
        Node::Ask(ask) => Op::Ask(ask.clone()),
    };
    ops.push(op);
    OpId::try_from(ops.len()).expect("a document has fewer nodes than u32 counts") - 1
}
