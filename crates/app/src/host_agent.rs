//! `adjutant host-agent PROGRAM ARGS…`: what is put before an agent's program in a terminal, and becomes it.
//!
//! It makes itself the one to whom the orphans of its descendants fall, so that they are found below the agent, and
//! then it is the agent's program. Nothing of the command line is read but these words.

use adjutant_engine::hosting::HOST_COMMAND;
use adjutant_sessions::process::adopt_orphans_and_become;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// What a shell ends with when a program cannot be started.
const NOT_STARTED: u8 = 127;

/// Gives the program and its arguments, when this command is called.
pub(crate) fn called(mut args: impl Iterator<Item = OsString>) -> Option<Vec<String>> {
    let _program = args.next()?;
    let is_called = args.next()? == HOST_COMMAND;
    is_called.then(|| args.map(|arg| arg.to_string_lossy().into_owned()).collect())
}

/// Becomes the agent; returns only when that is not possible.
pub(crate) fn become_agent(args: Vec<String>) -> ExitCode {
    let mut stderr = std::io::stderr();
    let said = match args.split_first() {
        None => writeln!(stderr, "adjutant {HOST_COMMAND}: no program is named"),
        Some((program, args)) => {
            let error = adopt_orphans_and_become(program, args);
            writeln!(stderr, "adjutant: the program {program} cannot be started: {error}")
        }
    };
    // Whoever closed the terminal does not read it.
    drop(said);
    ExitCode::from(NOT_STARTED)
}
