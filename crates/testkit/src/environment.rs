//! The environment that programs get in tests.

use adjutant_sessions::environment;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// Gives the machine's `PATH`: the one thing that only the machine knows.
pub fn path() -> OsString {
    std::env::var_os("PATH").expect("a machine that builds has a PATH")
}

/// Gives the environment of started programs: `PATH`, and a home of their own.
pub fn hermetic(home: &Path) -> Vec<(String, String)> {
    let path = path().into_string().expect("the PATH is UTF-8");
    let home = home.to_str().expect("the home is UTF-8").to_owned();
    let own = BTreeMap::from([("HOME".to_owned(), home)]);
    environment(&[], [("PATH".to_owned(), path)].into_iter(), &own)
}

/// Ends the server of terminals of a data folder, with all that is in them: it outlives whoever has started it.
pub fn end_terminals(home: &Path) {
    let socket = home.join("tmux.sock");
    if !socket.exists() {
        return;
    }
    let mut tmux = Command::new("tmux");
    tmux.arg("-S").arg(socket).arg("kill-server").env_remove("TMUX");
    // One that is gone already is fine.
    tmux.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
}
