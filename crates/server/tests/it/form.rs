//! Every refusal has the one form of errors.

use crate::harness::Daemon;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_what_and_where() {
    let daemon = Daemon::start().await;
    let run = "run_00000000000000000000000000000000";
    for (line, body, status, code, says) in [
        ("GET /v1/nothing", "", 404, "not_found", "/v1/nothing"),
        ("PUT /v1/runs", "", 405, "method_not_allowed", "PUT"),
        ("DELETE /openapi.json", "", 405, "method_not_allowed", "DELETE"),
        ("GET /v1/runs/nonsense", "", 400, "invalid_request", "run_ and 32 hex digits"),
        ("GET /v1/tasks/nonsense", "", 400, "invalid_request", "task_ and 32 hex digits"),
        ("GET /v1/goals/nonsense", "", 400, "invalid_request", "g- and 16 hex digits"),
        ("GET /v1/runs?cursor=nonsense", "", 400, "invalid_request", "run_ and 32 hex digits"),
        ("GET /v1/runs?status=asleep", "", 400, "invalid_request", "`asleep`"),
        ("GET /v1/goals?status=asleep", "", 400, "invalid_request", "`asleep`"),
        (&format!("GET /v1/runs/{run}"), "", 404, "not_found", run),
        (&format!("GET /v1/runs/{run}/trace"), "", 404, "not_found", run),
        ("POST /v1/goals", "{\"description\": ", 400, "invalid_request", "line 1 column"),
        ("POST /v1/goals", "{\n \"description\": }", 400, "invalid_request", "line 2 column"),
        ("POST /v1/goals", "{\"description\": 3}", 400, "invalid_request", "expected a string"),
        ("POST /v1/goals", "{\"descripton\": \"x\"}", 400, "invalid_request", "`descripton`"),
        ("POST /v1/goals", "", 400, "invalid_request", "`description`"),
        (
            "POST /v1/tasks",
            "{\"blueprint\": {\"kind\": \"id\", \"id\": \"x\"}}",
            400,
            "invalid_request",
            "`init_ctx`",
        ),
    ] {
        let answer = daemon.send(line, body).await;
        let error = answer.error();
        assert_eq!((answer.status, error.code.as_str()), (status, code), "{line} {body}: {error}");
        assert!(error.error.contains(says), "{line} {body}: {error}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_too_large() {
    let daemon = Daemon::start().await;
    let body = |len: usize| format!("{{\"description\": \"{}\"}}", "x".repeat(len));
    let answer = daemon.send("POST /v1/goals", &body(2 << 20)).await;
    assert_eq!((answer.status, answer.error().code.as_str()), (413, "too_large"), "{}", answer.head);
    assert!(daemon.client.goals(None).await.expect("it answers").goals.is_empty());
    daemon.stop().await;
}
