//! The care of the store: backups and checks while the daemon works, and what takes how much room.
//!
//! Each reads the whole store on a thread of its own and hinders no writer. A backup or a check is the only one of both
//! at a time; it ends early when the plane stops or whoever asked has gone. Bodies stay where they are until it has
//! ended.

pub mod restore;
pub(crate) mod retention;

use crate::clock;
use crate::error::{EngineError, chain};
use crate::plane::{Core, Plane};
use adjutant_model::action::{Caller, Verb};
use adjutant_model::event::Event;
use adjutant_model::run::ErrorClass;
use adjutant_rules::access;
use adjutant_store::{BackupError, BackupSpec, CheckError, Draft, Interrupt, Write, backup, check};
pub use adjutant_store::{BackupMade, CheckFinding, CheckReport, Existing, KindSize, Matter, SizeKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often work that is to stop is told so: a statement that was about to begin has missed it.
const TOLD_EVERY: Duration = Duration::from_millis(50);

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Care {
    whole: Arc<Semaphore>,
    sizes: Semaphore,
    restore: restore::Wanted,
}

impl Default for Care {
    fn default() -> Self {
        Care {
            whole: Arc::new(Semaphore::new(1)),
            sizes: Semaphore::new(1),
            restore: restore::Wanted::default(),
        }
    }
}

/// Stops its work when nobody waits for it any more.
struct Wanted(Interrupt);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Plane {
    /// Makes a backup of the store in a file; whole, checked and flushed when this returns. What is dropped before is
    /// stopped and leaves nothing.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for others than the owner, [`EngineError::Invalid`] for a place where it may not be,
    /// [`EngineError::Conflict`] when there is a file, [`EngineError::Crowded`] while another is made,
    /// [`EngineError::Care`] when the disk refuses it or the store is damaged.
    pub async fn store_backup(
        &self,
        caller: &Caller,
        file: PathBuf,
        existing: Existing,
    ) -> Result<BackupMade, EngineError> {
        owner_only(caller)?;
        let core = &self.core;
        let spec = BackupSpec {
            folder: core.settings.folder.clone(),
            file,
            existing,
            made_at: clock::now(),
            made_by: core.settings.version.clone(),
        };
        let turn = turn(core)?;
        let wanted = Wanted(Interrupt::default());
        let making = core.tasks.spawn(made(core.clone(), caller.actor(), spec, (wanted.0.clone(), turn)));
        making.await.map_err(|_| EngineError::Defect("the backup has panicked"))?
    }

    /// Looks whether the store is whole: the database, the journal, references, contents, bodies.
    ///
    /// # Errors
    /// [`EngineError::Crowded`] while another check or a backup is under way, [`EngineError::Care`] when nothing could
    /// be looked at; what is wrong is no error.
    pub async fn store_check(&self) -> Result<CheckReport, EngineError> {
        let core = &self.core;
        let turn = turn(core)?;
        let wanted = Wanted(Interrupt::default());
        let held = core.data.hold().await;
        let (folder, interrupt) = (core.settings.folder.clone(), wanted.0.clone());
        let looked = apart(core, &wanted.0, move || {
            let looked = check::check(&folder, &interrupt);
            drop((turn, held));
            looked
        });
        looked.await?.map_err(|error| unchecked(&error))
    }

    /// Gives what takes how much room in the store, every kind once. Reads the whole database.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn store_sizes(&self) -> Result<Vec<KindSize>, EngineError> {
        let _turn = self.core.care.sizes.acquire().await.map_err(|_| EngineError::Stopping)?;
        let wanted = Wanted(Interrupt::default());
        let (store, interrupt) = (self.core.store.clone(), wanted.0.clone());
        // The plane waits for its end: nobody reads a store that is closed, and perhaps replaced.
        let counting = self.core.tasks.spawn(async move { store.sizes_by_kind(&interrupt).await });
        tokio::select! {
            sizes = counting => Ok(sizes.map_err(|_| EngineError::Defect("counting sizes has panicked"))??),
            () = self.core.stopping.cancelled() => Err(EngineError::Stopping),
        }
    }
}

fn owner_only(caller: &Caller) -> Result<(), EngineError> {
    match access::may(caller.role, Verb::Own) {
        true => Ok(()),
        false => Err(EngineError::Forbidden("only the owner makes and restores backups".to_owned())),
    }
}

fn turn(core: &Core) -> Result<OwnedSemaphorePermit, EngineError> {
    let busy = |_| EngineError::Crowded("a backup, check or restore of the store is under way".to_owned());
    core.care.whole.clone().try_acquire_owned().map_err(busy)
}

/// Makes a backup, and writes down that it was made.
async fn made(
    core: Arc<Core>,
    actor: String,
    spec: BackupSpec,
    (interrupt, turn): (Interrupt, OwnedSemaphorePermit),
) -> Result<BackupMade, EngineError> {
    let held = core.data.hold().await;
    let (file, stop) = (spec.file.clone(), interrupt.clone());
    let making = apart(&core, &interrupt, move || {
        let made = backup::make(&spec, &stop);
        drop((turn, held));
        made
    });
    let made = making.await?.map_err(|error| refused(&error))?;
    let mut write = Write::default();
    let event = Event::StoreBackedUp {
        file: file.to_string_lossy().into_owned(),
        bytes: made.bytes,
        root: made.report.journal_root.clone(),
    };
    write.journal(Draft { at: clock::now(), actor: actor.into(), subject: "plane".into(), event });
    core.store.write(write).await?;
    Ok(made)
}

/// Does something that reads the whole store on a thread of its own, and has it stopped when the plane stops.
async fn apart<T: Send + 'static>(
    core: &Core,
    interrupt: &Interrupt,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    let mut working = core.tasks.spawn_blocking(work);
    let panicked = |_| EngineError::Defect("what reads the whole store has panicked");
    tokio::select! {
        done = &mut working => return done.map_err(panicked),
        () = core.stopping.cancelled() => {}
    }
    loop {
        interrupt.set();
        tokio::select! {
            done = &mut working => return done.map_err(panicked),
            () = tokio::time::sleep(TOLD_EVERY) => {}
        }
    }
}

fn refused(error: &BackupError) -> EngineError {
    let message = chain(error);
    match error {
        BackupError::Place { .. } => EngineError::Invalid {
            message,
            hint: Some("name a file in a folder that is there, outside of the data folder".to_owned()),
        },
        BackupError::Exists { .. } => EngineError::Conflict {
            message,
            hint: Some("`--force` (`force: true`) puts the new one in its place".to_owned()),
        },
        BackupError::Interrupted => EngineError::Stopping,
        BackupError::Unsound { .. } => EngineError::Care {
            message,
            code: "store_damaged",
            hint: Some(
                "nothing was kept; `adjutant store check` names what is wrong, and a copy of the whole data folder \
                 while the daemon is stopped keeps it as it is"
                    .to_owned(),
            ),
            class: ErrorClass::User,
        },
        BackupError::File { .. } | BackupError::Database(_) | BackupError::Check(_) => {
            let (code, hint) = match error.is_full() {
                true => ("store_full", "free space where the backup is to be, or choose another place"),
                false => ("store_failed", "nothing was kept; look at the place, and at `adjutant doctor`"),
            };
            EngineError::Care { message, code, hint: Some(hint.to_owned()), class: error.class() }
        }
    }
}

fn unchecked(error: &CheckError) -> EngineError {
    let class = match error {
        CheckError::Interrupted => return EngineError::Stopping,
        CheckError::Database { .. } => ErrorClass::Retry,
        CheckError::Missing { .. } | CheckError::Foreign { .. } | CheckError::Newer { .. } => {
            ErrorClass::User
        }
    };
    EngineError::Care { message: chain(error), code: "store_unreadable", hint: None, class }
}
