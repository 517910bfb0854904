//! The driver `headless`: print mode, told and heard by lines of JSON.
//!
//! Claude Code is one process for all prompts: the next prompt is written when the result of the one before has come,
//! since two at once give one result. Codex is one process for each prompt; between two there is none, and the handle
//! says pid 0. Neither outlives the daemon. One task owns the agent (`owner.rs`); what a line means stands in
//! `claude.rs` and `codex.rs`, which know no process.

mod claude;
mod codex;
mod owner;

use super::heard::Meter;
use super::owned::{OwnedAgent, no_process};
use super::piped::{Piped, Start, found};
use super::said::RawStream;
use super::{Adopted, DriverError, LaunchSpec, Signals, end_leftovers, end_orphaned, usage_kept};
use adjutant_model::profile::StreamFlavour;
use adjutant_model::session::{AgentExit, HostHandle};
use claude::ClaudeStream;
use codex::CodexStream;
use owner::{Owner, Process, Stream};

/// A hosted agent in print mode. Dropping it ends the agent with all its descendants.
pub type HeadlessAgent = OwnedAgent;

/// Starts an agent. What an earlier try left behind under the same marker is ended first.
///
/// # Errors
/// [`DriverError::Start`] when its program cannot be started, [`DriverError::Unsupported`] when its profile names a
/// stream that print mode has not.
pub async fn launch(spec: LaunchSpec, signals: Signals) -> Result<HeadlessAgent, DriverError> {
    end_leftovers(&spec).await?;
    let told = usage_kept::read(&spec.folder, spec.resume.as_deref());
    let meter = match &spec.resume {
        Some(_) => Meter::going_on(told),
        None => Meter::fresh(),
    };
    let (stream, process) = match spec.driver.stream {
        StreamFlavour::ClaudeStreamJson => {
            let (piped, pipes) = Piped::start(Start::of(&spec), spec.cgroup())?;
            (Stream::Claude(ClaudeStream::new(meter)), Some(Process::new(piped, pipes)))
        }
        StreamFlavour::CodexJson => {
            found(Start::of(&spec))?;
            (Stream::Codex(CodexStream::new(meter, spec.resume.clone())), None)
        }
        StreamFlavour::None | StreamFlavour::Acp => {
            let stream = spec.driver.stream.as_str();
            return Err(DriverError::Unsupported { what: format!("print mode has no stream `{stream}`") });
        }
    };
    let handle = process.as_ref().map_or_else(|| no_process(&spec), |process| process.handle(&spec));
    let scrollback = RawStream::open(&spec.folder, spec.scrollback_bytes_max);
    Ok(OwnedAgent::start(handle, signals, move |voice, commands| {
        Owner::new(spec, voice, scrollback, stream, process).run(commands)
    }))
}

/// Finds an agent again after a restart of the daemon: there is none, and what it left behind is ended.
///
/// # Errors
/// [`DriverError::Start`] when something of it does not end.
pub async fn adopt(
    handle: HostHandle,
    spec: LaunchSpec,
    _signals: Signals,
) -> Result<Adopted<HeadlessAgent>, DriverError> {
    end_orphaned(&handle, &spec).await?;
    Ok(Adopted::Ended(AgentExit::WithDaemon))
}
