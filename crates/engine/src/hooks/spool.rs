//! Hooks that found nobody at the door, in the file that their command leaves them in.
//!
//! The file is renamed before it is read, and removed when all that it says is durable, so a daemon that dies in the middle
//! reads it again. What is known by its id is passed over: it came by the door, or was kept before the death. What the
//! session's owner is told twice changes nothing the second time, because it is late then.

use super::keep::{self, HookArrival};
use super::{learn, session};
use crate::clock;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::Core;
use adjutant_model::SessionId;
use adjutant_model::hook::HookCall;
use adjutant_model::id::Uuid;
use adjutant_model::run::ErrorClass;
use adjutant_rules::hook;
use adjutant_rules::hook::signals::HookClock;
use adjutant_rules::hook::spool::{self, FILE_BYTES_MAX, LINE_BYTES_MAX, Spooled};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file in a session's folder.
const FILE: &str = "hooks.spool";
/// It is called so while it is read.
const TAKEN: &str = "hooks.spool.taken";
/// A hook that writes the last line has so long to end; it is looked for so often.
const WRITING: (Duration, usize) = (Duration::from_millis(10), 20);

/// Gives the file that the hooks of a session's agent leave in its folder what they could not tell.
pub(crate) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Takes what the hooks of a session have left, in order; gives how many they were.
pub(crate) async fn take(core: &Arc<Core>, id: SessionId) -> u64 {
    let folder = hosting::folder_of(core, id);
    if !is_there(&folder.join(FILE)) && !is_there(&folder.join(TAKEN)) {
        return 0;
    }
    let Ok(_one) = core.hooks.spools.acquire().await else { return 0 };
    match take_all(core, id, &folder).await {
        Ok(count) => count,
        Err(error) => {
            tracing::warn!(session = %id, %error, "what hooks have left waits for the next look");
            0
        }
    }
}

/// Takes what the hooks of all sessions have left.
pub(crate) async fn take_everywhere(core: Arc<Core>) -> Result<u64, EngineError> {
    let mut count = 0;
    for id in core.hosting.owned_ids() {
        count += take(&core, id).await;
    }
    Ok(count)
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

async fn take_all(core: &Arc<Core>, id: SessionId, folder: &Path) -> Result<u64, EngineError> {
    let mut count = 0;
    // What a daemon has left that died in the middle of it, and then what came since.
    for _ in 0..2 {
        let Some(lines) = taken(folder).await.map_err(|error| unreadable(folder, &error))? else { break };
        count += tell(core, id, lines).await?;
        fs::remove_file(folder.join(TAKEN)).map_err(|error| unreadable(folder, &error))?;
    }
    Ok(count)
}

fn unreadable(folder: &Path, error: &io::Error) -> EngineError {
    EngineError::Workspace {
        message: format!("{}: {error}", folder.join(FILE).display()),
        hint: None,
        class: ErrorClass::Retry,
    }
}

/// Takes the file away and reads it; nothing when there is none.
async fn taken(folder: &Path) -> io::Result<Option<Vec<(Spooled, HookCall)>>> {
    let path = folder.join(TAKEN);
    if !is_there(&path) {
        match fs::rename(folder.join(FILE), &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            renamed => renamed?,
        }
    }
    let Some(file) = opened(&path)? else { return Ok(Some(Vec::new())) };
    for _ in 0..WRITING.1 {
        if file.try_lock().is_ok() {
            break;
        }
        tokio::time::sleep(WRITING.0).await;
    }
    let reading = tokio::task::spawn_blocking(move || read(file));
    reading.await.map_err(io::Error::other)?.map(Some)
}

/// Opens what should be a file of this user's hooks; whatever else stands there is nothing.
fn opened(path: &Path) -> io::Result<Option<File>> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(_) if path.symlink_metadata().is_ok_and(|found| !found.is_file()) => return Ok(None),
        opened => opened?,
    };
    let about = file.metadata()?;
    Ok((about.is_file() && about.uid() == geteuid().as_raw()).then_some(file))
}

fn read(file: File) -> io::Result<Vec<(Spooled, HookCall)>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + LINE_BYTES_MAX as u64).read_to_end(&mut bytes)?;
    let now = clock::now();
    Ok(bytes.split(|byte| *byte == b'\n').filter_map(|line| spool::read(line, now)).collect())
}

/// Tells what is not known yet; durable when this returns.
async fn tell(core: &Arc<Core>, id: SessionId, lines: Vec<(Spooled, HookCall)>) -> Result<u64, EngineError> {
    let ids: Vec<Uuid> = lines.iter().map(|(spooled, _)| spooled.id).collect();
    let known: HashSet<Uuid> = core.store.hook_ids_known(ids).await?.into_iter().collect();
    let is_new =
        |(spooled, _): &(Spooled, HookCall)| !known.contains(&spooled.id) && core.hooks.is_first(spooled.id);
    let fresh: Vec<(Spooled, HookCall)> = lines.into_iter().filter(is_new).collect();
    let count = fresh.len() as u64;
    let ids: Vec<Uuid> = fresh.iter().map(|(spooled, _)| spooled.id).collect();
    let told = tell_fresh(core, id, fresh).await;
    if told.is_err() {
        ids.into_iter().for_each(|id| core.hooks.not_taken(id));
    }
    told.map(|()| count)
}

async fn tell_fresh(
    core: &Arc<Core>,
    id: SessionId,
    fresh: Vec<(Spooled, HookCall)>,
) -> Result<(), EngineError> {
    let mut signals = Vec::new();
    for (Spooled { at, .. }, call) in &fresh {
        let clock = HookClock { now: *at, offset_secs: clock::offset_secs() };
        signals.extend(hook::signals(call, clock).into_iter().map(|signal| signal.at(*at)));
        learn(core, call).await;
    }
    session::told_durably(core, id, signals).await?;
    let arrival = |(spooled, call): (Spooled, HookCall)| {
        let Spooled { id: hook_id, at, size_bytes, payload: _ } = spooled;
        HookArrival { session_id: id, call, size_bytes, decision: None, at, hook_id: Some(hook_id) }
    };
    keep::keep_now(core, fresh.into_iter().map(arrival).collect()).await
}
