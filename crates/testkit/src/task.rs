//! Tasks: asking for them, and waiting for what they do.

use adjutant_engine::tasks::{BlueprintRef, TaskParams, TaskStarted};
use adjutant_engine::{EngineError, Plane};
use adjutant_model::action::{Caller, Role};
use adjutant_model::id::Uuid;
use adjutant_model::run::{RunRecord, TurnRecord};
use adjutant_model::{RunId, TokenId, Value};
use std::sync::Arc;
use std::time::Duration;

/// A test that waits for longer fails.
const DEADLINE: Duration = Duration::from_secs(30);

/// Gives the owner of the data folder.
pub fn owner() -> Caller {
    let token_id = TokenId::new(Uuid::nil());
    Caller { token_id, role: Role::Host, step: None, agent_id: None, name: None, of_session: None }
}

/// Gives a value of the model.
pub fn json(value: serde_json::Value) -> Value {
    Value::from(value)
}

/// Gives a task that runs a blueprint with a context.
pub fn task(blueprint: serde_json::Value, ctx: serde_json::Value) -> TaskParams {
    TaskParams {
        blueprint: BlueprintRef::Inline(json(blueprint)),
        init_ctx: json(ctx),
        project_root: None,
        work_dir: None,
        ttl_secs: None,
        goal: None,
        goal_id: None,
        agent: None,
        rest: json(serde_json::json!({})),
    }
}

/// Starts a task.
pub async fn start(plane: &Plane, params: TaskParams) -> TaskStarted {
    plane.task_start(&owner(), params).await.expect("the task is accepted")
}

/// Starts a task and waits for its end.
pub async fn run(plane: &Plane, params: TaskParams) -> Arc<RunRecord> {
    let started = start(plane, params).await;
    plane.run_ended(&started.run_id).await.expect("the run ends")
}

/// Gives all turns of a run.
pub async fn turns(plane: &Plane, run_id: &RunId) -> Vec<TurnRecord> {
    plane.turns(run_id, None, 100_000).await.expect("the turns are readable")
}

/// Waits until the store says that something holds; looks again after each commit, for at most 30 s.
pub async fn until<T>(plane: &Plane, mut look: impl AsyncFnMut() -> Result<Option<T>, EngineError>) -> T {
    let mut committed = plane.committed();
    let waiting = async {
        loop {
            if let Some(found) = look().await.expect("the plane answers") {
                return found;
            }
            committed.changed().await.expect("the store is open");
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it holds within 30 s")
}
