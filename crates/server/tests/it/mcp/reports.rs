//! Errors of Adjutant over MCP: a model words a report and asks, a person agrees, and nothing leaves before.

use super::{called_as, refusal, refused, token, told};
use crate::harness::Daemon;
use adjutant_engine::Settings;
use adjutant_engine::reports::ErrorTap;
use adjutant_model::report::FilingState;
use adjutant_testkit::github::{REPOSITORY, TOKEN, private_file};
use adjutant_testkit::{FakeGithub, until};
use serde_json::json;

/// Has reports go to a GitHub of the test's own, and another program leave these errors.
pub(super) fn reporting(settings: &mut Settings, github: &FakeGithub, messages: &[String]) {
    settings.errors = ErrorTap::default();
    settings.reports.api_base_set(github.url()).expect("an address");
    settings.reports.repository_set(REPOSITORY).expect("a repository");
    private_file(&settings.folder.join("report-token"), TOKEN);
    let line = |message: &String| {
        let line = json!({"at": "2026-01-31T09:30:00Z", "version": "0.1.0", "target": "adjutant::x",
            "message": message, "fields": "", "location": null, "occurrences": 1});
        format!("{line}\n")
    };
    let lines: String = messages.iter().map(line).collect();
    std::fs::write(settings.folder.join("errors.jsonl"), lines).expect("they are left");
}

/// Gives the fingerprints of errors by what they say.
pub(super) async fn fingerprint(daemon: &Daemon, message: &str) -> String {
    let errors = told(daemon, "list_recent_errors", json!({"limit": 100})).await;
    let found = errors["errors"].as_array().expect("a list").iter();
    let mut found = found.filter(|one| one["summary"].as_str().is_some_and(|text| text.contains(message)));
    found.next().expect("it is there")["fingerprint"].as_str().expect("a fingerprint").to_owned()
}

async fn with_two_errors(github: &FakeGithub) -> Daemon {
    let messages = ["one broke", "other broke"].map(str::to_owned);
    Daemon::with_settings(|settings| reporting(settings, github, &messages)).await
}

async fn filed(daemon: &Daemon, fingerprint: &str) {
    until(&daemon.plane, async || {
        let filing = daemon.plane.error_get(fingerprint).await?.filing;
        Ok(filing.filter(|filing| filing.state == FilingState::Filed))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_asks_for_a_report_and_only_the_owner_at_a_face_of_people_agrees() {
    let github = FakeGithub::start();
    let daemon = with_two_errors(&github).await;
    let one = fingerprint(&daemon, "one broke").await;
    let report = json!({"fingerprint": one, "confirm": true});
    let waits = told(&daemon, "report_bug", report.clone()).await;
    assert_eq!(waits["filed"], json!(false), "{waits}");
    let id = waits["approval_id"].as_str().expect("an approval").to_owned();
    assert!(waits["note"].as_str().is_some_and(|note| note.contains(&id)), "{waits}");
    assert_eq!(told(&daemon, "report_bug", report).await["approval_id"], json!(id), "it is asked once");

    let resolve = json!({"approval_id": id, "decision": "approve"});
    for role in ["owner", "operator", "senior"] {
        let shown = if role == "owner" { daemon.token.clone() } else { token(&daemon, role).await };
        let (code, message) = refusal(&called_as(&daemon, &shown, "approval_resolve", resolve.clone()).await);
        assert_eq!(code, "forbidden", "{role}: {message}");
    }
    let line = format!("POST /v1/approvals/{id}");
    let approve = json!({"decision": "approve"}).to_string();
    let senior = daemon.send_as(&token(&daemon, "senior").await, &line, &approve).await;
    assert_eq!(senior.status, 403, "{senior:?}");
    assert_eq!(github.calls(), [], "nothing has left");

    let listed = told(&daemon, "approval_list", json!({})).await;
    let shown = &listed["approvals"][0]["parameters"];
    assert_eq!((&shown["body"], &shown["preview"]), (&waits["preview"]["body"], &waits["preview"]["hash"]));
    assert_eq!(
        (&shown["to"], &shown["title"]),
        (&waits["preview"]["destination"], &waits["preview"]["title"])
    );
    assert_eq!(daemon.send(&line, &approve).await.status, 200);
    filed(&daemon, &one).await;
    let issues = github.issues();
    assert_eq!(issues.len(), 1);
    assert_eq!(
        (json!(issues[0].title), json!(issues[0].body)),
        (shown["title"].clone(), shown["body"].clone())
    );
    let again = told(&daemon, "report_bug", json!({"fingerprint": one, "confirm": true})).await;
    assert_eq!((&again["filed"], &again["rate_limited"]), (&json!(false), &json!(true)), "{again}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_denies_or_a_restart_withdraws_is_not_filed() {
    let github = FakeGithub::start();
    let daemon = with_two_errors(&github).await;
    let one = fingerprint(&daemon, "one broke").await;
    let asked = async |daemon: &Daemon| {
        let waits = told(daemon, "report_bug", json!({"fingerprint": one, "confirm": true})).await;
        waits["approval_id"].as_str().expect("an approval").to_owned()
    };
    let answered = async |daemon: &Daemon, id: &str, decision: &str| {
        let body = json!({"decision": decision}).to_string();
        daemon.send(&format!("POST /v1/approvals/{id}"), &body).await.status
    };
    let denied = asked(&daemon).await;
    assert_eq!(answered(&daemon, &denied, "deny").await, 200);
    let withdrawn = asked(&daemon).await;
    assert_ne!(withdrawn, denied);
    let daemon = daemon.restarted_with(|settings| reporting(settings, &github, &[])).await;
    assert_eq!(answered(&daemon, &withdrawn, "approve").await, 409, "nobody waits for it any more");
    assert_eq!(github.calls(), []);
    assert_eq!(daemon.plane.error_get(&one).await.expect("it is there").filing, None);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_about_a_preview_of_that_error_and_only_where_it_could_be_filed() {
    let github = FakeGithub::start();
    let daemon = with_two_errors(&github).await;
    let (one, other) = (fingerprint(&daemon, "one broke").await, fingerprint(&daemon, "other broke").await);
    let shown = told(&daemon, "preview_bug_report", json!({"fingerprint": other})).await;
    for hash in [shown["hash"].as_str().expect("a hash"), &"0".repeat(64), "x"] {
        let report = json!({"fingerprint": one, "confirm": true, "preview": hash});
        let (code, message) = refused(&daemon, "report_bug", report).await;
        assert!(code == "not_found" && message.contains("preview"), "{code} {message}");
    }
    let only_shown = told(&daemon, "report_bug", json!({"fingerprint": one, "confirm": false})).await;
    assert!(only_shown["preview"].is_object() && only_shown.get("approval_id").is_none(), "{only_shown}");
    std::fs::remove_file(daemon.path("report-token")).expect("it was there");
    let unsent = told(&daemon, "report_bug", json!({"fingerprint": one, "confirm": true})).await;
    assert!(unsent["note"].as_str().is_some_and(|note| note.contains("report-token")), "{unsent}");
    assert!(unsent.get("approval_id").is_none(), "nobody is asked in vain: {unsent}");
    assert_eq!(github.calls(), []);
    daemon.stop().await;
}
