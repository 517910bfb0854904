//! The MCP door over real HTTP: by a real client in each revision, and by requests as they stand on the wire.

mod acceptance;
mod delegations;
mod errors;
mod form;
mod goals;
mod long;
mod reports;
mod runs;
mod spawning;
mod tasks;
mod weaknesses;

use crate::harness::{Daemon, Raw};
use rmcp::model::{
    CallToolRequestParams, ClientCapabilities, Implementation, InitializeRequestParams, ProtocolVersion,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt, RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use serde_json::{Value, json};
use std::collections::BTreeSet;

type Client = RunningService<RoleClient, InitializeRequestParams>;

/// Connects a real client with a token, in a revision.
async fn client(daemon: &Daemon, token: &str, revision: ProtocolVersion) -> Client {
    let config = StreamableHttpClientTransportConfig::with_uri(format!("http://{}/mcp", daemon.host()));
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let own = InitializeRequestParams::new(ClientCapabilities::default(), Implementation::new("test", "1"));
    let lifecycle = match revision == ProtocolVersion::V_2026_07_28 {
        true => ClientLifecycleMode::Discover { preferred_versions: vec![revision.clone()] },
        false => ClientLifecycleMode::Initialize,
    };
    own.with_protocol_version(revision).serve_with_lifecycle(transport, lifecycle).await.expect("it connects")
}

/// Posts a message with a token and gives the answer as it came.
async fn post(daemon: &Daemon, token: &str, message: &Value) -> Raw {
    let revision = match message["method"] == "initialize" {
        true => "",
        false => "mcp-protocol-version: 2025-11-25\r\n",
    };
    let head = format!(
        "host: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{revision}",
        daemon.host()
    );
    daemon.send_body("POST /mcp", &head, message.to_string().as_bytes()).await
}

/// Asks something with the owner's token, and gives what came.
async fn asked(daemon: &Daemon, method: &str, params: Value) -> Value {
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = post(daemon, &daemon.token, &message).await;
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// Calls a tool with a token, and gives its result.
pub(crate) async fn called_as(daemon: &Daemon, token: &str, name: &str, arguments: Value) -> Value {
    let params = json!({"name": name, "arguments": arguments});
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
    let answer = post(daemon, token, &message).await;
    let mut answer: Value =
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"));
    assert!(answer.get("error").is_none(), "{answer}");
    answer["result"].take()
}

/// Calls a tool that does what it should, and gives its structured content.
#[track_caller]
fn structured(result: Value) -> Value {
    assert_ne!(result["isError"], json!(true), "{result}");
    assert_eq!(result["content"][0]["type"], "text", "{result}");
    result["structuredContent"].clone()
}

async fn told(daemon: &Daemon, name: &str, arguments: Value) -> Value {
    structured(called_as(daemon, &daemon.token, name, arguments).await)
}

/// Calls a tool that is refused, and gives code and message.
async fn refused(daemon: &Daemon, name: &str, arguments: Value) -> (String, String) {
    refusal(&called_as(daemon, &daemon.token, name, arguments).await)
}

#[track_caller]
fn refusal(result: &Value) -> (String, String) {
    assert_eq!(result["isError"], json!(true), "{result}");
    assert!(result.get("structuredContent").is_none(), "{result}");
    let text = result["content"][0]["text"].as_str().expect("a text");
    let error: Value = serde_json::from_str(text).expect("JSON");
    assert!(error.get("hint").is_some(), "{error}");
    let member = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (member("code"), member("message"))
}

/// Makes a session of a role and gives its token.
async fn token(daemon: &Daemon, role: &str) -> String {
    let body = json!({"agent_id": "somebody", "role": role}).to_string();
    let made: Value =
        serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
    made["session_id"].as_str().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_client_begins_and_calls_in_each_revision() {
    let daemon = Daemon::start().await;
    for revision in
        [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28]
    {
        let client = client(&daemon, &daemon.token, revision.clone()).await;
        let server = client.peer_info().expect("the server has said who it is");
        assert_eq!(server.server_info.as_ref().map(|own| own.name.as_str()), Some("adjutant"));
        assert_eq!(server.protocol_version, revision);
        let tools = client.list_all_tools().await.expect("they are listed");
        assert!(tools.len() >= 20, "{}", tools.len());
        let result =
            client.call_tool(CallToolRequestParams::new("session_list")).await.expect("it is called");
        assert_eq!(result.structured_content, Some(json!({"sessions": []})));
        assert_eq!(result.content[0].as_text().expect("a text").text, "[]", "the text is the bare list");
        let prompts = client.list_all_prompts().await.expect("they are listed");
        let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        assert_eq!(names, ["delegate", "review", "verify"]);
        assert_eq!(
            client.list_all_resources().await.expect("they are listed")[0].uri,
            "adjutant://guides/sessions"
        );
        assert!(client.list_all_resource_templates().await.expect("they are listed").len() >= 4);
        client.cancel().await.expect("it goes");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_answered_as_the_protocol_says_and_in_one_json_document() {
    let daemon = Daemon::start().await;
    let begun = asked(
        &daemon,
        "initialize",
        json!({"protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"}}),
    )
    .await;
    assert_eq!(begun["result"]["serverInfo"]["name"], "adjutant", "{begun}");
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18");
    let old = asked(
        &daemon,
        "initialize",
        json!({"protocolVersion": "2024-11-05", "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"}}),
    )
    .await;
    assert_ne!(old["result"]["protocolVersion"], "2024-11-05", "{old}");
    assert_eq!(asked(&daemon, "no/such", json!({})).await["error"]["code"], -32601);
    assert_eq!(asked(&daemon, "ping", json!({})).await["result"], json!({}));
    assert_eq!(asked(&daemon, "tools/call", json!({"arguments": {}})).await["error"]["code"], -32602);
    assert_eq!(
        asked(&daemon, "resources/read", json!({"uri": "adjutant://guides/no"})).await["error"]["code"],
        -32002
    );
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = post(&daemon, &daemon.token, &notification).await;
    assert_eq!((answer.status, answer.body.as_str()), (202, ""));
    let listed = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let answer = post(&daemon, &daemon.token, &listed).await;
    assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
    let page: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(page["id"], 7);
    assert!(page["result"].get("nextCursor").is_none(), "all tools are on one page");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_token_or_from_a_foreign_page() {
    let daemon = Daemon::start().await;
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let (host, token) = (daemon.host(), daemon.token.clone());
    let json = "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
    for (head, status) in [
        (format!("host: {host}\r\n{json}"), 401),
        (format!("host: {host}\r\nauthorization: Bearer adj_no\r\n{json}"), 401),
        (format!("host: evil.example\r\nauthorization: Bearer {token}\r\n{json}"), 403),
        (
            format!("host: {host}\r\norigin: http://evil.example\r\nauthorization: Bearer {token}\r\n{json}"),
            403,
        ),
        (format!("host: {host}\r\norigin: http://{host}\r\nauthorization: Bearer {token}\r\n{json}"), 200),
    ] {
        let answer = daemon.send_body("POST /mcp", &head, message.as_bytes()).await;
        assert_eq!(answer.status, status, "{head}: {answer:?}");
    }
    for method in ["GET", "DELETE"] {
        let answer = daemon.send(&format!("{method} /mcp"), "").await;
        assert_eq!(answer.status, 405, "{answer:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_sees_and_calls_what_its_role_may() {
    let daemon = Daemon::start().await;
    let listed = async |token: &str| -> BTreeSet<String> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        let page: Value = serde_json::from_str(&post(&daemon, token, &message).await.body).expect("JSON");
        let tools = page["result"]["tools"].as_array().expect("tools").clone();
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    };
    let token = async |role: &str| {
        let body = json!({"agent_id": "somebody", "role": role}).to_string();
        let made: Value =
            serde_json::from_str(&daemon.send("POST /v1/sessions", &body).await.body).expect("JSON");
        made["session_id"].as_str().expect("a token").to_owned()
    };
    let owner = listed(&daemon.token).await;
    let observer = token("observer").await;
    let seen = listed(&observer).await;
    assert!(seen.contains("session_list") && !seen.contains("session_new"), "{seen:?}");
    assert!(!seen.contains("approval_resolve") && !seen.contains("hook_event"), "{seen:?}");
    let senior = listed(&token("senior").await).await;
    assert!(senior.contains("approval_resolve") && !senior.contains("session_send"), "{senior:?}");
    let operator = listed(&token("operator").await).await;
    let only_the_owner: Vec<&String> = owner.difference(&operator).collect();
    assert_eq!(only_the_owner, ["config_write", "hook_event", "report_bug"]);
    let stop = json!({"session_id": "00000000-0000-0000-0000-000000000000"});
    let (code, message) = refusal(&called_as(&daemon, &observer, "session_stop", stop).await);
    assert_eq!(code, "forbidden");
    assert!(message.contains("observer"), "{message}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guides_and_prompts_are_read_and_filled() {
    let daemon = Daemon::start().await;
    for name in ["sessions", "approvals", "goals"] {
        let read =
            asked(&daemon, "resources/read", json!({"uri": format!("adjutant://guides/{name}")})).await;
        let content = &read["result"]["contents"][0];
        assert_eq!(content["mimeType"], "text/markdown", "{read}");
        assert!(content["text"].as_str().is_some_and(|text| text.starts_with("# ")), "{read}");
    }
    let filled =
        asked(&daemon, "prompts/get", json!({"name": "verify", "arguments": {"goal": "it compiles"}})).await;
    let text = filled["result"]["messages"][0]["content"]["text"].as_str().expect("a text");
    assert!(text.contains("it compiles"), "{filled}");
    assert_eq!(asked(&daemon, "prompts/get", json!({"name": "verify"})).await["error"]["code"], -32602);
    daemon.stop().await;
}
