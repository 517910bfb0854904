//! Managed sessions: what is put in comes out, names are one's own while it lives, and nobody writes over what was not
//! seen.

use crate::fixtures::{at, fresh, open, session, session_id};
use adjutant_model::session::{
    Activity, ActivityReport, AgentQuestion, AskOption, AskOptionKind, Desired, DriverKind, HostHandle,
    Session, SessionPhase, SessionSource, SessionState, SessionUsage, SignalSource, WaitingFor,
};
use adjutant_store::{SessionEntry, SessionFilter, Store, Write, WriteError};

async fn create(store: &Store, session: &Session) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.session_create(session);
    store.write(write).await.map(drop)
}

async fn put(store: &Store, session: &Session, revision: u64) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.session_put(session, revision);
    store.write(write).await.map(drop)
}

fn decommissioned(session: &Session) -> Session {
    Session { state: SessionState::Decommissioned, phase: SessionPhase::Resting, ..session.clone() }
}

#[tokio::test]
async fn a_session_comes_back_as_it_went_in_also_after_a_restart() {
    let (folder, store) = fresh();
    let first = session(1, "fix");
    create(&store, &first).await.unwrap();
    let full = Session {
        parent: Some(session_id(9)),
        source: SessionSource::Remote { url: "https://example.org/x".into(), git_ref: Some("main".into()) },
        activity: ActivityReport {
            activity: Activity::Waiting(WaitingFor::Permission),
            since: at(5),
            source: SignalSource::Hook,
            evidence: "PermissionRequest".into(),
        },
        questions: vec![AgentQuestion {
            ask_id: "a\u{1b}[2J".into(),
            what: WaitingFor::Permission,
            text: "may I?\0".into(),
            tool: Some("Bash".into()),
            input: None,
            options: vec![AskOption { id: "o".into(), name: "yes".into(), kind: AskOptionKind::AllowOnce }],
            subagent: None,
            asked_at: at(5),
        }],
        handle: Some(HostHandle {
            driver: DriverKind::Tmux,
            launch: 2,
            terminal: Some("adj-fix".into()),
            pid: 7,
            started_ticks: u64::from(u32::MAX) * 9,
        }),
        usage: SessionUsage { input_tokens: 1 << 53, cost_usd: Some(0.1 + 0.2), ..SessionUsage::default() },
        deaths: vec![at(1), at(2)],
        phase: SessionPhase::Running,
        state: SessionState::Active,
        ..first
    };
    put(&store, &full, 1).await.unwrap();
    let entry = SessionEntry { session: full, revision: 2 };
    assert_eq!(store.session_get(session_id(1)).await.unwrap(), Some(entry.clone()));
    assert_eq!(store.session_named("fix").await.unwrap(), Some(entry.clone()));
    assert_eq!(store.session_get(session_id(2)).await.unwrap(), None);
    assert_eq!(store.session_named("FIX").await.unwrap(), None);
    store.close().await.unwrap();
    let store = open(folder.path());
    assert_eq!(store.sessions(SessionFilter::default()).await.unwrap(), [entry]);
}

#[tokio::test]
async fn a_name_is_one_sessions_own_until_that_is_decommissioned() {
    let (_folder, store) = fresh();
    let first = session(1, "fix");
    create(&store, &first).await.unwrap();
    let refused = create(&store, &session(2, "fix")).await;
    assert!(matches!(refused, Err(WriteError::Constraint(_))), "{refused:?}");
    let again = create(&store, &session(1, "other")).await;
    assert!(matches!(again, Err(WriteError::Constraint(_))), "an id is used once: {again:?}");
    for state in [SessionState::Stopped, SessionState::Errored] {
        let seen = store.session_get(first.id).await.unwrap().unwrap().revision;
        put(&store, &Session { state, ..first.clone() }, seen).await.unwrap();
        assert!(create(&store, &session(2, "fix")).await.is_err(), "it may be resumed: {state}");
    }
    put(&store, &decommissioned(&first), 3).await.unwrap();
    create(&store, &session(2, "fix")).await.unwrap();
    let named = store.session_named("fix").await.unwrap().unwrap();
    assert_eq!(named.session.id, session_id(2), "the living one");
    assert!(store.session_get(first.id).await.unwrap().is_some(), "and the other one is not forgotten");
}

#[tokio::test]
async fn what_was_not_seen_is_not_written_over() {
    let (_folder, store) = fresh();
    let first = session(1, "fix");
    create(&store, &first).await.unwrap();
    let stopped = Session { desired: Desired::Stopped, ..first.clone() };
    put(&store, &stopped, 1).await.unwrap();
    for revision in [0, 1, 3] {
        let late = put(&store, &first, revision).await;
        assert!(matches!(late, Err(WriteError::RowsUnexpected { .. })), "{revision}: {late:?}");
    }
    let unknown = put(&store, &session(2, "fix"), 1).await;
    assert!(matches!(unknown, Err(WriteError::RowsUnexpected { .. })), "{unknown:?}");
    let found = store.session_get(first.id).await.unwrap().unwrap();
    assert_eq!(found, SessionEntry { session: stopped, revision: 2 });
}

#[tokio::test]
async fn lists_of_sessions_show_the_newest_first_by_state_and_parent() {
    let (_folder, store) = fresh();
    for n in 1..=5 {
        let parent = (n > 3).then(|| session_id(1));
        create(&store, &Session { parent, ..session(n, &format!("s-{n}")) }).await.unwrap();
    }
    put(&store, &decommissioned(&session(2, "s-2")), 1).await.unwrap();
    put(&store, &Session { state: SessionState::Active, ..session(3, "s-3") }, 1).await.unwrap();
    let all = SessionFilter::default();
    let cases: [(SessionFilter, &[u128]); 7] = [
        (all.clone(), &[5, 4, 3, 2, 1]),
        (SessionFilter { limit: 2, ..all.clone() }, &[5, 4]),
        (SessionFilter { is_live: true, ..all.clone() }, &[5, 4, 3, 1]),
        (SessionFilter { state: Some(SessionState::Decommissioned), ..all.clone() }, &[2]),
        (SessionFilter { state: Some(SessionState::Decommissioned), is_live: true, ..all.clone() }, &[]),
        (SessionFilter { parent: Some(session_id(1)), ..all.clone() }, &[5, 4]),
        (SessionFilter { parent: Some(session_id(2)), ..all }, &[]),
    ];
    for (filter, expected) in cases {
        let found = store.sessions(filter.clone()).await.unwrap();
        let ids: Vec<_> = found.into_iter().map(|entry| entry.session.id).collect();
        assert_eq!(ids, expected.iter().map(|n| session_id(*n)).collect::<Vec<_>>(), "{filter:?}");
    }
}
