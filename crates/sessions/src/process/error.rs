//! Why a program could not be run, told so that a person knows what to change.

use super::ProcessSpec;
use adjutant_model::run::ErrorClass;
use std::io;
use std::path::PathBuf;

/// Why a program could not be run.
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
    #[error("the program `{program}` was not found{}", searched(*in_path))]
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
    /// It was killed and did not end: it became another user's, or is stuck in the kernel.
    #[error("`{program}`{} was killed and does not end", of_pid(*pid))]
    Unkillable {
        /// The program.
        program: String,
        /// Its pid.
        pid: Option<u32>,
    },
    /// It was started, and then the system did not say what became of it.
    #[error("the end of `{program}` could not be observed")]
    Lost {
        /// The program.
        program: String,
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

fn of_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (pid {pid})"))
}

impl SpawnError {
    /// Finds out what the system meant; it says "not found" of four different things.
    pub(crate) fn explain(spec: &ProcessSpec, source: io::Error) -> SpawnError {
        let program = spec.argv.first().cloned().unwrap_or_default();
        if !spec.cwd.is_dir() {
            return SpawnError::CwdMissing { program, cwd: spec.cwd.clone() };
        }
        match (source.kind(), located(spec, &program)) {
            (io::ErrorKind::NotFound, Some(path)) => SpawnError::InterpreterMissing { path },
            (io::ErrorKind::PermissionDenied, Some(path)) => SpawnError::NotExecutable { path },
            (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, None) => {
                let in_path = if program.contains('/') { SearchedPath::No } else { SearchedPath::Yes };
                SpawnError::NotFound { program, in_path }
            }
            _ => SpawnError::Io { program, source },
        }
    }

    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            SpawnError::EmptyCommand
            | SpawnError::NotFound { .. }
            | SpawnError::NotExecutable { .. }
            | SpawnError::InterpreterMissing { .. } => ErrorClass::User,
            SpawnError::CwdMissing { .. } => ErrorClass::Gone,
            SpawnError::Cancelled { .. } | SpawnError::Unkillable { .. } => ErrorClass::Retry,
            SpawnError::Lost { .. } => ErrorClass::Bug,
            SpawnError::Io { source, .. } => match source.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::ArgumentListTooLong => ErrorClass::User,
                _ => ErrorClass::Retry,
            },
        }
    }
}

/// Gives the first file that the program's name could mean, executable or not.
fn located(spec: &ProcessSpec, program: &str) -> Option<PathBuf> {
    candidates(spec, program).into_iter().find(|path| path.exists())
}

/// Gives the files that the program's name could mean.
fn candidates(spec: &ProcessSpec, program: &str) -> Vec<PathBuf> {
    if program.contains('/') {
        return vec![spec.cwd.join(program)];
    }
    let path = spec.env.iter().find(|(name, _)| name == "PATH").map_or("", |(_, path)| path.as_str());
    path.split(':').map(|folder| spec.cwd.join(folder).join(program)).collect()
}
