//! What a connection registers: tools, rules, scopes of rules, state.

use super::{Answer, params, refused};
use crate::rpc::Session;
use crate::rpc::params::invalid;
use adjutant_engine::clients::PolicyScopeName;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn tools_register(session: &Session, given: Value) -> Answer {
    // The tools themselves, or an object that names them.
    let tools = match given {
        Value::Array(tools) => tools,
        given => params("tools.register", given)?
            .list("tools")?
            .ok_or_else(|| invalid("tools.register", "its parameters are a list of tools"))?,
    };
    let tools: Vec<_> = tools.into_iter().map(adjutant_model::Value::from).collect();
    let count = session.connection.tools_register(&tools).map_err(refused("tools.register"))?;
    Ok(json!(count))
}

pub(super) fn tools_unregister(session: &Session, given: Value) -> Answer {
    let names = match given {
        Value::Array(names) => names,
        given => {
            let mut params = params("tools.unregister", given)?;
            match params.list("names")? {
                Some(names) => names,
                None => vec![Value::String(params.required_text("name")?)],
            }
        }
    };
    let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    let names = names.ok_or_else(|| invalid("tools.unregister", "names are texts"))?;
    Ok(json!(session.connection.tools_unregister(&names)))
}

pub(super) fn tools_list(session: &Session) -> Value {
    json!({"tools": session.connection.tools()})
}

pub(super) async fn policy_register(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("policy.register", given)?;
    let scope = match params.text("session_id")? {
        Some(id) => PolicyScopeName::Session(id),
        None => PolicyScopeName::Global,
    };
    let rule = adjutant_model::Value::from(Value::Object(params.rest()));
    let registered =
        session.connection.policy_register(rule, &scope).await.map_err(refused("policy.register"))?;
    Ok(json!({"registered": registered, "scope": scope_json(&scope)}))
}

pub(super) fn policy_list(session: &Session) -> Value {
    let policies: Vec<Value> = session
        .connection
        .policies()
        .into_iter()
        .map(|(scope, name, rule)| json!({"name": name, "scope": scope_json(&scope), "rule": rule}))
        .collect();
    json!({"policies": policies})
}

pub(super) fn policy_remove(session: &Session, given: Value) -> Answer {
    let name = params("policy.remove", given)?.required_text("name")?;
    Ok(json!({"removed": session.connection.policy_remove(&name)}))
}

fn scope_json(scope: &PolicyScopeName) -> Value {
    match scope {
        PolicyScopeName::Global => json!("global"),
        PolicyScopeName::Session(id) => json!({"session_id": id}),
    }
}

pub(super) async fn session_open(session: &Session) -> Value {
    json!({"session_id": session.connection.policy_session_open().await})
}

pub(super) async fn session_close(session: &Session, given: Value) -> Answer {
    let id = params("session.policy.close", given)?.required_text("session_id")?;
    Ok(json!({"closed": session.connection.policy_session_close(&id).await}))
}

pub(super) fn state_get(session: &Session, given: Value) -> Answer {
    let key = params("state.get", given)?.required_text("key")?;
    Ok(json!(session.connection.state().get(&key)))
}

pub(super) fn state_exists(session: &Session, given: Value) -> Answer {
    let key = params("state.exists", given)?.required_text("key")?;
    Ok(json!(session.connection.state().exists(&key)))
}

pub(super) fn state_keys(session: &Session) -> Value {
    json!(session.connection.state().keys().collect::<Vec<_>>())
}

pub(super) fn state_snapshot(session: &Session) -> Value {
    json!(session.connection.state().snapshot())
}

pub(super) async fn state_set(session: &Arc<Session>, given: Value) -> Answer {
    let mut params = params("state.set", given)?;
    let (key, value) = (params.required_text("key")?, params.required("value")?);
    session.connection.state_set(key.into(), value.into()).await.map_err(refused("state.set"))?;
    Ok(json!("ok"))
}
