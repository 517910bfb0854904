//! A goal as a scenario: made, worked on, proved and closed; then the workspace is removed.

use adjutant_engine::goals::{GoalFilter, GoalParams};
use adjutant_engine::{EngineError, RemoveMode, RunFilter};
use adjutant_model::goal::{Goal, GoalStatus, LinkState};
use adjutant_rules::goal::CriterionSpec;
use adjutant_testkit::trial::{Life, Scenario};
use adjutant_testkit::{Home, owner, repository, task};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;

/// A run changes a project in its worktree, a check proves the change, the goal closes, and the worktree goes.
#[derive(Debug)]
pub(crate) struct GoalCase;

impl GoalCase {
    async fn goal(&self, life: &Life<'_>) -> Result<Goal, EngineError> {
        if let Some(goal) = life.plane.goal_list(GoalFilter::default()).await?.goals.pop() {
            return Ok(goal);
        }
        let check = CriterionSpec { text: String::new(), check: Some("grep -q two file.txt".to_owned()) };
        let params =
            GoalParams { description: "two".to_owned(), acceptance: vec![check], ..GoalParams::default() };
        life.plane.goal_create(&owner(), params).await
    }

    async fn work(&self, life: &Life<'_>, goal: &Goal) -> Result<(), EngineError> {
        let run_id = match life.plane.run_list(RunFilter::default()).await?.pop() {
            Some(run) => run.id,
            None => {
                let edit = json!({"name": "edit", "kind": "command", "spec": {"argv": ["sh", "-c", "echo two > file.txt"]}});
                let flow = json!({"kind": "step", "ref": "edit", "in": {"op": "lit", "value": 0}, "out": {"op": "path", "at": "$.x"}});
                let mut params = task(json!({"id": "trial", "agents": [edit], "flow": flow}), json!({}));
                params.project_root = Some(life.home.path("project"));
                params.goal_id = Some(goal.id.clone());
                life.plane.task_start(&owner(), params).await?.run_id
            }
        };
        life.plane.run_ended(&run_id).await.map(drop)
    }

    async fn clear(&self, life: &Life<'_>) -> Result<(), EngineError> {
        for workspace in life.plane.workspaces().await? {
            life.plane.workspace_remove(&workspace.holder, RemoveMode::Force).await?;
        }
        Ok(())
    }

    async fn prove(&self, life: &Life<'_>, goal: &Goal) -> Result<(), EngineError> {
        let goal = life.plane.goal_get(&goal.id).await?;
        let proved = goal.sessions.iter().all(|link| link.state == LinkState::Verified)
            && goal.acceptance.iter().all(|criterion| criterion.evidence.is_some());
        if !proved {
            let refused = life.plane.goal_close(&owner(), &goal.id).await;
            assert!(matches!(refused, Err(EngineError::GoalGate { .. })), "{refused:?}");
            for _ in 0..life.asks {
                life.plane.goal_check(&owner(), &goal.id).await?;
            }
        }
        life.plane.goal_close(&owner(), &goal.id).await.map(drop)
    }
}

impl Scenario for GoalCase {
    fn name(&self) -> &str {
        "a goal"
    }

    fn prepare(&self, home: &Home) {
        repository::with_one_file(&home.path("project"));
    }

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(async {
            let goal = self.goal(life).await?;
            if goal.status != GoalStatus::Done {
                self.work(life, &goal).await?;
                self.prove(life, &goal).await?;
            }
            self.clear(life).await
        })
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        None
    }
}
