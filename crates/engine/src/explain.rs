//! What the gate said of a turn, as the journal has it.
//!
//! Nothing is judged again: rules and state may have changed since. A turn that no rule was about has no judgement.

use crate::clients;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::RunId;
use adjutant_model::action::Caller;
use adjutant_model::event::{Event, JournalRow};
use adjutant_model::policy::Judgement;
use adjutant_model::run::{TurnKind, TurnStatus};

/// How many rows are read at once.
const PAGE: usize = 1000;

/// A turn and what the gate said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The run.
    pub run_id: String,
    /// The turn's place in it.
    pub turn: u64,
    /// What the turn records.
    pub kind: ExplainedKind,
    /// The agent of a step; otherwise the tool.
    pub name: String,
    /// Where the turn stands.
    pub status: TurnStatus,
    /// What the gate said, in the order in which it did; empty when no rule was about the turn.
    pub judgements: Vec<Judgement>,
}

/// What a turn records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainedKind {
    /// A step of a flow.
    Step,
    /// A tool call of an agent inside a step.
    Tool,
    /// An action of a proposal of an outside client.
    Action,
    /// A turn that an outside client tells of; nobody judges it.
    Narrated,
}

/// Gives what the gate said of a turn, of a flow's run or of a client's.
///
/// # Errors
/// [`EngineError::NotFound`] for a run or turn that is not there, or that the caller may not see.
pub(crate) async fn turn(
    core: &Core,
    caller: &Caller,
    run_id: &str,
    turn: u64,
) -> Result<Explanation, EngineError> {
    let no_turn = || EngineError::not_found("turn", format!("{turn} of {run_id}"));
    let flow = match run_id.parse::<RunId>() {
        Ok(id) => core.store.run_get(&id).await?,
        Err(_) => None,
    };
    if let Some(run) = flow {
        let found = core.store.turns_of(&run.id, turn.checked_sub(1), 1).await?;
        let found = found.into_iter().find(|found| found.index == turn).ok_or_else(no_turn)?;
        let kind = match found.kind {
            TurnKind::Step => ExplainedKind::Step,
            TurnKind::Tool => ExplainedKind::Tool,
        };
        let judgements = said(core, run_id, |row| of_step(row, turn)).await?;
        let (run_id, name) = (run_id.to_owned(), found.name);
        return Ok(Explanation { run_id, turn, kind, name, status: found.status, judgements });
    }
    let run = clients::visible(core, caller, run_id).await?;
    let run = run.ok_or_else(|| EngineError::not_found("run", run_id))?;
    let found = core.store.client_turns(&run.id, turn, 1).await?;
    let found = found.into_iter().find(|found| found.index == turn).ok_or_else(no_turn)?;
    let kind = if found.proposal_id.is_some() { ExplainedKind::Action } else { ExplainedKind::Narrated };
    let judgements = said(core, &clients::subject(&run.id), |row| of_action(row, turn)).await?;
    let (run_id, name) = (run_id.to_owned(), found.tool.unwrap_or_default());
    Ok(Explanation { run_id, turn, kind, name, status: found.status, judgements })
}

/// Reads a subject's journal to its end.
async fn said(
    core: &Core,
    subject: &str,
    of_row: impl Fn(JournalRow) -> Vec<Judgement>,
) -> Result<Vec<Judgement>, EngineError> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let page = core.store.journal_of(subject, after, PAGE).await?;
        let Some(last) = page.last() else {
            // A call that was stopped in flight has told of its judgement at both ends.
            found.dedup();
            return Ok(found);
        };
        after = last.seq;
        found.extend(page.into_iter().flat_map(&of_row));
    }
}

fn of_step(row: JournalRow, wanted: u64) -> Vec<Judgement> {
    match row.event {
        Event::ToolJudged { turn, judgement, .. } if turn == wanted => vec![judgement],
        _ => Vec::new(),
    }
}

fn of_action(row: JournalRow, wanted: u64) -> Vec<Judgement> {
    let Event::ClientRunAdvanced { started, settled } = row.event else { return Vec::new() };
    let notes = started.into_iter().chain(settled).filter(|note| note.turn == Some(wanted));
    notes.filter_map(|note| note.judgement).map(|judgement| *judgement).collect()
}
