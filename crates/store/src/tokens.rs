//! Tokens: who may knock, by the hash of the secret and never the secret.

use crate::reader::{ReadError, Snapshot, unsigned};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::action::{Role, StepBinding, TokenRecord};
use adjutant_model::run::StepPath;
use adjutant_model::{RunId, SessionId, Timestamp, TokenId};
use rusqlite::Row;

/// Which tokens; without anything all.
#[derive(Debug, Clone, Default)]
pub struct TokenFilter {
    /// Only those that let their bearer in at this instant.
    pub good_at: Option<Timestamp>,
    /// Only those that are sessions.
    pub sessions_only: bool,
    /// Not those that are bound to a step.
    pub without_steps: bool,
    /// At most so many.
    pub limit: usize,
}

impl Write {
    /// Adds a token.
    pub fn token_put(&mut self, token: &TokenRecord) -> &mut Self {
        let step = token.step.as_ref();
        let params = vec![
            Param::text(token.id.as_str()),
            Param::text(&token.hash),
            token.role.as_str().into(),
            Param::text_or_null(step.map(|step| step.run_id.as_str())),
            Param::text_or_null(step.map(|step| step.path.as_str())),
            step.map_or(Param::Null, |step| step.attempt.into()),
            token.created_at.into(),
            Param::at(token.expires_at),
            Param::at(token.revoked_at),
            Param::text_or_null(token.agent_id.as_deref()),
            token.session_id.map_or(Param::Null, |id| Param::from(id.to_string())),
            token.uses.into(),
            Param::at(token.last_seen_at),
            token.of_session.map_or(Param::Null, |id| Param::from(id.to_string())),
        ];
        self.push(
            "INSERT INTO tokens (id, hash, role, run_id, path, attempt, created_at, expires_at, revoked_at, \
             agent_id, session_id, uses, last_seen_at, of_session) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Takes a token back; one that is not there or was taken back already fails with
    /// [`crate::WriteError::RowsUnexpected`].
    pub fn token_revoke(&mut self, token_id: &TokenId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL",
            ExpectedRows::Exactly(1),
            vec![Param::text(token_id.as_str()), at.into()],
        )
    }

    /// Takes a token back, when it is there.
    pub fn token_end(&mut self, token_id: &TokenId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
            ExpectedRows::Any,
            vec![Param::text(token_id.as_str()), at.into()],
        )
    }

    /// Takes back every token that is bound to a step of the run.
    pub fn run_tokens_revoke(&mut self, run_id: &RunId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET revoked_at = ?2 WHERE run_id = ?1 AND revoked_at IS NULL",
            ExpectedRows::Any,
            vec![Param::text(run_id.as_str()), at.into()],
        )
    }

    /// Counts that a token was shown so many times more, the last time at `at`; one that was forgotten stays so.
    pub fn token_used(&mut self, token_id: &TokenId, times: u64, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET uses = uses + ?2, last_seen_at = max(coalesce(last_seen_at, ?3), ?3) WHERE id = ?1",
            ExpectedRows::Any,
            vec![Param::text(token_id.as_str()), times.into(), at.into()],
        )
    }

    /// Takes back every token that agents of a managed session bear.
    pub fn session_tokens_revoke(&mut self, session_id: SessionId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET revoked_at = ?2 WHERE of_session = ?1 AND revoked_at IS NULL",
            ExpectedRows::Any,
            vec![Param::from(session_id.to_string()), at.into()],
        )
    }

    /// Forgets the tokens that ended or were taken back before `before`.
    pub fn tokens_forget(&mut self, before: Timestamp) -> &mut Self {
        self.push(
            "DELETE FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1",
            ExpectedRows::Any,
            vec![before.into()],
        )
    }
}

const SELECT: &str = "SELECT id, hash, role, run_id, path, attempt, created_at, expires_at, revoked_at, agent_id, \
                      session_id, uses, last_seen_at, of_session FROM tokens";

impl Store {
    /// Gives the token whose secret has this SHA-256, as 64 hex digits; whether it is still good is the caller's
    /// question.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRecord>, ReadError> {
        self.token_where("hash = ?1", hash.to_owned()).await
    }

    /// Gives a token by its public name.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn token_get(&self, token_id: &TokenId) -> Result<Option<TokenRecord>, ReadError> {
        self.token_where("id = ?1", token_id.as_str().to_owned()).await
    }

    /// Gives the token that is a session.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn token_of_session(&self, session_id: SessionId) -> Result<Option<TokenRecord>, ReadError> {
        self.token_where("session_id = ?1", session_id.to_string()).await
    }

    /// Tells whether agents of a managed session were ever given a token that is not forgotten.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn session_has_token(&self, session_id: SessionId) -> Result<bool, ReadError> {
        Ok(self.token_where("of_session = ?1", session_id.to_string()).await?.is_some())
    }

    /// Gives tokens, the newest first.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn tokens(&self, filter: TokenFilter) -> Result<Vec<TokenRecord>, ReadError> {
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        let params =
            (filter.good_at.map(Timestamp::unix_ms), filter.sessions_only, filter.without_steps, limit);
        self.read(move |snapshot| {
            let sql = format!(
                "{SELECT} WHERE (?1 IS NULL OR (revoked_at IS NULL AND coalesce(expires_at, ?1 + 1) > ?1)) \
                 AND (session_id IS NOT NULL OR NOT ?2) AND (run_id IS NULL OR NOT ?3) \
                 ORDER BY created_at DESC, id DESC LIMIT ?4"
            );
            snapshot.select(&sql, params, |row| token_of_row(snapshot, row))
        })
        .await
    }

    /// Counts the tokens that [`Write::tokens_forget`] would forget.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn tokens_ended(&self, before: Timestamp) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT count(*) FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1";
            let found = snapshot.select(sql, (before.unix_ms(),), |row| Ok(unsigned(row.get(0)?)))?;
            Ok(found.into_iter().sum())
        })
        .await
    }

    /// Counts the sessions, those of one role or all, that let their bearer in at an instant.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn sessions_good(&self, role: Option<Role>, at: Timestamp) -> Result<u64, ReadError> {
        self.read(move |snapshot| {
            let sql = "SELECT count(*) FROM tokens WHERE session_id IS NOT NULL AND revoked_at IS NULL \
                       AND expires_at > ?1 AND (?2 IS NULL OR role = ?2)";
            let params = (at.unix_ms(), role.map(Role::as_str));
            let found = snapshot.select(sql, params, |row| Ok(unsigned(row.get(0)?)))?;
            Ok(found.into_iter().sum())
        })
        .await
    }

    async fn token_where(&self, is: &'static str, key: String) -> Result<Option<TokenRecord>, ReadError> {
        self.read(move |snapshot| {
            let sql = format!("{SELECT} WHERE {is}");
            Ok(snapshot.select(&sql, (key,), |row| token_of_row(snapshot, row))?.pop())
        })
        .await
    }
}

fn token_of_row(snapshot: &Snapshot<'_>, row: &Row<'_>) -> Result<TokenRecord, ReadError> {
    let role: String = row.get(2)?;
    let step = match (row.get::<_, Option<String>>(3)?, row.get::<_, Option<String>>(4)?, row.get(5)?) {
        (Some(run_id), Some(path), Some(attempt)) => Some(StepBinding {
            run_id: snapshot.parse("tokens.run_id", &run_id)?,
            path: StepPath::new(path),
            attempt,
        }),
        _ => None,
    };
    Ok(TokenRecord {
        id: snapshot.parse("tokens.id", &row.get::<_, String>(0)?)?,
        hash: row.get(1)?,
        role: Role::parse(&role).ok_or_else(|| ReadError::unreadable("tokens.role", &role))?,
        step,
        agent_id: row.get::<_, Option<String>>(9)?.map(Into::into),
        session_id: row
            .get::<_, Option<String>>(10)?
            .map(|id| snapshot.parse("tokens.session_id", &id))
            .transpose()?,
        created_at: Timestamp::from_unix_ms(row.get(6)?),
        expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_unix_ms),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_unix_ms),
        uses: unsigned(row.get(11)?),
        last_seen_at: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_unix_ms),
        of_session: row
            .get::<_, Option<String>>(13)?
            .map(|id| snapshot.parse("tokens.of_session", &id))
            .transpose()?,
    })
}
