//! `adjutant bench`: what this machine does, beside what its disk allows, in the same run.

mod goals;
mod hook;
mod operator;
mod rpc;

use crate::config;
use crate::exit::Failure;
use adjutant_engine::tasks::{BlueprintRef, TaskParams};
use adjutant_engine::{Plane, Settings};
use adjutant_model::action::{Caller, Role};
use adjutant_model::id::Uuid;
use adjutant_model::run::{RunRecord, RunStatus};
use adjutant_model::{TokenId, Value};
use adjutant_protocol::ExitCode as Code;
use anyhow::{Context, Result};
use clap::Subcommand;
use rusqlite::Connection;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Flows of function steps, all durable at synchronous=FULL, beside a raw loop of SQLite commits.
    Flow {
        /// Where the store is made; the disk of this folder is what is measured.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many steps the memory is measured over.
        #[arg(long, default_value_t = 100_000)]
        memory_steps: u64,
        /// Repeat this one shape for a profiler, and measure nothing else.
        #[arg(long, value_enum)]
        only: Option<Shape>,
    },
    /// Proposals of one action over the runtime door, each with a callback that answers at once.
    Rpc {
        /// Where the store is made.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many proposals in all.
        #[arg(long, default_value_t = 20_000)]
        proposals: usize,
        /// Over how many connections.
        #[arg(long, default_value_t = 50)]
        connections: usize,
    },
    /// Hooks as agents call them: whole processes at a rate, against a live daemon.
    Hook {
        /// Where the store is made.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        hooks: usize,
        /// How many in a second.
        #[arg(long, default_value_t = 50)]
        rate: u32,
    },
    /// Steps that an operator does over its socket and its worker over HTTP, one after another.
    Operator {
        /// Where the store is made.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many steps in a run.
        #[arg(long, default_value_t = 1000)]
        steps: usize,
    },
    /// Goals by the thousand: made, changed, shown and listed as there are more and more.
    Goals {
        /// Where the store is made.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// How many goals in the end.
        #[arg(long, default_value_t = 10_000)]
        goals: usize,
    },
}

/// A shape of flow that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shape {
    /// 1000 steps, one after another.
    Sequence,
    /// A fanout of 1000 branches of one step.
    Wide,
    /// 64 runs at once, of 50 steps in sequence each.
    Concurrent,
}

impl Shape {
    /// Runs it once and gives steps per second.
    async fn measure(self, plane: &Plane) -> Result<f64> {
        match self {
            Shape::Sequence => timed(1000, run_flow(plane, seq(1000), json!({"a": 1}))).await,
            Shape::Wide => {
                let items: Vec<u32> = (0..1000).collect();
                timed(1000, run_flow(plane, fanout(), json!({"items": items}))).await
            }
            Shape::Concurrent => timed(64 * 50, run_many(plane, 64, 50)).await,
        }
    }
}

/// Rounds of raw loop and flow alternate, because a disk's speed drifts.
const ROUNDS: usize = 5;
const RAW_COMMITS: u64 = 1000;
/// How often a single shape is repeated.
const REPEATS: usize = 40;

pub(crate) async fn run(command: BenchCommand) -> Result<Code> {
    match command {
        BenchCommand::Flow { dir, memory_steps, only } => flow(dir, memory_steps, only).await,
        BenchCommand::Rpc { dir, proposals, connections } => {
            rpc::run(&parent_of(dir), proposals, connections).await
        }
        BenchCommand::Hook { dir, hooks, rate } => hook::run(&parent_of(dir), hooks, rate).await,
        BenchCommand::Operator { dir, steps } => operator::run(&parent_of(dir), steps).await,
        BenchCommand::Goals { dir, goals } => goals::run(&parent_of(dir), goals).await,
    }
}

async fn flow(dir: Option<PathBuf>, memory_steps: u64, only: Option<Shape>) -> Result<Code> {
    let parent = parent_of(dir);
    let folder =
        tempfile::tempdir_in(&parent).with_context(|| format!("no folder in {}", parent.display()))?;
    let at_start = resident_kib()?;
    let plane = Plane::open(Settings::new(folder.path().to_owned(), PathBuf::from("adjutant"))).await?;
    plane.resume().await?;
    say(&format!(
        "measured in {}; every step is durable before it starts and when it settles",
        parent.display()
    ))?;
    warm(&plane).await?;
    if let Some(shape) = only {
        return repeat(&plane, shape, folder.path()).await;
    }

    let raw = |round: usize| raw_commits(&folder.path().join(format!("raw-{round}.db")));
    let mut sequential = Vec::new();
    let mut wide = Vec::new();
    let mut concurrent = Vec::new();
    let mut raws = Vec::new();
    for round in 0..ROUNDS {
        let raw = raw(round)?;
        let line = Shape::Sequence.measure(&plane).await?;
        let fan = Shape::Wide.measure(&plane).await?;
        let many = Shape::Concurrent.measure(&plane).await?;
        raws.push(raw);
        sequential.push(line / raw);
        wide.push(fan / raw);
        concurrent.push(many / raw);
        say(&format!(
            "round {}: raw {raw:.0} commits/s; steps/s: 1000 in sequence {line:.0}, 1000 wide {fan:.0}, 64 runs of 50 {many:.0}",
            round + 1
        ))?;
    }
    say(&format!("raw loop                {:>9.0} commits/s (median)", median(&mut raws)))?;
    say(&format!(
        "1000 steps in sequence  {:>9.2} of the raw loop (median; aim 0.8)",
        median(&mut sequential)
    ))?;
    say(&format!("1000 steps wide         {:>9.2} times the raw loop (median; aim 10)", median(&mut wide)))?;
    say(&format!(
        "64 runs of 50 steps     {:>9.2} times the raw loop (median; aim 10)",
        median(&mut concurrent)
    ))?;

    let (p50, p99) = one_step_latency(&plane).await?;
    say(&format!("one-step run            p50 {:.2} ms, p99 {:.2} ms", ms(p50), ms(p99)))?;
    let many = timed(256 * 50, run_many(&plane, 256, 50)).await?;
    say(&format!("256 runs of 50 at once  {many:>9.0} steps/s, none failed"))?;
    memory(&plane, memory_steps, at_start).await?;
    plane.stop().await;
    Ok(Code::Ok)
}

/// Gives the folder whose disk is measured.
fn parent_of(dir: Option<PathBuf>) -> PathBuf {
    dir.unwrap_or_else(|| {
        config::data_folder(None).ok().filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir)
    })
}

/// Repeats one shape, and says how its median stands to the raw loop before and after.
async fn repeat(plane: &Plane, shape: Shape, folder: &Path) -> Result<Code> {
    let mut raws = vec![raw_commits(&folder.join("raw-0.db"))?];
    let mut rates = Vec::new();
    for _ in 0..REPEATS {
        rates.push(shape.measure(plane).await?);
    }
    raws.push(raw_commits(&folder.join("raw-1.db"))?);
    let (raw, rate) = (raws.iter().sum::<f64>() / 2.0, median(&mut rates));
    say(&format!(
        "{rate:.0} steps/s (median of {REPEATS}), {:.2} of the raw loop's {raw:.0} commits/s",
        rate / raw
    ))?;
    plane.stop().await;
    Ok(Code::Ok)
}

/// Commits one row at a time with the store's own settings.
fn raw_commits(path: &Path) -> Result<f64> {
    let db = Connection::open(path)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)")?;
    let text = "x".repeat(200);
    let mut insert = db.prepare("INSERT INTO t (text) VALUES (?1)")?;
    let began = Instant::now();
    for _ in 0..RAW_COMMITS {
        insert.execute([&text])?;
    }
    Ok(RAW_COMMITS as f64 / began.elapsed().as_secs_f64())
}

fn blueprint(flow: serde_json::Value) -> Value {
    Value::from(
        json!({"id": "bench", "agents": [{"name": "id", "kind": "function", "spec": {"fn_id": "identity"}}], "flow": flow}),
    )
}

fn step(input: &str, out: &str) -> serde_json::Value {
    json!({"kind": "step", "ref": "id", "in": {"op": "path", "at": input}, "out": {"op": "path", "at": out}})
}

fn seq(steps: usize) -> Value {
    blueprint(json!({"kind": "seq", "children": vec![step("$.a", "$.b"); steps]}))
}

fn fanout() -> Value {
    blueprint(
        json!({"kind": "fanout", "items": {"op": "path", "at": "$.items"}, "bind": {"op": "path", "at": "$.item"},
        "join": "all", "out": {"op": "path", "at": "$.out"}, "collect": {"op": "path", "at": "$.o"}, "body": step("$.item", "$.o")}),
    )
}

/// Gives the owner of the data folder.
fn owner() -> Caller {
    Caller {
        token_id: TokenId::new(Uuid::nil()),
        role: Role::Host,
        step: None,
        agent_id: None,
        of_session: None,
        name: None,
    }
}

async fn run_flow(plane: &Plane, blueprint: Value, ctx: serde_json::Value) -> Result<Arc<RunRecord>> {
    let caller = owner();
    let params = TaskParams {
        blueprint: BlueprintRef::Inline(blueprint),
        init_ctx: Value::from(ctx),
        project_root: None,
        work_dir: None,
        ttl_secs: None,
        goal: None,
        goal_id: None,
        agent: None,
        rest: Value::from(json!({})),
    };
    let started = plane.task_start(&caller, params).await?;
    let ended = plane.run_ended(&started.run_id).await?;
    match ended.status {
        RunStatus::Done => Ok(ended),
        _ => Err(Failure::new(Code::Failed, format!("a run of the measurement is {}", ended.status)).into()),
    }
}

async fn run_many(plane: &Plane, runs: usize, steps: usize) -> Result<()> {
    let blueprint = seq(steps);
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..runs {
        let (plane, blueprint) = (plane.clone(), blueprint.clone());
        set.spawn(async move { run_flow(&plane, blueprint, json!({"a": 1})).await });
    }
    while let Some(ended) = set.join_next().await {
        ended??;
    }
    Ok(())
}

async fn warm(plane: &Plane) -> Result<()> {
    run_flow(plane, seq(200), json!({"a": 1})).await.map(|_| ())
}

/// Gives steps per second.
async fn timed<T>(steps: usize, work: impl Future<Output = Result<T>>) -> Result<f64> {
    let began = Instant::now();
    work.await?;
    Ok(steps as f64 / began.elapsed().as_secs_f64())
}

async fn one_step_latency(plane: &Plane) -> Result<(Duration, Duration)> {
    let mut took = Vec::new();
    for _ in 0..500 {
        let began = Instant::now();
        run_flow(plane, seq(1), json!({"a": 1})).await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok((took[took.len() / 2], took[took.len() * 99 / 100]))
}

/// Says what memory grew by since the start, before the store was opened, over everything that was measured.
async fn memory(plane: &Plane, steps: u64, at_start: u64) -> Result<()> {
    let mut done = 0;
    while done < steps {
        run_flow(plane, seq(1000), json!({"a": 1})).await?;
        done += 1000;
    }
    let after = resident_kib()?;
    let grown = after.saturating_sub(at_start) as f64 / 1024.0;
    say(&format!(
        "memory after {done} steps more: {:.1} MiB, {grown:.1} MiB above the start (aim: under 50)",
        after as f64 / 1024.0
    ))
}

fn resident_kib() -> Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("resident memory is read from /proc")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc says nothing of VmRSS")?;
    line.trim().trim_end_matches("kB").trim().parse().context("VmRSS is no number")
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn ms(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")?;
    Ok(())
}
