//! Sessions and tokens: who is let in, as what, and until when.

use crate::gate::{Agent, started};
use crate::harness::{Daemon, refused};
use adjutant_model::client_run::ApprovalStatus;
use adjutant_protocol::Client;
use adjutant_protocol::http::{SessionMadeView, SessionParams, TokenRequest};
use adjutant_testkit::until;
use futures_util::StreamExt;
use serde_json::{Value, json};

fn wanted(agent_id: &str, role: &str, ttl_secs: Option<u64>) -> SessionParams {
    SessionParams { agent_id: agent_id.to_owned(), role: role.to_owned(), ttl_secs }
}

async fn session(daemon: &Daemon, role: &str) -> (SessionMadeView, Client) {
    let made = daemon.client.session_create(&wanted("ann", role, None)).await.expect("it is made");
    let client = daemon.client_with(&made.session_id);
    (made, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_shows_its_secret_once_and_its_public_name_everywhere() {
    let daemon = Daemon::start().await;
    let answer =
        daemon.send("POST /v1/sessions", r#"{"agent_id": "ann", "role": "OBSERVER", "ttl_secs": 60}"#).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!((&made["role"], &made["ttl_enforced"]), (&json!("observer"), &json!(true)));
    assert!(made["expires_at"].as_str().is_some());
    let (secret, id) = (made["session_id"].as_str().expect("a secret"), made["id"].as_str().expect("an id"));
    assert_eq!((secret.len(), id.len()), (64, 36));
    let client = daemon.client_with(secret);
    client.runs(1).await.expect("an observer reads");
    for list in ["GET /v1/sessions", "GET /v1/tokens", "GET /v1/tokens?all=true"] {
        let shown = daemon.send(list, "").await;
        assert!(shown.body.contains(id) && !shown.body.contains(secret), "{list} {shown:?}");
    }
    let events = daemon.plane.events_of(id, 0, 10).await.expect("they are read");
    assert_eq!(events.iter().map(|row| row.event.kind()).collect::<Vec<_>>(), ["session_attached"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_once_by_its_secret_and_by_its_name() {
    let daemon = Daemon::start().await;
    let (_, client) = session(&daemon, "observer").await;
    client.session_leave().await.expect("it ends");
    assert_eq!(refused(client.session_leave().await).0, 404, "once");
    assert_eq!(refused(client.runs(1).await).0, 401, "and lets nobody in");
    let host = format!("host: {}\r\n", daemon.host());
    for (authorization, status) in [
        (String::new(), 401),
        ("authorization: Basic abc\r\n".to_owned(), 400),
        ("authorization: Bearer\r\n".to_owned(), 400),
        ("authorization: Bearer unknown\r\n".to_owned(), 404),
        (format!("authorization: Bearer {}\r\n", daemon.token), 404),
    ] {
        let answer = daemon.send_with("DELETE /v1/sessions", &format!("{host}{authorization}")).await;
        assert_eq!(answer.status, status, "{authorization} {answer:?}");
        assert!(answer.error().hint.is_some() && !answer.body.contains(&daemon.token));
    }
    daemon.client.status().await.expect("the owner's token is no session and still good");

    let (made, client) = session(&daemon, "operator").await;
    daemon.client.session_end(&made.id).await.expect("it ends");
    assert_eq!(refused(client.runs(1).await).0, 401);
    assert_eq!(refused(daemon.client.session_end(&made.id).await).0, 404);
    for (id, status) in [("nobody", 400), ("01234567-89ab-cdef-0123-456789abcdef", 404), ("%2e%2e", 400)] {
        assert_eq!(refused(daemon.client.session_end(id).await).0, status, "{id}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_a_session_is_refused_with_what_can() {
    let daemon = Daemon::start().await;
    for (body, said) in [
        (json!({"agent_id": "a", "role": "root"}), "unknown role: `root`; known: operator, worker"),
        (json!({"agent_id": "a", "role": "host"}), "unknown role: `host`"),
        (json!({"agent_id": "a", "role": "worker", "ttl_secs": 0}), "between 1 and 2592000 seconds"),
        (json!({"agent_id": "a", "role": "worker", "ttl_secs": 2_592_001}), "not 2592001"),
        (json!({"agent_id": "a", "role": "worker", "ttl_secs": -1}), "at `ttl_secs`"),
        (json!({"agent_id": " ", "role": "worker"}), "1 to 256 bytes"),
        (json!({"agent_id": "a\nb", "role": "worker"}), "no control characters"),
        (json!({"agent_id": "a", "role": "worker", "scopes": ["*"]}), "unknown field `scopes`"),
        (json!({"agent_id": "a"}), "missing field `role`"),
    ] {
        let answer = daemon.send("POST /v1/sessions", &body.to_string()).await;
        assert_eq!(answer.status, 400, "{body} {answer:?}");
        assert!(answer.error().error.contains(said), "{body} {answer:?}");
    }
    assert!(daemon.client.sessions(None).await.expect("a list").sessions.is_empty());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_goes_where_it_may_and_nowhere_else() {
    let daemon = Daemon::start().await;
    let agent = daemon.client.token_create(&TokenRequest { agent_id: "a".into(), ttl_secs: None }).await;
    let agent = agent.expect("a token").token;
    let mut secrets = vec![("host", daemon.token.clone()), ("agent", agent)];
    for role in ["operator", "worker", "observer", "senior"] {
        secrets.push((role, session(&daemon, role).await.0.session_id));
    }
    // A status of 403 is a refusal by the role; whatever else comes was let through.
    for (line, body, may) in [
        ("GET /v1/runs", "", &["host", "operator", "observer", "senior"][..]),
        ("HEAD /v1/status", "", &["host", "operator", "observer", "senior"]),
        ("GET /v1/approvals", "", &["host", "operator", "observer", "senior"]),
        ("POST /v1/approvals/x", r#"{"decision": "deny"}"#, &["host", "operator", "senior"]),
        ("POST /v1/tasks", "{}", &["host", "operator"]),
        ("DELETE /v1/workspaces/x", "", &["host", "operator"]),
        ("POST /v1/goals", "{}", &["host", "operator"]),
        ("GET /v1/sessions", "", &["host", "operator", "observer", "senior"]),
        ("POST /v1/sessions", "{}", &["host", "operator"]),
        ("GET /v1/tokens", "", &["host"]),
        ("POST /v1/tokens", "{}", &["host"]),
        ("DELETE /v1/tokens/x", "", &["host"]),
    ] {
        for (role, secret) in &secrets {
            let head = format!("host: {}\r\nauthorization: Bearer {secret}\r\n", daemon.host());
            let answer = daemon.send_body(line, &head, body.as_bytes()).await;
            assert_eq!(answer.status != 403, may.contains(role), "{role} {line} {answer:?}");
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lets_in_who_may_do_more() {
    let daemon = Daemon::start().await;
    let (_, operator) = session(&daemon, "operator").await;
    for (role, status) in
        [("operator", 201), ("observer", 201), ("senior", 201), ("worker", 403), ("host", 400)]
    {
        let answer = operator.session_create(&wanted("bob", role, None)).await;
        assert_eq!(answer.map_or_else(|error| refused::<()>(Err(error)).0, |_| 201), status, "{role}");
    }
    let (worker, _) = session(&daemon, "worker").await;
    assert_eq!(refused(operator.session_end(&worker.id).await).0, 403);
    let others = operator.sessions(None).await.expect("it sees them").sessions;
    let peer = others
        .iter()
        .find(|other| other.agent_id == "bob" && other.role.as_deref() == Some("operator"))
        .expect("bob");
    operator.session_end(&peer.id).await.expect("it may");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_what_is_counted_of_it_survive_a_restart() {
    let daemon = Daemon::start().await;
    let (made, client) = session(&daemon, "observer").await;
    for _ in 0..3 {
        client.runs(1).await.expect("it reads");
    }
    let daemon = daemon.restarted().await;
    let client = daemon.client_with(&made.session_id);
    client.runs(1).await.expect("it still reads");
    let sessions = daemon.client.sessions(None).await.expect("a list").sessions;
    let found = sessions.iter().find(|session| session.id == made.id).expect("it is there");
    assert_eq!((found.uses, found.last_seen_at.is_some()), (Some(4), true));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_end_ends_what_it_has_open() {
    let daemon = Daemon::start().await;
    let short = daemon.client.session_create(&wanted("bob", "operator", Some(1))).await.expect("it is made");
    let client = daemon.client_with(&short.session_id);
    let mut feed = client.events(0, None).await.expect("the feed opens");
    while feed.next().await.is_some() {}
    assert_eq!(refused(client.runs(1).await).0, 401, "an operator's end is enforced like any other");
    assert_eq!(refused(client.session_leave().await).0, 404);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_back_and_whoever_it_let_in_is_let_go() {
    let daemon = Daemon::start().await;
    let (made, client) = session(&daemon, "observer").await;
    let mut feed = client.events(0, None).await.expect("the feed opens");
    let mut socket = daemon.web_socket(Some(&made.session_id)).await;
    socket.send(r#"{"jsonrpc": "2.0", "id": 1, "method": "server.info"}"#).await;
    assert!(socket.next().await.is_some(), "it is let in");
    let tokens = daemon.client.tokens().await.expect("a list").tokens;
    let token = tokens.iter().find(|token| token.session.as_ref() == Some(&made.id)).expect("it is listed");
    let revoked = daemon.client.token_revoke(&token.id).await.expect("it is taken back");
    assert!(revoked.revoked_at.is_some());
    assert_eq!(socket.next().await, None, "the connection ends");
    while feed.next().await.is_some() {}
    assert_eq!(refused(client.runs(1).await).0, 401);
    assert_eq!(refused(daemon.client.token_revoke(&token.id).await).0, 409, "once");
    assert!(daemon.client.tokens().await.expect("a list").tokens.iter().all(|other| other.id != token.id));
    let own =
        tokens.iter().filter(|token| token.role == "host").max_by_key(|token| token.uses).expect("ours");
    let (status, error) = refused(daemon.client.token_revoke(&own.id).await);
    assert_eq!((status, error.hint.is_some()), (409, true), "not the one that is shown");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_drives_no_runs_at_the_runtime_door() {
    let daemon = Daemon::start().await;
    for (role, drives) in [("observer", false), ("senior", false), ("operator", true), ("worker", true)] {
        let (made, _) = session(&daemon, role).await;
        let mut socket = daemon.web_socket(Some(&made.session_id)).await;
        let start = json!({"agent_id": "ann", "intent": "test"});
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "runs.start", "params": start});
        socket.send(&call.to_string()).await;
        let answer = socket.next().await.expect("an answer");
        assert_eq!(answer.get("result").is_some(), drives, "{role} {answer}");
        socket.close().await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_senior_answers_approvals_under_its_name() {
    let policy = "[[rule]]\nname = \"ask\"\neffect = \"ask\"\ntool = \"Read\"\n";
    let agent = Agent::new();
    let daemon = Daemon::with_settings(|settings| {
        settings.exe = agent.program();
        std::fs::write(settings.folder.join("policy.toml"), policy).expect("the policy is written");
    })
    .await;
    let (_, senior) = session(&daemon, "senior").await;
    let (run_id, token) = started(&daemon, &agent).await;
    let asker = daemon.client_with(&token);
    let call = serde_json::from_value(json!({"tool": "Read", "parameters": {}})).expect("a call");
    let (judged, ()) = tokio::join!(asker.gate_judge(&call), async {
        let pending = until(&daemon.plane, async || {
            Ok(daemon.plane.approvals(Some(ApprovalStatus::Pending), 1).await?.pop())
        })
        .await;
        let yes = serde_json::from_value(json!({"decision": "approve"})).expect("an answer");
        let answered = senior.approval_answer(&pending.id, &yes).await.expect("it may");
        assert_eq!(answered.resolved_by.as_deref(), Some("senior:ann"));
    });
    assert!(judged.expect("an answer").allowed, "{run_id}");
    agent.end().await;
    daemon.stop().await;
}
