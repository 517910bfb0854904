//! The git tree of a directory as it is, read through an index of our own.
//!
//! The user's index is copied, because it knows which files have not changed, and only the copy is written. Marks
//! that make git look away (`assume-unchanged`, `skip-worktree` on a file that is there) are taken off the copy: a
//! tree that evidence is bound to, and a snapshot before a removal, must not leave such a file out.

use crate::git::{Call, Git, GitError};
use std::collections::BTreeSet;
use std::fs::{File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Gives the git tree hash of the worktree that `dir` is in, as it is: untracked files included, ignored ones not.
///
/// It equals `HEAD^{tree}` once everything is committed. The files' content is written to the repository's object
/// store; index and refs stay as they are. A repository inside it stands in the tree by its commit only, as git does
/// it, and not at all when it has none.
///
/// # Errors
/// [`GitError`]
pub async fn tree_hash(git: &Git, dir: &Path) -> Result<String, GitError> {
    IndexCopy::take(git, dir).await?.write_tree(git).await
}

/// A copy of a worktree's index, which goes away with it.
pub(super) struct IndexCopy {
    /// The top of the worktree.
    pub(super) top: PathBuf,
    /// Repositories that stand in the index by a commit and keep their objects inside the worktree.
    pub(super) embedded: Vec<String>,
    /// Repositories that stand in the index by a commit and keep their objects beside the worktree's own.
    pub(super) submodules: Vec<String>,
    /// Paths that are not looked at; they stay as the index has them.
    pub(super) passed_over: Vec<String>,
    file: String,
    /// Whether entries stand in it that no file of the worktree tells.
    is_sparse: bool,
    _folder: TempDir,
}

impl IndexCopy {
    /// Copies the index of the worktree that `dir` is in.
    pub(super) async fn take(git: &Git, dir: &Path) -> Result<IndexCopy, GitError> {
        let (top, index) = places(git, dir).await?;
        let folder = TempDir::with_prefix("adjutant-index-").map_err(|source| GitError::File {
            path: PathBuf::from("the folder for temporary files"),
            source,
        })?;
        let path = folder.path().join("index");
        let file = path.to_str().map(str::to_owned).ok_or_else(|| GitError::File {
            path: path.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
        })?;
        let from = index.clone();
        match tokio::task::spawn_blocking(move || copy(&from, &path)).await.unwrap_or_else(|e| Err(e.into()))
        {
            Ok(()) => {}
            // Nothing was ever added in this repository.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(GitError::File { path: index, source }),
        }
        let mut copy = IndexCopy {
            top,
            embedded: Vec::new(),
            submodules: Vec::new(),
            passed_over: Vec::new(),
            file,
            is_sparse: false,
            _folder: folder,
        };
        copy.unveil(git).await?;
        Ok(copy)
    }

    /// Gives an index that is kept in a file and knows what the worktree's index knows to be tracked, so that what was
    /// read for it once is not read again.
    pub(super) async fn kept_in(&self, git: &Git, file: &Path) -> Result<KeptIndex<'_>, GitError> {
        let text = file.to_str().ok_or_else(|| GitError::File {
            path: file.to_owned(),
            source: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
        })?;
        let kept = KeptIndex { copy: self, file: text.to_owned() };
        if self.is_sparse || !file.is_file() {
            let (from, to) = (PathBuf::from(&self.file), file.to_owned());
            return match tokio::task::spawn_blocking(move || copy(&from, &to)).await {
                Ok(Ok(())) => Ok(kept),
                // Nothing was ever added in this repository.
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(kept),
                Ok(Err(source)) => Err(GitError::File { path: file.to_owned(), source }),
                Err(error) => Err(GitError::File { path: file.to_owned(), source: error.into() }),
            };
        }
        kept.follow(git).await?;
        Ok(kept)
    }

    /// Prepares a call that uses the copy.
    pub(super) fn call(&self, args: &[&str]) -> Call<'_> {
        Call::new(&self.top, args).with_env("GIT_INDEX_FILE", &self.file)
    }

    /// Adds all there is and writes the tree.
    pub(super) async fn write_tree(&self, git: &Git) -> Result<String, GitError> {
        self.add_all(git, |args| self.call(args)).await
    }

    async fn add_all<'c>(&self, git: &Git, call: impl Fn(&[&str]) -> Call<'c>) -> Result<String, GitError> {
        let list = call(&["ls-files", "--others", "--exclude-standard", "-z"]);
        let excluded = self.unborn_repositories(git, &git.output(&list).await?).await?;
        let excluded = excluded.iter().chain(&self.passed_over);
        let excluded: Vec<String> = excluded.map(|path| format!(":(top,exclude,literal){path}")).collect();
        let mut args = vec!["add", "--all", "--sparse", "--", "."];
        args.extend(excluded.iter().map(String::as_str));
        git.output(&call(&args)).await?;
        git.line(&call(&["write-tree"])).await
    }

    /// Takes off the marks that make git look away, and notes the embedded repositories.
    async fn unveil(&mut self, git: &Git) -> Result<(), GitError> {
        let list = git.output(&self.call(&["ls-files", "-v", "-s", "-z"])).await?;
        let mut assumed = Vec::new();
        let mut skipped = Vec::new();
        for entry in list.split(|byte| *byte == 0).filter_map(Entry::parse) {
            let path = self.top.join(path_of(entry.path));
            if entry.is_assumed_unchanged {
                assumed.extend_from_slice(entry.path);
                assumed.push(0);
            }
            if entry.is_skipped && path.symlink_metadata().is_ok() {
                skipped.extend_from_slice(entry.path);
                skipped.push(0);
            }
            self.is_sparse |= entry.is_skipped || entry.is_repository;
            let inner = path.join(".git");
            if entry.is_repository && inner.is_dir() {
                self.embedded.push(String::from_utf8_lossy(entry.path).into_owned());
            } else if entry.is_repository && inner.is_file() {
                self.submodules.push(String::from_utf8_lossy(entry.path).into_owned());
            }
        }
        for (option, paths) in [("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped)] {
            if !paths.is_empty() {
                git.output(&self.call(&["update-index", option, "-z", "--stdin"]).with_stdin(paths)).await?;
            }
        }
        Ok(())
    }

    /// Lists untracked repositories without a commit: git refuses to add them.
    async fn unborn_repositories(&self, git: &Git, list: &[u8]) -> Result<Vec<String>, GitError> {
        let mut unborn = Vec::new();
        for path in list.split(|byte| *byte == 0).filter(|path| path.ends_with(b"/")) {
            if git.commit_of(&self.top.join(path_of(path)), "HEAD").await?.is_none() {
                unborn.push(String::from_utf8_lossy(path).into_owned());
            }
        }
        Ok(unborn)
    }
}

/// An index of ours that outlives a call.
pub(super) struct KeptIndex<'a> {
    copy: &'a IndexCopy,
    file: String,
}

impl KeptIndex<'_> {
    /// Gives the top of the worktree.
    pub(super) fn top(&self) -> &Path {
        &self.copy.top
    }

    /// Prepares a call that uses it.
    pub(super) fn call(&self, args: &[&str]) -> Call<'_> {
        Call::new(&self.copy.top, args).with_env("GIT_INDEX_FILE", &self.file)
    }

    /// Adds all there is and writes the tree.
    pub(super) async fn write_tree(&self, git: &Git) -> Result<String, GitError> {
        self.copy.add_all(git, |args| durable(self.call(args))).await
    }

    /// Takes over which ignored files the worktree's index tracks; of all others `git add` finds out by itself.
    async fn follow(&self, git: &Git) -> Result<(), GitError> {
        let list = ["ls-files", "--cached", "--ignored", "--exclude-standard", "-z"];
        let tracked = paths(&git.output(&self.copy.call(&list)).await?);
        let known = paths(&git.output(&self.call(&list)).await?);
        for (option, paths) in [("--force-remove", &known - &tracked), ("--add", &tracked - &known)] {
            if !paths.is_empty() {
                let args = ["update-index", option, "--remove", "-z", "--stdin"];
                git.output(&self.call(&args).with_stdin(joined(&paths))).await?;
            }
        }
        Ok(())
    }
}

/// Makes what a call writes outlast a loss of power.
pub(super) fn durable(call: Call<'_>) -> Call<'_> {
    call.with_config("core.fsync=committed,loose-object").with_config("core.fsyncMethod=batch")
}

/// Gives the paths of a list of git's, each of which ends with NUL.
pub(super) fn paths(list: &[u8]) -> BTreeSet<Vec<u8>> {
    list.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Gives paths as git reads a list of them.
pub(super) fn joined<'p>(paths: impl IntoIterator<Item = &'p Vec<u8>>) -> Vec<u8> {
    paths.into_iter().flat_map(|path| path.iter().copied().chain([0])).collect()
}

/// A line of `git ls-files -v -s -z`: tag, mode, object and stage, a tab, and the path.
struct Entry<'a> {
    path: &'a [u8],
    is_assumed_unchanged: bool,
    is_skipped: bool,
    is_repository: bool,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a [u8]) -> Option<Entry<'a>> {
        let tab = line.iter().position(|byte| *byte == b'\t')?;
        let tag = *line.first()?;
        Some(Entry {
            path: &line[tab + 1..],
            is_assumed_unchanged: tag.is_ascii_lowercase(),
            is_skipped: tag.eq_ignore_ascii_case(&b'S'),
            is_repository: line.get(2..8) == Some(b"160000"),
        })
    }
}

/// Gives the top of the worktree and the path of its index.
async fn places(git: &Git, dir: &Path) -> Result<(PathBuf, PathBuf), GitError> {
    let call =
        Call::new(dir, &["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-path", "index"]);
    let lines = git.line(&call).await?;
    match lines.split('\n').collect::<Vec<_>>().as_slice() {
        [top, index] => Ok((PathBuf::from(top), PathBuf::from(index))),
        _ => Err(call.unreadable("a path has a line end in it")),
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::copy(from, to)?;
    // git takes a file that changed in the same instant as the index for possibly changed again; with a younger
    // index it would take it for unchanged and miss what was written since.
    let modified = from.metadata()?.modified()?;
    File::options().write(true).open(to)?.set_times(FileTimes::new().set_modified(modified))
}

pub(super) fn path_of(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_entries_are_read_with_their_marks() {
        let object = "0123456789012345678901234567890123456789";
        let table = [
            (format!("H 100644 {object} 0\ta b"), "a b", [false, false, false]),
            (format!("h 100644 {object} 0\tx"), "x", [true, false, false]),
            (format!("S 100644 {object} 0\tx\ty"), "x\ty", [false, true, false]),
            (format!("s 100755 {object} 0\tx"), "x", [true, true, false]),
            (format!("H 160000 {object} 0\tsub"), "sub", [false, false, true]),
        ];
        for (line, path, flags) in table {
            let entry = Entry::parse(line.as_bytes()).unwrap();
            assert_eq!(entry.path, path.as_bytes());
            assert_eq!([entry.is_assumed_unchanged, entry.is_skipped, entry.is_repository], flags, "{line}");
        }
        assert!(Entry::parse(b"").is_none());
    }
}
