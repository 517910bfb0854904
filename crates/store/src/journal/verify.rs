//! Checking the journal from outside: another process, while the daemon writes or when there is none.

use super::{HEAD_LAG_MAX, NO_PREVIOUS, RowContent, RowHash};
use crate::dialect;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// So many broken places are named; the rest is counted.
const BROKEN_MAX: usize = 1000;

/// What a check of the journal found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many rows there are.
    pub rows: u64,
    /// How many rows retention has removed, as the checkpoints say.
    pub removed: u64,
    /// How many subjects there are.
    pub subjects: u64,
    /// The place of the last row.
    pub last_seq: i64,
    /// One hash over the last hash of every subject, as 64 hex digits: note it elsewhere to compare it later.
    pub root: String,
    /// What is broken, in the journal's order; at most 1000 entries.
    pub broken: Vec<Broken>,
    /// How many broken places there are, named or not.
    pub broken_count: u64,
}

impl VerifyReport {
    /// Tells whether nothing is broken.
    pub fn is_sound(&self) -> bool {
        self.broken_count == 0
    }
}

/// A place where the journal is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The row, or the first of the rows that are missing.
    pub seq: i64,
    /// What it is about; empty when it is not known, because the row is missing.
    pub subject: String,
    /// What is wrong with it.
    pub why: Fault,
}

/// What is wrong with a place in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The hash does not fit the row and the subject's previous one: one of them was changed, exchanged or removed.
    HashMismatch,
    /// So many rows are missing from here on.
    Missing {
        /// How many.
        count: u64,
    },
    /// The row lies further behind the head than any that was written.
    NeverWritten,
    /// A checkpoint says that more rows were removed than are missing.
    NotRemoved,
    /// The places of the subjects are not those of the rows, so a subject is read with rows missing.
    WrongPlaces,
    /// A column has the wrong type.
    Unreadable,
    /// The head of the journal is missing.
    NoHead,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::HashMismatch => {
                f.write_str("the hash does not fit this row and the subject's previous one")
            }
            Fault::Missing { count: 1 } => f.write_str("the row is missing"),
            Fault::Missing { count } => write!(f, "{count} rows are missing from here on"),
            Fault::NeverWritten => {
                f.write_str("the row lies further behind the head than any that was written")
            }
            Fault::NotRemoved => {
                f.write_str("a checkpoint says that more rows were removed than are missing")
            }
            Fault::WrongPlaces => f.write_str("the places of the subjects are not those of the rows"),
            Fault::Unreadable => f.write_str("a column has the wrong type"),
            Fault::NoHead => f.write_str("the head of the journal is missing"),
        }
    }
}

/// Why a journal could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no store.
    #[error("there is no store at {}", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a store of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The database could not be read.
    #[error("the store {} cannot be read", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Checks the journal of the database at `path`, as one snapshot, and changes nothing; the daemon may write
/// meanwhile. Takes memory by the number of subjects and not of rows.
///
/// # Errors
/// [`VerifyError`]; a journal that is not sound is a report and no error.
pub fn verify(path: &Path) -> Result<VerifyReport, VerifyError> {
    if !path.exists() {
        return Err(VerifyError::Missing { path: path.to_owned() });
    }
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => VerifyError::Foreign { path: path.to_owned() },
        _ => VerifyError::Database { path: path.to_owned(), source },
    };
    let db = dialect::open_for_reading(path).map_err(failed)?;
    if dialect::application_id(&db).map_err(failed)? != dialect::APPLICATION_ID {
        return Err(VerifyError::Foreign { path: path.to_owned() });
    }
    let snapshot = db.unchecked_transaction().map_err(failed)?;
    verify_in(&snapshot).map_err(failed)
}

/// Checks the journal of a database that stands still meanwhile.
pub(crate) fn verify_in(db: &Connection) -> rusqlite::Result<VerifyReport> {
    Walk::begin(db)?.finish(db)
}

/// A checkpoint's place in the chain, until the chain has gone past it.
struct Removed {
    seq: i64,
    count: u64,
    hash: RowHash,
}

struct Walk {
    heads: BTreeMap<String, RowHash>,
    removed: BTreeMap<String, Removed>,
    rows: u64,
    next_seq: i64,
    gaps: Vec<(i64, u64)>,
    broken: Vec<Broken>,
    broken_count: u64,
}

impl Walk {
    fn begin(db: &Connection) -> rusqlite::Result<Walk> {
        let mut statement = db.prepare("SELECT subject, seq, removed, hash FROM journal_checkpoints")?;
        let rows = statement.query_map([], |row| {
            let count = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
            Ok((row.get::<_, String>(0)?, Removed { seq: row.get(1)?, count, hash: row.get(3)? }))
        })?;
        let removed: BTreeMap<String, Removed> = rows.collect::<rusqlite::Result<_>>()?;
        let heads = removed.iter().map(|(subject, removed)| (subject.clone(), removed.hash)).collect();
        Ok(Walk {
            heads,
            removed,
            rows: 0,
            next_seq: 1,
            gaps: Vec::new(),
            broken: Vec::new(),
            broken_count: 0,
        })
    }

    fn finish(mut self, db: &Connection) -> rusqlite::Result<VerifyReport> {
        let mut statement =
            db.prepare("SELECT seq, at, actor, subject, kind, payload, hash FROM journal ORDER BY seq")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            self.row(row)?;
        }
        let head =
            db.query_row("SELECT seq FROM journal_head WHERE id = 1", [], |row| row.get(0)).optional()?;
        self.tail(head);
        self.gaps_judge();
        // A row that was removed leaves its place behind; it is named once, as missing.
        if let (Some(head), []) = (head, &self.broken[..])
            && !places_fit(db, head)?
        {
            self.note(Broken { seq: 1, subject: String::new(), why: Fault::WrongPlaces });
        }
        self.broken.sort_by_key(|broken| broken.seq);
        Ok(VerifyReport {
            rows: self.rows,
            removed: self.removed.values().map(|removed| removed.count).sum(),
            subjects: self.heads.len() as u64,
            last_seq: self.next_seq - 1,
            root: root(&self.heads),
            broken: self.broken,
            broken_count: self.broken_count,
        })
    }

    fn row(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let seq: i64 = row.get(0)?;
        self.rows += 1;
        self.gap_before(seq);
        self.next_seq = seq + 1;
        let columns = (|| {
            let at = row.get_ref(1)?.as_i64()?;
            let texts = [row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?];
            let payload = row.get_ref(5)?.as_str()?;
            let hash: RowHash = row.get(6)?;
            Ok::<_, rusqlite::Error>((at, texts, payload, hash))
        })();
        let Ok((at, [actor, subject, kind], payload, stored)) = columns else {
            self.note(Broken { seq, subject: String::new(), why: Fault::Unreadable });
            return Ok(());
        };
        let content =
            RowContent { seq, at, actor, subject, kind, payload_hash: Sha256::digest(payload).into() };
        let previous = self.heads.get(subject).copied().unwrap_or(NO_PREVIOUS);
        // The chain goes on from what is stored, so that one changed row is one broken place.
        match self.heads.get_mut(subject) {
            Some(head) => *head = stored,
            None => drop(self.heads.insert(subject.to_owned(), stored)),
        }
        let beneath_checkpoint = self.removed.get(subject).is_some_and(|removed| seq <= removed.seq);
        if beneath_checkpoint || content.hash(&previous) != stored {
            self.note(Broken { seq, subject: subject.to_owned(), why: Fault::HashMismatch });
        }
        Ok(())
    }

    fn gap_before(&mut self, seq: i64) {
        if let Ok(count @ 1..) = u64::try_from(seq.saturating_sub(self.next_seq)) {
            self.gaps.push((self.next_seq, count));
        }
    }

    /// Compares the last row with the head, which knows how far the journal was written.
    fn tail(&mut self, head: Option<i64>) {
        let Some(head) = head else {
            return self.note(Broken { seq: self.next_seq, subject: String::new(), why: Fault::NoHead });
        };
        if self.next_seq.saturating_sub(head) > HEAD_LAG_MAX {
            let seq = head.saturating_add(HEAD_LAG_MAX);
            self.note(Broken { seq, subject: String::new(), why: Fault::NeverWritten });
        }
        self.gap_before(head.saturating_add(1));
    }

    /// Gaps are right when they add up to what the checkpoints say was removed. When they do not, those that no
    /// checkpoint can explain are named, and all of them when every one could be.
    fn gaps_judge(&mut self) {
        let missing: u64 = self.gaps.iter().map(|(_, count)| count).sum();
        let explained: u64 = self.removed.values().map(|removed| removed.count).sum();
        if missing == explained {
            return;
        }
        let removed_to = self.removed.values().map(|removed| removed.seq).max().unwrap_or(0);
        let gaps = std::mem::take(&mut self.gaps);
        let beyond: Vec<_> = gaps.iter().copied().filter(|(seq, _)| *seq > removed_to).collect();
        let named = if beyond.is_empty() { gaps } else { beyond };
        for (seq, count) in named {
            self.note(Broken { seq, subject: String::new(), why: Fault::Missing { count } });
        }
        if missing < explained {
            self.note(Broken { seq: removed_to, subject: String::new(), why: Fault::NotRemoved });
        }
    }

    fn note(&mut self, broken: Broken) {
        self.broken_count += 1;
        if self.broken.len() < BROKEN_MAX {
            self.broken.push(broken);
        }
    }
}

/// Tells whether every row up to the head has its place, and every place its row.
fn places_fit(db: &Connection, head: i64) -> rusqlite::Result<bool> {
    let count = |sql| db.query_row(sql, (head,), |row| row.get::<_, i64>(0));
    let rows = count("SELECT count(*) FROM journal WHERE seq <= ?1")?;
    let places = count("SELECT count(*) FROM journal_places WHERE ?1 = ?1")?;
    let both = count(
        "SELECT count(*) FROM journal_places p JOIN journal j ON j.seq = p.seq AND j.subject = p.subject \
         WHERE j.seq <= ?1",
    )?;
    Ok(rows == places && rows == both)
}

fn root(heads: &BTreeMap<String, RowHash>) -> String {
    let mut hasher = Sha256::new();
    for (subject, hash) in heads {
        hasher.update((subject.len() as u64).to_be_bytes());
        hasher.update(subject);
        hasher.update(hash);
    }
    hex::encode(hasher.finalize())
}
