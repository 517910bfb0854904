//! Completions: which values an argument of a prompt, or a place in an address, may have.

use super::prompts;
use super::resources::{self, GUIDES};
use crate::answer::{Answer, Refusal};
use adjutant_engine::Plane;
use adjutant_model::action::{Caller, Verb};
use adjutant_protocol::ErrorCode;
use rmcp::model::{CompleteRequestParams, CompletionInfo, Reference};

/// Gives the values that begin with what is written already, the newest first; to whoever may not look there are none.
pub(super) async fn complete(
    plane: &Plane,
    caller: &Caller,
    request: &CompleteRequestParams,
) -> Answer<CompletionInfo> {
    let (argument, written) = (request.argument.name.as_str(), request.argument.value.as_str());
    let is_known = match &request.r#ref {
        Reference::Prompt(prompt) => prompts::has(&prompt.name, argument),
        Reference::Resource(template) => resources::templates().iter().any(|known| {
            known.uri_template == template.uri && known.uri_template.contains(&format!("{{{argument}}}"))
        }),
        _ => false,
    };
    if !is_known {
        let shown: String = argument.chars().take(80).collect();
        let error = format!("there is no such prompt or address with an argument `{shown}`");
        return Err(Refusal::new(ErrorCode::InvalidRequest, error));
    }
    let mut values = values(plane, caller, argument).await?;
    values.retain(|value| value.starts_with(written));
    let total = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.truncate(CompletionInfo::MAX_VALUES);
    let has_more = total as usize > values.len();
    Ok(CompletionInfo::with_pagination(values, Some(total), has_more).expect("no more than may be"))
}

async fn values(plane: &Plane, caller: &Caller, argument: &str) -> Answer<Vec<String>> {
    match argument {
        "name" => Ok(GUIDES.iter().map(|guide| guide.0.to_owned()).collect()),
        _ if !plane.may(caller, Verb::Read) => Ok(Vec::new()),
        "session_id" => resources::session_ids(plane).await,
        "run_id" => resources::run_ids(plane).await,
        "blueprint_id" => resources::blueprint_ids(plane).await,
        "goal" | "goal_id" => resources::goal_ids(plane).await,
        _ => Ok(Vec::new()),
    }
}
