//! Restoring a backup while the daemon works: the plane makes the store ready and asks for its own end, whoever has the
//! plane puts the store in place when everything is closed, and opens another plane over it.

use super::{apart, chain, owner_only, turn};
use crate::clock;
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use adjutant_model::Timestamp;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::run::ErrorClass;
use adjutant_store::restore::{self, RestoreError, RestoreOrder, Staged};
use adjutant_store::{CheckError, Draft, Interrupt, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// The last restore is looked for among so many rows of the journal.
const ROWS_BACK: usize = 200;

/// A restore that the plane has made ready, and that waits for the plane's end.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    order: watch::Sender<Option<RestoreOrder>>,
    /// Nothing else that concerns the whole store begins until then.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

/// A restore that is about to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreBegun {
    /// Its name.
    pub id: String,
    /// What was made ready.
    pub staged: Staged,
}

/// A restore that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreEnded {
    /// Its name.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// The file that the store came from, or was to come from.
    pub file: String,
    /// How it ended.
    pub outcome: RestoreOutcome,
}

/// How a restore ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// The store is the one of the backup.
    Done {
        /// The folder with what was replaced.
        kept: PathBuf,
        /// How many tokens that the backup had as good are not so any more.
        tokens_ended: u64,
    },
    /// The store is what it was.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Why a store did not take its place; the next plane is told, and writes it down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRestored {
    order: RestoreOrder,
    reason: String,
}

impl Plane {
    /// Makes a backup ready to take the store's place, checked wholly, and asks for the plane's end (see
    /// [`Plane::restore_wanted`]).
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for others than the owner, [`EngineError::Invalid`] for a file that is no backup,
    /// [`EngineError::Crowded`] while another is under way, [`EngineError::Care`] when it is damaged or the disk
    /// refuses; the store is as it was.
    pub async fn store_restore(&self, caller: &Caller, file: PathBuf) -> Result<RestoreBegun, EngineError> {
        owner_only(caller)?;
        let core = &self.core;
        let turn = turn(core)?;
        let wanted = super::Wanted(Interrupt::default());
        let (folder, from, interrupt) = (core.settings.folder.clone(), file.clone(), wanted.0.clone());
        let now = clock::now();
        let staging = apart(core, &wanted.0, move || {
            let staged = restore::stage(&folder, &from, now, &interrupt);
            (staged, turn)
        });
        let (staged, turn) = staging.await?;
        let staged = staged.map_err(|error| refused(&error))?;
        let id = clock::fresh_id().simple().to_string();
        let order = RestoreOrder::new(id.clone(), &file, caller.actor(), now);
        *core.care.restore.turn.lock().unwrap_or_else(PoisonError::into_inner) = Some(turn);
        core.care.restore.order.send_replace(Some(order));
        Ok(RestoreBegun { id, staged })
    }

    /// Returns when a store is ready to take this one's place. Whoever has the plane stops it then, and calls
    /// [`put_in_place`].
    pub async fn restore_wanted(&self) -> RestoreOrder {
        let mut order = self.core.care.restore.order.subscribe();
        match order.wait_for(Option::is_some).await.map(|order| order.clone()) {
            Ok(Some(order)) => order,
            // The plane has the sender, so it does not go before this.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Writes down why a store did not take this one's place.
    ///
    /// # Errors
    /// [`EngineError::Write`]
    pub async fn not_restored(&self, failed: NotRestored) -> Result<(), EngineError> {
        let NotRestored { order, reason } = failed;
        let event = Event::StoreRestoreFailed { restore_id: order.id, file: order.file, reason };
        let mut write = Write::default();
        write.journal(Draft { at: clock::now(), actor: order.actor.into(), subject: "plane".into(), event });
        self.core.store.write(write).await?;
        Ok(())
    }

    /// Gives the last restore that has ended, as far as the last rows of the journal know.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn last_restore(&self) -> Result<Option<RestoreEnded>, EngineError> {
        let rows = self.core.store.journal_before("plane", i64::MAX, ROWS_BACK).await?;
        Ok(rows.into_iter().find_map(|row| ended(&self.core, row.at, row.event)))
    }
}

fn ended(core: &Core, at: Timestamp, event: Event) -> Option<RestoreEnded> {
    let (id, file, outcome) = match event {
        Event::StoreRestored { restore_id, file, kept, tokens_ended } => {
            let kept = core.settings.folder.join(kept);
            (restore_id, file, RestoreOutcome::Done { kept, tokens_ended })
        }
        Event::StoreRestoreFailed { restore_id, file, reason } => {
            (restore_id, file, RestoreOutcome::Failed { reason })
        }
        _ => return None,
    };
    Some(RestoreEnded { id, at, file, outcome })
}

/// Puts a store that was made ready in place of the one of a data folder, which nobody has open.
///
/// # Errors
/// [`NotRestored`] before the order was given, and the store is what it was; behind it whatever hinders a step hinders
/// the next start as well, and is told there.
pub async fn put_in_place(folder: &Path, order: RestoreOrder) -> Result<u64, NotRestored> {
    let failed = |error: RestoreError| NotRestored { order: order.clone(), reason: chain(&error) };
    let ended = restore::order(folder, &order, clock::now()).await.map_err(failed)?;
    let folder = folder.to_owned();
    let finishing = tokio::task::spawn_blocking(move || restore::finish(&folder));
    match finishing.await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::error!(error = chain(&error), "the restored store is not in its place yet")
        }
        Err(error) => tracing::error!(%error, "putting the restored store in place has panicked"),
    }
    Ok(ended)
}

/// Restores a backup in a data folder that no daemon has; the caller holds its lock. Blocks on the disk. Gives as well how
/// many bodies of outputs did not come with it.
///
/// # Errors
/// [`RestoreError`]; the store is as it was unless only steps are left, which the next start takes.
pub async fn restore_alone(
    folder: &Path,
    file: &Path,
    actor: &str,
) -> Result<(RestoreEnded, u64), RestoreError> {
    restore::finish(folder)?;
    let now = clock::now();
    let staged = restore::stage(folder, file, now, &Interrupt::default())?;
    let order = RestoreOrder::new(clock::fresh_id().simple().to_string(), file, actor.to_owned(), now);
    let tokens_ended = restore::order(folder, &order, now).await?;
    restore::finish(folder)?;
    let outcome = RestoreOutcome::Done { kept: folder.join(&order.kept), tokens_ended };
    Ok((RestoreEnded { id: order.id, at: now, file: order.file, outcome }, staged.lost_count))
}

fn refused(error: &RestoreError) -> EngineError {
    let message = chain(error);
    let invalid = |hint: &str| EngineError::Invalid { message: message.clone(), hint: Some(hint.to_owned()) };
    let care = |code, hint: &str, class| EngineError::Care {
        message: message.clone(),
        code,
        hint: Some(hint.to_owned()),
        class,
    };
    match error {
        RestoreError::Interrupted | RestoreError::Check(CheckError::Interrupted) => EngineError::Stopping,
        RestoreError::Source { .. } | RestoreError::Check(_) => {
            invalid("`adjutant store backup FILE` makes what can be restored")
        }
        RestoreError::Unsound { .. } | RestoreError::Copy { .. } | RestoreError::Open(_) => {
            care("store_damaged", "nothing was changed; restore another backup", ErrorClass::User)
        }
        RestoreError::Write(_) | RestoreError::File { .. } | RestoreError::InTheWay { .. } => care(
            "store_failed",
            "nothing was changed; look at the disk of the data folder",
            ErrorClass::Retry,
        ),
    }
}
