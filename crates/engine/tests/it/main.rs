//! The plane as a whole, with a real store, real processes and real git.

mod asks;
mod enhance;
mod goals;
mod hosting;
mod places;
mod recovery;
mod reports;
mod runs;
mod telemetry;
mod workers;

mod worker_check;
mod worker_command;
mod worker_fixture;
mod worker_lua;
