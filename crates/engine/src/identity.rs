//! Tokens: random secrets of which the store knows only the hash.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::worker::Secret;
use adjutant_model::TokenId;
use adjutant_model::action::{Caller, Role, StepBinding, TokenRecord};
use adjutant_store::Write;
use sha2::{Digest, Sha256};

/// Makes the owner's token and keeps its hash; the secret is for the data folder's `token` file.
pub(crate) async fn owner_token_create(core: &Core) -> Result<Secret, EngineError> {
    let (secret, record) = mint(Role::Host, None, None);
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Makes a token that is good for one attempt of one step.
pub(crate) async fn worker_token_create(core: &Core, step: StepBinding) -> Result<Secret, EngineError> {
    let (secret, record) = mint(Role::Worker, Some(step), Some(core.settings.worker_token_secs));
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Finds who shows a secret; `None` when it is unknown, revoked or over.
///
/// What is looked up is the secret's hash, so the time that the look-up takes tells nothing of the secret.
pub(crate) async fn authenticate(core: &Core, secret: &str) -> Result<Option<Caller>, EngineError> {
    let Some(token) = core.store.token_by_hash(&hash(secret)).await? else { return Ok(None) };
    let now = clock::now();
    let is_over = token.revoked_at.is_some() || token.expires_at.is_some_and(|at| at <= now);
    Ok((!is_over).then_some(Caller { token_id: token.id, role: token.role, step: token.step }))
}

fn mint(role: Role, step: Option<StepBinding>, lives_secs: Option<u64>) -> (Secret, TokenRecord) {
    let secret = clock::fresh_secret();
    let now = clock::now();
    let record = TokenRecord {
        id: TokenId::new(clock::fresh_id()),
        hash: hash(&secret),
        role,
        step,
        created_at: now,
        expires_at: lives_secs.map(|secs| now.plus_ms(secs.saturating_mul(1000))),
        revoked_at: None,
    };
    (Secret::new(secret), record)
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
