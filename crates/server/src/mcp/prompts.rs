//! Prompts: how work is given away, reviewed and verified, for a client's model to begin with.

use crate::answer::{Answer, Refusal};
use adjutant_protocol::ErrorCode;
use rmcp::model::{GetPromptResult, JsonObject, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::Value;

/// A prompt: a text with places that arguments fill.
struct Template {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    /// Name, what it is, and what stands there when it is not said; without that it has to be.
    arguments: &'static [(&'static str, &'static str, Option<&'static str>)],
    text: &'static str,
}

const TEMPLATES: [Template; 3] = [
    Template {
        name: "delegate",
        title: "Give work away",
        description: "Splits work into pieces and gives each to an agent.",
        arguments: &[
            ("work", "What is to be done.", None),
            ("session_id", "The session that gives it away.", Some("yours, from `session_list`")),
        ],
        text: "Give this work to other agents:\n\n{work}\n\nSplit it into pieces that do not touch the same files. For \
               each piece call `agent_delegate` with the session {session_id}, an agent's name, a task that says \
               everything its agent needs to know (it sees the repository and nothing else) and how it is proved to be \
               done, and a tier: haiku for small mechanical work, sonnet for most, opus for what is hard. A delegation \
               that is `queued` waits for a person: say so, and do not ask again. `session_status` shows how each \
               ended. Do not do the work yourself.",
    },
    Template {
        name: "review",
        title: "Review a session's work",
        description: "Looks at what a session has done and says what is wrong with it.",
        arguments: &[("session_id", "The session whose work it is.", None)],
        text: "Review the work of the session {session_id}. `session_status` tells its task, `session_activity` what \
               its agent does. Read the diff in its workspace against its task: what is missing, what is wrong, what \
               is not tested, what was changed that nobody asked for. Judge what you have read, not what its agent says \
               of itself. Tell the agent with `session_send` what it has to change, each point with its file and line; \
               say nothing when there is nothing.",
    },
    Template {
        name: "verify",
        title: "Verify that something is done",
        description: "Proves by checks that what was wanted is there.",
        arguments: &[("goal", "What was wanted, or a goal's id.", None)],
        text: "Verify whether this is done: {goal}\n\nEvidence is a check that Adjutant has run on the tree as it is \
               now, never what an agent says. For a goal run its checks and close it; a refusal names what is missing. \
               Without a goal make one with a check for each thing that was wanted. Report each criterion as proved or \
               not, with what proved it.",
    },
];

/// Gives all prompts.
pub(super) fn list() -> Vec<Prompt> {
    TEMPLATES.iter().map(listed).collect()
}

fn listed(template: &Template) -> Prompt {
    let argument = |(name, description, default): &(&str, &str, Option<&str>)| {
        PromptArgument::new(*name).with_description(*description).with_required(default.is_none())
    };
    let arguments = template.arguments.iter().map(argument).collect();
    Prompt::new(template.name, Some(template.description), Some(arguments)).with_title(template.title)
}

/// Tells whether there is such a prompt with such an argument.
pub(super) fn has(name: &str, argument: &str) -> bool {
    let is_it = |template: &&Template| template.name == name;
    TEMPLATES.iter().find(is_it).is_some_and(|it| it.arguments.iter().any(|known| known.0 == argument))
}

/// Fills a prompt.
pub(super) fn get(name: &str, given: JsonObject) -> Answer<GetPromptResult> {
    let Some(template) = TEMPLATES.iter().find(|template| template.name == name) else {
        let shown: String = name.chars().take(80).collect();
        return Err(Refusal::new(ErrorCode::InvalidRequest, format!("there is no prompt `{shown}`")));
    };
    if let Some(unknown) = given.keys().find(|name| !template.arguments.iter().any(|known| known.0 == *name))
    {
        return Err(Refusal::invalid(format!("the prompt `{name}` has no argument `{unknown}`")));
    }
    let mut text = template.text.to_owned();
    for (name, _, default) in template.arguments {
        let said = match given.get(*name) {
            None => default.ok_or_else(|| Refusal::invalid(format!("the argument `{name}` is missing")))?,
            Some(Value::String(said)) => said,
            Some(_) => return Err(Refusal::invalid(format!("the argument `{name}` is a text"))),
        };
        text = text.replace(&format!("{{{name}}}"), said);
    }
    let message = PromptMessage::new_text(Role::User, text);
    Ok(GetPromptResult::new(vec![message]).with_description(template.description))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_of_a_prompt_is_filled_and_nothing_else_is_taken() {
        for template in &TEMPLATES {
            let given = template.arguments.iter().map(|(name, ..)| ((*name).to_owned(), json!("it")));
            let filled = get(template.name, given.collect()).expect("it is filled");
            let text = serde_json::to_string(&filled.messages).expect("JSON");
            assert!(!text.contains('{') || !text.contains("{work}"), "{text}");
            let missing = get(template.name, JsonObject::new()).expect_err("something has to be said");
            assert!(missing.error().error.contains(template.arguments[0].0));
            let more = [("x".to_owned(), json!("y"))].into_iter().collect();
            assert!(get(template.name, more).is_err());
        }
        assert!(get("nope", JsonObject::new()).is_err());
    }
}
