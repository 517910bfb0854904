//! Breakers of agents: kept in the store, changed by whoever sees an agent end, asked before one is started.
//!
//! What an agent's end is, is told by its hooks and by delegations. Steps of a run neither tell nor ask: a flow says
//! itself what follows from a failure, and must not be surprised.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::breaker::{Breaker, BreakerRecord, Circuit};
use adjutant_model::event::Event;
use adjutant_model::{Timestamp, action::Caller};
use adjutant_rules::breaker::{self, BreakerEvent};
use adjutant_store::{Draft, Write, WriteError};

/// So many breakers are kept; agents name them, and a broken one could name any number.
const BREAKERS_MAX: u64 = 10_000;
/// The longest name of an agent that has one, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// An agent's breaker, and until when it keeps the agent out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerInfo {
    /// What is kept.
    pub record: BreakerRecord,
    /// Where it stands: one that is kept as open is half-open after its cool-down.
    pub circuit: Circuit,
    /// So many failures in a row open it.
    pub failure_threshold: u32,
    /// When the next trial is let in, while it is open.
    pub trial_at: Option<Timestamp>,
}

/// Gives the breakers that are kept, by name.
pub(crate) async fn list(core: &Core, limit: usize) -> Result<Vec<BreakerInfo>, EngineError> {
    Ok(core.store.breakers(limit).await?.into_iter().map(|record| info(core, record)).collect())
}

/// Gives the breaker of an agent; that of one of which nothing is kept is closed, and looking keeps nothing.
pub(crate) async fn of(core: &Core, agent: &str) -> Result<BreakerInfo, EngineError> {
    let record = core.store.breaker_get(agent).await?.unwrap_or_else(|| BreakerRecord {
        agent: agent.to_owned(),
        breaker: Breaker::default(),
        revision: 0,
        updated_at: clock::now(),
    });
    Ok(info(core, record))
}

fn info(core: &Core, record: BreakerRecord) -> BreakerInfo {
    let config = core.settings.breaker;
    let circuit = breaker::seen(&record.breaker, config, clock::now());
    let trial_at = match circuit {
        Circuit::Open { since } => Some(since.plus_ms(config.cool_down_ms)),
        Circuit::Closed | Circuit::HalfOpen { .. } => None,
    };
    BreakerInfo { record, circuit, failure_threshold: config.failure_threshold, trial_at }
}

/// Says why an agent may not be started now; nothing when it may. One that is not known may, and stays unknown.
pub(crate) async fn refusal(core: &Core, agent: &str) -> Result<Option<String>, EngineError> {
    let record = core.store.breaker_get(agent).await?;
    let why = record.and_then(|record| {
        let why = breaker::refusal(&record.breaker, core.settings.breaker, clock::now())?;
        let state = record.breaker.circuit.as_str();
        let reset = format!("`adjutant breakers reset {agent}` closes it");
        Some(format!("the circuit breaker of {agent} is {state}: {why}; {reset}"))
    });
    Ok(why)
}

/// Takes what happened to an agent into its breaker.
pub(crate) async fn learn(core: &Core, agent: &str, event: BreakerEvent) -> Result<(), EngineError> {
    if agent.len() > NAME_BYTES_MAX || agent.chars().any(char::is_control) {
        tracing::debug!("an agent's name is too long for a breaker");
        return Ok(());
    }
    let seen = core.store.breaker_get(agent).await?;
    let changes = breaker::step(&seen_breaker(&seen), core.settings.breaker, event, clock::now());
    if seen.is_none() && changes != Breaker::default() && core.store.breaker_count().await? >= BREAKERS_MAX {
        tracing::warn!(%agent, "{BREAKERS_MAX} breakers are kept, and no more");
        return Ok(());
    }
    change(core, agent, event, "plane").await
}

/// Closes the breaker of an agent that somebody says is well again.
pub(crate) async fn reset(core: &Core, caller: &Caller, agent: &str) -> Result<BreakerInfo, EngineError> {
    let unknown =
        || EngineError::not_found("breaker", agent.chars().take(NAME_BYTES_MAX).collect::<String>());
    core.store.breaker_get(agent).await?.ok_or_else(unknown)?;
    change(core, agent, BreakerEvent::Reset, &caller.actor()).await?;
    let record = core.store.breaker_get(agent).await?.ok_or_else(unknown)?;
    Ok(info(core, record))
}

async fn change(core: &Core, agent: &str, event: BreakerEvent, actor: &str) -> Result<(), EngineError> {
    // Each time that another was quicker its event counts, so this ends when all that came at once are counted.
    loop {
        let seen = core.store.breaker_get(agent).await?;
        let now = clock::now();
        let before = seen_breaker(&seen);
        let after = breaker::step(&before, core.settings.breaker, event, now);
        if after == before {
            return Ok(());
        }
        let revision = seen.map_or(1, |record| record.revision + 1);
        let mut write = Write::default();
        write.breaker_put(&BreakerRecord {
            agent: agent.to_owned(),
            breaker: after,
            revision,
            updated_at: now,
        });
        if before.circuit.as_str() != after.circuit.as_str() {
            let (from, to) = (before.circuit.as_str().to_owned(), after.circuit.as_str().to_owned());
            let event = Event::BreakerChanged { from, to, failures: after.consecutive_failures };
            let subject = format!("breaker:{agent}").into();
            write.journal(Draft { at: now, actor: actor.to_owned().into(), subject, event });
        }
        match core.store.write(write).await {
            Ok(_) => return Ok(()),
            // Another was quicker; what it made of the breaker is looked at.
            Err(WriteError::RowsUnexpected { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn seen_breaker(seen: &Option<BreakerRecord>) -> Breaker {
    seen.as_ref().map(|record| record.breaker).unwrap_or_default()
}
