//! The agent's side of ACP, in raw lines.

use super::stage::{Peer, hooks, place};
use adjutant_testkit::TestEnv;
use serde_json::{Value, json};

struct Client {
    peer: Peer,
    session: String,
}

impl Client {
    /// Starts the agent and opens a session.
    fn start(env: &TestEnv, capabilities: Value) -> Client {
        let mut client = Client { peer: Peer::start(env, &["--acp", "script.yaml"]), session: String::new() };
        let initialized =
            client.ask(1, "initialize", json!({"protocolVersion": 1, "clientCapabilities": capabilities}));
        assert_eq!(initialized["result"]["protocolVersion"], 1);
        assert_eq!(initialized["result"]["agentCapabilities"]["loadSession"], true);
        client
    }

    fn with_session(env: &TestEnv, capabilities: Value) -> Client {
        let mut client = Client::start(env, capabilities);
        let opened = client.ask(2, "session/new", json!({"cwd": env.work(""), "mcpServers": []}));
        client.session = opened["result"]["sessionId"].as_str().unwrap().to_owned();
        client
    }

    fn request(&mut self, id: u64, method: &str, params: Value) {
        self.peer.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.request(id, method, params);
        self.peer.lines.json(&format!("\"id\":{id},"))
    }

    fn prompt(&mut self, id: u64, text: &str) {
        let params = json!({"sessionId": self.session, "prompt": [{"type": "text", "text": text}]});
        self.request(id, "session/prompt", params);
    }

    /// Waits for a request of the agent's and answers it; gives its parameters.
    fn answer(&mut self, method: &str, result: Value) -> Value {
        let asked = self.peer.lines.json(&format!("\"method\":\"{method}\""));
        self.peer.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}));
        asked["params"].clone()
    }

    fn stop_reason(&mut self, id: u64) -> Value {
        self.peer.lines.json(&format!("\"id\":{id},"))["result"]["stopReason"].clone()
    }
}

fn selected(id: &str) -> Value {
    json!({"outcome": {"outcome": "selected", "optionId": id}})
}

#[test]
fn a_turn_is_told_in_updates_and_permission_is_chosen_by_kind() {
    let env = place(
        "ask_for: [Bash]\n\
         turns: [[{ plan: [look] }, { run: touch made }, { run: touch made }, { say: 'did {prompt}' }, \
         { usage: { cost_usd: 0.5, context_used: 10, context_window: 100 } }]]\n",
    );
    let mut client = Client::with_session(&env, json!({}));
    client.prompt(3, "it");
    client.peer.lines.until("\"sessionUpdate\":\"plan\"");
    client.peer.lines.until("\"sessionUpdate\":\"tool_call\"");
    let params = client.answer("session/request_permission", selected("no"));
    let kinds: Vec<&str> =
        params["options"].as_array().unwrap().iter().map(|option| option["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["allow_always", "allow_once", "allow_once", "reject_once", "reject_always"]);
    client.peer.lines.until("\"status\":\"failed\"");
    assert!(!env.work("made").exists());
    client.answer("session/request_permission", selected("once"));
    client.peer.lines.until("\"status\":\"completed\"");
    assert!(env.work("made").exists());
    client.peer.lines.until("did it");
    let usage = client.peer.lines.json("usage_update")["params"]["update"].clone();
    assert_eq!(
        (&usage["used"], &usage["size"], &usage["cost"]["amount"]),
        (&10.into(), &100.into(), &0.5.into())
    );
    assert_eq!(client.stop_reason(3), "end_turn");
    assert_eq!(client.peer.end().0.code(), Some(0));
}

#[test]
fn the_clients_files_and_terminals_are_used_when_it_offers_them() {
    let env = place(
        "- read: a\n- write: { path: b, content: x }\n- patch: { path: a, find: one, replace: two }\n- run: ls\n",
    );
    let offers = json!({"fs": {"readTextFile": true, "writeTextFile": true}, "terminal": true});
    let mut client = Client::with_session(&env, offers);
    client.prompt(3, "go");
    let read = client.answer("fs/read_text_file", json!({"content": "one"}));
    assert_eq!(read["path"], json!(env.work("a").canonicalize().unwrap_or(env.work("a"))));
    let written = client.answer("fs/write_text_file", json!({}));
    assert_eq!(written["content"], "x");
    client.answer("fs/read_text_file", json!({"content": "one"}));
    assert_eq!(client.answer("fs/write_text_file", json!({}))["content"], "two");
    let created = client.answer("terminal/create", json!({"terminalId": "t1"}));
    assert_eq!((&created["command"], &created["args"]), (&"sh".into(), &json!(["-c", "ls"])));
    client.peer.lines.until("\"terminalId\":\"t1\"");
    client.answer("terminal/wait_for_exit", json!({"exitCode": 3, "signal": null}));
    client.answer("terminal/output", json!({"output": "of the client", "truncated": false}));
    client.answer("terminal/release", json!({}));
    client.peer.lines.until("exit code 3\\nof the client");
    assert_eq!(client.stop_reason(3), "end_turn");
    assert!(!env.work("b").exists());
}

#[test]
fn a_turn_is_cancelled_and_a_session_is_loaded_again() {
    let env = place("turns: [[{ say: begun }, { sleep: 600000 }], [{ say: '{turn}: before {previous}' }]]\n");
    let mut events = hooks(&env, "");
    let mut client = Client::with_session(&env, json!({}));
    assert_eq!(events.json("SessionStart")["session_id"], client.session.as_str());
    client.prompt(3, "first");
    client.peer.lines.until("begun");
    let refused = client.ask(
        4,
        "session/prompt",
        json!({"sessionId": client.session, "prompt": [{"type": "text", "text": "more"}]}),
    );
    assert_eq!(refused["error"]["code"], -32602);
    let cancel =
        json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": client.session}});
    client.peer.send(&cancel);
    assert_eq!(client.stop_reason(3), "cancelled");
    let id = client.session.clone();
    assert_eq!(client.peer.end().0.code(), Some(0));
    events.until("SessionEnd");

    let mut again = Client::start(&env, json!({}));
    let place = json!({"sessionId": id, "cwd": env.work(""), "mcpServers": []});
    again.request(2, "session/load", place);
    again.peer.lines.until("resumed with 1 earlier turns");
    assert!(again.peer.lines.until("user_message_chunk").contains("first"));
    assert!(again.peer.lines.json("\"id\":2,")["error"].is_null());
    assert_eq!(events.json("SessionStart")["source"], "resume");
    again.session = id;
    again.prompt(3, "second");
    again.peer.lines.until("2: before first");
    assert_eq!(again.stop_reason(3), "end_turn");
    let unknown = json!({"sessionId": "00000000-0000-4000-8000-000000000009", "cwd": env.work("")});
    assert_eq!(again.ask(5, "session/resume", unknown)["error"]["code"], -32002);
}

#[test]
fn the_usage_limit_is_an_error_and_an_exit_ends_the_process() {
    let env = place("turns: [[{ quota: { until: '2030-01-01T15:00:00Z' } }], [{ exit: 7 }]]\n");
    let mut client = Client::with_session(&env, json!({}));
    client.prompt(3, "go");
    let limited = client.peer.lines.json("\"id\":3,");
    assert_eq!(limited["error"]["data"]["resets_at"], "2030-01-01T15:00:00.000Z");
    client.prompt(4, "go");
    assert_eq!(client.stop_reason(4), "end_turn");
    assert_eq!(client.peer.child.wait().unwrap().code(), Some(7));
}
