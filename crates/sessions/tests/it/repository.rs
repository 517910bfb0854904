//! Caches of remotes, worktrees from them, submodules; and names that are attacks.

use crate::fixtures::kept;
use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::repository::{CacheError, CacheParams, Refresh, RemoteUrl, ensure, is_cache};
use adjutant_sessions::worktree::{
    self, MergeBegun, MergeParams, RemoveMode, RemoveParams, RestoreParams, WorktreeError, WorktreeParams,
    fill_submodules, merge_begin, merge_finish, remove, restore_beside,
};
use adjutant_sessions::{BranchFate, RemoveError};
use adjutant_testkit::Repository;
use std::path::{Path, PathBuf};

fn url_of(path: &Path) -> RemoteUrl {
    format!("file://{}", path.display()).parse().unwrap()
}

async fn cached(repository: &Repository, refresh: Refresh) -> Result<PathBuf, CacheError> {
    let url = url_of(&repository.project);
    let folder = repository.root().join("repositories");
    ensure(&repository.git, CacheParams { folder: &folder, url: &url, refresh }).await
}

async fn from_cache(
    repository: &Repository,
    cache: &Path,
    run: &str,
    base: Option<&str>,
) -> Result<WorkspaceRecord, WorktreeError> {
    let (path, branch) = repository.place(run);
    let params = WorktreeParams { project: cache, path: &path, branch: &branch, base };
    worktree::create(&repository.git, params).await
}

#[tokio::test]
async fn one_cache_of_a_remote_serves_many_worktrees() {
    let repository = Repository::new();
    repository.sh(&repository.project, &["branch", "feature/x"]);
    repository.sh(&repository.project, &["tag", "v1"]);
    let (first, second) =
        tokio::join!(cached(&repository, Refresh::IfMissing), cached(&repository, Refresh::Now));
    let cache = first.unwrap();
    assert_eq!(second.unwrap(), cache);
    assert!(is_cache(&repository.git, &cache).await.unwrap());
    assert!(!is_cache(&repository.git, &repository.project).await.unwrap());
    let folder = repository.root().join("repositories");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "nothing is left beside it");

    let one = from_cache(&repository, &cache, "run_1", None).await.unwrap();
    let two = from_cache(&repository, &cache, "run_2", Some("feature/x")).await.unwrap();
    let three = from_cache(&repository, &cache, "run_3", Some("v1")).await.unwrap();
    for record in [&one, &two, &three] {
        assert_eq!(std::fs::read_to_string(Path::new(&record.path).join("file")).unwrap(), "one\n");
        assert_eq!(record.project.as_deref(), cache.to_str());
    }
    repository.write("file", "two\n");
    repository.commit(&repository.project, "second");
    let old = from_cache(&repository, &cache, "run_4", Some("main")).await.unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(&old.path).join("file")).unwrap(), "one\n");
    cached(&repository, Refresh::Now).await.unwrap();
    let new = from_cache(&repository, &cache, "run_5", Some("main")).await.unwrap();
    assert_eq!(std::fs::read_to_string(Path::new(&new.path).join("file")).unwrap(), "two\n");
}

#[tokio::test]
async fn work_from_a_cache_is_kept_pushed_merged_and_removed() {
    let repository = Repository::new();
    let cache = cached(&repository, Refresh::IfMissing).await.unwrap();
    let record = from_cache(&repository, &cache, "run_1", None).await.unwrap();
    let dir = Path::new(&record.path);
    std::fs::write(dir.join("draft"), "d\n").unwrap();
    let snapshot = kept(&repository, &record).await.unwrap();
    repository.commit(dir, "work");
    let removal =
        |mode| RemoveParams { record: &record, workspaces: &repository.workspaces, mode, name: "run_1" };
    let error = remove(&repository.git, removal(RemoveMode::IfSaved)).await.unwrap_err();
    assert!(matches!(&error, RemoveError::Unsaved { unsaved, .. } if unsaved.commits == 1), "{error:?}");
    repository.sh(dir, &["push", "--quiet", "origin", "HEAD:refs/heads/pushed"]);
    let removal = remove(&repository.git, removal(RemoveMode::IfSaved)).await.unwrap();
    assert_eq!(removal.branch, BranchFate::Kept);
    let again = repository.workspaces.join("again");
    let params = RestoreParams { record: &record, name: "run_1", snapshot: &snapshot };
    restore_beside(&repository.git, params, &again).await.unwrap();
    assert_eq!(repository.sh(&again, &["status", "--porcelain"]), "?? draft");

    let source = repository.sh(&cache, &["rev-parse", "adjutant/run_1"]);
    let workspaces = &repository.workspaces;
    let params = MergeParams { project: &cache, source: &source, into: "main", message: "m", workspaces };
    let MergeBegun::Trial(trial) = merge_begin(&repository.git, params).await.unwrap() else {
        panic!("the remote's branch does not have it");
    };
    assert_eq!(merge_finish(&repository.git, *trial).await.unwrap(), None);
    assert_eq!(repository.sh(&cache, &["rev-parse", "refs/heads/main"]), source);
}

#[tokio::test]
async fn a_remote_that_is_not_there_leaves_nothing() {
    let repository = Repository::new();
    let folder = repository.root().join("repositories");
    let url = url_of(&repository.root().join("nowhere"));
    let params = CacheParams { folder: &folder, url: &url, refresh: Refresh::IfMissing };
    let error = ensure(&repository.git, params).await.unwrap_err();
    assert!(matches!(&error, CacheError::Fetch { .. }) && error.hint().is_some(), "{error:?}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    // What a killed call has left is no cache and in nobody's way.
    std::fs::rename(&repository.project, repository.root().join("nowhere")).unwrap();
    let name = format!("nowhere-{}", "0".repeat(16));
    std::fs::create_dir_all(folder.join(format!("{name}.making"))).unwrap();
    let cache = ensure(&repository.git, params).await.unwrap();
    assert!(from_cache(&repository, &cache, "run_1", None).await.is_ok());
}

#[tokio::test]
async fn an_empty_remote_has_nothing_to_start_from() {
    let repository = Repository::empty("project");
    let cache = cached(&repository, Refresh::IfMissing).await.unwrap();
    let error = from_cache(&repository, &cache, "run_1", None).await.unwrap_err();
    assert!(matches!(&error, WorktreeError::NoCommit { .. }), "{error:?}");
}

#[tokio::test]
async fn a_branch_of_the_remote_that_is_an_attack_is_a_branch_and_no_more() {
    let repository = Repository::new();
    let base = repository.sh(&repository.project, &["rev-parse", "HEAD"]);
    let evil = "--upload-pack=touch pwned";
    let plain = "-x--upload-pack=pwned";
    for name in [plain, "ok/--exec=pwned"] {
        repository.sh(&repository.project, &["update-ref", &format!("refs/heads/{name}"), &base]);
    }
    let cache = cached(&repository, Refresh::IfMissing).await.unwrap();
    for project in [&cache, &repository.project] {
        for base in [evil, plain, "-x", "--output=pwned", "", "a\nb", "x\0y", "nowhere", "HEAD^{/x", ":/x"] {
            let error = from_cache(&repository, project, "run_1", Some(base)).await.unwrap_err();
            assert!(matches!(&error, WorktreeError::BaseUnknown { .. }), "{base:?}: {error:?}");
            assert!(error.hint().is_some() && !error.to_string().contains('\0'), "{error}");
        }
    }
    // Its name is good below a folder of refs, where it can be no option.
    let record = from_cache(&repository, &cache, "run_2", Some("ok/--exec=pwned")).await.unwrap();
    assert_eq!(record.base.as_deref(), Some(base.as_str()));
    for branch in [evil, plain, "-x", "a..b", "HEAD", "x\0y", "x.lock", "@{-1}"] {
        let path = repository.workspaces.join("run_3");
        let params = WorktreeParams { project: &cache, path: &path, branch, base: None };
        let error = worktree::create(&repository.git, params).await.unwrap_err();
        assert!(matches!(&error, WorktreeError::BranchInvalid { .. }), "{branch:?}: {error:?}");
        assert!(!path.exists());
    }
    for place in [&cache, &repository.project, &repository.root()] {
        assert!(!place.join("pwned").exists());
    }
}

#[tokio::test]
async fn a_configured_command_is_not_run_by_a_transport() {
    let repository = Repository::new();
    let cache = cached(&repository, Refresh::IfMissing).await.unwrap();
    let proof = repository.root().join("pwned");
    let touch = format!("touch '{}'", proof.display());
    // What an agent can write from a worktree.
    for (name, value) in [
        ("remote.origin.uploadpack", touch.clone()),
        ("remote.origin.url", format!("ext::sh -c {}", touch.replace(' ', "% "))),
        ("core.fsmonitor", touch.clone()),
        ("core.hooksPath", repository.root().join("hooks").to_string_lossy().into_owned()),
    ] {
        repository.sh(&cache, &["config", name, &value]);
    }
    let hooks = repository.root().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    for hook in ["post-checkout", "reference-transaction", "post-merge", "pre-commit"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(hooks.join(hook), format!("#!/bin/sh\n{touch}\n")).unwrap();
        std::fs::set_permissions(hooks.join(hook), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    cached(&repository, Refresh::Now).await.unwrap();
    let record = from_cache(&repository, &cache, "run_1", None).await.unwrap();
    std::fs::write(Path::new(&record.path).join("new"), "n").unwrap();
    kept(&repository, &record).await.unwrap();
    assert!(!proof.exists());
}

#[tokio::test]
async fn submodules_come_from_the_project_and_a_worktree_with_unpushed_work_in_one_stays() {
    let repository = Repository::new();
    let library = repository.root().join("library");
    adjutant_testkit::repository::with_one_file(&library);
    let text = library.to_str().unwrap();
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", text, "lib"];
    repository.sh(&repository.project, &add);
    repository.commit(&repository.project, "with a submodule");
    let config = std::fs::read_to_string(repository.project.join(".git/config")).unwrap();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    assert!(!dir.join("lib/file.txt").exists());
    assert_eq!(fill_submodules(&repository.git, dir).await.unwrap(), []);
    assert_eq!(std::fs::read_to_string(dir.join("lib/file.txt")).unwrap(), "one\n");
    assert_eq!(std::fs::read_to_string(repository.project.join(".git/config")).unwrap(), config);
    assert_eq!(repository.sh(&dir.join("lib"), &["remote", "get-url", "origin"]), text);
    assert_eq!(repository.sh(dir, &["status", "--porcelain"]), "");
    assert_eq!(kept(&repository, &record).await, None);

    std::fs::write(dir.join("lib/work"), "w\n").unwrap();
    repository.commit(&dir.join("lib"), "inside");
    repository.commit(dir, "points to it");
    let error = remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await.unwrap_err();
    assert!(
        matches!(&error, RemoveError::NestedRepositories { nested, .. } if nested == &["lib"]),
        "{error:?}"
    );
    repository.sh(&dir.join("lib"), &["push", "--quiet", "origin", "HEAD:refs/heads/work"]);
    remove(&repository.git, repository.removal(&record, RemoveMode::Force)).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_submodule_that_leads_elsewhere_is_told_and_not_followed() {
    let repository = Repository::new();
    let library = repository.root().join("library");
    adjutant_testkit::repository::with_one_file(&library);
    let base = repository.sh(&library, &["rev-parse", "HEAD"]);
    let entries = [
        ("plain", library.to_str().unwrap().to_owned()),
        ("option", "--upload-pack=touch pwned".to_owned()),
        ("command", "ext::touch pwned".to_owned()),
    ];
    let mut modules = String::new();
    for (name, url) in &entries {
        modules += &format!("[submodule \"{name}\"]\n\tpath = {name}\n\turl = {url}\n");
        let entry = format!("160000,{base},{name}");
        repository.sh(&repository.project, &["update-index", "--add", "--cacheinfo", &entry]);
    }
    modules += &format!("[submodule \"../../up\"]\n\tpath = up\n\turl = {}\n", library.display());
    let entry = format!("160000,{base},up");
    repository.sh(&repository.project, &["update-index", "--add", "--cacheinfo", &entry]);
    repository.write(".gitmodules", &modules);
    repository.sh(&repository.project, &["add", ".gitmodules"]);
    repository.sh(&repository.project, &["commit", "--quiet", "-m", "submodules"]);
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    let troubles = fill_submodules(&repository.git, dir).await.unwrap();
    let mut paths: Vec<&str> = troubles.iter().map(|trouble| trouble.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["command", "option", "plain", "up"], "{troubles:?}");
    assert!(!dir.join("pwned").exists() && !dir.join("plain/file.txt").exists());
}

#[tokio::test]
async fn git_lfs_that_is_configured_and_not_installed_breaks_nothing() {
    let repository = Repository::new();
    repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    repository.write("large.bin", pointer);
    repository.commit(&repository.project, "a pointer");
    let config = "[filter \"lfs\"]\n\trequired = true\n\tclean = no-git-lfs clean -- %f\n\
        \tsmudge = no-git-lfs smudge -- %f\n\tprocess = no-git-lfs filter-process\n";
    std::fs::write(repository.root().join(".gitconfig"), config).unwrap();
    let record = repository.workspace("run_1").await;
    let dir = Path::new(&record.path);
    assert_eq!(std::fs::read_to_string(dir.join("large.bin")).unwrap(), pointer);
    std::fs::write(dir.join("other.bin"), "o").unwrap();
    let snapshot = kept(&repository, &record).await.unwrap();
    std::fs::remove_file(repository.root().join(".gitconfig")).unwrap();
    assert_eq!(repository.sh(dir, &["show", &format!("{}:other.bin", snapshot.commit)]), "o");
}
