//! What doors ask of goals.

use super::{GoalParams, check, checks, create, evidence, project_check, status_command};
use crate::checks::CheckedBy;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::{Core, Plane};
use adjutant_model::action::Caller;
use adjutant_model::goal::{Evidence, Goal, GoalStatus, LinkState};
use adjutant_model::{GoalId, RunId, SessionId, Timestamp};
use adjutant_rules::goal::{self, GoalChange, GoalCommand, Trees};
use adjutant_rules::session::name;
use adjutant_store::GoalFilter;
use std::time::Duration;

/// The most goals that are given at once.
pub const PAGE_MAX: usize = 1000;

/// Whoever looks at a goal waits so long to hear which of its evidence is outdated.
const LOOK: Duration = Duration::from_secs(2);

/// Goals, the oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalPage {
    /// The goals.
    pub goals: Vec<Goal>,
    /// Whether there are more behind the last one.
    pub has_more: bool,
    /// Since when they are known to be so, when the store cannot be read and they come from its mirror.
    pub stale_since: Option<Timestamp>,
}

/// A goal that is looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalShown {
    /// The goal.
    pub goal: Goal,
    /// Since when it is known to be so, when the store cannot be read and it comes from the mirror.
    pub stale_since: Option<Timestamp>,
    /// Which of its evidence does not count any more.
    pub outdated: Outdated,
}

/// Why evidence does not count any more, by what it is of; nothing where there is none, where it counts, or where that
/// could not be found out in time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outdated {
    /// Of the criteria, in their order.
    pub criteria: Vec<Option<String>>,
    /// Of the links, in their order.
    pub links: Vec<Option<String>>,
}

impl Outdated {
    fn of(goal: &Goal, trees: &Trees) -> Self {
        let why = |evidence: &Option<Evidence>| goal::stale(evidence.as_ref()?, trees);
        Outdated {
            criteria: goal.acceptance.iter().map(|criterion| why(&criterion.evidence)).collect(),
            links: goal.sessions.iter().map(|link| why(&link.evidence)).collect(),
        }
    }
}

/// What is to be different about a goal: all of it is kept together, or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GoalUpdate {
    /// What is wanted.
    pub change: GoalChange,
    /// Where a link stands.
    pub link: Option<LinkUpdate>,
    /// What is said.
    pub note: Option<String>,
    /// Another state; `done` only through the gate.
    pub status: Option<GoalStatus>,
    /// Why it goes there; whoever gives a goal up says so.
    pub reason: Option<String>,
}

/// Where a link stands. `verified` needs evidence that stands there already: it is given by [`Plane::goal_prove`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkUpdate {
    /// The session's or run's id.
    pub session_id: String,
    /// Where it stands.
    pub state: LinkState,
}

/// That something about a goal holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What holds.
    pub of: ProofOf,
    /// Who or what says so.
    pub by: ProofBy,
}

/// What a proof is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofOf {
    /// A criterion, from 0.
    Criterion(usize),
    /// A linked session or run, by its id; it is verified then.
    Link(String),
}

/// Who or what proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofBy {
    /// A person's word.
    Person {
        /// Who says so.
        person: String,
        /// What they say.
        words: String,
    },
    /// A step of a run whose result says whether it passed and on which tree, as those of kind `check` do.
    Turn {
        /// The run.
        run_id: RunId,
        /// The turn's place in it.
        index: u64,
    },
}

impl Plane {
    /// Makes a goal.
    ///
    /// # Errors
    /// [`EngineError::Goal`], [`EngineError::Invalid`]
    pub async fn goal_create(&self, caller: &Caller, params: GoalParams) -> Result<Goal, EngineError> {
        create(&self.core, caller.actor(), params).await
    }

    /// Gives a goal.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn goal_get(&self, goal_id: &GoalId) -> Result<Goal, EngineError> {
        self.core.goals.get(goal_id).await
    }

    /// Gives a goal to be looked at, with what of its evidence is outdated; from the mirror, and marked stale, when the
    /// store cannot be read.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Read`] when the mirror cannot be read either.
    pub async fn goal_show(&self, goal_id: &GoalId) -> Result<GoalShown, EngineError> {
        let (goal, stale_since) = self.core.goals.look(goal_id).await?;
        // Whoever looks does not wait for a large tree.
        let looked = tokio::time::timeout(LOOK, checks::trees(&self.core, &goal)).await;
        let outdated = match (stale_since, looked) {
            (None, Ok(Ok(trees))) => Outdated::of(&goal, &trees),
            (Some(_), _) | (None, Ok(Err(_)) | Err(_)) => Outdated::default(),
        };
        Ok(GoalShown { goal, stale_since, outdated })
    }

    /// Gives goals, the oldest first, at most [`PAGE_MAX`]. When the store cannot be read they come from its mirror, and
    /// are marked stale.
    ///
    /// # Errors
    /// [`EngineError::Read`] when the mirror cannot be read either.
    pub async fn goal_list(&self, filter: GoalFilter) -> Result<GoalPage, EngineError> {
        self.core.goals.page(filter).await
    }

    /// Links a session or run to a goal; a session of ours may be said by its name, and is linked by its id.
    ///
    /// # Errors
    /// [`EngineError::Goal`] when it is linked already.
    pub async fn goal_link(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        session_id: String,
        task: String,
    ) -> Result<Goal, EngineError> {
        let session_id = canonical(&self.core, session_id).await?;
        let link = GoalCommand::Link { session_id, task };
        self.core.goals.step(&caller.actor(), goal_id, link).await
    }

    /// Changes a goal.
    ///
    /// # Errors
    /// [`EngineError::Goal`], [`EngineError::GoalGate`], [`EngineError::Invalid`]; nothing of it was kept then.
    pub async fn goal_update(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        update: GoalUpdate,
    ) -> Result<Goal, EngineError> {
        let GoalUpdate { change, link, note, status, reason } = update;
        if let Some(budget) = &change.budget {
            hosting::budget_check(budget)?;
        }
        project_check(change.project.as_deref())?;
        let mut commands = vec![GoalCommand::Change(change)];
        if let Some(LinkUpdate { session_id, state }) = link {
            let session_id = canonical(&self.core, session_id).await?;
            commands.push(GoalCommand::SetLink { session_id, state, evidence: None });
        }
        commands.extend(note.map(|text| GoalCommand::Note { text }));
        if let Some(to) = status {
            commands.push(status_command(&self.core, goal_id, to, reason).await?);
        }
        self.core.goals.steps(&caller.actor(), goal_id, commands).await
    }

    /// Records that a criterion holds, or that a linked session or run has done what it was to do.
    ///
    /// # Errors
    /// [`EngineError::Goal`], [`EngineError::NotFound`], [`EngineError::Forbidden`] when an agent signs for a person.
    pub async fn goal_prove(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        proof: Proof,
    ) -> Result<Goal, EngineError> {
        let is_agent = caller.step.is_some() || caller.agent_id.is_some() || caller.of_session.is_some();
        if is_agent && matches!(proof.by, ProofBy::Person { .. }) {
            return Err(EngineError::Forbidden("an agent signs nothing off; a person does".to_owned()));
        }
        let goal = self.core.goals.get(goal_id).await?;
        let of = match proof.of {
            ProofOf::Link(session_id) => ProofOf::Link(canonical(&self.core, session_id).await?),
            of @ ProofOf::Criterion(_) => of,
        };
        let proof = Proof { of, ..proof };
        let evidence = evidence(&self.core, &goal, &proof).await?;
        let command = match proof.of {
            ProofOf::Criterion(criterion) => GoalCommand::AddEvidence { criterion, evidence },
            ProofOf::Link(session_id) => {
                let state = if evidence.passed { LinkState::Verified } else { LinkState::Failed };
                GoalCommand::SetLink { session_id, state, evidence: Some(evidence) }
            }
        };
        self.core.goals.step(&caller.actor(), goal_id, command).await
    }

    /// Leaves a note on a goal.
    ///
    /// # Errors
    /// [`EngineError::Goal`]
    pub async fn goal_note(
        &self,
        caller: &Caller,
        goal_id: &GoalId,
        text: String,
    ) -> Result<Goal, EngineError> {
        self.core.goals.step(&caller.actor(), goal_id, GoalCommand::Note { text }).await
    }

    /// Runs every check of a goal now and records what they said.
    ///
    /// # Errors
    /// [`EngineError::Conflict`] when there is no check, or no place to run it in; [`EngineError::Forbidden`] when the gate
    /// refuses one.
    pub async fn goal_check(&self, caller: &Caller, goal_id: &GoalId) -> Result<Goal, EngineError> {
        check(&self.core, &CheckedBy::caller(caller), goal_id).await
    }

    /// Calls a goal done, when fresh evidence proves it.
    ///
    /// # Errors
    /// [`EngineError::GoalGate`] with all that is missing.
    pub async fn goal_close(&self, caller: &Caller, goal_id: &GoalId) -> Result<Goal, EngineError> {
        let command = status_command(&self.core, goal_id, GoalStatus::Done, None).await?;
        self.core.goals.step(&caller.actor(), goal_id, command).await
    }

    /// Says why `goals.json` is behind the store, while it is.
    pub fn goals_mirror_failure(&self) -> Option<String> {
        self.core.goals.mirror_failure()
    }
}

/// Gives the one way in which a session or run is named in links: what is ours by its id, and the rest as it was said.
async fn canonical(core: &Core, said: String) -> Result<String, EngineError> {
    let lower = said.to_ascii_lowercase();
    if let Ok(id) = lower.parse::<SessionId>() {
        return Ok(id.to_string());
    }
    if let Ok(id) = lower.parse::<RunId>() {
        return Ok(id.to_string());
    }
    if !name::is_name(&said) {
        return Ok(said);
    }
    let named = core.store.session_named(&said).await?;
    Ok(named.map_or(said, |entry| entry.session.id.to_string()))
}
