//! What a worktree holds, compared with where it started and with what is kept elsewhere.

use super::tree::IndexCopy;
use crate::git::{Call, Git, GitError};
use adjutant_model::run::WorkspaceRecord;
use std::fmt;
use std::path::Path;

/// How long a diff can be.
const DIFF_BYTES_MAX: usize = 1 << 20;

/// What a worktree holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkspaceStatus {
    /// The commit it is at; `None` before the first one.
    pub head: Option<String>,
    /// The branch it is on; `None` when it is on none.
    pub branch: Option<String>,
    /// How many tracked files differ from the commit.
    pub changed: usize,
    /// How many files are neither tracked nor ignored.
    pub untracked: usize,
    /// How many commits it is ahead of its base.
    pub ahead_of_base: usize,
    /// Repositories inside it with content that no snapshot of it would hold, as paths in it.
    pub nested_repositories: Vec<String>,
}

impl WorkspaceStatus {
    /// Tells whether there is anything that is not in a commit.
    pub fn is_dirty(&self) -> bool {
        self.changed > 0 || self.untracked > 0 || !self.nested_repositories.is_empty()
    }
}

/// The difference between a worktree and a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// A patch in git's form, at most 1 MiB of whole lines; what is not UTF-8 in it is shown as U+FFFD.
    pub text: String,
    /// Whether the patch is longer than that.
    pub truncated: bool,
}

/// Work of a workspace that is nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unsaved {
    /// How many tracked files differ from their commit.
    pub changed: usize,
    /// How many files are neither tracked nor ignored.
    pub untracked: usize,
    /// How many commits are on no other branch, tag or remote.
    pub commits: usize,
    /// How many ignored files or folders are too large to be kept and are no artefacts; counted before a removal only.
    pub ignored: usize,
}

impl Unsaved {
    /// Tells whether everything is saved.
    pub fn is_empty(&self) -> bool {
        *self == Unsaved::default()
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            counted(self.changed, "changed file", "changed files"),
            counted(self.untracked, "untracked file", "untracked files"),
            counted(self.commits, "commit that is on no other branch", "commits that are on no other branch"),
            counted(
                self.ignored,
                "ignored file that no snapshot can hold",
                "ignored files that no snapshot can hold",
            ),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(if parts.is_empty() { "nothing unsaved" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

fn counted(count: usize, one: &str, many: &str) -> Option<String> {
    match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    }
}

/// Says what a worktree holds; `base` is the commit it started from, without it `ahead_of_base` is 0.
///
/// # Errors
/// [`GitError`]
pub async fn status(git: &Git, dir: &Path, base: Option<&str>) -> Result<WorkspaceStatus, GitError> {
    let index = IndexCopy::take(git, dir).await?;
    let call = index.call(&[
        "status",
        "--porcelain=v2",
        "-z",
        "--untracked-files=all",
        "--ignore-submodules=none",
        "--no-renames",
    ]);
    let files = Files::parse(&git.output(&call).await?);
    // Not `--short`, which says `heads/…` when a tag has the same name.
    let branch = git.ask(&Call::new(&index.top, &["symbolic-ref", "--quiet", "HEAD"])).await?;
    let branch = branch.map(|name| name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned());
    let at = git.commit_of(&index.top, "HEAD").await?;
    let ahead_of_base = match base.filter(|_| at.is_some()) {
        Some(base) => ahead(git, &index.top, "HEAD", base).await?,
        None => 0,
    };
    let mut nested_repositories = index.embedded.clone();
    nested_repositories.extend(files.nested);
    nested_repositories.sort();
    nested_repositories.dedup();
    Ok(WorkspaceStatus {
        head: at,
        branch,
        changed: files.changed,
        untracked: files.untracked,
        ahead_of_base,
        nested_repositories,
    })
}

/// Gives what has changed since `base`, commits or not, untracked files included.
///
/// # Errors
/// [`GitError`]
pub async fn diff(git: &Git, dir: &Path, base: &str) -> Result<Diff, GitError> {
    let index = IndexCopy::take(git, dir).await?;
    let tree = index.write_tree(git).await?;
    let options = ["diff-tree", "-r", "-p", "-M", "--no-color", "--no-ext-diff", "--no-textconv"];
    let args = [options.as_slice(), &["--end-of-options", base, &tree]].concat();
    let patch = git.output(&Call::new(&index.top, &args)).await?;
    Ok(cut(&patch))
}

/// Gives the commit that a worktree is at, as its full hash.
///
/// # Errors
/// [`GitError`]; a repository without a commit is one.
pub async fn head(git: &Git, dir: &Path) -> Result<String, GitError> {
    git.line(&Call::new(dir, &["rev-parse", "--verify", "HEAD^{commit}"])).await
}

/// Gives the commit that a branch is at; `None` when there is no such branch.
///
/// # Errors
/// [`GitError`]
pub async fn branch_tip(git: &Git, project: &Path, branch: &str) -> Result<Option<String>, GitError> {
    git.commit_of(project, &format!("refs/heads/{branch}")).await
}

/// Says what a worktree holds that is nowhere else. Of one whose directory is gone only the branch is left to look at.
///
/// # Errors
/// [`GitError`]
pub async fn unsaved(git: &Git, record: &WorkspaceRecord) -> Result<Unsaved, GitError> {
    let dir = Path::new(&record.path);
    if dir.is_dir() {
        let status = status(git, dir, None).await?;
        let tips: &[&str] = if status.head.is_some() { &["HEAD"] } else { &[] };
        let commits = commits_only_here(git, dir, tips, record).await?;
        let (changed, untracked) = (status.changed, status.untracked);
        return Ok(Unsaved { changed, untracked, commits, ignored: 0 });
    }
    let project = Path::new(record.project.as_deref().unwrap_or(&record.path));
    let commits = commits_only_here(git, project, &[], record).await?;
    Ok(Unsaved { commits, ..Unsaved::default() })
}

/// Counts the commits between a base and a tip.
pub(super) async fn ahead(git: &Git, dir: &Path, tip: &str, base: &str) -> Result<usize, GitError> {
    let without = format!("^{base}");
    git.count(&Call::new(dir, &["rev-list", "--count", "--end-of-options", tip, &without])).await
}

/// Counts the commits of `tips` and of the workspace's branch that are on no other branch, tag or remote.
async fn commits_only_here(
    git: &Git,
    dir: &Path,
    tips: &[&str],
    record: &WorkspaceRecord,
) -> Result<usize, GitError> {
    let branch = match &record.branch {
        Some(branch) => {
            let refname = format!("refs/heads/{branch}");
            git.commit_of(dir, &refname).await?.map(|_| (branch, refname))
        }
        None => None,
    };
    let mut args = vec!["rev-list".to_owned(), "--count".to_owned()];
    args.extend(tips.iter().map(|tip| (*tip).to_owned()));
    args.extend(branch.iter().map(|(_, refname)| refname.clone()));
    if tips.is_empty() && branch.is_none() {
        return Ok(0);
    }
    args.push("--not".to_owned());
    args.extend(record.base.clone());
    args.extend(branch.iter().map(|(branch, _)| format!("--exclude={branch}")));
    args.extend(["--branches", "--tags", "--remotes"].map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    git.count(&Call::new(dir, &args)).await
}

/// What `git status --porcelain=v2 -z` lists.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files {
    changed: usize,
    untracked: usize,
    nested: Vec<String>,
}

impl Files {
    fn parse(output: &[u8]) -> Files {
        let mut files = Files::default();
        for record in output.split(|byte| *byte == 0) {
            match record.first() {
                // Ordinary changes and unmerged files; renames are switched off.
                Some(b'1' | b'u') => {
                    files.changed += 1;
                    files.nested.extend(changed_submodule(record));
                }
                Some(b'?') if record.ends_with(b"/") => files.nested.push(text(&record[2..])),
                Some(b'?') => files.untracked += 1,
                Some(_) | None => {}
            }
        }
        files
    }
}

/// Gives the path of a submodule that differs from the commit it stands for, see git-status(1).
fn changed_submodule(record: &[u8]) -> Option<String> {
    let mut fields = record.splitn(if record.first() == Some(&b'u') { 11 } else { 9 }, |byte| *byte == b' ');
    let submodule = fields.nth(2)?;
    let changed = submodule.first() == Some(&b'S') && submodule != b"S...";
    changed.then(|| fields.last().map(text)).flatten()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cut(patch: &[u8]) -> Diff {
    if patch.len() <= DIFF_BYTES_MAX {
        return Diff { text: text(patch), truncated: false };
    }
    let head = &patch[..DIFF_BYTES_MAX];
    let end = head.iter().rposition(|byte| *byte == b'\n').map_or(DIFF_BYTES_MAX, |at| at + 1);
    Diff { text: text(&head[..end]), truncated: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_status_line_is_counted_once() {
        let output = b"1 .M N... 100644 100644 100644 aaaa bbbb a file\0\
            u UU N... 100644 100644 100644 100644 aaaa bbbb cccc conflict\0\
            1 .M S.MU 160000 160000 160000 aaaa bbbb sub module\0\
            1 A. S... 000000 160000 160000 aaaa bbbb clean\0\
            ? new file\0? repository/\0";
        let nested = vec!["sub module".to_owned(), "repository/".to_owned()];
        assert_eq!(Files::parse(output), Files { changed: 4, untracked: 1, nested });
        assert_eq!(Files::parse(b""), Files::default());
    }

    #[test]
    fn unsaved_work_is_said_in_words() {
        let table = [
            (Unsaved { changed: 1, untracked: 2, ..Unsaved::default() }, "1 changed file, 2 untracked files"),
            (Unsaved { commits: 1, ..Unsaved::default() }, "1 commit that is on no other branch"),
            (Unsaved { ignored: 2, ..Unsaved::default() }, "2 ignored files that no snapshot can hold"),
            (Unsaved::default(), "nothing unsaved"),
        ];
        for (unsaved, expected) in table {
            assert_eq!(unsaved.to_string(), expected);
        }
    }

    #[test]
    fn a_long_patch_is_cut_at_a_line() {
        let patch = b"+0123456789\n".repeat(DIFF_BYTES_MAX / 10);
        let diff = cut(&patch);
        assert!(diff.truncated && diff.text.len() <= DIFF_BYTES_MAX && diff.text.ends_with("9\n"));
        assert_eq!(cut(b"+\xff\n"), Diff { text: "+\u{fffd}\n".to_owned(), truncated: false });
    }
}
