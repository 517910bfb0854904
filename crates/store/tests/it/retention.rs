//! What is old enough to go, by table; and that the journal verifies when it has gone.

use crate::fixtures::{at, fresh, note, run, run_id, run_write, task_id, turn};
use adjutant_model::run::RunStatus;
use adjutant_model::{RunId, Value};
use adjutant_store::{
    ContentLook, Interrupt, JournalPrefix, RunStatusChange, RunsKept, Store, Write, check, journal,
};
use rusqlite::Connection;
use std::path::Path;

const AGED: RunsKept = RunsKept { ended_before: None, newest: None };

/// Makes run `n`, over since `at(n)`.
async fn over(store: &Store, n: u128, status: RunStatus) {
    store.write(run_write(n)).await.unwrap();
    let ended_at = Some(at(n as i64)).filter(|_| status.is_terminal());
    let mut write = Write::default();
    write.run_status_set(&run_id(n), RunStatusChange { status, error: None, result: None, ended_at });
    write.turn_start(&run_id(n), &turn(0)).journal(note(run_id(n).as_str(), "step"));
    store.write(write).await.unwrap();
}

/// Does what no write of the store does by itself.
fn sql(store: &Store, sql: &str) {
    Connection::open(store.path()).unwrap().execute_batch(sql).unwrap();
}

async fn due(store: &Store, kept: RunsKept) -> Vec<RunId> {
    let due = store.runs_due(kept, 0, 100).await.unwrap();
    due.into_iter().map(|(_, id)| id).collect()
}

#[tokio::test]
async fn a_run_goes_by_its_age_or_by_how_many_came_after_it_and_never_while_it_is_open() {
    let (_folder, store) = fresh();
    let statuses = [
        RunStatus::Done,
        RunStatus::Failed,
        RunStatus::Running,
        RunStatus::Interrupted,
        RunStatus::Waiting,
        RunStatus::Cancelled,
        RunStatus::Incomplete,
    ];
    for (n, status) in (1..).zip(statuses) {
        over(&store, n, status).await;
    }
    let ids = |ids: &[u128]| ids.iter().copied().map(run_id).collect::<Vec<_>>();
    for (before, newest, expected) in [
        (None, None, &[][..]),
        (Some(0), None, &[]),
        (Some(2), None, &[1]),
        (Some(6), None, &[1, 2]),
        (Some(100), None, &[1, 2, 6, 7]),
        (None, Some(7), &[]),
        (None, Some(6), &[1]),
        (None, Some(3), &[1, 2]),
        (None, Some(1), &[1, 2, 6]),
        (Some(2), Some(1), &[1, 2, 6]),
    ] {
        let kept = RunsKept { ended_before: before.map(at), newest };
        assert_eq!(due(&store, kept).await, ids(expected), "{kept:?}");
    }
    let kept = RunsKept { ended_before: Some(at(100)), ..AGED };
    assert_eq!(store.runs_due(kept, 1, 2).await.unwrap(), [(2, run_id(2)), (6, run_id(6))]);
}

#[tokio::test]
async fn a_run_stays_while_something_open_names_it() {
    let id = run_id(1);
    let goal = |status: &str, links: &str, acceptance: &str| {
        format!(
            "INSERT INTO goals (id, description, status, acceptance, links, progress, notes, created_at, updated_at) \
             VALUES ('goal_1', '', '{status}', '{acceptance}', '{links}', 0, '[]', 0, 0)"
        )
    };
    let issue = |status: &str| {
        format!(
            "INSERT INTO issues (id, blueprint_id, intent, status, run_id, conflicts, revision, author, created_at, \
             updated_at) VALUES ('i', 'bp', '', '{status}', '{id}', 0, 1, 'a', 0, 0)"
        )
    };
    let session = |state: &str| {
        format!(
            "INSERT INTO sessions (id, name, state, node, revision, record, created_at) \
             VALUES ('s', 'n', '{state}', 'local', 1, '{{\"run\":\"{id}\"}}', 0)"
        )
    };
    let workspace = |kind: &str, removed: u8| {
        format!(
            "INSERT INTO workspaces (holder, kind, path, node, removed) VALUES ('{id}', '{kind}', '/w', 'local', {removed})"
        )
    };
    let delegation = |open: u8| {
        format!(
            "INSERT INTO delegations (id, session, open, revision, record, created_at) \
             VALUES ('d', 's', {open}, 1, '[\"{id}\"]', 0)"
        )
    };
    let named = format!("[\"{id}\"]");
    let bound = "UPDATE runs SET goal_id = 'goal_1'";
    for (what, goes) in [
        (String::from("SELECT 1"), true),
        (goal("active", &named, "[]"), false),
        (goal("active", "[]", &named), false),
        (goal("active", "[]", "[]"), true),
        (goal("done", &named, &named), true),
        (goal("abandoned", &named, "[]"), true),
        (format!("{}; {bound}", goal("active", "[]", "[]")), false),
        (format!("{}; {bound}", goal("done", "[]", "[]")), true),
        (issue("in_flight"), false),
        (issue("pending"), false),
        (issue("applied"), true),
        (session("active"), false),
        (session("stopped"), false),
        (session("decommissioned"), true),
        (workspace("worktree", 0), false),
        (workspace("scratch", 0), false),
        (workspace("worktree", 1), true),
        (workspace("given", 0), true),
        (delegation(1), false),
        (delegation(0), true),
    ] {
        let (_folder, store) = fresh();
        over(&store, 1, RunStatus::Done).await;
        sql(&store, &what);
        let found = due(&store, RunsKept { ended_before: Some(at(100)), ..AGED }).await;
        assert_eq!(!found.is_empty(), goes, "{what}");
    }
}

#[tokio::test]
async fn a_content_goes_when_the_last_row_that_names_it_has_gone() {
    let (folder, store) = fresh();
    let large = Value::from("x".repeat(100_000));
    for n in 1..=2 {
        store.write(run_write(n)).await.unwrap();
        let mut write = Write::default();
        let turn = adjutant_model::run::TurnRecord { parameters: large.clone(), ..turn(0) };
        write.turn_start(&run_id(n), &turn);
        store.write(write).await.unwrap();
    }
    let unnamed = async || store.contents_due("", 10).await.unwrap().unnamed;
    let removed = async |n: u128| {
        let mut write = Write::default();
        write.run_adopt(&run_id(n), "retention", 9).run_delete(&run_id(n)).journal(note("plane", "gone"));
        store.write(write).await.unwrap();
    };
    assert_eq!(unnamed().await, Vec::<String>::new());
    removed(1).await;
    assert_eq!(unnamed().await, Vec::<String>::new(), "another run still names it");
    removed(2).await;
    let [hash] = &unnamed().await[..] else { panic!("one content is unnamed") };

    // What names it again between the look and the write keeps it.
    store.write(run_write(3)).await.unwrap();
    let mut write = Write::default();
    write.turn_start(&run_id(3), &adjutant_model::run::TurnRecord { parameters: large.clone(), ..turn(0) });
    store.write(write).await.unwrap();
    let forget = async || {
        let mut write = Write::default();
        write.content_forget(hash);
        store.write(write).await.unwrap();
    };
    forget().await;
    assert!(check::check(folder.path(), &Interrupt::default()).unwrap().is_sound());
    removed(3).await;
    forget().await;
    assert_eq!(store.contents_due("", 10).await.unwrap(), ContentLook::default());
    let report = check::check(folder.path(), &Interrupt::default()).unwrap();
    assert!(report.is_sound() && report.contents == 0, "{report:?}");
}

/// Each column of content is looked through by an index of the rows that name one.
#[tokio::test]
async fn whether_a_content_is_named_is_looked_up_and_not_searched() {
    let (_folder, store) = fresh();
    let db = Connection::open(store.path()).unwrap();
    let mut write = Write::default();
    write.content_forget("x");
    let sql = write.statements()[0].sql;
    let mut plan = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps: Vec<String> =
        plan.query_map(("x",), |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap();
    let looked_up = steps.iter().filter(|step| step.contains("_beside (")).count();
    assert_eq!(looked_up, 14, "{steps:?}");
    assert!(!steps.iter().any(|step| step.starts_with("SCAN") && !step.contains("CONSTANT")), "{steps:?}");
}

#[tokio::test]
async fn the_beginning_of_the_journal_goes_where_nothing_that_is_kept_needs_it() {
    let (folder, store) = fresh();
    over(&store, 1, RunStatus::Done).await;
    let mut write = Write::default();
    for (subject, ms) in
        [("plane", 1), ("goal_1", 2), ("plane", 3), ("tok_1", 4), ("plane", 50), ("tok_1", 60)]
    {
        let row = note(subject, &ms.to_string());
        write.journal(adjutant_store::Draft { at: at(ms), ..row });
    }
    store.write(write).await.unwrap();
    sql(
        &store,
        "INSERT INTO goals (id, description, status, acceptance, links, progress, notes, created_at, updated_at) \
         VALUES ('goal_1', '', 'active', '[]', '[]', 0, '[]', 0, 0)",
    );
    let look = store.journal_due(at(10), 0, 100).await.unwrap();
    let prefix = |subject: &str, to| JournalPrefix { subject: subject.into(), to };
    assert_eq!(
        look.prefixes,
        [prefix("plane", 4), prefix("tok_1", 5)],
        "the run and the open goal stay whole"
    );
    assert_eq!(look.next, None);
    assert_eq!(store.journal_due(at(10), 0, 2).await.unwrap().next, Some(2));
    assert_eq!(store.journal_due(at(10), 5, 100).await.unwrap().prefixes, []);

    let before = journal::verify(store.path()).unwrap();
    let mut write = Write::default();
    for JournalPrefix { subject, to } in &look.prefixes {
        write.journal_shorten(subject, *to);
    }
    write.journal(note("plane", "shortened"));
    store.write(write).await.unwrap();
    let after = journal::verify(store.path()).unwrap();
    assert!(after.is_sound(), "{after:?}");
    assert_eq!((after.rows, after.removed), (before.rows + 1 - 3, 3));

    // A second time the checkpoint moves on, also when the whole subject goes, and the chain goes on behind it.
    let mut write = Write::default();
    write
        .journal_shorten("tok_1", i64::MAX)
        .journal(note("plane", "again"))
        .journal(note("tok_1", "goes on"));
    store.write(write).await.unwrap();
    store.close().await.unwrap();
    let again = crate::fixtures::open(folder.path());
    again.write(crate::fixtures::note_write("tok_1", "and on")).await.unwrap();
    let last = journal::verify(again.path()).unwrap();
    assert!(last.is_sound(), "{last:?}");
    assert_eq!(last.removed, 4);
    let tampered = |folder: &Path| {
        let db = Connection::open(folder.join("store.db")).unwrap();
        db.execute("UPDATE journal_checkpoints SET hash = zeroblob(32) WHERE subject = 'tok_1'", ()).unwrap();
    };
    tampered(folder.path());
    assert!(!journal::verify(again.path()).unwrap().is_sound(), "the chain rests on the checkpoint");
}

#[tokio::test]
async fn a_task_goes_with_its_last_run() {
    let (_folder, store) = fresh();
    for n in 1..=2 {
        over(&store, n, RunStatus::Done).await;
    }
    assert_eq!(store.tasks_due(at(100), 10).await.unwrap(), Vec::<String>::new());
    let mut write = Write::default();
    write.run_adopt(&run_id(1), "retention", 9).run_delete(&run_id(1)).journal(note("plane", "gone"));
    store.write(write).await.unwrap();
    assert_eq!(store.tasks_due(at(1), 10).await.unwrap(), Vec::<String>::new(), "it is too young");
    assert_eq!(store.tasks_due(at(100), 10).await.unwrap(), [task_id(1).to_string()]);
    // Another run of it is made before the write: both stay.
    let mut write = Write::default();
    write.run_create(&adjutant_model::run::RunRecord { id: run_id(7), ..run(1) });
    store.write(write).await.unwrap();
    let mut write = Write::default();
    write.task_forget(task_id(1).as_str());
    store.write(write).await.unwrap();
    assert!(store.run_get(&run_id(7)).await.unwrap().is_some());
    assert_eq!(store.task_get(&task_id(1)).await.unwrap().map(|task| task.id), Some(task_id(1)));
}
