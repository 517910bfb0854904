//! `adjutant bench operator`: steps that an operator does over its socket and its worker over HTTP, beside steps that a
//! function does, in the same run.

use super::rpc::{Door, open};
use super::{Shape, median, ms, say};
use adjutant_protocol::http::{OperatorJoinParams, OperatorJoinedView, TaskParams};
use adjutant_protocol::operator::{OperatorFrame, OperatorSocket, ReplyFrame};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Rounds of functions and operators alternate, because a disk's speed drifts.
const ROUNDS: usize = 3;

pub(super) async fn run(parent: &Path, steps: usize) -> Result<Code> {
    ensure!(steps >= 2, "at least two steps are measured");
    let folder =
        tempfile::tempdir_in(parent).with_context(|| format!("no folder in {}", parent.display()))?;
    let door = open(folder.path()).await?;
    say(&format!(
        "measured in {}; a result is durable before it is acknowledged, the worker's token before it is shown",
        parent.display()
    ))?;
    let client = Client::new(door.address.as_str(), door.token.as_str())?;
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let line = Shape::Sequence.measure(&door.plane).await?;
        let mut took = Vec::with_capacity(steps);
        let began = Instant::now();
        operate(&door, &client, steps, &mut took).await?;
        let rate = steps as f64 / began.elapsed().as_secs_f64();
        let mut all: Vec<f64> = took.iter().map(|span| ms(*span)).collect();
        let (p50, p99) = (median(&mut all), all[all.len() * 99 / 100]);
        ratios.push(rate / line);
        say(&format!(
            "round {round}: steps/s: 1000 functions in sequence {line:.0}; {steps} of an operator in sequence {rate:.0}, \
             p50 {p50:.2} ms, p99 {p99:.2} ms, taken over in the middle and reconnected",
        ))?;
    }
    say(&format!("steps of an operator    {:>9.2} of the functions' (median)", median(&mut ratios)))?;
    door.plane.stop().await;
    door.shutdown.cancel();
    Ok(Code::Ok)
}

/// Has one operator do the first half of a run's steps and another the rest; each goes away once and comes back.
async fn operate(door: &Door, client: &Client, steps: usize, took: &mut Vec<Duration>) -> Result<()> {
    let step = json!({"kind": "step", "ref": "worker", "in": {"op": "path", "at": "$.a"}, "out": {"op": "path", "at": "$.b"}});
    let document = json!({"id": "bench", "operators": [{"name": "main"}], "agents": [{"name": "worker", "kind": "operator"}],
        "flow": {"kind": "seq", "children": vec![step; steps]}});
    let first = client.operator_join(&OperatorJoinParams::default()).await?;
    let second = client.operator_join(&OperatorJoinParams::default()).await?;
    let request = json!({"blueprint": {"kind": "inline", "value": document}, "init_ctx": {"a": 1}, "operator_sid": first.sid});
    let params: TaskParams = serde_json::from_value(request)?;
    let run_id = client.task_start(&params).await?.run_id;
    serve(door, client, &first, steps / 2, took).await?;
    let acquire = json!({"op": second.sid, "desc": "the second half"});
    client.seat_acquire(&run_id, &serde_json::from_value(acquire)?).await?;
    serve(door, client, &second, steps - steps / 2, took).await?;
    let ended = door.plane.run_ended(&run_id.parse()?).await?;
    ensure!(ended.status.as_str() == "done", "the run of the measurement is {}", ended.status);
    for operator in [first, second] {
        client.operator_leave(&operator.sid).await?;
    }
    Ok(())
}

/// Does so many steps as an operator and as its worker, and goes away once on the way.
async fn serve(
    door: &Door,
    client: &Client,
    operator: &OperatorJoinedView,
    steps: usize,
    took: &mut Vec<Duration>,
) -> Result<()> {
    let connect = || OperatorSocket::connect(&door.address, &operator.sid, &operator.token);
    let mut socket = connect().await?;
    for n in 0..steps {
        let began = Instant::now();
        if n == steps / 2 {
            drop(socket);
            socket = connect().await?;
        }
        let OperatorFrame::Spawn { req_id, capability_token, .. } = socket.next().await? else {
            anyhow::bail!("something else than a step was asked")
        };
        let worker = client.with_token(capability_token);
        let prompt = worker.worker_prompt().await?.prompt;
        worker.worker_submit(prompt).await?;
        let ack = ReplyFrame::SpawnAck { req_id, value: Value::Null, ok: true, error: None, stats: None };
        socket.send(&ack).await?;
        took.push(began.elapsed());
    }
    Ok(())
}
