//! What is particular to SQLite: opening, settings, checkpoints, and what its errors mean.
//!
//! # What a failed flush means
//!
//! When the flush of the write-ahead log fails, the frames of that commit may stand in the log, complete and with
//! good checksums, while the system has marked their pages as clean although they never reached the disk. SQLite
//! does not count them (its index of the log still ends at the last good commit), and a later flush says nothing
//! about them. Two things would be wrong:
//!
//! - to reopen the connection: recovery reads the log again, takes the frames for a commit, and puts later commits
//!   behind frames that the disk does not have; a power cut would then break the chain of checksums there and lose
//!   commits that were acknowledged;
//! - to leave the frames where they are: a restart would do the same.
//!
//! So the writer keeps its connection, which overwrites those very frames with its next commit and so makes their
//! pages dirty again, and before that commit it runs a truncating [`checkpoint`]: this copies the good commits from
//! the log to the database, flushes that, and empties the log, so nothing is left that rests on the failed flush.
//! Until that has succeeded every write is refused. When a reader of an old snapshot keeps the log from being
//! emptied, overwriting alone does it. [`open_for_writing`] runs the same checkpoint before the first write, so the
//! frames that a crash left behind are written afresh and flushed before anything rests on them.

use crate::migrations::{MIGRATIONS, Migration};
use crate::reader::{ReadError, Snapshot};
use crate::store::OpenError;
use crate::write::WriteError;
use adjutant_model::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Marks a database as ours; the letters `Adjt`.
pub(crate) const APPLICATION_ID: u32 = 0x4164_6a74;

/// How long a checkpoint waits for readers.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// How many prepared statements each connection keeps; more than there are texts.
const STATEMENTS_MAX: usize = 96;

/// The settings of the writer's connection. Its cache holds the pages that a busy daemon touches again and again;
/// SQLite takes the memory only as pages come.
const WRITER_SETTINGS: &str = "PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;
PRAGMA wal_autocheckpoint = 2000;
PRAGMA journal_size_limit = 67108864;";

const READER_SETTINGS: &str = "PRAGMA query_only = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -1024;";

const FILLING_SETTINGS: &str = "PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -8192;";

/// Whether a checkpoint has emptied the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// It has.
    Emptied,
    /// A reader of an old snapshot kept it from doing so.
    Blocked,
}

/// Opens the database for the writer, having made or migrated it.
pub(crate) fn open_for_writing(path: &Path, now: Timestamp) -> Result<Connection, OpenError> {
    let fresh = match header_read(path)? {
        Header::Empty => true,
        Header::Of { application_id, schema_version } => {
            ours_and_known(path, application_id, schema_version)?;
            false
        }
    };
    let failed = |step| move |source| OpenError::Database { path: path.to_owned(), step, source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(failed("opened"))?;
    db.busy_timeout(BUSY_TIMEOUT).map_err(failed("opened"))?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if fresh {
        // Before the log exists, so that it stands in the file itself: whoever looks at the header knows the file
        // as ours even when everything else is still in the log.
        db.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed("made"))?;
    }
    db.execute_batch(WRITER_SETTINGS).map_err(failed("set up"))?;
    // Asked again: the header may be older than the log.
    let schema_version = schema_version(&db).map_err(failed("read"))?;
    ours_and_known(path, APPLICATION_ID, schema_version)?;
    migrate(&mut db, schema_version, now).map_err(failed("migrated"))?;
    checkpoint(&db).map_err(failed("brought up to date with its log"))?;
    Ok(db)
}

/// Opens the database for reading; it must be there.
pub(crate) fn open_for_reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    db.execute_batch(READER_SETTINGS)?;
    Ok(db)
}

/// Opens a database to copy it into another; it must be there, and is not changed.
pub(crate) fn open_for_copying(path: &Path) -> rusqlite::Result<Connection> {
    let db = open_for_reading(path)?;
    // A copy is written by the connection that reads, which would not let it.
    db.pragma_update(None, "query_only", false)?;
    Ok(db)
}

/// Opens a database that nobody else sees yet. Nothing of it is flushed, and what fails in it is not undone: whoever
/// has filled it flushes the file, or throws it away.
pub(crate) fn open_for_filling(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.execute_batch(FILLING_SETTINGS)?;
    Ok(db)
}

/// Tells whether an error is that of a statement that somebody has stopped.
pub(crate) fn is_interrupted(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

/// Moves the log into the database and empties it; both are flushed.
pub(crate) fn checkpoint(db: &Connection) -> rusqlite::Result<Checkpoint> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(if busy == 0 { Checkpoint::Emptied } else { Checkpoint::Blocked })
}

/// Does something within a transaction so that nothing of what it removes stays in the pages of the database. The log
/// has the pages as they were until its next truncating [`checkpoint`].
pub(crate) fn wiping<T>(
    db: &Connection,
    work: impl FnOnce() -> Result<T, WriteError>,
) -> Result<T, WriteError> {
    let set = |on: &str| db.pragma_update(None, "secure_delete", on).map_err(write_error);
    set("ON")?;
    let worked = work();
    set("OFF")?;
    worked
}

/// Lets the connection close without moving the log into the database.
pub(crate) fn keep_log(db: &Connection) -> rusqlite::Result<bool> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
}

/// Gives the application id that the database carries, as a reader sees it.
pub(crate) fn application_id(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA application_id", [], |row| row.get::<_, i32>(0)).map(i32::cast_unsigned)
}

/// Names the damage in the whole database, at most 100 findings.
pub(crate) fn quick_check(snapshot: &Snapshot<'_>) -> Result<Vec<String>, ReadError> {
    let findings = snapshot.select(QUICK_CHECK, (), |row| Ok(row.get::<_, String>(0)?))?;
    Ok(findings.into_iter().filter(|finding| finding != SOUND).collect())
}

/// As [`quick_check`], on a connection.
pub(crate) fn damage(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare(QUICK_CHECK)?;
    let findings = statement.query_map((), |row| row.get::<_, String>(0))?;
    findings.filter(|finding| finding.as_ref().map_or(true, |finding| finding != SOUND)).collect()
}

const QUICK_CHECK: &str = "PRAGMA quick_check(100)";
/// What a check says of a database in which nothing is wrong.
const SOUND: &str = "ok";

/// Tells what an error of a write means for whoever asked for it.
pub(crate) fn write_error(error: rusqlite::Error) -> WriteError {
    let code = error.sqlite_error().copied();
    let error = Arc::new(error);
    let Some(code) = code else { return WriteError::Statement(error) };
    match code.code {
        ErrorCode::DiskFull => WriteError::Full(error),
        // The shared index of the log could not grow, which is what a full disk looks like from there.
        ErrorCode::SystemIoFailure if code.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
            WriteError::Full(error)
        }
        ErrorCode::ConstraintViolation => WriteError::Constraint(error),
        ErrorCode::Unknown | ErrorCode::TypeMismatch | ErrorCode::ApiMisuse | ErrorCode::TooBig => {
            WriteError::Statement(error)
        }
        // Whatever else stops the database (a failing, read-only or damaged disk, no memory) concerns every write.
        _ => WriteError::Io(error),
    }
}

enum Header {
    Empty,
    Of { application_id: u32, schema_version: u32 },
}

/// Reads the file's first bytes without the database, which would change a file that is not ours.
///
/// Closing a descriptor of the file gives up every lock that this process has on it, so this comes before the first
/// connection and nowhere else.
fn header_read(path: &Path) -> Result<Header, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
            return Ok(Header::Empty);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut header = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut header).map_err(failed)?;
    if header.is_empty() {
        return Ok(Header::Empty);
    }
    let number =
        |at: usize| header.get(at..at + 4).and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?)));
    match (header.starts_with(b"SQLite format 3\0"), number(68), number(60)) {
        (true, Some(application_id), Some(schema_version)) => {
            Ok(Header::Of { application_id, schema_version })
        }
        _ => Err(OpenError::NotADatabase { path: path.to_owned() }),
    }
}

fn ours_and_known(path: &Path, application_id: u32, found: u32) -> Result<(), OpenError> {
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign { path: path.to_owned(), application_id });
    }
    let known = MIGRATIONS.len() as u32;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// Gives the version of the schema, as a reader sees it.
pub(crate) fn schema_version(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Runs the migrations that are due, all in one transaction.
fn migrate(db: &mut Connection, from: u32, now: Timestamp) -> rusqlite::Result<()> {
    let due = (1u32..).zip(&MIGRATIONS).skip(from as usize);
    if from as usize == MIGRATIONS.len() {
        return Ok(());
    }
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (version, Migration { name, sql }) in due {
        tracing::debug!(version, name, "migrating the store");
        tx.execute_batch(sql)?;
        tx.execute(
            "INSERT INTO schema_versions (version, applied_at) VALUES (?1, ?2)",
            (version, now.unix_ms()),
        )?;
        tx.pragma_update(None, "user_version", version)?;
    }
    tx.commit()
}
