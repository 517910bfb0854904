//! Goals over the wire: from a text to `done`.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_protocol::http::{
    CriterionParams, EvidenceParams, GoalParams, GoalStatusParams, LinkParams, NoteParams, TaskParams,
};
use adjutant_testkit::repository;
use serde_json::json;

fn criterion(text: &str, check: Option<&str>) -> CriterionParams {
    CriterionParams { text: text.to_owned(), check: check.map(str::to_owned) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_closes_when_a_check_and_a_person_have_spoken() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let acceptance =
        vec![criterion("it says two", Some("grep -q two file.txt")), criterion("it reads well", None)];
    let params = GoalParams { description: "two".to_owned(), acceptance, ..GoalParams::default() };
    let goal = daemon.client.goal_create(&params).await.expect("it is made");
    assert_eq!(goal.acceptance.len(), 2);

    let blueprint =
        one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", "echo two >> file.txt"]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        goal_id: Some(goal.id.clone()),
        ..task(blueprint, json!({"in": null}))
    };
    let run_id = daemon.client.task_run(&params).await.expect("it is done").run_id;

    let (status, error) = refused(daemon.client.goal_do(&goal.id, "close", &json!({})).await);
    assert_eq!((status, error.code.as_str()), (409, "goal_not_proved"));
    let details = error.details.expect("details");
    assert_eq!(
        (&details["verified"], &details["total"], &details["criteria"]["total"]),
        (&json!(0), &json!(1), &json!(2))
    );
    assert!(details["missing"].as_array().is_some_and(|missing| !missing.is_empty()), "{details}");

    let checked = daemon.client.goal_do(&goal.id, "check", &json!({})).await.expect("the check runs");
    let evidence = checked.acceptance[0].evidence.as_ref().expect("evidence");
    assert!(evidence.passed && evidence.tree.is_some(), "{evidence:?}");
    assert_eq!(
        (checked.sessions[0].session_id.as_str(), checked.sessions[0].state.as_str()),
        (run_id.as_str(), "verified")
    );
    let said = EvidenceParams {
        criterion: Some(1),
        person: Some("Ada".to_owned()),
        words: Some("I read it".to_owned()),
        ..EvidenceParams::default()
    };
    let signed = daemon.client.goal_do(&goal.id, "evidence", &said).await.expect("it is recorded");
    assert_eq!(signed.acceptance[1].evidence.as_ref().expect("evidence").detail, "I read it");
    let done = daemon.client.goal_do(&goal.id, "close", &json!({})).await.expect("it is proved");
    assert_eq!((done.status.as_str(), done.progress), ("done", 100));
    assert_eq!(daemon.client.goal(&goal.id).await.expect("it is there"), done);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_are_linked_noted_moved_and_listed() {
    let daemon = Daemon::start().await;
    let body = r#"{"description": "both forms", "acceptance": ["a text", {"text": "b", "check": "true"}]}"#;
    let made = daemon.send("POST /v1/goals", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let goal: adjutant_protocol::http::GoalView = serde_json::from_str(&made.body).expect("a goal");
    assert_eq!(goal.acceptance[0].text, "a text");

    let link =
        LinkParams { session_id: "run_00000000000000000000000000000000".to_owned(), task: "t".to_owned() };
    let linked = daemon.client.goal_do(&goal.id, "links", &link).await.expect("it is linked");
    assert_eq!(linked.sessions.len(), 1);
    let (status, error) = refused(daemon.client.goal_do(&goal.id, "links", &link).await);
    assert_eq!((status, error.code.as_str()), (409, "goal_refused"), "a link is unique");
    let noted = daemon
        .client
        .goal_do(&goal.id, "notes", &NoteParams { note: "n".to_owned() })
        .await
        .expect("it is noted");
    assert_eq!(noted.notes, ["n"]);
    let to =
        |status: &str| GoalStatusParams { status: status.to_owned(), reason: Some("because".to_owned()) };
    let moved = daemon.client.goal_do(&goal.id, "status", &to("blocked")).await.expect("it moves");
    assert_eq!(moved.status, "blocked");
    let (status, _) = refused(daemon.client.goal_do(&goal.id, "status", &to("asleep")).await);
    assert_eq!(status, 400);

    assert_eq!(daemon.client.goals(Some("blocked")).await.expect("a list").goals.len(), 1);
    assert!(daemon.client.goals(Some("done")).await.expect("a list").goals.is_empty());
    let (status, error) = refused(daemon.client.goal("g-0123456789abcdef").await);
    assert_eq!((status, error.code.as_str()), (404, "not_found"));
    daemon.stop().await;
}
