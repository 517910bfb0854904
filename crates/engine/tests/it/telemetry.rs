//! Traces, as a receiver gets them over HTTP.

use adjutant_engine::metrics::MetricsForm;
use adjutant_engine::{Plane, Settings};
use adjutant_model::run::RunStatus;
use adjutant_testkit::{Home, run, start, task};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A receiver that answers each batch with a status, and hands it on.
struct Receiver {
    address: String,
    batches: mpsc::UnboundedReceiver<(String, ExportTraceServiceRequest)>,
}

impl Receiver {
    async fn start(status: &'static str) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (told, batches) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, status, told.clone()));
            }
        });
        Receiver { address, batches }
    }

    /// Waits for a span of this name; gives it with all that came before.
    async fn until(&mut self, name: &str) -> Vec<Span> {
        let mut spans = Vec::new();
        while !spans.iter().any(|span: &Span| span.name == name) {
            let (head, batch) = self.batches.recv().await.expect("the receiver lives");
            assert!(head.starts_with("POST /v1/traces "), "{head}");
            assert!(head.to_ascii_lowercase().contains("x-key: open sesame"), "{head}");
            let resource = &batch.resource_spans[0].resource.as_ref().expect("a resource").attributes;
            assert!(resource.iter().any(|pair| pair.key == "service.name"), "{resource:?}");
            let scopes = batch.resource_spans.into_iter().flat_map(|of| of.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        spans
    }
}

async fn answer(
    mut stream: TcpStream,
    status: &'static str,
    told: mpsc::UnboundedSender<(String, ExportTraceServiceRequest)>,
) {
    let mut read = Vec::new();
    let mut chunk = [0; 16_384];
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        read.extend_from_slice(&chunk[..count]);
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let length = head
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.expect("a length");
        if read.len() < end + 4 + length {
            continue;
        }
        let body = ExportTraceServiceRequest::decode(&read[end + 4..end + 4 + length]).expect("a batch");
        read.drain(..end + 4 + length);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.expect("it is sent");
        drop(told.send((head, body)));
    }
}

fn settings(home: &Home, address: &str) -> Settings {
    let mut settings = home.settings();
    settings.telemetry.endpoint = Some(address.to_owned());
    settings.telemetry.headers = BTreeMap::from([("x-key".to_owned(), "open sesame".to_owned())]);
    settings
}

async fn plane(settings: Settings) -> Plane {
    let plane = Plane::open(settings).await.expect("the plane opens");
    plane.endpoint_set("http://127.0.0.1:9".to_owned());
    plane.resume().await.expect("the plane resumes");
    plane
}

/// Gives a blueprint of two steps, the second of which holds until a file is there.
fn blueprint(home: &Home) -> serde_json::Value {
    let go = home.path("go").display().to_string();
    let step = |agent: &str, out: &str| json!({"kind": "step", "ref": agent, "in": {"op": "path", "at": "$.in"}, "out": {"op": "path", "at": out}});
    json!({"id": "two", "agents": [
        {"name": "id", "kind": "function", "spec": {"fn_id": "identity"}},
        {"name": "hold", "kind": "command", "spec": {"argv": ["sh", "-c", format!("while [ ! -e '{go}' ]; do sleep 0.02; done; cat")]}}],
      "flow": {"kind": "seq", "children": [step("id", "$.a"), step("hold", "$.b")]}})
}

fn attribute<'a>(span: &'a Span, name: &str) -> Option<&'a str> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let pair = span.attributes.iter().find(|pair| pair.key == name)?;
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_of_its_steps_also_when_its_daemon_ended_in_between() {
    let home = Home::new();
    let mut receiver = Receiver::start("200 OK").await;
    let first = plane(settings(&home, &receiver.address)).await;
    let started = start(&first, task(blueprint(&home), json!({"in": "a prompt"}))).await;
    let mut spans = receiver.until("step id").await;
    first.stop().await;
    let second = plane(settings(&home, &receiver.address)).await;
    std::fs::write(home.path("go"), "").expect("the file is written");
    let ended = second.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
    spans.extend(receiver.until("invoke_workflow two").await);
    second.stop().await;

    let traces: HashSet<&[u8]> = spans.iter().map(|span| span.trace_id.as_slice()).collect();
    assert_eq!(traces.len(), 1);
    let names: HashSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, HashSet::from(["step id", "invoke_agent hold", "invoke_workflow two"]));
    let root = spans.iter().find(|span| span.name == "invoke_workflow two").expect("it is there");
    assert!(root.parent_span_id.is_empty() && attribute(root, "adjutant.run.status") == Some("done"));
    for step in spans.iter().filter(|span| span.name != root.name) {
        assert_eq!(step.parent_span_id, root.span_id, "{step:?}");
        assert!(step.start_time_unix_nano >= root.start_time_unix_nano, "{step:?}");
        assert!(step.end_time_unix_nano <= root.end_time_unix_nano, "{step:?}");
        assert_eq!(attribute(step, "adjutant.run.id"), Some(started.run_id.as_str()));
    }
    let hold = spans.iter().find(|span| span.name == "invoke_agent hold").expect("it is there");
    assert_eq!(attribute(hold, "gen_ai.operation.name"), Some("invoke_agent"));
    assert_eq!(attribute(hold, "gen_ai.agent.name"), Some("hold"));
    assert!(!format!("{spans:?}").contains("a prompt"), "nobody has allowed that");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steps_were_given_is_told_only_where_a_setting_says_so_and_without_secrets() {
    let home = Home::new();
    let mut receiver = Receiver::start("200 OK").await;
    let mut settings = settings(&home, &receiver.address);
    settings.telemetry.with_content = true;
    std::fs::write(home.path("go"), "").expect("the file is written");
    let plane = plane(settings).await;
    let key = format!("sk-ant-api03-{}", "a1B2".repeat(24));
    let given = json!({"in": format!("a prompt with {key}")});
    run(&plane, task(blueprint(&home), given)).await;
    let spans = receiver.until("invoke_workflow two").await;
    plane.stop().await;
    let told = format!("{spans:?}");
    assert!(told.contains("a prompt with") && !told.contains(&key), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_costs_spans_and_nothing_else() {
    let home = Home::new();
    let mut receiver = Receiver::start("503 Service Unavailable").await;
    std::fs::write(home.path("go"), "").expect("the file is written");
    let plane = plane(settings(&home, &receiver.address)).await;
    // One batch is under way at a time, so when the second run's are, the first one's are counted.
    for _ in 0..2 {
        assert_eq!(run(&plane, task(blueprint(&home), json!({"in": 1}))).await.status, RunStatus::Done);
        receiver.until("invoke_workflow two").await;
    }
    let metrics = plane.metrics(MetricsForm::Prometheus).await;
    assert!(metrics.contains("\nadjutant_telemetry_spans_sent_total 0\n"), "{metrics}");
    let dropped =
        metrics.lines().find_map(|line| line.strip_prefix("adjutant_telemetry_spans_dropped_total "));
    assert!(dropped.expect("it is counted").parse::<u64>().expect("a number") >= 3, "{metrics}");
    plane.stop().await;
}
