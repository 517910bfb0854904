//! The bytes of outputs: files by the hash of their content, beside the database.
//!
//! ```text
//! blobs/incoming/<name>      a body as it arrives, hashed on its way
//! blobs/<2 digits>/<hash>    a body that is whole and flushed
//! ```
//!
//! A body counts from the moment when a row of the store names it. It is flushed and moved before that, so a crash leaves
//! at most a file that no row names, which is removed at the next start. Whoever moves a body in holds the gate until its
//! row is durable, and whoever removes bodies closes the gate and looks at the rows first: so two that put the same
//! content at once, or put what is being removed, cannot take it from each other. Whoever copies or checks all bodies
//! holds them, which lets nobody's turn of removing begin, and hinders nobody who puts one.

use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The folder in the data folder.
pub(crate) const FOLDER: &str = "blobs";
/// The folder of bodies that are not whole yet.
const INCOMING: &str = "incoming";

/// So much of a body is written at once, and held for that.
const WRITE_BYTES: usize = 256 << 10;

/// All bodies; clone it to hold it in another place.
#[derive(Debug, Clone)]
pub struct Bodies {
    folder: Arc<Path>,
    gate: Arc<RwLock<()>>,
    removal: Arc<RwLock<()>>,
}

/// A body that arrives; what is dropped before it was moved in leaves nothing.
#[derive(Debug)]
pub struct IncomingBody {
    file: tokio::fs::File,
    path: Incoming,
    hasher: Sha256,
    size_bytes: u64,
}

/// A body that is whole and flushed, and does not count yet.
#[derive(Debug)]
pub struct WholeBody {
    /// SHA-256 of its bytes, as 64 hex digits.
    pub sha256: String,
    /// How many bytes it has.
    pub size_bytes: u64,
    path: Incoming,
}

/// Keeps bodies from being removed.
#[derive(Debug)]
pub struct Kept(#[expect(dead_code, reason = "it is held, not looked at")] OwnedRwLockReadGuard<()>);

/// Keeps all bodies from being removed, however long that takes; others are moved in meanwhile.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is held, not looked at")] OwnedRwLockReadGuard<()>);

/// The turn of whoever removes bodies.
#[derive(Debug)]
pub struct Removing(#[expect(dead_code, reason = "it is held, not looked at")] OwnedRwLockWriteGuard<()>);

/// Keeps bodies from being moved in.
#[derive(Debug)]
pub struct Closed(#[expect(dead_code, reason = "it is held, not looked at")] OwnedRwLockWriteGuard<()>);

/// A file that goes with its handle, unless it was moved.
#[derive(Debug)]
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.0.display(), %error, "a body that is not wanted stays until the next start");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Bodies {
    /// Opens the bodies of a data folder, and removes what an earlier process had not finished.
    ///
    /// The caller holds the folder's [`crate::StoreLock`]. Blocks on the disk.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(folder: &Path) -> io::Result<Bodies> {
        let folder = folder_in(folder);
        let incoming = folder.join(INCOMING);
        match std::fs::remove_dir_all(&incoming) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        make_private(&incoming)?;
        Ok(Bodies { folder: folder.into(), gate: Arc::default(), removal: Arc::default() })
    }

    /// Begins a body under a name that no other has.
    ///
    /// # Errors
    /// What the system said.
    pub async fn begin(&self, name: &str) -> io::Result<IncomingBody> {
        let path = self.folder.join(INCOMING).join(name);
        let mut file =
            tokio::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).await?;
        file.set_max_buf_size(WRITE_BYTES);
        Ok(IncomingBody { file, path: Incoming(path), hasher: Sha256::new(), size_bytes: 0 })
    }

    /// Moves a whole body to its place. It must be named by a row before what this gives is dropped.
    ///
    /// # Errors
    /// What the system said.
    pub async fn keep(&self, body: WholeBody) -> io::Result<Kept> {
        let kept = Kept(self.gate.clone().read_owned().await);
        let place = self.place(&body.sha256);
        on_disk(move || {
            let shard = place.parent().expect("a body is in a folder");
            make_private(shard)?;
            // The same content may be there already; then this is that content again.
            std::fs::rename(&body.path.0, &place)?;
            File::open(shard)?.sync_all()
        })
        .await?;
        Ok(kept)
    }

    /// Opens a body to read it; it can be read to its end even if it is removed meanwhile.
    ///
    /// # Errors
    /// What the system said.
    pub async fn read(&self, sha256: &str) -> io::Result<tokio::fs::File> {
        tokio::fs::File::open(self.place(sha256)).await
    }

    /// Keeps all bodies from being removed; waits for the end of a removal that is under way.
    pub async fn hold(&self) -> Held {
        Held(self.removal.clone().read_owned().await)
    }

    /// Begins a removal; waits while bodies are held.
    pub async fn removing(&self) -> Removing {
        Removing(self.removal.clone().write_owned().await)
    }

    /// Begins a removal, unless bodies are held or another one is under way.
    pub fn try_removing(&self) -> Option<Removing> {
        self.removal.clone().try_write_owned().ok().map(Removing)
    }

    /// Lets nobody move a body in until what this gives is dropped.
    pub async fn close(&self, _removing: &Removing) -> Closed {
        Closed(self.gate.clone().write_owned().await)
    }

    /// Removes a body that no row names; the caller looked while the gate was closed. One that is not there is well.
    ///
    /// # Errors
    /// What the system said.
    pub async fn remove(&self, sha256: &str, _closed: &Closed) -> io::Result<()> {
        match tokio::fs::remove_file(self.place(sha256)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives the hashes of the bodies whose first byte is `shard`.
    ///
    /// # Errors
    /// What the system said.
    pub async fn of_shard(&self, shard: u8) -> io::Result<Vec<String>> {
        let folder = self.folder.join(hex::encode([shard]));
        on_disk(move || {
            let entries = match std::fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
        })
        .await
    }

    fn place(&self, sha256: &str) -> PathBuf {
        place_in(&self.folder, sha256)
    }
}

impl IncomingBody {
    /// Adds bytes.
    ///
    /// # Errors
    /// What the system said.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        self.file.write_all(bytes).await
    }

    /// Gives how many bytes have arrived.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Flushes the body, which has arrived as a whole.
    ///
    /// # Errors
    /// What the system said.
    pub async fn finish(mut self) -> io::Result<WholeBody> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        Ok(WholeBody {
            sha256: hex::encode(self.hasher.finalize()),
            size_bytes: self.size_bytes,
            path: self.path,
        })
    }
}

/// Gives the folder of the bodies in a data folder.
pub(crate) fn folder_in(data_folder: &Path) -> PathBuf {
    data_folder.join(FOLDER)
}

/// Gives the place of a body in the folder of bodies; a text that is no hash has none of ours.
pub(crate) fn place_in(folder: &Path, sha256: &str) -> PathBuf {
    folder.join(sha256.get(..2).unwrap_or("00")).join(sha256)
}

pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
