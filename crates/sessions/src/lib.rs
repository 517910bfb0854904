//! The hands of Adjutant: processes and git worktrees.
//!
//! Only this crate starts processes. [`process::run`] takes a program to its end and tells the truth about it;
//! [`git::Git`] is the one way to call git; [`repository`] caches remotes; [`worktree`] makes, reads, keeps and removes
//! the directories that runs and sessions work in. Nothing here reads the environment, knows of runs or decides what happens next: it is told.

pub mod environment;

pub mod process;

pub mod git;

pub mod driver;

pub mod screen;

pub mod probe;

pub mod transcript;

pub mod history;

pub mod mailbox;

pub mod repository;

pub mod worktree;

pub use environment::{PASSED_VARIABLES, environment};
pub use git::{Git, GitError, GitVersion};
pub use history::{HistoryEntry, history_write};
pub use mailbox::{Mailbox, mailbox};
pub use process::{EFFECT_VARIABLE, EndedBy, Exit, Outcome, ProcessSpec, SpawnError, Swept};
pub use worktree::{
    BranchFate, Diff, Removal, RemoveError, RemoveMode, RemoveParams, Snapshot, SnapshotParams, Unsaved,
    WorkspaceStatus, WorktreeError, WorktreeParams,
};
