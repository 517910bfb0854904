//! The environment that programs get in tests.

use adjutant_engine::hosting::cgroups_clear;
use adjutant_sessions::environment;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

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

/// A group's members that are killed are gone within so long.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Ends what outlives whoever has started it: the server of terminals of a data folder with all that is in them, and what
/// is left in its control groups.
pub fn end_hosted(home: &Path) {
    end_terminals(home);
    cgroups_clear(home, GONE_WITHIN);
}

fn end_terminals(home: &Path) {
    let socket = home.join("tmux.sock");
    if !socket.exists() {
        return;
    }
    let mut tmux = Command::new("tmux");
    tmux.arg("-S").arg(socket).arg("kill-server").env_remove("TMUX");
    // One that is gone already is fine.
    tmux.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
}
