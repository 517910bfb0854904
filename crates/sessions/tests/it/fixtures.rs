//! Programs that depend on nothing of the machine but `PATH`, and what workspaces hold.

use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::worktree::{KeepLimits, Snapshot, SnapshotParams, snapshot_next};
use adjutant_sessions::{Outcome, ProcessSpec, process};
use adjutant_testkit::{Repository, environment};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Gives the spec of a shell script that must end within a minute.
pub(crate) fn shell(dir: &Path, script: &str) -> ProcessSpec {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec {
        env: environment::hermetic(dir),
        timeout: Some(Duration::from_secs(60)),
        ..ProcessSpec::new(argv, dir.to_owned())
    }
}

/// Runs a program that nobody cancels or listens to.
pub(crate) async fn run(spec: ProcessSpec) -> Outcome {
    process::run(spec, CancellationToken::new(), None).await.unwrap()
}

/// Takes a snapshot of the workspace of `run_1`, as after a turn.
pub(crate) async fn kept(repository: &Repository, record: &WorkspaceRecord) -> Option<Snapshot> {
    let params = SnapshotParams { record, name: "run_1", limits: KeepLimits::EVERY_TURN };
    snapshot_next(&repository.git, params).await.unwrap()
}

/// Gives everything that a directory holds but git's own: each path with what it is and its bytes.
pub(crate) fn content(dir: &Path) -> BTreeMap<PathBuf, (char, Vec<u8>)> {
    let mut found = BTreeMap::new();
    collect(dir, Path::new(""), &mut found);
    found
}

fn collect(dir: &Path, at: &Path, found: &mut BTreeMap<PathBuf, (char, Vec<u8>)>) {
    for entry in std::fs::read_dir(dir.join(at)).unwrap() {
        let entry = entry.unwrap();
        let path = at.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if path == Path::new(".git") {
            continue;
        }
        if kind.is_dir() {
            collect(dir, &path, found);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(dir.join(&path)).unwrap();
            found.insert(path, ('l', target.into_os_string().into_encoded_bytes()));
        } else {
            let is_program = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let bytes = std::fs::read(dir.join(&path)).unwrap();
            found.insert(path, (if is_program { 'x' } else { 'f' }, bytes));
        }
    }
}
