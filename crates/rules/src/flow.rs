//! The flow language: read it, compile it, run it as a pure machine.
//!
//! [`read`] takes a document to a tree, [`Program::compile`] takes the tree to a table of operations, and
//! [`FlowState::step`] takes one event to the next state and the effects that follow. Everything that a run
//! does to the world is an effect with a key, its step's path and attempt; everything the world answers is an
//! event. Folding the same events over the same program and context gives the same state, which is what
//! recovery does.

pub mod read;

mod path;

mod expr;

mod program;

mod machine;

mod context;

pub mod calls;

pub use context::first_context;
pub use expr::{EvalError, evaluate};
pub use machine::{FlowEffect, FlowEnd, FlowEvent, FlowState};
pub use path::{InvalidCtxPath, parse as parse_path};
pub use program::{Program, Unit, UnitId};
