//! D and F: what is kept of runs, and reading it, also by another daemon.

use super::door::Endless;
use super::{Bench, Door, eventually, next_run_event};
use crate::harness::Daemon;
use adjutant_protocol::rpc::NoTools;
use serde_json::{Value, json};

/// Starts a run of agent-a with one driven program as its turn.
async fn run_with_turn(daemon: &Daemon) -> (Door, String) {
    let tools = Bench::answering([Ok(json!({"exit_code": 0, "output_tail": "ok"}))]);
    let door = Door::of_agent(daemon, "agent-a", tools).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let run_id = door.start("agent-a").await;
    door.submit("drive_cli", json!({"prompt": "make it pass"})).await;
    (door, run_id)
}

async fn complete(door: &Door, run_id: &str) {
    let outcome = json!({"status": "success", "summary": "did it"});
    door.call("runs.complete", json!({"run_id": run_id, "outcome": outcome})).await;
}

async fn trace(door: &Door, run_id: &str) -> Value {
    door.call("runs.get_trace", json!({"run_id": run_id})).await
}

/// Gives what kinds of records a trace has.
fn kinds(trace: &Value) -> Vec<&str> {
    let records = trace["records"].as_array().expect("records");
    records.iter().filter_map(|record| record["record"].as_str()).collect()
}

/// Gives a run as the list of agent-a's runs has it.
async fn listed(door: &Door, run_id: &str) -> Value {
    let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
    let runs = listed["runs"].as_array().expect("a list");
    runs.iter().find(|run| run["run_id"] == run_id).expect("it is listed").clone()
}

/// Waits until a run is incomplete; gives what the list says of it.
async fn incomplete(door: &Door, run_id: &str) -> Value {
    eventually(async || Some(listed(door, run_id).await).filter(|run| run["status"] == "incomplete")).await
}

#[tokio::test]
async fn d1_f4_a_completed_run_reads_the_same_after_a_restart() {
    let daemon = Daemon::start().await;
    let (door, run_id) = run_with_turn(&daemon).await;
    complete(&door, &run_id).await;
    let before = (trace(&door, &run_id).await, listed(&door, &run_id).await);
    drop(door);
    let daemon = daemon.restarted().await;
    let door = Door::open(&daemon, NoTools).await;
    let after = (trace(&door, &run_id).await, listed(&door, &run_id).await);
    assert_eq!(after, before);
    let (trace, summary) = after;
    assert_eq!(kinds(&trace), ["started", "turn", "ended"]);
    assert_eq!(
        (&trace["agent_id"], &trace["records"][1]["prompt"]),
        (&json!("agent-a"), &json!("make it pass"))
    );
    assert_eq!((&summary["status"], &summary["turn_count"]), (&json!("completed"), &json!(1)));
    let own = Door::of_agent(&daemon, "agent-a", NoTools).await;
    assert_eq!(own.call("runs.get_trace", json!({"run_id": run_id})).await, trace);
    daemon.stop().await;
}

#[tokio::test]
async fn d2_f5_a_run_whose_client_went_keeps_its_turns_and_is_incomplete() {
    let daemon = Daemon::with_lease(50).await;
    let (door, run_id) = run_with_turn(&daemon).await;
    drop(door);
    let door = Door::open(&daemon, NoTools).await;
    let summary = incomplete(&door, &run_id).await;
    assert_eq!(summary["turn_count"], 1);
    let before = trace(&door, &run_id).await;
    drop(door);
    let daemon = daemon.restarted().await;
    let door = Door::open(&daemon, NoTools).await;
    assert_eq!((trace(&door, &run_id).await, listed(&door, &run_id).await), (before.clone(), summary));
    assert_eq!(kinds(&before), ["started", "turn", "ended"]);
    assert_eq!(before["records"][1]["output"]["output_tail"], "ok");
    assert_eq!(before["records"][2]["termination"], json!({"kind": "incomplete"}));
    daemon.stop().await;
}

#[tokio::test]
async fn d5_f4_a_run_without_an_end_is_in_progress_also_after_a_restart() {
    let daemon = Daemon::start().await;
    let (door, run_id) = run_with_turn(&daemon).await;
    let before = trace(&door, &run_id).await;
    assert_eq!(kinds(&before), ["started", "turn"]);
    drop(door);
    let daemon = daemon.restarted().await;
    let door = Door::open(&daemon, NoTools).await;
    assert_eq!(trace(&door, &run_id).await, before);
    let summary = listed(&door, &run_id).await;
    assert_eq!((&summary["status"], summary.get("ended_at")), (&json!("in_progress"), None));
    daemon.stop().await;
}

#[tokio::test]
async fn d12_f6_f7_what_is_not_there_is_empty_or_not_found_and_no_error() {
    let daemon = Daemon::start().await;
    let host = Door::open(&daemon, NoTools).await;
    let own = Door::of_agent(&daemon, "agent-a", NoTools).await;
    for door in [&host, &own] {
        let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
        assert_eq!(listed, json!({"agent_id": "agent-a", "runs": []}));
        let trace = door.call("runs.get_trace", json!({"run_id": "no-such-run"})).await;
        assert_eq!(trace, json!({"run_id": "no-such-run", "not_found": true}));
    }
    daemon.stop().await;
}

#[tokio::test]
async fn d15_an_orphan_becomes_incomplete_once_and_what_was_completed_stays() {
    let daemon = Daemon::start().await;
    let (door, completed) = run_with_turn(&daemon).await;
    complete(&door, &completed).await;
    let (other, orphan) = run_with_turn(&daemon).await;
    let completed_before = (trace(&door, &completed).await, listed(&door, &completed).await);
    drop((door, other));
    let daemon = daemon.restarted_with_lease(50).await;
    let door = Door::open(&daemon, NoTools).await;
    let summary = incomplete(&door, &orphan).await;
    assert!(summary["ended_at"].is_string(), "{summary}");
    let orphan_before = trace(&door, &orphan).await;
    drop(door);
    let daemon = daemon.restarted_with_lease(50).await;
    let door = Door::open(&daemon, NoTools).await;
    assert_eq!((trace(&door, &orphan).await, listed(&door, &orphan).await), (orphan_before, summary));
    assert_eq!((trace(&door, &completed).await, listed(&door, &completed).await), completed_before);
    let journal = daemon.plane.events(0, 1000).await.expect("it reads");
    let adopted: Vec<_> = journal.iter().filter(|row| row.event.kind() == "client_run_adopted").collect();
    assert_eq!(adopted.len(), 1, "the second daemon found nothing to take up: {adopted:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn f1_runs_are_listed_the_newest_first_with_how_they_stand() {
    let daemon = Daemon::start().await;
    let (door, first) = run_with_turn(&daemon).await;
    complete(&door, &first).await;
    let start = json!({"agent_id": "agent-a", "intent": "the second"});
    let second = door.call("runs.start", start).await["run_id"].clone();
    let listed = door.call("runs.list", json!({"agent_id": "agent-a"})).await;
    let runs: Vec<_> = listed["runs"].as_array().expect("a list").iter().map(summary).collect();
    assert_eq!(
        runs,
        [
            [second, json!("in_progress"), json!("the second"), json!(0)],
            [json!(first), json!("completed"), json!("test"), json!(1)],
        ]
    );
    let host = Door::open(&daemon, NoTools).await;
    host.call("runs.start", json!({"agent_id": "agent-b", "intent": "another's"})).await;
    let of_all = host.call("runs.list", json!({"limit": 2})).await;
    let intents: Vec<_> =
        of_all["runs"].as_array().expect("a list").iter().map(|run| &run["intent"]).collect();
    assert_eq!(intents, ["another's", "the second"], "a host sees all agents' without naming one");
    daemon.stop().await;
}

fn summary(run: &Value) -> [Value; 4] {
    ["run_id", "status", "intent", "turn_count"].map(|key| run[key].clone())
}

#[tokio::test]
async fn f2_a_trace_is_what_was_streamed_between_its_start_and_its_end() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut host = Door::open(&daemon, NoTools).await;
    host.call("runs.subscribe", json!({"run_id": run_id})).await;
    let turns = json!([{"prompt": "p"}, {"tool": "t", "output": [1]}, {"verifier_verdict": "pass"}]);
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": turns})).await;
    complete(&door, &run_id).await;
    let mut streamed = Vec::new();
    for _ in 0..4 {
        streamed.push(next_run_event(&mut host).await.record);
    }
    let all = host.call("runs.get_trace", json!({"run_id": run_id, "cursor": 0})).await;
    assert_eq!(kinds(&all), ["started", "turn", "turn", "turn", "ended"]);
    assert_eq!(all["records"].as_array().expect("records")[1..], streamed);
    let rest = host.call("runs.get_trace", json!({"run_id": run_id, "cursor": 1})).await;
    assert_eq!(rest["records"].as_array().expect("records")[..], streamed);
    daemon.stop().await;
}

/// Reads a trace page by page until it says that there is no more.
async fn paged(door: &Door, run_id: &str, limit: usize) -> Value {
    let (mut read, mut cursor) = (Vec::new(), json!(0));
    for _ in 0..20 {
        let params = json!({"run_id": run_id, "cursor": cursor, "limit": limit});
        let page = door.call("runs.get_trace", params).await;
        read.extend(page["records"].as_array().expect("records").iter().cloned());
        cursor = page["cursor"].clone();
        if page["more"] == false {
            return json!(read);
        }
    }
    panic!("there is more and more: {read:?}");
}

#[tokio::test]
async fn f2_a_trace_is_read_page_by_page_without_a_gap() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": vec![json!({}); 5]})).await;
    complete(&door, &run_id).await;
    let all = trace(&door, &run_id).await["records"].clone();
    for limit in 1..=8 {
        assert_eq!(paged(&door, &run_id, limit).await, all, "pages of {limit}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn f2_pages_end_at_what_has_begun_and_show_no_turn_twice() {
    let daemon = Daemon::start().await;
    let tools = Endless::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    let run_id = door.start("agent-a").await;
    // The second waits for the first, which is held; the last waits for nobody.
    let held = json!({"type": "tool_call", "tool": "search", "expected_effects": {"k": 1}});
    let after = json!({"type": "tool_call", "tool": "search", "state_dependencies": ["k"]});
    let proposal =
        json!({"proposal": {"actions": [held, after, {"type": "state_read", "parameters": {"key": "j"}}]}});
    let submitting = door.client.clone();
    let submitted = tokio::spawn(async move { submitting.call("proposal.submit", proposal).await });
    tools.called.notified().await;
    let settled = async || Some(trace(&door, &run_id).await).filter(|trace| kinds(trace).len() == 3);
    let all = eventually(settled).await["records"].clone();
    assert_eq!([&all[1]["index"], &all[2]["index"]], [0, 2], "what stands between has not begun");
    for limit in 1..=4 {
        assert_eq!(paged(&door, &run_id, limit).await, all, "pages of {limit}");
    }
    submitted.abort();
    daemon.stop().await;
}
