//! What the tests of the other crates share, and the trials that every machine goes through.
//!
//! [`Home`] is a data folder of its own on which planes come and go, [`Repository`] a git repository with an identity
//! of its own, [`TestEnv`] a place where the built binary runs, [`TraceReceiver`] takes what is sent by OTLP. [`trial`] does to a [`trial::Scenario`] what a machine
//! must bear: each effect performed twice, failure at each step, crash at each commit.
//!
//! Nothing here depends on the machine but for the programs on its `PATH`. Integration tests use it; a unit test of a
//! crate that this one depends on would see a second copy of its own types.

pub mod environment;
pub mod github;
pub mod home;
pub mod otlp;
pub mod repository;
pub mod task;
pub mod test_env;
pub mod trial;

pub use github::FakeGithub;
pub use home::Home;
pub use otlp::{TestCa, TraceReceiver};
pub use repository::{Repository, SNAPSHOT_REF};
pub use task::{json, owner, run, start, task, turns, until};
pub use test_env::{Ran, TestEnv};
