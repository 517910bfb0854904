//! Merging: the branch moves only to what was looked at, and only when nobody's work is in the way.

use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::worktree::{
    MergeBegun, MergeError, MergeParams, MergeTrial, merge_abandon, merge_begin, merge_finish,
};
use adjutant_testkit::Repository;
use std::path::Path;

async fn begin(repository: &Repository, into: &str) -> Result<MergeBegun, MergeError> {
    let source = repository.sh(&repository.project, &["rev-parse", "adjutant/run_1"]);
    let params = MergeParams {
        project: &repository.project,
        source: &source,
        into,
        message: "Merge the workspace run_1",
        workspaces: &repository.workspaces,
    };
    merge_begin(&repository.git, params).await
}

async fn trial(repository: &Repository, into: &str) -> MergeTrial {
    match begin(repository, into).await.unwrap() {
        MergeBegun::Trial(trial) => *trial,
        MergeBegun::Nothing { commit } => panic!("{into} has it at {commit}"),
    }
}

/// Makes a workspace with a commit of one file.
async fn worked(repository: &Repository) -> WorkspaceRecord {
    let record = repository.workspace("run_1").await;
    std::fs::write(Path::new(&record.path).join("work"), "w\n").unwrap();
    repository.commit(Path::new(&record.path), "work");
    record
}

#[track_caller]
fn assert_nothing_left(repository: &Repository) {
    let hidden = std::fs::read_dir(&repository.workspaces).unwrap().flatten();
    let hidden: Vec<_> =
        hidden.map(|e| e.file_name()).filter(|n| n.to_string_lossy().starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    let list = repository.sh(&repository.project, &["worktree", "list", "--porcelain"]);
    assert!(!list.contains(".merge-"), "{list}");
}

#[tokio::test]
async fn a_branch_that_nobody_is_on_is_forwarded_when_what_came_out_was_good() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "next"]);
    worked(&repository).await;
    let tip = |branch: &str| repository.sh(&repository.project, &["rev-parse", branch]);
    let before = tip("next");
    let seen = trial(&repository, "next").await;
    assert!(seen.is_fast_forward && seen.commit == tip("adjutant/run_1"));
    assert_eq!(std::fs::read_to_string(seen.dir.join("work")).unwrap(), "w\n");
    assert_eq!(tip("next"), before, "the branch does not know yet");
    merge_abandon(&repository.git, seen).await.unwrap();
    assert_eq!(tip("next"), before);
    assert_nothing_left(&repository);
    let seen = trial(&repository, "next").await;
    assert_eq!(merge_finish(&repository.git, seen).await.unwrap(), None);
    assert_eq!(tip("next"), tip("adjutant/run_1"));
    assert_nothing_left(&repository);
    let again = begin(&repository, "next").await.unwrap();
    assert!(matches!(&again, MergeBegun::Nothing { commit } if *commit == tip("next")), "{again:?}");
}

#[tokio::test]
async fn a_branch_that_has_gone_on_gets_a_merge_commit_and_its_working_tree_follows() {
    let repository = Repository::new();
    worked(&repository).await;
    repository.write("theirs", "t\n");
    repository.commit(&repository.project, "theirs");
    repository.write("untracked", "u\n");
    let seen = trial(&repository, "main").await;
    assert!(!seen.is_fast_forward);
    let (dir, commit) = (seen.dir.clone(), seen.commit.clone());
    assert!(dir.join("theirs").exists() && dir.join("work").exists(), "the merged tree is looked at");
    let at = merge_finish(&repository.git, seen).await.unwrap();
    assert_eq!(at.as_deref(), Some(repository.project.as_path()));
    assert_eq!(repository.sh(&repository.project, &["rev-parse", "main"]), commit);
    assert_eq!(std::fs::read_to_string(repository.project.join("work")).unwrap(), "w\n");
    assert_eq!(repository.sh(&repository.project, &["status", "--porcelain"]), "?? untracked");
    let message = repository.sh(&repository.project, &["log", "-1", "--format=%s"]);
    assert_eq!(message, "Merge the workspace run_1");
    assert_nothing_left(&repository);
}

#[tokio::test]
async fn a_conflict_names_its_files_and_changes_nothing() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    std::fs::write(Path::new(&record.path).join("file"), "ours\n").unwrap();
    repository.commit(Path::new(&record.path), "ours");
    repository.write("file", "theirs\n");
    repository.commit(&repository.project, "theirs");
    let before = repository.sh(&repository.project, &["rev-parse", "main"]);
    let error = begin(&repository, "main").await.unwrap_err();
    assert!(matches!(&error, MergeError::Conflict { files, .. } if files == &["file"]), "{error:?}");
    assert!(error.hint().unwrap().contains("solve it there"));
    assert_eq!(repository.sh(&repository.project, &["rev-parse", "main"]), before);
    assert_eq!(repository.sh(&repository.project, &["status", "--porcelain"]), "");
    assert_nothing_left(&repository);
}

#[tokio::test]
async fn work_that_is_not_committed_where_the_branch_is_checked_out_is_never_touched() {
    let repository = Repository::new();
    worked(&repository).await;
    let tip = || repository.sh(&repository.project, &["rev-parse", "main"]);
    let before = tip();
    repository.write("file", "mine\n");
    let error = begin(&repository, "main").await.unwrap_err();
    assert!(matches!(&error, MergeError::Dirty { path, .. } if *path == repository.project), "{error:?}");
    // It becomes dirty while the merge is looked at.
    repository.sh(&repository.project, &["checkout", "--quiet", "file"]);
    let seen = trial(&repository, "main").await;
    repository.write("file", "mine\n");
    let error = merge_finish(&repository.git, seen).await.unwrap_err();
    assert!(matches!(&error, MergeError::Dirty { .. }), "{error:?}");
    repository.sh(&repository.project, &["checkout", "--quiet", "file"]);
    // An untracked file is where a file of the merge would go.
    let seen = trial(&repository, "main").await;
    repository.write("work", "precious\n");
    let error = merge_finish(&repository.git, seen).await.unwrap_err();
    assert!(matches!(&error, MergeError::Git(_)), "{error:?}");
    assert_eq!(std::fs::read_to_string(repository.project.join("work")).unwrap(), "precious\n");
    assert_eq!(tip(), before);
    assert_nothing_left(&repository);
}

#[tokio::test]
async fn a_branch_that_was_moved_meanwhile_stays_where_it_was_moved_to() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "next"]);
    worked(&repository).await;
    let seen = trial(&repository, "next").await;
    repository.write("theirs", "t\n");
    repository.commit(&repository.project, "theirs");
    repository.sh(&repository.project, &["branch", "--force", "next", "main"]);
    let error = merge_finish(&repository.git, seen).await.unwrap_err();
    assert!(matches!(&error, MergeError::Moved { .. }), "{error:?}");
    let tips = ["next", "main"].map(|branch| repository.sh(&repository.project, &["rev-parse", branch]));
    assert_eq!(tips[0], tips[1]);
}

#[tokio::test]
async fn merges_into_one_branch_follow_each_other() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "next"]);
    worked(&repository).await;
    let first = trial(&repository, "next").await;
    let mut second = Box::pin(begin(&repository, "next"));
    let waits = tokio::time::timeout(std::time::Duration::from_millis(300), &mut second).await;
    assert!(waits.is_err(), "it waits for the first");
    merge_finish(&repository.git, first).await.unwrap();
    assert!(matches!(second.await.unwrap(), MergeBegun::Nothing { .. }));
}

#[tokio::test]
async fn a_merge_that_a_crash_cut_short_is_in_nobodys_way() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "next"]);
    worked(&repository).await;
    let seen = trial(&repository, "next").await;
    std::fs::write(seen.dir.join("left over"), "x").unwrap();
    drop(seen);
    let seen = trial(&repository, "next").await;
    assert!(!seen.dir.join("left over").exists());
    merge_finish(&repository.git, seen).await.unwrap();
    assert_nothing_left(&repository);
}

#[tokio::test]
async fn a_branch_as_an_attack_is_refused() {
    let repository = Repository::new();
    worked(&repository).await;
    let table =
        ["--upload-pack=touch x", "-x", "", "HEAD", "a..b", "a b", "main:refs/heads/x", "x\ny", "@{-1}"];
    for into in table {
        let error = begin(&repository, into).await.unwrap_err();
        assert!(matches!(&error, MergeError::Worktree(_)), "{into}: {error:?}");
    }
    let error = begin(&repository, "nowhere").await.unwrap_err();
    assert!(matches!(&error, MergeError::NoBranch { .. }), "{error:?}");
    assert!(error.hint().unwrap().ends_with("branch nowhere"));
}
