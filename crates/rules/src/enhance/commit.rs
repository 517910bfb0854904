//! What an epoch ends with: `ctx.commit`, read strictly.
//!
//! Each violation has a text of its own, so that whoever wrote the flow sees what it must give. What else a flow says
//! there is its own affair.

use adjutant_model::Value;
use adjutant_model::issue::{AxisStatus, Verdict};
use adjutant_model::value::Object;
use thiserror::Error;

/// What an epoch decided.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// The blueprint is to become another one.
    Applied(Applied),
    /// It stays as it is.
    Rejected {
        /// Why, at least one.
        reasons: Vec<String>,
        /// Why it was to change.
        rationale: String,
        /// What each axis said.
        verdicts: Vec<Verdict>,
    },
}

/// The blueprint that an epoch gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The hash that the flow gives for it.
    pub new_version: String,
    /// The document.
    pub new_bp: Value,
    /// Why it changes.
    pub rationale: String,
    /// What each axis said.
    pub verdicts: Vec<Verdict>,
}

/// How `ctx.commit` is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CommitShape {
    #[error("commit shape: the final context has no `commit`")]
    Missing,
    #[error("commit shape: `commit` must be an object, found {found}")]
    NotAnObject { found: &'static str },
    #[error("commit shape: `{field}` is missing")]
    FieldMissing { field: String },
    #[error("commit shape: `{field}` must be {expected}, found {found}")]
    WrongType { field: String, expected: &'static str, found: &'static str },
    #[error("commit shape: `{field}` is empty")]
    Empty { field: String },
    #[error("commit shape: `{field}` is `{found}`, and must be {expected}")]
    WrongValue { field: String, found: String, expected: &'static str },
    #[error("commit shape: it is committed although the axis `{axis}` denies it")]
    Denied { axis: String },
    #[error("commit shape: `new_version` is {given}, and the hash of `new_bp_json` is {found}")]
    VersionMismatch { given: String, found: String },
    #[error("commit shape: `new_bp_json.id` is {found}, and the id of `{blueprint_id}` cannot change")]
    IdChanged { blueprint_id: String, found: String },
}

/// Reads the decision out of an epoch's final context.
///
/// # Errors
/// [`CommitShape`] for the first thing that is not as it must be.
pub fn read(final_ctx: &Value) -> Result<Decision, CommitShape> {
    let commit = final_ctx.get("commit").ok_or(CommitShape::Missing)?;
    let object = commit.as_object().ok_or_else(|| CommitShape::NotAnObject { found: commit.type_name() })?;
    let at = At { object, prefix: String::new() };
    let committed = match at.required("committed")? {
        Value::Bool(committed) => *committed,
        other => return Err(at.wrong("committed", "true or false", other)),
    };
    let rationale = at.text("rationale")?.to_owned();
    let verdicts = verdicts(&at)?;
    if !committed {
        return Ok(Decision::Rejected { reasons: reasons(&at)?, rationale, verdicts });
    }
    let denied = verdicts.iter().find(|verdict| verdict.status == AxisStatus::Deny);
    if let Some(verdict) = denied {
        return Err(CommitShape::Denied { axis: verdict.axis.clone() });
    }
    let new_version = at.text("new_version")?.to_owned();
    match new_version.as_str() {
        "" => return Err(CommitShape::Empty { field: "new_version".to_owned() }),
        text if text.len() != 64
            || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) =>
        {
            return Err(at.value("new_version", text, "64 hex digits"));
        }
        _ => {}
    }
    let bump = at.text("bump")?;
    if super::patch::Bump::parse(bump).is_none() {
        return Err(at.value("bump", bump, "major, minor or patch"));
    }
    let new_bp = at.required("new_bp_json")?;
    if new_bp.as_object().is_none() {
        return Err(at.wrong("new_bp_json", "an object", new_bp));
    }
    Ok(Decision::Applied(Applied { new_version, new_bp: new_bp.clone(), rationale, verdicts }))
}

impl Applied {
    /// Looks whether the document is the one that the epoch was about and that its version names; `hash` is the
    /// document's. To be asked before anything is written.
    ///
    /// # Errors
    /// [`CommitShape::VersionMismatch`], [`CommitShape::IdChanged`]
    pub fn check(&self, blueprint_id: &str, hash: &str) -> Result<(), CommitShape> {
        let id = self.new_bp.get("id").unwrap_or(&Value::Null);
        if id.as_str() != Some(blueprint_id) {
            let found = id.to_string().chars().take(80).collect();
            return Err(CommitShape::IdChanged { blueprint_id: blueprint_id.to_owned(), found });
        }
        if self.new_version != hash {
            let (given, found) = (self.new_version.clone(), hash.to_owned());
            return Err(CommitShape::VersionMismatch { given, found });
        }
        Ok(())
    }
}

fn reasons(at: &At<'_>) -> Result<Vec<String>, CommitShape> {
    let items = at.array("reasons")?;
    if items.is_empty() {
        return Err(CommitShape::Empty { field: "reasons".to_owned() });
    }
    let text = |(index, item): (usize, &Value)| match item.as_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(at.wrong(&format!("reasons[{index}]"), "a text", item)),
    };
    items.iter().enumerate().map(text).collect()
}

fn verdicts(at: &At<'_>) -> Result<Vec<Verdict>, CommitShape> {
    at.array("verdicts_summary")?.iter().enumerate().map(|(index, item)| verdict(at, index, item)).collect()
}

fn verdict(above: &At<'_>, index: usize, item: &Value) -> Result<Verdict, CommitShape> {
    let place = format!("verdicts_summary[{index}]");
    let object = item.as_object().ok_or_else(|| above.wrong(&place, "an object", item))?;
    let at = At { object, prefix: format!("{place}.") };
    let axis = at.text("axis")?.to_owned();
    let (status, detail) = match at.text("status")? {
        "pass" => (AxisStatus::Pass, "evidence"),
        "deny" => (AxisStatus::Deny, "reason"),
        other => return Err(at.value("status", other, "pass or deny")),
    };
    Ok(Verdict { axis, status, detail: at.text(detail)?.to_owned() })
}

/// An object and the way to it.
struct At<'a> {
    object: &'a Object,
    prefix: String,
}

impl<'a> At<'a> {
    fn required(&self, key: &str) -> Result<&'a Value, CommitShape> {
        self.object.get(key).ok_or_else(|| CommitShape::FieldMissing { field: self.named(key) })
    }

    fn text(&self, key: &str) -> Result<&'a str, CommitShape> {
        let value = self.required(key)?;
        value.as_str().ok_or_else(|| self.wrong(key, "a text", value))
    }

    fn array(&self, key: &str) -> Result<&'a [Value], CommitShape> {
        let value = self.required(key)?;
        value.as_array().ok_or_else(|| self.wrong(key, "an array", value))
    }

    fn wrong(&self, key: &str, expected: &'static str, found: &Value) -> CommitShape {
        CommitShape::WrongType { field: self.named(key), expected, found: found.type_name() }
    }

    fn value(&self, key: &str, found: &str, expected: &'static str) -> CommitShape {
        CommitShape::WrongValue { field: self.named(key), found: found.chars().take(80).collect(), expected }
    }

    fn named(&self, key: &str) -> String {
        let key: String = key.chars().take(80).collect();
        format!("{}{key}", self.prefix)
    }
}
