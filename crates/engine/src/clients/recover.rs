//! Recovery: runs whose daemon has gone wait out a lease again, with every turn accounted for.

use super::run::{self, Launch};
use super::{subject, turns};
use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::policies::RunPolicies;
use adjutant_model::Timestamp;
use adjutant_model::client_run::{ClientRun, ClientTurn};
use adjutant_model::event::Event;
use adjutant_model::proposal::VerifierVerdict;
use adjutant_model::run::{RunStatus, TurnStatus};
use adjutant_store::{ClientFence, Draft, Json, Write};
use std::sync::Arc;

/// The policies of files stand among so many rows at the beginning.
const FIRST_ROWS: usize = 16;

/// Gives every open run an owner again; one that cannot be read stops no other.
pub(crate) async fn resume_open(core: &Arc<Core>) -> Result<(), EngineError> {
    for found in core.store.client_runs_open().await? {
        let run_id = found.id.clone();
        if let Err(error) = resume(core, found).await {
            tracing::error!(run = %run_id, %error, "the client's run cannot be taken up again");
        }
    }
    Ok(())
}

async fn resume(core: &Arc<Core>, found: ClientRun) -> Result<(), EngineError> {
    let limit = usize::try_from(found.turns).unwrap_or(usize::MAX);
    let kept = core.store.client_turns(&found.id, 0, limit).await?;
    // They were written with the run's first row.
    let rows = core.store.journal_of(&subject(&found.id), 0, FIRST_ROWS).await?;
    let files = Arc::new(RunPolicies::of_journal(core, &rows)?);
    let epoch = found.epoch + 1;
    let run = ClientRun { owner: core.owner.clone(), epoch, status: RunStatus::Interrupted, ..found };
    let now = clock::now();
    let mut write = Write::default();
    let fence = ClientFence { run_id: run.id.clone(), owner: run.owner.as_str().into(), epoch };
    write.client_run_adopt(&fence, RunStatus::Interrupted);
    let journal = |write: &mut Write, event| {
        write.journal(Draft { at: now, actor: "plane".into(), subject: subject(&run.id), event });
    };
    journal(&mut write, Event::ClientRunAdopted { owner: run.owner.clone(), epoch });
    let mut settled = Vec::new();
    for turn in unaccounted(&kept, run.turns, Cut { by: "the daemon stopped", at: now }) {
        let json = Json::of_record(&turn);
        settled.push(turns::note(&turn, &json, None));
        write.client_turn_put(&run.id, &turn, json);
    }
    // What settles here stands in the journal like what settles by an owner.
    if !settled.is_empty() {
        journal(&mut write, Event::ClientRunAdvanced { started: Vec::new(), settled });
    }
    core.store.write(write).await?;
    let settled = run.turns;
    run::start(core, Launch { run, files, connection: None, settled });
    Ok(())
}

/// What left turns without an end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// What happened, such as `the daemon stopped`.
    pub(super) by: &'static str,
    pub(super) at: Timestamp,
}

/// Gives what to write for turns that were in flight or not begun at a cut.
pub(super) fn unaccounted(found: &[ClientTurn], turns: u64, cut: Cut) -> Vec<ClientTurn> {
    let mut found = found.iter().peekable();
    let mut missing = Vec::new();
    for index in 0..turns {
        match found.next_if(|turn| turn.index == index) {
            Some(turn) if turn.status == TurnStatus::Started => missing.push(ClientTurn {
                status: TurnStatus::Cancelled,
                error: Some(format!("{} before it settled; what it has done is not known", cut.by)),
                ended_at: Some(cut.at),
                ..turn.clone()
            }),
            Some(_) => {}
            None => missing.push(never_begun(index, cut)),
        }
    }
    missing
}

fn never_begun(index: u64, cut: Cut) -> ClientTurn {
    ClientTurn {
        index,
        prompt: None,
        tool: None,
        parameters: adjutant_model::Value::Null,
        output: None,
        cli_outcome: None,
        verifier_verdict: VerifierVerdict::NotRun,
        policy_rejected: None,
        status: TurnStatus::Cancelled,
        error: Some(format!("{} before it began", cut.by)),
        action_id: None,
        proposal_id: None,
        attempt: 0,
        started_at: cut.at,
        ended_at: Some(cut.at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_accounted_for_once() {
        let cut = Cut { by: "the daemon stopped", at: Timestamp::from_unix_ms(7) };
        let turn = |index, status| ClientTurn { status, error: None, ..never_begun(index, cut) };
        let found =
            [turn(0, TurnStatus::Succeeded), turn(2, TurnStatus::Started), turn(3, TurnStatus::Failed)];
        let written: Vec<_> =
            unaccounted(&found, 5, cut).into_iter().map(|turn| (turn.index, turn.status)).collect();
        let cancelled = TurnStatus::Cancelled;
        assert_eq!(written, [(1, cancelled), (2, cancelled), (4, cancelled)]);
    }
}
