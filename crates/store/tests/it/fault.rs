//! What a hook does to a commit, as its caller and the next process see it.

use crate::fixtures::{at, note_write, open};
use adjutant_store::{CommitFault, CommitHook, DiskFault, Store, StoreOptions, WriteError, journal};
use std::path::Path;
use std::time::Duration;

/// Opens a store whose second commit is befallen by a fault.
fn open_with(folder: &Path, fault: CommitFault) -> Store {
    let commit_hook = Some(CommitHook::new(move |number| (number == 2).then_some(fault)));
    Store::open(StoreOptions { commit_hook, ..StoreOptions::new(folder) }, at(0)).unwrap()
}

async fn notes(store: &Store) -> usize {
    store.journal_of("g-1", 0, 100).await.unwrap().len()
}

#[tokio::test]
async fn a_refused_commit_keeps_nothing_and_may_be_offered_again() {
    for disk in [DiskFault::Full, DiskFault::Failing] {
        let folder = tempfile::tempdir().unwrap();
        let store = open_with(folder.path(), CommitFault::Refuse(disk));
        store.write(note_write("g-1", "one")).await.unwrap();
        let error = store.write(note_write("g-1", "two")).await.unwrap_err();
        let as_asked = match disk {
            DiskFault::Full => matches!(error, WriteError::Full(_)),
            DiskFault::Failing => matches!(error, WriteError::Io(_)),
        };
        assert!(as_asked, "{disk:?}: {error:?}");
        assert_eq!((notes(&store).await, store.health().writes_failing.is_some()), (1, true));
        store.write(note_write("g-1", "two")).await.unwrap();
        assert_eq!((notes(&store).await, store.health().writes_failing.is_some()), (2, false));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_at_a_commit_answers_nobody_and_the_next_one_finds_it_whole() {
    for (fault, found) in [(CommitFault::HaltBefore, 1), (CommitFault::HaltAfter, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let store = open_with(folder.path(), fault);
        store.write(note_write("g-1", "one")).await.unwrap();
        for text in ["two", "three"] {
            let error = store.write(note_write("g-1", text)).await.unwrap_err();
            assert!(matches!(error, WriteError::Closed), "{fault:?}: {error:?}");
        }
        store.close().await.unwrap();
        drop(store);
        let log = std::fs::metadata(folder.path().join("store.db-wal")).unwrap();
        assert!(log.len() > 0, "the log is left as a killed process leaves it");

        let store = open(folder.path());
        assert_eq!(notes(&store).await, found, "{fault:?}");
        store.write(note_write("g-1", "four")).await.unwrap();
        assert!(journal::verify(store.path()).unwrap().is_sound());
    }
}

/// The process dies while many writes are being put into the queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_process_that_dies_leaves_no_caller_waiting() {
    const DEATHS: usize = 100;
    for death in 0..DEATHS {
        let folder = tempfile::tempdir().unwrap();
        let store = open_with(folder.path(), CommitFault::HaltAfter);
        store.write(note_write("g-1", "one")).await.unwrap();
        let callers = (0..16).map(|caller| {
            let store = store.clone();
            tokio::spawn(async move {
                while store.write(note_write("g-1", "more")).await.is_ok() {}
                caller
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            let told = tokio::time::timeout(Duration::from_secs(30), caller).await;
            told.unwrap_or_else(|_| panic!("death {death}: a caller waits for ever")).unwrap();
        }
    }
}
