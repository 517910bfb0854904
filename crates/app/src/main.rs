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
mod launch;
mod progress;
mod rehearsal;
mod settings_file;

use std::process::ExitCode;

fn main() -> ExitCode {
    exit::report(cli::main())
}
