//! The directories that runs work in: git worktrees, each on its own branch.
//!
//! Making, reading, keeping and removing. Nothing here ever loses work: a tree is committed to a snapshot ref, its
//! untracked files included, before its directory goes, and a directory that is not a workspace is never removed.
//! No call moves the branch, the index or the stash of anybody.

mod create;
mod merge;
mod remove;
mod restore;
mod snapshot;
mod status;
mod submodules;
mod summary;
mod usage;

mod place;
mod registry;
mod tree;

pub(crate) use place::PlaceLock;

pub use create::{WorktreeError, WorktreeParams, create, project_check};
pub use merge::{MergeBegun, MergeError, MergeParams, MergeTrial, merge_abandon, merge_begin, merge_finish};
pub use remove::{BranchFate, Removal, RemoveError, RemoveMode, RemoveParams, remove};
pub use restore::{RestoreError, RestoreParams, Restored, restore_beside, restore_in_place};
pub use snapshot::{
    KeepLimits, LeftOut, LeftOutWhy, Snapshot, SnapshotContent, SnapshotError, SnapshotParams, snapshot_next,
    snapshots, snapshots_count,
};
pub use status::{Diff, Unsaved, WorkspaceStatus, branch_tip, diff, head, status, unsaved};
pub use submodules::{SubmoduleTrouble, fill_submodules};
pub use summary::{WorkSummary, summary};
pub use tree::tree_hash;
pub use usage::{artefacts, artefacts_remove, disk_bytes};
