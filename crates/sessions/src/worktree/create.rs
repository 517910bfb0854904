//! Making a worktree.

use super::place::PlaceLock;
use super::registry::{Entry, RETRY_PAUSE, TRIES, is_linked, registered, repository_of, unregister};
use crate::git::{Call, Git, GitError};
use crate::repository;
use adjutant_model::run::{ErrorClass, WorkspaceKind, WorkspaceRecord};
use std::io;
use std::path::{Path, PathBuf};

/// The worktree to make.
#[derive(Debug, Clone, Copy)]
pub struct WorktreeParams<'a> {
    /// A directory of the project's repository, at its top or below; or a cache that [`crate::repository::ensure`] gave.
    pub project: &'a Path,
    /// Where the worktree is to be; its parent is made when it is not there.
    pub path: &'a Path,
    /// The branch to make for it, for example `adjutant/run_0123`.
    pub branch: &'a str,
    /// What the branch starts from: anything that names a commit; without it the project's `HEAD`. Of a cache the
    /// remote's branches and tags come first, and its default branch stands for `HEAD`.
    pub base: Option<&'a str>,
}

/// Why a worktree could not be made.
#[derive(Debug, thiserror::Error)]
pub enum WorktreeError {
    /// The project is not there.
    #[error("the project {} does not exist", project.display())]
    ProjectMissing {
        /// The directory.
        project: PathBuf,
    },
    /// The project is not in a git repository, or is the inside of a `.git` folder.
    #[error("{} is not in a git repository", project.display())]
    NotARepository {
        /// The directory.
        project: PathBuf,
    },
    /// The repository has no working tree.
    #[error("the repository {} is bare", project.display())]
    Bare {
        /// The directory.
        project: PathBuf,
    },
    /// The repository has no commit to start from.
    #[error("the repository {} has no commit yet", project.display())]
    NoCommit {
        /// The directory.
        project: PathBuf,
    },
    /// The base does not name a commit.
    #[error("`{base}` names no commit in {}", project.display())]
    BaseUnknown {
        /// What was given.
        base: String,
        /// The repository.
        project: PathBuf,
    },
    /// The branch's name is not one that git accepts.
    #[error("`{branch}` is not a valid branch name")]
    BranchInvalid {
        /// What was given.
        branch: String,
    },
    /// The branch exists and was not made for a workspace.
    #[error("the branch `{branch}` exists already and was not made by Adjutant")]
    BranchTaken {
        /// The branch.
        branch: String,
    },
    /// Another branch's name is a folder of this one's, or the other way round.
    #[error("the branch `{branch}` cannot be made beside the branch `{other}`")]
    BranchBlocked {
        /// The branch.
        branch: String,
        /// The one in the way.
        other: String,
    },
    /// Something that is not this worktree is at its place.
    #[error("{} is there already and is not this workspace", path.display())]
    PathOccupied {
        /// The place.
        path: PathBuf,
    },
    /// The place is not an absolute path in UTF-8, or its parent cannot be made.
    #[error("{} cannot be a workspace: {what}", path.display())]
    Path {
        /// The place.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// git failed.
    #[error("the worktree could not be made")]
    Git(#[from] GitError),
}

impl WorktreeError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            WorktreeError::ProjectMissing { .. } => ErrorClass::Gone,
            WorktreeError::NotARepository { .. }
            | WorktreeError::Bare { .. }
            | WorktreeError::NoCommit { .. }
            | WorktreeError::BaseUnknown { .. }
            | WorktreeError::BranchInvalid { .. }
            | WorktreeError::BranchTaken { .. }
            | WorktreeError::BranchBlocked { .. }
            | WorktreeError::PathOccupied { .. }
            | WorktreeError::Path { .. } => ErrorClass::User,
            WorktreeError::Git(error) => error.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            WorktreeError::ProjectMissing { .. } => "check the path of the project".to_owned(),
            WorktreeError::NotARepository { project } => {
                format!(
                    "make it one: git -C '{0}' init && git -C '{0}' add -A && git -C '{0}' commit",
                    project.display()
                )
            }
            WorktreeError::Bare { .. } => "name a clone of it that has a working tree".to_owned(),
            WorktreeError::NoCommit { project } => {
                format!(
                    "commit something first: git -C '{}' commit --allow-empty -m start",
                    project.display()
                )
            }
            WorktreeError::BaseUnknown { project, .. } => {
                format!("`git -C '{}' branch --all` lists what there is", project.display())
            }
            WorktreeError::BranchInvalid { .. } => {
                "see `git help check-ref-format` for what a name may be".to_owned()
            }
            WorktreeError::BranchTaken { .. } => "use another branch name, or rename that branch".to_owned(),
            WorktreeError::BranchBlocked { other, .. } => format!("rename the branch `{other}`"),
            WorktreeError::PathOccupied { .. } => "move it away, or use another path".to_owned(),
            WorktreeError::Path { .. } => return None,
            WorktreeError::Git(error) => return error.hint(),
        };
        Some(hint)
    }
}

/// Makes a worktree on a new branch, or finds it made: called again with the same params, after a success or after a
/// crash at any point of an earlier call, it ends in the same state.
///
/// The branch and the commit it starts from are written together, the latter to `refs/adjutant/bases/<branch>`, so a
/// later call knows the branch as its own and starts from the same commit even when the project has moved on.
///
/// # Errors
/// [`WorktreeError`]; nothing that was there before is changed then.
pub async fn create(git: &Git, params: WorktreeParams<'_>) -> Result<WorkspaceRecord, WorktreeError> {
    let project = project_top(git, params.project).await?;
    check_branch_name(git, &project, params.branch).await?;
    let path = settled_path(params.path)?;
    let _lock = PlaceLock::acquire(&path).await.map_err(|error| path_error(&path, error))?;
    let place = Place { git, project: &project, path: &path, branch: params.branch };
    let base = place.base(params.base).await?;
    place.branch_at(&base).await?;
    place.worktree().await?;
    Ok(WorkspaceRecord {
        kind: WorkspaceKind::Worktree,
        path: text_of(&path)?,
        project: Some(text_of(&project)?),
        branch: Some(params.branch.to_owned()),
        base: Some(base),
        node: "local".to_owned(),
    })
}

/// Gives the ref that remembers what a workspace's branch started from.
pub(super) fn base_ref(branch: &str) -> String {
    format!("refs/adjutant/bases/{branch}")
}

/// A worktree in the making.
#[derive(Clone, Copy)]
struct Place<'a> {
    git: &'a Git,
    project: &'a Path,
    path: &'a Path,
    branch: &'a str,
}

impl Place<'_> {
    /// Gives the commit to start from, the one of an earlier call before all, and writes it down.
    async fn base(&self, wanted: Option<&str>) -> Result<String, WorktreeError> {
        let (git, project) = (self.git, self.project);
        let refname = base_ref(self.branch);
        if let Some(base) = git.commit_of(project, &refname).await? {
            return Ok(base);
        }
        if self.branch_exists().await? {
            return Err(WorktreeError::BranchTaken { branch: self.branch.to_owned() });
        }
        let is_cache = repository::is_cache(git, project).await?;
        let base = match wanted {
            Some(wanted) if !repository::is_revision(wanted) => None,
            Some(wanted) if is_cache => repository::commit_of(git, project, wanted).await?,
            Some(wanted) => git.commit_of(project, wanted).await?,
            None if is_cache => git.commit_of(project, repository::DEFAULT_BRANCH).await?,
            None => git.commit_of(project, "HEAD").await?,
        };
        let project = || project.to_owned();
        let base = base.ok_or_else(|| match wanted {
            Some(wanted) => WorktreeError::BaseUnknown { base: shown(wanted), project: project() },
            None => WorktreeError::NoCommit { project: project() },
        })?;
        let project = self.project;
        self.check_beside_others().await?;
        git.output(&Call::new(project, &["update-ref", &refname, &base])).await?;
        Ok(base)
    }

    /// Makes the branch unless it is there; an agent may have moved it on since.
    async fn branch_at(&self, base: &str) -> Result<(), WorktreeError> {
        if !self.branch_exists().await? {
            let refname = format!("refs/heads/{}", self.branch);
            self.git.output(&Call::new(self.project, &["update-ref", &refname, base])).await?;
        }
        Ok(())
    }

    async fn branch_exists(&self) -> Result<bool, GitError> {
        Ok(self.git.commit_of(self.project, &format!("refs/heads/{}", self.branch)).await?.is_some())
    }

    /// Refuses a branch whose name another branch keeps from being made.
    async fn check_beside_others(&self) -> Result<(), WorktreeError> {
        let list = ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"];
        let names = self.git.line(&Call::new(self.project, &list)).await?;
        let is_folder_of =
            |folder: &str, name: &str| name.strip_prefix(folder).is_some_and(|r| r.starts_with('/'));
        match names.lines().find(|name| is_folder_of(name, self.branch) || is_folder_of(self.branch, name)) {
            None => Ok(()),
            Some(other) => {
                Err(WorktreeError::BranchBlocked { branch: self.branch.to_owned(), other: other.to_owned() })
            }
        }
    }

    /// Makes the directory, trying again while somebody else's git has a lock.
    async fn worktree(&self) -> Result<(), WorktreeError> {
        let mut tried = 1;
        loop {
            if self.is_made().await? {
                return Ok(());
            }
            self.clear().await?;
            let path = text_of(self.path)?;
            let args = ["worktree", "add", "--quiet", "--", &path, self.branch];
            match self.git.output(&Call::new(self.project, &args)).await {
                Ok(_) => return Ok(()),
                Err(GitError::Failed { .. }) if tried < TRIES => {
                    tokio::time::sleep(RETRY_PAUSE * tried).await
                }
                Err(error) => return Err(error.into()),
            }
            tried += 1;
        }
    }

    /// Tells whether the worktree is there, whole, and this repository's.
    async fn is_made(&self) -> Result<bool, WorktreeError> {
        let entry = registered(self.git, self.project, self.path).await?;
        if entry != Entry::Made || !self.path.is_dir() {
            return Ok(false);
        }
        if is_linked(self.git, self.project, self.path).await? {
            return Ok(true);
        }
        Err(WorktreeError::PathOccupied { path: self.path.to_owned() })
    }

    /// Clears away what an earlier call left half made; anything else in the way is an error.
    async fn clear(&self) -> Result<(), WorktreeError> {
        match registered(self.git, self.project, self.path).await? {
            Entry::HalfMade => {
                remove_tree(self.path).await.map_err(|error| path_error(self.path, error))?;
                unregister(self.git, self.project, self.path).await?;
            }
            Entry::Made => unregister(self.git, self.project, self.path).await?,
            Entry::Unknown => {}
        }
        let is_free = match std::fs::read_dir(self.path) {
            Ok(mut entries) => entries.next().is_none(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if is_free && !self.path.is_symlink() {
            return Ok(());
        }
        Err(WorktreeError::PathOccupied { path: self.path.to_owned() })
    }
}

/// Looks whether a project can have worktrees: a git repository with a working tree.
///
/// # Errors
/// The [`WorktreeError`] that [`create`] would meet.
pub async fn project_check(git: &Git, project: &Path) -> Result<(), WorktreeError> {
    project_top(git, project).await.map(drop)
}

/// Finds the top of the project's working tree.
async fn project_top(git: &Git, project: &Path) -> Result<PathBuf, WorktreeError> {
    if !project.is_dir() {
        return Err(WorktreeError::ProjectMissing { project: project.to_owned() });
    }
    let project =
        project.canonicalize().map_err(|_| WorktreeError::ProjectMissing { project: project.to_owned() })?;
    if let Some(repository) = repository_of(git, &project).await {
        return Ok(repository);
    }
    let bare = git.line(&Call::new(&project, &["rev-parse", "--is-bare-repository"])).await;
    match bare {
        Ok(answer) if answer == "true" => Err(WorktreeError::Bare { project }),
        Ok(_) => Err(WorktreeError::NotARepository { project }),
        // git itself knows why a repository that is there cannot be used, for example that it is another user's.
        Err(error @ GitError::Failed { code: Some(128), .. }) if error.hint().is_some() => Err(error.into()),
        Err(GitError::Failed { .. }) => Err(WorktreeError::NotARepository { project }),
        Err(error) => Err(error.into()),
    }
}

/// Gives a text as it can be shown.
fn shown(text: &str) -> String {
    text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) async fn check_branch_name(git: &Git, project: &Path, branch: &str) -> Result<(), WorktreeError> {
    let refname = format!("refs/heads/{branch}");
    // As a whole ref `-x` and `HEAD` would pass, but no command could name them.
    let is_usable = !branch.starts_with('-') && branch != "HEAD" && !branch.contains('\0');
    if is_usable && git.ask(&Call::new(project, &["check-ref-format", &refname])).await?.is_some() {
        return Ok(());
    }
    Err(WorktreeError::BranchInvalid { branch: branch.to_owned() })
}

/// Makes the parent and resolves links in it, so that the path is the one that git will print.
pub(super) fn settled_path(path: &Path) -> Result<PathBuf, WorktreeError> {
    let wrong = |what: &str| WorktreeError::Path { path: path.to_owned(), what: what.to_owned() };
    if !path.is_absolute() {
        return Err(wrong("it is not absolute"));
    }
    if path.to_str().is_none_or(|text| text.contains(['\n', '\0'])) {
        return Err(wrong("it is not UTF-8, or has a line end in it"));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(wrong("it has no name"));
    };
    std::fs::create_dir_all(parent).map_err(|error| path_error(path, error))?;
    let parent = parent.canonicalize().map_err(|error| path_error(path, error))?;
    Ok(parent.join(name))
}

async fn remove_tree(path: &Path) -> io::Result<()> {
    if path.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is a symbolic link"));
    }
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn path_error(path: &Path, error: io::Error) -> WorktreeError {
    WorktreeError::Path { path: path.to_owned(), what: error.to_string() }
}

fn text_of(path: &Path) -> Result<String, WorktreeError> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| WorktreeError::Path { path: path.to_owned(), what: "it is not UTF-8".to_owned() })
}
