//! Putting a snapshot back: files, what was staged, what was under way, and ignored files as far as they were kept.

use super::create::{WorktreeError, base_ref, check_branch_name, settled_path};
use super::place::{FolderLock, PlaceLock};
use super::registry::is_checked_out;
use super::snapshot::{
    KeepLimits, LeftOut, Place, STATE_PATHS, Snapshot, SnapshotError, SnapshotParams, listed, take,
};
use super::tree::paths;
use crate::git::{Call, Git, GitError};
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// The snapshot to put back.
#[derive(Debug, Clone, Copy)]
pub struct RestoreParams<'a> {
    /// What the workspace is or was.
    pub record: &'a WorkspaceRecord,
    /// What its snapshots are named by.
    pub name: &'a str,
    /// Which of them.
    pub snapshot: &'a Snapshot,
}

/// What putting a snapshot back did.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    /// Where it is now.
    pub record: WorkspaceRecord,
    /// The snapshot of what was there before, when it was put back in place and that was something else.
    pub before: Option<Snapshot>,
}

/// Why a snapshot was not put back.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The project's repository is not known.
    #[error("the workspace {} is of no project", path.display())]
    NoProject {
        /// The workspace.
        path: PathBuf,
    },
    /// It is not a worktree beside a repository's main one, so not one that we made.
    #[error("{} is not a workspace that Adjutant made", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// Ignored files that no snapshot holds would be overwritten.
    #[error("{} has files that no snapshot holds and that would be overwritten: {}", path.display(), files.join(", "))]
    Overwrites {
        /// The workspace.
        path: PathBuf,
        /// The files.
        files: Vec<String>,
    },
    /// The new worktree could not be made.
    #[error(transparent)]
    Worktree(#[from] WorktreeError),
    /// What is there could not be kept, or the snapshot not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// A file could not be written.
    #[error("{} could not be written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// git failed.
    #[error("the snapshot could not be put back")]
    Git(#[from] GitError),
}

impl RestoreError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            RestoreError::NoProject { .. }
            | RestoreError::NotOurs { .. }
            | RestoreError::Overwrites { .. } => ErrorClass::User,
            RestoreError::Worktree(error) => error.class(),
            RestoreError::Snapshot(error) => error.class(),
            RestoreError::Io { .. } => ErrorClass::Retry,
            RestoreError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            RestoreError::NoProject { .. } | RestoreError::Io { .. } => None,
            RestoreError::NotOurs { .. } => Some("put the snapshot into another directory".to_owned()),
            RestoreError::Overwrites { .. } => {
                Some("put it into another directory, or move them out of the way".to_owned())
            }
            RestoreError::Worktree(error) => error.hint(),
            RestoreError::Snapshot(error) => error.hint(),
            RestoreError::Git(error) => error.hint(),
        }
    }
}

/// Puts a snapshot into a new worktree at `path`, on a branch `adjutant/restored/<name>-<number>`.
///
/// What was on no branch is on none there, and has that branch all the same.
///
/// # Errors
/// [`RestoreError`]; nothing that was there before is changed then, and no directory of ours is left.
pub async fn restore_beside(
    git: &Git,
    params: RestoreParams<'_>,
    path: &Path,
) -> Result<Restored, RestoreError> {
    let project = project_of(params.record)?;
    let path = settled_path(path)?;
    let in_the_way = |source| WorktreeError::Path { path: path.clone(), what: io::Error::to_string(&source) };
    let _lock = PlaceLock::acquire(&path).await.map_err(in_the_way)?;
    if path.symlink_metadata().is_ok() {
        return Err(WorktreeError::PathOccupied { path }.into());
    }
    let branch = free_branch(git, project, params).await?;
    let made = make(git, params, &path, &branch).await;
    if made.is_err() {
        // Only what this call has made: nobody else's directory was at this place.
        let text = path.to_string_lossy();
        let remove = ["worktree", "remove", "--force", "--force", "--", &text];
        git.output(&Call::new(project, &remove)).await.ok();
    }
    made
}

/// Puts a snapshot back where its workspace still is, behind a snapshot of what is there now. The workspace's own
/// branch goes back to the commit that it was at; any other branch stays, and the workspace is then on none.
///
/// # Errors
/// [`RestoreError`]; what was there can be put back by the number of [`Restored::before`] then, too.
pub async fn restore_in_place(git: &Git, params: RestoreParams<'_>) -> Result<Restored, RestoreError> {
    let dir = Path::new(&params.record.path);
    let limits = KeepLimits::LAST;
    let site = Site::of(git, dir).await?;
    let taken =
        take(git, SnapshotParams { record: params.record, name: params.name, limits }, Place::Own).await?;
    let _lock = FolderLock::acquire(&site.folder).await.map_err(|e| site.io_error(&site.folder, e))?;
    check_overwrites(git, &site, params.snapshot, &taken.left_out).await?;
    let index = site.folder.join("index");
    let index = index.to_string_lossy();
    let tree = format!("{}^{{tree}}", params.snapshot.commit);
    // It knows every file that is not ignored, so what the snapshot does not have goes, and nothing else.
    let call = Call::new(dir, &["read-tree", "--reset", "-u", &tree]).with_env("GIT_INDEX_FILE", &index);
    git.output(&call).await?;
    let own = params.record.branch.as_deref();
    site.keep_tip(git, own, taken.snapshot.as_ref()).await?;
    site.put_back(git, params, own).await?;
    let before = taken.snapshot.filter(|before| before.number != params.snapshot.number);
    Ok(Restored { record: params.record.clone(), before })
}

/// Makes the worktree and fills it.
async fn make(
    git: &Git,
    params: RestoreParams<'_>,
    path: &Path,
    branch: &str,
) -> Result<Restored, RestoreError> {
    let project = project_of(params.record)?;
    let content = &params.snapshot.content;
    let start = content.head.as_ref().unwrap_or(&params.snapshot.commit);
    let text = path.to_string_lossy();
    let add = ["worktree", "add", "--quiet", "--no-checkout", "--detach", "--", &text, start];
    git.output(&Call::new(project, &add)).await?;
    let base = params.record.base.clone().or_else(|| content.head.clone());
    if let Some(base) = &base {
        git.output(&Call::new(project, &["update-ref", &base_ref(branch), base])).await?;
    }
    let site = Site::of(git, path).await?;
    let _lock = FolderLock::acquire(&site.folder).await.map_err(|e| site.io_error(&site.folder, e))?;
    let index = site.folder.join("index");
    let index = index.to_string_lossy();
    for args in [
        &["read-tree", &params.snapshot.commit][..],
        &["checkout-index", "--all", "--force", "--quiet", "-u"],
    ] {
        git.output(&Call::new(path, args).with_env("GIT_INDEX_FILE", &index)).await?;
    }
    site.put_back(git, params, Some(branch)).await?;
    let record = WorkspaceRecord {
        kind: WorkspaceKind::Worktree,
        path: text.into_owned(),
        project: params.record.project.clone(),
        branch: Some(branch.to_owned()),
        base,
        node: params.record.node.clone(),
    };
    Ok(Restored { record, before: None })
}

fn project_of(record: &WorkspaceRecord) -> Result<&Path, RestoreError> {
    let project = record.project.as_deref().map(Path::new);
    project.ok_or_else(|| RestoreError::NoProject { path: PathBuf::from(&record.path) })
}

/// Gives the first name of a branch that nobody has.
async fn free_branch(git: &Git, project: &Path, params: RestoreParams<'_>) -> Result<String, RestoreError> {
    let first = format!("adjutant/restored/{}-{}", params.name, params.snapshot.number);
    check_branch_name(git, project, &first).await?;
    let mut branch = first.clone();
    for again in 2.. {
        if git.commit_of(project, &format!("refs/heads/{branch}")).await?.is_none() {
            break;
        }
        branch = format!("{first}-{again}");
    }
    Ok(branch)
}

/// Refuses when something would be overwritten that no snapshot holds.
async fn check_overwrites(
    git: &Git,
    site: &Site,
    snapshot: &Snapshot,
    left_out: &[LeftOut],
) -> Result<(), RestoreError> {
    if left_out.is_empty() {
        return Ok(());
    }
    let list = |tree: String| {
        let call = Call::new(&site.top, &["ls-tree", "-r", "-z", "--name-only", "--end-of-options", &tree]);
        async move { git.output(&call).await }
    };
    let mut comes: BTreeSet<Vec<u8>> = paths(&list(snapshot.commit.clone()).await?);
    if let Some(ignored) = site.part(git, snapshot, "ignored").await? {
        comes.extend(paths(&list(ignored).await?));
    }
    let hits = |out: &&LeftOut| {
        let (out, folder) = (out.path.trim_end_matches('/').as_bytes(), out.path.ends_with('/'));
        comes.iter().any(|path| {
            path == out
                || (folder && path.starts_with(out) && path.get(out.len()) == Some(&b'/'))
                || (out.starts_with(path) && out.get(path.len()) == Some(&b'/'))
        })
    };
    let files: Vec<String> = left_out.iter().filter(hits).map(|out| out.path.clone()).take(20).collect();
    if files.is_empty() { Ok(()) } else { Err(RestoreError::Overwrites { path: site.top.clone(), files }) }
}

/// A worktree that something is put back into.
struct Site {
    top: PathBuf,
    git_dir: PathBuf,
    folder: PathBuf,
}

impl Site {
    async fn of(git: &Git, dir: &Path) -> Result<Site, RestoreError> {
        let call = Call::new(dir, &["rev-parse", "--path-format=absolute", "--show-toplevel", "--git-dir"]);
        let lines = git.line(&call).await?;
        let [top, git_dir] = lines.split('\n').collect::<Vec<_>>()[..] else {
            return Err(call.unreadable("a path has a line end in it").into());
        };
        let git_dir = PathBuf::from(git_dir);
        if !git_dir.join("commondir").is_file() {
            return Err(RestoreError::NotOurs { path: dir.to_owned() });
        }
        Ok(Site { top: PathBuf::from(top), folder: git_dir.join("adjutant"), git_dir })
    }

    fn io_error(&self, path: &Path, source: io::Error) -> RestoreError {
        RestoreError::Io { path: path.to_owned(), source }
    }

    /// Puts back everything but the files: branch, index, what was under way, and ignored files. `own` is the branch
    /// that stands for the workspace's own.
    async fn put_back(
        &self,
        git: &Git,
        params: RestoreParams<'_>,
        own: Option<&str>,
    ) -> Result<(), RestoreError> {
        let was = params.record.branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        let own = own.map(|branch| format!("refs/heads/{branch}"));
        let names = Names { was: was.as_deref(), own: own.as_deref() };
        self.under_way(git, params.snapshot, names).await?;
        self.head(git, params.snapshot, names).await?;
        self.index(git, params.snapshot).await?;
        self.ignored(git, params.snapshot).await
    }

    /// Gives the tip of the workspace's own branch a name of its own, when what was kept does not lead to it.
    async fn keep_tip(
        &self,
        git: &Git,
        own: Option<&str>,
        before: Option<&Snapshot>,
    ) -> Result<(), RestoreError> {
        let (Some(own), Some(before)) = (own, before) else { return Ok(()) };
        let Some(tip) = git.commit_of(&self.top, &format!("refs/heads/{own}")).await? else { return Ok(()) };
        let is_kept = ["merge-base", "--is-ancestor", &tip, &before.commit];
        if git.ask(&Call::new(&self.top, &is_kept)).await?.is_none() {
            let refname = format!("{}-branch", before.refname.replace("/snapshots/", "/tips/"));
            self.call(git, &["update-ref", &refname, &tip]).await?;
        }
        Ok(())
    }

    /// Gives a part of a snapshot's state, as the name of its object.
    async fn part(&self, git: &Git, snapshot: &Snapshot, name: &str) -> Result<Option<String>, GitError> {
        let Some(state) = &snapshot.content.state_tree else { return Ok(None) };
        let part = format!("{state}:{name}");
        git.ask(&Call::new(&self.top, &["rev-parse", "--verify", "--quiet", "--end-of-options", &part])).await
    }

    /// Writes git's files about what was under way; those of now stand in the snapshot that was taken before.
    async fn under_way(&self, git: &Git, snapshot: &Snapshot, names: Names<'_>) -> Result<(), RestoreError> {
        for name in STATE_PATHS {
            let path = self.git_dir.join(name);
            let removed = match path.symlink_metadata() {
                Ok(found) if found.is_dir() => std::fs::remove_dir_all(&path),
                Ok(_) => std::fs::remove_file(&path),
                Err(_) => Ok(()),
            };
            removed.map_err(|error| self.io_error(&path, error))?;
        }
        let Some(tree) = self.part(git, snapshot, "git").await? else { return Ok(()) };
        let list = git.output(&Call::new(&self.top, &["ls-tree", "-r", "-z", "--name-only", &tree])).await?;
        for name in paths(&list) {
            let name = String::from_utf8_lossy(&name).into_owned();
            let blob = format!("{tree}:{name}");
            let mut content = git.output(&Call::new(&self.top, &["cat-file", "blob", &blob])).await?;
            if name.ends_with("/head-name")
                && let (Some(was), Some(own)) = (names.was, names.own)
                && content.trim_ascii_end() == was.as_bytes()
            {
                content = format!("{own}\n").into_bytes();
            }
            let path = self.git_dir.join(&name);
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            written.and_then(|()| std::fs::write(&path, content)).map_err(|e| self.io_error(&path, e))?;
        }
        Ok(())
    }

    /// Puts the worktree on its commit and its branch. Only a branch of the workspace's own is moved.
    async fn head(&self, git: &Git, snapshot: &Snapshot, names: Names<'_>) -> Result<(), RestoreError> {
        let content = &snapshot.content;
        let was_on_own = content.branch.as_deref().is_some_and(|branch| Some(branch) == names.was);
        let Some(head) = &content.head else {
            let branch = if was_on_own { names.own } else { None }.or(content.branch.as_deref());
            let branch = branch.unwrap_or("refs/heads/adjutant/unborn");
            return self.call(git, &["symbolic-ref", "HEAD", branch]).await;
        };
        self.call(git, &["update-ref", "--no-deref", "-m", "adjutant: restored", "HEAD", head]).await?;
        if let Some(own) = names.own
            && (was_on_own || names.was != names.own)
        {
            // The tip that a rebase began with is where its branch still was.
            let tip = match self.rebased_from(git, names).await? {
                Some(tip) => tip,
                None => head.clone(),
            };
            self.call(git, &["update-ref", "-m", "adjutant: restored", own, &tip]).await?;
        }
        let branch = match &content.branch {
            Some(_) if was_on_own => names.own.map(str::to_owned),
            Some(other) => self.free_to_enter(git, other, head).await?,
            None => None,
        };
        match branch {
            Some(branch) => self.call(git, &["symbolic-ref", "HEAD", &branch]).await,
            None => Ok(()),
        }
    }

    /// Gives what a rebase of the own branch began with, when one is under way.
    async fn rebased_from(&self, git: &Git, names: Names<'_>) -> Result<Option<String>, GitError> {
        for folder in ["rebase-merge", "rebase-apply"] {
            let read = |name| std::fs::read_to_string(self.git_dir.join(folder).join(name)).ok();
            if let (Some(name), Some(tip)) = (read("head-name"), read("orig-head"))
                && Some(name.trim()) == names.own
            {
                return git.commit_of(&self.top, tip.trim()).await;
            }
        }
        Ok(None)
    }

    /// Gives a branch of somebody else's when it is still at the commit and nobody is on it.
    async fn free_to_enter(&self, git: &Git, branch: &str, head: &str) -> Result<Option<String>, GitError> {
        let is_there = git.commit_of(&self.top, branch).await?.as_deref() == Some(head);
        let is_free = is_there && !is_checked_out(git, &self.top, branch).await?;
        Ok(is_free.then(|| branch.to_owned()))
    }

    /// Writes the worktree's index.
    async fn index(&self, git: &Git, snapshot: &Snapshot) -> Result<(), RestoreError> {
        if self.part(git, snapshot, "staged").await?.is_some() {
            self.call(git, &["read-tree", "--empty"]).await?;
            let lines = self.staged(git, snapshot).await?;
            let call = Call::new(&self.top, &["update-index", "--add", "-z", "--index-info"]);
            git.output(&call.with_stdin(lines)).await?;
        } else if let Some(head) = &snapshot.content.head {
            self.call(git, &["read-tree", head]).await?;
        } else {
            self.call(git, &["read-tree", "--empty"]).await?;
        }
        // It answers no when files differ, and they may.
        match git.output(&Call::new(&self.top, &["update-index", "-q", "--refresh"])).await {
            Ok(_) | Err(GitError::Failed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the index's entries as git reads them.
    async fn staged(&self, git: &Git, snapshot: &Snapshot) -> Result<Vec<u8>, GitError> {
        let mut lines = Vec::new();
        for stage in ["0", "1", "2", "3"] {
            let Some(tree) = self.part(git, snapshot, &format!("stages/{stage}")).await? else { continue };
            let list = git.output(&Call::new(&self.top, &["ls-tree", "-r", "-z", &tree])).await?;
            for entry in listed(&list) {
                let [mode, _, object] = &entry.words;
                lines.extend_from_slice(format!("{mode} {object} {stage}\t").as_bytes());
                lines.extend_from_slice(&entry.path);
                lines.push(0);
            }
        }
        Ok(lines)
    }

    /// Writes the ignored files that were kept; others stay.
    async fn ignored(&self, git: &Git, snapshot: &Snapshot) -> Result<(), RestoreError> {
        let Some(tree) = self.part(git, snapshot, "ignored").await? else { return Ok(()) };
        let index = self.folder.join("ignored");
        let index = index.to_string_lossy();
        for args in [&["read-tree", &tree][..], &["checkout-index", "--all", "--force", "--quiet", "-u"]] {
            git.output(&Call::new(&self.top, args).with_env("GIT_INDEX_FILE", &index)).await?;
        }
        Ok(())
    }

    async fn call(&self, git: &Git, args: &[&str]) -> Result<(), RestoreError> {
        git.output(&Call::new(&self.top, args)).await?;
        Ok(())
    }
}

/// The branch that was the workspace's own, and the one that is now.
#[derive(Debug, Clone, Copy)]
struct Names<'a> {
    was: Option<&'a str>,
    own: Option<&'a str>,
}
