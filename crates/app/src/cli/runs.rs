//! `adjutant runs | show | trace | cancel`

use super::ids::Run;
use super::{client_trace, ids, print};
use crate::progress::{cost, visible};
use adjutant_protocol::http::{RunView, TurnView};
use adjutant_protocol::rpc::RunSummary;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Args;

/// How much of a value a line shows.
const SHOWN_CHARS: usize = 160;

/// How many runs.
#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which run.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which run.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// Print a JSON line for every turn, complete.
    #[arg(long)]
    json: bool,
}

/// Which run.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// For the journal.
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn list(client: &Client, args: RunsArgs) -> Result<Code> {
    let runs = client.runs(args.limit).await?;
    let driven = client_trace::runs(client, args.limit).await?;
    if args.json {
        let mut told = serde_json::to_value(&runs)?;
        told["client_runs"] = serde_json::to_value(&driven)?;
        return print(&told.to_string());
    }
    if runs.runs.is_empty() && driven.is_empty() {
        return print("no runs yet; `adjutant demo` makes one");
    }
    let of_blueprint =
        |run: &RunView| (run.created_at.clone(), line(&run.id, &run.status, &run.blueprint_id));
    let of_client = |run: &RunSummary| {
        (
            run.started_at.clone(),
            line(&run.run_id, &run.status, &format!("driven by {}", visible(&run.agent_id))),
        )
    };
    let mut lines: Vec<(String, String)> =
        runs.runs.iter().map(of_blueprint).chain(driven.iter().map(of_client)).collect();
    lines.sort_by(|a, b| b.0.cmp(&a.0));
    for (at, line) in lines.iter().take(args.limit) {
        print(&format!("{line} {at}"))?;
    }
    Ok(Code::Ok)
}

fn line(id: &str, status: &str, of: &str) -> String {
    format!("{id}  {status:<11} {of:<24}")
}

pub(crate) async fn show(client: &Client, args: ShowArgs) -> Result<Code> {
    let run = client.run(&ids::run(client, &args.run).await?).await?;
    if args.json {
        return print(&serde_json::to_string(&run)?);
    }
    let all = cost::with_sessions(&client.run_cost(&run.id).await?);
    for (name, value) in rows(&run).into_iter().chain(all.map(|line| ("all in all", line))) {
        print(&format!("{name:<11} {value}"))?;
    }
    Ok(Code::Ok)
}

fn rows(run: &RunView) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("run", run.id.clone()),
        ("task", run.task_id.clone()),
        ("status", run.status.clone()),
        ("blueprint", format!("{} at {}", run.blueprint_id, &run.bound_version[..12])),
        ("accepted", run.created_at.clone()),
        ("ttl", format!("{} s ({})", run.ttl_secs, run.ttl_source)),
    ];
    rows.extend(run.ended_at.iter().map(|at| ("ended", at.clone())));
    rows.extend(run.error.iter().map(|error| {
        let place = error.step.as_ref().map_or_else(String::new, |step| format!(" at step {step}"));
        ("error", visible(&format!("{}{place} [{}]", error.message, error.code)))
    }));
    if let Some(workspace) = &run.workspace {
        rows.push(("workspace", workspace.path.clone()));
        rows.extend(workspace.branch.iter().map(|branch| ("branch", branch.clone())));
    }
    rows.extend(run.goal_id.iter().map(|goal| ("goal", goal.clone())));
    rows.extend(run.agent.iter().map(|agent| ("agent", agent.clone())));
    rows.extend(cost::of(run).map(|line| ("cost", line)));
    rows.extend(run.final_ctx.iter().map(|ctx| ("result", short(ctx))));
    rows
}

pub(crate) async fn trace(client: &Client, args: TraceArgs) -> Result<Code> {
    let run_id = match ids::run_of_anybody(client, &args.run).await? {
        Run::OfBlueprint(id) => id,
        Run::OfClient(id) => return client_trace::print_all(client, &id, args.json).await,
    };
    let mut after = None;
    loop {
        let turns = client.trace(&run_id, after).await?;
        let Some(last) = turns.last() else { return Ok(Code::Ok) };
        after = Some(last.index);
        for turn in &turns {
            let line = if args.json { serde_json::to_string(turn)? } else { turn_line(turn) };
            print(&line)?;
        }
    }
}

fn turn_line(turn: &TurnView) -> String {
    let what = match (&turn.error, &turn.output) {
        (Some(error), _) => visible(&error.message),
        (None, Some(output)) => short(output),
        (None, None) => String::new(),
    };
    let name = if turn.kind == "tool" {
        format!("  tool {} {}", turn.name, short(&turn.parameters))
    } else {
        turn.name.clone()
    };
    let status = if turn.superseded.is_some() { format!("({})", turn.status) } else { turn.status.clone() };
    format!("{:>5}  {status:<9} {:<24} {name}  {what}", turn.index, turn.path)
}

pub(crate) async fn cancel(client: &Client, args: CancelArgs) -> Result<Code> {
    let run = client.run_cancel(&ids::run(client, &args.run).await?, args.reason).await?;
    print(&format!("{} is {}", run.id, run.status))
}

pub(super) fn short(value: &serde_json::Value) -> String {
    let text = visible(&value.to_string());
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
