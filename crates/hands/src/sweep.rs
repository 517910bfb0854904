//! Finding what a program left behind: every process that carries a marker in its environment.
//!
//! A process group loses a child that makes its own session. The marker is inherited all the same, so the processes
//! of one attempt of a step are found through `/proc` whatever they did, and even when the daemon that started them
//! is gone. Where there is no `/proc`, only the group is ended.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// The variable that carries the marker.
pub(crate) const MARKER: &str = "ADJUTANT_EFFECT";

/// How often a sweep looks again, because a process may fork while it looks.
const ROUNDS_MAX: usize = 10;

/// Kills every process of this user that carries exactly this marker, and gives how many there were.
pub fn sweep(marker: &str) -> usize {
    kill_matching(|found| found == marker.as_bytes())
}

/// Kills every process of this user whose marker begins so, and gives how many there were.
pub fn sweep_prefix(prefix: &str) -> usize {
    kill_matching(|found| found.starts_with(prefix.as_bytes()))
}

fn kill_matching(matches: impl Fn(&[u8]) -> bool) -> usize {
    let mut killed = 0;
    for _ in 0..ROUNDS_MAX {
        let found = marked(&matches);
        if found.is_empty() {
            break;
        }
        for pid in found {
            // It may have ended by itself since it was seen.
            killed += usize::from(kill_process(pid, Signal::KILL).is_ok());
        }
    }
    killed
}

fn marked(matches: impl Fn(&[u8]) -> bool) -> Vec<Pid> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        // Another user's environment cannot be read, and an ended process that nobody has waited for has none.
        .filter_map(|pid| Some((pid, fs::read(format!("/proc/{pid}/environ")).ok()?)))
        .filter(|(_, environ)| marker_of(environ).is_some_and(&matches))
        .filter_map(|(pid, _)| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect()
}

fn marker_of(environ: &[u8]) -> Option<&[u8]> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_found_among_other_variables() {
        assert_eq!(marker_of(b"A=1\0ADJUTANT_EFFECT=run_1/0#1\0B=2\0"), Some(&b"run_1/0#1"[..]));
        assert_eq!(marker_of(b"ADJUTANT_EFFECTS=x\0"), None);
        assert_eq!(marker_of(b""), None);
    }
}
