//! Why a program could not be started.

use adjutant_model::run::ErrorClass;
use std::io;
use std::path::PathBuf;

/// Why a program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// There is nothing to start.
    #[error("the command is empty")]
    EmptyCommand,
    /// It was cancelled before it was started.
    #[error("cancelled before `{program}` was started")]
    Cancelled {
        /// The program.
        program: String,
    },
    /// The program was searched and is nowhere.
    #[error("the program `{program}` was not found{}", searched(*.in_path))]
    NotFound {
        /// The program.
        program: String,
        /// Whether `PATH` was searched; otherwise the program was named by its path.
        in_path: SearchedPath,
    },
    /// The program is there but may not be executed.
    #[error("{} is not executable", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The program is a script whose interpreter is not there, or a binary whose loader is not.
    #[error("{} is there, but the interpreter that it names is not", path.display())]
    InterpreterMissing {
        /// The file.
        path: PathBuf,
    },
    /// The directory to run in is not there.
    #[error("the directory {} to run `{program}` in does not exist", cwd.display())]
    CwdMissing {
        /// The program.
        program: String,
        /// The directory.
        cwd: PathBuf,
    },
    /// The system would not.
    #[error("`{program}` could not be started")]
    Io {
        /// The program.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Where a program was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SearchedPath {
    /// In the directories of `PATH`.
    Yes,
    /// Nowhere else: it was named by its path.
    No,
}

fn searched(path: SearchedPath) -> &'static str {
    match path {
        SearchedPath::Yes => " in PATH",
        SearchedPath::No => "",
    }
}

impl SpawnError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            SpawnError::EmptyCommand
            | SpawnError::NotFound { .. }
            | SpawnError::NotExecutable { .. }
            | SpawnError::InterpreterMissing { .. } => ErrorClass::User,
            SpawnError::CwdMissing { .. } => ErrorClass::Gone,
            SpawnError::Cancelled { .. } => ErrorClass::Retry,
            SpawnError::Io { source, .. } => match source.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => ErrorClass::User,
                _ => ErrorClass::Retry,
            },
        }
    }
}
