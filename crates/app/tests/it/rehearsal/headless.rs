//! Claude Code's control protocol over pipes.

use super::stage::{Peer, hooks, place};
use serde_json::{Value, json};

const ARGS: [&str; 7] = [
    "script.yaml",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--permission-prompt-tool",
    "stdio",
];

fn user(text: &str) -> Value {
    json!({"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": text}]}})
}

fn control(id: &str, subtype: &str) -> Value {
    json!({"type": "control_request", "request_id": id, "request": {"subtype": subtype}})
}

fn answer(request: &Value, response: Value) -> Value {
    json!({"type": "control_response", "response": {
        "subtype": "success", "request_id": request["request_id"], "response": response}})
}

#[test]
fn every_message_gets_its_result_and_the_host_gives_permission() {
    let env =
        place("ask_for: [Bash]\nturns: [[{ run: touch made }, { ask: Which? }, { say: 'did {prompt}' }]]\n");
    let mut peer = Peer::start(&env, &ARGS);
    peer.send(&control("i1", "initialize"));
    assert_eq!(peer.lines.json("control_response")["response"]["request_id"], "i1");
    peer.send(&control("d1", "dance"));
    assert_eq!(peer.lines.json("control_response")["response"]["subtype"], "error");

    peer.send(&user("one"));
    let init = peer.lines.json("\"init\"");
    let asked = peer.lines.json("can_use_tool");
    assert_eq!(asked["request"]["input"], json!({"command": "touch made"}));
    peer.send(&answer(&asked, json!({"behavior": "deny", "message": "not now"})));
    assert!(peer.lines.until("tool_result").contains("not now"));
    let asked = peer.lines.json("AskUserQuestion");
    let answers = json!({"behavior": "allow", "updatedInput": {"answers": {"Which?": "this"}}});
    peer.send(&answer(&asked, answers));
    peer.lines.until("answered: this");
    let result = peer.lines.json("\"result\"");
    assert_eq!((&result["result"], &result["is_error"]), (&"did one".into(), &false.into()));
    assert_eq!(result["permission_denials"][0]["tool_name"], "Bash");
    assert!(!env.work("made").exists());

    peer.send(&user("two"));
    assert_eq!(peer.lines.json("\"init\"")["session_id"], init["session_id"]);
    let asked = peer.lines.json("can_use_tool");
    peer.send(&answer(&asked, json!({"behavior": "allow", "updatedInput": {}})));
    let asked = peer.lines.json("AskUserQuestion");
    peer.send(&answer(&asked, json!({"behavior": "deny", "message": "no"})));
    assert_eq!(peer.lines.json("\"result\"")["result"], "did two");
    assert!(env.work("made").exists());
    assert_eq!(peer.end().0.code(), Some(0));
}

#[test]
fn an_interrupt_ends_the_turn_and_takes_the_question_back() {
    let env = place("ask_for: [Bash]\nturns: [[{ run: touch made }], [{ say: next }]]\n");
    let mut events = hooks(&env, "");
    let mut peer = Peer::start(&env, &ARGS);
    peer.send(&user("one"));
    let asked = peer.lines.json("can_use_tool");
    peer.send(&control("x1", "interrupt"));
    assert_eq!(peer.lines.json("control_response")["response"]["request_id"], "x1");
    assert_eq!(peer.lines.json("control_cancel_request")["request_id"], asked["request_id"]);
    let result = peer.lines.json("\"result\"");
    assert_eq!((&result["subtype"], &result["is_error"]), (&"error_during_execution".into(), &true.into()));
    events.until("\"Stop\"");
    peer.send(&user("two"));
    assert_eq!(peer.lines.json("\"result\"")["result"], "next");
    let (status, _) = peer.end();
    assert_eq!((status.code(), env.work("made").exists()), (Some(0), false));
}

#[test]
fn what_is_no_message_ends_it() {
    let env = place("- say: hi\n");
    let mut peer = Peer::start(&env, &ARGS);
    peer.say("hello?");
    assert_eq!(peer.child.wait().unwrap().code(), Some(1));
}
