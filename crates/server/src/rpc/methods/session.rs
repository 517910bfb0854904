//! Who is connected, and what the door can do.

use super::{Answer, NAMES, params, refused};
use crate::rpc::{Authentication, Session};
use adjutant_engine::Plane;
use adjutant_engine::clients::PolicyScopeName;
use adjutant_model::action::Caller;
use adjutant_protocol::rpc::{PROTOCOL, RpcCode, RpcError};
use serde_json::{Value, json};
use std::sync::Arc;

/// Finds whose token `session.auth` shows.
pub(in crate::rpc) async fn caller(plane: &Plane, given: &Value) -> Result<Caller, RpcError> {
    let mut params = params("session.auth", given.clone())?;
    let (token, host_token) = (params.text("token")?, params.text("host_token")?);
    let agent_id = params.text("agent_id")?;
    let Some(secret) = token.or(host_token) else { return Err(params.wrong("`token` is missing")) };
    let found = plane.authenticate(&secret).await.map_err(refused("session.auth"))?;
    let caller = found.ok_or_else(|| {
        RpcError::new(RpcCode::Unauthenticated, "session.auth: the token is not good for this daemon")
            .hinted("it was revoked, is over, or belongs to another data folder")
    })?;
    match (agent_id, &caller.agent_id) {
        (Some(asked), Some(bound)) if asked != **bound => {
            let error = format!("session.auth: the token is not `{asked}`'s");
            Err(RpcError::new(RpcCode::Forbidden, error))
        }
        // A token that is bound to nobody says nothing of an agent; `runs.start` does.
        (Some(_) | None, _) => Ok(caller),
    }
}

/// Says whom the door takes the client for.
pub(in crate::rpc) fn admitted(caller: &Caller, authentication: Authentication) -> Value {
    let enabled = authentication == Authentication::Required;
    let mut answer = json!({"ok": true, "auth_enabled": enabled, "role": caller.role.as_str()});
    if let Some(agent_id) = &caller.agent_id {
        answer["agent_id"] = json!(agent_id);
    }
    answer
}

/// Gives the public name of a new connection: 12 hex digits.
pub(in crate::rpc) fn fresh_client_id() -> String {
    adjutant_engine::clock::fresh_id().simple().to_string()[20..].to_owned()
}

/// Answers `session.auth` on a connection that is known already: it stays who it is.
pub(super) async fn auth_again(session: &Arc<Session>, given: Value) -> Answer {
    let authentication = session.door.authentication;
    let own = session.connection.caller();
    if authentication == Authentication::Off {
        return Ok(admitted(own, authentication));
    }
    let shown = caller(&session.door.plane, &given).await?;
    if shown.token_id != own.token_id {
        let error = "session.auth: the connection has shown another token already";
        return Err(RpcError::new(RpcCode::Conflict, error).hinted("open another connection"));
    }
    Ok(admitted(own, authentication))
}

pub(super) fn info(session: &Session) -> Value {
    json!({
        "protocol": PROTOCOL,
        "version": session.door.plane.status().version,
        "client_id": session.connection.id(),
        "capabilities": NAMES.iter().filter(|name| !matches!(**name, "tools.execute" | "tools.cancel")).collect::<Vec<_>>(),
    })
}

/// Registers tools and rules together: all or none.
pub(super) async fn init(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("session.init", given)?;
    let tools = params.list("tools")?.unwrap_or_default();
    let policies = params.list("policies")?.unwrap_or_default();
    let tools: Vec<_> = tools.into_iter().map(adjutant_model::Value::from).collect();
    let policies: Vec<_> = policies.into_iter().map(adjutant_model::Value::from).collect();
    let refused = refused("session.init");
    session.connection.policies_check(&policies).map_err(&refused)?;
    let tools_registered = session.connection.tools_register(&tools).map_err(&refused)?;
    let policies_registered = policies.len();
    for policy in policies {
        session.connection.policy_register(policy, &PolicyScopeName::Global).await.map_err(&refused)?;
    }
    Ok(json!({
        "session_id": session.connection.id(),
        "tools_registered": tools_registered,
        "policies_registered": policies_registered,
    }))
}
