//! Tools for goals and memory.

use super::{asked, refused, told};
use crate::harness::Daemon;
use adjutant_testkit::repository;
use serde_json::{Value, json};

async fn goal(daemon: &Daemon, check: &str) -> String {
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let acceptance = json!([{"text": "it says one", "check": check}]);
    let goal = json!({"description": "one", "acceptance": acceptance, "project": project});
    let made = told(daemon, "goal_create", goal).await;
    assert_eq!(made["status"], "pending", "{made}");
    made["id"].as_str().expect("an id").to_owned()
}

async fn of_goal(daemon: &Daemon, tool: &str, goal_id: &str, more: Value) -> Value {
    let mut arguments = json!({"goal_id": goal_id});
    arguments.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    told(daemon, tool, arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_made_worked_on_proved_and_closed_by_tools() {
    let daemon = Daemon::start().await;
    let id = goal(&daemon, "grep -q one file.txt").await;
    let (code, message) = refused(&daemon, "goal_close", json!({"goal_id": id})).await;
    assert_eq!(code, "goal_not_proved", "{message}");
    let noted = of_goal(&daemon, "goal_note", &id, json!({"note": "begun"})).await;
    assert_eq!(noted["notes"].as_array().map(Vec::len), Some(1), "{noted}");
    let changed = json!({"description": "one line", "status": "inProgress"});
    let changed = of_goal(&daemon, "goal_update", &id, changed).await;
    assert_eq!((&changed["description"], &changed["status"]), (&json!("one line"), &json!("inProgress")));
    let checked = of_goal(&daemon, "goal_check", &id, json!({})).await;
    assert_eq!(checked["acceptance"][0]["evidence"]["passed"], json!(true), "{checked}");
    let closed = of_goal(&daemon, "goal_close", &id, json!({})).await;
    assert_eq!(closed["status"], "done");
    assert_eq!(of_goal(&daemon, "goal_show", &id, json!({})).await, closed);
    let listed = told(&daemon, "goal_list", json!({"status": "done"})).await;
    assert_eq!(listed["goals"].as_array().map(Vec::len), Some(1), "{listed}");
    let read = asked(&daemon, "resources/read", json!({"uri": format!("adjutant://goals/{id}")})).await;
    let text = read["result"]["contents"][0]["text"].as_str().expect("a text");
    assert_eq!(serde_json::from_str::<Value>(text).expect("JSON"), closed);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_made_once_and_verified_by_evidence_alone() {
    let daemon = Daemon::start().await;
    let id = goal(&daemon, "true").await;
    let link = json!({"goal_id": id, "session_id": "somebody", "task": "write it"});
    let linked = told(&daemon, "goal_link", link.clone()).await;
    assert_eq!(linked["sessions"][0]["state"], "launched", "{linked}");
    assert_eq!(refused(&daemon, "goal_link", link).await.0, "goal_refused");
    let verified = json!({"goal_id": id, "session_id": "somebody", "state": "verified"});
    assert_eq!(refused(&daemon, "goal_update", verified).await.0, "goal_refused");
    let (code, message) = refused(&daemon, "goal_show", json!({"goal_id": "g-0000000000000000"})).await;
    assert_eq!(code, "not_found", "{message}");
    let (_, message) = refused(&daemon, "goal_note", json!({"goal_id": id})).await;
    assert!(message.contains("note"), "{message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_goals_are_resources() {
    let daemon = Daemon::start().await;
    let id = goal(&daemon, "true").await;
    let uri = format!("adjutant://goals/{id}");
    let is_listed = async || {
        let listed = asked(&daemon, "resources/list", json!({})).await;
        let resources = listed["result"]["resources"].as_array().expect("resources").clone();
        resources.iter().any(|resource| resource["uri"] == uri.as_str())
    };
    assert!(is_listed().await);
    of_goal(&daemon, "goal_update", &id, json!({"status": "abandoned", "reason": "no need"})).await;
    assert!(!is_listed().await);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_remembered_is_recalled_by_its_words() {
    let daemon = Daemon::start().await;
    let fact = json!({"text": "the parser hates tabs", "tags": ["parser"]});
    let kept = told(&daemon, "memory_remember", fact.clone()).await;
    assert_eq!(kept["scope"], "plane", "{kept}");
    assert_eq!(told(&daemon, "memory_remember", fact).await["id"], kept["id"], "it is kept once");
    let found = told(&daemon, "memory_recall", json!({"query": "tabs"})).await;
    assert_eq!(found["facts"][0]["id"], kept["id"], "{found}");
    assert_eq!(told(&daemon, "memory_recall", json!({"query": "spaces"})).await["facts"], json!([]));
    assert_eq!(refused(&daemon, "memory_recall", json!({"query": " "})).await.0, "invalid_request");
    daemon.stop().await;
}
