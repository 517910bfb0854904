//! What conditions are evaluated over: a call as values of CEL, made once, when the first condition asks.

use super::super::Subject;
use adjutant_model::Value;
use adjutant_model::shell::{ShellCommand, ShellLine};
use cel::objects::{Key, Map};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A call as conditions see it.
pub(in crate::policy) struct Facts<'a> {
    subject: &'a Subject<'a>,
    longest: OnceCell<u64>,
    context: OnceCell<cel::Context<'static, 'static>>,
}

impl<'a> Facts<'a> {
    pub(in crate::policy) fn new(subject: &'a Subject<'a>) -> Self {
        Facts { subject, longest: OnceCell::new(), context: OnceCell::new() }
    }

    /// Gives the length of the longest list, map or string that a loop or search could go over; at least 2.
    pub(super) fn longest(&self) -> u64 {
        *self.longest.get_or_init(|| {
            let shell = self.subject.shell.map_or(0, |line| {
                line.commands.iter().map(|command| command.args.len() + command.writes.len() + 1).sum()
            });
            longest(self.subject.parameters).max(longest(self.subject.state)).max(shell).max(2) as u64
        })
    }

    pub(super) fn context(&self, env: &Arc<cel::Env>) -> &cel::Context<'static, 'static> {
        self.context.get_or_init(|| {
            let mut context = cel::Context::with_env(Arc::clone(env));
            for (name, value) in variables(self.subject) {
                context.add_variable_from_value(name, value);
            }
            context
        })
    }
}

fn variables(subject: &Subject<'_>) -> [(&'static str, cel::Value); 10] {
    let optional = |name: Option<&str>| text(name.unwrap_or_default());
    [
        ("tool", text(subject.tool)),
        ("parameters", value(subject.parameters)),
        ("shell", subject.shell.map_or_else(|| line(&ShellLine::default()), line)),
        ("agent", optional(subject.agent)),
        ("session", optional(subject.session)),
        ("project", optional(subject.project)),
        ("run", optional(subject.run)),
        ("workspace", optional(subject.workspace)),
        ("state", value(subject.state)),
        ("now", instant(subject.now)),
    ]
}

fn longest(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(items) => {
            let items = items.as_slice();
            items.iter().map(longest).max().unwrap_or(0).max(items.len())
        }
        Value::Object(object) => {
            let within = object.iter().map(|(_, member)| longest(member)).max();
            within.unwrap_or(0).max(object.iter().count())
        }
    }
}

fn value(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => cel::Value::Int(number),
            (None, Some(number)) => cel::Value::UInt(number),
            (None, None) => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(string) => text(string),
        Value::Array(items) => list(items.as_slice().iter().map(self::value)),
        Value::Object(object) => map(object.iter().map(|(key, member)| (&**key, self::value(member)))),
    }
}

fn line(line: &ShellLine) -> cel::Value {
    let all = |of: fn(&ShellCommand) -> &Vec<String>| texts(line.commands.iter().flat_map(of));
    map([
        ("commands", list(line.commands.iter().map(command))),
        ("programs", texts(line.commands.iter().map(|command| &command.program))),
        ("args", all(|command| &command.args)),
        ("paths", all(|command| &command.paths)),
        ("hosts", all(|command| &command.hosts)),
        ("writes", all(|command| &command.writes)),
        ("opaque", texts(&line.opaque)),
    ])
}

fn command(command: &ShellCommand) -> cel::Value {
    map([
        ("program", text(&command.program)),
        ("args", texts(&command.args)),
        ("flags", texts(&command.flags)),
        ("operands", texts(&command.operands)),
        ("paths", texts(&command.paths)),
        ("hosts", texts(&command.hosts)),
        ("writes", texts(&command.writes)),
        ("wrappers", texts(&command.wrappers)),
    ])
}

fn instant(at: adjutant_model::Timestamp) -> cel::Value {
    chrono::DateTime::from_timestamp_millis(at.unix_ms())
        .map_or(cel::Value::Null, |instant| cel::Value::Timestamp(instant.fixed_offset()))
}

fn text(text: &str) -> cel::Value {
    cel::Value::String(Arc::new(text.to_owned()))
}

fn texts<'a>(items: impl IntoIterator<Item = &'a String>) -> cel::Value {
    list(items.into_iter().map(|item| text(item)))
}

fn list(items: impl Iterator<Item = cel::Value>) -> cel::Value {
    cel::Value::List(Arc::new(items.collect()))
}

fn map<'a>(members: impl IntoIterator<Item = (&'a str, cel::Value)>) -> cel::Value {
    let key = |key: &str| Key::String(Arc::new(key.to_owned()));
    let members: HashMap<Key, cel::Value> =
        members.into_iter().map(|(name, value)| (key(name), value)).collect();
    cel::Value::Map(Map { map: Arc::new(members) })
}
