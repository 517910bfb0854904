//! Removing workspaces: never work that is nowhere else, never what is not ours.

use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use adjutant_sessions::worktree::{self, remove};
use adjutant_sessions::{BranchFate, Removal, RemoveError, RemoveMode, Unsaved};
use adjutant_testkit::{Repository, SNAPSHOT_REF};
use std::os::unix::fs::symlink;
use std::path::Path;

/// What the removal of a workspace with nothing in it comes to.
fn nothing(branch: BranchFate) -> Removal {
    Removal { snapshot: None, left_out: Vec::new(), branch }
}

async fn removed(
    repository: &Repository,
    record: &WorkspaceRecord,
    mode: RemoveMode,
) -> Result<Removal, RemoveError> {
    remove(&repository.git, repository.removal(record, mode)).await
}

#[track_caller]
fn assert_gone(repository: &Repository, record: &WorkspaceRecord) {
    assert!(!Path::new(&record.path).exists());
    let list = repository.sh(&repository.project, &["worktree", "list", "--porcelain"]);
    assert!(!list.contains(&record.path), "{list}");
    assert_eq!(std::fs::read_dir(&repository.workspaces).unwrap().count(), 0, "nothing is left beside it");
}

#[tokio::test]
async fn an_untouched_workspace_goes_without_a_trace() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let removal = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
    assert_eq!(removal, nothing(BranchFate::Deleted));
    assert_gone(&repository, &record);
    assert_eq!(
        repository.sh(&repository.project, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
    let again = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
    assert_eq!(again, nothing(BranchFate::Absent));
    assert_eq!(repository.workspace("run_1").await, record, "it can be made again");
}

#[tokio::test]
async fn unsaved_work_is_refused_and_kept_all_the_same() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "work");
    std::fs::write(dir.join("file"), "two\n").unwrap();
    std::fs::write(dir.join("new"), "n\n").unwrap();

    let error = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap_err();
    let RemoveError::Unsaved { unsaved, snapshot: Some(kept), .. } = &error else { panic!("{error:?}") };
    assert_eq!(*unsaved, Unsaved { changed: 1, untracked: 1, commits: 1, ignored: 0 });
    assert_eq!(worktree::unsaved(&repository.git, &record).await.unwrap(), *unsaved);
    assert!(
        error.to_string().ends_with("1 changed file, 1 untracked file, 1 commit that is on no other branch")
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("merge adjutant/run_1") && hint.contains(SNAPSHOT_REF), "{hint}");
    assert!(dir.join("new").exists(), "nothing was removed");
    assert_eq!(repository.sh(&repository.project, &["show", &format!("{}:new", kept.commit)]), "n");

    let removal = removed(&repository, &record, RemoveMode::Force).await.unwrap();
    let expected =
        Removal { snapshot: Some(kept.as_ref().clone()), left_out: Vec::new(), branch: BranchFate::Kept };
    assert_eq!(removal, expected);
    assert_gone(&repository, &record);
    assert_eq!(repository.sh(&repository.project, &["show", &format!("{SNAPSHOT_REF}:file")]), "two");
    assert_eq!(repository.sh(&repository.project, &["show", "adjutant/run_1:work"]), "w");
}

#[tokio::test]
async fn commits_that_another_branch_or_a_remote_has_are_saved() {
    for place in ["branch", "tag", "remote"] {
        let repository = Repository::new();
        let record = repository.workspace("run_1").await;
        let dir = Path::new(&record.path);
        std::fs::write(dir.join("work"), "w\n").unwrap();
        repository.commit(dir, "work");
        match place {
            "branch" => repository.sh(&repository.project, &["merge", "--quiet", "adjutant/run_1"]),
            "tag" => repository.sh(&repository.project, &["tag", "done", "adjutant/run_1"]),
            _ => repository.sh(dir, &["update-ref", "refs/remotes/origin/x", "HEAD"]),
        };
        let removal = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
        assert_eq!(removal.branch, BranchFate::Kept, "{place}");
        assert_gone(&repository, &record);
    }
}

#[tokio::test]
async fn commits_on_no_branch_are_kept_by_the_snapshot() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    repository.sh(dir, &["checkout", "--quiet", "--detach"]);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    repository.commit(dir, "on no branch");
    let error = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.commits == 1), "{error:?}");
    let removal = removed(&repository, &record, RemoveMode::Force).await.unwrap();
    let kept = removal.snapshot.unwrap();
    repository.sh(&repository.project, &["gc", "--quiet", "--prune=now"]);
    assert_eq!(
        repository.sh(&repository.project, &["log", "-1", "--format=%s", &format!("{}^1", kept.commit)]),
        "on no branch"
    );
}

#[tokio::test]
async fn a_repository_inside_that_no_snapshot_holds_is_never_removed() {
    for state in ["untracked", "unborn", "committed"] {
        let repository = Repository::new();
        let record = repository.workspace("run_1").await;
        let dir = Path::new(&record.path);
        let inner = dir.join("inner");
        std::fs::create_dir(&inner).unwrap();
        repository.sh(&inner, &["init", "--quiet"]);
        std::fs::write(inner.join("precious"), "p").unwrap();
        if state != "unborn" {
            repository.commit(&inner, "inside");
        }
        if state == "committed" {
            repository.commit(dir, "with the repository");
        }
        let error = removed(&repository, &record, RemoveMode::Force).await.unwrap_err();
        let is_named = |nested: &[String]| nested.iter().any(|path| path.trim_end_matches('/') == "inner");
        assert!(
            matches!(&error, RemoveError::NestedRepositories { nested, .. } if is_named(nested)),
            "{state}: {error:?}"
        );
        assert!(inner.join("precious").exists());
    }
}

#[tokio::test]
async fn only_directories_of_ours_are_removed() {
    let repository = Repository::new();
    let ours = repository.workspace("run_1").await;
    let outside = repository.root().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("precious"), "p").unwrap();
    symlink(&outside, repository.workspaces.join("linked")).unwrap();
    let at = |path: &Path| WorkspaceRecord { path: path.to_str().unwrap().to_owned(), ..ours.clone() };
    let workspaces = &repository.workspaces;
    let table = [
        ("outside", at(&outside)),
        ("the folder itself", at(workspaces)),
        ("up and out", at(&workspaces.join("../outside"))),
        ("a link", at(&workspaces.join("linked"))),
        ("through a link", at(&workspaces.join("linked/precious"))),
        ("the project", at(&repository.project)),
        ("relative", at(Path::new("run_1"))),
        ("empty", at(Path::new(""))),
        ("given", WorkspaceRecord { kind: WorkspaceKind::Given, ..ours.clone() }),
    ];
    for (name, record) in table {
        let error = removed(&repository, &record, RemoveMode::Force).await.unwrap_err();
        assert!(matches!(&error, RemoveError::NotOurs { .. }), "{name}: {error:?}");
        assert_eq!(error.class(), ErrorClass::User);
    }
    // A directory that is below the folder, and that the project knows nothing of.
    let stranger = workspaces.join("stranger");
    std::fs::create_dir(&stranger).unwrap();
    let error = removed(&repository, &at(&stranger), RemoveMode::Force).await.unwrap_err();
    assert!(matches!(&error, RemoveError::NotOurs { .. }), "{error:?}");
    assert!(
        stranger.exists() && outside.join("precious").exists() && repository.project.join("file").exists()
    );
}

#[tokio::test]
async fn a_removal_that_a_crash_cut_short_is_finished() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    // All that can be left: the directory out of its place, git's entry and the branch still there.
    std::fs::rename(&record.path, repository.workspaces.join(".run_1.removed")).unwrap();
    let removal = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
    assert_eq!(removal, nothing(BranchFate::Deleted));
    assert_gone(&repository, &record);
}

#[tokio::test]
async fn what_was_written_before_a_crash_cut_the_removal_short_is_kept() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let away = repository.workspaces.join(".run_1.removed");
    std::fs::rename(&record.path, &away).unwrap();
    std::fs::write(away.join("late"), "l\n").unwrap();
    let removal = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
    let kept = removal.snapshot.unwrap();
    assert_eq!(repository.sh(&repository.project, &["show", &format!("{}:late", kept.commit)]), "l");
    assert_gone(&repository, &record);
}

#[tokio::test]
async fn a_workspace_whose_link_was_destroyed_is_repaired_before_it_is_judged() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("work"), "w\n").unwrap();
    std::fs::remove_file(dir.join(".git")).unwrap();
    // Around the workspaces is another repository, which must not answer for this one.
    repository.sh(&repository.root(), &["init", "--quiet"]);
    let error = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.untracked == 1), "{error:?}");
    let removal = removed(&repository, &record, RemoveMode::Force).await.unwrap();
    assert_eq!(removal.branch, BranchFate::Deleted, "all of its work is in the snapshot");
    assert_eq!(repository.sh(&repository.project, &["show", &format!("{SNAPSHOT_REF}:work")]), "w");
}

#[tokio::test]
async fn a_workspace_without_its_project_stays() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    std::fs::rename(&repository.project, repository.root().join("moved")).unwrap();
    let error = removed(&repository, &record, RemoveMode::Force).await.unwrap_err();
    assert!(matches!(&error, RemoveError::ProjectGone { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Gone);
    assert!(Path::new(&record.path).join("file").exists());
}

#[tokio::test]
async fn a_branch_that_somebody_else_is_on_stays() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    repository.sh(Path::new(&record.path), &["checkout", "--quiet", "--detach"]);
    repository.sh(&repository.project, &["checkout", "--quiet", "adjutant/run_1"]);
    let removal = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap();
    assert_eq!(removal.branch, BranchFate::Kept);
    assert_eq!(repository.sh(&repository.project, &["symbolic-ref", "--short", "HEAD"]), "adjutant/run_1");
}

#[tokio::test]
async fn a_scratch_folder_with_files_needs_force() {
    let repository = Repository::new();
    let path = repository.workspaces.join("run_s");
    std::fs::create_dir_all(&path).unwrap();
    let record = WorkspaceRecord {
        kind: WorkspaceKind::Scratch,
        path: path.to_str().unwrap().to_owned(),
        project: None,
        branch: None,
        base: None,
        node: "local".to_owned(),
    };
    std::fs::write(path.join("result"), "r").unwrap();
    let error = removed(&repository, &record, RemoveMode::IfSaved).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.untracked == 1), "{error:?}");
    let expected = nothing(BranchFate::Absent);
    assert_eq!(removed(&repository, &record, RemoveMode::Force).await.unwrap(), expected);
    assert!(!path.exists());
    assert_eq!(removed(&repository, &record, RemoveMode::IfSaved).await.unwrap(), expected, "again");
}
