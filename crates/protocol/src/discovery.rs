//! How a client finds the daemon: `daemon.json` and `token` in the data folder.

use serde::{Deserialize, Serialize};

/// The name of the file that says where the daemon is.
pub const DAEMON_FILE: &str = "daemon.json";
/// The name of the file that holds the owner's token.
pub const TOKEN_FILE: &str = "token";

/// What `daemon.json` says. It is there while the daemon answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonFile {
    /// Such as `http://127.0.0.1:4100`.
    pub address: String,
    /// The path of the Unix socket.
    pub socket: String,
    /// The daemon's process id.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it started, RFC 3339.
    pub started_at: String,
}
