//! G: what the gate and the machine make of actions, and what becomes of a connection that breaks.

use super::{Bench, Door, Notice};
use crate::harness::Daemon;
use adjutant_protocol::rpc::NoTools;
use serde_json::{Value, json};

/// Opens a door with the tools `search` and `fetch`, whose calls are answered with these in order.
async fn with_tools(
    daemon: &Daemon,
    answers: impl IntoIterator<Item = Result<Value, String>>,
) -> (Door, Bench) {
    let tools = Bench::answering(answers);
    let door = Door::open(daemon, tools.clone()).await;
    door.call("tools.register", json!([{"name": "search"}, {"name": "fetch"}])).await;
    (door, tools)
}

fn call(tool: &str, more: Value) -> Value {
    let mut action = json!({"type": "tool_call", "tool": tool});
    for (key, value) in more.as_object().expect("members") {
        action[key] = value.clone();
    }
    action
}

async fn submit(door: &Door, actions: Value) -> Value {
    door.call("proposal.submit", json!({"proposal": {"actions": actions}})).await
}

fn statuses(result: &Value) -> Vec<&str> {
    let results = result["results"].as_array().expect("results").iter();
    results.map(|result| result["status"].as_str().expect("a status")).collect()
}

/// Gives why the first action of a result was not done.
fn error(result: &Value) -> &str {
    result["results"][0]["error"].as_str().expect("a reason")
}

#[tokio::test]
async fn g1_every_rule_that_denies_is_named_and_other_tools_go_on() {
    let daemon = Daemon::start().await;
    let (door, tools) = with_tools(&daemon, [Ok(json!("found"))]).await;
    for (name, rule) in [
        ("no-search", json!({"rule": "deny_tool", "target": "search"})),
        (
            "no-secrets",
            json!({"rule": "deny_tool_param", "target": "search", "key": "query", "pattern": "secret"}),
        ),
        (
            "no-weather",
            json!({"rule": "deny_tool_param", "target": "search", "key": "query", "pattern": "rain"}),
        ),
    ] {
        let mut rule = rule;
        rule["name"] = json!(name);
        door.call("policy.register", rule).await;
    }
    let parameters = json!({"parameters": {"query": "a secret"}});
    let result = submit(&door, json!([call("search", parameters), call("fetch", json!({}))])).await;
    assert_eq!(statuses(&result), ["rejected", "succeeded"]);
    assert!(error(&result).contains("no-search") && error(&result).contains("no-secrets"), "{result}");
    assert!(!error(&result).contains("no-weather"), "{result}");
    assert_eq!(tools.asked().iter().map(|asked| asked.tool.as_str()).collect::<Vec<_>>(), ["fetch"]);
    daemon.stop().await;
}

#[tokio::test]
async fn g1_a_rule_about_the_state_goes_with_the_state() {
    let daemon = Daemon::start().await;
    let (door, _) = with_tools(&daemon, [Ok(json!("found"))]).await;
    let rule = json!({"name": "when-armed", "rule": "require_state", "key": "armed", "value": true});
    door.call("policy.register", rule).await;
    let search = json!([call("search", json!({}))]);
    let result = submit(&door, search.clone()).await;
    assert_eq!(statuses(&result), ["rejected"], "a key that is not there is not so");
    assert!(error(&result).contains("when-armed"), "{result}");
    for (armed, status) in [(true, "succeeded"), (false, "rejected"), (true, "succeeded")] {
        door.call("state.set", json!({"key": "armed", "value": armed})).await;
        assert_eq!(statuses(&submit(&door, search.clone()).await), [status], "armed: {armed}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn g5_a_failure_that_aborts_skips_the_rest_and_takes_the_state_back() {
    let daemon = Daemon::start().await;
    let (door, tools) = with_tools(&daemon, [Err("no luck".to_owned())]).await;
    door.call("state.set", json!({"key": "kept", "value": 1})).await;
    let write =
        |key: &str, value: u64| json!({"type": "state_write", "parameters": {"key": key, "value": value}});
    let actions = json!([
        write("kept", 2),
        write("made", 3),
        call("search", json!({"state_dependencies": ["kept", "made"], "expected_effects": {"found": true}})),
        call("fetch", json!({"state_dependencies": ["found"]})),
    ]);
    let result = submit(&door, actions).await;
    assert_eq!(statuses(&result), ["succeeded", "succeeded", "failed", "skipped"]);
    assert_eq!(result["results"][2]["error"], "no luck");
    assert_eq!(door.call("state.snapshot", json!({})).await, json!({"kept": 1}));
    assert_eq!(tools.asked().len(), 1);
    daemon.stop().await;
}

#[tokio::test]
async fn g5_a_failure_that_is_skipped_stops_nobody() {
    let daemon = Daemon::start().await;
    let (door, _) = with_tools(&daemon, [Err("no luck".to_owned()), Ok(json!("fetched"))]).await;
    let write = json!({"type": "state_write", "parameters": {"key": "made", "value": 3}});
    let skipped = call("search", json!({"failure_behavior": "skip"}));
    let result = submit(&door, json!([skipped, write])).await;
    assert_eq!(statuses(&result), ["skipped", "succeeded"]);
    assert_eq!(error(&result), "no luck");
    assert_eq!(door.call("state.get", json!({"key": "made"})).await, 3);
    assert_eq!(statuses(&submit(&door, json!([call("fetch", json!({}))])).await), ["succeeded"]);
    daemon.stop().await;
}

#[tokio::test]
async fn g5_a_retry_calls_again_until_it_succeeds_and_the_cost_says_so() {
    let daemon = Daemon::start().await;
    let answers = [Err("first".to_owned()), Err("second".to_owned()), Ok(json!("third"))];
    let (door, tools) = with_tools(&daemon, answers).await;
    let result = submit(&door, json!([call("search", json!({"failure_behavior": "retry"}))])).await;
    assert_eq!((statuses(&result), &result["results"][0]["output"]), (vec!["succeeded"], &json!("third")));
    assert_eq!(tools.asked().iter().map(|asked| asked.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    let cost = &result["cost"];
    for (key, count) in [("tool_calls", 3), ("retries", 2), ("actions_executed", 1), ("actions_skipped", 0)] {
        assert_eq!(cost[key], count, "{key} of {cost}");
    }
    assert!(
        cost["total_duration_ms"].as_u64().is_some_and(|ms| ms >= 300),
        "it paused 100 and 200 ms: {cost}"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn g5_what_is_idempotent_is_called_once_and_a_later_rule_still_holds() {
    let daemon = Daemon::start().await;
    let (door, tools) = with_tools(&daemon, [Ok(json!("once")), Ok(json!("twice"))]).await;
    let actions = json!([call("search", json!({"idempotent": true, "parameters": {"a": 1, "b": 2}}))]);
    let again = json!([call("search", json!({"idempotent": true, "parameters": {"b": 2, "a": 1}}))]);
    for actions in [actions, again.clone()] {
        assert_eq!(submit(&door, actions).await["results"][0]["output"], "once");
    }
    assert_eq!(tools.asked().len(), 1);
    door.call("policy.register", json!({"name": "no-search", "rule": "deny_tool", "target": "search"})).await;
    assert_eq!(
        statuses(&submit(&door, again).await),
        ["rejected"],
        "w3: the cache does not go before the rules"
    );
    daemon.stop().await;
}

#[tokio::test]
async fn g5_what_is_not_known_or_not_so_is_rejected_and_never_called() {
    let daemon = Daemon::start().await;
    let (door, tools) = with_tools(&daemon, [Ok(json!("found"))]).await;
    door.call("state.set", json!({"key": "n", "value": 5})).await;
    let when = |operator: &str, value: u64| {
        call("search", json!({"preconditions": [{"key": "n", "operator": operator, "value": value}]}))
    };
    for (action, status) in [
        (call("no_such_tool", json!({})), "rejected"),
        (call("search", json!({"state_dependencies": ["no-such-key"]})), "rejected"),
        (when("eq", 4), "rejected"),
        (when("gt", 5), "rejected"),
        (when("eq", 5), "succeeded"),
        (when("gte", 5), "succeeded"),
    ] {
        let before = tools.asked().len();
        assert_eq!(statuses(&submit(&door, json!([action])).await), [status], "{action}");
        assert_eq!(tools.asked().len() - before, usize::from(status == "succeeded"), "{action}");
    }
    daemon.stop().await;
}

#[tokio::test]
async fn g5_a_budget_stops_what_has_not_begun() {
    let daemon = Daemon::start().await;
    for (limits, allowed) in [(json!({"max_tool_calls": 2}), 2), (json!({"max_actions": 1}), 1)] {
        let (door, tools) = with_tools(&daemon, [Ok(json!("found"))]).await;
        let actions = vec![call("search", json!({})); 3];
        let params = json!({"proposal": {"actions": actions}, "limits": limits});
        let result = door.call("proposal.submit", params).await;
        let expected: Vec<_> = (0..3).map(|at| if at < allowed { "succeeded" } else { "skipped" }).collect();
        assert_eq!(statuses(&result), expected, "{limits}");
        assert_eq!((tools.asked().len(), &result["cost"]["actions_skipped"]), (allowed, &json!(3 - allowed)));
    }
    daemon.stop().await;
}

#[tokio::test]
async fn g5_what_denies_goes_before_what_allows() {
    let rule = |effect: &str| {
        format!(
            "[[rule]]\nname = \"{effect}-search\"\neffect = \"{effect}\"\ntool = \"search\"\nreason = \"r\"\n"
        )
    };
    for order in [["allow", "deny"], ["deny", "allow"]] {
        let daemon = Daemon::with_policy(&order.map(rule).concat()).await;
        let (door, tools) = with_tools(&daemon, [Ok(json!("found"))]).await;
        let result = submit(&door, json!([call("search", json!({})), call("fetch", json!({}))])).await;
        assert_eq!(statuses(&result), ["rejected", "succeeded"], "{order:?}");
        assert!(error(&result).contains("deny-search"), "{result}");
        assert_eq!(tools.asked().len(), 1);
        daemon.stop().await;
    }
}

#[tokio::test]
async fn g6_a_tool_is_told_how_long_it_may_take_and_has_five_minutes_otherwise() {
    let daemon = Daemon::start().await;
    let (door, tools) = with_tools(&daemon, [Ok(json!("found"))]).await;
    for (action, timeout_ms) in
        [(call("search", json!({"timeout_ms": 180_000})), 180_000), (call("search", json!({})), 300_000)]
    {
        submit(&door, json!([action])).await;
        assert_eq!(tools.asked().last().expect("it was called").timeout_ms, timeout_ms);
    }
    daemon.stop().await;
}

#[tokio::test]
async fn g7_a_transport_that_breaks_ends_its_session_as_a_client_that_goes() {
    let daemon = Daemon::start().await;
    let mut watcher = Door::open(&daemon, NoTools).await;
    watcher.call("events.subscribe", json!({})).await;
    let start = json!({"id": 1, "method": "runs.start", "params": {"agent_id": "agent-a", "intent": "test"}});
    for way in ["garbled", "dropped", "closed"] {
        let mut raw = daemon.web_socket(Some(&daemon.token)).await;
        raw.send(&start.to_string()).await;
        let run_id = raw.next().await.expect("an answer")["result"]["run_id"].clone();
        match way {
            "garbled" => raw.garble().await,
            "dropped" => drop(raw),
            _ => raw.close().await,
        }
        let subject = format!("client:{}", run_id.as_str().expect("an id"));
        until_event(&mut watcher, "client_run_interrupted", &subject).await;
        let resumed = watcher.call("runs.resume", json!({"run_id": run_id})).await;
        assert_eq!(resumed["status"], "in_progress", "{way}");
    }
    daemon.stop().await;
}

/// Waits until the journal says something of a subject.
async fn until_event(watcher: &mut Door, kind: &str, subject: &str) {
    let waiting = async {
        loop {
            let notice = watcher.notices.recv().await.expect("the connection is there");
            if let Notice::Other { params, .. } = notice
                && params["kind"] == kind
                && params["subject"] == subject
            {
                return;
            }
        }
    };
    tokio::time::timeout(super::DEADLINE, waiting).await.expect("it comes in time");
}
