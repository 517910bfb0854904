//! The decisions of Adjutant: given what is and what happened, what follows.
//!
//! Everything here is a function of its arguments: no async, no I/O, no clock, no randomness. A rule module
//! imports `model` only, and the shared readers: [`document`], which says what is wrong in what a person wrote, and
//! [`quota`], which says what an agent's error says of its quota.

pub mod access;

pub mod client_run;

pub mod document;

pub mod source;

pub mod flow;

pub mod blueprint;

pub mod policy;

pub mod approval;

pub mod profile;

pub mod operator;

pub mod delivery;

pub mod proposal;

pub mod shell;

pub mod run;

pub mod delegation;
pub mod handoff;
pub mod session;

pub mod enhance;

pub mod goal;

pub mod output;

pub mod data;

pub mod limits;

pub mod memory;

pub mod redact;

pub mod report;
pub mod scrub;

pub mod hook;
pub mod quota;

pub mod breaker;
pub mod compress;
pub mod pressure;
pub mod price;
