//! Threads: a context, shared with other threads until it changes, and a stack of frames.

use super::CONTEXT_BYTES_MAX;
use super::frame::{Frame, FrameKind};
use crate::flow::expr::{self, EvalError};
use crate::flow::path;
use adjutant_model::Value;
use adjutant_model::flow::{CtxPath, Expr};
use adjutant_model::run::{FlowErrorCode, StepPath};
use adjutant_model::value::DEPTH_MAX;

pub(super) type ThreadId = u32;

#[derive(Debug, Clone)]
pub(super) struct Thread {
    pub(super) ctx: Value,
    /// The fanout this thread is a branch of.
    pub(super) parent: Option<Parent>,
    stack: Vec<Frame>,
}

#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) thread: ThreadId,
    pub(super) path: StepPath,
    pub(super) index: usize,
}

impl Thread {
    pub(super) fn new(ctx: Value, parent: Option<Parent>) -> Self {
        Thread { ctx, parent, stack: Vec::new() }
    }

    pub(super) fn top(&self) -> Option<&Frame> {
        self.stack.last()
    }

    pub(super) fn top_mut(&mut self) -> Option<&mut Frame> {
        self.stack.last_mut()
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.stack.push(frame);
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        self.stack.pop()
    }

    /// Gives the context of the thread's own flow, also while a call has it work on another.
    pub(super) fn own_ctx(&self) -> &Value {
        let of_caller = self.stack.iter().find_map(|frame| match &frame.kind {
            FrameKind::Call { caller_ctx } => Some(caller_ctx),
            FrameKind::Seq { .. } | FrameKind::Loop { .. } | FrameKind::Try { .. } => None,
            FrameKind::Fanout(_) | FrameKind::Step { .. } | FrameKind::Waiting { .. } => None,
        });
        of_caller.unwrap_or(&self.ctx)
    }

    /// Replaces what the top frame is doing; its place in the program stays.
    pub(super) fn set_top(&mut self, kind: FrameKind) {
        if let Some(top) = self.stack.last_mut() {
            top.kind = kind;
        }
    }

    pub(super) fn write(&mut self, target: &Expr, value: Value) -> Result<(), EvalError> {
        self.write_path(target_path(target)?, value)
    }

    pub(super) fn write_path(&mut self, at: &CtxPath, value: Value) -> Result<(), EvalError> {
        let mut ctx = self.ctx.clone();
        path::write(&mut ctx, at, value)?;
        bounded(&ctx, at)?;
        self.ctx = ctx;
        Ok(())
    }

    pub(super) fn evaluate(&self, expr: &Expr) -> Result<Value, EvalError> {
        expr::evaluate(expr, &self.ctx)
    }
}

/// Gives the path that `target` is; anything else is an error of the run.
pub(super) fn target_path(target: &Expr) -> Result<&CtxPath, EvalError> {
    match target {
        Expr::Path(path) => Ok(path),
        Expr::Lit(_)
        | Expr::Compare(..)
        | Expr::Not(_)
        | Expr::And(_)
        | Expr::Or(_)
        | Expr::Exists(_)
        | Expr::Arith(..)
        | Expr::Len(_)
        | Expr::In { .. }
        | Expr::CallExtern { .. } => {
            Err(EvalError::new(FlowErrorCode::InvalidPath, "the place to write to is not a path".to_owned()))
        }
    }
}

fn bounded(ctx: &Value, at: &CtxPath) -> Result<(), EvalError> {
    if ctx.depth() > DEPTH_MAX {
        let message = format!("writing `{at}` would nest the context deeper than {DEPTH_MAX}");
        return Err(EvalError::new(FlowErrorCode::ContextTooLarge, message));
    }
    if ctx.size_bytes() > CONTEXT_BYTES_MAX {
        let message = format!(
            "writing `{at}` would make the context larger than {} MiB; give the fanout a `collect`, so that its \
             branches return less than their whole context",
            CONTEXT_BYTES_MAX >> 20
        );
        return Err(EvalError::new(FlowErrorCode::ContextTooLarge, message));
    }
    Ok(())
}
