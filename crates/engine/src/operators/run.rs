//! The operators of a run: who holds its seats, and what its layers are.

use super::directory;
use crate::blueprints::Linked;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::blueprint::{Agent, AgentSpec, Blueprint, StepLayer};
use adjutant_model::event::Event;
use adjutant_model::operator::{BACKEND_SEAT, BRIDGE_SEAT, HOOK_SEAT, OperatorKind, Seats};
use adjutant_model::{OperatorId, RunId, Value};
use adjutant_rules::operator::{self, Acquired, KindCascade, LaunchSeats, StepFacts, StepPlan};
use adjutant_store::Write;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{oneshot, watch};

/// The operators of a run.
#[derive(Debug)]
pub(crate) struct RunOperators {
    kind: Option<OperatorKind>,
    per_agent: BTreeMap<String, OperatorKind>,
    /// What workers are told of the task.
    pub(super) task_metadata: Option<Value>,
    /// Who holds the seats, as it is durable.
    pub(super) seats: watch::Sender<Seats>,
    /// The same with what is about to be.
    planned: Mutex<Seats>,
}

/// The operators of a run that is to begin, and what makes them durable.
#[derive(Debug, Default)]
pub(crate) struct Launched {
    pub(crate) operators: Option<Arc<RunOperators>>,
    pub(crate) write: Write,
    pub(crate) events: Vec<Event>,
}

/// A request to take a seat over.
#[derive(Debug)]
pub(crate) struct AcquireQuestion {
    pub(crate) slot: Option<String>,
    pub(crate) op: OperatorId,
    pub(crate) desc: String,
    pub(crate) reply: oneshot::Sender<Result<Acquired, EngineError>>,
}

/// What a request says of operators; its form was checked at the door.
struct Asked<'r> {
    request: &'r Value,
}

impl<'r> Asked<'r> {
    fn text(&self, key: &str) -> Option<&'r str> {
        self.request.get(key).and_then(Value::as_str)
    }

    fn operator(&self, key: &str) -> Option<&'r str> {
        self.request.get("operator")?.get(key).and_then(Value::as_str)
    }

    fn kind(&self) -> Option<OperatorKind> {
        self.operator("kind").and_then(OperatorKind::parse)
    }

    fn per_agent(&self) -> BTreeMap<String, OperatorKind> {
        let kinds = self.request.get("operator").and_then(|operator| operator.get("per_agent_kinds"));
        let kinds = kinds.and_then(Value::as_object).into_iter().flat_map(|kinds| kinds.iter());
        kinds
            .filter_map(|(agent, kind)| Some((agent.to_string(), OperatorKind::parse(kind.as_str()?)?)))
            .collect()
    }
}

/// Gives every blueprint of a run: seats and layers of those that are called count too. Seats of one name are one.
fn blueprints(linked: &Linked) -> impl Iterator<Item = &Blueprint> {
    linked.units().iter().map(|unit| &*unit.blueprint)
}

/// Tells whether a run has anything to do with operators.
fn has_operators(linked: &Linked) -> bool {
    blueprints(linked).any(|blueprint| !blueprint.layers.is_empty() || !blueprint.operators.is_empty())
}

/// Gives the operators of a run that is to begin, as its request names them.
///
/// # Errors
/// [`EngineError::Invalid`] for names that nobody has, [`EngineError::NoOperator`] when nobody could do the run's steps.
pub(crate) fn launch(
    core: &Core,
    linked: &Linked,
    run_id: &RunId,
    request: &Value,
) -> Result<Launched, EngineError> {
    let asked = Asked { request };
    let find = |field: &'static str, name: Option<&str>| {
        name.map(|name| directory::find(core, field, name)).transpose()
    };
    let sid = find("operator_sid", asked.text("operator_sid"))?;
    let hook = find("operator.spawn_hook_id", asked.operator("spawn_hook_id"))?;
    let bridge = find("operator.senior_bridge_id", asked.operator("senior_bridge_id"))?;
    let backend = find("operator.operator_backend_id", asked.operator("operator_backend_id"))?;
    let is_known = |name: &str| linked.agents().any(|agent| agent.name == name);
    if let Some(unknown) = asked.per_agent().keys().find(|agent| !is_known(agent)) {
        let message = format!("`operator.per_agent_kinds`: no agent is called `{unknown}`");
        return Err(EngineError::invalid(message));
    }
    let declared: BTreeSet<&str> =
        blueprints(linked).flat_map(|blueprint| blueprint.operators.keys().map(String::as_str)).collect();
    let declared: Vec<&str> = declared.into_iter().collect();
    let seats = operator::launch(LaunchSeats {
        declared: &declared,
        delegates: blueprints(linked)
            .any(|blueprint| blueprint.layers.contains(&StepLayer::OperatorDelegate)),
        operator: sid.as_ref(),
        slot: asked.text("operator_slot"),
        desc: asked.text("operator_desc").or(asked.operator("id")).unwrap_or_default(),
        hook: hook.as_ref(),
        bridge: bridge.as_ref(),
        backend: backend.as_ref(),
    })
    .map_err(|error| EngineError::invalid(error.to_string()))?;
    let needs_one = linked.agents().any(|agent| matches!(agent.spec, AgentSpec::Operator(_)));
    if needs_one && sid.is_none() && directory::list(core).is_empty() {
        return Err(EngineError::NoOperator(
            "the blueprint's steps are an operator's, and none has joined".to_owned(),
        ));
    }
    if !has_operators(linked) {
        return Ok(Launched::default());
    }
    let mut launched = Launched::default();
    let mut holders: BTreeMap<&OperatorId, (Vec<String>, &str)> = BTreeMap::new();
    for (slot, seat) in &seats.by_slot {
        launched.write.seat_put(run_id, slot, seat);
        if let Some(op) = &seat.op {
            holders.entry(op).or_insert_with(|| (Vec::new(), &seat.desc)).0.push(slot.clone());
        }
    }
    let taken = |(op, (slots, desc)): (&OperatorId, (Vec<String>, &str))| Event::SeatsTaken {
        slots,
        op: op.clone(),
        desc: desc.to_owned(),
        generation: 1,
        previous: None,
    };
    launched.events = holders.into_iter().map(taken).collect();
    launched.operators = Some(Arc::new(RunOperators::new(&asked, seats)));
    Ok(launched)
}

/// Gives the operators of a run that is found in the store.
pub(crate) async fn resume(
    core: &Core,
    linked: &Linked,
    run_id: &RunId,
    request: &Value,
) -> Result<Option<Arc<RunOperators>>, EngineError> {
    if !has_operators(linked) {
        return Ok(None);
    }
    let seats = core.store.seats_of(run_id).await?;
    Ok(Some(Arc::new(RunOperators::new(&Asked { request }, seats))))
}

impl RunOperators {
    fn new(asked: &Asked<'_>, seats: Seats) -> Self {
        RunOperators {
            kind: asked.kind(),
            per_agent: asked.per_agent(),
            task_metadata: asked.request.get("task_metadata").filter(|it| **it != Value::Null).cloned(),
            seats: watch::Sender::new(seats.clone()),
            planned: Mutex::new(seats),
        }
    }

    /// Gives what is done for a step of an agent.
    pub(crate) fn plan(&self, blueprint: &Blueprint, agent: &Agent) -> StepPlan {
        let seat = match &agent.spec {
            AgentSpec::Operator(spec) => Some(spec.operator_ref.as_str()),
            AgentSpec::Function { .. }
            | AgentSpec::Lua(_)
            | AgentSpec::Command(_)
            | AgentSpec::Check(_)
            | AgentSpec::Session(_) => None,
        };
        let seats = self.seats.borrow();
        let has = |slot: &str| seats.by_slot.contains_key(slot);
        operator::plan(StepFacts {
            layers: &blueprint.layers,
            kind: operator::kind(KindCascade {
                of_agent: self.per_agent.get(&agent.name).copied(),
                of_request: self.kind,
                of_seat: seat.and_then(|seat| blueprint.operators.get(seat)?.kind),
                of_blueprint: blueprint.default_operator_kind,
            }),
            hook: has(HOOK_SEAT),
            bridge: has(BRIDGE_SEAT),
            backend: has(BACKEND_SEAT),
            seat,
        })
    }

    /// Lets somebody take a seat over; what follows is durable with `write`, and then [`RunOperators::publish`] tells.
    pub(crate) fn acquire(
        &self,
        run_id: &RunId,
        question: &AcquireQuestion,
        write: &mut Write,
    ) -> Result<Acquired, EngineError> {
        let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = (&question.op, question.desc.as_str());
        let acquired = operator::acquire(&mut planned, question.slot.as_deref(), taken)
            .map_err(|error| EngineError::invalid(error.to_string()))?;
        for slot in &acquired.moved {
            write.seat_put(run_id, slot, &planned.by_slot[slot]);
        }
        Ok(acquired)
    }

    /// Tells everybody who waits who holds the seats now.
    pub(crate) fn publish(&self) {
        let planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        drop(self.seats.send_replace(planned));
    }
}
