//! The text of `config.toml`: read strictly, and changed so that whatever else stands in it stays as it is.

use super::keys::{self, KEYS, Key, Kind};
use crate::telemetry;
use adjutant_model::Value;
use adjutant_model::value::Number;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use thiserror::Error;
use toml_edit::{Array, Document, DocumentMut, Formatted, Item, Table, TableLike};

/// A file that is larger is none that a person wrote.
const BYTES_MAX: u64 = 1 << 20;

/// A path is at most so long.
const PATH_BYTES_MAX: usize = 4096;

/// The keys that are set and their values, by their path.
pub(super) type Values = BTreeMap<KeyPath, Value>;

/// Why the file, or a change of it, cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is no TOML.
    #[error("{0}")]
    Syntax(String),
    /// There is no such key.
    #[error("{}`{key}` is no setting", place(*line))]
    Unknown {
        /// What was said, with its section.
        key: String,
        /// Where.
        line: Option<usize>,
    },
    /// A key does not take this value.
    #[error("{}`{key}` {wants}", place(*line))]
    Value {
        /// The key.
        key: String,
        /// What it takes: `is true or false`.
        wants: String,
        /// Where.
        line: Option<usize>,
    },
    /// The file cannot be read or written.
    #[error("it cannot be {done}: {source}")]
    Io {
        /// `read` or `written`.
        done: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ConfigError {
    /// Gives what to do about it.
    pub fn hint(&self) -> String {
        match self {
            ConfigError::Unknown { key, .. } => {
                let section = key.split('.').next().unwrap_or_default();
                let near: Vec<&str> =
                    KEYS.iter().map(|key| key.path).filter(|path| section_of(path) == section).collect();
                match near.is_empty() {
                    true => {
                        let mut sections: Vec<&str> = KEYS.iter().map(|key| section_of(key.path)).collect();
                        sections.dedup();
                        format!("the sections are {}", sections.join(", "))
                    }
                    false => format!("of this section there are {}", near.join(", ")),
                }
            }
            ConfigError::Value { line: None, .. } => {
                "`adjutant config show` lists the settings and what they are for".to_owned()
            }
            // What is in the file keeps that command from showing anything.
            ConfigError::Value { line: Some(_), .. } => "without the line its default holds".to_owned(),
            ConfigError::Syntax(_) => {
                "it is TOML: lines of `key = value` below lines of `[section]`".to_owned()
            }
            ConfigError::Io { .. } => "its owner and its mode say who may".to_owned(),
        }
    }
}

fn place(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("line {line}: "))
}

fn section_of(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// A key as it is said: its section, its name, and the name that a person has chosen.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    /// Reads a path such as `sessions.max_alive` or `prices."gpt-5.1"`.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        let unknown = || ConfigError::Unknown { key: text.chars().take(80).collect(), line: None };
        let parts = toml_edit::Key::parse(text).map_err(|_| unknown())?;
        let path = KeyPath(parts.iter().map(|part| part.get().to_owned()).collect());
        if path.key().is_none() { Err(unknown()) } else { Ok(path) }
    }

    /// Gives the row of the table that it stands in.
    pub(super) fn key(&self) -> Option<&'static Key> {
        KEYS.iter().find(|key| {
            let parts: Vec<&str> = key.path.split('.').collect();
            parts.len() == self.0.len()
                && parts
                    .iter()
                    .zip(&self.0)
                    .all(|(part, said)| *part == said || (*part == "*" && !said.is_empty()))
        })
    }

    /// Tells whether keys stand below it.
    fn is_section(&self) -> bool {
        KEYS.iter().any(|key| {
            let parts: Vec<&str> = key.path.split('.').collect();
            parts.len() > self.0.len() && parts.iter().zip(&self.0).all(|(part, said)| part == said)
        })
    }

    /// Gives its last part.
    pub(super) fn name(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    fn below(&self, name: &str) -> Self {
        KeyPath(self.0.iter().cloned().chain([name.to_owned()]).collect())
    }
}

impl std::fmt::Display for KeyPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, part) in self.0.iter().enumerate() {
            let dot = if place == 0 { "" } else { "." };
            write!(f, "{dot}{}", toml_edit::Key::new(part.as_str()).display_repr())?;
        }
        Ok(())
    }
}

/// Reads a file's text.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub(super) fn read(text: &str) -> Result<Values, ConfigError> {
    let document = parsed(text)?;
    let mut values = Values::new();
    collect(document.as_table(), &KeyPath(Vec::new()), text, &mut values)?;
    Ok(values)
}

fn parsed(text: &str) -> Result<Document<&str>, ConfigError> {
    Document::parse(text).map_err(|error| ConfigError::Syntax(error.to_string().trim_end().to_owned()))
}

fn collect(
    table: &dyn TableLike,
    path: &KeyPath,
    text: &str,
    values: &mut Values,
) -> Result<(), ConfigError> {
    for (name, item) in table.iter() {
        let at = path.below(name);
        let key_span = table.key(name).and_then(toml_edit::Key::span);
        let line = item.span().or(key_span).map(|span| line_of(text, &span));
        match (at.key(), item.as_table_like()) {
            (Some(key), _) => {
                let value = item.as_value().and_then(value_of).unwrap_or_default();
                key.kind.check(at.name(), &value).map_err(|wants| ConfigError::Value {
                    key: at.to_string(),
                    wants,
                    line,
                })?;
                values.insert(at, value);
            }
            (None, Some(below)) if at.is_section() => collect(below, &at, text, values)?,
            (None, None) if at.is_section() => {
                return Err(ConfigError::Value {
                    key: at.to_string(),
                    wants: "is a section".to_owned(),
                    line,
                });
            }
            (None, _) => return Err(ConfigError::Unknown { key: at.to_string(), line }),
        }
    }
    Ok(())
}

fn line_of(text: &str, span: &Range<usize>) -> usize {
    text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
}

fn value_of(value: &toml_edit::Value) -> Option<Value> {
    match value {
        toml_edit::Value::String(text) => Some(Value::from(text.value().as_str())),
        toml_edit::Value::Integer(number) => Some(Value::from(*number.value())),
        toml_edit::Value::Float(number) => Value::from_f64(*number.value()),
        toml_edit::Value::Boolean(switch) => Some(Value::from(*switch.value())),
        toml_edit::Value::Array(items) => {
            items.iter().map(value_of).collect::<Option<Vec<_>>>().map(Value::array)
        }
        toml_edit::Value::Datetime(_) | toml_edit::Value::InlineTable(_) => None,
    }
}

fn toml_of(value: &Value) -> toml_edit::Value {
    let number = |number: &Number| match number.as_i64() {
        Some(whole) => toml_edit::Value::from(whole),
        None => toml_edit::Value::from(number.as_f64().unwrap_or_default()),
    };
    match value {
        Value::Bool(switch) => toml_edit::Value::from(*switch),
        Value::Number(said) => number(said),
        Value::String(text) => toml_edit::Value::String(Formatted::new(text.to_string())),
        Value::Array(items) => {
            toml_edit::Value::Array(items.as_slice().iter().map(toml_of).collect::<Array>())
        }
        Value::Null | Value::Object(_) => unreachable!("no key takes it"),
    }
}

impl Kind {
    /// Looks whether a key of this name takes a value; says what it takes otherwise.
    pub(super) fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let wants = |fits: bool, what: String| if fits { Ok(()) } else { Err(what) };
        match self {
            Kind::Switch => wants(matches!(value, Value::Bool(_)), "is true or false".to_owned()),
            Kind::Whole(min, max) => {
                let number = if let Value::Number(number) = value { number.as_u64() } else { None };
                let what = match (min, number) {
                    (1, Some(0)) => "must be more than 0".to_owned(),
                    _ => format!("is a whole number from {min} to {max}"),
                };
                wants(number.is_some_and(|number| (*min..=*max).contains(&number)), what)
            }
            Kind::Text(bytes_max, check) => match value.as_str() {
                Some(text) if text.len() <= *bytes_max => check(text).map_err(str::to_owned),
                Some(_) | None => Err(format!("is a text of at most {bytes_max} bytes")),
            },
            Kind::File(_) => match value.as_str() {
                Some(text) if text.len() <= PATH_BYTES_MAX => keys::absolute(text).map_err(str::to_owned),
                Some(_) | None => Err(format!("is a text of at most {PATH_BYTES_MAX} bytes")),
            },
            Kind::Header(bytes_max) => {
                if !telemetry::is_header_name(name) {
                    return Err("is no name of a header".to_owned());
                }
                Kind::Text(*bytes_max, keys::printable).check(name, value)
            }
            Kind::Price => {
                let what = "is two numbers, US dollars per million tokens read and written: [3.0, 15.0]";
                wants(keys::price(value).is_some(), what.to_owned())
            }
        }
    }
}

/// Looks at the files that are named by what somebody sets.
///
/// # Errors
/// What is wrong with the first that cannot be used.
pub(super) fn look_at_files(changes: &[(KeyPath, Option<Value>)]) -> Result<(), ConfigError> {
    for (path, value) in changes {
        let Some(Key { kind: Kind::File(look), .. }) = path.key() else { continue };
        let Some(named) = value.as_ref().and_then(Value::as_str) else { continue };
        let wrong = |why| ConfigError::Value {
            key: path.to_string(),
            wants: format!("names a file that cannot be used: {why}"),
            line: None,
        };
        look(Path::new(named)).map_err(wrong)?;
    }
    Ok(())
}

/// Changes a text: `None` takes a key out. Everything else stays, comments included.
///
/// # Errors
/// When the text as it is cannot be used.
pub(super) fn edited(text: &str, changes: &[(KeyPath, Option<Value>)]) -> Result<String, ConfigError> {
    read(text)?;
    let mut text = text.to_owned();
    for (path, value) in changes {
        text = match value {
            Some(value) => with(&text, path, value)?,
            None => without(&text, path)?,
        };
    }
    Ok(text)
}

fn with(text: &str, path: &KeyPath, value: &Value) -> Result<String, ConfigError> {
    let mut document = parsed(text)?.into_mut();
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let (name, sections) = path.0.split_last().expect("a key has a name");
    for section in sections {
        let mut fresh = Table::new();
        // It is written only when something stands in it itself.
        fresh.set_implicit(true);
        let item = table.entry(section).or_insert(Item::Table(fresh));
        table = item.as_table_like_mut().expect("a section is a table, it was read above");
    }
    let mut fresh = toml_of(value);
    match table.get_mut(name).and_then(Item::as_value_mut) {
        Some(there) => {
            // What stands around the value, such as a comment behind it, is the person's.
            *fresh.decor_mut() = there.decor().clone();
            *there = fresh;
        }
        None => drop(table.insert(name, Item::Value(fresh))),
    }
    Ok(document.to_string())
}

fn without(text: &str, path: &KeyPath) -> Result<String, ConfigError> {
    let document = parsed(text)?;
    let mut table: &dyn TableLike = document.as_table();
    let (name, sections) = path.0.split_last().expect("a key has a name");
    let mut is_inline = false;
    for section in sections {
        let Some(item) = table.get(section) else { return Ok(text.to_owned()) };
        is_inline |= item.is_inline_table();
        let Some(below) = item.as_table_like() else { return Ok(text.to_owned()) };
        table = below;
    }
    let spans = table.get_key_value(name).and_then(|(key, item)| Some((key.span()?, item.span()?)));
    let Some((key, value)) = spans else { return Ok(text.to_owned()) };
    if is_inline {
        let mut document: DocumentMut = document.into_mut();
        remove(document.as_table_mut(), sections, name);
        return Ok(document.to_string());
    }
    // By its place, because the comment above belongs to the key for the library and would go with it.
    let from = text[..key.start].rfind('\n').map_or(0, |end| end + 1);
    let to = text[value.end..].find('\n').map_or(text.len(), |end| value.end + end + 1);
    let behind = text[value.end..to].trim();
    let kept = if behind.is_empty() { String::new() } else { format!("{behind}\n") };
    Ok(format!("{}{kept}{}", &text[..from], &text[to..]))
}

fn remove(table: &mut dyn TableLike, sections: &[String], name: &str) {
    match sections.split_first() {
        None => drop(table.remove(name)),
        Some((section, below)) => {
            if let Some(table) = table.get_mut(section).and_then(Item::as_table_like_mut) {
                remove(table, below, name);
            }
        }
    }
}

/// Gives the file's text, an empty one when there is no file.
pub(super) fn load(path: &Path) -> Result<String, ConfigError> {
    let read = |source| ConfigError::Io { done: "read", source };
    match fs::metadata(path) {
        Ok(found) if found.len() > BYTES_MAX => {
            Err(ConfigError::Syntax(format!("it has {} bytes, more than {BYTES_MAX}", found.len())))
        }
        Ok(_) => fs::read_to_string(path).map_err(read),
        // Below something that is no folder there is nothing either.
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            Ok(String::new())
        }
        Err(error) => Err(read(error)),
    }
}

/// A text that stands beside the file, on the disk, and takes its place in one move.
pub(super) struct Prepared {
    file: NamedTempFile,
    place: PathBuf,
}

/// Writes a text beside the file.
pub(super) fn prepare(path: &Path, text: &str) -> Result<Prepared, ConfigError> {
    let written = |source| ConfigError::Io { done: "written", source };
    // A link goes on pointing at the file.
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = place.parent().unwrap_or(Path::new("/"));
    let mode = fs::metadata(&place).map(|found| found.permissions());
    let mut file = NamedTempFile::with_prefix_in(".config.toml", folder).map_err(written)?;
    let write = |file: &mut NamedTempFile| {
        file.write_all(text.as_bytes())?;
        if let Ok(mode) = mode {
            file.as_file().set_permissions(mode)?;
        }
        file.as_file().sync_all()
    };
    write(&mut file).map_err(written)?;
    Ok(Prepared { file, place })
}

impl Prepared {
    /// Puts it in place, and returns when that is durable.
    pub(super) fn put(self) -> Result<(), ConfigError> {
        let written = |source| ConfigError::Io { done: "written", source };
        let folder = self.place.parent().unwrap_or(Path::new("/")).to_owned();
        self.file.persist(&self.place).map_err(|error| written(error.error))?;
        fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(written)
    }
}
