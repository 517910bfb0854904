//! The tree of a directory as it is.

use adjutant_sessions::worktree::{diff, status, tree_hash};
use adjutant_testkit::Repository;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// Changes everything that a tree can hold.
fn change(repository: &Repository, dir: &Path) {
    std::fs::write(dir.join("file"), "two\n").unwrap();
    std::fs::create_dir_all(dir.join("new folder/ünder")).unwrap();
    std::fs::write(dir.join("new folder/ünder/ -n"), "n\n").unwrap();
    std::fs::write(dir.join("a.ignored"), "i\n").unwrap();
    std::fs::write(dir.join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(dir.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("file", dir.join("link")).unwrap();
    std::fs::write(dir.join("staged"), "s\n").unwrap();
    repository.sh(dir, &["add", "staged"]);
}

#[tokio::test]
async fn it_equals_the_tree_of_the_commit_that_holds_everything() {
    let repository = Repository::new();
    let dir = &repository.project;
    let tree = async || tree_hash(&repository.git, dir).await.unwrap();
    assert_eq!(tree().await, repository.sh(dir, &["rev-parse", "HEAD^{tree}"]));
    change(&repository, dir);
    let before = tree().await;
    assert_eq!(tree().await, before, "a second look sees the same");
    assert_ne!(before, repository.sh(dir, &["rev-parse", "HEAD^{tree}"]));
    repository.commit(dir, "all");
    assert_eq!(repository.sh(dir, &["rev-parse", "HEAD^{tree}"]), before);
    assert_eq!(tree().await, before);
    assert_eq!(
        tree_hash(&repository.git, &dir.join("new folder")).await.unwrap(),
        before,
        "from below the top"
    );
}

#[tokio::test]
async fn index_and_refs_stay_as_they_are() {
    let repository = Repository::new();
    let dir = &repository.project;
    change(&repository, dir);
    let index = std::fs::read(dir.join(".git/index")).unwrap();
    let state = || (repository.sh(dir, &["for-each-ref"]), repository.sh(dir, &["rev-parse", "HEAD"]));
    let before = state();
    tree_hash(&repository.git, dir).await.unwrap();
    status(&repository.git, dir, None).await.unwrap();
    assert!(std::fs::read(dir.join(".git/index")).unwrap() == index, "the index is untouched");
    assert_eq!(state(), before);
}

#[tokio::test]
async fn a_change_of_the_same_size_right_after_a_commit_is_seen() {
    let repository = Repository::new();
    let dir = &repository.project;
    for round in 0..20 {
        repository.write("file", &format!("{round:04}\n"));
        repository.commit(dir, "round");
        repository.write("file", &format!("{:04}\n", round + 1000));
        let tree = tree_hash(&repository.git, dir).await.unwrap();
        let seen = repository.sh(dir, &["show", &format!("{tree}:file")]);
        assert_eq!(seen, format!("{:04}", round + 1000));
    }
}

#[tokio::test]
async fn files_that_git_was_told_not_to_look_at_are_seen() {
    let repository = Repository::new();
    let dir = &repository.project;
    repository.write("other", "one\n");
    repository.commit(dir, "other");
    repository.sh(dir, &["update-index", "--assume-unchanged", "file"]);
    repository.sh(dir, &["update-index", "--skip-worktree", "other"]);
    repository.write("file", "changed\n");
    repository.write("other", "changed\n");
    let tree = tree_hash(&repository.git, dir).await.unwrap();
    assert_eq!(repository.sh(dir, &["show", &format!("{tree}:file")]), "changed");
    assert_eq!(repository.sh(dir, &["show", &format!("{tree}:other")]), "changed");
    assert_eq!(status(&repository.git, dir, None).await.unwrap().changed, 2);
}

#[tokio::test]
async fn a_repository_without_index_or_with_an_unborn_one_inside_has_a_tree() {
    let repository = Repository::empty("fresh");
    let dir = &repository.project;
    let empty = tree_hash(&repository.git, dir).await.unwrap();
    repository.write("file", "one\n");
    std::fs::create_dir(dir.join("inner")).unwrap();
    repository.sh(&dir.join("inner"), &["init", "--quiet"]);
    let tree = tree_hash(&repository.git, dir).await.unwrap();
    assert_ne!(tree, empty);
    assert_eq!(repository.sh(dir, &["ls-tree", "--name-only", &tree]), "file");
}

#[tokio::test]
async fn status_and_diff_tell_what_changed() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    let base = record.base.as_deref().unwrap();
    let clean = status(&repository.git, dir, Some(base)).await.unwrap();
    assert!(!clean.is_dirty() && clean.ahead_of_base == 0, "{clean:?}");
    assert_eq!(clean.branch, record.branch);

    std::fs::write(dir.join("committed"), "c\n").unwrap();
    repository.commit(dir, "work");
    change(&repository, dir);
    let found = status(&repository.git, dir, Some(base)).await.unwrap();
    assert_eq!((found.changed, found.untracked, found.ahead_of_base), (2, 3, 1), "{found:?}");
    let diff = diff(&repository.git, dir, base).await.unwrap();
    for part in
        ["+two", "b/committed", "new folder/ünder/ -n", "new file mode 100755", "new file mode 120000"]
    {
        assert!(diff.text.contains(part), "{part} is missing in {}", diff.text);
    }
    assert!(!diff.text.contains("a.ignored") && !diff.truncated);
}
