//! Which driver hosts what.

use adjutant_model::session::{DriverKind, HostHandle, Signal};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec};
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
    pub(crate) fn new(settings: &crate::Settings) -> Self {
        let tmux_socket = settings.tmux_socket.clone();
        Drivers { tmux_socket: tmux_socket.unwrap_or_else(|| settings.folder.join("tmux.sock")) }
    }

    /// Gives the drivers that can be used here.
    pub(super) fn usable(&self) -> Vec<DriverKind> {
        DriverKind::ALL.to_vec()
    }

    pub(super) async fn launch(&self, spec: LaunchSpec) -> Result<Hosted, DriverError> {
        let (signals, received) = mpsc::channel::<Signal>(SIGNALS_MAX);
        todo!("{signals:?} {received:?} {spec:?}")
    }

    pub(super) async fn adopt(
        &self,
        handle: HostHandle,
        spec: LaunchSpec,
    ) -> Result<Adopted<Hosted>, DriverError> {
        todo!("{handle:?} {spec:?}")
    }

    /// Gives how a person attaches to a terminal, word by word.
    pub(super) fn attach_command(&self, handle: &HostHandle) -> Option<Vec<String>> {
        todo!("{handle:?} {:?}", self.tmux_socket)
    }
}
