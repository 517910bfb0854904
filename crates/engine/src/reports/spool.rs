//! What programs of Adjutant that have no store leave of their errors: lines of a file in the data folder, which the next
//! daemon takes up.
//!
//! Anyone who may write the data folder may write this file, so what is read is scrubbed again and cut to its limits.

use super::keep;
use super::tap::{ErrorTap, RawError};
use adjutant_model::Timestamp;
use adjutant_model::report::ErrorRecord;
use adjutant_rules::report;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file in the data folder.
const FILE: &str = "errors.jsonl";
/// The file while it is being taken up.
const TAKEN: &str = "errors.taken.jsonl";
/// The file takes no more once it is so large, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// A name or a place is at most so long, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// An error as a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorLine {
    at: Timestamp,
    version: String,
    target: String,
    message: String,
    fields: String,
    location: Option<String>,
    occurrences: u64,
}

/// Leaves what waits in a tap when it is dropped, also by a panic: whoever has no daemon to keep it holds one.
#[derive(Debug)]
pub struct LeftErrors {
    /// Where errors wait.
    pub tap: ErrorTap,
    /// The data folder; it is not made for this.
    pub folder: std::path::PathBuf,
    /// Adjutant's version.
    pub version: String,
}

impl Drop for LeftErrors {
    fn drop(&mut self) {
        let (raw, _lost) = self.tap.take();
        // There is nobody left to tell.
        drop(leave(&self.folder, keep::records(raw, &self.version)));
    }
}

fn leave(folder: &Path, records: Vec<ErrorRecord>) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let mut lines = String::new();
    for record in records {
        let line = ErrorLine {
            at: record.last_seen_at,
            version: record.version,
            target: record.target,
            message: record.message,
            fields: record.fields,
            location: record.location,
            occurrences: record.occurrences,
        };
        lines.push_str(&serde_json::to_string(&line)?);
        lines.push('\n');
    }
    let options = OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(FILE));
    let mut file = options?;
    if file.metadata()?.len() + lines.len() as u64 > FILE_BYTES_MAX {
        return Ok(());
    }
    // In one piece, so that two programs do not mix their lines.
    file.write_all(lines.as_bytes())
}

/// Gives what was left, and nothing when there is no file; it is there until it is forgotten.
pub(super) fn read(folder: &Path, now: Timestamp) -> Option<Vec<ErrorRecord>> {
    let taken = folder.join(TAKEN);
    // What an earlier round has taken and not kept goes first.
    if !taken.exists() && fs::rename(folder.join(FILE), &taken).is_err() {
        return None;
    }
    // A pipe would never end.
    let is_file = fs::symlink_metadata(&taken).is_ok_and(|file| file.is_file());
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| File::open(&taken)?.take(FILE_BYTES_MAX).read_to_end(bytes);
    if let Some(Err(error)) = is_file.then(|| read(&mut bytes)) {
        tracing::warn!(%error, "the errors that other programs left cannot be read");
    }
    let lines = String::from_utf8_lossy(&bytes);
    let lines = lines.lines().filter_map(|line| serde_json::from_str(line).ok());
    Some(lines.filter_map(|line| record(line, now)).collect())
}

/// Forgets what was taken up.
pub(super) fn forget(folder: &Path) {
    if let Err(error) = fs::remove_file(folder.join(TAKEN))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the errors that other programs left cannot be removed");
    }
}

fn record(line: ErrorLine, now: Timestamp) -> Option<ErrorRecord> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.len() <= NAME_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:.-+/ ".contains(&byte))
    };
    let named = is_name(&line.target) && is_name(&line.version) && line.occurrences > 0;
    let placed = line.location.as_deref().is_none_or(is_name);
    if !named || !placed {
        return None;
    }
    let raw = RawError {
        target: line.target,
        location: line.location.map(|place| report::location(&place, None)),
        message: line.message,
        fields: line.fields,
        occurrences: line.occurrences.min(u64::from(u32::MAX)),
        first_seen_at: line.at.min(now),
        last_seen_at: line.at.min(now),
    };
    keep::records(vec![raw], &line.version).pop()
}
