//! The doors of Adjutant: HTTP, JSON-RPC over WebSocket, and MCP.
//!
//! A door checks who asks and what the request says, and hands it to the plane; it decides nothing and keeps
//! nothing. Every error leaves in one form.

mod answer;

mod auth;

mod body;

mod convert;

mod http;

mod leftover;

mod socket;

mod operator;

mod rpc;

mod mcp;

mod offline;

mod serve;

pub use mcp::{BadMessage, McpMessage, OfflineMcp};
pub use offline::goals_mirrored;
pub use rpc::Authentication;
pub use serve::{Listeners, openapi_json, router, serve};
