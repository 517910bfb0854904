//! C and E: turns that clients tell of, and who sees them live.

use super::{Door, Notice, eventually, next_run_event};
use crate::gate::{self, Agent};
use crate::harness::Daemon;
use adjutant_protocol::rpc::NoTools;
use serde_json::{Value, json};

async fn record(door: &Door, run_id: &str, turns: Vec<Value>) -> Value {
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": turns})).await
}

#[tokio::test]
async fn c1_c2_c18_turns_get_their_places_whatever_they_say() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let told = vec![json!({"index": 999, "prompt": "p"}), json!({"index": -1}), json!({"index": "x"})];
    assert_eq!(
        record(&door, &run_id, told).await,
        json!({"run_id": run_id, "base_index": 0, "count": 3, "ok": true})
    );
    assert_eq!(record(&door, &run_id, vec![json!({"index": 1.5})]).await["base_index"], 3);
    let turns = door.turns(&run_id).await;
    assert_eq!(
        turns.iter().map(|turn| &turn["index"]).collect::<Vec<_>>(),
        [0, 1, 2, 3].map(Value::from).iter().collect::<Vec<_>>()
    );
    assert_eq!((&turns[0]["prompt"], &turns[0]["verifier_verdict"]), (&json!("p"), &json!("not_run")));
    daemon.stop().await;
}

#[tokio::test]
async fn c3_e1_e3_e10_a_subscriber_gets_each_turn_and_the_end_with_their_cursors() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut host = Door::open(&daemon, NoTools).await;
    let snapshot = host.call("runs.subscribe", json!({"run_id": run_id})).await;
    assert_eq!((&snapshot["turns_so_far"], &snapshot["cursor"]), (&json!([]), &json!(0)));
    record(&door, &run_id, vec![json!({}), json!({}), json!({})]).await;
    for cursor in 1..=3 {
        let event = next_run_event(&mut host).await;
        assert_eq!((event.cursor, &event.record["index"]), (cursor, &json!(cursor - 1)));
        assert_eq!((event.status.as_str(), &event.record["record"]), ("in_progress", &json!("turn")));
    }
    let late = Door::open(&daemon, NoTools).await;
    let snapshot = late.call("runs.subscribe", json!({"run_id": run_id})).await;
    assert_eq!(
        (snapshot["turns_so_far"].as_array().expect("turns").len(), &snapshot["cursor"]),
        (3, &json!(3))
    );
    door.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "done"}})).await;
    let ended = next_run_event(&mut host).await;
    assert_eq!(
        (ended.record["record"].as_str(), ended.status.as_str(), ended.cursor),
        (Some("ended"), "completed", 3)
    );
    let after = late.call("runs.subscribe", json!({"run_id": run_id})).await;
    assert_eq!((&after["status"], &after["cursor"]), (&json!("completed"), &json!(3)), "e10");
    daemon.stop().await;
}

#[tokio::test]
async fn e8_who_unsubscribes_hears_no_more() {
    let daemon = Daemon::start().await;
    let mut door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    door.call("runs.subscribe", json!({"run_id": run_id})).await;
    let removed = door.call("runs.unsubscribe", json!({"run_id": run_id})).await;
    assert_eq!(removed, json!({"run_id": run_id, "removed": true}));
    record(&door, &run_id, vec![json!({})]).await;
    // The answer came behind everything that a subscriber would have heard.
    assert!(!matches!(door.notices.try_recv(), Ok(Notice::Run(_))));
    daemon.stop().await;
}

#[tokio::test]
async fn c5_c6_c10_a_host_may_tell_of_any_run_and_who_is_nobody_of_none() {
    let agent = Agent::new();
    let daemon = Daemon::with_program(agent.program()).await;
    let run_id = Door::of_agent(&daemon, "agent-a", NoTools).await.start("agent-a").await;
    let (_, step_token) = gate::started(&daemon, &agent).await;
    let unbound = Door::with_token(&daemon, &step_token, NoTools).await;
    let host = Door::open(&daemon, NoTools).await;
    for (door, id) in [(&unbound, run_id.as_str()), (&unbound, "no-such-run"), (&host, "no-such-run")] {
        let dropped =
            json!({"run_id": id, "base_index": 0, "count": 0, "ok": false, "dropped": "run_not_found"});
        assert_eq!(record(door, id, vec![json!({})]).await, dropped);
        for method in ["runs.get_trace", "runs.subscribe"] {
            assert_eq!(
                door.call(method, json!({"run_id": id})).await,
                json!({"run_id": id, "not_found": true})
            );
        }
    }
    assert!(host.turns(&run_id).await.is_empty());
    assert_eq!(record(&host, &run_id, vec![json!({})]).await["ok"], true);
    assert_eq!(host.turns(&run_id).await.len(), 1);
    agent.end().await;
    daemon.stop().await;
}

#[tokio::test]
async fn c11_c15_turns_outlive_the_daemon_and_a_run_that_is_over_stays_over() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let (completed, open) = (door.start("agent-a").await, door.start("agent-a").await);
    for run_id in [&completed, &open] {
        record(&door, run_id, vec![json!({"prompt": "p", "output": {"n": 1}}), json!({"tool": "t"})]).await;
    }
    door.call("runs.complete", json!({"run_id": completed, "outcome": {"status": "done"}})).await;
    let before = [door.turns(&completed).await, door.turns(&open).await];
    drop(door);
    let daemon = daemon.restarted_with_lease(50).await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    assert_eq!([door.turns(&completed).await, door.turns(&open).await], before);
    let dropped = eventually(async || {
        let told = record(&door, &open, vec![json!({"output": "late"})]).await;
        (told["ok"] == false).then_some(told)
    })
    .await;
    assert_eq!(dropped["dropped"], "run_terminal", "its lease is over");
    assert_eq!(record(&door, &completed, vec![json!({})]).await["dropped"], "run_terminal");
    assert_eq!(door.turns(&completed).await, before[0]);
    daemon.stop().await;
}

#[tokio::test]
async fn c17_the_last_turn_of_a_run_is_cut_to_its_limit_as_any_other() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    for batch in [256, 256, 256, 256, 256, 256, 256, 207] {
        record(&door, &run_id, vec![json!({}); batch]).await;
    }
    let limit = 256 << 10;
    let mut turn = json!({"prompt": "p", "output": vec!["x".repeat(10 << 10); 25]});
    let short_by = limit - 2 - turn.to_string().len();
    turn["output"][0] = json!("x".repeat((10 << 10) + short_by));
    assert_eq!(turn.to_string().len(), limit - 2);
    assert_eq!(record(&door, &run_id, vec![turn]).await["base_index"], 1999);
    let kept = door.turns(&run_id).await.pop().expect("the last turn");
    assert!(kept.to_string().len() <= limit);
    assert_eq!(
        (&kept["index"], &kept["prompt"], &kept["output"]),
        (&json!(1999), &json!("p"), &json!("…[truncated: turn exceeded 256 KiB]"))
    );
    daemon.stop().await;
}

#[tokio::test]
async fn c7_c13_what_is_too_large_is_cut_and_says_so() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    let large = json!({"output": "x".repeat(1 << 20)});
    let many = json!({"parameters": {"list": vec!["y".repeat(8 << 10); 64]}});
    let named = json!({"tool": "t".repeat(3 << 20)});
    record(&door, &run_id, vec![large, many, named]).await;
    let turns = door.turns(&run_id).await;
    let output = turns[0]["output"].as_str().expect("a text");
    assert!(output.len() <= 17 << 10 && output.ends_with("…[truncated]"));
    assert_eq!(turns[1]["parameters"], "…[truncated: turn exceeded 256 KiB]");
    let tool = turns[2]["tool"].as_str().expect("a text");
    assert!(tool.len() <= 17 << 10 && tool.ends_with("…[truncated]"));
    assert!(turns.iter().all(|turn| turn.to_string().len() <= 256 << 10));
    daemon.stop().await;
}

#[tokio::test]
async fn c8_c9_c12_c14_a_run_takes_so_many_turns_and_none_when_it_is_over() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    for _ in 0..7 {
        record(&door, &run_id, vec![json!({}); 256]).await;
    }
    record(&door, &run_id, vec![json!({}); 207]).await;
    let refused = record(&door, &run_id, vec![json!({}); 5]).await;
    assert_eq!((&refused["dropped"], &refused["count"]), (&json!("run_turn_limit"), &json!(0)));
    assert_eq!(record(&door, &run_id, vec![json!({})]).await["base_index"], 1999);
    assert_eq!(record(&door, &run_id, vec![json!({})]).await["dropped"], "run_turn_limit");
    for wrong in [
        json!({"turns": [{}]}),
        json!({"run_id": run_id, "turns": []}),
        json!({"run_id": run_id, "turns": [7]}),
    ] {
        let (code, message) = door.refused("runs.record_turns", wrong).await;
        assert!(code == -32602 && message.contains("runs.record_turns"), "{code} {message}");
    }
    door.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "done"}})).await;
    assert_eq!(record(&door, &run_id, vec![json!({})]).await["dropped"], "run_terminal");
    assert_eq!(door.turns(&run_id).await.len(), 2000);
    daemon.stop().await;
}

#[tokio::test]
async fn c16_of_batches_that_are_sent_at_once_so_many_are_taken_as_fit() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let run_id = door.start("agent-a").await;
    for _ in 0..6 {
        record(&door, &run_id, vec![json!({}); 250]).await;
    }
    let batches = (0..8).map(|_| record(&door, &run_id, vec![json!({}); 100]));
    let answers = futures_util::future::join_all(batches).await;
    let taken = answers.iter().filter(|answer| answer["ok"] == true).count();
    let refused = answers.iter().filter(|answer| answer["dropped"] == "run_turn_limit").count();
    assert_eq!((taken, refused), (5, 3));
    let turns = door.turns(&run_id).await;
    assert!(turns.iter().enumerate().all(|(at, turn)| turn["index"] == at) && turns.len() == 2000);
    daemon.stop().await;
}
