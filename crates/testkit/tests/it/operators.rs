//! A run whose steps operators have to do with, as a scenario: hooks, a step that is handed over, an escalation.

use crate::flows::retry_steps;
use adjutant_engine::operators::{
    Ack, Body, Claim, Delivery, JoinParams, OperatorCall, OperatorLink, OperatorReply, SpawnCall,
};
use adjutant_engine::{EngineError, RunFilter};
use adjutant_model::{OperatorId, RunId, Value};
use adjutant_testkit::trial::{Life, Scenario};
use adjutant_testkit::{Home, json, owner, task};
use futures_util::future::BoxFuture;
use serde_json::json;
use std::sync::Arc;

/// A run with an operator who is hook, bridge, and the worker of its steps.
#[derive(Debug, Clone)]
pub(crate) struct OperatorCase {
    flow: serde_json::Value,
}

impl OperatorCase {
    pub(crate) fn new() -> Self {
        let step = |agent: &str, out: &str| json!({"kind": "step", "ref": agent, "in": {"op": "path", "at": "$.a"}, "out": {"op": "path", "at": out}});
        OperatorCase {
            flow: json!({"kind": "seq", "children": [
                step("handed", "$.handed"), step("fail", "$.answered"), step("id", "$.same")]}),
        }
    }

    async fn sid_of(&self, life: &Life<'_>) -> Result<OperatorId, EngineError> {
        if let Some(known) = life.plane.operator_list().pop() {
            return Ok(known.operator.sid);
        }
        let (operator, _) = life.plane.operator_join(&owner(), JoinParams::default()).await?;
        Ok(operator.sid)
    }

    async fn run_of(&self, life: &Life<'_>, sid: &OperatorId) -> Result<RunId, EngineError> {
        if let Some(run) = life.plane.run_list(RunFilter::default()).await?.pop() {
            return Ok(run.id);
        }
        let agents = json!([
            {"name": "handed", "kind": "operator", "verdict": {"channel": "part", "values": ["PASS"]}},
            {"name": "fail", "kind": "function", "spec": {"fn_id": "fail"}},
            {"name": "id", "kind": "function", "spec": {"fn_id": "identity"}},
        ]);
        let document = json!({"id": "trial", "agents": agents, "flow": self.flow,
            "operators": [{"name": "main", "kind": "composite"}], "default_operator_kind": "main_ai",
            "spawner_hints": {"layers": ["main_ai", "senior_escalation"]}});
        let mut params = task(document, json!({"a": 1}));
        let operator = json!({"spawn_hook_id": sid.as_str(), "senior_bridge_id": sid.as_str()});
        params.rest = json(json!({"operator_sid": sid.as_str(), "operator": operator}));
        Ok(life.plane.task_start(&owner(), params).await?.run_id)
    }

    async fn live_through(&self, life: &Life<'_>) -> Result<(), EngineError> {
        let sid = self.sid_of(life).await?;
        let link = life.plane.operator_attach(&owner(), sid.as_str())?;
        let run_id = self.run_of(life, &sid).await?;
        tokio::select! {
            ended = life.plane.run_ended(&run_id) => ended.map(drop),
            refused = serve(life, &link) => Err(refused),
        }
    }
}

/// Answers whatever comes; gives back what was refused and may be tried again.
async fn serve(life: &Life<'_>, link: &OperatorLink) -> EngineError {
    loop {
        let done = match link.next().await {
            OperatorCall::HookBefore { key, .. } => {
                link.reply(&key.to_string(), OperatorReply::Hook { ok: true, reason: None }).await
            }
            OperatorCall::Ask { key, question, .. } => {
                let answer = question.get("reason").cloned().unwrap_or(Value::Null);
                link.reply(&key.to_string(), OperatorReply::Answer(answer)).await
            }
            OperatorCall::HookAfter { .. } => Ok(()),
            OperatorCall::Spawn(spawn) => work(life, link, &spawn).await,
        };
        match done {
            // What was withdrawn a moment ago is asked again, when it is still wanted.
            Ok(()) | Err(EngineError::Conflict { .. } | EngineError::Over(_)) => {}
            Err(refused) => return refused,
        }
    }
}

/// Delivers a part and the result as the step's worker, and acknowledges.
async fn work(life: &Life<'_>, link: &OperatorLink, spawn: &SpawnCall) -> Result<(), EngineError> {
    let Some(worker) = life.plane.authenticate(spawn.token.reveal()).await? else { return Ok(()) };
    let told = life.plane.worker_prompt(&worker, Some(&spawn.step)).await?.prompt;
    let part = Delivery::Part { name: "verdict".to_owned(), body: Body::Text("PASS\n".to_owned()) };
    life.plane.worker_deliver(&worker, None, part).await?;
    let result = Delivery::Final { claim: Claim::Passed, body: Body::Text(format!("[{told}, 2]")) };
    life.plane.worker_deliver(&worker, None, result).await?;
    let ack = Ack::Done { value: Value::Null, usage: None };
    link.reply(&spawn.key.to_string(), OperatorReply::Step(ack)).await
}

impl Scenario for OperatorCase {
    fn name(&self) -> &str {
        "operators"
    }

    fn prepare(&self, _home: &Home) {}

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.live_through(life))
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        let mut case = self.clone();
        retry_steps(&mut case.flow);
        Some(Arc::new(case))
    }
}
