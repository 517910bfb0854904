//! What was told of the usage of an agent's own session, in a file of its session folder.
//!
//! Agents count from the beginning of their session, and go on counting when they are started again. Only who knows
//! what was told before can tell what is new.

use adjutant_model::session::SessionUsage;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

const FILE_NAME: &str = "usage.json";

/// The file is small; a longer one is not ours.
const BYTES_MAX: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Kept {
    session: String,
    used: SessionUsage,
}

/// Gives what was told of a session; `None` when nothing is known of it.
pub(super) fn read(folder: &Path, session: Option<&str>) -> Option<SessionUsage> {
    let path = folder.join(FILE_NAME);
    if fs::symlink_metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let kept: Kept = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (Some(kept.session.as_str()) == session).then_some(kept.used)
}

/// Keeps what was told of a session. What cannot be kept is only missing later.
pub(super) fn write(folder: &Path, session: &str, used: &SessionUsage) {
    let kept = Kept { session: session.to_owned(), used: used.clone() };
    let beside = folder.join("usage.new");
    if let Ok(text) = serde_json::to_vec(&kept)
        && fs::write(&beside, text).is_ok()
    {
        fs::rename(&beside, folder.join(FILE_NAME)).ok();
    }
}
