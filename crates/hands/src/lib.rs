//! The hands of Adjutant: processes and workspaces.
//!
//! Only this crate starts programs. It reads neither clock nor environment for itself: whoever calls says what a
//! program may see, and how long it may take.

pub mod process;

pub mod environment;

mod sweep;

pub mod git;

pub mod worktree;

pub use sweep::{sweep, sweep_prefix};
