//! Checks that no run makes: those of goals and of merges.
//!
//! The gate judges each before it runs, as it judges the step of a flow: to policies it is `step:check`, so one rule
//! holds for both. What the rules ask is asked of a person, who is not the one that wants the check. What the gate said
//! stands in the journal of what the check is for, when a rule was about it.

use crate::approvals::{self, Asker, Question};
use crate::clock;
use crate::error::EngineError;
use crate::gate::CallOrigin;
use crate::plane::Core;
use crate::policies::{self, PolicyOwners};
use crate::record;
use crate::worker::check::{self, CheckPlace, CheckReport};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::{CheckCommand, CheckSpec};
use adjutant_model::event::Event;
use adjutant_model::policy::{Judgement, PolicyEffect, ToolCall};
use adjutant_store::{Draft, Write};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// What a check is to policies.
const TOOL: &str = "step:check";

/// A check that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CheckJob<'a> {
    /// The command line.
    pub(crate) command: &'a str,
    /// Where it runs.
    pub(crate) dir: &'a Path,
    /// The repository whose policy holds; that of the directory when nothing is said.
    pub(crate) project: Option<&'a str>,
    /// What the check is for, as the journal names it.
    pub(crate) subject: &'a str,
    /// Marks its processes.
    pub(crate) marker: &'a str,
}

/// In whose name checks run.
#[derive(Debug, Clone)]
pub(crate) struct CheckedBy {
    /// As the journal names them.
    pub(crate) actor: String,
    asker: Asker,
}

impl CheckedBy {
    /// The plane's, which does what a goal wants.
    pub(crate) fn plane() -> Self {
        CheckedBy { actor: "plane".to_owned(), asker: Asker::plane(None) }
    }

    pub(crate) fn caller(caller: &Caller) -> Self {
        let token_id = caller.token_id.to_string();
        let asker = Asker { token_id, ..Asker::plane(caller.agent_id.clone()) };
        CheckedBy { actor: caller.actor(), asker }
    }
}

/// Runs a check when the gate lets it.
///
/// # Errors
/// [`EngineError::Forbidden`] when it does not, [`EngineError::Invalid`] for a policy that cannot be used,
/// [`EngineError::Conflict`] when the check could not be run.
pub(crate) async fn run(
    core: &Arc<Core>,
    by: &CheckedBy,
    job: CheckJob<'_>,
) -> Result<CheckReport, EngineError> {
    admit(core, by, job).await?;
    let spec = CheckSpec {
        command: CheckCommand::Line(job.command.to_owned()),
        expect_exit: 0,
        output_contains: None,
        timeout_secs: None,
    };
    let place = CheckPlace {
        dir: job.dir,
        env: &core.settings.env,
        settings: &core.settings.worker,
        marker: job.marker.to_owned(),
        cancel: core.stopping.child_token(),
    };
    check::execute(&spec, &core.git, place).await.map_err(|why| EngineError::Conflict {
        message: format!("the check `{}` could not be run: {why}", record::text(job.command)),
        hint: None,
    })
}

async fn admit(core: &Arc<Core>, by: &CheckedBy, job: CheckJob<'_>) -> Result<(), EngineError> {
    let directory = job.project.map_or(job.dir, Path::new);
    let owners = PolicyOwners { directories: vec![directory.to_owned()], agents: BTreeSet::new() };
    let policies = policies::read(core, owners).await?;
    let dir = job.dir.to_string_lossy();
    let from = CallOrigin { project: job.project, workspace: Some(dir.as_ref()), ..CallOrigin::default() };
    let parameters =
        Value::object([("command", Value::from(job.command)), ("for", Value::from(job.subject))]);
    let call = ToolCall { tool: TOOL.to_owned(), parameters };
    let judgement = core.gate.judge_check(&policies, &call, from);
    if judgement.is_telling() {
        note(core, job.subject, &judgement).await?;
    }
    let refused = match judgement.effect {
        PolicyEffect::Allow => return Ok(()),
        PolicyEffect::Deny => judgement.reason,
        PolicyEffect::Ask => {
            let question = Question { call, reason: judgement.reason, run_id: None };
            match approvals::ask(core, by.asker.clone(), question).await {
                Ok(()) => return Ok(()),
                Err(why) => why,
            }
        }
    };
    let command = record::text(job.command);
    Err(EngineError::Forbidden(format!("the check `{command}` is refused by the gate: {refused}")))
}

async fn note(core: &Core, subject: &str, judgement: &Judgement) -> Result<(), EngineError> {
    let event = Event::CheckJudged { judgement: record::judgement(judgement) };
    let mut write = Write::default();
    write.journal(Draft { at: clock::now(), actor: "plane".into(), subject: subject.into(), event });
    core.store.write(write).await?;
    Ok(())
}
