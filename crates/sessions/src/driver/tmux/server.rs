//! The tmux server of Adjutant's own: how it is started, and what it is asked outside of the control connection.
//!
//! It stands on a socket of its own and reads nobody's configuration. It is in a session of its own and, where that is
//! possible, in a cgroup of its own, so that the daemon's end is not its end. Its environment is what it is given here
//! and never the daemon's.

use super::control::ControlError;
use crate::process::{self, Cgroups, EndedBy, Exit, ProcessSpec};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// The session that the control client is attached to. It has a window whose program has ended, and all terminals of
/// agents are linked into it, because a control client hears its own session only.
pub(super) const HUB: &str = "adjutant";

/// How many lines of a terminal's past the server keeps in memory.
const HISTORY_LINES_MAX: u32 = 5_000;

/// How long one call of tmux may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server that is there may take to say so.
const PRESENCE_TIMEOUT: Duration = Duration::from_secs(5);

/// What is set when the server starts. The windows are of a size that no client changes, see `launch`: whoever
/// attaches with a smaller terminal sees a part, and the agent notices nothing.
const SETTINGS: &[&[&str]] = &[
    &["set-option", "-s", "exit-empty", "off"],
    &["set-option", "-s", "escape-time", "0"],
    &["set-option", "-s", "focus-events", "off"],
    &["set-option", "-s", "set-clipboard", "off"],
    &["set-option", "-g", "default-terminal", "tmux-256color"],
    &["set-option", "-g", "status", "off"],
    &["set-option", "-g", "mouse", "on"],
    &["set-option", "-g", "destroy-unattached", "off"],
    &["set-option", "-g", "detach-on-destroy", "on"],
    &["set-option", "-g", "visual-bell", "off"],
    &["set-option", "-g", "bell-action", "none"],
    &["set-option", "-gw", "remain-on-exit", "on"],
    &["set-option", "-gw", "automatic-rename", "off"],
    &["set-option", "-gw", "allow-rename", "off"],
    &["set-option", "-gw", "monitor-activity", "off"],
    // A command of a hook is told to nobody, one that a timer runs is.
    &[
        "set-hook",
        "-gw",
        "pane-died",
        "run-shell -b -d 0 -C \"rename-window -t #{pane_id} #{q:window_name}.ended\"",
    ],
];

/// Where the server stands and what it is given.
#[derive(Debug, Clone)]
pub struct TmuxParams {
    /// The program, as it is searched in the `PATH` of `env`.
    pub program: String,
    /// Its socket.
    pub socket: PathBuf,
    /// Its whole environment: `PATH`, `HOME`, and what else people who attach should find. No secrets.
    pub env: Vec<(String, String)>,
    /// What is put before an agent's program, and becomes it: see
    /// [`crate::process::adopt_orphans_and_become`]. Empty where nothing is.
    pub host: Vec<String>,
    /// Where cgroups can be made.
    pub cgroups: Option<Cgroups>,
}

impl TmuxParams {
    /// Makes sure that the server is there.
    pub(super) async fn start_server(&self) -> Result<(), ControlError> {
        if self.is_server_there().await? {
            return Ok(());
        }
        let history = HISTORY_LINES_MAX.to_string();
        let mut args: Vec<&str> = Vec::new();
        for setting in SETTINGS {
            args.extend(*setting);
            args.push(";");
        }
        args.extend(["set-option", "-g", "history-limit", &history, ";"]);
        args.extend(["new-session", "-d", "-s", HUB, "-n", "hub", "-x", "80", "-y", "24", "--", "true"]);
        self.call(&args).await.map(drop).or_else(|error| match error {
            // Another client was quicker.
            ControlError::Refused(text) if text.contains("duplicate session") => Ok(()),
            error => Err(error),
        })
    }

    /// Takes the hub away, and lets the server end with the last session.
    pub(super) async fn leave(&self) -> Result<(), ControlError> {
        let hub = format!("={HUB}");
        self.call(&["set-option", "-s", "exit-empty", "on", ";", "kill-session", "-t", &hub]).await.map(drop)
    }

    /// Tells whether the server is there, without starting it.
    ///
    /// # Errors
    /// [`ControlError::Unreachable`] when it is not known: one that does not answer may be there with all its agents.
    pub(super) async fn is_server_there(&self) -> Result<bool, ControlError> {
        if !self.socket.exists() {
            return Ok(false);
        }
        match self.call_within(PRESENCE_TIMEOUT, &["has-session", "-t", &format!("={HUB}")]).await {
            Ok(_) => Ok(true),
            Err(ControlError::NoServer | ControlError::Refused(_)) => Ok(false),
            Err(error @ ControlError::Unreachable(_)) => Err(error),
        }
    }

    /// Runs one command of tmux in a process of its own, and gives what it wrote.
    pub(super) async fn call(&self, args: &[&str]) -> Result<Vec<u8>, ControlError> {
        self.call_within(CALL_TIMEOUT, args).await
    }

    async fn call_within(&self, patience: Duration, args: &[&str]) -> Result<Vec<u8>, ControlError> {
        let mut argv = self.prefix();
        argv.extend(args.iter().map(|arg| (*arg).to_owned()));
        let spec = ProcessSpec {
            env: self.environment(),
            timeout: Some(patience),
            ..ProcessSpec::new(self.in_cgroup(argv), folder_of(&self.socket))
        };
        let outcome = process::run(spec, CancellationToken::new(), None)
            .await
            .map_err(|error| ControlError::Unreachable(error.to_string()))?;
        if outcome.ended_by == EndedBy::Timeout {
            let why = format!("tmux has not answered in {} s", patience.as_secs());
            return Err(ControlError::Unreachable(why));
        }
        match outcome.exit {
            Exit::Code(0) => Ok(outcome.stdout),
            Exit::Code(_) => Err(ControlError::Refused(outcome.stderr_tail.trim().to_owned())),
            Exit::Signal(signal) => Err(ControlError::Unreachable(format!("tmux got signal {signal}"))),
        }
    }

    /// Starts the control client.
    pub(super) fn control_client(&self) -> std::io::Result<Child> {
        let argv = self.prefix();
        Command::new(&argv[0])
            .args(&argv[1..])
            .args(["-C", "attach-session", "-t", &format!("={HUB}")])
            .current_dir(folder_of(&self.socket))
            .env_clear()
            .envs(self.environment())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Gives the command by which a person looks at a terminal.
    pub(super) fn attach_command(&self, terminal: &str) -> Vec<String> {
        let socket = self.socket.to_string_lossy().into_owned();
        [&self.program, "-S", &socket, "attach-session", "-t", &format!("={terminal}")]
            .map(str::to_owned)
            .to_vec()
    }

    fn prefix(&self) -> Vec<String> {
        let socket = self.socket.to_string_lossy().into_owned();
        [&self.program, "-u", "-f", "/dev/null", "-S", &socket].map(str::to_owned).to_vec()
    }

    /// Lets what may become the server begin in the server's own cgroup.
    fn in_cgroup(&self, argv: Vec<String>) -> Vec<String> {
        match self.cgroups.as_ref().and_then(|cgroups| cgroups.group("terminals")) {
            Some(cgroup) => cgroup.joining(&argv),
            None => argv,
        }
    }

    fn environment(&self) -> Vec<(String, String)> {
        let mut env = self.env.clone();
        // tmux starts in no locale but one of UTF-8.
        env.retain(|(name, _)| !["LC_ALL", "LC_CTYPE", "TMUX", "TMUX_PANE"].contains(&name.as_str()));
        env.push(("LC_CTYPE".to_owned(), "C.UTF-8".to_owned()));
        env
    }
}

fn folder_of(socket: &Path) -> PathBuf {
    socket.parent().unwrap_or(Path::new("/")).to_owned()
}
