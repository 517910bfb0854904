//! Frames that nobody should send, and sockets that nobody should open.

use super::*;
use futures_util::SinkExt;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_answered_by_an_error_and_changes_nothing() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    let req_id = spawn["req_id"].as_str().expect("a text").to_owned();
    let rows: Vec<(String, Option<&str>, &str)> = vec![
        ("{".to_owned(), None, "cannot be read"),
        ("7".to_owned(), None, "cannot be read"),
        ("[]".to_owned(), None, "cannot be read"),
        (json!({"type": "shout"}).to_string(), None, "shout"),
        (json!({"type": "spawn_ack"}).to_string(), None, "req_id"),
        (json!({"type": "spawn_ack", "req_id": 5}).to_string(), None, "expected a string"),
        (json!({"type": "spawn_ack", "req_id": "x", "extra": 1}).to_string(), Some("x"), "extra"),
        (json!({"type": "spawn_ack", "req_id": "x"}).to_string(), Some("x"), "req_id"),
        (json!({"type": "answer", "req_id": req_id, "value": 1}).to_string(), Some(&req_id), "no reply to"),
        (json!({"type": "hook_ack", "req_id": req_id, "ok": true}).to_string(), Some(&req_id), "no reply to"),
        (format!("{}{}", "[".repeat(5000), "]".repeat(5000)), None, "cannot be read"),
        (format!("{{\"type\":\"spawn_ack\",\"req_id\":\"{req_id}\"}} {{}}"), None, "trailing"),
    ];
    for (frame, named, told) in rows {
        operator.socket().send(&frame).await;
        let error = operator.frame("error").await;
        assert_eq!(error["req_id"].as_str(), named, "{frame}: {error}");
        assert!(error["error"].as_str().expect("a text").contains(told), "{frame}: {error}");
    }
    operator.socket().0.send(Message::binary(vec![0xff; 100])).await.expect("it is sent");
    assert!(operator.frame("error").await["error"].as_str().expect("a text").contains("texts"));
    assert!(!daemon.plane.run_get(&run_id).await.expect("it is there").status.is_terminal());
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_operator_s_request_is_none_of_one_s_own() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let mut other = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    other.ack(&spawn).await;
    let error = other.frame("error").await;
    assert_eq!(error["code"], json!("conflict"));
    let mut unknown = spawn.clone();
    unknown["req_id"] = json!(spawn["req_id"].as_str().expect("a text").replace("-1-", "-2-"));
    other.ack(&unknown).await;
    let same = other.frame("error").await;
    assert_eq!(error["error"], same["error"], "foreign and unknown look the same");
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    operator.ack(&spawn).await;
    assert_eq!(operator.frame("error").await["error"], error["error"], "answered and unknown too");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_large_ends_the_socket_and_not_the_operator() {
    let daemon = Daemon::start().await;
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    let huge = json!({"type": "spawn_ack", "req_id": spawn["req_id"], "value": "x".repeat(3 << 20)});
    // The daemon may close before all of it is sent.
    drop(operator.socket().0.send(Message::text(huge.to_string())).await);
    while operator.shown(&daemon).await["connected"] == json!(true) {
        tokio::task::yield_now().await;
    }
    operator.connect(&daemon).await;
    let spawn = operator.frame("spawn").await;
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_floods_and_does_not_read_harms_nobody_else() {
    let daemon = Daemon::start().await;
    let mut flooding = Operator::present(&daemon).await;
    let garbage = "x".repeat(64 * 1024);
    let flood = async {
        for _ in 0..2000 {
            if flooding.socket().0.send(Message::text(garbage.as_str())).await.is_err() {
                break;
            }
        }
    };
    // What it is answered piles up on its side, and then nothing more is read of it.
    drop(tokio::time::timeout(Duration::from_secs(2), flood).await);
    let mut operator = Operator::present(&daemon).await;
    let run_id = launch(&daemon, operated(json!({}), json!({})), json!({"operator_sid": operator.sid})).await;
    let spawn = operator.frame("spawn").await;
    operator.ack(&spawn).await;
    ended(&daemon, &run_id).await;
    drop(flooding);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_is_opened_by_its_own_operator_s_token() {
    let daemon = Daemon::start().await;
    let operator = Operator::join(&daemon, json!({})).await;
    let other = Operator::join(&daemon, json!({})).await;
    let path = format!("/v1/operators/{}/ws", operator.sid);
    let nobody = format!("/v1/operators/op_{}/ws", "0".repeat(32));
    for (token, path, status) in [
        (Some(&other.token), &path, 403),
        (Some(&operator.token), &nobody, 404),
        (None, &path, 401),
        // The token is good, and the request opens no WebSocket.
        (Some(&operator.token), &path, 400),
    ] {
        let line = format!("GET {path}");
        let raw = match token {
            Some(token) => daemon.send_as(token, &line, "").await,
            None => daemon.send_with(&line, &format!("host: {}\r\n", daemon.host())).await,
        };
        assert_eq!(raw.status, status, "{raw:?}");
        assert!(!raw.error().error.is_empty());
    }
    for (token, line, status) in [
        (&other.token, format!("GET /v1/operators/{}", operator.sid), 403),
        (&other.token, format!("DELETE /v1/operators/{}", operator.sid), 403),
        (&other.token, "GET /v1/operators/op_x".to_owned(), 404),
        (&operator.token, "GET /v1/operators?limit=1".to_owned(), 200),
        (&daemon.token, format!("GET /v1/operators/{}", operator.sid), 200),
    ] {
        assert_eq!(daemon.send_as(token, &line, "").await.status, status, "{line}");
    }
    daemon.stop().await;
}
