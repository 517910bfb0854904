//! Tools for errors of Adjutant itself, and their reports, which leave the machine by consent alone. Nobody consents at
//! this door: whoever is here is taken for a model, and a person is asked.

use super::tool::{Access, Asked, Effect, Tool};
use crate::convert;
use adjutant_engine::reports::ERRORS_DEFAULT;
use adjutant_model::action::Verb;
use adjutant_protocol::{http, mcp};

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            (
                "list_recent_errors",
                "List errors of Adjutant",
                "Lists errors of Adjutant itself, those that were seen last first. Equal ones are one.",
            ),
            Access::Verb(Verb::Read),
            Effect::Reads,
            async |asked: Asked, params: mcp::ErrorListParams| {
                let limit = params.limit.unwrap_or(ERRORS_DEFAULT);
                Ok(convert::errors(&asked.plane.errors(limit).await?))
            },
        ),
        Tool::new(
            (
                "preview_bug_report",
                "Preview a report of an error",
                "Words an issue of an error and keeps the words under a hash. Nothing leaves the machine.",
            ),
            Access::Verb(Verb::Operate),
            Effect::Sets,
            async |asked: Asked, params: mcp::ErrorParams| {
                let shown = asked.plane.error_preview(&asked.caller, &params.fingerprint).await?;
                Ok(convert::report_preview(&shown))
            },
        ),
        Tool::new(
            (
                "report_bug",
                "Report an error",
                "Previews a report; with `confirm` it also asks the owner, who sees every word, by an approval. Nothing \
                 is filed before that is approved, and nobody approves it over MCP.",
            ),
            Access::Verb(Verb::Own),
            Effect::Tells,
            async |asked: Asked, params: mcp::ReportBugParams| {
                let mcp::ReportBugParams { fingerprint, confirm, preview } = params;
                let consent = convert::consent(http::ReportParams { confirm, preview });
                let reported = asked.plane.error_report_ask(&asked.caller, &fingerprint, consent).await?;
                Ok(convert::reported(reported))
            },
        ),
    ]
}
