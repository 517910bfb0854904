//! What was kept long enough goes: sessions that are over, and what they asked of each other and of people.

use crate::delegations::{daemon_with, delegation, file, parent, seen, work};
use crate::handoffs::{second, to};
use crate::harness::{Daemon, refused};
use adjutant_engine::Settings;
use adjutant_model::event::Event;
use adjutant_protocol::http::{DecommissionParams, ManagedView};
use adjutant_testkit::Repository;
use serde_json::{Value, json};

/// Lets everything go that has ended, whenever somebody asks for a round.
fn at_once(settings: &mut Settings) {
    settings.retention_ms = 0;
    settings.session_keep_ms = Some(0);
    settings.sessions_auto_resume = false;
}

/// Runs a round of the job; gives on how many things it acted.
async fn round(daemon: &Daemon) -> u64 {
    let status = daemon.client.status().await.expect("it answers");
    let before = status.periodic_jobs.into_iter().find(|job| job.name == "retention").expect("it is there");
    let after = daemon.plane.job_run("retention").await.expect("a round");
    assert_eq!((after.errors, after.panics), (0, 0), "{after:?}");
    after.acted_total - before.acted_total
}

async fn decommissioned(daemon: &Daemon, id: &str) -> ManagedView {
    let params = DecommissionParams { force: true };
    let ended = daemon.client.session_decommission(id, &params).await.expect("it is decommissioned");
    assert_eq!(ended.state, "decommissioned", "{ended:?}");
    ended
}

/// How much went of what, as the journal says.
async fn applied(daemon: &Daemon) -> Vec<(String, u64)> {
    let rows = daemon.plane.events_of("plane", 0, 1000).await.expect("they are read");
    let applied = rows.into_iter().filter_map(|row| match row.event {
        Event::RetentionApplied { what, count } => Some((what, count)),
        _ => None,
    });
    applied.collect()
}

/// Everything that can be asked of a managed session.
fn routes(id: &str) -> Vec<(String, Value)> {
    let at = |method: &str, rest: &str| format!("{method} /v1/sessions/managed/{id}{rest}");
    vec![
        (at("GET", ""), Value::Null),
        (at("DELETE", ""), Value::Null),
        (at("POST", "/stop"), Value::Null),
        (at("POST", "/runtime-stop"), Value::Null),
        (at("POST", "/resume"), Value::Null),
        (at("POST", "/decommission"), json!({"force": true})),
        (at("POST", "/interrupt"), Value::Null),
        (at("POST", "/send"), json!({"text": "go on"})),
        (at("POST", "/answer"), json!({"answer": "allow"})),
        (at("POST", "/delegations"), json!({"agent": "echo", "task": "look"})),
        (at("GET", "/delegations"), Value::Null),
        (at("POST", "/handoff"), json!({"agent": "other"})),
        (at("GET", "/activity"), Value::Null),
        (at("GET", "/screen"), Value::Null),
        (at("GET", "/events"), Value::Null),
        (at("GET", "/attach-cmd"), Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_decommissioned_goes_when_nothing_open_names_it() {
    let (daemon, project) = (daemon_with(at_once).await, Repository::new());
    second(&daemon);
    let lead = parent(&daemon, &project).await;
    let client = &daemon.client;
    let given = client.session_delegate(&lead.id, &work("research", "look")).await.expect("it begins");
    let which = (lead.id.as_str(), given.delegation_id.as_str());
    let given = delegation(&daemon, which, |found| found.told_at.is_some()).await;
    let own = daemon.client_with(file(&lead, "shown.txt").trim());
    let asked = own.session_delegate(&lead.id, &work("research", "more")).await.expect("it is asked");
    let approval_id = asked.approval_id.expect("a person has to approve it");
    let handed = client.session_handoff(&lead.id, &to("other")).await.expect("it is handed over");
    let successor = seen(&daemon, &handed.successor.id, |view| view.turns == 1).await;

    // A delegation waits for a person, and a session that it has begun lives.
    assert_eq!(round(&daemon).await, 2, "the delegation that has ended, and the handoff");
    assert_eq!(refused(client.delegation(&given.delegation_id).await).0, 404);
    let answered = daemon.send(&format!("POST /v1/approvals/{approval_id}"), r#"{"decision":"deny"}"#).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    delegation(&daemon, (&lead.id, &asked.delegation_id), |found| found.told_at.is_some()).await;
    let kept = decommissioned(&daemon, &lead.id).await;
    assert_eq!(
        round(&daemon).await,
        1,
        "the second delegation; its child was never made, the first one's lives"
    );
    assert_eq!(client.session_managed(&lead.id).await.expect("it is there").state, "decommissioned");

    for id in [&given.child_session_id, &successor.id] {
        decommissioned(&daemon, id).await;
    }
    let all = [&lead.id, &given.child_session_id, &successor.id];
    assert!(all.iter().all(|id| daemon.path("sessions").join(id).exists()), "each has a folder");
    let mut rounds = 0;
    while round(&daemon).await > 0 {
        rounds += 1;
    }
    assert!(rounds <= 2, "a child that is over holds its parent no more");

    assert_eq!(client.sessions_managed(Some("all")).await.expect("a list").sessions, []);
    assert_eq!(client.delegations(false).await.expect("a list").delegations, []);
    let approvals = daemon.send("GET /v1/approvals?status=all", "").await;
    assert!(!approvals.body.contains(&approval_id), "{approvals:?}");
    for id in all {
        for (line, body) in routes(id) {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let answer = daemon.send(&line, &body).await;
            assert_eq!(answer.status, 404, "{line}: {answer:?}");
        }
        assert!(!daemon.path("sessions").join(id).exists(), "its folder went with it");
    }
    assert_eq!(refused(own.delegations(false).await).0, 401, "its agent's token is no token any more");

    // What people may want again stays, and is found.
    let snapshots = client.workspace_snapshots(&lead.id).await.expect("they are listed").snapshots;
    let last = kept.snapshot_ref.as_ref().expect("it has one");
    assert!(snapshots.iter().any(|snapshot| snapshot.refname == *last), "{snapshots:?}");

    let mut expected = vec![("delegations", 1), ("handoffs", 1), ("delegations", 1)];
    expected.extend([("sessions", 1); 3]);
    let told = applied(&daemon).await;
    assert_eq!(told.iter().map(|(what, count)| (what.as_str(), *count)).collect::<Vec<_>>(), expected);
    let report = daemon.home.journal_report();
    assert!(report.is_sound() && report.removed > 0, "{report:?}");
    assert!(client.store_check().await.expect("it looks").ok);
    let daemon = daemon.restarted_with(at_once).await;
    assert_eq!(daemon.client.sessions_managed(Some("all")).await.expect("a list").sessions, []);
    assert!(daemon.client.store_check().await.expect("it looks").ok);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_is_kept_unless_a_setting_says_otherwise() {
    let (daemon, project) = (daemon_with(|settings| settings.retention_ms = 0).await, Repository::new());
    let lead = parent(&daemon, &project).await;
    let own = daemon.client_with(file(&lead, "shown.txt").trim());
    let asked = own.session_delegate(&lead.id, &work("research", "more")).await.expect("it is asked");
    daemon.client.delegation_cancel(&asked.delegation_id).await.expect("it is cancelled");
    delegation(&daemon, (&lead.id, &asked.delegation_id), |found| found.told_at.is_some()).await;
    assert_eq!(round(&daemon).await, 0);
    let daemon = daemon.restarted_with(|settings| {
        settings.retention_ms = 0;
        settings.approval_keep_ms = Some(0);
        settings.sessions_auto_resume = false;
    });
    let daemon = daemon.await;
    assert_eq!(round(&daemon).await, 1, "the approval");
    assert_eq!(applied(&daemon).await, [("approvals".to_owned(), 1)]);
    assert!(daemon.client.delegation(&asked.delegation_id).await.is_ok());
    assert!(daemon.client.session_managed(&lead.id).await.is_ok());
    for (key, good, bad) in [
        ("retention.sessions_days", json!(30), json!(-1)),
        ("retention.approvals_days", json!(0), json!("x")),
    ] {
        let set = |value: Value| [(key.to_owned(), value)].into_iter().collect();
        daemon.client.config_set(set(good)).await.expect("it is set");
        assert_eq!(refused(daemon.client.config_set(set(bad)).await).0, 400);
    }
    assert!(daemon.client.store_check().await.expect("it looks").ok);
    daemon.stop().await;
}
