//! What a commit costs through the store, beside a raw loop of single-row commits with the same settings in the same
//! run. Prints rates and ratios; a disk's own rate differs from run to run, so each shape is measured in turns with
//! the raw loop.
//!
//! `cargo bench -p adjutant-store`
#![expect(clippy::print_stdout, reason = "it prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot write has nothing to say")]

use adjutant_model::event::{Event, FlowInput, TurnStarted};
use adjutant_model::id::Uuid;
use adjutant_model::run::{
    RunRecord, RunStatus, StepPath, TaskRecord, TtlSource, TurnKind, TurnRecord, TurnStatus,
};
use adjutant_model::{RunId, TaskId, Timestamp, Value};
use adjutant_store::{Draft, Fence, Json, Store, StoreOptions, TurnSettlement, Write};
use std::path::Path;
use std::time::Instant;

const ROUNDS: usize = 25;
const SEQUENTIAL_STEPS: u64 = 500;
const WIDE_STEPS: u64 = 1000;
const WIDE_WRITES: u64 = 5;
const CONCURRENT_RUNS: u128 = 64;
const CONCURRENT_STEPS: u64 = 50;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = Store::open(StoreOptions::new(folder.path()), Timestamp::default()).unwrap();
    let raw = raw_open(folder.path());
    let mut rates: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let run = |n: u128| RunId::new(Uuid::from_u128(round as u128 * 1000 + n));
        rates[0].push(raw_rate(&raw));
        rates[1].push(runtime.block_on(spawned(sequential(store.clone(), run(0), SEQUENTIAL_STEPS))));
        rates[2].push(runtime.block_on(spawned(wide(store.clone(), run(1)))));
        let runs = (2..2 + CONCURRENT_RUNS).map(run).collect();
        rates[3].push(runtime.block_on(spawned(concurrent(store.clone(), runs))));
    }
    let [raw, sequential, wide, concurrent] = rates.map(median);
    println!("raw loop, one row a commit     {raw:>10.0} commits/s");
    println!("sequential steps               {sequential:>10.0} steps/s   {:>6.2} of raw", sequential / raw);
    println!("1000 steps a write             {wide:>10.0} steps/s   {:>6.2} of raw", wide / raw);
    println!("64 concurrent runs             {concurrent:>10.0} steps/s   {:>6.2} of raw", concurrent / raw);
    runtime.block_on(store.close()).unwrap();
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Runs the future on a worker, as the daemon's tasks are.
async fn spawned<F: Future<Output = f64> + Send + 'static>(future: F) -> f64 {
    tokio::spawn(future).await.unwrap()
}

fn raw_open(folder: &Path) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(folder.join("raw.db")).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);")
        .unwrap();
    db
}

fn raw_rate(db: &rusqlite::Connection) -> f64 {
    let mut insert = db.prepare("INSERT INTO t (v) VALUES (?1)").unwrap();
    let began = Instant::now();
    for _ in 0..SEQUENTIAL_STEPS {
        insert
            .execute((
                "a row of about a hundred bytes, as much as a small step has to say about itself, no more",
            ))
            .unwrap();
    }
    SEQUENTIAL_STEPS as f64 / began.elapsed().as_secs_f64()
}

async fn sequential(store: Store, run_id: RunId, steps: u64) -> f64 {
    store.write(run_write(&run_id)).await.unwrap();
    let began = Instant::now();
    for step in 0..steps {
        let mut write = Write::fenced(fence(&run_id));
        write.journal(advanced(&run_id, step));
        settle_and_start(&mut write, &run_id, step);
        store.write(write).await.unwrap();
    }
    steps as f64 / began.elapsed().as_secs_f64()
}

/// Steps of a wide fanout: many settle and start in one write.
async fn wide(store: Store, run_id: RunId) -> f64 {
    store.write(run_write(&run_id)).await.unwrap();
    let began = Instant::now();
    for n in 0..WIDE_WRITES {
        let mut write = Write::fenced(fence(&run_id));
        write.journal(advanced(&run_id, n));
        for step in n * WIDE_STEPS..(n + 1) * WIDE_STEPS {
            settle_and_start(&mut write, &run_id, step);
        }
        store.write(write).await.unwrap();
    }
    (WIDE_WRITES * WIDE_STEPS) as f64 / began.elapsed().as_secs_f64()
}

async fn concurrent(store: Store, runs: Vec<RunId>) -> f64 {
    let began = Instant::now();
    let count = runs.len() as u64;
    let tasks: Vec<_> =
        runs.into_iter().map(|run| tokio::spawn(sequential(store.clone(), run, CONCURRENT_STEPS))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    (count * CONCURRENT_STEPS) as f64 / began.elapsed().as_secs_f64()
}

fn run_write(run_id: &RunId) -> Write {
    let hash = format!("{:064x}", 1);
    let task_id: TaskId = run_id.as_str().replace("run_", "task_").parse().unwrap();
    let at = Timestamp::default();
    let task = TaskRecord {
        id: task_id.clone(),
        goal: None,
        blueprint_id: "bench".into(),
        blueprint_hash: hash.clone(),
        input: Value::Null,
        request: Value::Null,
        created_at: at,
    };
    let run = RunRecord {
        id: run_id.clone(),
        task_id,
        status: RunStatus::Running,
        owner: "bench".into(),
        epoch: 1,
        blueprint_id: "bench".into(),
        blueprint_hash: hash.clone(),
        ttl_ms: 1,
        ttl_source: TtlSource::ServerDefault,
        workspace: None,
        goal_id: None,
        agent_override: None,
        error: None,
        result: None,
        created_at: at,
        ended_at: None,
    };
    let mut write = Write::default();
    write.blueprint_put(&hash, "bench", "{}").task_create(&task).run_create(&run);
    write.turn_start(run_id, &turn(0));
    write
}

fn fence(run_id: &RunId) -> Fence {
    Fence { run_id: run_id.clone(), owner: "bench".into(), epoch: 1 }
}

fn advanced(run_id: &RunId, step: u64) -> Draft {
    let settled = FlowInput::Settled {
        turn: step,
        path: StepPath::new(format!("{step}")),
        attempt: 1,
        status: TurnStatus::Succeeded,
        class: None,
        output_hash: Some(format!("{step:064x}")),
    };
    let started = TurnStarted {
        turn: step + 1,
        path: StepPath::new(format!("{}", step + 1)),
        attempt: 1,
        agent: "identity".into(),
    };
    Draft {
        at: Timestamp::default(),
        actor: "plane".into(),
        subject: run_id.into(),
        event: Event::RunAdvanced { inputs: vec![settled], started: vec![started], timers: Vec::new() },
    }
}

fn settle_and_start(write: &mut Write, run_id: &RunId, step: u64) {
    let output = Value::object([("step", Value::from(step))]);
    let settlement = TurnSettlement {
        status: TurnStatus::Succeeded,
        output: Some(Json::of(&output)),
        error: None,
        rule: None,
        ended_at: Timestamp::default(),
    };
    write.turn_settle(run_id, step, settlement).turn_start(run_id, &turn(step + 1));
}

fn turn(index: u64) -> TurnRecord {
    TurnRecord {
        index,
        kind: TurnKind::Step,
        path: StepPath::new(format!("{index}")),
        attempt: 1,
        name: "identity".into(),
        status: TurnStatus::Started,
        parameters: Value::object([("step", Value::from(index))]),
        output: None,
        error: None,
        rule: None,
        usage: None,
        superseded: None,
        started_at: Timestamp::default(),
        ended_at: None,
    }
}
