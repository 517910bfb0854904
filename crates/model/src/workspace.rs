//! Whose a workspace is.

use crate::id::{InvalidId, RunId, SessionId};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What works in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A run.
    Run(RunId),
    /// A session that the plane hosts.
    Session(SessionId),
}

impl From<RunId> for Holder {
    fn from(id: RunId) -> Holder {
        Holder::Run(id)
    }
}

impl From<SessionId> for Holder {
    fn from(id: SessionId) -> Holder {
        Holder::Session(id)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Run(id) => id.fmt(f),
            Holder::Session(id) => id.fmt(f),
        }
    }
}

impl From<&Holder> for Arc<str> {
    fn from(holder: &Holder) -> Arc<str> {
        match holder {
            Holder::Run(id) => id.into(),
            Holder::Session(id) => id.to_string().into(),
        }
    }
}

impl FromStr for Holder {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // No text is both: a run's id begins with a letter that is no hex digit.
        let run = text.parse().map(Holder::Run);
        run.or_else(|_| text.parse().map(Holder::Session)).map_err(|_: InvalidId| InvalidId {
            expected: "a run's id or a session's",
            given: text.chars().take(80).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Uuid;

    #[test]
    fn a_holder_is_read_back_as_what_it_is() {
        let uuid = Uuid::from_u128(7);
        for holder in [Holder::Run(RunId::new(uuid)), Holder::Session(SessionId::new(uuid))] {
            assert_eq!(holder.to_string().parse(), Ok(holder));
        }
        for wrong in ["", "run_", "--upload-pack=x", "../x", "00000000000000000000000000000007"] {
            assert!(wrong.parse::<Holder>().is_err(), "{wrong}");
        }
    }
}
