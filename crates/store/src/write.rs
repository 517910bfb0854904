//! Writes as values: what is to change, what the journal says about it, and the fence it stands under.
//!
//! A [`Write`] is filled by typed methods that live beside their resource (`runs.rs`, `turns.rs`, …) and applied by
//! the writer as a whole or not at all. It never holds a connection, so it can be made, looked at and repeated
//! anywhere.

use crate::journal::EncodedDraft;
use adjutant_model::event::Event;
use adjutant_model::run::ErrorClass;
use adjutant_model::{RunId, Timestamp, Value};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;

/// The changes that are committed together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Write {
    fence: Option<Fence>,
    drafts: Vec<EncodedDraft>,
    statements: Vec<Statement>,
    /// The runs whose owner it changes.
    refenced: Vec<RunId>,
    /// What is to be left of what it removes.
    residue: Residue,
}

/// What may be left in the files of what a write removes or moves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Residue {
    /// Whatever nobody has written over yet.
    #[default]
    Any,
    /// Nothing in the pages that are free; the log has its pages as they were.
    InTheLog,
    /// Nothing.
    None,
}

/// Whose run it must still be when the write is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run_id: RunId,
    /// Who drives it.
    pub owner: Arc<str>,
    /// The owner's epoch.
    pub epoch: u64,
}

/// A row of the journal before the writer gives it its place and hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Cow<'static, str>,
    /// What it is about: a run's or goal's id, `blueprint:` and its id, or `plane`.
    pub subject: Arc<str>,
    /// What happened.
    pub event: Event,
}

/// One statement and how many rows it must change.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The text, with parameters `?1`, `?2`, ….
    pub sql: &'static str,
    /// The parameters in order.
    pub params: Vec<Param>,
    /// How many rows it must change; another number fails the write.
    pub rows: ExpectedRows,
}

/// A parameter of a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Param {
    /// `NULL`
    Null,
    /// A number, also an instant in milliseconds.
    Integer(i64),
    /// A text.
    Text(Cow<'static, str>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// The number that the store knows the run by; the writer looks it up.
    Run(RunId),
    /// The key of a turn: the run's number and the turn's index in one integer.
    Turn {
        /// The run.
        run_id: RunId,
        /// The turn's place in it.
        index: u64,
    },
}

/// How many rows a statement must change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedRows {
    /// So many, no more and no less.
    Exactly(usize),
    /// Any number.
    Any,
}

/// What a committed write is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The place of the write's last journal row; of the journal's last row when it had none.
    pub last_seq: i64,
}

/// Why a write was not committed; nothing of it was.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Another owner has taken the run over, or the run is not there.
    #[error("run {run_id} is not driven by {owner} at epoch {epoch} any more")]
    Fenced {
        /// The run.
        run_id: RunId,
        /// Who thought to drive it.
        owner: Arc<str>,
        /// The epoch it thought to have.
        epoch: u64,
    },
    /// A run that the write names is not there.
    #[error("run {run_id} is not in the store")]
    UnknownRun {
        /// The run.
        run_id: RunId,
    },
    /// A statement changed another number of rows than it must.
    #[error("a statement changed {found} rows where {expected} was expected: {sql}")]
    RowsUnexpected {
        /// The statement.
        sql: &'static str,
        /// How many it must change.
        expected: usize,
        /// How many it did.
        found: usize,
    },
    /// A turn's index is beyond what a run can hold.
    #[error("a run holds at most {max} turns, got index {index}")]
    TurnsExhausted {
        /// The index that was given.
        index: u64,
        /// How many turns a run can hold.
        max: u64,
    },
    /// A constraint of the schema refused it: a duplicate key or a reference to nothing.
    #[error("a constraint of the store refused the write")]
    Constraint(#[source] Arc<rusqlite::Error>),
    /// The disk is full; the write can be tried again when there is room.
    #[error("the disk that holds the store is full")]
    Full(#[source] Arc<rusqlite::Error>),
    /// The disk failed; the write can be tried again.
    #[error("the disk that holds the store failed")]
    Io(#[source] Arc<rusqlite::Error>),
    /// A statement that the database does not take.
    #[error("the database did not take a statement")]
    Statement(#[source] Arc<rusqlite::Error>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl WriteError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            WriteError::Full(_) | WriteError::Io(_) => ErrorClass::Retry,
            WriteError::Fenced { .. }
            | WriteError::UnknownRun { .. }
            | WriteError::RowsUnexpected { .. }
            | WriteError::Closed => ErrorClass::Gone,
            WriteError::TurnsExhausted { .. } => ErrorClass::User,
            WriteError::Constraint(_) | WriteError::Statement(_) => ErrorClass::Bug,
        }
    }

    /// Tells whether it is the disk's doing, so that it concerns every write and not this one alone.
    pub(crate) fn is_of_the_disk(&self) -> bool {
        match self {
            WriteError::Full(_) | WriteError::Io(_) => true,
            WriteError::Fenced { .. }
            | WriteError::UnknownRun { .. }
            | WriteError::RowsUnexpected { .. }
            | WriteError::TurnsExhausted { .. }
            | WriteError::Constraint(_)
            | WriteError::Statement(_)
            | WriteError::Closed => false,
        }
    }
}

impl Write {
    /// Makes an empty write that is refused unless `fence` holds.
    pub fn fenced(fence: Fence) -> Self {
        Write { fence: Some(fence), ..Write::default() }
    }

    /// Adds a journal row; rows get their places in the order they are added.
    ///
    /// The row is serialised here and not by the writer, so that many callers share this work.
    pub fn journal(&mut self, draft: Draft) -> &mut Self {
        self.drafts.push(EncodedDraft::from(draft));
        self
    }

    /// Adds what `other` holds behind what is here; the fence stays this write's own.
    pub fn append(&mut self, other: Write) -> &mut Self {
        self.drafts.extend(other.drafts);
        self.statements.extend(other.statements);
        self.refenced.extend(other.refenced);
        self.residue = self.residue.max(other.residue);
        self
    }

    /// Gives the fence.
    pub fn fence(&self) -> Option<&Fence> {
        self.fence.as_ref()
    }

    /// Gives the journal rows to be.
    pub(crate) fn drafts(&self) -> &[EncodedDraft] {
        &self.drafts
    }

    /// Gives the runs whose owner it changes.
    pub(crate) fn refenced(&self) -> &[RunId] {
        &self.refenced
    }

    /// Notes that the write changes a run's owner.
    pub(crate) fn refence(&mut self, run_id: &RunId) -> &mut Self {
        self.refenced.push(run_id.clone());
        self
    }

    /// Says what is to be left in the files of what the write removes; the least of what is said holds.
    pub(crate) fn leave(&mut self, residue: Residue) -> &mut Self {
        self.residue = self.residue.max(residue);
        self
    }

    /// Gives what is to be left in the files of what the write removes.
    pub(crate) fn residue(&self) -> Residue {
        self.residue
    }

    /// Gives the statements in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Gives how many statements and journal rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.drafts.len() + self.statements.len()
    }

    /// Tells whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.statements.is_empty()
    }

    pub(crate) fn push(&mut self, sql: &'static str, rows: ExpectedRows, params: Vec<Param>) -> &mut Self {
        self.statements.push(Statement { sql, params, rows });
        self
    }

    /// Makes the parameter of a column that holds JSON; a large one goes to a blob, which is added to the write.
    pub(crate) fn content(&mut self, value: Option<&Value>) -> Param {
        self.content_json(value.map(Json::of))
    }

    /// As [`Write::content`], for what is JSON already.
    pub(crate) fn content_json(&mut self, json: Option<Json>) -> Param {
        match json {
            Some(Json(text)) => self.content_put(text),
            None => Param::Null,
        }
    }
}

/// A value as JSON text, made once for all who store or hash it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Takes a value's JSON.
    pub fn of(value: &Value) -> Self {
        Json(json_text(value))
    }

    /// Takes a record's JSON.
    pub fn of_record<T: Serialize>(record: &T) -> Self {
        Json(json_text(record))
    }

    /// Gives SHA-256 of the text as 64 hex digits.
    pub fn sha256(&self) -> String {
        format!("{:x}", Sha256::digest(&self.0))
    }
}

/// Gives the JSON of a record of the model.
pub(crate) fn json_text<T: Serialize>(record: &T) -> String {
    serde_json::to_string(record).expect("records of the model have string keys and finite numbers only")
}

impl Param {
    pub(crate) fn json<T: Serialize>(record: Option<&T>) -> Param {
        record.map_or(Param::Null, |record| Param::from(json_text(record)))
    }

    pub(crate) fn text(text: &str) -> Param {
        Param::Text(Cow::Owned(text.to_owned()))
    }

    pub(crate) fn text_or_null(text: Option<&str>) -> Param {
        text.map_or(Param::Null, Param::text)
    }

    pub(crate) fn at(at: Option<Timestamp>) -> Param {
        at.map_or(Param::Null, Param::from)
    }
}

impl From<&'static str> for Param {
    fn from(text: &'static str) -> Self {
        Param::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Param {
    fn from(text: String) -> Self {
        Param::Text(Cow::Owned(text))
    }
}

impl From<Timestamp> for Param {
    fn from(at: Timestamp) -> Self {
        Param::Integer(at.unix_ms())
    }
}

impl From<u32> for Param {
    fn from(number: u32) -> Self {
        Param::Integer(i64::from(number))
    }
}

impl From<u64> for Param {
    /// A number beyond what the database can hold becomes the largest that it can.
    fn from(number: u64) -> Self {
        Param::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }
}
