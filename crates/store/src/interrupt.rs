//! Stopping what looks at the whole store before its end.
//!
//! Such work runs on a thread of its own for as long as the store is large, so whoever stops the daemon must not wait
//! for it. It looks between two things, and within one long statement the database is told.

use rusqlite::{Connection, InterruptHandle};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stops the work that it was given to; clone it to hold it in another place.
#[derive(Clone, Default)]
pub struct Interrupt {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    is_set: AtomicBool,
    statement: Mutex<Option<InterruptHandle>>,
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

impl Interrupt {
    /// Stops the work, now or when it begins. A statement that is about to begin may miss it, so whoever waits for the
    /// end of the work says it again.
    pub fn set(&self) {
        self.inner.is_set.store(true, Ordering::SeqCst);
        if let Some(statement) = &*self.statement() {
            statement.interrupt();
        }
    }

    /// Tells whether the work is to stop.
    pub fn is_set(&self) -> bool {
        self.inner.is_set.load(Ordering::SeqCst)
    }

    /// Lets the statements of a connection be stopped, in place of those of an earlier one.
    pub(crate) fn reaches(&self, db: &Connection) {
        *self.statement() = Some(db.get_interrupt_handle());
    }

    fn statement(&self) -> MutexGuard<'_, Option<InterruptHandle>> {
        self.inner.statement.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
