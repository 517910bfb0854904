//! What is kept of agents beside their sessions: what hooks told, breakers, delegations, and agents that nobody hosts.
//! What is put in comes out, also after a restart, and nobody writes over what was not seen.

use crate::fixtures::{at, fresh, open, session_id};
use adjutant_model::DelegationId;
use adjutant_model::breaker::{Breaker, BreakerRecord, Circuit};
use adjutant_model::delegation::{Delegation, DelegationStatus};
use adjutant_model::discovered::Discovered;
use adjutant_model::hook::HookDraft;
use adjutant_model::id::Uuid;
use adjutant_model::session::{ActivityReport, ModelTier, SessionUsage};
use adjutant_store::{DelegationEntry, DelegationFilter, Store, Write, WriteError};

async fn written(
    store: &Store,
    fill: impl for<'w> FnOnce(&'w mut Write) -> &'w mut Write,
) -> Result<(), WriteError> {
    let mut write = Write::default();
    let _filled = fill(&mut write);
    store.write(write).await.map(drop)
}

fn hook(session: u128, event: &str, ms: i64, hook_id: Option<u128>) -> HookDraft {
    HookDraft {
        session_id: session_id(session),
        hook_id: hook_id.map(Uuid::from_u128),
        event: event.to_owned(),
        tool: Some("Bash\u{1b}".to_owned()),
        size_bytes: 1 << 40,
        decision: None,
        payload: r#"{"a":"\u0000"}"#.to_owned(),
        at: at(ms),
    }
}

#[tokio::test]
async fn what_hooks_told_comes_out_by_session_in_order_and_once_by_its_id() {
    let (folder, store) = fresh();
    let drafts = [hook(1, "Stop", 5, Some(7)), hook(2, "Stop", 6, None), hook(1, "Fresh", 7, None)];
    for draft in drafts.iter().chain([&hook(1, "Again", 8, Some(7))]) {
        written(&store, |write| write.hook_event_add(draft.clone())).await.unwrap();
    }
    store.close().await.unwrap();
    let store = open(folder.path());
    let kept = store.hook_events(session_id(1), 0, 10).await.unwrap();
    let found: Vec<_> = kept.iter().map(|record| record.draft.clone()).collect();
    assert_eq!(found, [drafts[0].clone(), drafts[2].clone()]);
    assert_eq!(store.hook_events(session_id(1), kept[0].number, 1).await.unwrap(), kept[1..]);
    let asked = [7, 8].map(Uuid::from_u128).to_vec();
    assert_eq!(store.hook_ids_known(asked).await.unwrap(), [Uuid::from_u128(7)]);
    assert!(store.hook_ids_known(Vec::new()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_hooks_told_is_forgotten_by_age_and_number_but_for_the_last() {
    let (_folder, store) = fresh();
    for ms in 1..=5 {
        written(&store, |write| write.hook_event_add(hook(1, "Stop", ms, None))).await.unwrap();
    }
    for (before, keep, old) in [(0, 10, 0), (3, 10, 2), (0, 2, 3), (100, 10, 4)] {
        assert_eq!(store.hook_events_old(at(before), keep).await.unwrap(), old, "{before} {keep}");
    }
    for (before, keep, left) in [(3, 10, 3), (0, 2, 2), (100, 0, 1)] {
        written(&store, |write| write.hook_events_forget(at(before), keep)).await.unwrap();
        let kept = store.hook_events(session_id(1), 0, 10).await.unwrap();
        assert_eq!(kept.len(), left, "{before} {keep}");
        assert_eq!(kept.last().unwrap().draft.at, at(5));
    }
}

#[tokio::test]
async fn a_breaker_is_written_on_the_revision_that_was_seen() {
    let (folder, store) = fresh();
    let record = |agent: &str, revision, circuit| BreakerRecord {
        agent: agent.to_owned(),
        breaker: Breaker { circuit, consecutive_failures: 3 },
        revision,
        updated_at: at(9),
    };
    let put =
        async |store: &Store, record: &BreakerRecord| written(store, |write| write.breaker_put(record)).await;
    let first = record("b", 1, Circuit::Closed);
    put(&store, &first).await.unwrap();
    assert!(
        matches!(put(&store, &first).await, Err(WriteError::RowsUnexpected { .. })),
        "nobody has seen it"
    );
    let second = record("b", 2, Circuit::Open { since: at(4) });
    put(&store, &second).await.unwrap();
    assert!(put(&store, &record("b", 2, Circuit::Closed)).await.is_err(), "somebody was quicker");
    let other = record("a", 1, Circuit::HalfOpen { since: at(5) });
    put(&store, &other).await.unwrap();
    store.close().await.unwrap();
    let store = open(folder.path());
    assert_eq!(store.breaker_get("b").await.unwrap(), Some(second.clone()));
    assert_eq!(store.breaker_get("B").await.unwrap(), None);
    assert_eq!(store.breakers(10).await.unwrap(), [other.clone(), second]);
    assert_eq!((store.breakers(1).await.unwrap(), store.breaker_count().await.unwrap()), (vec![other], 2));
}

fn delegation(n: u128, session: u128) -> Delegation {
    Delegation {
        id: DelegationId::new(Uuid::from_u128(n)),
        session: session_id(session),
        child: session_id(100 + n),
        agent: "reviewer".to_owned(),
        profile: "claude".to_owned(),
        tier: ModelTier::Sonnet,
        model: None,
        git_ref: None,
        task: "look\0".to_owned(),
        status: DelegationStatus::Queued,
        reason: None,
        result: None,
        approval_id: Some("approval-1".to_owned()),
        created_at: at(i64::try_from(n).unwrap()),
        ended_at: None,
        told_at: None,
    }
}

#[tokio::test]
async fn a_delegation_is_open_until_its_end_was_told_and_written_as_it_was_seen() {
    let (folder, store) = fresh();
    let all = [delegation(1, 1), delegation(2, 1), delegation(3, 2)];
    for one in &all {
        written(&store, |write| write.delegation_create(one)).await.unwrap();
    }
    assert!(written(&store, |write| write.delegation_create(&all[0])).await.is_err(), "its id is taken");
    let ended = Delegation {
        status: DelegationStatus::Completed,
        result: Some("well".to_owned()),
        ended_at: Some(at(50)),
        ..all[0].clone()
    };
    let told = Delegation { told_at: Some(at(51)), ..ended.clone() };
    let open_ones = async |store: &Store, session| {
        let filter = DelegationFilter { session, is_open: true, limit: 0 };
        let found = store.delegations(filter).await.unwrap();
        found.into_iter().map(|entry| entry.delegation.created_at).collect::<Vec<_>>()
    };
    written(&store, |write| write.delegation_put(&ended, 1)).await.unwrap();
    assert_eq!(open_ones(&store, None).await, [3, 2, 1].map(at), "nobody was told yet");
    let late = written(&store, |write| write.delegation_put(&all[0], 1)).await;
    assert!(matches!(late, Err(WriteError::RowsUnexpected { .. })));
    written(&store, |write| write.delegation_put(&told, 2)).await.unwrap();
    store.close().await.unwrap();
    let store = open(folder.path());
    assert_eq!(open_ones(&store, None).await, [3, 2].map(at));
    assert_eq!(open_ones(&store, Some(session_id(1))).await, [2].map(at));
    let entry = DelegationEntry { delegation: told, revision: 3 };
    assert_eq!(store.delegation_get(all[0].id).await.unwrap(), Some(entry.clone()));
    assert_eq!(store.delegation_get(DelegationId::new(Uuid::nil())).await.unwrap(), None);
    let newest = DelegationFilter { session: Some(session_id(1)), is_open: false, limit: 1 };
    assert_eq!(store.delegations(newest).await.unwrap()[0].delegation, all[1]);
}

#[tokio::test]
async fn a_discovered_session_is_kept_by_its_id_and_never_as_it_was_before() {
    let (folder, store) = fresh();
    let known = |n: u128, heard: i64| Discovered {
        id: session_id(n),
        agent_session: format!("agent {n}\u{1b}"),
        agent: "codex".to_owned(),
        cwd: Some("/p".to_owned()),
        activity: ActivityReport::unknown(at(heard), "it was heard of"),
        questions: Vec::new(),
        usage: SessionUsage { cost_usd: Some(0.1 + 0.2), ..SessionUsage::default() },
        model_used: None,
        transcript: None,
        turns: 1,
        parked_until: None,
        is_over: false,
        created_at: at(1),
        heard_at: at(heard),
    };
    for (n, heard) in [(1, 5), (2, 6), (1, 9), (1, 7)] {
        written(&store, |write| write.discovered_put(&known(n, heard))).await.unwrap();
    }
    store.close().await.unwrap();
    let store = open(folder.path());
    assert_eq!(store.discovered().await.unwrap(), [known(1, 9), known(2, 6)]);
    let same = Discovered { id: session_id(3), ..known(1, 9) };
    assert!(written(&store, |write| write.discovered_put(&same)).await.is_err(), "one agent is one session");
    for _ in 0..2 {
        written(&store, |write| write.discovered_forget(session_id(1))).await.unwrap();
    }
    assert_eq!(store.discovered().await.unwrap(), [known(2, 6)]);
}
