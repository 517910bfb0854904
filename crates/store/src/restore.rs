//! Restoring: another store takes the place of the one in the data folder, whole or not at all.
//!
//! ```text
//! restore/store.db, restore/blobs/   the store to be: copied, checked and migrated while the daemon works
//! restore/order.json                 from when this is there, the steps below are taken, by whoever comes next
//! replaced-<time>/                   what was replaced, whole: it can be restored like any other
//! ```
//!
//! ```text
//! Stage ──order──► KeepLog? ─► KeepDatabase? ─► KeepBodies? ─► TakeBodies ─► TakeDatabase ─► Finish
//!   └─ a crash before the order ─► Discard
//! ```
//!
//! Each step is one move within the data folder, and which one is next follows from which files are there
//! ([`next`], pure). So a crash between any two loses nothing: before the order the old store is as it was, and behind
//! it the next start takes the steps that are left before it opens anything. Nothing is opened in between.
//!
//! A token of the restored store is good only if it is so in the store that is replaced, by id and hash: what was taken
//! back, or forgotten since, does not come back to life. When that store cannot be read, no token is good.

use crate::backup::FORMAT;
use crate::bodies;
use crate::check::{self, BodiesAt, CheckError, CheckReport, Matter};
use crate::dialect;
use crate::interrupt::Interrupt;
use crate::migrations::MIGRATIONS;
use crate::store::{OpenError, Store, StoreOptions};
use crate::write::{Draft, ExpectedRows, Param, Write, WriteError, json_text};
use adjutant_model::Timestamp;
use adjutant_model::event::Event;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The folder in the data folder where a store is made ready.
const STAGE: &str = "restore";
/// The file whose presence says that the store in it is to be taken.
const ORDER: &str = "order.json";
/// What the names of folders with replaced stores begin with.
const REPLACED: &str = "replaced-";
/// What goes with the database when it is kept, in the order of the moves.
const LOGS: [&str; 2] = ["store.db-wal", "store.db-shm"];

/// What is to be restored, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOrder {
    /// A name for it that no other has.
    pub id: String,
    /// The file that it came from.
    pub file: String,
    /// Who wants it.
    pub actor: String,
    /// The folder, within the data folder, that what is replaced is kept in.
    pub kept: String,
}

impl RestoreOrder {
    /// Makes an order; `at` is in the name of what is kept.
    pub fn new(id: String, file: &Path, actor: String, at: Timestamp) -> Self {
        let at: String = at.to_string().chars().filter(|c| !matches!(c, ':' | '-')).collect();
        let file = file.to_string_lossy().into_owned();
        RestoreOrder { kept: format!("{REPLACED}{at}-{}", id.get(..8).unwrap_or(&id)), id, file, actor }
    }
}

/// A store that is ready to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// What its check has looked at.
    pub report: CheckReport,
    /// Bodies that it names and that did not come with it.
    pub lost_count: u64,
}

/// Why nothing was restored; the store is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The file cannot be what is meant.
    #[error("{} cannot be restored: {why}", path.display())]
    Source {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The file is damaged, or not what was written.
    #[error("{} is damaged: {}", path.display(), report.findings.first().map(ToString::to_string).unwrap_or_default())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        report: Box<CheckReport>,
    },
    /// The file is no store, or cannot be read.
    #[error("it cannot be restored")]
    Check(#[source] CheckError),
    /// The file could not be copied.
    #[error("{} could not be copied", path.display())]
    Copy {
        /// The file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// The copy could not be migrated.
    #[error("the copy could not be brought up to this version")]
    Open(#[source] OpenError),
    /// What is carried over could not be written to the copy.
    #[error("the copy could not be written to")]
    Write(#[source] WriteError),
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
    /// Both the store that is replaced and one that nobody expects are there; nothing is touched.
    #[error("{} stands in the way of a restore that is under way", path.display())]
    InTheWay {
        /// What nobody expects.
        path: PathBuf,
    },
    /// Somebody has stopped it.
    #[error("the restore was stopped before its end")]
    Interrupted,
}

/// What is in the data folder, as far as a restore is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Whether there is a folder where a store is made ready.
    pub stage: bool,
    /// Whether the order is given.
    pub order: bool,
    /// Whether the database to be is still there.
    pub staged_database: bool,
    /// Whether the bodies to be are still there.
    pub staged_bodies: bool,
    /// Whether there is a log of the database, or its index.
    pub log: bool,
    /// Whether there is a database.
    pub database: bool,
    /// Whether there are bodies.
    pub bodies: bool,
    /// Whether the database is kept already.
    pub kept_database: bool,
    /// Whether the bodies are kept already.
    pub kept_bodies: bool,
}

/// One step of a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// What was made ready without an order goes.
    Discard,
    /// The log goes with the database that it belongs to; another one must never meet it.
    KeepLog,
    /// The database is moved away.
    KeepDatabase,
    /// The bodies are moved away.
    KeepBodies,
    /// The bodies to be take their place.
    TakeBodies,
    /// The database to be takes its place.
    TakeDatabase,
    /// The order and what is left beside it go.
    Finish,
    /// What nobody expects is in the way; a person has to look.
    InTheWay,
}

/// Tells what is next; nothing when there is nothing to do.
pub fn next(seen: Seen) -> Option<Step> {
    if !seen.order {
        return seen.stage.then_some(Step::Discard);
    }
    if !seen.staged_database {
        return Some(Step::Finish);
    }
    Some(match seen {
        Seen { database: true, kept_database: true, .. } => Step::InTheWay,
        Seen { log: true, .. } => Step::KeepLog,
        Seen { database: true, .. } => Step::KeepDatabase,
        Seen { staged_bodies: true, bodies: true, kept_bodies: true, .. } => Step::InTheWay,
        Seen { staged_bodies: true, bodies: true, .. } => Step::KeepBodies,
        Seen { staged_bodies: true, .. } => Step::TakeBodies,
        Seen { .. } => Step::TakeDatabase,
    })
}

/// Copies a backup, or the database of another store, into the data folder, and checks it wholly; the store is not
/// touched. Blocks on the disk.
///
/// # Errors
/// [`RestoreError`]; what was copied is thrown away then.
pub fn stage(
    folder: &Path,
    file: &Path,
    now: Timestamp,
    interrupt: &Interrupt,
) -> Result<Staged, RestoreError> {
    discard(folder)?;
    let staged = staged(folder, file, now, interrupt);
    if staged.is_err() {
        discard(folder)?;
    }
    staged
}

/// Carries over what must not be lost, writes down in the store to be what happens to it, and gives the order; from then
/// on [`step`] takes it. Nobody has the store of the data folder open. Gives how many tokens are not good any more.
///
/// # Errors
/// [`RestoreError`]; the store is as it was.
pub async fn order(folder: &Path, order: &RestoreOrder, now: Timestamp) -> Result<u64, RestoreError> {
    let good = tokens_good(&StoreOptions::new(folder).path());
    let staged = folder.join(STAGE);
    let store = Store::open(StoreOptions::new(&staged), now).map_err(RestoreError::Open)?;
    let ended = write_order(&store, order, &good, now).await;
    let closed = store.close().await.map_err(RestoreError::Write);
    let ended = ended?;
    closed?;
    drop(store);
    let log = staged.join(LOGS[0]);
    if log.metadata().is_ok_and(|log| log.len() > 0) {
        // What is carried over stands in it, and it would not be moved.
        return Err(failed(&log, "moved into its database")(io::Error::from(ErrorKind::InvalidData)));
    }
    for path in [staged.join(StoreOptions::FILE_NAME), staged.clone(), folder.to_owned()] {
        flush(&path)?;
    }
    let given = staged.join(ORDER);
    put(&given, json_text(order).as_bytes()).map_err(failed(&given, "written"))?;
    flush(&staged)?;
    Ok(ended)
}

/// Takes the next step; gives which, and nothing when there was none.
///
/// # Errors
/// [`RestoreError::File`], [`RestoreError::InTheWay`]; the step can be taken again.
pub fn step(folder: &Path) -> Result<Option<Step>, RestoreError> {
    let order = order_read(folder)?;
    let Some(step) = next(seen(folder, order.as_ref())) else { return Ok(None) };
    let stage = folder.join(STAGE);
    let kept = order.map_or_else(|| stage.clone(), |order| folder.join(order.kept));
    let database = StoreOptions::FILE_NAME;
    let keep = |name| {
        // Made only now: without an order there is nothing in it.
        bodies::make_private(&kept).map_err(failed(&kept, "made"))?;
        moved((folder, name), (&kept, name))
    };
    match step {
        Step::Discard => discard(folder)?,
        Step::KeepLog => {
            for log in LOGS.iter().filter(|log| folder.join(log).exists()) {
                keep(log)?;
            }
        }
        Step::KeepDatabase => keep(database)?,
        Step::KeepBodies => keep(bodies::FOLDER)?,
        Step::TakeBodies => moved((&stage, bodies::FOLDER), (folder, bodies::FOLDER))?,
        Step::TakeDatabase => moved((&stage, database), (folder, database))?,
        Step::Finish => {
            let order = stage.join(ORDER);
            fs::remove_file(&order).map_err(failed(&order, "removed"))?;
            discard(folder)?;
        }
        Step::InTheWay => return Err(RestoreError::InTheWay { path: folder.join(database) }),
    }
    Ok(Some(step))
}

/// Takes all steps that are left, as every start does before it opens the store; tells whether a store was taken.
///
/// # Errors
/// As [`step`].
pub fn finish(folder: &Path) -> Result<bool, RestoreError> {
    let mut is_taken = false;
    while let Some(step) = step(folder)? {
        is_taken |= step == Step::Finish;
    }
    Ok(is_taken)
}

/// Throws away what was made ready, when no order was given.
///
/// # Errors
/// [`RestoreError::File`]
pub fn discard(folder: &Path) -> Result<(), RestoreError> {
    let stage = folder.join(STAGE);
    match fs::remove_dir_all(&stage) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(RestoreError::File { path: stage, done: "removed", source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Counts the stores that were replaced in a data folder, and their bytes; what cannot be read counts as nothing.
pub(crate) fn replaced(folder: &Path) -> (u64, u64) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let stores = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(REPLACED));
    stores.fold((0, 0), |(count, bytes), entry| (count + 1, bytes + bytes_below(&entry.path())))
}

fn bytes_below(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

fn order_read(folder: &Path) -> Result<Option<RestoreOrder>, RestoreError> {
    let path = folder.join(STAGE).join(ORDER);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RestoreError::File { path, done: "read", source }),
    };
    let order: RestoreOrder =
        serde_json::from_slice(&text).map_err(|error| failed(&path, "read")(error.into()))?;
    // It names a folder beside the store and nothing else, whoever wrote it.
    let is_ours = order.kept.starts_with(REPLACED) && !order.kept.contains('/');
    let odd = || failed(&path, "read")(io::Error::from(ErrorKind::InvalidData));
    if is_ours { Ok(Some(order)) } else { Err(odd()) }
}

fn seen(folder: &Path, order: Option<&RestoreOrder>) -> Seen {
    let stage = folder.join(STAGE);
    let kept = order.map(|order| folder.join(&order.kept));
    let is_kept = |name| kept.as_ref().is_some_and(|kept| kept.join(name).exists());
    Seen {
        stage: stage.exists(),
        order: order.is_some(),
        staged_database: stage.join(StoreOptions::FILE_NAME).exists(),
        staged_bodies: stage.join(bodies::FOLDER).exists(),
        log: LOGS.iter().any(|log| folder.join(log).exists()),
        database: folder.join(StoreOptions::FILE_NAME).exists(),
        bodies: folder.join(bodies::FOLDER).exists(),
        kept_database: is_kept(StoreOptions::FILE_NAME),
        kept_bodies: is_kept(bodies::FOLDER),
    }
}

fn moved((from, name): (&Path, &str), (to, as_name): (&Path, &str)) -> Result<(), RestoreError> {
    let path = from.join(name);
    fs::rename(&path, to.join(as_name)).map_err(failed(&path, "moved"))?;
    // The new place first: a name that is lost in both folders is worse than one that is in both.
    flush(to)?;
    flush(from)
}

fn flush(path: &Path) -> Result<(), RestoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(failed(path, "flushed"))
}

/// Puts a file in place in one move, flushed.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("part");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn failed<'a>(path: &'a Path, done: &'static str) -> impl Fn(io::Error) -> RestoreError + 'a {
    move |source| RestoreError::File { path: path.to_owned(), done, source }
}

fn staged(folder: &Path, file: &Path, now: Timestamp, interrupt: &Interrupt) -> Result<Staged, RestoreError> {
    let kind = source_of(folder, file)?;
    let stage = folder.join(STAGE);
    let stage_bodies = stage.join(bodies::FOLDER);
    bodies::make_private(&stage_bodies).map_err(failed(&stage, "made"))?;
    let database = stage.join(StoreOptions::FILE_NAME);
    put(&database, b"").map_err(failed(&database, "made"))?;
    let copying = |source: rusqlite::Error| match dialect::is_interrupted(&source) {
        true => RestoreError::Interrupted,
        false => RestoreError::Copy { path: file.to_owned(), source },
    };
    copy(file, &database, interrupt).map_err(copying)?;
    let db = dialect::open_for_filling(&database).map_err(copying)?;
    interrupt.reaches(&db);
    bodies_take(&db, &kind, &stage_bodies, interrupt)?;
    if kind == Source::Backup {
        db.execute_batch("DROP TABLE backup_bodies; DROP TABLE backup; VACUUM").map_err(copying)?;
    }
    if let Some(odd) = schema_odd(&db).map_err(copying)? {
        return Err(RestoreError::Source { path: file.to_owned(), why: odd });
    }
    drop(db);
    // Brought up to this version first: what is checked is what will be opened.
    drop(dialect::open_for_writing(&database, now).map_err(RestoreError::Open)?);
    let db = check::open_ours(&database).map_err(RestoreError::Check)?;
    interrupt.reaches(&db);
    let report =
        check::look(&db, BodiesAt::Folder(&stage_bodies), interrupt).map_err(|error| match error {
            CheckError::Interrupted => RestoreError::Interrupted,
            error => RestoreError::Check(error),
        })?;
    let lost = report.findings.iter().filter(|finding| finding.matter == Matter::Bodies).count();
    if report.findings.len() > lost {
        return Err(RestoreError::Unsound { path: file.to_owned(), report: Box::new(report) });
    }
    Ok(Staged { lost_count: report.findings_count, report })
}

/// What is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A backup, with the bodies in it.
    Backup,
    /// The database of a store, with the bodies in this folder.
    Store(PathBuf),
}

fn source_of(folder: &Path, file: &Path) -> Result<Source, RestoreError> {
    let wrong = |why: &str| RestoreError::Source { path: file.to_owned(), why: why.to_owned() };
    if !file.is_absolute() {
        return Err(wrong("the path is not absolute"));
    }
    match fs::symlink_metadata(file) {
        Ok(there) if !there.is_file() => return Err(wrong("it is no file")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(wrong("it is not there")),
        Err(error) => return Err(failed(file, "read")(error)),
    }
    let settled = file.canonicalize().map_err(failed(file, "read"))?;
    let is_itself = folder.canonicalize().is_ok_and(|folder| settled == StoreOptions::new(folder).path());
    if is_itself {
        return Err(wrong("it is the store that it would replace"));
    }
    let db = check::open_ours(file).map_err(RestoreError::Check)?;
    let unreadable = |source| RestoreError::Copy { path: file.to_owned(), source };
    let is_backup = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'backup'";
    if db.query_row(is_backup, (), |_| Ok(())).optional().map_err(unreadable)?.is_none() {
        let beside = file.parent().unwrap_or(folder).join(bodies::FOLDER);
        return Ok(Source::Store(beside));
    }
    let format = db.query_row("SELECT max(format) FROM backup", (), |row| row.get::<_, Option<i64>>(0));
    match format.map_err(unreadable)? {
        Some(format) if format <= FORMAT => Ok(Source::Backup),
        Some(_) => Err(wrong("a newer version has made it; run that version, or newer")),
        None => Err(wrong("it was not finished")),
    }
}

fn copy(file: &Path, to: &Path, interrupt: &Interrupt) -> rusqlite::Result<()> {
    let from = dialect::open_for_copying(file)?;
    interrupt.reaches(&from);
    from.execute("VACUUM INTO ?1", (to.to_string_lossy(),)).map(drop)
}

/// Puts the bodies that rows name in place; one that is missing or damaged is left out, and found by the check.
fn bodies_take(
    db: &Connection,
    source: &Source,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<(), RestoreError> {
    let copying = |source| RestoreError::Copy { path: folder.to_owned(), source };
    for (sha256, _) in check::bodies_named(db).map_err(copying)? {
        if interrupt.is_set() {
            return Err(RestoreError::Interrupted);
        }
        // The name becomes a path, and the file may come from anywhere.
        let is_hash =
            sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            continue;
        }
        let place = bodies::place_in(folder, &sha256);
        let shard = place.parent().expect("a body is in a folder");
        bodies::make_private(shard).map_err(failed(shard, "made"))?;
        let is_whole = match source {
            Source::Backup => body_extract(db, &sha256, &place)?,
            Source::Store(from) => body_copy(&bodies::place_in(from, &sha256), &place),
        };
        if is_whole {
            flush(shard)?;
        } else {
            drop(fs::remove_file(&place));
        }
    }
    Ok(())
}

fn body_extract(db: &Connection, sha256: &str, place: &Path) -> Result<bool, RestoreError> {
    let copying = |source| RestoreError::Copy { path: place.to_owned(), source };
    let sql = "SELECT content FROM backup_bodies WHERE sha256 = ?1 ORDER BY part";
    let mut statement = db.prepare_cached(sql).map_err(copying)?;
    let mut rows = statement.query((sha256,)).map_err(copying)?;
    let (mut hasher, mut file) = (Sha256::new(), None);
    while let Some(row) = rows.next().map_err(copying)? {
        let content: Vec<u8> = row.get(0).map_err(copying)?;
        let file = match &mut file {
            Some(file) => file,
            none => none.insert(new_file(place).map_err(failed(place, "made"))?),
        };
        hasher.update(&content);
        file.write_all(&content).map_err(failed(place, "written"))?;
    }
    let Some(file) = file else { return Ok(false) };
    file.sync_all().map_err(failed(place, "flushed"))?;
    Ok(hex::encode(hasher.finalize()) == sha256)
}

/// Copies a body; whether it is what its hash says is the check's to find.
fn body_copy(from: &Path, place: &Path) -> bool {
    let copied = || -> io::Result<()> {
        let (mut from, mut to) = (File::open(from)?, new_file(place)?);
        io::copy(&mut from, &mut to)?;
        to.sync_all()
    };
    copied().is_ok()
}

fn new_file(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Says what the schema has that a store of its version has not: programs in a file that may come from anywhere.
fn schema_odd(db: &Connection) -> rusqlite::Result<Option<String>> {
    let version = dialect::schema_version(db)? as usize;
    if version == 0 {
        return Ok(Some("there is nothing in it".to_owned()));
    }
    let known = Connection::open_in_memory()?;
    for step in MIGRATIONS.iter().take(version) {
        known.execute_batch(step.sql)?;
    }
    let (found, expected) = (things(db)?, things(&known)?);
    let odd = found.symmetric_difference(&expected).next();
    Ok(odd.map(|(kind, name)| format!("the {kind} {name} is not as in a store of its version")))
}

fn things(db: &Connection) -> rusqlite::Result<BTreeSet<(String, String)>> {
    // What the database keeps for itself depends on its version.
    let sql = "SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = db.prepare(sql)?;
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Gives the tokens that are good in a store, each as its id and hash; none when it cannot be read.
fn tokens_good(path: &Path) -> Vec<String> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let db = dialect::open_for_reading(path)?;
        let mut statement = db.prepare("SELECT id || ':' || hash FROM tokens WHERE revoked_at IS NULL")?;
        let rows = statement.query_map((), |row| row.get(0))?;
        rows.collect()
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, "the tokens of the store that is replaced cannot be read, so none is carried over");
        Vec::new()
    })
}

async fn write_order(
    store: &Store,
    order: &RestoreOrder,
    good: &[String],
    now: Timestamp,
) -> Result<u64, RestoreError> {
    let good = json_text(&good);
    let counted = good.clone();
    let ended = store.read(move |snapshot| {
        let sql = "SELECT count(*) FROM tokens WHERE revoked_at IS NULL AND id || ':' || hash NOT IN \
                   (SELECT value FROM json_each(?1))";
        Ok(snapshot.select(sql, (counted,), |row| Ok(row.get::<_, i64>(0)?))?.pop())
    });
    let ended = ended.await.ok().flatten().map_or(0, crate::reader::unsigned);
    let mut write = Write::default();
    write.push(
        "UPDATE tokens SET revoked_at = ?2 WHERE revoked_at IS NULL AND id || ':' || hash NOT IN \
         (SELECT value FROM json_each(?1))",
        ExpectedRows::Any,
        vec![Param::from(good), now.into()],
    );
    let event = Event::StoreRestored {
        restore_id: order.id.clone(),
        file: order.file.clone(),
        kept: order.kept.clone(),
        tokens_ended: ended,
    };
    write.journal(Draft { at: now, actor: order.actor.clone().into(), subject: "plane".into(), event });
    store.write(write).await.map_err(RestoreError::Write)?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_next_follows_from_what_is_there() {
        let nothing = Seen { database: true, bodies: true, ..Seen::default() };
        let ordered =
            Seen { stage: true, order: true, staged_database: true, staged_bodies: true, ..nothing };
        let kept = Seen { database: false, kept_database: true, ..ordered };
        for (seen, step) in [
            (Seen::default(), None),
            (nothing, None),
            (Seen { stage: true, staged_database: true, ..nothing }, Some(Step::Discard)),
            (Seen { log: true, ..ordered }, Some(Step::KeepLog)),
            (ordered, Some(Step::KeepDatabase)),
            // A store that is not there, as in a new data folder.
            (Seen { database: false, bodies: false, ..ordered }, Some(Step::TakeBodies)),
            (kept, Some(Step::KeepBodies)),
            (Seen { log: true, ..kept }, Some(Step::KeepLog)),
            (Seen { bodies: false, kept_bodies: true, ..kept }, Some(Step::TakeBodies)),
            (Seen { staged_bodies: false, kept_bodies: true, ..kept }, Some(Step::TakeDatabase)),
            (
                Seen {
                    staged_bodies: false,
                    kept_bodies: true,
                    staged_database: false,
                    database: true,
                    ..kept
                },
                Some(Step::Finish),
            ),
            (Seen { database: true, kept_database: true, ..ordered }, Some(Step::InTheWay)),
            (Seen { kept_bodies: true, ..kept }, Some(Step::InTheWay)),
        ] {
            assert_eq!(next(seen), step, "{seen:?}");
        }
    }
}
