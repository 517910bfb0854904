//! The pursuit of a goal as a scenario: a session does one half, the checks find that out, it is told and does the other
//! half, and the goal closes. A person who finds a pursuit stopped asks for it again.

use adjutant_engine::goals::{CriterionSpec, GoalFilter, GoalParams, GoalUpdate, PursueParams};
use adjutant_engine::{EngineError, Settings};
use adjutant_model::Value;
use adjutant_model::goal::{Goal, GoalStatus};
use adjutant_rules::goal::GoalRefusal;
use adjutant_testkit::trial::{End, Life, Scenario};
use adjutant_testkit::{Home, json, owner, repository};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::fs;
use std::sync::Arc;

/// What is wanted, in words that only this scenario has.
const INTENT: &str = "both halves of it are there";

/// Print mode: does the half that is missing for each prompt, and notes what it was told.
const HALVES: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  printf '%s\n' "$line" >> "$1"
  if [ -e one.txt ]; then echo two > two.txt; else echo one > one.txt; fi
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

/// One goal, from its making until it is reached.
#[derive(Debug, Clone)]
pub(crate) struct PursuitCase;

impl PursuitCase {
    async fn goal(&self, life: &Life<'_>) -> Result<Goal, EngineError> {
        if let Some(goal) = life.plane.goal_list(GoalFilter::default()).await?.goals.pop() {
            return Ok(goal);
        }
        let check = |name: &str| CriterionSpec {
            text: format!("{name} is there"),
            check: Some(format!("test -f {name}")),
        };
        let params = GoalParams {
            description: INTENT.to_owned(),
            acceptance: vec![check("one.txt"), check("two.txt")],
            project: Some(life.home.path("project").to_string_lossy().into_owned()),
            ..GoalParams::default()
        };
        life.plane.goal_create(&owner(), params).await
    }

    async fn live_through(&self, life: &Life<'_>) -> Result<(), EngineError> {
        let id = self.goal(life).await?.id;
        let mut committed = life.plane.committed();
        loop {
            committed.borrow_and_update();
            let goal = life.plane.goal_get(&id).await?;
            match (goal.pursued().is_some(), goal.status) {
                (false, GoalStatus::Done) => return Ok(()),
                (false, _) => self.pursue(life, &goal).await?,
                (true, _) => committed.changed().await.map_err(|_| EngineError::Stopping)?,
            }
        }
    }

    async fn pursue(&self, life: &Life<'_>, goal: &Goal) -> Result<(), EngineError> {
        for _ in 0..life.asks {
            let params = PursueParams { agent: Some("halves".to_owned()), ..PursueParams::default() };
            match life.plane.goal_pursue(&owner(), &goal.id, params).await {
                // It was asked for twice.
                Ok(_) | Err(EngineError::Goal(GoalRefusal::Pursued | GoalRefusal::Closed { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Scenario for PursuitCase {
    fn name(&self) -> &str {
        "the pursuit of a goal"
    }

    fn prepare(&self, home: &Home) {
        repository::with_one_file(&home.path("project"));
        home.agent("halves", HALVES);
    }

    fn settings(&self, home: &Home) -> Settings {
        home.settings_hosting()
    }

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.live_through(life))
    }

    /// Gives what anybody can look up: that the agent was told the goal in its owner's words, and that nothing lives on.
    fn left<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Value> {
        Box::pin(async move {
            let (_, alive) = life.sessions_left().await;
            let told = life.home.told("halves");
            let goal = life.plane.goal_list(GoalFilter::default()).await.expect("it is readable").goals;
            // Behind whatever the keeper of goals has yet to mirror.
            let nothing = GoalUpdate::default();
            life.plane.goal_update(&owner(), &goal[0].id, nothing).await.expect("nothing is changed");
            let mirror = fs::read_to_string(life.home.path("goals.json")).expect("the mirror is there");
            let mirrored: Vec<Goal> = serde_json::from_str(&mirror).expect("the mirror is JSON");
            assert_eq!(mirrored, goal, "the mirror says what the store says");
            let inbox = life.plane.inbox().await.expect("it is readable").goals.len();
            json(json!({"told": told.contains(INTENT), "alive": alive, "inbox": inbox}))
        })
    }

    /// Its agent ends with the daemon: the next one takes the session over, starts the agent again and tells it, and only
    /// then does the pursuit go on.
    fn commits_of_a_life(&self) -> u64 {
        8
    }

    /// A prompt may come twice where nobody knows whether it came, the session may be stopped while it is started again
    /// for that, and one that could not begin is left behind; then another one has the goal. What a link says of its task
    /// names the goal by its id.
    fn seen(&self, end: &End) -> End {
        let mut end = end.clone();
        end.sessions.drain(..end.sessions.len().saturating_sub(1));
        for session in &mut end.sessions {
            (session.turns, session.reason) = (0, None);
        }
        for goal in &mut end.goals {
            goal.links.iter_mut().for_each(|(task, ..)| task.clear());
        }
        end
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        Some(Arc::new(self.clone()))
    }
}
