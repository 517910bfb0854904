//! The hands from outside: real processes, real git, real repositories in folders of their own.

mod fixtures;

mod descendants;
mod git;
mod process;
mod remove;
mod snapshot;
mod tree;
mod worktree;
