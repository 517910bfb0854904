//! Reads: feeds, snapshots, the pool.

use crate::fixtures::{fresh, note, note_write};
use adjutant_model::event::Event;
use adjutant_store::Write;

#[tokio::test]
async fn a_feed_wakes_and_reads_on_from_its_cursor() {
    let (_folder, store) = fresh();
    let mut committed = store.committed();
    let feed = {
        let store = store.clone();
        tokio::spawn(async move {
            let (mut cursor, mut seen) = (0, Vec::new());
            while seen.len() < 30 {
                let last = *committed.wait_for(|last| *last > cursor).await.unwrap();
                let rows = store.journal_after(cursor, 7).await.unwrap();
                assert!(!rows.is_empty() && rows[0].seq == cursor + 1 && last > cursor);
                cursor = rows.last().unwrap().seq;
                seen.extend(rows);
            }
            seen
        })
    };
    for n in 0..30 {
        store.write(note_write("plane", &n.to_string())).await.unwrap();
    }
    let seen = feed.await.unwrap();
    let notes: Vec<_> = seen.into_iter().map(|row| row.event).collect();
    let expected: Vec<_> = (0..30).map(|n| Event::GoalNoted { note: n.to_string() }).collect();
    assert_eq!(notes, expected);
}

#[tokio::test]
async fn a_subject_is_read_in_order_and_by_pages() {
    let (_folder, store) = fresh();
    let mut write = Write::default();
    for n in 0..10 {
        write.journal(note(if n % 2 == 0 { "even" } else { "odd" }, &n.to_string()));
    }
    assert_eq!(store.write(write).await.unwrap().last_seq, 10);
    let page = store.journal_of("odd", 4, 2).await.unwrap();
    assert_eq!(page.iter().map(|row| row.seq).collect::<Vec<_>>(), [6, 8]);
    assert_eq!((page[0].actor.as_str(), page[0].subject.as_str(), page[0].hash.len()), ("host", "odd", 64));
    assert!(store.journal_of("none", 0, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn more_reads_than_connections_all_get_an_answer() {
    let (_folder, store) = fresh();
    store.write(note_write("plane", "x")).await.unwrap();
    let reads: Vec<_> = (0..50)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.journal_after(0, 10).await.unwrap().len() })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_sound_database_has_no_findings() {
    let (_folder, store) = fresh();
    store.write(note_write("plane", "x")).await.unwrap();
    assert!(store.quick_check().await.unwrap().is_empty());
    assert!(store.health().writes_failing.is_none());
}
