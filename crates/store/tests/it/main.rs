//! The store from outside: real files, real processes, a real full disk where one can be had.

mod fixtures;

mod crash;
mod disk;
mod lock;
mod open;
mod reads;
mod resources;
mod verify;
mod writes;
