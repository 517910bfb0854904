//! Remote repositories: which URLs are taken, and the one bare cache that each of them has.
//!
//! A cache holds the remote's branches as `refs/remotes/origin/…`, so the branches of worktrees that are made from it
//! never meet the remote's. It is made beside its place and put there by one rename, so it is whole or not there.

mod url;

pub use url::{RemoteUrl, UrlError};

use crate::git::{Call, Git, GitError};
use crate::worktree::PlaceLock;
use adjutant_model::run::ErrorClass;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the transfer of a repository may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(3600);

/// The default branch of a cache's remote.
pub(crate) const DEFAULT_BRANCH: &str = "refs/remotes/origin/HEAD";

/// What marks a repository as a cache of ours.
const MARK: &str = "adjutant.cache";

/// Whether the remote is asked for what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Only when there is no cache yet.
    IfMissing,
    /// Always.
    Now,
}

/// The cache that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct CacheParams<'a> {
    /// The folder of all caches; it is made when it is not there.
    pub folder: &'a Path,
    /// The remote.
    pub url: &'a RemoteUrl,
    /// Whether the remote is asked for what is new.
    pub refresh: Refresh,
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The folder or a file in it cannot be written.
    #[error("the cache {} cannot be made", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The remote did not give it.
    #[error("{url} cannot be fetched")]
    Fetch {
        /// The remote, without any secret.
        url: String,
        /// What git said.
        #[source]
        source: GitError,
    },
    /// git failed.
    #[error("the cache could not be made")]
    Git(#[from] GitError),
}

impl CacheError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            CacheError::Io { .. } => ErrorClass::Retry,
            CacheError::Fetch { source, .. } | CacheError::Git(source) => source.class(),
        }
    }

    /// Says what a person can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            CacheError::Io { .. } => Some("see who owns the folder, and whether the disk is full".to_owned()),
            CacheError::Fetch { source, url } => source.hint().or_else(|| {
                Some(format!(
                    "`git ls-remote {url}` in a shell shows what git needs to get it: a key, a helper"
                ))
            }),
            CacheError::Git(error) => error.hint(),
        }
    }
}

/// Gives the cache of a remote, a bare repository; makes it when it is not there.
///
/// Of a remote over the network only commits and trees come at first, where it can do that; files come when a worktree
/// needs them. Two calls at once for the same remote follow each other. A call that is cut off leaves nothing that a
/// later one would take for a cache.
///
/// # Errors
/// [`CacheError`]; a cache that was there stays as it was.
pub async fn ensure(git: &Git, params: CacheParams<'_>) -> Result<PathBuf, CacheError> {
    let io_error = |path: &Path, source| CacheError::Io { path: path.to_owned(), source };
    std::fs::create_dir_all(params.folder).map_err(|error| io_error(params.folder, error))?;
    let folder = params.folder.canonicalize().map_err(|error| io_error(params.folder, error))?;
    let path = folder.join(format!("{}.git", params.url.name()));
    let lock = PlaceLock::acquire(&path).await.map_err(|error| io_error(&path, error))?;
    let git = git.clone().with_timeout(TRANSFER_TIMEOUT);
    if path.is_dir() {
        if params.refresh == Refresh::Now {
            fetch(&git, &path, params.url).await?;
        }
    } else {
        let making = path.with_extension("making");
        clear(&making).await.map_err(|error| io_error(&making, error))?;
        let made = make(&git, &making, params.url).await;
        if let Err(error) = made {
            clear(&making).await.ok();
            return Err(error);
        }
        tokio::fs::rename(&making, &path).await.map_err(|error| io_error(&path, error))?;
    }
    drop(lock);
    Ok(path)
}

/// Tells whether a directory is the top of a cache.
///
/// # Errors
/// [`GitError`]
pub async fn is_cache(git: &Git, dir: &Path) -> Result<bool, GitError> {
    let ask = Call::new(dir, &["config", "--file", "config", "--type=bool", "--get", MARK]);
    if !dir.join("HEAD").is_file() || !dir.join("config").is_file() {
        return Ok(false);
    }
    Ok(git.ask(&ask).await?.as_deref() == Some("true"))
}

/// Tells whether a text may be asked of git as a revision: it is no option and can be written.
pub(crate) fn is_revision(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_control) && text.len() <= 1024
}

/// Gives the commit that a text names in a cache: a branch of the remote before a tag, before anything else.
pub(crate) async fn commit_of(git: &Git, cache: &Path, text: &str) -> Result<Option<String>, GitError> {
    let bare = text.strip_prefix("refs/heads/").or(text.strip_prefix("origin/")).unwrap_or(text);
    for revision in [format!("refs/remotes/origin/{bare}"), format!("refs/tags/{text}"), text.to_owned()] {
        if let Some(commit) = git.commit_of(cache, &revision).await? {
            return Ok(Some(commit));
        }
    }
    Ok(None)
}

async fn make(git: &Git, path: &Path, url: &RemoteUrl) -> Result<(), CacheError> {
    let text = path.to_string_lossy();
    let parent = path.parent().unwrap_or(path);
    // Without a template: its hooks and its excludes are the user's, and not for a cache.
    let init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", "--", &text];
    git.output(&Call::new(parent, &init)).await?;
    git.output(&Call::new(path, &["config", "--", MARK, "true"])).await?;
    fetch(git, path, url).await
}

async fn fetch(git: &Git, path: &Path, url: &RemoteUrl) -> Result<(), CacheError> {
    let failed = |source| CacheError::Fetch { url: url.to_string(), source };
    // What is fetched from, and by what, is said each time: the configuration of a repository can be written by whoever
    // works in a worktree of it.
    for (name, value) in [("url", url.as_str()), ("fetch", "+refs/heads/*:refs/remotes/origin/*")] {
        let name = format!("remote.origin.{name}");
        git.output(&Call::new(path, &["config", "--replace-all", "--", &name, value])).await?;
    }
    for name in ["uploadpack", "receivepack", "vcs", "proxy"] {
        let name = format!("remote.origin.{name}");
        match git.output(&Call::new(path, &["config", "--unset-all", "--", &name])).await {
            // It answers so when there is none.
            Ok(_) | Err(GitError::Failed { code: Some(5), .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut args = vec!["fetch", "--quiet", "--prune", "--no-auto-gc", "--no-recurse-submodules"];
    if url.is_remote() {
        args.push("--filter=blob:none");
    }
    args.extend(["--", "origin"]);
    let call = asked_nothing(git, Call::new(path, &args)).await;
    git.output(&call).await.map_err(failed)?;
    let default = asked_nothing(git, Call::new(path, &["remote", "set-head", "origin", "--auto"])).await;
    match git.output(&default).await {
        // A remote without a commit has no default branch.
        Ok(_) | Err(GitError::Failed { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// Keeps ssh from asking a person, unless the user has said how it is called.
async fn asked_nothing<'a>(git: &Git, call: Call<'a>) -> Call<'a> {
    let own = git.ask(&Call::new(Path::new("/"), &["config", "--global", "--get", "core.sshCommand"])).await;
    match own {
        Ok(Some(command)) => call.with_config(format!("core.sshCommand={command}")),
        Ok(None) | Err(_) => call.with_config("core.sshCommand=ssh -oBatchMode=yes"),
    }
}

async fn clear(path: &Path) -> io::Result<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        cleared => cleared,
    }
}
