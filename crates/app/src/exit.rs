//! The one place where an error is printed and becomes an exit code.

use crate::commands::Commands;
use crate::progress::visible_lines;
use adjutant_protocol::{ClientError, ErrorCode, ExitCode as Code};
use adjutant_rules::redact::redact;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// An error with what to do about it and how the process ends.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into(), hint: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    #[must_use]
    pub(crate) fn hinted(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Gives what to do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Tells whether something is meant that is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Names the commands in an error's hint so that they work when they are typed.
pub(crate) fn with_commands(error: anyhow::Error, commands: &Commands) -> anyhow::Error {
    if is_broken_pipe(&error) {
        return error;
    }
    let failure = failure_of(&error);
    let hint = failure.hint.map(|hint| commands.in_text(&hint));
    Failure { hint, ..failure }.into()
}

/// Prints what went wrong, once, and gives the exit code. A reader that has gone is no error.
pub(crate) fn report(result: anyhow::Result<Code>) -> ExitCode {
    let error = match result {
        Ok(code) => return ExitCode::from(code.number()),
        Err(error) => error,
    };
    if is_broken_pipe(&error) {
        return ExitCode::SUCCESS;
    }
    let failure = failure_of(&error);
    let mut stderr = io::stderr().lock();
    // When even standard error has gone there is nobody left to tell.
    // What is refused is quoted, and may be anything; of a daemon this goes into its log.
    drop(writeln!(stderr, "error: {}", visible_lines(&redact(&failure.message))));
    if let Some(hint) = &failure.hint {
        drop(writeln!(stderr, "hint: {}", visible_lines(&redact(hint))));
    }
    ExitCode::from(failure.code.number())
}

/// Ends the process with a code that a script chose, which may be none of ours.
#[expect(clippy::disallowed_methods, reason = "this is the one place that ends the process")]
pub(crate) fn exit_as_told(code: u8) -> ! {
    std::process::exit(i32::from(code))
}

fn failure_of(error: &anyhow::Error) -> Failure {
    let message = format!("{error:#}");
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return Failure { code: failure.code, message, hint: failure.hint.clone() };
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Api { error, .. }) => {
            let code = ErrorCode::parse(&error.code).map_or(Code::Failed, ErrorCode::exit);
            Failure { code, message, hint: error.hint.clone() }
        }
        Some(ClientError::Unreachable { .. }) => Failure::new(Code::Unreachable, message)
            .hinted("`adjutant status` shows whether it runs, `adjutant serve` starts it"),
        Some(ClientError::Protocol(_)) => Failure::new(Code::Bug, message),
        Some(ClientError::Id(_)) => Failure::new(Code::NotFound, message),
        None => Failure::new(Code::Failed, message),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
