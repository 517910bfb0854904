//! W2 to W11: what a client says of itself, of earlier answers or of others' runs gets it nothing.

use super::{Bench, Door};
use crate::harness::Daemon;
use adjutant_protocol::rpc::NoTools;
use serde_json::{Value, json};

fn deny(tool: &str) -> Value {
    json!({"name": "no", "rule": "deny_tool", "target": tool})
}

#[tokio::test]
async fn w2_a_scope_that_the_caller_asserts_switches_no_rule_off_and_makes_it_nobody_else() {
    let daemon = Daemon::start().await;
    let tools = Bench::default();
    let door = Door::of_agent(&daemon, "agent-a", tools.clone()).await;
    door.call("tools.register", json!([{"name": "t"}])).await;
    let session = door.call("session.policy.open", json!({})).await["session_id"].clone();
    let mut rule = deny("t");
    rule["session_id"] = session.clone();
    door.call("policy.register", rule).await;
    let run_id = door.start("agent-a").await;
    let proposal = json!({"actions": [{"type": "tool_call", "tool": "t"}]});
    for scope in [json!({"tenant_id": "other"}), json!({"caller": "host"}), json!("host")] {
        let params =
            json!({"proposal": proposal, "session_id": session, "scope": scope, "agent_id": "agent-b"});
        let result = door.call("proposal.submit", params).await;
        assert_eq!(result["results"][0]["status"], "rejected", "{scope}");
    }
    assert!(tools.asked().is_empty());
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await;
    assert_eq!(trace["agent_id"], "agent-a");
    daemon.stop().await;
}

#[tokio::test]
async fn w3_an_earlier_answer_stands_in_only_for_what_is_allowed_and_for_its_own_connection() {
    let daemon = Daemon::start().await;
    let tool = json!([{"name": "t", "idempotent": true, "cache_ttl_secs": 1000}]);
    let action = json!({"actions": [{"type": "tool_call", "tool": "t", "idempotent": true}]});
    let submit = async |door: &Door| {
        door.call("proposal.submit", json!({"proposal": action})).await["results"][0].clone()
    };
    let tools = Bench::answering([Ok(json!("first"))]);
    let first = Door::open(&daemon, tools.clone()).await;
    first.call("tools.register", tool.clone()).await;
    assert_eq!(
        (&submit(&first).await["output"], &submit(&first).await["output"]),
        (&json!("first"), &json!("first"))
    );
    assert_eq!(tools.asked().len(), 1, "the second is the first's answer");
    first.call("policy.register", deny("t")).await;
    let refused = submit(&first).await;
    assert_eq!((&refused["status"], refused.get("output")), (&json!("rejected"), None), "{refused}");
    let second = Door::open(&daemon, Bench::answering([Ok(json!("second"))])).await;
    second.call("tools.register", tool).await;
    assert_eq!(submit(&second).await["output"], "second");
    daemon.stop().await;
}

#[tokio::test]
async fn w4_rules_hold_for_what_is_executed_and_read_commands_not_keywords() {
    let daemon = Daemon::start().await;
    let tools = Bench::default();
    let door = Door::open(&daemon, tools.clone()).await;
    let harmless = ["format_code", "tokenize", "drop_down", "push_button"];
    door.call("tools.register", json!(harmless.map(|name| json!({"name": name})))).await;
    door.call("tools.register", json!([{"name": "Bash"}])).await;
    for name in harmless {
        assert_eq!(door.submit(name, json!({})).await["results"][0]["status"], "succeeded", "{name}");
    }
    for command in ["rm\t-rf /", "rm  -rf\n/", "'r'm -rf /"] {
        let result = door.submit("Bash", json!({"command": command})).await;
        assert_eq!(result["results"][0]["status"], "rejected", "{command}");
    }
    assert_eq!(tools.asked().len(), harmless.len());
    daemon.stop().await;
}

#[tokio::test]
async fn w9_what_a_connection_does_lands_in_no_run_that_another_has() {
    let daemon = Daemon::start().await;
    let submit = async |door: &Door| {
        let proposal = json!({"actions": [{"type": "state_write", "parameters": {"key": "k", "value": 1}}]});
        door.client.call("proposal.submit", json!({"proposal": proposal})).await
    };
    let start = json!({"agent_id": "agent-a", "intent": "test", "idempotency_key": "occ-1"});
    let first = Door::open(&daemon, NoTools).await;
    first.call("runs.start", start.clone()).await;
    let second = Door::open(&daemon, NoTools).await;
    second.call("runs.subscribe", json!({"run_id": "occ-1"})).await;
    assert_eq!(second.refused("runs.start", start).await.0, -32010, "to see a run is not to have it");
    submit(&second).await.expect("it is of no run");
    assert!(first.turns("occ-1").await.is_empty());
    second.call("runs.resume", json!({"run_id": "occ-1"})).await;
    submit(&second).await.expect("it is the run's");
    submit(&first).await.expect_err("the run is another connection's now");
    assert_eq!(second.turns("occ-1").await.len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn w11_a_client_that_knows_no_tool_does_not_reach_one_of_the_daemon() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Err("unknown tool 'read_file'".to_owned())]);
    let door = Door::open(&daemon, tools.clone()).await;
    let path = json!({"path": "/etc/hostname"});
    let result = door.submit("read_file", path.clone()).await;
    assert_eq!(result["results"][0]["status"], "rejected", "it is not registered");
    door.call("tools.register", json!([{"name": "read_file"}])).await;
    let result = door.submit("read_file", path).await;
    assert_eq!(
        (&result["results"][0]["status"], &result["results"][0]["error"]),
        (&json!("failed"), &json!("unknown tool 'read_file'"))
    );
    assert_eq!(tools.asked().len(), 1);
    daemon.stop().await;
}
