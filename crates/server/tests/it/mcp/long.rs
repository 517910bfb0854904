//! Calls that take long, by a real client over Streamable HTTP: it hears how far they are, and ends them.

use super::{asked, post};
use crate::harness::{Daemon, endless, one_step};
use adjutant_testkit::{repository, until};
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, ClientCapabilities, ClientConfig, ClientRequest, Implementation,
    ProgressNotificationParam, ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, NotificationContext, PeerRequestOptions, RequestHandle,
    RoleClient, RunningService,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The revisions in which a client ends a call by a notification, and the one in which it closes the stream.
const REVISIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// A client that hears of progress.
struct Hearing {
    own: ClientConfig,
    heard: mpsc::UnboundedSender<ProgressNotificationParam>,
}

impl ClientHandler for Hearing {
    fn get_info(&self) -> ClientConfig {
        self.own.clone()
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        drop(self.heard.send(progress));
    }
}

/// A connected client, and what it hears.
struct Connected {
    client: RunningService<RoleClient, Hearing>,
    progress: mpsc::UnboundedReceiver<ProgressNotificationParam>,
}

impl Connected {
    async fn to(daemon: &Daemon, revision: &ProtocolVersion) -> Self {
        let (heard, progress) = mpsc::unbounded_channel();
        let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{}/mcp", daemon.host()));
        let transport = StreamableHttpClientTransport::from_config(config.auth_header(daemon.token.as_str()));
        let own = ClientConfig::new(ClientCapabilities::default(), Implementation::new("test", "1"));
        let own = own.with_protocol_version(revision.clone());
        let lifecycle = match *revision == ProtocolVersion::V_2026_07_28 {
            true => ClientLifecycleMode::Discover { preferred_versions: vec![revision.clone()] },
            false => ClientLifecycleMode::Initialize,
        };
        let client = Hearing { own, heard }.serve_with_lifecycle(transport, lifecycle).await;
        Connected { client: client.expect("it connects"), progress }
    }

    async fn call(&self, name: &'static str, arguments: Value) -> RequestHandle<RoleClient> {
        let arguments = arguments.as_object().expect("an object").clone();
        let params = CallToolRequestParams::new(name).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::no_options();
        self.client.send_cancellable_request(request, options).await.expect("it is sent")
    }

    /// Waits for news of a call, which come in ascending order.
    async fn hears(&mut self, handle: &RequestHandle<RoleClient>, times: usize) {
        let mut before = 0.0;
        for _ in 0..times {
            let told = self.progress.recv().await.expect("the client lives");
            assert_eq!(told.progress_token, handle.progress_token);
            assert!(told.progress > before && told.message.is_some(), "{told:?} behind {before}");
            before = told.progress;
        }
    }
}

/// A pipe that a program holds open for as long as it, or anything that it started, lives.
pub(super) struct Held(PathBuf);

impl Held {
    pub(super) fn at(path: PathBuf) -> Self {
        let status = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo starts");
        assert!(status.success());
        Held(path)
    }

    /// Gives a line for a shell that says that it runs, and then hangs.
    pub(super) fn line(&self) -> String {
        format!("exec 3>'{}'; echo on >&3; sleep 600; true", self.0.display())
    }

    /// Waits until the program runs; what is given back waits until all of it has ended.
    pub(super) async fn runs(&self) -> tokio::task::JoinHandle<()> {
        let path = self.0.clone();
        let (on, is_on) = tokio::sync::oneshot::channel();
        let ends = tokio::task::spawn_blocking(move || {
            let mut pipe = BufReader::new(std::fs::File::open(path).expect("it is opened"));
            let mut line = String::new();
            pipe.read_line(&mut line).expect("it is read");
            assert_eq!(line, "on\n");
            on.send(()).expect("the test waits");
            pipe.read_to_end(&mut Vec::new()).expect("it is read");
        });
        is_on.await.expect("it runs");
        ends
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_of_a_goal_tell_progress_and_end_with_their_call() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    for (number, revision) in REVISIONS.iter().enumerate() {
        let held = Held::at(daemon.path(&format!("held-{number}")));
        let acceptance = json!([{"text": "it ends", "check": held.line()}]);
        let goal = json!({"description": "long", "acceptance": acceptance, "project": project});
        let goal = super::told(&daemon, "goal_create", goal).await;
        let mut connected = Connected::to(&daemon, revision).await;
        let call = connected.call("goal_check", json!({"goal_id": goal["id"]})).await;
        let ended = held.runs().await;
        connected.hears(&call, 2).await;
        call.cancel(Some("enough".to_owned())).await.expect("it is sent");
        ended.await.expect("every program of the check has ended");
        let shown = super::told(&daemon, "goal_show", json!({"goal_id": goal["id"]})).await;
        assert_eq!(
            shown["acceptance"][0]["evidence"],
            Value::Null,
            "{revision}: nothing is recorded: {shown}"
        );
        // The client goes on after that.
        connected.client.list_all_tools().await.expect("they are listed");
        connected.client.cancel().await.expect("it goes");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_progress_and_ends_with_its_call_and_all_that_it_started() {
    let daemon = Daemon::start().await;
    for (number, revision) in REVISIONS.iter().enumerate() {
        let held = Held::at(daemon.path(&format!("held-{number}")));
        let wait = json!({"kind": "wait", "ms": 1100});
        let mut blueprint = one_step(
            json!({"kind": "command", "spec": {"argv": ["sh", "-c", held.line()], "use_stdin": false}}),
        );
        // What happens later than a second after the beginning is told.
        blueprint["flow"] = json!({"kind": "seq", "children": [wait, blueprint["flow"]]});
        let mut connected = Connected::to(&daemon, revision).await;
        let call = connected.call("task_run", json!({"blueprint": blueprint, "input": {"in": 1}})).await;
        let ended = held.runs().await;
        connected.hears(&call, 1).await;
        call.cancel(None).await.expect("it is sent");
        let newest = async || {
            let runs = daemon.client.runs(1).await.expect("they are listed").runs;
            Ok(runs.into_iter().next().filter(|run| run.status == "cancelled"))
        };
        until(&daemon.plane, newest).await;
        ended.await.expect("every program of the run has ended");
        connected.client.cancel().await.expect("it goes");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_which_nothing_happens_tells_each_second_that_it_goes_on() {
    let daemon = Daemon::start().await;
    let mut connected = Connected::to(&daemon, &ProtocolVersion::V_2025_11_25).await;
    let call = connected.call("task_run", json!({"blueprint": endless(), "input": {}})).await;
    connected.hears(&call, 3).await;
    call.cancel(None).await.expect("it is sent");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_ends_its_own_call_and_nobody_elses_with_the_same_token_and_number() {
    let daemon = Daemon::start().await;
    let revision = &ProtocolVersion::V_2025_11_25;
    let (one, other) = (Connected::to(&daemon, revision).await, Connected::to(&daemon, revision).await);
    let run = json!({"blueprint": endless(), "input": {}});
    let mine = one.call("task_run", run.clone()).await;
    let theirs = other.call("task_run", run).await;
    assert_eq!(mine.id, theirs.id, "clients count alike");
    let runs = async |wanted: [&str; 2]| {
        until(&daemon.plane, async || {
            let runs = daemon.client.runs(10).await.expect("they are listed").runs;
            let mut found: Vec<&str> = runs.iter().map(|run| run.status.as_str()).collect();
            found.sort_unstable();
            Ok((found == wanted).then_some(()))
        })
        .await;
    };
    runs(["waiting", "waiting"]).await;
    mine.cancel(None).await.expect("it is sent");
    runs(["cancelled", "waiting"]).await;
    theirs.cancel(None).await.expect("it is sent");
    runs(["cancelled", "cancelled"]).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_named_when_a_client_begins_and_any_name_will_do() {
    let daemon = Daemon::start().await;
    let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let name = async || {
        let answer = post(&daemon, &daemon.token, &begin).await;
        let line =
            answer.head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ").map(str::to_owned));
        line.unwrap_or_else(|| panic!("it is named: {answer:?}"))
    };
    assert_ne!(name().await, name().await);
    assert_eq!(asked(&daemon, "ping", json!({})).await["result"], json!({}), "without one, too");
    let unknown = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}});
    assert_eq!(post(&daemon, &daemon.token, &unknown).await.status, 202);
    let none = json!({"jsonrpc": "2.0", "method": "notifications/cancelled"});
    assert_eq!(post(&daemon, &daemon.token, &none).await.status, 202);
    daemon.stop().await;
}
