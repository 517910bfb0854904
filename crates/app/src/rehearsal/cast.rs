//! What every session of a rehearsal's process shares.

use super::gate::Gate;
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
    pub(super) fn player<S>(&self, stage: S, session: Session, gate: Gate) -> Player<S> {
        let cwd = PathBuf::from(session.cwd());
        let settings = Settings::load(&cwd, self.settings.as_deref());
        Player {
            stage,
            gate,
            tools: Tools::new(cwd.clone(), &self.env),
            hooks: Hooks::new(settings, cwd, &self.env),
            session,
            script: self.script.clone(),
            memory: Memory::default(),
        }
    }
}
