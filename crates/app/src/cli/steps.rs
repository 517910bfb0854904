//! `adjutant steps | step`

use super::runs::short;
use super::{ids, print};
use adjutant_protocol::http::StepEntryView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Args;

/// Which run.
#[derive(Debug, Args)]
pub(crate) struct StepsArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// Print a JSON line for every step.
    #[arg(long)]
    json: bool,
}

/// Which step of which run.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// The step: its agent's name, the last one then, or its path.
    step: String,
    /// Only what lies here in the content: a JSON pointer such as /a/0, or a context path such as $.a[0].
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
}

pub(crate) async fn list(client: &Client, args: StepsArgs) -> Result<Code> {
    let run_id = ids::run(client, &args.run).await?;
    let mut after = None;
    loop {
        let page = client.steps(&run_id, after).await?;
        for step in &page.steps {
            print(&if args.json { serde_json::to_string(step)? } else { line(step) })?;
        }
        let Some(next) = page.next_after else { return Ok(Code::Ok) };
        after = Some(next);
    }
}

/// Prints what came out of a step, as it is.
pub(crate) async fn content(client: &Client, args: StepArgs) -> Result<Code> {
    let run = client.run(&ids::run(client, &args.run).await?).await?;
    print(&client.step_content(&run.task_id, &run.id, &args.step, args.path.as_deref()).await?)
}

fn line(step: &StepEntryView) -> String {
    let took = step.duration_ms.map_or_else(String::new, |ms| format!("{ms} ms"));
    let attempt = if step.attempt > 1 { format!(" (attempt {})", step.attempt) } else { String::new() };
    let status = if step.superseded { format!("({})", step.status) } else { step.status.clone() };
    let kind = step.worker_kind.as_deref().unwrap_or("-");
    let usage = step.usage.as_ref().map(|usage| short(&serde_json::json!(usage))).unwrap_or_default();
    format!("{status:<11} {:<24} {:<9} {took:>10}  {}{attempt} {usage}", step.path, kind, step.step_ref)
        .trim_end()
        .to_owned()
}
