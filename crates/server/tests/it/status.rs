//! What the daemon says of itself.

use crate::gate::{Agent, started};
use crate::harness::Daemon;
use crate::rpc::eventually;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_runs_operators_jobs_and_bytes() {
    let agent = Agent::new();
    let daemon = Daemon::with_program(agent.program()).await;
    let before = daemon.client.status().await.expect("it answers");
    assert_eq!((before.running_runs, before.attached_operators, before.queues.open_runs), (0, 0, 0));
    assert!(before.store.tables_bytes > 0);
    let (run_id, _) = started(&daemon, &agent).await;
    for role in ["operator", "observer"] {
        let params = serde_json::from_value(json!({"agent_id": "ann", "role": role})).expect("a session");
        daemon.client.session_create(&params).await.expect("it is made");
    }
    daemon.client.data_put("report", None, "text/plain", vec![7; 1000]).await.expect("it is kept");
    let after = daemon.client.status().await.expect("it answers");
    assert_eq!((after.running_runs, after.attached_operators, after.queues.open_runs), (1, 1, 1));
    assert_eq!((after.store.blobs_bytes, after.runs_open), (1000, 1));
    agent.end().await;
    daemon.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it ends");
    // Whoever waited for the run's end is told before the run leaves the directory.
    let ended = eventually(async || {
        Some(daemon.client.status().await.expect("it answers")).filter(|status| status.queues.open_runs == 0)
    });
    assert_eq!(ended.await.running_runs, 0);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_periodic_job_tells_how_its_rounds_went() {
    let daemon = Daemon::start().await;
    daemon.client.runs(1).await.expect("the owner's token is shown");
    let job = daemon.plane.job_run("token_uses").await.expect("a round");
    assert_eq!((job.runs, job.errors, job.panics, job.acted_total), (1, 0, 0, 1));
    assert!(daemon.plane.job_run("nothing").await.is_none());
    let jobs = daemon.client.status().await.expect("it answers").periodic_jobs;
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    for name in ["token_uses", "token_forget", "data_collect", "data_sweep"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let job = jobs.iter().find(|job| job.name == "token_uses").expect("it is told");
    assert_eq!((job.period_secs, job.enabled, job.last_outcome.as_deref()), (5, true, Some("acted on 1")));
    assert!(job.last_started_secs <= job.last_finished_secs && job.last_duration_ms.is_some());
    let sweep = jobs.iter().find(|job| job.name == "data_sweep").expect("it is told");
    assert!(!sweep.enabled, "it runs at the start alone");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_at_what_adjutant_needs() {
    let daemon = Daemon::start().await;
    let found = daemon.client.doctor().await.expect("it answers");
    assert_eq!(found.bind.as_deref(), Some(daemon.client.address()));
    assert_eq!(
        (found.store_kind.as_str(), found.blueprint_count),
        ("sqlite", found.blueprint_ids.len() as u64)
    );
    let names: Vec<&str> = found.checks.iter().map(|check| check.name.as_str()).collect();
    let expected = ["git", "tmux", "disk", "clock", "claude", "codex", "gemini", "opencode", "qwen", "store"];
    assert_eq!(names, expected);
    let agents: Vec<&str> = found.agents.iter().map(|agent| agent.name.as_str()).collect();
    assert_eq!(agents, expected[4..9]);
    let git = &found.checks[0];
    assert!(git.finding == "ok" && git.detail.starts_with("git version"), "{git:?}");
    assert_eq!(
        found.checks,
        daemon.client.doctor().await.expect("it answers").checks,
        "a moment ago still counts"
    );
    daemon.stop().await;
}
