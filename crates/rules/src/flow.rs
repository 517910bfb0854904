//! The flow language.
