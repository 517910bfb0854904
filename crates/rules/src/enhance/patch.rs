//! Patches of blueprints: what a producer gives, read once at the edge, and RFC 6902 applied to the letter.
//!
//! A producer gives `{ops, bump?, rationale}`, or a text that holds it: a model often puts a fence of Markdown around
//! its JSON, and says something before and behind it. Operations are applied by a library that knows the standard;
//! here only what it may cost is bounded, because a `copy` of a document into itself doubles it each time.

use adjutant_model::Value;
use adjutant_model::value::{DEPTH_MAX, Number};
use json_patch::{PatchErrorKind, PatchOperation};
use std::fmt;

/// A patch has at most so many operations.
pub const OPS_MAX: usize = 1000;
/// A document, with all that a patch puts into it, takes at most so many bytes as JSON.
pub const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// A rationale has at most so many bytes.
pub const RATIONALE_BYTES_MAX: usize = 4 << 10;

/// What a producer of patches gives.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchSpec {
    /// The operations of RFC 6902; none is a legal "no change".
    pub ops: Vec<Value>,
    /// Which part of the version label rises.
    pub bump: Bump,
    /// Why, in words.
    pub rationale: String,
}

/// Which part of a version label rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Bump {
    Major,
    Minor,
    Patch,
}

impl Bump {
    /// All of them.
    pub const ALL: [Bump; 3] = [Bump::Major, Bump::Minor, Bump::Patch];

    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Bump::Major => "major",
            Bump::Minor => "minor",
            Bump::Patch => "patch",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bump| bump.as_str() == text)
    }
}

/// Why a producer's answer is no patch, or does not fit the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is a text without a patch in it.
    #[error("expected one JSON object {{ops, bump, rationale}}, found a text without one: {excerpt:?}")]
    NoJson {
        /// How the text begins.
        excerpt: String,
    },
    /// Something has the wrong form.
    #[error("`{field}` must be {expected}, found {found}")]
    Form {
        /// What.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// The type that was found, or `nothing`.
        found: String,
    },
    /// A member that no patch has.
    #[error("unknown field `{0}`; a patch has ops, bump and rationale")]
    UnknownField(String),
    /// There are too many operations.
    #[error("a patch has at most {OPS_MAX} operations, found {0}")]
    TooMany(usize),
    /// An operation cannot be read.
    #[error("operation {at} cannot be read: {why}")]
    Operation {
        /// Which, from 0.
        at: usize,
        /// What the reader said.
        why: String,
    },
    /// An operation does not fit the document.
    #[error("operation {at} ({op} {path:?}): {why}")]
    Unfit {
        /// Which, from 0.
        at: usize,
        /// What it does.
        op: &'static str,
        /// Where.
        path: String,
        /// What does not fit.
        why: &'static str,
    },
    /// The document would become too large or too deep.
    #[error(
        "operation {at} makes the document larger than {DOCUMENT_BYTES_MAX} bytes or deeper than {DEPTH_MAX}"
    )]
    TooLarge {
        /// Which, from 0.
        at: usize,
    },
}

/// Reads what a producer gave.
///
/// # Errors
/// [`PatchError`] with what is wrong and where.
pub fn read(given: &Value) -> Result<PatchSpec, PatchError> {
    let unfenced;
    let given = match given {
        Value::String(text) => {
            unfenced = unfence(text).ok_or_else(|| PatchError::NoJson { excerpt: excerpt(text) })?;
            &unfenced
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => given,
    };
    let Value::Object(object) = given else { return Err(form("patch", "an object", Some(given))) };
    if let Some((key, _)) = object.iter().find(|(key, _)| !["ops", "bump", "rationale"].contains(&&***key)) {
        return Err(PatchError::UnknownField(excerpt(key)));
    }
    let ops = match object.get("ops") {
        None => Vec::new(),
        Some(ops) => ops.as_array().ok_or_else(|| form("ops", "an array", Some(ops)))?.to_vec(),
    };
    if ops.len() > OPS_MAX {
        return Err(PatchError::TooMany(ops.len()));
    }
    let bump = match object.get("bump") {
        None => Bump::Patch,
        Some(bump) => bump
            .as_str()
            .and_then(Bump::parse)
            .ok_or_else(|| form("bump", "`major`, `minor` or `patch`", Some(bump)))?,
    };
    let rationale = object.get("rationale");
    let expected = "a text that says why, of at most 4 KiB";
    let rationale = rationale
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty() && text.len() <= RATIONALE_BYTES_MAX)
        .ok_or_else(|| form("rationale", expected, rationale))?;
    Ok(PatchSpec { ops, bump, rationale: rationale.to_owned() })
}

/// Takes the JSON out of a text: the text itself, or what stands between its fences.
///
/// Gives nothing when there is none, or when several fences hold some.
pub fn unfence(text: &str) -> Option<Value> {
    if let Ok(value) = serde_json::from_str(text.trim()) {
        return Some(value);
    }
    let mut found = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("```") {
            continue;
        }
        let inside: Vec<&str> =
            lines.by_ref().take_while(|line| !line.trim_start().starts_with("```")).collect();
        if let Ok(value) = serde_json::from_str(&inside.join("\n")) {
            if found.is_some() {
                return None;
            }
            found = Some(value);
        }
    }
    found
}

/// Applies the operations of RFC 6902 in order; gives the new document.
///
/// # Errors
/// [`PatchError`] at the first operation that cannot be read or does not fit.
pub fn apply(document: &Value, ops: &[Value]) -> Result<Value, PatchError> {
    if ops.len() > OPS_MAX {
        return Err(PatchError::TooMany(ops.len()));
    }
    let mut patched = plain(document);
    let mut left =
        DOCUMENT_BYTES_MAX.saturating_sub(usize::try_from(document.size_bytes()).unwrap_or(usize::MAX));
    for (at, op) in ops.iter().enumerate() {
        let read: PatchOperation = serde_json::from_value(plain(op))
            .map_err(|error| PatchError::Operation { at, why: error.to_string() })?;
        left = Cost::of(&read, &patched)
            .and_then(|cost| cost.within(left))
            .ok_or(PatchError::TooLarge { at })?;
        json_patch::patch_unsafe(&mut patched, std::slice::from_ref(&read)).map_err(|error| {
            PatchError::Unfit {
                at,
                op: name(&read),
                path: excerpt(error.path.as_str()),
                why: told(&error.kind),
            }
        })?;
    }
    Ok(Value::from(patched))
}

/// Raises a version label; one that is missing or no semantic version counts as `0.0.0`.
pub fn bumped(label: Option<&str>, bump: Bump) -> String {
    let numbers = label.and_then(|label| {
        let core = label.split(['-', '+']).next()?;
        let mut parts = core.split('.').map(|part| part.parse::<u32>().ok());
        let numbers = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(numbers)
    });
    let (major, minor, patch) = numbers.unwrap_or_default();
    match bump {
        Bump::Major => format!("{}.0.0", major.saturating_add(1)),
        Bump::Minor => format!("{major}.{}.0", minor.saturating_add(1)),
        Bump::Patch => format!("{major}.{minor}.{}", patch.saturating_add(1)),
    }
}

/// What an operation puts into a document.
struct Cost {
    bytes: usize,
    depth: usize,
}

impl Cost {
    /// Gives nothing when there is no end to it.
    fn of(op: &PatchOperation, document: &serde_json::Value) -> Option<Self> {
        let (source, path) = match op {
            PatchOperation::Add(op) => (Some(&op.value), &op.path),
            PatchOperation::Replace(op) => (Some(&op.value), &op.path),
            PatchOperation::Copy(op) => (document.pointer(op.from.as_str()), &op.path),
            PatchOperation::Move(op) => (document.pointer(op.from.as_str()), &op.path),
            PatchOperation::Remove(_) | PatchOperation::Test(_) => (None, op_path(op)),
        };
        let Cost { bytes, depth } = source.map_or(Cost { bytes: 0, depth: 0 }, weigh);
        // The last name of the path is what a new member is called.
        Some(Cost { bytes: bytes.checked_add(path.as_str().len())?, depth: depth + path.count() })
    }

    /// Gives what is left of a budget.
    fn within(&self, left: usize) -> Option<usize> {
        left.checked_sub(self.bytes).filter(|_| self.depth <= usize::from(DEPTH_MAX))
    }
}

fn op_path(op: &PatchOperation) -> &json_patch::jsonptr::PointerBuf {
    match op {
        PatchOperation::Add(op) => &op.path,
        PatchOperation::Remove(op) => &op.path,
        PatchOperation::Replace(op) => &op.path,
        PatchOperation::Move(op) => &op.path,
        PatchOperation::Copy(op) => &op.path,
        PatchOperation::Test(op) => &op.path,
    }
}

/// Weighs a value that nests no deeper than [`DEPTH_MAX`], which every document here does.
fn weigh(value: &serde_json::Value) -> Cost {
    let sum = |costs: &mut dyn Iterator<Item = Cost>| {
        costs.fold(Cost { bytes: 2, depth: 1 }, |sum, cost| Cost {
            bytes: sum.bytes.saturating_add(cost.bytes).saturating_add(1),
            depth: sum.depth.max(cost.depth + 1),
        })
    };
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) => Cost { bytes: 4, depth: 0 },
        serde_json::Value::Number(_) => Cost { bytes: 8, depth: 0 },
        serde_json::Value::String(text) => Cost { bytes: text.len() + 2, depth: 0 },
        serde_json::Value::Array(items) => sum(&mut items.iter().map(weigh)),
        serde_json::Value::Object(members) => sum(&mut members.iter().map(|(key, member)| {
            let Cost { bytes, depth } = weigh(member);
            Cost { bytes: bytes + key.len() + 3, depth }
        })),
    }
}

/// Gives a value as the library has it. Whole floats become integers, so that `test` compares numbers by value.
fn plain(value: &Value) -> serde_json::Value {
    match value {
        Value::Number(number) => serde_json::Value::Number(whole(number)),
        Value::Array(items) => serde_json::Value::Array(items.as_slice().iter().map(plain).collect()),
        Value::Object(object) => serde_json::Value::Object(
            object.iter().map(|(key, member)| (key.to_string(), plain(member))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::String(_) => value.into(),
    }
}

fn whole(number: &Number) -> Number {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() <= EXACT_MAX => {
            Number::from(float as i64)
        }
        Some(_) | None => number.clone(),
    }
}

fn name(op: &PatchOperation) -> &'static str {
    match op {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn told(kind: &PatchErrorKind) -> &'static str {
    match kind {
        PatchErrorKind::TestFailed => "the value there is another one",
        PatchErrorKind::InvalidFromPointer => "there is nothing at `from`",
        PatchErrorKind::InvalidPointer => "there is no such place",
        PatchErrorKind::CannotMoveInsideItself => "a value cannot be moved into itself",
        _ => "it does not fit the document",
    }
}

fn form(field: &'static str, expected: &'static str, found: Option<&Value>) -> PatchError {
    let found = found.map_or_else(
        || "nothing".to_owned(),
        |value| match value {
            Value::String(text) => format!("{:?}", excerpt(text)),
            other => other.type_name().to_owned(),
        },
    );
    PatchError::Form { field, expected, found }
}

fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

impl fmt::Display for Bump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
