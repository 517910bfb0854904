//! Spawning: who may have an agent begun without a person, judged here and nowhere else.
//!
//! A model begins no agent by itself unless `sessions.agents_may_spawn` lets it, whosever token it shows. A session and a
//! goal's pursuit are refused then. A delegation waits for a person, and so does each step of a run that a model has
//! started when the step begins an agent. A command that begins one by words of its own is a command like any other;
//! policy is about those.

use crate::approvals::{Asker, Face};
use crate::error::EngineError;
use crate::plane::Core;
use crate::templates;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::{Agent, AgentSpec};
use adjutant_model::event::{Event, JournalRow};
use std::sync::Arc;

/// Why a person has to approve a step that begins an agent.
const WHY: &str =
    "a model has started the run, and `sessions.agents_may_spawn` does not let it begin agents by itself";

/// Refuses that a model begins an agent by itself, unless `sessions.agents_may_spawn` lets it.
pub(crate) fn may_spawn(core: &Core, face: Face) -> Result<(), EngineError> {
    match face {
        Face::Model if !core.live().sessions_agents_may_spawn => Err(EngineError::SpawnOff),
        Face::Model | Face::Person => Ok(()),
    }
}

/// On whose behalf a run asks people something: a model's that has started it, or the plane's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RunStarter {
    /// The token that the model has shown.
    model: Option<Arc<str>>,
}

impl RunStarter {
    pub(crate) fn of(caller: &Caller, face: Face) -> Self {
        let model = (face == Face::Model).then(|| Arc::from(caller.token_id.as_str()));
        RunStarter { model }
    }

    /// Takes up what the journal says.
    pub(crate) fn of_journal(rows: &[JournalRow]) -> Self {
        let model = rows.iter().find_map(|row| match &row.event {
            Event::RunCreated { by_model, .. } => by_model.as_deref().map(Arc::from),
            _ => None,
        });
        RunStarter { model }
    }

    /// Gives what the journal says of it.
    pub(crate) fn by_model(&self) -> Option<String> {
        self.model.as_deref().map(str::to_owned)
    }

    /// Gives who asks for the run: what a model has started, it never answers.
    pub(crate) fn asker(&self, agent_id: Option<Arc<str>>) -> Asker {
        match &self.model {
            Some(token) => Asker { token_id: token.to_string(), ..Asker::plane(agent_id) },
            None => Asker::plane(agent_id),
        }
    }

    /// Says why a person has to approve a step of an agent, whatever the rules say; `stand_in` is the program that plays
    /// agents of templates in the run.
    pub(crate) fn why_asked(
        &self,
        core: &Core,
        agent: &Agent,
        stand_in: Option<&str>,
    ) -> Option<&'static str> {
        let face = if self.model.is_some() { Face::Model } else { Face::Person };
        (begins_agent(agent, stand_in) && may_spawn(core, face).is_err()).then_some(WHY)
    }
}

/// Tells whether a step of an agent begins an agent program.
fn begins_agent(agent: &Agent, stand_in: Option<&str>) -> bool {
    match &agent.spec {
        AgentSpec::Session(_) => true,
        AgentSpec::Command(spec) => {
            let template = spec.template.as_deref().map(|template| stand_in.unwrap_or(template));
            template.is_some_and(|template| templates::NAMES.contains(&template))
        }
        AgentSpec::Function { .. } | AgentSpec::Lua(_) | AgentSpec::Check(_) | AgentSpec::Operator(_) => {
            false
        }
    }
}
