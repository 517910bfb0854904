//! Who has joined: from joining to being forgotten.

use super::desk::Member;
use crate::clock;
use crate::error::EngineError;
use crate::identity;
use crate::plane::Core;
use crate::record;
use crate::worker::Secret;
use adjutant_model::action::{Caller, Role};
use adjutant_model::event::Event;
use adjutant_model::operator::Operator;
use adjutant_model::{OperatorId, Timestamp, Value};
use adjutant_rules::operator::{Presence, Standing, standing};
use adjutant_store::{Draft, Write};
use std::collections::BTreeSet;
use std::sync::Arc;

/// So many operators may have joined.
const OPERATORS_MAX: usize = 1000;
/// An operator has at most so many other names.
const ROLES_MAX: usize = 16;
/// A text that an operator says of itself is at most so long.
const TEXT_BYTES_MAX: usize = 1024;
/// What an operator says it can do is at most so long.
const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// What an operator says when it joins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JoinParams {
    /// What it is.
    pub desc: String,
    /// What it can do.
    pub capability_manifest: Option<Value>,
    /// Other names that requests may call it by; a name is one live operator's.
    pub roles: Vec<String>,
}

/// An operator that has joined, as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorInfo {
    /// What is known of it.
    pub operator: Operator,
    /// Whether its socket is open.
    pub connected: bool,
    /// When it was last heard of.
    pub seen_at: Timestamp,
}

/// Gives how an operator stands.
fn standing_of(core: &Core, presence: Presence) -> Standing {
    let spans = (core.settings.operator_lost_ms, core.settings.operator_forget_ms);
    standing(presence, spans, clock::now())
}

/// Reads the operators of the store, at the start.
pub(crate) async fn load(core: &Arc<Core>) -> Result<(), EngineError> {
    for operator in core.store.operators().await? {
        core.operators.enter(operator);
    }
    sweep(core.clone()).await.map(drop)
}

/// Takes an operator in; gives it with the token that opens its socket.
pub(crate) async fn join(
    core: &Core,
    caller: &Caller,
    params: JoinParams,
) -> Result<(Operator, Secret), EngineError> {
    match caller.role {
        Role::Host | Role::Operator => {}
        Role::Worker | Role::Observer | Role::Senior => {
            let message = format!("the role {} does not join as an operator", caller.role.as_str());
            return Err(EngineError::Forbidden(message));
        }
    }
    let JoinParams { desc, capability_manifest, roles } = checked(params)?;
    let freed = freed_roles(core, &roles)?;
    let now = clock::now();
    let (secret, token) = identity::operator_token();
    let operator = Operator {
        sid: OperatorId::new(clock::fresh_id()),
        token_id: token.id.clone(),
        desc,
        capability_manifest,
        roles,
        joined_at: now,
        seen_at: now,
    };
    let mut write = Write::default();
    write.token_put(&token);
    write.operator_put(&operator);
    for (sid, roles) in &freed {
        write.operator_roles_set(sid, roles);
    }
    let event = Event::OperatorJoined { desc: operator.desc.clone(), roles: operator.roles.clone() };
    write.journal(Draft {
        at: now,
        actor: caller.actor().into(),
        subject: operator.sid.as_str().into(),
        event,
    });
    core.store.write(write).await?;
    for (sid, roles) in freed {
        if let Some(member) = core.operators.lock().members.get_mut(&sid) {
            member.record.roles = roles;
        }
    }
    core.operators.enter(operator.clone());
    Ok((operator, secret))
}

fn checked(params: JoinParams) -> Result<JoinParams, EngineError> {
    let JoinParams { desc, capability_manifest, roles } = params;
    let is_name = |role: &String| {
        !role.trim().is_empty()
            && role.len() <= 128
            && !role.chars().any(char::is_control)
            && !role.starts_with("op_")
    };
    if desc.len() > TEXT_BYTES_MAX {
        return Err(EngineError::invalid(format!("`desc` has at most {TEXT_BYTES_MAX} bytes")));
    }
    if capability_manifest.as_ref().is_some_and(|it| it.to_string().len() > MANIFEST_BYTES_MAX) {
        let message = format!("`capability_manifest` has at most {MANIFEST_BYTES_MAX} bytes");
        return Err(EngineError::invalid(message));
    }
    if roles.len() > ROLES_MAX || !roles.iter().all(is_name) {
        let message =
            format!("`roles` are at most {ROLES_MAX} names of 1 to 128 bytes that do not begin with `op_`");
        return Err(EngineError::invalid(message));
    }
    let roles: BTreeSet<String> = roles.into_iter().collect();
    Ok(JoinParams {
        desc: record::text(&desc),
        capability_manifest: capability_manifest.as_ref().map(record::without_secrets),
        roles: roles.into_iter().collect(),
    })
}

/// Gives the operators that lose a name because they are away, with the names that are left to them.
fn freed_roles(core: &Core, roles: &[String]) -> Result<Vec<(OperatorId, Vec<String>)>, EngineError> {
    let state = core.operators.lock();
    if state.members.len() >= OPERATORS_MAX {
        return Err(EngineError::Conflict {
            message: format!("{OPERATORS_MAX} operators have joined, and no more are taken"),
            hint: Some("`DELETE /v1/operators/{sid}` lets one go".to_owned()),
        });
    }
    let mut freed = Vec::new();
    for (sid, member) in &state.members {
        let Some(role) = member.record.roles.iter().find(|role| roles.contains(role)) else { continue };
        if standing_of(core, member.presence()) == Standing::Live {
            return Err(EngineError::Conflict {
                message: format!("the role `{role}` is {sid}'s, who is there"),
                hint: Some("join under another name, or let that operator leave first".to_owned()),
            });
        }
        let left = member.record.roles.iter().filter(|role| !roles.contains(role)).cloned().collect();
        freed.push((sid.clone(), left));
    }
    Ok(freed)
}

fn info(member: &Member) -> OperatorInfo {
    let Presence { connected, seen_at } = member.presence();
    OperatorInfo { operator: member.record.clone(), connected, seen_at }
}

/// Gives an operator by its sid, when the caller may know of it: itself, or whoever reads everything.
pub(crate) fn get(core: &Core, caller: &Caller, sid: &str) -> Result<OperatorInfo, EngineError> {
    let unknown = || EngineError::not_found("operator", sid);
    let parsed: OperatorId = sid.parse().map_err(|_| unknown())?;
    let found = core.operators.lock().members.get(&parsed).map(info).ok_or_else(unknown)?;
    if standing_of(core, Presence { connected: found.connected, seen_at: found.seen_at })
        == Standing::Forgotten
    {
        return Err(unknown());
    }
    let is_own = found.operator.token_id == caller.token_id;
    match caller.role {
        Role::Host | Role::Observer => Ok(found),
        Role::Operator if is_own => Ok(found),
        Role::Operator | Role::Worker | Role::Senior => {
            Err(EngineError::Forbidden(format!("only {sid} itself and the owner may do this")))
        }
    }
}

/// Gives the operators that are known, the newest first.
pub(crate) fn list(core: &Core) -> Vec<OperatorInfo> {
    let state = core.operators.lock();
    let known =
        state.members.values().filter(|member| standing_of(core, member.presence()) != Standing::Forgotten);
    let mut known: Vec<OperatorInfo> = known.map(info).collect();
    known.reverse();
    known
}

/// Finds the operator that a request names by its sid or by one of its roles.
///
/// # Errors
/// [`EngineError::Invalid`] that names what nobody is.
pub(crate) fn find(core: &Core, field: &str, name: &str) -> Result<OperatorId, EngineError> {
    let known = list(core);
    let found = known.iter().find(|known| {
        known.operator.sid.as_str() == name || known.operator.roles.iter().any(|role| role == name)
    });
    found.map(|found| found.operator.sid.clone()).ok_or_else(|| EngineError::Invalid {
        message: format!("`{field}`: no operator `{name}` has joined"),
        hint: Some("`GET /v1/operators` lists those who have; `POST /v1/operators` joins".to_owned()),
    })
}

/// Lets an operator go: its token ends, its socket closes, its seats are vacant.
pub(crate) async fn leave(core: &Core, caller: &Caller, sid: &str) -> Result<(), EngineError> {
    let found = get(core, caller, sid)?.operator;
    if caller.role == Role::Observer {
        return Err(EngineError::Forbidden("an observer lets nobody go".to_owned()));
    }
    forget(core, &found, caller.actor(), "asked to").await
}

async fn forget(core: &Core, operator: &Operator, actor: String, reason: &str) -> Result<(), EngineError> {
    let now = clock::now();
    let mut write = Write::default();
    write.operator_remove(&operator.sid);
    write.token_end(&operator.token_id, now);
    let event = Event::OperatorLeft { reason: reason.to_owned() };
    write.journal(Draft { at: now, actor: actor.into(), subject: operator.sid.as_str().into(), event });
    core.store.write(write).await?;
    core.operators.remove(&operator.sid);
    identity::tell_ended(core, &operator.token_id);
    Ok(())
}

/// Forgets who was away for too long, and keeps when the others were heard of; gives how many were forgotten.
pub(crate) async fn sweep(core: Arc<Core>) -> Result<u64, EngineError> {
    let all: Vec<(Operator, Presence)> = {
        let state = core.operators.lock();
        state.members.values().map(|member| (member.record.clone(), member.presence())).collect()
    };
    let (mut seen, mut forgotten) = (Write::default(), 0);
    for (operator, presence) in all {
        if standing_of(&core, presence) != Standing::Forgotten {
            if presence.connected {
                seen.operator_seen(&operator.sid, presence.seen_at);
            }
            continue;
        }
        forget(&core, &operator, "plane".to_owned(), "not heard of for too long").await?;
        forgotten += 1;
    }
    if !seen.is_empty() {
        core.store.write(seen).await?;
    }
    Ok(forgotten)
}
