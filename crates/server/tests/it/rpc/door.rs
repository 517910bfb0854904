//! The door itself, and G: rules, scopes, approvals.

use super::{Bench, Door, eventually};
use crate::harness::Daemon;
use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_protocol::rpc::{NoTools, ToolAnswer, ToolRequest, Tools};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::test]
async fn the_first_call_shows_a_token_or_the_door_closes() {
    let daemon = Daemon::start().await;
    let mut raw = daemon.web_socket(None).await;
    raw.send(r#"{"id": 1, "method": "state.keys"}"#).await;
    assert_eq!(raw.next().await.expect("an answer")["error"]["code"], -32001);
    assert_eq!(raw.next().await, None, "it is closed");

    let mut raw = daemon.web_socket(None).await;
    raw.send(&json!({"id": "a", "method": "session.auth", "params": {"token": daemon.token}}).to_string())
        .await;
    let answer = raw.next().await.expect("an answer");
    assert_eq!(answer["result"], json!({"ok": true, "auth_enabled": true, "role": "host"}));
    raw.send(r#"{"id": {"a": [1]}, "method": "state.keys"}"#).await;
    assert_eq!(raw.next().await, Some(json!({"jsonrpc": "2.0", "result": [], "id": {"a": [1]}})));
    daemon.stop().await;
}

#[tokio::test]
async fn batches_notifications_and_wrong_frames_are_answered_as_the_standard_says() {
    let daemon = Daemon::start().await;
    let mut raw = daemon.web_socket(Some(&daemon.token)).await;
    raw.send(
        r#"[{"id": 1, "method": "state.keys"}, {"method": "state.keys"}, 7, {"id": 2, "method": "no.such"}]"#,
    )
    .await;
    let answers = raw.next().await.expect("an answer");
    let codes: Vec<_> =
        answers.as_array().expect("a batch").iter().map(|answer| &answer["error"]["code"]).collect();
    assert_eq!(codes, [&Value::Null, &json!(-32600), &json!(-32601)]);
    for (frame, code) in [("{", -32700), ("[]", -32600), (r#"{"id": 3, "method": "state.get"}"#, -32602)] {
        raw.send(frame).await;
        let error = raw.next().await.expect("an answer")["error"].clone();
        assert_eq!(error["code"], code, "{frame}");
        assert!(error["data"]["code"].is_string() && error["data"]["hint"].is_string(), "{error}");
    }
    raw.send(r#"{"method": "state.keys"}"#).await;
    raw.send(r#"{"id": 9, "method": "state.keys"}"#).await;
    assert_eq!(raw.next().await.expect("an answer")["id"], 9, "a notification is not answered");
    daemon.stop().await;
}

#[tokio::test]
async fn g2_rules_of_a_scope_tighten_and_end_with_it() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    door.call("tools.register", json!([{"name": "search"}, {"name": "fetch"}])).await;
    let session = door.call("session.policy.open", json!({})).await["session_id"].clone();
    let rule = |target: &str| json!({"name": "no", "rule": "deny_tool", "target": target});
    let mut scoped = rule("search");
    scoped["session_id"] = session.clone();
    assert_eq!(door.call("policy.register", scoped.clone()).await["scope"], json!({"session_id": session}));
    door.call("policy.register", rule("fetch")).await;
    let submit = async |tool: &str, session: Option<&Value>| {
        let action = json!({"type": "tool_call", "tool": tool});
        let params = json!({"proposal": {"actions": [action]}, "session_id": session});
        door.call("proposal.submit", params).await["results"][0]["status"].clone()
    };
    assert_eq!(submit("search", None).await, "succeeded");
    assert_eq!(submit("search", Some(&session)).await, "rejected");
    assert_eq!(submit("fetch", Some(&session)).await, "rejected", "global rules hold under a scope");
    assert_eq!(
        door.call("session.policy.close", json!({"session_id": session})).await,
        json!({"closed": true})
    );
    assert_eq!(
        door.call("session.policy.close", json!({"session_id": session})).await,
        json!({"closed": false})
    );
    assert_eq!(submit("search", Some(&session)).await, "rejected", "a closed scope refuses everything");
    assert_eq!(door.refused("policy.register", scoped).await.0, -32002);
    daemon.stop().await;
}

#[tokio::test]
async fn w5_rules_that_are_not_known_are_refused_and_nothing_is_registered() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, NoTools).await;
    let known = json!({"rule": "deny_tool", "target": "x"});
    let init = json!({"tools": [{"name": "a"}], "policies": [known, {"rule": "allow_all"}]});
    assert_eq!(door.refused("session.init", init).await.0, -32602);
    assert_eq!(door.call("policy.list", json!({})).await, json!({"policies": []}));
    assert_eq!(door.call("tools.list", json!({})).await, json!({"tools": []}));
    daemon.stop().await;
}

#[tokio::test]
async fn w1_the_planes_own_rules_see_through_a_shell_and_cannot_be_weakened() {
    let daemon = Daemon::start().await;
    let tools = Bench::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "Bash"}])).await;
    for command in
        ["rm  -r -f /", "sudo sh -c 'rm -rf /'", "\"rm\" -fr /etc", "echo $(rm -rf ~)", "X=rm; $X -rf /"]
    {
        let result = door.submit("Bash", json!({"command": command})).await;
        assert_eq!(result["results"][0]["status"], "rejected", "{command}");
        let error = result["results"][0]["error"].as_str().expect("a reason");
        assert!(error.contains("delete-outside-the-workspace"), "{command}: {error}");
    }
    assert!(tools.asked().is_empty());
    assert_eq!(
        door.submit("Bash", json!({"command": "rm -rf build"})).await["results"][0]["status"],
        "succeeded"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn g3_w8_what_a_rule_asks_waits_for_a_person_who_is_not_the_asker() {
    let daemon = Daemon::with_policy(
        "[[rule]]\nname = \"ask-deploy\"\neffect = \"ask\"\ntool = \"deploy\"\nreason = \"production\"\n",
    )
    .await;
    let tools = Bench::answering([Ok(json!("deployed"))]);
    let door = Door::of_agent(&daemon, "agent-a", tools.clone()).await;
    door.call("tools.register", json!([{"name": "deploy"}])).await;
    let action = json!({"type": "tool_call", "tool": "deploy", "parameters": {"to": "prod"}});
    let evaluated = door.call("permission.evaluate", json!({"action": action})).await;
    assert_eq!(evaluated["decision"], "needs_approval");
    let submitted = door.submit("deploy", json!({"to": "prod"}));
    let answered = async {
        let pending = eventually(async || {
            let pending = door.call("permission.pending", json!({})).await;
            (!pending["pending"].as_array().expect("a list").is_empty()).then_some(pending)
        })
        .await;
        let approval = &pending["pending"][0];
        assert_eq!((&approval["tool"], &approval["parameters"]), (&json!("deploy"), &json!({"to": "prod"})));
        assert_eq!(approval["fingerprint"], evaluated["fingerprint"]);
        let id = approval["approval_id"].as_str().expect("an id").to_owned();
        assert!(tools.asked().is_empty(), "nothing is done before the answer");
        assert_eq!(door.refused("permission.approve", json!({"approval_id": id})).await.0, -32003);
        let owner = daemon.plane.authenticate(&daemon.token).await.expect("it reads").expect("the owner");
        let answerer =
            Answerer { caller: &owner, connection: None, face: Face::Person, reason: "looks right" };
        daemon
            .plane
            .approval_answer(&id, Answer::Approve { option: None }, answerer.clone())
            .await
            .expect("it is answered");
        assert!(daemon.plane.approval_answer(&id, Answer::Deny, answerer).await.is_err(), "an answer stands");
    };
    let (result, ()) = tokio::join!(submitted, answered);
    assert_eq!(result["results"][0]["output"], "deployed", "{result}");
    daemon.stop().await;
}

/// A tool that never answers, and says when it was called and when it was given up.
#[derive(Clone, Default)]
pub(super) struct Endless {
    pub(super) called: Arc<Notify>,
    pub(super) given_up: Arc<Notify>,
}

struct GivenUp(Arc<Notify>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Tools for Endless {
    fn call(&self, _: ToolRequest) -> ToolAnswer {
        self.called.notify_one();
        let given_up = GivenUp(self.given_up.clone());
        Box::pin(async move {
            let _told = given_up;
            std::future::pending().await
        })
    }
}

#[tokio::test]
async fn w19_a_call_that_takes_too_long_is_cancelled_and_its_turn_says_so() {
    let daemon = Daemon::start().await;
    let tools = Endless::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let run_id = door.start("agent-a").await;
    let action = json!({"type": "tool_call", "tool": "drive_cli", "timeout_ms": 50});
    let result = door.call("proposal.submit", json!({"proposal": {"actions": [action]}})).await;
    assert_eq!(result["results"][0]["error"], "action timed out after 50ms");
    tools.given_up.notified().await;
    let turns = door.turns(&run_id).await;
    assert_eq!(
        (&turns[0]["status"], &turns[0]["error"]),
        (&json!("failed"), &json!("action timed out after 50ms")),
        "w14"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn w13_a_client_that_goes_in_the_middle_of_a_call_leaves_its_turn_and_a_truthful_end() {
    let daemon = Daemon::with_lease(50).await;
    let tools = Endless::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let run_id = door.start("agent-a").await;
    let watcher = Door::open(&daemon, NoTools).await;
    let submitting = door.client.clone();
    let submitted = tokio::spawn(async move {
        let proposal = json!({"proposal": {"actions": [{"type": "tool_call", "tool": "drive_cli"}]}});
        submitting.call("proposal.submit", proposal).await
    });
    tools.called.notified().await;
    let turns = watcher.turns(&run_id).await;
    assert_eq!(turns[0]["status"], "started", "it is there while the call runs");
    submitted.abort();
    drop((submitted.await, door));
    let ended = eventually(async || {
        let trace = watcher.call("runs.get_trace", json!({"run_id": run_id})).await;
        (trace["records"].as_array().expect("records").len() == 3).then_some(trace)
    })
    .await;
    let (turn, end) = (&ended["records"][1], &ended["records"][2]);
    assert_eq!((&turn["status"], &end["termination"]["kind"]), (&json!("cancelled"), &json!("incomplete")));
    daemon.stop().await;
}

#[tokio::test]
async fn e5_a_client_that_never_reads_holds_up_nobody() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    let run_id = door.start("agent-a").await;
    let mut deaf = daemon.web_socket(Some(&daemon.token)).await;
    deaf.send(&json!({"id": 1, "method": "runs.subscribe", "params": {"run_id": run_id}}).to_string()).await;
    for n in 0..40 {
        let result = door.submit("search", json!({"n": n, "pad": "x".repeat(15 << 10)})).await;
        assert_eq!(result["results"][0]["status"], "succeeded");
    }
    assert_eq!(door.turns(&run_id).await.len(), 40);
    daemon.stop().await;
}
