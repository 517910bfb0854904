//! A run as the store holds it, and the machine that follows from it.
//!
//! A run's machine is the fold of its journal: every row's events, with the row's instant as `now` and each settled
//! step's outcome from its turn. Of what stands before a rerun, the settlements of the step that it goes back to are left
//! out, and what stopped the run; what the machine then does not wait for changes nothing. So the results of whatever did
//! not follow from that step stay, as those of a fanout's other branches do.

use crate::blueprints::{self, Callees, Linked};
use crate::error::EngineError;
use crate::plane::Core;
use crate::policies::RunPolicies;
use crate::tasks;
use adjutant_model::event::{Event, FlowInput, JournalRow};
use adjutant_model::run::{
    RunInput, RunRecord, RunStatus, StepOutcome, StepPath, TurnKind, TurnRecord, TurnStatus,
};
use adjutant_model::{RunId, Timestamp};
use adjutant_rules::flow::{FlowEffect, FlowEvent, FlowState};
use adjutant_rules::run::takes_back;
use adjutant_store::Json;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How many rows are read at once.
const PAGE: usize = 1000;

/// A run and everything that its machine follows from.
#[derive(Debug)]
pub(crate) struct Found {
    pub(super) run: RunRecord,
    pub(crate) linked: Arc<Linked>,
    pub(super) policies: RunPolicies,
    pub(super) given: RunInput,
    pub(super) rows: Vec<JournalRow>,
    pub(super) turns: HashMap<u64, TurnRecord>,
}

/// The machine of a run.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) state: FlowState,
    /// The steps that the machine came to on its way.
    reached: HashSet<(StepPath, u32)>,
}

/// What a rerun leaves of the turns that count.
#[derive(Debug, Default)]
pub(super) struct TakenBack {
    /// Those that count no more.
    pub(super) turns: Vec<u64>,
    /// How many of them are steps.
    pub(super) steps: u64,
    /// How many steps keep what they gave.
    pub(super) kept: u64,
}

impl Found {
    /// Reads a run; `run` is its record as it stands, or as it is to be.
    ///
    /// # Errors
    /// Whatever keeps this version from going on with the run: its blueprint, its policies, or damage.
    pub(crate) async fn read(core: &Core, run: RunRecord) -> Result<Found, EngineError> {
        let own = tasks::blueprint_of(core, &run.blueprint_hash).await?;
        let given = tasks::given(core, &run).await?;
        let turns = read_turns(core, &run.id).await?;
        let rows = read_rows(core, &run.id).await?;
        let linked = Arc::new(blueprints::link(core, own, Callees::Pinned(&rows)).await?);
        let policies = RunPolicies::of_journal(core, &rows)?;
        Ok(Found { run, linked, policies, given, rows, turns })
    }

    /// Folds what the journal says that the machine took, as if a rerun from `from` stood at its end.
    pub(super) fn fold(&self, from: Option<&str>) -> Result<Folded, EngineError> {
        let ctx = tasks::first_context(&self.linked.own().blueprint, &self.given.input)?;
        let mut state = FlowState::new(self.linked.program.clone(), ctx);
        let mut reached = HashSet::new();
        let reruns: Vec<(i64, &str)> = self.reruns().chain(from.map(|from| (i64::MAX, from))).collect();
        for row in &self.rows {
            let Event::RunAdvanced { inputs, .. } = &row.event else { continue };
            let behind: Vec<&str> =
                reruns.iter().filter(|(seq, _)| *seq > row.seq).map(|(_, from)| *from).collect();
            for input in inputs {
                if self.is_taken_back(input, &behind) {
                    continue;
                }
                // What follows was performed then; what is still wanted is asked for when all is folded.
                for effect in state.take(flow_event(input, &self.turns)?, row.at) {
                    if let FlowEffect::Dispatch { path, attempt, .. }
                    | FlowEffect::Ask { path, attempt, .. } = effect
                    {
                        reached.insert((path, attempt));
                    }
                }
            }
        }
        Ok(Folded { state, reached })
    }

    /// Tells whether a rerun that stands behind an input takes it back.
    fn is_taken_back(&self, input: &FlowInput, behind: &[&str]) -> bool {
        match input {
            FlowInput::Settled { turn, path, .. } => {
                let agent = self.turns.get(turn).map_or("", |turn| turn.name.as_str());
                behind.iter().any(|from| takes_back(from, agent, path))
            }
            FlowInput::CancelRequested { .. } | FlowInput::TtlExpired => !behind.is_empty(),
            FlowInput::Begun | FlowInput::TimerFired { .. } | FlowInput::Resumed => false,
        }
    }

    /// Gives the place of each rerun in the journal, and the step that it went back to.
    fn reruns(&self) -> impl Iterator<Item = (i64, &str)> {
        self.rows.iter().filter_map(|row| match &row.event {
            Event::RunRerun { from, .. } => Some((row.seq, from.as_str())),
            _ => None,
        })
    }

    /// Gives how often the run was taken back to a step.
    pub(super) fn rerun_count(&self) -> u64 {
        self.reruns().count() as u64
    }

    /// Gives the instant that the run's time to live counts from: its beginning, or the last time that it was taken up.
    pub(super) fn clock_from(&self) -> Timestamp {
        let taken_up = |row: &&JournalRow| match &row.event {
            Event::RunRerun { .. } => true,
            Event::RunStatusChanged { from, .. } => *from == RunStatus::Interrupted,
            _ => false,
        };
        self.rows.iter().rev().find(taken_up).map_or(self.run.created_at, |row| row.at)
    }

    /// Tells whether the machine has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.event, Event::RunAdvanced { .. }))
    }

    /// Gives the turns that count, in no order.
    pub(super) fn counting(&self) -> impl Iterator<Item = &TurnRecord> {
        self.turns.values().filter(|turn| turn.superseded.is_none())
    }

    /// Gives how many steps settled and count.
    pub(super) fn settled(&self) -> u64 {
        let settled = |turn: &&TurnRecord| turn.kind == TurnKind::Step && turn.status != TurnStatus::Started;
        self.counting().filter(settled).count() as u64
    }

    /// Tells which turns a fold does not come to any more, or waits for again.
    pub(super) fn taken_back(&self, folded: &Folded) -> TakenBack {
        let waits_for: HashSet<(StepPath, u32)> = folded
            .state
            .pending()
            .into_iter()
            .filter_map(|effect| match effect {
                FlowEffect::Dispatch { path, attempt, .. } | FlowEffect::Ask { path, attempt, .. } => {
                    Some((path, attempt))
                }
                FlowEffect::SetTimer { .. } | FlowEffect::Abort { .. } => None,
                FlowEffect::Yield | FlowEffect::Finish(_) => None,
            })
            .collect();
        let mut taken_back = TakenBack::default();
        for turn in self.counting() {
            let key = (turn.path.clone(), turn.attempt);
            let is_step = u64::from(turn.kind == TurnKind::Step);
            if folded.reached.contains(&key) && !waits_for.contains(&key) {
                taken_back.kept += is_step;
            } else {
                taken_back.steps += is_step;
                taken_back.turns.push(turn.index);
            }
        }
        taken_back.turns.sort_unstable();
        taken_back
    }
}

async fn read_turns(core: &Core, run_id: &RunId) -> Result<HashMap<u64, TurnRecord>, EngineError> {
    let mut turns = HashMap::new();
    let mut after = None;
    loop {
        let page = core.store.turns_of(run_id, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(turns) };
        after = Some(last.index);
        turns.extend(page.into_iter().map(|turn| (turn.index, turn)));
    }
}

/// Reads all that the journal says of a run.
pub(crate) async fn read_rows(core: &Core, run_id: &RunId) -> Result<Vec<JournalRow>, EngineError> {
    let mut rows: Vec<JournalRow> = Vec::new();
    loop {
        let after = rows.last().map_or(0, |row| row.seq);
        let page = core.store.journal_of(run_id.as_str(), after, PAGE).await?;
        if page.is_empty() {
            return Ok(rows);
        }
        rows.extend(page);
    }
}

fn flow_event(input: &FlowInput, turns: &HashMap<u64, TurnRecord>) -> Result<FlowEvent, EngineError> {
    Ok(match input {
        FlowInput::Begun => FlowEvent::Begun,
        FlowInput::Settled { turn, path, attempt, output_hash, .. } => {
            let record = turns.get(turn).ok_or_else(|| EngineError::not_found("turn", turn))?;
            let outcome = outcome(record, output_hash.as_deref())?;
            FlowEvent::Settled { path: path.clone(), attempt: *attempt, outcome }
        }
        FlowInput::TimerFired { path, attempt } => {
            FlowEvent::TimerFired { path: path.clone(), attempt: *attempt }
        }
        FlowInput::Resumed => FlowEvent::Resumed,
        FlowInput::CancelRequested { reason } => FlowEvent::CancelRequested { reason: reason.clone() },
        FlowInput::TtlExpired => FlowEvent::TtlExpired,
    })
}

/// Gives how a settled turn ended, and refuses one whose output is not the one that the journal names.
fn outcome(turn: &TurnRecord, output_hash: Option<&str>) -> Result<StepOutcome, EngineError> {
    let damaged = |what: &str| EngineError::Conflict {
        message: format!("turn {} is damaged: {what}", turn.index),
        hint: Some("`adjutant journal verify` looks at the whole journal".to_owned()),
    };
    match (turn.status, &turn.output, &turn.error) {
        (TurnStatus::Succeeded, Some(output), _) if output_hash == Some(&Json::of(output).sha256()) => {
            Ok(StepOutcome::Done(output.clone()))
        }
        (TurnStatus::Skipped, Some(output), _) if output_hash == Some(&Json::of(output).sha256()) => {
            Ok(StepOutcome::Skipped(output.clone()))
        }
        (TurnStatus::Succeeded | TurnStatus::Skipped, ..) => {
            Err(damaged("its output is not the one that was journalled"))
        }
        (TurnStatus::Failed | TurnStatus::Rejected, _, Some(error)) => Ok(StepOutcome::Failed(error.clone())),
        (TurnStatus::Failed | TurnStatus::Rejected | TurnStatus::Started | TurnStatus::Cancelled, ..) => {
            Err(damaged("the journal says that it settled"))
        }
    }
}
