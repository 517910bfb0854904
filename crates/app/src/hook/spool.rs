//! Where a hook goes that found nobody at the door: to the end of a file, which the daemon takes later.

use super::payload::Payload;
use adjutant_engine::clock;
use adjutant_model::Value;
use adjutant_model::hook::HookEvent;
use adjutant_model::id::Uuid;
use adjutant_rules::hook::spool::{self, FILE_BYTES_MAX, Spooled};
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The daemon takes the file away while it is opened so often at most.
const OPENINGS_MAX: usize = 8;

/// Adds a hook to the file. What cannot be kept is lost: the agent has nothing to do with that.
pub(super) fn put(path: &Path, (id, payload): (Uuid, &Payload)) {
    let Some(value) = payload.value().filter(|_| !payload.event().is_some_and(HookEvent::decides)) else {
        return;
    };
    let spooled =
        Spooled { id, at: clock::now(), size_bytes: payload.size_bytes(), payload: Value::from(value) };
    if let Some(line) = spool::line(&spooled) {
        append(path, line.as_bytes()).ok();
    }
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    for _ in 0..OPENINGS_MAX {
        let mut file = opened(path)?;
        // The daemon reads the file behind the same lock, when it has taken it away.
        file.lock()?;
        if !is_at(path, &file)? {
            continue;
        }
        return match file.metadata()?.len() {
            length if length + line.len() as u64 > FILE_BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
            _ => file.write_all(line),
        };
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn opened(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Tells whether an open file still stands where it was opened.
fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let (open, there) = (file.metadata()?, fs::symlink_metadata(path));
    Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino())))
}
