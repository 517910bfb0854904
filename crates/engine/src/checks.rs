//! Checks that no run makes: those of goals and of merges.
//!
//! The gate judges each before it runs, as it judges the step of a flow: to policies it is `step:check`, so one rule
//! holds for both. What the rules ask is asked of a person, who is not the one that wants the check. What the gate said
//! stands in the journal of what the check is for, when a rule was about it.

use crate::approvals::{self, Asker, Question};
use crate::clock;
use crate::error::EngineError;
use crate::gate::CallOrigin;
use crate::hosting;
use crate::plane::Core;
use crate::policies::{self, PolicyOwners};
use crate::record;
use crate::worker::check::{self, CheckPlace, CheckReport};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::blueprint::{CheckCommand, CheckSpec};
use adjutant_model::event::Event;
use adjutant_model::policy::{Judgement, PolicyEffect, ToolCall};
use adjutant_sessions::process;
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
        CheckedBy { actor: "plane".to_owned(), asker: Asker::plane(Some("plane".into())) }
    }

    pub(crate) fn caller(caller: &Caller) -> Self {
        let token_id = caller.token_id.to_string();
        let as_agent = caller.agent_id.clone().or_else(|| caller.name.clone());
        let asker = Asker { token_id, ..Asker::plane(as_agent) };
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
        marker: format!("{}{}", marker(core), job.subject),
        cancel: core.stopping.child_token(),
    };
    check::execute(&spec, &core.git, place).await.map_err(|why| EngineError::Conflict {
        message: format!("the check `{}` could not be run: {why}", record::text(job.command)),
        hint: None,
    })
}

/// Ends what the checks of a daemon that was killed have left running.
pub(crate) async fn sweep(core: &Core) {
    let swept = process::sweep_prefix(&marker(core)).await;
    if swept.alive > 0 {
        tracing::warn!(alive = swept.alive, "checks of an earlier daemon cannot be ended");
    }
}

/// Marks the processes of checks of this data folder.
fn marker(core: &Core) -> String {
    format!("{}/check/", hosting::folder_name(&core.settings.folder))
}

/// Tells whether the gate lets a check run, or has a person asked when its time has come.
///
/// # Errors
/// As [`run`].
pub(crate) async fn may_run(core: &Core, job: CheckJob<'_>) -> Result<(), EngineError> {
    let (_, judgement) = judged(core, job).await?;
    match judgement.effect {
        PolicyEffect::Allow | PolicyEffect::Ask => Ok(()),
        PolicyEffect::Deny => Err(refused(job, &judgement.reason)),
    }
}

async fn judged(core: &Core, job: CheckJob<'_>) -> Result<(ToolCall, Judgement), EngineError> {
    let directory = job.project.map_or(job.dir, Path::new);
    let owners = PolicyOwners { directories: vec![directory.to_owned()], agents: BTreeSet::new() };
    let policies = policies::read(core, owners).await?;
    let dir = job.dir.to_string_lossy();
    let from = CallOrigin { project: job.project, workspace: Some(dir.as_ref()), ..CallOrigin::default() };
    let parameters =
        Value::object([("command", Value::from(job.command)), ("for", Value::from(job.subject))]);
    let call = ToolCall { tool: TOOL.to_owned(), parameters };
    let judgement = core.gate.judge_check(&policies, &call, from);
    Ok((call, judgement))
}

async fn admit(core: &Arc<Core>, by: &CheckedBy, job: CheckJob<'_>) -> Result<(), EngineError> {
    let (call, judgement) = judged(core, job).await?;
    if judgement.is_telling() {
        note(core, job.subject, &judgement).await?;
    }
    match judgement.effect {
        PolicyEffect::Allow => Ok(()),
        PolicyEffect::Deny => Err(refused(job, &judgement.reason)),
        PolicyEffect::Ask => {
            let question = Question { call, reason: judgement.reason, run_id: None };
            tokio::select! {
                asked = approvals::ask(core, by.asker.clone(), question) => asked.map_err(|why| refused(job, &why)),
                // Nobody could answer any more; the next daemon withdraws the question.
                () = core.stopping.cancelled() => Err(EngineError::Stopping),
            }
        }
    }
}

fn refused(job: CheckJob<'_>, why: &str) -> EngineError {
    let command = record::text(job.command);
    EngineError::Forbidden(format!("the check `{command}` is refused by the gate: {why}"))
}

async fn note(core: &Core, subject: &str, judgement: &Judgement) -> Result<(), EngineError> {
    let event = Event::CheckJudged { judgement: record::judgement(judgement) };
    let mut write = Write::default();
    write.journal(Draft { at: clock::now(), actor: "plane".into(), subject: subject.into(), event });
    core.store.write(write).await?;
    Ok(())
}
