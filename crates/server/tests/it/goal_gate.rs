//! The gate before the checks of goals and merges, what their evidence is worth later, and how links are named.

use crate::delegations::{daemon as hosting, parent};
use crate::harness::{Daemon, refused};
use adjutant_protocol::http::{ApprovalAnswer, GoalView};
use adjutant_testkit::repository::{self, Repository};
use adjutant_testkit::until;
use serde_json::{Value, json};
use std::path::PathBuf;

const POLICY: &str = "[[rule]]\nname = \"no-secrets\"\neffect = \"deny\"\ntool = \"step:check\"\n\
    params = { command = \"*secret.txt*\" }\n[[rule]]\nname = \"slow-ones\"\neffect = \"ask\"\ntool = \"step:check\"\n\
    params = { command = \"make *\" }\n";

fn project(daemon: &Daemon) -> PathBuf {
    let project = daemon.path("project");
    repository::with_one_file(&project);
    project
}

async fn made(daemon: &Daemon, goal: Value) -> GoalView {
    let made = daemon.send("POST /v1/goals", &goal.to_string()).await;
    assert_eq!(made.status, 201, "{made:?}");
    serde_json::from_str(&made.body).expect("a goal")
}

async fn with_check(daemon: &Daemon, project: &std::path::Path, check: &str) -> GoalView {
    made(daemon, json!({"description": "g", "acceptance": [{"check": check}], "project": project})).await
}

async fn shown(daemon: &Daemon, goal: &GoalView) -> GoalView {
    daemon.client.goal(&goal.id).await.expect("it is there")
}

/// Gives what the journal has of a goal, by its kinds.
async fn kinds(daemon: &Daemon, goal: &GoalView) -> Vec<&'static str> {
    let rows = daemon.plane.events_of(&goal.id, 0, 100).await.expect("they are read");
    rows.iter().map(|row| row.event.kind()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_rule_denies_never_runs_whoever_wants_it() {
    let daemon = Daemon::with_policy(POLICY).await;
    let project = project(&daemon);
    let goal = with_check(&daemon, &project, "touch ran; cat secret.txt").await;
    let (status, error) = refused(daemon.client.goal_do(&goal.id, "check", &json!({})).await);
    assert_eq!((status, error.code.as_str()), (403, "forbidden"));
    assert!(error.error.contains("refused by the gate") && error.error.contains("no-secrets"), "{error:?}");
    assert!(!project.join("ran").exists());
    assert!(shown(&daemon, &goal).await.acceptance[0].evidence.is_none(), "nothing is recorded");
    assert!(kinds(&daemon, &goal).await.contains(&"check_judged"));
    let told = crate::mcp::called_as(&daemon, &daemon.token, "goal_check", json!({"goal_id": goal.id})).await;
    assert!(told["isError"] == true && told.to_string().contains("no-secrets"), "{told}");

    let pursued = refused(daemon.client.goal_do(&goal.id, "pursue", &json!({})).await);
    assert!(pursued.0 == 403 && pursued.1.error.contains("no-secrets"), "{pursued:?}");
    let sessions = daemon.client.sessions_managed(None).await.expect("a list").sessions;
    assert!(sessions.is_empty(), "no agent works for nothing");

    // The rules of the project hold as well.
    let fine = with_check(&daemon, &project, "true").await;
    daemon.client.goal_do(&fine.id, "check", &json!({})).await.expect("no rule is against it");
    let own = "[[rule]]\nname = \"none-here\"\neffect = \"deny\"\ntool = \"step:check\"\n";
    std::fs::create_dir_all(project.join(".adjutant")).expect("a folder");
    std::fs::write(project.join(".adjutant/policy.toml"), own).expect("it is written");
    let (status, error) = refused(daemon.client.goal_do(&fine.id, "check", &json!({})).await);
    assert!(status == 403 && error.error.contains("none-here"), "{error:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_a_rule_asks_about_waits_for_a_person_who_did_not_ask() {
    let daemon = Daemon::with_policy(POLICY).await;
    let goal = with_check(&daemon, &project(&daemon), "make --version > /dev/null || true").await;
    let operator: Value = serde_json::from_str(
        &daemon.send("POST /v1/sessions", r#"{"agent_id": "m", "role": "operator"}"#).await.body,
    )
    .expect("JSON");
    let operator = daemon.client_with(operator["session_id"].as_str().expect("a token"));
    for (approved, answer) in [(false, "deny"), (true, "approve")] {
        let (asks, id) = (operator.clone(), goal.id.clone());
        let checking = tokio::spawn(async move { asks.goal_do(&id, "check", &json!({})).await });
        let approval = until(&daemon.plane, async || {
            Ok(daemon.client.approvals(Some("pending")).await.expect("a list").approvals.pop())
        })
        .await;
        assert_eq!(approval.tool, "step:check");
        let answer = ApprovalAnswer { decision: answer.to_owned(), reason: String::new(), option: None };
        let own = operator.approval_answer(&approval.id, &answer).await;
        assert_eq!(refused(own).0, 403, "nobody answers their own");
        daemon.client.approval_answer(&approval.id, &answer).await.expect("it counts");
        let checked = checking.await.expect("it does not panic");
        assert_eq!(checked.is_ok(), approved, "{checked:?}");
    }
    assert!(shown(&daemon, &goal).await.acceptance[0].evidence.as_ref().is_some_and(|found| found.passed));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_of_a_goal_says_which_evidence_does_not_count_any_more() {
    let daemon = Daemon::start().await;
    let project = project(&daemon);
    let goal = with_check(&daemon, &project, "test -f file.txt").await;
    let checked = daemon.client.goal_do(&goal.id, "check", &json!({})).await.expect("it runs");
    assert_eq!(checked.progress, 100, "nothing is linked, so the criteria count");
    let why = async || shown(&daemon, &goal).await.acceptance[0].evidence.clone().expect("evidence").stale;
    assert_eq!(why().await, None);
    std::fs::write(project.join("more.txt"), "x").expect("it is written");
    assert!(why().await.is_some_and(|why| why.contains("has changed since")));
    std::fs::remove_file(project.join("more.txt")).expect("it goes");
    assert_eq!(why().await, None, "it is the same tree again");
    std::fs::rename(&project, daemon.path("elsewhere")).expect("it moves");
    assert!(why().await.is_some_and(|why| why.contains("is gone")));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_persons_word_does_not_take_the_place_of_what_a_check_said() {
    let daemon = Daemon::start().await;
    let goal = with_check(&daemon, &project(&daemon), "test -f file.txt").await;
    daemon.client.goal_do(&goal.id, "check", &json!({})).await.expect("it runs");
    let said = json!({"criterion": 0, "person": "Ada", "words": "I looked"});
    let signed = daemon.client.goal_do(&goal.id, "evidence", &said).await.expect("it is kept");
    let evidence = signed.acceptance[0].evidence.as_ref().expect("evidence");
    assert_eq!(evidence.source["type"], "check");
    assert!(signed.notes[0].contains("signed off by Ada: passed: I looked"), "{:?}", signed.notes);
    let done = daemon.client.goal_do(&goal.id, "close", &json!({})).await.expect("the check proves it");
    assert_eq!((done.status.as_str(), done.progress), ("done", 100));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_linked_once_however_it_is_named() {
    let (daemon, repository) = (hosting(false).await, Repository::new());
    let session = parent(&daemon, &repository).await;
    let goal = made(&daemon, json!({"description": "g", "acceptance": ["it holds"]})).await;
    let link = |name: &str| json!({"session_id": name});
    let linked = daemon.client.goal_do(&goal.id, "links", &link(&session.name)).await.expect("it is linked");
    assert_eq!(linked.sessions[0].session_id, session.id);
    for name in [session.id.clone(), session.id.to_uppercase(), session.name.clone()] {
        let (status, error) = refused(daemon.client.goal_do(&goal.id, "links", &link(&name)).await);
        assert_eq!((status, error.code.as_str()), (409, "goal_refused"), "{name}");
    }
    let said = json!({"session_id": session.name, "person": "Ada", "words": "done"});
    let proved = daemon.client.goal_do(&goal.id, "evidence", &said).await.expect("it is the same");
    assert_eq!((proved.sessions[0].state.as_str(), proved.progress), ("verified", 100));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_goal_stands_where_it_does_is_shown_until_it_stands_elsewhere() {
    let daemon = Daemon::start().await;
    let goal = made(&daemon, json!({"description": "g", "acceptance": ["it holds"]})).await;
    for (status, reason) in
        [("blocked", Some("no key")), ("inProgress", None), ("abandoned", Some("too dear"))]
    {
        let to = json!({"status": status, "reason": reason});
        daemon.client.goal_do(&goal.id, "status", &to).await.expect("it goes there");
        assert_eq!(shown(&daemon, &goal).await.reason.as_deref(), reason, "{status}");
    }
    let daemon = daemon.restarted().await;
    assert_eq!(shown(&daemon, &goal).await.reason.as_deref(), Some("too dear"));
    let check = json!({"description": "g", "acceptance": [{"check": "true\0false"}]});
    let answer = daemon.send("POST /v1/goals", &check.to_string()).await;
    assert!(answer.status == 400 && answer.error().error.contains("NUL"), "{answer:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_the_name_of_a_person_or_of_a_link() {
    let daemon = Daemon::start().await;
    let secret = format!("sk-ant-api03-{}", "a".repeat(60));
    let goal = made(&daemon, json!({"description": "g", "acceptance": ["it holds"]})).await;
    let link = json!({"session_id": format!("w {secret}")});
    daemon.client.goal_do(&goal.id, "links", &link).await.expect("it is linked");
    let said = json!({"criterion": 0, "person": format!("Ada {secret}"), "words": "w"});
    daemon.client.goal_do(&goal.id, "evidence", &said).await.expect("it is kept");
    let told = serde_json::to_string(&shown(&daemon, &goal).await).expect("JSON");
    let mirror = std::fs::read_to_string(daemon.path("goals.json")).expect("it is there");
    assert!(!told.contains(&secret) && !mirror.contains(&secret), "{told}");
    assert!(told.contains("Ada "), "{told}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owners_token_stands_in_no_record_whoever_finds_it() {
    let daemon = Daemon::start().await;
    let (token, project) = (daemon.token.clone(), project(&daemon));
    std::fs::write(project.join("found"), &token).expect("it is written");
    let goal = with_check(&daemon, &project, "cat found").await;
    daemon.client.goal_do(&goal.id, "check", &json!({})).await.expect("it runs");
    let note = json!({"note": format!("it is {token}")});
    daemon.client.goal_do(&goal.id, "notes", &note).await.expect("it is kept");
    let fact = json!({"text": format!("the token is {token}"), "scope": "plane"}).to_string();
    assert_eq!(daemon.send("POST /v1/memory", &fact).await.status, 201);
    let told = serde_json::to_string(&shown(&daemon, &goal).await).expect("JSON");
    let facts = daemon.send("GET /v1/memory", "").await.body;
    assert!(
        told.contains("[redacted:owner-token]") && facts.contains("[redacted:owner-token]"),
        "{told} {facts}"
    );
    let mirror = std::fs::read_to_string(daemon.path("goals.json")).expect("it is there");
    assert!(!told.contains(&token) && !facts.contains(&token) && !mirror.contains(&token));
    let blank = json!({"criterion": 0, "person": "Ada\0", "words": "w"});
    assert_eq!(refused(daemon.client.goal_do(&goal.id, "evidence", &blank).await).0, 400);
    daemon.stop().await;
}
