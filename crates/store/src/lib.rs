//! The memory of Adjutant: the journal and the tables, in one SQLite database.
//!
//! [`Store`] is the one way in. A change is a [`Write`], which is a value: statements, journal drafts and the fence
//! they stand under. One thread commits what waits in one transaction, so many runs share one flush, and answers
//! each write on its own. Reads run on a pool and see snapshots. [`StoreLock`] keeps a second process out.
//!
//! Nothing outside this crate knows SQL; nothing inside it decides what a state means.

pub mod lock;
pub mod store;

pub mod write;

pub mod approvals;
pub mod blueprints;
pub mod bodies;
pub mod breakers;
mod calls;
pub mod client_runs;
pub mod context_usage;
pub mod delegations;
mod discovered;
pub mod enhance;
pub mod errors;
pub mod fault;
pub mod goals;
pub mod handoffs;
pub mod hooks;
pub mod issues;
pub mod journal;
pub mod memory;
pub mod operators;
pub mod outputs;
pub mod registry;
pub mod reports;
pub mod runs;
pub mod sessions;
pub mod tasks;
pub mod tokens;
pub mod turns;
pub mod workspaces;

pub mod backup;
pub mod check;
mod interrupt;
pub mod restore;
pub mod retention;
pub mod sizes;

pub mod commits;

mod blobs;

mod batch;
mod reader;
mod recent;
mod waiting;
mod writer;

mod dialect;
mod migrations;

pub use approvals::ApprovalResolution;
pub use backup::{BackupError, BackupMade, BackupSpec, Existing};
pub use bodies::{Bodies, Closed, Held, IncomingBody, Kept, Removing, WholeBody};
pub use check::{CheckError, CheckFinding, CheckReport, Matter};
pub use client_runs::{ClientFence, ClientRunChange};
pub use commits::CommitMeters;
pub use context_usage::ContextUsage;
pub use delegations::{DelegationEntry, DelegationFilter};
pub use fault::{CommitFault, CommitHook, DiskFault};
pub use goals::GoalFilter;
pub use interrupt::Interrupt;
pub use issues::IssueFilter;
pub use lock::{LockError, StoreLock};
pub use memory::FactFilter;
pub use outputs::OutputTotals;
pub use reader::ReadError;
pub use registry::HeadFilter;
pub use restore::{RestoreError, RestoreOrder, Staged};
pub use retention::{ContentLook, JournalLook, JournalPrefix, RunsKept, SessionDue, SessionPart};
pub use runs::{RunFilter, RunKind, RunStatusChange};
pub use sessions::{SessionEntry, SessionFilter};
pub use sizes::{KindSize, SizeKind};
pub use store::{Health, OpenError, Store, StoreOptions, StoreSizes, WriteFailure};
pub use tasks::TaskEntry;
pub use tokens::TokenFilter;
pub use turns::{Superseded, TURNS_MAX, TurnFilter, TurnPart, TurnSettlement};
pub use workspaces::WorkspaceEntry;
pub use write::{Committed, Draft, ExpectedRows, Fence, Json, Param, Statement, Write, WriteError};
