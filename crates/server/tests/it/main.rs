//! The HTTP door over real sockets, with a real plane on a folder of its own.

mod access;
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
mod tasks;
mod workspaces;
