//! Snapshots: they hold everything, move nothing, and are taken only when something is new.

use crate::fixtures::kept;
use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::worktree::{
    KeepLimits, LeftOut, LeftOutWhy, Snapshot, SnapshotError, SnapshotParams, snapshot_next, snapshots,
};
use adjutant_testkit::{Repository, SNAPSHOT_REF};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

#[tokio::test]
async fn everything_is_in_a_snapshot_and_nothing_of_the_worktree_is_moved() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("file"), b"changed\r\n\0binary").unwrap();
    std::fs::write(dir.join("untracked ü"), "u\n").unwrap();
    std::fs::write(dir.join("a.ignored"), "i\n").unwrap();
    std::fs::write(dir.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(dir.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/nowhere/at all", dir.join("link")).unwrap();
    std::fs::write(dir.join("staged"), "s\n").unwrap();
    repository.sh(dir, &["add", "staged"]);

    let before = repository.sh(dir, &["status", "--porcelain"]);
    let index = std::fs::read(repository.sh(dir, &["rev-parse", "--git-path", "index"])).unwrap();
    let snapshot = kept(&repository, &record).await.unwrap();
    assert_eq!(repository.sh(dir, &["status", "--porcelain"]), before, "index and files stay");
    assert_eq!(std::fs::read(repository.sh(dir, &["rev-parse", "--git-path", "index"])).unwrap(), index);
    let head = record.base.clone().unwrap();
    assert_eq!(repository.sh(dir, &["rev-parse", "HEAD"]), head, "the branch stays");
    assert_eq!((snapshot.number, snapshot.refname.as_str()), (1, SNAPSHOT_REF));
    assert_eq!(repository.sh(&repository.project, &["rev-parse", SNAPSHOT_REF]), snapshot.commit);
    assert_eq!(repository.sh(dir, &["rev-parse", &format!("{SNAPSHOT_REF}^1")]), head);
    assert_eq!(repository.sh(dir, &["log", "-1", "--format=%an", SNAPSHOT_REF]), "Adjutant");
    let files =
        repository.sh(dir, &["-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", SNAPSHOT_REF]);
    assert_eq!(files, ".gitignore\nfile\nlink\nrun.sh\nstaged\nuntracked ü");
    assert_eq!(repository.sh(dir, &["show", &format!("{SNAPSHOT_REF}^2:ignored/a.ignored")]), "i");
    assert_eq!(snapshots(&repository.git, dir, "run_1").await.unwrap(), [snapshot]);
    assert_eq!(repository.sh(dir, &["stash", "list"]), "");
}

#[tokio::test]
async fn a_turn_that_changed_nothing_makes_no_snapshot() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    assert_eq!(kept(&repository, &record).await, None, "it is as it was made");
    std::fs::write(dir.join("draft"), "one\n").unwrap();
    let first = kept(&repository, &record).await.unwrap();
    assert_eq!(kept(&repository, &record).await, None);
    std::fs::write(dir.join("draft"), "two\n").unwrap();
    let second = kept(&repository, &record).await.unwrap();
    assert_eq!((first.number, second.number), (1, 2));
    repository.commit(dir, "work");
    assert_eq!(kept(&repository, &record).await.unwrap().number, 3, "the same files, and another commit");
    repository.sh(dir, &["reset", "--quiet", "--hard", "HEAD^"]);
    assert_eq!(kept(&repository, &record).await.unwrap().number, 4, "a commit that is on no branch now");
    assert_eq!(repository.sh(dir, &["show", &format!("{}:draft", first.commit)]), "one");
    let numbers: Vec<u32> = snapshots(&repository.git, dir, "run_1")
        .await
        .unwrap()
        .iter()
        .map(|snapshot| snapshot.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
}

#[tokio::test]
async fn ignored_files_are_kept_while_they_are_small_and_the_rest_is_told() {
    let repository = Repository::new();
    repository.write(".gitignore", "*.ignored\ntarget/\ncache/\nnode_modules/\ninner/\n");
    repository.commit(&repository.project, "ignores");
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    let write = |name: &str, text: &[u8]| {
        std::fs::create_dir_all(dir.join(name).parent().unwrap()).unwrap();
        std::fs::write(dir.join(name), text).unwrap();
    };
    write("small.ignored", b"s");
    write("large.ignored", &[0; 11]);
    write("cache/deep/a", b"a");
    write("target/.rustc_info.json", b"{}");
    write("target/debug/x", &[0; 100]);
    write("node_modules/x/y", b"y");
    write("inner/.git/HEAD", b"ref: refs/heads/x\n");
    let limits = KeepLimits { file_bytes_max: 10, total_bytes_max: 15, files_max: 10 };
    let params = SnapshotParams { record: &record, name: "run_1", limits };
    let snapshot = snapshot_next(&repository.git, params).await.unwrap().unwrap();
    let left = |path: &str, why| LeftOut { path: path.to_owned(), why };
    let expected = [
        left("inner/", LeftOutWhy::Repository),
        left("large.ignored", LeftOutWhy::TooLarge),
        left("node_modules/", LeftOutWhy::Artefact),
        left("target/", LeftOutWhy::Artefact),
    ];
    assert_eq!(snapshot.content.left_out, expected);
    let ignored = format!("{}^2:ignored", snapshot.commit);
    let files = repository.sh(dir, &["ls-tree", "-r", "--name-only", &ignored]);
    assert_eq!(files, "cache/deep/a\nsmall.ignored");
    write("cache/deep/b", &[0; 10]);
    write("cache/deep/c", &[0; 10]);
    std::fs::remove_file(dir.join("small.ignored")).unwrap();
    let snapshot = snapshot_next(&repository.git, params).await.unwrap().unwrap();
    assert!(snapshot.content.left_out.contains(&left("cache/deep/c", LeftOutWhy::TooMuch)));
    let ignored = format!("{}^2:ignored", snapshot.commit);
    let files = repository.sh(dir, &["ls-tree", "-r", "--name-only", &ignored]);
    assert_eq!(files, "cache/deep/a\ncache/deep/b");
}

#[tokio::test]
async fn what_becomes_ignored_or_tracked_between_two_snapshots_is_in_one_place() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("notes"), "n\n").unwrap();
    std::fs::write(dir.join("force.ignored"), "f\n").unwrap();
    kept(&repository, &record).await.unwrap();
    std::fs::write(dir.join(".gitignore"), "*.ignored\nnotes\n").unwrap();
    repository.sh(dir, &["add", "--force", "force.ignored"]);
    let snapshot = kept(&repository, &record).await.unwrap();
    let list = |tree: &str| repository.sh(dir, &["ls-tree", "-r", "--name-only", tree]);
    assert_eq!(list(&snapshot.commit), ".gitignore\nfile\nforce.ignored");
    assert_eq!(list(&format!("{}^2:ignored", snapshot.commit)), "notes");
}

#[tokio::test]
async fn two_at_once_take_two_numbers_or_one() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    std::fs::write(Path::new(&record.path).join("draft"), "one\n").unwrap();
    let (first, second) = tokio::join!(kept(&repository, &record), kept(&repository, &record));
    let taken: Vec<Snapshot> = [first, second].into_iter().flatten().collect();
    assert!(matches!(taken.as_slice(), [one] if one.number == 1), "{taken:?}");
}

#[tokio::test]
async fn an_index_of_ours_that_a_crash_has_broken_is_made_again() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("draft"), "one\n").unwrap();
    kept(&repository, &record).await.unwrap();
    let ours = Path::new(&repository.sh(dir, &["rev-parse", "--absolute-git-dir"])).join("adjutant");
    std::fs::write(ours.join("index"), "broken").unwrap();
    std::fs::write(ours.join("index.lock"), "").unwrap();
    std::fs::write(dir.join("draft"), "two\n").unwrap();
    let snapshot = kept(&repository, &record).await.unwrap();
    assert_eq!(repository.sh(dir, &["show", &format!("{}:draft", snapshot.commit)]), "two");
}

#[tokio::test]
async fn a_name_that_could_lead_elsewhere_is_refused() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    std::fs::write(Path::new(&record.path).join("draft"), "one\n").unwrap();
    for name in ["", "--upload-pack=x", "-x", "../../heads/main", "a/b", "a b", "a\nb", "a..b"] {
        let params = SnapshotParams { record: &record, name, limits: KeepLimits::EVERY_TURN };
        let error = snapshot_next(&repository.git, params).await.unwrap_err();
        assert!(matches!(&error, SnapshotError::Name { .. }), "{name}: {error:?}");
        assert!(snapshots(&repository.git, &repository.project, name).await.is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_large_tree_is_looked_at_quickly_when_little_has_changed() {
    let repository = Repository::new();
    for folder in 0..100 {
        std::fs::create_dir(repository.project.join(format!("d{folder}"))).unwrap();
        for file in 0..100 {
            repository.write(&format!("d{folder}/f{file}"), &format!("{folder} {file}\n"));
        }
    }
    repository.commit(&repository.project, "ten thousand files");
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    let mut took = Vec::new();
    for turn in 0..3 {
        std::fs::write(dir.join("d1/f1"), format!("turn {turn}\n")).unwrap();
        let began = std::time::Instant::now();
        kept(&repository, &record).await.unwrap();
        took.push(began.elapsed());
        let began = std::time::Instant::now();
        assert_eq!(kept(&repository, &record).await, None);
        took.push(began.elapsed());
    }
    println!("snapshots of 10 000 files, one changed and none changed, by turns: {took:?}");
}

/// What a caller may give as the record of a worktree that is not ours.
#[tokio::test]
async fn a_directory_without_git_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new();
    let record = WorkspaceRecord {
        path: folder.path().to_string_lossy().into_owned(),
        ..repository.workspace("run_1").await
    };
    let params = SnapshotParams { record: &record, name: "run_1", limits: KeepLimits::EVERY_TURN };
    assert!(matches!(snapshot_next(&repository.git, params).await, Err(SnapshotError::Git(_))));
}
