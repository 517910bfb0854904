//! Snapshots: they hold everything, and move nothing.

use adjutant_sessions::worktree::{Snapshot, SnapshotParams, snapshot};
use adjutant_sessions::{GitError, worktree};
use adjutant_testkit::{Repository, SNAPSHOT_REF};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

async fn keep(repository: &Repository, dir: &Path) -> Option<Snapshot> {
    snapshot(&repository.git, SnapshotParams { dir, refname: SNAPSHOT_REF }).await.unwrap()
}

#[tokio::test]
async fn everything_is_restored_from_a_snapshot() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("file"), b"changed\r\n\0binary").unwrap();
    std::fs::write(dir.join("untracked ü"), "u\n").unwrap();
    std::fs::write(dir.join("a.ignored"), "i\n").unwrap();
    std::fs::write(dir.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(dir.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/nowhere/at all", dir.join("link")).unwrap();
    std::fs::remove_file(dir.join(".gitignore")).unwrap();
    std::fs::write(dir.join(".gitignore"), "*.ignored\n").unwrap();

    let before = repository.sh(dir, &["status", "--porcelain"]);
    let kept = keep(&repository, dir).await.unwrap();
    assert_eq!(repository.sh(dir, &["status", "--porcelain"]), before, "index and files stay");
    let head = record.base.clone().unwrap();
    assert_eq!(repository.sh(dir, &["rev-parse", "HEAD"]), head, "the branch stays");
    assert_eq!(repository.sh(&repository.project, &["rev-parse", SNAPSHOT_REF]), kept.commit);
    assert_eq!(repository.sh(dir, &["rev-parse", &format!("{SNAPSHOT_REF}^1")]), head);
    assert_eq!(repository.sh(dir, &["log", "-1", "--format=%an", SNAPSHOT_REF]), "Adjutant");

    let other = repository.root().join("restored");
    let other_text = other.to_str().unwrap();
    repository.sh(&repository.project, &["worktree", "add", "--quiet", "--detach", other_text, SNAPSHOT_REF]);
    assert_eq!(std::fs::read(other.join("file")).unwrap(), b"changed\r\n\0binary");
    assert_eq!(std::fs::read_to_string(other.join("untracked ü")).unwrap(), "u\n");
    assert_eq!(std::fs::metadata(other.join("run.sh")).unwrap().permissions().mode() & 0o111, 0o111);
    assert_eq!(std::fs::read_link(other.join("link")).unwrap(), Path::new("/nowhere/at all"));
    assert!(!other.join("a.ignored").exists());
}

#[tokio::test]
async fn there_is_nothing_to_keep_when_a_branch_has_it_all() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    assert_eq!(keep(&repository, dir).await, None);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "work");
    assert_eq!(keep(&repository, dir).await, None, "the branch has the commit");
    repository.sh(dir, &["checkout", "--quiet", "--detach"]);
    repository.commit(dir, "on no branch");
    let kept = keep(&repository, dir).await.unwrap();
    let head = repository.sh(dir, &["rev-parse", "HEAD"]);
    assert_eq!(repository.sh(dir, &["rev-parse", &format!("{}^1", kept.commit)]), head);
}

#[tokio::test]
async fn a_snapshot_is_made_once_and_a_later_one_keeps_the_earlier() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("draft"), "one\n").unwrap();
    let first = keep(&repository, dir).await.unwrap();
    assert_eq!(keep(&repository, dir).await.unwrap(), first);
    std::fs::write(dir.join("draft"), "two\n").unwrap();
    let second = keep(&repository, dir).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(repository.sh(dir, &["rev-parse", &format!("{}^2", second.commit)]), first.commit);
}

#[tokio::test]
async fn only_refs_of_our_own_are_written() {
    let repository = Repository::new();
    let dir = &repository.project;
    let table =
        ["refs/heads/main", "refs/tags/x", "refs/remotes/o/x", "HEAD", "--upload-pack=x", "refs/a..b", ""];
    for refname in table {
        let error = snapshot(&repository.git, SnapshotParams { dir, refname }).await.unwrap_err();
        assert!(matches!(&error, GitError::RefName { .. }), "{refname}: {error:?}");
    }
    assert!(worktree::head(&repository.git, dir).await.is_ok());
}
