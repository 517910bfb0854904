//! Hooks: what an agent's payload says, what becomes known by it, and what the agent is answered.
//!
//! A payload comes from a program that may be of any version, so a member that is missing or of another type never fails
//! an event: it is only less known.

pub mod read;

pub mod signals;

pub mod tool;

pub mod answer;

pub mod settings;

mod settings_json;

pub mod spool;

pub use answer::{Unreachable, agent_answer, unreachable};
pub use read::{named, read};
pub use signals::signals;
pub use tool::{SubagentEnd, delegated, subagent_end, tool_call};
