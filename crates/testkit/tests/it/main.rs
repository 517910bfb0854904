//! The generic trials, done to the machines of the engine.

mod enhance;
mod flows;
mod goals;
mod handoffs;
mod operators;
mod pursuits;
mod sessions;
mod trials;
