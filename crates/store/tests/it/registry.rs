//! Registered blueprints: heads that move only from where they were seen.

use crate::fixtures::{at, fresh, hash_of};
use adjutant_model::registry::{BlueprintAbout, BlueprintVersion};
use adjutant_store::{HeadFilter, Store, Write, WriteError};

fn version(id: &str, number: u64, hash: u128) -> BlueprintVersion {
    BlueprintVersion {
        id: id.into(),
        number,
        version: hash_of(hash),
        parent: (number > 1).then(|| hash_of(hash - 1)),
        author: "host".into(),
        rationale: "archive: true".into(),
        label: (number != 2).then(|| format!("{number}.0.0")),
        created_at: at(number as i64),
    }
}

fn about(version: &BlueprintVersion) -> BlueprintAbout {
    BlueprintAbout { description: version.label.clone(), tags: vec![version.number.to_string()] }
}

async fn put(store: &Store, version: &BlueprintVersion) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.blueprint_put(&version.version, &version.id, "{}").blueprint_version_put(version, &about(version));
    store.write(write).await.map(drop)
}

fn all(archived: bool) -> HeadFilter {
    HeadFilter { archived, limit: 10, ..HeadFilter::default() }
}

#[tokio::test]
async fn versions_come_back_as_they_went_in_and_the_last_is_the_head() {
    let (_folder, store) = fresh();
    let versions = [version("a", 1, 1), version("a", 2, 2), version("a", 3, 3)];
    for version in &versions {
        put(&store, version).await.unwrap();
        let head = store.blueprint_head("a").await.unwrap().unwrap();
        assert_eq!((&head.newest, &head.about, head.archived_at), (version, &about(version), None));
    }
    let newest_first: Vec<_> = versions.iter().rev().cloned().collect();
    assert_eq!(store.blueprint_versions("a", None, 10).await.unwrap(), newest_first);
    assert_eq!(store.blueprint_versions("a", Some(3), 1).await.unwrap(), newest_first[1..2]);
    assert_eq!(store.blueprint_version("a", &hash_of(1)).await.unwrap().as_ref(), Some(&versions[0]));
    assert_eq!(store.blueprint_version("b", &hash_of(1)).await.unwrap(), None);
    let labels = store.blueprint_labels("a", 10).await.unwrap();
    assert_eq!(labels, [("3.0.0".to_owned(), hash_of(3)), ("1.0.0".to_owned(), hash_of(1))]);
    assert_eq!(store.blueprint_head("b").await.unwrap(), None);
}

#[tokio::test]
async fn a_head_moves_only_from_the_number_that_was_seen() {
    let (_folder, store) = fresh();
    put(&store, &version("a", 1, 1)).await.unwrap();
    for (number, hash) in [(1, 5), (3, 5), (7, 5)] {
        let refused = put(&store, &version("a", number, hash)).await;
        assert!(matches!(refused, Err(WriteError::RowsUnexpected { .. })), "{number}: {refused:?}");
    }
    assert!(matches!(put(&store, &version("b", 2, 5)).await, Err(WriteError::RowsUnexpected { .. })));
    assert_eq!(store.blueprint_versions("a", None, 10).await.unwrap(), [version("a", 1, 1)]);
    assert_eq!(store.blueprint_get(&hash_of(5)).await.unwrap(), None, "nothing of a refused write stays");
    let (one, other) = (version("a", 2, 2), version("a", 2, 3));
    let (one, other) = tokio::join!(put(&store, &one), put(&store, &other));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn an_archived_blueprint_is_kept_apart_and_does_not_change() {
    let (_folder, store) = fresh();
    for id in ["b", "a", "c"] {
        put(&store, &version(id, 1, 1)).await.unwrap();
    }
    let archive = |at| {
        let mut write = Write::default();
        write.blueprint_archive("b", at);
        store.write(write)
    };
    assert!(archive(None).await.is_err(), "it is not archived");
    archive(Some(at(9))).await.unwrap();
    assert!(archive(Some(at(10))).await.is_err(), "it is archived already");
    assert!(put(&store, &version("b", 2, 2)).await.is_err());
    let ids = async |filter| {
        let heads = store.blueprint_heads(filter).await.unwrap();
        heads.into_iter().map(|head| head.newest.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(all(false)).await, ["a", "c"]);
    assert_eq!(ids(all(true)).await, ["a", "b", "c"]);
    assert_eq!(ids(HeadFilter { after: Some("a".into()), limit: 1, archived: true }).await, ["b"]);
    assert_eq!(store.blueprint_head("b").await.unwrap().unwrap().archived_at, Some(at(9)));
    archive(None).await.unwrap();
    put(&store, &version("b", 2, 2)).await.unwrap();
}
