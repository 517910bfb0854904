//! Files that an agent reads and writes through its client: those of its workspace.
//!
//! A path is resolved before it is used, links and `..` included, and what lies outside is refused as if it were not
//! there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

/// A file that is read or written is at most so large.
const BYTES_MAX: u64 = 8 << 20;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    /// It is not in the workspace.
    #[error("{} is not in the workspace", .0.display())]
    Outside(PathBuf),
    /// It is no file that holds text.
    #[error("{} is no regular file of at most {BYTES_MAX} bytes of UTF-8", .0.display())]
    NoText(PathBuf),
    /// The system would not.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Which lines of a file are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Span {
    /// The first, from 1.
    pub(super) line: Option<u32>,
    /// How many.
    pub(super) limit: Option<u32>,
}

/// Reads a file of the workspace.
pub(super) fn read(workspace: &Path, path: &Path, span: Span) -> Result<String, FileError> {
    let found = confined(workspace, path)?;
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let file = open(OpenOptions::new().read(true), &found).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() || about.len() > BYTES_MAX {
        return Err(FileError::NoText(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|_| FileError::NoText(path.to_owned()))?;
    Ok(match (span.line, span.limit) {
        (None, None) => text,
        (line, limit) => {
            let skipped = line.unwrap_or(1).saturating_sub(1) as usize;
            let taken = limit.map_or(usize::MAX, |limit| limit as usize);
            text.split_inclusive('\n').skip(skipped).take(taken).collect()
        }
    })
}

/// Writes a file of the workspace, and makes the folders above it.
pub(super) fn write(workspace: &Path, path: &Path, content: &str) -> Result<(), FileError> {
    let found = confined(workspace, path)?;
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    if content.len() as u64 > BYTES_MAX || found.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(FileError::NoText(path.to_owned()));
    }
    if let Some(folder) = found.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file =
        open(OpenOptions::new().write(true).create(true).truncate(true), &found).map_err(failed)?;
    file.write_all(content.as_bytes()).map_err(failed)
}

/// Resolves a path of the workspace; what is not there yet counts by the folder in which it would be.
pub(super) fn resolved(workspace: &Path, path: &Path) -> Result<PathBuf, FileError> {
    confined(workspace, path)
}

/// Finds a folder of the workspace.
pub(super) fn folder(workspace: &Path, path: Option<&Path>) -> Result<PathBuf, FileError> {
    let path = path.unwrap_or(workspace);
    let found = confined(workspace, path)?;
    if found.is_dir() { Ok(found) } else { Err(FileError::Outside(path.to_owned())) }
}

/// Resolves a path. What is not there yet counts by the folder in which it would be.
fn confined(workspace: &Path, path: &Path) -> Result<PathBuf, FileError> {
    let outside = || FileError::Outside(path.to_owned());
    let root = workspace.canonicalize().map_err(|_| outside())?;
    let mut there = root.join(path);
    let mut missing = Vec::new();
    let found = loop {
        match there.canonicalize() {
            Ok(found) => break found,
            // A link that leads nowhere would be followed by whoever writes there.
            Err(_) if there.is_symlink() => return Err(outside()),
            Err(_) => {
                let Some(Component::Normal(name)) = there.components().next_back() else {
                    return Err(outside());
                };
                missing.push(name.to_owned());
                there.pop();
            }
        }
    };
    let found = missing.into_iter().rev().fold(found, |found, name| found.join(name));
    if found.starts_with(&root) { Ok(found) } else { Err(outside()) }
}

/// Opens what was resolved; a link or pipe that took its place since is not opened, nor waited for.
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0)).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_outside_of_the_workspace_is_read_or_written() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir_all(work.join("sub")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(work.join("in"), "one\ntwo\nthree").unwrap();
        symlink("../secret", work.join("out")).unwrap();
        symlink("..", work.join("up")).unwrap();
        symlink("../nowhere", work.join("dangling")).unwrap();
        symlink("in", work.join("inner")).unwrap();
        let outside = [
            "../secret",
            "out",
            "up/secret",
            "sub/../../secret",
            "dangling",
            "up/new",
            "no/../../x",
            "/etc/hostname",
            "..",
            "/",
        ];
        for path in outside {
            assert!(read(&work, Path::new(path), Span::default()).is_err(), "{path} is read");
            assert!(write(&work, Path::new(path), "w").is_err(), "{path} is written");
        }
        assert_eq!(fs::read_to_string(dir.path().join("secret")).unwrap(), "s");
        assert!(!dir.path().join("new").exists() && !dir.path().join("nowhere").exists());
        let inside = work.join("in");
        for path in [Path::new("in"), Path::new("sub/../in"), Path::new("inner"), inside.as_path()] {
            assert_eq!(read(&work, path, Span::default()).unwrap(), "one\ntwo\nthree");
        }
        write(&work, Path::new("a/b/c"), "new").unwrap();
        assert_eq!(fs::read_to_string(work.join("a/b/c")).unwrap(), "new");
        assert!(folder(&work, Some(Path::new("up"))).is_err());
        assert!(folder(&work, Some(Path::new("in"))).is_err());
        assert!(folder(&work, None).is_ok());
    }

    #[test]
    fn lines_are_counted_from_one_and_other_files_than_text_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("text"), "one\ntwo\nthree").unwrap();
        fs::write(dir.path().join("bytes"), b"\xff").unwrap();
        let lines = |line, limit| read(dir.path(), Path::new("text"), Span { line, limit }).unwrap();
        assert_eq!(lines(Some(2), Some(1)), "two\n");
        assert_eq!(lines(Some(3), None), "three");
        assert_eq!(lines(Some(0), Some(1)), "one\n");
        assert_eq!(lines(Some(9), Some(9)), "");
        for path in ["bytes", ".", "absent"] {
            assert!(read(dir.path(), Path::new(path), Span::default()).is_err(), "{path}");
        }
        let large = "x".repeat(usize::try_from(BYTES_MAX).unwrap() + 1);
        assert!(write(dir.path(), Path::new("large"), &large).is_err());
    }
}
