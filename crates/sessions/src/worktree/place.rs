//! The place of one workspace: its path, and the lock that lets one call at a time work on it.
//!
//! Making a worktree takes several steps of git's, and what an earlier call left half made is cleared away. The lock
//! tells that from what another call is making right now. It is the system's, so it ends with its holder.

use rustix::fs::{FlockOperation, flock, fstat};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// The ownership of a place; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct PlaceLock {
    path: PathBuf,
    _file: File,
}

impl PlaceLock {
    /// Waits for the lock of the workspace at `place`, whose parent exists.
    pub(crate) async fn acquire(place: &Path) -> io::Result<PlaceLock> {
        let path = beside(place, "lock")?;
        tokio::task::spawn_blocking(move || lock(path)).await.unwrap_or_else(|error| Err(error.into()))
    }
}

impl Drop for PlaceLock {
    fn drop(&mut self) {
        // Removed while it is held: whoever waits for it sees that it is gone and makes a new one.
        std::fs::remove_file(&self.path).ok();
    }
}

/// The ownership of a folder that stays; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder, waits for its lock, and removes locks in it that a killed git has left.
    pub(super) async fn acquire(folder: &Path) -> io::Result<FolderLock> {
        let folder = folder.to_owned();
        let take = move || {
            std::fs::create_dir_all(&folder)?;
            let path = folder.join("held");
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            for entry in std::fs::read_dir(&folder)? {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "lock") {
                    std::fs::remove_file(path)?;
                }
            }
            Ok(FolderLock { _file: file })
        };
        tokio::task::spawn_blocking(take).await.unwrap_or_else(|error| Err(error.into()))
    }
}

/// Gives the path of a hidden companion of a place.
pub(super) fn beside(place: &Path, what: &str) -> io::Result<PathBuf> {
    let name = place.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path has no name in UTF-8"))?;
    Ok(place.with_file_name(format!(".{name}.{what}")))
}

fn lock(path: PathBuf) -> io::Result<PlaceLock> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        if fstat(&file)?.st_nlink > 0 {
            return Ok(PlaceLock { path, _file: file });
        }
    }
}
