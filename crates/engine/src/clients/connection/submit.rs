//! Proposals as a connection takes them: each gets its place in the run before the next is taken.

use super::{Connection, Current, InForce, refused_lints};
use crate::clients::Dropped;
use crate::clients::proposals::{self, Drive, SubmitParams};
use crate::clients::run::{ClientRunHandle, RunCommand};
use crate::clock;
use crate::error::EngineError;
use adjutant_model::Value;
use adjutant_model::proposal::{Proposal, ProposalResult};
use adjutant_rules::proposal::{
    Given, ProposalLimits, StateBook, ToolSet, Verification, read, read_draft, verify,
};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// A proposal that was taken and has its place in its run.
#[derive(Debug)]
pub struct Submitted {
    connection: Arc<Connection>,
    proposal: Proposal,
    tools: ToolSet,
    limits: ProposalLimits,
    in_force: InForce,
    place: Option<Place>,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Place {
    handle: ClientRunHandle,
    run_id: Arc<str>,
    reserved: oneshot::Receiver<Result<u64, Dropped>>,
}

impl Submitted {
    /// Drives the proposal to its end; a connection that goes in between stops it.
    ///
    /// # Errors
    /// [`EngineError`]; nothing of the proposal was done then, unless the daemon is stopping.
    pub async fn driven(self) -> Result<Arc<ProposalResult>, EngineError> {
        let Submitted { connection, proposal, tools, limits, in_force, place, cancel } = self;
        let id = proposal.id.clone();
        let run = match place {
            None => Ok(None),
            Some(Place { handle, run_id, reserved }) => {
                let reserved = reserved.await.unwrap_or(Err(Dropped::RunTerminal));
                reserved.map(|base| Some((handle, run_id, base))).map_err(proposals::refused)
            }
        };
        let driven = match run {
            Err(error) => Ok(Err(error)),
            Ok(run) => {
                let drive = Drive {
                    connection: connection.clone(),
                    proposal,
                    tools,
                    limits,
                    in_force,
                    run,
                    cancel: cancel.clone(),
                };
                // It goes on to its end even when nobody waits for its answer any more.
                connection.proposals.spawn(proposals::drive(drive)).await
            }
        };
        connection.submission_over(&id, &cancel);
        driven.map_err(|_| EngineError::Defect("the proposal's driver panicked"))?
    }
}

impl Connection {
    /// Plays a proposal through without doing anything.
    ///
    /// # Errors
    /// [`EngineError::Blueprint`] with everything that is wrong.
    pub fn verify(&self, proposal: &Value, initial: Option<&Value>) -> Result<Verification, EngineError> {
        let proposal = read_draft(proposal, given(&mut fresh_ids())).map_err(refused_lints)?;
        let (tools, state) = {
            let book = self.lock();
            (book.tools.clone(), book.world.state.clone())
        };
        let state = match initial.and_then(Value::as_object) {
            Some(values) => StateBook::starting_with(values)
                .map_err(|refusal| EngineError::invalid(refusal.to_string()))?,
            None => state,
        };
        Ok(verify(&proposal, &tools, &state))
    }

    /// Takes a proposal: it gets its place in the run before the next one is taken.
    ///
    /// # Errors
    /// [`EngineError`]; nothing of the proposal will be done then.
    pub async fn submit(self: &Arc<Self>, params: SubmitParams) -> Result<Submitted, EngineError> {
        let proposal = read(&params.proposal, given(&mut fresh_ids())).map_err(refused_lints)?;
        let in_force = self.in_force(params.session_id.as_deref()).await?;
        let (tools, run) = {
            let book = self.lock();
            (book.tools.clone(), book.run.clone())
        };
        let place = match run {
            None => None,
            Some(Current { run_id, handle, .. }) => {
                let (reply, reserved) = oneshot::channel();
                let count = proposal.actions.len() as u64;
                let over = |_| proposals::refused(Dropped::RunTerminal);
                handle
                    .commands
                    .send(RunCommand::Reserve { connection: self.id.clone(), count, reply })
                    .await
                    .map_err(over)?;
                Some(Place { handle, run_id, reserved })
            }
        };
        let cancel = self.closing.child_token();
        self.lock().in_flight.entry(proposal.id.clone()).or_default().push(cancel.clone());
        let connection = self.clone();
        Ok(Submitted { connection, proposal, tools, limits: params.limits, in_force, place, cancel })
    }

    fn submission_over(&self, proposal_id: &Arc<str>, cancel: &CancellationToken) {
        cancel.cancel();
        let mut book = self.lock();
        if let Some(tokens) = book.in_flight.get_mut(proposal_id) {
            tokens.retain(|token| !token.is_cancelled());
            if tokens.is_empty() {
                book.in_flight.remove(proposal_id);
            }
        }
    }

    /// Cancels the proposals of a label that are in flight; gives how many.
    pub fn proposal_cancel(&self, proposal_id: &str) -> usize {
        let tokens = self.lock().in_flight.get(proposal_id).cloned().unwrap_or_default();
        tokens.iter().for_each(CancellationToken::cancel);
        tokens.len()
    }
}

fn fresh_ids() -> impl Iterator<Item = String> {
    std::iter::repeat_with(|| clock::fresh_id().simple().to_string()[20..].to_owned())
}

fn given(ids: &mut dyn Iterator<Item = String>) -> Given<'_> {
    Given { ids, now: clock::now() }
}
