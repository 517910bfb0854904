//! The bounded file of what a terminal was given to show.
//!
//! It holds the bytes as they came, escape sequences included, in two generations: when the present file has half of
//! what may be kept, it takes the place of the one before. So a writer never moves what it wrote. What could not be
//! written, or was left out, is named in its place.

use super::plain;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the present generation in a session's folder; the one before ends in `.1`.
pub const SCROLLBACK_FILE: &str = "scrollback";

/// A file that is written at its end and stays bounded.
#[derive(Debug)]
pub struct Scrollback {
    path: PathBuf,
    file: File,
    len: u64,
    generation_bytes_max: u64,
}

impl Scrollback {
    /// Opens the file in a session's folder, behind what it holds already; of both generations together at most
    /// `bytes_max` are kept.
    ///
    /// # Errors
    /// What the system said.
    pub fn open(folder: &Path, bytes_max: u64) -> io::Result<Scrollback> {
        let path = folder.join(SCROLLBACK_FILE);
        let file = appended(&path)?;
        let len = file.metadata()?.len();
        Ok(Scrollback { path, file, len, generation_bytes_max: (bytes_max / 2).max(1) })
    }

    /// Writes at the end; of more than a generation only the last part.
    ///
    /// # Errors
    /// What the system said; what was to be written is lost then.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let limit = usize::try_from(self.generation_bytes_max).unwrap_or(usize::MAX);
        let bytes = &bytes[bytes.len().saturating_sub(limit)..];
        if self.len > 0 && self.len + bytes.len() as u64 > self.generation_bytes_max {
            fs::rename(&self.path, before(&self.path))?;
            self.file = appended(&self.path)?;
            self.len = 0;
        }
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Writes a line of its own that says something about what is missing.
    ///
    /// # Errors
    /// As [`Scrollback::write`].
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        self.write(format!("\r\n[{text}]\r\n").as_bytes())
    }
}

/// Reads the last bytes of a session's scrollback, as text without what would steer a terminal; empty when there is
/// none.
///
/// # Errors
/// What the system said.
pub fn scrollback_read(folder: &Path, bytes_max: u64) -> io::Result<String> {
    let path = folder.join(SCROLLBACK_FILE);
    let present = tail(&path, bytes_max)?;
    let mut bytes = tail(&before(&path), bytes_max.saturating_sub(present.len() as u64))?;
    bytes.extend(present);
    Ok(plain(&String::from_utf8_lossy(&bytes)))
}

fn tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn before(path: &Path) -> PathBuf {
    path.with_extension("1")
}

fn appended(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_stay_bounded_and_the_last_bytes_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut scrollback = Scrollback::open(dir.path(), 100).unwrap();
        for at in 0..1000 {
            scrollback.write(format!("line {at}\n").as_bytes()).unwrap();
        }
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("scrollback") <= 50 && size("scrollback.1") <= 50);
        assert!(scrollback_read(dir.path(), 100).unwrap().ends_with("line 998\nline 999\n"));
        assert_eq!(scrollback_read(dir.path(), 4).unwrap(), "999\n");

        drop(scrollback);
        let mut again = Scrollback::open(dir.path(), 100).unwrap();
        again.write(&[b'x'; 1000]).unwrap();
        assert_eq!(size("scrollback"), 50, "of a flood its end is kept");
        again.note("left out").unwrap();
        assert_eq!(scrollback_read(dir.path(), 14).unwrap(), "\n[left out]\n");
    }

    #[test]
    fn nothing_is_read_of_a_session_that_kept_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(scrollback_read(dir.path(), 10).unwrap(), "");
    }
}
