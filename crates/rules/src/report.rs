//! Reports of errors: which errors are the same, what an issue says of one, and how many may be filed.

use adjutant_model::Timestamp;
use adjutant_model::report::{ErrorRecord, Filing, FilingState, ReportDraft};
use regex::Regex;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// One report of an error may be filed in so long a time, in milliseconds.
pub const SAME_ERROR_MS: u64 = 24 * 3_600_000;
/// The time in which [`HOURLY_MAX`] reports may be filed, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// So many reports may be filed in an hour.
pub const HOURLY_MAX: usize = 10;
/// A title is at most so long, in characters.
const TITLE_CHARS_MAX: usize = 200;
/// A summary is at most so long, in characters.
const SUMMARY_CHARS_MAX: usize = 300;
/// So much of a message counts for its fingerprint, in bytes.
const NORMALISED_BYTES_MAX: usize = 2048;
/// Of an absolute path so many parts at its end are kept.
const PATH_PARTS_KEPT: usize = 3;
/// The crates that have a label of their own.
const CRATES: [&str; 9] = [
    "adjutant",
    "adjutant_engine",
    "adjutant_model",
    "adjutant_protocol",
    "adjutant_rules",
    "adjutant_server",
    "adjutant_sessions",
    "adjutant_store",
    "adjutant_tui",
];

/// What differs between errors that are the same, and what stands in for it, in this order.
const VARIABLE: [(&str, &str); 7] = [
    (r"\[redacted:[a-z-]+\]", "<secret>"),
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<id>"),
    (r"\b[a-z]{1,12}[_-][0-9a-f]{16,}\b", "<id>"),
    (r"[A-Za-z]:\\+[^\s\x22']+", "<path>"),
    (r"(?:[A-Za-z0-9_.~-]+)?(?:/[A-Za-z0-9_.@+~-]+)+/?", "<path>"),
    (r"\b(?:0[xX])?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\b", "<n>"),
    (r"[0-9]+", "<n>"),
];

static PATTERNS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    VARIABLE
        .iter()
        .map(|(pattern, stands_in)| (Regex::new(pattern).expect("the patterns are tested"), *stands_in))
        .collect()
});

/// Gives a message without what differs each time: numbers, ids, paths, hexadecimal digits, and how it is spaced.
pub fn normalised(message: &str) -> String {
    let start = &message[..message.floor_char_boundary(NORMALISED_BYTES_MAX)];
    let words = start.split_whitespace().collect::<Vec<_>>().join(" ");
    PATTERNS
        .iter()
        .fold(words, |text, (pattern, stands_in)| pattern.replace_all(&text, *stands_in).into_owned())
}

/// Gives what equal errors have in common, as 64 hex digits: SHA-256 over who told them, what they say and where.
pub fn fingerprint(target: &str, message: &str, location: Option<&str>) -> String {
    let normalised = normalised(message);
    hash(&[target, &normalised, location.unwrap_or_default()])
}

/// Tells whether a text may be a fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Names a place in the source: a relative path whole, of an absolute one the end.
pub fn location(file: &str, line: Option<u32>) -> String {
    let parts: Vec<&str> = file.split(['/', '\\']).filter(|part| !part.is_empty()).collect();
    let is_absolute = file.starts_with(['/', '\\']) || file.as_bytes().get(1) == Some(&b':');
    let kept = if is_absolute { parts.len().saturating_sub(PATH_PARTS_KEPT) } else { 0 };
    let file = parts[kept..].join("/");
    match line {
        Some(line) => format!("{file}:{line}"),
        None => file,
    }
}

/// Names the crate that a file of ours belongs to; a panic tells no more than its file.
pub fn crate_of(file: &str) -> Option<String> {
    let (_, below) =
        file.rsplit_once("crates/").filter(|(before, _)| before.is_empty() || before.ends_with('/'))?;
    let (folder, _) = below.split_once("/src/")?;
    let name = if folder == "app" { "adjutant".to_owned() } else { format!("adjutant_{folder}") };
    CRATES.contains(&name.as_str()).then_some(name)
}

/// Says in a line what an error is: `[target] message (file:line)`.
pub fn summary(error: &ErrorRecord) -> String {
    let place = error.location.as_deref().map_or_else(String::new, |place| format!(" ({})", line(place)));
    let said = format!("[{}] {}", line(&error.target), line(&error.message));
    format!("{}{place}", shortened(&said, SUMMARY_CHARS_MAX))
}

/// Gives what an issue has by which it is found again.
pub fn marker(fingerprint: &str) -> String {
    format!("<!-- adjutant-error: {fingerprint} -->")
}

/// Words an issue of an error.
pub fn draft(error: &ErrorRecord) -> ReportDraft {
    let title = shortened(&format!("[{}] {}", line(&error.target), line(&error.message)), TITLE_CHARS_MAX);
    let seen = match error.occurrences {
        1 => format!("once, {}", error.last_seen_at),
        times => format!("{times} times, {} to {}", error.first_seen_at, error.last_seen_at),
    };
    let place = error.location.as_deref().unwrap_or("not known");
    let rows = [
        ("crate", format!("{} {}", error.target, error.version)),
        ("system", format!("{} {}", error.os, error.arch)),
        ("seen", seen),
        ("where", place.to_owned()),
    ];
    let rows: String = rows.iter().map(|(name, text)| format!("| {name} | {} |\n", cell(text))).collect();
    let mut body = format!(
        "{}\nAn error that Adjutant met, as its user has agreed to tell.\n\n| | |\n| --- | --- |\n{rows}\n{}",
        marker(&error.fingerprint),
        block(&error.message),
    );
    if !error.fields.is_empty() {
        body.push('\n');
        body.push_str(&block(&error.fields));
    }
    ReportDraft { title, body, labels: labels(&error.target) }
}

/// Gives what consent names: SHA-256 over where an issue goes and what it says, as 64 hex digits.
pub fn consent_hash(destination: Option<&str>, draft: &ReportDraft) -> String {
    let labels = draft.labels.join("\n");
    hash(&[destination.unwrap_or_default(), &draft.title, &draft.body, &labels])
}

/// Why a report may not be filed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// One of the same error was, of late.
    SameError {
        /// When the next one may be.
        until: Timestamp,
    },
    /// Too many were, of late.
    Hourly {
        /// When the next one may be.
        until: Timestamp,
    },
    /// A report of the error is being filed.
    UnderWay,
}

/// What may be done with a report that somebody agrees to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Admission<'f> {
    /// It may be filed.
    New,
    /// An earlier one, whose end nobody knows, is gone on with; it counts as one with it.
    Again(&'f Filing),
    /// It may not be filed now.
    Limited(Limit),
}

/// Judges whether a report of an error may be filed. `recent` are the filings that may count, `owner` is the daemon that
/// asks: what another one has begun it has died over. What failed for certain counts for nothing.
pub fn admission<'f>(recent: &'f [Filing], fingerprint: &str, owner: &str, now: Timestamp) -> Admission<'f> {
    let within = |filing: &&Filing, ms| now.ms_since(filing.begun_at) < ms;
    let counted = || recent.iter().filter(|filing| filing.state != FilingState::Failed);
    let same = counted()
        .filter(|filing| filing.fingerprint == fingerprint && within(filing, SAME_ERROR_MS))
        .max_by_key(|filing| filing.begun_at);
    match same {
        Some(filing) if filing.state == FilingState::Filed => {
            let until = filing.begun_at.plus_ms(SAME_ERROR_MS);
            return Admission::Limited(Limit::SameError { until });
        }
        Some(filing) if filing.state == FilingState::Begun && filing.owner == owner => {
            return Admission::Limited(Limit::UnderWay);
        }
        Some(filing) => return Admission::Again(filing),
        None => {}
    }
    let mut hourly: Vec<Timestamp> =
        counted().filter(|filing| within(filing, HOUR_MS)).map(|filing| filing.begun_at).collect();
    hourly.sort_unstable();
    match hourly.len().checked_sub(HOURLY_MAX) {
        Some(over) => Admission::Limited(Limit::Hourly { until: hourly[over].plus_ms(HOUR_MS) }),
        None => Admission::New,
    }
}

/// Reads the name of a repository: `owner/name`.
///
/// # Errors
/// What is wrong with it.
pub fn repository(text: &str) -> Result<&str, String> {
    let is_name = |name: &str| {
        (1..=100).contains(&name.len())
            && !name.chars().all(|c| c == '.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let parts = text.split_once('/').filter(|(owner, name)| is_name(owner) && is_name(name));
    parts.map(|_| text).ok_or_else(|| "it must be a repository such as `owner/name`".to_owned())
}

fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        // With its length, so that what stands at the end of one is not taken for the beginning of the next.
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hex::encode(hasher.finalize())
}

fn labels(target: &str) -> Vec<String> {
    let name = target.split("::").next().unwrap_or_default();
    let own = CRATES.contains(&name).then(|| name.replace('_', "-"));
    ["bug".to_owned(), "auto-reported".to_owned()].into_iter().chain(own).collect()
}

/// Gives a text on one line.
fn line(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => {
            let end = text.char_indices().nth(chars_max - 1).map_or(0, |(end, _)| end);
            format!("{}…", &text[..end])
        }
    }
}

/// Gives a text that stays within a cell of a table and is nothing but text there.
fn cell(text: &str) -> String {
    line(text).replace('|', "/").replace(['<', '>', '`', '[', ']', '@', '#'], " ")
}

/// Gives a text as a block in which nothing has a meaning. A comment in it is spoilt, so that no error can pass for another.
fn block(text: &str) -> String {
    let ticks = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat((ticks + 1).max(3));
    let text: String = text.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect();
    format!("{fence}text\n{}\n{fence}\n", text.trim_end().replace("<!--", "<! --"))
}

#[cfg(test)]
mod tests;
