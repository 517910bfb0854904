//! Paths as a shell line names them: what is below the workspace, and what only the run can tell.
//!
//! Everything here is text: no link is followed and no variable is known. What cannot be told to be below the
//! workspace counts as outside of it.

use adjutant_model::shell::{ShellCommand, ShellLine};
use std::borrow::Cow;

/// Tells whether a word holds something that only the run can tell: a variable or a substitution.
pub(super) fn is_dynamic(word: &str) -> bool {
    word.contains(['$', '`'])
}

/// Tells whether a word is one variable or one substitution and nothing else, so that it may be a flag as well.
pub(super) fn is_one_expansion(word: &str) -> bool {
    let Some(rest) = word.strip_prefix('$') else {
        return word.len() > 1 && word.starts_with('`') && word.ends_with('`');
    };
    let is_name =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "_@*#".contains(c));
    is_name(rest)
        || (rest.starts_with('{') && rest.ends_with('}'))
        || (rest.starts_with('(') && rest.ends_with(')'))
}

/// Tells whether the shell would look for files by this word.
pub(super) fn is_shell_glob(word: &str) -> bool {
    word.contains(['*', '?', '['])
}

/// Folds `.`, `..` and repeated slashes; `..` at the top of an absolute path goes nowhere, before a relative one it
/// stays. A path that comes to nothing is `.`.
pub(super) fn folded(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    match (absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Where the commands of a line work.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ground<'a> {
    /// The workspace's absolute path; without one every absolute path is outside.
    pub(super) workspace: Option<&'a str>,
    /// Whether a `cd` may have left the workspace, so that relative paths are outside too.
    left: bool,
    /// Whether a `find` of the line starts outside, so that its `{}` is outside too.
    finds_outside: bool,
}

impl<'a> Ground<'a> {
    /// Stands in the workspace, at the start of a line.
    pub(super) fn at_start(workspace: Option<&'a str>, line: &ShellLine) -> Self {
        let workspace = workspace.map(|path| path.trim_end_matches('/')).filter(|path| !path.is_empty());
        let start = Ground { workspace, ..Ground::default() };
        let is_outside =
            |command: &ShellCommand| command.operands.first().is_some_and(|at| start.is_outside(at));
        Ground { finds_outside: line.commands.iter().any(|c| c.program == "find" && is_outside(c)), ..start }
    }

    /// Goes where a command leaves the ones behind it; only `cd` and `pushd` go anywhere.
    pub(super) fn after(self, command: &ShellCommand) -> Self {
        if !matches!(command.program.as_str(), "cd" | "pushd") {
            return self;
        }
        let left = match command.operands.first().map(String::as_str) {
            None | Some("-") => true,
            Some(to) if to.starts_with('/') => self.is_outside(to),
            Some(to) => self.left || self.is_outside(to),
        };
        Ground { left, ..self }
    }

    /// Tells whether a word may name anything that is neither the workspace nor below it.
    pub(super) fn is_outside(&self, word: &str) -> bool {
        let path = without_here(word);
        if is_dynamic(&path) || path.starts_with('~') || (path.contains("{}") && self.finds_outside) {
            return true;
        }
        let path = folded(&path);
        if path.split('/').any(could_go_up) {
            return true;
        }
        match (path.strip_prefix('/'), self.workspace) {
            (Some(_), None) => true,
            (Some(_), Some(workspace)) => {
                !path.strip_prefix(workspace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            (None, _) => self.left,
        }
    }

    /// Tells whether a word names the top of the workspace.
    pub(super) fn is_top(&self, word: &str) -> bool {
        let path = folded(&without_here(word));
        path == "." || self.workspace.is_some_and(|workspace| path == workspace)
    }
}

/// Writes a path below `$PWD` as a relative one.
fn without_here(word: &str) -> Cow<'_, str> {
    let rest = ["$PWD", "${PWD}"].iter().find_map(|name| word.strip_prefix(name));
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => Cow::Owned(format!(".{rest}")),
        None => Cow::Borrowed(word),
    }
}

/// Tells whether a part of a path is `..`, or could become it: some shells take `.*` for it.
fn could_go_up(part: &str) -> bool {
    part == ".."
        || (part.starts_with('.') && part[1..].starts_with(['*', '?', '[', '.']) && is_shell_glob(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_folded_without_looking_at_the_disk() {
        for (path, expected) in [
            ("/", "/"),
            ("//a//b/", "/a/b"),
            ("/a/../..", "/"),
            ("a/./b/..", "a"),
            ("a/..", "."),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("", "."),
        ] {
            assert_eq!(folded(path), expected, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_told_to_be_below_the_workspace_is_outside() {
        let ground = Ground { workspace: Some("/w/run"), ..Ground::default() };
        for (word, expected) in [
            ("target", false),
            ("./a/../b", false),
            ("*", false),
            ("build/*", false),
            ("/w/run/target", false),
            ("/w/run//x/../y", false),
            ("$PWD/target", false),
            ("${PWD}/a", false),
            (".cache", false),
            ("{}", false),
            ("777", false),
            ("/", true),
            ("/*", true),
            ("/w/run", false),
            ("/w/run/", false),
            ("/w/run/../other", true),
            ("/w/running", true),
            ("/w/run/$x", true),
            ("..", true),
            ("a/../..", true),
            ("../x", true),
            (".", false),
            ("$PWD", false),
            ("$PWD/..", true),
            ("$PWDX/a", true),
            ("~", true),
            ("~root/x", true),
            ("$HOME", true),
            ("build/$x", true),
            ("$(pwd)/x", true),
            ("`pwd`", true),
            (".*", true),
            (".[!.]*", true),
            ("a/.?/b", true),
        ] {
            assert_eq!(ground.is_outside(word), expected, "{word}");
        }
        assert!(Ground::default().is_outside("/w/run/target"), "no workspace is known");
        for (word, expected) in [
            (".", true),
            ("a/..", true),
            ("$PWD/", true),
            ("/w/run/", true),
            ("/w/run/a", false),
            ("*", false),
        ] {
            assert_eq!(ground.is_top(word), expected, "{word}");
        }
    }

    #[test]
    fn one_expansion_may_be_a_flag_too() {
        for (word, expected) in [
            ("$X", true),
            ("${X}", true),
            ("$(echo -rf)", true),
            ("`x`", true),
            ("$@", true),
            ("$X/a", false),
            ("a$X", false),
            ("$", false),
            ("`", false),
            ("x", false),
        ] {
            assert_eq!(is_one_expansion(word), expected, "{word}");
        }
    }
}
