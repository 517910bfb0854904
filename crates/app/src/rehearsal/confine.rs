//! Keeps a script's files below the directory it plays in.
//!
//! A path is resolved as far as it exists, symbolic links included, before it is compared: neither `..` nor a
//! link leads out.

use std::io;
use std::path::{Component, Path, PathBuf};

/// A path that a script may not touch, or that cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// It leads out.
    #[error("{path} is outside of the directory that the rehearsal plays in")]
    Outside {
        /// As the script has it.
        path: String,
    },
    /// It is a link to nowhere, so that nobody can say where writing it would end.
    #[error("{path} is a link that leads nowhere")]
    Dangling {
        /// As the script has it.
        path: String,
    },
    /// The file system does not say.
    #[error("{path} cannot be resolved")]
    Resolve {
        /// As the script has it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Gives the real place of `path` below `root`, which must be a resolved path.
pub(crate) fn confine(root: &Path, path: &str) -> Result<PathBuf, ConfineError> {
    let joined = root.join(path);
    if joined.components().any(|part| matches!(part, Component::ParentDir)) {
        return Err(ConfineError::Outside { path: path.to_owned() });
    }
    let real = resolve(&joined, path)?;
    if real.starts_with(root) { Ok(real) } else { Err(ConfineError::Outside { path: path.to_owned() }) }
}

/// Resolves the longest part of `wanted` that exists and appends the rest as it stands.
fn resolve(wanted: &Path, shown: &str) -> Result<PathBuf, ConfineError> {
    let resolve_error = |source| ConfineError::Resolve { path: shown.to_owned(), source };
    let mut missing = Vec::new();
    let mut existing = wanted;
    loop {
        match existing.symlink_metadata() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (Some(name), Some(parent)) = (existing.file_name(), existing.parent()) else {
                    return Err(resolve_error(error));
                };
                missing.push(name);
                existing = parent;
            }
            Err(error) => return Err(resolve_error(error)),
        }
    }
    let real = existing.canonicalize().map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConfineError::Dangling { path: shown.to_owned() },
        _ => resolve_error(source),
    })?;
    Ok(missing.iter().rev().fold(real, |path, name| path.join(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_leads_out_of_the_directory() {
        let outer = tempfile::tempdir().unwrap();
        let outside = outer.path().canonicalize().unwrap();
        let root = outside.join("root");
        std::fs::create_dir_all(root.join("src")).unwrap();
        std::fs::write(root.join("src/a.txt"), "a").unwrap();
        std::fs::write(outside.join("secret"), "s").unwrap();
        symlink(outside.join("secret"), root.join("link")).unwrap();
        symlink(&outside, root.join("up")).unwrap();
        symlink(outside.join("absent"), root.join("dangling")).unwrap();
        symlink(root.join("src"), root.join("within")).unwrap();

        for (path, real) in [
            ("src/a.txt", "src/a.txt"),
            ("./src/a.txt", "src/a.txt"),
            ("src/new/b.txt", "src/new/b.txt"),
            ("within/a.txt", "src/a.txt"),
        ] {
            assert_eq!(confine(&root, path).unwrap(), root.join(real), "{path}");
        }
        for path in ["../secret", "src/../../secret", "link", "up/secret", "up/new", "/etc/passwd"] {
            assert!(matches!(confine(&root, path), Err(ConfineError::Outside { .. })), "{path}");
        }
        assert!(matches!(confine(&root, "dangling"), Err(ConfineError::Dangling { .. })));
        assert!(matches!(confine(&root, "src/a.txt/b"), Err(ConfineError::Resolve { .. })));
    }
}
