//! The script that an agent begins as: it joins its cgroup, takes its environment and becomes the program.
//!
//! The environment holds secrets, and what stands in an argument list is everybody's to read. So it is handed over in
//! a file that only the user may read, and that the script removes before it does anything else.

use crate::driver::{DriverError, LaunchSpec};
use adjutant_model::run::ErrorClass;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes the script of a start into the session's folder.
pub(super) fn write(
    spec: &LaunchSpec,
    env: &[(String, String)],
    host: &[String],
    procs: Option<&Path>,
) -> Result<PathBuf, DriverError> {
    let path = spec.folder.join(format!("launch-{}.sh", spec.launch));
    let text = text(spec, env, host, procs)?;
    written(&path, text.as_bytes()).map_err(|error| DriverError::Start {
        what: format!("{} could not be written: {error}", path.display()),
        hint: None,
        class: ErrorClass::Retry,
    })?;
    Ok(path)
}

/// Writes a file that only the user may read, in the place of one that is there.
pub(super) fn written(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(bytes)
}

fn text(
    spec: &LaunchSpec,
    env: &[(String, String)],
    host: &[String],
    procs: Option<&Path>,
) -> Result<String, DriverError> {
    let mut script = String::from("rm -f -- \"$0\"\n");
    if let Some(procs) = procs {
        script += &format!("(echo $$ > {}) 2>/dev/null\n", quoted(&procs.to_string_lossy()));
    }
    script += &format!("cd -- {} || exit 127\n", quoted(&spec.cwd.to_string_lossy()));
    // What a shell sets by itself is not of the agent's environment.
    script += "unset OLDPWD SHLVL _\n";
    for (name, value) in env {
        if !is_variable(name) {
            return Err(DriverError::Start {
                what: format!("`{name}` is no name of a variable that a shell can set"),
                hint: Some("leave it out of the agent's profile".to_owned()),
                class: ErrorClass::User,
            });
        }
        script += &format!("export {name}={}\n", quoted(value));
    }
    let command: Vec<String> = host.iter().chain(&spec.argv).map(|word| quoted(word)).collect();
    script += &format!("exec {}\n", command.join(" "));
    Ok(script)
}

/// Quotes a word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
