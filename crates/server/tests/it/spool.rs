//! Hooks that found nobody at the door: what they left in their session's file is taken in order, once, and as untrusted
//! as what comes by the door.

#![expect(
    clippy::unwrap_used,
    reason = "what a test's helper does not get ends the test, as in the test itself"
)]

use crate::harness::Daemon;
use crate::managed::{created, idle, start};
use adjutant_engine::clock;
use adjutant_model::id::Uuid;
use adjutant_model::session::{Activity, Session};
use adjutant_model::{SessionId, Timestamp};
use adjutant_testkit::until;
use serde_json::json;
use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

/// A session whose agent is idle.
struct Spooling {
    daemon: Daemon,
    id: SessionId,
    acted: Cell<u64>,
}

impl Spooling {
    async fn start() -> Self {
        let daemon = start(|_| {}).await;
        let made = created(&daemon, json!({})).await;
        let id = made["id"].as_str().unwrap();
        idle(&daemon, id).await;
        Spooling { id: id.parse().unwrap(), daemon, acted: Cell::new(0) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.daemon.path(&format!("sessions/{}/{name}", self.id))
    }

    async fn taken(&self) -> u64 {
        let acted = self.daemon.plane.job_run("hook_spool").await.unwrap().acted_total;
        acted - self.acted.replace(acted)
    }

    async fn session(&self) -> Session {
        self.daemon.plane.session_managed(self.id).await.unwrap().session
    }

    async fn kept(&self) -> Vec<String> {
        let kept = self.daemon.plane.hook_events(self.id, 0, 100).await.unwrap();
        kept.into_iter().map(|record| record.draft.event).collect()
    }
}

fn line(number: u128, at: Timestamp, payload: serde_json::Value) -> String {
    let id = Uuid::from_u128(number).to_string();
    json!({"id": id, "at": at.unix_ms(), "size_bytes": 7, "payload": payload}).to_string() + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_have_left_counts_once_with_the_time_of_what_happened() {
    let spooling = Spooling::start().await;
    let before = spooling.session().await;
    let (began, ended) = (clock::now(), clock::now().plus_ms(1));
    let turn = line(
        1,
        began,
        json!({"hook_event_name": "UserPromptSubmit", "prompt": "ghp_0123456789abcdefghijklmnopqrstuvwxyzAB"}),
    ) + &line(2, ended, json!({"hook_event_name": "Stop"}));
    let text = format!("nonsense\n{turn}{}\n", "x".repeat(1 << 20));
    fs::write(spooling.file("hooks.spool"), &text).unwrap();
    assert_eq!(spooling.taken().await, 2);
    let session = spooling.session().await;
    assert_eq!((session.activity.activity, session.turns), (Activity::Idle, before.turns + 1));
    let since = session.activity.since;
    assert!(since == ended || since == began, "{since} is when it happened, not when it was read");
    assert_eq!(session.activity.evidence, "Stop");
    assert_eq!(spooling.kept().await, ["UserPromptSubmit", "Stop"]);
    let rows = spooling.daemon.plane.hook_events(spooling.id, 0, 1).await.unwrap();
    assert!(rows[0].draft.payload.contains("[redacted:") && rows[0].draft.at == began, "{rows:?}");
    assert!(!spooling.file("hooks.spool").exists() && !spooling.file("hooks.spool.taken").exists());

    // A daemon that died before it removed the file reads it again, and the door hears of one of them at last.
    fs::write(spooling.file("hooks.spool.taken"), &text).unwrap();
    fs::write(spooling.file("hooks.spool"), line(3, clock::now(), json!({"hook_event_name": "Fresh"})))
        .unwrap();
    let Spooling { daemon, id, .. } = spooling;
    let spooling = Spooling { daemon: daemon.restarted().await, id, acted: Cell::new(0) };
    spooling.taken().await;
    assert_eq!(spooling.kept().await, ["UserPromptSubmit", "Stop", "Fresh"]);
    assert_eq!(spooling.session().await.turns, session.turns);
    let daemon = &spooling.daemon;
    let other = Uuid::from_u128(4).to_string();
    for (hook_id, status) in [(Uuid::from_u128(3).to_string(), 200), ("x".to_owned(), 400), (other, 200)] {
        let head = format!(
            "host: {}\r\nauthorization: Bearer {}\r\nx-adjutant-session: {id}\r\nx-adjutant-hook: {hook_id}\r\n",
            daemon.host(),
            daemon.token
        );
        let raw = daemon.send_body("POST /v1/hooks", &head, br#"{"hook_event_name":"Fresh"}"#).await;
        assert_eq!(raw.status, status, "{raw:?}");
    }
    let more = async || Ok(Some(spooling.kept().await).filter(|kept| kept.len() > 3));
    assert_eq!(until(&daemon.plane, more).await.len(), 4, "the first came by another way as well");
    spooling.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_of_the_file_is_no_hook() {
    let spooling = Spooling::start().await;
    let elsewhere = spooling.daemon.path("elsewhere");
    let stop = line(1, clock::now(), json!({"hook_event_name": "Stop"}));
    fs::write(&elsewhere, &stop).unwrap();
    std::os::unix::fs::symlink(&elsewhere, spooling.file("hooks.spool")).unwrap();
    assert_eq!(spooling.taken().await, 0);
    assert!(elsewhere.exists() && !spooling.file("hooks.spool.taken").exists());
    let lines = stop.replace("\"id\"", "\"ID\"") + &stop.replace("Stop", "PreToolUse");
    fs::write(spooling.file("hooks.spool"), lines).unwrap();
    assert_eq!(spooling.taken().await, 0);
    assert!(spooling.kept().await.is_empty());
    spooling.daemon.stop().await;
}
