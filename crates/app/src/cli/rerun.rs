//! `adjutant rerun | resume`: a run that goes on again.

use super::run::{ended, follow_from};
use super::{ids, print};
use crate::commands::Commands;
use crate::launch;
use crate::progress::View;
use adjutant_protocol::ExitCode as Code;
use anyhow::Result;
use clap::Args;
use std::path::Path;

/// Which run, and from where.
#[derive(Debug, Args)]
pub(crate) struct RerunArgs {
    /// A run's id, or a part that only one has; the run must be over.
    run: String,
    /// The step to go back to: an agent's name, or a path with all below it, as `adjutant steps` shows them.
    #[arg(long, value_name = "STEP")]
    from: String,
    /// Return as soon as the run goes on.
    #[arg(long)]
    detach: bool,
    /// Print events as JSON lines, and the run last.
    #[arg(long)]
    json: bool,
}

/// Which run.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// A run's id, or a part that only one has; the run must be interrupted.
    run: String,
    /// Return as soon as the run goes on.
    #[arg(long)]
    detach: bool,
    /// Print events as JSON lines, and the run last.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn rerun(folder: &Path, args: RerunArgs) -> Result<Code> {
    let client = launch::client(folder).await?;
    let run_id = ids::run(&client, &args.run).await?;
    let since = client.status().await?.journal_seq;
    let again = client.run_rerun(&run_id, &args.from).await?;
    if args.detach {
        return detached(&serde_json::to_string(&again)?, &run_id, folder, args.json);
    }
    let view = View::choose(args.json);
    let (_, run) = follow_from(folder, &run_id, (view, since)).await?;
    ended(&run, view, &Commands::of(folder))
}

pub(crate) async fn resume(folder: &Path, args: ResumeArgs) -> Result<Code> {
    let client = launch::client(folder).await?;
    let run_id = ids::run(&client, &args.run).await?;
    let since = client.status().await?.journal_seq;
    let resumed = client.run_resume(&run_id).await?;
    if args.detach {
        return detached(&serde_json::to_string(&resumed)?, &run_id, folder, args.json);
    }
    let view = View::choose(args.json);
    let (_, run) = follow_from(folder, &run_id, (view, since)).await?;
    ended(&run, view, &Commands::of(folder))
}

fn detached(answer: &str, run_id: &str, folder: &Path, json: bool) -> Result<Code> {
    if json {
        return print(answer);
    }
    print(&Commands::of(folder).in_text(&format!("{run_id} goes on; `adjutant show {run_id}` shows it")))
}
