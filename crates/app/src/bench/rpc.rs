//! `adjutant bench rpc`: what the runtime door does, over real sockets of this machine.

use super::{median, ms, resident_kib, say};
use adjutant_engine::{Plane, Settings};
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::rpc::{NoTools, RpcClient, ToolAnswer, ToolRequest, Tools};
use adjutant_server::{Authentication, Listeners};
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

/// A new run begins after so many turns.
const RUN_TURNS: usize = 1000;
/// So many connections are held to see what an idle one takes.
const IDLE: usize = 200;

/// A tool that answers at once.
struct AtOnce;

impl Tools for AtOnce {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        Box::pin(async { Ok(json!({"exit_code": 0, "timed_out": false})) })
    }
}

/// A daemon in this process, and a way in.
pub(super) struct Door {
    pub(super) plane: Plane,
    pub(super) address: String,
    pub(super) token: String,
    pub(super) shutdown: CancellationToken,
}

pub(super) async fn run(parent: &Path, proposals: usize, connections: usize) -> Result<Code> {
    let folder =
        tempfile::tempdir_in(parent).with_context(|| format!("no folder in {}", parent.display()))?;
    let door = open(folder.path()).await?;
    say(&format!(
        "measured in {}; a proposal's turn is durable before its tool is called and when it settles",
        parent.display()
    ))?;
    // Before the load: memory that it leaves free would hide what a connection takes.
    idle(&door).await?;
    for count in [1, connections] {
        let each = (proposals / if count == 1 { 10 } else { 1 }).div_ceil(count);
        let began = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for client in 0..count {
            let (address, token) = (door.address.clone(), door.token.clone());
            set.spawn(async move { drive(&address, &token, client, each).await });
        }
        let mut took = Vec::new();
        while let Some(done) = set.join_next().await {
            took.extend(done??);
        }
        let rate = took.len() as f64 / began.elapsed().as_secs_f64();
        let mut all: Vec<f64> = took.iter().map(|span| ms(*span)).collect();
        let p50 = median(&mut all);
        let p99 = all[all.len() * 99 / 100];
        say(&format!(
            "{count:>4} connections: {} proposals, {rate:.0} a second, p50 {p50:.2} ms, p99 {p99:.2} ms, turns contiguous",
            took.len()
        ))?;
    }
    say(&format!("memory now {:.1} MiB", resident_kib()? as f64 / 1024.0))?;
    door.plane.stop().await;
    door.shutdown.cancel();
    Ok(Code::Ok)
}

/// Opens a daemon in this process over a folder.
pub(super) async fn open(folder: &Path) -> Result<Door> {
    let plane = Plane::open(Settings::new(folder.to_owned(), PathBuf::from("adjutant"))).await?;
    let tcp = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", tcp.local_addr()?);
    plane.endpoint_set(address.clone());
    plane.resume().await?;
    let token = plane.owner_token_create().await?.reveal().to_owned();
    let unix = UnixListener::bind(folder.join("socket"))?;
    let shutdown = CancellationToken::new();
    let router = adjutant_server::router(plane.clone(), Authentication::Required);
    tokio::spawn(adjutant_server::serve(Listeners { tcp, unix }, router, shutdown.clone()));
    Ok(Door { plane, address, token, shutdown })
}

/// Submits one proposal after another, and looks at each run's turns when it is complete.
async fn drive(address: &str, token: &str, client: usize, count: usize) -> Result<Vec<Duration>> {
    let (rpc, _notices) = RpcClient::connect(address, token, AtOnce).await?;
    rpc.call("tools.register", json!([{"name": "drive_cli"}])).await?;
    let mut took = Vec::with_capacity(count);
    let mut left = count;
    while left > 0 {
        let turns = left.min(RUN_TURNS);
        let start = json!({"agent_id": format!("agent-{client}"), "intent": "measure"});
        let run_id = rpc.call("runs.start", start).await?["run_id"].clone();
        for n in 0..turns {
            let action = json!({"type": "tool_call", "tool": "drive_cli", "parameters": {"prompt": format!("step {n}")}});
            let began = Instant::now();
            rpc.call("proposal.submit", json!({"proposal": {"actions": [action]}})).await?;
            took.push(began.elapsed());
        }
        rpc.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "done"}})).await?;
        let trace = rpc.call("runs.get_trace", json!({"run_id": run_id, "limit": 5000})).await?;
        let records = trace["records"].as_array().context("a trace has records")?;
        let contiguous = records[1..=turns].iter().enumerate().all(|(at, turn)| turn["index"] == at);
        ensure!(contiguous && records.len() == turns + 2, "the turns of a run are not contiguous");
        left -= turns;
    }
    Ok(took)
}

/// Says what an idle connection takes of this process, its client's side included.
async fn idle(door: &Door) -> Result<()> {
    let before = resident_kib()?;
    let mut held = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        let connected = RpcClient::connect(&door.address, &door.token, NoTools).await?;
        connected.0.call("server.info", json!({})).await?;
        held.push(connected);
    }
    let each = resident_kib()?.saturating_sub(before) as f64 / IDLE as f64;
    say(&format!("an idle connection takes {each:.0} KiB, both sides of it together (aim: under 200)"))
}
