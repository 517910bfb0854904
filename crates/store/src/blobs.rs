//! Content of any size: inline while it is small, else a blob by the hash of its bytes.
//!
//! A column of content holds JSON, or `@` and the SHA-256 of the blob that has the JSON, as 64 hex digits. No JSON
//! begins with `@`, so the two cannot be taken for each other. Equal content is kept once.

use crate::reader::{ReadError, Snapshot};
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::Value;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Up to so many bytes content stays in its row.
pub(crate) const INLINE_MAX: usize = 64 * 1024;

/// Every column of content, as its table and its name. What none of these names is nobody's, so a new column of content
/// is a row here; reading one that is not is a defect.
pub(crate) const CONTENT_COLUMNS: [(&str, &str); 14] = [
    ("approvals", "parameters"),
    ("client_runs", "state"),
    ("client_turns", "record"),
    ("enhance_settings", "meta"),
    ("enhance_settings", "spawner"),
    ("operators", "manifest"),
    ("run_inputs", "input"),
    ("run_inputs", "request"),
    ("runs", "result"),
    ("step_stages", "value"),
    ("tasks", "input"),
    ("tasks", "request"),
    ("turns", "output"),
    ("turns", "parameters"),
];

fn is_known(column: &str) -> bool {
    column.split_once('.').is_some_and(|column| CONTENT_COLUMNS.contains(&column))
}

impl Write {
    /// Makes the parameter of a column of content; what is too large for the row becomes a blob of this write.
    pub(crate) fn content_put(&mut self, json: String) -> Param {
        if json.len() <= INLINE_MAX {
            return Param::from(json);
        }
        let hash = hex::encode(Sha256::digest(json.as_bytes()));
        let reference = format!("@{hash}");
        self.push(
            "INSERT INTO blobs (hash, content) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING",
            ExpectedRows::Any,
            vec![Param::from(hash), Param::Bytes(json.into_bytes().into())],
        );
        Param::from(reference)
    }
}

/// Reads a column of content, from its blob when it is one.
pub(crate) fn content_read(
    snapshot: &Snapshot<'_>,
    column: &'static str,
    text: Option<String>,
) -> Result<Option<Value>, ReadError> {
    text.map(|text| record_read(snapshot, column, text)).transpose()
}

/// Reads a column of content as the type that was written.
pub(crate) fn record_read<T: DeserializeOwned>(
    snapshot: &Snapshot<'_>,
    column: &'static str,
    text: String,
) -> Result<T, ReadError> {
    debug_assert!(is_known(column), "{column} is no column of content");
    let parsed = match text.strip_prefix('@') {
        None => serde_json::from_str(&text),
        Some(hash) => {
            let sql = "SELECT content FROM blobs WHERE hash = ?1";
            let content = snapshot.select(sql, (hash,), |row| Ok(row.get::<_, Vec<u8>>(0)?))?.pop();
            serde_json::from_slice(&content.ok_or_else(|| ReadError::unreadable(column, &text))?)
        }
    };
    parsed.map_err(|_| ReadError::unreadable(column, &text))
}
