//! From a document to a flow.
//!
//! Unknown kinds, operators and fields are errors. A place to write to that is no path is only a warning: it is
//! an error of the run, which `try` may catch.

use super::path;
use crate::document::{Cursor, Lints};
use adjutant_model::Value;
use adjutant_model::flow::{
    Arithmetic, AskNode, CallNode, CallTarget, Comparison, CtxPath, ErrFormat, Expr, FanoutNode, Join, Node,
    Retry, StepNode, WaitUntil,
};
use adjutant_model::registry::VersionSelector;
use std::sync::Arc;

/// A wait or a timeout may be 366 days at the most.
const SPAN_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// A step may be repeated so often.
const RETRY_MAX: u64 = 100;
/// Nodes and expressions may nest so deep; the document's own nesting is bounded before.
const KINDS: &str = "step, seq, branch, loop, fanout, try, let, wait, ask, call";
const OPS: &str = "path, lit, eq, ne, lt, lte, gt, gte, not, and, or, exists, add, sub, mul, div, mod, len, in, call_extern";

/// Reads a node; `None` when something in it is wrong, which the lints then say.
pub fn node(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    let kind = tag(at, "kind", lints)?;
    match kind {
        "step" => step(at, lints).map(Node::Step),
        "seq" => seq(at, lints),
        "branch" => branch(at, lints),
        "loop" => repeat(at, lints),
        "fanout" => fanout(at, lints).map(Node::Fanout),
        "try" => try_catch(at, lints),
        "let" | "assign" => assignment(at, lints),
        "wait" => wait(at, lints).map(Node::Wait),
        "ask" => ask(at, lints).map(Node::Ask),
        "call" => call(at, lints).map(Node::Call),
        other => {
            let place = at.member("kind").unwrap_or(*at);
            lints.error_with_hint(
                &place,
                "unknown-kind",
                format!("unknown node kind `{other}`"),
                format!("kinds: {KINDS}"),
            );
            None
        }
    }
}

fn tag<'a>(at: &'a Cursor<'a>, key: &'a str, lints: &mut Lints) -> Option<&'a str> {
    if at.value().as_object().is_none() {
        at.wrong_type("an object", lints);
        return None;
    }
    let value = at.required(key, lints)?.value();
    value.as_str().or_else(|| {
        at.member(key)?.wrong_type("a string", lints);
        None
    })
}

fn step(at: &Cursor<'_>, lints: &mut Lints) -> Option<StepNode> {
    at.object(&["kind", "ref", "in", "out", "retry", "timeout_ms"], lints);
    let agent = at.required("ref", lints).and_then(|c| c.string(lints).map(Into::into));
    let input = field(at, "in", lints);
    let out = target(at, "out", lints);
    let retry = optional(at, "retry").map(|c| retry(&c, lints));
    let timeout_ms = optional(at, "timeout_ms").map(|c| c.whole(1, SPAN_MS_MAX, lints));
    Some(StepNode {
        agent: agent?,
        input: input?,
        out: out?,
        retry: absent_or(retry)?,
        timeout_ms: absent_or(timeout_ms)?,
    })
}

fn retry(at: &Cursor<'_>, lints: &mut Lints) -> Option<Retry> {
    at.object(&["max", "backoff_ms"], lints)?;
    let max = at.required("max", lints).and_then(|c| c.whole(0, RETRY_MAX, lints));
    let backoff = optional(at, "backoff_ms").map(|c| c.whole(0, 3_600_000, lints));
    let max = u32::try_from(max?).expect("RETRY_MAX fits");
    Some(Retry { max, backoff_ms: absent_or(backoff)?.unwrap_or(0) })
}

fn seq(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    at.object(&["kind", "children"], lints);
    let children = at.required("children", lints)?;
    let nodes: Vec<_> = children.elements(lints).iter().map(|child| node(child, lints)).collect();
    children.value().as_array()?;
    Some(Node::Seq { children: nodes.into_iter().collect::<Option<_>>()? })
}

fn branch(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    at.object(&["kind", "cond", "then", "else"], lints);
    let cond = field(at, "cond", lints);
    let then = child(at, "then", lints);
    let otherwise = child(at, "else", lints);
    Some(Node::Branch { cond: cond?, then: then?, otherwise: otherwise? })
}

fn repeat(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    at.object(&["kind", "counter", "cond", "body", "max"], lints);
    let counter = target(at, "counter", lints);
    let cond = field(at, "cond", lints);
    let max = at.required("max", lints).and_then(|c| c.whole(0, u32::MAX.into(), lints));
    let body = child(at, "body", lints);
    let max = u32::try_from(max?).expect("the range ends at u32::MAX");
    Some(Node::Loop { counter: counter?, cond: cond?, max, body: body? })
}

fn fanout(at: &Cursor<'_>, lints: &mut Lints) -> Option<FanoutNode> {
    const KNOWN: &[&str] =
        &["kind", "items", "bind", "body", "join", "out", "collect", "max_parallel", "err_format"];
    at.object(KNOWN, lints);
    let items = field(at, "items", lints);
    let bind = target(at, "bind", lints);
    let body = child(at, "body", lints);
    let join = at.required("join", lints).and_then(|c| join(&c, lints));
    let out = target(at, "out", lints);
    let collect = optional(at, "collect").map(|c| expr(&c, lints));
    let max_parallel = optional(at, "max_parallel").map(|c| c.whole(1, u32::MAX.into(), lints));
    let err_format = err_format(at, lints);
    Some(FanoutNode {
        items: items?,
        bind: bind?,
        body: body?,
        join: join?,
        out: out?,
        collect: absent_or(collect)?,
        max_parallel: absent_or(max_parallel)?.map(|n| u32::try_from(n).expect("the range ends at u32::MAX")),
        err_format: err_format?,
    })
}

fn join(at: &Cursor<'_>, lints: &mut Lints) -> Option<Join> {
    match at.string(lints)? {
        "all" => Some(Join::All),
        "any" => Some(Join::Any),
        "race" => Some(Join::Race),
        "all_settled" => Some(Join::AllSettled),
        other => {
            let message = format!("unknown join `{other}`");
            lints.error_with_hint(at, "unknown-join", message, "joins: all, any, race, all_settled");
            None
        }
    }
}

fn try_catch(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    at.object(&["kind", "body", "catch", "err_at", "err_format"], lints);
    let body = child(at, "body", lints);
    let catch = child(at, "catch", lints);
    let err_at = optional(at, "err_at").map(|_| target(at, "err_at", lints));
    let err_format = err_format(at, lints);
    Some(Node::Try { body: body?, catch: catch?, err_at: absent_or(err_at)?, err_format: err_format? })
}

fn err_format(at: &Cursor<'_>, lints: &mut Lints) -> Option<ErrFormat> {
    let Some(format) = optional(at, "err_format") else { return Some(ErrFormat::Text) };
    match format.string(lints)? {
        "string" => Some(ErrFormat::Text),
        "object" => Some(ErrFormat::Object),
        other => {
            let message = format!("unknown err_format `{other}`");
            lints.error_with_hint(&format, "unknown-err-format", message, "formats: string, object");
            None
        }
    }
}

/// `let` takes a bare path; `assign`, its older name, also takes a path expression.
fn assignment(at: &Cursor<'_>, lints: &mut Lints) -> Option<Node> {
    at.object(&["kind", "at", "value"], lints);
    let value = field(at, "value", lints);
    let place = at.required("at", lints)?;
    let is_assign = at.value().get("kind").and_then(|k| k.as_str()) == Some("assign");
    let target = if is_assign && place.value().as_object().is_some() {
        match expr(&place, lints)? {
            Expr::Path(path) => Some(path),
            _ => {
                lints.error(&place, "invalid-path", "`at` must be a path");
                None
            }
        }
    } else {
        ctx_path(&place, lints)
    };
    Some(Node::Let { at: target?, value: value? })
}

fn wait(at: &Cursor<'_>, lints: &mut Lints) -> Option<WaitUntil> {
    at.object(&["kind", "ms", "until"], lints);
    match (optional(at, "ms"), optional(at, "until")) {
        (Some(ms), None) => literal_or_expr(&ms, lints).map(WaitUntil::Ms),
        (None, Some(until)) => literal_or_expr(&until, lints).map(WaitUntil::Instant),
        (None, None) | (Some(_), Some(_)) => {
            lints.error(at, "wait-needs-one", "a wait needs either `ms` or `until`");
            None
        }
    }
}

fn ask(at: &Cursor<'_>, lints: &mut Lints) -> Option<AskNode> {
    at.object(&["kind", "question", "options", "out", "timeout_ms"], lints);
    let question = at.required("question", lints).and_then(|c| match c.value() {
        Value::String(_) | Value::Object(_) => literal_or_expr(&c, lints),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            c.wrong_type("a text or an expression", lints);
            None
        }
    });
    let options = optional(at, "options").map(|c| options(&c, lints));
    let out = optional(at, "out").map(|_| target(at, "out", lints));
    let timeout_ms = optional(at, "timeout_ms").map(|c| c.whole(1, SPAN_MS_MAX, lints));
    Some(AskNode {
        question: question?,
        options: absent_or(options)?.unwrap_or_default(),
        out: absent_or(out)?,
        timeout_ms: absent_or(timeout_ms)?,
    })
}

fn call(at: &Cursor<'_>, lints: &mut Lints) -> Option<CallNode> {
    at.object(&["kind", "blueprint", "version", "in", "out"], lints);
    let blueprint = at.required("blueprint", lints).and_then(|c| c.string(lints).map(str::to_owned));
    let version = optional(at, "version").map(|c| version(&c, lints));
    let input = field(at, "in", lints);
    let out = target(at, "out", lints);
    let version = absent_or(version)?.unwrap_or_default();
    Some(CallNode { target: CallTarget { blueprint: blueprint?, version }, input: input?, out: out? })
}

fn version(at: &Cursor<'_>, lints: &mut Lints) -> Option<VersionSelector> {
    let text = |key: &str, lints: &mut Lints| {
        at.object(&["kind", key], lints);
        at.required(key, lints).and_then(|c| c.string(lints).map(str::to_owned))
    };
    match tag(at, "kind", lints)? {
        "latest" => at.object(&["kind"], lints).map(|_| VersionSelector::Latest),
        "fixed" => text("value", lints).map(VersionSelector::Fixed),
        "semver_req" => text("req", lints).map(VersionSelector::SemverReq),
        other => {
            let place = at.member("kind").unwrap_or(*at);
            let message = format!("unknown way to choose a version `{other}`");
            lints.error_with_hint(&place, "unknown-kind", message, "kinds: latest, fixed, semver_req");
            None
        }
    }
}

/// What a person may choose from: one text or more, each once.
fn options(at: &Cursor<'_>, lints: &mut Lints) -> Option<Vec<Arc<str>>> {
    let mut read: Vec<Option<Arc<str>>> = Vec::new();
    for element in at.elements(lints) {
        let option: Option<Arc<str>> = element.string(lints).map(Into::into);
        if option.is_some() && read.contains(&option) {
            lints.error(&element, "duplicate-option", "this option stands there already");
        }
        read.push(option);
    }
    if at.value().as_array()?.is_empty() {
        lints.error_with_hint(
            at,
            "no-options",
            "`options` is empty",
            "leave it out, and the answer is a yes or a no",
        );
    }
    read.into_iter().collect()
}

/// A number or text stands for itself; an object is an expression.
fn literal_or_expr(at: &Cursor<'_>, lints: &mut Lints) -> Option<Expr> {
    match at.value().as_object() {
        Some(_) => expr(at, lints),
        None => Some(Expr::Lit(at.value().clone())),
    }
}

/// Reads an expression; `None` when something in it is wrong, which the lints then say.
pub fn expr(at: &Cursor<'_>, lints: &mut Lints) -> Option<Expr> {
    let op = tag(at, "op", lints)?;
    match op {
        "path" => {
            at.object(&["op", "at"], lints);
            at.required("at", lints).and_then(|c| ctx_path(&c, lints)).map(Expr::Path)
        }
        "lit" => {
            at.object(&["op", "value"], lints);
            at.required("value", lints).map(|c| Expr::Lit(c.value().clone()))
        }
        "eq" => sides(at, lints).map(|s| Expr::Compare(Comparison::Eq, s)),
        "ne" => sides(at, lints).map(|s| Expr::Compare(Comparison::Ne, s)),
        "lt" => sides(at, lints).map(|s| Expr::Compare(Comparison::Lt, s)),
        "lte" => sides(at, lints).map(|s| Expr::Compare(Comparison::Lte, s)),
        "gt" => sides(at, lints).map(|s| Expr::Compare(Comparison::Gt, s)),
        "gte" => sides(at, lints).map(|s| Expr::Compare(Comparison::Gte, s)),
        "add" => sides(at, lints).map(|s| Expr::Arith(Arithmetic::Add, s)),
        "sub" => sides(at, lints).map(|s| Expr::Arith(Arithmetic::Sub, s)),
        "mul" => sides(at, lints).map(|s| Expr::Arith(Arithmetic::Mul, s)),
        "div" => sides(at, lints).map(|s| Expr::Arith(Arithmetic::Div, s)),
        "mod" => sides(at, lints).map(|s| Expr::Arith(Arithmetic::Mod, s)),
        "not" => argument(at, lints).map(Expr::Not),
        "exists" => argument(at, lints).map(Expr::Exists),
        "len" => argument(at, lints).map(Expr::Len),
        "and" => {
            at.object(&["op", "args"], lints);
            arguments(at, lints).map(Expr::And)
        }
        "or" => {
            at.object(&["op", "args"], lints);
            arguments(at, lints).map(Expr::Or)
        }
        "in" => {
            at.object(&["op", "needle", "haystack"], lints);
            let needle = field(at, "needle", lints);
            let haystack = field(at, "haystack", lints);
            Some(Expr::In { needle: needle?.into(), haystack: haystack?.into() })
        }
        "call_extern" => call_extern(at, lints),
        other => {
            let place = at.member("op").unwrap_or(*at);
            lints.error_with_hint(
                &place,
                "unknown-op",
                format!("unknown operator `{other}`"),
                format!("operators: {OPS}"),
            );
            None
        }
    }
}

fn call_extern(at: &Cursor<'_>, lints: &mut Lints) -> Option<Expr> {
    at.object(&["op", "ref", "args"], lints);
    let name = at.required("ref", lints).and_then(|c| c.string(lints));
    let args = arguments(at, lints);
    let name = name?;
    lints.warning(
        at,
        "unknown-extern",
        format!("host function `{name}` is not registered: evaluating it is an error"),
    );
    Some(Expr::CallExtern { name: name.into(), args: args? })
}

fn sides(at: &Cursor<'_>, lints: &mut Lints) -> Option<Box<[Expr; 2]>> {
    at.object(&["op", "lhs", "rhs"], lints);
    let lhs = field(at, "lhs", lints);
    let rhs = field(at, "rhs", lints);
    Some(Box::new([lhs?, rhs?]))
}

fn argument(at: &Cursor<'_>, lints: &mut Lints) -> Option<Box<Expr>> {
    at.object(&["op", "arg"], lints);
    field(at, "arg", lints).map(Box::new)
}

fn arguments(at: &Cursor<'_>, lints: &mut Lints) -> Option<Vec<Expr>> {
    let args = at.required("args", lints)?;
    let read: Vec<_> = args.elements(lints).iter().map(|arg| expr(arg, lints)).collect();
    args.value().as_array()?;
    read.into_iter().collect()
}

/// An expression that will be written to; anything but a path is an error of the run.
fn target(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<Expr> {
    let place = at.required(key, lints)?;
    let read = expr(&place, lints)?;
    if !matches!(read, Expr::Path(_)) {
        lints.warning(&place, "not-a-path", format!("`{key}` is not a path: writing to it is an error"));
    }
    Some(read)
}

fn field(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<Expr> {
    at.required(key, lints).and_then(|c| expr(&c, lints))
}

fn child(at: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<Box<Node>> {
    at.required(key, lints).and_then(|c| node(&c, lints)).map(Box::new)
}

fn ctx_path(at: &Cursor<'_>, lints: &mut Lints) -> Option<CtxPath> {
    match path::parse(at.string(lints)?) {
        Ok(path) => Some(path),
        Err(invalid) => {
            lints.error(at, "invalid-path", invalid.to_string());
            None
        }
    }
}

/// A member that is there and not null.
fn optional<'a>(at: &'a Cursor<'a>, key: &'a str) -> Option<Cursor<'a>> {
    at.member(key).filter(|c| *c.value() != Value::Null)
}

/// Absent is fine, present and unreadable is not.
fn absent_or<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(Some(value)) => Some(Some(value)),
        Some(None) => None,
    }
}
