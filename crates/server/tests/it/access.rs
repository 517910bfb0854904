//! Who gets in, and from where.

use crate::harness::Daemon;

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_health_needs_a_token() {
    let daemon = Daemon::start().await;
    let host = format!("host: {}\r\n", daemon.host());
    let health = daemon.send_with("GET /v1/healthz", &host).await;
    assert_eq!(health.status, 200, "{health:?}");
    for line in [
        "POST /v1/tasks",
        "GET /v1/tasks",
        "GET /v1/tasks/x",
        "GET /v1/runs",
        "GET /v1/runs/x",
        "GET /v1/runs/x/trace",
        "POST /v1/runs/x/cancel",
        "GET /v1/events",
        "POST /v1/goals",
        "GET /v1/goals",
        "GET /v1/goals/x",
        "POST /v1/goals/x/links",
        "POST /v1/goals/x/evidence",
        "POST /v1/goals/x/notes",
        "POST /v1/goals/x/status",
        "POST /v1/goals/x/check",
        "POST /v1/goals/x/close",
        "POST /v1/gate/judge",
        "POST /v1/gate/turns/0/settle",
        "POST /v1/gate/progress",
        "GET /v1/workspaces",
        "GET /v1/workspaces/x/diff",
        "DELETE /v1/workspaces/x",
        "GET /v1/approvals",
        "POST /v1/approvals/x",
        "GET /v1/data",
        "POST /v1/data/emit",
        "POST /v1/data/x",
        "GET /v1/data/x",
        "POST /v1/sessions",
        "GET /v1/sessions",
        "DELETE /v1/sessions/x",
        "POST /v1/tokens",
        "GET /v1/tokens",
        "DELETE /v1/tokens/x",
        "GET /v1/status",
        "GET /v1/doctor",
        "GET /openapi.json",
        "GET /nowhere",
        "PUT /v1/runs",
    ] {
        for authorization in
            ["", "authorization: Bearer 00\r\n", "authorization: Bearer \r\n", "authorization: Basic x\r\n"]
        {
            let answer = daemon.send_with(line, &format!("{host}{authorization}")).await;
            assert_eq!(
                (answer.status, answer.error().code.as_str()),
                (401, "unauthenticated"),
                "{line} {authorization}"
            );
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
            assert!(answer.error().hint.is_some(), "{line} {authorization}");
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_host_or_origin_is_turned_away_before_the_token_is_looked_at() {
    let daemon = Daemon::start().await;
    let host = daemon.host();
    let port = host.rsplit_once(':').expect("a port").1.to_owned();
    for (head, passes) in [
        (format!("host: {host}\r\n"), true),
        (format!("host: localhost:{port}\r\n"), true),
        (format!("host: [::1]:{port}\r\n"), true),
        (format!("host: {host}\r\norigin: http://{host}\r\n"), true),
        (format!("host: {host}\r\norigin: https://{host}\r\n"), false),
        (format!("host: {host}\r\norigin: http://127.0.0.1:1\r\n"), false),
        (format!("host: {host}\r\norigin: null\r\n"), false),
        (format!("host: evil.example:{port}\r\n"), false),
    ] {
        let answer = daemon.send_with("GET /v1/healthz", &head).await;
        assert_eq!(answer.status, if passes { 200 } else { 403 }, "{head}");
        if !passes {
            assert_eq!(answer.error().code, "forbidden");
            assert!(answer.error().hint.is_some(), "{head}");
        }
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unix_socket_serves_the_same_routes_whatever_the_host_says() {
    let daemon = Daemon::start().await;
    let health = daemon.send_through_socket("GET /v1/healthz", "host: anything\r\n").await;
    assert_eq!(health.status, 200, "{health:?}");
    let refused = daemon.send_through_socket("GET /v1/status", "host: anything\r\n").await;
    assert_eq!(refused.status, 401, "a token is needed here too");
    let head = format!("host: anything\r\nauthorization: Bearer {}\r\n", daemon.token);
    let status = daemon.send_through_socket("GET /v1/status", &head).await;
    assert_eq!(status.status, 200, "{status:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_status_say_how_the_daemon_is() {
    let daemon = Daemon::start().await;
    let health = daemon.client.health().await.expect("it answers");
    assert_eq!(health.status, "ok");
    let status = daemon.client.status().await.expect("it answers");
    assert_eq!((status.version, status.pid, status.runs_open), (health.version, std::process::id(), 0));
    assert!(status.journal_seq >= 1, "its start is in the journal");
    assert_eq!(status.store_failure, None);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_stops_does_not_wait_for_who_follows_its_journal() {
    let daemon = Daemon::start().await;
    let follower = daemon.client.events(0, None).await.expect("the stream opens");
    tokio::time::timeout(std::time::Duration::from_secs(20), daemon.stop()).await.expect("it stops");
    drop(follower);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_while_its_client_still_sends() {
    let daemon = Daemon::start().await;
    for (line, mib) in [("POST /v1/tasks", 10), ("POST /v1/data/huge", 65), ("POST /v1/worker/submit", 20)] {
        let answer = daemon.send(line, &"x".repeat(mib << 20)).await;
        assert_eq!((answer.status, answer.error().code.as_str()), (413, "too_large"), "{line}");
    }
    daemon.stop().await;
}
