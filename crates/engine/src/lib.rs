//! The drive of Adjutant: it loads a state, asks the rules what follows, keeps it, and does it.
//!
//! [`Plane`] is the one object that doors hold. Behind it every open run has an owner, one task that takes its
//! events in order, keeps each transition in one transaction, and only then performs the effects.

pub mod clock;
pub mod error;
pub mod faults;
pub mod settings;

pub mod config;
pub mod console;
pub mod cost;
pub mod metrics;
mod telemetry;

pub mod plane;

pub mod tasks;

pub mod approvals;
mod blueprints;
pub mod clients;
pub mod registry;
mod runs;

pub mod operators;

mod dispatch;

mod places;

mod record;

pub mod gate;

mod explain;

mod checks;

pub mod breakers;
pub mod hook_settings;
pub mod hooks;

pub mod steps;

mod policies;

pub mod identity;

pub mod roster;
pub mod sessions;

mod agents;
pub mod hosting;

pub mod calls;

pub mod delegations;
pub mod handoffs;
mod spawning;

pub mod inbox;

pub mod memory;
pub mod pressure;

pub mod care;
pub mod data;

pub mod jobs;

pub mod doctor;
pub mod load;

pub mod goals;

pub mod enhance;

pub mod reports;

pub mod workspaces;

pub mod templates;
pub mod worker;

pub use adjutant_rules::document::Lint;
pub use adjutant_sessions::worktree::{LeftOut, LeftOutWhy, RemoveMode, Snapshot};
pub use adjutant_store::{RunFilter, Superseded, TaskEntry, TurnFilter, TurnPart};
pub use error::EngineError;
pub use explain::{ExplainedKind, Explanation};
pub use plane::Plane;
pub use runs::{Rerun, Resumed, ToolEnd, ToolWent};
pub use settings::Settings;
