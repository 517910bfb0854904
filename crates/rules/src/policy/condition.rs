//! Conditions of rules: CEL over a call, checked when they are read, evaluated when a call is judged.
//!
//! A condition is bounded in length, nesting and work, is a boolean as far as that can be known beforehand, and
//! names nothing that does not exist. What goes wrong in spite of that, a panic included, is an error that denies.

mod check;
mod values;

use cel::IdedExpr;
use cel::common::ast::{Expr, operators};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

pub(super) use values::Facts;

/// The longest condition, in bytes.
const LEN_MAX: usize = 2000;
/// How deep a condition may nest.
const DEPTH_MAX: u16 = 24;
/// How often a condition may use a dot, an index, a call or an operator.
const PARTS_MAX: usize = 250;
/// How many steps a condition's loops may come to.
const STEPS_MAX: u64 = 5_000_000;

static ENV: LazyLock<Arc<cel::Env>> =
    LazyLock::new(|| Arc::new(cel::Env::stdlib().with_optional_support(false)));

/// A condition that has been read and checked.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    /// What must be true, taken apart at `&&`.
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    expr: IdedExpr,
    uses_shell: bool,
    /// The power with which the longest list or map of the call enters into the work.
    loops: u32,
}

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidCondition {
    /// It is too long.
    #[error("the condition is longer than {LEN_MAX} bytes")]
    TooLong,
    /// It is too large to be evaluated safely.
    #[error("the condition has more than {PARTS_MAX} operators, calls and dots")]
    TooManyParts,
    /// It holds a placeholder; text is not put into conditions.
    #[error("`{0}` is not filled in within conditions; use `params` or `command` for it")]
    Placeholder(&'static str),
    /// It is no CEL, or says what cannot be.
    #[error("line {line}, column {column}: {message}")]
    At {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// The parser gave up.
    #[error("the condition cannot be read")]
    Unreadable,
}

/// A condition that came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConditionError {
    /// CEL's own complaint.
    #[error("{0}")]
    Evaluation(String),
    /// It gave something else than true or false.
    #[error("the condition gave {0}, not true or false")]
    NoBoolean(String),
    /// The call holds so much that the condition's loops would take too long.
    #[error("the call is too large for the loops of the condition")]
    TooMuchWork,
    /// A defect, caught.
    #[error("the evaluation broke off")]
    Panicked,
}

impl Condition {
    /// Reads and checks a condition.
    ///
    /// # Errors
    /// [`InvalidCondition`] says what is wrong and where.
    pub(super) fn new(text: &str) -> Result<Self, InvalidCondition> {
        if text.len() > LEN_MAX {
            return Err(InvalidCondition::TooLong);
        }
        if text.chars().filter(|c| ".[({?!-+*/%&|=<>,".contains(*c)).count() > PARTS_MAX {
            return Err(InvalidCondition::TooManyParts);
        }
        if let Some(name) =
            ["{data_folder}", "{outside}", "{workspace}"].into_iter().find(|name| text.contains(name))
        {
            return Err(InvalidCondition::Placeholder(name));
        }
        let parse = || ENV.parser().max_recursion_depth(DEPTH_MAX).parse_with_source_info(text);
        let parsed = catch_unwind(parse).map_err(|_| InvalidCondition::Unreadable)?;
        let (expr, source) = parsed.map_err(|why| parse_error(&why))?;
        check::condition(&expr).map_err(|problem| {
            let start = source.offset_for(problem.id).map_or(0, |(start, _)| start as usize);
            let (line, column) = place(text, start);
            InvalidCondition::At { line, column, message: problem.message }
        })?;
        let mut terms = Vec::new();
        take_apart(expr, &mut terms);
        Ok(Condition { terms })
    }

    /// Tells whether it looks at the commands of the call.
    pub(super) fn uses_shell(&self) -> bool {
        self.terms.iter().any(|term| term.uses_shell)
    }

    /// Tells whether it is true.
    ///
    /// # Errors
    /// [`ConditionError`] when it comes to nothing.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, ConditionError> {
        self.all(facts, |_| true)
    }

    /// Tells whether it could be true, whatever the commands of the call are.
    ///
    /// # Errors
    /// [`ConditionError`] when what does not depend on them comes to nothing.
    pub(super) fn could_hold(&self, facts: &Facts<'_>) -> Result<bool, ConditionError> {
        self.all(facts, |term| !term.uses_shell)
    }

    /// Evaluates terms like `&&`: one that is false decides, even behind one that comes to nothing.
    fn all(&self, facts: &Facts<'_>, asked: impl Fn(&Term) -> bool) -> Result<bool, ConditionError> {
        let mut broken = None;
        for term in self.terms.iter().filter(|term| asked(term)) {
            match term.evaluate(facts) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => broken = broken.or(Some(why)),
            }
        }
        broken.map_or(Ok(true), Err)
    }
}

impl Term {
    fn evaluate(&self, facts: &Facts<'_>) -> Result<bool, ConditionError> {
        if facts.longest().saturating_pow(self.loops) > STEPS_MAX {
            return Err(ConditionError::TooMuchWork);
        }
        let resolve = AssertUnwindSafe(|| cel::Value::resolve(&self.expr, facts.context(&ENV)));
        match catch_unwind(resolve).map_err(|_| ConditionError::Panicked)? {
            Ok(cel::Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(ConditionError::NoBoolean(format!("a {}", other.type_of()))),
            Err(why) => Err(ConditionError::Evaluation(shortened(&why.to_string()))),
        }
    }
}

fn take_apart(expr: IdedExpr, terms: &mut Vec<Term>) {
    match expr.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
            call.args.into_iter().for_each(|part| take_apart(part, terms));
        }
        Expr::Call(_)
        | Expr::Unspecified
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => {
            let (uses_shell, loops) = (check::uses_shell(&expr), check::loops(&expr));
            terms.push(Term { expr, uses_shell, loops });
        }
    }
}

fn parse_error(why: &cel::ParseErrors) -> InvalidCondition {
    let Some(first) = why.errors.first() else { return InvalidCondition::Unreadable };
    let from_one = |at: isize| usize::try_from(at).unwrap_or(1).max(1);
    InvalidCondition::At {
        line: from_one(first.pos.0),
        column: from_one(first.pos.1),
        message: shortened(&first.msg),
    }
}

fn place(text: &str, offset: usize) -> (usize, usize) {
    let before: String = text.chars().take(offset).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Errors of CEL show the values they are about, which may be long.
fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

#[cfg(test)]
mod tests;
