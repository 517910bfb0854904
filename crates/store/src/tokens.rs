//! Tokens: who may knock, by the hash of the secret and never the secret.

use crate::reader::{ReadError, Snapshot};
use crate::store::Store;
use crate::write::{ExpectedRows, Param, Write};
use adjutant_model::action::{Role, StepBinding, TokenRecord};
use adjutant_model::run::StepPath;
use adjutant_model::{RunId, Timestamp, TokenId};
use rusqlite::Row;

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
        ];
        self.push(
            "INSERT INTO tokens (id, hash, role, run_id, path, attempt, created_at, expires_at, revoked_at, \
             agent_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            ExpectedRows::Exactly(1),
            params,
        )
    }

    /// Takes a token back; one that was taken back keeps its first instant.
    pub fn token_revoke(&mut self, token_id: &TokenId, at: Timestamp) -> &mut Self {
        self.push(
            "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1",
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

    /// Forgets the tokens that ended or were taken back before `before`.
    pub fn tokens_forget(&mut self, before: Timestamp) -> &mut Self {
        self.push(
            "DELETE FROM tokens WHERE expires_at < ?1 OR revoked_at < ?1",
            ExpectedRows::Any,
            vec![before.into()],
        )
    }
}

impl Store {
    /// Gives the token whose secret has this SHA-256, as 64 hex digits; whether it is still good is the caller's
    /// question.
    ///
    /// # Errors
    /// [`ReadError`]
    pub async fn token_by_hash(&self, hash: &str) -> Result<Option<TokenRecord>, ReadError> {
        let hash = hash.to_owned();
        self.read(move |snapshot| {
            let sql = "SELECT id, hash, role, run_id, path, attempt, created_at, expires_at, revoked_at, agent_id FROM tokens \
                       WHERE hash = ?1";
            Ok(snapshot.select(sql, (hash,), |row| token_of_row(snapshot, row))?.pop())
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
        created_at: Timestamp::from_unix_ms(row.get(6)?),
        expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_unix_ms),
        revoked_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_unix_ms),
    })
}
