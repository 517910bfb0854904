//! The files that git ignores: which of them a snapshot keeps.

use crate::git::{Call, Git, GitError};
use crate::worktree::tree::{KeptIndex, durable, joined, path_of, paths};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// How many directories below one that is ignored are looked into.
const DEPTH_MAX: usize = 64;

/// How much of what git ignores is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepLimits {
    /// A larger file is left out, in bytes.
    pub file_bytes_max: u64,
    /// What all of them may have together, in bytes.
    pub total_bytes_max: u64,
    /// So many files.
    pub files_max: usize,
}

impl KeepLimits {
    /// For a snapshot that is taken often.
    pub const EVERY_TURN: KeepLimits =
        KeepLimits { file_bytes_max: 1 << 20, total_bytes_max: 16 << 20, files_max: 2_000 };

    /// For the last snapshot before a removal.
    pub const LAST: KeepLimits =
        KeepLimits { file_bytes_max: 64 << 20, total_bytes_max: 256 << 20, files_max: 20_000 };
}

/// Something that a snapshot does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its path in the worktree; a directory ends with `/`.
    pub path: String,
    /// Why.
    pub why: LeftOutWhy,
}

/// Why a snapshot does not hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOutWhy {
    /// A build makes it again: it is marked as a cache, or a package manager's own folder.
    Artefact,
    /// It is larger than one file may be.
    TooLarge,
    /// All of them together are more than is kept.
    TooMuch,
    /// It is a repository of its own.
    Repository,
    /// It cannot be read, or is neither file nor link.
    Unreadable,
}

/// What is kept of what git ignores.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) tree: Option<String>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Writes a tree of the ignored files that are small, by an index of their own in `file`.
pub(super) async fn keep(
    git: &Git,
    index: &KeptIndex<'_>,
    file: &Path,
    limits: KeepLimits,
) -> Result<Kept, GitError> {
    let list = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"];
    let listed = paths(&git.output(&index.call(&list)).await?);
    let mut look =
        Look { top: index.top().to_owned(), room: limits, limits, wanted: Vec::new(), left_out: Vec::new() };
    let look = tokio::task::spawn_blocking(move || {
        listed.iter().for_each(|path| look.see(path, 0));
        look
    })
    .await
    .map_err(|error| GitError::File { path: index.top().to_owned(), source: error.into() })?;
    let file = file.to_string_lossy();
    let call = |args: &[&str]| Call::new(index.top(), args).with_env("GIT_INDEX_FILE", &file);
    let known = paths(&git.output(&call(&["ls-files", "-z"])).await?);
    if known.is_empty() && look.wanted.is_empty() {
        return Ok(Kept { tree: None, left_out: look.left_out });
    }
    let wanted = look.wanted.iter().cloned().collect();
    let gone = joined(&(&known - &wanted));
    let forget = call(&["update-index", "--force-remove", "-z", "--stdin"]).with_stdin(gone);
    git.output(&forget).await?;
    let add = call(&["update-index", "--add", "--remove", "--replace", "-z", "--stdin"]);
    git.output(&durable(add).with_stdin(joined(&wanted))).await?;
    let tree = if wanted.is_empty() { None } else { Some(git.line(&call(&["write-tree"])).await?) };
    Ok(Kept { tree, left_out: look.left_out })
}

/// Tells whether a directory is what a build makes again. A name alone is no proof, but for the two that belong to
/// their tools.
pub(in crate::worktree) fn is_artefact(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_tagged = || {
        std::fs::read(dir.join("CACHEDIR.TAG"))
            .is_ok_and(|tag| tag.starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"))
    };
    matches!(name, "node_modules" | "__pycache__")
        || dir.join("pyvenv.cfg").is_file()
        || (name == "target" && dir.join(".rustc_info.json").is_file())
        || is_tagged()
}

/// A look at what git ignores.
struct Look {
    top: PathBuf,
    limits: KeepLimits,
    room: KeepLimits,
    wanted: Vec<Vec<u8>>,
    left_out: Vec<LeftOut>,
}

impl Look {
    fn see(&mut self, listed: &[u8], depth: usize) {
        let plain = listed.strip_suffix(b"/").unwrap_or(listed);
        let path = self.top.join(path_of(plain));
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => self.see_folder(plain, &path, depth),
            Ok(found) if found.is_file() => self.see_file(plain, found.len()),
            Ok(found) if found.is_symlink() => self.see_file(plain, 0),
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => self.leave(plain, LeftOutWhy::Unreadable),
        }
    }

    fn see_folder(&mut self, path: &[u8], dir: &Path, depth: usize) {
        let shown = [path, b"/"].concat();
        if dir.join(".git").symlink_metadata().is_ok() {
            return self.leave(&shown, LeftOutWhy::Repository);
        }
        if is_artefact(dir) {
            return self.leave(&shown, LeftOutWhy::Artefact);
        }
        if self.room.files_max == 0 || depth > DEPTH_MAX {
            return self.leave(&shown, LeftOutWhy::TooMuch);
        }
        let Ok(entries) = std::fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>) else {
            return self.leave(&shown, LeftOutWhy::Unreadable);
        };
        let mut names: Vec<_> = entries.iter().map(std::fs::DirEntry::file_name).collect();
        names.sort();
        for name in names {
            use std::os::unix::ffi::OsStrExt;
            self.see(&[&shown, name.as_bytes()].concat(), depth + 1);
        }
    }

    fn see_file(&mut self, path: &[u8], bytes: u64) {
        if bytes > self.limits.file_bytes_max {
            self.leave(path, LeftOutWhy::TooLarge);
        } else if bytes > self.room.total_bytes_max || self.room.files_max == 0 {
            self.leave(path, LeftOutWhy::TooMuch);
        } else {
            self.room.total_bytes_max -= bytes;
            self.room.files_max -= 1;
            self.wanted.push(path.to_vec());
        }
    }

    fn leave(&mut self, path: &[u8], why: LeftOutWhy) {
        self.left_out.push(LeftOut { path: String::from_utf8_lossy(path).into_owned(), why });
    }
}
