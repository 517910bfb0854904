//! Goals that close only when checks prove them.

use adjutant_engine::goals::{GoalParams, GoalUpdate};
use adjutant_engine::{EngineError, RunFilter};
use adjutant_model::goal::{Goal, GoalStatus, LinkState};
use adjutant_model::run::{RunStatus, WorkspaceKind};
use adjutant_rules::goal::CriterionSpec;
use adjutant_testkit::{Home, owner, repository, run, task};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_closes_when_its_check_passes_on_the_tree_that_stands() {
    let home = Home::new();
    let plane = home.plane().await;
    let project = home.path("project");
    repository::with_one_file(&project);
    let acceptance =
        vec![CriterionSpec { text: String::new(), check: Some("grep -q two file.txt".to_owned()) }];
    let params = GoalParams { description: "two".to_owned(), acceptance, ..GoalParams::default() };
    let goal = plane.goal_create(&owner(), params).await.expect("it is made");

    let blueprint = json!({"id": "test",
        "flow": {"kind": "step", "ref": "edit", "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.x"}},
        "agents": [{"name": "edit", "kind": "command", "spec": {"argv": ["sh", "-c", "echo two >> file.txt"]}}]});
    let mut params = task(blueprint, json!({}));
    params.project_root = Some(project.clone());
    params.goal_id = Some(goal.id.clone());
    let ended = run(&plane, params).await;
    assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
    let workspace = ended.workspace.clone().expect("it worked somewhere");
    assert_eq!(workspace.kind, WorkspaceKind::Worktree);
    assert_eq!(
        std::fs::read_to_string(project.join("file.txt")).expect("readable"),
        "one\n",
        "the project is untouched"
    );

    let refused = plane.goal_close(&owner(), &goal.id).await.expect_err("nothing is proved yet");
    assert!(matches!(refused, EngineError::GoalGate { .. }), "{refused}");
    let checked = plane.goal_check(&owner(), &goal.id).await.expect("the check runs");
    assert_eq!(checked.sessions[0].state, LinkState::Verified);
    assert!(checked.acceptance[0].evidence.as_ref().is_some_and(|e| e.passed && e.tree.is_some()));

    // The tree changes, so what was proved is stale.
    std::fs::write(format!("{}/more", workspace.path), "x").expect("the file is written");
    let stale = plane.goal_close(&owner(), &goal.id).await.expect_err("the evidence is about another tree");
    assert!(matches!(stale, EngineError::GoalGate { .. }), "{stale}");
    plane.goal_check(&owner(), &goal.id).await.expect("the check runs");
    let done = plane.goal_close(&owner(), &goal.id).await.expect("it is proved");
    assert_eq!((done.status, done.progress), (GoalStatus::Done, 100));

    let mirror = std::fs::read_to_string(home.path("goals.json")).expect("the mirror is there");
    let mirrored: Vec<Goal> = serde_json::from_str(&mirror).expect("the mirror is JSON");
    assert_eq!(mirrored, [done]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_takes_no_run_refuses_it_before_it_begins() {
    let home = Home::new();
    let plane = home.plane().await;
    let acceptance = vec![CriterionSpec { text: "words".to_owned(), check: None }];
    let params = GoalParams { description: "given up".to_owned(), acceptance, ..GoalParams::default() };
    let goal = plane.goal_create(&owner(), params).await.expect("it is made");
    let given_up = GoalUpdate {
        status: Some(GoalStatus::Abandoned),
        reason: Some("no time".to_owned()),
        ..GoalUpdate::default()
    };
    plane.goal_update(&owner(), &goal.id, given_up).await.expect("it is given up");

    let mut params = task(json!({"id": "test", "flow": {"kind": "seq", "children": []}}), json!({}));
    params.goal_id = Some(goal.id);
    let refused = plane.task_start(&owner(), params).await.expect_err("the goal is over");
    assert!(matches!(refused, EngineError::Goal(_)), "{refused}");
    assert!(plane.run_list(RunFilter::default()).await.expect("readable").is_empty());
}
