//! Ten thousand frames of noise, the same for the same seed.

use super::{Bench, Door};
use crate::harness::Daemon;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

const SEED: u64 = 0x5eed;
const FRAMES: u64 = 10_000;
/// So many frames are sent before their answers are waited for.
const WINDOW: u64 = 200;

const TEXTS: [&str; 12] =
    ["", "k", "t", "u", "run-0", "run-1", "p1", "agent-a", "done", "é🦀", "\u{0}", "rm -rf /"];
const KEYS: [&str; 10] =
    ["run_id", "name", "key", "value", "turns", "tools", "policies", "cursor", "session_id", "actions"];

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len() as u64) as usize]
    }

    /// Gives a value of any kind.
    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!(self.below(300)),
            3 => json!([0, 1, u64::MAX, i64::MAX as u64, 1 << 53][self.below(5) as usize]),
            4 => json!([-1, i64::MIN, -256][self.below(3) as usize]),
            5 => json!([0.5, -0.0, 1e300, f64::MIN_POSITIVE][self.below(4) as usize]),
            6 => json!("x".repeat(self.below(3000) as usize)),
            7 => json!(self.one_of(&TEXTS)),
            8 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => (0..self.below(4)).map(|_| (self.one_of(&KEYS).to_owned(), self.value(depth - 1))).collect(),
        }
    }

    /// Puts values of any kind in some places of a good one.
    fn spoil(&mut self, good: Value) -> Value {
        if self.below(16) == 0 {
            return self.value(3);
        }
        match good {
            Value::Array(items) => items.into_iter().map(|item| self.spoil(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(key, value)| (key, self.spoil(value))).collect()
            }
            plain => plain,
        }
    }

    fn action(&mut self) -> Value {
        json!({
            "type": self.one_of(&["tool_call", "tool_call", "state_write", "state_read", "assertion"]),
            "tool": self.one_of(&["t", "u"]), "timeout_ms": 1 + self.below(30), "idempotent": self.below(2) == 0,
            "parameters": {"key": self.one_of(&TEXTS), "value": self.value(2), "expected": self.value(1)},
            "failure_behavior": self.one_of(&["abort", "retry", "skip"]), "max_retries": self.below(3),
            "expected_effects": {"k": self.value(1)}, "write_set": [self.one_of(&TEXTS)],
            "preconditions": [{"key": "k", "operator": self.one_of(&["exists", "gt", "contains"]), "value": 1}],
        })
    }

    /// Gives a method and parameters that are nearly good.
    fn call(&mut self) -> (&'static str, Value) {
        let run_id = json!(format!("run-{}", self.below(40)));
        let actions: Vec<Value> = (0..self.below(4)).map(|_| self.action()).collect();
        let rule = json!({"name": self.one_of(&TEXTS), "rule": self.one_of(&["deny_tool", "deny_tool_param"]),
            "target": "u", "key": "key", "pattern": "k", "session_id": null});
        let tool = json!({"name": self.one_of(&["t", "u", "v"]), "cache_ttl_secs": self.below(3),
            "parameters": {"type": "object"}, "rate_limit": {"max_calls": 5, "interval_secs": 0.01}});
        let proposal = json!({"id": self.one_of(&["p1", "p2"]), "actions": actions});
        let calls = [
            ("tools.register", json!([tool])),
            ("tools.unregister", json!({"names": ["v"]})),
            ("policy.register", rule.clone()),
            ("policy.remove", json!({"name": self.one_of(&TEXTS)})),
            ("policy.list", Value::Null),
            ("session.init", json!({"tools": [tool], "policies": [rule]})),
            ("session.auth", json!({"token": "no"})),
            ("session.policy.open", json!({})),
            ("session.policy.close", json!({"session_id": "k"})),
            ("state.set", json!({"key": self.one_of(&TEXTS), "value": self.value(3)})),
            ("state.get", json!({"key": "k"})),
            ("state.snapshot", json!({})),
            ("verify", json!({"proposal": proposal, "initial_state": {"k": 1}})),
            ("proposal.submit", json!({"proposal": proposal})),
            ("proposal.submit", json!({"proposal": proposal, "session_id": null})),
            ("proposal.cancel", json!({"proposal_id": "p1"})),
            ("permission.evaluate", json!({"action": self.action()})),
            ("permission.pending", json!({})),
            ("permission.approve", json!({"action": self.action(), "reason": "k"})),
            ("permission.reject", json!({"approval_id": "k"})),
            ("runs.start", json!({"agent_id": "agent-a", "intent": "k", "idempotency_key": run_id})),
            (
                "runs.complete",
                json!({"run_id": run_id, "outcome": {"status": self.one_of(&["done", "give_up"])}}),
            ),
            ("runs.cancel", json!({"run_id": run_id, "reason": "k"})),
            ("runs.resume", json!({"run_id": run_id})),
            (
                "runs.record_turns",
                json!({"run_id": run_id, "turns": [{"tool": "t", "output": self.value(3)}]}),
            ),
            ("runs.subscribe", json!({"run_id": run_id})),
            ("runs.unsubscribe", json!({"run_id": run_id})),
            ("runs.list", json!({"agent_id": "agent-a", "limit": self.below(9)})),
            ("runs.get_trace", json!({"run_id": run_id, "cursor": self.below(9), "limit": self.below(9)})),
            ("events.subscribe", json!({"cursor": null})),
            ("events.unsubscribe", json!({})),
            ("tools.execute", json!({})),
        ];
        let (method, good) = calls[self.below(calls.len() as u64) as usize].clone();
        let mut params = if self.below(8) == 0 { self.value(4) } else { self.spoil(good) };
        // Nothing waits for a tool that is never answered.
        if let (true, Some(params)) = (method == "proposal.submit", params.as_object_mut()) {
            params
                .insert("limits".to_owned(), json!({"max_duration_ms": 50, "max_tool_calls": self.below(9)}));
        }
        (method, params)
    }

    /// Gives the `n`th frame and, when it must be answered, the id of its answer as JSON.
    fn frame(&mut self, n: u64) -> (String, Option<String>) {
        match self.below(10) {
            0 => (self.value(4).to_string(), None),
            1 => (self.value(4).to_string().chars().skip(1).collect(), None),
            kind => {
                let (method, params) = self.call();
                let mut call = json!({"method": method, "params": params});
                if kind == 2 {
                    return (call.to_string(), None);
                }
                let id = [json!(n), json!(n.to_string()), json!({"n": n}), json!([n])]
                    [self.below(4) as usize]
                    .clone();
                call["id"] = id.clone();
                (call.to_string(), Some(id.to_string()))
            }
        }
    }

    /// Answers a call of a tool in one way or another, or not.
    fn replies(&mut self, request: &Value) -> Vec<Value> {
        let reply = json!({"id": request, "result": self.value(3)});
        match self.below(6) {
            0 => vec![],
            1 => vec![json!({"id": request, "error": self.value(2)})],
            2 => vec![reply.clone(), reply],
            _ => vec![reply],
        }
    }
}

#[tokio::test]
async fn ten_thousand_frames_of_noise_are_answered_and_disturb_nobody() {
    let daemon = Daemon::start().await;
    let enough = CancellationToken::new();
    let working =
        tokio::spawn(work(Door::open(&daemon, Bench::answering([Ok(json!("ok"))])).await, enough.clone()));
    let (mut sink, mut stream) = daemon.web_socket(Some(&daemon.token)).await.0.split();
    // What is answered to tools depends on when they are called; the frames must not.
    let (mut dice, mut tools) = (Dice(SEED), Dice(!SEED));
    let mut codes: BTreeMap<i64, u64> = BTreeMap::new();
    let mut sent: BTreeMap<String, String> = BTreeMap::new();
    for window in 0..FRAMES / WINDOW {
        let mut open = BTreeMap::new();
        for n in window * WINDOW..(window + 1) * WINDOW {
            let (frame, id) = dice.frame(n);
            open.extend(id.map(|id| (id, frame.clone())));
            sink.send(Message::text(frame)).await.expect("it is sent");
        }
        sent.extend(open.clone());
        while !open.is_empty() {
            let message = tokio::time::timeout(super::DEADLINE, stream.next()).await;
            let message = message.unwrap_or_else(|_| panic!("seed {SEED}: nobody answers {open:#?}"));
            let text = message.expect("it is open").expect("a frame").into_text().expect("a text");
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["method"] == "tools.execute" {
                for reply in tools.replies(&answer["id"]) {
                    sink.send(Message::text(reply.to_string())).await.expect("it is sent");
                }
            }
            // A reply to a tool's call that is none, such as one whose error is null, is answered as a bad request.
            let to_reply = answer["id"].as_str().is_some_and(|id| id.starts_with("cb-"));
            if to_reply || answer.get("method").is_some() || answer["id"].is_null() || answer.is_array() {
                continue;
            }
            let id = answer["id"].to_string();
            let frame = open
                .remove(&id)
                .unwrap_or_else(|| panic!("seed {SEED}: {answer} is not asked for: {:?}", sent.get(&id)));
            let code = answer["error"]["code"].as_i64().unwrap_or_default();
            assert_ne!(code, -32603, "seed {SEED}: {frame} gives {answer}");
            *codes.entry(code).or_default() += 1;
        }
    }
    assert!(codes[&0] > FRAMES / 4 && codes.len() > 4, "seed {SEED}: too little of it was good: {codes:?}");
    enough.cancel();
    assert!(working.await.expect("nobody was disturbed") > 0);
    let door = Door::open(&daemon, Bench::default()).await;
    assert_eq!(door.call("server.info", json!({})).await["protocol"], "adjutant-rpc/1");
    daemon.stop().await;
}

/// Works as clients do until it is enough; gives how often.
async fn work(door: Door, enough: CancellationToken) -> u64 {
    let mut done = 0;
    door.call("tools.register", json!([{"name": "t"}])).await;
    while !enough.is_cancelled() {
        let run_id = door.start("agent-b").await;
        assert_eq!(door.submit("t", json!({"n": done})).await["results"][0]["output"], "ok");
        let outcome = json!({"run_id": run_id, "outcome": {"status": "done"}});
        door.call("runs.complete", outcome).await;
        assert_eq!(door.turns(&run_id).await.len(), 1);
        done += 1;
    }
    done
}
