//! Finding and ending what a program left behind.

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub struct Swept {
    /// How many processes were ended.
    pub killed: usize,
    /// How many would not end, because they are another user's or stuck in the kernel.
    pub alive: usize,
}

/// Ends every process of this user that carries `marker` in its environment, and their children: TERM, a second, KILL.
///
/// For effects that a killed daemon left behind. Never ends the calling process. Finds processes on Linux only;
/// elsewhere it does nothing. A process that replaced its environment is found only while its parent is.
pub async fn sweep(marker: &str) -> Swept {
    let _ = marker;
    todo!()
}

/// Ends every process of this user whose marker begins with `prefix`, as [`sweep`] does.
///
/// The prefix should end with a separator, so that `run_1` does not sweep `run_12`. An empty one sweeps nothing.
pub async fn sweep_prefix(prefix: &str) -> Swept {
    let _ = prefix;
    todo!()
}
