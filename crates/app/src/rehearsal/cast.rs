//! What every session of a rehearsal's process shares.

use super::gate::{ACCESS_VARIABLES, Gate};
use super::hooks::{Hooks, Settings};
use super::play::{Memory, Player};
use super::script::Script;
use super::session::{Opening, Place, Session, SessionError};
use super::tools::Tools;
use std::path::PathBuf;

/// The agent before it has a session.
#[derive(Debug)]
pub(super) struct Cast {
    /// What it plays.
    pub(super) script: Script,
    /// Where the process was started; a resolved path.
    pub(super) cwd: PathBuf,
    /// The folder of the transcripts, when any are kept.
    pub(super) home: Option<PathBuf>,
    /// The environment.
    pub(super) env: Vec<(String, String)>,
    /// More hook settings than the project's.
    pub(super) settings: Option<PathBuf>,
    /// How it asks.
    pub(super) permission_mode: String,
}

impl Cast {
    /// Opens a session in a directory, which must be a resolved path.
    pub(super) fn session(&self, cwd: PathBuf, opening: &Opening) -> Result<Session, SessionError> {
        let place = Place { home: self.home.clone(), cwd, permission_mode: self.permission_mode.clone() };
        Session::open(place, opening)
    }

    /// Makes the agent of a session.
    ///
    /// Where a gate judges it, a project's hooks do not get the token for it: they may be anybody's.
    pub(super) fn player<S>(&self, stage: S, session: Session, gate: Gate) -> Player<S> {
        let cwd = PathBuf::from(session.cwd());
        let settings = Settings::load(&cwd, self.settings.as_deref());
        let is_secret = |name: &str| matches!(gate, Gate::At(_)) && ACCESS_VARIABLES.contains(&name);
        let hooks_env: Vec<_> = self.env.iter().filter(|(name, _)| !is_secret(name)).cloned().collect();
        Player {
            stage,
            gate,
            tools: Tools::new(cwd.clone(), &self.env),
            hooks: Hooks::new(settings, cwd, &hooks_env),
            session,
            script: self.script.clone(),
            memory: Memory::default(),
        }
    }
}
