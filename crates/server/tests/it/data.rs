//! The data path: bodies that are streamed to files, references to them, and who sees which.

use crate::gate::{Agent, started};
use crate::harness::{Daemon, Raw, identity, refused, request, task};
use adjutant_model::run::StepPath;
use adjutant_model::{OutputId, StepId};
use adjutant_protocol::http::{EmitParams, OutputView};
use adjutant_protocol::{Client, ClientError};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const OCTETS: &str = "application/octet-stream";

/// Gives the files of a daemon's bodies, whole and incoming.
fn files(daemon: &Daemon) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![daemon.path("blobs")];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found
}

async fn got(client: &Client, key: &str) -> Result<Vec<u8>, ClientError> {
    let mut chunks = client.data_get(key, None).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        bytes.extend(chunk?);
    }
    Ok(bytes)
}

async fn put(client: &Client, name: &str, body: &[u8]) -> OutputView {
    client.data_put(name, None, "text/plain", body.to_vec()).await.expect("it is kept")
}

async fn asked(daemon: &Daemon, line: &str, head: &str) -> Raw {
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n{head}", daemon.host(), daemon.token);
    daemon.send_with(line, &head).await
}

/// Makes a daemon with an agent in a step; gives the run and the agent's client besides.
async fn in_step(agent: &Agent) -> (Daemon, String, Client) {
    let daemon = Daemon::with_program(agent.program()).await;
    let (run_id, token) = started(&daemon, agent).await;
    let client = daemon.client_with(&token);
    (daemon, run_id, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_back_as_it_went_by_id_and_by_name() {
    let daemon = Daemon::start().await;
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let first = daemon.client.data_put("report", None, "application/zip", bytes.clone()).await.expect("kept");
    assert_eq!((first.name.as_deref(), first.size_bytes), (Some("report"), 300_000));
    let about = json!({"id": first.out_id, "sha256": first.sha256, "size_bytes": 300_000, "content_type": "application/zip"});
    assert_eq!(first.r#ref, json!({"$output": about}));
    assert!(got(&daemon.client, &first.out_id).await.expect("it is there") == bytes);
    let second = put(&daemon.client, "report", b"newer").await;
    assert_eq!(got(&daemon.client, "report").await.expect("the latest"), b"newer");
    assert!(got(&daemon.client, &first.out_id).await.expect("it is still there") == bytes);
    let empty = put(&daemon.client, "nothing", b"").await;
    assert_eq!(
        (empty.size_bytes, got(&daemon.client, "nothing").await.expect("it is there")),
        (0, Vec::new())
    );

    let daemon = daemon.restarted().await;
    assert_eq!(got(&daemon.client, "report").await.expect("it outlives the daemon"), b"newer");
    let listed = daemon.client.data_list(None).await.expect("a list").outputs;
    assert_eq!(
        listed.iter().map(|output| &output.out_id).collect::<Vec<_>>(),
        [&empty.out_id, &second.out_id, &first.out_id]
    );
    assert_eq!(files(&daemon).len(), 3);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_a_body_comes_with_its_place_and_a_known_body_does_not_come_again() {
    let daemon = Daemon::start().await;
    let output = put(&daemon.client, "digits", b"0123456789").await;
    let etag = format!("\"{}\"", output.sha256);
    for (head, status, body) in [
        (String::new(), 200, "0123456789"),
        ("range: bytes=2-4\r\n".to_owned(), 206, "234"),
        ("range: bytes=-3\r\n".to_owned(), 206, "789"),
        ("range: bytes=8-\r\n".to_owned(), 206, "89"),
        ("range: bytes=0-5,3-9\r\n".to_owned(), 200, "0123456789"),
        ("range: bytes=5-2\r\n".to_owned(), 200, "0123456789"),
        ("range: bytes=-99\r\n".to_owned(), 206, "0123456789"),
        (format!("range: bytes=0-1\r\nif-range: {etag}\r\n"), 206, "01"),
        ("range: bytes=0-1\r\nif-range: \"other\"\r\n".to_owned(), 200, "0123456789"),
        (format!("if-none-match: {etag}\r\n"), 304, ""),
    ] {
        let answer = asked(&daemon, "GET /v1/data/digits", &head).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{head}");
        assert!(answer.head.contains(&format!("etag: {etag}")), "{head} {}", answer.head);
        let len = format!("content-length: {}", body.len());
        assert!(status == 304 || answer.head.contains(&len), "{head} {}", answer.head);
    }
    let part = asked(&daemon, "GET /v1/data/digits", "range: bytes=2-4\r\n").await;
    assert!(part.head.contains("content-range: bytes 2-4/10"), "{}", part.head);
    let nothing = asked(&daemon, "GET /v1/data/digits", "range: bytes=10-\r\n").await;
    assert_eq!((nothing.status, nothing.error().code.as_str()), (416, "range_unsatisfiable"));
    assert!(nothing.head.contains("content-range: bytes */10"), "{}", nothing.head);

    let head = asked(&daemon, "HEAD /v1/data/digits", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for said in [
        "content-length: 10",
        "content-type: text/plain",
        "accept-ranges: bytes",
        "x-content-type-options: nosniff",
        "content-disposition: attachment; filename=\"digits\"",
        &format!("x-output-id: {}", output.out_id),
    ] {
        assert!(head.head.contains(said), "{said}: {}", head.head);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_body_above_the_limit() {
    let daemon = Daemon::with_settings(|settings| settings.data_body_bytes_max = 100_000).await;
    let exact = daemon.client.data_put("exact", None, OCTETS, vec![7; 100_000]).await.expect("it just fits");
    assert_eq!(exact.size_bytes, 100_000);
    let declared = refused(daemon.client.data_put("more", None, OCTETS, vec![7; 100_001]).await);
    assert_eq!((declared.0, declared.1.code.as_str()), (413, "too_large"));
    // Without its length the body is measured as it comes.
    let mut stream = daemon.connect().await;
    let head = format!(
        "POST /v1/data/more HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ntransfer-encoding: chunked\r\n\r\n",
        daemon.host(),
        daemon.token
    );
    stream.write_all(head.as_bytes()).await.expect("the head is sent");
    for _ in 0..3 {
        let chunk = [b"c350\r\n".as_slice(), &[7; 50_000], b"\r\n"].concat();
        // The door may close before it has read all of it.
        drop(stream.write_all(&chunk).await);
    }
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.expect("an answer");
    assert!(answer[..read].starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer[..read]));
    assert_eq!(refused(daemon.client.data_get("more", None).await.map(drop)).0, 404);
    assert_eq!(daemon.client.data_list(None).await.expect("a list").outputs.len(), 1);
    assert_eq!(files(&daemon).len(), 1, "one file, and nothing that is incoming");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_in_the_middle_leaves_nothing() {
    let daemon = Daemon::with_settings(|settings| settings.data_idle_ms = 300).await;
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n", daemon.host(), daemon.token);
    let mut gone = daemon.connect().await;
    gone.write_all(request("POST /v1/data/half", &head, 1000).as_bytes()).await.expect("the head is sent");
    gone.write_all(&[7; 500]).await.expect("half is sent");
    drop(gone);
    let mut silent = daemon.connect().await;
    silent.write_all(request("POST /v1/data/half", &head, 1000).as_bytes()).await.expect("the head is sent");
    silent.write_all(&[7; 500]).await.expect("half is sent");
    let mut answer = Vec::new();
    silent.read_to_end(&mut answer).await.expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    // The one that went away was there before, so it is over as well.
    assert!(daemon.client.data_list(None).await.expect("a list").outputs.is_empty());
    assert_eq!(files(&daemon), Vec::<PathBuf>::new());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_content_is_one_file_also_when_it_comes_at_once() {
    let daemon = Daemon::start().await;
    let body = vec![42; 2_000_000];
    let puts = (0..8).map(|n| {
        let (client, body) = (&daemon.client, body.clone());
        async move { client.data_put(&format!("copy-{n}"), None, OCTETS, body).await.expect("it is kept") }
    });
    let outputs = futures_util::future::join_all(puts).await;
    assert!(outputs.iter().all(|output| output.sha256 == outputs[0].sha256));
    for output in &outputs {
        assert!(got(&daemon.client, &output.out_id).await.expect("it is there") == body);
    }
    assert_eq!(files(&daemon).len(), 1);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_never_paths() {
    let daemon = Daemon::start().await;
    for name in
        ["..%2fx", "%2e%2e", "a%2fb", ".hidden", "a%20b", "%00", "out_x", "a%5cb", "%2e%2e%2f%2e%2e%2fetc"]
    {
        let put = daemon.send(&format!("POST /v1/data/{name}"), "x").await;
        assert_eq!((put.status, put.error().code.as_str()), (400, "invalid_request"), "{name} {put:?}");
        let get = daemon.send(&format!("GET /v1/data/{name}"), "").await;
        assert_eq!(get.status, 400, "{name} {get:?}");
    }
    for line in ["POST /v1/data/../x", "POST /v1/data/a/b", "GET /v1/data/../../etc/passwd"] {
        assert_eq!(daemon.send(line, "x").await.status, 404, "{line}");
    }
    for (head, said) in
        [("content-type: no-type\r\n", "a content type is like"), ("content-type: \u{1}\r\n", "")]
    {
        let answer = asked(&daemon, "POST /v1/data/x", head).await;
        assert_eq!(answer.status, 400, "{head} {answer:?}");
        assert!(answer.body.contains(said), "{head} {answer:?}");
    }
    assert_eq!(files(&daemon), Vec::<PathBuf>::new());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_puts_in_its_own_run_and_sees_no_other() {
    let agent = Agent::new();
    let (daemon, run_id, worker) = in_step(&agent).await;
    let others = put(&daemon.client, "plan", b"of nobody").await;
    let own = put(&worker, "plan", b"of the run").await;
    assert_eq!((own.run_id.as_deref(), own.attempt), (Some(run_id.as_str()), Some(1)));
    assert_eq!(got(&worker, "plan").await.expect("its own"), b"of the run");
    assert_eq!(got(&daemon.client, "plan").await.expect("the latest of all"), b"of the run");
    // What is not there and what is another's look the same.
    for key in [others.out_id.as_str(), "out_0123456789abcdef0123456789abcdef", "unknown"] {
        let (status, error) = refused(worker.data_get(key, None).await.map(drop));
        assert_eq!((status, error.error), (404, format!("the output {key} was not found")));
    }
    let listed = worker.data_list(None).await.expect("a list").outputs;
    assert_eq!(listed, std::slice::from_ref(&own));
    // A person puts in the run what its step may fetch.
    let given = daemon.client.data_put("given", Some(&run_id), OCTETS, b"here".to_vec()).await.expect("kept");
    assert_eq!(got(&worker, &given.out_id).await.expect("it sees it"), b"here");
    let other_run = "run_0123456789abcdef0123456789abcdef";
    assert_eq!(refused(worker.data_put("x", Some(other_run), OCTETS, b"".to_vec()).await).0, 403);
    assert_eq!(refused(daemon.client.data_put("x", Some(other_run), OCTETS, b"".to_vec()).await).0, 404);
    let kinds = daemon.plane.events_of(&run_id, 0, 100).await.expect("they are read");
    assert_eq!(kinds.iter().filter(|row| row.event.kind() == "output_stored").count(), 2);
    agent.end().await;
    let run = run_id.parse().expect("an id");
    daemon.plane.run_ended(&run).await.expect("it ends");
    assert_eq!(refused(worker.data_get("plan", None).await.map(drop)).0, 401, "its token went with the run");
    daemon.stop().await;
}

fn emission(task_id: &str, parent_refs: Vec<String>) -> EmitParams {
    let (producer_agent, event) = ("scout".to_owned(), json!({"kind": "note", "text": "found"}));
    EmitParams { task_id: task_id.to_owned(), attempt: 1, producer_agent, event, parent_refs }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_emitted_is_found_by_its_id_as_a_record() {
    let agent = Agent::new();
    let (daemon, run_id, worker) = in_step(&agent).await;
    let task_id = daemon.client.run(&run_id).await.expect("a run").task_id;
    let first = worker.data_emit(&emission(&task_id, vec![])).await.expect("it is kept").out_id;
    let step = StepId::of(&run_id.parse().expect("an id"), &StepPath::new("."), 1).to_string();
    let second = worker.data_emit(&emission(&step, vec![first.clone()])).await.expect("it is kept").out_id;
    assert!(second.parse::<OutputId>().is_ok());
    let record: Value =
        serde_json::from_slice(&got(&worker, &second).await.expect("a record")).expect("JSON");
    assert_eq!(
        record,
        json!({"id": second, "task_id": step, "attempt": 1, "producer_agent": "scout",
            "event": {"kind": "note", "text": "found"}, "parent_refs": [first]})
    );
    let unknown = vec!["out_0123456789abcdef0123456789abcdef".to_owned()];
    for (params, status) in [
        (emission("task_0123456789abcdef0123456789abcdef", vec![]), 403),
        (emission("", vec![]), 403),
        (emission("ST-0", vec![]), 403),
        (emission(&step.replace("-1-root", "-2-root"), vec![]), 403),
        (EmitParams { attempt: 2, ..emission(&task_id, vec![]) }, 403),
        (emission(&task_id, unknown), 400),
        (emission(&task_id, vec!["../x".to_owned()]), 400),
        (EmitParams { producer_agent: String::new(), ..emission(&task_id, vec![]) }, 400),
        (EmitParams { event: json!("x".repeat(70_000)), ..emission(&task_id, vec![]) }, 413),
    ] {
        let (found, error) = refused(worker.data_emit(&params).await);
        assert_eq!(found, status, "{error:?}");
    }
    assert_eq!(
        refused(daemon.client.data_emit(&emission(&task_id, vec![])).await).0,
        403,
        "the owner is no step"
    );
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let event = json!({"text": secret.clone()});
    let told =
        worker.data_emit(&EmitParams { event, ..emission(&task_id, vec![]) }).await.expect("kept").out_id;
    let record = String::from_utf8(got(&worker, &told).await.expect("a record")).expect("text");
    assert!(!record.contains(&secret), "{record}");
    agent.end().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_goes_through_a_flow_and_keeps_what_it_refers_to() {
    let daemon = Daemon::with_settings(|settings| settings.data_unused_ms = 0).await;
    let used = put(&daemon.client, "used", b"needed").await;
    let unused = put(&daemon.client, "unused", b"for nothing").await;
    let done =
        daemon.client.task_run(&task(identity(), json!({"in": used.r#ref}))).await.expect("it is done");
    assert_eq!(done.final_ctx["out"], used.r#ref, "a step's value carries it");
    let collected = daemon.plane.job_run("data_collect").await.expect("a round");
    assert_eq!((collected.acted_total, collected.errors), (1, 0));
    assert_eq!(got(&daemon.client, &used.out_id).await.expect("the run's turns are kept"), b"needed");
    assert_eq!(refused(daemon.client.data_get(&unused.out_id, None).await.map(drop)).0, 404);
    assert_eq!(files(&daemon).len(), 1);
    let listed = daemon.client.data_list(Some(&done.run_id)).await.expect("a list").outputs;
    assert_eq!(listed.iter().map(|output| &output.out_id).collect::<Vec<_>>(), [&used.out_id]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_with_its_last_output_and_what_a_crash_left_goes_at_the_start() {
    let daemon = Daemon::start().await;
    let body = b"the same".as_slice();
    put(&daemon.client, "one", body).await;
    let file = files(&daemon).pop().expect("a file");
    let orphan = file.with_file_name(format!(
        "{}{}",
        &file.file_name().expect("a name").to_str().expect("text")[..2],
        "0".repeat(62)
    ));
    std::fs::write(&orphan, "left by a crash").expect("it is written");
    std::fs::write(daemon.path("blobs/incoming/half"), "left by a crash").expect("it is written");
    let daemon = daemon.restarted().await;
    // The start has nudged it already; this waits for a round that is over.
    let swept = daemon.plane.job_run("data_sweep").await.expect("a round");
    assert_eq!((swept.acted_total, swept.errors), (1, 0));
    assert_eq!(got(&daemon.client, "one").await.expect("it counts"), body);
    assert_eq!(files(&daemon), [file]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_fetches_and_puts_as_it_may() {
    let daemon = Daemon::start().await;
    put(&daemon.client, "report", b"x").await;
    for (role, fetches, puts) in
        [("operator", 200, 200), ("observer", 200, 403), ("senior", 200, 403), ("worker", 404, 403)]
    {
        let params = serde_json::from_value(json!({"agent_id": "ann", "role": role})).expect("a session");
        let made = daemon.client.session_create(&params).await.expect("it is made");
        let client = daemon.client_with(&made.session_id);
        let fetched = client.data_get("report", None).await.map(drop);
        assert_eq!(fetched.map_or_else(|error| refused::<()>(Err(error)).0, |()| 200), fetches, "{role}");
        let put = client.data_put("other", None, OCTETS, b"y".to_vec()).await.map(drop);
        assert_eq!(put.map_or_else(|error| refused::<()>(Err(error)).0, |()| 200), puts, "{role}");
    }
    daemon.stop().await;
}
