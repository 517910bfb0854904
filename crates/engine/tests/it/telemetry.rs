//! Traces, as a receiver gets them over HTTP.

use adjutant_engine::metrics::MetricsForm;
use adjutant_engine::{Plane, Settings};
use adjutant_model::run::RunStatus;
use adjutant_testkit::otlp::attribute;
use adjutant_testkit::{Home, TestCa, TraceReceiver, run, start, task};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_of_its_steps_also_when_its_daemon_ended_in_between() {
    let home = Home::new();
    let mut receiver = TraceReceiver::start("200 OK").await;
    let first = plane(settings(&home, receiver.address())).await;
    let started = start(&first, task(blueprint(&home), json!({"in": "a prompt"}))).await;
    let mut spans = receiver.until("step id").await;
    first.stop().await;
    let second = plane(settings(&home, receiver.address())).await;
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
    assert!(
        root.parent_span_id.is_empty() && attribute(root, "adjutant.run.status").as_deref() == Some("done")
    );
    for step in spans.iter().filter(|span| span.name != root.name) {
        assert_eq!(step.parent_span_id, root.span_id, "{step:?}");
        assert!(step.start_time_unix_nano >= root.start_time_unix_nano, "{step:?}");
        assert!(step.end_time_unix_nano <= root.end_time_unix_nano, "{step:?}");
        assert_eq!(attribute(step, "adjutant.run.id").as_deref(), Some(started.run_id.as_str()));
    }
    let hold = spans.iter().find(|span| span.name == "invoke_agent hold").expect("it is there");
    assert_eq!(attribute(hold, "gen_ai.operation.name").as_deref(), Some("invoke_agent"));
    assert_eq!(attribute(hold, "gen_ai.agent.name").as_deref(), Some("hold"));
    assert!(!format!("{spans:?}").contains("a prompt"), "nobody has allowed that");
    let has_key = |head: &String| head.to_ascii_lowercase().contains("x-key: open sesame");
    assert!(receiver.heads().iter().all(has_key), "{:?}", receiver.heads());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steps_were_given_is_told_only_where_a_setting_says_so_and_without_secrets() {
    let home = Home::new();
    let mut receiver = TraceReceiver::start("200 OK").await;
    let mut settings = settings(&home, receiver.address());
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
    let mut receiver = TraceReceiver::start("503 Service Unavailable").await;
    std::fs::write(home.path("go"), "").expect("the file is written");
    let plane = plane(settings(&home, receiver.address())).await;
    // One batch is under way at a time, so when the second run's are, the first one's are counted.
    for _ in 0..2 {
        assert_eq!(run(&plane, task(blueprint(&home), json!({"in": 1}))).await.status, RunStatus::Done);
        receiver.until("invoke_workflow two").await;
    }
    let [sent, dropped] = counted(&plane).await;
    assert!(sent == 0 && dropped >= 3, "{sent} {dropped}");
    plane.stop().await;
}

/// Gives what the metrics say of spans: sent and dropped.
async fn counted(plane: &Plane) -> [u64; 2] {
    let metrics = plane.metrics(MetricsForm::Prometheus).await;
    ["sent", "dropped"].map(|what| {
        let name = format!("adjutant_telemetry_spans_{what}_total ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("it is counted").parse().expect("a number")
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_whose_certificate_does_not_verify_gets_nothing() {
    let (ca, other) = (TestCa::new(), TestCa::new());
    let (unknown, elsewhere) = (other.server("127.0.0.1"), ca.server("receiver.example"));
    for (what, identity) in [("another authority's", unknown), ("of another host", elsewhere)] {
        let home = Home::new();
        let mut receiver = TraceReceiver::start_tls("200 OK", identity).await;
        let plane = plane(over_tls(&home, &receiver, &ca)).await;
        std::fs::write(home.path("go"), "").expect("the file is written");
        // One batch is under way at a time, so when the second one is refused, the first one is counted.
        for _ in 0..2 {
            assert_eq!(run(&plane, task(blueprint(&home), json!({"in": 1}))).await.status, RunStatus::Done);
            let refused = receiver.until_hung_up().await;
            assert!(refused.contains("ertificate") || refused.contains("nknown"), "{what}: {refused}");
        }
        let [sent, dropped] = counted(&plane).await;
        assert!(sent == 0 && dropped > 0, "{what}: {sent} {dropped}");
        plane.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_a_file_of_certificates_vouches_for_gets_traces_over_tls() {
    let (home, ca) = (Home::new(), TestCa::new());
    let mut receiver = TraceReceiver::start_tls("200 OK", ca.server("127.0.0.1")).await;
    assert!(receiver.address().starts_with("https://"));
    let plane = plane(over_tls(&home, &receiver, &ca)).await;
    std::fs::write(home.path("go"), "").expect("the file is written");
    run(&plane, task(blueprint(&home), json!({"in": 1}))).await;
    assert_eq!(receiver.until("invoke_workflow two").await.len(), 3);
    plane.stop().await;
}

/// Gives settings that know an authority.
fn over_tls(home: &Home, receiver: &TraceReceiver, ca: &TestCa) -> Settings {
    let file: PathBuf = home.path("ca.pem");
    std::fs::write(&file, ca.pem()).expect("the file is written");
    let mut settings = settings(home, receiver.address());
    settings.telemetry.ca_file = Some(file);
    settings
}
