//! `adjutant breakers`: which agents are left alone.

use super::print;
use crate::progress::visible;
use adjutant_protocol::http::BreakerView;
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand};

/// What to do with breakers.
#[derive(Debug, Args)]
pub(crate) struct BreakersArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    command: Option<BreakersCommand>,
}

#[derive(Debug, Subcommand)]
enum BreakersCommand {
    /// Close an agent's breaker: it may be started again.
    Reset {
        /// The agent.
        agent: String,
    },
}

pub(crate) async fn run(client: &Client, args: BreakersArgs) -> Result<Code> {
    match args.command {
        Some(BreakersCommand::Reset { agent }) => print(&line(&client.breaker_reset(&agent).await?)),
        None if args.json => print(&serde_json::to_string(&client.breakers().await?)?),
        None => {
            let breakers = client.breakers().await?.breakers;
            if breakers.is_empty() {
                return print("no agent has failed");
            }
            for breaker in &breakers {
                print(&line(breaker))?;
            }
            Ok(Code::Ok)
        }
    }
}

fn line(breaker: &BreakerView) -> String {
    let BreakerView { agent, state, consecutive_failures, failure_threshold, .. } = breaker;
    let trial = breaker.trial_at.as_deref().map_or_else(String::new, |at| format!(", may try again at {at}"));
    format!(
        "{:<9} {}  {consecutive_failures} failures in a row of {failure_threshold}{trial}",
        state,
        visible(agent)
    )
}
