//! A plane on a data folder of its own.

use adjutant_engine::plane::Plane;
use adjutant_engine::tasks::{BlueprintRef, TaskParams, TaskStarted};
use adjutant_engine::{EngineError, Settings};
use adjutant_model::action::{Caller, Role};
use adjutant_model::id::Uuid;
use adjutant_model::run::{RunRecord, TurnRecord};
use adjutant_model::{RunId, TokenId, Value};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A data folder; planes come and go on it.
pub(crate) struct Home {
    pub(crate) folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Home { folder: tempfile::tempdir().expect("a folder for the test") }
    }

    pub(crate) async fn plane(&self) -> Plane {
        let plane = Plane::open(self.settings()).await.expect("the plane opens");
        plane.endpoint_set("http://127.0.0.1:9".to_owned());
        plane.resume().await.expect("the plane resumes");
        plane
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.folder.path().to_owned(), "/nonexistent/adjutant".into());
        settings.env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        settings.worker.grace = std::time::Duration::from_millis(300);
        settings
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

pub(crate) fn owner() -> Caller {
    Caller { token_id: TokenId::new(Uuid::nil()), role: Role::Host, step: None, agent_id: None }
}

pub(crate) fn json(value: serde_json::Value) -> Value {
    Value::from(value)
}

/// Gives a task that runs a blueprint with a context.
pub(crate) fn task(blueprint: serde_json::Value, ctx: serde_json::Value) -> TaskParams {
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

pub(crate) async fn start(plane: &Plane, params: TaskParams) -> TaskStarted {
    plane.task_start(&owner(), params).await.expect("the task is accepted")
}

pub(crate) async fn run(plane: &Plane, params: TaskParams) -> Arc<RunRecord> {
    let started = start(plane, params).await;
    plane.run_ended(&started.run_id).await.expect("the run ends")
}

pub(crate) async fn turns(plane: &Plane, run_id: &RunId) -> Vec<TurnRecord> {
    plane.turns(run_id, None, 100_000).await.expect("the turns are readable")
}

/// Waits until the journal says that something holds.
pub(crate) async fn until<T>(
    plane: &Plane,
    mut look: impl AsyncFnMut() -> Result<Option<T>, EngineError>,
) -> T {
    let mut committed = plane.committed();
    let waiting = async {
        loop {
            if let Some(found) = look().await.expect("the plane answers") {
                return found;
            }
            committed.changed().await.expect("the store is open");
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await.expect("it holds within 30 s")
}

/// Makes a git repository with one file and one commit.
pub(crate) fn repository(dir: &Path) {
    std::fs::create_dir_all(dir).expect("the folder is made");
    std::fs::write(dir.join("file.txt"), "one\n").expect("the file is written");
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["-c", "user.name=T", "-c", "user.email=t@localhost", "commit", "--quiet", "-m", "start"],
    ] {
        let status =
            std::process::Command::new("git").args(args).current_dir(dir).status().expect("git starts");
        assert!(status.success(), "git {args:?}");
    }
}
