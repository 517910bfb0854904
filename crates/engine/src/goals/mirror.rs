//! The readable copy of all goals, which is shown when the store cannot be read.

use super::{GoalFilter, GoalPage};
use adjutant_model::Timestamp;
use adjutant_model::goal::Goal;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// Its name in the data folder.
const FILE_NAME: &str = "goals.json";

/// Replaces `goals.json` in one move, so that a reader sees the old or the new one and nothing between.
pub(super) async fn write(folder: PathBuf, goals: Vec<Arc<[u8]>>) -> io::Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        // The data folder has one daemon, so nobody else writes here; what a crash has left is written over.
        let beside = folder.join(format!("{FILE_NAME}.new"));
        let replaced = put(&beside, &goals).and_then(|()| fs::rename(&beside, folder.join(FILE_NAME)));
        if replaced.is_err() {
            drop(fs::remove_file(&beside));
        }
        replaced
    });
    written.await.unwrap_or_else(|panic| Err(io::Error::other(panic)))
}

fn put(path: &Path, goals: &[Arc<[u8]>]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    file.write_all(b"[")?;
    for (index, goal) in goals.iter().enumerate() {
        file.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        file.write_all(goal)?;
    }
    file.write_all(b"\n]\n")?;
    file.flush()
}

/// Gives goals as the mirror in a data folder has them, the oldest first, marked with the time since when it says so;
/// a limit of 0 gives all.
///
/// # Errors
/// When the mirror is not there or cannot be read.
pub fn mirrored(folder: &Path, filter: &GoalFilter) -> io::Result<GoalPage> {
    let (mut goals, since) = read(folder)?;
    goals.retain(|goal| filter.status.is_none_or(|status| goal.status == status));
    let behind = |goal: &Goal| filter.after.as_ref() == Some(&goal.id);
    let from = goals.iter().position(behind).map_or(0, |place| place + 1);
    let mut goals = goals.split_off(from);
    let has_more = filter.limit > 0 && goals.len() > filter.limit;
    if has_more {
        goals.truncate(filter.limit);
    }
    Ok(GoalPage { goals, has_more, stale_since: Some(since) })
}

/// Reads what the mirror says, and since when it has said so.
///
/// # Errors
/// When it is not there or cannot be read.
fn read(folder: &Path) -> io::Result<(Vec<Goal>, Timestamp)> {
    let path = folder.join(FILE_NAME);
    let goals = serde_json::from_slice(&fs::read(&path)?)?;
    let written = fs::metadata(&path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = i64::try_from(written.as_millis()).unwrap_or(i64::MAX);
    Ok((goals, Timestamp::from_unix_ms(ms)))
}
