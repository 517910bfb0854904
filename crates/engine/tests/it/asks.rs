//! What runs ask people: questions of a flow, and steps and tool calls that a rule asks about.

use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_engine::gate::ToolJudged;
use adjutant_engine::{EngineError, Plane, Settings};
use adjutant_model::action::{Caller, Role, StepBinding};
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::event::Event;
use adjutant_model::policy::{GateStage, PolicyEffect, ToolCall};
use adjutant_model::run::{RunStatus, StepPath, TurnKind, TurnStatus};
use adjutant_model::{RunId, Value};
use adjutant_testkit::{Home, json, owner, start, task, turns, until};
use serde_json::json;

const POLICY: &str = "[[rule]]\nname = \"ask-first\"\neffect = \"ask\"\ntool = \"step:command\"\nreason = \"it costs\"\n\
                      [[rule]]\nname = \"ask-bash\"\neffect = \"ask\"\ntool = \"Bash\"\nreason = \"it is a shell\"\n";

const YES: Answer<'_> = Answer::Approve { option: None };

fn at(path: &str) -> serde_json::Value {
    json!({"op": "path", "at": path})
}

fn question(text: &str, out: &str) -> serde_json::Value {
    json!({"kind": "ask", "question": text, "options": ["left", "right"], "out": at(out)})
}

/// Gives a blueprint whose command writes its input into a file.
fn blueprint(home: &Home, flow: serde_json::Value) -> serde_json::Value {
    let note = format!("cat >> '{0}'; echo >> '{0}'; echo noted", home.path("log").display());
    json!({"id": "test", "flow": flow, "agents": [
        {"name": "id", "kind": "function", "spec": {"fn_id": "identity"}},
        {"name": "note", "kind": "command", "spec": {"argv": ["sh", "-c", note]}}]})
}

fn note(input: serde_json::Value) -> serde_json::Value {
    json!({"kind": "step", "ref": "note", "in": {"op": "lit", "value": input}, "out": at("$.noted")})
}

fn noted(home: &Home) -> usize {
    std::fs::read_to_string(home.path("log")).map_or(0, |text| text.lines().count())
}

async fn plane(home: &Home) -> Plane {
    with(home, |_| {}).await
}

async fn with(home: &Home, change: impl FnOnce(&mut Settings)) -> Plane {
    std::fs::write(home.path("policy.toml"), POLICY).expect("the policy is written");
    let mut settings = home.settings();
    change(&mut settings);
    let plane = Plane::open(settings).await.expect("the plane opens");
    plane.endpoint_set("http://127.0.0.1:9".to_owned());
    plane.resume().await.expect("the plane resumes");
    plane
}

async fn asked(plane: &Plane, status: ApprovalStatus, count: usize) -> Vec<Approval> {
    until(plane, async || {
        let found = plane.approvals(Some(status), 100).await?;
        Ok((found.len() == count).then_some(found))
    })
    .await
}

async fn one(plane: &Plane) -> Approval {
    asked(plane, ApprovalStatus::Pending, 1).await.remove(0)
}

async fn say(plane: &Plane, id: &str, answer: Answer<'_>) -> Result<Approval, EngineError> {
    let caller = owner();
    plane
        .approval_answer(
            id,
            answer,
            Answerer { caller: &caller, connection: None, face: Face::Person, reason: "" },
        )
        .await
}

async fn waits(plane: &Plane, run_id: &RunId) {
    until(plane, async || Ok((plane.run_get(run_id).await?.status == RunStatus::Waiting).then_some(())))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_asks_and_goes_on_with_the_option_that_was_chosen() {
    let home = Home::new();
    let plane = plane(&home).await;
    let flow =
        json!({"kind": "seq", "children": [question("which way?", "$.way"), question("again?", "$.again")]});
    let started = start(&plane, task(blueprint(&home, flow), json!({}))).await;
    waits(&plane, &started.run_id).await;
    let asked = one(&plane).await;
    assert_eq!((asked.tool.as_str(), asked.run_id.as_deref()), ("ask", Some(started.run_id.as_str())));
    assert_eq!(asked.parameters, json(json!({"question": "which way?", "options": ["left", "right"]})));
    let wrong = say(&plane, &asked.id, Answer::Approve { option: Some("up") }).await;
    let wrong = wrong.expect_err("it is no option");
    assert_eq!(
        (wrong.code(), wrong.to_string().contains("`left`, `right`")),
        ("invalid_request", true),
        "{wrong}"
    );
    say(&plane, &asked.id, Answer::Approve { option: Some("right") }).await.expect("it is answered");
    let again = one(&plane).await;
    assert_ne!(again.id, asked.id);
    say(&plane, &again.id, YES).await.expect("it is answered");
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.result, Some(json(json!({"way": "right", "again": "left"}))), "{:?}", ended.error);
    let told: Vec<_> = turns(&plane, &started.run_id).await.into_iter().map(|t| (t.name, t.status)).collect();
    assert_eq!(told, [("ask".to_owned(), TurnStatus::Succeeded), ("ask".to_owned(), TurnStatus::Succeeded)]);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_denied_or_not_answered_fails_as_a_step_does() {
    let home = Home::new();
    let plane = plane(&home).await;
    let mut late = question("now?", "$.x");
    late["timeout_ms"] = json!(40);
    for (node, answer) in [(question("may I?", "$.x"), Some(Answer::Deny)), (late, None)] {
        let caught = json!({"kind": "try", "body": node, "catch": {"kind": "seq", "children": []},
            "err_at": at("$.err"), "err_format": "object"});
        let started = start(&plane, task(blueprint(&home, caught), json!({}))).await;
        let approval = match answer {
            Some(answer) => {
                let id = one(&plane).await.id;
                say(&plane, &id, answer).await.expect("it is answered")
            }
            None => asked(&plane, ApprovalStatus::Expired, 1).await.remove(0),
        };
        let ended = plane.run_ended(&started.run_id).await.expect("it ends");
        let error = ended.result.as_ref().and_then(|ctx| ctx.get("err")).expect("it was caught");
        assert_eq!(error.get("code").and_then(Value::as_str), Some("step_failed"));
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        assert!(message.contains(&approval.id), "{message}");
    }
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_a_rule_asks_about_is_performed_when_it_is_approved() {
    let home = Home::new();
    let plane = plane(&home).await;
    let started = start(&plane, task(blueprint(&home, note(json!(1))), json!({}))).await;
    waits(&plane, &started.run_id).await;
    let approval = one(&plane).await;
    assert_eq!(approval.tool, "step:command");
    assert_eq!(approval.agent_id.as_deref(), Some("note"));
    assert!(approval.reason.contains("ask-first"), "{}", approval.reason);
    assert!(approval.parameters.get("command").is_some(), "the exact effect: {}", approval.parameters);
    assert_eq!(noted(&home), 0, "nothing is done before the answer");
    say(&plane, &approval.id, YES).await.expect("it is answered");
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!((ended.status, noted(&home)), (RunStatus::Done, 1), "{:?}", ended.error);
    let rows = plane.events_of(started.run_id.as_str(), 0, 1000).await.expect("readable");
    let judged: Vec<_> = rows
        .iter()
        .filter_map(|row| match &row.event {
            Event::ToolJudged { judgement, .. } => Some((judgement.effect, judgement.decided_by)),
            _ => None,
        })
        .collect();
    assert_eq!(judged, [(PolicyEffect::Ask, GateStage::Policy), (PolicyEffect::Allow, GateStage::Approval)]);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_denied_fails_with_the_rule_and_the_approval() {
    let home = Home::new();
    let plane = plane(&home).await;
    let mut step = note(json!(1));
    step["retry"] = json!({"max": 3});
    let started = start(&plane, task(blueprint(&home, step), json!({}))).await;
    let approval = one(&plane).await;
    say(&plane, &approval.id, Answer::Deny).await.expect("it is answered");
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    let message = ended.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
    for named in ["ask-first", "it costs", "denied", approval.id.as_str()] {
        assert!(message.contains(named), "{named}: {message}");
    }
    assert_eq!((ended.status, noted(&home)), (RunStatus::Failed, 0), "and it is not tried again");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_in_time_and_the_step_fails() {
    let home = Home::new();
    let plane = with(&home, |settings| settings.approval_ms = 40).await;
    let started = start(&plane, task(blueprint(&home, note(json!(1))), json!({}))).await;
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    let message = ended.error.as_ref().map(|error| error.message.clone()).unwrap_or_default();
    assert!(message.contains("no answer in time"), "{message}");
    let expired = asked(&plane, ApprovalStatus::Expired, 1).await.remove(0);
    assert_eq!(expired.resolved_by.as_deref(), Some("the deadline"));
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_questions_wait_under_the_next_daemon() {
    let home = Home::new();
    let plane = plane(&home).await;
    let flow = json!({"kind": "fanout", "items": {"op": "lit", "value": [true, false]}, "bind": at("$.item"),
        "join": "all", "out": at("$.r"), "collect": {"op": "exists", "arg": at("$.item")},
        "body": {"kind": "branch", "cond": at("$.item"), "then": note(json!(1)), "else": question("?", "$.way")}});
    let started = start(&plane, task(blueprint(&home, flow), json!({}))).await;
    let before = asked(&plane, ApprovalStatus::Pending, 2).await;
    waits(&plane, &started.run_id).await;
    plane.stop().await;

    let plane = self::plane(&home).await;
    let after = asked(&plane, ApprovalStatus::Pending, 2).await;
    assert_eq!(after, before, "they are the same, with the same deadlines");
    assert_eq!(plane.run_get(&started.run_id).await.expect("it is there").status, RunStatus::Waiting);
    let step = after.iter().find(|approval| approval.tool != "ask").expect("the step's");
    say(&plane, &step.id, YES).await.expect("it is answered");
    until(&plane, async || Ok((noted(&home) == 1).then_some(()))).await;
    // What was answered before a restart is not asked again behind it.
    plane.stop().await;
    let plane = self::plane(&home).await;
    let node = one(&plane).await;
    say(&plane, &node.id, YES).await.expect("it is answered");
    let ended = plane.run_ended(&started.run_id).await.expect("it ends");
    assert_eq!(ended.status, RunStatus::Done, "{:?}", ended.error);
    assert_eq!(plane.approvals(None, 100).await.expect("readable").len(), 2, "nothing was asked twice");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_run_asks_no_more_is_withdrawn() {
    let home = Home::new();
    let plane = plane(&home).await;
    let race = json!({"kind": "fanout", "items": {"op": "lit", "value": [1, 2]}, "bind": at("$.item"), "join": "race",
        "out": at("$.r"), "collect": at("$.item"), "body": question("?", "$.way")});
    let flow = json!({"kind": "seq", "children": [race, note(json!(1))]});
    let started = start(&plane, task(blueprint(&home, flow), json!({}))).await;
    let both = asked(&plane, ApprovalStatus::Pending, 2).await;
    say(&plane, &both[0].id, YES).await.expect("it is answered");
    asked(&plane, ApprovalStatus::Withdrawn, 1).await;
    let step = one(&plane).await;
    plane.run_cancel(&owner(), &started.run_id, "test").await.expect("it is cancelled");
    let withdrawn = asked(&plane, ApprovalStatus::Withdrawn, 2).await;
    assert!(withdrawn.iter().any(|approval| approval.id == step.id));
    assert!(say(&plane, &step.id, YES).await.is_err(), "it has ended");
    assert_eq!(noted(&home), 0);
    plane.stop().await;
}

/// An agent that holds until the file `go` is there, and the caller that acts as it.
async fn agent(plane: &Plane, home: &Home) -> (RunId, Caller) {
    let (began, go) = (home.path("began"), home.path("go"));
    let hold = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; echo done",
        began.display(),
        go.display()
    );
    let body = json!({"kind": "branch", "cond": at("$.item"), "then": {"kind": "step", "ref": "hold",
        "in": at("$.item"), "out": at("$.o")}, "else": question("?", "$.o")});
    let flow = json!({"kind": "fanout", "items": {"op": "lit", "value": [true, false]}, "bind": at("$.item"),
        "join": "all", "out": at("$.r"), "collect": at("$.o"), "body": body});
    let blueprint = json!({"id": "test", "flow": flow,
        "agents": [{"name": "hold", "kind": "command", "spec": {"argv": ["sh", "-c", hold]}}]});
    let started = start(plane, task(blueprint, json!({}))).await;
    let both = asked(plane, ApprovalStatus::Pending, 2).await;
    let step = both.iter().find(|approval| approval.tool == "step:command").expect("the step's");
    say(plane, &step.id, YES).await.expect("it is answered");
    // Its token is good from then on that it works, which nothing but itself tells.
    while !began.exists() {
        tokio::task::yield_now().await;
    }
    let binding =
        StepBinding { run_id: started.run_id.clone(), path: StepPath::new("body#0/then"), attempt: 1 };
    (started.run_id, Caller { role: Role::Worker, step: Some(binding), ..owner() })
}

fn bash() -> ToolCall {
    ToolCall { tool: "Bash".to_owned(), parameters: json(json!({"command": "make"})) }
}

/// Judges a call apart, and waits until a person is asked about it.
async fn ask_about(
    plane: &Plane,
    caller: &Caller,
) -> (String, tokio::task::JoinHandle<Result<ToolJudged, EngineError>>) {
    let (apart, caller) = (plane.clone(), caller.clone());
    let judging = tokio::spawn(async move { apart.tool_judge(&caller, bash()).await });
    let id = until(plane, async || {
        let pending = plane.approvals(Some(ApprovalStatus::Pending), 100).await?;
        Ok(pending.into_iter().find(|approval| approval.tool == "Bash").map(|approval| approval.id))
    })
    .await;
    (id, judging)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_call_waits_for_its_answer_while_the_run_goes_on() {
    let home = Home::new();
    let plane = plane(&home).await;
    let (run_id, caller) = agent(&plane, &home).await;
    let (id, judging) = ask_about(&plane, &caller).await;
    let own = Answerer { caller: &caller, connection: None, face: Face::Person, reason: "" };
    let own = plane.approval_answer(&id, YES, own).await.expect_err("the asker never answers");
    assert_eq!(own.code(), "forbidden");
    // The owner of the run takes other answers meanwhile.
    let node = plane.approvals(Some(ApprovalStatus::Pending), 100).await.expect("readable");
    let node = node.into_iter().find(|approval| approval.tool == "ask").expect("the flow's own question");
    say(&plane, &node.id, YES).await.expect("it is answered");
    until(&plane, async || {
        let turns = plane.turns(&run_id, None, 100).await?;
        Ok(turns.iter().any(|t| t.name == "ask" && t.status == TurnStatus::Succeeded).then_some(()))
    })
    .await;
    assert!(!judging.is_finished());
    say(&plane, &id, YES).await.expect("it is answered");
    let judged = judging.await.expect("no panic").expect("it is judged");
    assert_eq!((judged.judgement.allowed, judged.judgement.decided_by), (true, GateStage::Approval));

    let (id, judging) = ask_about(&plane, &caller).await;
    say(&plane, &id, Answer::Deny).await.expect("it is answered");
    let judged = judging.await.expect("no panic").expect("it is judged");
    assert!(!judged.judgement.allowed && judged.judgement.reason.contains(&id), "{judged:?}");
    assert_eq!(judged.judgement.rule.as_deref(), Some("ask-bash"));
    let tools: Vec<_> = turns(&plane, &run_id)
        .await
        .into_iter()
        .filter(|t| t.kind == TurnKind::Tool)
        .map(|t| t.status)
        .collect();
    assert_eq!(tools, [TurnStatus::Started, TurnStatus::Rejected]);
    std::fs::write(home.path("go"), "").expect("the file is written");
    plane.run_ended(&run_id).await.expect("it ends");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_question_goes_with_its_run_or_with_the_one_who_waits() {
    let home = Home::new();
    let plane = plane(&home).await;
    let (run_id, caller) = agent(&plane, &home).await;
    let (id, judging) = ask_about(&plane, &caller).await;
    judging.abort();
    let gone = asked(&plane, ApprovalStatus::Withdrawn, 1).await.remove(0);
    assert_eq!(gone.id, id, "nobody waits for it");
    let (_, judging) = ask_about(&plane, &caller).await;
    plane.run_cancel(&owner(), &run_id, "test").await.expect("it is cancelled while the agent waits");
    let refused = judging.await.expect("no panic").expect_err("its step is over");
    assert_eq!(refused.code(), "not_found");
    asked(&plane, ApprovalStatus::Withdrawn, 3).await;
    asked(&plane, ApprovalStatus::Pending, 0).await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_question_does_not_outlive_its_agent() {
    let home = Home::new();
    let plane = plane(&home).await;
    let (_, caller) = agent(&plane, &home).await;
    let (id, judging) = ask_about(&plane, &caller).await;
    plane.stop().await;
    assert!(judging.await.expect("no panic").is_err());
    let plane = self::plane(&home).await;
    let withdrawn = asked(&plane, ApprovalStatus::Withdrawn, 1).await.remove(0);
    assert_eq!(withdrawn.id, id);
    assert_eq!(one(&plane).await.tool, "ask", "the flow's own question still waits");
    plane.stop().await;
}
