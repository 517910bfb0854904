//! Fanouts: branches as threads, and the four ways to join them.

use super::frame::{Frame, FrameKind, child_path, error_value, located};
use super::thread::{Parent, Thread, ThreadId, target_path};
use super::{MoveKind, Turn};
use crate::flow::expr::EvalError;
use crate::flow::program::{Op, OpId};
use adjutant_model::Value;
use adjutant_model::flow::{FanoutNode, Join};
use adjutant_model::run::{FlowError, StepPath};
use std::collections::BTreeMap;

/// Branches share the parent's context as it was when the fanout began.
#[derive(Debug, Clone)]
pub(super) struct FanoutFrame {
    items: Value,
    /// The first item that no branch was started for.
    next: usize,
    live: BTreeMap<usize, ThreadId>,
    settled: BTreeMap<usize, Value>,
}

/// What the join says after a branch has settled.
enum Verdict {
    Open,
    Decided(Result<Value, FlowError>),
}

impl FanoutFrame {
    fn len(&self) -> usize {
        self.items.as_array().map_or(0, <[Value]>::len)
    }

    fn values(&self) -> Value {
        Value::array(self.settled.values().cloned())
    }

    /// Takes the next item for a new branch; nothing when there is none, or when enough branches run.
    fn start(&mut self, branch: ThreadId, max_parallel: Option<u32>) -> Option<(usize, Value)> {
        let running_max = max_parallel.map_or(usize::MAX, |max| max as usize);
        let item = self.items.as_array()?.get(self.next)?.clone();
        if self.live.len() >= running_max {
            return None;
        }
        let index = self.next;
        self.next += 1;
        self.live.insert(index, branch);
        Some((index, item))
    }

    /// Notes how branch `index` ended, and decides what follows.
    fn settle(&mut self, node: &FanoutNode, index: usize, outcome: Result<Value, FlowError>) -> Verdict {
        let keep = match (node.join, outcome) {
            (Join::All, Ok(value)) => value,
            (Join::Any | Join::Race, Ok(value)) => return Verdict::Decided(Ok(value)),
            (Join::All | Join::Race, Err(error)) => return Verdict::Decided(Err(error)),
            (Join::Any, Err(error)) if self.settled.len() + 1 == self.len() => {
                return Verdict::Decided(Err(error));
            }
            (Join::Any, Err(_)) => Value::Null,
            (Join::AllSettled, Ok(value)) => {
                Value::object([("status", Value::from("fulfilled")), ("value", value)])
            }
            (Join::AllSettled, Err(error)) => Value::object([
                ("status", Value::from("rejected")),
                ("reason", error_value(&error, node.err_format)),
            ]),
        };
        self.settled.insert(index, keep);
        if self.settled.len() == self.len() { Verdict::Decided(Ok(self.values())) } else { Verdict::Open }
    }
}

impl Turn<'_> {
    pub(super) fn enter_fanout(&mut self, thread: ThreadId, op: OpId, path: StepPath, node: &FanoutNode) {
        let items = match self.evaluate(thread, &node.items) {
            Ok(items) => items,
            Err(error) => return self.raise(thread, &path, error),
        };
        let Some(count) = items.as_array().map(<[Value]>::len) else {
            let message = format!("items must be an array, not {}", items.type_name());
            return self.raise(thread, &path, EvalError::type_error("fanout.items", message));
        };
        if count == 0 {
            return self.joined_nothing(thread, &path, node);
        }
        let fanout = FanoutFrame { items, next: 0, live: BTreeMap::new(), settled: BTreeMap::new() };
        self.push_frame(thread, Frame { op, path: path.clone(), kind: FrameKind::Fanout(fanout) });
        self.push(thread, MoveKind::Spawn { path });
    }

    fn joined_nothing(&mut self, thread: ThreadId, path: &StepPath, node: &FanoutNode) {
        let op = match node.join {
            Join::All | Join::AllSettled => {
                return match self.write(thread, &node.out, Value::array([])) {
                    Ok(()) => self.push(thread, MoveKind::Return),
                    Err(error) => self.raise(thread, path, error),
                };
            }
            Join::Any => "fanout.any",
            Join::Race => "fanout.race",
        };
        self.raise(thread, path, EvalError::type_error(op, "there is no item"));
    }

    /// Starts one more branch, and asks to be called again while another may start.
    pub(super) fn spawn(&mut self, thread: ThreadId, path: &StepPath) {
        let program = self.state.program.clone();
        let branch = self.state.thread_next;
        let Some((op, fanout)) = self.fanout_at(thread, path) else { return };
        let Op::Fanout { node, body } = program.op(op) else {
            unreachable!("a fanout's frame stands on a fanout")
        };
        let Some((index, item)) = fanout.start(branch, node.max_parallel) else { return };
        self.state.thread_next += 1;
        let parent = Parent { thread, path: path.clone(), index };
        let mut begun = Thread::new(self.thread(thread).ctx.clone(), Some(parent));
        let bound = target_path(&node.bind).and_then(|at| begun.write_path(at, item));
        self.state.threads.insert(branch, begun);
        // The branch runs until it rests before the next one starts: a race that is already won starts no more.
        self.push(thread, MoveKind::Spawn { path: path.clone() });
        let begin = match bound {
            Ok(()) => MoveKind::Enter { op: *body, path: child_path(path, format_args!("body#{index}")) },
            Err(error) => MoveKind::Raise(located(error, path)),
        };
        self.push(branch, begin);
    }

    /// Gives what a branch that ended well gives to its fanout.
    pub(super) fn branch_result(
        &self,
        branch: ThreadId,
        path: &StepPath,
        parent: ThreadId,
    ) -> Result<Value, FlowError> {
        let fanout =
            self.state.threads.get(&parent).and_then(Thread::top).filter(|frame| frame.path == *path);
        let node = fanout.map(|frame| self.state.program.op(frame.op));
        let Some(Op::Fanout { node, .. }) = node else { return Ok(Value::Null) };
        let thread = self.thread(branch);
        match &node.collect {
            None => Ok(thread.ctx.clone()),
            Some(expr) => thread.evaluate(expr).map_err(|error| located(error, path)),
        }
    }

    pub(super) fn join(
        &mut self,
        thread: ThreadId,
        path: &StepPath,
        index: usize,
        outcome: Result<Value, FlowError>,
    ) {
        let program = self.state.program.clone();
        let Some((op, fanout)) = self.fanout_at(thread, path) else { return };
        let Op::Fanout { node, .. } = program.op(op) else {
            unreachable!("a fanout's frame stands on a fanout")
        };
        fanout.live.remove(&index);
        match fanout.settle(node, index, outcome) {
            Verdict::Open => self.push(thread, MoveKind::Spawn { path: path.clone() }),
            Verdict::Decided(result) => {
                for loser in std::mem::take(&mut fanout.live).into_values() {
                    self.drop_branch(loser);
                }
                self.pop(thread);
                let written = result.and_then(|value| {
                    self.write(thread, &node.out, value).map_err(|error| located(error, path))
                });
                self.push(thread, written.map_or_else(MoveKind::Raise, |()| MoveKind::Return));
            }
        }
    }

    /// Aborts everything that a branch and the branches below it have in flight.
    fn drop_branch(&mut self, branch: ThreadId) {
        let mut doomed = vec![branch];
        while let Some(id) = doomed.pop() {
            let Some(mut thread) = self.state.threads.remove(&id) else { continue };
            let Some(frame) = thread.pop() else { continue };
            match frame.kind {
                FrameKind::Fanout(inner) => doomed.extend(inner.live.into_values()),
                FrameKind::Step { .. } | FrameKind::Waiting { .. } => self.abort(&frame),
                FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => {}
                FrameKind::Call { .. } => {}
            }
        }
    }

    /// Gives the fanout at `path` when the thread still rests on it.
    fn fanout_at(&mut self, thread: ThreadId, path: &StepPath) -> Option<(OpId, &mut FanoutFrame)> {
        let frame = self.state.threads.get_mut(&thread)?.top_mut()?;
        match &mut frame.kind {
            FrameKind::Fanout(fanout) if frame.path == *path => Some((frame.op, fanout)),
            FrameKind::Fanout(_) | FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => {
                None
            }
            FrameKind::Call { .. } | FrameKind::Step { .. } | FrameKind::Waiting { .. } => None,
        }
    }
}
