//! Commands as they are to be typed: with the data folder, unless it is the one that they would find anyway.

use crate::config;
use std::path::Path;

/// Names commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commands {
    /// What stands between the program and its command.
    home: Option<String>,
}

impl Commands {
    /// Names commands for a data folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let is_default = config::default_folder().is_some_and(|default| default == folder);
        Commands { home: (!is_default).then(|| format!("--home {}", quoted(&folder.to_string_lossy()))) }
    }

    /// Gives a command's whole line.
    pub(crate) fn line(&self, command: &str) -> String {
        match &self.home {
            Some(home) => format!("adjutant {home} {command}"),
            None => format!("adjutant {command}"),
        }
    }

    /// Completes the commands that stand in a text between backticks.
    pub(crate) fn in_text(&self, text: &str) -> String {
        match &self.home {
            Some(home) => text.replace("`adjutant ", &format!("`adjutant {home} ")),
            None => text.to_owned(),
        }
    }
}

/// Quotes a text for a shell, where it needs that.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=~".contains(c);
    if !text.is_empty() && !text.starts_with('~') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_completed_with_the_home_that_they_need() {
        let plain = Commands::default();
        assert_eq!(plain.line("runs"), "adjutant runs");
        assert_eq!(plain.in_text("`adjutant runs` lists"), "`adjutant runs` lists");
        let home = Commands { home: Some("--home '/a b'".to_owned()) };
        assert_eq!(home.line("runs"), "adjutant --home '/a b' runs");
        let text = "`adjutant runs` lists, `adjutant stop` stops; branch adjutant/run_1";
        let expected =
            "`adjutant --home '/a b' runs` lists, `adjutant --home '/a b' stop` stops; branch adjutant/run_1";
        assert_eq!(home.in_text(text), expected);
    }

    #[test]
    fn what_a_shell_would_read_as_more_is_quoted() {
        for (text, expected) in [
            ("/a/b-c_1.d", "/a/b-c_1.d"),
            ("/a b", "'/a b'"),
            ("it's", r"'it'\''s'"),
            ("~/x", "'~/x'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
