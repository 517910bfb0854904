//! The binary from outside: real processes, a real daemon, an environment of its own for each test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics where it is")]

mod again;
mod asks;
mod blueprints;
mod client;
mod config;
mod cost;
mod daemon;
mod data;
mod demo;
mod dependencies;
mod drive;
mod enhance;
mod errors;
mod goals;
mod hooks;
mod mcp;
mod rehearsal;
mod reports;
mod restores;
mod run;
mod runtime;
mod secrets;
mod seeded;
mod session;
mod store;
mod telemetry;
mod weaknesses;

/// The program that these tests run.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_adjutant");
