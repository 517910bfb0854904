//! Goals: one keeper takes every change in order, keeps it, and mirrors it.
//!
//! The store is the truth. After every change `goals.json` in the data folder says the same for people and other
//! programs; when it cannot be written the change stands, and the next one writes it again.

mod checks;

mod mirror;

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use adjutant_model::event::Event;
use adjutant_model::goal::{Evidence, EvidenceSource, Goal, GoalStatus, LinkState};
use adjutant_model::run::RunRecord;
use adjutant_model::session::Session;
use adjutant_model::{GoalId, Timestamp};
pub use adjutant_rules::goal::CriterionSpec;
use adjutant_rules::goal::{self, GoalCommand, GoalRefusal, NewGoal};
use adjutant_store::{Draft, Store, Write};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How many changes may wait for the keeper before their callers wait.
const QUEUE_MAX: usize = 256;

/// What a new goal is made of, as people say it.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalParams {
    /// The intent.
    pub description: String,
    /// What proves it.
    pub acceptance: Vec<CriterionSpec>,
    /// A directory in the project's repository; checks run there when no linked run has a workspace.
    pub project: Option<String>,
}

/// The way to the keeper; clone it to talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Goals {
    requests: mpsc::Sender<Request>,
    store: Store,
}

#[derive(Debug)]
struct Request {
    what: Change,
    reply: oneshot::Sender<Result<Goal, EngineError>>,
}

#[derive(Debug)]
enum Change {
    Create(NewGoal),
    Step { goal_id: GoalId, command: GoalCommand },
}

impl Goals {
    /// Starts the keeper, which lives until every handle is gone.
    pub(crate) fn start(store: Store, folder: PathBuf) -> (Goals, impl Future<Output = ()> + Send + 'static) {
        let (requests, received) = mpsc::channel(QUEUE_MAX);
        let keeper = Keeper { store: store.clone(), folder };
        (Goals { requests, store }, keeper.live(received))
    }

    pub(crate) async fn create(&self, params: GoalParams) -> Result<Goal, EngineError> {
        let GoalParams { description, acceptance, project } = params;
        let id = GoalId::new(clock::fresh_id());
        let description = record::text(&description);
        let acceptance = acceptance
            .into_iter()
            .map(|spec| CriterionSpec { text: record::text(&spec.text), ..spec })
            .collect();
        self.ask(Change::Create(NewGoal { id, description, acceptance, project })).await
    }

    pub(crate) async fn get(&self, goal_id: &GoalId) -> Result<Goal, EngineError> {
        self.store.goal_get(goal_id).await?.ok_or_else(|| EngineError::not_found("goal", goal_id))
    }

    pub(crate) async fn list(&self, status: Option<GoalStatus>) -> Result<Vec<Goal>, EngineError> {
        Ok(self.store.goal_list(status).await?)
    }

    pub(crate) async fn link(
        &self,
        goal_id: &GoalId,
        session_id: String,
        task: String,
    ) -> Result<Goal, EngineError> {
        self.step(goal_id, GoalCommand::Link { session_id, task }).await
    }

    pub(crate) async fn step(&self, goal_id: &GoalId, command: GoalCommand) -> Result<Goal, EngineError> {
        let command = without_secrets(command);
        self.ask(Change::Step { goal_id: goal_id.clone(), command }).await
    }

    async fn ask(&self, what: Change) -> Result<Goal, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { what, reply }).await.map_err(|_| EngineError::Stopping)?;
        answer.await.map_err(|_| EngineError::Stopping)?
    }
}

/// Takes secrets out of what people and checks say.
fn without_secrets(command: GoalCommand) -> GoalCommand {
    let told = |evidence: Evidence| Evidence { detail: record::text(&evidence.detail), ..evidence };
    match command {
        GoalCommand::Link { session_id, task } => GoalCommand::Link { session_id, task: record::text(&task) },
        GoalCommand::SetLink { session_id, state, evidence } => {
            GoalCommand::SetLink { session_id, state, evidence: evidence.map(told) }
        }
        GoalCommand::AddEvidence { criterion, evidence } => {
            GoalCommand::AddEvidence { criterion, evidence: told(evidence) }
        }
        GoalCommand::Note { text } => GoalCommand::Note { text: record::text(&text) },
        GoalCommand::SetStatus { to, reason, trees } => {
            GoalCommand::SetStatus { to, reason: reason.as_deref().map(record::text), trees }
        }
    }
}

struct Keeper {
    store: Store,
    folder: PathBuf,
}

impl Keeper {
    async fn live(self, mut received: mpsc::Receiver<Request>) {
        self.mirror().await;
        while let Some(Request { what, reply }) = received.recv().await {
            let answer = self.change(what).await;
            if answer.is_ok() {
                self.mirror().await;
            }
            // Whoever asked may have gone; the change counts all the same.
            drop(reply.send(answer));
        }
    }

    async fn change(&self, what: Change) -> Result<Goal, EngineError> {
        let now = clock::now();
        let (goal, events) = match what {
            Change::Create(new) => goal::create(new, now).map_err(EngineError::Goal)?,
            Change::Step { goal_id, command } => {
                let goal = self.store.goal_get(&goal_id).await?;
                let goal = goal.ok_or_else(|| EngineError::not_found("goal", &goal_id))?;
                goal::step(&goal, command, now).map_err(|refusal| refused(&goal_id, refusal))?
            }
        };
        if !events.is_empty() {
            self.store.write(kept(&goal, events, now)).await?;
        }
        Ok(goal)
    }

    async fn mirror(&self) {
        let goals = match self.store.goal_list(None).await {
            Ok(goals) => goals,
            Err(error) => return tracing::error!(%error, "the goals cannot be read for their mirror"),
        };
        if let Err(error) = mirror::write(self.folder.clone(), goals).await {
            tracing::error!(%error, "goals.json cannot be written and is stale; the next change of a goal writes it again");
        }
    }
}

fn kept(goal: &Goal, events: Vec<Event>, at: Timestamp) -> Write {
    let mut write = Write::default();
    write.goal_put(goal);
    for event in events {
        let subject = (&goal.id).into();
        write.journal(Draft { at, actor: "host".into(), subject, event });
    }
    write
}

fn refused(goal_id: &GoalId, refusal: GoalRefusal) -> EngineError {
    match refusal {
        GoalRefusal::Gate(refusal) => EngineError::GoalGate { goal_id: goal_id.clone(), refusal },
        other => EngineError::Goal(other),
    }
}

/// What a link says of a run that nobody has described.
const UNDESCRIBED: &str = "a run";

/// Refuses a run that its goal would refuse to be linked to.
pub(crate) async fn link_check(core: &Core, goal_id: &GoalId, task: Option<&str>) -> Result<(), EngineError> {
    let goal = core.goals.get(goal_id).await?;
    let task = task.unwrap_or(UNDESCRIBED).to_owned();
    let link = GoalCommand::Link { session_id: "a run to be".to_owned(), task };
    goal::step(&goal, link, clock::now()).map(drop).map_err(EngineError::Goal)
}

/// Links a run to the goal that it serves; one that is linked already, or serves none, stays as it is.
pub(crate) async fn link_run(core: &Core, run: &RunRecord) -> Result<(), EngineError> {
    let Some(goal_id) = &run.goal_id else { return Ok(()) };
    if is_linked(core, goal_id, run.id.as_str()).await? {
        return Ok(());
    }
    let task = core.store.task_get(&run.task_id).await?;
    let what = task.and_then(|task| task.goal).unwrap_or_else(|| UNDESCRIBED.to_owned());
    core.goals.link(goal_id, run.id.to_string(), what).await.map(drop)
}

/// Links a session to the goal that it serves, likewise.
pub(crate) async fn link_session(core: &Core, session: &Session) -> Result<(), EngineError> {
    let Some(goal_id) = &session.goal_id else { return Ok(()) };
    let id = session.id.to_string();
    if is_linked(core, goal_id, &id).await? {
        return Ok(());
    }
    core.goals.link(goal_id, id, session.task.clone()).await.map(drop)
}

async fn is_linked(core: &Core, goal_id: &GoalId, id: &str) -> Result<bool, EngineError> {
    Ok(core.goals.get(goal_id).await?.sessions.iter().any(|link| link.session_id == id))
}

/// A person's word that a criterion holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignOff {
    /// Which criterion, from 0.
    pub criterion: usize,
    /// Who says so.
    pub person: String,
    /// What they say.
    pub words: String,
}

/// Records a person's word for a criterion.
pub(crate) async fn sign_off(core: &Core, goal_id: &GoalId, sign_off: SignOff) -> Result<Goal, EngineError> {
    let SignOff { criterion, person, words } = sign_off;
    let source = EvidenceSource::SignOff { person };
    let evidence =
        Evidence { source, passed: true, tree: None, workspace: None, detail: words, at: clock::now() };
    core.goals.step(goal_id, GoalCommand::AddEvidence { criterion, evidence }).await
}

/// Runs every check of a goal now, in the workspaces of its linked runs or in its project, and records what they
/// said; a linked run whose workspace passes them all is verified.
pub(crate) async fn check(core: &Arc<Core>, goal_id: &GoalId) -> Result<Goal, EngineError> {
    let goal = core.goals.get(goal_id).await?;
    let places = checks::places(core, &goal).await?;
    for place in &places {
        let found = checks::run_all(core, &goal, &place.path).await?;
        let passed = found.iter().all(|(_, evidence)| evidence.passed);
        let proof = found.last().map(|(_, evidence)| evidence.clone()).filter(|_| passed);
        if place.speaks_for_criteria {
            for (criterion, evidence) in found {
                core.goals.step(goal_id, GoalCommand::AddEvidence { criterion, evidence }).await?;
            }
        }
        if let Some(session_id) = place.link.clone() {
            let state = if passed { LinkState::Verified } else { LinkState::Failed };
            core.goals.step(goal_id, GoalCommand::SetLink { session_id, state, evidence: proof }).await?;
        }
    }
    core.goals.get(goal_id).await
}

/// Calls a goal done, when fresh evidence proves it.
pub(crate) async fn close(core: &Core, goal_id: &GoalId) -> Result<Goal, EngineError> {
    let goal = core.goals.get(goal_id).await?;
    let trees = checks::trees(core, &goal).await?;
    core.goals.step(goal_id, GoalCommand::close(trees)).await
}

/// Takes a goal to another state; `done` goes through the gate.
pub(crate) async fn set_status(
    core: &Core,
    goal_id: &GoalId,
    to: GoalStatus,
    reason: Option<String>,
) -> Result<Goal, EngineError> {
    let trees = match to {
        GoalStatus::Done => checks::trees(core, &core.goals.get(goal_id).await?).await?,
        GoalStatus::Pending | GoalStatus::InProgress | GoalStatus::Blocked | GoalStatus::Abandoned => {
            Default::default()
        }
    };
    core.goals.step(goal_id, GoalCommand::SetStatus { to, reason, trees }).await
}
