//! The directories that runs work in: git worktrees, each on its own branch.
//!
//! Making, reading, keeping and removing. Nothing here ever loses work: a tree is committed to a snapshot ref, its
//! untracked files included, before its directory goes, and a directory that is not a workspace is never removed.
//! No call moves the branch, the index or the stash of anybody.

mod create;
mod remove;
mod restore;
mod snapshot;
mod status;

mod place;
mod registry;
mod tree;

pub(crate) use place::PlaceLock;

pub use create::{WorktreeError, WorktreeParams, create, project_check};
pub use remove::{BranchFate, Removal, RemoveError, RemoveMode, RemoveParams, remove};
pub use restore::{RestoreError, RestoreParams, Restored, restore_beside, restore_in_place};
pub use snapshot::{
    KeepLimits, LeftOut, LeftOutWhy, Snapshot, SnapshotContent, SnapshotError, SnapshotParams, snapshot_next,
    snapshots, snapshots_count,
};
pub use status::{Diff, Unsaved, WorkspaceStatus, diff, head, status, unsaved};
pub use tree::tree_hash;
