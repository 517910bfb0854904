//! The data path: outputs that are too large to stand in a flow's context, and what refers to them.

use crate::id::{OutputId, RunId};
use crate::run::StepPath;
use crate::time::Timestamp;
use crate::value::Value;

/// What a step or a person has put on the data path. The bytes of an output are a file by their hash, or its event.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputRecord {
    /// Its id.
    pub id: OutputId,
    /// The name that the latest of a run is found by; an event has none.
    pub name: Option<String>,
    /// The run that it was made in; a person may put one before there is a run.
    pub run_id: Option<RunId>,
    /// The task or step that its producer named.
    pub task_id: Option<String>,
    /// The step that made it.
    pub path: Option<StepPath>,
    /// The attempt of the step.
    pub attempt: Option<u32>,
    /// Who made it, as its producer says.
    pub producer: Option<String>,
    /// SHA-256 of its bytes, as 64 hex digits.
    pub sha256: String,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// What the bytes are.
    pub content_type: String,
    /// What was emitted; its JSON is the output's bytes, and there is no file.
    pub event: Option<Value>,
    /// The outputs that it was made from.
    pub parents: Vec<OutputId>,
    /// When it was put.
    pub created_at: Timestamp,
}

/// What the store knows of an output that decides whether it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputStanding {
    /// The output.
    pub id: OutputId,
    /// Its place among all outputs.
    pub number: i64,
    /// The hash of its file; nothing when it has none.
    pub file: Option<String>,
    /// When it was put.
    pub created_at: Timestamp,
    /// The runs that refer to it and are still there.
    pub runs: Vec<RunStanding>,
}

/// How a run stands that refers to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStanding {
    /// It is open.
    Open,
    /// It is over, and its turns are kept.
    TurnsKept {
        /// When it ended.
        ended_at: Timestamp,
    },
    /// It is over, and has no turns, or none any more.
    Bare,
}
