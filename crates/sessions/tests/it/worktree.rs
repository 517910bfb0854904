//! Making worktrees: once, again, at once, and after a crash at any point.

use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use adjutant_sessions::worktree::{self, WorktreeError, WorktreeParams};
use adjutant_testkit::Repository;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

async fn refused(repository: &Repository, project: &Path) -> WorktreeError {
    let (path, branch) = repository.place("run_x");
    let params = WorktreeParams { project, path: &path, branch: &branch, base: None };
    worktree::create(&repository.git, params).await.unwrap_err()
}

#[track_caller]
fn assert_whole(repository: &Repository, record: &WorkspaceRecord) {
    let dir = Path::new(&record.path);
    assert_eq!(std::fs::read_to_string(dir.join("file")).unwrap(), "one\n");
    assert_eq!(repository.sh(dir, &["status", "--porcelain"]), "");
    let branch = repository.sh(dir, &["symbolic-ref", "HEAD"]);
    assert_eq!(branch.strip_prefix("refs/heads/"), record.branch.as_deref());
    let list = repository.sh(&repository.project, &["worktree", "list", "--porcelain"]);
    assert_eq!(list.matches(&format!("worktree {}\n", record.path)).count(), 1, "{list}");
    assert!(!list.contains("locked"), "{list}");
    repository.sh(&repository.project, &["fsck", "--no-progress"]);
}

#[tokio::test]
async fn a_worktree_stands_on_its_own_branch_at_the_project_head() {
    let repository = Repository::new();
    let record = repository.workspace("run_1").await;
    assert_whole(&repository, &record);
    let head = repository.sh(&repository.project, &["rev-parse", "HEAD"]);
    let expected = WorkspaceRecord {
        kind: WorkspaceKind::Worktree,
        path: repository.workspaces.join("run_1").to_str().unwrap().to_owned(),
        project: Some(repository.project.to_str().unwrap().to_owned()),
        branch: Some("adjutant/run_1".to_owned()),
        base: Some(head),
        node: "local".to_owned(),
    };
    assert_eq!(record, expected);
    assert_eq!(repository.sh(&repository.project, &["symbolic-ref", "--short", "HEAD"]), "main");
}

#[tokio::test]
async fn making_it_again_finds_it_with_its_work_and_its_base() {
    let repository = Repository::new();
    let first = repository.workspace("run_1").await;
    std::fs::write(Path::new(&first.path).join("work"), "w\n").unwrap();
    repository.commit(Path::new(&first.path), "work");
    std::fs::write(Path::new(&first.path).join("more"), "m\n").unwrap();
    repository.commit(&repository.project, "the project goes on");
    assert_eq!(repository.workspace("run_1").await, first);
    assert!(Path::new(&first.path).join("more").exists());
}

#[tokio::test]
async fn what_a_crash_left_half_made_is_finished() {
    type Break = fn(&Repository, &Path);
    let table: [(&str, Break); 7] = [
        ("only the base is written", |repository, dir| {
            repository.sh(&repository.project, &["worktree", "remove", dir.to_str().unwrap()]);
            repository.sh(&repository.project, &["branch", "-D", "adjutant/run_1"]);
        }),
        ("base and branch are written", |repository, dir| {
            repository.sh(&repository.project, &["worktree", "remove", dir.to_str().unwrap()]);
        }),
        ("the empty directory is there", |repository, dir| {
            repository.sh(&repository.project, &["worktree", "remove", dir.to_str().unwrap()]);
            std::fs::create_dir(dir).unwrap();
        }),
        ("the directory is gone", |_, dir| std::fs::remove_dir_all(dir).unwrap()),
        ("git was in the middle of the checkout", |repository, dir| {
            std::fs::write(repository.project.join(".git/worktrees/run_1/locked"), "initializing").unwrap();
            std::fs::remove_file(repository.project.join(".git/worktrees/run_1/index")).unwrap();
            std::fs::remove_file(dir.join("file")).unwrap();
        }),
        ("git had not made the directory yet", |repository, dir| {
            std::fs::write(repository.project.join(".git/worktrees/run_1/locked"), "initializing").unwrap();
            std::fs::remove_dir_all(dir).unwrap();
        }),
        ("the link to the repository is gone", |_, dir| std::fs::remove_file(dir.join(".git")).unwrap()),
    ];
    for (name, break_it) in table {
        let repository = Repository::new();
        let first = repository.workspace("run_1").await;
        repository.commit(&repository.project, "the project goes on");
        break_it(&repository, Path::new(&first.path));
        assert_eq!(repository.workspace("run_1").await, first, "{name}");
        assert_whole(&repository, &first);
        let hidden = std::fs::read_dir(&repository.workspaces).unwrap().count();
        assert_eq!(hidden, 1, "{name}: nothing but the worktree is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_on_one_repository_all_succeed() {
    let repository = std::sync::Arc::new(Repository::new());
    let mut making = tokio::task::JoinSet::new();
    // Each place twice, so that equal ones meet as well.
    for run in (0..6).chain(0..6) {
        let repository = repository.clone();
        making.spawn(async move { repository.workspace(&format!("run_{run}")).await });
    }
    let mut records = making.join_all().await;
    records.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(records.chunks(2).all(|pair| pair[0] == pair[1]));
    records.dedup();
    assert_eq!(records.len(), 6);
    for record in &records {
        assert_whole(&repository, record);
    }
}

#[tokio::test]
async fn a_base_is_any_commit_and_never_an_option() {
    let repository = Repository::new();
    let first = repository.sh(&repository.project, &["rev-parse", "HEAD"]);
    repository.sh(&repository.project, &["tag", "v1"]);
    repository.commit(&repository.project, "second");
    for (run, base) in ["v1", "HEAD~1", &first[..12]].into_iter().enumerate() {
        let (path, branch) = repository.place(&format!("run_{run}"));
        let params =
            WorktreeParams { project: &repository.project, path: &path, branch: &branch, base: Some(base) };
        let record = worktree::create(&repository.git, params).await.unwrap();
        assert_eq!(record.base.as_deref(), Some(first.as_str()), "{base}");
    }
    for base in ["--upload-pack=x", "--all", "-h", "", "no-such", "HEAD..HEAD", "HEAD:file", "a\nb"] {
        let (path, branch) = repository.place("run_x");
        let params =
            WorktreeParams { project: &repository.project, path: &path, branch: &branch, base: Some(base) };
        let error = worktree::create(&repository.git, params).await.unwrap_err();
        assert!(matches!(&error, WorktreeError::BaseUnknown { .. }), "{base:?}: {error:?}");
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_branch_name_that_git_could_misread_is_refused() {
    let repository = Repository::new();
    for branch in ["--upload-pack=x", "-b", "", "HEAD", "a..b", "a b", "a~1", "@{-1}", "x.lock", "a\0b"] {
        let (path, _) = repository.place("run_x");
        let params = WorktreeParams { project: &repository.project, path: &path, branch, base: None };
        let error = worktree::create(&repository.git, params).await.unwrap_err();
        assert!(matches!(&error, WorktreeError::BranchInvalid { .. }), "{branch:?}: {error:?}");
    }
    assert_eq!(
        repository.sh(&repository.project, &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/main"
    );
}

#[tokio::test]
async fn branches_of_others_are_left_alone() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "adjutant/run_x"]);
    let error = refused(&repository, &repository.project).await;
    assert!(matches!(&error, WorktreeError::BranchTaken { .. }), "{error:?}");
    repository.sh(&repository.project, &["branch", "-m", "adjutant/run_x", "adjutant"]);
    let error = refused(&repository, &repository.project).await;
    assert!(matches!(&error, WorktreeError::BranchBlocked { other, .. } if other == "adjutant"), "{error:?}");
    assert_eq!(error.hint().as_deref(), Some("rename the branch `adjutant`"));
}

#[tokio::test]
async fn a_tag_of_the_same_name_does_not_confuse() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["tag", "adjutant/run_1"]);
    assert_whole(&repository, &repository.workspace("run_1").await);
}

#[tokio::test]
async fn what_is_in_the_way_is_never_removed() {
    let repository = Repository::new();
    let (path, _) = repository.place("run_x");
    std::fs::create_dir_all(&path).unwrap();
    std::fs::write(path.join("mine"), "m").unwrap();
    let error = refused(&repository, &repository.project).await;
    assert!(matches!(&error, WorktreeError::PathOccupied { .. }), "{error:?}");
    assert!(path.join("mine").exists());

    std::fs::remove_dir_all(&path).unwrap();
    let elsewhere = repository.root().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    let error = refused(&repository, &repository.project).await;
    assert!(matches!(&error, WorktreeError::PathOccupied { .. }), "{error:?}");
    assert!(path.is_symlink() && elsewhere.is_dir());
}

#[tokio::test]
async fn projects_that_cannot_be_used_are_told_by_their_reason() {
    let repository = Repository::new();
    let error = refused(&repository, &repository.root().join("missing")).await;
    assert!(matches!(&error, WorktreeError::ProjectMissing { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Gone);

    let plain = tempfile::tempdir().unwrap();
    for project in [plain.path(), &repository.project.join(".git")] {
        let error = refused(&repository, project).await;
        assert!(matches!(&error, WorktreeError::NotARepository { .. }), "{error:?}");
    }
    repository.sh(&repository.root(), &["clone", "--quiet", "--bare", "project", "bare"]);
    let error = refused(&repository, &repository.root().join("bare")).await;
    assert!(matches!(&error, WorktreeError::Bare { .. }), "{error:?}");

    let fresh = Repository::empty("fresh");
    let error = refused(&fresh, &fresh.project).await;
    assert!(matches!(&error, WorktreeError::NoCommit { .. }), "{error:?}");
    assert!(error.hint().unwrap().ends_with("commit --allow-empty -m start"));

    let params =
        WorktreeParams { project: &repository.project, path: Path::new("run_1"), branch: "b", base: None };
    let error = worktree::create(&repository.git, params).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::Path { .. }), "{error:?}");
}

#[tokio::test]
async fn strange_directory_names_work_and_a_folder_below_is_resolved_to_the_top() {
    for name in ["with space", "ünï cødé ✓", "-rf", "--upload-pack=x", "quo'te\"$(x)"] {
        let repository = Repository::named(name);
        std::fs::create_dir(repository.project.join("sub")).unwrap();
        let path = repository.workspaces.join(name);
        let project = &repository.project.join("sub");
        let params = WorktreeParams { project, path: &path, branch: "adjutant/run_1", base: None };
        let record = worktree::create(&repository.git, params).await.unwrap();
        assert_eq!(record.project.as_deref(), repository.project.to_str());
        assert_whole(&repository, &record);
        assert_eq!(worktree::create(&repository.git, params).await.unwrap(), record, "{name}");
    }
}

#[tokio::test]
async fn hooks_of_the_project_do_not_run() {
    let repository = Repository::new();
    for hook in ["post-checkout", "reference-transaction", "post-index-change"] {
        let path = repository.project.join(".git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\ntouch '{}/ran'\n", repository.root().display())).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let record = repository.workspace("run_1").await;
    worktree::tree_hash(&repository.git, Path::new(&record.path)).await.unwrap();
    assert!(!repository.root().join("ran").exists());
}
