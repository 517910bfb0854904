//! A workspace, a scratch folder and a context for workers.

use adjutant_engine::worker::{self, Performed, Progress, WorkerContext, WorkerSettings};
use adjutant_model::blueprint::{Agent, AgentSpec, CommandSpec, LuaSpec, Profile};
use adjutant_model::id::Uuid;
use adjutant_model::run::{StepFailure, StepOutcome, StepPath};
use adjutant_model::{RunId, TaskId, Value};
use adjutant_testkit::environment;
use adjutant_testkit::home::HIDDEN;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What a worker gets in a test; the folders go when it is dropped.
pub(crate) struct Fixture {
    pub(crate) ctx: WorkerContext,
    pub(crate) progress: mpsc::Receiver<Progress>,
    pub(crate) templates: BTreeMap<String, CommandSpec>,
    pub(crate) profile: Profile,
    pub(crate) root: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder can be made");
        let work_dir = root.path().join("work");
        std::fs::create_dir(&work_dir).expect("a folder can be made");
        let (sender, progress) = mpsc::channel(256);
        let uuid = Uuid::new_v4();
        let ctx = WorkerContext {
            run_id: RunId::new(uuid),
            task_id: TaskId::new(uuid),
            path: StepPath::new("0/2"),
            attempt: 1,
            work_dir,
            scratch: root.path().join("scratch"),
            env: environment::hermetic(root.path())
                .into_iter()
                .chain([(HIDDEN.0.to_owned(), HIDDEN.1.to_owned())])
                .collect(),
            adjutant_exe: PathBuf::from("/bin/false"),
            gate: None,
            settings: WorkerSettings { grace: Duration::from_secs(1), ..WorkerSettings::default() },
            cancel: CancellationToken::new(),
            progress: sender,
        };
        Fixture { ctx, progress, templates: BTreeMap::new(), profile: Profile::default(), root }
    }

    pub(crate) async fn perform(&self, spec: AgentSpec, input: Value) -> Performed {
        let agent = Agent { profile: self.profile.clone(), ..Agent::new("worker", spec) };
        worker::perform(&agent, &self.templates, input, &self.ctx).await
    }

    pub(crate) async fn lua(&self, source: &str, input: Value) -> StepOutcome {
        let spec = LuaSpec {
            source: source.to_owned(),
            label: "chunk".to_owned(),
            memory_bytes: None,
            timeout_ms: None,
        };
        self.perform(AgentSpec::Lua(spec), input).await.outcome
    }

    pub(crate) async fn command(&self, spec: CommandSpec, input: Value) -> StepOutcome {
        self.perform(AgentSpec::Command(spec), input).await.outcome
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the test writes JSON")
}

#[track_caller]
pub(crate) fn done(outcome: StepOutcome) -> Value {
    match outcome {
        StepOutcome::Done(value) | StepOutcome::Skipped(value) => value,
        StepOutcome::Failed(failure) => panic!("the step failed: {failure:?}"),
    }
}

#[track_caller]
pub(crate) fn failure(outcome: StepOutcome) -> StepFailure {
    match outcome {
        StepOutcome::Done(value) | StepOutcome::Skipped(value) => panic!("the step gave {value}"),
        StepOutcome::Failed(failure) => failure,
    }
}
