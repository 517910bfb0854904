//! Resources: what a client's model may read without calling a tool.
//!
//! | address | what |
//! | --- | --- |
//! | `adjutant://guides/NAME` | how things are done here |
//! | `adjutant://sessions/ID/screen` | what a session's terminal shows |
//! | `adjutant://runs/ID/trace` | what was done in a run, one turn a line |
//! | `adjutant://blueprints/ID` | a blueprint's document |
//! | `adjutant://goals/ID` | a goal with its proofs |

use super::ids;
use crate::answer::{Answer, Refusal};
use crate::body::id;
use crate::convert;
use adjutant_engine::goals::{GoalFilter, PAGE_MAX};
use adjutant_engine::hosting::{Managed, SessionFilter};
use adjutant_engine::registry::BlueprintFilter;
use adjutant_engine::{Plane, RunFilter, Superseded, TurnFilter, TurnPart};
use adjutant_model::RunId;
use adjutant_model::action::{Caller, Verb};
use adjutant_model::goal::{Goal, GoalStatus};
use adjutant_model::run::RunRecord;
use adjutant_protocol::ErrorCode;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};

/// So many of each kind are listed, the newest ones.
const LIST_MAX: usize = 100;
/// So many turns of a run are given, the last ones.
const TURNS_MAX: usize = 200;
/// So many lines of a terminal are given.
const LINES: usize = 200;
/// What every address begins with.
const SCHEME: &str = "adjutant://";

/// Name, title and text of each guide.
pub(super) const GUIDES: [(&str, &str, &str); 3] = [
    ("sessions", "Sessions and delegations", include_str!("guides/sessions.md")),
    ("approvals", "Policies and approvals", include_str!("guides/approvals.md")),
    ("goals", "Goals and proof", include_str!("guides/goals.md")),
];

/// Gives what there is now, as far as a caller may see it.
pub(super) async fn list(plane: &Plane, caller: &Caller) -> Answer<Vec<Resource>> {
    let mut listed: Vec<Resource> = GUIDES.iter().map(|(name, title, _)| guide(name, title)).collect();
    if !plane.may(caller, Verb::Read) {
        return Ok(listed);
    }
    for managed in live(plane).await? {
        let session = &managed.session;
        if session.handle.is_some() {
            let uri = format!("{SCHEME}sessions/{}/screen", session.id);
            let name = format!("terminal of {}", session.name);
            listed.push(Resource::new(uri, name).with_mime_type("text/plain"));
        }
    }
    for run in newest(plane).await? {
        let uri = format!("{SCHEME}runs/{}/trace", run.id);
        let about = format!("{} of {}", run.status, run.blueprint_id);
        let listed_run = Resource::new(uri, format!("trace of {}", run.id)).with_description(about);
        listed.push(listed_run.with_mime_type("application/x-ndjson"));
    }
    for id in blueprint_ids(plane).await? {
        let uri = format!("{SCHEME}blueprints/{id}");
        listed.push(Resource::new(uri, format!("blueprint {id}")).with_mime_type("application/json"));
    }
    listed.extend(open_goals(plane).await?.iter().map(goal));
    Ok(listed)
}

async fn live(plane: &Plane) -> Answer<Vec<Managed>> {
    let live = SessionFilter { is_live: true, limit: LIST_MAX, ..SessionFilter::default() };
    Ok(plane.sessions_managed(live).await?)
}

/// Gives the ids of the sessions that are live.
pub(super) async fn session_ids(plane: &Plane) -> Answer<Vec<String>> {
    Ok(live(plane).await?.iter().map(|managed| managed.session.id.to_string()).collect())
}

async fn newest(plane: &Plane) -> Answer<Vec<RunRecord>> {
    let newest = RunFilter { task_id: None, status: None, before: None, after: None, limit: LIST_MAX };
    Ok(plane.run_list(newest).await?)
}

/// Gives the ids of the newest runs.
pub(super) async fn run_ids(plane: &Plane) -> Answer<Vec<String>> {
    Ok(newest(plane).await?.iter().map(|run| run.id.to_string()).collect())
}

/// Gives the ids of the blueprints that can be executed.
pub(super) async fn blueprint_ids(plane: &Plane) -> Answer<Vec<String>> {
    let filter = BlueprintFilter { after: None, archived: false, limit: LIST_MAX };
    let found = plane.blueprint_list(filter).await?.into_iter();
    Ok(found.map(|blueprint| convert::blueprint_entry(blueprint).id).collect())
}

/// Gives the ids of the goals that are open.
pub(super) async fn goal_ids(plane: &Plane) -> Answer<Vec<String>> {
    Ok(open_goals(plane).await?.iter().map(|goal| goal.id.to_string()).collect())
}

async fn open_goals(plane: &Plane) -> Answer<Vec<Goal>> {
    let page = plane.goal_list(GoalFilter { limit: PAGE_MAX, ..GoalFilter::default() }).await?;
    let is_open = |goal: &Goal| !matches!(goal.status, GoalStatus::Done | GoalStatus::Abandoned);
    Ok(page.goals.into_iter().filter(is_open).take(LIST_MAX).collect())
}

fn goal(goal: &Goal) -> Resource {
    let title: String = goal.description.chars().take(80).collect();
    let listed = Resource::new(format!("{SCHEME}goals/{}", goal.id), format!("goal {}", goal.id));
    listed.with_title(title).with_mime_type("application/json")
}

fn guide(name: &str, title: &str) -> Resource {
    Resource::new(format!("{SCHEME}guides/{name}"), name).with_title(title).with_mime_type("text/markdown")
}

/// Gives the forms of addresses.
pub(super) fn templates() -> Vec<ResourceTemplate> {
    [
        ("guides/{name}", "guide", "How things are done here.", "text/markdown"),
        ("sessions/{session_id}/screen", "screen", "What a session's terminal shows.", "text/plain"),
        ("runs/{run_id}/trace", "trace", "What was done in a run, one turn a line.", "application/x-ndjson"),
        ("blueprints/{blueprint_id}", "blueprint", "A blueprint's document.", "application/json"),
        ("goals/{goal_id}", "goal", "A goal with its proofs.", "application/json"),
    ]
    .into_iter()
    .map(|(place, name, description, mime_type)| {
        ResourceTemplate::new(format!("{SCHEME}{place}"), name)
            .with_description(description)
            .with_mime_type(mime_type)
    })
    .collect()
}

/// Reads what stands at an address.
pub(super) async fn read(plane: &Plane, caller: &Caller, uri: &str) -> Answer<ReadResourceResult> {
    let unknown = || {
        let shown: String = uri.chars().take(200).collect();
        Refusal::new(ErrorCode::NotFound, format!("there is no resource {shown}"))
    };
    let place: Vec<&str> = uri.strip_prefix(SCHEME).ok_or_else(unknown)?.split('/').collect();
    if place.first() != Some(&"guides") && !plane.may(caller, Verb::Read) {
        let error = format!("the role {} may not read this", caller.role.as_str());
        return Err(Refusal::new(ErrorCode::Forbidden, error));
    }
    let (text, mime_type) = match place[..] {
        ["guides", name] => {
            let guide = GUIDES.iter().find(|guide| guide.0 == name).ok_or_else(unknown)?;
            (guide.2.to_owned(), "text/markdown")
        }
        ["sessions", session_id, "screen"] => {
            let id = ids::managed_session(session_id)?;
            (plane.session_screen(id, LINES).await?.lines.join("\n"), "text/plain")
        }
        ["runs", run_id, "trace"] => (trace(plane, &id(run_id)?).await?, "application/x-ndjson"),
        ["blueprints", blueprint_id] => {
            let found = plane.blueprint_head(blueprint_id).await?;
            (convert::blueprint_document(found).blueprint.to_string(), "application/json")
        }
        ["goals", goal_id] => {
            let goal = plane.goal_get(&id(goal_id)?).await?;
            (serde_json::to_string(&convert::goal(&goal)).expect("a goal is JSON"), "application/json")
        }
        _ => return Err(unknown()),
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(mime_type)]))
}

async fn trace(plane: &Plane, run_id: &RunId) -> Answer<String> {
    let filter = TurnFilter {
        after: None,
        limit: TURNS_MAX,
        part: TurnPart::Last,
        kind: None,
        step: None,
        attempt: None,
        superseded: Superseded::Shown,
    };
    plane.run_get(run_id).await?;
    let mut lines = String::new();
    for turn in plane.turns_where(run_id, filter).await? {
        lines.push_str(&serde_json::to_string(&convert::turn(&turn)).expect("a turn is JSON"));
        lines.push('\n');
    }
    Ok(lines)
}
