//! What an agent without a terminal said: the last lines for people, and its raw stream in a bounded file.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// So many lines are kept for people.
const LINES_MAX: usize = 1000;

/// So long each of them is, in characters.
const LINE_CHARS_MAX: usize = 2000;

/// The name of the file with the raw stream, in the session's folder.
const FILE_NAME: &str = "scrollback";

/// The last lines of what an agent said.
#[derive(Debug, Default)]
pub(super) struct Said(VecDeque<String>);

impl Said {
    /// Keeps a text, line by line, without escape sequences and other control characters.
    pub(super) fn push(&mut self, text: &str) {
        for line in text.lines() {
            let line: String = plain(line).take(LINE_CHARS_MAX).collect();
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

/// Leaves out escape sequences and what else would move a terminal.
fn plain(line: &str) -> impl Iterator<Item = char> + '_ {
    let mut chars = line.chars().peekable();
    std::iter::from_fn(move || {
        loop {
            match chars.next()? {
                '\t' => return Some(' '),
                '\u{1b}' => match chars.next() {
                    // CSI: up to its final character. OSC: up to BEL or ST.
                    Some('[') => while !matches!(chars.next(), Some('\u{40}'..='\u{7e}') | None) {},
                    Some(']') => {
                        while let Some(c) = chars.next() {
                            if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                                break;
                            }
                        }
                    }
                    Some(_) | None => {}
                },
                c if c.is_control() => {}
                c => return Some(c),
            }
        }
    })
}

/// The raw stream of an agent, in a file of its own that only this user can read. When it grows over its limit, its
/// older half goes.
#[derive(Debug)]
pub(super) struct Scrollback {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    bytes_max: u64,
}

impl Scrollback {
    /// Opens it and goes on behind what earlier starts left. Where it cannot be written nothing is kept.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> Scrollback {
        let path = folder.join(FILE_NAME);
        let file = open(&path).ok();
        let bytes = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |found| found.len());
        Scrollback { path, file, bytes, bytes_max }
    }

    /// Keeps a line.
    pub(super) fn push(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        let written = file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n"));
        self.bytes = self.bytes.saturating_add(line.len() as u64 + 1);
        if written.is_err() {
            // A full disk must not end the agent; what is missing is seen by the gap.
            self.file = None;
        } else if self.bytes > self.bytes_max {
            self.file = self.halve().ok();
        }
    }

    fn halve(&mut self) -> io::Result<File> {
        let keep = self.bytes_max / 2;
        let mut old = File::open(&self.path)?;
        old.seek(SeekFrom::Start(self.bytes.saturating_sub(keep)))?;
        let mut tail = Vec::new();
        old.take(keep).read_to_end(&mut tail)?;
        let start = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |at| at + 1);
        let beside = self.path.with_extension("new");
        fs::remove_file(&beside).or_else(|why| match why.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(why),
        })?;
        let mut file = open(&beside)?;
        file.write_all(&tail[start..])?;
        fs::rename(&beside, &self.path)?;
        self.bytes = (tail.len() - start) as u64;
        Ok(file)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_moves_no_terminal_and_is_bounded() {
        let mut said = Said::default();
        said.push("\u{1b}[31mred\u{1b}[0m\tend  \n\u{1b}]0;title\u{7}after\u{1b}]8;;x\u{1b}\\link\r\u{8}!");
        assert_eq!(said.last(10), ["red end", "afterlink!"]);
        for at in 0..2 * LINES_MAX {
            said.push(&format!("{at}{}", "x".repeat(2 * LINE_CHARS_MAX)));
        }
        let last = said.last(usize::MAX);
        assert_eq!((last.len(), last[0].chars().count()), (LINES_MAX, LINE_CHARS_MAX));
        assert_eq!(said.last(1).len(), 1);
    }

    #[test]
    fn the_file_keeps_its_newer_half_and_goes_on_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let mut scrollback = Scrollback::open(folder.path(), 1000);
        for at in 0..500 {
            scrollback.push(&format!("line {at}"));
        }
        drop(scrollback);
        let mut again = Scrollback::open(folder.path(), 1000);
        again.push("the last");
        let text = fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        assert!(text.len() <= 1000 && text.ends_with("line 499\nthe last\n"), "{text}");
        assert!(text.lines().all(|line| line.starts_with("line ") || line == "the last"), "whole lines");
    }
}
