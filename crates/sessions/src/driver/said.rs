//! What an agent without a terminal said: the last lines for people, and its raw stream in a bounded file.

use crate::screen::{Scrollback, plain};
use std::collections::VecDeque;
use std::path::Path;

/// So many lines are kept for people.
const LINES_MAX: usize = 1000;

/// So long each of them is, in characters.
const LINE_CHARS_MAX: usize = 2000;

/// The last lines of what an agent said.
#[derive(Debug, Default)]
pub(super) struct Said(VecDeque<String>);

impl Said {
    /// Keeps a text, line by line, without what would steer a terminal.
    pub(super) fn push(&mut self, text: &str) {
        for line in plain(text).lines() {
            let line: String = line.chars().take(LINE_CHARS_MAX).collect();
            self.0.push_back(line.trim_end().to_owned());
            if self.0.len() > LINES_MAX {
                self.0.pop_front();
            }
        }
    }

    /// Gives the last lines, the oldest first.
    pub(super) fn last(&self, lines_max: usize) -> Vec<String> {
        self.0.iter().skip(self.0.len().saturating_sub(lines_max)).cloned().collect()
    }
}

/// The raw stream of an agent, in its session's scrollback. Where that cannot be written nothing is kept: a full disk
/// must not end the agent.
#[derive(Debug)]
pub(super) struct RawStream(Option<Scrollback>);

impl RawStream {
    /// Opens it and goes on behind what earlier starts left.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> RawStream {
        RawStream(Scrollback::open(folder, bytes_max).ok())
    }

    /// Keeps a line.
    pub(super) fn push(&mut self, line: &str) {
        if let Some(scrollback) = &mut self.0
            && scrollback.write(format!("{line}\n").as_bytes()).is_err()
        {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_steers_no_terminal_and_is_bounded() {
        let mut said = Said::default();
        said.push("\u{1b}[31mred\u{1b}[0m\tend  \n\u{1b}]0;title\u{7}after\u{8}!");
        assert_eq!(said.last(10), ["red\tend", "after!"]);
        for at in 0..2 * LINES_MAX {
            said.push(&format!("{at}{}", "x".repeat(2 * LINE_CHARS_MAX)));
        }
        let last = said.last(usize::MAX);
        assert_eq!((last.len(), last[0].chars().count()), (LINES_MAX, LINE_CHARS_MAX));
        assert_eq!(said.last(1).len(), 1);
    }
}
