//! The hands from outside: real processes, real git, real repositories in folders of their own.

#![expect(
    clippy::unwrap_used,
    reason = "what a test's helper does not get ends the test, as in the test itself"
)]

mod fixtures;
mod hosted;
mod terminal_fixture;

mod acp;
mod descendants;
mod git;
mod headless;
mod lost;
mod merge;
mod probe;
mod process;
mod pty;
mod real;
mod remove;
mod repository;
mod snapshot;
mod tmux;
mod tree;
mod worktree;
