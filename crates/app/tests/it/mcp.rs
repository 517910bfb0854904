//! `adjutant mcp` as an agent starts it: lines in, lines out, and a daemon only when one is needed.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running `adjutant mcp` and both ends of it.
pub(crate) struct Mcp {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Mcp {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Mcp { child, input, output: BufReader::new(output).lines() }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    /// Gives the next message; whatever else is printed ends the test.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }

    pub(crate) fn ask(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        let answer = self.next();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(id)), "{answer}");
        answer
    }

    pub(crate) fn call(&mut self, id: u64, name: &str, arguments: Value) -> Value {
        self.ask(id, "tools/call", json!({"name": name, "arguments": arguments}))["result"].clone()
    }

    /// Closes its input, and waits until it has ended in good order.
    pub(crate) fn close(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

pub(crate) fn begin(revision: &str) -> Value {
    json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}})
}

#[test]
fn a_daemon_is_started_by_the_first_request_that_needs_one() {
    let env = TestEnv::new(BINARY);
    let mut mcp = Mcp::start(&mut env.command(&["mcp"]));
    let begun = mcp.ask(1, "initialize", begin("2025-06-18"));
    assert_eq!(begun["result"]["serverInfo"]["name"], "adjutant", "{begun}");
    assert_eq!(begun["result"]["protocolVersion"], "2025-06-18", "{begun}");
    mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let offline = mcp.ask(2, "tools/list", json!({}));
    assert!(offline["result"]["tools"].as_array().unwrap().len() > 20, "{offline}");
    assert_eq!(mcp.ask(3, "prompts/list", json!({}))["result"]["prompts"][0]["name"], "delegate");
    assert_eq!(env.daemon_json(), None, "none of these needs a daemon");
    let listed = mcp.call(4, "session_list", json!({}));
    assert_eq!(listed["structuredContent"], json!({"sessions": []}), "it does not appear itself: {listed}");
    assert!(env.daemon_json().is_some());
    assert_eq!(mcp.ask(5, "tools/list", json!({}))["result"], offline["result"], "the same from the daemon");
    mcp.close();
}

#[test]
fn lines_that_are_no_requests_are_answered_and_nothing_else_is_printed() {
    let env = TestEnv::new(BINARY);
    let mut mcp = Mcp::start(&mut env.command(&["mcp"]));
    writeln!(mcp.input, "\nno json").unwrap();
    assert_eq!(mcp.next()["error"]["code"], -32700);
    assert_eq!(mcp.ask(1, "no/such", json!({}))["error"]["code"], -32601);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let found = mcp.ask(2, "server/discover", json!({"_meta": meta}));
    let revisions = found["result"]["supportedVersions"].clone();
    assert_eq!(revisions, json!(["2025-06-18", "2025-11-25", "2026-07-28"]), "{found}");
    let called = mcp.ask(3, "tools/call", json!({"name": "inbox", "arguments": {}, "_meta": meta}));
    assert_eq!(
        called["result"]["structuredContent"],
        json!({"approvals": [], "sessions": [], "goals": []}),
        "{called}"
    );
    mcp.close();
}

#[test]
fn a_call_that_is_cancelled_ends_its_run_and_one_with_a_token_has_its_role() {
    let env = TestEnv::new(BINARY);
    let mut mcp = Mcp::start(&mut env.command(&["mcp"]));
    mcp.ask(1, "initialize", begin("2025-11-25"));
    let endless = json!({"id": "test", "agents": [], "flow": {"kind": "wait", "ms": 3_600_000}});
    let run = json!({"name": "task_run", "arguments": {"blueprint": endless}});
    mcp.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": run}));
    let status = |mcp: &mut Mcp, wanted: &str| {
        // The journal says when the run has changed; each look waits for nothing else.
        let lines = env.run(&["runs", "--json"]).expect(0).stdout;
        let found = lines.contains(wanted);
        if !found {
            mcp.call(9, "inbox", json!({}));
        }
        found
    };
    while !status(&mut mcp, "running") && !status(&mut mcp, "waiting") {}
    mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}}));
    while !status(&mut mcp, "cancelled") {}
    mcp.close();

    let mut mcp = Mcp::start(env.command(&["mcp"]).env("ADJUTANT_TOKEN", "adj_nobody"));
    let refused = mcp.ask(1, "tools/call", json!({"name": "inbox", "arguments": {}}));
    assert_eq!(refused["error"]["data"]["code"], "unauthenticated", "{refused}");
    mcp.close();
}

#[test]
fn what_cannot_be_read_or_is_too_large_is_told_apart_from_a_daemon_that_is_not_there() {
    let env = TestEnv::new(BINARY);
    let mut mcp = Mcp::start(&mut env.command(&["mcp"]));
    mcp.ask(1, "initialize", begin("2025-11-25"));
    for (line, id, code) in [
        (r#"{"id":2,"method":"ping"}"#, json!(2), -32600),
        (r#"{"jsonrpc":"2.0","id":8.5,"method":"ping"}"#, Value::Null, -32600),
        (r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#, Value::Null, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null, -32600),
        ("[]", Value::Null, -32600),
        ("{", Value::Null, -32700),
    ] {
        writeln!(mcp.input, "{line}").unwrap();
        let answer = mcp.next();
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&id, &json!(code)), "{line}: {answer}");
    }
    let text = "x".repeat(3 << 20);
    let remember = json!({"name": "memory_remember", "arguments": {"text": text}});
    let refused = mcp.ask(3, "tools/call", remember)["error"].clone();
    assert_eq!(
        (&refused["code"], &refused["data"]["code"]),
        (&json!(-32600), &json!("too_large")),
        "{refused}"
    );
    assert!(refused["data"]["hint"].as_str().unwrap().starts_with("say less at once"), "{refused}");
    writeln!(mcp.input, "{}", "x".repeat(9 << 20)).unwrap();
    let refused = mcp.next()["error"].clone();
    assert_eq!(refused["data"]["code"], "too_large", "it is told once: {refused}");
    assert_eq!(mcp.ask(4, "ping", json!({}))["result"], json!({}));
    mcp.close();
}

#[test]
fn a_token_that_is_set_and_empty_is_not_the_owners() {
    let env = TestEnv::new(BINARY);
    for args in [&["mcp"][..], &["data", "ls"]] {
        let refused = env.finish(env.command(args).env("ADJUTANT_TOKEN", "")).expect(2);
        assert!(
            refused.stderr.starts_with("error: ADJUTANT_TOKEN is set and holds no token\nhint: unset it"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(env.daemon_json(), None, "nothing was started for it");
}

#[test]
fn a_client_that_cancels_is_no_error_of_adjutant_and_the_log_tells_no_more_of_libraries_than_they_warn_of() {
    let env = TestEnv::new(BINARY);
    let (project, pipe) = (env.project(), env.work("pipe"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut mcp = Mcp::start(&mut env.command(&["mcp"]));
    mcp.ask(1, "initialize", begin("2025-11-25"));
    let check = format!("exec 3>'{}'; echo on >&3; tail -f README.md; true", pipe.display());
    let goal = json!({"description": "long", "acceptance": [{"check": check}], "project": project});
    let goal = mcp.call(2, "goal_create", goal)["structuredContent"]["id"].clone();
    let checking = json!({"name": "goal_check", "arguments": {"goal_id": goal}});
    mcp.send(&json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": checking}));
    let mut held = BufReader::new(File::open(&pipe).unwrap());
    held.read_line(&mut String::new()).unwrap();
    mcp.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}}));
    held.read_to_end(&mut Vec::new()).unwrap();
    mcp.call(4, "inbox", json!({}));
    mcp.close();
    assert_eq!(env.run(&["errors"]).expect(0).stdout, "nothing went wrong in Adjutant\n");
    env.run(&["stop"]).expect(0);
    let log = fs::read_to_string(env.home().join("daemon.log")).unwrap();
    assert!(log.contains(" INFO adjutant"), "{log}");
    assert!(!log.contains(" INFO rmcp"), "{log}");
}
