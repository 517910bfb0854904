//! The HTTP door over real sockets, with a real plane on a folder of its own.

mod access;
mod blueprints;
mod data;
mod enhance;
mod events;
mod explain;
mod form;
mod gate;
mod goals;
mod harness;
mod openapi;
mod operators;
mod policies;
mod rpc;
mod runs;
mod sessions;
mod status;
mod tasks;
mod workspaces;
