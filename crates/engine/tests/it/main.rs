//! The engine from outside, with real programs, repositories and stores.

mod worker_fixture;
mod worker_lua;
