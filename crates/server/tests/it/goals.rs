//! Goals over the wire: from a text to `done`.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_protocol::http::{
    CriterionParams, EvidenceParams, GoalParams, GoalStatusParams, LinkParams, NoteParams, TaskParams,
};
use adjutant_testkit::{repository, until};
use serde_json::json;
use std::fs;

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

async fn made(daemon: &Daemon, params: serde_json::Value) -> adjutant_protocol::http::GoalView {
    let params: GoalParams = serde_json::from_value(params).expect("parameters");
    daemon.client.goal_create(&params).await.expect("it is made")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_waits_for_the_goals_that_it_depends_on_and_never_for_itself() {
    let daemon = Daemon::start().await;
    let first = made(&daemon, json!({"description": "first", "acceptance": ["it reads well"]})).await;
    let second = made(&daemon, json!({"description": "second", "depends_on": [first.id]})).await;
    assert_eq!(second.depends_on, [first.id.as_str()]);
    let on = |id: &str| json!({"depends_on": [id]}).to_string();
    let cycle = daemon.send(&format!("POST /v1/goals/{}", first.id), &on(&second.id)).await;
    assert_eq!((cycle.status, cycle.error().code.as_str()), (409, "goal_refused"), "{cycle:?}");
    assert!(cycle.error().error.contains("cannot wait for each other"), "{cycle:?}");
    let unknown = daemon.send(&format!("POST /v1/goals/{}", first.id), &on("g-0000000000000000")).await;
    assert_eq!(unknown.status, 409, "{unknown:?}");

    for goal in [&second, &first] {
        let link = LinkParams { session_id: "by-hand".to_owned(), task: String::new() };
        daemon.client.goal_do(&goal.id, "links", &link).await.expect("it is linked");
        let proof = json!({"session_id": "by-hand", "person": "Ada", "words": "I looked"});
        let proved = daemon.client.goal_do(&goal.id, "evidence", &proof).await.expect("it is proved");
        assert_eq!((proved.sessions[0].state.as_str(), proved.progress), ("verified", 100));
    }
    let (status, error) = refused(daemon.client.goal_do(&second.id, "close", &json!({})).await);
    assert_eq!((status, error.code.as_str()), (409, "goal_not_proved"));
    assert!(
        error.error.contains(&format!("goal {}, which it depends on, is not done", first.id)),
        "{error:?}"
    );
    for goal in [&first, &second] {
        let done = daemon.client.goal_do(&goal.id, "close", &json!({})).await.expect("it is proved");
        assert_eq!(done.status, "done");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_is_kept_as_a_whole_or_not_at_all() {
    let daemon = Daemon::start().await;
    let goal =
        made(&daemon, json!({"description": "d", "acceptance": [{"text": "t", "check": "true"}]})).await;
    let route = format!("POST /v1/goals/{}", goal.id);
    let all = r#"{"description": "e", "deadline": "2030-01-01T00:00:00Z", "recheck": "0 6 * * *", "note": "n",
        "budget": {"max_tokens": 9}, "status": "blocked", "reason": "it rains"}"#;
    let changed = daemon.send(&route, all).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let kept = daemon.client.goal(&goal.id).await.expect("it is there");
    assert_eq!((kept.description.as_str(), kept.status.as_str(), kept.notes.len()), ("e", "blocked", 1));
    assert_eq!(kept.deadline.as_deref(), Some("2030-01-01T00:00:00.000Z"));
    let recheck = kept.recheck.clone().expect("a schedule");
    assert!(recheck.cron == "0 6 * * *" && recheck.next_at.ends_with("T06:00:00.000Z"), "{recheck:?}");

    for (body, status, code, what) in [
        (r#"{"note": "m", "status": "pending"}"#, 409, "goal_refused", "cannot become pending"),
        (r#"{"note": "m", "status": "done"}"#, 409, "goal_not_proved", "has not run"),
        (r#"{"note": "m", "status": "abandoned"}"#, 400, "invalid_request", "the reason is blank"),
        (r#"{"note": "m", "recheck": "hourly"}"#, 400, "invalid_request", "`hourly` cannot be used"),
        (r#"{"note": "m", "deadline": "soon"}"#, 400, "invalid_request", "`deadline`"),
        (r#"{"note": "m", "budget": {"max_minutes": 0}}"#, 400, "invalid_request", "`max_minutes`"),
        (r#"{"note": "m", "session_id": "x"}"#, 400, "invalid_request", "`state`"),
        (r#"{"note": "m", "session_id": "x", "state": "verified"}"#, 404, "not_found", "not linked"),
        (r#"{"note": "m", "colour": "red"}"#, 400, "invalid_request", "`colour`"),
        (r#"{"note": "m", "description": " "}"#, 400, "invalid_request", "the description is blank"),
    ] {
        let answer = daemon.send(&route, body).await;
        let error = answer.error();
        assert_eq!((answer.status, error.code.as_str()), (status, code), "{body}: {error:?}");
        assert!(error.error.contains(what), "{body}: {error:?}");
        assert_eq!(daemon.client.goal(&goal.id).await.expect("it is there"), kept, "{body}");
    }
    let emptied = daemon.send(&route, r#"{"deadline": "", "recheck": ""}"#).await;
    assert_eq!(emptied.status, 200, "{emptied:?}");
    let emptied = daemon.client.goal(&goal.id).await.expect("it is there");
    assert_eq!((emptied.deadline, emptied.recheck), (None, None));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_done_goal_whose_check_fails_again_is_reopened_and_stands_in_the_inbox() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let check = json!([{"text": "it says one", "check": "grep -q one file.txt"}]);
    let goal = made(&daemon, json!({"description": "one", "acceptance": check, "project": project})).await;
    let act = async |what: &str| daemon.client.goal_do(&goal.id, what, &json!({})).await.expect(what);
    act("check").await;
    assert_eq!(act("close").await.status, "done");
    assert!(daemon.client.inbox().await.expect("the inbox").goals.is_empty());

    std::fs::write(project.join("file.txt"), "broken\n").expect("the file is written");
    assert_eq!(act("check").await.status, "inProgress");
    let inbox = daemon.client.inbox().await.expect("the inbox").goals;
    assert_eq!((inbox[0].goal_id.as_str(), inbox[0].kind.as_str()), (goal.id.as_str(), "reopened"));
    assert!(inbox[0].text.contains("it says one"), "{inbox:?}");
    let seen = GoalStatusParams { status: "inProgress".to_owned(), reason: None };
    daemon.client.goal_do(&goal.id, "status", &seen).await.expect("it is seen");
    assert!(daemon.client.inbox().await.expect("the inbox").goals.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_follows_its_run_and_evidence_comes_from_its_check_step() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let goal = made(&daemon, json!({"description": "one", "acceptance": ["it says one"]})).await;
    let run = async |command: &str| {
        let params = TaskParams {
            project_root: Some(project.to_string_lossy().into_owned()),
            goal_id: Some(goal.id.clone()),
            ..task(one_step(json!({"kind": "check", "spec": {"command": command}})), json!({"in": null}))
        };
        daemon.client.task_run(&params).await
    };
    let good = run("grep -q one file.txt").await.expect("it is done").run_id;
    let proof = json!({"session_id": good, "turn": {"run_id": good, "index": 0}});
    let proved = daemon.client.goal_do(&goal.id, "evidence", &proof).await.expect("it is proved");
    let link = proved.sessions.iter().find(|link| link.session_id == good).expect("it is linked");
    assert_eq!(link.state, "verified");
    let evidence = link.evidence.as_ref().expect("evidence");
    assert_eq!(evidence.source, json!({"type": "turn", "run_id": good, "index": 0}));
    assert!(evidence.passed && evidence.tree.is_some() && evidence.workspace.is_some(), "{evidence:?}");
    daemon.stop().await;
}

/// An agent in print mode: at its first prompt it does half of the work, and the rest when it is told what failed.
const HALVES: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  case "$line" in *'Attempt 2 of 3'*) echo two > two.txt;; *) echo one > one.txt;; esac
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_pursued_until_its_checks_pass_and_what_failed_is_told() {
    let daemon = Daemon::with_settings(|settings| {
        let folder = &settings.folder;
        fs::create_dir_all(folder.join("agents")).expect("the folder is made");
        let script = folder.join("agent.sh");
        fs::write(&script, HALVES).expect("the agent is written");
        let profile = format!(
            "name = \"halves\"\nprogram = \"/bin/sh\"\n[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\n\
             stream = \"claude_stream_json\"\nargs = [[\"{}\"]]\n",
            script.display()
        );
        fs::write(folder.join("agents/halves.toml"), profile).expect("the profile is written");
        repository::with_one_file(&folder.join("project"));
    })
    .await;
    let checks = json!([{"check": "test -f one.txt"}, {"check": "test -f two.txt"}]);
    let project = daemon.path("project");
    let goal =
        made(&daemon, json!({"description": "both halves", "acceptance": checks, "project": project})).await;
    let pursue = format!("POST /v1/goals/{}/pursue", goal.id);
    let begun = daemon.send(&pursue, r#"{"agent": "halves"}"#).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let goal_id = goal.id.parse().expect("an id");
    let ended = until(&daemon.plane, async || {
        Ok(Some(daemon.plane.goal_get(&goal_id).await?).filter(|goal| goal.pursued().is_none()))
    })
    .await;
    let notes = ended.notes.join("\n");
    assert_eq!((ended.status.as_str(), ended.progress), ("done", 100), "{notes}");
    assert!(
        notes.contains("attempt 1 of 3 has not reached it; what fails: `test -f two.txt` succeeds"),
        "{notes}"
    );
    assert!(notes.contains("reached in attempt 2 of 3"), "{notes}");
    let id = ended.sessions[0].session_id.parse().expect("a session");
    let session = daemon.plane.session_managed(id).await.expect("it is there").session;
    assert!(
        session.task.contains("both halves") && session.task.contains("test -f two.txt"),
        "{}",
        session.task
    );
    let again = daemon.send(&pursue, r#"{"agent": "halves"}"#).await;
    assert_eq!((again.status, again.error().code.as_str()), (409, "goal_refused"), "a goal that is done");
    daemon.stop().await;
}
