//! Reading a document that a person wrote: a cursor that knows where it stands, and the lints it leaves.
//!
//! A reader never stops at the first mistake: it notes a [`Lint`] with the place and goes on with what it can
//! read, so that one pass shows a person everything that is wrong.

use adjutant_model::Value;
use adjutant_model::value::Object;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// How bad a lint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LintLevel {
    /// The document can be used; what it says is probably not what was meant.
    Warning,
    /// The document cannot be used.
    Error,
}

/// Something that is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// How bad it is.
    pub level: LintLevel,
    /// A stable name in kebab case, such as `unknown-field`.
    pub name: &'static str,
    /// RFC 6901 pointer to the place; empty is the whole document.
    pub pointer: String,
    /// What is wrong, as a sentence fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Lint {
    /// Tells whether the document cannot be used because of it.
    pub fn is_error(&self) -> bool {
        self.level == LintLevel::Error
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "/" } else { &self.pointer };
        write!(f, "{place}: {} [{}]", self.message, self.name)
    }
}

/// The lints of one reading.
#[derive(Debug, Default)]
pub struct Lints(Vec<Lint>);

impl Lints {
    /// Notes an error at the cursor.
    pub fn error(&mut self, at: &Cursor<'_>, name: &'static str, message: impl Into<String>) {
        self.push(LintLevel::Error, at, name, message.into(), None);
    }

    /// Notes an error and what to do about it.
    pub fn error_with_hint(
        &mut self,
        at: &Cursor<'_>,
        name: &'static str,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(LintLevel::Error, at, name, message.into(), Some(hint.into()));
    }

    /// Notes a warning at the cursor.
    pub fn warning(&mut self, at: &Cursor<'_>, name: &'static str, message: impl Into<String>) {
        self.push(LintLevel::Warning, at, name, message.into(), None);
    }

    /// Notes a lint that was made elsewhere.
    pub fn note(&mut self, lint: Lint) {
        self.0.push(lint);
    }

    /// Tells whether an error was noted.
    pub fn has_error(&self) -> bool {
        self.0.iter().any(Lint::is_error)
    }

    /// Gives the lints in the order they were noted.
    pub fn into_vec(self) -> Vec<Lint> {
        self.0
    }

    fn push(
        &mut self,
        level: LintLevel,
        at: &Cursor<'_>,
        name: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        self.0.push(Lint { level, name, pointer: at.pointer(), message, hint });
    }
}

/// A value of a document and the way to it.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    value: &'a Value,
    step: Option<(&'a Cursor<'a>, Token<'a>)>,
}

#[derive(Debug, Clone, Copy)]
enum Token<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Cursor<'a> {
    /// Stands at the top of a document.
    pub fn root(value: &'a Value) -> Self {
        Cursor { value, step: None }
    }

    /// Gives the value it stands at.
    pub fn value(&self) -> &'a Value {
        self.value
    }

    /// Gives the RFC 6901 pointer to where it stands.
    pub fn pointer(&self) -> String {
        let mut tokens = Vec::new();
        let mut at = self;
        while let Some((parent, token)) = &at.step {
            tokens.push(match token {
                Token::Key(key) => key.replace('~', "~0").replace('/', "~1"),
                Token::Index(index) => index.to_string(),
            });
            at = parent;
        }
        tokens.iter().rev().fold(String::new(), |pointer, token| pointer + "/" + token)
    }

    /// Goes to a member; `None` when it is absent, or when this is no object.
    pub fn member(&'a self, key: &'a str) -> Option<Cursor<'a>> {
        let value = self.value.get(key)?;
        Some(Cursor { value, step: Some((self, Token::Key(key))) })
    }

    /// Goes to a member that must be there.
    pub fn required(&'a self, key: &'a str, lints: &mut Lints) -> Option<Cursor<'a>> {
        let found = self.member(key);
        if found.is_none() && self.value.as_object().is_some() {
            lints.error(self, "missing-field", format!("the field `{key}` is missing"));
        }
        found
    }

    /// Takes the object here and refuses every key that is not in `known`.
    pub fn object(&self, known: &[&str], lints: &mut Lints) -> Option<&'a Object> {
        let Some(object) = self.value.as_object() else {
            self.wrong_type("an object", lints);
            return None;
        };
        for (key, value) in object.iter() {
            if !known.contains(&&**key) {
                let at = Cursor { value, step: Some((self, Token::Key(key))) };
                let message = format!("unknown field `{key}`");
                lints.error_with_hint(
                    &at,
                    "unknown-field",
                    message,
                    format!("known here: {}", known.join(", ")),
                );
            }
        }
        Some(object)
    }

    /// Takes the entries of an object whose keys are free.
    pub fn entries(&'a self, lints: &mut Lints) -> Vec<(&'a str, Cursor<'a>)> {
        let Some(object) = self.value.as_object() else {
            self.wrong_type("an object", lints);
            return Vec::new();
        };
        object
            .iter()
            .map(|(key, value)| (&**key, Cursor { value, step: Some((self, Token::Key(key))) }))
            .collect()
    }

    /// Takes the elements of an array.
    pub fn elements(&'a self, lints: &mut Lints) -> Vec<Cursor<'a>> {
        let Some(items) = self.value.as_array() else {
            self.wrong_type("an array", lints);
            return Vec::new();
        };
        items
            .iter()
            .enumerate()
            .map(|(index, value)| Cursor { value, step: Some((self, Token::Index(index))) })
            .collect()
    }

    /// Takes a string.
    pub fn string(&self, lints: &mut Lints) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong_type("a string", lints);
        }
        text
    }

    /// Takes a boolean.
    pub fn boolean(&self, lints: &mut Lints) -> Option<bool> {
        match self.value {
            Value::Bool(b) => Some(*b),
            _ => {
                self.wrong_type("true or false", lints);
                None
            }
        }
    }

    /// Takes a whole number between `min` and `max`; `2.0` counts as whole.
    pub fn whole(&self, min: u64, max: u64, lints: &mut Lints) -> Option<u64> {
        let number = match self.value {
            Value::Number(n) => n.as_u64().or_else(|| {
                n.as_f64()
                    .filter(|f| f.fract() == 0.0 && *f >= 0.0 && *f <= 9_007_199_254_740_992.0)
                    .map(|f| f as u64)
            }),
            _ => None,
        };
        let found = number.filter(|n| (min..=max).contains(n));
        if found.is_none() {
            self.wrong_type(&format!("a whole number from {min} to {max}"), lints);
        }
        found
    }

    /// Notes that the value here is not `expected`.
    pub fn wrong_type(&self, expected: &str, lints: &mut Lints) {
        let shown: String = self.value.to_string().chars().take(40).collect();
        lints.error(
            self,
            "wrong-type",
            format!("expected {expected}, found {} `{shown}`", self.value.type_name()),
        );
    }
}

/// Reads TOML to the value that a [`Cursor`] goes through.
///
/// # Errors
/// Why it is no TOML, with line and column.
pub fn from_toml(text: &str) -> Result<Value, Lint> {
    let table = text.parse::<toml::Table>().map_err(|why| Lint {
        level: LintLevel::Error,
        name: "invalid-toml",
        pointer: String::new(),
        message: why.to_string().trim_end().to_owned(),
        hint: None,
    })?;
    Ok(value_of(toml::Value::Table(table)))
}

fn value_of(toml: toml::Value) -> Value {
    match toml {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Float(number) => Value::from_f64(number).unwrap_or_default(),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(instant) => Value::from(instant.to_string()),
        toml::Value::Array(items) => Value::array(items.into_iter().map(value_of)),
        toml::Value::Table(table) => {
            Value::object(table.into_iter().map(|(key, value)| (key, value_of(value))))
        }
    }
}

/// Gives the line of TOML, from 1, at which the place of a lint stands.
pub fn toml_line(text: &str, pointer: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let mut place = table.span();
    let mut at = Some(DeValue::Table(table.into_inner()));
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        at = match at {
            Some(DeValue::Table(members)) => {
                let (name, value) = members.into_iter().find(|(name, _)| name.get_ref() == &key)?;
                place = name.span();
                Some(value.into_inner())
            }
            Some(DeValue::Array(items)) => {
                let item = items.into_iter().nth(key.parse().ok()?)?;
                place = item.span();
                Some(item.into_inner())
            }
            Some(_) | None => return None,
        };
    }
    Some(text.get(..place.start)?.matches('\n').count() + 1)
}
