//! Linking: a run's blueprint together with all that it can call, each as one version.
//!
//! What a call means is decided once, when the run is accepted, and stands in the run's journal; so a later push of a
//! blueprint changes nothing for the run, also under another daemon.

use super::Ready;
use crate::error::EngineError;
use crate::plane::Core;
use crate::tasks;
use adjutant_model::blueprint::{Agent, Blueprint};
use adjutant_model::event::{CallPin, Event, JournalRow};
use adjutant_model::flow::CallTarget;
use adjutant_model::registry::VersionSelector;
use adjutant_model::run::{ErrorClass, StepPath};
use adjutant_rules::document::{Lint, LintLevel};
use adjutant_rules::flow::calls::{self, CallRefusal, CallUnit};
use adjutant_rules::flow::{Program, Unit, UnitId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run can reach at most so many blueprints.
const UNITS_MAX: usize = 64;

/// A blueprint and all that it calls, as one run uses them.
#[derive(Debug)]
pub(crate) struct Linked {
    /// The run's own, and then those that are called.
    units: Vec<Arc<Ready>>,
    /// Their flows, as one.
    pub(crate) program: Arc<Program>,
    /// What the calls mean.
    pins: Vec<CallPin>,
}

/// How the version that a call means is found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Callees<'a> {
    /// As it is now.
    Now,
    /// As it will be when this one is the head of its id.
    With(&'a Arc<Ready>),
    /// As it was when the run was accepted.
    Pinned(&'a [JournalRow]),
}

impl Linked {
    /// Gives the run's own blueprint.
    pub(crate) fn own(&self) -> &Arc<Ready> {
        &self.units[0]
    }

    /// Gives the blueprint of a unit.
    pub(crate) fn blueprint(&self, unit: UnitId) -> &Arc<Blueprint> {
        &self.units[unit as usize].blueprint
    }

    /// Gives the agent that a step calls.
    pub(crate) fn agent(&self, unit: UnitId, name: &str) -> &Agent {
        &self.blueprint(unit).agents[name]
    }

    /// Gives the agent of the step at a path, and the blueprint that it is of.
    pub(crate) fn agent_at(&self, path: &StepPath) -> Option<(&Ready, &Agent)> {
        let (unit, name) = self.program.agent_at(path)?;
        let ready = self.units.get(unit as usize)?;
        Some((ready, ready.blueprint.agents.get(name)?))
    }

    /// Gives all agents.
    pub(crate) fn agents(&self) -> impl Iterator<Item = &Agent> {
        self.units.iter().flat_map(|unit| unit.blueprint.agents.values())
    }

    /// Gives every blueprint, the run's own first.
    pub(crate) fn units(&self) -> &[Arc<Ready>] {
        &self.units
    }

    /// Gives what the calls mean.
    pub(crate) fn pins(&self) -> &[CallPin] {
        &self.pins
    }
}

/// Links a blueprint with all that it calls.
///
/// # Errors
/// [`EngineError::Blueprint`] with the call that leads nowhere, back to itself or too deep.
pub(crate) async fn link(core: &Core, own: Arc<Ready>, callees: Callees<'_>) -> Result<Linked, EngineError> {
    if own.calls.is_empty() {
        return Ok(Linked { program: own.program.clone(), units: vec![own], pins: Vec::new() });
    }
    let mut linking =
        Linking { reached: vec![Reached { ready: own, from: String::new() }], ..Linking::default() };
    let mut at = 0;
    while let Some(Reached { ready, from }) = linking.reached.get(at).cloned() {
        for (pointer, target) in &ready.calls {
            if linking.callees.contains_key(target) {
                continue;
            }
            let from = if at == 0 { pointer.clone() } else { from.clone() };
            let found = callees.find(core, target).await;
            linking.reach(
                target,
                found.map_err(|error| leads_nowhere(error, &ready, &from, target))?,
                from,
            )?;
        }
        at += 1;
    }
    linking.done()
}

#[derive(Debug, Clone)]
struct Reached {
    ready: Arc<Ready>,
    /// The run's own call that leads here.
    from: String,
}

#[derive(Debug, Default)]
struct Linking {
    reached: Vec<Reached>,
    callees: BTreeMap<CallTarget, UnitId>,
}

impl Linking {
    fn reach(&mut self, target: &CallTarget, ready: Arc<Ready>, from: String) -> Result<(), EngineError> {
        let known = self.reached.iter().position(|reached| reached.ready.version == ready.version);
        let unit = known.unwrap_or(self.reached.len());
        if known.is_none() {
            if unit >= UNITS_MAX {
                let message = format!("a run can reach at most {UNITS_MAX} blueprints");
                return Err(refused("too-many-calls", &from, message));
            }
            self.reached.push(Reached { ready, from });
        }
        self.callees.insert(target.clone(), u32::try_from(unit).expect("there are few units"));
        Ok(())
    }

    fn done(self) -> Result<Linked, EngineError> {
        let Linking { reached, callees } = self;
        let call_units: Vec<CallUnit<'_>> = reached
            .iter()
            .map(|Reached { ready, .. }| CallUnit {
                id: &ready.blueprint.id,
                calls: ready.calls.iter().map(|(_, target)| callees[target] as usize).collect(),
            })
            .collect();
        calls::check(&call_units).map_err(|refusal| endless(&refusal, &reached))?;
        let units: Vec<Arc<Ready>> = reached.into_iter().map(|reached| reached.ready).collect();
        let flows: Vec<Unit<'_>> = units
            .iter()
            .map(|unit| Unit {
                flow: &unit.blueprint.flow,
                default_ctx: unit.blueprint.default_init_ctx.as_ref(),
            })
            .collect();
        let program = Program::link(&flows, &callees);
        let pin = |(target, unit): (&CallTarget, &UnitId)| CallPin {
            blueprint: target.blueprint.clone(),
            version: target.version.to_string(),
            hash: units[*unit as usize].version.clone(),
        };
        let pins = callees.iter().map(pin).collect();
        Ok(Linked { units, program, pins })
    }
}

impl Callees<'_> {
    async fn find(self, core: &Core, target: &CallTarget) -> Result<Arc<Ready>, EngineError> {
        match self {
            Callees::With(head)
                if target.blueprint == head.blueprint.id && target.version == VersionSelector::Latest =>
            {
                Ok(head.clone())
            }
            Callees::Now | Callees::With(_) => {
                let document = tasks::callee_document(core, target).await?;
                core.blueprints.ready(&document).map_err(|lints| EngineError::Blueprint { lints })
            }
            Callees::Pinned(rows) => {
                let version = target.version.to_string();
                let means = |pin: &&CallPin| pin.blueprint == target.blueprint && pin.version == version;
                let pin = rows.iter().find_map(|row| match &row.event {
                    Event::CallsPinned { calls } => calls.iter().find(means),
                    _ => None,
                });
                let pin = pin.ok_or_else(|| EngineError::not_found("blueprint", &target.blueprint))?;
                tasks::blueprint_of(core, &pin.hash).await
            }
        }
    }
}

/// Says which call leads to what is not there or cannot run.
fn leads_nowhere(error: EngineError, of: &Ready, from: &str, target: &CallTarget) -> EngineError {
    if error.class() == ErrorClass::Retry {
        return error;
    }
    let message = format!("`{}` calls `{}`: {error}", of.blueprint.id, target.blueprint);
    refused("unresolved-call", from, message)
}

fn endless(refusal: &CallRefusal, reached: &[Reached]) -> EngineError {
    let (name, way) = match refusal {
        CallRefusal::Cycle(way) => ("call-cycle", way),
        CallRefusal::TooDeep(way) => ("calls-too-deep", way),
    };
    let called = way
        .last()
        .and_then(|id| reached.iter().find(|one| one.ready.blueprint.id == *id && !one.from.is_empty()));
    refused(name, called.map_or("/flow", |called| &called.from), refusal.to_string())
}

fn refused(name: &'static str, call: &str, message: String) -> EngineError {
    let lint = Lint { level: LintLevel::Error, name, pointer: call.to_owned(), message, hint: None };
    EngineError::Blueprint { lints: vec![lint] }
}
