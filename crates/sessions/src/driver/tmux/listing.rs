//! What lives on the tmux server: one line for each terminal, in a format of ours that no agent can write into.

use adjutant_model::session::{AgentExit, HostHandle};

/// What is asked of each pane. Names come first of all and are checked, so a line never looks like a notification.
pub(super) const LISTING_FORMAT: &str = "T #{session_name} #{window_name} #{window_id} #{pane_id} #{pane_pid} #{pane_dead} s#{pane_dead_status} k#{pane_dead_signal}";

/// Gives the command that lists the agents' terminals; what is linked into the hub is not listed twice.
pub(super) fn command() -> String {
    format!("list-panes -a -f '#{{m:{NAME_PREFIX}*,#{{session_name}}}}' -F '{LISTING_FORMAT}'")
}

/// How a terminal's name begins.
const NAME_PREFIX: &str = "adj-";

/// What a window's name ends in when its program has ended.
pub(super) const ENDED_SUFFIX: &str = ".ended";

/// How long a session's name can be, as it is in [`crate::driver::LaunchSpec::name`].
const NAME_CHARS_MAX: usize = 40;

/// A terminal on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terminal {
    /// Its name, `adj-` and the session's name.
    pub name: String,
    /// The session's id.
    pub session: String,
    /// Which start of the session's agent it is.
    pub launch: u32,
    /// The agent's process.
    pub pid: u32,
    /// Whether the agent has ended.
    pub is_dead: bool,
    /// How it ended; tmux may know that it did before it knows how.
    pub exit: Option<AgentExit>,
    pub(super) window: u32,
    pub(super) pane: u32,
}

impl Terminal {
    /// Reads a line of a listing; `None` of what is no terminal of an agent, such as the server's own.
    pub(super) fn parse(line: &str) -> Option<Terminal> {
        let mut words = line.strip_prefix("T ")?.split(' ');
        let name = words.next().filter(|name| name.starts_with(NAME_PREFIX))?.to_owned();
        let window_name = words.next()?;
        let window_name = window_name.strip_suffix(ENDED_SUFFIX).unwrap_or(window_name);
        let (session, launch) = window_name.rsplit_once('.')?;
        let window = words.next()?.strip_prefix('@')?.parse().ok()?;
        let pane = words.next()?.strip_prefix('%')?.parse().ok()?;
        let pid = words.next()?.parse().ok()?;
        let is_dead = words.next()? == "1";
        let status = words.next()?.strip_prefix('s')?.parse().ok().map(AgentExit::Code);
        let signal = words.next()?.strip_prefix('k')?.parse().ok().map(AgentExit::Signal);
        Some(Terminal {
            name,
            session: session.to_owned(),
            launch: launch.parse().ok()?,
            pid,
            is_dead,
            exit: signal.or(status).filter(|_| is_dead),
            window,
            pane,
        })
    }

    /// Tells whether it is what a handle names.
    pub fn is_of(&self, handle: &HostHandle) -> bool {
        handle.terminal.as_ref() == Some(&self.name) && handle.pid == self.pid && handle.launch == self.launch
    }
}

/// Gives the name of a session's terminal; `None` for a name that no session has.
pub(super) fn terminal_name(name: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_name = !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(is_plain);
    is_name.then(|| format!("{NAME_PREFIX}{name}"))
}

/// Gives the name of the window of a session's start; `None` for an id that no session has.
pub(super) fn window_name(session: &str, launch: u32) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let is_id = !session.is_empty() && session.len() <= 64 && session.chars().all(is_plain);
    is_id.then(|| format!("{session}.{launch}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_read_with_how_it_ended() {
        let parse = |rest: &str| Terminal::parse(&format!("T adj-a {rest}"));
        let living = parse("id-1.3 @4 %5 99 0 s k").unwrap();
        assert_eq!((living.session.as_str(), living.launch, living.pid), ("id-1", 3, 99));
        assert_eq!((living.window, living.pane, living.is_dead, living.exit), (4, 5, false, None));
        let end = |rest: &str| parse(rest).map(|found| (found.is_dead, found.exit)).unwrap();
        assert_eq!(end("id.1.ended @4 %5 99 1 s3 k"), (true, Some(AgentExit::Code(3))));
        assert_eq!(end("id.1.ended @4 %5 99 1 s k9"), (true, Some(AgentExit::Signal(9))));
        assert_eq!(end("id.1 @4 %5 99 1 s k"), (true, None));
        for line in
            ["T adjutant x.1 @0 %0 9 1 s0 k", "T adj-a x @4 %5 99 0 s k", "T adj-a x.1 @4", "", "%end 1 2 3"]
        {
            assert_eq!(Terminal::parse(line), None, "{line}");
        }
    }

    #[test]
    fn names_that_could_mean_something_else_are_refused() {
        assert_eq!(terminal_name("fix-login-2"), Some("adj-fix-login-2".to_owned()));
        let long = "a".repeat(41);
        for name in ["", "A", "a b", "a:0", "a.1", "=a", "#(x)", "ü", "a;b", "a'b", "a\nb", long.as_str()] {
            assert_eq!(terminal_name(name), None, "{name:?}");
        }
        assert_eq!(window_name("0198-ab", 2), Some("0198-ab.2".to_owned()));
        for id in ["", "a.b", "a b", "#{x}", "../x"] {
            assert_eq!(window_name(id, 1), None, "{id:?}");
        }
    }
}
