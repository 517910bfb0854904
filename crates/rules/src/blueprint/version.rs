//! A document's version: the hash of its one canonical text.

use adjutant_model::Value;
use sha2::{Digest, Sha256};

/// Writes a value in the one form of RFC 8785: keys in order, no blanks, numbers in their shortest form.
pub fn canonical(value: &Value) -> String {
    serde_json_canonicalizer::to_string(value).expect("a value holds finite numbers and string keys alone")
}

/// Gives the version of a document: SHA-256 over its canonical text as 64 hex digits.
pub fn hash(value: &Value) -> String {
    version_of(&canonical(value))
}

/// Gives the version of a document by its canonical text: SHA-256 as 64 hex digits.
pub fn version_of(canonical: &str) -> String {
    hex::encode(Sha256::digest(canonical))
}
