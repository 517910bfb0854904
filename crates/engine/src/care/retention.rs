//! The job `retention`: what was kept long enough goes, a little in each round.
//!
//! What is to be kept how long is a setting, read anew in each round. Each run goes by a write of its own, and other
//! things a bounded number at a time, so that no writer waits long. What is open, or what something open names, stays:
//! the store leaves it out when it is asked, and the write looks again. Outputs, hooks, tokens and workspaces have jobs
//! of their own.

use crate::clients;
use crate::clock;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::Core;
use crate::runs;
use adjutant_model::Timestamp;
use adjutant_model::event::Event;
use adjutant_store::{Draft, JournalLook, RunsKept, SessionDue, Write, WriteError};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The job's name.
pub(crate) const JOB: &str = "retention";

/// So many runs go in a round.
const RUNS_AT_ONCE: usize = 100;
/// So many sessions go in a round.
const SESSIONS_AT_ONCE: usize = 100;
/// So many delegations, handoffs and approvals go in a round, those of one kind in one write.
const ASKED_AT_ONCE: usize = 200;
/// So many tasks go in a round, in one write.
const TASKS_AT_ONCE: usize = 200;
/// So many contents are looked at in a round.
const CONTENTS_AT_ONCE: usize = 256;
/// So many rows of the journal are looked at in a round.
const ROWS_AT_ONCE: usize = 1000;

/// Where the next round goes on. What is forgotten with the daemon is looked at again.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    at: Mutex<Places>,
}

#[derive(Debug, Clone, Default)]
struct Places {
    /// Behind which run; one that cannot go must not keep those behind it.
    run: i64,
    client_run: i64,
    session: String,
    content: String,
    journal: i64,
}

impl Retention {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go what was kept long enough; gives how many things went.
pub(crate) async fn round(core: Arc<Core>) -> Result<u64, EngineError> {
    let (now, live) = (clock::now(), core.live());
    let before = |ms: u64| Timestamp::from_unix_ms(now.unix_ms().saturating_sub_unsigned(ms));
    let kept = RunsKept { ended_before: live.run_keep_ms.map(before), newest: live.runs_kept_max };
    let mut gone = 0;
    if kept != RunsKept::default() {
        gone += flow_runs(&core, kept).await? + client_runs(&core, kept).await?;
    }
    if let Some(before) = kept.ended_before {
        gone += tasks(&core, before).await?;
    }
    if let Some(keep_ms) = live.session_keep_ms {
        // A session goes behind what has ended of it.
        gone += delegations(&core, before(keep_ms)).await? + handoffs(&core, before(keep_ms)).await?;
        gone += sessions(&core, before(keep_ms)).await?;
    }
    if let Some(keep_ms) = live.approval_keep_ms {
        gone += approvals(&core, before(keep_ms)).await?;
    }
    gone += contents(&core).await?;
    if let Some(keep_ms) = live.journal_keep_ms {
        gone += journal(&core, before(keep_ms)).await?;
    }
    Ok(gone)
}

async fn flow_runs(core: &Core, kept: RunsKept) -> Result<u64, EngineError> {
    let after = core.retention.places().run;
    let due = core.store.runs_due(kept, after, RUNS_AT_ONCE).await?;
    core.retention.places().run = next(&due);
    let mut gone = 0;
    for (_, run_id) in due {
        if core.stopping.is_cancelled() {
            break;
        }
        match runs::delete_as(core, "plane".to_owned(), &run_id).await {
            Ok(()) => gone += 1,
            Err(
                why @ (EngineError::Conflict { .. } | EngineError::NotFound { .. } | EngineError::Over(_)),
            ) => {
                tracing::debug!(%run_id, %why, "the run stays");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

async fn client_runs(core: &Core, kept: RunsKept) -> Result<u64, EngineError> {
    let after = core.retention.places().client_run;
    let due = core.store.client_runs_due(kept, after, RUNS_AT_ONCE).await?;
    core.retention.places().client_run = next(&due);
    let mut gone = 0;
    for (_, run_id) in due {
        if core.stopping.is_cancelled() {
            break;
        }
        let mut write = Write::default();
        write.client_run_delete(&run_id, &clients::subject(&run_id));
        match applied(core, write, "client_runs", 1).await {
            Ok(()) => gone += 1,
            Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => {
                tracing::debug!(%run_id, "the client's run stays: it is not over any more, or has gone");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(gone)
}

/// Gives behind which one the next round goes on: from the first again when there was room for more.
fn next<T>(due: &[(i64, T)]) -> i64 {
    due.last().filter(|_| due.len() == RUNS_AT_ONCE).map_or(0, |(number, _)| *number)
}

async fn delegations(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let due = core.store.delegations_due(before, ASKED_AT_ONCE).await?;
    let mut write = Write::default();
    for id in &due {
        write.delegation_forget(*id);
    }
    applied(core, write, "delegations", due.len()).await?;
    Ok(due.len() as u64)
}

async fn handoffs(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let due = core.store.handoffs_due(before, ASKED_AT_ONCE).await?;
    let mut write = Write::default();
    for id in &due {
        write.handoff_forget(id);
    }
    applied(core, write, "handoffs", due.len()).await?;
    Ok(due.len() as u64)
}

async fn sessions(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let after = core.retention.places().session.clone();
    let due = core.store.sessions_due(before, &after, SESSIONS_AT_ONCE).await?;
    let last = due.last().filter(|_| due.len() == SESSIONS_AT_ONCE);
    core.retention.places().session = last.map(|due| due.id.to_string()).unwrap_or_default();
    let mut gone = 0;
    for due in due {
        if core.stopping.is_cancelled() {
            break;
        }
        gone += u64::from(session(core, &due).await?);
    }
    Ok(gone)
}

/// Lets a session go, or a part of what is known of it; tells whether anything went.
async fn session(core: &Core, due: &SessionDue) -> Result<bool, EngineError> {
    // Before the row: what is left of the folder when this is cut short is found by it.
    let folder = hosting::folder_of(core, due.id);
    match tokio::fs::remove_dir_all(&folder).await {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(session = %due.id, %error, "the session stays: its folder could not be removed");
            return Ok(false);
        }
    }
    let mut write = Write::default();
    let what = match due.part {
        // What is left goes in a later round, so that no writer waits for all of it.
        Some(part) => {
            write.session_shorten(due.id, part);
            "session_parts"
        }
        None => {
            write.session_forget(due);
            "sessions"
        }
    };
    match applied(core, write, what, 1).await {
        Ok(()) if due.part.is_none() => hosting::release(core, due.id),
        Ok(()) => {}
        Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => {
            tracing::debug!(session = %due.id, "the session stays: something names it");
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(true)
}

async fn approvals(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let due = core.store.approvals_due(before, ASKED_AT_ONCE).await?;
    let mut write = Write::default();
    for id in &due {
        write.approval_forget(id);
    }
    match applied(core, write, "approvals", due.len()).await {
        Ok(()) => Ok(due.len() as u64),
        Err(EngineError::Write(WriteError::RowsUnexpected { .. })) => {
            tracing::debug!("approvals stay until the next round: something names one of them");
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

async fn tasks(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let due = core.store.tasks_due(before, TASKS_AT_ONCE).await?;
    let mut write = Write::default();
    for task_id in &due {
        write.task_forget(task_id);
    }
    applied(core, write, "tasks", due.len()).await?;
    Ok(due.len() as u64)
}

async fn contents(core: &Core) -> Result<u64, EngineError> {
    let after = core.retention.places().content.clone();
    let look = core.store.contents_due(&after, CONTENTS_AT_ONCE).await?;
    core.retention.places().content = look.next.unwrap_or_default();
    let mut write = Write::default();
    for hash in &look.unnamed {
        write.content_forget(hash);
    }
    applied(core, write, "contents", look.unnamed.len()).await?;
    Ok(look.unnamed.len() as u64)
}

async fn journal(core: &Core, before: Timestamp) -> Result<u64, EngineError> {
    let after = core.retention.places().journal;
    let JournalLook { prefixes, next } = core.store.journal_due(before, after, ROWS_AT_ONCE).await?;
    core.retention.places().journal = next.unwrap_or(0);
    let mut write = Write::default();
    for prefix in &prefixes {
        write.journal_shorten(&prefix.subject, prefix.to);
    }
    applied(core, write, "journal", prefixes.len()).await?;
    Ok(prefixes.len() as u64)
}

/// Lets things go, and writes down that they went.
async fn applied(core: &Core, mut write: Write, what: &str, count: usize) -> Result<(), EngineError> {
    if count == 0 {
        return Ok(());
    }
    let event = Event::RetentionApplied { what: what.to_owned(), count: count as u64 };
    write.journal(Draft { at: clock::now(), actor: "plane".into(), subject: "plane".into(), event });
    core.store.write(write).await?;
    Ok(())
}
