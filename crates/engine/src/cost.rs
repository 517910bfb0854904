//! What work costs: what agents say of it, and where they say tokens alone, what those cost by their model's price.
//!
//! A price makes an estimate and is told as one; of a model without a price nothing is claimed.

use crate::error::EngineError;
use crate::plane::{Core, Plane};
use adjutant_model::run::Usage;
use adjutant_model::session::{Session, SessionUsage};
use adjutant_model::{GoalId, RunId, SessionId};
use adjutant_rules::price::{self, Price};
use adjutant_store::SessionFilter;
use std::collections::HashSet;

/// What a session cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// US dollars.
    pub usd: f64,
    /// Whether it was reckoned from tokens and prices.
    pub is_estimated: bool,
}

/// What several cost together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CostSum {
    /// US dollars, as far as they are known; nothing when of none they are.
    pub usd: Option<f64>,
    /// Whether some of it was reckoned from tokens and prices.
    pub is_estimated: bool,
    /// Tokens that were read, without those from caches.
    pub input_tokens: u64,
    /// Tokens that were written.
    pub output_tokens: u64,
    /// The tokens in it whose cost nobody knows.
    pub unpriced_tokens: u64,
    /// How many sessions are in it.
    pub sessions: u64,
    /// How many runs are in it.
    pub runs: u64,
}

impl CostSum {
    fn add(&mut self, used: &SessionUsage, cost: Option<Cost>) {
        self.input_tokens = self.input_tokens.saturating_add(used.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(used.output_tokens);
        match cost {
            Some(cost) => {
                self.usd = Some(self.usd.unwrap_or_default() + cost.usd);
                self.is_estimated |= cost.is_estimated;
            }
            None => self.unpriced_tokens = self.unpriced_tokens.saturating_add(used.tokens()),
        }
    }
}

impl Plane {
    /// Gives what a run cost: its steps, and the sessions that did them with whatever they have started.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Read`]
    pub async fn run_cost(&self, run_id: &RunId) -> Result<CostSum, EngineError> {
        self.run_get(run_id).await?;
        let sessions = all_sessions(&self.core).await?;
        let mut sum = CostSum::default();
        let counted = &mut HashSet::new();
        of_run(&self.core, run_id, (&sessions, counted), &mut sum).await?;
        Ok(sum)
    }

    /// Gives what a goal cost: the runs that are linked to it and the sessions that are or serve it, each once.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Read`]
    pub async fn goal_cost(&self, goal_id: &GoalId) -> Result<CostSum, EngineError> {
        let goal = self.goal_get(goal_id).await?;
        let sessions = all_sessions(&self.core).await?;
        let mut sum = CostSum::default();
        let mut counted = HashSet::new();
        let linked: HashSet<&str> = goal.sessions.iter().map(|link| link.session_id.as_str()).collect();
        for run_id in linked.iter().filter_map(|id| id.parse::<RunId>().ok()) {
            of_run(&self.core, &run_id, (&sessions, &mut counted), &mut sum).await?;
        }
        let serves = |session: &Session| {
            session.goal_id.as_ref() == Some(goal_id) || linked.contains(session.id.to_string().as_str())
        };
        of_sessions(&self.core, (&sessions, &mut counted), serves, &mut sum);
        Ok(sum)
    }

    /// Gives what a session cost; nothing when nobody knows.
    pub fn session_cost(&self, session: &Session) -> Option<Cost> {
        of_session(&self.core, session)
    }
}

/// Gives what a session cost; nothing when nobody knows.
pub(crate) fn of_session(core: &Core, session: &Session) -> Option<Cost> {
    of_usage(core, model_of(session), &session.usage)
}

/// Gives the price of a session's model; nothing when it has none.
pub(crate) fn price_of(core: &Core, session: &Session) -> Option<Price> {
    price::of_model(&core.live().prices, model_of(session)?)
}

fn model_of(session: &Session) -> Option<&str> {
    session.model_used.as_deref().or(session.model.as_deref())
}

/// Gives what the tokens that a model used come to; nothing when nobody knows.
pub(crate) fn of_usage(core: &Core, model: Option<&str>, used: &SessionUsage) -> Option<Cost> {
    if let Some(usd) = used.cost_usd {
        return Some(Cost { usd, is_estimated: false });
    }
    let usd = price::of_usage(&core.live().prices, model, used)?;
    Some(Cost { usd, is_estimated: true })
}

async fn all_sessions(core: &Core) -> Result<Vec<Session>, EngineError> {
    let entries = core.store.sessions(SessionFilter::default()).await?;
    Ok(entries.into_iter().map(|entry| entry.session).collect())
}

type Sessions<'a> = (&'a [Session], &'a mut HashSet<SessionId>);

async fn of_run(
    core: &Core,
    run_id: &RunId,
    (sessions, counted): Sessions<'_>,
    sum: &mut CostSum,
) -> Result<(), EngineError> {
    sum.runs += 1;
    let is_of_run = |session: &Session| session.run_id.as_ref() == Some(run_id);
    // What such a step used is what its session did, which may go on and have started others.
    let played: HashSet<&str> = sessions
        .iter()
        .filter(|session| is_of_run(session))
        .filter_map(|session| session.plays.as_deref())
        .collect();
    for (agent, used) in core.store.run_usages(run_id).await? {
        if !played.contains(agent.as_str()) {
            let Usage { model, input_tokens, output_tokens, cost_usd, num_turns: _ } = used;
            let used = SessionUsage {
                input_tokens: input_tokens.unwrap_or_default(),
                output_tokens: output_tokens.unwrap_or_default(),
                cost_usd,
                ..SessionUsage::default()
            };
            sum.add(&used, of_usage(core, model.as_deref(), &used));
        }
    }
    of_sessions(core, (sessions, counted), is_of_run, sum);
    Ok(())
}

/// Counts the sessions that are meant, and whatever they have started.
fn of_sessions(
    core: &Core,
    (sessions, counted): Sessions<'_>,
    is_meant: impl Fn(&Session) -> bool,
    sum: &mut CostSum,
) {
    let mut meant: HashSet<SessionId> =
        sessions.iter().filter(|session| is_meant(session)).map(|session| session.id).collect();
    // The newest come first, so whoever has started another comes behind it.
    for session in sessions.iter().rev() {
        if session.parent.is_some_and(|parent| meant.contains(&parent)) {
            meant.insert(session.id);
        }
    }
    for session in sessions.iter().filter(|session| meant.contains(&session.id)) {
        if counted.insert(session.id) {
            sum.sessions += 1;
            sum.add(&session.usage, of_session(core, session));
        }
    }
}
