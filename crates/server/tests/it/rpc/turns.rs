//! A: what becomes of actions.

use super::{Bench, Door};
use crate::harness::Daemon;
use adjutant_protocol::rpc::{NoTools, ToolAnswer, ToolRequest, Tools};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Notify;

#[tokio::test]
async fn a1_a_driven_program_is_one_turn_with_its_exit_code() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(
        json!({"cli": "claude", "exit_code": 0, "timed_out": false, "output_tail": "1 passed"}),
    )]);
    let door = Door::open(&daemon, tools.clone()).await;
    assert_eq!(door.call("tools.register", json!([{"name": "drive_cli", "parameters": {}}])).await, json!(1));
    let run_id = door.start("agent-a").await;
    let result = door.submit("drive_cli", json!({"cli": "claude", "prompt": "fix it"})).await;
    assert_eq!(result["results"][0]["status"], "succeeded", "{result}");
    assert_eq!(tools.asked()[0].parameters, json!({"cli": "claude", "prompt": "fix it"}));

    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), 1, "{turns:?}");
    let turn = &turns[0];
    assert_eq!(
        (&turn["index"], &turn["prompt"], &turn["tool"]),
        (&json!(0), &json!("fix it"), &json!("drive_cli"))
    );
    assert_eq!(turn["cli_outcome"], json!({"kind": "exited", "code": 0}));
    assert_eq!(
        (&turn["verifier_verdict"], &turn["output"]["output_tail"]),
        (&json!("not_run"), &json!("1 passed"))
    );
    daemon.stop().await;
}

#[tokio::test]
async fn a2_checks_give_verdicts_and_no_outcome_of_a_program() {
    let daemon = Daemon::start().await;
    let tools = Bench::answering([Ok(json!({"passed": true})), Ok(json!({"passed": false}))]);
    let door = Door::open(&daemon, tools).await;
    door.call("tools.register", json!([{"name": "check_outcome"}])).await;
    let run_id = door.start("agent-a").await;
    door.submit("check_outcome", json!({"command": "cargo test"})).await;
    door.submit("check_outcome", json!({"command": "cargo test"})).await;
    let turns = door.turns(&run_id).await;
    let verdicts: Vec<_> = turns.iter().map(|turn| (&turn["index"], &turn["verifier_verdict"])).collect();
    assert_eq!(verdicts, [(&json!(0), &json!("pass")), (&json!(1), &json!("fail"))]);
    assert!(turns.iter().all(|turn| turn.get("cli_outcome").is_none()));
    daemon.stop().await;
}

#[tokio::test]
async fn a3_what_a_rule_refuses_is_a_turn_and_is_never_called() {
    let daemon = Daemon::start().await;
    let tools = Bench::default();
    let door = Door::open(&daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let policy = json!({"name": "no-destructive", "rule": "deny_tool_param", "target": "drive_cli", "key": "prompt",
        "pattern": "rm -rf"});
    let registered = door.call("policy.register", policy).await;
    assert_eq!(registered, json!({"registered": "no-destructive", "scope": "global"}));
    let run_id = door.start("agent-a").await;
    let result = door.submit("drive_cli", json!({"prompt": "please rm -rf the lot"})).await;
    assert_eq!(result["results"][0]["status"], "rejected", "{result}");
    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), 1);
    let rejected = &turns[0]["policy_rejected"];
    assert!(rejected["rule"].as_str().expect("a reason").contains("no-destructive"), "{rejected}");
    assert_eq!(rejected["param"], "prompt");
    assert_eq!(turns[0]["verifier_verdict"], "not_run");
    assert!(turns[0].get("cli_outcome").is_none() && turns[0].get("output").is_none(), "{}", turns[0]);
    assert!(tools.asked().is_empty());
    daemon.stop().await;
}

#[tokio::test]
async fn a4_a8_how_a_driven_program_ended_is_read_from_what_its_tool_gives() {
    let daemon = Daemon::start().await;
    let answers = [
        (json!({"exit_code": null, "timed_out": true}), json!({"kind": "timeout"})),
        (json!({"exit_code": null, "timed_out": false, "signal": "SIGKILL"}), json!({"kind": "killed"})),
        (json!({"exit_code": 3, "timed_out": false}), json!({"kind": "exited", "code": 3})),
    ];
    let door =
        Door::open(&daemon, Bench::answering(answers.iter().map(|(answer, _)| Ok(answer.clone())))).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let run_id = door.start("agent-a").await;
    for _ in &answers {
        door.submit("drive_cli", json!({"prompt": "p"})).await;
    }
    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), answers.len());
    for (at, (turn, (_, outcome))) in turns.iter().zip(&answers).enumerate() {
        assert_eq!(
            (&turn["index"], &turn["cli_outcome"]),
            (&json!(at), outcome),
            "a proposal goes on counting"
        );
        assert_eq!(turn["verifier_verdict"], "not_run");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a5_a_tool_that_is_not_known_to_mean_anything_is_a_turn_with_all_it_gave() {
    let daemon = Daemon::start().await;
    let output = json!({"hits": [{"title": "t", "passed": true, "exit_code": 0}], "passed": true});
    let door = Door::open(&daemon, Bench::answering([Ok(output.clone())])).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    let run_id = door.start("agent-a").await;
    door.submit("search", json!({"query": "q"})).await;
    let turns = door.turns(&run_id).await;
    assert_eq!(turns.len(), 1);
    let turn = &turns[0];
    assert_eq!((&turn["tool"], &turn["parameters"]), (&json!("search"), &json!({"query": "q"})));
    assert_eq!((&turn["output"], &turn["verifier_verdict"]), (&output, &json!("not_run")));
    for absent in ["prompt", "cli_outcome", "policy_rejected"] {
        assert_eq!(turn.get(absent), None, "{turn}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn a6_without_an_open_run_nothing_is_recorded_in_one() {
    let daemon = Daemon::start().await;
    let door = Door::of_agent(&daemon, "agent-a", Bench::default()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let result = door.submit("drive_cli", json!({"prompt": "p"})).await;
    assert_eq!(result["results"][0]["status"], "succeeded");
    assert_eq!(door.call("runs.list", json!({})).await, json!({"agent_id": "agent-a", "runs": []}));
    daemon.stop().await;
}

#[tokio::test]
async fn a7_two_who_tell_of_turns_at_once_get_one_row_of_places_and_the_store_has_them() {
    let daemon = Daemon::start().await;
    let (first, second) = (
        Door::of_agent(&daemon, "agent-a", NoTools).await,
        Door::of_agent(&daemon, "agent-a", NoTools).await,
    );
    let run_id = first.start("agent-a").await;
    let tell = async |door: &Door, who: &str| {
        for n in 0..25 {
            let turn = json!({"index": n, "prompt": format!("{who} {n}")});
            let told = door.call("runs.record_turns", json!({"run_id": run_id, "turns": [turn]})).await;
            assert_eq!(told["ok"], true, "{told}");
        }
    };
    tokio::join!(tell(&first, "first"), tell(&second, "second"));
    let turns = first.turns(&run_id).await;
    assert_eq!(turns.len(), 50);
    assert!(turns.iter().enumerate().all(|(at, turn)| turn["index"] == at), "{turns:?}");
    for who in ["first", "second"] {
        let own = turns
            .iter()
            .filter_map(|turn| turn["prompt"].as_str()?.strip_prefix(who)?.trim().parse::<i32>().ok());
        assert!(own.eq(0..25), "{who}'s turns stand in the order in which they were told");
    }
    let daemon = daemon.restarted().await;
    assert_eq!(Door::open(&daemon, NoTools).await.turns(&run_id).await, turns);
    daemon.stop().await;
}

/// A tool whose call `late` answers when its call `early` has.
#[derive(Clone, Default)]
struct Overtaking(Arc<Notify>);

impl Tools for Overtaking {
    fn call(&self, request: ToolRequest) -> ToolAnswer {
        let early_is_done = self.0.clone();
        Box::pin(async move {
            match request.action_id.as_str() {
                "late" => early_is_done.notified().await,
                _ => early_is_done.notify_one(),
            }
            Ok(json!({"said": request.action_id}))
        })
    }
}

#[tokio::test]
async fn a8_results_that_come_out_of_order_belong_to_their_actions_and_stand_as_submitted() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Overtaking::default()).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    let run_id = door.start("agent-a").await;
    let action = |id: &str| json!({"id": id, "type": "tool_call", "tool": "search"});
    let proposal = json!({"actions": [action("late"), action("early")]});
    for _ in 0..2 {
        let result = door.call("proposal.submit", json!({"proposal": proposal})).await;
        let ids: Vec<_> = result["results"].as_array().expect("results").iter().map(said).collect();
        assert_eq!(ids, [("late", "late"), ("early", "early")]);
    }
    let turns = door.turns(&run_id).await;
    let found: Vec<_> = turns.iter().map(|turn| (&turn["index"], said(turn))).collect();
    let (late, early) = (("late", "late"), ("early", "early"));
    assert_eq!(
        found,
        [(&json!(0), late), (&json!(1), early), (&json!(2), late), (&json!(3), early)],
        "the second proposal goes on counting"
    );
    daemon.stop().await;
}

/// Gives whose result it is, and what its tool said.
fn said(result: &Value) -> (&str, &str) {
    (result["action_id"].as_str().unwrap_or_default(), result["output"]["said"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a8_a_rule_about_a_tool_names_no_parameter() {
    let daemon = Daemon::start().await;
    let door = Door::open(&daemon, Bench::default()).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    door.call("policy.register", json!({"name": "no-cli", "rule": "deny_tool", "target": "drive_cli"})).await;
    let run_id = door.start("agent-a").await;
    door.submit("drive_cli", json!({"prompt": "p"})).await;
    let rejected = door.turns(&run_id).await[0]["policy_rejected"].clone();
    assert!(rejected["rule"].as_str().expect("a reason").contains("no-cli"), "{rejected}");
    assert_eq!(rejected.get("param"), None, "{rejected}");
    daemon.stop().await;
}

#[tokio::test]
async fn w12_no_seeded_secret_is_in_the_trace_or_in_the_store() {
    let daemon = Daemon::start().await;
    // Put together here, so that no scanner takes the sample for one.
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    let tools =
        Bench::answering([Ok(json!({"exit_code": 0, "output_tail": format!("cloned with {secret}")}))]);
    let door = Door::open(&daemon, tools).await;
    door.call("tools.register", json!([{"name": "drive_cli"}])).await;
    let intent = json!({"agent_id": "agent-a", "intent": format!("use {secret}")});
    let run_id = door.call("runs.start", intent).await["run_id"].as_str().expect("an id").to_owned();
    door.submit("drive_cli", json!({"prompt": format!("TOKEN={secret}"), "env": {"A": secret}})).await;
    door.call("runs.record_turns", json!({"run_id": run_id, "turns": [{"output": secret}]})).await;
    let trace = door.call("runs.get_trace", json!({"run_id": run_id})).await.to_string();
    assert!(trace.contains("[redacted:github-token]") && !trace.contains(&secret), "{trace}");
    let folder = daemon.home.folder().to_owned();
    for name in ["store.db", "store.db-wal"] {
        let bytes = std::fs::read(folder.join(name)).unwrap_or_default();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{name}");
    }
    daemon.stop().await;
}
