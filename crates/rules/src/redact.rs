//! Redaction: what looks like a secret is replaced before anything is stored, shown or sent on.
//!
//! A text without any of the anchors below, which is nearly every text, costs one scan. The kinds are those of
//! [`Kind`]; what stands in is `[redacted:<kind>]`. Redacting twice changes nothing. Hashes, ids and paths are no secrets:
//! generic names are only believed when their value is long and mixed enough to have been drawn at random, or when the
//! name itself says that it is a password.
//!
//! Values are taken apart: a member whose name says that it is a secret loses its text whole.

use adjutant_model::Value;
use regex::{Captures, Regex, RegexSet};
use std::borrow::Cow;
use std::sync::LazyLock;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    PrivateKey,
    AnthropicKey,
    OpenAiKey,
    GithubToken,
    GitlabToken,
    AwsKey,
    GoogleKey,
    SlackToken,
    StripeKey,
    PackageToken,
    Jwt,
    Bearer,
    Header,
    ConnectionString,
    AddressToken,
    NamedSecret,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::PrivateKey => "private-key",
            Kind::AnthropicKey => "anthropic-key",
            Kind::OpenAiKey => "openai-key",
            Kind::GithubToken => "github-token",
            Kind::GitlabToken => "gitlab-token",
            Kind::AwsKey => "aws-key",
            Kind::GoogleKey => "google-key",
            Kind::SlackToken => "slack-token",
            Kind::StripeKey => "stripe-key",
            Kind::PackageToken => "package-token",
            Kind::Jwt => "jwt",
            Kind::Bearer | Kind::Header => "bearer",
            Kind::ConnectionString | Kind::AddressToken => "password",
            Kind::NamedSecret => "secret",
        }
    }
}

/// How secrets look. The group `s` is the secret when the rest of the match is to stay.
const RULES: [(Kind, &str); 18] = [
    (
        Kind::PrivateKey,
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\z)",
    ),
    (Kind::AnthropicKey, r"\bsk-ant-[A-Za-z0-9_-]{16,}"),
    (Kind::OpenAiKey, r"\bsk-(?:(?:proj|svcacct|admin|or)-[A-Za-z0-9_-]{16,}|[A-Za-z0-9_-]{20,})"),
    (Kind::GithubToken, r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})"),
    (Kind::GitlabToken, r"\bgl(?:pat|ptt|dt|rt|soat|cbt)-[A-Za-z0-9_-]{16,}"),
    (Kind::AwsKey, r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
    (Kind::GoogleKey, r"\b(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})"),
    (Kind::SlackToken, r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,})"),
    (Kind::SlackToken, r"hooks\.slack\.com/services/(?P<s>[A-Za-z0-9/]{20,})"),
    (Kind::StripeKey, r"\b(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{16,})"),
    (
        Kind::PackageToken,
        r"\b(?:npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{40,}|dckr_pat_[A-Za-z0-9_-]{20,}|hf_[A-Za-z0-9]{30,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
    ),
    (Kind::Jwt, r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    (Kind::Bearer, r"(?i)\b(?:bearer|basic)\s+(?P<s>[A-Za-z0-9+/=._~-]{16,})"),
    (
        Kind::Header,
        r#"(?i)\bauthorization\\?["']?\s{0,4}[:=]\s{0,4}\\?["']?(?:[a-z]{2,20}\s+)?(?P<s>[A-Za-z0-9+/=._~-]{16,})"#,
    ),
    (
        Kind::ConnectionString,
        r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://(?:\[redacted:[a-z-]+\]|[^\s:/@\[]{0,100}):(?P<s>[^\s@/]{1,200})@",
    ),
    (Kind::AddressToken, r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://(?P<s>[^\s:/@]{16,200})@"),
    (
        Kind::NamedSecret,
        r#"\b(?P<n>[A-Z][A-Z0-9_]*_(?:KEY|PASS))\s{0,2}=\s{0,2}\\?["']?(?P<s>[^\s"'\\,;]{12,})"#,
    ),
    (
        Kind::NamedSecret,
        r#"(?i)(?P<n>[A-Z0-9_.-]*(?:token|secret|passw(?:or)?d|pwd|api_?-?key|access_?-?key|credential|private_?-?key|auth_?-?key|_pass)[A-Z0-9_.-]*)\\?["']?\s{0,4}(?:=|:|=>)\s{0,4}\\?["']?(?P<s>[^\s"'\\,;]{6,})"#,
    ),
];

/// A text has a secret only when it has one of these.
const ANCHORS: &str = r"(?i)PRIVATE KEY|sk-|gh[pousr]_|github_pat_|gl[a-z]{2,4}-|A(?:KI|SI|BI|CC)A|AIza|ya29\.|GOCSPX|xox|xapp-|hooks\.slack|[sr]k_|whsec_|npm_|pypi-|dckr_|hf_|SG\.|eyJ|bearer|basic|authorization|://|token|secret|passw|pwd|key|credential|_pass";

struct Patterns {
    anchors: Regex,
    set: RegexSet,
    each: Vec<(Kind, Regex)>,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let compiled = |pattern: &str| Regex::new(pattern).expect("the patterns are tested");
    Patterns {
        anchors: compiled(ANCHORS),
        set: RegexSet::new(RULES.iter().map(|(_, pattern)| whole(pattern))).expect("the patterns are tested"),
        each: RULES.iter().map(|(kind, pattern)| (*kind, compiled(&whole(pattern)))).collect(),
    }
});

/// Gives a pattern in which a word also begins behind an escape such as `\n`, whose letter looks like a part of it.
fn whole(pattern: &str) -> String {
    let (flags, rest) = match pattern.strip_prefix("(?i)") {
        Some(rest) => ("(?i)", rest),
        None => ("", pattern),
    };
    let Some(rest) = rest.strip_prefix(r"\b") else { return pattern.to_owned() };
    let rest = if rest.contains("(?P<s>") { rest.to_owned() } else { format!("(?P<s>{rest})") };
    format!(r"{flags}(?:\b|\\[nrt]){rest}")
}

/// Gives a text without its secrets; borrowed when it has none.
pub fn redact(text: &str) -> Cow<'_, str> {
    let patterns = &*PATTERNS;
    if !patterns.anchors.is_match(text) {
        return Cow::Borrowed(text);
    }
    let mut redacted = Cow::Borrowed(text);
    for at in patterns.set.matches(text) {
        let (kind, pattern) = &patterns.each[at];
        let replaced = pattern.replace_all(&redacted, |found: &Captures<'_>| replacement(*kind, found));
        if let Cow::Owned(replaced) = replaced {
            redacted = Cow::Owned(replaced);
        }
    }
    redacted
}

fn replacement(kind: Kind, found: &Captures<'_>) -> String {
    let all = found.get(0).expect("group 0 is the match");
    let secret = found.name("s").unwrap_or(all);
    let is_believed = match kind {
        Kind::NamedSecret => is_believable(found.name("n").map_or("", |name| name.as_str()), secret.as_str()),
        Kind::Header | Kind::AddressToken => is_random(secret.as_str()),
        _ => true,
    };
    let stays = secret.as_str().contains("[redacted:") || !is_believed;
    if stays {
        return all.as_str().to_owned();
    }
    let (before, after) = (secret.start() - all.start(), secret.end() - all.start());
    format!("{}[redacted:{}]{}", &all.as_str()[..before], kind.as_str(), &all.as_str()[after..])
}

/// Tells whether what stands behind a name is a secret, and not a word, a path, a number or a reference.
fn is_believable(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let reference = value.starts_with(['$', '<', '{', '(', '[', '*', '/', '~', '%'])
        || value.ends_with(['(', ')', '}', '>']);
    let counted = name.contains("tokens") || name.contains("max_token") || name.contains("token_count");
    let number = value.chars().all(|c| c.is_ascii_digit() || c == '.');
    let keyword = ["none", "null", "true", "false", "required", "optional", "string", "undefined"]
        .contains(&value.to_ascii_lowercase().as_str());
    if reference || counted || number || keyword || value.contains("::") {
        return false;
    }
    let is_password = name.contains("passw") || name.contains("pwd") || name.ends_with("_pass");
    is_password || is_random(value)
}

/// Tells whether a text looks drawn at random: long, of several kinds of letters, or of high entropy.
fn is_random(text: &str) -> bool {
    if text.len() < 12 {
        return false;
    }
    let has = |test: fn(&char) -> bool| usize::from(text.chars().any(|c| test(&c)));
    let kinds = has(char::is_ascii_lowercase) + has(char::is_ascii_uppercase) + has(char::is_ascii_digit);
    let mut counts = [0_u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let len = text.len() as f64;
    let entropy: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / len)
        .map(|share| -share * share.log2())
        .sum();
    entropy >= 3.0 && kinds >= 2
}

/// Gives a value without the secrets in its texts; nothing when it has none.
pub fn redact_value(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => match redact(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(redacted) => Some(Value::string(redacted)),
        },
        Value::Array(items) => {
            let items = items.as_slice();
            let redacted: Vec<_> = items.iter().map(redact_value).collect();
            redacted.iter().any(Option::is_some).then(|| {
                Value::array(
                    redacted.into_iter().zip(items).map(|(new, old)| new.unwrap_or_else(|| old.clone())),
                )
            })
        }
        Value::Object(object) => {
            let redacted: Vec<_> = object.iter().map(|(key, member)| member_redacted(key, member)).collect();
            redacted.iter().any(Option::is_some).then(|| {
                let members = object.iter().zip(redacted);
                Value::object(
                    members.map(|((key, old), new)| (key.clone(), new.unwrap_or_else(|| old.clone()))),
                )
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// Gives where in a value the first text with a secret stands, as an RFC 6901 pointer; nothing when it has none.
pub fn secret_at(value: &Value) -> Option<String> {
    let redacted = redact_value(value)?;
    Some(difference(value, &redacted))
}

/// Gives the pointer to the first place where two values of one shape differ.
fn difference(value: &Value, other: &Value) -> String {
    let below = |name: &str, value: &Value, other: &Value| {
        format!("/{}{}", name.replace('~', "~0").replace('/', "~1"), difference(value, other))
    };
    let found = match (value, other) {
        (Value::Array(items), Value::Array(others)) => {
            let mut pairs = items.as_slice().iter().zip(others.as_slice()).enumerate();
            pairs.find(|(_, (one, two))| one != two).map(|(at, (one, two))| below(&at.to_string(), one, two))
        }
        (Value::Object(members), Value::Object(others)) => {
            let mut pairs = members.iter().zip(others.iter());
            pairs.find(|((_, one), (_, two))| one != two).map(|((key, one), (_, two))| below(key, one, two))
        }
        _ => None,
    };
    found.unwrap_or_default()
}

/// A member whose name says that it is a secret loses its text whole, when that looks like one.
fn member_redacted(key: &str, member: &Value) -> Option<Value> {
    if let Some(text) = member.as_str()
        && !text.contains("[redacted:")
    {
        let named = format!("{key}={text}");
        let is_secret = PATTERNS.each.iter().any(|(kind, pattern)| {
            *kind == Kind::NamedSecret
                && pattern.captures(&named).is_some_and(|found| {
                    found.name("s").is_some_and(|secret| {
                        secret.start() == key.len() + 1 && is_believable(key, secret.as_str())
                    })
                })
        });
        if is_secret {
            return Some(Value::string(format!("[redacted:{}]", Kind::NamedSecret.as_str())));
        }
    }
    redact_value(member)
}

#[cfg(test)]
mod tests;
