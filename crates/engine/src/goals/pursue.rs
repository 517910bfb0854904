//! What is done for a pursuit: launch its session, wait for the end of a turn, run the checks, tell what failed, close.
//!
//! Where it stands is in its goal, which the keeper alone writes; the diagram is in `rules/src/goal/pursuit.rs`. Each open
//! pursuit has one task that reads the goal, does what is next, and says what came of it. It holds nothing that the goal
//! does not, so every start of the daemon gives each pursuit its task again, and the step that was under way is done
//! again: the session is found by its id, and checks say the same. Only what an agent was told may reach it twice, when
//! the daemon died before that was kept; it carries the number of the attempt.

use super::{PLANE, check, checks, status_command};
use crate::agents;
use crate::checks::CheckedBy;
use crate::clock;
use crate::cost;
use crate::error::EngineError;
use crate::faults::{EffectFault, EffectKey};
use crate::hosting::{self, HostParams, SessionCommand};
use crate::plane::{Core, Plane};
use crate::runs::STORE_RETRY;
use crate::spawning;
use adjutant_model::action::{Caller, Role};
use adjutant_model::goal::{Goal, GoalStatus, Pursuit, PursuitState};
use adjutant_model::id::Uuid;
use adjutant_model::run::ErrorClass;
use adjutant_model::session::{
    Activity, Desired, DriverKind, Session, SessionBudget, SessionPhase, SessionState,
};
use adjutant_model::{GoalId, SessionId, TokenId};
use adjutant_rules::goal::pursuit::{self, ATTEMPTS, ATTEMPTS_MAX, NewPursuit, PursuitEvent, Spent};
use adjutant_rules::goal::{GoalCommand, GoalRefusal};
use adjutant_rules::session::{over_budget, takes_prompts};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long an agent that was started again is waited for until it takes a prompt.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a session is waited for until it is stopped.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// How a goal is to be pursued.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PursueParams {
    /// The profile of its agents; the default agent of sessions when nothing is said.
    pub agent: Option<String>,
    /// How they are hosted; the profile's first driver that can be used here when nothing is said.
    pub driver: Option<DriverKind>,
    /// Their model.
    pub model: Option<String>,
    /// How often an agent is told at most; [`ATTEMPTS`] when nothing is said.
    pub attempts: Option<u32>,
}

impl Plane {
    /// Has a goal pursued: sessions work for it until its checks pass, or there is no more to spend.
    ///
    /// # Errors
    /// [`EngineError::Goal`] when it is pursued already, closed, over its deadline or waits for others;
    /// [`EngineError::Conflict`] without a project, [`EngineError::Invalid`], [`EngineError::SpawnOff`] for a model.
    pub async fn goal_pursue(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        params: PursueParams,
    ) -> Result<Goal, EngineError> {
        let core = &self.core;
        if is_agent(caller) {
            spawning::may_spawn(core, crate::approvals::Face::Model)?;
        }
        let attempts_max = params.attempts.unwrap_or(ATTEMPTS);
        if !(1..=ATTEMPTS_MAX).contains(&attempts_max) {
            return Err(EngineError::invalid(format!(
                "`attempts` is 1 to {ATTEMPTS_MAX}, not {attempts_max}"
            )));
        }
        hosting::model_check(params.model.as_deref())?;
        let agent = params.agent.as_deref().unwrap_or(hosting::AGENT_DEFAULT);
        let agent = agents::find(core, agent)?.name.clone();
        let goal = core.goals.get(goal_id).await?;
        if goal.project.is_none() {
            return Err(EngineError::Conflict {
                message: format!("goal {goal_id} has no project that a session could work in"),
                hint: Some("set its `project`, or make the goal with `--repo`".to_owned()),
            });
        }
        // An agent would work for nothing.
        checks::may_run(core, &goal).await?;
        if let Err(spent) = pursuit::remaining(&goal.budget, spent(core, &goal, None).await?) {
            return Err(EngineError::Conflict {
                message: format!("the budget of goal {goal_id} is spent: {spent}"),
                hint: Some("give it a larger one".to_owned()),
            });
        }
        let new = NewPursuit {
            by: caller.actor(),
            agent,
            driver: params.driver,
            model: params.model,
            attempts_max,
            session: SessionId::new(clock::fresh_id()),
        };
        let begun = GoalCommand::Pursue(PursuitEvent::Begun(new));
        let goal = core.goals.step(&caller.actor(), goal_id, begun).await?;
        start(core, goal_id.clone());
        Ok(goal)
    }

    /// Gives the pursuit of a goal up; its session is stopped, and its workspace stays.
    ///
    /// # Errors
    /// [`EngineError::Goal`] when it is not pursued.
    pub async fn goal_pursue_stop(&self, caller: &Caller, goal_id: &GoalId) -> Result<Goal, EngineError> {
        if self.core.goals.get(goal_id).await?.pursued().is_none() {
            return Err(EngineError::Goal(GoalRefusal::NotPursued));
        }
        let reason = format!("stopped by {}", caller.actor());
        let stopped = GoalCommand::Pursue(PursuitEvent::Stopped { reason, is_wanted: true });
        self.core.goals.step(&caller.actor(), goal_id, stopped).await
    }
}

fn is_agent(caller: &Caller) -> bool {
    caller.step.is_some() || caller.agent_id.is_some() || caller.of_session.is_some()
}

/// Gives every open pursuit its task again.
pub(crate) fn resume_open(core: &Arc<Core>) {
    core.goals.pursued().into_iter().for_each(|goal_id| start(core, goal_id));
}

fn start(core: &Arc<Core>, goal_id: GoalId) {
    let (apart, stopping) = (core.clone(), core.stopping.clone());
    core.tasks.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = drive(&apart, &goal_id) => {}
        }
    });
}

async fn drive(core: &Arc<Core>, goal_id: &GoalId) {
    loop {
        let error = match advance(core, goal_id).await {
            Ok(true) => continue,
            Ok(false) => return,
            Err(error) => error,
        };
        if error.class() != ErrorClass::Retry {
            // What cannot be given up either is looked at again after the pause, and never without one.
            stop(core, goal_id, error.to_string()).await.ok();
        }
        tracing::warn!(goal = %goal_id, %error, "a pursuit is looked at again");
        tokio::time::sleep(STORE_RETRY).await;
    }
}

/// Does what is next; tells whether there is more.
async fn advance(core: &Arc<Core>, goal_id: &GoalId) -> Result<bool, EngineError> {
    let changed = core.goals.pursuit_changed(goal_id);
    let goal = core.goals.get(goal_id).await?;
    let Some(pursuit) = goal.pursued().cloned() else {
        core.goals.pursuit_forget(goal_id);
        return Ok(false);
    };
    if pursuit.end().is_none() && goal.deadline.is_some_and(|deadline| deadline <= clock::now()) {
        stop(core, goal_id, "its deadline has passed".to_owned()).await?;
        return Ok(true);
    }
    match &pursuit.state {
        PursuitState::Ending { .. } => performed(core, &goal, &pursuit).await?,
        PursuitState::Ended { .. } => return Ok(false),
        PursuitState::Launching { .. }
        | PursuitState::Working { .. }
        | PursuitState::Checking
        | PursuitState::Telling { .. } => {
            let deadline = async {
                match goal.deadline {
                    Some(deadline) => tokio::time::sleep(clock::until(deadline)).await,
                    None => std::future::pending().await,
                }
            };
            // What the work itself changes, such as what is proved, is no reason to begin it again.
            let is_other = async {
                loop {
                    changed.notified().await;
                    let now = core.goals.get(goal_id).await?;
                    if (now.pursued(), now.deadline, &now.budget)
                        != (Some(&pursuit), goal.deadline, &goal.budget)
                    {
                        return Ok::<(), EngineError>(());
                    }
                }
            };
            tokio::select! {
                done = performed(core, &goal, &pursuit) => done?,
                // What is left undone is looked at anew.
                () = deadline => {}
                other = is_other => other?,
            }
        }
    }
    Ok(true)
}

/// Does what the state stands for; a trial has it done twice, or has it fail.
async fn performed(core: &Arc<Core>, goal: &Goal, pursuit: &Pursuit) -> Result<(), EngineError> {
    let key = || EffectKey::Pursuit {
        goal_id: goal.id.clone(),
        state: pursuit.state.as_str(),
        attempt: pursuit.attempt,
    };
    match core.settings.faults.of_effect(key) {
        None => {}
        Some(EffectFault::Twice) => work(core, goal, pursuit).await?,
        Some(EffectFault::Fail(failure)) => return Err(EngineError::OutOfReach(failure.message)),
    }
    work(core, goal, pursuit).await
}

async fn work(core: &Arc<Core>, goal: &Goal, pursuit: &Pursuit) -> Result<(), EngineError> {
    match &pursuit.state {
        PursuitState::Launching { failures, git_ref } => {
            launch(core, goal, pursuit, (failures, git_ref)).await
        }
        PursuitState::Working { turns, launches } => {
            turn_over(core, goal, pursuit, (*turns, *launches)).await
        }
        PursuitState::Checking => checked(core, goal, pursuit).await,
        PursuitState::Telling { turns, failures } => tell(core, goal, pursuit, (*turns, failures)).await,
        PursuitState::Ending { .. } => rest(core, &goal.id, pursuit).await,
        PursuitState::Ended { .. } => Ok(()),
    }
}

async fn launch(
    core: &Arc<Core>,
    goal: &Goal,
    pursuit: &Pursuit,
    (failures, git_ref): (&[String], &Option<String>),
) -> Result<(), EngineError> {
    let budget = match pursuit::remaining(&goal.budget, spent(core, goal, None).await?) {
        Ok(budget) => budget,
        Err(spent) => return stop(core, &goal.id, format!("its budget is spent: {spent}")).await,
    };
    let params = HostParams {
        id: Some(pursuit.session()),
        project: goal.project.as_ref().map(PathBuf::from),
        git_ref: git_ref.clone(),
        task: pursuit::prompt(goal, failures),
        agent: Some(pursuit.agent.clone()),
        driver: pursuit.driver,
        model: pursuit.model.clone(),
        name_hint: Some(format!("goal-{}", goal.id)),
        goal_id: Some(goal.id.clone()),
        budget,
        ..HostParams::default()
    };
    match hosting::create(core, &in_the_name_of(&pursuit.by), params).await {
        Ok(session) => {
            super::link_session(core, &session).await?;
            tell_keeper(core, &goal.id, PursuitEvent::Launched).await
        }
        Err(error) if error.class() == ErrorClass::Retry && !matches!(error, EngineError::Crowded(_)) => {
            Err(error)
        }
        Err(error) => {
            let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            stop(core, &goal.id, format!("its session could not be made: {error}{hint}")).await
        }
    }
}

/// Waits until the agent has ended its turn, or is gone.
async fn turn_over(
    core: &Arc<Core>,
    goal: &Goal,
    pursuit: &Pursuit,
    (turns, launches): (u64, u32),
) -> Result<(), EngineError> {
    // An agent that is started again goes on by itself when it was seen to work. One that had only just been told has
    // nothing to go on with, and would be idle for ever.
    let forgot = |session: &Session| session.launches > launches && is_told_nothing(session);
    let seen = |session: &Session| is_turn_over(session, turns) || forgot(session);
    let session = hosting::seen_until(core, pursuit.session(), seen).await?;
    let event = match is_turn_over(&session, turns) {
        true => PursuitEvent::TurnOver,
        false => PursuitEvent::Forgot { turns },
    };
    tell_keeper(core, &goal.id, event).await
}

/// Tells whether an agent is there that nobody tells anything. By a protocol some say nothing at all before they are told
/// something; a terminal shows when it is ready.
fn is_told_nothing(session: &Session) -> bool {
    let speaks = matches!(session.driver, DriverKind::Headless | DriverKind::Acp);
    let was_started = session.phase == SessionPhase::Running
        && session.activity.activity == Activity::Unknown
        && session.questions.is_empty()
        && session.to_tell.is_none()
        && session.delivered_at.is_some();
    takes_prompts(session) || speaks && was_started
}

fn is_turn_over(session: &Session, turns: u64) -> bool {
    session.turns > turns || is_gone(session)
}

fn is_gone(session: &Session) -> bool {
    matches!(session.state, SessionState::Stopped | SessionState::Errored | SessionState::Decommissioned)
}

/// Runs the checks on what the session has made, and closes the goal when the gate lets it.
async fn checked(core: &Arc<Core>, goal: &Goal, pursuit: &Pursuit) -> Result<(), EngineError> {
    let session = hosting::get(core, pursuit.session()).await?;
    // Nobody has worked, so there is nothing to check, and another attempt would end no better.
    if session.state == SessionState::Errored && session.delivered_at.is_none() {
        let why = session.reason.unwrap_or_else(|| "nobody said why".to_owned());
        return stop(core, &goal.id, format!("its session could not begin: {why}")).await;
    }
    let has_check = goal.acceptance.iter().any(|criterion| criterion.check.is_some());
    let goal = match has_check && session.has_workspace {
        true => check(core, &CheckedBy::plane(), &goal.id).await?,
        false => goal.clone(),
    };
    let reached = status_command(core, &goal.id, GoalStatus::Done, None).await?;
    let reached = vec![reached, GoalCommand::Pursue(PursuitEvent::Reached)];
    let missing = match core.goals.steps(PLANE, &goal.id, reached).await {
        Ok(_) => return Ok(()),
        Err(EngineError::GoalGate { refusal, .. }) => refusal.missing,
        Err(error) => return Err(error),
    };
    let failures = pursuit::failures(&goal);
    if failures.is_empty() {
        let why = session
            .reason
            .filter(|_| !session.has_workspace)
            .map_or_else(String::new, |why| format!(" ({why})"));
        let reason = format!("no check fails, but more is missing{why}: {}", missing.join("; "));
        return stop(core, &goal.id, reason).await;
    }
    if let Some(spent) = over(core, &goal, &session).await? {
        let reason = format!("its budget is spent: {spent}; {}", missing.join("; "));
        return stop(core, &goal.id, reason).await;
    }
    tell_keeper(core, &goal.id, PursuitEvent::Failed { failures, turns: session.turns }).await
}

/// Tells the agent what failed, when it was not told already; one that is gone is started again.
async fn tell(
    core: &Arc<Core>,
    goal: &Goal,
    pursuit: &Pursuit,
    (turns, failures): (u64, &[String]),
) -> Result<(), EngineError> {
    let id = pursuit.session();
    let mut session = hosting::get(core, id).await?;
    let was_told = session.turns > turns
        || session.phase == SessionPhase::Running && session.activity.activity == Activity::Working;
    if was_told {
        return tell_keeper(core, &goal.id, PursuitEvent::Told { launches: session.launches }).await;
    }
    if is_gone(&session) {
        if let Err(error) = hosting::command(core, id, SessionCommand::Resume, READY_PATIENCE).await {
            return lost(core, goal, id, error).await;
        }
        let ready = hosting::seen_until(core, id, |session| takes_prompts(session) || is_gone(session));
        if let Ok(ready) = tokio::time::timeout(READY_PATIENCE, ready).await {
            session = ready?;
        }
    }
    if is_gone(&session) {
        let reason = session.reason.unwrap_or_else(|| "its agent is gone".to_owned());
        return lost(core, goal, id, EngineError::Conflict { message: reason, hint: None }).await;
    }
    match hosting::send(core, id, pursuit::feedback(goal, pursuit, failures)).await {
        Ok(()) => tell_keeper(core, &goal.id, PursuitEvent::Told { launches: session.launches }).await,
        Err(error) if error.class() == ErrorClass::Retry => Err(error),
        Err(error) => lost(core, goal, id, error).await,
    }
}

/// Has another session take over; what was committed in the last one is what it begins with.
async fn lost(core: &Arc<Core>, goal: &Goal, id: SessionId, error: EngineError) -> Result<(), EngineError> {
    let git_ref = core.store.workspace_of(&id.into()).await?.and_then(|workspace| workspace.branch);
    // Two agents do not work for it at once.
    quiet(core, id).await?;
    let session = SessionId::new(clock::fresh_id());
    tell_keeper(core, &goal.id, PursuitEvent::Lost { reason: error.to_string(), session, git_ref }).await
}

async fn rest(core: &Arc<Core>, goal_id: &GoalId, pursuit: &Pursuit) -> Result<(), EngineError> {
    quiet(core, pursuit.session()).await?;
    tell_keeper(core, goal_id, PursuitEvent::Rested).await
}

/// Stops a session, when its agent is there and it was ever made.
async fn quiet(core: &Arc<Core>, id: SessionId) -> Result<(), EngineError> {
    let Some(entry) = core.store.session_get(id).await? else { return Ok(()) };
    if entry.session.desired == Desired::Running {
        match hosting::command(core, id, SessionCommand::Stop, REST_PATIENCE).await {
            // Somebody was quicker.
            Ok(_) | Err(EngineError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    // Whoever wanted its end, an earlier daemon perhaps, it is over when it rests.
    let rests = hosting::seen_until(core, id, is_gone);
    match tokio::time::timeout(REST_PATIENCE, rests).await {
        Ok(rested) => rested.map(drop),
        // One that will not end is its owner's; the goal does not wait for it.
        Err(_) => Ok(()),
    }
}

async fn stop(core: &Core, goal_id: &GoalId, reason: String) -> Result<(), EngineError> {
    tell_keeper(core, goal_id, PursuitEvent::Stopped { reason, is_wanted: false }).await
}

async fn tell_keeper(core: &Core, goal_id: &GoalId, event: PursuitEvent) -> Result<(), EngineError> {
    core.goals.step(PLANE, goal_id, GoalCommand::Pursue(event)).await.map(drop)
}

/// Says what of the goal's budget is spent, when something is.
async fn over(core: &Core, goal: &Goal, session: &Session) -> Result<Option<String>, EngineError> {
    let budget: SessionBudget =
        match pursuit::remaining(&goal.budget, spent(core, goal, Some(session.id)).await?) {
            Ok(budget) => budget,
            Err(spent) => return Ok(Some(spent)),
        };
    let price = cost::price_of(core, session);
    Ok(over_budget(&Session { budget, ..session.clone() }, price, clock::now()))
}

/// Adds up what the sessions of a goal's pursuits used, but for one of them.
async fn spent(core: &Core, goal: &Goal, without: Option<SessionId>) -> Result<Spent, EngineError> {
    let mut spent = Spent::default();
    let sessions = goal.pursuit.iter().flat_map(|pursuit| &pursuit.sessions);
    for id in sessions.filter(|id| Some(**id) != without) {
        let Some(entry) = core.store.session_get(*id).await? else { continue };
        let session = entry.session;
        spent.cost_usd += cost::of_session(core, &session).map_or(0.0, |cost| cost.usd);
        spent.tokens = spent.tokens.saturating_add(session.usage.tokens());
        spent.active_ms = spent.active_ms.saturating_add(session.active_ms);
    }
    Ok(spent)
}

/// Sessions of a pursuit are begun for whoever asked for it, who need not be there any more.
fn in_the_name_of(by: &str) -> Caller {
    Caller {
        token_id: TokenId::new(Uuid::nil()),
        role: Role::Worker,
        step: None,
        agent_id: None,
        name: Some(by.into()),
        of_session: None,
    }
}
