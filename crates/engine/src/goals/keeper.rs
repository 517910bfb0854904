//! The keeper: the one task that changes goals, and the way to it.
//!
//! It takes what waits, changes one goal after the other, each in one write, then mirrors all of it at once, and only
//! then answers. So whoever was answered finds the change in the store and in the mirror, and many who ask at once share
//! one mirror. What others need of a goal it holds in memory (`shelf.rs`), as the store has it.

use super::follow;
use super::mirror;
use super::shelf::Shelf;
use super::{GoalPage, PAGE_MAX, PLANE};
use crate::clock;
use crate::error::EngineError;
use crate::record;
use adjutant_model::event::Event;
use adjutant_model::goal::{Evidence, EvidenceSource, Goal};
use adjutant_model::{GoalId, Timestamp};
use adjutant_rules::goal::pursuit::PursuitEvent;
use adjutant_rules::goal::{self, GoalChange, GoalCommand, GoalRefusal, NewGoal};
use adjutant_store::{Draft, GoalFilter, ReadError, Store, Write};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// How many changes may wait for the keeper before their callers wait.
const QUEUE_MAX: usize = 256;
/// So many changes share a mirror at most.
const BATCH_MAX: usize = 64;
/// How soon a mirror that could not be written is tried again.
const MIRROR_RETRY: Duration = Duration::from_secs(5);

/// The way to the keeper; clone it to talk to it.
#[derive(Debug, Clone)]
pub(crate) struct Goals {
    requests: mpsc::Sender<Request>,
    store: Store,
    folder: PathBuf,
    shared: Arc<Shared>,
}

/// What the keeper and those who ask it look at.
#[derive(Debug, Default)]
struct Shared {
    shelf: Mutex<Shelf>,
    /// Why the mirror is behind, while it is.
    behind: Mutex<Option<String>>,
    /// Told when something about a goal that is pursued has changed.
    pursuits: Mutex<HashMap<GoalId, Arc<Notify>>>,
    /// One at a time checks a goal.
    checking: Mutex<HashMap<GoalId, Arc<Semaphore>>>,
}

impl Shared {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pursuits(&self) -> MutexGuard<'_, HashMap<GoalId, Arc<Notify>>> {
        self.pursuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behind(&self) -> MutexGuard<'_, Option<String>> {
        self.behind.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
enum Request {
    Change {
        what: Change,
        actor: String,
        reply: oneshot::Sender<Result<Goal, EngineError>>,
    },
    /// A run or session has changed.
    Follow {
        session_id: String,
    },
}

#[derive(Debug)]
enum Change {
    Create(Box<NewGoal>),
    Steps { goal_id: GoalId, commands: Vec<GoalCommand> },
}

impl Change {
    /// Gives what is to be linked.
    fn links(&self) -> Vec<String> {
        let Change::Steps { commands, .. } = self else { return Vec::new() };
        let linked = commands.iter().filter_map(|command| match command {
            GoalCommand::Link { session_id, .. } => Some(session_id.clone()),
            _ => None,
        });
        linked.collect()
    }
}

impl Goals {
    /// Reads all goals and mirrors them; then gives the way to the keeper and the keeper, which lives until every handle
    /// is gone.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub(crate) async fn start(
        store: Store,
        folder: PathBuf,
    ) -> Result<(Goals, impl Future<Output = ()> + Send + 'static), EngineError> {
        let shared = Arc::new(Shared::default());
        for goal in store.goal_list(GoalFilter::default()).await? {
            shared.shelf().put(&goal);
        }
        let (requests, received) = mpsc::channel(QUEUE_MAX);
        let mut keeper = Keeper { store: store.clone(), folder: folder.clone(), shared: shared.clone() };
        keeper.mirror().await;
        Ok((Goals { requests, store, folder, shared }, async move { keeper.live(received).await }))
    }

    pub(crate) async fn create(&self, actor: String, new: NewGoal) -> Result<Goal, EngineError> {
        self.ask(actor, Change::Create(Box::new(new))).await
    }

    pub(crate) async fn get(&self, goal_id: &GoalId) -> Result<Goal, EngineError> {
        self.store.goal_get(goal_id).await?.ok_or_else(|| EngineError::not_found("goal", goal_id))
    }

    /// Gives a page of goals, from the mirror when the store cannot be read.
    pub(super) async fn page(&self, filter: GoalFilter) -> Result<GoalPage, EngineError> {
        let limit = if filter.limit == 0 { PAGE_MAX } else { filter.limit.min(PAGE_MAX) };
        match self.store.goal_list(GoalFilter { limit: limit + 1, ..filter.clone() }).await {
            Ok(mut goals) => {
                let has_more = goals.len() > limit;
                goals.truncate(limit);
                Ok(GoalPage { goals, has_more, stale_since: None })
            }
            Err(error) => self.mirrored(GoalFilter { limit, ..filter }, error).await,
        }
    }

    /// Gives a goal to be looked at, and since when it is stale when it comes from the mirror: never to be changed.
    pub(super) async fn look(&self, goal_id: &GoalId) -> Result<(Goal, Option<Timestamp>), EngineError> {
        let error = match self.store.goal_get(goal_id).await {
            Ok(goal) => {
                let goal = goal.ok_or_else(|| EngineError::not_found("goal", goal_id))?;
                return Ok((goal, None));
            }
            Err(error) => error,
        };
        let GoalPage { goals, stale_since, .. } = self.mirrored(GoalFilter::default(), error).await?;
        let goal = goals.into_iter().find(|goal| goal.id == *goal_id);
        Ok((goal.ok_or_else(|| EngineError::not_found("goal", goal_id))?, stale_since))
    }

    /// Gives goals from the mirror since the store cannot be read; where there is none, that is the error.
    async fn mirrored(&self, filter: GoalFilter, error: ReadError) -> Result<GoalPage, EngineError> {
        tracing::error!(%error, "the goals cannot be read, so their mirror is shown");
        let folder = self.folder.clone();
        match tokio::task::spawn_blocking(move || mirror::mirrored(&folder, &filter)).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(_)) | Err(_) => Err(error.into()),
        }
    }

    /// Applies a command.
    pub(crate) async fn step(
        &self,
        actor: &str,
        goal_id: &GoalId,
        command: GoalCommand,
    ) -> Result<Goal, EngineError> {
        self.steps(actor, goal_id, vec![command]).await
    }

    /// Applies commands one after the other, all of them or none.
    pub(crate) async fn steps(
        &self,
        actor: &str,
        goal_id: &GoalId,
        commands: Vec<GoalCommand>,
    ) -> Result<Goal, EngineError> {
        let commands = commands.into_iter().map(without_secrets).collect();
        self.ask(actor.to_owned(), Change::Steps { goal_id: goal_id.clone(), commands }).await
    }

    /// Tells whether a goal has a link that changes with this run or session.
    pub(crate) fn follows(&self, session_id: &str) -> bool {
        self.shared.shelf().follows(session_id)
    }

    /// Lets the links to a run or session follow it.
    pub(crate) async fn follow(&self, session_id: String) {
        // When the keeper is gone the daemon stops, and the next one looks at all of them.
        drop(self.requests.send(Request::Follow { session_id }).await);
    }

    /// Lets every link follow what it is to.
    pub(crate) async fn follow_all(&self) {
        let followed = self.shared.shelf().followed();
        for session_id in followed {
            self.follow(session_id).await;
        }
    }

    /// Gives the goals whose pursuit is open.
    pub(super) fn pursued(&self) -> Vec<GoalId> {
        self.shared.shelf().pursued()
    }

    /// Gives what is told when a goal that is pursued changes.
    pub(super) fn pursuit_changed(&self, goal_id: &GoalId) -> Arc<Notify> {
        self.shared.pursuits().entry(goal_id.clone()).or_default().clone()
    }

    /// Forgets a pursuit that is over.
    pub(super) fn pursuit_forget(&self, goal_id: &GoalId) {
        self.shared.pursuits().remove(goal_id);
    }

    /// Waits until nobody else checks a goal; nobody does until what is given is dropped.
    pub(super) async fn checking(&self, goal_id: &GoalId) -> OwnedSemaphorePermit {
        let turn = {
            let mut checking = self.shared.checking.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever waits or checks holds it as well.
            checking.retain(|_, turn| Arc::strong_count(turn) > 1);
            checking.entry(goal_id.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
        };
        turn.acquire_owned().await.expect("nobody closes it")
    }

    /// Says why the mirror is behind the store, while it is.
    pub(super) fn mirror_failure(&self) -> Option<String> {
        self.shared.behind().clone()
    }

    async fn ask(&self, actor: String, what: Change) -> Result<Goal, EngineError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Change { what, actor, reply };
        self.requests.send(request).await.map_err(|_| EngineError::Stopping)?;
        answer.await.map_err(|_| EngineError::Stopping)?
    }
}

/// Takes secrets out of what people and checks say.
fn without_secrets(command: GoalCommand) -> GoalCommand {
    let told = |evidence: Evidence| {
        let source = match evidence.source {
            EvidenceSource::SignOff { person } => EvidenceSource::SignOff { person: record::text(&person) },
            source @ (EvidenceSource::Check { .. } | EvidenceSource::Turn { .. }) => source,
        };
        Evidence { detail: record::text(&evidence.detail), source, ..evidence }
    };
    let said = |text: Option<String>| text.as_deref().map(record::text);
    match command {
        GoalCommand::Link { session_id, task } => {
            GoalCommand::Link { session_id: record::text(&session_id), task: record::text(&task) }
        }
        GoalCommand::SetLink { session_id, state, evidence } => {
            GoalCommand::SetLink { session_id, state, evidence: evidence.map(told) }
        }
        GoalCommand::AddEvidence { criterion, evidence } => {
            GoalCommand::AddEvidence { criterion, evidence: told(evidence) }
        }
        GoalCommand::Change(change) => {
            GoalCommand::Change(GoalChange { description: said(change.description), ..change })
        }
        GoalCommand::Alert { what, text } => GoalCommand::Alert { what, text: record::text(&text) },
        GoalCommand::Note { text } => GoalCommand::Note { text: record::text(&text) },
        GoalCommand::SetStatus { to, reason, trees } => {
            GoalCommand::SetStatus { to, reason: said(reason), trees }
        }
        GoalCommand::Pursue(event) => GoalCommand::Pursue(pursued_without_secrets(event)),
        command @ (GoalCommand::Follow { .. } | GoalCommand::Rechecked | GoalCommand::DeadlinePassed) => {
            command
        }
    }
}

/// Likewise out of what a pursuit says: its reasons quote programs, and what failed is told to agents.
fn pursued_without_secrets(event: PursuitEvent) -> PursuitEvent {
    match event {
        PursuitEvent::Failed { failures, turns } => {
            PursuitEvent::Failed { failures: failures.iter().map(|text| record::text(text)).collect(), turns }
        }
        PursuitEvent::Lost { reason, session, git_ref } => {
            PursuitEvent::Lost { reason: record::text(&reason), session, git_ref }
        }
        PursuitEvent::Stopped { reason, is_wanted } => {
            PursuitEvent::Stopped { reason: record::text(&reason), is_wanted }
        }
        event @ (PursuitEvent::Begun(_)
        | PursuitEvent::Launched
        | PursuitEvent::TurnOver
        | PursuitEvent::Told { .. }
        | PursuitEvent::Forgot { .. }
        | PursuitEvent::Reached
        | PursuitEvent::Rested) => event,
    }
}

type Answer = (oneshot::Sender<Result<Goal, EngineError>>, Result<Goal, EngineError>);

struct Keeper {
    store: Store,
    folder: PathBuf,
    shared: Arc<Shared>,
}

impl Keeper {
    async fn live(mut self, mut received: mpsc::Receiver<Request>) {
        loop {
            let is_behind = self.shared.behind().is_some();
            let first = match is_behind {
                false => received.recv().await,
                true => match tokio::time::timeout(MIRROR_RETRY, received.recv()).await {
                    Ok(first) => first,
                    Err(_) => {
                        self.mirror().await;
                        continue;
                    }
                },
            };
            let Some(first) = first else { return };
            self.serve(first, &mut received).await;
        }
    }

    /// Serves a request and those that wait behind it, mirrors what they changed, and answers.
    async fn serve(&mut self, first: Request, received: &mut mpsc::Receiver<Request>) {
        let (mut answers, mut has_changed, mut next): (Vec<Answer>, _, _) = (Vec::new(), false, Some(first));
        while let Some(request) = next {
            match request {
                Request::Change { what, actor, reply } => {
                    let linked = what.links();
                    let answer = self.change(what, &actor, &mut has_changed).await;
                    if answer.is_ok() {
                        // What it told before it was linked is not told again.
                        for session_id in linked {
                            self.follow(&session_id, &mut has_changed).await;
                        }
                    }
                    answers.push((reply, answer));
                }
                Request::Follow { session_id } => self.follow(&session_id, &mut has_changed).await,
            }
            next = if answers.len() < BATCH_MAX { received.try_recv().ok() } else { None };
        }
        if has_changed {
            self.mirror().await;
        }
        for (reply, answer) in answers {
            // Whoever asked may have gone; the change counts all the same.
            drop(reply.send(answer));
        }
    }

    async fn change(&self, what: Change, actor: &str, has_changed: &mut bool) -> Result<Goal, EngineError> {
        let now = clock::now();
        let (goal, events) = match what {
            Change::Create(new) => {
                let shelf = self.shared.shelf();
                goal::create(*new, &|id| shelf.other(id), now).map_err(EngineError::Goal)?
            }
            Change::Steps { goal_id, commands } => {
                let goal = self.store.goal_get(&goal_id).await?;
                let goal = goal.ok_or_else(|| EngineError::not_found("goal", &goal_id))?;
                self.stepped(goal, commands, now)?
            }
        };
        if !events.is_empty() {
            self.store.write(kept(&goal, events, actor, now)).await?;
            self.shared.shelf().put(&goal);
            *has_changed = true;
            if let Some(pursuit) = self.shared.pursuits().get(&goal.id) {
                pursuit.notify_one();
            }
        }
        Ok(goal)
    }

    fn stepped(
        &self,
        mut goal: Goal,
        commands: Vec<GoalCommand>,
        now: Timestamp,
    ) -> Result<(Goal, Vec<Event>), EngineError> {
        let shelf = self.shared.shelf();
        let mut events = Vec::new();
        for command in commands {
            let stepped = goal::step(&goal, command, &|id| shelf.other(id), now);
            let (next, more) = stepped.map_err(|refusal| refused(&goal.id, refusal))?;
            goal = next;
            events.extend(more);
        }
        Ok((goal, events))
    }

    async fn follow(&self, session_id: &str, has_changed: &mut bool) {
        let followers = self.shared.shelf().followers(session_id);
        let state = match follow::state(&self.store, session_id).await {
            Ok(Some(state)) => state,
            Ok(None) => return,
            Err(error) => return tracing::warn!(session_id, %error, "a link cannot follow its session"),
        };
        for goal_id in followers {
            let command = GoalCommand::Follow { session_id: session_id.to_owned(), state };
            let steps = Change::Steps { goal_id, commands: vec![command] };
            if let Err(error) = self.change(steps, PLANE, has_changed).await {
                tracing::warn!(session_id, %error, "a link cannot follow its session");
            }
        }
    }

    async fn mirror(&mut self) {
        let lines = self.shared.shelf().lines();
        let written = mirror::write(self.folder.clone(), lines).await;
        if let Err(error) = &written {
            tracing::error!(%error, "goals.json cannot be written and is behind; it is tried again");
        }
        *self.shared.behind() = written.err().map(|error| error.to_string());
    }
}

fn kept(goal: &Goal, events: Vec<Event>, actor: &str, at: Timestamp) -> Write {
    let mut write = Write::default();
    write.goal_put(goal);
    for event in events {
        let subject = (&goal.id).into();
        write.journal(Draft { at, actor: actor.to_owned().into(), subject, event });
    }
    write
}

fn refused(goal_id: &GoalId, refusal: GoalRefusal) -> EngineError {
    match refusal {
        GoalRefusal::Gate(refusal) => EngineError::GoalGate { goal_id: goal_id.clone(), refusal },
        other => EngineError::Goal(other),
    }
}
