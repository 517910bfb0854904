//! Making a program the one that its orphaned descendants fall to.
//!
//! Whose parent ends falls to `init`, and from there nothing leads back. A subreaper takes its place for everything
//! below it, and stays one through `exec`. So a program that was made one costs no process more, and while it lives
//! every descendant is found below it, however often it forked and whatever it wiped. It may not ask after children
//! that it does not know; those that have ended then stay as zombies until it ends itself.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes this process adopt the orphans of its descendants, and becomes another program in the same environment. Gives
/// why that was not possible; when all goes well it does not return.
///
/// For a hidden command of the binary: `HOST PROGRAM ARGS…`, see [`crate::driver::tmux::TmuxParams::host`].
pub fn adopt_orphans_and_become(program: &str, args: &[String]) -> io::Error {
    adopt_orphans();
    Command::new(program).args(args).exec()
}

#[cfg(target_os = "linux")]
fn adopt_orphans() {
    // An old kernel that cannot do it is no reason not to start.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
}

#[cfg(not(target_os = "linux"))]
fn adopt_orphans() {}
