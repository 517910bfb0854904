//! The types of a condition, as far as they can be known before a call is there.
//!
//! What comes from parameters or from the state may be of any type; everything else is known.

use cel::IdedExpr;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr, operators};

/// What is wrong, and the expression that it is wrong with.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) id: u64,
    pub(super) message: String,
}

/// How deep loops may nest.
const LOOPS_MAX: u32 = 3;

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Bool,
    Number,
    Text,
    Bytes,
    Null,
    Instant,
    Span,
    Map,
    Shell,
    Command,
    List(Box<Kind>),
    /// Not known before a call is there.
    Any,
}

impl Kind {
    fn is(&self, expected: &[Kind]) -> bool {
        let same = |other: &Kind| match (self, other) {
            (Kind::List(_), Kind::List(_)) => true,
            (mine, other) => mine == other,
        };
        *self == Kind::Any || expected.iter().any(same)
    }

    fn name(&self) -> &'static str {
        match self {
            Kind::Bool => "true or false",
            Kind::Number => "a number",
            Kind::Text => "a string",
            Kind::Bytes => "bytes",
            Kind::Null => "null",
            Kind::Instant => "an instant",
            Kind::Span => "a duration",
            Kind::Map => "a map",
            Kind::Shell => "the whole of `shell`",
            Kind::Command => "a command",
            Kind::List(_) => "a list",
            Kind::Any => "anything",
        }
    }
}

const VARIABLES: &str = "tool, parameters, shell, agent, session, project, run, workspace, state, now";
const SHELL_FIELDS: [&str; 7] = ["commands", "programs", "args", "paths", "hosts", "writes", "opaque"];
const COMMAND_FIELDS: [&str; 8] =
    ["program", "args", "flags", "operands", "paths", "hosts", "writes", "wrappers"];

/// Checks that an expression can be a condition.
pub(super) fn condition(expr: &IdedExpr) -> Result<(), Problem> {
    let found = Scope::default().kind(expr)?;
    expect(expr, &found, &[Kind::Bool])?;
    if loops(expr) > LOOPS_MAX {
        return Err(problem(expr, "loops nest too deep"));
    }
    Ok(())
}

/// Tells whether an expression looks at the commands of a call.
pub(super) fn uses_shell(expr: &IdedExpr) -> bool {
    match &expr.expr {
        Expr::Ident(name) => name.trim_start_matches('.') == "shell",
        other => children(other).into_iter().any(uses_shell),
    }
}

/// Gives the power with which the length of a call's longest list enters into the work.
///
/// A loop that builds a list counts twice, because it may copy what it has built.
pub(super) fn loops(expr: &IdedExpr) -> u32 {
    let own = match &expr.expr {
        Expr::Comprehension(of) if matches!(of.accu_init.expr, Expr::List(_)) => 2,
        Expr::Comprehension(_) => 1,
        Expr::Call(_)
        | Expr::Unspecified
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => 0,
    };
    own + children(&expr.expr).into_iter().map(loops).max().unwrap_or(0)
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::Comprehension(of) => {
            vec![&of.iter_range, &of.accu_init, &of.loop_cond, &of.loop_step, &of.result]
        }
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
        Expr::Struct(of) => of.entries.iter().flat_map(|entry| entry_parts(&entry.expr)).collect(),
    }
}

fn entry_parts(entry: &EntryExpr) -> Vec<&IdedExpr> {
    match entry {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// The names that loops have made, the innermost last.
#[derive(Default)]
struct Scope(Vec<(String, Kind)>);

impl Scope {
    fn kind(&mut self, expr: &IdedExpr) -> Result<Kind, Problem> {
        match &expr.expr {
            Expr::Literal(literal) => Ok(literal_kind(literal)),
            Expr::Ident(name) => self.variable(expr, name),
            Expr::Select(select) => self.select(expr, select),
            Expr::Call(call) => self.call(expr, call),
            Expr::Comprehension(of) => self.comprehension(of),
            Expr::List(list) => {
                let kinds =
                    list.elements.iter().map(|item| self.kind(item)).collect::<Result<Vec<_>, _>>()?;
                Ok(Kind::List(Box::new(common(&kinds))))
            }
            Expr::Map(_) => {
                for part in children(&expr.expr) {
                    self.kind(part)?;
                }
                Ok(Kind::Map)
            }
            Expr::Struct(of) => Err(problem(expr, format!("the type `{}` does not exist", of.type_name))),
            Expr::Unspecified => Err(problem(expr, "an expression is missing")),
        }
    }

    fn variable(&self, expr: &IdedExpr, name: &str) -> Result<Kind, Problem> {
        if let Some((_, kind)) = self.0.iter().rev().find(|(bound, _)| bound == name) {
            return Ok(kind.clone());
        }
        match name {
            "tool" | "agent" | "session" | "project" | "run" | "workspace" => Ok(Kind::Text),
            "parameters" | "state" => Ok(Kind::Any),
            "shell" => Ok(Kind::Shell),
            "now" => Ok(Kind::Instant),
            other => Err(problem(expr, format!("unknown name `{other}`; known: {VARIABLES}"))),
        }
    }

    fn select(&mut self, expr: &IdedExpr, select: &SelectExpr) -> Result<Kind, Problem> {
        let of = self.kind(&select.operand)?;
        let found = field(expr, &of, &select.field)?;
        Ok(if select.test { Kind::Bool } else { found })
    }

    fn comprehension(&mut self, of: &ComprehensionExpr) -> Result<Kind, Problem> {
        let range = self.kind(&of.iter_range)?;
        expect(&of.iter_range, &range, &[Kind::List(Box::new(Kind::Any)), Kind::Map])?;
        let (first, second) = match range {
            Kind::List(item) if of.iter_var2.is_none() => (*item, Kind::Any),
            Kind::List(item) => (Kind::Number, *item),
            Kind::Map => (Kind::Text, Kind::Any),
            Kind::Any
            | Kind::Bool
            | Kind::Number
            | Kind::Text
            | Kind::Bytes
            | Kind::Null
            | Kind::Instant
            | Kind::Span
            | Kind::Shell
            | Kind::Command => (Kind::Any, Kind::Any),
        };
        let built = self.kind(&of.accu_init)?;
        let depth = self.0.len();
        self.0.push((of.accu_var.clone(), built));
        self.0.push((of.iter_var.clone(), first));
        self.0.extend(of.iter_var2.clone().map(|name| (name, second)));
        let within = self.kind(&of.loop_cond).and_then(|_| self.kind(&of.loop_step));
        self.0.truncate(depth + 1);
        let result = within.and_then(|_| self.kind(&of.result));
        self.0.truncate(depth);
        result
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Kind, Problem> {
        let parts: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let kinds = parts.iter().map(|part| self.kind(part)).collect::<Result<Vec<_>, _>>()?;
        let at = Called { expr, name: &call.func_name, parts: &parts, kinds: &kinds };
        if call.target.is_none()
            && let Some(found) = at.operator()
        {
            return found;
        }
        at.function(call.target.is_some())
    }
}

/// An operator or function and what it is applied to, the receiver first.
struct Called<'a> {
    expr: &'a IdedExpr,
    name: &'a str,
    parts: &'a [&'a IdedExpr],
    kinds: &'a [Kind],
}

impl Called<'_> {
    fn all(&self, expected: &[Kind]) -> Result<(), Problem> {
        self.parts.iter().zip(self.kinds).try_for_each(|(part, kind)| expect(part, kind, expected))
    }

    /// Gives the kind of an operator's result; `None` when this is none.
    fn operator(&self) -> Option<Result<Kind, Problem>> {
        Some(match self.name {
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::NOT_STRICTLY_FALSE => self.all(&[Kind::Bool]).map(|()| Kind::Bool),
            operators::CONDITIONAL => {
                expect(self.parts[0], &self.kinds[0], &[Kind::Bool]).map(|()| common(&self.kinds[1..]))
            }
            operators::EQUALS | operators::NOT_EQUALS => self.comparable(true),
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
                self.comparable(false)
            }
            operators::IN => {
                let holder = [Kind::List(Box::new(Kind::Any)), Kind::Map];
                expect(self.parts[1], &self.kinds[1], &holder).map(|()| Kind::Bool)
            }
            operators::ADD => {
                let list = Kind::List(Box::new(Kind::Any));
                self.all(&[Kind::Number, Kind::Text, Kind::Bytes, list, Kind::Instant, Kind::Span])
                    .map(|()| common(self.kinds))
            }
            operators::SUBSTRACT => {
                self.all(&[Kind::Number, Kind::Instant, Kind::Span]).map(|()| match self.kinds {
                    [Kind::Instant, Kind::Instant] => Kind::Span,
                    kinds => common(kinds),
                })
            }
            operators::MULTIPLY | operators::DIVIDE | operators::MODULO | operators::NEGATE => {
                self.all(&[Kind::Number]).map(|()| Kind::Number)
            }
            operators::INDEX => self.index(),
            _function => return None,
        })
    }

    /// Refuses to compare what is never equal.
    fn comparable(&self, equality: bool) -> Result<Kind, Problem> {
        let [left, right] = self.kinds else { return Err(self.arity()) };
        let null = equality && (*left == Kind::Null || *right == Kind::Null);
        if !null && *left != Kind::Any && !right.is(std::slice::from_ref(left)) {
            let message = format!("{} is compared with {}", left.name(), right.name());
            return Err(problem(self.expr, message));
        }
        Ok(Kind::Bool)
    }

    fn index(&self) -> Result<Kind, Problem> {
        let [of, by] = self.kinds else { return Err(self.arity()) };
        match (of, &self.parts[1].expr) {
            (Kind::List(item), _) => expect(self.parts[1], by, &[Kind::Number]).map(|()| (**item).clone()),
            (Kind::Shell | Kind::Command, Expr::Literal(LiteralValue::String(name))) => {
                field(self.expr, of, name.inner())
            }
            (Kind::Map | Kind::Any, _) => Ok(Kind::Any),
            (other, _) => Err(problem(self.expr, format!("{} has no members", other.name()))),
        }
    }

    fn function(&self, as_method: bool) -> Result<Kind, Problem> {
        let list = Kind::List(Box::new(Kind::Any));
        let (first, more, result): (Vec<Kind>, &[Kind], Kind) = match self.name {
            "size" => (vec![Kind::Text, Kind::Bytes, Kind::Map, list], &[], Kind::Number),
            "contains" | "startsWith" | "endsWith" if as_method => {
                (vec![Kind::Text], &[Kind::Text], Kind::Bool)
            }
            "matches" => (vec![Kind::Text], &[Kind::Text], Kind::Bool),
            "int" | "uint" | "double" if !as_method => {
                (vec![Kind::Number, Kind::Text, Kind::Instant], &[], Kind::Number)
            }
            "string" if !as_method => {
                let shown = [Kind::Bool, Kind::Number, Kind::Text, Kind::Bytes, Kind::Instant, Kind::Span];
                (shown.to_vec(), &[], Kind::Text)
            }
            "timestamp" if !as_method => (vec![Kind::Text, Kind::Instant], &[], Kind::Instant),
            "duration" if !as_method => (vec![Kind::Text, Kind::Span], &[], Kind::Span),
            "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear"
            | "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds"
                if as_method =>
            {
                // The time zone may be given.
                let zone: &[Kind] = if self.kinds.len() == 2 { &[Kind::Text] } else { &[] };
                (vec![Kind::Instant, Kind::Span], zone, Kind::Number)
            }
            other => return Err(problem(self.expr, format!("unknown function `{other}`"))),
        };
        if self.kinds.len() != 1 + more.len() {
            return Err(self.arity());
        }
        expect(self.parts[0], &self.kinds[0], &first)?;
        for (index, kind) in more.iter().enumerate() {
            expect(self.parts[index + 1], &self.kinds[index + 1], std::slice::from_ref(kind))?;
        }
        if self.name == "matches" {
            regex_is_written_out(self.parts[1])?;
        }
        Ok(result)
    }

    fn arity(&self) -> Problem {
        problem(self.expr, format!("`{}` is given the wrong number of arguments", self.name))
    }
}

/// A pattern that came with a call could match what the caller likes.
fn regex_is_written_out(expr: &IdedExpr) -> Result<(), Problem> {
    let Expr::Literal(LiteralValue::String(pattern)) = &expr.expr else {
        return Err(problem(expr, "the pattern of `matches` must be written out"));
    };
    let invalid = |_| problem(expr, format!("`{}` is no regular expression", pattern.inner()));
    regex::Regex::new(pattern.inner()).map(drop).map_err(invalid)
}

fn field(expr: &IdedExpr, of: &Kind, name: &str) -> Result<Kind, Problem> {
    let texts = || Kind::List(Box::new(Kind::Text));
    let unknown = |known: &[&str]| {
        problem(expr, format!("unknown field `{name}` of {}; known: {}", of.name(), known.join(", ")))
    };
    match of {
        Kind::Any | Kind::Map => Ok(Kind::Any),
        Kind::Shell if name == "commands" => Ok(Kind::List(Box::new(Kind::Command))),
        Kind::Shell if SHELL_FIELDS.contains(&name) => Ok(texts()),
        Kind::Shell => Err(unknown(&SHELL_FIELDS)),
        Kind::Command if name == "program" => Ok(Kind::Text),
        Kind::Command if COMMAND_FIELDS.contains(&name) => Ok(texts()),
        Kind::Command => Err(unknown(&COMMAND_FIELDS)),
        Kind::Bool
        | Kind::Number
        | Kind::Text
        | Kind::Bytes
        | Kind::Null
        | Kind::Instant
        | Kind::Span
        | Kind::List(_) => Err(problem(expr, format!("{} has no field `{name}`", of.name()))),
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) | LiteralValue::Int(_) | LiteralValue::UInt(_) => Kind::Number,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::Text,
    }
}

/// Gives the kind that all of them are of.
fn common(kinds: &[Kind]) -> Kind {
    match kinds.split_first() {
        Some((first, rest)) if rest.iter().all(|kind| kind == first) => first.clone(),
        Some(_) | None => Kind::Any,
    }
}

fn expect(expr: &IdedExpr, found: &Kind, expected: &[Kind]) -> Result<(), Problem> {
    if found.is(expected) {
        return Ok(());
    }
    let names: Vec<_> = expected.iter().map(Kind::name).collect();
    Err(problem(expr, format!("expected {}, found {}", names.join(" or "), found.name())))
}

fn problem(expr: &IdedExpr, message: impl Into<String>) -> Problem {
    Problem { id: expr.id, message: message.into() }
}
