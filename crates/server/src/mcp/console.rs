//! Tools for the daemon as a whole: how it is, and a few of its settings.

use super::tool::{Access, Asked, Effect, Tool};
use crate::answer::{Answer, Refusal};
use crate::convert;
use crate::http::console;
use adjutant_model::Value;
use adjutant_model::action::Verb;
use adjutant_protocol::{http, mcp};
use axum::extract::State;
use std::collections::BTreeMap;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    let read = Access::Verb(Verb::Read);
    vec![
        Tool::new(
            (
                "console_metrics",
                "Show the daemon at one glance",
                "Tells whether the daemon is well, what is wrong, and how many sessions stand where.",
            ),
            read,
            Effect::Reads,
            async |asked: Asked, _nothing: mcp::NoParams| Ok(console::console(State(asked.plane)).await.0),
        ),
        Tool::new(
            (
                "supervisor_status",
                "Show the fleet",
                "Counts the sessions, and tells whether agents that died by themselves are started again.",
            ),
            read,
            Effect::Reads,
            async |asked: Asked, _nothing: mcp::NoParams| {
                Ok(console::supervisor(State(asked.plane)).await?.0)
            },
        ),
        Tool::new(
            (
                "auto_resume_set",
                "Let dead agents be started again",
                "Says whether agents that died by themselves are started again, at once and after a restart.",
            ),
            Access::Verb(Verb::Operate),
            Effect::Sets,
            async |asked: Asked, params: http::AutoResumeParams| {
                let auto_resume = asked.plane.auto_resume_set(&asked.caller, params.enabled).await?;
                Ok(convert::auto_resume(auto_resume))
            },
        ),
        Tool::new(
            (
                "config_read",
                "Show the settings",
                "Shows the settings: what the file says, what holds, and what holds only after a restart.",
            ),
            read,
            Effect::Reads,
            async |asked: Asked, _nothing: mcp::NoParams| Ok(console::config(State(asked.plane)).await?.0),
        ),
        Tool::new(
            (
                "config_write",
                "Change settings",
                "Changes settings, all of them or none; what else stands in the file stays. What bounds agents a person \
                 sets: `adjutant config`.",
            ),
            Access::Verb(Verb::Own),
            Effect::Sets,
            config_write,
        ),
    ]
}

async fn config_write(asked: Asked, params: mcp::ConfigWriteParams) -> Answer<http::ConfigView> {
    let mcp::ConfigWriteParams { auto_resume, default_model, workspace_root_template } = params;
    let now = asked.plane.config_read().await?;
    let root = convert::config(&now).workspace_root_template;
    if workspace_root_template.is_some_and(|wanted| wanted != root) {
        return Err(Refusal::invalid(format!("`workspace_root_template` is `{root}` and cannot be changed")));
    }
    let mut changes = BTreeMap::new();
    if let Some(enabled) = auto_resume {
        changes.insert("sessions.auto_resume".to_owned(), Value::from(enabled));
    }
    if let Some(model) = default_model {
        let model = if model.is_empty() { Value::Null } else { Value::from(model) };
        changes.insert("sessions.default_model".to_owned(), model);
    }
    if changes.is_empty() {
        return Ok(convert::config(&now));
    }
    Ok(convert::config(&asked.plane.config_write(&asked.caller, changes).await?))
}
