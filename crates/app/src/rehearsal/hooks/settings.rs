//! Hook settings in Claude Code's form.
//!
//! They belong to another program, so they are read as that program reads them: what is not about hooks of kind
//! `command` is passed over, and a file that is no JSON is told of and left out.

use regex::Regex;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a hook may take unless it says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time that a hook may be given: one day.
const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

/// A settings file may be so long.
const SETTINGS_BYTES_MAX: u64 = 4 << 20;

/// The files of a project that may name hooks.
const PROJECT_FILES: [&str; 2] = [".claude/settings.json", ".claude/settings.local.json"];

/// Every hook, in the order of the files.
#[derive(Debug, Default)]
pub(in crate::rehearsal) struct Settings {
    hooks: Vec<(String, Matcher, Handler)>,
    /// What could not be used, and why.
    pub(in crate::rehearsal) problems: Vec<String>,
}

/// A command that is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handler {
    /// For `sh -c`.
    pub(super) command: String,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// What an event must be about.
#[derive(Debug)]
enum Matcher {
    Everything,
    Whole(Regex),
}

impl Matcher {
    fn parse(text: &str) -> Result<Matcher, regex::Error> {
        match text {
            "" | "*" => Ok(Matcher::Everything),
            pattern => Regex::new(&format!("^(?:{pattern})$")).map(Matcher::Whole),
        }
    }

    fn matches(&self, about: &str) -> bool {
        match self {
            Matcher::Everything => true,
            Matcher::Whole(pattern) => about.is_empty() || pattern.is_match(about),
        }
    }
}

impl Settings {
    /// Reads the project's files and the one that the command line names.
    pub(in crate::rehearsal) fn load(cwd: &Path, named: Option<&Path>) -> Settings {
        let mut settings = Settings::default();
        let files = PROJECT_FILES.iter().map(|file| cwd.join(file)).chain(named.map(Path::to_owned));
        for path in files {
            match text_of(&path) {
                Ok(text) => settings.add(&path, &text),
                Err(error) if error.kind() == io::ErrorKind::NotFound && named != Some(path.as_path()) => {}
                Err(error) => settings.problems.push(about(&path, error)),
            }
        }
        settings
    }

    /// Adds what one file says.
    fn add(&mut self, path: &Path, text: &str) {
        let document: Value = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(error) => return self.problems.push(about(path, error)),
        };
        let events = document["hooks"].as_object().into_iter().flatten();
        for (event, groups) in events {
            for group in groups.as_array().into_iter().flatten() {
                let Ok(matcher) = Matcher::parse(group["matcher"].as_str().unwrap_or("")) else {
                    self.problems.push(about(path, format!("{event}: the matcher is no regular expression")));
                    continue;
                };
                self.add_group(event, &matcher, group);
            }
        }
    }

    fn add_group(&mut self, event: &str, matcher: &Matcher, group: &Value) {
        for hook in group["hooks"].as_array().into_iter().flatten() {
            let ("command", Some(command)) = (hook["type"].as_str().unwrap_or(""), hook["command"].as_str())
            else {
                continue;
            };
            let seconds = hook["timeout"].as_f64().filter(|seconds| *seconds > 0.0);
            let timeout =
                seconds.map_or(TIMEOUT, |seconds| Duration::from_secs_f64(seconds.min(TIMEOUT_SECONDS_MAX)));
            let matcher = match matcher {
                Matcher::Everything => Matcher::Everything,
                Matcher::Whole(pattern) => Matcher::Whole(pattern.clone()),
            };
            self.hooks.push((event.to_owned(), matcher, Handler { command: command.to_owned(), timeout }));
        }
    }

    /// Gives the commands for an event; one that stands in several places runs once.
    pub(super) fn handlers(&self, event: &str, about: &str) -> Vec<&Handler> {
        let mut found: Vec<&Handler> = Vec::new();
        for (of, matcher, handler) in &self.hooks {
            let is_new = found.iter().all(|known| known.command != handler.command);
            if of == event && matcher.matches(about) && is_new {
                found.push(handler);
            }
        }
        found
    }
}

fn text_of(path: &PathBuf) -> io::Result<String> {
    let length = fs::metadata(path)?.len();
    if length > SETTINGS_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {SETTINGS_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

fn about(path: &Path, what: impl std::fmt::Display) -> String {
    format!("the hook settings {}: {what}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(files: &[(&str, &str)], named: Option<&str>) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".claude")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Settings::load(folder.path(), named.map(|name| folder.path().join(name)).as_deref())
    }

    fn commands<'a>(settings: &'a Settings, event: &str, about: &str) -> Vec<&'a str> {
        settings.handlers(event, about).iter().map(|handler| handler.command.as_str()).collect()
    }

    #[test]
    fn the_files_of_a_project_and_the_named_one_are_merged() {
        let one = r#"{"permissions": {}, "hooks": {"PreToolUse": [
            {"matcher": "Bash|Write", "hooks": [{"type": "command", "command": "a", "timeout": 5}]},
            {"hooks": [{"type": "http", "url": "x"}, {"type": "command", "command": "b"}]}]}}"#;
        let two = r#"{"hooks": {"PreToolUse": [{"matcher": "*", "hooks": [
            {"type": "command", "command": "b"}, {"type": "command", "command": "c"}]}]}}"#;
        let three =
            r#"{"hooks": {"Stop": [{"matcher": "never", "hooks": [{"type": "command", "command": "d"}]}]}}"#;
        let all = settings(
            &[(".claude/settings.json", one), (".claude/settings.local.json", two), ("more.json", three)],
            Some("more.json"),
        );
        for (event, about, expected) in [
            ("PreToolUse", "Bash", vec!["a", "b", "c"]),
            ("PreToolUse", "BashOutput", vec!["b", "c"]),
            ("PreToolUse", "Read", vec!["b", "c"]),
            ("Stop", "", vec!["d"]),
            ("SessionStart", "startup", vec![]),
        ] {
            assert_eq!(commands(&all, event, about), expected, "{event} {about}");
        }
        let timeouts: Vec<u64> =
            all.handlers("PreToolUse", "Bash").iter().map(|handler| handler.timeout.as_secs()).collect();
        assert_eq!(timeouts, [5, 60, 60]);
        assert!(all.problems.is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_of_and_left_out() {
        let bad = r#"{"hooks": {"Stop": [{"matcher": "(", "hooks": []}]}}"#;
        let all = settings(&[(".claude/settings.json", "{"), ("bad.json", bad)], Some("bad.json"));
        assert_eq!(all.problems.len(), 2, "{:?}", all.problems);
        assert_eq!(settings(&[], Some("absent.json")).problems.len(), 1);
        assert!(settings(&[], None).problems.is_empty());
    }
}
