//! Which driver hosts what.

use crate::settings::Settings;
use adjutant_model::session::{DriverKind, HostHandle, Signal};
use adjutant_sessions::driver::tmux::{self, Terminal, TmuxParams, TmuxServer};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec, Signals, acp, headless, pty};
use adjutant_sessions::environment;
use adjutant_sessions::process::Cgroups;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// So many signals of one agent may wait before its driver does.
const SIGNALS_MAX: usize = 256;
/// How long the terminals may take to be listed before what is known of their agents is that nothing is known.
const LISTING_PATIENCE: Duration = Duration::from_millis(800);
/// What the tmux server may see of the daemon's environment besides the usual: what people who attach need.
const TERMINAL_VARIABLES: [&str; 4] = ["TERM", "SHELL", "USER", "LC_*"];

/// An agent that is there, and what becomes known of it.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) agent: Arc<dyn AgentDriver>,
    pub(super) signals: mpsc::Receiver<Signal>,
}

/// The drivers of this machine.
#[derive(Debug)]
pub(crate) struct Drivers {
    tmux: TmuxServer,
    has_tmux: bool,
    cgroups: Option<Cgroups>,
}

impl Drivers {
    /// Sees what can host here. Must be called within a runtime.
    pub(crate) fn new(settings: &Settings) -> Self {
        let socket = settings.tmux_socket.clone().unwrap_or_else(|| settings.folder.join("tmux.sock"));
        let env = environment(&TERMINAL_VARIABLES, settings.env.iter().cloned(), &BTreeMap::new());
        let has_tmux = is_in_path("tmux", &settings.env);
        let cgroups = Cgroups::detect(&folder_name(&settings.folder));
        let params = TmuxParams {
            program: "tmux".to_owned(),
            socket,
            env,
            host: vec![settings.exe.to_string_lossy().into_owned(), HOST_COMMAND.to_owned()],
            cgroups: cgroups.clone(),
        };
        Drivers { tmux: TmuxServer::new(params), has_tmux, cgroups }
    }

    /// Gives the drivers that can be used here.
    pub(super) fn usable(&self) -> Vec<DriverKind> {
        DriverKind::ALL.into_iter().filter(|kind| *kind != DriverKind::Tmux || self.has_tmux).collect()
    }

    /// Gives where agents get cgroups of their own.
    pub(super) fn cgroups(&self) -> Option<Cgroups> {
        self.cgroups.clone()
    }

    /// Ends the terminal server when no agent has a terminal on it.
    pub(crate) async fn leave(&self) {
        let ended = timeout(LISTING_PATIENCE, self.tmux.end_if_empty()).await;
        if !matches!(ended, Ok(Ok(_))) {
            tracing::debug!("the terminal server does not answer, and stays");
        }
    }

    /// Removes the cgroups of those that are not there any more.
    pub(crate) fn tidy(&self) {
        if let Some(cgroups) = &self.cgroups {
            cgroups.remove();
        }
    }

    /// Starts an agent, or finds the one that this very launch has started.
    pub(super) async fn launch(&self, spec: LaunchSpec) -> Result<Hosted, DriverError> {
        let (signals, received) = mpsc::channel::<Signal>(SIGNALS_MAX);
        let agent: Arc<dyn AgentDriver> = match spec.driver.driver {
            DriverKind::Tmux => Arc::new(tmux::launch(&self.tmux, spec, signals).await?),
            DriverKind::Headless => Arc::new(headless::launch(spec, signals).await?),
            DriverKind::Pty => Arc::new(pty::launch(spec, signals).await?),
            DriverKind::Acp => Arc::new(acp::launch(spec, signals).await?),
        };
        Ok(Hosted { agent, signals: received })
    }

    /// Finds an agent again that an earlier daemon has started; `terminals` are those that are there, when they were
    /// listed already.
    pub(super) async fn adopt(
        &self,
        handle: HostHandle,
        spec: LaunchSpec,
        terminals: Option<&[Terminal]>,
    ) -> Result<Adopted<Hosted>, DriverError> {
        let (signals, received) = mpsc::channel::<Signal>(SIGNALS_MAX);
        match handle.driver {
            DriverKind::Tmux => {
                let adopted = self.adopt_terminal(handle, spec, signals, terminals).await?;
                Ok(hosted(adopted, received))
            }
            DriverKind::Headless => Ok(hosted(headless::adopt(handle, spec, signals).await?, received)),
            DriverKind::Pty => Ok(hosted(pty::adopt(handle, spec, signals).await?, received)),
            DriverKind::Acp => Ok(hosted(acp::adopt(handle, spec, signals).await?, received)),
        }
    }

    async fn adopt_terminal(
        &self,
        handle: HostHandle,
        spec: LaunchSpec,
        signals: Signals,
        terminals: Option<&[Terminal]>,
    ) -> Result<Adopted<tmux::TmuxAgent>, DriverError> {
        let listed;
        let terminals = match terminals {
            Some(terminals) => terminals,
            None => {
                listed = self.terminals().await?;
                &listed
            }
        };
        let found = terminals.iter().find(|terminal| terminal.is_of(&handle));
        tmux::adopt_found(&self.tmux, found, &handle, spec, signals).await
    }

    /// Lists the terminals that are there, living and ended.
    ///
    /// # Errors
    /// When they cannot be listed now: they may be there.
    pub(super) async fn terminals(&self) -> Result<Vec<Terminal>, DriverError> {
        timeout(LISTING_PATIENCE, self.tmux.terminals()).await.unwrap_or_else(|_| {
            Err(DriverError::Failed { what: "the terminal server does not answer".to_owned() })
        })
    }

    /// Gives how a person attaches to a terminal, word by word.
    pub(super) fn attach_command(&self, handle: &HostHandle) -> Option<Vec<String>> {
        self.tmux.attach_command(handle)
    }
}

/// The hidden command that is put before an agent's program and becomes it.
pub const HOST_COMMAND: &str = "host-agent";

/// Ends whatever a daemon that is gone has left in the control groups of a data folder, and removes these; waits so long
/// for that. A folder that is used again tidies itself, so this is for one that is not.
pub fn cgroups_clear(folder: &Path, patience: Duration) {
    Cgroups::clear(&folder_name(folder), patience);
}

/// Names the control groups of a data folder.
/// Gives a name that only this data folder has.
pub(crate) fn folder_name(folder: &Path) -> String {
    let text = adjutant_model::Value::from(folder.to_string_lossy().into_owned());
    format!("adjutant-{}", &adjutant_rules::blueprint::hash(&text)[..16])
}

fn is_in_path(program: &str, env: &[(String, String)]) -> bool {
    let path = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_str()).unwrap_or_default();
    std::env::split_paths(path).any(|folder| folder.join(program).is_file())
}

fn hosted<A: AgentDriver + 'static>(adopted: Adopted<A>, signals: mpsc::Receiver<Signal>) -> Adopted<Hosted> {
    match adopted {
        Adopted::Living(agent) => Adopted::Living(Hosted { agent: Arc::new(agent), signals }),
        Adopted::Ended(exit) => Adopted::Ended(exit),
    }
}
