//! How full a session has last said that its context is.

use crate::reader::{ReadError, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Write};
use adjutant_model::{SessionId, Timestamp};
use std::collections::HashMap;

/// What has not been said again for so long is forgotten, in milliseconds.
const FORGET_MS: i64 = 30 * 24 * 3600 * 1000;

/// How full a context is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContextUsage {
    /// Tokens that it holds.
    pub used_tokens: u64,
    /// Tokens that it can hold.
    pub window_tokens: u64,
    /// When that was said.
    pub at: Timestamp,
}

impl Write {
    /// Keeps how full a session's context is, over what was said of it before.
    pub fn context_usage_put(&mut self, session: SessionId, usage: ContextUsage) -> &mut Self {
        let forgotten = Timestamp::from_unix_ms(usage.at.unix_ms() - FORGET_MS);
        self.push("DELETE FROM context_usage WHERE at < ?1", ExpectedRows::Any, vec![forgotten.into()]);
        let params = vec![
            session.to_string().into(),
            usage.used_tokens.into(),
            usage.window_tokens.into(),
            usage.at.into(),
        ];
        self.push(
            "INSERT INTO context_usage (session, used, window, at) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (session) DO UPDATE SET used = ?2, window = ?3, at = ?4",
            ExpectedRows::Exactly(1),
            params,
        )
    }
}

impl Store {
    /// Gives how full a session has last said that its context is.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn context_usage(&self, session: SessionId) -> Result<Option<ContextUsage>, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT used, window, at FROM context_usage WHERE session = ?1";
            let usage = snapshot.select(sql, (session.to_string(),), |row| {
                Ok(ContextUsage {
                    used_tokens: unsigned(row.get(0)?),
                    window_tokens: unsigned(row.get(1)?),
                    at: Timestamp::from_unix_ms(row.get(2)?),
                })
            })?;
            Ok(usage.first().copied())
        })
        .await
    }

    /// Gives how full each session has last said that its context is.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn context_usages(&self) -> Result<HashMap<SessionId, ContextUsage>, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT used, window, at, session FROM context_usage";
            let said = snapshot.select(sql, (), |row| {
                let usage = ContextUsage {
                    used_tokens: unsigned(row.get(0)?),
                    window_tokens: unsigned(row.get(1)?),
                    at: Timestamp::from_unix_ms(row.get(2)?),
                };
                let session: String = row.get(3)?;
                let unreadable = |_| ReadError::unreadable("context_usage.session", &session);
                Ok((session.parse().map_err(unreadable)?, usage))
            })?;
            Ok(said.into_iter().collect())
        })
        .await
    }
}
