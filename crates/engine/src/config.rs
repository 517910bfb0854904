//! `config.toml` in the data folder: limits and habits of the daemon, written by people and through the doors.
//!
//! ```toml
//! [sessions]
//! max_alive = 16                # so many agents may be alive at once
//! auto_resume = true            # whether an agent that died by itself is started again
//! ```
//!
//! What is not said there has its default, and a key that nobody knows is a mistake. Most of it holds at once when it is
//! changed through a door ([`Live`]); what was changed in the file by hand holds with the next change or start, and
//! until then the plane says so. A change is put in place in one move, and made over again when somebody else has
//! written the file in the meantime.

mod file;
mod keys;
#[cfg(test)]
mod tests;

pub use file::ConfigError;
pub use keys::TakesEffect;

use crate::clock;
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use crate::settings::Settings;
use crate::workspaces;
use adjutant_model::Value;
use adjutant_model::action::{Caller, Verb};
use adjutant_model::event::Event;
use adjutant_rules::access;
use adjutant_store::{Draft, Write};
use file::{KeyPath, Values};
use keys::{KEYS, Key};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// The file's name in the data folder.
pub const FILE: &str = "config.toml";
/// The setting that [`Plane::auto_resume_set`] changes.
const AUTO_RESUME: &str = "sessions.auto_resume";
/// So many settings are changed at once.
const CHANGES_MAX: usize = 64;
/// So often a change is made over again because somebody else writes the file.
const TRIES: usize = 8;

/// The settings as they hold now, and what they were before the file was read.
#[derive(Debug)]
pub(crate) struct Live {
    base: Settings,
    now: RwLock<Arc<Settings>>,
    /// Whoever holds it changes the file.
    turn: Semaphore,
}

impl Live {
    /// Reads the file of the settings' data folder; gives what holds from now on.
    pub(crate) fn open(base: Settings) -> Result<(Live, Settings), ConfigError> {
        let values = file::read(&file::load(&path(&base))?)?;
        let settings = applied(&base, &values);
        let now = RwLock::new(Arc::new(settings.clone()));
        Ok((Live { base, now, turn: Semaphore::new(1) }, settings))
    }

    fn now(&self) -> Arc<Settings> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, settings: Settings) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

impl Core {
    /// Gives the settings as they hold now; what only a restart changes is in them as the file said it last.
    pub(crate) fn live(&self) -> Arc<Settings> {
        self.live.now()
    }
}

/// A setting, as it stands and as it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigSetting {
    /// Its key, such as `sessions.max_alive`.
    pub key: String,
    /// What the file says, or else the default; null for nothing, and for a secret.
    pub value: Value,
    /// What it is when the file says nothing.
    pub default: Value,
    /// What the daemon does now.
    pub in_force: Value,
    /// Whether the file says it.
    pub is_set: bool,
    /// Whether its value is shown to nobody.
    pub is_secret: bool,
    /// When a change of it holds.
    pub takes_effect: TakesEffect,
    /// Whether what the file says holds only after a restart, or another change.
    pub pending_restart: bool,
    /// What it is for.
    pub about: &'static str,
}

/// The settings of `config.toml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The file, there or not.
    pub path: PathBuf,
    /// All settings in the order in which they are documented; of chosen names those that the file has.
    pub settings: Vec<ConfigSetting>,
    /// The folder of all workspaces. It is part of the data folder and no setting.
    pub workspace_root: PathBuf,
}

impl Config {
    /// Gives a setting.
    pub fn setting(&self, key: &str) -> Option<&ConfigSetting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

/// Whether agents that died by themselves are started again: what is wanted, and what is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoResume {
    /// What the settings say.
    pub desired: bool,
    /// What the daemon does.
    pub in_force: bool,
}

impl AutoResume {
    /// Tells whether what is wanted holds only after a restart.
    pub fn pending_restart(self) -> bool {
        self.desired != self.in_force
    }
}

impl Plane {
    /// Gives the settings of `config.toml`.
    ///
    /// # Errors
    /// [`EngineError::Config`] when the file cannot be used as it is.
    pub async fn config_read(&self) -> Result<Config, EngineError> {
        Ok(shown(&self.core, &values(&self.core).await.map_err(|error| unusable(&error))?))
    }

    /// Changes settings, all of them or none; a null takes one out of the file. Gives what they are then.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for others than the owner, [`EngineError::Invalid`] for a key that is not there and a
    /// value that it does not take, [`EngineError::Config`] when the file cannot be used as it is.
    pub async fn config_write(
        &self,
        caller: &Caller,
        changes: BTreeMap<String, Value>,
    ) -> Result<Config, EngineError> {
        if !access::may(caller.role, Verb::Own) {
            let error = format!("the role {} changes no settings; the owner does", caller.role.as_str());
            return Err(EngineError::Forbidden(error));
        }
        write(&self.core, caller, changes).await
    }

    /// Tells whether agents that died by themselves are started again.
    pub async fn auto_resume(&self) -> AutoResume {
        auto_resume(&self.core).await.0
    }

    /// Says whether agents that died by themselves are started again, from now on and after a restart.
    ///
    /// # Errors
    /// As [`Plane::config_write`]; an operator may do this, too.
    pub async fn auto_resume_set(&self, caller: &Caller, enabled: bool) -> Result<AutoResume, EngineError> {
        if !access::may(caller.role, Verb::Operate) {
            let error = format!("the role {} may not do this", caller.role.as_str());
            return Err(EngineError::Forbidden(error));
        }
        let changes = BTreeMap::from([(AUTO_RESUME.to_owned(), Value::from(enabled))]);
        write(&self.core, caller, changes).await?;
        Ok(self.auto_resume().await)
    }
}

/// Tells whether agents that died by themselves are started again, and why the file cannot be read when it cannot.
pub(crate) async fn auto_resume(core: &Core) -> (AutoResume, Option<ConfigError>) {
    let in_force = core.live().sessions_auto_resume;
    match values(core).await {
        Ok(values) => {
            let desired = applied(&core.live.base, &values).sessions_auto_resume;
            (AutoResume { desired, in_force }, None)
        }
        Err(error) => (AutoResume { desired: in_force, in_force }, Some(error)),
    }
}

fn path(settings: &Settings) -> PathBuf {
    settings.folder.join(FILE)
}

async fn values(core: &Core) -> Result<Values, ConfigError> {
    let path = path(&core.settings);
    apart(move || file::read(&file::load(&path)?)).await
}

/// Does something that waits for the disk on a thread of its own.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConfigError> + Send + 'static,
) -> Result<T, ConfigError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ConfigError::Io { done: "used", source: std::io::Error::other(error) }))
}

/// Gives what holds when the file says this.
fn applied(base: &Settings, values: &Values) -> Settings {
    let mut settings = base.clone();
    for (path, value) in values {
        if let Some(key) = path.key()
            && !base.pinned.contains(key.path)
        {
            (key.set)(&mut settings, path.name(), value);
        }
    }
    settings
}

async fn write(
    core: &Core,
    caller: &Caller,
    changes: BTreeMap<String, Value>,
) -> Result<Config, EngineError> {
    let changes = checked(changes)?;
    let named = changes.clone();
    apart(move || file::look_at_files(&named)).await.map_err(|error| refused(&error))?;
    let _turn = core.live.turn.acquire().await.map_err(|_| EngineError::Stopping)?;
    let path = path(&core.settings);
    let mut is_journalled = false;
    for _ in 0..TRIES {
        let (seen, prepared, values) = prepared(&path, &changes).await.map_err(|error| unusable(&error))?;
        if !is_journalled {
            journal(core, caller, &changes).await?;
            is_journalled = true;
        }
        let place = path.clone();
        let put = move || match file::load(&place)? == seen {
            true => prepared.put().map(|()| true),
            false => Ok(false),
        };
        if apart(put).await.map_err(|error| unusable(&error))? {
            core.live.set(applied(&core.live.base, &values));
            return Ok(shown(core, &values));
        }
    }
    Err(EngineError::Conflict {
        message: format!("{FILE} is being written by somebody else all the time"),
        hint: Some("try again when that has ended".to_owned()),
    })
}

async fn prepared(
    path: &Path,
    changes: &[(KeyPath, Option<Value>)],
) -> Result<(String, file::Prepared, Values), ConfigError> {
    let (path, changes) = (path.to_owned(), changes.to_vec());
    apart(move || {
        let seen = file::load(&path)?;
        let text = file::edited(&seen, &changes)?;
        let values = file::read(&text)?;
        Ok((seen, file::prepare(&path, &text)?, values))
    })
    .await
}

async fn journal(
    core: &Core,
    caller: &Caller,
    changes: &[(KeyPath, Option<Value>)],
) -> Result<(), EngineError> {
    let keys = changes.iter().map(|(path, _)| path.to_string()).collect();
    let mut write = Write::default();
    let (actor, subject) = (caller.actor().into(), "plane".into());
    write.journal(Draft { at: clock::now(), actor, subject, event: Event::ConfigChanged { keys } });
    core.store.write(write).await?;
    Ok(())
}

fn checked(changes: BTreeMap<String, Value>) -> Result<Vec<(KeyPath, Option<Value>)>, EngineError> {
    if changes.is_empty() || changes.len() > CHANGES_MAX {
        let message = format!("1 to {CHANGES_MAX} settings are changed at once, not {}", changes.len());
        return Err(EngineError::invalid(message));
    }
    let check = |(text, value): (String, Value)| {
        let path = KeyPath::parse(&text)?;
        let value = (value != Value::Null).then_some(value);
        if let (Some(key), Some(value)) = (path.key(), &value) {
            let wrong = |wants| ConfigError::Value { key: path.to_string(), wants, line: None };
            key.kind.check(path.name(), value).map_err(wrong)?;
        }
        Ok((path, value))
    };
    let checked: Result<Vec<_>, ConfigError> = changes.into_iter().map(check).collect();
    checked.map_err(|error| refused(&error))
}

fn refused(error: &ConfigError) -> EngineError {
    EngineError::Invalid { message: error.to_string(), hint: Some(error.hint()) }
}

fn unusable(error: &ConfigError) -> EngineError {
    EngineError::Config {
        message: format!("{FILE} cannot be used: {error}"),
        hint: format!("correct it by hand; {}", error.hint()),
    }
}

fn shown(core: &Core, values: &Values) -> Config {
    let Live { base, .. } = &core.live;
    let (live, said) = (core.live(), said(base, values));
    let row = |key: &'static Key, path: String, name: &str, is_set: bool| {
        let in_force = match key.takes {
            TakesEffect::AtOnce => (key.get)(&live, name),
            TakesEffect::Restart => (key.get)(&core.settings, name),
        };
        let value = (key.get)(&said, name);
        let pending_restart = value != in_force;
        let plain = |value| if key.is_secret { Value::Null } else { value };
        ConfigSetting {
            key: path,
            default: plain((key.get)(base, name)),
            value: plain(value),
            in_force: plain(in_force),
            is_set,
            is_secret: key.is_secret,
            takes_effect: key.takes,
            pending_restart,
            about: key.about,
        }
    };
    let mut settings = Vec::new();
    for key in KEYS {
        let of_key = values.keys().filter(|path| path.key().is_some_and(|found| found.path == key.path));
        if key.path.ends_with(".*") {
            settings.extend(of_key.map(|path| row(key, path.to_string(), path.name(), true)));
        } else {
            settings.push(row(key, key.path.to_owned(), "", of_key.count() > 0));
        }
    }
    Config { path: path(&core.settings), settings, workspace_root: workspaces::folder(core) }
}

/// Gives what the file says, also where the command line has the last word.
fn said(base: &Settings, values: &Values) -> Settings {
    let mut base = base.clone();
    base.pinned.clear();
    applied(&base, values)
}
