//! A process that is killed while it writes: what it acknowledged is there, and the chain holds.

use crate::fixtures::{fence, note, open, run_id, run_write, turn};
use adjutant_store::{LockError, StoreLock, Write, journal};
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const FOLDER: &str = "ADJUTANT_STORE_CRASH_FOLDER";

/// The process to be killed: this test, started by the other one with the folder in its environment.
#[test]
fn a_child_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let _lock = StoreLock::acquire(folder).unwrap();
        let store = open(folder);
        let runs = 4u128;
        let tasks: Vec<_> = (1..=runs)
            .map(|n| {
                let store = store.clone();
                tokio::spawn(async move {
                    if store.run_get(&run_id(n)).await.unwrap().is_none() {
                        store.write(run_write(n)).await.unwrap();
                    }
                    let first = store.turns_of(&run_id(n), None, usize::MAX).await.unwrap().len() as u64;
                    for index in first.. {
                        let mut write = Write::fenced(fence(n));
                        write.turn_start(&run_id(n), &turn(index)).journal(note(run_id(n).as_str(), "step"));
                        let seq = store.write(write).await.unwrap().last_seq;
                        let line = format!("acknowledged {n} {index} {seq}\n");
                        std::io::stdout().write_all(line.as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_child_writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child write until it has acknowledged `lines` writes, kills it, and gives everything it acknowledged.
fn killed_after(folder: &Path, lines: usize) -> Vec<(u128, u64, i64)> {
    let mut child = child(folder);
    let mut acknowledged = Vec::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, words)) = line.split_once("acknowledged ") else { continue };
        let words: Vec<_> = words.split(' ').collect();
        // The line that the kill cut short was written after its acknowledgement, but it cannot be read.
        let [n, index, seq] = words[..] else { continue };
        acknowledged.push((n.parse().unwrap(), index.parse().unwrap(), seq.parse().unwrap()));
        if acknowledged.len() >= lines && !killed {
            let error = StoreLock::acquire(folder).unwrap_err();
            assert!(
                matches!(error, LockError::Held { pid: Some(pid), .. } if pid == child.id()),
                "{error:?}"
            );
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself");
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut rows = 0;
    for lines in [1, 3, 250, 7, 900, 40] {
        let acknowledged = killed_after(folder.path(), lines);
        let lock = StoreLock::acquire(folder.path()).unwrap();
        let store = open(folder.path());
        let report = journal::verify(store.path()).unwrap();
        assert!(report.is_sound(), "after {lines}: {report:?}");
        assert!(report.rows >= rows + acknowledged.len() as u64, "after {lines}");
        rows = report.rows;
        for n in 1..=4 {
            let turns = store.turns_of(&run_id(n), None, usize::MAX).await.unwrap();
            let last = acknowledged.iter().filter(|(run, _, _)| *run == n).map(|(_, index, _)| *index).max();
            assert!(last.is_none_or(|last| (turns.len() as u64) > last), "run {n} after {lines}");
            assert!((0..).zip(&turns).all(|(index, turn)| turn.index == index), "run {n} has gaps");
            let journal = store.journal_of(run_id(n).as_str(), 0, usize::MAX).await.unwrap();
            assert_eq!(journal.len(), turns.len(), "a turn and its row are committed together");
        }
        store.close().await.unwrap();
        drop(lock);
    }
}
