//! Operators: connected clients that do steps, are asked, and hold the seats of runs.

use crate::id::{InvalidId, OperatorId, RunId, StepId, TokenId};
use crate::run::StepPath;
use crate::time::Timestamp;
use crate::value::Value;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Whose decisions a step's agent stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorKind {
    /// A person's main agent decides.
    MainAi,
    /// Nobody is asked.
    Automate,
    /// Both, in turn.
    Composite,
}

impl OperatorKind {
    /// All kinds.
    pub const ALL: [OperatorKind; 3] =
        [OperatorKind::MainAi, OperatorKind::Automate, OperatorKind::Composite];

    /// Gives the kind's name on the wire and in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            OperatorKind::MainAi => "main_ai",
            OperatorKind::Automate => "automate",
            OperatorKind::Composite => "composite",
        }
    }

    /// Reads a kind's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An operator that has joined. It outlives its connections, and the daemon.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// Its name in requests.
    pub sid: OperatorId,
    /// The token that opens its socket.
    pub token_id: TokenId,
    /// What it says of itself.
    pub desc: String,
    /// What it says it can do, kept as it came.
    pub capability_manifest: Option<Value>,
    /// Other names that requests may call it by.
    pub roles: Vec<String>,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

/// The seat that hears of steps before and after they are done.
pub const HOOK_SEAT: &str = "$hook";
/// The seat that is asked when a step did not go well.
pub const BRIDGE_SEAT: &str = "$bridge";
/// The seat that does steps which are delegated.
pub const BACKEND_SEAT: &str = "$backend";

/// A seat of a run, and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who holds it; nobody yet when it is vacant.
    pub op: Option<OperatorId>,
    /// Why, in the words of whoever assigned it.
    pub desc: String,
    /// Raised whenever the seat changes hands; a reply of an older one is refused.
    pub generation: u64,
}

/// The seats of a run by slot: those that its blueprint declares, and those of its layers, whose names begin with `$`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seats {
    /// By slot.
    pub by_slot: BTreeMap<String, Seat>,
}

impl Seats {
    /// Gives the highest generation that a seat of the run has had.
    pub fn generation(&self) -> u64 {
        self.by_slot.values().map(|seat| seat.generation).max().unwrap_or(0)
    }
}

/// What an operator is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// To say what the result of a step is that did not go well.
    Ask,
    /// To let a step begin.
    HookBefore,
    /// To do a step.
    Spawn,
}

impl RequestKind {
    /// All kinds.
    pub const ALL: [RequestKind; 3] = [RequestKind::Ask, RequestKind::HookBefore, RequestKind::Spawn];

    /// Gives the kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            RequestKind::Ask => "ask",
            RequestKind::HookBefore => "hook_before",
            RequestKind::Spawn => "spawn",
        }
    }
}

/// Names a request: whoever asks the same of the same generation of a seat names the same request, after a crash too.
///
/// Printed `<kind>:<step>:g<generation>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey {
    /// What is asked.
    pub kind: RequestKind,
    /// About which step.
    pub step: StepId,
    /// Of which generation of the seat.
    pub generation: u64,
}

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:g{}", self.kind.as_str(), self.step, self.generation)
    }
}

impl FromStr for RequestKey {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let read = || {
            let (kind, rest) = text.split_once(':')?;
            let (step, generation) = rest.rsplit_once(":g")?;
            Some(RequestKey {
                kind: RequestKind::ALL.into_iter().find(|known| known.as_str() == kind)?,
                step: step.parse().ok()?,
                generation: generation.parse().ok()?,
            })
        };
        read().ok_or_else(|| InvalidId {
            expected: "a req_id as it came in a frame",
            given: text.chars().take(80).collect(),
        })
    }
}

/// A stage of a step that is durable before the step has settled; it is not gone through again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StepStage {
    /// The operator let the step begin.
    HookBefore,
    /// The step was done; what follows is for its layers.
    Performed,
    /// What a worker gave as the step's result.
    Final,
    /// A named part of the result.
    Part(String),
    /// What the worker's model used.
    Stats,
    /// Something that the worker could not do as it should, by number.
    Degradation(u64),
}

impl fmt::Display for StepStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepStage::HookBefore => f.write_str("hook_before"),
            StepStage::Performed => f.write_str("performed"),
            StepStage::Final => f.write_str("final"),
            StepStage::Part(name) => write!(f, "part:{name}"),
            StepStage::Stats => f.write_str("stats"),
            StepStage::Degradation(number) => write!(f, "degradation:{number}"),
        }
    }
}

impl StepStage {
    /// Reads a stage as it was printed.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(':') {
            None => match text {
                "hook_before" => StepStage::HookBefore,
                "performed" => StepStage::Performed,
                "final" => StepStage::Final,
                "stats" => StepStage::Stats,
                _ => return None,
            },
            Some(("part", name)) => StepStage::Part(name.to_owned()),
            Some(("degradation", number)) => StepStage::Degradation(number.parse().ok()?),
            Some(_) => return None,
        })
    }
}

/// What is kept of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageRecord {
    /// Which one.
    pub stage: StepStage,
    /// What it gave.
    pub value: Value,
}

/// The token of a worker that an operator was handed for a step.
#[derive(Debug, Clone, PartialEq)]
pub struct SpawnToken {
    /// The token.
    pub token_id: TokenId,
    /// The run.
    pub run_id: RunId,
    /// The step in it.
    pub path: StepPath,
    /// Which attempt of it.
    pub attempt: u32,
    /// The generation of the seat that it was handed to.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_request_is_named_by_what_it_asks_and_read_back() {
        let run_id = RunId::new(Uuid::from_u128(7));
        for kind in RequestKind::ALL {
            let key = RequestKey {
                kind,
                step: StepId::of(&run_id, &StepPath::new("0/body#3/1"), 2),
                generation: 4,
            };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for wrong in ["", "spawn", "spawn:ST-1:g1", "hook_after:x:g1", "spawn::g"] {
            assert!(wrong.parse::<RequestKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_stage_is_read_as_it_was_printed() {
        for stage in [
            StepStage::HookBefore,
            StepStage::Performed,
            StepStage::Final,
            StepStage::Part("a:b".to_owned()),
            StepStage::Stats,
            StepStage::Degradation(7),
        ] {
            assert_eq!(StepStage::parse(&stage.to_string()), Some(stage));
        }
        assert_eq!(StepStage::parse("part"), None);
    }
}
