//! Scrubbing: what must not leave this machine is taken out of the text of an error, and what was taken out is told.
//!
//! Twelve rules, in their order, and then a limit on the length. A rule that comes later sees what the earlier ones have
//! left, so a token in an `Authorization` header is that header's and no longer a token of its own. Scrubbing twice
//! changes nothing more. What stands in is `[redacted:<kind>]`, as everywhere; of a path its last part stays.

use adjutant_model::report::ScrubChange;
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// A scrubbed text is at most so long, in bytes.
pub const SCRUBBED_BYTES_MAX: usize = 16_384;
/// What tells that a text was cut; on a line of its own, so that it is the value of nothing.
const CUT: &str = "\n[cut]";
/// What stands in for a secret begins so.
const REDACTED: &str = "[redacted:";
/// A text is scrubbed at most so often, until nothing changes; cutting may make something of what it leaves.
const PASSES_MAX: usize = 4;

/// What a name of a variable has whose value is a secret.
const SECRET_NAMES: [&str; 10] =
    ["TOKEN", "SECRET", "KEY", "PASSWORD", "PASSWD", "PWD", "APIKEY", "API_KEY", "CREDENTIAL", "PASS"];

/// How a rule replaces what it finds.
#[derive(Debug, Clone, Copy)]
enum Replacement {
    /// All of it, or its group `s`, by a mark of this kind.
    Mark(&'static str),
    /// The value of a variable, when the variable's name (`k`) says that it is a secret.
    Variable,
    /// A path (`s`), by its last part.
    Path(char),
}

/// What a rule is called, what it finds in words, how that looks, and what stands in for it.
type Rule = (&'static str, &'static str, &'static str, Replacement);

/// The rules in their order.
const RULES: [Rule; 12] = [
    (
        "PemPrivateKey",
        "private key",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
        Replacement::Mark("private-key"),
    ),
    (
        "BearerToken",
        "bearer token or authorization header",
        r#"(?i)\bauthorization["']?[ \t]{0,4}[:=][ \t]{0,4}["']?(?P<s>[^\r\n"']{6,})|\bbearer[ \t]+(?P<t>[A-Za-z0-9+/=._~-]{16,})"#,
        Replacement::Mark("bearer-token"),
    ),
    (
        "JwtToken",
        "JSON web token",
        r"\beyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}",
        Replacement::Mark("jwt"),
    ),
    ("SkApiKey", "API key", r"\bsk-(?:ant-|or-|proj-)?[A-Za-z0-9_-]{16,}", Replacement::Mark("api-key")),
    (
        "GithubToken",
        "GitHub token",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{36,}",
        Replacement::Mark("github-token"),
    ),
    ("AwsKey", "AWS key", r"\bAKIA[0-9A-Z]{16}", Replacement::Mark("aws-key")),
    ("GoogleKey", "Google key", r"\bAIza[A-Za-z0-9_-]{35}", Replacement::Mark("google-key")),
    ("SlackToken", "Slack token", r"\bxox[baprs]-[A-Za-z0-9-]{8,}", Replacement::Mark("slack-token")),
    (
        "ConnString",
        "user and password of an address",
        r#"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://(?P<s>[^\s/"'<>]+)@"#,
        Replacement::Mark("conn-string"),
    ),
    (
        "EnvSecret",
        "secret variable",
        r#"(?m)^[ \t]*(?:(?:export|set)[ \t]+)?(?P<k>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*(?P<s>\S[^\r\n]*)$|\b(?P<l>[A-Z][A-Z0-9_]*)=(?P<t>"[^"\r\n]*"|'[^'\r\n]*'|[^\s"',;)}\]]+)"#,
        Replacement::Variable,
    ),
    (
        "AbsolutePath",
        "absolute path",
        r#"(?:^|file://|[\s"'`(=\[{<,;:|>])(?P<s>/(?:[^\s"'`()\[\]{}<>,;:|/\\]+/)+[^\s"'`()\[\]{}<>,;:|/\\]*)"#,
        Replacement::Path('/'),
    ),
    (
        "WindowsPath",
        "Windows path",
        r#"(?i)(?:^|[^a-z0-9])(?P<s>[a-z]:[\\/]+(?:[^\s\\/:*?"'<>|,;]+[\\/]+)*[^\s\\/:*?"'<>|,;]*|\\\\[^\s\\/:*?"'<>|,;]+(?:\\+[^\s\\/:*?"'<>|,;]+)+)"#,
        Replacement::Path('\\'),
    ),
];

static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    RULES.iter().map(|(_, _, pattern, _)| Regex::new(pattern).expect("the patterns are tested")).collect()
});

/// Scrubs the texts of one error, and counts what it took out of them.
#[derive(Debug, Clone, Default)]
pub struct Scrubber {
    /// How often each rule has replaced something, by its place.
    counts: [usize; RULES.len()],
    /// How long the longest text was that had to be cut, in bytes.
    cut_from: Option<usize>,
    /// How often others have replaced something.
    others: usize,
}

impl Scrubber {
    /// Gives a text without what must not leave, at most [`SCRUBBED_BYTES_MAX`] long.
    pub fn scrub(&mut self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for _ in 0..PASSES_MAX {
            let next = self.pass(&scrubbed);
            if next == scrubbed {
                break;
            }
            scrubbed = next;
        }
        scrubbed
    }

    /// Counts what another scanner has replaced in a scrubbed text.
    pub fn also(&mut self, scrubbed: &str, redacted: &str) {
        let marks = |text: &str| text.matches(REDACTED).count();
        self.others += marks(redacted).saturating_sub(marks(scrubbed));
    }

    /// Tells what was taken out, in the order of the rules.
    pub fn changes(&self) -> Vec<ScrubChange> {
        let told = |pattern: &str, what: &str, count: usize| ScrubChange {
            pattern: pattern.to_owned(),
            hint: format!("{what} ({count})"),
        };
        let by_rule = RULES.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        let mut changes: Vec<_> =
            by_rule.map(|((pattern, what, ..), count)| told(pattern, what, count)).collect();
        if self.others > 0 {
            changes.push(told("OtherSecret", "other secret", self.others));
        }
        changes.extend(self.cut_from.map(|bytes| ScrubChange {
            pattern: "Truncation".to_owned(),
            hint: format!("cut from {bytes} to {SCRUBBED_BYTES_MAX} bytes"),
        }));
        changes
    }

    fn pass(&mut self, text: &str) -> String {
        let mut scrubbed = text.to_owned();
        for (at, pattern) in PATTERNS.iter().enumerate() {
            let replacement = RULES[at].3;
            let count = &mut self.counts[at];
            let replaced = pattern.replace_all(&scrubbed, |found: &Captures<'_>| {
                let all = &found[0];
                match replaced(replacement, found) {
                    Some(text) => {
                        *count += 1;
                        text
                    }
                    None => all.to_owned(),
                }
            });
            scrubbed = replaced.into_owned();
        }
        if scrubbed.len() > SCRUBBED_BYTES_MAX {
            self.cut_from = self.cut_from.max(Some(scrubbed.len()));
            scrubbed = cut(&scrubbed);
        }
        scrubbed
    }
}

/// Gives what stands in for a find; nothing when that stays as it is.
fn replaced(replacement: Replacement, found: &Captures<'_>) -> Option<String> {
    let all = found.get(0).expect("group 0 is the match");
    let secret = found.name("s").or_else(|| found.name("t")).unwrap_or(all);
    let stands_in = match replacement {
        _ if secret.as_str().starts_with(REDACTED) => return None,
        Replacement::Mark(kind) => format!("{REDACTED}{kind}]"),
        Replacement::Variable => {
            let name = found.name("k").or_else(|| found.name("l"))?.as_str().to_ascii_uppercase();
            if !SECRET_NAMES.iter().any(|part| name.contains(part)) {
                return None;
            }
            format!("{REDACTED}env-secret]")
        }
        Replacement::Path(separator) => {
            let parts: Vec<&str> =
                secret.as_str().split(['/', '\\']).filter(|part| !part.is_empty()).collect();
            // Of `/home/somebody` the last part is what must not stay.
            match parts.as_slice() {
                [] | [_] | [_, _] => "~".to_owned(),
                [.., last] => format!("~{separator}{last}"),
            }
        }
    };
    let (before, after) = (secret.start() - all.start(), secret.end() - all.start());
    Some(format!("{}{stands_in}{}", &all.as_str()[..before], &all.as_str()[after..]))
}

/// Cuts a text that is too long, at a character and not within what stands in for a secret.
fn cut(text: &str) -> String {
    let mut end = text.floor_char_boundary(SCRUBBED_BYTES_MAX - CUT.len());
    if let Some(mark) = text[..end].rfind('[')
        && !text[mark..end].contains(']')
        && text[mark..].starts_with(REDACTED)
    {
        end = mark;
    }
    format!("{}{CUT}", text[..end].trim_end())
}

#[cfg(test)]
mod tests;
