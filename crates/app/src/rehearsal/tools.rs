//! The tools of a rehearsal: files below its directory, and commands.
//!
//! A failure is a text for the agent, as real tools give it; it never ends the script.

use super::confine::confine;
use super::gate::ACCESS_VARIABLES;
use adjutant_sessions::environment::environment;
use adjutant_sessions::process::{self, EndedBy, Exit, Outcome, ProcessSpec};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A tool's result shows so much of a file or an output.
const SHOWN_BYTES_MAX: usize = 32 << 10;

/// The tools of one rehearsal.
pub(super) struct Tools {
    root: PathBuf,
    env: Vec<(String, String)>,
}

impl Tools {
    /// Makes the tools for a directory, which must be a resolved path.
    ///
    /// Commands get every variable but those of the gate: what a script runs must not speak in the agent's name.
    pub(super) fn new(root: PathBuf, env: &[(String, String)]) -> Self {
        let passes = |name: &str| !ACCESS_VARIABLES.contains(&name);
        let names: Vec<&str> =
            env.iter().map(|(name, _)| name.as_str()).filter(|name| passes(name)).collect();
        Tools { root, env: environment(&names, env.iter().cloned(), &BTreeMap::new()) }
    }

    /// Gives a file's text.
    pub(super) fn read(&self, path: &str) -> Result<String, String> {
        let bytes = fs::read(self.place(path)?).map_err(|error| about(path, error))?;
        Ok(head(&String::from_utf8_lossy(&bytes)))
    }

    /// Makes or replaces a file, and the folders on the way to it.
    pub(super) fn write(&self, path: &str, content: &str) -> Result<String, String> {
        let place = self.place(path)?;
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder).map_err(|error| about(path, error))?;
        }
        fs::write(&place, content).map_err(|error| about(path, error))?;
        Ok(format!("wrote {} bytes to {path}", content.len()))
    }

    /// Replaces the one occurrence of a text.
    pub(super) fn patch(&self, path: &str, find: &str, replace: &str) -> Result<String, String> {
        let place = self.place(path)?;
        let text = fs::read_to_string(&place).map_err(|error| about(path, error))?;
        let patched = patched(path, &text, find, replace)?;
        fs::write(&place, patched).map_err(|error| about(path, error))?;
        Ok(format!("patched {path}"))
    }

    /// Runs a command line by `sh -c` and gives what it printed.
    pub(super) async fn run(
        &self,
        command: &str,
        timeout_ms: u64,
        cancel: &CancellationToken,
    ) -> Result<String, String> {
        let argv = ["sh", "-c", command].map(str::to_owned).to_vec();
        let spec = ProcessSpec {
            timeout: Some(Duration::from_millis(timeout_ms)),
            env: self.env.clone(),
            ..ProcessSpec::new(argv, self.root.clone())
        };
        let outcome = process::run(spec, cancel.clone(), None).await.map_err(|error| error.to_string())?;
        let printed = printed(&outcome);
        match (outcome.ended_by, outcome.exit) {
            (EndedBy::Timeout, _) => Err(format!("ended after {timeout_ms} ms\n{printed}")),
            (EndedBy::Cancelled, _) => Err(format!("interrupted\n{printed}")),
            (EndedBy::Itself, Exit::Code(0)) => Ok(printed),
            (EndedBy::Itself, Exit::Code(code)) => Err(format!("exit code {code}\n{printed}")),
            (EndedBy::Itself, Exit::Signal(signal)) => Err(format!("ended by signal {signal}\n{printed}")),
        }
    }

    fn place(&self, path: &str) -> Result<PathBuf, String> {
        confine(&self.root, path).map_err(|error| error.to_string())
    }
}

/// Replaces the one occurrence of a text in another one, which stands at `path`.
pub(super) fn patched(path: &str, text: &str, find: &str, replace: &str) -> Result<String, String> {
    // Overlapping occurrences count: which of them is meant is not said either.
    let mut found = text.char_indices().filter(|(at, _)| text[*at..].starts_with(find)).map(|(at, _)| at);
    let (Some(at), second) = (found.next(), found.next()) else {
        return Err(format!("{path}: the text to replace does not occur"));
    };
    if second.is_some() {
        return Err(format!("{path}: the text to replace occurs more than once"));
    }
    Ok([&text[..at], replace, &text[at + find.len()..]].concat())
}

fn about(path: &str, error: impl Display) -> String {
    format!("{path}: {error}")
}

/// Gives what a command printed: the end of it when it is long, because that is where results stand.
fn printed(outcome: &Outcome) -> String {
    let mut text = String::from_utf8_lossy(&outcome.stdout).into_owned();
    if !outcome.stderr_tail.is_empty() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&outcome.stderr_tail);
    }
    let start = text.ceil_char_boundary(text.len().saturating_sub(SHOWN_BYTES_MAX));
    text.split_off(start)
}

fn head(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_BYTES_MAX);
    if end == text.len() {
        text.to_owned()
    } else {
        format!("{}\n… {} bytes more", &text[..end], text.len() - end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> (tempfile::TempDir, Tools) {
        let folder = tempfile::tempdir().unwrap();
        let env = [("PATH", "/usr/bin:/bin"), ("ADJUTANT_TOKEN", "secret"), ("KEPT", "yes")];
        let env: Vec<_> = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let tools = Tools::new(folder.path().canonicalize().unwrap(), &env);
        (folder, tools)
    }

    async fn ran(tools: &Tools, command: &str, timeout_ms: u64) -> Result<String, String> {
        tools.run(command, timeout_ms, &CancellationToken::new()).await
    }

    #[test]
    fn a_patch_needs_exactly_one_occurrence() {
        let (_folder, tools) = tools();
        tools.write("a/b.txt", "one two one aaa").unwrap();
        for (find, expected) in [
            ("two", Ok("patched a/b.txt".to_owned())),
            ("one", Err("a/b.txt: the text to replace occurs more than once".to_owned())),
            ("aa", Err("a/b.txt: the text to replace occurs more than once".to_owned())),
            ("three", Err("a/b.txt: the text to replace does not occur".to_owned())),
        ] {
            assert_eq!(tools.patch("a/b.txt", find, "2"), expected, "{find}");
        }
        assert_eq!(tools.read("a/b.txt").unwrap(), "one 2 one aaa");
    }

    #[tokio::test]
    async fn a_command_tells_its_output_and_how_it_ended() {
        let (_folder, tools) = tools();
        assert_eq!(ran(&tools, "printf out; echo err >&2", 10_000).await, Ok("out\nerr\n".to_owned()));
        assert_eq!(ran(&tools, "echo no; exit 3", 10_000).await, Err("exit code 3\nno\n".to_owned()));
        assert_eq!(ran(&tools, "exec tail -f /dev/null", 50).await, Err("ended after 50 ms\n".to_owned()));
        assert_eq!(
            ran(&tools, "kill -SEGV $$", 10_000).await.unwrap_err().lines().next(),
            Some("ended by signal 11")
        );
    }

    #[tokio::test]
    async fn a_command_does_not_get_the_agents_token() {
        let (_folder, tools) = tools();
        assert_eq!(
            ran(&tools, "echo \"${ADJUTANT_TOKEN-none} $KEPT\"", 10_000).await,
            Ok("none yes\n".to_owned())
        );
    }
}
