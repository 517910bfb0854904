//! What a worktree's tree cannot say: what it is on, what is staged, and what is under way.
//!
//! The state's tree has `stages/<n>/`, the index, a conflict's sides included, and beside it the empty file `staged`,
//! when the index is not that of the commit; `git/`, git's own files about a merge, rebase, cherry-pick, revert or bisection; and
//! `ignored/`. Commits that those files name are the state commit's parents, so git does not forget them.

use super::Desk;
use crate::git::{Call, Git, GitError};
use crate::worktree::tree::{IndexCopy, durable};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// What git keeps about work under way, in a worktree's own folder.
pub(in crate::worktree) const STATE_PATHS: [&str; 16] = [
    "MERGE_HEAD",
    "MERGE_MSG",
    "MERGE_MODE",
    "AUTO_MERGE",
    "SQUASH_MSG",
    "CHERRY_PICK_HEAD",
    "REVERT_HEAD",
    "REBASE_HEAD",
    "ORIG_HEAD",
    "BISECT_LOG",
    "rebase-merge",
    "rebase-apply",
    "sequencer",
    "refs/bisect",
    "refs/rewritten",
    "refs/worktree",
];

/// How many commits that git's files name are looked up.
const NAMED_MAX: usize = 1000;

/// What a worktree is in beside its tree.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) head: Option<String>,
    pub(super) branch: Option<String>,
    /// The tree of all of it; `None` when there is nothing but a commit and a branch.
    pub(super) tree: Option<String>,
    pub(super) parents: Vec<String>,
}

pub(super) async fn read(
    git: &Git,
    desk: &Desk,
    copy: &IndexCopy,
    ignored: Option<&str>,
) -> Result<State, GitError> {
    let head = git.commit_of(&desk.top, "HEAD").await?;
    let branch = git.ask(&Call::new(&desk.top, &["symbolic-ref", "--quiet", "HEAD"])).await?;
    let staged = staged(git, copy, head.as_deref()).await?;
    let files = under_way(git, desk, head.as_deref()).await?;
    if staged.is_none() && files.is_empty() && ignored.is_none() {
        return Ok(State { head, branch, tree: None, parents: Vec::new() });
    }
    let parents = named_commits(git, desk, &files).await?;
    let tree = write(git, desk, &files, staged, ignored).await?;
    Ok(State { head, branch, tree: Some(tree), parents })
}

/// An entry of an index or a tree: three words and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::worktree) struct Listed {
    /// Mode, object and stage of an index's entry; mode, kind and object of a tree's.
    pub(in crate::worktree) words: [String; 3],
    pub(in crate::worktree) path: Vec<u8>,
}

/// Reads what `git ls-files --stage -z` or `git ls-tree -r -z` lists.
pub(in crate::worktree) fn listed(list: &[u8]) -> Vec<Listed> {
    let parse = |line: &[u8]| {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let words = std::str::from_utf8(&line[..tab]).ok()?;
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        Some(Listed { words: words.try_into().ok()?, path: line[tab + 1..].to_vec() })
    };
    list.split(|byte| *byte == 0).filter_map(parse).collect()
}

/// Gives the index's entries when they are not those of the commit.
async fn staged(git: &Git, copy: &IndexCopy, head: Option<&str>) -> Result<Option<Vec<Listed>>, GitError> {
    let list = copy.call(&["ls-files", "--stage", "-z"]);
    let Some(head) = head else {
        let stages = listed(&git.output(&list).await?);
        return Ok((!stages.is_empty()).then_some(stages));
    };
    if git.ask(&copy.call(&["diff-index", "--cached", "--quiet", head, "--"])).await?.is_some() {
        return Ok(None);
    }
    Ok(Some(listed(&git.output(&list).await?)))
}

/// Gives the files that git keeps about work under way, as paths in the worktree's own folder.
async fn under_way(git: &Git, desk: &Desk, head: Option<&str>) -> Result<Vec<String>, GitError> {
    let mut files = Vec::new();
    for name in STATE_PATHS {
        let is_worth = name != "ORIG_HEAD" || is_lost(git, desk, head).await?;
        if is_worth {
            list(&desk.git_dir, Path::new(name), &mut files)
                .map_err(|source| GitError::File { path: desk.git_dir.join(name), source })?;
        }
    }
    Ok(files)
}

/// Tells whether a commit that the branch was moved away from is on no branch, tag or remote.
async fn is_lost(git: &Git, desk: &Desk, head: Option<&str>) -> Result<bool, GitError> {
    match git.commit_of(&desk.top, "ORIG_HEAD").await? {
        Some(origin) if Some(origin.as_str()) != head => {
            let mut args = vec!["rev-list", "--count", "--max-count=1", &origin, "--not"];
            args.extend(head);
            args.extend(["--branches", "--tags", "--remotes"]);
            Ok(git.count(&Call::new(&desk.top, &args)).await? > 0)
        }
        Some(_) | None => Ok(false),
    }
}

fn list(root: &Path, name: &Path, files: &mut Vec<String>) -> io::Result<()> {
    let path = root.join(name);
    let found = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if found.is_dir() {
        let mut names: Vec<_> =
            std::fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        names.sort();
        return names.iter().try_for_each(|child| list(root, &name.join(child), files));
    }
    // Links are none of git's, and a name that cannot be written in a list is not, either.
    if found.is_file() && name.to_str().is_some_and(|name| !name.contains('\n') && !name.ends_with(".lock")) {
        files.push(name.to_string_lossy().into_owned());
    }
    Ok(())
}

/// Gives the commits that git's files name, without those that another of them leads to.
async fn named_commits(git: &Git, desk: &Desk, files: &[String]) -> Result<Vec<String>, GitError> {
    let mut words = BTreeSet::new();
    for file in files {
        let text = std::fs::read(desk.git_dir.join(file)).unwrap_or_default();
        let is_hex = |word: &&[u8]| {
            (7..=64).contains(&word.len())
                && word.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let found = text.split(|byte| !byte.is_ascii_alphanumeric()).filter(is_hex);
        words.extend(found.map(|word| String::from_utf8_lossy(word).into_owned()));
    }
    let asked: String = words.into_iter().take(NAMED_MAX).flat_map(|word| [word, "\n".to_owned()]).collect();
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let call = Call::new(&desk.top, &["cat-file", "--batch-check=%(objectname) %(objecttype)"]);
    let answers = git.line(&call.with_stdin(asked.into_bytes())).await?;
    let commits: BTreeSet<&str> = answers.lines().filter_map(|line| line.strip_suffix(" commit")).collect();
    if commits.len() < 2 {
        return Ok(commits.into_iter().map(str::to_owned).collect());
    }
    let args: Vec<&str> = ["merge-base", "--independent"].into_iter().chain(commits).collect();
    let mut independent: Vec<String> =
        git.line(&Call::new(&desk.top, &args)).await?.lines().map(str::to_owned).collect();
    independent.sort();
    Ok(independent)
}

async fn write(
    git: &Git,
    desk: &Desk,
    files: &[String],
    staged: Option<Vec<Listed>>,
    ignored: Option<&str>,
) -> Result<String, GitError> {
    let file = desk.folder.join("state");
    std::fs::remove_file(&file).ok();
    let file = file.to_string_lossy();
    let call = |args: &[&str]| durable(Call::new(&desk.top, args)).with_env("GIT_INDEX_FILE", &file);
    let mut lines = Vec::new();
    let mut add = |mode: &str, object: &str, path: &[u8]| {
        lines.extend_from_slice(format!("{mode} {object}\t").as_bytes());
        lines.extend_from_slice(path);
        lines.push(0);
    };
    // The object of a file that `git add --intent-to-add` noted; nothing else makes sure that it is there.
    let empty = git.line(&call(&["hash-object", "-w", "--stdin"])).await?;
    if staged.is_some() {
        add("100644", &empty, b"staged");
    }
    for entry in staged.into_iter().flatten() {
        let [mode, object, stage] = &entry.words;
        add(mode, object, &[b"stages/", stage.as_bytes(), b"/", &entry.path].concat());
    }
    let objects = blobs(git, desk, files).await?;
    for (name, object) in files.iter().zip(&objects) {
        add("100644", object, format!("git/{name}").as_bytes());
    }
    git.output(&call(&["update-index", "--add", "-z", "--index-info"]).with_stdin(lines)).await?;
    if let Some(ignored) = ignored {
        git.output(&call(&["read-tree", "--prefix=ignored/", ignored])).await?;
    }
    git.line(&call(&["write-tree"])).await
}

/// Writes files as they are, and gives their objects.
async fn blobs(git: &Git, desk: &Desk, files: &[String]) -> Result<Vec<String>, GitError> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let paths: Vec<PathBuf> = files.iter().map(|file| desk.git_dir.join(file)).collect();
    let list: String = paths.iter().map(|path| format!("{}\n", path.display())).collect();
    let call = Call::new(&desk.top, &["hash-object", "-w", "--no-filters", "--stdin-paths"]);
    let objects = git.line(&durable(call).with_stdin(list.into_bytes())).await?;
    Ok(objects.lines().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_with_all_sides_of_a_conflict() {
        let entry = |mode: &str, object: &str, stage: &str, path: &[u8]| Listed {
            words: [mode, object, stage].map(str::to_owned),
            path: path.to_vec(),
        };
        let list = b"100644 aa 0\ta b\x00100755 bb 2\tx\ty\x00120000 cc 3\t\xff\0";
        let expected = [
            entry("100644", "aa", "0", b"a b"),
            entry("100755", "bb", "2", b"x\ty"),
            entry("120000", "cc", "3", b"\xff"),
        ];
        assert_eq!(listed(list), expected);
        assert!(listed(b"").is_empty());
    }
}
