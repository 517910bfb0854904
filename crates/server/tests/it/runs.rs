//! Runs: lists by page, traces by page, cancelling.

use crate::harness::{Daemon, endless, identity, refused, task};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn runs_come_newest_first_and_page_by_page() {
    let daemon = Daemon::start().await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(
            daemon.client.task_run(&task(identity(), json!({"in": n}))).await.expect("it is done").run_id,
        );
    }
    made.reverse();
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = daemon.send(&format!("GET /v1/runs?limit=2{cursor}"), "").await;
        let page: Value = serde_json::from_str(&page.body).expect("JSON");
        let runs = page["runs"].as_array().expect("a list");
        assert!(runs.len() <= 2);
        found.extend(runs.iter().map(|run| run["id"].as_str().expect("an id").to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, made);
    let of_status = async |status: &str| {
        let page = daemon.send(&format!("GET /v1/runs?status={status}"), "").await;
        serde_json::from_str::<Value>(&page.body).expect("JSON")["runs"].as_array().expect("a list").len()
    };
    assert_eq!((of_status("done").await, of_status("failed").await), (5, 0));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_lines_of_turns_behind_a_cursor() {
    let daemon = Daemon::start().await;
    let step = |n: u64| json!({"kind": "step", "ref": "worker", "in": {"op": "lit", "value": n}, "out": {"op": "path", "at": format!("$.s{n}")}});
    let blueprint = json!({"id": "test", "agents": [{"name": "worker", "kind": "function", "spec": {"fn_id": "identity"}}],
        "flow": {"kind": "seq", "children": (0..5).map(step).collect::<Vec<_>>()}});
    let run_id = daemon.client.task_run(&task(blueprint, json!({}))).await.expect("it is done").run_id;
    let all = daemon.client.trace(&run_id, None).await.expect("the trace");
    assert_eq!(all.iter().map(|turn| turn.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(
        all.iter().all(|turn| turn.status == "succeeded" && turn.name == "worker" && turn.kind == "step")
    );
    let page = daemon.send(&format!("GET /v1/runs/{run_id}/trace?after=1&limit=2"), "").await;
    assert!(page.head.contains("content-type: application/x-ndjson"), "{}", page.head);
    assert!(page.head.contains("x-next-cursor: 3"), "{}", page.head);
    let indexes: Vec<_> = page
        .body
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["index"].clone())
        .collect();
    assert_eq!(indexes, [json!(2), json!(3)]);
    assert!(daemon.client.trace(&run_id, Some(4)).await.expect("the trace").is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_once() {
    let daemon = Daemon::start().await;
    let run_id = daemon.client.task_start(&task(endless(), json!({}))).await.expect("it is accepted").run_id;
    let run = daemon.client.run_cancel(&run_id, Some("enough".to_owned())).await.expect("it is cancelled");
    assert_eq!(run.status, "cancelled");
    let (status, error) = refused(daemon.client.run_cancel(&run_id, None).await);
    assert_eq!((status, error.code.as_str()), (409, "conflict"));
    let body = daemon.send(&format!("POST /v1/runs/{run_id}/cancel"), "").await;
    assert_eq!(body.status, 409, "a body may be left out: {body:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_run_is_cancelled_says_so() {
    let daemon = Daemon::start().await;
    let mut events = daemon.client.events(0, None).await.expect("the stream opens");
    let client = daemon.client.clone();
    let waiting = tokio::spawn(async move { client.task_run(&task(endless(), json!({}))).await });
    let run_id = loop {
        let event = futures_util::StreamExt::next(&mut events).await.expect("it goes on").expect("an event");
        if event.kind == "run_created" {
            break event.subject;
        }
    };
    daemon.client.run_cancel(&run_id, None).await.expect("it is cancelled");
    let (status, error) = refused(waiting.await.expect("no panic"));
    assert_eq!((status, error.code.as_str()), (409, "run_cancelled"));
    assert_eq!(error.details.expect("details")["run_id"], json!(run_id));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_in_its_first_step_never_begins_its_second() {
    let daemon = Daemon::start().await;
    let log = daemon.path("log").display().to_string();
    let hold = format!("echo \"$0\" >> '{log}'; exec sleep 600");
    let step = |out: &str| json!({"kind": "step", "ref": "hold", "in": {"op": "lit", "value": 1}, "out": {"op": "path", "at": out}});
    let blueprint = json!({"id": "test", "agents": [{"name": "hold", "kind": "command", "spec": {"argv": ["sh", "-c", hold]}}],
        "flow": {"kind": "seq", "children": [step("$.a"), step("$.b")]}});
    let run_id = daemon.client.task_start(&task(blueprint, json!({}))).await.expect("it is accepted").run_id;
    let began = std::time::Instant::now();
    while std::fs::read_to_string(&log).unwrap_or_default().is_empty() {
        assert!(began.elapsed().as_secs() < 20, "the first step does not begin");
        tokio::task::yield_now().await;
    }
    daemon.client.run_cancel(&run_id, None).await.expect("it is cancelled");
    let ended = daemon.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it is over");
    let run = daemon.client.run(&run_id).await.expect("it is there");
    assert_eq!((run.status.as_str(), ended.status.as_str()), ("cancelled", "cancelled"));
    let trace = daemon.client.trace(&run_id, None).await.expect("the trace");
    let told: Vec<_> = trace.iter().map(|turn| (turn.path.as_str(), turn.status.as_str())).collect();
    assert_eq!(told, [("0", "cancelled")], "nothing follows, now or later");
    assert_eq!(std::fs::read_to_string(&log).expect("it began").lines().count(), 1);
    daemon.stop().await;
}
