//! Tampering, row by row: what was done, and what the check says.

use crate::fixtures::{fresh, note, open};
use adjutant_store::Write;
use adjutant_store::journal::{self, Broken, Fault, VerifyError};
use rusqlite::Connection;
use std::path::Path;

/// Rows 1 to 8, about `a` and `b` in turn.
async fn journal_of_eight() -> tempfile::TempDir {
    let (folder, store) = fresh();
    let mut write = Write::default();
    for n in 1..=8 {
        write.journal(note(if n % 2 == 1 { "a" } else { "b" }, &n.to_string()));
    }
    store.write(write).await.unwrap();
    store.close().await.unwrap();
    folder
}

fn broken_after(folder: &Path, sql: &str) -> Vec<Broken> {
    let file = folder.join("store.db");
    let db = Connection::open(&file).unwrap();
    db.execute_batch(sql).unwrap();
    db.close().unwrap();
    let report = journal::verify(&file).unwrap();
    assert_eq!(report.broken_count, report.broken.len() as u64);
    report.broken
}

fn mismatch(seq: i64, subject: &str) -> Broken {
    Broken { seq, subject: subject.into(), why: Fault::HashMismatch }
}

fn missing(seq: i64, count: u64) -> Broken {
    Broken { seq, subject: String::new(), why: Fault::Missing { count } }
}

#[tokio::test]
async fn every_kind_of_tampering_is_found_where_it_was_done() {
    let swap = "UPDATE journal SET seq = -3 WHERE seq = 3; UPDATE journal SET seq = 3 WHERE seq = 5; \
                UPDATE journal SET seq = 5 WHERE seq = -3;";
    let insert =
        "INSERT INTO journal SELECT 9, at, actor, subject, kind, payload, hash FROM journal WHERE seq = 7";
    let cases: Vec<(&str, &str, Vec<Broken>)> = vec![
        ("nothing", "SELECT 1", vec![]),
        ("a changed payload", "UPDATE journal SET payload = '{}' WHERE seq = 3", vec![mismatch(3, "a")]),
        ("a changed time", "UPDATE journal SET at = at + 1 WHERE seq = 4", vec![mismatch(4, "b")]),
        ("a changed actor", "UPDATE journal SET actor = 'x' WHERE seq = 1", vec![mismatch(1, "a")]),
        ("a changed kind", "UPDATE journal SET kind = 'x' WHERE seq = 8", vec![mismatch(8, "b")]),
        (
            "a row moved to another subject",
            "UPDATE journal SET subject = 'b' WHERE seq = 3",
            vec![mismatch(3, "b"), mismatch(4, "b"), mismatch(5, "a")],
        ),
        (
            "a changed hash",
            "UPDATE journal SET hash = zeroblob(32) WHERE seq = 3",
            vec![mismatch(3, "a"), mismatch(5, "a")],
        ),
        (
            "a row without a hash",
            "UPDATE journal SET hash = 'x' WHERE seq = 7",
            vec![Broken { seq: 7, subject: String::new(), why: Fault::Unreadable }],
        ),
        (
            "a row removed in the middle",
            "DELETE FROM journal WHERE seq = 3",
            vec![missing(3, 1), mismatch(5, "a")],
        ),
        ("the last row removed", "DELETE FROM journal WHERE seq = 8", vec![missing(8, 1)]),
        ("the end of a subject removed", "DELETE FROM journal WHERE seq = 7", vec![missing(7, 1)]),
        ("the tail removed", "DELETE FROM journal WHERE seq > 5", vec![missing(6, 3)]),
        (
            "a whole subject removed",
            "DELETE FROM journal WHERE subject = 'b'",
            vec![missing(2, 1), missing(4, 1), missing(6, 1), missing(8, 1)],
        ),
        ("all removed", "DELETE FROM journal", vec![missing(1, 8)]),
        ("two rows exchanged", swap, vec![mismatch(3, "a"), mismatch(5, "a"), mismatch(7, "a")]),
        ("a row added", insert, vec![mismatch(9, "a")]),
        (
            "a place removed",
            "DELETE FROM journal_places WHERE seq = 3",
            vec![Broken { seq: 1, subject: String::new(), why: Fault::WrongPlaces }],
        ),
        (
            "a head set back",
            "UPDATE journal_head SET seq = -300",
            vec![Broken { seq: -44, subject: String::new(), why: Fault::NeverWritten }],
        ),
        (
            "no head",
            "DELETE FROM journal_head",
            vec![Broken { seq: 9, subject: String::new(), why: Fault::NoHead }],
        ),
    ];
    for (what, sql, mut expected) in cases {
        let folder = journal_of_eight().await;
        let mut found = broken_after(folder.path(), sql);
        let order = |broken: &Broken| (broken.seq, format!("{:?}", broken.why));
        found.sort_by_key(order);
        expected.sort_by_key(order);
        assert_eq!(found, expected, "{what}");
    }
}

#[tokio::test]
async fn a_checkpoint_stands_for_what_retention_removed() {
    let retain = "INSERT INTO journal_checkpoints SELECT 'a', 5, 3, hash FROM journal WHERE seq = 5; \
                  DELETE FROM journal WHERE subject = 'a' AND seq <= 5; \
                  INSERT INTO journal_checkpoints SELECT 'b', 8, 4, hash FROM journal WHERE seq = 8; \
                  DELETE FROM journal WHERE subject = 'b'; \
                  DELETE FROM journal_places WHERE seq NOT IN (SELECT seq FROM journal);";
    let folder = journal_of_eight().await;
    assert_eq!(broken_after(folder.path(), retain), []);
    let store = open(folder.path());
    let mut write = Write::default();
    write.journal(note("a", "goes on")).journal(note("b", "goes on"));
    store.write(write).await.unwrap();
    let report = journal::verify(store.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.removed, report.subjects, report.last_seq), (3, 7, 2, 10));
    store.close().await.unwrap();
    assert_eq!(broken_after(folder.path(), "DELETE FROM journal WHERE seq = 10"), [missing(10, 1)]);
}

#[tokio::test]
async fn the_check_works_while_the_store_writes_and_its_root_names_the_journal() {
    let (_folder, store) = fresh();
    let file = store.path().to_owned();
    let mut roots = std::collections::HashSet::new();
    for n in 0..20 {
        let mut write = Write::default();
        write.journal(note("plane", &n.to_string()));
        store.write(write).await.unwrap();
        let report = journal::verify(&file).unwrap();
        assert!(report.is_sound());
        assert_eq!(report.last_seq, n + 1);
        assert!(roots.insert(report.root));
    }
}

#[test]
fn what_is_not_a_store_is_not_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    assert!(matches!(journal::verify(&file), Err(VerifyError::Missing { .. })));
    std::fs::write(&file, "hello ".repeat(1000)).unwrap();
    assert!(matches!(journal::verify(&file), Err(VerifyError::Foreign { .. })));
}
