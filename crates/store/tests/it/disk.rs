//! A disk that is really full: a small tmpfs, where this process may mount one.

use crate::fixtures::{note_write, open};
use adjutant_model::run::ErrorClass;
use adjutant_store::{WriteError, journal};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    fn mount(size: &str) -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let umounted = Command::new("umount").arg(self.path()).status();
        assert!(umounted.unwrap().success());
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_loses_nothing_and_works_again_by_itself() {
    let Some(disk) = SmallDisk::mount("4m") else {
        println!("SKIPPED: no right to mount a tmpfs, so no full disk to try");
        return;
    };
    let store = open(disk.path());
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let text = "x".repeat(20_000);
    let mut acknowledged = 0;
    let error = loop {
        match store.write(note_write("plane", &text)).await {
            Ok(committed) => acknowledged = committed.last_seq,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "the disk never filled up");
    };
    assert!(matches!(error, WriteError::Full(_)), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Retry);
    assert_eq!(error.to_string(), "the disk that holds the store is full");
    assert!(matches!(store.write(note_write("plane", &text)).await, Err(WriteError::Full(_))));
    let failure = store.health().writes_failing.expect("the health says why");
    assert!(matches!(failure.error, WriteError::Full(_)) && failure.refused == 2, "{failure:?}");
    assert_eq!(store.journal_after(0, 10_000).await.unwrap().len() as i64, acknowledged);

    fs::remove_file(&ballast).unwrap();
    let again = store.write(note_write("plane", &text)).await.unwrap();
    assert_eq!(again.last_seq, acknowledged + 1);
    assert!(store.health().writes_failing.is_none());
    store.close().await.unwrap();
    let report = journal::verify(&disk.path().join("store.db")).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.last_seq, acknowledged + 1);
}

const FOLDER: &str = "ADJUTANT_STORE_DISK_FOLDER";

/// The process whose flushes fail: this test, started under strace by the next one.
#[tokio::test]
async fn a_child_writes_while_flushes_fail() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    let mut failed = 0;
    for n in 0..60 {
        match store.write(note_write("plane", &n.to_string())).await {
            Ok(committed) => println!("acknowledged {n} {}", committed.last_seq),
            Err(error) => {
                assert!(matches!(error, WriteError::Io(_)), "{error:?}");
                assert!(store.health().writes_failing.is_some());
                failed += 1;
            }
        }
    }
    assert!(store.health().writes_failing.is_none(), "it recovered by itself");
    println!("failed {failed}");
    // Ends without a close, as after a kill: what was refused must not come back from the log.
    std::mem::forget(store);
}

#[tokio::test]
async fn a_flush_that_fails_acknowledges_nothing_and_leaves_nothing_behind() {
    for when in ["10..10", "10..12", "20..25"] {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).close().await.unwrap();
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={when}")]);
        strace.arg(std::env::current_exe().unwrap());
        strace.args(["--exact", "disk::a_child_writes_while_flushes_fail", "--nocapture"]);
        let Ok(output) = strace.env(FOLDER, folder.path()).output() else {
            println!("SKIPPED: no strace, so no failing flush to try");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        if !said.contains("running 1 test") {
            println!("SKIPPED: strace may not trace here, so no failing flush to try");
            return;
        }
        assert!(output.status.success(), "{when}: {said}\n{}", String::from_utf8_lossy(&output.stderr));
        let acknowledged = said.lines().filter(|line| line.contains("acknowledged ")).count();
        let failed =
            said.lines().find_map(|line| line.strip_prefix("failed ")?.parse::<usize>().ok()).unwrap();
        assert!(failed > 0, "{when}: no flush failed: {said}");
        assert_eq!(acknowledged + failed, 60, "{when}");

        let store = open(folder.path());
        let rows = store.journal_after(0, 1000).await.unwrap();
        assert_eq!(rows.len(), acknowledged, "{when}: exactly what was acknowledged is there");
        assert!(journal::verify(store.path()).unwrap().is_sound(), "{when}");
    }
}
