//! Tokens: random secrets of which the store knows only the hash.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::worker::Secret;
use adjutant_model::TokenId;
use adjutant_model::action::{Caller, Role, StepBinding, TokenRecord};
use adjutant_store::Write;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The longest life of an agent's token, in seconds: 30 days.
const TOKEN_SECS_MAX: u64 = 2_592_000;

/// Makes the owner's token and keeps its hash; the secret is for the data folder's `token` file.
pub(crate) async fn owner_token_create(core: &Core) -> Result<Secret, EngineError> {
    let (secret, record) = mint(Role::Host, Binding::default(), None);
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Makes a token that is good for one attempt of one step.
pub(crate) async fn worker_token_create(core: &Core, step: StepBinding) -> Result<Secret, EngineError> {
    let (secret, record) = mint(
        Role::Worker,
        Binding { step: Some(step), agent_id: None },
        Some(core.settings.worker_token_secs),
    );
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Draws the token of an operator that is about to join; it lives as long as the operator is known.
pub(crate) fn operator_token() -> (Secret, TokenRecord) {
    mint(Role::Operator, Binding::default(), None)
}

/// Draws a token for the worker of one attempt of a step.
pub(crate) fn step_token(step: StepBinding, lives_secs: u64) -> (Secret, TokenRecord) {
    mint(Role::Worker, Binding { step: Some(step), agent_id: None }, Some(lives_secs))
}

/// Tells whether a secret was the token of a step's worker, whose run is over by now.
pub(crate) async fn was_of_step(core: &Core, secret: &str) -> Result<bool, EngineError> {
    let token = core.store.token_by_hash(&hash(secret)).await?;
    Ok(token.is_some_and(|token| token.step.is_some() && token.revoked_at.is_some()))
}

/// Makes a token that acts as an agent and can do nothing but what an agent does.
pub(crate) async fn agent_token_create(
    core: &Core,
    caller: &Caller,
    agent_id: &str,
    ttl_secs: u64,
) -> Result<Secret, EngineError> {
    if caller.role != Role::Host {
        return Err(EngineError::Forbidden("only the owner makes tokens".to_owned()));
    }
    let agent_id = agent_id.trim();
    if agent_id.is_empty() || agent_id.len() > 256 || agent_id.chars().any(char::is_control) {
        return Err(EngineError::invalid("an agent's id has 1 to 256 bytes and no control characters"));
    }
    if !(1..=TOKEN_SECS_MAX).contains(&ttl_secs) {
        return Err(EngineError::invalid(format!("a token lives between 1 and {TOKEN_SECS_MAX} seconds")));
    }
    let binding = Binding { step: None, agent_id: Some(agent_id.into()) };
    let (secret, record) = mint(Role::Worker, binding, Some(ttl_secs));
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Gives who acts where authentication is switched off.
pub(crate) fn unauthenticated_owner() -> Caller {
    let token_id = TokenId::new(adjutant_model::id::Uuid::nil());
    Caller { token_id, role: Role::Host, step: None, agent_id: None }
}

/// What a token is bound to.
#[derive(Debug, Default)]
struct Binding {
    step: Option<StepBinding>,
    agent_id: Option<Arc<str>>,
}

/// Finds who shows a secret; `None` when it is unknown, revoked or over.
///
/// What is looked up is the secret's hash, so the time that the look-up takes tells nothing of the secret.
pub(crate) async fn authenticate(core: &Core, secret: &str) -> Result<Option<Caller>, EngineError> {
    let Some(token) = core.store.token_by_hash(&hash(secret)).await? else { return Ok(None) };
    let now = clock::now();
    let is_over = token.revoked_at.is_some() || token.expires_at.is_some_and(|at| at <= now);
    Ok((!is_over).then_some(Caller {
        token_id: token.id,
        role: token.role,
        step: token.step,
        agent_id: token.agent_id,
    }))
}

fn mint(role: Role, binding: Binding, lives_secs: Option<u64>) -> (Secret, TokenRecord) {
    let secret = clock::fresh_secret();
    let now = clock::now();
    let record = TokenRecord {
        id: TokenId::new(clock::fresh_id()),
        hash: hash(&secret),
        role,
        step: binding.step,
        agent_id: binding.agent_id,
        created_at: now,
        expires_at: lives_secs.map(|secs| now.plus_ms(secs.saturating_mul(1000))),
        revoked_at: None,
    };
    (Secret::new(secret), record)
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
