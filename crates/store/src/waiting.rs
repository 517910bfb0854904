//! How a caller waits for its answer.
//!
//! A sequential flow has one write under way at a time, and to put its thread to sleep and wake it again takes about
//! as long as the commit. So a write that is alone lets other tasks run and looks again, for as long as a commit on a
//! good disk takes; with company, or on a slow disk, it sleeps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// For how long a lone write looks for its answer before it sleeps.
const LOOK: Duration = Duration::from_micros(200);

/// How many looks, some microseconds, before it lets other tasks run.
const LOOKS: u32 = 500;

/// How many writes are under way.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    writes: AtomicUsize,
}

/// Counts one write as long as it lives.
#[derive(Debug)]
pub(crate) struct Entered<'a>(&'a Waiting);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.writes.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Waiting {
    /// Counts a write.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Entered(self)
    }

    /// Waits for the answer of a write that is counted; gives none when none can come any more.
    pub(crate) async fn answer<T>(&self, mut answer: oneshot::Receiver<T>) -> Option<T> {
        let began = Instant::now();
        while self.writes.load(Ordering::Relaxed) == 1 && began.elapsed() < LOOK {
            for _ in 0..LOOKS {
                match answer.try_recv() {
                    Ok(value) => return Some(value),
                    Err(oneshot::error::TryRecvError::Empty) => std::hint::spin_loop(),
                    // The receiver is spent then, and awaiting it would panic.
                    Err(oneshot::error::TryRecvError::Closed) => return None,
                }
            }
            tokio::task::yield_now().await;
        }
        answer.await.ok()
    }
}
