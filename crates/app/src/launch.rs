//! Finding the daemon, and starting one when none runs.

use crate::daemon::read_if_there;
use crate::exit::Failure;
use adjutant_protocol::discovery::{DAEMON_FILE, DaemonFile, TOKEN_FILE};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::{Context, Result};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A daemon that has not answered by then does not start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a starting daemon is asked; nothing says when another process is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// What starting daemons write to.
const LOG_FILE: &str = "daemon.log";

/// Gives a client of the folder's daemon, which is started when none runs.
pub(crate) async fn client(folder: &Path) -> Result<Client> {
    if let Some(client) = running(folder).await? {
        return Ok(client);
    }
    let (mut child, log_from) = spawn(folder)?;
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(client) = running(folder).await? {
            return Ok(client);
        }
        // Another command may have started one at the same time: then ours ends, and theirs answers soon.
        let ended = child.try_wait().context("the daemon cannot be watched")?;
        let lost = ended.is_some_and(|status| status.code() != Some(0)) && !lock_is_held(folder);
        if lost || Instant::now() > deadline {
            return Err(Failure::new(
                Code::Unreachable,
                format!("the daemon did not start: {}", log_tail(folder, log_from)),
            )
            .hinted(format!("its log is {}", folder.join(LOG_FILE).display()))
            .into());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Gives a client of the folder's daemon when one answers.
pub(crate) async fn running(folder: &Path) -> Result<Option<Client>> {
    let Some(daemon) = daemon_file(folder)? else { return Ok(None) };
    let token = read_if_there(&folder.join(TOKEN_FILE))?.unwrap_or_default();
    let client = Client::new(daemon.address, token.trim())?;
    // A file that a killed daemon left names an address where nobody answers, or somebody else does.
    Ok(client.health().await.is_ok().then_some(client))
}

/// Reads what the folder's daemon says of itself.
pub(crate) fn daemon_file(folder: &Path) -> Result<Option<DaemonFile>> {
    // One that cannot be read is being replaced, or is not ours: as good as none.
    Ok(read_if_there(&folder.join(DAEMON_FILE))?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Starts a daemon; gives with it where in the log its own lines begin.
fn spawn(folder: &Path) -> Result<(Child, u64)> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        Failure::new(Code::Failed, format!("the data folder {} cannot be made: {error}", folder.display()))
            .hinted("choose another with ADJUTANT_HOME or --home")
    })?;
    let path = folder.join(LOG_FILE);
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(|error| {
        Failure::new(Code::Failed, format!("the data folder {} is not writable: {error}", folder.display()))
            .hinted("choose another with ADJUTANT_HOME or --home")
    })?;
    let log_from = log.metadata().map_or(0, |log| log.len());
    let exe = std::env::current_exe().context("Adjutant's own program is not found")?;
    let child = Command::new(exe)
        .args(["serve", "--home"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C in the terminal of this command is not for the daemon.
        .process_group(0)
        .spawn()
        .context("the daemon could not be started")?;
    Ok((child, log_from))
}

/// Tells whether a process owns the folder.
pub(crate) fn lock_is_held(folder: &Path) -> bool {
    matches!(adjutant_store::StoreLock::acquire(folder), Err(adjutant_store::LockError::Held { .. }))
}

/// Gives the last lines of the log behind a place, which a start of its own wrote.
fn log_tail(folder: &Path, from: u64) -> String {
    let log = std::fs::read(folder.join(LOG_FILE)).unwrap_or_default();
    let own = usize::try_from(from).ok().and_then(|from| log.get(from..)).unwrap_or_default();
    let own = String::from_utf8_lossy(own);
    let said: Vec<&str> = own.lines().rev().take(3).collect();
    if said.is_empty() {
        "it said nothing".to_owned()
    } else {
        said.into_iter().rev().collect::<Vec<_>>().join(" / ")
    }
}
