//! The typed calls of the client: each is made once, and its answer is read.

use super::{Bench, Door, next_run_event};
use crate::harness::Daemon;
use adjutant_protocol::rpc::{
    Action, ActionKind, Decision, NoTools, Notice, PolicyRule, PolicySpec, Proposal, ProposalLimits,
    RunOutcome, RunStart, SubmitOptions, ToolCall, ToolSpec, TurnReport,
};
use serde_json::{Value, json};

fn tool(name: &str) -> ToolSpec {
    ToolSpec { name: name.to_owned(), parameters: json!({}), ..ToolSpec::default() }
}

fn proposal(actions: Vec<Action>) -> Proposal {
    Proposal { id: Some("p".to_owned()), actions, ..Proposal::default() }
}

fn of_state(kind: ActionKind, parameters: Value) -> Action {
    Action { kind, parameters, ..Action::default() }
}

fn denying(name: &str, target: &str) -> PolicySpec {
    PolicySpec { name: name.to_owned(), rule: PolicyRule::DenyTool { target: target.to_owned() } }
}

#[tokio::test]
async fn what_a_connection_registers_is_there_until_it_is_taken_away() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let rpc = &door.client;
    let info = rpc.server_info().await.unwrap();
    assert!(info.capabilities.contains(&"runs.start".to_owned()), "{info:?}");

    let limited = ToolSpec {
        cache_ttl_secs: Some(5),
        outcome: Some(json!({"kind": "verifier", "passed": "ok"})),
        ..tool("b")
    };
    assert_eq!(rpc.tools_register(&[tool("a"), limited.clone()]).await.unwrap(), 2);
    assert_eq!(rpc.tools_unregister(&["a", "none"]).await.unwrap(), 1);
    let listed = rpc.tools_list().await.unwrap();
    assert_eq!((listed.len(), &listed[0].name, listed[0].cache_ttl_secs), (1, &limited.name, Some(5)));
    assert_eq!(listed[0].outcome, limited.outcome);

    let session = rpc.policy_session_open().await.unwrap();
    let asks =
        json!({"effect": "ask", "tool": "deploy", "reason": "people decide"}).as_object().unwrap().clone();
    for (rule, scope) in [
        (PolicyRule::DenyTool { target: "t".to_owned() }, None),
        (PolicyRule::DenyConnector { target: "c".to_owned() }, Some(&*session)),
        (
            PolicyRule::DenyToolParam {
                target: "t".to_owned(),
                key: "k".to_owned(),
                pattern: "x".to_owned(),
            },
            None,
        ),
        (PolicyRule::RequireState { key: "ready".to_owned(), value: json!(true) }, Some(&*session)),
        (PolicyRule::Rule(asks), None),
    ] {
        rpc.policy_register(&PolicySpec { name: "rule".to_owned(), rule }, scope).await.unwrap();
    }
    let bound = rpc.policy_list().await.unwrap();
    let in_session = bound.iter().filter(|policy| policy.scope == json!({"session_id": session})).count();
    assert_eq!((bound.len(), in_session), (5, 2));
    let call = |tool: &str| ToolCall { tool: tool.to_owned(), parameters: json!({}) };
    for (name, decision) in
        [("deploy", Decision::NeedsApproval), ("t", Decision::Deny), ("u", Decision::Allow)]
    {
        assert_eq!(rpc.permission_evaluate(&call(name)).await.unwrap().decision, decision, "{name}");
    }
    assert_eq!(rpc.policy_remove("rule").await.unwrap(), 5);
    assert!(rpc.policy_session_close(&session).await.unwrap());
    assert!(!rpc.policy_session_close(&session).await.unwrap());

    rpc.state_set("k", &json!([1])).await.unwrap();
    assert_eq!(rpc.state_get("k").await.unwrap(), json!([1]));
    assert!(rpc.state_exists("k").await.unwrap() && !rpc.state_exists("l").await.unwrap());
    assert_eq!(rpc.state_keys().await.unwrap(), ["k"]);
    assert_eq!(rpc.state_snapshot().await.unwrap()["k"], json!([1]));
    daemon.stop().await;
}

#[tokio::test]
async fn a_run_is_driven_watched_and_read_by_types_alone() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::answering([Ok(json!({"n": 1}))])).await;
    let rpc = &door.client;
    rpc.tools_register(&[tool("count")]).await.unwrap();
    let session = rpc.policy_session_open().await.unwrap();
    rpc.policy_register(&denying("no-count", "count"), Some(&session)).await.unwrap();
    let start = RunStart { intent: "count".to_owned(), max_tool_calls: Some(2), ..RunStart::default() };
    let run = rpc.run_start(&start).await.unwrap();
    assert_eq!(run.agent_id, "agent-a");

    let mut host = Door::open(&daemon, NoTools).await;
    let tail = host.client.run_subscribe(&run.run_id).await.unwrap().expect("a host sees it");
    assert_eq!((tail.cursor, &*tail.status), (0, "in_progress"));
    assert_eq!(host.client.run_subscribe("no-such-run").await.unwrap(), None);

    let actions = vec![
        of_state(ActionKind::StateWrite, json!({"key": "k", "value": 7})),
        Action {
            state_dependencies: vec!["k".to_owned()],
            ..of_state(ActionKind::StateRead, json!({"key": "k"}))
        },
        Action::tool_call("count", json!({"by": 1})),
    ];
    let checked = rpc.verify(&proposal(actions.clone()), None).await.unwrap();
    assert!(checked.valid && checked.execution_levels.len() == 2, "{checked:?}");
    let done = rpc.proposal_submit(&proposal(actions), &SubmitOptions::default()).await.unwrap();
    let outputs: Vec<_> = done.results.iter().map(|result| result.output.clone()).collect();
    assert_eq!(outputs[1..], [Some(json!(7)), Some(json!({"n": 1}))], "{done:?}");
    assert_eq!((done.cost.tool_calls, done.cost.actions_executed), (1, 3));

    let count = || proposal(vec![Action::tool_call("count", json!({}))]);
    let under = SubmitOptions { session_id: Some(session), ..SubmitOptions::default() };
    let refused = rpc.proposal_submit(&count(), &under).await.unwrap();
    assert_eq!(refused.results[0].status, "rejected");
    let none = ProposalLimits { max_tool_calls: Some(0), ..ProposalLimits::default() };
    let limited = SubmitOptions { limits: none, ..SubmitOptions::default() };
    let skipped = rpc.proposal_submit(&count(), &limited).await.unwrap();
    assert_eq!(skipped.results[0].status, "skipped");
    assert_eq!(rpc.proposal_cancel("p").await.unwrap(), 0, "it is over");

    let told = TurnReport { prompt: Some("by hand".to_owned()), ..TurnReport::default() };
    let recorded = rpc.run_record_turns(&run.run_id, std::slice::from_ref(&told)).await.unwrap();
    assert_eq!((recorded.ok, recorded.count), (true, 1));
    let dropped = rpc.run_record_turns("no-such-run", &[told]).await.unwrap();
    assert_eq!((dropped.ok, dropped.dropped.as_deref()), (false, Some("run_not_found")));

    let first = next_run_event(&mut host).await;
    assert_eq!(first.run_id, run.run_id);
    assert!(host.client.run_unsubscribe(&run.run_id).await.unwrap());
    let outcome =
        RunOutcome { status: "success".to_owned(), metrics: json!({"turns": 6}), ..RunOutcome::default() };
    rpc.run_complete(&run.run_id, &outcome).await.unwrap();
    let page = rpc.run_trace(&run.run_id, 0).await.unwrap().expect("it is ours");
    assert!(!page.more);
    assert_eq!(page.records.last().unwrap()["termination"]["outcome"]["metrics"]["turns"], 6, "{page:?}");
    assert_eq!(rpc.run_trace("no-such-run", 0).await.unwrap(), None);
    let listed = rpc.run_list(Some("agent-a"), 10).await.unwrap();
    assert_eq!((listed.len(), &*listed[0].status), (1, "completed"));
    daemon.stop().await;
}

#[tokio::test]
async fn what_is_asked_is_answered_and_what_happens_is_told() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::answering([Ok(json!({}))])).await;
    let rpc = door.client.clone();
    rpc.tools_register(&[tool("deploy")]).await.unwrap();
    let asks =
        json!({"effect": "ask", "tool": "deploy", "reason": "people decide"}).as_object().unwrap().clone();
    let rule = PolicySpec { name: "ask-first".to_owned(), rule: PolicyRule::Rule(asks) };
    rpc.policy_register(&rule, None).await.unwrap();
    let first =
        rpc.run_start(&RunStart { intent: "deploy".to_owned(), ..RunStart::default() }).await.unwrap();

    let mut host = Door::open(&daemon, NoTools).await;
    let from = host.client.events_subscribe(None).await.unwrap();
    assert_eq!(from.cursor, from.last);
    let deploy = || proposal(vec![Action::tool_call("deploy", json!({}))]);
    let mut statuses = Vec::new();
    for allowed in [true, false] {
        let (asking, rpc) = (deploy(), rpc.clone());
        let submitted =
            tokio::spawn(async move { rpc.proposal_submit(&asking, &SubmitOptions::default()).await });
        // The journal tells when the question is there.
        let asked = async {
            loop {
                match host.notices.recv().await.expect("the connection is there") {
                    Notice::Other { params, .. } if params["kind"] == "approval_raised" => return,
                    Notice::Other { .. } | Notice::Run(_) => {}
                }
            }
        };
        tokio::time::timeout(super::DEADLINE, asked).await.expect("the question is told of");
        let pending = host.client.permission_pending().await.unwrap();
        let answered = match allowed {
            true => host.client.permission_approve(&pending[0].id, "go on").await.unwrap(),
            false => host.client.permission_reject(&pending[0].id, "not now").await.unwrap(),
        };
        assert_eq!(answered.status, if allowed { "approved" } else { "denied" });
        statuses.push(submitted.await.unwrap().unwrap().results[0].status.clone());
    }
    assert_eq!(statuses, ["succeeded", "rejected"]);
    assert!(host.client.events_unsubscribe().await.unwrap());
    rpc.run_cancel(&first.run_id, "enough").await.unwrap();

    let second =
        rpc.run_start(&RunStart { intent: "again".to_owned(), ..RunStart::default() }).await.unwrap();
    drop((rpc, door));
    let door = Door::of_agent(&daemon, "agent-a", NoTools).await;
    let resumed = door.client.run_resume(&second.run_id).await.unwrap();
    assert_eq!((resumed.run_id, resumed.cursor), (second.run_id, 0));
    daemon.stop().await;
}
