//! A database whose pages are counted stands in for a disk that fills up.

use super::*;
use crate::dialect;
use crate::write::Draft;
use adjutant_model::Timestamp;
use adjutant_model::event::Event;
use tempfile::TempDir;

struct Case {
    _folder: TempDir,
    db: Connection,
    ledger: Ledger,
}

fn case() -> Case {
    let folder = tempfile::tempdir().unwrap();
    let db = dialect::open_for_writing(&folder.path().join("store.db"), Timestamp::default()).unwrap();
    Case { _folder: folder, db, ledger: Ledger::new(0) }
}

fn note(text: &str) -> Write {
    let mut write = Write::default();
    write.journal(Draft {
        at: Timestamp::default(),
        actor: "test".into(),
        subject: "plane".into(),
        event: Event::GoalNoted { note: text.into() },
    });
    write
}

fn pages_max(db: &Connection, pages: i64) {
    db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get::<_, i64>(0)).unwrap();
}

fn rows(db: &Connection) -> i64 {
    db.query_row("SELECT count(*) FROM journal", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_full_disk_undoes_the_batch_and_the_next_write_goes_through_when_there_is_room() {
    let Case { db, mut ledger, _folder } = case();
    let (small, large) = (note("small"), note(&"large ".repeat(20_000)));
    commit(&db, &mut ledger, &[&small]).unwrap();
    pages_max(&db, 1);

    let full = commit(&db, &mut ledger, &[&small, &large]).unwrap_err();
    assert!(matches!(full, WriteError::Full(_)), "{full:?}");
    assert_eq!((ledger.seq(), rows(&db)), (1, 1));

    let answers = commit(&db, &mut ledger, &[&small]).unwrap();
    assert_eq!(answers[0].as_ref().unwrap().last_seq, 2);

    pages_max(&db, 100_000);
    let answers = commit(&db, &mut ledger, &[&large, &small]).unwrap();
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((ledger.seq(), rows(&db)), (4, 4));
    drop(db);
    assert!(crate::journal::verify(&_folder.path().join("store.db")).unwrap().is_sound());
}

#[test]
fn a_transaction_that_was_left_open_is_rolled_back_first() {
    let Case { db, mut ledger, _folder } = case();
    db.execute_batch("BEGIN; DELETE FROM journal_head;").unwrap();
    commit(&db, &mut ledger, &[&note("after")]).unwrap();
    assert_eq!(rows(&db), 1);
    head_catch_up(&db, &mut ledger).unwrap();
    let head: i64 = db.query_row("SELECT seq FROM journal_head", [], |row| row.get(0)).unwrap();
    assert_eq!(head, 1);
}
