//! Compression: what is kept of a tool's output, which is often long and seldom read again.
//!
//! A level never makes a text longer, and a text below its threshold stays as it is.

use regex::Regex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// From so many bytes on `trim` leaves lines out.
pub const TRIM_BYTES: usize = 4096;
/// From so many bytes on `summarise` leaves lines out.
pub const SUMMARISE_BYTES: usize = 1024;
/// So many lines stay in any case.
const LINES_MIN: usize = 30;
/// So many lines at the beginning stay.
const HEAD_LINES: usize = 20;
/// So many lines at the end stay.
const TAIL_LINES: usize = 10;

/// How much is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CompressLevel {
    /// Nothing.
    Off,
    /// The middle of a long text.
    #[default]
    Trim,
    /// Colours, empty lines, and the middle of a text that is not short.
    Summarise,
    /// Everything but how much it was.
    Caveman,
}

impl CompressLevel {
    /// All levels.
    pub const ALL: [CompressLevel; 4] =
        [CompressLevel::Off, CompressLevel::Trim, CompressLevel::Summarise, CompressLevel::Caveman];

    /// Gives the name in files and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            CompressLevel::Off => "off",
            CompressLevel::Trim => "trim",
            CompressLevel::Summarise => "summarise",
            CompressLevel::Caveman => "caveman",
        }
    }

    /// Reads a level's name, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str().eq_ignore_ascii_case(text))
    }
}

/// Which level holds for which tool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompressConfig {
    /// The level of tools that are not named.
    pub default_level: CompressLevel,
    /// The levels of others, by the tool's name.
    pub tools: BTreeMap<String, CompressLevel>,
}

impl CompressConfig {
    /// Gives the level of a tool.
    pub fn level_of(&self, tool: &str) -> CompressLevel {
        self.tools.get(tool).copied().unwrap_or(self.default_level)
    }
}

/// How much was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CompressStats {
    /// How many bytes there were.
    pub original_bytes: u64,
    /// How many are left.
    pub compressed_bytes: u64,
}

impl CompressStats {
    /// Gives which part is left; 1 of nothing.
    pub fn ratio(&self) -> f64 {
        match self.original_bytes {
            0 => 1.0,
            original => self.compressed_bytes as f64 / original as f64,
        }
    }

    /// Gives how many bytes are gone.
    pub fn saved_bytes(&self) -> u64 {
        self.original_bytes.saturating_sub(self.compressed_bytes)
    }

    /// Adds another's.
    #[must_use]
    pub fn plus(self, other: CompressStats) -> CompressStats {
        CompressStats {
            original_bytes: self.original_bytes.saturating_add(other.original_bytes),
            compressed_bytes: self.compressed_bytes.saturating_add(other.compressed_bytes),
        }
    }
}

/// Gives what is kept of a text, and how much that saves.
pub fn compress<'a>(level: CompressLevel, text: &'a str) -> (Cow<'a, str>, CompressStats) {
    let kept = match level {
        CompressLevel::Off => Cow::Borrowed(text),
        CompressLevel::Trim => trimmed(Cow::Borrowed(text), TRIM_BYTES),
        CompressLevel::Summarise => trimmed(plain(text), SUMMARISE_BYTES),
        CompressLevel::Caveman => Cow::Owned(format!("[tool output: {} bytes]", text.len())),
    };
    let kept = if kept.len() > text.len() { Cow::Borrowed(text) } else { kept };
    let stats = CompressStats { original_bytes: text.len() as u64, compressed_bytes: kept.len() as u64 };
    (kept, stats)
}

fn trimmed(text: Cow<'_, str>, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return text;
    }
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= LINES_MIN {
        return text;
    }
    let omitted = lines.len() - HEAD_LINES - TAIL_LINES;
    let (head, tail) = (lines[..HEAD_LINES].join("\n"), lines[lines.len() - TAIL_LINES..].join("\n"));
    let end = if text.ends_with('\n') { "\n" } else { "" };
    Cow::Owned(format!("{head}\n[… {omitted} lines left out …]\n{tail}{end}"))
}

/// Takes the colours of a terminal out, and all but one of the empty lines in a row.
fn plain(text: &str) -> Cow<'_, str> {
    static ESCAPES: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b").expect("the pattern is checked by the tests")
    });
    let without = ESCAPES.replace_all(text, "");
    let mut kept: Vec<&str> = Vec::new();
    for line in without.lines() {
        let repeats = line.trim().is_empty() && kept.last().is_some_and(|last| last.trim().is_empty());
        if !repeats {
            kept.push(line);
        }
    }
    let end = if without.ends_with('\n') { "\n" } else { "" };
    Cow::Owned(kept.join("\n") + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, width: usize) -> String {
        (0..count).map(|n| format!("{n:0width$}\n")).collect()
    }

    #[test]
    fn a_text_below_its_threshold_stays_and_a_longer_one_keeps_both_ends() {
        use CompressLevel::{Off, Summarise, Trim};
        for (level, text, stays) in [
            (Off, lines(1000, 100), true),
            (Trim, lines(40, 102), false),
            (Trim, lines(40, 100), true),
            (Trim, lines(30, 1000), true),
            (Trim, lines(31, 1000), false),
            (Summarise, lines(40, 24), true),
            (Summarise, lines(41, 30), false),
            (Trim, String::new(), true),
        ] {
            let (kept, stats) = compress(level, &text);
            assert_eq!(*kept == *text, stays, "{level:?} {}", text.len());
            assert_eq!(
                (stats.original_bytes, stats.compressed_bytes),
                (text.len() as u64, kept.len() as u64)
            );
            if !stays {
                let all: Vec<&str> = text.lines().collect();
                let shown: Vec<&str> = kept.lines().collect();
                assert_eq!(shown.len(), 31);
                assert_eq!((&shown[..20], &shown[21..]), (&all[..20], &all[all.len() - 10..]));
                assert_eq!(shown[20], format!("[… {} lines left out …]", all.len() - 30));
            }
        }
    }

    #[test]
    fn colours_and_empty_lines_go_and_a_caveman_says_how_much() {
        use CompressLevel::{Caveman, Summarise};
        for (level, text, kept) in [
            (Summarise, "\x1b[1;31mred\x1b[0m\x1b\n\n \n\nend\n", "red\n\nend\n"),
            (Summarise, "\x1b[2K\x1b[1Gö", "ö"),
            (Caveman, &"x".repeat(2000), "[tool output: 2000 bytes]"),
            (Caveman, "short", "short"),
            (Caveman, "", ""),
        ] {
            assert_eq!(compress(level, text).0, kept);
        }
    }

    #[test]
    fn a_tool_has_its_own_level_or_the_default_and_savings_add_up() {
        let tools = BTreeMap::from([("Bash".to_owned(), CompressLevel::Summarise)]);
        let config = CompressConfig { default_level: CompressLevel::Off, tools };
        assert_eq!(
            (config.level_of("Bash"), config.level_of("bash")),
            (CompressLevel::Summarise, CompressLevel::Off)
        );
        assert_eq!(CompressConfig::default().level_of("x"), CompressLevel::Trim);
        for level in CompressLevel::ALL {
            assert_eq!(CompressLevel::parse(&level.as_str().to_uppercase()), Some(level));
        }
        assert_eq!(CompressLevel::parse("gzip"), None);
        let stats = |original_bytes, compressed_bytes| CompressStats { original_bytes, compressed_bytes };
        assert_eq!((stats(0, 0).ratio(), stats(100, 25).ratio()), (1.0, 0.25));
        assert_eq!((stats(1, 5).saved_bytes(), stats(5, 1).plus(stats(5, 2)).saved_bytes()), (0, 7));
    }
}
