//! Flows as scenarios: every kind of node, every join, and what stops a run from outside.

use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_engine::{EngineError, Plane, RunFilter, Settings, ToolEnd, ToolWent};
use adjutant_model::RunId;
use adjutant_model::action::{Caller, Role, StepBinding};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::event::Event;
use adjutant_model::policy::ToolCall;
use adjutant_model::run::{TurnKind, TurnRecord, TurnStatus};
use adjutant_testkit::trial::{Life, Scenario};
use adjutant_testkit::{Home, json, owner, task};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The time of a run that is to be over while it is held. On a busy machine a process that died is there again only after
/// seconds, and the run has to come to where it is held in less.
const TTL_SECS: u64 = 8;

/// A run of a flow, from the request to its end.
#[derive(Debug, Clone)]
pub(crate) struct FlowCase {
    name: &'static str,
    flow: Value,
    ctx: Value,
    ttl_secs: Option<u64>,
    meanwhile: Meanwhile,
    failures: Failures,
}

/// What the caller does while the run is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meanwhile {
    Waits,
    Cancels,
    /// Says yes to whatever is asked, and chooses the last option that there is.
    Answers,
    /// Calls tools as the agent of the step in flight, and then lets it go.
    CallsTools,
    /// Makes what was missing when the run has ended, and lets it go on again from a step.
    Reruns(&'static str),
}

/// What the agent `asks` says, whose program is the shell: it is told to play the script `rehearsal` in its directory.
const SCRIPT: &str = "echo '{\"type\":\"result\",\"is_error\":false,\"result\":\"said\"}'\n";

/// What a failure that is tried again may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failures {
    /// It changes nothing.
    Harmless,
    /// It delays its step, and the order of the steps decides how the run ends; or how the step itself fails is part of
    /// the end.
    Decide,
}

impl FlowCase {
    fn new(name: &'static str, flow: Value) -> Self {
        let (meanwhile, failures) = (Meanwhile::Waits, Failures::Harmless);
        FlowCase { name, flow, ctx: json!({"a": 1}), ttl_secs: None, meanwhile, failures }
    }

    fn decided_by_order(self) -> Self {
        FlowCase { failures: Failures::Decide, ..self }
    }

    fn starts_an_agent(&self) -> bool {
        self.flow["ref"] == "asks"
    }

    async fn run_of(&self, life: &Life<'_>) -> Result<RunId, EngineError> {
        if let Some(run) = life.plane.run_list(RunFilter::default()).await?.pop() {
            return Ok(run.id);
        }
        let document = json!({"id": "trial", "agents": agents(life.home), "flow": self.flow});
        let mut params = task(document, self.ctx.clone());
        params.ttl_secs = self.ttl_secs;
        params.work_dir = Some(life.home.path("work")).filter(|_| self.starts_an_agent());
        Ok(life.plane.task_start(&owner(), params).await?.run_id)
    }

    async fn live_through(&self, life: &Life<'_>) -> Result<(), EngineError> {
        let run_id = self.run_of(life).await?;
        match self.meanwhile {
            Meanwhile::Waits => {}
            Meanwhile::Cancels => cancel(life, &run_id).await?,
            Meanwhile::Answers => answer(life, &run_id).await?,
            Meanwhile::CallsTools => call_tools(life, &run_id).await?,
            Meanwhile::Reruns(from) => rerun(life, &run_id, from).await?,
        }
        life.plane.run_ended(&run_id).await.map(drop)
    }
}

impl Scenario for FlowCase {
    fn name(&self) -> &str {
        self.name
    }

    fn prepare(&self, home: &Home) {
        let rule = "[[rule]]\nname = \"no-forbidden\"\neffect = \"deny\"\ntool = \"*\"\n\
                    params = { command = \"*forbidden*\" }\nreason = \"it is forbidden\"\n\
                    [[rule]]\nname = \"ask-first\"\neffect = \"ask\"\ntool = \"step:command\"\n\
                    params = { command = \"*asked*\" }\n";
        std::fs::write(home.path("policy.toml"), rule).expect("the policy is written");
        std::fs::create_dir(home.path("work")).expect("the folder is made");
        std::fs::write(home.path("work/rehearsal"), SCRIPT).expect("the script is written");
    }

    fn settings(&self, home: &Home) -> Settings {
        Settings { exe: "/bin/sh".into(), blueprints: called(), ..home.settings() }
    }

    fn drive<'a>(&'a self, life: &'a Life<'a>) -> BoxFuture<'a, Result<(), EngineError>> {
        Box::pin(self.live_through(life))
    }

    fn retrying(&self) -> Option<Arc<dyn Scenario>> {
        match self.failures {
            Failures::Decide => None,
            Failures::Harmless => {
                let mut case = self.clone();
                retry_steps(&mut case.flow);
                Some(Arc::new(case))
            }
        }
    }
}

/// Gives every step of a flow a retry, unless it has one.
pub(crate) fn retry_steps(node: &mut Value) {
    if node["kind"] == "step" && node.get("retry").is_none() {
        node["retry"] = json!({"max": 2, "backoff_ms": 1});
    }
    match node {
        Value::Object(members) => members.values_mut().for_each(retry_steps),
        Value::Array(items) => items.iter_mut().for_each(retry_steps),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn cancel(life: &Life<'_>, run_id: &RunId) -> Result<(), EngineError> {
    if in_flight(&life.plane, run_id).await?.is_some() {
        life.plane.run_cancel(&owner(), run_id, "enough").await?;
    }
    Ok(())
}

/// Answers until the run is over.
async fn answer(life: &Life<'_>, run_id: &RunId) -> Result<(), EngineError> {
    let plane = &life.plane;
    let caller = owner();
    let mut committed = plane.committed();
    while !plane.run_get(run_id).await?.status.is_terminal() {
        for approval in plane.approvals(Some(ApprovalStatus::Pending), 100).await? {
            let option = (approval.tool == "ask").then_some("right");
            let answerer = Answerer { caller: &caller, connection: None, face: Face::Person, reason: "" };
            match plane.approval_answer(&approval.id, Answer::Approve { option }, answerer).await {
                // The answer to an effect that is asked for twice is one.
                Ok(_) | Err(EngineError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        committed.changed().await.map_err(|_| EngineError::Stopping)?;
    }
    let asked = plane.approvals(None, 100).await?;
    let ended = |approval: &Approval| approval.status == ApprovalStatus::Approved;
    assert!(
        !asked.is_empty() && asked.iter().all(ended),
        "an approval is left, or nothing was asked: {asked:#?}"
    );
    Ok(())
}

/// Waits for a step in flight; gives none when the run is over.
async fn in_flight(plane: &Plane, run_id: &RunId) -> Result<Option<TurnRecord>, EngineError> {
    let mut committed = plane.committed();
    loop {
        if plane.run_get(run_id).await?.status.is_terminal() {
            return Ok(None);
        }
        let turns = plane.turns(run_id, None, 1000).await?.into_iter();
        let mut open = turns.filter(|turn| turn.kind == TurnKind::Step && turn.status == TurnStatus::Started);
        if let Some(turn) = open.next() {
            return Ok(Some(turn));
        }
        committed.changed().await.map_err(|_| EngineError::Stopping)?;
    }
}

async fn rerun(life: &Life<'_>, run_id: &RunId, from: &str) -> Result<(), EngineError> {
    let rows = life.plane.events_of(run_id.as_str(), 0, 1000).await?;
    if rows.iter().any(|row| matches!(row.event, Event::RunRerun { .. })) {
        return Ok(());
    }
    life.plane.run_ended(run_id).await?;
    std::fs::write(life.home.path("go"), "").expect("the file is written");
    life.plane.run_rerun(&owner(), run_id, from).await.map(drop)
}

async fn call_tools(life: &Life<'_>, run_id: &RunId) -> Result<(), EngineError> {
    if life.home.path("go").exists() {
        return Ok(());
    }
    let Some(step) = in_flight(&life.plane, run_id).await? else { return Ok(()) };
    let binding = StepBinding { run_id: run_id.clone(), path: step.path, attempt: step.attempt };
    let agent = Caller { role: Role::Worker, step: Some(binding), ..owner() };
    for _ in 0..life.asks {
        for (command, allowed) in [("ls", true), ("rm forbidden", false)] {
            let call = ToolCall { tool: "Bash".to_owned(), parameters: json(json!({"command": command})) };
            let judged = life.plane.tool_judge(&agent, call).await?;
            assert_eq!(judged.judgement.allowed, allowed, "{command}");
            if allowed {
                let end = ToolEnd { went: ToolWent::Well, output: json(json!("file")) };
                life.plane.tool_settle(&agent, judged.turn, end).await?;
            }
        }
    }
    std::fs::write(life.home.path("go"), "").expect("the file is written");
    Ok(())
}

/// Gives the blueprints that flows may call. Their agents have the names of the callers' and do something else.
fn called() -> BTreeMap<String, adjutant_model::Value> {
    let say =
        |word: &str| json!({"name": "id", "kind": "lua", "spec": {"source": format!("return '{word}'")}});
    let inner = seq(json!([step("id", at("$.a"), "$.said"), wait(5)]));
    let outer = seq(json!([
        {"kind": "call", "blueprint": "inner", "in": at("$"), "out": at("$.inner")},
        step("id", at("$.inner.said"), "$.said")
    ]));
    let fails = json!({"name": "fail", "kind": "function", "spec": {"fn_id": "fail"}});
    [
        (
            "inner",
            json!({"id": "inner", "agents": [say("inside")], "flow": inner, "default_init_ctx": {"b": 1}}),
        ),
        ("outer", json!({"id": "outer", "agents": [say("outside")], "flow": outer})),
        ("broken", json!({"id": "broken", "agents": [fails], "flow": fail()})),
    ]
    .into_iter()
    .map(|(id, mut document)| {
        retry_steps(&mut document["flow"]);
        (id.to_owned(), json(document))
    })
    .collect()
}

fn agents(home: &Home) -> Value {
    let go = home.path("go").display().to_string();
    let command = |argv: Value| json!({"kind": "command", "spec": {"argv": argv}});
    let named = [
        ("id", json!({"kind": "function", "spec": {"fn_id": "identity"}})),
        ("fail", json!({"kind": "function", "spec": {"fn_id": "fail"}})),
        ("merge", json!({"kind": "function", "spec": {"fn_id": "merge"}})),
        (
            "lua",
            json!({"kind": "lua", "spec": {"source": "local x = ... return {twice = x * 2}", "label": "twice"}}),
        ),
        ("cat", command(json!(["cat"]))),
        ("third", command(json!(["sh", "-c", "[ \"$1\" -gt 2 ] && cat", "sh", "{attempt}"]))),
        ("hold", command(json!(["sleep", "600"]))),
        ("agent", command(json!(["sh", "-c", "while [ ! -e \"$1\" ]; do sleep 0.02; done; cat", "sh", go]))),
        ("needs", command(json!(["sh", "-c", "[ -e \"$1\" ] && cat", "sh", go]))),
        ("asks", json!({"kind": "command", "spec": {"template": "rehearsal"}})),
        ("asked", command(json!(["sh", "-c", "cat", "asked"]))),
        ("forbidden", command(json!(["echo", "forbidden"]))),
        ("check", json!({"kind": "check", "spec": {"command": "echo fine", "output_contains": "fine"}})),
    ];
    named
        .into_iter()
        .map(|(name, mut agent)| {
            agent["name"] = json!(name);
            agent
        })
        .collect()
}

fn at(path: &str) -> Value {
    json!({"op": "path", "at": path})
}

fn ask(out: &str) -> Value {
    json!({"kind": "ask", "question": "which way?", "options": ["left", "right"], "out": at(out)})
}

fn lit(value: Value) -> Value {
    json!({"op": "lit", "value": value})
}

fn step(agent: &str, input: Value, out: &str) -> Value {
    json!({"kind": "step", "ref": agent, "in": input, "out": at(out)})
}

fn fail() -> Value {
    step("fail", lit(json!({"message": "as it should"})), "$.never")
}

fn seq(children: Value) -> Value {
    json!({"kind": "seq", "children": children})
}

fn wait(ms: u64) -> Value {
    json!({"kind": "wait", "ms": ms})
}

/// Gives a branch of a fanout whose item is the word.
fn on(word: &str, then: Value, otherwise: Value) -> Value {
    let cond = json!({"op": "eq", "lhs": at("$.item"), "rhs": lit(json!(word))});
    json!({"kind": "branch", "cond": cond, "then": then, "else": otherwise})
}

fn fanout(join: &str, items: Value, body: Value) -> Value {
    json!({"kind": "fanout", "items": lit(items), "bind": at("$.item"), "join": join, "out": at("$.out"), "body": body})
}

fn guarded(body: Value) -> Value {
    json!({"kind": "try", "body": body, "catch": step("id", at("$.why"), "$.caught"), "err_at": at("$.why")})
}

fn times(count: u64, body: Value) -> Value {
    let cond = json!({"op": "lt", "lhs": at("$.n"), "rhs": lit(json!(count))});
    json!({"kind": "loop", "counter": at("$.n"), "cond": cond, "max": 10, "body": body})
}

const HOUR_MS: u64 = 3_600_000;

/// Gives the scenarios whose steps are functions, scripts and waits.
pub(crate) fn without_programs() -> Vec<FlowCase> {
    let id = |out| step("id", at("$.item"), out);
    let settled = fanout("all_settled", json!(["good", "bad", "better"]), on("bad", fail(), id("$.o")));
    let joined = json!({"kind": "fanout", "items": lit(json!([3, 1, 2])), "bind": at("$.item"), "join": "all",
        "out": at("$.out"), "collect": at("$.o"), "max_parallel": 2, "body": id("$.o")});
    let race = on("fast", id("$.o"), wait(HOUR_MS));
    let body =
        seq(json!([guarded(settled.clone()), step("merge", lit(json!([{"x": 1}, {"y": 2}])), "$.merged")]));
    let lanes = seq(json!([
        fanout("all", json!([1, 2, 3]), seq(json!([id("$.o"), step("id", at("$.o"), "$.p")]))),
        step("id", at("$.out"), "$.joined")
    ]));
    let call = |of: &str, out: &str| json!({"kind": "call", "blueprint": of, "in": lit(json!({"a": of})), "out": at(out)});
    let calls = seq(json!([
        times(2, fanout("all", json!([1, 2]), call("outer", "$.called"))),
        guarded(call("broken", "$.never")),
        step("id", at("$.out"), "$.end")
    ]));
    let branch = json!({"kind": "branch", "cond": {"op": "exists", "arg": at("$.b")},
        "then": step("id", at("$.b"), "$.c"), "else": fail()});
    vec![
        FlowCase::new(
            "sequence",
            seq(json!([
                step("id", at("$.a"), "$.b"),
                step("id", at("$.b"), "$.c"),
                step("lua", at("$.c"), "$.d")
            ])),
        ),
        FlowCase::new(
            "let and branch",
            seq(json!([{"kind": "let", "at": "$.b", "value": lit(json!([1, null, {}]))}, branch])),
        ),
        FlowCase::new("loop", times(3, step("id", at("$.n"), "$.seen"))),
        FlowCase::new("fanout all", joined),
        FlowCase::new(
            "fanout any",
            fanout("any", json!(["bad", "fast", "slow"]), on("bad", fail(), race.clone())),
        )
        .decided_by_order(),
        FlowCase::new("fanout race", fanout("race", json!(["slow", "fast", "slower"]), race)),
        FlowCase::new("fanout all_settled", settled),
        FlowCase::new("try and catch", seq(json!([guarded(fail()), step("id", at("$.caught"), "$.end")]))),
        FlowCase::new("a failure that nothing catches", seq(json!([step("id", at("$.a"), "$.b"), fail()]))),
        FlowCase::new(
            "wait",
            seq(json!([step("id", at("$.a"), "$.b"), wait(20), step("id", at("$.b"), "$.c")])),
        ),
        FlowCase::new("nested", times(2, fanout("all", json!([1, 2]), body))),
        FlowCase { meanwhile: Meanwhile::Reruns("0/body#1"), ..FlowCase::new("rerun of a branch", lanes) },
        FlowCase::new("calls", calls),
    ]
}

/// Gives the scenarios whose steps start programs.
pub(crate) fn with_programs() -> Vec<FlowCase> {
    let third = json!({"kind": "step", "ref": "third", "in": lit(json!(3)), "out": at("$.third"),
        "retry": {"max": 3, "backoff_ms": 5}});
    let slow =
        json!({"kind": "step", "ref": "hold", "in": lit(json!(0)), "out": at("$.x"), "timeout_ms": 50});
    let holds = seq(json!([step("id", at("$.a"), "$.b"), step("hold", at("$.b"), "$.c")]));
    let failing = fanout("all", json!(["hold", "bad"]), on("bad", fail(), step("hold", at("$.item"), "$.o")));
    vec![
        FlowCase::new(
            "commands",
            seq(json!([step("cat", at("$.a"), "$.b"), step("check", at("$.b"), "$.c")])),
        ),
        FlowCase::new("fanout of commands", fanout("all", json!([1, 2]), step("cat", at("$.item"), "$.o"))),
        FlowCase::new("fanout all with a failure", guarded(failing)).decided_by_order(),
        FlowCase::new("retry", third),
        FlowCase::new("an agent with a token", step("asks", at("$.a"), "$.b")),
        FlowCase::new("timeout", guarded(slow)).decided_by_order(),
        FlowCase {
            meanwhile: Meanwhile::Answers,
            ..FlowCase::new("asked before a step", guarded(step("asked", at("$.a"), "$.b")))
        },
        FlowCase {
            meanwhile: Meanwhile::Answers,
            ..FlowCase::new("questions", seq(json!([ask("$.one"), fanout("all", json!([1, 2]), ask("$.o"))])))
        }
        .decided_by_order(),
        FlowCase {
            meanwhile: Meanwhile::Reruns("needs"),
            ..FlowCase::new(
                "rerun of what failed",
                seq(json!([
                    step("cat", at("$.a"), "$.b"),
                    step("needs", at("$.b"), "$.c"),
                    step("id", at("$.c"), "$.d")
                ])),
            )
        }
        .decided_by_order(),
        FlowCase {
            meanwhile: Meanwhile::Reruns("cat"),
            ..FlowCase::new(
                "rerun of programs side by side",
                fanout(
                    "all_settled",
                    json!(["good", "bad"]),
                    on("bad", step("needs", at("$.item"), "$.o"), step("cat", at("$.item"), "$.o")),
                ),
            )
        }
        .decided_by_order(),
        FlowCase::new("denied by the gate", guarded(step("forbidden", at("$.a"), "$.b"))),
        FlowCase { ttl_secs: Some(TTL_SECS), ..FlowCase::new("time to live", holds.clone()) },
        FlowCase { meanwhile: Meanwhile::Cancels, ..FlowCase::new("cancel", holds) }.decided_by_order(),
        FlowCase {
            meanwhile: Meanwhile::CallsTools,
            ..FlowCase::new("tools", step("agent", at("$.a"), "$.b"))
        }
        .decided_by_order(),
    ]
}
