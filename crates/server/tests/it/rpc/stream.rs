//! E: runs as they are seen live.

use super::{Bench, Door, Notice, next_run_event};
use crate::harness::Daemon;
use adjutant_protocol::rpc::NoTools;
use serde_json::{Value, json};

async fn record(door: &Door, run_id: &str, count: usize) {
    let told = json!({"run_id": run_id, "turns": vec![json!({}); count]});
    assert_eq!(door.call("runs.record_turns", told).await["ok"], true);
}

async fn subscribe(door: &Door, run_id: &str) -> Value {
    door.call("runs.subscribe", json!({"run_id": run_id})).await
}

/// Gives the indexes of a snapshot's turns, its cursor and where the run stands.
fn seen(snapshot: &Value) -> (Vec<u64>, u64, &str) {
    let turns = snapshot["turns_so_far"].as_array().expect("turns").iter();
    let indexes = turns.map(|turn| turn["index"].as_u64().expect("an index")).collect();
    (indexes, snapshot["cursor"].as_u64().expect("a cursor"), snapshot["status"].as_str().expect("a status"))
}

/// Takes the next records of a run: each one's kind, cursor and index.
async fn next(door: &mut Door, count: usize) -> Vec<(String, u64, Option<u64>)> {
    let mut heard = Vec::new();
    for _ in 0..count {
        let event = next_run_event(door).await;
        let kind = event.record["record"].as_str().expect("a kind").to_owned();
        heard.push((kind, event.cursor, event.record["index"].as_u64()));
    }
    heard
}

fn turn(cursor: u64) -> (String, u64, Option<u64>) {
    ("turn".to_owned(), cursor, Some(cursor - 1))
}

#[tokio::test]
async fn e2_who_comes_late_gets_what_was_and_then_only_what_is_new() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    record(&door, &run_id, 7).await;
    let mut host = Door::open(&daemon, NoTools).await;
    assert_eq!(seen(&subscribe(&host, &run_id).await), ((0..7).collect(), 7, "in_progress"));
    record(&door, &run_id, 1).await;
    assert_eq!(next(&mut host, 1).await, [turn(8)]);
    record(&door, &run_id, 1).await;
    assert_eq!(next(&mut host, 1).await, [turn(9)], "and nothing between");
    daemon.stop().await;
}

#[tokio::test]
async fn e4_two_who_watch_see_the_same_to_the_end() {
    let daemon = Daemon::start().await;
    let mut door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut host = Door::open(&daemon, NoTools).await;
    for door in [&door, &host] {
        assert_eq!(seen(&subscribe(door, &run_id).await), (vec![], 0, "in_progress"));
    }
    record(&door, &run_id, 1).await;
    record(&door, &run_id, 2).await;
    door.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "done"}})).await;
    let all = [turn(1), turn(2), turn(3), ("ended".to_owned(), 3, None)];
    assert_eq!(next(&mut door, 4).await, all);
    assert_eq!(next(&mut host, 4).await, all);
    daemon.stop().await;
}

#[tokio::test]
async fn e5_one_who_never_reads_holds_up_no_other_connection() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut deaf = daemon.web_socket(Some(&daemon.token)).await;
    deaf.send(&json!({"id": 1, "method": "runs.subscribe", "params": {"run_id": run_id}}).to_string()).await;
    let mut reader = Door::open(&daemon, NoTools).await;
    subscribe(&reader, &run_id).await;
    for _ in 0..6 {
        record(&door, &run_id, 256).await;
    }
    let heard = next(&mut reader, 6 * 256).await;
    assert!(heard.iter().map(|(_, cursor, _)| *cursor).eq(1..=6 * 256), "one who reads hears all of it");
    assert_eq!(door.turns(&run_id).await.len(), 6 * 256);
    daemon.stop().await;
}

#[tokio::test]
async fn e6_to_another_agent_a_run_looks_like_none_and_it_hears_nothing_of_it() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut other = Door::of_agent(&daemon, "agent-b", NoTools).await;
    for id in [run_id.as_str(), "no-such-run"] {
        assert_eq!(subscribe(&other, id).await, json!({"run_id": id, "not_found": true}));
        let removed = other.call("runs.unsubscribe", json!({"run_id": id})).await;
        assert_eq!(removed, json!({"run_id": id, "removed": false}));
    }
    let mut host = Door::open(&daemon, NoTools).await;
    assert_eq!(subscribe(&host, &run_id).await["agent_id"], "agent-a");
    record(&door, &run_id, 2).await;
    assert_eq!(next(&mut host, 2).await, [turn(1), turn(2)]);
    other.call("server.info", json!({})).await;
    assert!(!matches!(other.notices.try_recv(), Ok(Notice::Run(_))), "nothing stood before the answer");
    daemon.stop().await;
}

#[tokio::test]
async fn e7_who_comes_back_gets_what_was_missed_once() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let mut host = Door::open(&daemon, NoTools).await;
    subscribe(&host, &run_id).await;
    record(&door, &run_id, 2).await;
    assert_eq!(next(&mut host, 2).await, [turn(1), turn(2)]);
    drop(host);
    record(&door, &run_id, 3).await;
    let mut host = Door::open(&daemon, NoTools).await;
    assert_eq!(seen(&subscribe(&host, &run_id).await), ((0..5).collect(), 5, "in_progress"));
    // Who subscribes again on the same connection is one subscriber.
    assert_eq!(seen(&subscribe(&host, &run_id).await).1, 5);
    record(&door, &run_id, 2).await;
    assert_eq!(next(&mut host, 2).await, [turn(6), turn(7)]);
    record(&door, &run_id, 1).await;
    assert_eq!(next(&mut host, 1).await, [turn(8)], "nothing is told twice");
    daemon.stop().await;
}

#[tokio::test]
async fn e7_who_comes_while_turns_are_told_has_each_of_them_once() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let run_id = door.start("agent-a").await;
    let telling = async {
        for _ in 0..50 {
            record(&door, &run_id, 2).await;
        }
    };
    let watching = async {
        let mut host = Door::open(&daemon, NoTools).await;
        let snapshot = subscribe(&host, &run_id).await;
        let (mut indexes, cursor, _) = seen(&snapshot);
        assert_eq!(indexes.len() as u64, cursor);
        let heard = next(&mut host, 100 - indexes.len()).await;
        indexes.extend(heard.iter().filter_map(|(_, _, index)| *index));
        indexes
    };
    let ((), indexes) = tokio::join!(telling, watching);
    assert!(indexes.iter().copied().eq(0..100), "{indexes:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn e9_e11_a_run_is_served_whole_while_it_is_open_and_when_it_is_over() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::answering([Ok(json!({"passed": true}))])).await;
    door.call("tools.register", json!([{"name": "check_outcome"}])).await;
    let run_id = door.start("agent-a").await;
    record(&door, &run_id, 2).await;
    door.submit("check_outcome", json!({"command": "cargo test"})).await;
    let open = (door.turns(&run_id).await, subscribe(&door, &run_id).await["turns_so_far"].clone());
    assert_eq!((open.0.len(), &json!(open.0)), (3, &open.1), "what is read is what a subscriber gets");
    door.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "success"}})).await;
    assert_eq!(door.turns(&run_id).await, open.0);
    let over = subscribe(&door, &run_id).await;
    assert_eq!(seen(&over), (vec![0, 1, 2], 3, "completed"));
    assert_eq!(over["turns_so_far"], open.1);
    daemon.stop().await;
}
