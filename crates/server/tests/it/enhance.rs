//! Issues over the wire: opened, handled, listed, logged; and what is refused.

use crate::harness::{Daemon, refused};
use adjutant_protocol::ClientError;
use adjutant_protocol::http::{EnhanceSettingParams, IssueCancelParams, IssueParams, IssueView};
use adjutant_testkit::until;
use serde_json::{Value, json};

const NEW: &str =
    r#"{"ops": [{"op": "replace", "path": "/metadata/description", "value": "new"}], "rationale": "r"}"#;

fn blueprint() -> Value {
    json!({"id": "main", "metadata": {"description": "old"},
        "agents": [{"name": "identity", "kind": "function", "spec": {"fn_id": "identity"}}],
        "flow": {"kind": "step", "ref": "identity", "in": {"op": "lit", "value": 1}, "out": {"op": "path", "at": "$.x"}}})
}

/// Gives a setting whose spawner gives the intent as the patch.
fn setting() -> EnhanceSettingParams {
    let spawner = json!({"kind": "lua", "spec": {"source": "local ctx = ... return ctx.issue.intent"}});
    serde_json::from_value(json!({"ttl_secs": 60, "spawner": spawner})).expect("a setting")
}

async fn daemon() -> Daemon {
    let daemon = Daemon::start().await;
    let registered = daemon.send("POST /v1/blueprints/main", &blueprint().to_string()).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    daemon
}

async fn open(daemon: &Daemon, intent: &str) -> String {
    let params = IssueParams { blueprint_id: "main".to_owned(), intent: intent.to_owned() };
    let opened = daemon.client.issue_open(&params).await.expect("it is opened");
    assert_eq!(opened.status, "pending");
    opened.issue_id
}

async fn ended(daemon: &Daemon, id: &str) -> IssueView {
    until(&daemon.plane, async || {
        let issue = daemon.client.issue(id).await.expect("it is there");
        Ok((!["pending", "in_flight"].contains(&issue.status.as_str())).then_some(issue))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_goes_from_an_intent_to_a_version() {
    let daemon = daemon().await;
    let made = daemon.send("POST /v1/issues", r#"{"blueprint_id": "main", "intent": "wait"}"#).await;
    let opened: Value = serde_json::from_str(&made.body).expect("JSON");
    assert_eq!((made.status, &opened["status"]), (201, &json!("pending")));
    let waiting = opened["issue_id"].as_str().expect("an id").to_owned();
    until(&daemon.plane, async || {
        let issue = daemon.client.issue(&waiting).await.expect("it is there");
        Ok(issue.reason.filter(|reason| reason.contains("enhance setting")))
    })
    .await;
    let back = IssueCancelParams { reason: "no need".to_owned() };
    let cancelled = daemon.client.issue_cancel(&waiting, &back).await.expect("it is taken back");
    assert_eq!(
        (cancelled.status.as_str(), cancelled.reason.as_deref()),
        ("cancelled", Some("cancelled by host: no need"))
    );

    let kept = daemon.client.enhance_setting_put("default", &setting()).await.expect("it is kept");
    assert_eq!(
        (kept.blueprint_id.as_str(), kept.verifier_axes.len(), kept.ttl_secs),
        ("enhance-default", 5, 60)
    );
    assert_eq!(daemon.client.enhance_setting("default").await.expect("it is there"), kept);
    assert_eq!(daemon.client.enhance_settings().await.expect("a list"), ["default"]);

    let applied = ended(&daemon, &open(&daemon, NEW).await).await;
    let head = daemon.send("GET /v1/blueprints/main/head", "").await;
    let head: Value = serde_json::from_str(&head.body).expect("JSON");
    assert_eq!(
        (applied.status.as_str(), applied.new_version.as_deref()),
        ("applied", head["version"].as_str())
    );
    assert_eq!(head["blueprint"]["metadata"], json!({"description": "new", "version_label": "0.0.1"}));
    let run = daemon.client.run(applied.run_id.as_deref().expect("a run")).await.expect("it is there");
    assert_eq!(
        (run.status.as_str(), run.blueprint_id.as_str(), run.ttl_secs),
        ("done", "enhance-default", 60)
    );

    let rejected = ended(&daemon, &open(&daemon, NEW).await).await;
    assert_eq!(
        rejected.reason.as_deref(),
        Some("verifier deny: noop: patch is no-op (new_hash == prev_hash)")
    );
    let log = daemon.client.enhance_log(Some("main")).await.expect("a log");
    let told: Vec<_> = log.iter().map(|entry| (entry.status.as_str(), entry.fault)).collect();
    assert_eq!(told, [("applied", false), ("rejected", false)]);
    assert_eq!(daemon.client.enhance_entry(&rejected.issue_id).await.expect("an entry"), log[1]);
    assert_eq!(log[1].verdicts[2].axis, "noop");

    let of = async |blueprint: Option<&str>, status: Option<&str>| {
        daemon.client.issues(blueprint, status).await.expect("a list").issues
    };
    assert_eq!(of(None, None).await, [rejected, applied.clone(), cancelled], "the newest first");
    assert_eq!(of(Some("main"), Some("applied")).await, [applied]);
    assert!(of(Some("other"), None).await.is_empty());
    let one = daemon.send("GET /v1/issues?limit=1", "").await;
    assert_eq!(
        serde_json::from_str::<Value>(&one.body).expect("JSON")["issues"].as_array().map(Vec::len),
        Some(1)
    );
    daemon.client.enhance_setting_remove("default").await.expect("it is removed");
    assert!(daemon.client.enhance_settings().await.expect("a list").is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_says_what_to_do() {
    let daemon = daemon().await;
    let id = "h-00000000000000000000000000000000";
    for (line, body, status, code) in [
        ("POST /v1/issues", r#"{"blueprint_id": "main", "intent": "  "}"#, 400, "invalid_request"),
        ("POST /v1/issues", r#"{"blueprint_id": "main"}"#, 400, "invalid_request"),
        ("POST /v1/issues", r#"{"blueprint_id": "main", "intent": "x", "axes": []}"#, 400, "invalid_request"),
        ("POST /v1/issues", r#"{"blueprint_id": "nobody", "intent": "x"}"#, 404, "not_found"),
        ("POST /v1/issues", r#"{"blueprint_id": "../main", "intent": "x"}"#, 400, "invalid_request"),
        ("GET /v1/issues?status=open", "", 400, "invalid_request"),
        ("GET /v1/issues/h-1", "", 400, "invalid_request"),
        (&format!("GET /v1/issues/{id}"), "", 404, "not_found"),
        (&format!("POST /v1/issues/{id}/cancel"), "", 404, "not_found"),
        (&format!("GET /v1/enhance/log/{id}"), "", 404, "not_found"),
        ("GET /v1/enhance-settings/default", "", 404, "not_found"),
        ("DELETE /v1/enhance-settings/default", "", 404, "not_found"),
        ("POST /v1/enhance-settings", r#"{"ttl_secs": 1}"#, 400, "invalid_request"),
        ("PUT /v1/enhance-settings/default", r#"{"id": "other", "ttl_secs": 1}"#, 400, "invalid_request"),
        ("PUT /v1/enhance-settings/default", r#"{"ttl_secs": 1, "base": "x"}"#, 400, "invalid_request"),
        (
            "PUT /v1/enhance-settings/default",
            r#"{"ttl_secs": 1, "verifier_axes": []}"#,
            400,
            "invalid_request",
        ),
        (
            "PUT /v1/enhance-settings/default",
            r#"{"ttl_secs": 1, "verifier_axes": ["x"]}"#,
            400,
            "invalid_request",
        ),
        (
            "PUT /v1/enhance-settings/default",
            r#"{"ttl_secs": 1, "blueprint_id": "nobody"}"#,
            404,
            "not_found",
        ),
        ("PUT /v1/enhance-settings/..%2f..%2fescape", r#"{"ttl_secs": 1}"#, 400, "invalid_request"),
    ] {
        let answer = daemon.send(line, body).await;
        assert_eq!(
            (answer.status, answer.error().code.as_str()),
            (status, code),
            "{line} {body}: {}",
            answer.body
        );
    }
    let unknown = daemon.send("POST /v1/issues", r#"{"blueprint_id": "nobody", "intent": "x"}"#).await;
    assert!(unknown.error().hint.is_some_and(|hint| hint.contains("adjutant blueprint ls")));
    assert!(daemon.client.issues(None, None).await.expect("a list").issues.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_of_nothing_keeps_neither_the_setting_nor_its_blueprint() {
    let daemon = daemon().await;
    let mut orbit = blueprint();
    orbit["id"] = json!("orbit");
    let body = |ttl_secs: u64| json!({"id": "default", "ttl_secs": ttl_secs, "blueprint": orbit}).to_string();
    for line in ["POST /v1/enhance-settings", "PUT /v1/enhance-settings/default"] {
        let answer = daemon.send(line, &body(0)).await;
        assert_eq!(answer.status, 400, "{line}");
        assert!(answer.error().error.contains("ttl_secs: 0"), "{answer:?}");
    }
    assert_eq!(refused(daemon.client.enhance_setting("default").await).0, 404);
    assert_eq!(daemon.send("GET /v1/blueprints/orbit/head", "").await.status, 404);
    assert_eq!(daemon.send("POST /v1/enhance-settings", &body(9)).await.status, 201);
    assert_eq!(daemon.send("GET /v1/blueprints/orbit/head", "").await.status, 200);
    let again = daemon.send("PUT /v1/enhance-settings/default", &body(10)).await;
    assert_eq!(again.status, 200, "the head holds the same: {again:?}");
    orbit["metadata"]["description"] = json!("another");
    let other = json!({"ttl_secs": 9, "blueprint": orbit}).to_string();
    let moved = daemon.send("PUT /v1/enhance-settings/default", &other).await;
    assert_eq!(
        (moved.status, moved.error().code.as_str()),
        (409, "conflict"),
        "it is not what the head holds"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_agent_comes_nowhere_near() {
    let daemon = daemon().await;
    let request = serde_json::from_value(json!({"agent_id": "coder"})).expect("a request");
    let token = daemon.client.token_create(&request).await.expect("a token").token;
    let head = format!("host: {}\r\nauthorization: Bearer {token}\r\n", daemon.host());
    for line in
        ["GET /v1/issues", "PUT /v1/enhance-settings/default", "GET /v1/enhance/log", "POST /v1/issues"]
    {
        assert_eq!(daemon.send_with(line, &head).await.status, 403, "{line}");
    }
    let bare = format!("host: {}\r\n", daemon.host());
    assert_eq!(daemon.send_with("GET /v1/issues", &bare).await.status, 401);
    assert!(matches!(daemon.client.issue("..").await, Err(ClientError::Id(_))));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_an_intent_is_not_kept() {
    let daemon = daemon().await;
    let id = open(&daemon, "use ghp_abcdefghijklmnopqrstuvwxyz0123456789 for it").await;
    let issue = daemon.client.issue(&id).await.expect("it is there");
    assert_eq!(issue.intent, "use [redacted:github-token] for it");
    daemon.stop().await;
}
