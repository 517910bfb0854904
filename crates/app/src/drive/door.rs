//! The drive's way to the daemon: a connection that survives the daemon's restart.
//!
//! When the connection goes, the daemon is looked for again, the run is resumed, and the trace says whether the action
//! under way had settled: then its turn is the answer, else it is submitted again.

use super::hands::Hands;
use crate::launch;
use adjutant_protocol::Client;
use adjutant_protocol::http::TokenRequest;
use adjutant_protocol::rpc::{
    Action, Proposal, RpcClient, RpcClientError, RunOutcome, RunStart, SubmitOptions,
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// A token outlives every drive that is meant.
const TOKEN_TTL_SECS: u64 = 24 * 3600;
/// How long an action may take beyond its program, so that the program's own limit is told.
const ACTION_SLACK: Duration = Duration::from_secs(30);

/// An open run at a daemon.
pub(super) struct Door {
    folder: PathBuf,
    token: String,
    hands: Hands,
    rpc: RpcClient,
    pub(super) run_id: String,
    /// How many turns of the run are known.
    turns: u64,
}

/// What came of an action.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Settled {
    /// It gave this.
    Done(Value),
    /// It was refused or could not be done.
    Not { why: String },
}

impl Door {
    /// Makes a token of the drive's own, connects with it, and begins a run.
    pub(super) async fn open(folder: PathBuf, agent_id: &str, intent: &str, hands: Hands) -> Result<Self> {
        let client = launch::client(&folder).await?;
        let wanted = TokenRequest { agent_id: agent_id.to_owned(), ttl_secs: Some(TOKEN_TTL_SECS) };
        let token = client.token_create(&wanted).await?.token;
        let rpc = connect(&client, &token, &hands).await?;
        let start = RunStart { intent: intent.to_owned(), ..RunStart::default() };
        let run_id = rpc.run_start(&start).await?.run_id;
        Ok(Door { folder, token, hands, rpc, run_id, turns: 0 })
    }

    /// Has one call of a tool done and recorded.
    pub(super) async fn act(&mut self, tool: &str, parameters: Value, timeout: Duration) -> Result<Settled> {
        let timeout_ms = u64::try_from((timeout + ACTION_SLACK).as_millis()).unwrap_or(u64::MAX);
        let action = Action {
            id: Some(tool.to_owned()),
            timeout_ms: Some(timeout_ms),
            ..Action::tool_call(tool, parameters)
        };
        let proposal = Proposal { actions: vec![action], ..Proposal::default() };
        loop {
            match self.rpc.proposal_submit(&proposal, &SubmitOptions::default()).await {
                Ok(result) => {
                    self.turns += 1;
                    let result = result.results.into_iter().next().context("the action has no result")?;
                    return Ok(match (result.status.as_str(), result.output) {
                        ("succeeded", Some(output)) => Settled::Done(output),
                        (status, _) => {
                            Settled::Not { why: result.error.unwrap_or_else(|| status.to_owned()) }
                        }
                    });
                }
                Err(RpcClientError::Gone) => {
                    if let Some(output) = self.again().await? {
                        return Ok(Settled::Done(output));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends the run in our words.
    pub(super) async fn complete(&mut self, status: &str, summary: &str) -> Result<()> {
        let outcome =
            RunOutcome { status: status.to_owned(), summary: summary.to_owned(), ..RunOutcome::default() };
        if let Err(RpcClientError::Gone) = self.rpc.run_complete(&self.run_id, &outcome).await {
            self.again().await?;
            self.rpc.run_complete(&self.run_id, &outcome).await?;
        }
        Ok(())
    }

    /// Stops the run.
    pub(super) async fn cancel(&self, reason: &str) {
        if let Err(error) = self.rpc.run_cancel(&self.run_id, reason).await {
            tracing::warn!(run = %self.run_id, %error, "the run is not cancelled; its lease ends it");
        }
    }

    /// Finds the daemon again and resumes the run; gives the output of the action under way when it had settled.
    async fn again(&mut self) -> Result<Option<Value>> {
        super::say("   the daemon is gone; the run is resumed when it is there again")?;
        // What the lost call of a tool began is over before it is begun again.
        self.hands.work.close();
        self.hands.work.wait().await;
        self.hands.work.reopen();
        let client = launch::client(&self.folder).await?;
        self.rpc = connect(&client, &self.token, &self.hands).await?;
        self.rpc.run_resume(&self.run_id).await?;
        let mut settled = None;
        let mut cursor = 0;
        loop {
            let Some(page) = self.rpc.run_trace(&self.run_id, cursor).await? else {
                bail!("the run {} is not known any more", self.run_id)
            };
            for record in page.records.iter().filter(|record| record["record"] == "turn") {
                let Some(index) = record["index"].as_u64().filter(|index| *index >= self.turns) else {
                    continue;
                };
                self.turns = index + 1;
                settled = record.get("output").filter(|output| !output.is_null()).cloned();
            }
            if !page.more {
                return Ok(settled);
            }
            cursor = page.cursor;
        }
    }
}

async fn connect(client: &Client, token: &str, hands: &Hands) -> Result<RpcClient> {
    let (rpc, _notices) = RpcClient::connect(client.address(), token, hands.clone()).await?;
    rpc.tools_register(&Hands::offer()).await?;
    Ok(rpc)
}
