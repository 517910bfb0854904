//! Draining what a program writes, and keeping a bounded part of it.

/// How long a line can be that is sent as it happens; the rest of a longer one is left out.
pub const LINE_BYTES_MAX: usize = 1 << 20;
