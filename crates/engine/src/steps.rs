//! The steps of a run and what came out of them, for whoever looks from outside.

use crate::blueprints::{self, Callees, Linked};
use crate::error::EngineError;
use crate::plane::Core;
use crate::tasks;
use adjutant_model::event::CallPin;
use adjutant_model::run::{RunRecord, TurnKind, TurnRecord};
use adjutant_model::{RunId, Value};
use adjutant_rules::flow::{evaluate, parse_path};
use adjutant_store::{Superseded, TurnFilter};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// What a run's calls mean stands in one of its first rows.
const FIRST_ROWS: usize = 8;
/// So many outputs are held at once.
const PAGE: usize = 64;
/// A preview has so many characters.
const PREVIEW_CHARS: usize = 200;

/// A step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInfo {
    /// The attempt of it.
    pub turn: TurnRecord,
    /// The kind of its agent, when the blueprint can still be read.
    pub worker_kind: Option<&'static str>,
}

/// What came out of a step, without the content itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputInfo {
    /// The step's agent when all its steps stand at one path, else the path.
    pub name: String,
    /// The step's path.
    pub path: String,
    /// The turn that gave it.
    pub turn: u64,
    /// How long the content is.
    pub size_bytes: u64,
    /// What it is.
    pub content_type: &'static str,
    /// SHA-256 of the content, as 64 hex digits.
    pub sha256: String,
    /// Its first characters.
    pub preview: String,
    /// Whether the preview leaves something out.
    pub truncated: bool,
}

/// What came out of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub content_type: &'static str,
    /// A text as it is, anything else as JSON.
    pub text: String,
}

/// What a run is bound to.
#[derive(Debug, Clone, PartialEq)]
pub struct Bindings {
    /// The run.
    pub run: RunRecord,
    /// What its calls mean.
    pub calls: Vec<CallPin>,
    /// Its agents.
    pub agents: Vec<BoundAgent>,
}

/// An agent of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundAgent {
    /// The blueprint's own id.
    pub blueprint: String,
    /// The version of it.
    pub version: String,
    /// The agent's name.
    pub agent: String,
    /// Its kind.
    pub kind: &'static str,
    /// The program that plays it, when it is started by a template.
    pub program: Option<String>,
}

impl Content {
    fn of(value: &Value) -> Content {
        match value {
            Value::String(text) => {
                Content { content_type: "text/plain; charset=utf-8", text: text.to_string() }
            }
            value => Content { content_type: "application/json", text: value.to_string() },
        }
    }
}

/// Gives the steps of a run in order, from the one behind a turn.
pub(crate) async fn list(
    core: &Core,
    run_id: &RunId,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<StepInfo>, EngineError> {
    let run = run_of(core, run_id).await?;
    let linked = linked(core, &run).await;
    let filter = TurnFilter { after, limit, kind: Some(TurnKind::Step), ..TurnFilter::default() };
    let turns = core.store.turns_where(run_id, filter).await?.into_iter();
    let kind = |turn: &TurnRecord| Some(linked.as_ref().ok()?.agent_at(&turn.path)?.1.spec.kind());
    Ok(turns.map(|turn| StepInfo { worker_kind: kind(&turn), turn }).collect())
}

/// Gives what came out of the steps of a run that count, in order, from the one behind a turn.
pub(crate) async fn outputs(
    core: &Core,
    run_id: &RunId,
    mut after: Option<u64>,
    limit: usize,
) -> Result<Vec<OutputInfo>, EngineError> {
    let alone = core.store.agents_of_one_step(run_id).await?;
    let mut outputs = Vec::new();
    while outputs.len() < limit {
        let filter = TurnFilter {
            after,
            limit: PAGE.min(limit - outputs.len()),
            kind: Some(TurnKind::Step),
            superseded: Superseded::Hidden,
            ..TurnFilter::default()
        };
        let page = core.store.turns_where(run_id, filter).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.index);
        outputs.extend(page.iter().filter_map(|turn| output_info(turn, alone.contains(&turn.name))));
    }
    Ok(outputs)
}

/// Gives what came out of a step, named by its agent or its path.
pub(crate) async fn output(core: &Core, run_id: &RunId, step: &str) -> Result<OutputInfo, EngineError> {
    let turn = turn_of(core, run_id, step).await?;
    let alone = core.store.agents_of_one_step(run_id).await?;
    output_info(&turn, alone.contains(&turn.name)).ok_or_else(|| no_output(run_id, step))
}

/// Gives the content that came out of a step, or what lies in it at a JSON pointer or a context path.
pub(crate) async fn content(
    core: &Core,
    run_id: &RunId,
    step: &str,
    path: Option<&str>,
) -> Result<Content, EngineError> {
    let turn = turn_of(core, run_id, step).await?;
    let output = turn.output.ok_or_else(|| no_output(run_id, step))?;
    let Some(path) = path else { return Ok(Content::of(&output)) };
    let within = within(&output, path)?;
    within.map(|value| Content::of(&value)).ok_or_else(|| EngineError::not_found("place in the output", path))
}

/// Gives what a run is bound to.
pub(crate) async fn bindings(core: &Core, run_id: &RunId) -> Result<Bindings, EngineError> {
    let run = run_of(core, run_id).await?;
    let linked = linked(core, &run).await?;
    let agents = linked.units().iter().flat_map(|unit| {
        let program = |agent| crate::policies::names_of(agent, run.agent_override.as_deref()).get(1).copied();
        unit.blueprint.agents.values().map(move |agent| BoundAgent {
            blueprint: unit.blueprint.id.clone(),
            version: unit.version.clone(),
            agent: agent.name.clone(),
            kind: agent.spec.kind(),
            program: program(agent).map(str::to_owned),
        })
    });
    let agents = agents.collect();
    Ok(Bindings { calls: linked.pins().to_vec(), agents, run })
}

fn within<'v>(output: &'v Value, path: &str) -> Result<Option<Cow<'v, Value>>, EngineError> {
    if path.is_empty() || path.starts_with('/') {
        return Ok(output.pointer(path).map(Cow::Borrowed));
    }
    let path = parse_path(path).map_err(|error| {
        EngineError::invalid(format!("{error}; a JSON pointer such as `/a/0` goes as well"))
    })?;
    Ok(evaluate(&adjutant_model::flow::Expr::Path(path), output).ok().map(Cow::Owned))
}

async fn run_of(core: &Core, run_id: &RunId) -> Result<RunRecord, EngineError> {
    core.store.run_get(run_id).await?.ok_or_else(|| EngineError::not_found("run", run_id))
}

async fn linked(core: &Core, run: &RunRecord) -> Result<Linked, EngineError> {
    let own = tasks::blueprint_of(core, &run.blueprint_hash).await?;
    let rows = core.store.journal_of(run.id.as_str(), 0, FIRST_ROWS).await?;
    blueprints::link(core, own, Callees::Pinned(&rows)).await
}

async fn turn_of(core: &Core, run_id: &RunId, step: &str) -> Result<TurnRecord, EngineError> {
    core.store.turn_of_step(run_id, step).await?.ok_or_else(|| no_output(run_id, step))
}

fn no_output(run_id: &RunId, step: &str) -> EngineError {
    let step: String = step.chars().take(200).collect();
    EngineError::not_found("output of a step", format!("{step} of {run_id}"))
}

fn output_info(turn: &TurnRecord, alone: bool) -> Option<OutputInfo> {
    let Content { content_type, text } = Content::of(turn.output.as_ref()?);
    let path = turn.path.to_string();
    let cut = text.char_indices().nth(PREVIEW_CHARS).map(|(end, _)| end);
    Some(OutputInfo {
        name: if alone { turn.name.clone() } else { path.clone() },
        path,
        turn: turn.index,
        size_bytes: text.len() as u64,
        content_type,
        sha256: hex::encode(Sha256::digest(&text)),
        preview: text[..cut.unwrap_or(text.len())].to_owned(),
        truncated: cut.is_some(),
    })
}
