//! Which driver hosts what.

use crate::settings::Settings;
use adjutant_model::session::{DriverKind, HostHandle, Signal};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec, headless};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::mpsc;

/// So many signals of one agent may wait before its driver does.
const SIGNALS_MAX: usize = 256;

/// An agent that is there, and what becomes known of it.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) agent: Arc<dyn AgentDriver>,
    pub(super) signals: mpsc::Receiver<Signal>,
}

/// The drivers of this machine.
#[derive(Debug, Default)]
pub(crate) struct Drivers {
    tmux_socket: PathBuf,
}

impl Drivers {
    /// Sees what can host here.
    pub(crate) fn new(settings: &Settings) -> Self {
        let tmux_socket = settings.tmux_socket.clone();
        Drivers { tmux_socket: tmux_socket.unwrap_or_else(|| settings.folder.join("tmux.sock")) }
    }

    /// Gives the drivers that can be used here.
    pub(super) fn usable(&self) -> Vec<DriverKind> {
        vec![DriverKind::Headless]
    }

    /// Starts an agent, or finds the one that this very launch has started.
    pub(super) async fn launch(&self, spec: LaunchSpec) -> Result<Hosted, DriverError> {
        let (signals, received) = mpsc::channel::<Signal>(SIGNALS_MAX);
        let agent: Arc<dyn AgentDriver> = match spec.driver.driver {
            DriverKind::Headless => Arc::new(headless::launch(spec, signals).await?),
            DriverKind::Tmux | DriverKind::Pty | DriverKind::Acp => {
                return Err(DriverError::Unsupported { what: "not here".to_owned() });
            }
        };
        Ok(Hosted { agent, signals: received })
    }

    /// Finds an agent again that an earlier daemon has started.
    pub(super) async fn adopt(
        &self,
        handle: HostHandle,
        spec: LaunchSpec,
    ) -> Result<Adopted<Hosted>, DriverError> {
        let (signals, received) = mpsc::channel::<Signal>(SIGNALS_MAX);
        match handle.driver {
            DriverKind::Headless => {
                let adopted = headless::adopt(handle, spec, signals).await?;
                Ok(hosted(adopted, received))
            }
            DriverKind::Tmux | DriverKind::Pty | DriverKind::Acp => {
                Err(DriverError::Unsupported { what: "not here".to_owned() })
            }
        }
    }

    /// Gives how a person attaches to a terminal, word by word.
    pub(super) fn attach_command(&self, handle: &HostHandle) -> Option<Vec<String>> {
        let terminal = handle.terminal.as_ref()?;
        let socket = self.tmux_socket.to_string_lossy().into_owned();
        let words = ["tmux", "-S", &socket, "attach", "-t", &format!("={terminal}")].map(str::to_owned);
        Some(words.to_vec())
    }
}

fn hosted<A: AgentDriver + 'static>(adopted: Adopted<A>, signals: mpsc::Receiver<Signal>) -> Adopted<Hosted> {
    match adopted {
        Adopted::Living(agent) => Adopted::Living(Hosted { agent: Arc::new(agent), signals }),
        Adopted::Ended(exit) => Adopted::Ended(exit),
    }
}
