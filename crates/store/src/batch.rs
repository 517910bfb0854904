//! One transaction for many writes, of which one that fails never fails the others.
//!
//! The batch is first tried as it is. When a write fails by its own fault, which is rare, all is undone and tried again
//! with each write under a savepoint, so that the one is undone alone. When the disk fails, the whole transaction is
//! undone and no write of it counts. Either way the ledger is left as the database is.

use crate::dialect::{self, write_error};
use crate::journal::{EncodedDraft, HEAD_LAG_MAX, NO_PREVIOUS, RowContent, RowHash};
use crate::recent::Recent;
use crate::turns::{TURNS_MAX, turn_key};
use crate::write::{Committed, ExpectedRows, Fence, Param, Residue, Statement, Write, WriteError};
use adjutant_model::RunId;
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use std::sync::Arc;

/// How many subjects' heads and runs' numbers a generation remembers; about 100 bytes each. More than the head may
/// lag, so that the subjects of the rows behind it are never forgotten by age.
const GENERATION_LEN: usize = 4096;

/// What the writer knows of the database without asking it.
#[derive(Debug)]
pub(crate) struct Ledger {
    place: Place,
    /// Whether `heads` holds the subject of every row behind the journal's head.
    tail: Tail,
    heads: Recent<Arc<str>, RowHash>,
    runs: Recent<RunId, i64>,
    /// The fences that held when they were last looked at; only this writer changes a run's owner.
    fences: Recent<RunId, Held>,
}

/// Who drives a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    owner: Arc<str>,
    epoch: u64,
}

/// How far the journal goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The last row.
    seq: i64,
    /// The last row that the head counts and `journal_places` knows.
    head: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    Known,
    Forgotten,
}

impl Ledger {
    /// Begins where the journal ends and its head stands.
    pub(crate) fn new(seq: i64) -> Self {
        Ledger {
            place: Place { seq, head: seq },
            tail: Tail::Known,
            heads: Recent::new(GENERATION_LEN),
            runs: Recent::new(GENERATION_LEN),
            fences: Recent::new(GENERATION_LEN),
        }
    }

    /// Gives the place of the journal's last row.
    pub(crate) fn seq(&self) -> i64 {
        self.place.seq
    }

    /// Tells whether the head is behind the last row.
    pub(crate) fn head_lags(&self) -> bool {
        self.place.head < self.place.seq
    }

    /// Goes back to `place`, and forgets what may come from rows that were undone.
    fn undo_to(&mut self, place: Place) {
        self.place = place;
        self.tail = if self.head_lags() { Tail::Forgotten } else { Tail::Known };
        self.heads.clear();
        self.runs.clear();
        self.fences.clear();
    }
}

/// Brings the head up to the last row, in a transaction of its own.
///
/// # Errors
/// The disk's [`WriteError`]; the head stays where it was then.
pub(crate) fn head_catch_up(db: &Connection, ledger: &mut Ledger) -> Result<(), WriteError> {
    let before = ledger.place;
    let moved =
        run(db, "BEGIN IMMEDIATE").and_then(|()| head_move(db, ledger)).and_then(|()| run(db, "COMMIT"));
    if moved.is_err() {
        rollback(db);
        ledger.undo_to(before);
    }
    moved
}

/// Commits what it can of `entries` in one transaction and answers each.
///
/// # Errors
/// The disk's [`WriteError`]; nothing was committed then.
pub(crate) fn commit(
    db: &Connection,
    ledger: &mut Ledger,
    entries: &[&Write],
) -> Result<Vec<Result<Committed, WriteError>>, WriteError> {
    let before = ledger.place;
    let outcome = match transact(db, ledger, entries, Undo::All) {
        Ok(answers) if answers.len() < entries.len() => transact(db, ledger, entries, Undo::One),
        outcome => outcome,
    };
    if outcome.is_err() {
        rollback(db);
        ledger.undo_to(before);
    }
    outcome
}

/// What is undone when a write fails by its own fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// The transaction, which ends there.
    All,
    /// The write.
    One,
}

/// Answers fewer than all the entries when one of several failed and all was undone.
fn transact(
    db: &Connection,
    ledger: &mut Ledger,
    entries: &[&Write],
    undo: Undo,
) -> Result<Vec<Result<Committed, WriteError>>, WriteError> {
    let before = ledger.place;
    if !db.is_autocommit() {
        // A rollback that failed has left a transaction open.
        run(db, "ROLLBACK")?;
    }
    run(db, "BEGIN IMMEDIATE")?;
    let mut answers = Vec::with_capacity(entries.len());
    for entry in entries {
        let answer = match undo {
            Undo::All => apply(db, ledger, entry),
            Undo::One => apply_under_savepoint(db, ledger, entry),
        };
        match (answer, undo) {
            (Err(error), _) if error.is_of_the_disk() => return Err(error),
            (Err(_), Undo::All) if entries.len() > 1 => {
                rollback(db);
                ledger.undo_to(before);
                return Ok(Vec::new());
            }
            (answer, _) => answers.push(answer),
        }
    }
    if answers.iter().all(Result::is_err) {
        rollback(db);
        ledger.undo_to(before);
        return Ok(answers);
    }
    run(db, "COMMIT")?;
    Ok(answers)
}

fn apply_under_savepoint(
    db: &Connection,
    ledger: &mut Ledger,
    entry: &Write,
) -> Result<Committed, WriteError> {
    let before = ledger.place;
    run(db, "SAVEPOINT entry")?;
    let answer = apply(db, ledger, entry);
    match &answer {
        Ok(_) => {}
        // The whole transaction goes, and the first error says why.
        Err(error) if error.is_of_the_disk() => return answer,
        Err(_) => {
            run(db, "ROLLBACK TO entry")?;
            ledger.undo_to(before);
        }
    }
    run(db, "RELEASE entry")?;
    answer
}

fn apply(db: &Connection, ledger: &mut Ledger, entry: &Write) -> Result<Committed, WriteError> {
    if let Some(fence) = entry.fence() {
        fence_check(db, ledger, fence)?;
    }
    match entry.residue() {
        Residue::Any => execute_all(db, ledger, entry.statements())?,
        Residue::InTheLog | Residue::None => {
            dialect::wiping(db, || execute_all(db, ledger, entry.statements()))?;
        }
    }
    for run_id in entry.refenced() {
        ledger.fences.remove(run_id);
        ledger.runs.remove(run_id);
    }
    for draft in entry.drafts() {
        journal_append(db, ledger, draft)?;
    }
    Ok(Committed { last_seq: ledger.place.seq })
}

fn fence_check(db: &Connection, ledger: &mut Ledger, fence: &Fence) -> Result<(), WriteError> {
    let claimed = Held { owner: fence.owner.clone(), epoch: fence.epoch };
    if ledger.fences.get(&fence.run_id) == Some(claimed.clone()) {
        return Ok(());
    }
    let epoch = i64::try_from(fence.epoch).unwrap_or(i64::MAX);
    let mut statement = prepare(db, "SELECT number FROM runs WHERE id = ?1 AND owner = ?2 AND epoch = ?3")?;
    let number = statement
        .query_row((fence.run_id.as_str(), &*fence.owner, epoch), |row| row.get(0))
        .optional()
        .map_err(write_error)?;
    let Some(number) = number else {
        return Err(WriteError::Fenced {
            run_id: fence.run_id.clone(),
            owner: fence.owner.clone(),
            epoch: fence.epoch,
        });
    };
    if !ledger.runs.replace(&fence.run_id, number) {
        ledger.runs.insert(fence.run_id.clone(), number);
    }
    ledger.fences.insert(fence.run_id.clone(), claimed);
    Ok(())
}

fn execute_all(db: &Connection, ledger: &mut Ledger, statements: &[Statement]) -> Result<(), WriteError> {
    statements.iter().try_for_each(|statement| execute(db, ledger, statement))
}

fn execute(db: &Connection, ledger: &mut Ledger, statement: &Statement) -> Result<(), WriteError> {
    let mut prepared = prepare(db, statement.sql)?;
    for (place, param) in statement.params.iter().enumerate() {
        let bound = match param {
            Param::Null => prepared.raw_bind_parameter(place + 1, rusqlite::types::Null),
            Param::Integer(number) => prepared.raw_bind_parameter(place + 1, number),
            Param::Text(text) => prepared.raw_bind_parameter(place + 1, text.as_ref()),
            Param::Bytes(bytes) => prepared.raw_bind_parameter(place + 1, bytes.as_ref()),
            Param::Run(run_id) => prepared.raw_bind_parameter(place + 1, run_number(db, ledger, run_id)?),
            Param::Turn { run_id, index } => {
                let key = turn_key(run_number(db, ledger, run_id)?, *index);
                let key = key.ok_or(WriteError::TurnsExhausted { index: *index, max: TURNS_MAX })?;
                prepared.raw_bind_parameter(place + 1, key)
            }
        };
        bound.map_err(write_error)?;
    }
    let found = prepared.raw_execute().map_err(write_error)?;
    match statement.rows {
        ExpectedRows::Exactly(expected) if expected != found => {
            Err(WriteError::RowsUnexpected { sql: statement.sql, expected, found })
        }
        ExpectedRows::Exactly(_) | ExpectedRows::Any => Ok(()),
    }
}

fn run_number(db: &Connection, ledger: &mut Ledger, run_id: &RunId) -> Result<i64, WriteError> {
    if let Some(number) = ledger.runs.get(run_id) {
        return Ok(number);
    }
    let mut statement = prepare(db, "SELECT number FROM runs WHERE id = ?1")?;
    let number = statement.query_row((run_id.as_str(),), |row| row.get(0)).optional().map_err(write_error)?;
    let number = number.ok_or_else(|| WriteError::UnknownRun { run_id: run_id.clone() })?;
    ledger.runs.insert(run_id.clone(), number);
    Ok(number)
}

fn journal_append(db: &Connection, ledger: &mut Ledger, draft: &EncodedDraft) -> Result<(), WriteError> {
    let previous = match ledger.heads.get(&draft.subject) {
        Some(hash) => hash,
        None => head_read(db, ledger, &draft.subject)?,
    };
    let seq = ledger.place.seq + 1;
    let EncodedDraft { at, actor, subject, kind, payload, payload_hash } = draft;
    let hash = RowContent { seq, at: *at, actor, subject, kind, payload_hash: *payload_hash }.hash(&previous);
    let mut insert = prepare(
        db,
        "INSERT INTO journal (seq, at, actor, subject, kind, payload, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute((seq, at, &**actor, &**subject, kind, payload, hash)).map_err(write_error)?;
    ledger.place.seq = seq;
    if !ledger.heads.replace(subject, hash) {
        ledger.heads.insert(subject.clone(), hash);
    }
    if seq - ledger.place.head >= HEAD_LAG_MAX { head_move(db, ledger) } else { Ok(()) }
}

/// Moves the head to the last row, and enters the rows in between with their subjects.
fn head_move(db: &Connection, ledger: &mut Ledger) -> Result<(), WriteError> {
    let Place { seq, head } = ledger.place;
    let mut places = prepare(
        db,
        "INSERT INTO journal_places (subject, seq) SELECT subject, seq FROM journal WHERE seq > ?1 \
         ORDER BY subject, seq",
    )?;
    places.execute((head,)).map_err(write_error)?;
    prepare(db, "UPDATE journal_head SET seq = ?1 WHERE id = 1")?.execute((seq,)).map_err(write_error)?;
    ledger.place.head = seq;
    ledger.tail = Tail::Known;
    Ok(())
}

/// Reads the last hash of a subject that the ledger does not remember.
fn head_read(db: &Connection, ledger: &Ledger, subject: &str) -> Result<RowHash, WriteError> {
    let head = ledger.place.head;
    let tail = "SELECT hash FROM journal WHERE subject = ?1 AND seq > ?2 ORDER BY seq DESC LIMIT 1";
    let placed = "SELECT hash FROM journal WHERE seq = (SELECT max(seq) FROM journal_places WHERE subject = ?1 \
                  AND seq <= ?2)";
    let removed = "SELECT hash FROM journal_checkpoints WHERE subject = ?1 AND seq <= ?2";
    let tail = match ledger.tail {
        Tail::Known => None,
        Tail::Forgotten => Some(tail),
    };
    for sql in tail.into_iter().chain([placed, removed]) {
        let hash =
            prepare(db, sql)?.query_row((subject, head), |row| row.get(0)).optional().map_err(write_error)?;
        if let Some(hash) = hash {
            return Ok(hash);
        }
    }
    Ok(NO_PREVIOUS)
}

fn prepare<'db>(db: &'db Connection, sql: &str) -> Result<CachedStatement<'db>, WriteError> {
    db.prepare_cached(sql).map_err(write_error)
}

/// Runs a statement that steers the transaction; its failure is never one write's own fault.
fn run(db: &Connection, sql: &str) -> Result<(), WriteError> {
    let ran = db.prepare_cached(sql).and_then(|mut statement| statement.execute(()));
    ran.map(drop).map_err(|error| match write_error(error) {
        WriteError::Statement(source) | WriteError::Constraint(source) => WriteError::Io(source),
        error => error,
    })
}

/// Undoes the open transaction; the database has often done so itself.
fn rollback(db: &Connection) {
    if db.is_autocommit() {
        return;
    }
    if let Err(error) = run(db, "ROLLBACK") {
        tracing::error!(%error, "a transaction of the store could not be rolled back");
    }
}

#[cfg(test)]
mod tests;
