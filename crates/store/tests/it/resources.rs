//! Each resource: what is put in comes out, and what must not happen does not.

use crate::fixtures::{
    at, fresh, hash_of, note, note_write, open, run, run_id, run_write, task, task_id, turn,
};
use adjutant_model::action::{Role, StepBinding, TokenRecord};
use adjutant_model::goal::{
    Criterion, Evidence, EvidenceSource, Goal, GoalAlert, GoalAlertKind, GoalLink, GoalStatus, LinkState,
    Recheck,
};
use adjutant_model::id::Uuid;
use adjutant_model::operator::{Operator, Seat, SpawnToken, StageRecord, StepStage};
use adjutant_model::run::{
    ErrorClass, FlowError, FlowErrorCode, RunInput, RunStatus, StepFailure, StepPath, TurnStatus,
    WorkspaceKind, WorkspaceRecord,
};
use adjutant_model::session::SessionBudget;
use adjutant_model::{GoalId, Holder, OperatorId, SessionId, TokenId, Value};
use adjutant_store::{
    GoalFilter, Json, RunFilter, RunStatusChange, StoreOptions, Superseded, TURNS_MAX, TokenFilter,
    TurnFilter, TurnSettlement, WorkspaceEntry, Write, WriteError, journal,
};

fn workspace(path: &str) -> WorkspaceRecord {
    WorkspaceRecord {
        kind: WorkspaceKind::Worktree,
        path: path.into(),
        project: Some("/src/project".into()),
        branch: Some("adjutant/run".into()),
        base: Some("abc".into()),
        node: "local".into(),
    }
}

#[tokio::test]
async fn a_task_and_its_run_come_back_as_they_went_in() {
    let (_folder, store) = fresh();
    let mut full = run(1);
    full.workspace = Some(workspace("/w/1"));
    full.goal_id = Some(GoalId::new(Uuid::from_u128(5)));
    full.agent_override = Some("claude".into());
    full.ttl_ms = u64::from(u32::MAX) * 10;
    let mut write = Write::default();
    write.blueprint_put(&hash_of(1), "bp", "{}").task_create(&task(1)).run_create(&full);
    store.write(write).await.unwrap();
    assert_eq!(store.task_get(&task_id(1)).await.unwrap(), Some(task(1)));
    assert_eq!(store.run_get(&run_id(1)).await.unwrap(), Some(full));
    assert_eq!(store.blueprint_get(&hash_of(1)).await.unwrap().as_deref(), Some("{}"));
    assert_eq!(store.run_get(&run_id(2)).await.unwrap(), None);
    assert_eq!(store.task_get(&task_id(2)).await.unwrap(), None);
    assert_eq!(store.blueprint_get(&hash_of(2)).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_without_its_task_and_a_task_without_its_blueprint_are_refused() {
    let (_folder, store) = fresh();
    let mut write = Write::default();
    write.task_create(&task(1));
    let error = store.write(write).await.unwrap_err();
    assert!(matches!(error, WriteError::Constraint(_)), "{error:?}");
    let mut write = Write::default();
    write.blueprint_put(&hash_of(1), "bp", "{}").run_create(&run(1));
    assert!(matches!(store.write(write).await, Err(WriteError::Constraint(_))));
    store.write(run_write(1)).await.unwrap();
    let mut twice = Write::default();
    twice.run_create(&run(1));
    assert!(matches!(store.write(twice).await, Err(WriteError::Constraint(_))));
}

#[tokio::test]
async fn a_run_ends_with_its_error_or_its_result() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let error = FlowError {
        code: FlowErrorCode::StepFailed,
        message: "no".into(),
        step: Some(StepPath::new("0/1")),
        reference: None,
        value: Some(Value::Null),
    };
    for (error, result) in [(Some(error), None), (None, Some(Value::from("done")))] {
        let mut write = Write::default();
        let change = RunStatusChange {
            status: RunStatus::Failed,
            error: error.as_ref(),
            result: result.as_ref(),
            ended_at: Some(at(9)),
        };
        write.run_status_set(&run_id(1), change);
        store.write(write).await.unwrap();
        let now = store.run_get(&run_id(1)).await.unwrap().unwrap();
        assert_eq!((now.status, now.ended_at), (RunStatus::Failed, Some(at(9))));
        // A null value of an error reads back as an absent one: JSON has one form for both there.
        assert_eq!(now.error.map(|error| error.message), error.map(|error| error.message));
        assert_eq!(now.result, result);
    }
}

#[tokio::test]
async fn lists_show_the_newest_first_and_page_in_both_directions() {
    let (_folder, store) = fresh();
    for n in 1..=5 {
        store.write(run_write(n)).await.unwrap();
    }
    let mut write = Write::default();
    let done = RunStatusChange { status: RunStatus::Done, error: None, result: None, ended_at: Some(at(1)) };
    write.run_status_set(&run_id(2), done);
    store.write(write).await.unwrap();
    let cases: [(RunFilter, &[u128]); 7] = [
        (RunFilter::default(), &[5, 4, 3, 2, 1]),
        (RunFilter { limit: 2, ..RunFilter::default() }, &[5, 4]),
        (RunFilter { before: Some(run_id(4)), limit: 2, ..RunFilter::default() }, &[3, 2]),
        (RunFilter { after: Some(run_id(3)), ..RunFilter::default() }, &[5, 4]),
        (RunFilter { status: Some(RunStatus::Done), ..RunFilter::default() }, &[2]),
        (RunFilter { task_id: Some(task_id(3)), ..RunFilter::default() }, &[3]),
        (RunFilter { before: Some(run_id(99)), ..RunFilter::default() }, &[]),
    ];
    for (filter, expected) in cases {
        let found: Vec<_> =
            store.run_list(filter.clone()).await.unwrap().into_iter().map(|run| run.id).collect();
        assert_eq!(found, expected.iter().map(|n| run_id(*n)).collect::<Vec<_>>(), "{filter:?}");
    }
    let open: Vec<_> = store.runs_open().await.unwrap().into_iter().map(|run| run.id).collect();
    assert_eq!(open, [1, 3, 4, 5].map(run_id));
    let tasks: Vec<_> = store.task_list(4).await.unwrap();
    let found: Vec<_> = tasks.iter().map(|entry| (entry.task.id.clone(), entry.status)).collect();
    let status = |n| if n == 2 { RunStatus::Done } else { RunStatus::Running };
    assert_eq!(found, [5, 4, 3, 2].map(|n| (task_id(n), Some(status(n)))), "with where their runs stand");
    assert_eq!((tasks[0].updated_at, tasks[3].updated_at), (at(5), at(1)));
}

#[tokio::test]
async fn a_run_that_is_removed_takes_its_rows_with_it_and_leaves_a_checkpoint() {
    let (folder, store) = fresh();
    let mut write = run_write(1);
    write.turn_start(&run_id(1), &turn(0));
    write.run_input_set(&run_id(1), &RunInput { input: Value::from(1_u64), request: Value::Null });
    write.journal(note(run_id(1).as_str(), "first")).journal(note(run_id(1).as_str(), "second"));
    store.write(write).await.unwrap();
    let mut other = run_write(2);
    other.turn_start(&run_id(2), &turn(0)).turn_supersede(&run_id(2), 0, 3);
    store.write(other).await.unwrap();
    assert_eq!(
        store.run_input_get(&run_id(1)).await.unwrap().map(|given| given.input),
        Some(Value::from(1_u64))
    );

    let mut write = Write::default();
    write.run_delete(&run_id(1)).journal(note("plane", "removed"));
    store.write(write.clone()).await.unwrap();
    assert_eq!(store.run_get(&run_id(1)).await.unwrap(), None);
    assert!(store.turns_of(&run_id(1), None, 10).await.unwrap().is_empty());
    assert_eq!(store.run_input_get(&run_id(1)).await.unwrap(), None);
    assert!(store.journal_of(run_id(1).as_str(), 0, 10).await.unwrap().is_empty());
    assert_eq!(store.turns_of(&run_id(2), None, 10).await.unwrap()[0].superseded, Some(3));
    let shown = TurnFilter { superseded: Superseded::Hidden, ..TurnFilter::default() };
    assert!(store.turns_where(&run_id(2), shown).await.unwrap().is_empty());
    assert!(matches!(store.write(write).await, Err(WriteError::UnknownRun { .. })), "it is gone already");

    // The chain of its subject goes on behind the checkpoint, also in another process.
    store.close().await.unwrap();
    let store = open(folder.path());
    let committed = store.write(note_write(run_id(1).as_str(), "late")).await.unwrap();
    assert_eq!(committed.last_seq, 4, "no place is given twice");
    let report = journal::verify(&StoreOptions::new(folder.path()).path()).unwrap();
    assert!(report.is_sound() && report.removed == 2, "{report:?}");
}

#[tokio::test]
async fn a_turn_is_written_before_its_effect_and_settles_once() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let mut write = Write::default();
    write.turn_start(&run_id(1), &turn(0)).turn_start(&run_id(1), &turn(1)).turn_start(&run_id(1), &turn(2));
    store.write(write).await.unwrap();

    let failure = StepFailure {
        message: "exit 1".into(),
        class: ErrorClass::User,
        value: Some(Value::object([("code", Value::from(1u64))])),
    };
    let settlement = TurnSettlement {
        status: TurnStatus::Failed,
        output: None,
        error: Some(&failure),
        rule: Some("no-rm"),
        ended_at: at(7),
    };
    let mut write = Write::default();
    write.turn_settle(&run_id(1), 1, settlement);
    store.write(write.clone()).await.unwrap();
    let again = store.write(write).await.unwrap_err();
    assert!(matches!(again, WriteError::RowsUnexpected { expected: 1, found: 0, .. }), "{again:?}");

    let settled = store.turn_get(&run_id(1), 1).await.unwrap().unwrap();
    assert_eq!(
        (settled.status, settled.error, settled.rule, settled.ended_at),
        (TurnStatus::Failed, Some(failure), Some("no-rm".into()), Some(at(7)))
    );
    let turns = store.turns_of(&run_id(1), None, 10).await.unwrap();
    assert_eq!(turns.iter().map(|turn| turn.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(turns[0], turn(0));
    let later = store.turns_of(&run_id(1), Some(0), 1).await.unwrap();
    assert_eq!(later.iter().map(|turn| turn.index).collect::<Vec<_>>(), [1]);
    assert_eq!(store.turn_get(&run_id(1), 3).await.unwrap(), None);
    assert!(store.turns_of(&run_id(9), None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_null_output_is_an_output() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let mut write = Write::default();
    write.turn_start(&run_id(1), &turn(0));
    write.turn_settle(
        &run_id(1),
        0,
        TurnSettlement {
            status: TurnStatus::Succeeded,
            output: Some(Json::of(&Value::Null)),
            error: None,
            rule: None,
            ended_at: at(1),
        },
    );
    store.write(write).await.unwrap();
    assert_eq!(store.turn_get(&run_id(1), 0).await.unwrap().unwrap().output, Some(Value::Null));
}

#[tokio::test]
async fn a_turn_of_an_unknown_run_or_beyond_the_limit_is_refused() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let mut write = Write::default();
    write.turn_start(&run_id(9), &turn(0));
    assert!(matches!(store.write(write).await, Err(WriteError::UnknownRun { .. })));
    let mut write = Write::default();
    write.turn_start(&run_id(1), &turn(TURNS_MAX));
    assert!(matches!(store.write(write).await, Err(WriteError::TurnsExhausted { .. })));
}

#[tokio::test]
async fn large_content_is_kept_once_and_read_back_whole() {
    let (folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    let large = Value::from("x".repeat(300_000));
    let edge = Value::from("y".repeat(64 * 1024 - 2));
    let mut write = Write::default();
    for (index, output) in [(0, &large), (1, &large), (2, &edge)] {
        let mut turn = turn(index);
        turn.output = Some(output.clone());
        turn.status = TurnStatus::Succeeded;
        write.turn_start(&run_id(1), &turn);
    }
    store.write(write).await.unwrap();
    for (index, output) in [(0, &large), (1, &large), (2, &edge)] {
        let turn = store.turn_get(&run_id(1), index).await.unwrap().unwrap();
        assert!(turn.output.as_ref() == Some(output), "turn {index}");
    }
    let db = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let blobs: i64 = db.query_row("SELECT count(*) FROM blobs", [], |row| row.get(0)).unwrap();
    assert_eq!(blobs, 1);
}

#[tokio::test]
async fn a_workspace_comes_moves_and_goes() {
    let (_folder, store) = fresh();
    let holder = Holder::Run(run_id(1));
    store.write(run_write(1)).await.unwrap();
    for path in ["/w/1", "/w/2"] {
        let mut write = Write::default();
        write.workspace_set(&holder, &workspace(path));
        store.write(write).await.unwrap();
        let entry = WorkspaceEntry {
            holder: holder.clone(),
            run_status: Some(RunStatus::Running),
            workspace: workspace(path),
            is_removed: false,
        };
        assert_eq!(store.workspaces().await.unwrap(), [entry]);
        assert_eq!(store.workspace_of(&holder).await.unwrap(), Some(workspace(path)));
    }
    let mut write = Write::default();
    write.workspace_remove(&holder);
    store.write(write.clone()).await.unwrap();
    assert!(store.workspaces().await.unwrap().is_empty());
    assert_eq!(store.workspace_of(&holder).await.unwrap(), None);
    let known = store.workspace_known(&holder).await.unwrap().unwrap();
    assert!(known.is_removed && known.workspace == workspace("/w/2"), "{known:?}");
    assert_eq!(store.run_get(&run_id(1)).await.unwrap().unwrap().workspace, None);
    assert!(matches!(store.write(write).await, Err(WriteError::RowsUnexpected { .. })));
}

#[tokio::test]
async fn a_workspace_of_a_session_stands_beside_those_of_runs() {
    let (_folder, store) = fresh();
    let holder = Holder::Session(SessionId::new(Uuid::from_u128(9)));
    let mut write = run_write(1);
    write.workspace_set(&Holder::Run(run_id(1)), &workspace("/w/1"));
    write.workspace_set(&holder, &workspace("/w/2"));
    store.write(write).await.unwrap();
    let listed = store.workspaces().await.unwrap();
    assert_eq!((listed.len(), &listed[0].holder, listed[0].run_status), (2, &holder, None));
    assert_eq!(store.run_get(&run_id(1)).await.unwrap().unwrap().workspace, Some(workspace("/w/1")));
}

#[tokio::test]
async fn a_goal_is_kept_as_it_stands_now() {
    let (_folder, store) = fresh();
    let evidence = Evidence {
        source: EvidenceSource::Check { command: "make test".into() },
        passed: true,
        tree: Some("t".into()),
        workspace: None,
        detail: "exit 0".into(),
        at: at(3),
    };
    let mut goal = Goal {
        id: GoalId::new(Uuid::from_u128(1)),
        description: "fix it".into(),
        status: GoalStatus::Pending,
        acceptance: vec![Criterion {
            text: "passes".into(),
            check: Some("make test".into()),
            evidence: None,
        }],
        sessions: Vec::new(),
        progress: 0,
        reason: Some("because".into()),
        project: Some("/src".into()),
        depends_on: vec![GoalId::new(Uuid::from_u128(7))],
        budget: SessionBudget { max_tokens: Some(9), ..SessionBudget::default() },
        deadline: Some(at(9)),
        deadline_told: true,
        recheck: Some(Recheck { cron: "* * * * *".into(), next_at: at(5) }),
        alert: None,
        pursuit: None,
        notes: Vec::new(),
        created: at(1),
        updated: at(1),
    };
    for step in 0..2 {
        if step == 1 {
            goal.status = GoalStatus::Done;
            goal.acceptance[0].evidence = Some(evidence.clone());
            let session_id = run_id(1).to_string();
            let state = LinkState::Verified;
            goal.sessions.push(GoalLink { session_id, task: "t".into(), state, evidence: None });
            goal.progress = 100;
            let (what, text) = (GoalAlertKind::Reopened, "look".into());
            goal.alert = Some(GoalAlert { what, text, since: at(3) });
            goal.notes.push("well done".into());
        }
        let mut write = Write::default();
        write.goal_put(&goal);
        store.write(write).await.unwrap();
        assert_eq!(store.goal_get(&goal.id).await.unwrap().as_ref(), Some(&goal));
    }
    let of = |status| GoalFilter { status, ..GoalFilter::default() };
    assert_eq!(store.goal_list(of(None)).await.unwrap(), std::slice::from_ref(&goal));
    assert_eq!(store.goal_list(of(Some(GoalStatus::Done))).await.unwrap(), std::slice::from_ref(&goal));
    assert!(store.goal_list(of(Some(GoalStatus::Pending))).await.unwrap().is_empty());
    assert!(store.goals_due(at(4), 9).await.unwrap().is_empty());
    assert_eq!(store.goals_due(at(5), 9).await.unwrap(), std::slice::from_ref(&goal));
    assert_eq!(store.goals_with_alert().await.unwrap(), [goal]);
}

#[tokio::test]
async fn goals_are_given_in_pages() {
    let (_folder, store) = fresh();
    let mut goals = Vec::new();
    for number in 0..5 {
        let goal = Goal {
            id: GoalId::new(Uuid::from_u128(9 - number)),
            description: number.to_string(),
            status: if number % 2 == 0 { GoalStatus::Done } else { GoalStatus::Blocked },
            acceptance: Vec::new(),
            sessions: Vec::new(),
            progress: 0,
            reason: None,
            project: None,
            depends_on: Vec::new(),
            budget: SessionBudget::default(),
            deadline: None,
            deadline_told: false,
            recheck: None,
            alert: None,
            pursuit: None,
            notes: Vec::new(),
            created: at(i64::try_from(number).unwrap() / 2),
            updated: at(9),
        };
        let mut write = Write::default();
        write.goal_put(&goal);
        store.write(write).await.unwrap();
        goals.push(goal);
    }
    goals.sort_by_key(|goal| (goal.created, goal.id.clone()));
    for status in [None, Some(GoalStatus::Done), Some(GoalStatus::Blocked)] {
        let expected: Vec<_> =
            goals.iter().filter(|goal| status.is_none_or(|status| goal.status == status)).cloned().collect();
        let (mut found, mut after): (Vec<Goal>, _) = (Vec::new(), None);
        loop {
            let page = store.goal_list(GoalFilter { status, after, limit: 2 }).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            found.extend(page);
        }
        assert_eq!(found, expected, "{status:?}");
    }
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_and_taken_back_once() {
    let (_folder, store) = fresh();
    let token = |n: u128, step| TokenRecord {
        id: TokenId::new(Uuid::from_u128(n)),
        hash: hash_of(n),
        role: if n == 1 { Role::Host } else { Role::Worker },
        agent_id: (n == 2).then(|| "agent-a".into()),
        step,
        created_at: at(0),
        expires_at: (n != 1).then(|| at(100)),
        revoked_at: None,
        session_id: None,
        of_session: None,
        uses: 0,
        last_seen_at: None,
    };
    let step = StepBinding { run_id: run_id(1), path: StepPath::new("0"), attempt: 2 };
    let (owner, worker) = (token(1, None), token(2, Some(step)));
    let mut write = Write::default();
    write.token_put(&owner).token_put(&worker);
    store.write(write).await.unwrap();
    assert_eq!(store.token_by_hash(&hash_of(1)).await.unwrap(), Some(owner.clone()));
    assert_eq!(store.token_by_hash(&hash_of(2)).await.unwrap(), Some(worker));
    assert_eq!(store.token_by_hash(&hash_of(3)).await.unwrap(), None);

    let mut write = Write::default();
    write.run_tokens_revoke(&run_id(1), at(5));
    write.token_revoke(&owner.id, at(6));
    store.write(write).await.unwrap();
    let mut again = Write::default();
    again.token_revoke(&owner.id, at(7));
    assert!(matches!(store.write(again).await, Err(WriteError::RowsUnexpected { .. })));
    assert_eq!(store.token_by_hash(&hash_of(1)).await.unwrap().unwrap().revoked_at, Some(at(6)));
    assert_eq!(store.token_by_hash(&hash_of(2)).await.unwrap().unwrap().revoked_at, Some(at(5)));

    let mut write = Write::default();
    write.tokens_forget(at(6));
    store.write(write).await.unwrap();
    assert!(store.token_by_hash(&hash_of(1)).await.unwrap().is_some());
    assert!(store.token_by_hash(&hash_of(2)).await.unwrap().is_none());
    let mut write = Write::default();
    write.token_revoke(&TokenId::new(Uuid::from_u128(9)), at(1));
    assert!(matches!(store.write(write).await, Err(WriteError::RowsUnexpected { .. })));
}

#[tokio::test]
async fn an_operator_is_kept_with_its_names_until_it_is_removed() {
    let (_folder, store) = fresh();
    let operator = |n: u128, roles: &[&str]| Operator {
        sid: OperatorId::new(Uuid::from_u128(n)),
        token_id: TokenId::new(Uuid::from_u128(n)),
        desc: "an operator".to_owned(),
        capability_manifest: (n == 1).then(|| Value::object([("a", Value::from(1u64))])),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        joined_at: at(n as i64),
        seen_at: at(n as i64),
    };
    let (first, second) = (operator(1, &["lead"]), operator(2, &[]));
    let mut write = Write::default();
    write.operator_put(&first).operator_put(&second);
    store.write(write.clone()).await.unwrap();
    assert!(matches!(store.write(write).await, Err(WriteError::Constraint(_))));
    assert_eq!(store.operators().await.unwrap(), [first.clone(), second.clone()]);
    let mut write = Write::default();
    write
        .operator_seen(&first.sid, at(9))
        .operator_seen(&first.sid, at(7))
        .operator_roles_set(&first.sid, &[]);
    write.operator_remove(&second.sid).operator_remove(&second.sid).operator_seen(&second.sid, at(9));
    store.write(write).await.unwrap();
    assert_eq!(store.operators().await.unwrap(), [Operator { seen_at: at(9), roles: vec![], ..first }]);
}

#[tokio::test]
async fn seats_and_stages_are_kept_by_their_names_and_overwritten() {
    let (_folder, store) = fresh();
    let op = OperatorId::new(Uuid::from_u128(1));
    let vacant = Seat { op: None, desc: String::new(), generation: 1 };
    let taken = Seat { op: Some(op), desc: "why".to_owned(), generation: 2 };
    let mut write = Write::default();
    write.seat_put(&run_id(1), "a", &vacant).seat_put(&run_id(1), "a", &taken).seat_put(
        &run_id(2),
        "a",
        &vacant,
    );
    let path = StepPath::new("0/body#1");
    let stage = |stage: StepStage, value: Value| StageRecord { stage, value };
    let large = Value::from("x".repeat(100_000));
    let step = (&run_id(1), &path, 1);
    write.stage_put(step, &stage(StepStage::Final, Value::Null));
    write.stage_put(step, &stage(StepStage::Final, large.clone()));
    write.stage_put(step, &stage(StepStage::Part("verdict".to_owned()), Value::from("PASS")));
    write.stage_put((&run_id(1), &path, 2), &stage(StepStage::Final, Value::Null));
    let token = SpawnToken {
        token_id: TokenId::new(Uuid::from_u128(7)),
        run_id: run_id(1),
        path: path.clone(),
        attempt: 1,
        generation: 2,
    };
    write.spawn_token_put(&token);
    store.write(write).await.unwrap();
    let seats = store.seats_of(&run_id(1)).await.unwrap();
    assert_eq!(seats.by_slot.into_iter().collect::<Vec<_>>(), [("a".to_owned(), taken)]);
    let (stages, tokens) = store.stages_of(step).await.unwrap();
    let part = stage(StepStage::Part("verdict".to_owned()), Value::from("PASS"));
    assert_eq!((stages, tokens), (vec![stage(StepStage::Final, large), part], vec![token]));
    let mut write = Write::default();
    write.run_stages_forget(&run_id(1));
    store.write(write).await.unwrap();
    assert!(store.stages_of(step).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn sessions_and_uses_are_found_again() {
    let (_folder, store) = fresh();
    let session_id = SessionId::new(Uuid::from_u128(7));
    let token = |n: u128| TokenRecord {
        id: TokenId::new(Uuid::from_u128(n)),
        hash: hash_of(n),
        role: Role::Senior,
        agent_id: Some("ann".into()),
        session_id: (n == 1).then_some(session_id),
        of_session: None,
        step: (n == 2).then(|| StepBinding { run_id: run_id(1), path: StepPath::new("0"), attempt: 1 }),
        created_at: at(n as i64),
        expires_at: (n != 3).then(|| at(100 * n as i64)),
        revoked_at: None,
        uses: 0,
        last_seen_at: None,
    };
    let mut write = Write::default();
    write.token_put(&token(1)).token_put(&token(2)).token_put(&token(3));
    write.token_used(&token(1).id, 2, at(9)).token_used(&token(1).id, 3, at(8));
    store.write(write).await.unwrap();
    let used = TokenRecord { uses: 5, last_seen_at: Some(at(9)), ..token(1) };
    assert_eq!(store.token_of_session(session_id).await.unwrap(), Some(used.clone()));
    assert_eq!(store.token_get(&token(3).id).await.unwrap(), Some(token(3)));
    for (role, instant, count) in
        [(None, 99, 1), (None, 100, 0), (Some(Role::Senior), 99, 1), (Some(Role::Operator), 99, 0)]
    {
        assert_eq!(store.sessions_good(role, at(instant)).await.unwrap(), count, "{role:?} {instant}");
    }
    assert_eq!(store.tokens_ended(at(150)).await.unwrap(), 1);

    let all = TokenFilter { limit: 9, ..TokenFilter::default() };
    for (filter, found) in [
        (all.clone(), vec![token(3), token(2), used.clone()]),
        (TokenFilter { limit: 1, ..all.clone() }, vec![token(3)]),
        (TokenFilter { sessions_only: true, ..all.clone() }, vec![used.clone()]),
        (TokenFilter { without_steps: true, ..all.clone() }, vec![token(3), used]),
        (TokenFilter { good_at: Some(at(100)), ..all.clone() }, vec![token(3), token(2)]),
        (TokenFilter { good_at: Some(at(900)), ..all }, vec![token(3)]),
    ] {
        assert_eq!(store.tokens(filter.clone()).await.unwrap(), found, "{filter:?}");
    }
}
