//! Agent profiles: the shipped ones, and those of files in `agents/` of the data folder over them.
//!
//! The files are read whenever a profile is wanted, so that a change holds from the next start of an agent on. A file
//! with a mistake is left out as a whole, and whoever asks for its agent is told the mistake.

use crate::error::EngineError;
use crate::plane::Core;
use crate::templates;
use adjutant_model::profile::{AgentProfile, HookFlavour};
use adjutant_model::run::ErrorClass;
use adjutant_rules::hook::settings;
use adjutant_rules::profile::{ProfileFile, ProfileProblem, Profiles};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// So many files of profiles are read.
const FILES_MAX: usize = 256;
/// A file has at most so many bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Gives all profiles, and what is wrong with files of the user.
pub(crate) fn profiles(core: &Core) -> Result<(Profiles, Vec<ProfileProblem>), EngineError> {
    profiles_in(&core.settings.folder)
}

/// Gives all profiles that hold in a data folder, and what is wrong with files of the user.
pub(crate) fn profiles_in(folder: &Path) -> Result<(Profiles, Vec<ProfileProblem>), EngineError> {
    let folder = folder.join("agents");
    let texts = texts(&folder).map_err(|error| EngineError::Invalid {
        message: format!("the profiles in {} cannot be read: {error}", folder.display()),
        hint: Some("check the folder's owner and mode".to_owned()),
    })?;
    let files: Vec<ProfileFile<'_>> = texts.iter().map(|(name, text)| ProfileFile { name, text }).collect();
    Ok(Profiles::shipped().with(&files))
}

/// Finds the profile of a name.
pub(crate) fn find(core: &Core, name: &str) -> Result<Arc<AgentProfile>, EngineError> {
    let (profiles, problems) = profiles(core)?;
    if let Some(profile) = profiles.find(name) {
        return Ok(profile.clone());
    }
    let shown: String = name.chars().take(80).collect();
    let known: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
    let wrong: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let hint = match wrong.is_empty() {
        true => "a file in `agents/` of the data folder adds one".to_owned(),
        false => format!("files that cannot be used: {}", wrong.join("; ")),
    };
    let message = format!("there is no agent `{shown}`; known: {}", known.join(", "));
    Err(EngineError::Invalid { message, hint: Some(hint) })
}

/// Gives the variables of the daemon's environment that an agent gets besides the usual ones.
pub(crate) fn variables(core: &Core, profile: &AgentProfile) -> Vec<String> {
    templates::allowed_of(profile, &core.settings.env)
}

/// Gives what tells an agent to call Adjutant's hooks, as its profile's `{hook}`; nothing for one that calls none.
///
/// Nothing is written into the workspace, so the project's own hooks stay as they are and its tree stays clean.
pub(crate) fn hook_settings(
    core: &Core,
    profile: &AgentProfile,
    folder: &Path,
) -> Result<Option<String>, EngineError> {
    let path = folder.join("hooks.json");
    hook_settings_at(&core.settings.exe, profile, &path).map_err(|error| EngineError::Workspace {
        message: format!("{} could not be written: {error}", path.display()),
        hint: None,
        class: ErrorClass::Retry,
    })
}

/// As [`hook_settings`], with the file for an agent that reads one.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn hook_settings_at(
    exe: &Path,
    profile: &AgentProfile,
    file: &Path,
) -> io::Result<Option<String>> {
    let program = exe.to_string_lossy();
    match profile.hooks {
        HookFlavour::None => Ok(None),
        HookFlavour::Codex => Ok(Some(settings::codex_override(&program))),
        HookFlavour::Claude => {
            fs::write(file, settings::fresh(profile.hooks, &program))?;
            Ok(Some(file.to_string_lossy().into_owned()))
        }
    }
}

fn texts(folder: &Path) -> io::Result<Vec<(String, String)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .take(FILES_MAX)
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::other(format!("{name} is longer than {FILE_BYTES_MAX} bytes")));
        }
        Ok((name, fs::read_to_string(path)?))
    };
    paths.iter().map(read).collect()
}
