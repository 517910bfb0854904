//! Workspaces over the wire.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_protocol::UnsavedWork;
use adjutant_protocol::http::TaskParams;
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
