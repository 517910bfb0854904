//! The care of the store, over the wire.

use crate::harness::{Daemon, refused};
use crate::harness::{identity, task};
use adjutant_protocol::http::{BackupParams, StoreRestoreParams};
use serde_json::{Value, json};
use std::path::Path;

fn to(file: &Path, force: bool) -> BackupParams {
    BackupParams { file: file.to_string_lossy().into_owned(), force }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_the_owners_alone_and_stands_where_it_may() {
    let daemon = Daemon::start().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("a.backup");
    let body = json!({"file": file}).to_string();
    for role in ["operator", "observer", "senior", "worker"] {
        let params = serde_json::from_value(json!({"agent_id": "ann", "role": role})).expect("a session");
        let token = daemon.client.session_create(&params).await.expect("it is made").session_id;
        let answer = daemon.send_as(&token, "POST /v1/store/backup", &body).await;
        assert_eq!((answer.status, answer.error().code.as_str()), (403, "forbidden"), "{role}");
        let checks = daemon.send_as(&token, "POST /v1/store/check", "").await.status;
        assert_eq!(checks, if role == "operator" { 200 } else { 403 }, "{role}");
        let looks = daemon.send_as(&token, "GET /v1/store/sizes", "").await.status;
        assert_eq!(looks, if role == "worker" { 403 } else { 200 }, "{role}");
    }
    assert!(!file.exists());
    let without = daemon.send_with("POST /v1/store/backup", &format!("host: {}\r\n", daemon.host())).await;
    assert_eq!(without.status, 401);

    for (body, status, code, says) in [
        ("{}".to_owned(), 400, "invalid_request", "missing field `file`"),
        (json!({"file": "a"}).to_string(), 400, "invalid_request", "not absolute"),
        (json!({"file": "/x", "more": 1}).to_string(), 400, "invalid_request", "unknown field"),
        (json!({"file": "/"}).to_string(), 400, "invalid_request", "names no file"),
        (json!({"file": elsewhere.path()}).to_string(), 400, "invalid_request", "is no file"),
        (json!({"file": daemon.path("x"), "force": true}).to_string(), 400, "invalid_request", "data folder"),
        (json!({"file": elsewhere.path().join("no/x")}).to_string(), 503, "store_failed", "cannot be found"),
    ] {
        let answer = daemon.send("POST /v1/store/backup", &body).await;
        let error = answer.error();
        assert_eq!((answer.status, error.code.as_str()), (status, code), "{body}");
        assert!(error.error.contains(says), "{body}: {}", error.error);
    }

    daemon.client.data_put("report", None, "text/plain", vec![7; 1000]).await.expect("it is kept");
    let made = daemon.client.store_backup(&to(&file, false)).await.expect("it is made");
    assert_eq!((made.bodies, made.bodies_bytes, made.lost_count), (1, 1000, 0));
    assert_eq!(made.file, file.canonicalize().expect("it is there").to_string_lossy());
    let (status, error) = refused(daemon.client.store_backup(&to(&file, false)).await);
    assert_eq!((status, error.code.as_str()), (409, "conflict"));
    assert!(error.hint.is_some_and(|hint| hint.contains("--force")));
    daemon.client.store_backup(&to(&file, true)).await.expect("it takes its place");
    let rows = daemon.plane.events_of("plane", 0, 1000).await.expect("it is read");
    let told = rows.iter().filter(|row| row.event.kind() == "store_backed_up").count();
    assert_eq!(told, 2, "each is in the journal");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_and_the_sizes_tell_how_the_store_is() {
    let daemon = Daemon::start().await;
    daemon.client.data_put("report", None, "text/plain", b"hello".to_vec()).await.expect("it is kept");
    let found = daemon.client.store_check().await.expect("it looks");
    assert!(found.ok && found.findings.is_empty(), "{found:?}");
    assert_eq!((found.bodies, found.bodies_bytes, found.bodies_unnamed), (1, 5, 0));
    let sizes = daemon.client.store_sizes().await.expect("it counts");
    assert_eq!(sizes.bytes, sizes.kinds.iter().map(|kind| kind.bytes).sum::<u64>());
    let journal = sizes.kinds.iter().find(|kind| kind.kind == "journal").expect("it is told");
    assert_eq!(journal.rows as i64, found.journal_seq);

    std::fs::remove_dir_all(daemon.path("blobs")).expect("it was there");
    let found = daemon.client.store_check().await.expect("it looks");
    assert!(!found.ok);
    assert_eq!((found.findings[0].matter.as_str(), found.findings_count), ("bodies", 1));
    let answer = daemon.send("GET /v1/store/check", "").await;
    assert_eq!(answer.status, 405);
    let _json: Value = serde_json::from_str(&answer.body).expect("one form of errors");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_as_the_settings_say_and_the_journal_stays_sound() {
    let daemon = Daemon::start().await;
    let mut runs = Vec::new();
    for n in 0..3 {
        let done = daemon.client.task_run(&task(identity(), json!({"in": n}))).await.expect("it is done");
        runs.push(done.run_id);
    }
    let first = daemon.plane.job_run("retention").await.expect("a round");
    assert_eq!((first.acted_total, first.errors), (0, 0), "by default every run is kept");
    let set = [("retention.runs_max".to_owned(), json!(1))].into_iter().collect();
    daemon.client.config_set(set).await.expect("it is set");
    let second = daemon.plane.job_run("retention").await.expect("a round");
    assert_eq!((second.acted_total, second.errors), (2, 0), "{second:?}");
    let left: Vec<String> =
        daemon.client.runs(10).await.expect("a list").runs.into_iter().map(|run| run.id).collect();
    assert_eq!(left, runs[2..]);
    let metrics = daemon.client.metrics().await.expect("they are told");
    assert!(metrics.contains("adjutant_job_acted_total{job=\"retention\"} 2"), "{metrics}");
    let jobs = daemon.client.status().await.expect("it answers").periodic_jobs;
    assert!(jobs.iter().any(|job| job.name == "retention" && job.enabled));
    let report = daemon.home.journal_report();
    assert!(report.is_sound() && report.removed > 0, "{report:?}");
    assert!(daemon.client.store_check().await.expect("it looks").ok);
    for wrong in [json!(-1), json!("x"), json!(1_000_000)] {
        let set = [("retention.runs_days".to_owned(), wrong)].into_iter().collect();
        assert_eq!(refused(daemon.client.config_set(set).await).0, 400);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_takes_back_what_came_later_and_revives_no_token() {
    let daemon = Daemon::start().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    let file = elsewhere.path().join("a.backup");
    let token = async |daemon: &Daemon| {
        let params =
            serde_json::from_value(json!({"agent_id": "ann", "role": "observer"})).expect("a session");
        daemon.client.session_create(&params).await.expect("it is made").session_id
    };
    let looks = async |daemon: &Daemon, token: &str| daemon.send_as(token, "GET /v1/runs", "").await.status;
    let (good, revoked) = (token(&daemon).await, token(&daemon).await);
    daemon.client.data_put("early", None, "text/plain", b"early".to_vec()).await.expect("it is kept");
    daemon.client.store_backup(&to(&file, false)).await.expect("it is made");
    daemon.client.data_put("late", None, "text/plain", b"late".to_vec()).await.expect("it is kept");
    let late = token(&daemon).await;
    daemon.send_as(&revoked, "DELETE /v1/sessions", "").await;
    for (token, status) in [(&good, 200), (&revoked, 401), (&late, 200)] {
        assert_eq!(looks(&daemon, token).await, status);
    }

    let body = json!({"file": file}).to_string();
    assert_eq!(daemon.send_as(&good, "POST /v1/store/restore", &body).await.status, 403);
    std::fs::write(elsewhere.path().join("no.backup"), "nonsense").expect("it is written");
    for (wrong, says) in [
        (json!("a.backup"), "not absolute"),
        (json!(elsewhere.path()), "it is no file"),
        (json!(elsewhere.path().join("nothing")), "it is not there"),
        (json!(elsewhere.path().join("no.backup")), "is not a store of this program"),
        (json!(daemon.path("store.db")), "the store that it would replace"),
    ] {
        let answer = daemon.send("POST /v1/store/restore", &json!({"file": wrong}).to_string()).await;
        let error = answer.error();
        assert_eq!((answer.status, error.code.as_str()), (400, "invalid_request"), "{wrong}: {error:?}");
        assert!(error.error.contains(says), "{wrong}: {}", error.error);
    }
    assert!(!daemon.path("restore").exists(), "nothing is left of what was refused");

    let params = StoreRestoreParams { file: file.to_string_lossy().into_owned() };
    let begun = daemon.client.store_restore(&params).await.expect("it is sound");
    assert_eq!((begun.bodies, begun.lost_count), (1, 0));
    let (status, _) = refused(daemon.client.store_restore(&params).await);
    assert_eq!(status, 429, "one is enough");
    let daemon = daemon.restored().await;
    let last = daemon.client.store_restores().await.expect("it is told").last.expect("there was one");
    assert_eq!((last.id, last.ok, last.tokens_ended), (begun.id, true, 1));
    for (token, status) in [(&good, 200), (&revoked, 401), (&late, 401)] {
        assert_eq!(looks(&daemon, token).await, status);
    }
    let names = async |daemon: &Daemon| {
        let listed = daemon.client.data_list(None).await.expect("a list").outputs;
        listed.into_iter().filter_map(|output| output.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&daemon).await, ["early"]);
    assert!(daemon.client.store_check().await.expect("it looks").ok);

    // What was replaced is whole, and can be restored in turn.
    let kept = last.kept.expect("it is kept");
    let params = StoreRestoreParams { file: format!("{kept}/store.db") };
    daemon.client.store_restore(&params).await.expect("it is sound");
    let daemon = daemon.restored().await;
    assert_eq!(names(&daemon).await, ["late", "early"]);
    assert!(daemon.client.store_check().await.expect("it looks").ok);
    assert_eq!(looks(&daemon, &late).await, 401, "it was not good before this restore");
    daemon.stop().await;
}
