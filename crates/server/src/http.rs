//! The routes, a file for each resource.

pub(crate) mod approvals;
pub(crate) mod blueprints;
pub(crate) mod console;
pub(crate) mod costs;
pub(crate) mod data;
pub(crate) mod delegations;
pub(crate) mod enhance;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod gate;
pub(crate) mod goals;
pub(crate) mod handoffs;
pub(crate) mod hooks;
pub(crate) mod managed;
pub(crate) mod memory;
pub(crate) mod operators;
pub(crate) mod page;
pub(crate) mod runs;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod steps;
pub(crate) mod store;
pub(crate) mod tasks;
pub(crate) mod workers;
pub(crate) mod workspaces;

mod range;
