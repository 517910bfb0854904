//! Commands that an agent runs through its client, which the protocol calls terminals.
//!
//! Each runs in the workspace with the agent's environment, in a group of its own and under a marker below the
//! agent's, and ends with the agent. What is kept of its output is bounded.

use crate::driver::LaunchSpec;
use crate::driver::piped::{LINGER, Piped, Start};
use crate::driver::{DriverError, Ended};
use adjutant_model::session::AgentExit;
use agent_client_protocol::v1::schema::{CreateTerminalRequest, TerminalExitStatus, TerminalOutputResponse};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// An agent may have so many at once.
const TERMINALS_MAX: usize = 32;

/// So much of the output is kept at most, in bytes.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

const CHUNK_BYTES: usize = 64 << 10;

/// How long a command may take to end after TERM.
const GRACE: Duration = Duration::from_secs(2);

/// Why a terminal could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum TerminalError {
    /// The command could not be started.
    #[error(transparent)]
    Start(#[from] DriverError),
    /// There are too many.
    #[error("there are {TERMINALS_MAX} terminals already; release some")]
    TooMany,
    /// There is none with this id.
    #[error("there is no terminal `{0}`")]
    Unknown(String),
}

/// The terminals of one agent.
#[derive(Debug, Default)]
pub(super) struct Terminals {
    made: u64,
    alive: BTreeMap<String, Terminal>,
}

#[derive(Debug)]
struct Terminal {
    output: Arc<Mutex<Output>>,
    exit: watch::Receiver<Option<AgentExit>>,
    kill: CancellationToken,
}

#[derive(Debug)]
struct Output {
    kept: Vec<u8>,
    bytes_max: usize,
    is_truncated: bool,
}

impl Terminals {
    /// Starts a command in a folder of the workspace and gives the terminal's id.
    pub(super) fn create(
        &mut self,
        spec: &LaunchSpec,
        request: &CreateTerminalRequest,
        cwd: &Path,
    ) -> Result<String, TerminalError> {
        if self.alive.len() >= TERMINALS_MAX {
            return Err(TerminalError::TooMany);
        }
        self.made += 1;
        let id = format!("terminal-{}", self.made);
        let mut env = spec.env.clone();
        let own = request.env.iter().filter(|variable| !variable.name.starts_with("ADJUTANT_"));
        env.extend(own.map(|variable| (variable.name.clone(), variable.value.clone())));
        let argv = argv(request);
        let marker = format!("{}/{id}", spec.marker);
        let (piped, pipes) = {
            // A group in the agent's, so that whatever it starts ends with either.
            let cgroup = spec.cgroup().and_then(|cgroup| cgroup.below(&id));
            Piped::start(Start { argv: &argv, env: &env, cwd, marker: &marker }, cgroup)?
        };
        drop(pipes.stdin);
        let limit = request.output_byte_limit.unwrap_or(OUTPUT_BYTES_MAX).min(OUTPUT_BYTES_MAX);
        let bytes_max = usize::try_from(limit).unwrap_or(usize::MAX);
        let output = Arc::new(Mutex::new(Output { kept: Vec::new(), bytes_max, is_truncated: false }));
        let (ending, exit) = watch::channel(None);
        let kill = CancellationToken::new();
        tokio::spawn(run(piped, pipes.stdout.into_inner(), Arc::clone(&output), ending, kill.clone()));
        self.alive.insert(id.clone(), Terminal { output, exit, kill });
        Ok(id)
    }

    /// Gives what a terminal has shown, and how its command ended.
    pub(super) fn output(&self, id: &str) -> Result<TerminalOutputResponse, TerminalError> {
        let terminal = self.find(id)?;
        let output = terminal.output.lock().unwrap_or_else(PoisonError::into_inner);
        let status = (*terminal.exit.borrow()).map(status);
        Ok(TerminalOutputResponse::new(output.text(), output.is_truncated).exit_status(status))
    }

    /// Gives what waits for the end of a terminal's command.
    pub(super) fn exit(
        &self,
        id: &str,
    ) -> Result<impl Future<Output = TerminalExitStatus> + Send + use<>, TerminalError> {
        let mut exit = self.find(id)?.exit.clone();
        Ok(async move {
            let ended = exit.wait_for(Option::is_some).await.ok().and_then(|found| *found);
            status(ended.unwrap_or(AgentExit::Vanished))
        })
    }

    /// Ends a terminal's command.
    pub(super) fn kill(&self, id: &str) -> Result<(), TerminalError> {
        self.find(id)?.kill.cancel();
        Ok(())
    }

    /// Ends a terminal's command and forgets the terminal.
    pub(super) fn release(&mut self, id: &str) -> Result<(), TerminalError> {
        self.kill(id)?;
        self.alive.remove(id);
        Ok(())
    }

    /// Ends all commands and waits for that.
    pub(super) async fn end(&mut self) {
        let mut exits: Vec<_> = std::mem::take(&mut self.alive)
            .into_values()
            .map(|terminal| {
                terminal.kill.cancel();
                terminal.exit.clone()
            })
            .collect();
        for exit in &mut exits {
            // One that is gone has ended.
            exit.wait_for(Option::is_some).await.ok();
        }
    }

    fn find(&self, id: &str) -> Result<&Terminal, TerminalError> {
        self.alive.get(id).ok_or_else(|| TerminalError::Unknown(id.to_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.kill.cancel();
    }
}

impl Output {
    fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > self.bytes_max {
            self.is_truncated = true;
            let surplus = self.kept.len() - self.bytes_max;
            self.kept.drain(..surplus);
        }
    }

    /// Gives what is kept from the first whole character on.
    fn text(&self) -> String {
        let start = self.kept.iter().take(4).position(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        let start = if self.is_truncated { start } else { 0 };
        String::from_utf8_lossy(&self.kept[start..]).into_owned()
    }
}

/// Gives the command line: a command without arguments is one for the shell, and both outputs go to one place.
fn argv(request: &CreateTerminalRequest) -> Vec<String> {
    let shell = |script: &str| vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    if request.args.is_empty() {
        return shell(&format!("exec 2>&1\n{}", request.command));
    }
    let mut argv = shell("exec \"$0\" \"$@\" 2>&1");
    argv.push(request.command.clone());
    argv.extend(request.args.iter().cloned());
    argv
}

fn status(exit: AgentExit) -> TerminalExitStatus {
    match exit {
        AgentExit::Code(code) => TerminalExitStatus::new().exit_code(u32::try_from(code).ok()),
        AgentExit::Signal(signal) => TerminalExitStatus::new().signal(signal.to_string()),
        AgentExit::Vanished | AgentExit::WithDaemon => TerminalExitStatus::new(),
    }
}

async fn run(
    mut piped: Piped,
    mut stdout: impl AsyncRead + Unpin,
    output: Arc<Mutex<Output>>,
    ending: watch::Sender<Option<AgentExit>>,
    kill: CancellationToken,
) {
    let exit = tokio::select! {
        exit = drained(&mut piped, &mut stdout, &output) => exit,
        () = kill.cancelled() => {
            let ended: Ended = piped.end(GRACE).await;
            ended.exit
        }
    };
    // What it left behind may hold the output open for ever.
    timeout(LINGER, keep(&mut stdout, &output)).await.ok();
    ending.send_replace(Some(exit));
}

/// Keeps the output until the command has ended.
async fn drained(
    piped: &mut Piped,
    stdout: &mut (impl AsyncRead + Unpin),
    output: &Mutex<Output>,
) -> AgentExit {
    tokio::select! {
        biased;
        () = keep(stdout, output) => {}
        exit = piped.wait() => return exit,
    }
    piped.wait().await
}

async fn keep(stdout: &mut (impl AsyncRead + Unpin), output: &Mutex<Output>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match stdout.read(&mut chunk).await {
            Ok(len) if len > 0 => {
                output.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..len]);
            }
            Ok(_) | Err(_) => return,
        }
    }
}
