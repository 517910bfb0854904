//! Blueprints: every document that was ever run or registered, by the hash of its canonical JSON.

use crate::reader::ReadError;
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};

impl Write {
    /// Keeps a version: `hash` is the SHA-256 of `canonical_json` as 64 hex digits, `id` the blueprint's own id. A
    /// version that is there already stays as it is.
    pub fn blueprint_put(&mut self, hash: &str, id: &str, canonical_json: &str) -> &mut Self {
        self.push(
            "INSERT INTO blueprints (hash, id, document) VALUES (?1, ?2, ?3) ON CONFLICT (hash) DO NOTHING",
            ExpectedRows::Any,
            vec![Param::text(hash), Param::text(id), Param::text(canonical_json)],
        )
    }
}

impl Store {
    /// Gives the canonical JSON of a version.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn blueprint_get(&self, hash: &str) -> Result<Option<String>, ReadError> {
        let hash = hash.to_owned();
        self.read(move |snapshot| {
            let sql = "SELECT document FROM blueprints WHERE hash = ?1";
            Ok(snapshot.select(sql, (hash,), |row| Ok(row.get(0)?))?.pop())
        })
        .await
    }
}
