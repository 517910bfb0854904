//! A document's version: the hash of its one canonical text.

use adjutant_model::Value;
use sha2::{Digest, Sha256};

/// Writes a value in the one form of RFC 8785: keys in order, no blanks, numbers in their shortest form.
pub fn canonical(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value).expect("a value holds finite numbers and string keys alone")
}

/// Gives SHA-256 over the canonical text as 64 hex digits.
pub fn hash(value: &Value) -> String {
    hex::encode(Sha256::digest(canonical(value)))
}
