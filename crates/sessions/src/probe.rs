//! Finding out which agent programs are here, and what they can do.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Finds the executable file that a program's name means: below `cwd` when it has a `/`, else in the `PATH` of `env`.
pub fn find_program(program: &str, env: &[(String, String)], cwd: &Path) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(cwd.join(program)).filter(is_executable);
    }
    let (_, path) = env.iter().find(|(name, _)| name == "PATH")?;
    path.split(':').map(|folder| cwd.join(folder).join(program)).find(is_executable)
}
