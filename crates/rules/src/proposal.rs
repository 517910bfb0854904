//! Proposals: reading them, ordering their actions, running them, and saying beforehand what would happen.
//!
//! [`read`] checks what a client sent. A [`Plan`] is a proposal with the tools and limits it runs under and the
//! [`Graph`] of what waits for what. [`ProposalState`] is the machine; what its actions share with other proposals,
//! the state of the connection or run and the caches, is a [`World`] that goes into every step and comes out of it.
//! [`verify`] plays a proposal through without doing anything.

mod cache;

mod condition;

mod graph;

mod machine;

pub mod outcome;

mod rate;

mod read;

mod schema;

mod state;

mod tool;

mod verify;

pub use cache::ProposalCaches;
pub use graph::Graph;
pub use machine::{
    ProposalEffect, ProposalEvent, ProposalLimits, ProposalState, ProposalStep, ProposalTimer, SettledBy,
    ToolOutcome, World,
};
pub use read::{ACTIONS_MAX, Given, read, read_draft};
pub use schema::{InvalidSchema, Schema};
pub use state::{StateBook, StateRefusal};
pub use tool::{Tool, ToolSet};
pub use verify::{Evidence, EvidenceCheck, Issue, Severity, Verification, verify};
