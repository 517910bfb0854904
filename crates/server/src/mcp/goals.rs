//! Tools for goals, and for what is remembered.

use super::tasks;
use super::tool::{Access, Asked, Effect, Tool, result_of};
use crate::answer::{Answer, Refusal};
use crate::body::{JsonBody, PathPart, QueryOf, id};
use crate::convert;
use crate::http::goals::{self, GoalsQuery};
use crate::http::memory;
use adjutant_engine::{EngineError, Plane};
use adjutant_model::action::{Caller, Verb};
use adjutant_model::call::Call;
use adjutant_model::goal::Goal;
use adjutant_model::{GoalId, Value};
use adjutant_protocol::{ErrorCode, http, mcp};
use axum::Extension;
use axum::extract::State;

/// Gives the tools.
pub(super) fn tools() -> Vec<Tool> {
    [of_goals(), of_proof(), of_memory()].into_iter().flatten().collect()
}

fn of_goals() -> Vec<Tool> {
    let (read, operate) = (Access::Verb(Verb::Read), Access::Verb(Verb::Operate));
    vec![
        Tool::new(
            (
                "goal_create",
                "Make a goal",
                "Makes a goal: what is wanted, and criteria that prove it, each a text, a check or both. A check is a \
                 command that ends with 0 when the criterion holds; `project` says where it runs.",
            ),
            operate,
            Effect::Adds,
            async |asked: Asked, params: http::GoalParams| {
                let (plane, caller) = doors(asked);
                Ok(goals::create(plane, caller, JsonBody(params)).await?.1.0)
            },
        ),
        Tool::new(
            ("goal_list", "List goals", "Lists goals, the oldest first, in pages; of one state or of all."),
            read,
            Effect::Reads,
            async |asked: Asked, params: mcp::GoalListParams| {
                let mcp::GoalListParams { status, after, limit } = params;
                let query = GoalsQuery { status, after, limit };
                Ok(goals::list(State(asked.plane), QueryOf(query)).await?.0)
            },
        ),
        Tool::new(
            (
                "goal_show",
                "Show a goal",
                "Shows a goal: its criteria with what proved them last, the sessions and runs that work on it, its notes.",
            ),
            read,
            Effect::Reads,
            async |asked: Asked, params: mcp::GoalIdParams| {
                Ok(goals::get(State(asked.plane), PathPart(params.goal_id)).await?.0)
            },
        ),
        Tool::new(
            (
                "goal_link",
                "Link a session or run to a goal",
                "Says that a session or run works on a goal. Each is linked once; its workspace is where checks run then.",
            ),
            operate,
            Effect::Adds,
            async |asked: Asked, params: mcp::GoalLinkParams| {
                let mcp::GoalLinkParams { goal_id, session_id, task } = params;
                let (plane, caller) = doors(asked);
                let link = http::LinkParams { session_id, task };
                Ok(goals::link(plane, caller, PathPart(goal_id), JsonBody(link)).await?.0)
            },
        ),
        Tool::new(
            (
                "goal_update",
                "Change a goal",
                "Changes what is said, all of it together or nothing. `status` is `inProgress`, `blocked`, `abandoned` \
                 with a reason, or `done`, which only fresh evidence lets through.",
            ),
            operate,
            Effect::Sets,
            goal_update,
        ),
        Tool::new(
            ("goal_note", "Leave a note on a goal", "Leaves a note on a goal; a note proves nothing."),
            operate,
            Effect::Adds,
            async |asked: Asked, params: mcp::GoalNoteParams| {
                let mcp::GoalNoteParams { goal_id, note } = params;
                let (plane, caller) = doors(asked);
                let note = http::NoteParams { note };
                Ok(goals::note(plane, caller, PathPart(goal_id), JsonBody(note)).await?.0)
            },
        ),
    ]
}

fn of_proof() -> Vec<Tool> {
    let operate = Access::Verb(Verb::Operate);
    vec![
        Tool::new(
            (
                "goal_check",
                "Run the checks of a goal",
                "Runs every check of a goal now and records what they say; tells progress where that is asked for. A \
                 call that is cancelled ends its checks and records nothing.",
            ),
            operate,
            Effect::Adds,
            goal_check,
        )
        .with_handle(goal_check_begun),
        Tool::new(
            (
                "goal_close",
                "Call a goal done",
                "Calls a goal done when evidence on the tree as it is now proves it; a refusal says in `details` what \
                 is missing.",
            ),
            operate,
            Effect::Sets,
            async |asked: Asked, params: mcp::GoalIdParams| {
                let goal_id: GoalId = id(&params.goal_id)?;
                Ok(convert::goal(&asked.plane.goal_close(&asked.caller, &goal_id).await?))
            },
        ),
    ]
}

fn of_memory() -> Vec<Tool> {
    vec![
        Tool::new(
            (
                "memory_remember",
                "Remember something",
                "Remembers a fact beyond this session, for whoever has the scope: what was decided and why, what was \
                 found out the hard way. Never secrets.",
            ),
            Access::Verb(Verb::Produce),
            Effect::Sets,
            async |asked: Asked, params: http::RememberParams| {
                let (plane, caller) = doors(asked);
                Ok(memory::remember(plane, caller, JsonBody(params)).await?.1.0)
            },
        ),
        Tool::new(
            (
                "memory_recall",
                "Recall something",
                "Gives facts that have any of the words, the best first. What is recalled stands in the trace.",
            ),
            Access::Verb(Verb::Fetch),
            Effect::Reads,
            async |asked: Asked, params: http::RecallParams| {
                let (plane, caller) = doors(asked);
                Ok(memory::recall(plane, caller, JsonBody(params)).await?.0)
            },
        ),
    ]
}

fn doors(asked: Asked) -> (State<Plane>, Extension<Caller>) {
    (State(asked.plane), Extension(asked.caller))
}

async fn goal_update(asked: Asked, params: mcp::GoalUpdateParams) -> Answer<http::GoalView> {
    let mcp::GoalUpdateParams {
        goal_id,
        description,
        project,
        depends_on,
        budget,
        deadline,
        recheck,
        session_id,
        state,
        note,
        status,
        reason,
    } = params;
    let update = http::GoalUpdateParams {
        description,
        project,
        depends_on,
        budget,
        deadline,
        recheck,
        session_id,
        state,
        note,
        status,
        reason,
    };
    let (plane, caller) = doors(asked);
    Ok(goals::update(plane, caller, PathPart(goal_id), JsonBody(update)).await?.0)
}

async fn goal_check(asked: Asked, params: mcp::GoalIdParams) -> Answer<http::GoalView> {
    let goal_id: GoalId = id(&params.goal_id)?;
    tokio::select! {
        checked = asked.plane.goal_check(&asked.caller, &goal_id) => Ok(convert::goal(&checked?)),
        () = asked.cancelled.cancelled() => {
            let error = "the call was cancelled: its checks were ended, and nothing was recorded";
            Err(Refusal::new(ErrorCode::Conflict, error))
        }
        never = asked.progress.tell_each_second(|| "the checks run".to_owned()) => match never {},
    }
}

async fn goal_check_begun(asked: Asked, params: mcp::GoalIdParams) -> Answer<Call> {
    let goal_id: GoalId = id(&params.goal_id)?;
    let answer = |checked: Result<Goal, EngineError>| {
        let told = checked.map(|goal| serde_json::to_value(convert::goal(&goal)).expect("a view is JSON"));
        Value::from(serde_json::Value::Object(tasks::object(&result_of(told.map_err(Into::into), None))))
    };
    Ok(asked.plane.goal_check_call(&asked.caller, &goal_id, answer).await?)
}
