//! Opening: what is ours, what is not, and what is newer.

use crate::fixtures::{at, fresh, note_write, open};
use adjutant_store::{OpenError, Store, StoreOptions};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn refused(folder: &Path) -> OpenError {
    let file = folder.join("store.db");
    let before = fs::read(&file).unwrap();
    let error = Store::open(StoreOptions::new(folder), at(0)).unwrap_err();
    assert_eq!(fs::read(&file).unwrap(), before, "a refused file is untouched");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "nothing was made beside it");
    error
}

#[test]
fn what_is_not_a_database_is_refused_and_untouched() {
    for content in ["hello", &"SQLite format 4 ".repeat(20), &"x".repeat(5000)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("store.db"), content).unwrap();
        let error = refused(folder.path());
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
        assert!(error.to_string().contains("store.db is not a SQLite database"), "{error}");
    }
}

#[test]
fn the_database_of_another_program_is_refused_and_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    db.execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 3;").unwrap();
    db.close().unwrap();
    assert!(matches!(refused(folder.path()), OpenError::Foreign { application_id: 0, .. }));
}

#[tokio::test]
async fn a_newer_store_is_refused_and_untouched() {
    let (folder, store) = fresh();
    store.close().await.unwrap();
    let db = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA user_version = 4000;").unwrap();
    db.close().unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, OpenError::Newer { found: 4000, .. }), "{error:?}");
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nowhere");
    let error = Store::open(StoreOptions::new(&missing), at(0)).unwrap_err();
    assert!(matches!(error, OpenError::File { .. }), "{error:?}");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

#[tokio::test]
async fn a_store_opens_again_and_goes_on_where_it_was() {
    let (folder, store) = fresh();
    store.write(note_write("plane", "one")).await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(*store.committed().borrow(), 1);
    assert_eq!(store.write(note_write("plane", "two")).await.unwrap().last_seq, 2);
    let mode = fs::metadata(store.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only the owner reads it");
}

#[tokio::test]
async fn a_store_whose_making_was_cut_short_is_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.db"), "").unwrap();
    let store = open(folder.path());
    store.write(note_write("plane", "one")).await.unwrap();
    drop(store);

    let folder = tempfile::tempdir().unwrap();
    let db = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    db.execute_batch("PRAGMA application_id = 0x41646a74;").unwrap();
    db.close().unwrap();
    let store = open(folder.path());
    assert_eq!(store.write(note_write("plane", "one")).await.unwrap().last_seq, 1);
}
