//! Memory pressure: how full a session says that its agent's context is.
//!
//! What was said last is kept, and the journal has each change of the pressure, so that people see which agents are about
//! to forget. An agent whose context is full is told so by the answer; it compacts by itself.

use crate::clock;
use crate::error::EngineError;
use crate::hooks;
use crate::plane::{Core, Plane};
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::session::Session;
use adjutant_model::{SessionId, Timestamp};
use adjutant_rules::pressure;
pub use adjutant_rules::pressure::{Pressure, PressureConfig};
pub use adjutant_store::ContextUsage;
use adjutant_store::{Draft, Write};

/// No context holds so many tokens.
const TOKENS_MAX: u64 = 1 << 53;

/// How full a context is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemoryPressure {
    /// The part of the window that it takes, to four digits.
    pub fraction: f64,
    /// What that means.
    pub pressure: Pressure,
    /// Where the pressures begin.
    pub config: PressureConfig,
}

/// How full the context of a session's agent is, by whoever knows it best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionContext {
    /// Tokens that it holds.
    pub used_tokens: u64,
    /// Tokens that it can hold.
    pub window_tokens: u64,
    /// The part of the window that it takes, to four digits.
    pub fraction: f64,
    /// What that means.
    pub pressure: Pressure,
    /// When the session has said that itself; `None` when its agent's program tells it.
    pub said_at: Option<Timestamp>,
}

/// Gives how full a session's context is, as its agent's program tells it, and else as the session has said last.
pub(crate) fn of_session(session: &Session, said: Option<&ContextUsage>) -> Option<SessionContext> {
    let told = told(session).map(|(used, window)| (used, window, None));
    let said = said.map(|said| (said.used_tokens, said.window_tokens, Some(said.at)));
    let (used_tokens, window_tokens, said_at) = told.or(said)?;
    Some(SessionContext {
        used_tokens,
        window_tokens,
        fraction: pressure::part(used_tokens, window_tokens),
        pressure: pressure::pressure(used_tokens, window_tokens, &PressureConfig::default()),
        said_at,
    })
}

fn told(session: &Session) -> Option<(u64, u64)> {
    session.usage.context_used.zip(session.usage.context_window)
}

/// Gives what the journal says when an agent's program tells that its context is fuller, or less full, than it was.
pub(crate) fn change(before: &Session, after: &Session) -> Option<Event> {
    let (used_tokens, window_tokens) = told(after)?;
    let of = |(used, window)| pressure::pressure(used, window, &PressureConfig::default());
    let (from, to) = (told(before).map_or(Pressure::Ok, of), of((used_tokens, window_tokens)));
    (from != to).then(|| Event::ContextPressureChanged {
        from: from.as_str().to_owned(),
        to: to.as_str().to_owned(),
        used_tokens,
        window_tokens,
    })
}

impl Plane {
    /// Takes how full a session says that its agent's context is, and says what that means. Judged in this order: the
    /// caller, the session, the numbers.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for another's session, [`EngineError::NotFound`], [`EngineError::Invalid`].
    pub async fn memory_protect(
        &self,
        caller: &Caller,
        session: SessionId,
        (used_tokens, window_tokens): (u64, u64),
    ) -> Result<MemoryPressure, EngineError> {
        let core = &self.core;
        if caller.of_session.is_some_and(|own| own != session) {
            return Err(EngineError::Forbidden("an agent tells of its own session alone".to_owned()));
        }
        hooks::session_of(core, session).await?.ok_or_else(|| EngineError::not_found("session", session))?;
        if window_tokens == 0 {
            return Err(EngineError::invalid("`window_tokens` is 1 or more"));
        }
        if used_tokens.max(window_tokens) > TOKENS_MAX {
            return Err(EngineError::invalid(format!("no context holds more than {TOKENS_MAX} tokens")));
        }
        let usage = ContextUsage { used_tokens, window_tokens, at: clock::now() };
        let now = of(&usage);
        keep(core, caller, session, usage, now.pressure).await?;
        Ok(now)
    }

    /// Gives how full a session's context is, as was said last.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn context_usage(&self, session: SessionId) -> Result<Option<ContextUsage>, EngineError> {
        Ok(self.core.store.context_usage(session).await?)
    }
}

fn of(usage: &ContextUsage) -> MemoryPressure {
    let config = PressureConfig::default();
    MemoryPressure {
        fraction: pressure::part(usage.used_tokens, usage.window_tokens),
        pressure: pressure::pressure(usage.used_tokens, usage.window_tokens, &config),
        config,
    }
}

async fn keep(
    core: &Core,
    caller: &Caller,
    session: SessionId,
    usage: ContextUsage,
    to: Pressure,
) -> Result<(), EngineError> {
    let before = core.store.context_usage(session).await?;
    let from = before.map_or(Pressure::Ok, |before| of(&before).pressure);
    let mut write = Write::default();
    write.context_usage_put(session, usage);
    if from != to {
        write.journal(Draft {
            at: usage.at,
            actor: caller.actor().into(),
            subject: session.to_string().into(),
            event: Event::ContextPressureChanged {
                from: from.as_str().to_owned(),
                to: to.as_str().to_owned(),
                used_tokens: usage.used_tokens,
                window_tokens: usage.window_tokens,
            },
        });
    }
    core.store.write(write).await?;
    Ok(())
}
