//! Sessions that are over, what was asked of them and for them: what may go, and what holds each.

use crate::fixtures::{at, fresh, note, run_id, run_write, session, session_id};
use adjutant_model::action::{Role, TokenRecord};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::delegation::{Delegation, DelegationStatus};
use adjutant_model::handoff::Handoff;
use adjutant_model::hook::HookDraft;
use adjutant_model::id::Uuid;
use adjutant_model::session::{ModelTier, Session, SessionPhase, SessionState};
use adjutant_model::{DelegationId, GoalId, HandoffId, SessionId, TokenId, Value};
use adjutant_store::{
    ContextUsage, DelegationFilter, Interrupt, SessionDue, SessionPart, Store, Write, WriteError, check,
    journal,
};
use rusqlite::Connection;

/// Makes session `n`, decommissioned at `at(n)`.
async fn over(store: &Store, n: u128, change: impl FnOnce(Session) -> Session) -> SessionId {
    let session = change(Session {
        state: SessionState::Decommissioned,
        phase: SessionPhase::Resting,
        updated_at: at(n as i64),
        created_at: at(0),
        ..session(n, &format!("s-{n}"))
    });
    let mut write = Write::default();
    write.session_create(&session).journal(note(&session.id.to_string(), "it was asked for"));
    store.write(write).await.unwrap();
    session.id
}

fn as_it_is(session: Session) -> Session {
    session
}

/// Does what no write of the store does by itself.
fn sql(store: &Store, sql: &str) {
    Connection::open(store.path()).unwrap().execute_batch(sql).unwrap();
}

fn workspace(store: &Store, (id, kind, removed): (SessionId, &str, u8)) {
    let row = format!("'{id}', '{kind}', '/w', 'local', {removed}");
    sql(store, &format!("INSERT INTO workspaces (holder, kind, path, node, removed) VALUES ({row})"));
}

fn counted(store: &Store, table: &str) -> i64 {
    let db = Connection::open(store.path()).unwrap();
    db.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
}

async fn due(store: &Store, before: i64) -> Vec<SessionId> {
    store.sessions_due(at(before), "", 100).await.unwrap().into_iter().map(|due| due.id).collect()
}

async fn forgotten(store: &Store, due: &SessionDue) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.session_forget(due).journal(note("plane", "gone"));
    store.write(write).await.map(drop)
}

fn delegation(n: u128, (session, child): (SessionId, SessionId)) -> Delegation {
    Delegation {
        id: DelegationId::new(Uuid::from_u128(n)),
        session,
        child,
        agent: "reviewer".to_owned(),
        profile: "claude".to_owned(),
        tier: ModelTier::Sonnet,
        model: None,
        git_ref: None,
        task: "look".to_owned(),
        status: DelegationStatus::Completed,
        reason: None,
        result: None,
        approval_id: None,
        created_at: at(0),
        ended_at: Some(at(1)),
        told_at: None,
    }
}

fn handoff(n: u128, (session, successor): (SessionId, SessionId)) -> Handoff {
    Handoff {
        id: HandoffId::new(Uuid::from_u128(n)),
        session,
        successor,
        agent: "codex".to_owned(),
        driver: None,
        tier: None,
        model: None,
        key: None,
        git_ref: None,
        brief: "go on".to_owned(),
        actor: "host".to_owned(),
        created_at: at(0),
        ended_at: None,
        error: None,
    }
}

fn approval(id: &str, connection: &str, run_id: Option<&str>, status: ApprovalStatus) -> Approval {
    Approval {
        id: id.to_owned(),
        run_id: run_id.map(Into::into),
        agent_id: None,
        token_id: "tok_1".to_owned(),
        connection: connection.to_owned(),
        tool: "Bash".to_owned(),
        parameters: Value::Null,
        fingerprint: "f".to_owned(),
        reason: "why".to_owned(),
        status,
        deadline: at(9),
        created_at: at(0),
        resolved_at: (status != ApprovalStatus::Pending).then(|| at(5)),
        resolved_by: None,
        option: None,
    }
}

async fn put(store: &Store, fill: impl FnOnce(&mut Write) -> &mut Write) {
    let mut write = Write::default();
    fill(&mut write);
    store.write(write).await.unwrap();
}

#[tokio::test]
async fn a_session_is_due_when_it_was_decommissioned_long_ago() {
    let (_folder, store) = fresh();
    for n in 1..=3 {
        over(&store, n, as_it_is).await;
    }
    for (n, state) in (10..).zip(SessionState::ALL) {
        over(&store, n, |session| Session { state, ..session }).await;
    }
    assert_eq!(due(&store, 1).await, []);
    assert_eq!(due(&store, 3).await, [session_id(1), session_id(2)]);
    assert_eq!(due(&store, 100).await, [1, 2, 3, 14].map(session_id), "whatever is not over stays");
    let after = session_id(1).to_string();
    let next = store.sessions_due(at(100), &after, 1).await.unwrap();
    assert_eq!(next, [SessionDue { id: session_id(2), approvals: vec![], part: None }]);
    // What is not over does not go either when it is named.
    let live = SessionDue { id: session_id(11), approvals: vec![], part: None };
    assert!(matches!(forgotten(&store, &live).await, Err(WriteError::RowsUnexpected { .. })));
}

/// What is open and names a session, and what made it so that it does not any more.
fn openers(id: SessionId, other: SessionId) -> Vec<(&'static str, String, &'static str)> {
    let run = run_id(7);
    let goal = |links: &str, acceptance: &str, pursuit: &str| {
        format!(
            "INSERT INTO goals (id, description, status, acceptance, links, progress, notes, created_at, updated_at, \
             pursuit) VALUES ('{}', '', 'inProgress', '{acceptance}', '{links}', 0, '[]', 0, 0, {pursuit})",
            goal_id()
        )
    };
    let closed = "UPDATE goals SET status = 'done'";
    let named = format!("[\"{id}\"]");
    let pursuit = |state: &str| format!("'{{\"sessions\":[\"{id}\"],\"state\":{{\"state\":\"{state}\"}}}}'");
    let of_run =
        format!("UPDATE sessions SET record = json_set(record, '$.run_id', '{run}') WHERE id = '{id}'");
    let issue = |run_id: &str, author: &str| {
        format!(
            "INSERT INTO issues (id, blueprint_id, intent, status, run_id, conflicts, revision, author, created_at, \
             updated_at) VALUES ('i', 'bp', '', 'in_flight', '{run_id}', 0, 1, '{author}', 0, 0)"
        )
    };
    let delegation = |session: SessionId, record: &str| {
        format!(
            "INSERT INTO delegations (id, session, open, revision, record, created_at) \
             VALUES ('d', '{session}', 1, 1, '{record}', 0)"
        )
    };
    let handoff = |session: SessionId, record: &str| {
        format!(
            "INSERT INTO handoffs (id, session, open, record, created_at) VALUES ('h', '{session}', 1, '{record}', 0)"
        )
    };
    let asked = |connection: &str| {
        format!(
            "INSERT INTO approvals (id, token_id, connection, tool, parameters, fingerprint, reason, status, deadline, \
             created_at) VALUES ('a', 't', '{connection}:{id}', '', 'null', '', '', 'pending', 0, 0)"
        )
    };
    vec![
        ("an open goal links it", goal(&named, "[]", "NULL"), closed),
        ("it is proof of an open goal", goal("[]", &named, "NULL"), "UPDATE goals SET status = 'abandoned'"),
        (
            "it serves an open goal",
            format!(
                "{}; UPDATE sessions SET record = json_set(record, '$.goal_id', '{}') WHERE id = '{id}'",
                goal("[]", "[]", "NULL"),
                goal_id()
            ),
            closed,
        ),
        ("an open goal was pursued by it", goal("[]", "[]", &pursuit("ended")), closed),
        (
            "the pursuit of a closed goal is not over",
            format!("{}; UPDATE goals SET status = 'done'", goal("[]", "[]", &pursuit("ending"))),
            "UPDATE goals SET pursuit = json_set(pursuit, '$.state.state', 'ended')",
        ),
        ("it is the parent of a delegation", delegation(id, &named), "UPDATE delegations SET open = 0"),
        ("it is the child of a delegation", delegation(other, &named), "UPDATE delegations SET open = 0"),
        ("its work is handed over", handoff(id, &named), "UPDATE handoffs SET open = 0"),
        ("work is handed to it", handoff(other, &named), "UPDATE handoffs SET open = 0"),
        (
            "it has begun a session that lives",
            format!("UPDATE sessions SET parent = '{id}', state = 'stopped' WHERE id = '{other}'"),
            "UPDATE sessions SET state = 'decommissioned'",
        ),
        ("it does a step of a run that is not over", of_run.clone(), "UPDATE runs SET status = 'done'"),
        (
            "an issue is not over whose run has begun it",
            format!("{of_run}; UPDATE runs SET status = 'done'; {}", issue(run.as_str(), "host")),
            "UPDATE issues SET status = 'applied'",
        ),
        (
            "an issue of it is not over",
            issue("", &format!("session:{id}")),
            "UPDATE issues SET status = 'rejected'",
        ),
        (
            "a run of its agent's as a client is not over",
            format!(
                "INSERT INTO tokens (id, hash, role, created_at, of_session) VALUES ('t', 'h', 'worker', 0, '{id}'); \
                 INSERT INTO client_runs (id, agent_id, intent, token_id, status, policies, state, owner, epoch, turns, \
                 started_at) VALUES ('c', 'a', '', 't', 'interrupted', '[]', '{{}}', '', 1, 0, 0)"
            ),
            "UPDATE client_runs SET status = 'incomplete'",
        ),
        ("its agent asks by its protocol", asked("session"), "UPDATE approvals SET status = 'expired'"),
        ("its agent asks by a hook", asked("hook"), "UPDATE approvals SET status = 'denied'"),
        (
            "its workspace was put back",
            format!(
                "INSERT INTO workspaces (holder, kind, path, node, removed) VALUES ('{id}', 'worktree', '/w', 'local', 0)"
            ),
            "UPDATE workspaces SET removed = 1",
        ),
    ]
}

fn goal_id() -> GoalId {
    GoalId::new(Uuid::from_u128(1))
}

#[tokio::test]
async fn a_session_stays_while_something_open_names_it() {
    let (id, other) = (session_id(1), session_id(2));
    for (what, open, close) in openers(id, other) {
        let (_folder, store) = fresh();
        over(&store, 1, as_it_is).await;
        over(&store, 2, as_it_is).await;
        store.write(run_write(7)).await.unwrap();
        let free = store.sessions_due(at(100), "", 1).await.unwrap().pop().unwrap();
        assert_eq!(free.id, id);
        sql(&store, &open);
        assert!(!due(&store, 100).await.contains(&id), "{what}");
        // What began to name it behind the look keeps it as well.
        let refused = forgotten(&store, &free).await;
        assert!(matches!(refused, Err(WriteError::RowsUnexpected { .. })), "{what}: {refused:?}");
        let mut write = Write::default();
        let part = SessionPart { journal: Some(i64::MAX), hooks: Some(i64::MAX) };
        write.session_shorten(id, part).journal(note("plane", "shorter"));
        assert!(store.write(write).await.is_err(), "{what}");
        sql(&store, close);
        assert!(due(&store, 100).await.contains(&id), "not any more: {what}");
        forgotten(&store, &free).await.unwrap();
        assert_eq!(store.session_get(id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn with_a_session_goes_what_belongs_to_it_alone() {
    let (folder, store) = fresh();
    let (gone, kept) = (over(&store, 1, as_it_is).await, over(&store, 50, as_it_is).await);
    let token = |n: u128, of_session| TokenRecord {
        id: TokenId::new(Uuid::from_u128(n)),
        hash: format!("{n:064x}"),
        role: Role::Worker,
        step: None,
        agent_id: None,
        session_id: None,
        of_session: Some(of_session),
        created_at: at(0),
        expires_at: None,
        revoked_at: Some(at(1)),
        uses: 0,
        last_seen_at: None,
    };
    let hook = |session_id, ms| HookDraft {
        session_id,
        hook_id: None,
        event: "Stop".to_owned(),
        tool: None,
        size_bytes: 1,
        decision: None,
        payload: "{}".to_owned(),
        at: at(ms),
    };
    let usage = ContextUsage { used_tokens: 1, window_tokens: 2, at: at(1) };
    for (n, id) in (1..).zip([gone, kept]) {
        let (connection, hooked) = (format!("session:{id}"), format!("hook:{id}"));
        let mut write = Write::default();
        write.token_put(&token(n, id)).context_usage_put(id, usage);
        for ms in 1..=3 {
            write.hook_event_add(hook(id, ms));
        }
        for (of, connection) in [("protocol", &connection), ("hook", &hooked)] {
            let name = format!("approval-{of}-{n}");
            write.approval_put(&approval(&name, connection, None, ApprovalStatus::Approved));
            write.journal(note(&name, "raised"));
        }
        // That of a run is the run's.
        let of_run = format!("approval-run-{n}");
        write.approval_put(&approval(&of_run, &connection, Some("run_x"), ApprovalStatus::Denied));
        store.write(write).await.unwrap();
        let (kind, removed) = if id == gone { ("given", 0) } else { ("worktree", 0) };
        workspace(&store, (id, kind, removed));
    }
    let saved = over(&store, 2, as_it_is).await;
    workspace(&store, (saved, "worktree", 1));
    let before = journal::verify(store.path()).unwrap();
    let mut found = store.sessions_due(at(40), "", 10).await.unwrap();
    let (second, due) = (found.pop().unwrap(), found.pop().unwrap());
    assert_eq!((due.id, due.approvals.len(), second.id, found.len()), (gone, 2, saved, 0));
    for due in [&due, &second] {
        forgotten(&store, due).await.unwrap();
    }

    assert_eq!(store.session_get(gone).await.unwrap(), None);
    assert!(store.session_get(kept).await.unwrap().is_some());
    assert!(!store.session_has_token(gone).await.unwrap() && store.session_has_token(kept).await.unwrap());
    assert_eq!(store.context_usage(gone).await.unwrap(), None);
    assert!(store.context_usage(kept).await.unwrap().is_some());
    assert_eq!(store.hook_events(gone, 0, 10).await.unwrap(), []);
    assert_eq!(store.hook_events(kept, 0, 10).await.unwrap().len(), 3);
    let left: Vec<String> =
        store.approvals(None, 10).await.unwrap().into_iter().map(|approval| approval.id).rev().collect();
    assert_eq!(left, ["approval-run-1", "approval-protocol-2", "approval-hook-2", "approval-run-2"]);
    let known = async |id: SessionId| store.workspace_known(&id.into()).await.unwrap().is_some();
    assert!(known(saved).await, "where its snapshots are stays known");
    assert!(!known(gone).await && known(kept).await);
    let after = journal::verify(store.path()).unwrap();
    assert!(after.is_sound(), "{after:?}");
    let expected = (before.rows + 2 - 4, 4);
    assert_eq!((after.rows, after.removed), expected, "their own rows, and those of what was asked");
    assert_eq!(store.journal_of(&gone.to_string(), 0, 10).await.unwrap(), []);
    let report = check::check(folder.path(), &Interrupt::default()).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn what_is_known_of_a_session_goes_in_parts_when_it_is_much() {
    let (_folder, store) = fresh();
    let id = over(&store, 1, as_it_is).await;
    let count = 12_000;
    for part in 0..6 {
        let mut write = Write::default();
        for n in 0..count / 6 {
            write.journal(note(&id.to_string(), "a hook")).hook_event_add(HookDraft {
                session_id: id,
                hook_id: None,
                event: "Stop".to_owned(),
                tool: None,
                size_bytes: 1,
                decision: None,
                payload: "{}".to_owned(),
                at: at(part * count + n),
            });
        }
        store.write(write).await.unwrap();
    }
    let mut parts = 0;
    loop {
        let due = store.sessions_due(at(100), "", 1).await.unwrap().pop().unwrap();
        let Some(part) = due.part else {
            forgotten(&store, &due).await.unwrap();
            break;
        };
        let rows = counted(&store, "hook_events");
        let mut write = Write::default();
        write.session_shorten(id, part).journal(note("plane", "shorter"));
        store.write(write).await.unwrap();
        assert!(counted(&store, "hook_events") < rows);
        parts += 1;
    }
    assert!((2..=4).contains(&parts), "{parts}");
    assert_eq!(store.journal_of(&id.to_string(), 0, 10).await.unwrap(), []);
    assert_eq!(counted(&store, "hook_events"), 1, "the last one, so that numbers only ascend");
    let report = journal::verify(store.path()).unwrap();
    assert!(report.is_sound() && report.removed == 1 + count as u64, "{report:?}");
}

#[tokio::test]
async fn delegations_and_handoffs_go_by_when_they_ended() {
    let (_folder, store) = fresh();
    let (one, two) = (session_id(1), session_id(2));
    let told = Delegation { told_at: Some(at(30)), ..delegation(2, (one, two)) };
    let untold = delegation(1, (one, two));
    put(&store, |write| write.delegation_create(&untold).delegation_create(&told)).await;
    assert_eq!(store.delegations_due(at(30), 10).await.unwrap(), [], "the end was told only then");
    assert_eq!(store.delegations_due(at(31), 10).await.unwrap(), [told.id], "the other was not told yet");
    put(&store, |write| write.delegation_forget(told.id).delegation_forget(untold.id)).await;
    let left = store.delegations(DelegationFilter::default()).await.unwrap();
    assert_eq!(left.into_iter().map(|entry| entry.delegation.id).collect::<Vec<_>>(), [untold.id]);

    let (open, ended) = (handoff(1, (one, two)), handoff(2, (one, two)));
    put(&store, |write| write.handoff_create(&open).handoff_create(&ended)).await;
    let ended = Handoff { ended_at: Some(at(20)), ..ended };
    put(&store, |write| write.handoff_end(&ended)).await;
    assert_eq!(store.handoffs_due(at(20), 10).await.unwrap(), []);
    assert_eq!(store.handoffs_due(at(21), 10).await.unwrap(), std::slice::from_ref(&ended.id));
    put(&store, |write| write.handoff_forget(&ended.id).handoff_forget(&open.id)).await;
    assert_eq!(store.handoff_get(&ended.id).await.unwrap(), None);
    assert_eq!(store.handoff_get(&open.id).await.unwrap(), Some(open));
}

#[tokio::test]
async fn an_approval_goes_when_it_has_ended_and_nothing_that_is_kept_has_asked_it() {
    let (folder, store) = fresh();
    store.write(run_write(7)).await.unwrap();
    let live = Session { state: SessionState::Active, ..session(1, "live") };
    let waits = Delegation {
        approval_id: Some("approval-d".into()),
        ..delegation(1, (session_id(8), session_id(9)))
    };
    let mut write = Write::default();
    write.session_create(&Session { reason: Some("approval-s".into()), ..live }).delegation_create(&waits);
    let kept_run = run_id(7);
    for (id, run_id, status) in [
        ("approval-pending", None, ApprovalStatus::Pending),
        ("approval-done", None, ApprovalStatus::Expired),
        ("approval-run", Some(kept_run.as_str()), ApprovalStatus::Approved),
        ("approval-gone-run", Some("run_gone"), ApprovalStatus::Denied),
        ("approval-d", None, ApprovalStatus::Approved),
        ("approval-s", None, ApprovalStatus::Withdrawn),
    ] {
        write.approval_put(&approval(id, "rpc", run_id, status)).journal(note(id, "raised"));
    }
    store.write(write).await.unwrap();
    assert_eq!(store.approvals_due(at(5), 10).await.unwrap(), Vec::<String>::new(), "they are too young");
    assert_eq!(store.approvals_due(at(6), 10).await.unwrap(), ["approval-done", "approval-gone-run"]);
    assert_eq!(store.approvals_due(at(6), 1).await.unwrap(), ["approval-done"]);
    for held in ["approval-pending", "approval-run", "approval-d", "approval-s"] {
        let mut write = Write::default();
        write.approval_forget(held).journal(note("plane", "gone"));
        assert!(store.write(write).await.is_err(), "{held}");
    }
    put(&store, |write| {
        write
            .approval_forget("approval-done")
            .approval_forget("approval-gone-run")
            .journal(note("plane", "gone"))
    })
    .await;
    assert_eq!(store.approvals(None, 10).await.unwrap().len(), 4);
    assert_eq!(store.journal_of("approval-done", 0, 10).await.unwrap(), []);
    let report = check::check(folder.path(), &Interrupt::default()).unwrap();
    assert!(report.is_sound() && report.journal_removed == 2, "{report:?}");
}
