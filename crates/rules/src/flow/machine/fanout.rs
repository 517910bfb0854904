//! Fanouts: branches as threads, and the four ways to join them.

use super::frame::{Frame, FrameKind, child_path, error_value, located};
use super::thread::{Parent, Thread, ThreadId, target_path};
use super::{MoveKind, Turn};
use crate::flow::expr::EvalError;
use crate::flow::program::{Op, OpId};
use adjutant_model::Value;
use adjutant_model::flow::{FanoutNode, Join};
use adjutant_model::run::{FlowError, StepPath};
use immutable_chunkmap::map::MapM;

/// Branches share the parent's context as it was when the fanout began.
#[derive(Debug, Clone)]
pub(super) struct FanoutFrame {
    items: Value,
    /// The first item that no branch was started for.
    next: usize,
    live: MapM<usize, ThreadId>,
    settled: MapM<usize, Value>,
}

/// What the join says after a branch has settled.
enum Verdict {
    Open(FanoutFrame),
    Decided(Result<Value, FlowError>),
}

impl FanoutFrame {
    fn len(&self) -> usize {
        self.items.as_array().map_or(0, <[Value]>::len)
    }

    fn values(&self) -> Value {
        Value::array(self.settled.into_iter().map(|(_, value)| value.clone()))
    }
}

impl Turn {
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
        let fanout = FanoutFrame { items, next: 0, live: MapM::new(), settled: MapM::new() };
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
        let Some((op, mut fanout)) = self.fanout_at(thread, path) else { return };
        let program = self.state.program.clone();
        let Op::Fanout { node, body } = program.op(op) else {
            unreachable!("a fanout's frame stands on a fanout")
        };
        let running_max = node.max_parallel.map_or(usize::MAX, |n| n as usize);
        if fanout.next >= fanout.len() || fanout.live.len() >= running_max {
            return;
        }
        let index = fanout.next;
        fanout.next += 1;
        let parent = Parent { thread, path: path.clone(), index };
        let mut branch = Thread::new(self.thread(thread).ctx.clone(), Some(parent));
        let item = fanout.items.as_array().expect("it was checked on entry")[index].clone();
        let bound = target_path(&node.bind).and_then(|at| branch.write_path(at, item));

        let id = self.state.thread_next;
        self.state.thread_next += 1;
        self.state.threads.insert_cow(id, branch);
        fanout.live.insert_cow(index, id);
        self.set_top(thread, FrameKind::Fanout(fanout));
        // The branch runs until it rests before the next one starts: a race that is already won starts no more.
        self.push(thread, MoveKind::Spawn { path: path.clone() });
        let begin = match bound {
            Ok(()) => MoveKind::Enter { op: *body, path: child_path(path, format_args!("body#{index}")) },
            Err(error) => MoveKind::Raise(located(error, path)),
        };
        self.push(id, begin);
    }

    /// Gives what a branch that ended well gives to its fanout.
    pub(super) fn branch_result(
        &self,
        branch: ThreadId,
        path: &StepPath,
        parent: ThreadId,
    ) -> Result<Value, FlowError> {
        let thread = self.thread(branch);
        let Some((op, _)) = self.fanout_at(parent, path) else { return Ok(Value::Null) };
        let Op::Fanout { node, .. } = self.state.program.op(op) else {
            unreachable!("a fanout's frame stands on a fanout")
        };
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
        let Some((op, mut fanout)) = self.fanout_at(thread, path) else { return };
        let program = self.state.program.clone();
        let Op::Fanout { node, .. } = program.op(op) else {
            unreachable!("a fanout's frame stands on a fanout")
        };
        fanout.live.remove_cow(&index);
        match verdict(node, fanout.clone(), index, outcome) {
            Verdict::Open(open) => {
                self.set_top(thread, FrameKind::Fanout(open));
                self.push(thread, MoveKind::Spawn { path: path.clone() });
            }
            Verdict::Decided(result) => {
                for (_, loser) in &fanout.live {
                    self.drop_branch(*loser);
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
            let Some(thread) = self.state.threads.get(&id).cloned() else { continue };
            if let Some(frame) = thread.top() {
                match &frame.kind {
                    FrameKind::Fanout(inner) => doomed.extend(inner.live.into_iter().map(|(_, id)| *id)),
                    FrameKind::Step { .. } | FrameKind::Waiting { .. } => self.abort(&frame.path, id),
                    FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => {}
                }
            }
            self.state.threads.remove_cow(&id);
        }
    }

    /// Gives the fanout at `path` when the thread still rests on it.
    fn fanout_at(&self, thread: ThreadId, path: &StepPath) -> Option<(OpId, FanoutFrame)> {
        let frame = self.state.threads.get(&thread)?.top()?;
        match &frame.kind {
            FrameKind::Fanout(fanout) if frame.path == *path => Some((frame.op, fanout.clone())),
            FrameKind::Fanout(_) | FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => {
                None
            }
            FrameKind::Step { .. } | FrameKind::Waiting { .. } => None,
        }
    }
}

/// Decides what follows when branch `index` has settled. Pure: the caller carries it out.
fn verdict(
    node: &FanoutNode,
    mut fanout: FanoutFrame,
    index: usize,
    outcome: Result<Value, FlowError>,
) -> Verdict {
    let keep = match (node.join, outcome) {
        (Join::All, Ok(value)) => value,
        (Join::Any | Join::Race, Ok(value)) => return Verdict::Decided(Ok(value)),
        (Join::All | Join::Race, Err(error)) => return Verdict::Decided(Err(error)),
        (Join::Any, Err(error)) if fanout.settled.len() + 1 == fanout.len() => {
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
    fanout.settled.insert_cow(index, keep);
    if fanout.settled.len() == fanout.len() {
        Verdict::Decided(Ok(fanout.values()))
    } else {
        Verdict::Open(fanout)
    }
}
