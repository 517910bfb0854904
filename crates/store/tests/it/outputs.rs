//! Outputs of the data path: rows, the runs that refer to them, and files.

use crate::fixtures::{at, fresh, hash_of, run_id, run_write, turn};
use adjutant_model::data::{OutputRecord, OutputStanding, RunStanding};
use adjutant_model::id::Uuid;
use adjutant_model::run::{RunStatus, StepPath};
use adjutant_model::{OutputId, Value};
use adjutant_store::{Bodies, OutputTotals, RunStatusChange, Write};
use std::collections::HashSet;

fn id(n: u128) -> OutputId {
    OutputId::new(Uuid::from_u128(n))
}

fn output(n: u128, run: Option<u128>) -> OutputRecord {
    OutputRecord {
        id: id(n),
        name: Some("report".into()),
        run_id: run.map(run_id),
        task_id: None,
        path: run.map(|_| StepPath::new("0/1")),
        attempt: run.map(|_| 2),
        producer: None,
        sha256: hash_of(n),
        size_bytes: 100 * n as u64,
        content_type: "text/plain".into(),
        event: None,
        parents: vec![id(9)],
        created_at: at(n as i64),
    }
}

#[tokio::test]
async fn an_output_is_found_by_id_and_name_within_the_runs_that_refer_to_it() {
    let (_folder, store) = fresh();
    store.write(run_write(1)).await.unwrap();
    store.write(run_write(2)).await.unwrap();
    let event = OutputRecord {
        name: None,
        event: Some(Value::object([("a", Value::from(1_u64))])),
        ..output(3, Some(1))
    };
    let mut write = Write::default();
    write.output_put(&output(1, Some(1))).output_put(&output(2, None)).output_put(&event);
    write.output_refer(&run_id(2), &id(2)).output_refer(&run_id(2), &id(2)).output_refer(&run_id(2), &id(7));
    store.write(write).await.unwrap();
    for (n, within, found) in
        [(1, None, true), (1, Some(1), true), (1, Some(2), false), (2, Some(2), true), (2, Some(1), false)]
    {
        let within = within.map(run_id);
        let got = store.output_get(&id(n), within.as_ref()).await.unwrap();
        assert_eq!(got.is_some(), found, "{n} within {within:?}");
    }
    assert_eq!(store.output_get(&id(3), None).await.unwrap(), Some(event.clone()));
    for (within, found) in [(None, 2), (Some(1), 1), (Some(2), 2)] {
        let within = within.map(run_id);
        let named = store.output_named("report", within.as_ref()).await.unwrap();
        assert_eq!(named.map(|output| output.id), Some(id(found)), "within {within:?}");
    }
    assert_eq!(store.outputs(Some(&run_id(1)), 9).await.unwrap(), [event, output(1, Some(1))]);
    assert_eq!(store.outputs(None, 2).await.unwrap().len(), 2);
    let totals = store.output_totals(Some(&run_id(1))).await.unwrap();
    assert_eq!(totals, OutputTotals { count: 2, bytes: 400 });
    assert_eq!(store.output_totals(None).await.unwrap(), OutputTotals { count: 1, bytes: 200 });
    assert_eq!(store.output_file_bytes().await.unwrap(), 300, "an event has no file");
}

#[tokio::test]
async fn what_decides_whether_an_output_is_kept_is_told() {
    let (_folder, store) = fresh();
    for n in 1..=3 {
        store.write(run_write(n)).await.unwrap();
    }
    let mut write = Write::default();
    write.turn_start(&run_id(2), &turn(0));
    let over = RunStatusChange { status: RunStatus::Done, error: None, result: None, ended_at: Some(at(5)) };
    write.run_status_set(&run_id(2), over).run_status_set(&run_id(3), over);
    for n in 1..=3 {
        write.output_put(&output(n, Some(n)));
    }
    write.output_put(&output(4, None)).output_refer(&run_id(8), &id(4));
    store.write(write).await.unwrap();
    let standing = |n: u128, runs: &[RunStanding]| OutputStanding {
        id: id(n),
        number: n as i64,
        file: Some(hash_of(n)),
        created_at: at(n as i64),
        runs: runs.to_vec(),
    };
    let all = [
        standing(1, &[RunStanding::Open]),
        standing(2, &[RunStanding::TurnsKept { ended_at: at(5) }]),
        standing(3, &[RunStanding::Bare]),
        standing(4, &[]),
    ];
    assert_eq!(store.outputs_standing(0, 9).await.unwrap(), all);
    assert_eq!(store.outputs_standing(1, 2).await.unwrap(), all[1..3]);

    let mut write = Write::default();
    write.output_forget(&id(1)).output_forget(&id(1));
    store.write(write).await.unwrap();
    let needed = store.files_needed(vec![hash_of(1), hash_of(2), hash_of(7)]).await.unwrap();
    assert_eq!(needed, HashSet::from([hash_of(2)]));
    assert_eq!(store.outputs(Some(&run_id(1)), 9).await.unwrap(), []);
}

#[tokio::test]
async fn a_body_is_whole_in_its_place_or_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bodies = Bodies::open(folder.path()).unwrap();
    let mut body = bodies.begin("a").await.unwrap();
    body.write(b"hello ").await.unwrap();
    body.write(b"world").await.unwrap();
    let whole = body.finish().await.unwrap();
    let sha256 = whole.sha256.clone();
    assert_eq!(sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    assert_eq!(whole.size_bytes, 11);
    assert!(bodies.read(&sha256).await.is_err(), "it is not in its place yet");
    drop(bodies.keep(whole).await.unwrap());
    assert_eq!(bodies.of_shard(0xb9).await.unwrap(), std::slice::from_ref(&sha256));
    let place = folder.path().join("blobs/b9").join(&sha256);
    assert_eq!(std::fs::read(&place).unwrap(), b"hello world");

    let half = bodies.begin("b").await.unwrap();
    assert!(bodies.begin("b").await.is_err(), "no two have one name");
    drop(half);
    let incoming = || std::fs::read_dir(folder.path().join("blobs/incoming")).unwrap().count();
    assert_eq!(incoming(), 0);
    std::mem::forget(bodies.begin("c").await.unwrap());
    assert_eq!(incoming(), 1, "as a crash leaves it");
    let bodies = Bodies::open(folder.path()).unwrap();
    assert_eq!(incoming(), 0);

    let removing = bodies.removing().await;
    let closed = bodies.close(&removing).await;
    bodies.remove(&sha256, &closed).await.unwrap();
    bodies.remove(&sha256, &closed).await.unwrap();
    assert!(!place.exists());
}
