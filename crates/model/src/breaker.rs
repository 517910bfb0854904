//! Breakers: what is kept of an agent that may fail again and again.

use crate::time::Timestamp;

/// An agent's breaker; that of an agent of which nothing is kept is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breaker {
    /// Where it stands.
    pub circuit: Circuit,
    /// How often the agent has failed since it last succeeded.
    pub consecutive_failures: u32,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circuit {
    /// The agent may be started.
    #[default]
    Closed,
    /// It may not.
    Open {
        /// Since when.
        since: Timestamp,
    },
    /// One trial of it is under way.
    HalfOpen {
        /// Since when.
        since: Timestamp,
    },
}

impl Circuit {
    /// Gives the name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Circuit::Closed => "closed",
            Circuit::Open { .. } => "open",
            Circuit::HalfOpen { .. } => "half_open",
        }
    }

    /// Gives since when it stands there, when it is not closed.
    pub fn since(self) -> Option<Timestamp> {
        match self {
            Circuit::Closed => None,
            Circuit::Open { since } | Circuit::HalfOpen { since } => Some(since),
        }
    }

    /// Reads a name and the instant that goes with it.
    pub fn of(name: &str, since: Option<Timestamp>) -> Option<Self> {
        match (name, since) {
            ("closed", _) => Some(Circuit::Closed),
            ("open", Some(since)) => Some(Circuit::Open { since }),
            ("half_open", Some(since)) => Some(Circuit::HalfOpen { since }),
            _ => None,
        }
    }
}

/// An agent and its breaker as the store has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerRecord {
    /// The agent.
    pub agent: String,
    /// Its breaker.
    pub breaker: Breaker,
    /// How often it was written; a write names the number that it has seen.
    pub revision: u64,
    /// When it was written last.
    pub updated_at: Timestamp,
}
