//! A backup: one file that has the whole store as of one instant, made while the daemon writes.
//!
//! It is a database like the store's own, with the same tables and two more: `backup` says what it is, and
//! `backup_bodies` has the bytes of outputs, which the store keeps as files. So one file is moved, looked at with the
//! tools for the store, and checked as the store is.
//!
//! The rows are copied by `VACUUM INTO` through a reader of its own. It reads one snapshot, so a busy writer neither
//! waits for it nor makes it begin anew, as the page-by-page copy does with each write that comes between two of its
//! steps; and it copies what is there, where a copy of pages would take along what was removed and not written over
//! yet. The log cannot be emptied meanwhile, so it grows by what is written in that time.
//!
//! A backup appears under its name when it is whole: it is written under another one beside it, flushed, checked, and
//! then moved. What was interrupted leaves nothing, what was killed a file with the ending `.part`.

use crate::bodies;
use crate::check::{self, BodiesAt, CheckError, CheckReport};
use crate::dialect;
use crate::interrupt::Interrupt;
use crate::journal;
use crate::store::StoreOptions;
use adjutant_model::Timestamp;
use adjutant_model::run::ErrorClass;
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The version of the two tables that a backup has besides the store's.
pub(crate) const FORMAT: i64 = 1;

/// A body is kept in parts of so many bytes, so that none is whole in memory.
const PART_BYTES: usize = 1 << 20;

/// So many bodies are named that could not be copied; the rest is counted.
pub const LOST_MAX: usize = 100;

/// The tables that a backup has besides the store's.
const TABLES: &str = "CREATE TABLE backup (
    format INTEGER NOT NULL,
    made_at INTEGER NOT NULL,
    made_by TEXT NOT NULL
);
CREATE TABLE backup_bodies (
    sha256 TEXT NOT NULL,
    part INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (sha256, part)
) WITHOUT ROWID;";

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupSpec {
    /// The data folder.
    pub folder: PathBuf,
    /// The file to be, absolute and outside of the data folder.
    pub file: PathBuf,
    /// What happens to a file that is there.
    pub existing: Existing,
    /// When it is made.
    pub made_at: Timestamp,
    /// The version of the program that makes it.
    pub made_by: String,
}

/// What happens to a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is made.
    Kept,
    /// The new one takes its place in one move.
    Replaced,
}

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupMade {
    /// The file, with the links on the way to it resolved.
    pub file: PathBuf,
    /// How many bytes it has.
    pub bytes: u64,
    /// What its check has looked at.
    pub report: CheckReport,
    /// Bodies that the store names and that were not there, or were not what they should be; at most [`LOST_MAX`].
    pub lost: Vec<String>,
    /// How many there are of them.
    pub lost_count: u64,
}

/// Why no backup was made; what was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file cannot be where it was said.
    #[error("{} cannot be written: {why}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Why.
        why: &'static str,
    },
    /// There is a file already.
    #[error("{} is there already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("{} cannot be {done}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What was to be done.
        done: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The database could not be copied.
    #[error("the store could not be copied")]
    Database(#[source] rusqlite::Error),
    /// The store is damaged, and so is what was copied of it.
    #[error("what was copied is damaged: {}", report.findings.first().map(ToString::to_string).unwrap_or_default())]
    Unsound {
        /// What is wrong with it.
        report: Box<CheckReport>,
    },
    /// What was written could not be checked.
    #[error("what was copied could not be checked")]
    Check(#[source] CheckError),
    /// Somebody has stopped it.
    #[error("the backup was stopped before its end")]
    Interrupted,
}

impl BackupError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            BackupError::Place { .. } | BackupError::Exists { .. } => ErrorClass::User,
            BackupError::File { .. }
            | BackupError::Database(_)
            | BackupError::Unsound { .. }
            | BackupError::Check(_)
            | BackupError::Interrupted => ErrorClass::Retry,
        }
    }

    /// Tells whether a disk has no room for it.
    pub fn is_full(&self) -> bool {
        match self {
            BackupError::File { source, .. } => source.kind() == ErrorKind::StorageFull,
            BackupError::Database(source) => {
                source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
            }
            BackupError::Place { .. }
            | BackupError::Exists { .. }
            | BackupError::Unsound { .. }
            | BackupError::Check(_)
            | BackupError::Interrupted => false,
        }
    }
}

/// Makes a backup. Blocks on the disk; whoever removes bodies must not do so meanwhile.
///
/// # Errors
/// [`BackupError`]
pub fn make(spec: &BackupSpec, interrupt: &Interrupt) -> Result<BackupMade, BackupError> {
    let file = place(spec)?;
    let beside = file.parent().expect("a file that was placed is in a folder");
    let part = part_in(beside, &file)?;
    copy_rows(&spec.folder, part.path(), interrupt)?;
    let lost = fill(spec, part.path(), interrupt)?;
    let failed = |done| move |source| BackupError::File { path: file_of(spec), done, source };
    part.as_file().sync_all().map_err(failed("flushed"))?;
    let report = checked(part.path(), interrupt)?;
    // A body that the store has lost is lost in its backup as well, and told apart; everything else is a reason.
    if report.findings_count > lost.len() as u64 {
        return Err(BackupError::Unsound { report: Box::new(report) });
    }
    let moved = match spec.existing {
        Existing::Kept => part.persist_noclobber(&file),
        Existing::Replaced => part.persist(&file),
    };
    let written = moved.map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => BackupError::Exists { path: file.clone() },
        _ => failed("put in its place")(error.error),
    })?;
    File::open(beside).and_then(|folder| folder.sync_all()).map_err(failed("put in its place"))?;
    let bytes = written.metadata().map_err(failed("read"))?.len();
    let (lost_count, mut lost) = (lost.len() as u64, lost);
    lost.truncate(LOST_MAX);
    Ok(BackupMade { file, bytes, report, lost, lost_count })
}

fn file_of(spec: &BackupSpec) -> PathBuf {
    spec.file.clone()
}

/// Finds where the file is to be, with the links on the way to it resolved.
fn place(spec: &BackupSpec) -> Result<PathBuf, BackupError> {
    let wrong = |why| BackupError::Place { path: spec.file.clone(), why };
    if !spec.file.is_absolute() {
        return Err(wrong("the path is not absolute"));
    }
    let name = spec.file.file_name().ok_or_else(|| wrong("it names no file"))?;
    // `x/` and `x/.` have a name as well, and name a folder.
    if spec.file.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(wrong("it names a folder"));
    }
    let beside = spec.file.parent().ok_or_else(|| wrong("it names no file"))?;
    let unreadable = |source| BackupError::File { path: beside.to_owned(), done: "found", source };
    let beside = beside.canonicalize().map_err(unreadable)?;
    if !beside.is_dir() {
        return Err(wrong("what it is to be in is no folder"));
    }
    let folder = spec.folder.canonicalize().map_err(unreadable)?;
    if beside.starts_with(&folder) {
        return Err(wrong("it is in the data folder, which it is to outlive"));
    }
    let file = beside.join(name);
    if file.to_str().is_none() {
        return Err(wrong("the path is no UTF-8"));
    }
    match fs::symlink_metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(file),
        Err(source) => Err(BackupError::File { path: file, done: "looked at", source }),
        Ok(there) if there.is_symlink() => Err(wrong("it is a symbolic link")),
        Ok(there) if !there.is_file() => Err(wrong("it is there and is no file")),
        Ok(_) => match spec.existing {
            Existing::Kept => Err(BackupError::Exists { path: file }),
            Existing::Replaced => Ok(file),
        },
    }
}

/// Makes the empty file that is filled, for its owner alone; it goes when it is dropped.
fn part_in(beside: &Path, file: &Path) -> Result<NamedTempFile, BackupError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".part")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(beside)
        .map_err(|source| BackupError::File { path: beside.to_owned(), done: "written to", source })
}

fn copy_rows(folder: &Path, to: &Path, interrupt: &Interrupt) -> Result<(), BackupError> {
    let store = dialect::open_for_copying(&StoreOptions::new(folder).path()).map_err(database)?;
    interrupt.reaches(&store);
    if interrupt.is_set() {
        return Err(BackupError::Interrupted);
    }
    let to = to.to_str().expect("the path was found to be UTF-8");
    store.execute("VACUUM INTO ?1", (to,)).map(drop).map_err(database)
}

/// Adds the bodies that the copied rows name, and what the file is; gives those that could not be added.
fn fill(spec: &BackupSpec, path: &Path, interrupt: &Interrupt) -> Result<Vec<String>, BackupError> {
    let db = dialect::open_for_filling(path).map_err(database)?;
    interrupt.reaches(&db);
    // With the journal's head at its last row no row can be cut off the end unseen.
    journal::head_recover(&db).map_err(database)?;
    let folder = bodies::folder_in(&spec.folder);
    let mut lost = Vec::new();
    let tx = db.unchecked_transaction().map_err(database)?;
    tx.execute_batch(TABLES).map_err(database)?;
    for (sha256, _) in check::bodies_named(&tx).map_err(database)? {
        if interrupt.is_set() {
            return Err(BackupError::Interrupted);
        }
        if !body_add(&tx, &folder, &sha256).map_err(database)? {
            tx.execute("DELETE FROM backup_bodies WHERE sha256 = ?1", (&sha256,)).map_err(database)?;
            lost.push(sha256);
        }
    }
    tx.execute(
        "INSERT INTO backup (format, made_at, made_by) VALUES (?1, ?2, ?3)",
        (FORMAT, spec.made_at.unix_ms(), &spec.made_by),
    )
    .map_err(database)?;
    tx.commit().map_err(database)?;
    db.close().map_err(|(_, error)| database(error))?;
    Ok(lost)
}

/// Adds a body; tells whether it is whole.
fn body_add(db: &Connection, folder: &Path, sha256: &str) -> rusqlite::Result<bool> {
    let Ok(mut file) = File::open(bodies::place_in(folder, sha256)) else { return Ok(false) };
    let sql = "INSERT INTO backup_bodies (sha256, part, content) VALUES (?1, ?2, ?3)";
    let (mut insert, mut hasher) = (db.prepare_cached(sql)?, Sha256::new());
    for part in 0_i64.. {
        let mut content = Vec::new();
        if file.by_ref().take(PART_BYTES as u64).read_to_end(&mut content).is_err() {
            return Ok(false);
        }
        // An empty body has one part, so that it is there.
        if content.is_empty() && part > 0 {
            break;
        }
        hasher.update(&content);
        insert.execute((sha256, part, content))?;
    }
    Ok(hex::encode(hasher.finalize()) == sha256)
}

/// Checks what was written, which must be a sound store and have every body that its rows name.
fn checked(path: &Path, interrupt: &Interrupt) -> Result<CheckReport, BackupError> {
    let stopped = |error| match error {
        CheckError::Interrupted => BackupError::Interrupted,
        error => BackupError::Check(error),
    };
    let db = check::open_ours(path).map_err(stopped)?;
    interrupt.reaches(&db);
    check::look(&db, BodiesAt::Within, interrupt).map_err(stopped)
}

fn database(error: rusqlite::Error) -> BackupError {
    if dialect::is_interrupted(&error) { BackupError::Interrupted } else { BackupError::Database(error) }
}
