//! The nouns of Adjutant: ids, values, flows, records and journal events.
//!
//! Nothing here decides, waits, reads a clock or draws a random number; types carry constructors and their
//! wire form, and no more. Every other crate may depend on this one, and it depends on none of them.

pub mod id;
pub mod time;
pub mod value;

pub mod flow;

pub mod blueprint;
pub mod registry;

pub mod action;
pub mod breaker;
pub mod call;
pub mod client_run;
pub mod delegation;
pub mod handoff;
pub mod operator;
pub mod policy;
pub mod profile;
pub mod proposal;
pub mod run;
pub mod session;
pub mod shell;
pub mod workspace;

pub mod data;
pub mod discovered;
pub mod goal;
pub mod hook;
pub mod memory;

pub mod issue;
pub mod report;

pub mod event;

pub use id::{
    CallId, DelegationId, FactId, GoalId, HandoffId, IssueId, OperatorId, OutputId, RunId, SessionId, StepId,
    TaskId, TokenId,
};
pub use time::Timestamp;
pub use value::Value;
pub use workspace::Holder;
