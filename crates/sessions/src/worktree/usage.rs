//! How much room directories take, and giving back what a build makes again.

use super::snapshot::is_artefact;
use super::tree::{path_of, paths};
use crate::git::{Call, Git, GitError};
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Gives how many bytes a directory takes on its disk, links not followed and a file with several names counted once.
/// What goes or cannot be read while it is counted is left out; a directory that is not there takes nothing.
pub async fn disk_bytes(dir: &Path) -> u64 {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || counted(&dir)).await.unwrap_or_default()
}

/// Gives the directories of a worktree that git ignores and a build makes again, as paths in it. One with a repository
/// in it is none.
///
/// # Errors
/// [`GitError`]
pub async fn artefacts(git: &Git, dir: &Path) -> Result<Vec<PathBuf>, GitError> {
    let list = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"];
    let listed = paths(&git.output(&Call::new(dir, &list)).await?);
    let (listed, top) = (listed.into_iter(), dir.to_owned());
    let is_one = move |path: &PathBuf| {
        let path = top.join(path);
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        is_folder && is_artefact(&path) && !holds_repository(&path)
    };
    let folders: Vec<PathBuf> =
        listed.filter_map(|path| Some(path_of(path.strip_suffix(b"/")?).to_owned())).collect();
    let found = tokio::task::spawn_blocking(move || folders.into_iter().filter(is_one).collect());
    found.await.map_err(|error| GitError::File { path: dir.to_owned(), source: error.into() })
}

/// Removes what [`artefacts`] gave of a worktree; links in it are removed and not followed.
///
/// # Errors
/// What the system said.
pub async fn artefacts_remove(dir: &Path, artefacts: &[PathBuf]) -> io::Result<()> {
    let top = tokio::fs::canonicalize(dir).await?;
    for artefact in artefacts {
        let path = top.join(artefact);
        // A folder above it that has become a link leads elsewhere, and what is there is not ours.
        if !path.parent().and_then(|parent| parent.canonicalize().ok()).is_some_and(|at| at.starts_with(&top))
        {
            continue;
        }
        match tokio::fs::remove_dir_all(path).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn counted(dir: &Path) -> u64 {
    let Ok(top) = dir.symlink_metadata() else { return 0 };
    let mut bytes = top.blocks() * 512;
    let mut twice = HashSet::new();
    let mut waiting = if top.is_dir() { vec![dir.to_owned()] } else { Vec::new() };
    while let Some(folder) = waiting.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(found) = entry.metadata() else { continue };
            let is_new = found.is_dir() || found.nlink() == 1 || twice.insert((found.dev(), found.ino()));
            if is_new {
                bytes += found.blocks() * 512;
            }
            if found.is_dir() && found.dev() == top.dev() {
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

fn holds_repository(dir: &Path) -> bool {
    let mut waiting = vec![dir.to_owned()];
    while let Some(folder) = waiting.pop() {
        // What cannot be read may hold one.
        let Ok(entries) = std::fs::read_dir(&folder) else { return true };
        for entry in entries {
            let Ok(entry) = entry else { return true };
            if entry.file_name() == ".git" {
                return true;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
    }
    false
}
