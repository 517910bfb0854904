//! A: what becomes of actions.

use super::{Bench, Door};
use crate::harness::Daemon;
use serde_json::json;

#[tokio::test]
async fn a1_a_driven_program_is_one_turn_with_its_exit_code() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(
        json!({"cli": "claude", "exit_code": 0, "timed_out": false, "output_tail": "1 passed"}),
    )]);
    let door = Door::open(&daemon, tools.clone()).await;
    assert_eq!(door.call("tools.register", json!([{"name": "drive_cli", "parameters": {}}])).await, json!(1));
    let run_id = door.start("agent-a").await;
    let result = door.submit("drive_cli", json!({"cli": "claude", "prompt": "fix it"})).await;
    assert_eq!(result["results"][0]["status"], "succeeded", "{result}");
    assert_eq!(tools.asked()[0].parameters, json!({"cli": "claude", "prompt": "fix it"}));

    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), 1, "{turns:?}");
    let turn = &turns[0];
    assert_eq!(
        (&turn["index"], &turn["prompt"], &turn["tool"]),
        (&json!(0), &json!("fix it"), &json!("drive_cli"))
    );
    assert_eq!(turn["cli_outcome"], json!({"kind": "exited", "code": 0}));
    assert_eq!(
        (&turn["verifier_verdict"], &turn["output"]["output_tail"]),
        (&json!("not_run"), &json!("1 passed"))
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a2_checks_give_verdicts_and_no_outcome_of_a_program() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(json!({"passed": true})), Ok(json!({"passed": false}))]);
    let door = Door::open(&daemon, tools).await;
    door.call("tools.register", json!([{"name": "check_outcome"}])).await;
    let run_id = door.start("agent-a").await;
    door.submit("check_outcome", json!({"command": "cargo test"})).await;
    door.submit("check_outcome", json!({"command": "cargo test"})).await;
    let turns = door.turns(&run_id).await;
    let verdicts: Vec<_> = turns.iter().map(|turn| (&turn["index"], &turn["verifier_verdict"])).collect();
    assert_eq!(verdicts, [(&json!(0), &json!("pass")), (&json!(1), &json!("fail"))]);
    assert!(turns.iter().all(|turn| turn.get("cli_outcome").is_none()));
    daemon.stop().await;
}

#[tokio::test]
async fn a3_what_a_rule_refuses_is_a_turn_and_is_never_called() {
    let daemon = Daemon::start().await;
    let tools = Bench::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let policy = json!({"name": "no-destructive", "rule": "deny_tool_param", "target": "drive_cli", "key": "prompt",
        "pattern": "rm -rf"});
    let registered = door.call("policy.register", policy).await;
    assert_eq!(registered, json!({"registered": "no-destructive", "scope": "global"}));
    let run_id = door.start("agent-a").await;
    let result = door.submit("drive_cli", json!({"prompt": "please rm -rf the lot"})).await;
    assert_eq!(result["results"][0]["status"], "rejected", "{result}");
    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), 1);
    let rejected = &turns[0]["policy_rejected"];
    assert!(rejected["rule"].as_str().expect("a reason").contains("no-destructive"), "{rejected}");
    assert_eq!(rejected["param"], "prompt");
    assert_eq!(turns[0]["verifier_verdict"], "not_run");
    assert!(turns[0].get("cli_outcome").is_none() && turns[0].get("output").is_none(), "{}", turns[0]);
    assert!(tools.asked().is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn w12_no_seeded_secret_is_in_the_trace_or_in_the_store() {
    let daemon = Daemon::start().await;
    // Put together here, so that no scanner takes the sample for one.
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    let tools =
        Bench::answering([Ok(json!({"exit_code": 0, "output_tail": format!("cloned with {secret}")}))]);
    let door = Door::open(&daemon, tools).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let intent = json!({"agent_id": "agent-a", "intent": format!("use {secret}")});
    let run_id = door.call("runs.start", intent).await["run_id"].as_str().expect("an id").to_owned();
    door.submit("drive_cli", json!({"prompt": format!("TOKEN={secret}"), "env": {"A": secret}})).await;
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": [{"output": secret}]})).await;
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await.to_string();
    assert!(trace.contains("[redacted:github-token]") && !trace.contains(&secret), "{trace}");
    let folder = daemon.home.folder().to_owned();
    for name in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
    daemon.stop().await;
}
