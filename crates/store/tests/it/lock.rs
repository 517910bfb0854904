//! The lock: one owner, its pid, and folders that do not let themselves be owned.

use adjutant_store::{LockError, StoreLock};

#[test]
fn a_second_owner_is_refused_with_the_first_ones_pid() {
    let folder = tempfile::tempdir().unwrap();
    let first = StoreLock::acquire(folder.path()).unwrap();
    let error = StoreLock::acquire(folder.path()).unwrap_err();
    let own = std::process::id();
    assert!(matches!(error, LockError::Held { pid: Some(pid), .. } if pid == own), "{error:?}");
    assert!(error.to_string().ends_with(&format!("in use by another daemon (pid {own})")), "{error}");
    drop(first);
    StoreLock::acquire(folder.path()).unwrap();
}

#[test]
fn a_folder_is_made_when_it_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let lock = StoreLock::acquire(&inner).unwrap();
    assert_eq!(lock.path(), inner.join("lock"));
}

#[test]
fn a_folder_that_cannot_be_made_or_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = StoreLock::acquire(&file.join("data")).unwrap_err();
    assert!(matches!(error, LockError::Folder { .. }), "{error:?}");
    // A folder stands where the lock file should be: it cannot be opened for writing, by root either.
    std::fs::create_dir(folder.path().join("lock")).unwrap();
    let error = StoreLock::acquire(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::NotWritable { .. }), "{error:?}");
    assert!(error.to_string().contains("cannot be written to"), "{error}");
}
