//! A history as a git repository: one commit for each of its entries, in their order.
//!
//! Git takes the whole history in one stream, so nothing of an entry ever becomes an argument, a path that was not
//! checked, or a file that is not its own.

use crate::git::{Call, Git, GitError};
use std::path::Path;

/// The branch that the history is on.
const BRANCH: &str = "main";

/// An entry of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The file that it changes, a plain name.
    pub file: String,
    /// What the file holds then.
    pub content: String,
    /// Who wrote it.
    pub author: String,
    /// When, in seconds since the Unix epoch.
    pub at_secs: i64,
    /// What is said of it, the first line for lists.
    pub message: String,
}

/// Makes a repository of a history in a directory that is empty, and checks out its end.
///
/// # Errors
/// [`GitError`]
pub async fn history_write(git: &Git, dir: &Path, entries: &[HistoryEntry]) -> Result<(), GitError> {
    git.output(&Call::new(dir, &["init", "--quiet", "--initial-branch", BRANCH])).await?;
    if entries.is_empty() {
        return Ok(());
    }
    let stream: Vec<u8> = entries.iter().flat_map(|entry| commit(entry).into_bytes()).collect();
    git.output(&Call::new(dir, &["fast-import", "--quiet"]).with_stdin(stream)).await?;
    git.output(&Call::new(dir, &["reset", "--quiet", "--hard", BRANCH])).await.map(drop)
}

/// Writes an entry as `git fast-import` reads it.
fn commit(entry: &HistoryEntry) -> String {
    let HistoryEntry { file, content, author, at_secs, message } = entry;
    let at_secs = (*at_secs).max(0);
    format!(
        "commit refs/heads/{BRANCH}\nauthor {} <adjutant@localhost> {at_secs} +0000\n\
         committer Adjutant <adjutant@localhost> {at_secs} +0000\n{}M 100644 inline {}\n{}",
        identity(author),
        data(message),
        quoted(file),
        data(content)
    )
}

fn data(text: &str) -> String {
    format!("data {}\n{text}\n", text.len())
}

/// Gives a name that git takes; what would end it becomes a dash.
fn identity(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_control() || matches!(c, '<' | '>') { '-' } else { c }).collect();
    let name = name.trim();
    if name.is_empty() { "nobody".to_owned() } else { name.to_owned() }
}

fn quoted(file: &str) -> String {
    format!("\"{}\"", file.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_an_entry_says_more_than_it_is() {
        let entry = HistoryEntry {
            file: "a\"\nb".into(),
            content: "x\ncommit refs/heads/other\n".into(),
            author: "Eve\n<eve@x> 0".into(),
            at_secs: -5,
            message: "tidy\n\ndata 5".into(),
        };
        let expected = "commit refs/heads/main\nauthor Eve--eve@x- 0 <adjutant@localhost> 0 +0000\n\
                        committer Adjutant <adjutant@localhost> 0 +0000\ndata 12\ntidy\n\ndata 5\n\
                        M 100644 inline \"a\\\"\\nb\"\ndata 26\nx\ncommit refs/heads/other\n\n";
        assert_eq!(commit(&entry), expected);
        assert_eq!(identity(" \n"), "-");
        assert_eq!(identity(" "), "nobody");
    }
}
