//! W15 and W30: a disk that takes nothing is told to whoever asks, and how an output is read is its tool's to say.

use super::{Bench, Door};
use crate::harness::Daemon;
use adjutant_engine::faults::{CommitFault, CommitHook, DiskFault};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test]
async fn w15_a_full_disk_refuses_new_runs_and_loses_nothing_of_those_that_are() {
    let full = Arc::new(AtomicBool::new(false));
    let seen = full.clone();
    let refuse = move |_| seen.load(Ordering::SeqCst).then_some(CommitFault::Refuse(DiskFault::Full));
    let daemon =
        Daemon::with_settings(|settings| settings.faults.commits = Some(CommitHook::new(refuse))).await;
    let tools = Bench::answering([Ok(json!({"n": 1}))]);
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "t"}])).await;
    let run_id = door.start("agent-a").await;
    door.submit("t", json!({})).await;

    full.store(true, Ordering::SeqCst);
    let other = Door::open(&daemon, Bench::default()).await;
    let (code, message) = other.refused("runs.start", json!({"agent_id": "agent-b", "intent": "more"})).await;
    assert_eq!(code, -32011, "{message}");
    // What is asked of the run that is there waits for the disk, and nothing is done before it is kept.
    let submitting = door.client.clone();
    let action = json!({"type": "tool_call", "tool": "t"});
    let waiting = tokio::spawn(async move {
        submitting.call("proposal.submit", json!({"proposal": {"actions": [action]}})).await
    });
    assert_eq!(other.call("server.info", json!({})).await["protocol"], "adjutant-rpc/1");
    assert_eq!(tools.asked().len(), 1, "no tool is called before its turn is kept");

    full.store(false, Ordering::SeqCst);
    let result = waiting.await.expect("no panic").expect("it is done");
    assert_eq!(result["results"][0]["status"], "succeeded", "{result}");
    let turns = door.turns(&run_id).await;
    assert_eq!(turns.iter().map(|turn| &turn["index"]).collect::<Vec<_>>(), [0, 1], "{turns:?}");
    other.start("agent-b").await;
    daemon.stop().await;
}

#[tokio::test]
async fn w30_a_tool_of_any_name_says_itself_how_its_output_is_read() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(json!({"code": 3})), Ok(json!({"ok": true}))]);
    let door = Door::open(&daemon, tools).await;
    let spec = json!([
        {"name": "start-agent", "parameters": {}, "x-outcome": {"kind": "cli", "exit_code": "code"}},
        {"name": "look", "parameters": {}, "x-outcome": {"kind": "verifier", "passed": "ok"}},
    ]);
    door.call("tools.register", spec).await;
    let run_id = door.start("agent-a").await;
    door.submit("start-agent", json!({})).await;
    door.submit("look", json!({})).await;
    let turns = door.turns(&run_id).await;
    assert_eq!(turns[0]["cli_outcome"], json!({"kind": "exited", "code": 3}), "{turns:?}");
    assert_eq!(turns[1]["verifier_verdict"], "pass", "{turns:?}");
    daemon.stop().await;
}
