//! The wire: types, error codes and the client that the faces use.
//!
//! A client builds against this crate alone, without the engine.

pub mod error;

pub mod http;

pub mod discovery;

pub mod mcp;
pub mod operator;
pub mod rpc;

pub mod client;

mod escape;

mod object;

mod sse;

pub use client::{Archived, BlueprintSaid, Client, ClientError, EventStream, McpMessages, UnsavedWork};
pub use error::{ApiError, ErrorCode, ExitCode};
pub use escape::escaped;
pub use object::Object;
