//! W13 to W30: weaknesses of a runtime that came before, each shown to be absent here.

use super::{Bench, Door, eventually, next_run_event};
use crate::harness::Daemon;
use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_protocol::rpc::{NoTools, ToolAnswer, ToolRequest, Tools};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::{Barrier, Notify};

/// A tool that says when it is called and answers when it is let.
#[derive(Clone)]
struct Held {
    called: Arc<Notify>,
    answer: Arc<Notify>,
    with: Result<Value, String>,
}

impl Held {
    fn answering(with: Result<Value, String>) -> Self {
        Held { called: Arc::default(), answer: Arc::default(), with }
    }
}

impl Tools for Held {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        self.called.notify_one();
        let (answer, with) = (self.answer.clone(), self.with.clone());
        Box::pin(async move {
            answer.notified().await;
            with
        })
    }
}

/// A tool that answers when as many calls of it are under way as the barrier takes.
struct Together(Arc<Barrier>);

impl Tools for Together {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        let barrier = self.0.clone();
        Box::pin(async move {
            barrier.wait().await;
            Ok(Value::Null)
        })
    }
}

/// A call of the tool `t`, with more members.
fn tool_call(id: &str, more: Value) -> Value {
    let mut action = json!({"id": id, "type": "tool_call", "tool": "t"});
    action.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    action
}

fn write(id: &str, key: &str, value: Value) -> Value {
    json!({"id": id, "type": "state_write", "parameters": {"key": key, "value": value}})
}

async fn submit(door: &Door, actions: Value) -> Value {
    door.call("proposal.submit", json!({"proposal": {"id": "p1", "actions": actions}})).await
}

/// Opens a door with the tool `t` and a run.
async fn open(daemon: &Daemon, tools: impl Tools) -> (Door, String) {
    let door = Door::open(daemon, tools).await;
    door.call("tools.register", json!([{"name": "t"}])).await;
    let run_id = door.start("agent-a").await;
    (door, run_id)
}

fn statuses(result: &Value) -> Vec<&str> {
    let results = result["results"].as_array().expect("results");
    results.iter().map(|result| result["status"].as_str().expect("a status")).collect()
}

#[tokio::test]
async fn w14_a_turn_tells_how_its_action_ended_and_only_the_gate_rejects_by_a_rule() {
    let daemon = Daemon::start().await;
    let (door, run_id) = open(&daemon, Bench::answering([Err("no luck".to_owned())])).await;
    let unknown = json!({"id": "u", "type": "tool_call", "tool": "unknown"});
    submit(&door, json!([unknown, tool_call("f", json!({"write_set": ["k"]})), write("s", "k", json!(1))]))
        .await;
    let turns = door.turns(&run_id).await;
    let told: Vec<_> = turns.iter().map(|turn| (&turn["action_id"], &turn["status"])).collect();
    let expected =
        [("u", "rejected"), ("f", "failed"), ("s", "cancelled")].map(|(a, b)| (json!(a), json!(b)));
    assert_eq!(told, expected.iter().map(|(a, b)| (a, b)).collect::<Vec<_>>());
    assert!(turns[0].get("policy_rejected").is_none(), "no rule refused it: {}", turns[0]);
    assert_eq!((&turns[1]["error"], &turns[1]["attempt"]), (&json!("no luck"), &json!(1)));
    for turn in &turns {
        assert_eq!(turn["proposal_id"], "p1");
        assert!(turn["error"].is_string() && turn["started_at"].is_string() && turn["ended_at"].is_string());
    }
    daemon.stop().await;
}

#[tokio::test]
async fn w16_turns_of_proposals_are_cut_and_what_a_run_does_not_take_is_refused_before_it_is_done() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(json!(vec!["x".repeat(8 << 10); 128]))]);
    let (door, run_id) = open(&daemon, tools.clone()).await;
    let result = submit(&door, json!([tool_call("a", json!({}))])).await;
    assert!(result.to_string().len() > 1 << 20, "the client itself gets all of it");
    assert!(door.turns(&run_id).await[0].to_string().len() <= 256 << 10);
    for _ in 0..7 {
        let turns = vec![json!({}); 256];
        door.call("runs.record_turns", json!({"run_id": run_id, "turns": turns})).await;
    }
    let many: Vec<_> = (0..250).map(|n| tool_call(&n.to_string(), json!({}))).collect();
    let refused = door.refused("proposal.submit", json!({"proposal": {"actions": many}})).await;
    assert_eq!((refused.0, tools.asked().len()), (-32010, 1), "{}", refused.1);
    assert!(refused.1.contains("more turns than a run may"), "{}", refused.1);
    daemon.stop().await;
}

#[tokio::test]
async fn w17_a_run_that_is_cancelled_in_a_call_stops_it_and_its_end_comes_last() {
    let daemon = Daemon::start().await;
    let tools = Held::answering(Ok(Value::Null));
    let (door, run_id) = open(&daemon, tools.clone()).await;
    let actions =
        json!([tool_call("a", json!({"write_set": ["k"]})), tool_call("b", json!({"write_set": ["k"]}))]);
    let cancelled = async {
        tools.called.notified().await;
        door.call("runs.cancel", json!({"run_id": run_id, "reason": "enough"})).await
    };
    let (result, _) = tokio::join!(submit(&door, actions), cancelled);
    assert_eq!(statuses(&result), ["skipped", "skipped"]);
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await;
    let records = trace["records"].as_array().expect("records");
    let told: Vec<_> = records.iter().map(|record| record["status"].as_str()).collect();
    assert_eq!(told, [None, Some("cancelled"), Some("cancelled"), None], "{records:?}");
    assert_eq!(records[3]["termination"], json!({"kind": "cancelled"}));
    daemon.stop().await;
}

#[tokio::test]
async fn w18_a_completion_counts_though_its_client_leaves_at_once() {
    let daemon = Daemon::start().await;
    let watcher = Door::open(&daemon, NoTools).await;
    for n in 0..8 {
        let run_id = format!("run-{n}");
        let start = json!({"agent_id": "agent-a", "intent": "test", "idempotency_key": run_id});
        let mut raw = daemon.web_socket(Some(&daemon.token)).await;
        raw.send(&json!({"id": 1, "method": "runs.start", "params": start}).to_string()).await;
        raw.next().await.expect("an answer");
        let done = json!({"run_id": run_id, "outcome": {"status": "done"}});
        raw.send(&json!({"id": 2, "method": "runs.complete", "params": done}).to_string()).await;
        drop(raw);
        let ended = eventually(async || {
            let trace = watcher.call("runs.get_trace", json!({"run_id": run_id})).await;
            trace["records"].get(1).cloned()
        })
        .await;
        assert_eq!(ended["termination"]["kind"], "outcome", "{ended}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn w20_an_abort_takes_back_its_own_writes_and_nobody_elses() {
    let daemon = Daemon::start().await;
    let tools = Held::answering(Err("no".to_owned()));
    let (door, _) = open(&daemon, tools.clone()).await;
    let actions = json!([
        write("a", "own", json!(1)),
        write("b", "shared", json!(1)),
        tool_call("c", json!({"read_set": ["own", "shared"]}))
    ]);
    let meanwhile = async {
        tools.called.notified().await;
        for key in ["shared", "other"] {
            door.call("state.set", json!({"key": key, "value": "theirs"})).await;
        }
        tools.answer.notify_one();
    };
    let (result, ()) = tokio::join!(submit(&door, actions), meanwhile);
    assert_eq!(statuses(&result), ["succeeded", "succeeded", "failed"]);
    let state = door.call("state.snapshot", json!({})).await;
    assert_eq!(state, json!({"shared": "theirs", "other": "theirs"}));
    daemon.stop().await;
}

#[tokio::test]
async fn w21_a_read_between_two_writes_sees_the_first_and_independent_calls_run_together() {
    let daemon = Daemon::start().await;
    let (door, _) = open(&daemon, Together(Arc::new(Barrier::new(2)))).await;
    let read =
        json!({"id": "r", "type": "state_read", "parameters": {"key": "x"}, "failure_behavior": "skip"});
    let mut actions = [write("w1", "x", json!(1)), read, write("w2", "x", json!(2))];
    actions.iter_mut().for_each(|action| action["failure_behavior"] = json!("skip"));
    let result = submit(&door, json!(actions)).await;
    assert_eq!(result["results"][1]["output"], 1, "{result}");
    // Each of the two waits for the other; by default a failure aborts, and that holds up none.
    let result = submit(&door, json!([tool_call("a", json!({})), tool_call("b", json!({}))])).await;
    assert_eq!(statuses(&result), ["succeeded", "succeeded"]);
    daemon.stop().await;
}

#[tokio::test]
async fn w22_a_call_that_ran_out_of_time_is_tried_again_only_when_twice_is_like_once() {
    let daemon = Daemon::start().await;
    for (idempotent, attempts) in [(false, 1), (true, 2)] {
        let held = Held::answering(Ok(Value::Null));
        let (door, run_id) = open(&daemon, held).await;
        let more = json!({"timeout_ms": 30, "failure_behavior": "retry", "max_retries": 1, "idempotent": idempotent});
        let result = submit(&door, json!([tool_call("a", more)])).await;
        assert_eq!(statuses(&result), ["failed"]);
        let turns = door.turns(&run_id).await;
        assert_eq!((turns.len(), &turns[0]["attempt"]), (1, &json!(attempts)), "{result}");
        assert_eq!(result["cost"]["tool_calls"], attempts);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn w23_a_question_with_long_foreign_text_is_asked_whole_and_the_connection_reads_on() {
    let ask = "[[rule]]\nname = \"ask\"\neffect = \"ask\"\ntool = \"t\"\nreason = \"look\"\n";
    let daemon = Daemon::with_policy(ask).await;
    let (door, _) = open(&daemon, Bench::answering([Ok(json!("done"))])).await;
    // Whatever byte a preview is cut at, one of these has a letter across it.
    for pad in 0..4 {
        let text = format!("{}{}", "x".repeat(pad), "🦀".repeat(4 << 10));
        let answered = async {
            let approval = eventually(async || {
                let pending = door.call("permission.pending", json!({})).await;
                pending["pending"].get(0).cloned()
            })
            .await;
            assert_eq!(approval["parameters"]["prompt"], json!(text));
            assert_eq!(door.call("state.keys", json!({})).await, json!([]));
            let owner = daemon.plane.authenticate(&daemon.token).await.expect("it reads").expect("the owner");
            let answerer = Answerer { caller: &owner, connection: None, face: Face::Person, reason: "" };
            let id = approval["approval_id"].as_str().expect("an id");
            daemon
                .plane
                .approval_answer(id, Answer::Approve { option: None }, answerer)
                .await
                .expect("it is answered");
        };
        let action = tool_call("a", json!({"parameters": {"prompt": text}}));
        let (result, ()) = tokio::join!(submit(&door, json!([action])), answered);
        assert_eq!(statuses(&result), ["succeeded"]);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn w26_a_subscriber_that_reads_hears_everything_of_a_burst() {
    let daemon = Daemon::start().await;
    let (door, run_id) = open(&daemon, NoTools).await;
    let mut host = Door::open(&daemon, NoTools).await;
    host.call("runs.subscribe", json!({"run_id": run_id})).await;
    let turns = vec![json!({}); 250];
    let batches = (0..8).map(|_| door.call("runs.record_turns", json!({"run_id": run_id, "turns": turns})));
    futures_util::future::join_all(batches).await;
    for cursor in 1..=2000 {
        assert_eq!(next_run_event(&mut host).await.cursor, cursor);
    }
    daemon.stop().await;
}
