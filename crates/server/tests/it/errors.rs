//! Errors over HTTP: who may look, who may agree, and the shapes of the answers.

use crate::harness::{Daemon, refused};
use adjutant_engine::reports::ErrorTap;
use adjutant_protocol::http::{ReportParams, SessionParams};
use serde_json::{Value, json};
use std::fs;

/// Starts a daemon for which another program has left an error.
async fn with_an_error() -> Daemon {
    Daemon::with_settings(|settings| {
        settings.errors = ErrorTap::default();
        let line = json!({"at": "2026-01-31T09:30:00Z", "version": "0.1.0", "target": "adjutant::x",
            "message": "it broke", "fields": "", "location": null, "occurrences": 3});
        fs::write(settings.folder.join("errors.jsonl"), format!("{line}\n")).expect("it is left");
    })
    .await
}

fn json_of(body: &str) -> Value {
    serde_json::from_str(body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_have_the_members_that_clients_know() {
    let daemon = with_an_error().await;
    let list = daemon.send("GET /v1/errors", "").await;
    let list = json_of(&list.body);
    assert_eq!((&list["total"], &list["limit"]), (&json!(1), &json!(20)));
    let error = &list["errors"][0];
    let fingerprint = error["fingerprint"].as_str().expect("a fingerprint");
    assert_eq!(fingerprint.len(), 64);
    assert_eq!(error["summary"], "[adjutant::x] it broke");
    assert_eq!((&error["occurrences"], &error["timestamp_secs"]), (&json!(3), &json!(1_769_851_800)));
    for member in ["crate_target", "crate_version", "os", "arch"] {
        assert!(error[member].is_string(), "{member}: {error}");
    }
    let preview = daemon.client.error_preview(fingerprint).await.expect("it is shown");
    assert_eq!((preview.title.as_str(), preview.hash.len()), ("[adjutant::x] it broke", 64));
    assert_eq!(preview.labels, ["bug", "auto-reported", "adjutant"]);
    let asked = daemon.send(&format!("POST /v1/errors/{fingerprint}/report"), "{\"confirm\": false}").await;
    let asked = json_of(&asked.body);
    assert_eq!((&asked["filed"], &asked["preview"]["hash"]), (&json!(false), &json!(preview.hash)));
    assert!(asked["note"].is_string() && asked.get("issue_url").is_none(), "{asked}");
    let confirm = ReportParams { confirm: true, preview: Some(preview.hash) };
    let unsent = daemon.client.error_report(fingerprint, &confirm).await.expect("it is answered");
    assert!(!unsent.filed && unsent.preview.is_none(), "{unsent:?}");
    assert!(unsent.note.is_some_and(|note| note.contains("repository")));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unknown_or_malformed_is_refused() {
    let daemon = with_an_error().await;
    let unknown = "0".repeat(64);
    assert_eq!(refused(daemon.client.error(&unknown).await).0, 404);
    assert_eq!(refused(daemon.client.error("nonsense").await).0, 404);
    assert_eq!(refused(daemon.client.error_preview(&unknown).await).0, 404);
    for confirm in [false, true] {
        let params = ReportParams { confirm, preview: None };
        let (status, error) = refused(daemon.client.error_report(&unknown, &params).await);
        assert_eq!((status, error.code.as_str()), (404, "not_found"));
    }
    for (line, body) in [
        ("GET /v1/errors?limit=0", ""),
        ("GET /v1/errors?limit=101", ""),
        ("GET /v1/errors?limit=many", ""),
        ("GET /v1/errors?else=1", ""),
        ("POST /v1/errors/x/report", "{\"confirm\": 1}"),
        ("POST /v1/errors/x/report", "{\"sure\": true}"),
    ] {
        assert_eq!(daemon.send(line, body).await.status, 400, "{line} {body}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_agrees() {
    let daemon = with_an_error().await;
    let fingerprint =
        daemon.client.errors(None).await.expect("they are listed").errors[0].fingerprint.clone();
    for (role, looks, previews) in
        [("operator", 200, 200), ("observer", 200, 403), ("senior", 200, 403), ("worker", 403, 403)]
    {
        let params = SessionParams { agent_id: "a".to_owned(), role: role.to_owned(), ttl_secs: None };
        let token = daemon.client.session_create(&params).await.expect("it is let in").session_id;
        for (line, status) in [
            ("GET /v1/errors".to_owned(), looks),
            (format!("GET /v1/errors/{fingerprint}"), looks),
            (format!("POST /v1/errors/{fingerprint}/preview"), previews),
            (format!("POST /v1/errors/{fingerprint}/report"), 403),
        ] {
            assert_eq!(daemon.send_as(&token, &line, "").await.status, status, "{role} {line}");
        }
    }
    daemon.stop().await;
}
