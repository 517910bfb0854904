//! The store from outside: real files, real processes, a real full disk where one can be had.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails there")]

mod fault;
mod fixtures;

mod agents;
mod backup;
mod crash;
mod disk;
mod issues;
mod lock;
mod managed;
mod memory;
mod open;
mod outputs;
mod reads;
mod registry;
mod resources;
mod restore;
mod retention;
mod retention_sessions;
mod verify;
mod writes;
