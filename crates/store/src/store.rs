//! The store as the rest of the program holds it: opened once, cloned freely, closed in good order.

use crate::commits::CommitMeters;
use crate::dialect;
use crate::fault::{CommitHook, Faults};
use crate::journal;
use crate::reader::{ReadError, ReaderPool, Snapshot};
use crate::waiting::Waiting;
use crate::write::{Committed, Write, WriteError};
use crate::writer::{Command, Queued, Writer};
use adjutant_model::Timestamp;
use adjutant_model::run::ErrorClass;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// Where the store is and how much it may hold at once.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data folder; the database is the file `store.db` in it.
    pub folder: PathBuf,
    /// How many reads may run side by side; each opens its connection when it is first needed.
    pub readers: usize,
    /// How many writes may wait; a further one waits for a place.
    pub queue_len_max: usize,
    /// What befalls commits; nothing but a trial gives one.
    pub commit_hook: Option<CommitHook>,
}

impl StoreOptions {
    /// The name of the database in the data folder.
    pub const FILE_NAME: &'static str = "store.db";

    /// Gives the defaults for a data folder: 4 readers, 4096 waiting writes.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        StoreOptions { folder: folder.into(), readers: 4, queue_len_max: 4096, commit_hook: None }
    }

    /// Gives the path of the database.
    pub fn path(&self) -> PathBuf {
        self.folder.join(Self::FILE_NAME)
    }
}

/// Why a store was not opened; the file is as it was unless a migration or the disk failed half way, and then the
/// transaction was rolled back.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder could not be read or made.
    #[error("the store {} cannot be read or made", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is not a SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is the database of another program.
    #[error("{} is the database of another program (application id {application_id:#010x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it has instead of ours.
        application_id: u32,
    },
    /// A newer version of this program has written it.
    #[error(
        "{} was written by a newer version (schema {found}, this one knows up to {known}); run that version, or newer",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The newest version that is known here.
        known: u32,
    },
    /// The disk is full, failed or does not let itself be written to.
    #[error("the store {} cannot be {step}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// What the database said.
        #[source]
        source: rusqlite::Error,
    },
    /// The writer's thread could not be started.
    #[error("the store's writer cannot be started")]
    Thread(#[source] std::io::Error),
}

impl OpenError {
    /// Tells what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            OpenError::File { .. }
            | OpenError::NotADatabase { .. }
            | OpenError::Foreign { .. }
            | OpenError::Newer { .. } => ErrorClass::User,
            OpenError::Database { .. } | OpenError::Thread(_) => ErrorClass::Retry,
        }
    }
}

/// How many bytes the store takes on the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreSizes {
    /// The database.
    pub tables: u64,
    /// The log of what is not in the database yet.
    pub wal: u64,
}

/// Whether writes go through.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Why the last write failed, when the disk is the reason; the next write that is committed clears it.
    pub writes_failing: Option<WriteFailure>,
}

/// Why writes fail.
#[derive(Debug, Clone)]
pub struct WriteFailure {
    /// What the last one met: [`WriteError::Full`] or [`WriteError::Io`].
    pub error: WriteError,
    /// How many writes were refused since it began.
    pub refused: u64,
}

/// A handle on the open store; clone it to share it.
///
/// The last handle that goes away stops the writer after it has committed what waits. [`Store::close`] does the same
/// in good order.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    commands: Option<mpsc::Sender<Command>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Arc<ReaderPool>,
    committed: watch::Receiver<i64>,
    health: Arc<Mutex<Health>>,
    waiting: Waiting,
    commits: CommitMeters,
    path: PathBuf,
}

impl Store {
    /// Opens the store, making or migrating it when that is due; `now` is noted beside each migration.
    ///
    /// The caller holds the folder's [`crate::StoreLock`]. Blocks on the disk, so call it outside of async code or
    /// on a blocking thread.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(options: StoreOptions, now: Timestamp) -> Result<Store, OpenError> {
        let path = options.path();
        let db = dialect::open_for_writing(&path, now)?;
        let failed =
            |source| OpenError::Database { path: path.clone(), step: "brought up to its journal", source };
        let last_seq = journal::head_recover(&db).map_err(failed)?;
        let health = Arc::new(Mutex::new(Health::default()));
        let (committed_tx, committed) = watch::channel(last_seq);
        let (commands, queue) = mpsc::channel(options.queue_len_max.max(1));
        let readers = Arc::new(ReaderPool::new(&path, options.readers));
        let faults = Faults::new(options.commit_hook);
        let commits = CommitMeters::default();
        let writer = Writer::new(db, last_seq, committed_tx, Arc::clone(&health))
            .with_faults(faults)
            .with_meters(commits.clone());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        let inner = Inner {
            commands: Some(commands),
            thread: Mutex::new(Some(thread)),
            readers,
            committed,
            health,
            waiting: Waiting::default(),
            commits,
            path,
        };
        Ok(Store { inner: Arc::new(inner) })
    }

    /// Commits a write and answers when it is on the disk; waits for a place when the queue is full.
    ///
    /// Not cancel-safe: a write whose future is dropped may or may not be committed. Whoever may have to offer it again
    /// gives an `Arc` of it.
    ///
    /// # Errors
    /// [`WriteError`]; nothing of the write was committed then.
    pub async fn write(&self, write: impl Into<Arc<Write>>) -> Result<Committed, WriteError> {
        let (reply, answer) = oneshot::channel();
        let queued = Queued { write: write.into(), reply };
        let commands = self.inner.commands.as_ref().ok_or(WriteError::Closed)?;
        let _waiting = self.inner.waiting.enter();
        commands.send(Command::Write(queued)).await.map_err(|_| WriteError::Closed)?;
        self.inner.waiting.answer(answer).await.unwrap_or(Err(WriteError::Closed))
    }

    /// Gives the place of the last committed journal row, and wakes whoever watches when there is a new one.
    pub fn committed(&self) -> watch::Receiver<i64> {
        self.inner.committed.clone()
    }

    /// Tells whether writes go through.
    pub fn health(&self) -> Health {
        self.inner.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives how many writes wait for the writer.
    pub fn queue_len(&self) -> usize {
        self.inner.commands.as_ref().map_or(0, |commands| commands.max_capacity() - commands.capacity())
    }

    /// Gives how long commits take and how much they hold.
    pub fn commits(&self) -> &CommitMeters {
        &self.inner.commits
    }

    /// Gives how large the store's files are; one that cannot be looked at counts as empty.
    pub fn sizes(&self) -> StoreSizes {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let mut wal = self.inner.path.clone().into_os_string();
        wal.push("-wal");
        StoreSizes { tables: size(&self.inner.path), wal: size(Path::new(&wal)) }
    }

    /// Gives the path of the database.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Looks for damage in the whole database and names what it finds; empty is sound. Slow on a large store.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn quick_check(&self) -> Result<Vec<String>, ReadError> {
        self.read(dialect::quick_check).await
    }

    /// Commits what waits, moves the log into the database and closes it. Writes that come later are
    /// [`WriteError::Closed`]; a second close does nothing.
    ///
    /// # Errors
    /// [`WriteError::Io`] or [`WriteError::Full`] when the log could not be moved: nothing is lost, the next open
    /// does it.
    pub async fn close(&self) -> Result<(), WriteError> {
        self.inner.readers.close().await;
        let (reply, answer) = oneshot::channel();
        let Some(commands) = &self.inner.commands else { return Ok(()) };
        if commands.send(Command::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }

    /// Runs a read on a snapshot of its own.
    pub(crate) async fn read<T, F>(&self, read: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Snapshot<'_>) -> Result<T, ReadError> + Send + 'static,
    {
        self.inner.readers.read(read).await
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Without a sender the writer commits what waits and ends; whoever opens the folder next finds it finished.
        self.commands = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer has panicked");
        }
    }
}
