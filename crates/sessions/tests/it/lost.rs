//! Attempts to lose work: after each of them, everything is there again, byte for byte.

use crate::fixtures::{content, kept};
use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::worktree::{
    RemoveMode, RestoreParams, Restored, remove, restore_beside, restore_in_place, snapshots,
};
use adjutant_sessions::{Removal, RemoveError};
use adjutant_testkit::Repository;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Removes the workspace by force and puts its last snapshot into a new worktree.
async fn removed_and_restored(repository: &Repository, record: &WorkspaceRecord) -> PathBuf {
    let removal = remove(&repository.git, repository.removal(record, RemoveMode::Force)).await.unwrap();
    assert!(!Path::new(&record.path).exists());
    // Whatever is left but the snapshot is what git would throw away, too.
    repository.sh(&repository.project, &["reflog", "expire", "--expire=now", "--all"]);
    repository.sh(&repository.project, &["gc", "--quiet", "--prune=now"]);
    let snapshot = removal.snapshot.expect("there was something to keep");
    let listed = snapshots(&repository.git, &repository.project, "run_1").await.unwrap();
    assert_eq!(listed.last(), Some(&snapshot));
    let params = RestoreParams { record, name: "run_1", snapshot: &snapshot };
    let path = repository.workspaces.join("again");
    let restored = restore_beside(&repository.git, params, &path).await.unwrap();
    assert_eq!(restored.record.path, path.to_str().unwrap());
    path
}

fn said(repository: &Repository, dir: &Path, args: &[&str]) -> String {
    repository.sh(dir, args)
}

#[tokio::test]
async fn a_dirty_tree_with_untracked_ignored_and_staged_files_comes_back() {
    let repository = Repository::new();
    repository.write("gone", "g\n");
    repository.write("program", "p\n");
    repository.commit(&repository.project, "more");
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("file"), b"\0\xff changed\r\n").unwrap();
    std::fs::remove_file(dir.join("gone")).unwrap();
    std::fs::set_permissions(dir.join("program"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir_all(dir.join("deep/er")).unwrap();
    std::fs::write(dir.join("deep/er/ü\tnew\nline"), "n").unwrap();
    std::fs::write(dir.join("deep/secret.ignored"), b"i\0").unwrap();
    symlink("../../outside", dir.join("link")).unwrap();
    std::fs::write(dir.join("both"), "staged\n").unwrap();
    repository.sh(dir, &["add", "both"]);
    std::fs::write(dir.join("both"), "and changed again\n").unwrap();
    std::fs::write(dir.join("noted"), "noted\n").unwrap();
    repository.sh(dir, &["add", "--intent-to-add", "noted"]);
    let before = content(dir);
    let staged = said(&repository, dir, &["show", ":both"]);

    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    assert_eq!(said(&repository, &again, &["show", ":both"]), staged);
    assert_eq!(said(&repository, &again, &["rev-parse", "HEAD"]), record.base.unwrap());
    let branch = said(&repository, &again, &["symbolic-ref", "--short", "HEAD"]);
    assert_eq!(branch, "adjutant/restored/run_1-1");
}

#[tokio::test]
async fn unpushed_commits_come_back_with_their_branch() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "work");
    let tip = said(&repository, dir, &["rev-parse", "HEAD"]);
    let error = remove(&repository.git, repository.removal(&record, RemoveMode::IfSaved)).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.commits == 1), "{error:?}");
    let before = content(dir);
    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    assert_eq!(said(&repository, &again, &["rev-parse", "HEAD"]), tip);
    // Even when somebody has thrown the branch away.
    assert_eq!(said(&repository, &repository.project, &["rev-parse", "adjutant/run_1"]), tip);
}

#[tokio::test]
async fn a_detached_head_and_its_commits_come_back() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    repository.sh(dir, &["checkout", "--quiet", "--detach"]);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "on no branch");
    std::fs::write(dir.join("more"), "m\n").unwrap();
    let (before, tip) = (content(dir), said(&repository, dir, &["rev-parse", "HEAD"]));
    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    assert_eq!(said(&repository, &again, &["rev-parse", "HEAD"]), tip);
    let branch = said(&repository, &again, &["branch", "--show-current"]);
    assert_eq!(branch, "", "it was on no branch");
    assert_eq!(said(&repository, &again, &["rev-parse", "adjutant/restored/run_1-1"]), tip);
}

#[tokio::test]
async fn a_branch_that_has_no_commit_yet_comes_back() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    repository.sh(dir, &["checkout", "--quiet", "--orphan", "fresh"]);
    std::fs::write(dir.join("file"), "fresh\n").unwrap();
    std::fs::write(dir.join("new"), "n\n").unwrap();
    let before = content(dir);
    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    assert_eq!(said(&repository, &again, &["symbolic-ref", "HEAD"]), "refs/heads/fresh");
    assert_eq!(said(&repository, &again, &["show", ":file"]), "one", "what was staged");
}

/// Makes a workspace whose branch and `main` have each changed the same line.
async fn diverged(repository: &Repository) -> WorkspaceRecord {
    let record = repository.workspace("run_1").await;
    repository.write("file", "theirs\n");
    repository.commit(&repository.project, "theirs");
    let dir = Path::new(&record.path);
    for (name, text) in [("first", "1\n"), ("file", "ours\n"), ("last", "3\n")] {
        std::fs::write(dir.join(name), text).unwrap();
        repository.commit(dir, name);
    }
    record
}

/// Calls git as a user would when it may say no.
fn tried(repository: &Repository, dir: &Path, args: &[&str]) -> bool {
    let config = ["-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "core.editor=true"];
    let mut git = Command::new("git");
    git.args(config)
        .args(args)
        .current_dir(dir)
        .env("HOME", repository.root())
        .env("GIT_CONFIG_NOSYSTEM", "1");
    git.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

#[tokio::test]
async fn a_rebase_in_progress_comes_back_and_goes_on() {
    let repository = Repository::new();
    let record = diverged(&repository).await;
    let dir = Path::new(&record.path);
    let old_tip = said(&repository, dir, &["rev-parse", "HEAD"]);
    assert!(!tried(&repository, dir, &["rebase", "main"]), "it conflicts");
    std::fs::write(dir.join("beside"), "b\n").unwrap();
    let before = content(dir);
    let conflict = said(&repository, dir, &["ls-files", "--unmerged"]);
    assert_eq!(conflict.lines().count(), 3);

    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    assert_eq!(said(&repository, &again, &["ls-files", "--unmerged"]), conflict);
    assert_eq!(said(&repository, &again, &["rev-parse", "adjutant/restored/run_1-1"]), old_tip);
    let status = said(&repository, &again, &["status"]);
    assert!(status.contains("rebase in progress"), "{status}");
    std::fs::write(again.join("file"), "both\n").unwrap();
    repository.sh(&again, &["add", "file"]);
    assert!(tried(&repository, &again, &["rebase", "--continue"]), "it goes on to its end");
    assert_eq!(said(&repository, &again, &["branch", "--show-current"]), "adjutant/restored/run_1-1");
    let subjects = said(&repository, &again, &["log", "--format=%s", "main..HEAD"]);
    assert_eq!(subjects, "last\nfile\nfirst");
}

#[tokio::test]
async fn a_conflicted_merge_comes_back_and_goes_on() {
    let repository = Repository::new();
    let record = diverged(&repository).await;
    let dir = Path::new(&record.path);
    assert!(!tried(&repository, dir, &["merge", "main"]), "it conflicts");
    let before = content(dir);
    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
    repository.sh(&again, &["add", "file"]);
    assert!(tried(&repository, &again, &["commit", "--no-edit"]));
    let parents = said(&repository, &again, &["log", "-1", "--format=%P"]);
    assert_eq!(parents.split(' ').count(), 2, "it is the merge that was begun");
}

#[tokio::test]
async fn a_reset_that_threw_commits_away_is_undone_in_place() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "work");
    std::fs::write(dir.join("draft"), "d\n").unwrap();
    std::fs::write(dir.join("own.ignored"), "i\n").unwrap();
    let (before, tip) = (content(dir), said(&repository, dir, &["rev-parse", "HEAD"]));
    let good = kept(&repository, &record).await.unwrap();
    repository.sh(dir, &["reset", "--quiet", "--hard", "HEAD^"]);
    repository.sh(dir, &["clean", "--quiet", "-fdx"]);
    std::fs::write(dir.join("file"), "spoilt\n").unwrap();
    std::fs::write(dir.join("worse"), "w\n").unwrap();
    let spoilt = content(dir);

    let params = RestoreParams { record: &record, name: "run_1", snapshot: &good };
    let Restored { before: kept, .. } = restore_in_place(&repository.git, params).await.unwrap();
    assert_eq!(content(dir), before);
    assert_eq!(said(&repository, dir, &["rev-parse", "HEAD"]), tip);
    assert_eq!(said(&repository, dir, &["branch", "--show-current"]), "adjutant/run_1");
    assert_eq!(said(&repository, dir, &["status", "--porcelain"]), "?? draft");
    // And back again: what restoring has replaced is kept as well.
    let kept = kept.expect("it was another state");
    let params = RestoreParams { record: &record, name: "run_1", snapshot: &kept };
    let Restored { .. } = restore_in_place(&repository.git, params).await.unwrap();
    std::fs::remove_file(dir.join("own.ignored")).unwrap();
    assert_eq!(content(dir), spoilt);
}

#[tokio::test]
async fn ignored_files_that_no_snapshot_can_hold_need_force_and_are_never_overwritten() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("data"), "small\n").unwrap();
    let first = kept(&repository, &record).await.unwrap();
    std::fs::remove_file(dir.join("data")).unwrap();
    let exclude = repository.sh(dir, &["rev-parse", "--path-format=absolute", "--git-path", "info/exclude"]);
    std::fs::write(exclude, "data\n").unwrap();
    let large = std::fs::File::create(dir.join("data")).unwrap();
    large.set_len(65 << 20).unwrap();
    let error = remove(&repository.git, repository.removal(&record, RemoveMode::IfSaved)).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.ignored == 1), "{error:?}");
    let params = RestoreParams { record: &record, name: "run_1", snapshot: &first };
    let error = restore_in_place(&repository.git, params).await.unwrap_err();
    assert!(error.to_string().ends_with("would be overwritten: data"), "{error}");
    assert_eq!(large.metadata().unwrap().len(), dir.join("data").metadata().unwrap().len());
    let Removal { left_out, .. } =
        remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await.unwrap();
    assert_eq!(left_out.len(), 1, "it is told: {left_out:?}");
}

/// A process that writes into a directory until it is dropped.
struct Writer(Child);

impl Writer {
    fn start(dir: &Path, script: &str) -> Writer {
        Writer(Command::new("sh").args(["-c", script]).current_dir(dir).spawn().unwrap())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_workspace_that_a_process_writes_in_is_not_removed() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    let script = "i=0; while :; do i=$((i+1)); echo $i > log; echo $i > n$((i % 50)); done";
    let writer = Writer::start(dir, script);
    let removal = remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await;
    let error = removal.unwrap_err();
    assert!(matches!(&error, RemoveError::Snapshot(_)), "{error:?}");
    assert_eq!(error.hint().as_deref(), Some("end what writes there, or wait until it is quiet"));
    assert!(dir.join("file").exists(), "it is in its place");
    drop(writer);
    let before = content(dir);
    let again = removed_and_restored(&repository, &record).await;
    assert_eq!(content(&again), before);
}

#[tokio::test]
async fn a_full_disk_while_a_snapshot_is_taken_loses_nothing() {
    let Some(disk) = SmallDisk::mounted() else {
        println!("skipped: a small disk cannot be mounted here; it needs root");
        return;
    };
    let repository = Repository::new();
    repository
        .sh(&repository.root(), &["clone", "--quiet", "project", disk.path.join("p").to_str().unwrap()]);
    let project = disk.path.join("p");
    let path = repository.workspaces.join("run_1");
    let params = adjutant_sessions::WorktreeParams {
        project: &project,
        path: &path,
        branch: "adjutant/run_1",
        base: None,
    };
    let record = adjutant_sessions::worktree::create(&repository.git, params).await.unwrap();
    // More than the disk has room for, in a form that does not shrink.
    let mut noise = vec![0_u8; 6 << 20];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom").unwrap(), &mut noise).unwrap();
    std::fs::write(path.join("noise"), &noise).unwrap();
    let before = content(&path);
    let error = remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Snapshot(_)), "{error:?}");
    assert_eq!(error.hint().as_deref(), Some("free some disk space"), "{error:?}");
    assert_eq!(content(&path), before, "nothing was removed");
    disk.grow();
    let removal = remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await.unwrap();
    let snapshot = removal.snapshot.unwrap();
    let params = RestoreParams { record: &record, name: "run_1", snapshot: &snapshot };
    let again = repository.workspaces.join("again");
    restore_beside(&repository.git, params, &again).await.unwrap();
    assert_eq!(content(&again), before);
}

/// A disk of 4 MiB.
struct SmallDisk {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mounted() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let is_mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(&path)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        is_mounted.then_some(SmallDisk { path, _folder: folder })
    }

    fn grow(&self) {
        let mount = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.path).status();
        assert!(mount.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(&self.path).status().ok();
    }
}
