//! Issues, settings and decisions: what is put in comes out, and what must not happen twice does not.

use crate::fixtures::{at, fresh, hash_of, run_id};
use adjutant_model::id::Uuid;
use adjutant_model::issue::{
    AxisStatus, EnhanceEntry, EnhanceOutcome, EnhanceSetting, Epoch, Issue, IssueState, IssueStatus, Verdict,
};
use adjutant_model::registry::VersionSelector;
use adjutant_model::{IssueId, Value};
use adjutant_store::{IssueFilter, Store, Write, WriteError};

fn issue(n: u128, blueprint_id: &str) -> Issue {
    Issue {
        id: IssueId::new(Uuid::from_u128(n)),
        blueprint_id: blueprint_id.to_owned(),
        intent: format!("intent {n}"),
        state: IssueState::Pending { waits_for: None },
        epoch: None,
        conflicts: 0,
        revision: 1,
        author: "host".to_owned(),
        created_at: at(1),
        updated_at: at(1),
    }
}

fn begun(issue: &Issue) -> Issue {
    let epoch = Epoch {
        run_id: run_id(7),
        base_version: hash_of(1),
        setting_id: "default".to_owned(),
        ttl_secs: 9,
        started_at: at(2),
    };
    Issue { state: IssueState::InFlight, epoch: Some(epoch), revision: issue.revision + 1, ..issue.clone() }
}

async fn create(store: &Store, issues: &[&Issue]) {
    let mut write = Write::default();
    for issue in issues {
        write.issue_create(issue);
    }
    store.write(write).await.unwrap();
}

async fn update(store: &Store, issue: &Issue) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.issue_update(issue);
    store.write(write).await.map(drop)
}

#[tokio::test]
async fn an_issue_comes_back_in_every_state() {
    let (_folder, store) = fresh();
    let new = issue(1, "main");
    create(&store, &[&new]).await;
    assert_eq!(store.issue_get(&new.id).await.unwrap(), Some(new.clone()));
    let mut last = new;
    for state in [
        IssueState::Pending { waits_for: Some("a spawner".to_owned()) },
        IssueState::InFlight,
        IssueState::Applied { new_version: hash_of(2) },
        IssueState::Rejected { reason: "no".to_owned() },
        IssueState::Cancelled { reason: "enough".to_owned() },
    ] {
        last = Issue { state, conflicts: 2, updated_at: at(3), ..begun(&last) };
        update(&store, &last).await.unwrap();
        assert_eq!(store.issue_get(&last.id).await.unwrap().as_ref(), Some(&last));
    }
    assert_eq!(store.issue_get(&issue(9, "main").id).await.unwrap(), None);
}

#[tokio::test]
async fn whoever_has_seen_an_older_revision_changes_nothing() {
    let (_folder, store) = fresh();
    let new = issue(1, "main");
    create(&store, &[&new]).await;
    update(&store, &begun(&new)).await.unwrap();
    let late = Issue { state: IssueState::Cancelled { reason: "late".to_owned() }, revision: 2, ..new };
    let refused = update(&store, &late).await;
    assert!(matches!(refused, Err(WriteError::RowsUnexpected { found: 0, .. })), "{refused:?}");
}

#[tokio::test]
async fn of_one_blueprint_at_most_one_issue_is_in_flight() {
    let (_folder, store) = fresh();
    let (first, second, other) = (issue(1, "main"), issue(2, "main"), issue(3, "other"));
    create(&store, &[&first, &second, &other]).await;
    let next = |issues: Vec<Issue>| issues.into_iter().map(|issue| issue.id).collect::<Vec<_>>();
    let [a, b, c] = [&first, &second, &other].map(|issue| issue.id.clone());
    assert_eq!(next(store.issues_next(10).await.unwrap()), [a.clone(), c.clone()], "the oldest of each");
    assert_eq!(next(store.issues_next(1).await.unwrap()), std::slice::from_ref(&a));
    update(&store, &begun(&first)).await.unwrap();
    let refused = update(&store, &begun(&second)).await;
    assert!(matches!(refused, Err(WriteError::Constraint(_))), "{refused:?}");
    assert_eq!(next(store.issues_next(10).await.unwrap()), std::slice::from_ref(&c));
    assert_eq!(store.issue_count(IssueStatus::Pending).await.unwrap(), 2);

    let of = async |blueprint_id: Option<&str>, status, limit| {
        let filter = IssueFilter { blueprint_id: blueprint_id.map(str::to_owned), status, limit };
        next(store.issue_list(filter).await.unwrap())
    };
    assert_eq!(of(None, None, 10).await, [c.clone(), b.clone(), a.clone()], "the newest first");
    assert_eq!(of(Some("main"), None, 1).await, std::slice::from_ref(&b));
    assert_eq!(of(Some("main"), Some(IssueStatus::InFlight), 10).await, [a]);
}

#[tokio::test]
async fn a_setting_comes_back_and_is_replaced_and_removed() {
    let (_folder, store) = fresh();
    let setting = |version, spawner: Option<Value>| EnhanceSetting {
        id: "default".to_owned(),
        blueprint_id: "orbit".to_owned(),
        version,
        ttl_secs: 60,
        verifier_axes: vec!["des".to_owned(), "noop".to_owned()],
        spawner,
        meta: Value::object([("by", Value::from("me"))]),
    };
    for setting in [
        setting(VersionSelector::Latest, None),
        setting(VersionSelector::Fixed(hash_of(1)), Some(Value::object([("kind", Value::from("lua"))]))),
        setting(VersionSelector::SemverReq("^1".to_owned()), None),
    ] {
        let mut write = Write::default();
        write.enhance_setting_put(&setting, at(1));
        store.write(write).await.unwrap();
        assert_eq!(store.enhance_setting_get("default").await.unwrap(), Some(setting));
    }
    assert_eq!(store.enhance_setting_ids(10).await.unwrap(), ["default"]);
    let mut remove = Write::default();
    remove.enhance_setting_remove("default");
    store.write(remove.clone()).await.unwrap();
    assert_eq!(store.enhance_setting_get("default").await.unwrap(), None);
    assert!(matches!(store.write(remove).await, Err(WriteError::RowsUnexpected { .. })));
}

#[tokio::test]
async fn an_issue_has_one_entry_and_the_log_is_in_order() {
    let (_folder, store) = fresh();
    let entry = |issue: &Issue, n: i64| EnhanceEntry {
        issue_id: issue.id.clone(),
        blueprint_id: issue.blueprint_id.clone(),
        run_id: (n > 1).then(|| run_id(7)),
        prev_hash: hash_of(1),
        new_hash: String::new(),
        intent: issue.intent.clone(),
        rationale: "r".to_owned(),
        verdicts: vec![Verdict { axis: "des".to_owned(), status: AxisStatus::Deny, detail: "d".to_owned() }],
        outcome: EnhanceOutcome::Rejected,
        reasons: vec!["a".to_owned(), "b".to_owned()],
        at: at(n),
    };
    let issues = [issue(1, "main"), issue(2, "other"), issue(3, "main")];
    create(&store, &issues.each_ref()).await;
    let entries: Vec<_> = issues.iter().zip(1..).map(|(issue, n)| entry(issue, n)).collect();
    for entry in &entries {
        let mut write = Write::default();
        write.enhance_entry_add(entry);
        store.write(write).await.unwrap();
    }
    let mut again = Write::default();
    again.enhance_entry_add(&entries[0]);
    assert!(matches!(store.write(again).await, Err(WriteError::Constraint(_))));
    assert_eq!(store.enhance_entry_get(&issues[1].id).await.unwrap().as_ref(), Some(&entries[1]));
    assert_eq!(store.enhance_log(None, 10).await.unwrap(), entries);
    assert_eq!(store.enhance_log(None, 2).await.unwrap(), entries[1..], "the last, the oldest of them first");
    let of_main = [entries[0].clone(), entries[2].clone()];
    assert_eq!(store.enhance_log(Some("main".to_owned()), 10).await.unwrap(), of_main);
}
