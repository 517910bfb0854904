//! How a workspace's work stands, in a few lines for whoever takes it over.

use crate::git::{Call, Git, GitError};
use std::path::Path;

/// At most so many commits and so many files are named.
const NAMED_MAX: usize = 40;

/// What was done between two commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkSummary {
    /// The commits, the newest first, each its short hash and its first line; at most 40.
    pub commits: Vec<String>,
    /// The files that differ, each with how much; at most 40.
    pub files: Vec<String>,
    /// How many files differ.
    pub files_count: usize,
}

/// Says what was done in a repository from `base` to `tip`.
///
/// # Errors
/// [`GitError`]
pub async fn summary(git: &Git, project: &Path, base: &str, tip: &str) -> Result<WorkSummary, GitError> {
    let (count, without) = (format!("--max-count={NAMED_MAX}"), format!("^{base}"));
    let log =
        ["log", "--first-parent", "--no-color", "--format=%h %s", &count, "--end-of-options", tip, &without];
    let commits = git.output(&Call::new(project, &log)).await?;
    let diff = [
        "diff-tree",
        "-r",
        "-M",
        "--numstat",
        "--no-ext-diff",
        "--no-textconv",
        "--end-of-options",
        base,
        tip,
    ];
    let files = git.output(&Call::new(project, &diff)).await?;
    let lines = |output: &[u8]| -> Vec<String> {
        String::from_utf8_lossy(output).lines().map(|line| line.trim_end().to_owned()).collect()
    };
    let mut files: Vec<String> = lines(&files).into_iter().filter_map(|line| file(&line)).collect();
    let files_count = files.len();
    files.truncate(NAMED_MAX);
    Ok(WorkSummary { commits: lines(&commits), files, files_count })
}

/// Says how much a file differs, of a line of `--numstat`.
fn file(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, '\t');
    let (added, removed, path) = (parts.next()?, parts.next()?, parts.next()?);
    Some(match added {
        "-" => format!("{path} (binary)"),
        added => format!("{path} (+{added} -{removed})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_with_how_much_differs() {
        for (line, said) in [
            ("3\t1\tsrc/a b.rs", Some("src/a b.rs (+3 -1)")),
            ("-\t-\tx.png", Some("x.png (binary)")),
            ("", None),
        ] {
            assert_eq!(file(line).as_deref(), said, "{line}");
        }
    }
}
