//! What the environment says: the data folder, and what started programs may see of the rest.

use crate::exit::Failure;
use std::path::{Path, PathBuf};

/// A socket's path may not be longer on every system.
const SOCKET_PATH_MAX: usize = 100;

/// Reads a variable that says something.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub(crate) fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Gives the token that the environment says to act with; nothing where it says none.
///
/// # Errors
/// The variable is there and says nothing: whoever sets it means not to act as the owner.
pub(crate) fn token() -> Result<Option<String>, Failure> {
    match std::env::var_os("ADJUTANT_TOKEN").map(|token| token.into_string()) {
        None => Ok(None),
        Some(Ok(token)) if !token.trim().is_empty() => Ok(Some(token)),
        Some(Ok(_) | Err(_)) => Err(Failure::usage("ADJUTANT_TOKEN is set and holds no token")
            .hinted("unset it to act with the owner's token, or put one into it: `adjutant token new`")),
    }
}

/// Gives the whole environment, as far as it is text.
pub(crate) fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Gives the data folder: as asked for, `ADJUTANT_HOME`, or below the XDG data folder. It is absolute.
pub(crate) fn data_folder(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    let chosen =
        asked.map(Path::to_owned).or_else(|| var("ADJUTANT_HOME").map(PathBuf::from)).or_else(default_folder);
    let chosen = chosen.ok_or_else(|| {
        Failure::usage("no data folder: neither ADJUTANT_HOME nor HOME is set")
            .hinted("say where with `--home DIR`")
    })?;
    std::path::absolute(&chosen)
        .map_err(|error| Failure::usage(format!("the data folder {}: {error}", chosen.display())))
}

/// Gives the data folder that is used when nobody names one.
pub(crate) fn default_folder() -> Option<PathBuf> {
    var("XDG_DATA_HOME")
        .map(|data| Path::new(&data).join("adjutant"))
        .or_else(|| var("HOME").map(|home| Path::new(&home).join(".local/share/adjutant")))
}

/// Gives the path of the daemon's socket.
pub(crate) fn socket_path(folder: &Path) -> PathBuf {
    socket_in(folder, "adjutant")
}

/// Gives a socket's path: in the data folder, or in the runtime folder when that is too long for a socket.
pub(crate) fn socket_in(folder: &Path, what: &str) -> PathBuf {
    let path = folder.join(format!("{what}.sock"));
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return path;
    }
    let runtime = var("XDG_RUNTIME_DIR")
        .map_or_else(|| std::env::temp_dir().join(format!("adjutant-{}", user())), PathBuf::from);
    let name =
        adjutant_rules::blueprint::hash(&adjutant_model::Value::from(folder.to_string_lossy().into_owned()));
    runtime.join(format!("{what}-{}.sock", &name[..16]))
}

fn user() -> u32 {
    rustix::process::getuid().as_raw()
}
