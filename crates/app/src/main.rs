//! The `adjutant` binary: command line, composition root, rehearsal agent.
//!
//! Only this crate reads the environment and the home folder, prints, and ends the process.

mod bench;
mod cli;
mod commands;
mod config;
mod daemon;
mod drive;
mod exit;
mod hook;
mod host_agent;
mod launch;
mod log;
mod mcp;
mod progress;
mod rehearsal;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Agents wait for it, so nothing comes before.
    if let Some(args) = hook::called(std::env::args_os()) {
        return hook::run(None, args);
    }
    if let Some(args) = host_agent::called(std::env::args_os()) {
        return host_agent::become_agent(args);
    }
    exit::report(cli::main())
}
