//! Work that agents give away over MCP: in which order it is judged, what waits for a person, and who may answer.

use super::{called_as, refusal, refused, structured, told};
use crate::delegations::ECHO;
use crate::harness::Daemon;
use adjutant_engine::Settings;
use adjutant_protocol::http::HostParams;
use adjutant_testkit::{Repository, until};
use serde_json::{Value, json};

pub(super) async fn daemon(may_spawn: bool) -> Daemon {
    Daemon::with_settings(|settings| echoing(settings, may_spawn)).await
}

/// Has the agent that echoes hosted.
pub(super) fn echoing(settings: &mut Settings, may_spawn: bool) {
    settings.sessions_agents_may_spawn = may_spawn;
    settings.sessions_default_agent = "echo".to_owned();
    settings.sessions_auto_resume = false;
    settings.breaker.cool_down_ms = if may_spawn { 0 } else { 60_000 };
    std::fs::create_dir_all(settings.folder.join("agents")).expect("a folder");
    std::fs::write(settings.folder.join("agents/echo.toml"), ECHO).expect("it is written");
}

/// Hosts a session, and gives its id.
pub(super) async fn lead(daemon: &Daemon, project: &Repository) -> String {
    let params = HostParams {
        project: Some(project.project.to_string_lossy().into_owned()),
        agent: Some("echo".to_owned()),
        task: "begin".to_owned(),
        ..HostParams::default()
    };
    let made = daemon.client.session_host(&params).await.expect("it is hosted");
    until(&daemon.plane, async || {
        let view = daemon.client.session_managed(&made.id).await.expect("it is there");
        Ok((view.turns == 1).then_some(view.id))
    })
    .await
}

fn work(session_id: &str, agent: &str) -> Value {
    json!({"session_id": session_id, "agent": agent, "task": "look", "tier": "opus"})
}

async fn fail_three_times(daemon: &Daemon, session_id: &str, agent: &str) {
    for _ in 0..3 {
        let hook =
            json!({"session_id": session_id, "event": "SubagentStopFailure", "payload": {"agent": agent}});
        told(daemon, "hook_event", hook).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_3_and_4_a_delegation_is_queued_for_a_person_and_an_open_breaker_refuses_it() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let id = lead(&daemon, &project).await;
    let queued = told(&daemon, "agent_delegate", work(&id, "research")).await;
    assert_eq!((&queued["agent"], &queued["tier"]), (&json!("research"), &json!("opus")), "{queued}");
    assert_eq!((&queued["circuit"], &queued["status"]), (&json!("closed"), &json!("queued")), "{queued}");
    assert!(queued["delegation_id"].is_string() && queued["approval_id"].is_string(), "{queued}");
    let status = told(&daemon, "session_status", json!({"session_id": id})).await;
    assert_eq!(
        (&status["delegation_count"], &status["session"]["active_delegations"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(status["delegations"][0]["delegation_id"], queued["delegation_id"], "{status}");
    let waiting = told(&daemon, "approval_list", json!({})).await;
    assert_eq!(waiting["approvals"][0]["id"], queued["approval_id"], "{waiting}");
    assert_eq!(told(&daemon, "inbox", json!({})).await["approvals"][0]["tool"], "agent_delegate");

    fail_three_times(&daemon, &id, "broken").await;
    let (code, message) = refused(&daemon, "agent_delegate", work(&id, "broken")).await;
    assert!(
        code == "conflict" && message.contains("circuit breaker") && message.contains("open"),
        "{message}"
    );
    let wrong_tier = json!({"session_id": id, "agent": "broken", "task": "x", "tier": "best"});
    let (_, message) = refused(&daemon, "agent_delegate", wrong_tier).await;
    assert!(message.contains("circuit breaker"), "the breaker is judged before the tier: {message}");
    let nameless = json!({"session_id": id, "agent": "", "task": "x", "tier": "best"});
    let (_, message) = refused(&daemon, "agent_delegate", nameless).await;
    assert!(message.contains("tier"), "the tier is judged before the agent: {message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_with_the_owners_token_no_model_answers_with_it_but_a_person_does() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let id = lead(&daemon, &project).await;
    let queued = told(&daemon, "agent_delegate", work(&id, "research")).await;
    let approval = queued["approval_id"].as_str().expect("an approval").to_owned();
    let answer = json!({"approval_id": approval, "decision": "approve"});
    let (code, message) = refused(&daemon, "approval_resolve", answer.clone()).await;
    assert!(code == "forbidden" && message.contains("another face"), "{code} {message}");
    let body = json!({"agent_id": "a-person", "role": "senior"}).to_string();
    let senior: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    let token = senior["session_id"].as_str().expect("a token");
    let answered = structured(called_as(&daemon, token, "approval_resolve", answer).await);
    assert_eq!(answered["status"], "approved", "{answered}");
    let other = told(&daemon, "agent_delegate", work(&id, "research")).await;
    let line = format!("POST /v1/approvals/{}", other["approval_id"].as_str().expect("an approval"));
    let answered = daemon.send(&line, &json!({"decision": "deny"}).to_string()).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_agents_may_begin_sessions_a_delegation_is_done_at_once_and_a_breaker_lets_one_trial_in() {
    let (daemon, project) = (daemon(true).await, Repository::new());
    let id = lead(&daemon, &project).await;
    let begun = told(&daemon, "agent_delegate", work(&id, "research")).await;
    assert_eq!(begun["status"], "running", "{begun}");
    let ended = until(&daemon.plane, async || {
        let status = told(&daemon, "session_status", json!({"session_id": id})).await;
        Ok(Some(status["delegations"][0].clone()).filter(|found| found["status"] == "completed"))
    })
    .await;
    assert_eq!(ended["result"], "did look", "{ended}");

    fail_three_times(&daemon, &id, "shaky").await;
    let opened = told(&daemon, "circuit_breaker_status", json!({"agent": "shaky"})).await;
    assert_eq!(opened["breaker"]["state"], "half_open", "its cool-down is none: {opened}");
    let trial = told(&daemon, "agent_delegate", work(&id, "shaky")).await;
    assert_eq!(trial["circuit"], "half_open", "after the cool-down one trial is let in: {trial}");
    let closed = until(&daemon.plane, async || {
        let found = told(&daemon, "circuit_breaker_status", json!({"agent": "shaky"})).await;
        Ok((found["breaker"]["state"] == "closed").then_some(found))
    })
    .await;
    assert_eq!(closed["breaker"]["consecutive_failures"], 0, "{closed}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_agent_sees_and_delegates_from_its_own_session_alone() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let (id, other) = (lead(&daemon, &project).await, lead(&daemon, &project).await);
    let view = daemon.client.session_managed(&id).await.expect("it is there");
    let workspace = view.workspace_path.expect("a workspace");
    let token = std::fs::read_to_string(std::path::Path::new(&workspace).join("shown.txt")).expect("a token");
    let token = token.trim();
    let own = structured(called_as(&daemon, token, "session_status", json!({"session_id": id})).await);
    assert_eq!(own["session"]["kind"], "managed", "{own}");
    let queued = structured(called_as(&daemon, token, "agent_delegate", work(&id, "research")).await);
    assert_eq!(queued["status"], "queued", "{queued}");
    for (name, arguments) in [
        ("session_status", json!({"session_id": other})),
        ("agent_delegate", work(&other, "research")),
        ("memory_protect", json!({"session_id": other, "used_tokens": 1, "window_tokens": 2})),
        ("hook_event", json!({"session_id": other, "event": "Stop"})),
        ("session_list", json!({})),
        ("session_send", json!({"session_id": id, "text": "x"})),
    ] {
        let (code, message) = refusal(&called_as(&daemon, token, name, arguments).await);
        assert_eq!(code, "forbidden", "{name}: {message}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn managed_tools_give_the_record_and_echo_the_id() {
    let (daemon, project) = (daemon(true).await, Repository::new());
    let url = project.project.to_string_lossy().into_owned();
    let new =
        json!({"repo_url": url, "ref": "main", "task": "begin", "name_hint": "wing", "runtime": "echo"});
    let made = told(&daemon, "session_new", new).await;
    let id = made["id"].as_str().expect("an id").to_owned();
    for field in [
        "name",
        "state",
        "workspace_path",
        "repo_url",
        "branch",
        "created_at",
        "last_activity_at",
        "attach_cmd",
        "runtime",
        "pending_decision",
        "proposed_default",
    ] {
        assert!(made.get(field).is_some(), "{field}: {made}");
    }
    let listed = told(&daemon, "session_list", json!({})).await;
    let one = &listed["sessions"][0];
    assert_eq!(
        (&one["kind"], &one["id"], &one["control"]),
        (&json!("managed"), &json!(id), &json!("Sdk")),
        "{one}"
    );
    let which = json!({"session_id": id});
    for (lines, shown) in [(json!({"session_id": id, "lines": 25}), 25), (which.clone(), 60)] {
        let activity = told(&daemon, "session_activity", lines).await;
        assert_eq!((&activity["lines"], &activity["id"]), (&json!(shown), &json!(id)), "{activity}");
    }
    let (code, _) = refused(&daemon, "session_activity", json!({"session_id": id, "lines": 501})).await;
    assert_eq!(code, "invalid_request");
    let sent = told(&daemon, "session_send", json!({"session_id": id, "text": "more"})).await;
    assert_eq!((&sent["id"], &sent["sent"]), (&json!(id), &json!(true)), "{sent}");
    let stopped = told(&daemon, "session_stop", which.clone()).await;
    assert_eq!((&stopped["id"], &stopped["state"]), (&json!(id), &json!("stopped")), "{stopped}");
    let resumed = told(&daemon, "session_resume", which.clone()).await;
    assert_eq!((&resumed["id"], &resumed["state"]), (&json!(id), &json!("active")), "{resumed}");
    told(&daemon, "session_stop", which.clone()).await;
    let (code, message) = refused(&daemon, "session_decommission", which).await;
    assert_ne!(code, "internal", "what its agent has written would be lost: {message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_20_sessions_start_sessions_five_deep_and_no_deeper() {
    let (daemon, project) = (daemon(true).await, Repository::new());
    let mut id = lead(&daemon, &project).await;
    for depth in 1..=5 {
        let begun = told(&daemon, "agent_delegate", work(&id, "research")).await;
        assert_eq!(begun["status"], "running", "{depth}: {begun}");
        id = begun["child_session_id"].as_str().expect("a session").to_owned();
    }
    let (code, message) = refused(&daemon, "agent_delegate", work(&id, "research")).await;
    assert!(code == "forbidden" && message.contains("5 deep"), "{code} {message}");
    daemon.stop().await;
}
