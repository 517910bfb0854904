//! The readable copy of all goals.

use adjutant_model::goal::Goal;
use std::io::{self, Write as _};
use std::path::PathBuf;

/// Replaces `goals.json` in one move, so that a reader sees the old or the new one and nothing between.
pub(super) async fn write(folder: PathBuf, goals: Vec<Goal>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        serde_json::to_writer_pretty(&mut file, &goals)?;
        file.write_all(b"\n")?;
        file.persist(folder.join("goals.json")).map_err(|error| error.error)?;
        Ok(())
    })
    .await
    .unwrap_or_else(|panic| Err(io::Error::other(panic)))
}
