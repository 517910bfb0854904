//! What the gate said of a turn, asked for afterwards.

use crate::harness::{Daemon, identity, one_step, refused, task};
use crate::rpc::{Bench, Door, eventually};
use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_protocol::http::{ExplanationView, TaskParams, VerdictView};
use serde_json::json;

fn check_step(command: &str) -> TaskParams {
    task(one_step(json!({"kind": "check", "spec": {"command": command}})), json!({"in": 1}))
}

/// Executes a task to its end, however it ends, and gives its run.
async fn ended(daemon: &Daemon, params: &TaskParams) -> String {
    let run_id = daemon.client.task_start(params).await.expect("it is accepted").run_id;
    daemon.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it ends");
    run_id
}

#[track_caller]
fn only(explained: &ExplanationView) -> &VerdictView {
    let [verdict] = explained.judgements.as_slice() else { panic!("not one judgement: {explained:?}") };
    verdict
}

fn matched(verdict: &VerdictView) -> Vec<(&str, &str, &str)> {
    let told = verdict.matched.iter();
    told.map(|hit| (hit.rule.as_str(), hit.effect.as_str(), hit.scope.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_explained_by_every_rule_that_matched() {
    let daemon = Daemon::start().await;
    let run_id = ended(&daemon, &check_step("true")).await;
    let explained = daemon.client.turn_explain(&run_id, 0).await.expect("it is explained");
    assert_eq!((explained.kind.as_str(), explained.name.as_str()), ("step", "worker"));
    let verdict = only(&explained);
    assert_eq!(
        (verdict.allowed, verdict.effect.as_str(), verdict.decided_by.as_str()),
        (true, "allow", "policy")
    );
    assert_eq!(matched(verdict), [("flows-run-their-steps", "allow", "plane")]);

    let run_id = ended(&daemon, &check_step("rm -rf /etc")).await;
    let explained = daemon.client.turn_explain(&run_id, 0).await.expect("it is explained");
    let verdict = only(&explained);
    assert_eq!((verdict.allowed, verdict.rule.as_deref()), (false, Some("delete-outside-the-workspace")));
    let both =
        [("flows-run-their-steps", "allow", "plane"), ("delete-outside-the-workspace", "deny", "plane")];
    assert_eq!(matched(verdict), both);
    assert!(verdict.matched[1].why.contains("deletes what cannot be brought back"), "{verdict:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_no_rule_is_about_leaves_nothing_in_the_journal() {
    let daemon = Daemon::start().await;
    let run_id = ended(&daemon, &task(identity(), json!({"in": 1}))).await;
    let explained = daemon.client.turn_explain(&run_id, 0).await.expect("the turn is there");
    assert_eq!((explained.status.as_str(), explained.judgements.as_slice()), ("succeeded", [].as_slice()));
    let rows = daemon.plane.events_of(&run_id, 0, 1000).await.expect("the journal");
    assert!(rows.iter().all(|row| row.event.kind() != "tool_judged"), "{rows:?}");
    for (run, turn) in
        [(run_id.as_str(), 1), ("run_00000000-0000-7000-8000-000000000000", 0), ("nobody's", 0)]
    {
        assert_eq!(refused(daemon.client.turn_explain(run, turn).await).0, 404, "{run} {turn}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn an_action_of_a_client_is_explained_to_those_who_may_see_its_run() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::answering([Ok(json!("found"))])).await;
    door.call("tools.register", json!([{"name": "search"}, {"name": "fetch"}])).await;
    door.call("policy.register", json!({"name": "no-search", "rule": "deny_tool", "target": "search"})).await;
    let run_id = door.start("agent-a").await;
    for tool in ["search", "fetch"] {
        door.submit(tool, json!({})).await;
    }
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": [{"tool": "told"}]})).await;
    let refused_one = daemon.client.turn_explain(&run_id, 0).await.expect("it is explained");
    assert_eq!((refused_one.kind.as_str(), refused_one.status.as_str()), ("action", "rejected"));
    assert_eq!(only(&refused_one).rule.as_deref(), Some("no-search"));
    assert_eq!(matched(only(&refused_one)), [("no-search", "deny", "connection")]);
    for (turn, kind, name) in [(1, "action", "fetch"), (2, "narrated", "told")] {
        let explained = daemon.client.turn_explain(&run_id, turn).await.expect("the turn is there");
        assert_eq!((explained.kind.as_str(), explained.name.as_str()), (kind, name));
        assert!(explained.judgements.is_empty(), "{explained:?}");
    }
    let owner = daemon.plane.authenticate(&daemon.token).await.expect("it reads").expect("the owner");
    let other = daemon.plane.agent_token_create(&owner, "agent-b", 600).await.expect("a token");
    let other = daemon.plane.authenticate(other.reveal()).await.expect("it reads").expect("an agent");
    assert!(daemon.plane.turn_explain(&other, &run_id, 0).await.is_err(), "another's looks like none");
    daemon.stop().await;
}

#[tokio::test]
async fn what_a_person_answered_is_part_of_the_explanation() {
    let daemon = Daemon::with_policy(
        "[[rule]]\nname = \"ask-deploy\"\neffect = \"ask\"\ntool = \"deploy\"\nreason = \"production\"\n",
    )
    .await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::answering([Ok(json!("deployed"))])).await;
    door.call("tools.register", json!([{"name": "deploy"}])).await;
    let run_id = door.start("agent-a").await;
    let owner = daemon.plane.authenticate(&daemon.token).await.expect("it reads").expect("the owner");
    for (turn, answer, effect) in [(0, Answer::Approve { option: None }, "allow"), (1, Answer::Deny, "deny")]
    {
        let answered = async {
            let pending = eventually(async || {
                let pending = door.call("permission.pending", json!({})).await;
                pending["pending"][0]["approval_id"].as_str().map(str::to_owned)
            })
            .await;
            let answerer = Answerer { caller: &owner, connection: None, face: Face::Person, reason: "" };
            daemon.plane.approval_answer(&pending, answer, answerer).await.expect("it is answered");
        };
        tokio::join!(door.submit("deploy", json!({})), answered);
        let explained = daemon.client.turn_explain(&run_id, turn).await.expect("it is explained");
        let verdict = only(&explained);
        assert_eq!((verdict.effect.as_str(), verdict.decided_by.as_str()), (effect, "approval"));
        assert_eq!(matched(verdict), [("ask-deploy", "ask", "plane")]);
        assert!(verdict.reason.contains("production"), "{verdict:?}");
    }
    daemon.stop().await;
}
