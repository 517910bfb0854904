//! URLs of remotes: which are taken. None of them can be an option, run a command or hold a password.

use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// How long a URL can be.
const BYTES_MAX: usize = 2048;

/// A remote that is taken: `https://…`, `ssh://…`, `user@host:path`, `file:///…` or an absolute path. It holds no
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl {
    text: String,
    is_remote: bool,
}

/// Why a URL is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{shown}` is not taken as a repository: {why}")]
pub struct UrlError {
    /// What was given, without what may be a secret and what cannot be shown.
    pub shown: String,
    /// Why not.
    pub why: &'static str,
}

impl UrlError {
    /// Says what a person can do about it.
    pub fn hint(&self) -> String {
        if self.why == HAS_PASSWORD {
            "leave the password out; git's credential helpers and ssh keys are used".to_owned()
        } else {
            "name it as https://host/path, ssh://host/path, user@host:path, file:///path or /path".to_owned()
        }
    }
}

const HAS_PASSWORD: &str = "it has a password in it";

impl RemoteUrl {
    /// Gives it as git takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Tells whether it is over a network.
    pub(super) fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Gives the name of its cache: a part that people recognise, and a hash that tells it from all others.
    pub(super) fn name(&self) -> String {
        let text = self.text.trim_end_matches('/');
        let text = text.strip_suffix(".git").unwrap_or(text);
        let last = text.rsplit(['/', ':']).next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let slug: String = last.chars().take(40).map(plain).collect();
        let slug = slug.trim_matches('-');
        let hash = hex::encode(Sha256::digest(text.as_bytes()));
        format!("{}-{}", if slug.is_empty() { "repository" } else { slug }, &hash[..16])
    }
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for RemoteUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse(text).map_err(|why| UrlError { shown: shown(text), why })
    }
}

fn parse(text: &str) -> Result<RemoteUrl, &'static str> {
    if text.is_empty() || text.len() > BYTES_MAX {
        return Err("it is empty or too long");
    }
    if text.contains(char::is_control) {
        return Err("it has a control character in it");
    }
    if text.starts_with('-') {
        return Err("it would be an option");
    }
    if text.starts_with('/') {
        return Ok(RemoteUrl { text: text.to_owned(), is_remote: false });
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        return of_scheme(&scheme.to_ascii_lowercase(), rest);
    }
    if text.contains("::") && !text.contains('[') {
        return Err("it would run a command");
    }
    of_shell(text)
}

fn of_scheme(scheme: &str, rest: &str) -> Result<RemoteUrl, &'static str> {
    match scheme {
        "file" => match rest.strip_prefix("localhost").unwrap_or(rest) {
            path if path.starts_with('/') => {
                Ok(RemoteUrl { text: format!("file://{path}"), is_remote: false })
            }
            _ => Err("a file has an absolute path"),
        },
        "https" | "ssh" => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let (user, host) = match authority.rsplit_once('@') {
                Some((user, host)) => (Some(user), host),
                None => (None, authority),
            };
            let user = match user {
                Some(user) if user.contains(':') => return Err(HAS_PASSWORD),
                // A name alone may be a token, and a helper knows the name.
                Some(_) if scheme == "https" => None,
                Some(user) if !is_word(user) => return Err("its user cannot be one"),
                user => user,
            };
            let host = host.to_ascii_lowercase();
            if !is_host(&host) {
                return Err("its host cannot be one");
            }
            if path.is_empty() {
                return Err("it has no path");
            }
            let at = user.map_or_else(String::new, |user| format!("{user}@"));
            Ok(RemoteUrl { text: format!("{scheme}://{at}{host}/{path}"), is_remote: true })
        }
        _ => Err("only https, ssh and file are spoken"),
    }
}

/// Reads `[user@]host:path`.
fn of_shell(text: &str) -> Result<RemoteUrl, &'static str> {
    let colon = match text.find(']') {
        Some(end) if text.contains("[") => text[end..].find(':').map(|at| at + end),
        Some(_) | None => text.find(':'),
    };
    let colon = colon.ok_or("it is neither a URL nor an absolute path")?;
    let (place, path) = (&text[..colon], &text[colon + 1..]);
    let (user, host) = match place.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, place),
    };
    // What git takes for a path is what a person took for a password: `me:secret@host:path`.
    if path.split('/').next().is_some_and(|first| first.contains('@')) {
        return Err(HAS_PASSWORD);
    }
    if !user.is_none_or(is_word) || !is_host(host) {
        return Err("its user or its host cannot be one");
    }
    if path.is_empty() || path.starts_with('-') {
        return Err("its path cannot be one");
    }
    Ok(RemoteUrl { text: text.to_owned(), is_remote: true })
}

fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
}

/// Tells whether a text can be a host with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, rest)) => {
            let is_address = inner.chars().all(|c| c.is_ascii_hexdigit() || ":.".contains(c));
            if !is_address || inner.is_empty() {
                return false;
            }
            ("ipv6", rest.strip_prefix(':').or((!rest.is_empty()).then_some("x")))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    is_word(host) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Gives what was given without a user and a password, and without what cannot be shown.
fn shown(text: &str) -> String {
    let visible: String =
        text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    let (scheme, rest) = match visible.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), visible.as_str()),
    };
    // Up to the last `@`: a password may have a slash or an `@` in it.
    match rest.rsplit_once('@') {
        Some((user, host)) if !scheme.is_empty() || user.contains(':') => format!("{scheme}…@{host}"),
        Some(_) | None => visible,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_in_their_plain_form() {
        let table = [
            ("https://Example.org/a/b.git", "https://example.org/a/b.git"),
            ("https://me@example.org:8443/a", "https://example.org:8443/a"),
            ("ssh://git@example.org:22/a b", "ssh://git@example.org:22/a b"),
            ("git@example.org:a/b.git", "git@example.org:a/b.git"),
            ("host:~/a", "host:~/a"),
            ("git@[::1]:a", "git@[::1]:a"),
            ("ssh://[fe80::1]:22/a", "ssh://[fe80::1]:22/a"),
            ("file:///a/b", "file:///a/b"),
            ("file://localhost/a", "file:///a"),
            ("/a/--upload-pack=x", "/a/--upload-pack=x"),
        ];
        for (given, taken) in table {
            assert_eq!(
                given.parse::<RemoteUrl>().map(|url| url.to_string()).as_deref(),
                Ok(taken),
                "{given}"
            );
        }
    }

    #[test]
    fn what_is_an_option_runs_a_command_or_holds_a_password_is_refused() {
        let table = [
            "",
            "--upload-pack=touch x",
            "-u",
            "ext::sh -c touch% x",
            "fd::17",
            "EXT::x",
            "http://example.org/a",
            "git://example.org/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://-x@example.org/a",
            "ssh://exa mple.org/a",
            "-oProxyCommand=x:a",
            "git@-oProxyCommand=x:a",
            "git@example.org:--upload-pack=x",
            "git@example.org:",
            "https://example.org",
            "https://example.org:port/a",
            "file://host/a",
            "file:a",
            "../a",
            "a\nb",
            "/a\0b",
            "/a\u{1b}[31m",
        ];
        for given in table {
            // `file:a` names a path on a host called `file`, as git reads it.
            assert_eq!(given.parse::<RemoteUrl>().is_err(), given != "file:a", "{given}");
        }
    }

    #[test]
    fn a_password_is_in_no_message() {
        for given in [
            "https://me:secret@example.org/a",
            "ssh://me:secret@example.org/a",
            "https://me:sec/secret@example.org/a",
            "https://me:secret@x@example.org/a",
            "me:secret@example.org:a",
        ] {
            let error = given.parse::<RemoteUrl>().expect_err(given);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let error = "https://me:secret@example.org/a".parse::<RemoteUrl>().expect_err("a password");
        assert!(error.hint().contains("credential helpers"), "{error:?}");
    }

    #[test]
    fn each_remote_has_a_cache_of_its_own() {
        let name = |text: &str| text.parse::<RemoteUrl>().expect(text).name();
        assert!(name("https://example.org/a/My%20Tool.git").starts_with("my-20tool-"));
        assert_eq!(name("https://example.org/a/b"), name("https://EXAMPLE.org/a/b.git/"));
        assert_ne!(name("https://example.org/a/b"), name("https://example.org/c/b"));
        assert!(name("/").starts_with("repository-"));
    }
}
