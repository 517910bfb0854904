//! Frames: what a thread is in the middle of, and the moves of every node but the fanout.

use super::fanout::FanoutFrame;
use super::thread::{Thread, ThreadId};
use super::{FlowEffect, FlowEnd, MoveKind, ROOT, Turn};
use crate::approval::ASK;
use crate::flow::context::first_context;
use crate::flow::expr::{self, EvalError};
use crate::flow::program::{Callee, Op, OpId, Program};
use adjutant_model::flow::{AskNode, CallNode, ErrFormat, Retry, StepNode, WaitUntil};
use adjutant_model::run::{ErrorClass, FlowError, FlowErrorCode, StepFailure, StepPath};
use adjutant_model::{Timestamp, Value};
use std::sync::Arc;

/// A pause between two attempts is never longer than one hour.
const BACKOFF_MS_MAX: u64 = 3_600_000;

#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) op: OpId,
    pub(super) path: StepPath,
    pub(super) kind: FrameKind,
}

#[derive(Debug, Clone)]
pub(super) enum FrameKind {
    Seq {
        next: usize,
    },
    Loop {
        done: u32,
    },
    Try {
        saved: Value,
    },
    Fanout(FanoutFrame),
    /// The thread works on the callee's context.
    Call {
        caller_ctx: Value,
    },
    /// A step, or a question, which has one attempt.
    Step {
        attempt: u32,
        input: Value,
        phase: Phase,
    },
    Waiting {
        due_at: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    InFlight,
    BackingOff { due_at: Timestamp },
}

impl Frame {
    /// Gives the effect whose answer the frame rests on.
    pub(super) fn in_flight(&self, program: &Program, attempt: u32, input: &Value) -> FlowEffect {
        let path = self.path.clone();
        match program.op(self.op) {
            Op::Step { node: StepNode { agent, timeout_ms, .. }, unit } => FlowEffect::Dispatch {
                path,
                attempt,
                agent: agent.clone(),
                unit: *unit,
                input: input.clone(),
                timeout_ms: *timeout_ms,
            },
            Op::Ask(AskNode { timeout_ms, .. }) => {
                FlowEffect::Ask { path, attempt, parameters: input.clone(), timeout_ms: *timeout_ms }
            }
            Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => not_a_step(),
            Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Call { .. } => not_a_step(),
        }
    }
}

/// Gives the parameters of the approval that a question is.
fn question_of(question: Value, options: &[Arc<str>]) -> Value {
    let options = (!options.is_empty())
        .then(|| ("options", Value::array(options.iter().map(|option| Value::from(&**option)))));
    Value::object([("question", question)].into_iter().chain(options))
}

fn not_a_step() -> ! {
    unreachable!("a step's frame stands on a step or a question")
}

/// Gives the path of a child; the root's own `.` is not part of it.
pub(super) fn child_path(parent: &StepPath, segment: std::fmt::Arguments<'_>) -> StepPath {
    match parent.as_str() {
        "." => StepPath::new(segment.to_string()),
        parent => StepPath::new(format!("{parent}/{segment}")),
    }
}

impl Turn<'_> {
    /// Goes into a node. A flat match over the nodes: each arm is one node's beginning.
    pub(super) fn enter(&mut self, thread: ThreadId, op: OpId, path: StepPath) {
        let program = self.state.program.clone();
        match program.op(op) {
            Op::Step { node: step, .. } => match self.evaluate(thread, &step.input) {
                Ok(input) => self.enter_step(thread, op, path, input),
                Err(error) => self.raise(thread, &path, error),
            },
            Op::Ask(ask) => match self.evaluate(thread, &ask.question) {
                Ok(question) => self.enter_step(thread, op, path, question_of(question, &ask.options)),
                Err(error) => self.raise(thread, &path, error),
            },
            Op::Call { node, callee } => match self.callee(thread, node, callee.as_ref()) {
                Ok((root, ctx)) => {
                    let child = child_path(&path, format_args!("call"));
                    let caller_ctx = self.exchange_ctx(thread, ctx);
                    self.push_frame(thread, Frame { op, path, kind: FrameKind::Call { caller_ctx } });
                    self.push(thread, MoveKind::Enter { op: root, path: child });
                }
                Err(error) => self.raise(thread, &path, error),
            },
            Op::Seq { children } => match children.first() {
                None => self.push(thread, MoveKind::Return),
                Some(first) => {
                    let child = child_path(&path, format_args!("0"));
                    self.push_frame(thread, Frame { op, path, kind: FrameKind::Seq { next: 1 } });
                    self.push(thread, MoveKind::Enter { op: *first, path: child });
                }
            },
            Op::Branch { cond, then, otherwise } => match self.evaluate(thread, cond) {
                Ok(Value::Bool(true)) => self.push(
                    thread,
                    MoveKind::Enter { op: *then, path: child_path(&path, format_args!("then")) },
                ),
                Ok(Value::Bool(false)) => {
                    self.push(
                        thread,
                        MoveKind::Enter { op: *otherwise, path: child_path(&path, format_args!("else")) },
                    );
                }
                Ok(other) => {
                    let message =
                        format!("a branch's condition must be true or false, not {}", other.type_name());
                    self.raise(thread, &path, EvalError::new(FlowErrorCode::NonBoolCond, message));
                }
                Err(error) => self.raise(thread, &path, error),
            },
            Op::Loop { counter, .. } => match self.write(thread, counter, Value::from(0_u64)) {
                Ok(()) => {
                    self.push_frame(thread, Frame { op, path, kind: FrameKind::Loop { done: 0 } });
                    self.next_iteration(thread, 0);
                }
                Err(error) => self.raise(thread, &path, error),
            },
            Op::Fanout { node, .. } => self.enter_fanout(thread, op, path, node),
            Op::Try { body, .. } => {
                let child = child_path(&path, format_args!("body"));
                let saved = self.thread(thread).ctx.clone();
                self.push_frame(thread, Frame { op, path, kind: FrameKind::Try { saved } });
                self.push(thread, MoveKind::Enter { op: *body, path: child });
            }
            Op::Let { at, value } => {
                let written = self.evaluate(thread, value).and_then(|value| {
                    let Some(thread) = self.state.threads.get_mut(&thread) else { return Ok(()) };
                    thread.write_path(at, value)
                });
                match written {
                    Ok(()) => self.push(thread, MoveKind::Return),
                    Err(error) => self.raise(thread, &path, error),
                }
            }
            Op::Wait(until) => match self.due_at(thread, until) {
                Ok(due_at) if due_at <= self.now => self.push(thread, MoveKind::Return),
                Ok(due_at) => {
                    self.effects.push(FlowEffect::SetTimer { path: path.clone(), attempt: 1, due_at });
                    self.rest(thread, Frame { op, path, kind: FrameKind::Waiting { due_at } });
                }
                Err(error) => self.raise(thread, &path, error),
            },
        }
    }

    fn enter_step(&mut self, thread: ThreadId, op: OpId, path: StepPath, input: Value) {
        let kind = FrameKind::Step { attempt: 1, input: input.clone(), phase: Phase::InFlight };
        let frame = Frame { op, path, kind };
        self.effects.push(frame.in_flight(&self.state.program, 1, &input));
        self.rest(thread, frame);
    }

    /// Gives where a call leads, and the context that the callee begins with.
    fn callee(
        &self,
        thread: ThreadId,
        call: &CallNode,
        callee: Option<&Callee>,
    ) -> Result<(OpId, Value), EvalError> {
        let Some(Callee { root, default_ctx }) = callee else {
            let message = format!("the blueprint `{}` is not linked to this run", call.target.blueprint);
            return Err(EvalError::new(FlowErrorCode::ExternError, message));
        };
        let input = self.evaluate(thread, &call.input)?;
        let ctx = first_context(default_ctx.as_ref(), &input).ok_or_else(|| {
            let message = format!(
                "the input must be an object, because the blueprint has a `default_init_ctx`, and is {}",
                input.type_name()
            );
            EvalError::type_error("call.in", message)
        })?;
        Ok((*root, ctx))
    }

    /// Lets a thread work on another context; gives the one before.
    fn exchange_ctx(&mut self, thread: ThreadId, ctx: Value) -> Value {
        let thread = self.state.threads.get_mut(&thread);
        thread.map_or(Value::Null, |thread| std::mem::replace(&mut thread.ctx, ctx))
    }

    fn due_at(&self, thread: ThreadId, until: &WaitUntil) -> Result<Timestamp, EvalError> {
        match until {
            WaitUntil::Ms(expr) => match self.evaluate(thread, expr)? {
                Value::Number(n) if n.as_f64().is_some_and(|ms| (0.0..=4e12).contains(&ms)) => {
                    Ok(self.now.plus_ms(n.as_f64().unwrap_or(0.0).ceil() as u64))
                }
                other => Err(EvalError::type_error(
                    "wait.ms",
                    format!("milliseconds from 0 are needed, not {other}"),
                )),
            },
            WaitUntil::Instant(expr) => match self.evaluate(thread, expr)? {
                Value::String(text) => {
                    Timestamp::parse(&text).map_err(|e| EvalError::type_error("wait.until", e.to_string()))
                }
                other => Err(EvalError::type_error(
                    "wait.until",
                    format!("an RFC 3339 instant is needed, not {other}"),
                )),
            },
        }
    }

    /// A node has ended well: its parent goes on.
    pub(super) fn returned(&mut self, thread: ThreadId) {
        let Some(frame) = self.thread(thread).top().cloned() else { return self.thread_done(thread) };
        match frame.kind {
            FrameKind::Seq { next } => {
                let program = self.state.program.clone();
                let Op::Seq { children } = program.op(frame.op) else {
                    unreachable!("a seq's frame stands on a seq")
                };
                if let Some(child) = children.get(next) {
                    self.set_top(thread, FrameKind::Seq { next: next + 1 });
                    let path = child_path(&frame.path, format_args!("{next}"));
                    self.push(thread, MoveKind::Enter { op: *child, path });
                } else {
                    self.pop(thread);
                    self.push(thread, MoveKind::Return);
                }
            }
            FrameKind::Loop { done } => {
                let done = done + 1;
                let program = self.state.program.clone();
                let Op::Loop { counter, .. } = program.op(frame.op) else {
                    unreachable!("a loop's frame stands on a loop")
                };
                match self.write(thread, counter, Value::from(u64::from(done))) {
                    Ok(()) => {
                        self.set_top(thread, FrameKind::Loop { done });
                        self.next_iteration(thread, done);
                    }
                    Err(error) => self.raise(thread, &frame.path, error),
                }
            }
            FrameKind::Try { .. } => {
                self.pop(thread);
                self.push(thread, MoveKind::Return);
            }
            FrameKind::Call { caller_ctx } => {
                self.pop(thread);
                let program = self.state.program.clone();
                let Op::Call { node, .. } = program.op(frame.op) else {
                    unreachable!("a call's frame stands on a call")
                };
                let result = self.exchange_ctx(thread, caller_ctx);
                match self.write(thread, &node.out, result) {
                    Ok(()) => self.push(thread, MoveKind::Return),
                    Err(error) => self.raise(thread, &frame.path, error),
                }
            }
            FrameKind::Fanout(_) | FrameKind::Step { .. } | FrameKind::Waiting { .. } => {
                unreachable!("these frames are popped before their thread returns")
            }
        }
    }

    fn next_iteration(&mut self, thread: ThreadId, done: u32) {
        let frame = self.thread(thread).top().expect("the loop's frame was pushed").clone();
        let program = self.state.program.clone();
        let Op::Loop { cond, max, body, .. } = program.op(frame.op) else {
            unreachable!("a loop's frame stands on a loop")
        };
        let goes_on =
            if done < *max { self.evaluate(thread, cond).map(|v| expr::truthy(&v)) } else { Ok(false) };
        match goes_on {
            Ok(true) => {
                let path = child_path(&frame.path, format_args!("body#{done}"));
                self.push(thread, MoveKind::Enter { op: *body, path });
            }
            Ok(false) => {
                self.pop(thread);
                self.push(thread, MoveKind::Return);
            }
            Err(error) => self.raise(thread, &frame.path, error),
        }
    }

    /// An error goes up: frames are dropped until a `try` catches it or the thread ends.
    pub(super) fn raised(&mut self, thread: ThreadId, error: FlowError) {
        while let Some(frame) = self.pop(thread) {
            if let FrameKind::Call { caller_ctx } = &frame.kind {
                drop(self.exchange_ctx(thread, caller_ctx.clone()));
            }
            let FrameKind::Try { saved } = &frame.kind else { continue };
            let program = self.state.program.clone();
            let Op::Try { catch, err_at, err_format, .. } = program.op(frame.op) else {
                unreachable!("a try's frame stands on a try")
            };
            if let Some(thread) = self.state.threads.get_mut(&thread) {
                thread.ctx = saved.clone();
            }
            let noted =
                err_at.as_ref().map_or(Ok(()), |at| self.write(thread, at, error_value(&error, *err_format)));
            match noted {
                Ok(()) => {
                    let path = child_path(&frame.path, format_args!("catch"));
                    return self.push(thread, MoveKind::Enter { op: *catch, path });
                }
                Err(error) => return self.raise(thread, &frame.path, error),
            }
        }
        self.thread_failed(thread, error);
    }

    pub(super) fn step_done(&mut self, thread: ThreadId, value: Value) {
        let frame = self.pop(thread).expect("a resting thread has a frame");
        self.state.open.remove(&frame.path);
        let program = self.state.program.clone();
        let out = match program.op(frame.op) {
            Op::Step { node: step, .. } => Some(&step.out),
            Op::Ask(ask) => ask.out.as_ref(),
            Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => not_a_step(),
            Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Call { .. } => not_a_step(),
        };
        match out.map_or(Ok(()), |out| self.write(thread, out, value)) {
            Ok(()) => self.push(thread, MoveKind::Return),
            Err(error) => self.raise(thread, &frame.path, error),
        }
    }

    pub(super) fn step_failed(&mut self, thread: ThreadId, failure: StepFailure) {
        let frame = self.thread(thread).top().expect("a resting thread has a frame").clone();
        let FrameKind::Step { attempt, input, .. } = frame.kind else {
            unreachable!("a step's answer meets a step")
        };
        let program = self.state.program.clone();
        let (agent, retry) = match program.op(frame.op) {
            Op::Step { node: step, .. } => (step.agent.clone(), step.retry),
            Op::Ask(_) => (Arc::from(ASK), None),
            Op::Seq { .. } | Op::Branch { .. } | Op::Loop { .. } | Op::Fanout { .. } => not_a_step(),
            Op::Try { .. } | Op::Let { .. } | Op::Wait(_) | Op::Call { .. } => not_a_step(),
        };
        let retry = retry.filter(|retry| failure.class == ErrorClass::Retry && attempt <= retry.max);
        match retry {
            Some(retry) => self.back_off(thread, attempt, input, pause_ms(retry, attempt)),
            None => {
                self.close(thread, &frame.path);
                let error = FlowError {
                    code: FlowErrorCode::StepFailed,
                    message: failure.message,
                    step: Some(frame.path),
                    reference: Some(agent),
                    value: failure.value,
                };
                self.push(thread, MoveKind::Raise(error));
            }
        }
    }

    fn back_off(&mut self, thread: ThreadId, attempt: u32, input: Value, pause_ms: u64) {
        let due_at = self.now.plus_ms(pause_ms);
        let phase = Phase::BackingOff { due_at };
        self.set_top(thread, FrameKind::Step { attempt, input, phase });
        if pause_ms == 0 {
            self.dispatch_again(thread);
        } else {
            let path = self.thread(thread).top().expect("it was just set").path.clone();
            self.effects.push(FlowEffect::SetTimer { path, attempt: attempt + 1, due_at });
        }
    }

    pub(super) fn dispatch_again(&mut self, thread: ThreadId) {
        let frame = self.thread(thread).top().expect("a resting thread has a frame").clone();
        let FrameKind::Step { attempt, input, .. } = frame.kind.clone() else {
            unreachable!("only steps back off")
        };
        let attempt = attempt + 1;
        self.effects.push(frame.in_flight(&self.state.program, attempt, &input));
        self.set_top(thread, FrameKind::Step { attempt, input, phase: Phase::InFlight });
    }

    fn thread_done(&mut self, thread: ThreadId) {
        let done = self.thread(thread).clone();
        match done.parent {
            Some(parent) => {
                let outcome = self.branch_result(thread, &parent.path, parent.thread);
                self.state.threads.remove(&thread);
                self.push(parent.thread, MoveKind::Join { path: parent.path, index: parent.index, outcome });
            }
            None => self.finish(FlowEnd::Done(done.ctx)),
        }
    }

    fn thread_failed(&mut self, thread: ThreadId, error: FlowError) {
        let failed = self.thread(thread).clone();
        match failed.parent {
            Some(parent) => {
                self.state.threads.remove(&thread);
                self.push(
                    parent.thread,
                    MoveKind::Join { path: parent.path, index: parent.index, outcome: Err(error) },
                );
            }
            None => {
                debug_assert_eq!(thread, ROOT, "only the root has no parent");
                self.finish(FlowEnd::Failed { error, ctx: failed.ctx });
            }
        }
    }

    pub(super) fn raise(&mut self, thread: ThreadId, path: &StepPath, error: EvalError) {
        self.push(thread, MoveKind::Raise(located(error, path)));
    }

    pub(super) fn rest(&mut self, thread: ThreadId, frame: Frame) {
        self.state.open.insert(frame.path.clone(), thread);
        self.push_frame(thread, frame);
    }

    pub(super) fn push_frame(&mut self, thread: ThreadId, frame: Frame) {
        if let Some(thread) = self.state.threads.get_mut(&thread) {
            thread.push(frame);
        }
    }

    pub(super) fn thread(&self, thread: ThreadId) -> &Thread {
        self.state.threads.get(&thread).expect("moves of threads that are gone are skipped")
    }

    pub(super) fn evaluate(
        &self,
        thread: ThreadId,
        expr: &adjutant_model::flow::Expr,
    ) -> Result<Value, EvalError> {
        self.thread(thread).evaluate(expr)
    }
}

/// Gives an error its place.
pub(super) fn located(error: EvalError, path: &StepPath) -> FlowError {
    FlowError {
        code: error.code,
        message: error.message,
        step: Some(path.clone()),
        reference: error.reference,
        value: None,
    }
}

/// Gives what a flow sees of an error.
pub(super) fn error_value(error: &FlowError, format: ErrFormat) -> Value {
    match format {
        ErrFormat::Text => Value::string(error.message.as_str()),
        ErrFormat::Object => {
            let text = |text: &str| Value::string(text);
            let mut entries: Vec<(Arc<str>, Value)> =
                vec![("code".into(), text(error.code.as_str())), ("message".into(), text(&error.message))];
            entries.extend(error.step.as_ref().map(|step| ("step".into(), text(step.as_str()))));
            entries.extend(error.reference.as_ref().map(|name| ("ref".into(), text(name))));
            entries.extend(error.value.as_ref().map(|value| ("value".into(), value.clone())));
            Value::object(entries)
        }
    }
}

fn pause_ms(retry: Retry, attempt: u32) -> u64 {
    let doubled = 1_u64.checked_shl(attempt - 1).unwrap_or(u64::MAX);
    retry.backoff_ms.saturating_mul(doubled).min(BACKOFF_MS_MAX)
}
