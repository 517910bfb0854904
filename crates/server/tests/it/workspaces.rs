//! Workspaces over the wire.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_protocol::UnsavedWork;
use adjutant_protocol::http::{MergeParams, RestoreParams, TaskParams};
use adjutant_testkit::repository;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_worktree_is_listed_compared_and_removed_only_with_its_work_kept() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let blueprint =
        one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", "echo two > new.txt"]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        ..task(blueprint, json!({"in": null}))
    };
    let done = daemon.client.task_run(&params).await.expect("it is done");
    let workspace = done.info.workspace.expect("it worked somewhere");
    assert_eq!(workspace.kind, "worktree");

    let listed = daemon.client.workspaces().await.expect("a list").workspaces;
    assert_eq!(
        (listed.len(), listed[0].id.as_str(), listed[0].changed_files),
        (1, done.run_id.as_str(), Some(1))
    );
    let diff = daemon.client.workspace_diff(&done.run_id).await.expect("a diff");
    assert!(diff.contains("new.txt") && diff.contains("+two"), "{diff}");

    let (status, error) = refused(daemon.client.workspace_remove(&done.run_id, UnsavedWork::Keeps).await);
    assert_eq!((status, error.code.as_str()), (422, "workspace_failed"));
    assert!(error.hint.is_some(), "{error:?}");
    let removed =
        daemon.client.workspace_remove(&done.run_id, UnsavedWork::GivenUp).await.expect("it is removed");
    assert!(removed.snapshot_ref.is_some(), "{removed:?}");
    assert!(!std::path::Path::new(&workspace.path).exists());
    assert!(daemon.client.workspaces().await.expect("a list").workspaces.is_empty());
    let (status, _) = refused(daemon.client.workspace_diff(&done.run_id).await);
    assert_eq!(status, 404);
    daemon.stop().await;
}

/// Makes a project and a run that commits `work` and leaves `draft` in its workspace.
async fn worked(daemon: &Daemon, script: &str) -> (std::path::PathBuf, String, std::path::PathBuf) {
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let blueprint = one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", script]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        ..task(blueprint, json!({"in": null}))
    };
    let done = daemon.client.task_run(&params).await.expect("it is done");
    let workspace = done.info.workspace.expect("it worked somewhere");
    (project, done.run_id, workspace.path.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_by_force_is_put_back_and_what_was_put_back_can_be_undone() {
    let daemon = Daemon::start().await;
    let (_, run, path) = worked(&daemon, "echo two > file.txt; echo d > draft").await;
    let client = &daemon.client;
    let taken = client.workspace_snapshot(&run).await.expect("it is kept").snapshots;
    assert_eq!((taken.len(), taken[0].number), (1, 1));
    assert!(client.workspace_snapshot(&run).await.expect("it is looked at").snapshots.is_empty());
    std::fs::write(path.join("draft"), "spoilt").expect("it is written");
    let back = RestoreParams { snapshot: Some(1), to: None };
    let restored = client.workspace_restore(&run, &back).await.expect("it is put back in place");
    assert_eq!(std::fs::read_to_string(path.join("draft")).expect("it is there"), "d\n");
    let before = restored.before_ref.expect("it was something else");
    assert!(before.ends_with("/2"), "{before}");

    let removed = client.workspace_remove(&run, UnsavedWork::GivenUp).await.expect("it is removed");
    assert!(removed.snapshot_ref.is_some_and(|kept| kept.ends_with("/3")) && !path.exists());
    let listed = client.workspace_snapshots(&run).await.expect("they are known").snapshots;
    assert_eq!(listed.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>(), [1, 2, 3]);
    let restored = client.workspace_restore(&run, &RestoreParams::default()).await.expect("it is put back");
    assert_eq!(restored.workspace.path, path.to_string_lossy());
    assert_eq!(std::fs::read_to_string(path.join("file.txt")).expect("it is there"), "two\n");
    assert!(client.workspace_diff(&run).await.expect("it is a workspace again").contains("draft"));

    let elsewhere = daemon.path("elsewhere").to_string_lossy().into_owned();
    let to = RestoreParams { snapshot: Some(2), to: Some(elsewhere.clone()) };
    client.workspace_restore(&run, &to).await.expect("it is put elsewhere");
    assert_eq!(std::fs::read_to_string(format!("{elsewhere}/draft")).expect("it is there"), "spoilt");
    for (params, status) in [
        (to, 422),
        (RestoreParams { snapshot: Some(9), to: None }, 404),
        (RestoreParams { snapshot: None, to: Some("relative".to_owned()) }, 400),
    ] {
        assert_eq!(refused(client.workspace_restore(&run, &params).await).0, status, "{params:?}");
    }
    let (status, _) = refused(client.workspace_snapshots(&format!("run_{}", "0".repeat(32))).await);
    assert_eq!(status, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_is_merged_only_when_the_checks_pass_on_the_merged_tree() {
    let daemon = Daemon::start().await;
    let commit = "git -c user.name=U -c user.email=u@example.org commit -qam work";
    let (project, run, _) = worked(&daemon, &format!("echo w > work; git add work; {commit}")).await;
    std::fs::write(project.join("theirs"), "t").expect("it is written");
    repository::commit(&project, "theirs");
    let tip = || repository::git(&project, &["rev-parse", "main"]);
    let before = tip();
    let params = |checks: &[&str]| MergeParams {
        into: "main".to_owned(),
        checks: checks.iter().map(|&check| check.to_owned()).collect(),
        no_check: false,
    };
    let client = &daemon.client;
    let (status, error) = refused(client.workspace_merge(&run, &params(&[])).await);
    assert_eq!(status, 400);
    assert!(error.hint.is_some_and(|hint| hint.contains("--no-check")));
    let failing = params(&["test -f work", "echo seen; test -f nowhere"]);
    let (status, error) = refused(client.workspace_merge(&run, &failing).await);
    assert_eq!(status, 422);
    assert!(error.error.contains("test -f nowhere") && error.error.contains("seen"), "{error:?}");
    assert_eq!(tip(), before, "the branch is where it was");
    let merged = client.workspace_merge(&run, &params(&["test -f work && test -f theirs"])).await;
    let merged = merged.expect("it is merged");
    assert_eq!((merged.checks.len(), merged.commit == tip()), (1, true));
    assert_eq!(merged.followed.as_deref(), project.to_str());
    assert!(project.join("work").exists());
    let no_check = MergeParams { into: "main".to_owned(), checks: Vec::new(), no_check: true };
    assert!(client.workspace_merge(&run, &no_check).await.expect("nothing to do").is_unchanged);
    for into in ["--upload-pack=touch x", "nowhere", "a..b"] {
        let params = MergeParams { into: into.to_owned(), ..no_check.clone() };
        assert_eq!(refused(client.workspace_merge(&run, &params).await).0, 400, "{into}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_committed_is_not_left_out_of_a_merge_in_silence() {
    let daemon = Daemon::start().await;
    let (_, run, path) = worked(&daemon, "echo two > file.txt").await;
    let params = MergeParams { into: "main".to_owned(), checks: Vec::new(), no_check: true };
    let (status, error) = refused(daemon.client.workspace_merge(&run, &params).await);
    assert_eq!(status, 422);
    assert!(error.hint.is_some_and(|hint| hint.contains("commit")), "{}", error.error);
    assert!(path.join("file.txt").exists());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_saved_and_over_is_collected() {
    let daemon = Daemon::with_settings(|settings| {
        settings.workspace_keep_ms = 0;
        settings.workspace_artefacts_ms = 0;
    })
    .await;
    let script =
        "mkdir node_modules; echo x > node_modules/x; echo node_modules/ > .gitignore; echo d > draft";
    let (project, dirty, kept) = worked(&daemon, script).await;
    let blueprint = one_step(json!({"kind": "command", "spec": {"argv": ["true"]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        ..task(blueprint, json!({"in": null}))
    };
    let clean = daemon.client.task_run(&params).await.expect("it is done");
    let usage = daemon.client.workspaces_usage().await.expect("it is counted");
    assert_eq!((usage.workspaces.len(), usage.bytes_max), (2, None));
    assert!(usage.workspaces.iter().all(|one| one.bytes > 0 && one.id.is_some()), "{usage:?}");
    daemon.plane.job_run("workspaces").await.expect("a round");
    let left = daemon.client.workspaces().await.expect("a list").workspaces;
    assert_eq!(left.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), [dirty.as_str()]);
    assert!(!left.iter().any(|entry| entry.id == clean.run_id));
    assert!(kept.join("draft").exists(), "it is not saved");
    assert!(!kept.join("node_modules").exists(), "a build makes it again");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_begins_when_the_workspaces_take_more_than_they_may() {
    let daemon = Daemon::with_settings(|settings| settings.workspace_bytes_max = Some(1)).await;
    let (project, _, _) = worked(&daemon, "echo two > file.txt").await;
    let blueprint = one_step(json!({"kind": "command", "spec": {"argv": ["true"]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        ..task(blueprint, json!({"in": null}))
    };
    let (status, error) = refused(daemon.client.task_run(&params).await);
    assert_eq!(status, 429);
    assert!(error.error.contains("adjutant workspace du"), "{error:?}");
    daemon.stop().await;
}
