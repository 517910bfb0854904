//! Backups: whole as of one instant while the store writes, where they may be, and what a check finds.

use crate::fixtures::{at, fence, fresh, note, open, run_id, run_write, turn};
use adjutant_model::OutputId;
use adjutant_model::data::OutputRecord;
use adjutant_model::id::Uuid;
use adjutant_store::{
    BackupError, BackupMade, BackupSpec, Bodies, CheckError, Existing, Interrupt, Matter, SizeKind, Store,
    Write, backup, check, journal,
};
use rusqlite::Connection;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

fn spec(store: &Store, file: PathBuf) -> BackupSpec {
    let folder = store.path().parent().unwrap().to_owned();
    BackupSpec { folder, file, existing: Existing::Kept, made_at: at(1), made_by: "0".into() }
}

pub(crate) fn made(store: &Store, file: PathBuf) -> Result<BackupMade, BackupError> {
    backup::make(&spec(store, file), &Interrupt::default())
}

fn output(n: u128, sha256: &str, size_bytes: u64) -> OutputRecord {
    OutputRecord {
        id: OutputId::new(Uuid::from_u128(n)),
        name: Some("report".into()),
        run_id: None,
        task_id: None,
        path: None,
        attempt: None,
        producer: None,
        sha256: sha256.to_owned(),
        size_bytes,
        content_type: "text/plain".into(),
        event: None,
        parents: Vec::new(),
        created_at: at(1),
    }
}

/// Puts an output with a body, and gives its hash.
pub(crate) async fn put(store: &Store, bodies: &Bodies, n: u128, content: &[u8]) -> String {
    let mut body = bodies.begin(&n.to_string()).await.unwrap();
    body.write(content).await.unwrap();
    let whole = body.finish().await.unwrap();
    let (sha256, size_bytes) = (whole.sha256.clone(), whole.size_bytes);
    let kept = bodies.keep(whole).await.unwrap();
    let mut write = Write::default();
    write.output_put(&output(n, &sha256, size_bytes));
    store.write(write).await.unwrap();
    drop(kept);
    sha256
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_as_of_one_instant_while_the_store_writes() {
    let (folder, store) = fresh();
    let bodies = Bodies::open(folder.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    store.write(run_write(1)).await.unwrap();
    // More than one part, and none at all.
    put(&store, &bodies, 1, &vec![7; (1 << 20) + 5]).await;
    put(&store, &bodies, 2, b"").await;
    let (goes_on, writer) = (Arc::new(AtomicBool::new(true)), store.clone());
    let (began, first) = tokio::sync::oneshot::channel();
    let writing = tokio::spawn({
        let goes_on = goes_on.clone();
        async move {
            let (mut index, mut began) = (0, Some(began));
            while goes_on.load(Ordering::Relaxed) {
                let mut write = Write::fenced(fence(1));
                write.turn_start(&run_id(1), &turn(index)).journal(note(run_id(1).as_str(), "step"));
                writer.write(write).await.unwrap();
                index += 1;
                if let Some(began) = began.take() {
                    began.send(()).unwrap();
                }
            }
            index
        }
    });
    first.await.unwrap();
    let mut journal_seq = 0;
    for n in 0..5 {
        let file = elsewhere.path().join(format!("{n}.backup"));
        let (store, target) = (store.clone(), file.clone());
        let made = tokio::task::spawn_blocking(move || made(&store, target)).await.unwrap().unwrap();
        assert!(made.report.is_sound() && made.lost.is_empty(), "{made:?}");
        assert_eq!((made.report.bodies, made.report.bodies_bytes), (2, (1 << 20) + 5));
        assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let verified = journal::verify(&file).unwrap();
        assert!(verified.is_sound(), "{verified:?}");
        // The writer went on between two backups, and a turn and its row are always together.
        assert!(verified.last_seq > journal_seq, "{n}");
        journal_seq = verified.last_seq;
        let db = Connection::open(&file).unwrap();
        let turns: i64 = db.query_row("SELECT count(*) FROM turns", (), |row| row.get(0)).unwrap();
        assert_eq!(turns as u64, verified.rows, "{n}");
    }
    goes_on.store(false, Ordering::Relaxed);
    let turns = writing.await.unwrap();
    assert_eq!(store.turns_of(&run_id(1), None, usize::MAX).await.unwrap().len() as u64, turns);
    assert_eq!(names(elsewhere.path()).len(), 5, "nothing else is left beside them");
}

#[tokio::test]
async fn a_backup_has_nothing_of_what_was_removed() {
    let (_folder, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    store.write(crate::fixtures::note_write("x", "to be forgotten, word by word")).await.unwrap();
    let db = Connection::open(store.path()).unwrap();
    db.execute_batch("PRAGMA secure_delete = OFF; DELETE FROM journal; DELETE FROM journal_places;").unwrap();
    db.execute_batch("UPDATE journal_head SET seq = 0").unwrap();
    drop(db);
    let file = elsewhere.path().join("backup");
    made(&store, file.clone()).unwrap();
    let holds = |path: &Path| fs::read(path).unwrap().windows(16).any(|part| part == b"to be forgotten,");
    let mut log = store.path().as_os_str().to_owned();
    log.push("-wal");
    assert!(holds(store.path()) || holds(Path::new(&log)), "it is still in a free page");
    assert!(!holds(&file));
}

#[tokio::test]
async fn a_backup_stands_where_it_may_and_takes_nothing_that_is_there() {
    let (folder, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    let there = |name: &str| elsewhere.path().join(name);
    fs::write(there("file"), "mine").unwrap();
    fs::create_dir(there("folder")).unwrap();
    symlink(there("file"), there("link")).unwrap();
    symlink(folder.path(), there("way-in")).unwrap();
    let words = |file: PathBuf, existing| {
        let spec = BackupSpec { existing, ..spec(&store, file) };
        backup::make(&spec, &Interrupt::default()).unwrap_err().to_string()
    };
    for (file, says) in [
        (PathBuf::from("relative"), "the path is not absolute"),
        (PathBuf::from("/"), "it names no file"),
        (there("folder"), "it is there and is no file"),
        (PathBuf::from(format!("{}/", there("new").display())), "it names a folder"),
        (there("link"), "it is a symbolic link"),
        (folder.path().join("backup"), "it is in the data folder"),
        (folder.path().join("store.db"), "it is in the data folder"),
        (there("way-in").join("backup"), "it is in the data folder"),
        (there("folder/../way-in/x"), "it is in the data folder"),
        (there("nowhere/backup"), "cannot be found"),
        (there("file/backup"), "is no folder"),
    ] {
        for existing in [Existing::Kept, Existing::Replaced] {
            let said = words(file.clone(), existing);
            assert!(said.contains(says), "{file:?}: {said}");
        }
    }
    assert!(words(there("file"), Existing::Kept).ends_with("is there already"));
    assert_eq!(fs::read_to_string(there("file")).unwrap(), "mine");
    assert_eq!(names(elsewhere.path()), ["file", "folder", "link", "way-in"]);

    let spec = BackupSpec { existing: Existing::Replaced, ..spec(&store, there("file")) };
    backup::make(&spec, &Interrupt::default()).unwrap();
    assert!(journal::verify(&there("file")).unwrap().is_sound());
    assert_eq!(names(elsewhere.path()), ["file", "folder", "link", "way-in"]);
}

#[tokio::test]
async fn what_is_stopped_or_damaged_leaves_nothing() {
    let (_folder, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    store.write(crate::fixtures::note_write("x", "first")).await.unwrap();
    let interrupt = Interrupt::default();
    interrupt.set();
    let error = backup::make(&spec(&store, elsewhere.path().join("a")), &interrupt).unwrap_err();
    assert!(matches!(error, BackupError::Interrupted), "{error:?}");
    let db = Connection::open(store.path()).unwrap();
    db.execute("UPDATE journal SET payload = '{}' WHERE seq = 1", ()).unwrap();
    let error = made(&store, elsewhere.path().join("b")).unwrap_err();
    assert!(matches!(error, BackupError::Unsound { .. }), "{error:?}");
    assert!(error.to_string().contains("journal: row 1 of x: the hash does not fit"), "{error}");
    assert_eq!(names(elsewhere.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_lost_body_is_told_and_everything_else_is_kept() {
    let (folder, store) = fresh();
    let bodies = Bodies::open(folder.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |sha256: &str| folder.path().join("blobs").join(&sha256[..2]).join(sha256);
    put(&store, &bodies, 1, b"stays").await;
    let gone = put(&store, &bodies, 2, b"goes").await;
    let changed = put(&store, &bodies, 3, b"changes").await;
    fs::remove_file(place(&gone)).unwrap();
    fs::write(place(&changed), "changed").unwrap();
    let file = elsewhere.path().join("backup");
    let made = made(&store, file.clone()).unwrap();
    let mut lost = [gone, changed];
    lost.sort();
    assert_eq!((made.lost.as_slice(), made.lost_count), (lost.as_slice(), 2));
    assert_eq!(made.report.bodies_bytes, 5);
}

/// A store with a run, a body and a content beside its row.
async fn sound() -> (TempDir, String) {
    let (folder, store) = fresh();
    let bodies = Bodies::open(folder.path()).unwrap();
    let mut write = run_write(1);
    let large = adjutant_model::Value::from("x".repeat(100_000));
    write.turn_start(&run_id(1), &adjutant_model::run::TurnRecord { parameters: large, ..turn(0) });
    write.journal(note("a", "1")).journal(note("a", "2"));
    store.write(write).await.unwrap();
    let sha256 = put(&store, &bodies, 1, b"hello").await;
    store.close().await.unwrap();
    (folder, sha256)
}

#[tokio::test]
async fn a_check_names_what_is_wrong_in_words() {
    let (folder, _) = sound().await;
    let report = check::check(folder.path(), &Interrupt::default()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.journal_rows, report.contents, report.bodies, report.bodies_bytes), (2, 1, 1, 5));
    assert_eq!((report.journal_seq, report.journal_root.len(), report.bodies_unnamed), (2, 64, 0));

    let body = |folder: &Path, sha256: &str| folder.join("blobs").join(&sha256[..2]).join(sha256);
    type Harm = Box<dyn Fn(&Path, &str)>;
    let sql = |sql: &'static str| -> Harm {
        Box::new(move |folder, _| {
            let db = Connection::open(folder.join("store.db")).unwrap();
            db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            db.execute_batch(sql).unwrap();
        })
    };
    let cases: Vec<(Harm, Matter, &str)> = vec![
        (sql("UPDATE journal SET payload = '{}' WHERE seq = 2"), Matter::Journal, "row 2 of a: the hash"),
        (sql("DELETE FROM journal WHERE seq = 1"), Matter::Journal, "row 1: the row is missing"),
        (
            sql("DELETE FROM tasks"),
            Matter::References,
            "row 1 of runs names a row of tasks that is not there",
        ),
        (sql("DELETE FROM blobs"), Matter::Contents, "1 rows of turns have a parameters that is not there"),
        (sql("UPDATE blobs SET content = x'00'"), Matter::Contents, "is not what its hash says"),
        (
            sql("UPDATE outputs SET sha256 = replace(hex(zeroblob(32)), '00', 'ab')"),
            Matter::Bodies,
            "body abababab",
        ),
        (
            Box::new(move |folder, sha256| fs::remove_file(body(folder, sha256)).unwrap()),
            Matter::Bodies,
            "is not there",
        ),
        (
            Box::new(move |folder, sha256| fs::write(body(folder, sha256), "hullo").unwrap()),
            Matter::Bodies,
            "is not what its hash says",
        ),
        (sql("DROP TABLE journal_head"), Matter::Journal, "it cannot be read: no such table"),
    ];
    for (harm, matter, says) in cases {
        let (folder, sha256) = sound().await;
        harm(folder.path(), &sha256);
        let report = check::check(folder.path(), &Interrupt::default()).unwrap();
        let found = report.findings.iter().any(|found| found.matter == matter && found.text.contains(says));
        assert!(found && !report.is_sound(), "{says}: {report:?}");
    }
}

#[tokio::test]
async fn a_damaged_page_is_found_and_keeps_nothing_else_from_being_looked_at() {
    let (folder, sha256) = sound().await;
    fs::remove_file(folder.path().join("blobs").join(&sha256[..2]).join(&sha256)).unwrap();
    let db = Connection::open(folder.path().join("store.db")).unwrap();
    let page: u32 = db
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'tokens_by_run'", (), |row| row.get(0))
        .unwrap();
    drop(db);
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("store.db")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 200], u64::from(page - 1) * 4096).unwrap();
    let report = check::check(folder.path(), &Interrupt::default()).unwrap();
    for matter in [Matter::Database, Matter::Bodies] {
        assert!(report.findings.iter().any(|found| found.matter == matter), "{matter:?}: {report:?}");
    }
}

#[test]
fn what_is_no_store_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let checked = || check::check(folder.path(), &Interrupt::default());
    assert!(matches!(checked(), Err(CheckError::Missing { .. })));
    fs::write(folder.path().join("store.db"), "hello ".repeat(1000)).unwrap();
    assert!(matches!(checked(), Err(CheckError::Foreign { .. })));
    fs::remove_file(folder.path().join("store.db")).unwrap();
    let db = Connection::open(folder.path().join("store.db")).unwrap();
    db.execute_batch("PRAGMA application_id = 1097099892; PRAGMA user_version = 999").unwrap();
    drop(db);
    assert!(matches!(checked(), Err(CheckError::Newer { found: 999, .. })));
}

#[tokio::test]
async fn sizes_are_told_by_kind() {
    let (folder, _) = sound().await;
    let store = open(folder.path());
    let sizes = store.sizes_by_kind(&Interrupt::default()).await.unwrap();
    let size = |kind| *sizes.iter().find(|size| size.kind == kind).unwrap();
    let rows = |kind| size(kind).rows;
    assert_eq!(sizes.iter().map(|size| size.kind).collect::<Vec<_>>(), SizeKind::ALL);
    for (kind, expected) in [
        (SizeKind::Journal, 2),
        (SizeKind::Runs, 1),
        (SizeKind::Turns, 1),
        (SizeKind::Contents, 1),
        (SizeKind::Outputs, 1),
        (SizeKind::Bodies, 1),
        (SizeKind::Blueprints, 1),
        (SizeKind::Goals, 0),
    ] {
        assert_eq!(rows(kind), expected, "{kind:?}");
    }
    assert!(size(SizeKind::Contents).bytes > 100_000);
    assert_eq!(size(SizeKind::Bodies).bytes, 5);
    let files = [SizeKind::Bodies, SizeKind::Replaced, SizeKind::Log];
    let in_database: u64 =
        sizes.iter().filter(|size| !files.contains(&size.kind)).map(|size| size.bytes).sum();
    assert_eq!(in_database, fs::metadata(store.path()).unwrap().len(), "every page is of one kind");
}

#[tokio::test]
async fn rows_are_counted_in_trees_of_any_depth() {
    let (_folder, store) = fresh();
    let mut write = Write::default();
    for n in 0..5000 {
        write.journal(note("a", &n.to_string()));
    }
    store.write(write).await.unwrap();
    let sizes = store.sizes_by_kind(&Interrupt::default()).await.unwrap();
    let journal = sizes.iter().find(|size| size.kind == SizeKind::Journal).unwrap();
    assert_eq!(journal.rows, 5000);
}
