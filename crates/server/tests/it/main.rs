//! The HTTP door over real sockets, with a real plane on a folder of its own.

mod access;
mod blueprints;
mod calls;
mod data;
mod delegations;
mod enhance;
mod errors;
mod events;
mod explain;
mod form;
mod gate;
mod goals;
mod harness;
mod hooks;
mod managed;
mod openapi;
mod operators;
mod policies;
mod reruns;
mod rpc;
mod runs;
mod sessions;
mod status;
mod steps;
mod tasks;
mod workspaces;
