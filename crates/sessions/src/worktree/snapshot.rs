//! Keeping all that a worktree holds under numbered refs.
//!
//! A snapshot is a commit whose tree is the worktree, untracked files included. Its first parent is the commit that the
//! worktree was at. What a tree cannot say stands in a second one, the *state*: files that git ignores, as far as they
//! are small, what is staged, conflicts with all their sides, and a merge or rebase that is under way. So everything can
//! be put back, see [`super::restore()`], and the refs keep git from forgetting any of it.
//!
//! Nothing of the worktree is written but indexes of our own beside its index. A snapshot is taken when two looks, one
//! after the other, have seen the same; so it is a tree that was there, or an error.

mod ignored;
mod state;

pub use ignored::{KeepLimits, LeftOut, LeftOutWhy};

pub(super) use ignored::is_artefact;
pub(super) use state::{STATE_PATHS, listed};

use super::place::FolderLock;
use super::registry::{RETRY_PAUSE, TRIES};
use super::tree::{IndexCopy, durable};
use crate::git::{BEING_WRITTEN, Call, Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceRecord};
use adjutant_model::time::Timestamp;
use serde::{Deserialize, Serialize};
use state::State;
use std::path::{Path, PathBuf};

/// How many of the things that were left out a snapshot names.
const LEFT_OUT_NAMED_MAX: usize = 100;

/// A tree that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its number among those of its name, from 1.
    pub number: u32,
    /// The ref it is kept under.
    pub refname: String,
    /// The commit.
    pub commit: String,
    /// When it was taken.
    pub at: Timestamp,
    /// What stands in it.
    pub content: SnapshotContent,
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotContent {
    /// The commit that the worktree was at; `None` before the first one.
    pub head: Option<String>,
    /// The full name of the branch that it was on; `None` when it was on none.
    pub branch: Option<String>,
    /// The commit that holds what the tree cannot say.
    pub state: Option<String>,
    /// The state's tree.
    pub state_tree: Option<String>,
    /// What is not in it: ignored files that are too large, and the like. At most a hundred are named.
    pub left_out: Vec<LeftOut>,
    /// How many things were left out, named or not.
    pub left_out_count: usize,
}

/// What to keep.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotParams<'a> {
    /// The worktree.
    pub record: &'a WorkspaceRecord,
    /// What the snapshots are named by: the id of a run or a session.
    pub name: &'a str,
    /// How much of what git ignores is kept.
    pub limits: KeepLimits,
}

/// Why there is no snapshot; nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The name is none that a ref can have.
    #[error("`{name}` cannot name snapshots")]
    Name {
        /// What was given.
        name: String,
    },
    /// The tree was another one each time that it was looked at.
    #[error("{} changes while it is looked at", path.display())]
    Changing {
        /// The worktree.
        path: PathBuf,
    },
    /// A snapshot cannot be read.
    #[error("the snapshot {refname} cannot be read")]
    Unreadable {
        /// Its ref.
        refname: String,
    },
    /// git failed.
    #[error("no snapshot could be taken")]
    Git(#[from] GitError),
}

impl SnapshotError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            SnapshotError::Name { .. } | SnapshotError::Unreadable { .. } => ErrorClass::User,
            SnapshotError::Changing { .. } => ErrorClass::Retry,
            SnapshotError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            SnapshotError::Name { .. } => None,
            SnapshotError::Changing { .. } => Some(BEING_WRITTEN.to_owned()),
            SnapshotError::Unreadable { refname } => Some(format!("`git show {refname}` shows what it is")),
            SnapshotError::Git(error) => error.hint(),
        }
    }
}

/// Keeps a worktree under the next number of a name; `None` when the last snapshot is the same, or when there is none
/// yet and the worktree is as it was made.
///
/// # Errors
/// [`SnapshotError`]; nothing has changed then.
pub async fn snapshot_next(git: &Git, params: SnapshotParams<'_>) -> Result<Option<Snapshot>, SnapshotError> {
    let taken = take(git, params, Place::Own).await?;
    Ok(taken.is_new.then_some(taken.snapshot).flatten())
}

/// Lists the snapshots of a name in a repository, the first one first.
///
/// # Errors
/// [`SnapshotError`]
pub async fn snapshots(git: &Git, project: &Path, name: &str) -> Result<Vec<Snapshot>, SnapshotError> {
    let folder = folder_of(name)?;
    let format = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents:body)%00%00";
    let list = git.output(&Call::new(project, &["for-each-ref", format, &folder])).await?;
    let list = String::from_utf8_lossy(&list);
    let mut found = Vec::new();
    for line in list.split("\0\0\n").filter(|line| !line.is_empty()) {
        let refname = line.split('\0').next().unwrap_or_default();
        // Another's ref beside ours is nothing to stumble over.
        if number_of(&folder, refname).is_some() {
            let unreadable = || SnapshotError::Unreadable { refname: refname.to_owned() };
            found.push(parse(&folder, line).ok_or_else(unreadable)?);
        }
    }
    found.sort_by_key(|snapshot| snapshot.number);
    Ok(found)
}

/// Counts the snapshots of every name in a repository.
///
/// # Errors
/// [`GitError`]
pub async fn snapshots_count(git: &Git, project: &Path) -> Result<usize, GitError> {
    let list = ["for-each-ref", "--format=%(refname)", "refs/adjutant/snapshots"];
    Ok(git.line(&Call::new(project, &list)).await?.lines().count())
}

/// What taking a snapshot came to.
pub(super) struct Taken {
    /// The snapshot that holds what the worktree holds; `None` when it is as it was made.
    pub(super) snapshot: Option<Snapshot>,
    /// Whether it was taken now.
    pub(super) is_new: bool,
    /// What no snapshot holds.
    pub(super) left_out: Vec<LeftOut>,
}

/// Where a worktree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Where its repository knows it.
    Own,
    /// Out of that place. Its submodules' links lead to where it was, so they are passed over; whoever takes a worktree
    /// out of its place has looked at them before.
    Left,
}

/// Keeps a worktree, unless its last snapshot is the same.
pub(super) async fn take(
    git: &Git,
    params: SnapshotParams<'_>,
    place: Place,
) -> Result<Taken, SnapshotError> {
    let folder = folder_of(params.name)?;
    let desk = Desk::open(git, Path::new(&params.record.path), place).await?;
    let seen = desk.settled(git, params).await?;
    let last = snapshots(git, &desk.top, params.name).await?.pop();
    let kept = |snapshot, is_new, left_out| Ok(Taken { snapshot, is_new, left_out });
    match &last {
        Some(last) if seen.is_kept_by(git, &desk.top, last).await? => {
            return kept(Some(last.clone()), false, seen.left_out);
        }
        None if seen.is_untouched(git, &desk.top, params.record).await? => {
            return kept(None, false, seen.left_out);
        }
        Some(_) | None => {}
    }
    let snapshot = desk.keep(git, &seen, &folder, last.map_or(1, |last| last.number + 1)).await?;
    kept(Some(snapshot), true, seen.left_out)
}

/// Where snapshots of one worktree are made, one at a time.
struct Desk {
    top: PathBuf,
    git_dir: PathBuf,
    folder: PathBuf,
    place: Place,
    _lock: FolderLock,
}

/// What one look at a worktree has seen.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    tree: String,
    state: State,
    left_out: Vec<LeftOut>,
}

impl Desk {
    async fn open(git: &Git, dir: &Path, place: Place) -> Result<Desk, GitError> {
        let call = Call::new(dir, &["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir"]);
        let lines = git.line(&call).await?;
        let [top, git_dir] = lines.split('\n').collect::<Vec<_>>()[..] else {
            return Err(call.unreadable("a path has a line end in it"));
        };
        let (top, git_dir) = (PathBuf::from(top), PathBuf::from(git_dir));
        let folder = git_dir.join("adjutant");
        let lock = FolderLock::acquire(&folder)
            .await
            .map_err(|source| GitError::File { path: folder.clone(), source })?;
        Ok(Desk { top, git_dir, folder, place, _lock: lock })
    }

    /// Looks until two looks have seen the same.
    async fn settled(&self, git: &Git, params: SnapshotParams<'_>) -> Result<Seen, SnapshotError> {
        let (mut before, mut was_readable) = (None, false);
        for tried in 1..=TRIES {
            match self.look(git, params).await {
                Ok(seen) if before.as_ref() == Some(&seen) => return Ok(seen),
                Ok(seen) => (before, was_readable) = (Some(seen), true),
                // A file that goes while it is read fails the call, and so does an index that a crash has broken. What
                // could be read before is only being changed.
                Err(GitError::Failed { stderr_tail, .. })
                    if (tried < TRIES || was_readable) && !stderr_tail.contains("No space left") =>
                {
                    before = None;
                    self.clear();
                    tokio::time::sleep(RETRY_PAUSE * tried).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(SnapshotError::Changing { path: self.top.clone() })
    }

    async fn look(&self, git: &Git, params: SnapshotParams<'_>) -> Result<Seen, GitError> {
        let mut copy = IndexCopy::take(git, &self.top).await?;
        if self.place == Place::Left {
            copy.passed_over = std::mem::take(&mut copy.submodules);
        }
        let index = copy.kept_in(git, &self.folder.join("index")).await?;
        let tree = index.write_tree(git).await?;
        let ignored = ignored::keep(git, &index, &self.folder.join("ignored"), params.limits).await?;
        let state = state::read(git, self, &copy, ignored.tree.as_deref()).await?;
        Ok(Seen { tree, state, left_out: ignored.left_out })
    }

    /// Gives up what was kept to be quick.
    fn clear(&self) {
        for name in ["index", "index.lock", "ignored", "ignored.lock", "state", "state.lock"] {
            std::fs::remove_file(self.folder.join(name)).ok();
        }
    }

    /// Commits what was seen, and puts the commit under the first number that is free.
    async fn keep(
        &self,
        git: &Git,
        seen: &Seen,
        folder: &str,
        first: u32,
    ) -> Result<Snapshot, SnapshotError> {
        let state = match &seen.state.tree {
            Some(tree) => {
                let parents = seen.state.parents.iter().map(String::as_str);
                Some(commit(git, &self.top, tree, parents.collect(), "What a tree cannot say").await?)
            }
            None => None,
        };
        let content = SnapshotContent {
            head: seen.state.head.clone(),
            branch: seen.state.branch.clone(),
            state: state.clone(),
            state_tree: seen.state.tree.clone(),
            left_out: seen.left_out.iter().take(LEFT_OUT_NAMED_MAX).cloned().collect(),
            left_out_count: seen.left_out.len(),
        };
        let said = serde_json::to_string(&content).unwrap_or_default();
        let parents: Vec<&str> =
            [&content.head, &content.state].into_iter().flatten().map(String::as_str).collect();
        let message = format!("Snapshot of a workspace\n\n{said}");
        let commit = commit(git, &self.top, &seen.tree, parents, &message).await?;
        let mut number = first;
        loop {
            let refname = format!("{folder}{number}");
            // An empty old value: there must be none yet.
            let write = Call::new(&self.top, &["update-ref", &refname, &commit, ""]);
            match git.output(&durable(write)).await {
                Ok(_) => {
                    let at = taken_at(git, &self.top, &commit).await?;
                    return Ok(Snapshot { number, refname, commit, at, content });
                }
                Err(error) => match git.commit_of(&self.top, &refname).await? {
                    Some(_) => number += 1,
                    None => return Err(error.into()),
                },
            }
        }
    }
}

impl Seen {
    /// Tells whether a snapshot holds all of it.
    async fn is_kept_by(&self, git: &Git, dir: &Path, last: &Snapshot) -> Result<bool, GitError> {
        let content = &last.content;
        Ok(content.head == self.state.head
            && content.branch == self.state.branch
            && content.state_tree == self.state.tree
            && tree_of(git, dir, &last.commit).await? == self.tree)
    }

    /// Tells whether the worktree is as it was made, and what it was made from is kept elsewhere.
    async fn is_untouched(&self, git: &Git, dir: &Path, record: &WorkspaceRecord) -> Result<bool, GitError> {
        let Some(head) = &self.state.head else { return Ok(false) };
        let own = record.branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        let is_as_made = self.state.tree.is_none()
            && (own.is_none() || own == self.state.branch)
            && record.base.as_ref().is_none_or(|base| base == head);
        Ok(is_as_made && tree_of(git, dir, head).await? == self.tree && is_kept(git, dir, head).await?)
    }
}

fn folder_of(name: &str) -> Result<String, SnapshotError> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_plain && !name.is_empty() && !name.starts_with('-') && name.len() <= 100 {
        return Ok(format!("refs/adjutant/snapshots/{name}/"));
    }
    Err(SnapshotError::Name { name: name.chars().take(100).collect() })
}

fn number_of(folder: &str, refname: &str) -> Option<u32> {
    refname.strip_prefix(folder)?.parse().ok()
}

fn parse(folder: &str, line: &str) -> Option<Snapshot> {
    let [refname, commit, at, body] = line.split('\0').collect::<Vec<_>>()[..] else { return None };
    Some(Snapshot {
        number: number_of(folder, refname)?,
        refname: refname.to_owned(),
        commit: commit.to_owned(),
        at: Timestamp::from_unix_ms(at.parse::<i64>().ok()?.checked_mul(1000)?),
        content: serde_json::from_str(body.trim()).ok()?,
    })
}

async fn taken_at(git: &Git, dir: &Path, commit: &str) -> Result<Timestamp, GitError> {
    let call = Call::new(dir, &["show", "--no-patch", "--format=%ct", "--end-of-options", commit]);
    let seconds = git.count(&call).await?;
    Ok(Timestamp::from_unix_ms(i64::try_from(seconds).unwrap_or(i64::MAX / 1000).saturating_mul(1000)))
}

async fn commit(
    git: &Git,
    dir: &Path,
    tree: &str,
    parents: Vec<&str>,
    message: &str,
) -> Result<String, GitError> {
    let mut args = vec!["commit-tree", "-F", "-"];
    args.extend(parents.into_iter().flat_map(|parent| ["-p", parent]));
    args.push(tree);
    let call = Call::new(dir, &args).with_stdin(message.as_bytes().to_vec());
    git.line(&durable(by_adjutant(call))).await
}

/// Names Adjutant as who commits: a commit of ours must not depend on whether the user has told git a name.
pub(super) fn by_adjutant(mut call: Call<'_>) -> Call<'_> {
    for who in ["AUTHOR", "COMMITTER"] {
        call = call
            .with_env(&format!("GIT_{who}_NAME"), "Adjutant")
            .with_env(&format!("GIT_{who}_EMAIL"), "adjutant@localhost");
    }
    call.with_config("commit.gpgSign=false")
}

async fn tree_of(git: &Git, dir: &Path, commit: &str) -> Result<String, GitError> {
    let tree = format!("{commit}^{{tree}}");
    git.line(&Call::new(dir, &["rev-parse", "--verify", "--end-of-options", &tree])).await
}

/// Tells whether a branch, tag or remote has a commit.
pub(super) async fn is_kept(git: &Git, dir: &Path, commit: &str) -> Result<bool, GitError> {
    let args = ["rev-list", "--count", "--max-count=1", commit, "--not", "--branches", "--tags", "--remotes"];
    Ok(git.count(&Call::new(dir, &args)).await? == 0)
}
