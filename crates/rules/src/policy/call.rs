//! A call as the rules look at it: its parameters as texts, and what its shell lines would start.

use super::condition::Facts;
use super::outside::Ground;
use super::{Subject, shell};
use adjutant_model::Value;
use adjutant_model::shell::ShellCommand;
use std::collections::BTreeMap;

/// A call that is being judged; what several rules ask of it is made once.
pub(super) struct Call<'a> {
    pub(super) subject: &'a Subject<'a>,
    pub(super) facts: Facts<'a>,
    /// Why its shell lines cannot be told to the end; `None` when they can, or when there are none.
    pub(super) unread: Option<String>,
    texts: BTreeMap<(Naming, &'a str), Vec<String>>,
}

/// How a rule names parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// By exactly this key.
    Plain,
    /// By one key, by several with `|` between them, or by `*` for any, nested ones included.
    Pattern,
}

impl<'a> Call<'a> {
    pub(super) fn new(subject: &'a Subject<'a>) -> Self {
        Call { subject, facts: Facts::new(subject), unread: unread(subject), texts: BTreeMap::new() }
    }

    /// Gives the texts of the parameter with this key; of shell text also each command's canonical text.
    pub(super) fn texts_of(&mut self, key: &'a str) -> &[String] {
        let subject = self.subject;
        self.texts.entry((Naming::Plain, key)).or_insert_with(|| {
            let own = own_texts(subject.parameters.get(key));
            let commands = (!own.is_empty() && shell::is_key(key)).then(|| canonical_texts(subject));
            own.into_iter().chain(commands.into_iter().flatten()).collect()
        })
    }

    /// Gives the texts of the parameters that a rule names; of shell text also each command's canonical text.
    pub(super) fn texts_named_by(&mut self, key: &'a str) -> &[String] {
        let subject = self.subject;
        self.texts.entry((Naming::Pattern, key)).or_insert_with(|| {
            let own: Vec<_> = match key {
                "*" => any_texts(subject.parameters),
                key => key.split('|').flat_map(|key| own_texts(subject.parameters.get(key))).collect(),
            };
            let commands =
                (key == "*" || self::names_shell_text(subject, key)).then(|| canonical_texts(subject));
            own.into_iter().chain(commands.into_iter().flatten()).collect()
        })
    }

    /// Tells whether a rule names shell text by its key, and the call has some there.
    pub(super) fn names_shell_text(&self, key: &str) -> bool {
        names_shell_text(self.subject, key)
    }

    /// Tells whether there are commands and each is certain to be what `fits` says.
    pub(super) fn every_command(&self, fits: impl Fn(&ShellCommand, &Ground<'_>) -> bool) -> bool {
        let Some(line) = self.subject.shell.filter(|line| !line.commands.is_empty()) else { return false };
        let mut ground = Ground::at_start(self.subject.workspace, line);
        self.unread.is_none()
            && line.commands.iter().all(|command| {
                let here = ground;
                ground = ground.after(command);
                fits(command, &here)
            })
    }
}

/// Writes a command with single spaces and without quotes.
pub(super) fn canonical(command: &ShellCommand) -> String {
    let words: Vec<_> = std::iter::once(&command.program).chain(&command.args).map(String::as_str).collect();
    words.join(" ")
}

fn canonical_texts(subject: &Subject<'_>) -> Vec<String> {
    subject.shell.map(|line| line.commands.iter().map(canonical).collect()).unwrap_or_default()
}

fn names_shell_text(subject: &Subject<'_>, key: &str) -> bool {
    key.split('|').any(|key| shell::is_key(key) && subject.parameters.get(key).is_some())
}

fn unread(subject: &Subject<'_>) -> Option<String> {
    let Some(line) = subject.shell else {
        let has_text = !shell::shell_texts(subject.parameters).is_empty();
        return has_text.then(|| "nobody has read the command line".to_owned());
    };
    let unknown = || {
        let nameless = line.commands.iter().any(|command| command.program.is_empty());
        nameless.then(|| "only the run can tell which program it starts".to_owned())
    };
    line.opaque.first().cloned().or_else(unknown)
}

/// A string as it is, anything else as JSON; an argument list also as one line.
fn own_texts(value: Option<&Value>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let text = match value {
        Value::String(text) => text.to_string(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    std::iter::once(text).chain(line_of(value)).collect()
}

fn any_texts(parameters: &Value) -> Vec<String> {
    let mut texts = Vec::new();
    let mut take = |value| {
        texts.extend(own_texts(Some(value)));
        nested_texts(value, &mut texts);
    };
    match parameters {
        Value::Object(object) => object.iter().for_each(|(_, value)| take(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            take(parameters)
        }
    }
    texts
}

/// Takes the scalars and argument lists below a value; a container's own JSON is not repeated on every level.
fn nested_texts(value: &Value, texts: &mut Vec<String>) {
    let mut take = |child: &Value| match child {
        Value::Array(_) | Value::Object(_) => {
            texts.extend(line_of(child));
            nested_texts(child, texts);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            texts.extend(own_texts(Some(child)))
        }
    };
    match value {
        Value::Array(items) => items.as_slice().iter().for_each(take),
        Value::Object(object) => object.iter().for_each(|(_, member)| take(member)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn line_of(value: &Value) -> Option<String> {
    let words = value.as_array()?.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
    Some(words.join(" "))
}
