//! Looking whether a store is whole: the database, its journal, and every content and body that its rows name.
//!
//! Pure looking: nothing is changed, the daemon may write meanwhile, and everything in the database is seen as of one
//! instant. Damage in one place does not keep the others from being looked at. What is looked through is as large as
//! the store, so this takes its time.

use crate::blobs::CONTENT_COLUMNS;
use crate::bodies;
use crate::dialect;
use crate::interrupt::Interrupt;
use crate::journal;
use crate::migrations::MIGRATIONS;
use crate::store::StoreOptions;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// So many findings are told; the rest is counted.
pub const FINDINGS_MAX: usize = 200;

/// So much of a body is read at once.
const READ_BYTES: usize = 256 << 10;

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// The file and its pages.
    Database,
    /// The chains of the journal.
    Journal,
    /// Rows that refer to rows.
    References,
    /// Contents that were too large for their rows.
    Contents,
    /// The bytes of outputs.
    Bodies,
}

impl Matter {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Matter::Database => "database",
            Matter::Journal => "journal",
            Matter::References => "references",
            Matter::Contents => "contents",
            Matter::Bodies => "bodies",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// What it is about.
    pub matter: Matter,
    /// What is wrong, in words.
    pub text: String,
}

impl fmt::Display for CheckFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.matter.as_str(), self.text)
    }
}

/// What a check has looked at, and what it found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong; at most [`FINDINGS_MAX`].
    pub findings: Vec<CheckFinding>,
    /// How much is wrong, told or not.
    pub findings_count: u64,
    /// How many rows the journal has.
    pub journal_rows: u64,
    /// How many rows retention has taken from it.
    pub journal_removed: u64,
    /// The place of the journal's last row.
    pub journal_seq: i64,
    /// One hash over the whole journal, as 64 hex digits; empty when it could not be read.
    pub journal_root: String,
    /// How many contents stand beside their rows.
    pub contents: u64,
    /// How many bodies rows name.
    pub bodies: u64,
    /// How many bytes those have that are there.
    pub bodies_bytes: u64,
    /// How many files no row names: what a crash has left, or what was put meanwhile. The next start removes them.
    pub bodies_unnamed: u64,
}

impl CheckReport {
    /// Tells whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings_count == 0
    }

    pub(crate) fn note(&mut self, matter: Matter, text: String) {
        self.findings_count += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(CheckFinding { matter, text });
        }
    }
}

/// Why nothing could be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
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
    /// A newer version of this program has written it.
    #[error("{} was written by a newer version (schema {found}, this one knows up to {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that is known here.
        known: u32,
    },
    /// The database could not be opened.
    #[error("the store {} cannot be read", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// Somebody has stopped it.
    #[error("the check was stopped before its end")]
    Interrupted,
}

/// Where the bytes of outputs are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BodiesAt<'a> {
    /// Files in a folder of bodies.
    Folder(&'a Path),
    /// Rows of the same database, as a backup has them.
    Within,
}

/// Checks the store of a data folder. Blocks on the disk; whoever removes bodies must not do so meanwhile.
///
/// # Errors
/// [`CheckError`]; a store that is not sound is a report and no error.
pub fn check(folder: &Path, interrupt: &Interrupt) -> Result<CheckReport, CheckError> {
    let path = StoreOptions::new(folder).path();
    let db = open_ours(&path)?;
    interrupt.reaches(&db);
    let bodies = bodies::folder_in(folder);
    look(&db, BodiesAt::Folder(&bodies), interrupt)
}

/// Opens a database that is ours and that this version can read.
pub(crate) fn open_ours(path: &Path) -> Result<Connection, CheckError> {
    if !path.exists() {
        return Err(CheckError::Missing { path: path.to_owned() });
    }
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => CheckError::Foreign { path: path.to_owned() },
        _ => CheckError::Database { path: path.to_owned(), source },
    };
    let db = dialect::open_for_reading(path).map_err(failed)?;
    if dialect::application_id(&db).map_err(failed)? != dialect::APPLICATION_ID {
        return Err(CheckError::Foreign { path: path.to_owned() });
    }
    let (found, known) = (dialect::schema_version(&db).map_err(failed)?, MIGRATIONS.len() as u32);
    if found > known {
        return Err(CheckError::Newer { path: path.to_owned(), found, known });
    }
    Ok(db)
}

/// Checks a database that is ours, as of one instant.
pub(crate) fn look(
    db: &Connection,
    bodies: BodiesAt<'_>,
    interrupt: &Interrupt,
) -> Result<CheckReport, CheckError> {
    let mut report = CheckReport::default();
    // A transaction that cannot begin is a finding like any other: each part begins one of its own then.
    let _instant = db.unchecked_transaction();
    let parts: [(Matter, Part<'_>); 5] = [
        (Matter::Database, &|report| database(db, report)),
        (Matter::Journal, &|report| journal_of(db, report)),
        (Matter::References, &|report| references(db, report)),
        (Matter::Contents, &|report| contents(db, interrupt, report)),
        (Matter::Bodies, &|report| bodies_of(db, bodies, interrupt, report)),
    ];
    for (matter, part) in parts {
        if let Err(error) = part(&mut report)
            && !dialect::is_interrupted(&error)
        {
            report.note(matter, format!("it cannot be read: {error}"));
        }
        if interrupt.is_set() {
            return Err(CheckError::Interrupted);
        }
    }
    Ok(report)
}

/// Looks at one matter.
type Part<'a> = &'a dyn Fn(&mut CheckReport) -> rusqlite::Result<()>;

fn database(db: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    for damage in dialect::damage(db)? {
        report.note(Matter::Database, damage);
    }
    Ok(())
}

fn journal_of(db: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    let found = journal::verify_in(db)?;
    for broken in &found.broken {
        let about = if broken.subject.is_empty() { String::new() } else { format!(" of {}", broken.subject) };
        report.note(Matter::Journal, format!("row {}{about}: {}", broken.seq, broken.why));
    }
    report.findings_count += found.broken_count - found.broken.len() as u64;
    report.journal_rows = found.rows;
    report.journal_removed = found.removed;
    report.journal_seq = found.last_seq;
    report.journal_root = found.root;
    Ok(())
}

fn references(db: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    let mut statement = db.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let (table, rowid, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let row = rowid.map_or_else(|| "a row".to_owned(), |rowid| format!("row {rowid}"));
        report
            .note(Matter::References, format!("{row} of {table} names a row of {parent} that is not there"));
    }
    Ok(())
}

fn contents(db: &Connection, interrupt: &Interrupt, report: &mut CheckReport) -> rusqlite::Result<()> {
    for (table, column) in CONTENT_COLUMNS {
        if !has_column(db, table, column)? {
            // A backup of an older version has no such column yet.
            continue;
        }
        let sql = format!(
            "SELECT count(*) FROM {table} WHERE substr({column}, 1, 1) = '@' AND NOT EXISTS \
             (SELECT 1 FROM blobs WHERE hash = substr({column}, 2))"
        );
        let count: i64 = db.query_row(&sql, (), |row| row.get(0))?;
        if count > 0 {
            report
                .note(Matter::Contents, format!("{count} rows of {table} have a {column} that is not there"));
        }
    }
    let mut statement = db.prepare("SELECT hash, content FROM blobs")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()?
        && !interrupt.is_set()
    {
        let (hash, content) = (row.get::<_, String>(0)?, row.get_ref(1)?);
        report.contents += 1;
        let is_it = content.as_blob().is_ok_and(|content| hex::encode(Sha256::digest(content)) == hash);
        if !is_it {
            report.note(Matter::Contents, format!("content {hash} is not what its hash says"));
        }
    }
    Ok(())
}

fn has_column(db: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2";
    Ok(db.query_row(sql, (table, column), |_| Ok(())).optional()?.is_some())
}

fn bodies_of(
    db: &Connection,
    bodies: BodiesAt<'_>,
    interrupt: &Interrupt,
    report: &mut CheckReport,
) -> rusqlite::Result<()> {
    for (sha256, size_bytes) in bodies_named(db)? {
        if interrupt.is_set() {
            return Ok(());
        }
        report.bodies += 1;
        let found = match bodies {
            BodiesAt::Folder(folder) => hash_of_file(&bodies::place_in(folder, &sha256)),
            BodiesAt::Within => hash_within(db, &sha256)?,
        };
        match found {
            Ok((hash, bytes)) if hash == sha256 && bytes == size_bytes => report.bodies_bytes += bytes,
            Ok(_) => report.note(Matter::Bodies, format!("body {sha256} is not what its hash says")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                report.note(Matter::Bodies, format!("body {sha256} is not there"));
            }
            Err(error) => report.note(Matter::Bodies, format!("body {sha256} cannot be read: {error}")),
        }
    }
    match bodies {
        BodiesAt::Folder(folder) => report.bodies_unnamed = unnamed(db, folder, interrupt)?,
        BodiesAt::Within => {}
    }
    Ok(())
}

/// Gives the bodies that rows name, by their hash, with the bytes that each has.
pub(crate) fn bodies_named(db: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    // The data path came with a migration; a backup may be older.
    if !has_column(db, "outputs", "sha256")? {
        return Ok(Vec::new());
    }
    let sql = "SELECT sha256, max(size) FROM outputs WHERE event IS NULL GROUP BY sha256 ORDER BY sha256";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, crate::reader::unsigned(row.get(1)?))))?;
    rows.collect()
}

fn hash_of_file(path: &Path) -> io::Result<(String, u64)> {
    let (mut file, mut hasher, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hex::encode(hasher.finalize()), bytes)),
            read => {
                hasher.update(&buffer[..read]);
                bytes += read as u64;
            }
        }
    }
}

fn hash_within(db: &Connection, sha256: &str) -> rusqlite::Result<io::Result<(String, u64)>> {
    let mut statement =
        db.prepare_cached("SELECT content FROM backup_bodies WHERE sha256 = ?1 ORDER BY part")?;
    let mut rows = statement.query((sha256,))?;
    let (mut hasher, mut bytes, mut is_there) = (Sha256::new(), 0, false);
    while let Some(row) = rows.next()? {
        let content = row.get_ref(0)?.as_blob()?;
        hasher.update(content);
        bytes += content.len() as u64;
        is_there = true;
    }
    Ok(match is_there {
        true => Ok((hex::encode(hasher.finalize()), bytes)),
        false => Err(io::Error::from(io::ErrorKind::NotFound)),
    })
}

/// Counts the files of bodies that no row names.
fn unnamed(db: &Connection, folder: &Path, interrupt: &Interrupt) -> rusqlite::Result<u64> {
    let mut named = db.prepare("SELECT 1 FROM outputs WHERE sha256 = ?1 AND event IS NULL LIMIT 1")?;
    let mut count = 0;
    for shard in 0..=u8::MAX {
        // Without the folder there is nothing in it.
        for entry in std::fs::read_dir(folder.join(hex::encode([shard]))).into_iter().flatten().flatten() {
            if interrupt.is_set() {
                return Ok(count);
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            count += u64::from(named.query_row((name,), |_| Ok(())).optional()?.is_none());
        }
    }
    Ok(count)
}
