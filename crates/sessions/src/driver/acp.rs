//! The driver `acp`: the Agent Client Protocol, version 1, over standard input and output.
//!
//! The agent is a program that knows the protocol, or an adapter before one. The connection is the crate's; its bytes
//! go through our own reader, which bounds lines and keeps what is no message from it (`connection.rs`). One task owns
//! the agent (`owner.rs`). Files and terminals that the agent asks for stay in the workspace (`files.rs`,
//! `terminals.rs`), and are had only when the gate allows it (`wishes.rs`). An agent does not outlive the daemon.

mod connection;
mod files;
mod owner;
mod terminals;
mod updates;
mod wishes;

use super::owned::OwnedAgent;
use super::piped::{Piped, Start};
use super::said::RawStream;
use super::{Adopted, DriverError, LaunchSpec, Signals, end_leftovers, end_orphaned};
use adjutant_model::session::{AgentExit, HostHandle};
use connection::Connection;
use owner::Owner;

/// An agent that is hosted over ACP. Dropping it ends the agent with all its descendants.
pub type AcpAgent = OwnedAgent;

/// Starts an agent. What an earlier try left behind under the same marker is ended first.
///
/// The agent opens its session behind this; an agent that does not, or wants to be logged in first, ends and says why.
///
/// # Errors
/// [`DriverError::Start`] when its program cannot be started.
pub async fn launch(spec: LaunchSpec, signals: Signals) -> Result<AcpAgent, DriverError> {
    end_leftovers(&spec).await?;
    let (piped, pipes) = Piped::start(Start::of(&spec), spec.cgroup())?;
    let handle = piped.handle(&spec);
    let scrollback = RawStream::open(&spec.folder, spec.scrollback_bytes_max);
    Ok(OwnedAgent::start(handle, signals, move |voice, commands| {
        let connection = Connection::start(pipes, scrollback, &spec);
        Owner::new(spec, voice, piped, connection).run(commands)
    }))
}

/// Finds an agent again after a restart of the daemon: there is none, and what it left behind is ended.
///
/// # Errors
/// [`DriverError::Start`] when something of it does not end.
pub async fn adopt(
    handle: HostHandle,
    spec: LaunchSpec,
    signals: Signals,
) -> Result<Adopted<AcpAgent>, DriverError> {
    drop(signals);
    end_orphaned(&handle, &spec).await?;
    Ok(Adopted::Ended(AgentExit::WithDaemon))
}
