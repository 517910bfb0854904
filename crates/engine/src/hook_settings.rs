//! The files of agents' hook settings: where they are, what is written there, and how it is taken out again.
//!
//! A session that Adjutant hosts gets its hooks by an argument of its agent (`agents.rs`), so that nothing stands in its workspace: no
//! change in `git status`, nothing in a snapshot or a diff, nothing of the project overwritten. Files of people are
//! changed only when they ask for it. Such a file is replaced in one move, what was there is kept beside it, and taking our
//! entries out gives it back byte by byte unless something else has changed it since.

use adjutant_model::profile::HookFlavour;
use adjutant_rules::hook::settings::{self, ForeignHook, Removed, SettingsError};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// What a file is kept under before it is changed, behind its own name.
const BACKUP: &str = "before-adjutant";
/// A file of settings is at most so large, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a file of settings was left as it was.
#[derive(Debug, Error)]
pub enum HookSettingsError {
    /// What is in it is not understood.
    #[error("{} is left as it is", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SettingsError,
    },
    /// It could not be read or written.
    #[error("{} cannot be {done}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        done: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookSettingsChange {
    /// It was as it should be.
    Nothing,
    /// It was written.
    Written,
    /// It is byte by byte what it was before our entries came.
    Restored,
    /// It was ours alone and is gone.
    Deleted,
}

/// A hook that a project brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectHook {
    /// The file, from the project's top.
    pub file: &'static str,
    /// The hook; nothing when the file is not understood, so that nobody can say what it runs.
    pub hook: Option<ForeignHook>,
}

/// Gives the file of a person's settings below their home, or of a project's below its top.
pub fn path_of(flavour: HookFlavour, place: &HookPlace) -> Option<PathBuf> {
    let (folder, user, project) = match flavour {
        HookFlavour::None => return None,
        HookFlavour::Claude => (".claude", "settings.json", "settings.local.json"),
        HookFlavour::Codex => (".codex", "hooks.json", "hooks.json"),
    };
    Some(match place {
        HookPlace::User { home } => home.join(folder).join(user),
        HookPlace::Project { top } => top.join(folder).join(project),
    })
}

/// Whose settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookPlace {
    /// A person's.
    User {
        /// Their home folder.
        home: PathBuf,
    },
    /// A project's.
    Project {
        /// Its top.
        top: PathBuf,
    },
}

/// Puts our entries into a file of settings.
///
/// # Errors
/// [`HookSettingsError`]; the file is as it was.
pub fn install(
    path: &Path,
    flavour: HookFlavour,
    program: &Path,
) -> Result<HookSettingsChange, HookSettingsError> {
    let path = &real(path);
    let before = read(path)?;
    let text = before.as_deref().unwrap_or("{}");
    let wanted = settings::merged(text, flavour, &program.to_string_lossy()).map_err(not_understood(path))?;
    if before.as_deref() == Some(&wanted) {
        return Ok(HookSettingsChange::Nothing);
    }
    // What is kept is what the person had, and not what an earlier version of us has made of it.
    if let Some(before) = &before
        && settings::installed(before).map_err(not_understood(path))?.is_empty()
    {
        put(&backup_of(path), before.as_bytes())?;
    }
    put(path, wanted.as_bytes())?;
    Ok(HookSettingsChange::Written)
}

/// Takes our entries out of a file of settings.
///
/// # Errors
/// [`HookSettingsError`]; the file is as it was.
pub fn remove(path: &Path, flavour: HookFlavour) -> Result<HookSettingsChange, HookSettingsError> {
    let path = &real(path);
    let Some(now) = read(path)? else { return Ok(HookSettingsChange::Nothing) };
    let left = settings::removed(&now).map_err(not_understood(path))?;
    let backup = backup_of(path);
    let change = match left {
        Removed::Nothing => return Ok(HookSettingsChange::Nothing),
        left => match read(&backup)?.filter(|before| is_made_of(&now, before, flavour)) {
            Some(before) => {
                put(path, before.as_bytes())?;
                HookSettingsChange::Restored
            }
            None => match left {
                Removed::Text(text) => {
                    put(path, text.as_bytes())?;
                    HookSettingsChange::Written
                }
                Removed::Empty | Removed::Nothing => {
                    fs::remove_file(path).map_err(failed(path, "removed"))?;
                    HookSettingsChange::Deleted
                }
            },
        },
    };
    match fs::remove_file(&backup) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&backup, "removed")(error)),
        Ok(()) | Err(_) => Ok(change),
    }
}

/// Gives the events that our entries stand under in a file; none when there is no file.
///
/// # Errors
/// [`HookSettingsError`]
pub fn status(path: &Path) -> Result<Vec<String>, HookSettingsError> {
    match read(path)? {
        Some(text) => settings::installed(&text).map_err(not_understood(path)),
        None => Ok(Vec::new()),
    }
}

/// Gives the hooks that a project brings along in files that agents read. They run with the environment of their agent,
/// as anything does that the agent starts.
pub fn of_project(top: &Path) -> Vec<ProjectHook> {
    const FILES: [&str; 3] = [".claude/settings.json", ".claude/settings.local.json", ".codex/hooks.json"];
    let mut found = Vec::new();
    for file in FILES {
        match read(&top.join(file)).map(|text| text.map(|text| settings::foreign(&text))) {
            Ok(None) => {}
            Ok(Some(Ok(hooks))) => {
                found.extend(hooks.into_iter().map(|hook| ProjectHook { file, hook: Some(hook) }));
            }
            Ok(Some(Err(_))) | Err(_) => found.push(ProjectHook { file, hook: None }),
        }
    }
    found
}

/// Tells whether what a file holds is what was there before and our entries, whichever program they name.
fn is_made_of(now: &str, before: &str, flavour: HookFlavour) -> bool {
    let without = |text: &str| {
        let program = "adjutant";
        settings::merged(text, flavour, program).ok()
    };
    without(now) == without(before)
}

/// Follows links, because people keep such files elsewhere; a file that is not there yet is where it is named.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn backup_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{name}.{BACKUP}"))
}

/// Reads a file; nothing when there is none.
fn read(path: &Path) -> Result<Option<String>, HookSettingsError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(path, "read")(error)),
    };
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        let error = io::Error::other(format!("it is no file of at most {FILE_BYTES_MAX} bytes"));
        return Err(failed(path, "read")(error));
    }
    fs::read_to_string(path).map(Some).map_err(failed(path, "read"))
}

/// Puts a file in place in one move, with the mode that it had.
fn put(path: &Path, content: &[u8]) -> Result<(), HookSettingsError> {
    let written = || -> io::Result<()> {
        let folder = path.parent().ok_or_else(|| io::Error::other("it is in no folder"))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mode = fs::metadata(path).map_or(0o600, |found| found.permissions().mode() & 0o777);
        let mut file =
            tempfile::Builder::new().permissions(fs::Permissions::from_mode(mode)).tempfile_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    };
    written().map_err(failed(path, "written"))
}

fn failed(path: &Path, done: &'static str) -> impl FnOnce(io::Error) -> HookSettingsError {
    let path = path.to_owned();
    move |source| HookSettingsError::File { path, done, source }
}

fn not_understood(path: &Path) -> impl FnOnce(SettingsError) -> HookSettingsError {
    let path = path.to_owned();
    move |source| HookSettingsError::Settings { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HookFlavour::{Claude, Codex};

    /// Odd on purpose: what is restored is bytes, not JSON.
    const OWN: &str = "{ \"b\":1,\n\t\"a\" : [ 1.50 ], \"hooks\" : { } }\r\n";

    fn program() -> PathBuf {
        PathBuf::from("/opt/adjutant")
    }

    #[test]
    fn what_was_there_comes_back_byte_by_byte() {
        for flavour in [Claude, Codex] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("settings.json");
            fs::write(&path, OWN).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert_eq!(install(&path, flavour, &program()).unwrap(), HookSettingsChange::Written);
            assert_eq!(install(&path, flavour, &program()).unwrap(), HookSettingsChange::Nothing);
            assert_eq!(
                install(&path, flavour, Path::new("/new/adjutant")).unwrap(),
                HookSettingsChange::Written
            );
            assert_eq!(status(&path).unwrap().len(), settings::events(flavour).len());
            assert_eq!(remove(&path, flavour).unwrap(), HookSettingsChange::Restored);
            assert_eq!(fs::read_to_string(&path).unwrap(), OWN);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
            assert_eq!(remove(&path, flavour).unwrap(), HookSettingsChange::Nothing);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        }
    }

    #[test]
    fn what_somebody_has_changed_since_stays_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".claude/settings.json");
        assert_eq!(install(&path, Claude, &program()).unwrap(), HookSettingsChange::Written);
        assert_eq!(remove(&path, Claude).unwrap(), HookSettingsChange::Deleted);
        assert!(!path.exists());
        fs::write(&path, OWN).unwrap();
        install(&path, Claude, &program()).unwrap();
        let changed = fs::read_to_string(&path).unwrap().replacen("\"b\": 1", "\"b\": 2", 1);
        fs::write(&path, changed).unwrap();
        assert_eq!(remove(&path, Claude).unwrap(), HookSettingsChange::Written);
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\n  \"b\": 2,\n  \"a\": [\n    1.5\n  ]\n}\n");
    }

    #[test]
    fn a_malformed_file_and_what_is_no_file_are_left_alone_and_a_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.json"), folder.path().join("link.json"));
        fs::write(&path, "{ broken").unwrap();
        for result in [install(&path, Claude, &program()).err(), remove(&path, Claude).err()] {
            assert!(matches!(result, Some(HookSettingsError::Settings { .. })), "{result:?}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "{ broken");
        assert!(matches!(status(folder.path()), Err(HookSettingsError::File { .. })));
        fs::write(&path, OWN).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        install(&link, Codex, &program()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(remove(&link, Codex).unwrap(), HookSettingsChange::Restored);
        assert_eq!(fs::read_to_string(&path).unwrap(), OWN);
    }

    #[test]
    fn a_projects_own_hooks_are_found_and_those_that_cannot_be_read_too() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(of_project(folder.path()), []);
        fs::create_dir(folder.path().join(".claude")).unwrap();
        fs::create_dir(folder.path().join(".codex")).unwrap();
        let own = r#"{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"curl evil"}]}]}}"#;
        fs::write(folder.path().join(".claude/settings.json"), own).unwrap();
        fs::write(folder.path().join(".codex/hooks.json"), "{").unwrap();
        install(&folder.path().join(".claude/settings.local.json"), Claude, &program()).unwrap();
        let hook = ForeignHook { event: "SessionStart".into(), runs: "curl evil".into() };
        let expected = [
            ProjectHook { file: ".claude/settings.json", hook: Some(hook) },
            ProjectHook { file: ".codex/hooks.json", hook: None },
        ];
        assert_eq!(of_project(folder.path()), expected);
    }
}
