//! Records to store, and a store in a folder of its own.

use adjutant_model::event::Event;
use adjutant_model::id::Uuid;
use adjutant_model::run::{
    RunRecord, RunStatus, StepPath, TaskRecord, TtlSource, TurnKind, TurnRecord, TurnStatus,
};
use adjutant_model::session::{DriverKind, NewSession, Session, SessionSource};
use adjutant_model::{RunId, SessionId, TaskId, Timestamp, Value};
use adjutant_store::{Draft, Fence, Store, StoreOptions, Write};
use std::path::Path;
use tempfile::TempDir;

pub(crate) const OWNER: &str = "daemon-1";

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(1_768_000_000_000 + ms)
}

pub(crate) fn open(folder: &Path) -> Store {
    Store::open(StoreOptions::new(folder), at(0)).unwrap()
}

pub(crate) fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    (folder, store)
}

pub(crate) fn run_id(n: u128) -> RunId {
    RunId::new(Uuid::from_u128(n))
}

pub(crate) fn task_id(n: u128) -> TaskId {
    TaskId::new(Uuid::from_u128(n))
}

pub(crate) fn hash_of(n: u128) -> String {
    format!("{n:064x}")
}

pub(crate) fn task(n: u128) -> TaskRecord {
    TaskRecord {
        id: task_id(n),
        goal: Some("make it work".into()),
        blueprint_id: "bp".into(),
        blueprint_hash: hash_of(1),
        input: Value::object([("n", Value::from(n as u64))]),
        request: Value::Null,
        created_at: at(n as i64),
    }
}

pub(crate) fn run(n: u128) -> RunRecord {
    RunRecord {
        id: run_id(n),
        task_id: task_id(n),
        status: RunStatus::Running,
        owner: OWNER.into(),
        epoch: 1,
        blueprint_id: "bp".into(),
        blueprint_hash: hash_of(1),
        ttl_ms: 1_800_000,
        ttl_source: TtlSource::ServerDefault,
        workspace: None,
        goal_id: None,
        agent_override: None,
        error: None,
        result: None,
        created_at: at(n as i64),
        ended_at: None,
    }
}

pub(crate) fn turn(index: u64) -> TurnRecord {
    TurnRecord {
        index,
        kind: TurnKind::Step,
        path: StepPath::new(format!("{index}")),
        attempt: 1,
        name: "identity".into(),
        status: TurnStatus::Started,
        parameters: Value::from(index),
        output: None,
        error: None,
        rule: None,
        usage: None,
        superseded: None,
        started_at: at(index as i64),
        ended_at: None,
    }
}

/// Blueprint, task `n` and run `n`.
pub(crate) fn run_write(n: u128) -> Write {
    let mut write = Write::default();
    write.blueprint_put(&hash_of(1), "bp", r#"{"id":"bp"}"#).task_create(&task(n)).run_create(&run(n));
    write
}

pub(crate) fn fence(n: u128) -> Fence {
    Fence { run_id: run_id(n), owner: OWNER.into(), epoch: 1 }
}

pub(crate) fn note(subject: &str, text: &str) -> Draft {
    Draft {
        at: at(1),
        actor: "host".into(),
        subject: subject.into(),
        event: Event::GoalNoted { note: text.into() },
    }
}

pub(crate) fn note_write(subject: &str, text: &str) -> Write {
    let mut write = Write::default();
    write.journal(note(subject, text));
    write
}

pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId::new(Uuid::from_u128(n))
}

pub(crate) fn session(n: u128, name: &str) -> Session {
    let new = NewSession {
        id: session_id(n),
        name: name.to_owned(),
        agent: "rehearsal".to_owned(),
        driver: DriverKind::Tmux,
        source: SessionSource::Project { path: "/p".to_owned(), git_ref: None },
        task: "make it work".to_owned(),
    };
    Session::new(new, at(n as i64))
}
