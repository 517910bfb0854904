//! The journal as a stream.

use crate::harness::{Daemon, identity, request, task};
use adjutant_protocol::http::EventView;
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Reads a stream's events from the wire until `enough`: id, kind and data of each.
async fn read_until(
    daemon: &Daemon,
    line: &str,
    head: &str,
    enough: impl Fn(&EventView) -> bool,
) -> Vec<(String, String, EventView)> {
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n{head}", daemon.host(), daemon.token);
    let mut connection = daemon.connect().await;
    connection.write_all(request(line, &head, 0).as_bytes()).await.expect("the request is sent");
    let mut lines = BufReader::new(connection).lines();
    let (mut events, mut id, mut kind) = (Vec::new(), String::new(), String::new());
    while let Some(line) = lines.next_line().await.expect("the stream is readable") {
        match line.split_once(": ") {
            Some(("id", value)) => id = value.to_owned(),
            Some(("event", value)) => kind = value.to_owned(),
            Some(("data", value)) => {
                let view: EventView = serde_json::from_str(value).expect("an event");
                let is_last = enough(&view);
                events.push((id.clone(), kind.clone(), view));
                if is_last {
                    return events;
                }
            }
            _ => {}
        }
    }
    panic!("the stream ended: {events:?}");
}

fn is_done(event: &EventView) -> bool {
    event.kind == "run_status_changed" && event.payload["to"] == "done"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_gets_every_row_once_and_in_order_from_its_cursor() {
    let daemon = Daemon::start().await;
    let run_id =
        daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done").run_id;
    let all = read_until(&daemon, "GET /v1/events?after=0", "", is_done).await;
    for (place, (id, kind, view)) in all.iter().enumerate() {
        assert_eq!((view.seq, id, kind), (place as i64 + 1, &view.seq.to_string(), &view.kind));
    }
    let rest = read_until(&daemon, "GET /v1/events?after=0", "last-event-id: 2\r\n", is_done).await;
    assert_eq!(rest, all[2..], "the last id goes before the cursor");
    let of_run = read_until(&daemon, &format!("GET /v1/events?after=0&subject={run_id}"), "", is_done).await;
    let expected: Vec<_> = all.into_iter().filter(|(_, _, view)| view.subject == run_id).collect();
    assert_eq!(of_run, expected);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_without_a_cursor_gets_what_happens_from_now_on() {
    let daemon = Daemon::start().await;
    let first = daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done").run_id;
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n", daemon.host(), daemon.token);
    let mut connection = daemon.connect().await;
    connection.write_all(request("GET /v1/events", &head, 0).as_bytes()).await.expect("the request is sent");
    let mut lines = BufReader::new(connection).lines();
    let status = lines.next_line().await.expect("readable").expect("a status line");
    assert!(status.contains("200"), "the head is there before the first row: {status}");
    let second =
        daemon.client.task_run(&task(identity(), json!({"in": 2}))).await.expect("it is done").run_id;
    let data = loop {
        let line = lines.next_line().await.expect("readable").expect("the stream goes on");
        if let Some(data) = line.strip_prefix("data: ") {
            break serde_json::from_str::<EventView>(data).expect("an event");
        }
    };
    assert_eq!((data.kind.as_str(), &data.subject), ("run_created", &second), "and not {first}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_follow_while_much_is_written_miss_nothing() {
    let daemon = Daemon::start().await;
    let (clients, runs) = (4, 40);
    let following = (0..clients).map(|_| {
        let client = daemon.client.clone();
        tokio::spawn(async move {
            let mut events = client.events(0, None).await.expect("the stream opens");
            let (mut seqs, mut done) = (Vec::new(), 0);
            while done < runs {
                let event = events.next().await.expect("the stream goes on").expect("an event");
                done += usize::from(is_done(&event));
                seqs.push(event.seq);
            }
            seqs
        })
    });
    let following: Vec<_> = following.collect();
    let running = (0..runs).map(|n| {
        let client = daemon.client.clone();
        tokio::spawn(async move { client.task_run(&task(identity(), json!({"in": n}))).await })
    });
    for run in running.collect::<Vec<_>>() {
        run.await.expect("no panic").expect("it is done");
    }
    for follower in following {
        let seqs = follower.await.expect("no panic");
        assert!(seqs.iter().copied().eq(1..=seqs.len() as i64), "{seqs:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_follow_gets_what_there_is_and_an_end() {
    let daemon = Daemon::start().await;
    let run_id =
        daemon.client.task_run(&task(identity(), json!({"in": 1}))).await.expect("it is done").run_id;
    let so_far = daemon.client.events_so_far(0, &run_id).await.expect("a stream");
    let so_far: Vec<EventView> = so_far.map(|event| event.expect("an event")).collect().await;
    let line = format!("GET /v1/events?after=0&subject={run_id}");
    let followed = read_until(&daemon, &line, "", is_done).await;
    assert_eq!(so_far, followed.into_iter().map(|(_, _, view)| view).collect::<Vec<_>>());
    let last = so_far.last().expect("it has events").seq;
    let none = daemon.client.events_so_far(last, &run_id).await.expect("a stream");
    assert_eq!(none.count().await, 0);
    daemon.stop().await;
}
