//! `adjutant token`: who is let in.

use super::{ids, print};
use crate::progress::visible;
use adjutant_protocol::http::{SessionParams, TokenEntryView, TokenRequest};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::Subcommand;

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is printed once and kept nowhere.
    New {
        /// What its bearer is called; of a worker the agent that it acts as.
        #[arg(long, value_name = "NAME")]
        agent: String,
        /// What it may do: `operator`, `observer`, `senior` or `worker`; it acts as the agent when nothing is said.
        #[arg(long)]
        role: Option<String>,
        /// How long it lives, in seconds.
        #[arg(long, default_value_t = 3600)]
        ttl_secs: u64,
    },
    /// List tokens and sessions, the newest first.
    Ls {
        /// Show those that are over, for a day, and those of steps as well.
        #[arg(long)]
        all: bool,
    },
    /// Take a token back: nobody is let in by it any more.
    Revoke {
        /// The token's id, or a part of it that only one has.
        id: String,
    },
}

pub(crate) async fn run(client: &Client, command: TokenCommand) -> Result<Code> {
    match command {
        TokenCommand::New { agent, role: Some(role), ttl_secs } => {
            let wanted = SessionParams { agent_id: agent, role, ttl_secs: Some(ttl_secs) };
            print(&client.session_create(&wanted).await?.session_id)
        }
        TokenCommand::New { agent, role: None, ttl_secs } => {
            let request = TokenRequest { agent_id: agent, ttl_secs: Some(ttl_secs) };
            print(&client.token_create(&request).await?.token)
        }
        TokenCommand::Ls { all } => {
            let shown = if all { client.tokens_all().await? } else { client.tokens().await? };
            for token in shown.tokens {
                print(&line(&token))?;
            }
            Ok(Code::Ok)
        }
        TokenCommand::Revoke { id } => {
            let id = ids::token(client, &id).await?;
            print(&line(&client.token_revoke(&id).await?))
        }
    }
}

fn line(token: &TokenEntryView) -> String {
    let who = match (&token.run_id, &token.agent_id) {
        (Some(run_id), _) => format!("{run_id} {}", token.path.as_deref().unwrap_or_default()),
        (None, Some(agent_id)) => visible(agent_id),
        (None, None) => "-".to_owned(),
    };
    let end = match (&token.revoked_at, &token.expires_at) {
        (Some(at), _) => format!("taken back {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "no end".to_owned(),
    };
    let session = token.session.as_deref().map_or_else(String::new, |id| format!("  session {id}"));
    let seen = token.last_seen_at.as_deref().map_or_else(String::new, |at| format!(", last {at}"));
    format!("{}  {:<8} {who}  {end}  {} uses{seen}{session}", token.id, token.role, token.uses)
}
