//! What systems of this kind get wrong behind their MCP door, each as a sentence that holds here.
//!
//! Shown elsewhere, at the level where it is decided:
//! - a breaker is half-open after its cool-down: `delegations::where_agents_may_begin_sessions_a_delegation_is_done_at_
//!   once_and_a_breaker_lets_one_trial_in`, `rules: breaker`;
//! - a goal moves by a table, evidence is required, a link is unique, and progress is 100 only when all is verified:
//!   `goals::a_link_is_made_once_and_verified_by_evidence_alone`, `rules: goal::progress_is_the_floor_of_the_verified_
//!   share`, `rules: goal::a_link_is_verified_by_passed_evidence_alone`;
//! - a crash between two writes, and what is read again in which order: `testkit: trials`, `store: journal`; of two
//!   processes on one folder one is let in: `app: daemon::a_second_daemon_says_who_owns_the_folder`;
//! - consent is bound to the hash of a preview: `reports`, `engine: reports::consent_to_what_was_never_shown_is_none`;
//! - the payload of a real hook leads to a denial: `app: hooks::an_agent_is_told_what_the_gate_says`;
//! - a task's arrival is confirmed, and what a person has stopped stays so: `app: weaknesses`.

use super::delegations::{daemon as echo_daemon, lead};
use super::{asked, called_as, refusal, refused, told};
use crate::harness::Daemon;
use adjutant_protocol::ErrorCode;
use adjutant_testkit::{Repository, until};
use serde_json::{Value, json};
use std::path::Path;

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_are_told_at_once_all_count() {
    let daemon = Daemon::start().await;
    let body = json!({"agent_id": "lead", "role": "operator"}).to_string();
    let made: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    let hook =
        json!({"session_id": made["id"], "event": "SubagentStopFailure", "payload": {"agent": "shaky"}});
    let all = (0..24).map(|_| told(&daemon, "hook_event", hook.clone()));
    futures_util::future::join_all(all).await;
    let breaker = told(&daemon, "circuit_breaker_status", json!({"agent": "shaky"})).await["breaker"].clone();
    assert_eq!(
        (&breaker["state"], &breaker["consecutive_failures"]),
        (&json!("open"), &json!(24)),
        "{breaker}"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_session_has_an_agent_again_and_one_with_unsaved_work_is_not_decommissioned() {
    let (daemon, project) = (echo_daemon(false).await, Repository::new());
    let id = lead(&daemon, &project).await;
    let which = json!({"session_id": id});
    let stopped = told(&daemon, "session_stop", which.clone()).await;
    assert_eq!((&stopped["state"], &stopped["pid"]), (&json!("stopped"), &Value::Null), "{stopped}");
    let resumed = told(&daemon, "session_resume", which.clone()).await;
    assert_eq!(resumed["state"], "active", "{resumed}");
    told(&daemon, "session_send", json!({"session_id": id, "text": "again"})).await;
    let workspace = resumed["workspace_path"].as_str().expect("a workspace").to_owned();
    until(&daemon.plane, async || {
        let heard = std::fs::read_to_string(Path::new(&workspace).join("told.txt")).expect("it is there");
        Ok(heard.ends_with("again\n").then_some(()))
    })
    .await;
    told(&daemon, "session_stop", which.clone()).await;
    let (code, message) = refused(&daemon, "session_decommission", which.clone()).await;
    assert!(
        code == "workspace_failed" && message.contains("work that stands nowhere else"),
        "{code} {message}"
    );
    assert!(Path::new(&workspace).join("told.txt").exists(), "what its agent has written stays");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_needs_a_token() {
    let daemon = Daemon::start().await;
    let document: Value = serde_json::from_str(&adjutant_server::openapi_json()).expect("JSON");
    let (host, mut changing) = (format!("host: {}\r\n", daemon.host()), 0);
    for (path, operations) in document["paths"].as_object().expect("paths") {
        if path == "/v1/healthz" {
            continue;
        }
        let filled: String = path
            .split('/')
            .map(|part| if part.starts_with('{') { "/x" } else { part })
            .collect::<Vec<_>>()
            .join("/")
            .replace("//", "/");
        for method in operations.as_object().expect("operations").keys() {
            let line = format!("{} {filled}", method.to_uppercase());
            let answer = daemon.send_with(&line, &host).await;
            assert_eq!((answer.status, answer.error().code.as_str()), (401, "unauthenticated"), "{line}");
            changing += usize::from(method != "get");
        }
    }
    assert!(changing > 60, "{changing}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_refuses_by_a_code_that_clients_can_tell_apart() {
    let daemon = Daemon::start().await;
    let body = json!({"agent_id": "a", "role": "worker"}).to_string();
    let made: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    let worker = made["session_id"].as_str().expect("a token");
    let listed = asked(&daemon, "tools/list", json!({})).await;
    for tool in listed["result"]["tools"].as_array().expect("tools") {
        let name = tool["name"].as_str().expect("a name");
        let (code, message) = refused(&daemon, name, json!({"no_such_member": 1})).await;
        assert_eq!(ErrorCode::parse(&code), Some(ErrorCode::InvalidRequest), "{name}: {message}");
        assert!(message.contains("no_such_member"), "{name}: {message}");
        let result = called_as(&daemon, worker, name, json!({"no_such_member": 1})).await;
        let (code, message) = refusal(&result);
        assert!(ErrorCode::parse(&code).is_some(), "{name}: {code} {message}");
    }
    daemon.stop().await;
}
