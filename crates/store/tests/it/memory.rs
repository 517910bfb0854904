//! Memory: what is remembered is found by its words, nothing anybody asks is syntax, and what is forgotten is gone.

use crate::fixtures::{at, fresh, open};
use adjutant_model::id::Uuid;
use adjutant_model::memory::{Fact, FactScope, FactSource, Successor};
use adjutant_model::{FactId, Timestamp};
use adjutant_store::{FactFilter, Store, Write, WriteError};
use std::path::Path;
use std::time::Instant;

/// More than any scope of these tests has.
const MANY: u64 = 100_000;

fn fact(n: u128, text: &str) -> Fact {
    Fact {
        id: FactId::new(Uuid::from_u128(n)),
        scope: FactScope::Project("/p".into()),
        text: text.to_owned(),
        tags: Vec::new(),
        source: FactSource::Person { name: "host".into() },
        created_at: at(0),
        valid_until: None,
        successor: None,
    }
}

async fn add(store: &Store, fact: &Fact) -> Result<(), WriteError> {
    let mut write = Write::default();
    write.fact_add(fact, MANY);
    store.write(write).await.map(drop)
}

fn all() -> FactFilter {
    FactFilter { limit: 100, ..FactFilter::default() }
}

fn valid(now: Timestamp) -> FactFilter {
    FactFilter { valid_at: Some(now), ..all() }
}

async fn found(store: &Store, query: &str, filter: FactFilter) -> Vec<Fact> {
    let found = store.facts_search(query, filter, at(0)).await.unwrap();
    found.into_iter().map(|found| found.fact).collect()
}

#[tokio::test]
async fn what_fits_best_and_is_newest_stands_first() {
    let (_folder, store) = fresh();
    let day = 24 * 3_600_000;
    let facts = [
        Fact { created_at: at(-365 * day), ..fact(1, "the tests run with make check") },
        Fact { created_at: at(-day), ..fact(2, "the tests run with make check") },
        Fact { tags: vec!["testing".into(), "ci".into()], ..fact(3, "the pipeline is slow on Mondays") },
        Fact { scope: FactScope::Plane, ..fact(4, "nothing to do with it") },
    ];
    for fact in &facts {
        add(&store, fact).await.unwrap();
    }
    let ids = |facts: &[Fact]| facts.iter().map(|fact| fact.id.to_string()).collect::<Vec<_>>();
    assert_eq!(found(&store, "make checks", all()).await, [facts[1].clone(), facts[0].clone()]);
    assert!(
        ids(&found(&store, "test", all()).await).contains(&facts[2].id.to_string()),
        "a tag is a word too"
    );
    let plane = FactFilter { scopes: Some(vec![FactScope::Plane]), ..all() };
    assert_eq!(found(&store, "nothing tests", plane.clone()).await, std::slice::from_ref(&facts[3]));
    assert_eq!(store.facts(plane).await.unwrap(), std::slice::from_ref(&facts[3]));
    let tagged = FactFilter { tags: vec!["ci".into(), "testing".into()], ..all() };
    assert_eq!(found(&store, "slow", tagged.clone()).await, std::slice::from_ref(&facts[2]));
    let other = FactFilter { tags: vec!["test".into()], ..all() };
    assert!(found(&store, "slow", other).await.is_empty(), "a part of a tag is no tag");
    assert_eq!(store.facts(tagged).await.unwrap(), std::slice::from_ref(&facts[2]));
    assert_eq!(store.facts(all()).await.unwrap().len(), 4);
}

#[tokio::test]
async fn no_text_that_is_asked_for_is_syntax() {
    let (_folder, store) = fresh();
    add(&store, &fact(1, "alpha beta")).await.unwrap();
    for query in [
        "\"",
        "alpha\"",
        "a* OR",
        "text:alpha",
        "NEAR(",
        "alpha AND NOT beta",
        "^alpha",
        "{",
        "\0alpha",
        "--",
        ")",
    ] {
        let found = found(&store, query, all()).await;
        assert_eq!(!found.is_empty(), query.contains("alpha"), "{query:?}");
    }
}

#[tokio::test]
async fn a_fact_holds_until_its_time_or_its_successor() {
    let (_folder, store) = fresh();
    let short = Fact { valid_until: Some(at(10)), ..fact(1, "the port is 80") };
    let (old, new) = (fact(2, "the port is 81"), fact(3, "the port is 82"));
    for fact in [&short, &old, &new] {
        add(&store, fact).await.unwrap();
    }
    let successor = Successor { by: new.id.clone(), at: at(5) };
    let mut write = Write::default();
    write.fact_supersede(&old.id, &successor);
    store.write(write.clone()).await.unwrap();
    let again = store.write(write).await;
    assert!(matches!(again, Err(WriteError::RowsUnexpected { .. })), "one successor is enough");
    assert_eq!(found(&store, "port", valid(at(9))).await, [new.clone(), short.clone()]);
    assert_eq!(found(&store, "port", valid(at(10))).await, std::slice::from_ref(&new));
    let kept = store.fact_get(&old.id).await.unwrap().expect("it is there");
    assert_eq!(kept.successor, Some(successor));
    assert_eq!(store.fact_same(&new.scope, "the port is 82", at(9)).await.unwrap(), Some(new));
    assert_eq!(store.fact_same(&old.scope, "the port is 81", at(9)).await.unwrap(), None, "it holds no more");
}

#[tokio::test]
async fn a_scope_holds_so_much_and_no_more() {
    let (_folder, store) = fresh();
    for n in 1..=3 {
        let mut write = Write::default();
        write.fact_add(&fact(n, "x"), 2);
        let written = store.write(write).await;
        assert_eq!(written.is_ok(), n <= 2, "{n}: {written:?}");
    }
    let other = Fact { scope: FactScope::Agent("a".into()), ..fact(4, "x") };
    let mut write = Write::default();
    write.fact_add(&other, 2);
    store.write(write).await.expect("another scope has room");
}

/// Tells whether a word stands anywhere in the files of the store.
fn stands(folder: &Path, word: &str) -> bool {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).any(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    })
}

#[tokio::test]
async fn what_is_forgotten_stands_nowhere_in_the_files() {
    let (folder, store) = fresh();
    let around: Vec<Fact> =
        (10..200).map(|n| fact(n + 1000, &format!("fact {n} of many xylophon{n}"))).collect();
    let long = format!("{} zugzwangsekret", "many pages of quarzuhrwerk ".repeat(1000));
    let secret = Fact { tags: vec!["tagsekret".into()], ..fact(105, &long) };
    let short = fact(1, "kurzsekret");
    for fact in around.iter().take(90).chain([&secret, &short]).chain(around.iter().skip(90)) {
        add(&store, fact).await.unwrap();
    }
    let words = ["zugzwangsekret", "tagsekret", "quarzuhrwerk"];
    assert!(words.iter().all(|word| stands(folder.path(), word)), "they stand there before");
    // Its row grows, and is moved; rows around it go, and pages are put together.
    let mut write = Write::default();
    write.fact_supersede(&secret.id, &Successor { by: around[0].id.clone(), at: at(1) });
    store.write(write).await.unwrap();
    let mut write = Write::default();
    write.fact_forget(&secret.id);
    store.write(write.clone()).await.unwrap();
    for word in words {
        assert!(!stands(folder.path(), word), "{word} stands somewhere");
        assert!(found(&store, word, all()).await.is_empty());
    }
    assert!(store.fact_get(&secret.id).await.unwrap().is_none());
    assert!(store.write(write).await.is_err(), "it is not there any more");
    // A short one, whose cell lies among others that were moved around it.
    let mut write = Write::default();
    write.fact_supersede(&short.id, &Successor { by: around[0].id.clone(), at: at(1) });
    store.write(write).await.unwrap();
    assert!(stands(folder.path(), "kurzsekret"));
    let mut forget = Write::default();
    forget.fact_forget(&short.id);
    store.write(forget).await.unwrap();
    assert!(!stands(folder.path(), "kurzsekret"));
    assert_eq!(found(&store, "xylophon17", all()).await.len(), 1, "the others are found");
    store.close().await.unwrap();
    drop(store);
    let store = open(folder.path());
    assert_eq!(found(&store, "many", FactFilter { limit: 1000, ..all() }).await.len(), around.len());
    assert!(store.quick_check().await.unwrap().is_empty());
}

#[tokio::test]
async fn ten_thousand_facts_are_searched_at_once() {
    const WORDS: [&str; 12] = [
        "deploy", "cache", "login", "parser", "index", "retry", "socket", "schema", "worker", "token",
        "branch", "timeout",
    ];
    let (_folder, store) = fresh();
    for chunk in 0..20_u128 {
        let mut write = Write::default();
        for n in chunk * 500..(chunk + 1) * 500 {
            let word = |step: u128| WORDS[(n / step % 12) as usize];
            let text = format!("the {} of the {} needs the {} number {n}", word(1), word(12), word(144));
            write.fact_add(&fact(n, &text), MANY);
        }
        store.write(write).await.unwrap();
    }
    for (what, query) in [
        ("a rare word", "number 4711"),
        ("a common word", "deploy"),
        ("every fact", "the of needs number"),
        ("many words", "deploy cache login parser index retry socket schema worker token"),
    ] {
        let filter = FactFilter { limit: 10, ..valid(at(0)) };
        let mut times = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            let hits = found(&store, query, filter.clone()).await;
            times.push(began.elapsed());
            assert_eq!(hits.len(), 10);
        }
        times.sort();
        println!("10 000 facts, {what}: median {:?}, slowest {:?}", times[10], times[19]);
    }
    let mut write = Write::default();
    write.fact_forget(&fact(17, "").id);
    let began = Instant::now();
    store.write(write).await.unwrap();
    println!("10 000 facts, forgetting one: {:?}", began.elapsed());
    let hits = found(&store, "4711", valid(at(0))).await;
    assert!(hits.len() == 1 && hits[0].text.ends_with("4711"), "{hits:?}");
}
