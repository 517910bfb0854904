//! Tokens: random secrets of which the store knows only the hash.
//!
//! How often a token was shown is counted here and kept every few seconds, so that no request waits for a write; a
//! daemon that is killed forgets the last of these counts and nothing else.

use crate::clock;
use crate::error::EngineError;
use crate::plane::Core;
use crate::record;
use crate::worker::Secret;
use adjutant_model::TokenId;
use adjutant_model::action::{Caller, Role, StepBinding, TokenRecord, Verb};
use adjutant_model::event::Event;
use adjutant_model::{SessionId, Timestamp};
use adjutant_rules::access;
use adjutant_store::{Draft, TokenFilter, Write, WriteError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast::{self, error::RecvError};

/// The longest life of an agent's token, in seconds: 30 days.
pub(crate) const TOKEN_SECS_MAX: u64 = 2_592_000;
/// A token is forgotten so long after its end.
const FORGOTTEN_AFTER_MS: u64 = 24 * 60 * 60 * 1000;
/// So many ends of tokens may be told before somebody who waits has heard of them; beyond it they look for themselves.
const ENDED_MAX: usize = 64;

/// What the plane knows of tokens besides the store.
#[derive(Debug)]
pub(crate) struct Tokens {
    /// How often each was shown since that was last kept, and when last.
    uses: Mutex<HashMap<TokenId, (u64, Timestamp)>>,
    /// Tells those who let somebody in which tokens were taken back.
    revoked: broadcast::Sender<TokenId>,
}

impl Default for Tokens {
    fn default() -> Self {
        Tokens { uses: Mutex::default(), revoked: broadcast::Sender::new(ENDED_MAX) }
    }
}

impl Tokens {
    fn used(&self, token_id: &TokenId, times: u64, at: Timestamp) {
        let mut uses = self.lock();
        let (count, last) = uses.entry(token_id.clone()).or_insert((0, at));
        *count += times;
        *last = at.max(*last);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TokenId, (u64, Timestamp)>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the owner's token and keeps its hash; the secret is for the data folder's `token` file.
pub(crate) async fn owner_token_create(core: &Core) -> Result<Secret, EngineError> {
    let (secret, made) = mint(Role::Host, Binding::default(), None);
    let mut write = Write::default();
    write.token_put(&made);
    core.store.write(write).await?;
    record::owner_known(secret.reveal());
    Ok(secret)
}

/// Makes a token that is good for one attempt of one step.
pub(crate) async fn worker_token_create(core: &Core, step: StepBinding) -> Result<Secret, EngineError> {
    let (secret, record) = mint(
        Role::Worker,
        Binding { step: Some(step), ..Binding::default() },
        Some(core.settings.worker_token_secs),
    );
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Draws the token that a managed session's agent, its hooks and its children bear; it lives until it is taken back.
pub(crate) fn session_token(session_id: SessionId) -> (Secret, TokenRecord) {
    mint(Role::Worker, Binding { of_session: Some(session_id), ..Binding::default() }, None)
}

/// Draws the token of an operator that is about to join; it lives as long as the operator is known.
pub(crate) fn operator_token() -> (Secret, TokenRecord) {
    mint(Role::Operator, Binding::default(), None)
}

/// Draws a token for the worker of one attempt of a step.
pub(crate) fn step_token(step: StepBinding, lives_secs: u64) -> (Secret, TokenRecord) {
    mint(Role::Worker, Binding { step: Some(step), ..Binding::default() }, Some(lives_secs))
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
    let binding = Binding { agent_id: Some(agent_id_read(agent_id)?), ..Binding::default() };
    let (secret, record) = mint(Role::Worker, binding, Some(ttl_read("token", ttl_secs)?));
    let mut write = Write::default();
    write.token_put(&record);
    core.store.write(write).await?;
    Ok(secret)
}

/// Reads what a token's bearer is called.
pub(crate) fn agent_id_read(text: &str) -> Result<Arc<str>, EngineError> {
    let text = text.trim();
    if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        return Err(EngineError::invalid("an agent's id has 1 to 256 bytes and no control characters"));
    }
    Ok(text.into())
}

/// Reads how many seconds a `what` lives.
pub(crate) fn ttl_read(what: &str, secs: u64) -> Result<u64, EngineError> {
    match secs {
        1..=TOKEN_SECS_MAX => Ok(secs),
        _ => Err(EngineError::invalid(format!(
            "a {what} lives between 1 and {TOKEN_SECS_MAX} seconds (30 days), not {secs}"
        ))),
    }
}

/// Gives who acts where authentication is switched off.
pub(crate) fn unauthenticated_owner() -> Caller {
    let token_id = TokenId::new(adjutant_model::id::Uuid::nil());
    Caller { token_id, role: Role::Host, step: None, agent_id: None, name: None, of_session: None }
}

/// What a token is bound to.
#[derive(Debug, Default)]
pub(crate) struct Binding {
    pub(crate) step: Option<StepBinding>,
    pub(crate) agent_id: Option<Arc<str>>,
    pub(crate) session_id: Option<SessionId>,
    pub(crate) of_session: Option<SessionId>,
}

/// Finds who shows a secret; `None` when it is unknown, revoked or over.
///
/// What is looked up is the secret's hash, so the time that the look-up takes tells nothing of the secret.
pub(crate) async fn authenticate(core: &Core, secret: &str) -> Result<Option<Caller>, EngineError> {
    let Some(token) = core.store.token_by_hash(&hash(secret)).await? else { return Ok(None) };
    let now = clock::now();
    if !token.is_good(now) {
        return Ok(None);
    }
    core.tokens.used(&token.id, 1, now);
    let caller = caller_of(token);
    if caller.role == Role::Host {
        record::owner_known(secret);
    }
    Ok(Some(caller))
}

pub(crate) fn caller_of(token: TokenRecord) -> Caller {
    let (agent_id, name) = match token.role {
        Role::Worker => (token.agent_id, None),
        Role::Host | Role::Operator | Role::Observer | Role::Senior => (None, token.agent_id),
    };
    let (role, step, of_session) = (token.role, token.step, token.of_session);
    Caller { token_id: token.id, role, step, agent_id, name, of_session }
}

/// Gives the token of a secret, whether it is still good or not.
pub(crate) async fn shown(core: &Core, secret: &str) -> Result<Option<TokenRecord>, EngineError> {
    Ok(core.store.token_by_hash(&hash(secret)).await?)
}

/// Gives tokens with what is counted of them, the newest first.
pub(crate) async fn list(core: &Core, filter: TokenFilter) -> Result<Vec<TokenRecord>, EngineError> {
    let mut tokens = core.store.tokens(filter).await?;
    let uses = core.tokens.lock();
    tokens.iter_mut().for_each(|token| count(&uses, token));
    Ok(tokens)
}

/// Adds what is counted of a token and not kept yet.
fn count(uses: &HashMap<TokenId, (u64, Timestamp)>, token: &mut TokenRecord) {
    if let Some((times, at)) = uses.get(&token.id) {
        token.uses += times;
        token.last_seen_at = token.last_seen_at.max(Some(*at));
    }
}

/// Takes a token back for its owner, who keeps the one that is shown for that.
pub(crate) async fn revoke(
    core: &Core,
    caller: &Caller,
    token_id: &TokenId,
) -> Result<TokenRecord, EngineError> {
    if !access::may(caller.role, Verb::Own) {
        return Err(EngineError::Forbidden("only the owner takes tokens back".to_owned()));
    }
    if caller.token_id == *token_id {
        return Err(EngineError::Conflict {
            message: format!("{token_id} is the token that you show"),
            hint: Some(
                "stop the daemon and remove the file `token`: its next start makes another".to_owned(),
            ),
        });
    }
    let token =
        core.store.token_get(token_id).await?.ok_or_else(|| EngineError::not_found("token", token_id))?;
    if !end(core, caller, &token).await? {
        return Err(EngineError::Conflict {
            message: format!("{token_id} was taken back already"),
            hint: None,
        });
    }
    let token = core.store.token_get(token_id).await?;
    let mut token = token.ok_or_else(|| EngineError::not_found("token", token_id))?;
    count(&core.tokens.lock(), &mut token);
    Ok(token)
}

/// Takes a token back, and with it the session that it is; tells whether nobody had done so before.
pub(crate) async fn end(core: &Core, caller: &Caller, token: &TokenRecord) -> Result<bool, EngineError> {
    let now = clock::now();
    let (subject, event) = match token.session_id {
        Some(session_id) => (session_id.to_string().into(), Event::SessionDetached {}),
        None => ((&token.id).into(), Event::TokenRevoked {}),
    };
    let mut write = Write::default();
    write.token_revoke(&token.id, now);
    write.journal(Draft { at: now, actor: caller.actor().into(), subject, event });
    match core.store.write(write).await {
        Ok(_) => {}
        Err(WriteError::RowsUnexpected { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    tell_ended(core, &token.id);
    Ok(true)
}

/// Tells those who let somebody in by a token that it was taken back.
pub(crate) fn tell_ended(core: &Core, token_id: &TokenId) {
    // Without anybody who was let in by it there is nobody to tell.
    let _nobody_hears = core.tokens.revoked.send(token_id.clone());
}

/// Returns when a caller's token lets nobody in any more.
///
/// Whoever stops waiting changes nothing.
pub(crate) async fn ended(core: &Core, caller: &Caller) {
    let mut heard = core.tokens.revoked.subscribe();
    loop {
        let pause = match core.store.token_get(&caller.token_id).await {
            Ok(Some(token)) if !token.is_good(clock::now()) => return,
            Ok(Some(token)) => token.expires_at,
            // Where authentication is off there is no token; and a store that cannot be read ends nothing.
            Ok(None) | Err(_) => None,
        };
        let over = async {
            match pause {
                Some(at) => tokio::time::sleep(clock::until(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = hear(&mut heard, &caller.token_id) => {}
            () = over => {}
        }
    }
}

/// Returns when a token may have been taken back.
async fn hear(heard: &mut broadcast::Receiver<TokenId>, token_id: &TokenId) {
    loop {
        match heard.recv().await {
            Ok(other) if other != *token_id => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

/// Keeps how often tokens were shown since the last time.
pub(crate) async fn uses_keep(core: Arc<Core>) -> Result<u64, EngineError> {
    let uses = std::mem::take(&mut *core.tokens.lock());
    if uses.is_empty() {
        return Ok(0);
    }
    let mut write = Write::default();
    for (token_id, (times, at)) in &uses {
        write.token_used(token_id, *times, *at);
    }
    if let Err(error) = core.store.write(write).await {
        for (token_id, (times, at)) in &uses {
            core.tokens.used(token_id, *times, *at);
        }
        return Err(error.into());
    }
    Ok(uses.len() as u64)
}

/// Forgets tokens that ended a day ago.
pub(crate) async fn forget_old(core: Arc<Core>) -> Result<u64, EngineError> {
    let before = Timestamp::from_unix_ms(clock::now().unix_ms() - FORGOTTEN_AFTER_MS.cast_signed());
    let count = core.store.tokens_ended(before).await?;
    if count > 0 {
        let mut write = Write::default();
        write.tokens_forget(before);
        core.store.write(write).await?;
    }
    Ok(count)
}

pub(crate) fn mint(role: Role, binding: Binding, lives_secs: Option<u64>) -> (Secret, TokenRecord) {
    let secret = clock::fresh_secret();
    let now = clock::now();
    let record = TokenRecord {
        id: TokenId::new(clock::fresh_id()),
        hash: hash(&secret),
        role,
        step: binding.step,
        agent_id: binding.agent_id,
        session_id: binding.session_id,
        of_session: binding.of_session,
        created_at: now,
        expires_at: lives_secs.map(|secs| now.plus_ms(secs.saturating_mul(1000))),
        revoked_at: None,
        uses: 0,
        last_seen_at: None,
    };
    (Secret::new(secret), record)
}

fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
