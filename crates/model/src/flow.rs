//! The flow language as a tree: nodes, expressions and context paths.
//!
//! `rules::flow` reads this tree from a document, checks it, compiles and runs it; here it only has a shape.

use crate::registry::VersionSelector;
use crate::value::Value;
use std::fmt;
use std::sync::Arc;

/// A node of a flow.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Dispatches one step and writes its result.
    Step(StepNode),
    /// Runs its children in order; the first error stops it.
    Seq {
        /// The nodes in order; empty does nothing.
        children: Vec<Node>,
    },
    /// Chooses by a condition that must be a JSON boolean.
    Branch {
        /// The condition.
        cond: Expr,
        /// Runs when it is true.
        then: Box<Node>,
        /// Runs when it is false.
        otherwise: Box<Node>,
    },
    /// Repeats while the counter is below `max` and the condition is truthy.
    Loop {
        /// Where the count of finished iterations is written, from 0.
        counter: Expr,
        /// Sees the counter.
        cond: Expr,
        /// The most iterations; reaching it is not an error.
        max: u32,
        /// What is repeated.
        body: Box<Node>,
    },
    /// Runs the body once per item, each on its own copy of the context.
    Fanout(FanoutNode),
    /// Runs `body`; on an error restores the context and runs `catch`.
    Try {
        /// What is tried.
        body: Box<Node>,
        /// Runs after an error of the body; its own errors propagate.
        catch: Box<Node>,
        /// Where the error is written before `catch` runs.
        err_at: Option<Expr>,
        /// Whether the error is written as text or as an object.
        err_format: ErrFormat,
    },
    /// Evaluates and writes; dispatches nothing.
    Let {
        /// Where to write.
        at: CtxPath,
        /// What to write.
        value: Expr,
    },
    /// Does nothing until an instant has passed.
    Wait(WaitUntil),
    /// Asks a person, and goes on with the answer.
    Ask(AskNode),
    /// Runs another blueprint's flow on a context of its own.
    Call(CallNode),
}

/// A call of another blueprint.
#[derive(Debug, Clone, PartialEq)]
pub struct CallNode {
    /// What is called.
    pub target: CallTarget,
    /// Evaluated on the caller's context; it is the callee's first context, over the one that the callee declares.
    pub input: Expr,
    /// Where the callee's final context is written.
    pub out: Expr,
}

/// The blueprint that a call names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallTarget {
    /// Its id.
    pub blueprint: String,
    /// Which version of it.
    pub version: VersionSelector,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq)]
pub struct AskNode {
    /// Evaluated on the context before it is asked.
    pub question: Expr,
    /// What may be answered, each once; without any the answer is a yes or a no.
    pub options: Vec<Arc<str>>,
    /// Where the answer is written.
    pub out: Option<Expr>,
    /// How long a person has to answer, in milliseconds; the plane's setting when it is not said.
    pub timeout_ms: Option<u64>,
}

/// A step: one dispatch to an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct StepNode {
    /// The agent's name.
    pub agent: Arc<str>,
    /// Evaluated on the context before the dispatch.
    pub input: Expr,
    /// Where the result is written.
    pub out: Expr,
    /// How often and how soon a failed attempt is repeated.
    pub retry: Option<Retry>,
    /// How long one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// Repeats a failed step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many more attempts after the first, at most 100.
    pub max: u32,
    /// The pause before the first repetition in milliseconds; it doubles each time, up to one hour.
    pub backoff_ms: u64,
}

/// A fanout: one body per item.
#[derive(Debug, Clone, PartialEq)]
pub struct FanoutNode {
    /// Must give an array.
    pub items: Expr,
    /// Where each branch finds its item.
    pub bind: Expr,
    /// What each branch runs.
    pub body: Box<Node>,
    /// When the fanout ends and what it gives.
    pub join: Join,
    /// Where the joined value is written.
    pub out: Expr,
    /// Evaluated in each branch at its end; without it a branch gives its whole context.
    pub collect: Option<Expr>,
    /// The most branches that run at once.
    pub max_parallel: Option<u32>,
    /// Whether the `reason` of `all_settled` is text or an object.
    pub err_format: ErrFormat,
}

/// When a fanout ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// When all have succeeded, or at the first error.
    All,
    /// At the first success, or when all have failed.
    Any,
    /// When the first settles, success or error.
    Race,
    /// When all have settled; never an error.
    AllSettled,
}

/// What `err_at` and the `reason` of `all_settled` receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrFormat {
    /// The message.
    #[default]
    Text,
    /// `{code, message, step, ref}`.
    Object,
}

/// When a wait ends.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitUntil {
    /// So many milliseconds after it is reached.
    Ms(Expr),
    /// At an RFC 3339 instant.
    Instant(Expr),
}

/// An expression over the context: total, without side effects.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Reads the context.
    Path(CtxPath),
    /// A constant.
    Lit(Value),
    /// Compares two values.
    Compare(Comparison, Box<[Expr; 2]>),
    /// Negates truthiness.
    Not(Box<Expr>),
    /// True when all are truthy; stops at the first that is not.
    And(Vec<Expr>),
    /// True when one is truthy; stops there.
    Or(Vec<Expr>),
    /// False for null and for a missing path.
    Exists(Box<Expr>),
    /// Arithmetic on f64.
    Arith(Arithmetic, Box<[Expr; 2]>),
    /// Elements, characters or keys.
    Len(Box<Expr>),
    /// Whether an array holds a value.
    In {
        /// The value looked for.
        needle: Box<Expr>,
        /// Must be an array.
        haystack: Box<Expr>,
    },
    /// Calls a function of the host. None is registered, so evaluating it is an error that `try` can catch.
    CallExtern {
        /// The function's name.
        name: Arc<str>,
        /// Its arguments.
        args: Vec<Expr>,
    },
}

/// The six comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Lte,
    Gt,
    Gte,
}

/// The five arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the operators")]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
}

/// A place in the context, such as `$.plan.steps[0]["file.name"]`.
#[derive(Clone, PartialEq, Eq)]
pub struct CtxPath {
    /// The text it was read from; `$` and `ctx` mean the same root and are kept as written.
    pub text: Arc<str>,
    /// The way from the root.
    pub segments: Arc<[Segment]>,
}

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A key of an object.
    Key(Arc<str>),
    /// An index of an array, from 0.
    Index(usize),
}

impl fmt::Display for CtxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for CtxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
