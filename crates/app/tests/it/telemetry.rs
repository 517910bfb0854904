//! Traces of the real daemon, over TLS, as a receiver gets them.

use crate::BINARY;
use adjutant_protocol::rpc::{
    Action, Proposal, RpcClient, RunOutcome, RunStart, SubmitOptions, ToolAnswer, ToolRequest, ToolSpec,
    Tools,
};
use adjutant_testkit::github::private_file;
use adjutant_testkit::otlp::attribute;
use adjutant_testkit::{TestCa, TestEnv, TraceReceiver};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// `compile` works, `test` fails, and `hang` never ends, for its daemon is killed under it.
struct Workbench {
    daemon: Pid,
}

impl Tools for Workbench {
    fn call(&self, request: ToolRequest) -> ToolAnswer {
        match request.tool.as_str() {
            "compile" => Box::pin(async { Ok(json!({"compiled": true})) }),
            "test" => Box::pin(async { Err("it is broken".to_owned()) }),
            _ => {
                kill_process(self.daemon, Signal::KILL).unwrap();
                Box::pin(std::future::pending())
            }
        }
    }
}

async fn connect(env: &TestEnv) -> RpcClient {
    let address = env.daemon_json().unwrap()["address"].as_str().unwrap().to_owned();
    let token = fs::read_to_string(env.home().join("token")).unwrap();
    let tools = Workbench { daemon: env.daemon_pid().unwrap() };
    let (rpc, _notices) = RpcClient::connect(&address, token.trim(), tools).await.unwrap();
    let tool = |name: &str| ToolSpec { name: name.to_owned(), parameters: json!({}), ..ToolSpec::default() };
    rpc.tools_register(&["compile", "test", "hang"].map(tool)).await.unwrap();
    rpc
}

async fn run_start(rpc: &RpcClient) -> String {
    let agent_id = Some("builder".to_owned());
    let start = RunStart { intent: "to build".to_owned(), agent_id, ..RunStart::default() };
    rpc.run_start(&start).await.unwrap().run_id
}

async fn call(rpc: &RpcClient, tool: &str, parameters: Value) -> bool {
    let proposal = Proposal { actions: vec![Action::tool_call(tool, parameters)], ..Proposal::default() };
    rpc.proposal_submit(&proposal, &SubmitOptions::default()).await.is_ok()
}

async fn complete(rpc: &RpcClient, run_id: &str) {
    let outcome = RunOutcome { status: "success".to_owned(), ..RunOutcome::default() };
    rpc.run_complete(run_id, &outcome).await.unwrap();
}

fn set(env: &TestEnv, key: &str, value: &str) {
    env.run(&["config", "set", key, value]).expect(0);
}

fn ca_file(env: &TestEnv, ca: &TestCa) -> PathBuf {
    env.file("ca.pem", &ca.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_client_drives_is_one_trace_also_when_its_daemon_is_killed() {
    let (env, ca) = (TestEnv::new(BINARY), TestCa::new());
    let mut receiver = TraceReceiver::start_tls("200 OK", ca.server("127.0.0.1")).await;
    let headers = env.work("headers");
    private_file(&headers, "x-of-file: open sesame\n");
    set(&env, "telemetry.otlp_endpoint", receiver.address());
    set(&env, "telemetry.ca_file", &ca_file(&env, &ca).to_string_lossy());
    set(&env, "telemetry.headers_file", &headers.to_string_lossy());
    set(&env, "telemetry.content", "true");
    env.run(&["stop"]).expect(0);
    let of_env = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "authorization=Bearer%20of%20env");
    let start = || env.finish(env.command(&["runs"]).env(of_env.0, of_env.1)).expect(0);

    start();
    let rpc = connect(&env).await;
    let run_id = run_start(&rpc).await;
    let key = format!("sk-ant-api03-{}", "a1B2".repeat(24));
    assert!(call(&rpc, "compile", json!({"with": format!("a flag and {key}")})).await);
    assert!(call(&rpc, "test", json!({})).await);
    let mut spans = receiver.until("execute_tool test").await;
    assert!(!call(&rpc, "hang", json!({})).await, "the daemon is gone");
    start();
    let rpc = connect(&env).await;
    rpc.run_resume(&run_id).await.unwrap();
    assert!(call(&rpc, "compile", json!({})).await);
    complete(&rpc, &run_id).await;
    spans.extend(receiver.until("invoke_agent builder").await);

    // A daemon that is killed may have sent what the next one sends again, under the same ids.
    let spans: BTreeMap<_, _> = spans.into_iter().map(|span| (span.span_id.clone(), span)).collect();
    let root = spans.values().find(|span| span.name == "invoke_agent builder").unwrap();
    assert!(root.parent_span_id.is_empty());
    assert_eq!(attribute(root, "adjutant.run.id"), Some(run_id.clone()));
    let mut seen = BTreeMap::new();
    for span in spans.values() {
        assert_eq!(span.trace_id, root.trace_id);
        assert!(span.span_id == root.span_id || span.parent_span_id == root.span_id, "{span:?}");
        assert!(root.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= root.end_time_unix_nano, "{span:?}");
        let [status, error] = ["adjutant.turn.status", "error.type"].map(|name| attribute(span, name));
        let code = span.status.as_ref().map_or(0, |status| status.code);
        let index = attribute(span, "adjutant.turn.index");
        seen.insert(index, (span.name.as_str(), code, status, error));
    }
    let text = |text: &str| Some(text.to_owned());
    let expected = [
        (None, ("invoke_agent builder", 1, None, None)),
        (text("0"), ("execute_tool compile", 1, text("succeeded"), None)),
        (text("1"), ("execute_tool test", 2, text("failed"), text("failed"))),
        (text("2"), ("execute_tool hang", 0, text("cancelled"), None)),
        (text("3"), ("execute_tool compile", 1, text("succeeded"), None)),
    ];
    assert_eq!((seen, spans.len()), (BTreeMap::from(expected), 5));
    let told = format!("{spans:?}");
    assert!(told.contains("a flag and") && told.contains("it is broken") && !told.contains(&key), "{told}");
    for head in receiver.heads() {
        let has = |header: &str| head.to_ascii_lowercase().contains(header);
        assert!(has("x-of-file: open sesame") && has("authorization: bearer of env"), "{head}");
    }
    env.run(&["journal", "verify"]).expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_nobody_vouches_for_is_told_of_once_and_no_key_is_anywhere() {
    let (env, ca, other) = (TestEnv::new(BINARY), TestCa::new(), TestCa::new());
    let mut receiver = TraceReceiver::start_tls("200 OK", other.server("127.0.0.1")).await;
    let ca_file = ca_file(&env, &ca);
    set(&env, "telemetry.otlp_endpoint", receiver.address());
    set(&env, "telemetry.ca_file", &ca_file.to_string_lossy());
    let secret = "open-sesame-of-a-test";
    set(&env, "telemetry.headers.x-key", secret);
    let shown = env.run(&["config", "show"]).expect(0).stdout;
    assert!(shown.contains("telemetry.headers.x-key") && !shown.contains(secret), "{shown}");
    env.run(&["stop"]).expect(0);
    env.finish(env.command(&["runs"]).env("ADJUTANT_LOG", "trace")).expect(0);
    let rpc = connect(&env).await;
    // One batch is under way at a time, so when the third one is refused, two were told of.
    for _ in 0..3 {
        let run_id = run_start(&rpc).await;
        complete(&rpc, &run_id).await;
        receiver.until_hung_up().await;
    }
    let log = || fs::read_to_string(env.home().join("daemon.log")).unwrap();
    let logged = log();
    assert_eq!(
        logged.matches("the certificate of the receiver of traces does not verify").count(),
        1,
        "{logged}"
    );
    assert!(logged.contains("UnknownIssuer") && logged.contains("`telemetry.ca_file` names"), "{logged}");
    assert!(!logged.contains(secret), "{logged}");

    // A file that is gone holds up nothing but the traces.
    env.run(&["stop"]).expect(0);
    fs::remove_file(&ca_file).unwrap();
    env.run(&["runs"]).expect(0);
    let rpc = connect(&env).await;
    complete(&rpc, &run_start(&rpc).await).await;
    env.run(&["stop"]).expect(0);
    let logged = log();
    assert!(logged.contains("no traces can be sent") && logged.contains("ca.pem: No such file"), "{logged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_without_certificates_sends_to_a_receiver_that_needs_none() {
    let env = TestEnv::new(BINARY);
    let mut receiver = TraceReceiver::start("200 OK").await;
    set(&env, "telemetry.otlp_endpoint", receiver.address());
    env.run(&["stop"]).expect(0);
    let missing = env.work("missing");
    let mut bare = env.command(&["runs"]);
    env.finish(bare.env("SSL_CERT_FILE", &missing).env("SSL_CERT_DIR", &missing)).expect(0);
    let rpc = connect(&env).await;
    complete(&rpc, &run_start(&rpc).await).await;
    assert_eq!(receiver.until("invoke_agent builder").await.len(), 1);
}

#[test]
fn a_file_that_is_no_use_to_traces_is_refused_when_it_is_set() {
    let env = TestEnv::new(BINARY);
    let (text, open) = (env.file("text", "open sesame\n"), env.file("headers", "x-key: open sesame\n"));
    for (key, value, told) in [
        ("telemetry.ca_file", text.clone(), "text: it holds no certificate in PEM"),
        ("telemetry.ca_file", env.work("missing"), "missing: No such file or directory"),
        ("telemetry.ca_file", "ca.pem".into(), "`telemetry.ca_file` is an absolute path"),
        (
            "telemetry.headers_file",
            open,
            "headers: others than its owner may read it; `chmod 600` mends that",
        ),
        ("telemetry.headers_file", env.work("missing"), "missing: No such file or directory"),
    ] {
        let refused = env.run(&["config", "set", key, &value.to_string_lossy()]).expect(2).stderr;
        assert!(refused.starts_with(&format!("error: `{key}`")) && refused.contains(told), "{refused}");
        assert!(!refused.contains("sesame"), "{refused}");
    }
    let refused = env.run(&["config", "set", "telemetry.headers.'x key'", "open sesame"]).expect(2).stderr;
    assert!(refused.starts_with("error: `telemetry.headers.\"x key\"` is no name of a header"), "{refused}");
    let shown = env.run(&["config", "show"]).expect(0).stdout;
    assert!(!shown.contains("missing") && !shown.contains("sesame"), "{shown}");
}
