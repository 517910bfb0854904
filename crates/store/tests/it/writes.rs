//! The writer: groups, fences, order, and the end.

use crate::fixtures::{OWNER, fence, fresh, note, note_write, open, run_id, run_write, turn};
use adjutant_store::{Fence, Write, WriteError, journal};
use std::collections::HashSet;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_are_all_acknowledged_and_the_places_have_no_gap() {
    let (folder, store) = fresh();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut seqs = Vec::new();
                for n in 0..200 {
                    let write = note_write(&format!("task-{task}"), &n.to_string());
                    seqs.push(store.write(write).await.unwrap().last_seq);
                }
                assert!(seqs.is_sorted());
                seqs
            })
        })
        .collect();
    let mut all = HashSet::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    assert_eq!(all, (1..=64 * 200).collect());
    assert_eq!(*store.committed().borrow(), 64 * 200);
    let report = journal::verify(&folder.path().join("store.db")).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.rows, report.subjects, report.last_seq), (12_800, 64, 12_800));
}

#[tokio::test]
async fn writes_that_fail_are_undone_alone_and_never_fail_their_batch() {
    let (folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    // All are in the queue before the writer has served the first, so most share one transaction.
    let writes = (0..100u64).map(|n| {
        let mut write = note_write("plane", &n.to_string());
        write.turn_start(&run_id(1), &turn(n / 2));
        store.write(write)
    });
    let answers = futures_join(writes).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (50, 50));
    assert!(bad.iter().all(|answer| matches!(answer, Err(WriteError::Constraint(_)))));
    let seqs: Vec<_> = good.into_iter().map(|answer| answer.unwrap().last_seq).collect();
    assert_eq!(seqs, (1..=50).collect::<Vec<_>>());
    assert_eq!(store.turns_of(&run_id(1), None, 1000).await.unwrap().len(), 50);
    assert!(journal::verify(&folder.path().join("store.db")).unwrap().is_sound());
}

/// Starts all futures before it waits for the first.
async fn futures_join<F>(futures: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future,
{
    let mut pending: Vec<_> = futures.map(|future| Box::pin(future)).collect();
    let mut answers: Vec<Option<F::Output>> = pending.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, answer) in pending.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *answer = Some(output);
            }
        }
        if answers.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    answers.into_iter().flatten().collect()
}

#[tokio::test]
async fn an_owner_that_was_replaced_writes_nothing_more() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let step = |fence, index| {
        let mut write = Write::fenced(fence);
        write.turn_start(&run_id(1), &turn(index)).journal(note(run_id(1).as_str(), "step"));
        write
    };
    store.write(step(fence(1), 0)).await.unwrap();

    let mut adopt = Write::default();
    adopt.run_adopt(&run_id(1), "daemon-2", 2);
    store.write(adopt.clone()).await.unwrap();
    let late = store.write(step(fence(1), 1)).await.unwrap_err();
    assert!(matches!(late, WriteError::Fenced { epoch: 1, .. }), "{late:?}");
    let wrong_owner = Fence { run_id: run_id(1), owner: OWNER.into(), epoch: 2 };
    assert!(matches!(store.write(step(wrong_owner, 1)).await, Err(WriteError::Fenced { .. })));
    let new = Fence { run_id: run_id(1), owner: "daemon-2".into(), epoch: 2 };
    assert_eq!(store.write(step(new, 1)).await.unwrap().last_seq, 2);
    assert!(matches!(store.write(adopt).await, Err(WriteError::RowsUnexpected { .. })));
    assert!(matches!(store.write(step(fence(7), 0)).await, Err(WriteError::Fenced { .. })));
}

#[tokio::test]
async fn a_run_that_was_undone_is_not_remembered() {
    let (_folder, store) = fresh();
    let mut broken = run_write(1);
    broken.turn_start(&run_id(1), &turn(0)).turn_start(&run_id(1), &turn(0));
    assert!(matches!(store.write(broken).await, Err(WriteError::Constraint(_))));
    let mut orphan = Write::default();
    orphan.turn_start(&run_id(1), &turn(0));
    assert!(matches!(store.write(orphan).await, Err(WriteError::UnknownRun { .. })));
    store.write(run_write(2)).await.unwrap();
    assert!(store.turns_of(&run_id(2), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_empty_write_is_answered_with_the_last_place() {
    let (_folder, store) = fresh();
    store.write(note_write("plane", "one")).await.unwrap();
    assert!(Write::default().is_empty());
    assert_eq!(store.write(Write::default()).await.unwrap().last_seq, 1);
}

#[tokio::test]
async fn a_closed_store_has_committed_what_waited_and_refuses_the_rest() {
    let (folder, store) = fresh();
    let writes = (0..50).map(|n| store.write(note_write("plane", &n.to_string())));
    let answers = futures_join(writes).await;
    assert!(answers.iter().all(Result::is_ok));
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.write(note_write("plane", "late")).await, Err(WriteError::Closed)));
    assert!(store.journal_after(0, 1).await.is_err());
    assert!(!folder.path().join("store.db-wal").exists(), "the log is gone after a good close");
    let again = open(folder.path());
    assert_eq!(again.journal_after(0, 100).await.unwrap().len(), 50);
    assert_eq!(again.write(note_write("plane", "next")).await.unwrap().last_seq, 51);
}

#[tokio::test]
async fn many_subjects_keep_their_chains_when_heads_are_forgotten() {
    let (folder, store) = fresh();
    for round in 0..2 {
        let mut write = Write::default();
        for subject in 0..20_000 {
            write.journal(note(&format!("s{subject}"), &round.to_string()));
        }
        store.write(write).await.unwrap();
    }
    let report = journal::verify(&folder.path().join("store.db")).unwrap();
    assert!(report.is_sound());
    assert_eq!((report.rows, report.subjects), (40_000, 20_000));
}
