//! The Agent Client Protocol: a small agent that does what its prompt says.

use crate::hosted::{Stage, Told, alive, driver_of, used};
use adjutant_model::Value;
use adjutant_model::profile::{PromptDelivery, StreamFlavour};
use adjutant_model::session::{AgentExit, AgentQuestion, AgentSignal, AskAnswer, AskOptionKind, DriverKind};
use adjutant_sessions::driver::acp::{self, AcpAgent};
use adjutant_sessions::driver::{AgentDriver, DriverError, LaunchSpec};
use serde_json::json;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(3);

/// An agent in Python's standard library. A prompt is `method {params}` to call its client, or a word.
const AGENT: &str = r#"
import json, os, subprocess, sys, time
ids = [0]
mode = sys.argv[1] if len(sys.argv) > 1 else ""
def send(o):
    sys.stdout.write(json.dumps(dict(o, jsonrpc="2.0")) + "\n"); sys.stdout.flush()
def read():
    line = sys.stdin.readline()
    if not line:
        if mode == "stays":
            while True: time.sleep(1000)
        sys.exit(0)
    return json.loads(line)
def update(**u): send({"method": "session/update", "params": {"sessionId": "A1", "update": u}})
def call(method, params):
    ids[0] += 1
    send({"id": ids[0], "method": method, "params": dict(params, sessionId="A1")})
    cancelled = False
    while True:
        o = read()
        if o.get("method") == "session/cancel": cancelled = True
        if o.get("id") == ids[0] and "method" not in o: return o, cancelled
def say(text): update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": text})
def turn(text):
    if text == "ask":
        update(sessionUpdate="tool_call", toolCallId="t1", title="Run touch x", kind="execute", rawInput={"command": "touch x"})
        options = [{"optionId": i, "name": i, "kind": i} for i in ["reject_always", "allow_always", "reject_once", "allow_once"]]
        o, cancelled = call("session/request_permission", {"toolCall": {"toolCallId": "t1"}, "options": options})
        say(json.dumps(o["result"]["outcome"]))
        return "cancelled" if cancelled else "end_turn"
    if text == "hold":
        say("holding")
        while read().get("method") != "session/cancel": pass
        return "cancelled"
    if text == "noise":
        print("not a message", flush=True); print("x" * 9000000, flush=True); print("{broken", flush=True)
        update(sessionUpdate="of_tomorrow", x=1); send({"method": "session/of_tomorrow", "params": {}})
        say("fine"); return "end_turn"
    if text == "die":
        sys.stderr.write("out of luck\n"); sys.stderr.flush(); os._exit(7)
    if text == "usage":
        update(sessionUpdate="usage_update", used=30, size=100, cost={"amount": 0.5, "currency": "USD"})
        return {"stopReason": "end_turn", "usage": {"inputTokens": 5, "outputTokens": 2}}
    if "{" in text:
        method, _, params = text.partition(" ")
        o, _ = call(method, json.loads(params))
        say(json.dumps(o.get("result", o.get("error")))); return "end_turn"
    say("heard " + text); return "end_turn"
if mode == "stays":
    import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
asked = False
while True:
    o = read(); m = o.get("method"); i = o.get("id")
    if m == "initialize":
        session = {"resume": {}} if mode == "resumes" else {}
        send({"id": i, "result": {"protocolVersion": 2 if mode == "later" else 1, "agentInfo": {"name": "small", "version": "1"},
              "agentCapabilities": {"loadSession": mode in ("loads", "late", "never"), "sessionCapabilities": session}}})
    elif m == "session/new":
        if mode == "login": send({"id": i, "error": {"code": -32000, "message": "Authentication required"}})
        else:
            model = [{"id": "model", "name": "Model", "category": "model", "type": "select", "currentValue": "a", "options": [{"value": "a", "name": "a"}, {"value": "b", "name": "b"}]}]
            send({"id": i, "result": {"sessionId": "A1", "configOptions": model}})
    elif m == "session/load" and (mode == "never" or mode == "late" and not asked):
        asked = True; send({"id": i, "error": {"code": -32603, "message": "not found"}})
    elif m == "session/load":
        say("an old word\n"); send({"id": i, "result": {}})
    elif m == "session/resume": send({"id": i, "result": {}})
    elif m == "session/set_config_option": send({"id": i, "result": {"configOptions": []}})
    elif m == "session/prompt":
        stop = turn(o["params"]["prompt"][0]["text"])
        send({"id": i, "result": stop if isinstance(stop, dict) else {"stopReason": stop}})
    elif m == "session/cancel": pass
    elif i is not None and m: send({"id": i, "error": {"code": -32601, "message": "Method not found"}})
"#;

fn spec(stage: &Stage, mode: &str) -> LaunchSpec {
    let path = stage.write("agent.py", AGENT);
    let driver = driver_of(DriverKind::Acp, PromptDelivery::Protocol, StreamFlavour::Acp);
    stage.spec(driver, &["python3", &path, mode])
}

async fn start(spec: LaunchSpec) -> (AcpAgent, Told) {
    let (signals, told) = Told::channel();
    (acp::launch(spec, signals).await.unwrap(), told)
}

async fn answer_of(agent: &AcpAgent, told: &mut Told, prompt: &str) -> String {
    answer_when(agent, told, (prompt, AskAnswer::Allow)).await.0
}

/// Gives what the agent says in the end, and what it wanted, which is answered the same every time.
async fn answer_when(
    agent: &AcpAgent,
    told: &mut Told,
    (prompt, answer): (&str, AskAnswer),
) -> (String, Vec<AgentQuestion>) {
    agent.send(prompt).await.unwrap();
    let mut wanted = Vec::new();
    loop {
        let is_it =
            |signal: &AgentSignal| matches!(signal, AgentSignal::TurnEnded { .. } | AgentSignal::Wants(_));
        match told.until(is_it).await.pop() {
            Some(AgentSignal::TurnEnded { text, error: None }) => return (text.unwrap_or_default(), wanted),
            Some(AgentSignal::Wants(question)) => {
                agent.answer(&question.ask_id, answer.clone()).await.unwrap();
                wanted.push(question);
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

fn began(told: &[AgentSignal]) -> (Option<String>, Option<String>) {
    let began = told.iter().find_map(|signal| match signal {
        AgentSignal::Began { agent_session, model, .. } => Some((agent_session.clone(), model.clone())),
        _ => None,
    });
    began.unwrap_or_default()
}

#[tokio::test]
async fn a_session_is_opened_and_prompts_are_answered_one_at_a_time() {
    let stage = Stage::new();
    let mut spec = LaunchSpec { prompt: Some("one".to_owned()), ..spec(&stage, "") };
    spec.fillings.model = Some("b".to_owned());
    let (agent, mut told) = start(spec).await;
    agent.send("two").await.unwrap();
    let first = told.turn_end().await;
    assert_eq!(began(&first), (Some("A1".to_owned()), Some("b".to_owned())));
    assert_eq!(first.iter().filter(|signal| **signal == AgentSignal::PromptTaken).count(), 1);
    let end = |text: &str| AgentSignal::TurnEnded { text: Some(text.to_owned()), error: None };
    assert_eq!(first.last(), Some(&end("heard one")));
    assert_eq!(told.turn_end().await.last(), Some(&end("heard two")));
    agent.send("usage").await.unwrap();
    let used = used(&told.turn_end().await);
    assert_eq!((used.input_tokens, used.cost_usd, used.context_window), (5, Some(0.5), Some(100)));
    let lines = agent.screen(20).await.unwrap().lines;
    assert_eq!(lines[..3], ["(session/new of small 1)", "< one", "heard one"]);
    assert_eq!(agent.end(GRACE).await.unwrap().exit, AgentExit::Code(0), "its input was closed first");
    told.exit().await;
    assert!(matches!(agent.send("three").await, Err(DriverError::Gone)));
}

#[tokio::test]
async fn a_permission_is_answered_by_the_kind_of_its_options() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    let rows = [
        (AskAnswer::Allow, "allow_once"),
        (AskAnswer::Deny { reason: "no".to_owned() }, "reject_once"),
        (AskAnswer::Text("allow_always".to_owned()), "allow_always"),
    ];
    for (answer, option) in rows {
        agent.send("ask").await.unwrap();
        let question = told.asked().await;
        assert_eq!((question.text.as_str(), question.tool.as_deref()), ("Run touch x", Some("execute")));
        assert_eq!(question.options[1].kind, AskOptionKind::AllowAlways);
        assert!(question.input.is_some(), "the gate sees what the tool is called with");
        agent.answer(&question.ask_id, answer).await.unwrap();
        let rest = told.turn_end().await;
        assert_eq!(rest[0], AgentSignal::AskSettled { ask_id: Some(question.ask_id.clone()) });
        let said = format!("{:?}", rest.last());
        assert!(said.contains(&format!("\\\"{option}\\\"")), "{said}");
        let again = agent.answer(&question.ask_id, AskAnswer::Allow).await;
        assert!(matches!(again, Err(DriverError::Unsupported { .. })));
    }
}

#[tokio::test]
async fn a_cancelled_turn_leaves_no_permission_open() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    agent.send("ask").await.unwrap();
    let question = told.asked().await;
    agent.interrupt().await.unwrap();
    let rest = told.turn_end().await;
    assert_eq!(rest[0], AgentSignal::AskSettled { ask_id: Some(question.ask_id) });
    let said = format!("{:?}", rest.last());
    assert!(said.contains("cancelled") && said.contains("error: None"), "{said}");
    agent.send("hold").await.unwrap();
    told.until(|signal| *signal == AgentSignal::Working).await;
    agent.interrupt().await.unwrap();
    told.turn_end().await;
    assert_eq!(answer_of(&agent, &mut told, "on").await, "heard on");
}

#[tokio::test]
async fn files_and_terminals_stay_in_the_workspace() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    let work = stage.work();
    std::fs::write(stage.dir.path().join("secret"), "hidden").unwrap();
    std::os::unix::fs::symlink("..", work.join("up")).unwrap();
    let path = work.join("a/b.txt").display().to_string();
    let wrote = format!(r#"fs/write_text_file {{"path": "{path}", "content": "one\ntwo\n"}}"#);
    assert_eq!(answer_of(&agent, &mut told, &wrote).await, "{}");
    assert_eq!(std::fs::read_to_string(work.join("a/b.txt")).unwrap(), "one\ntwo\n");
    let read = format!(r#"fs/read_text_file {{"path": "{path}", "line": 2}}"#);
    assert_eq!(answer_of(&agent, &mut told, &read).await, r#"{"content": "two\n"}"#);
    for outside in ["/etc/passwd", "../secret", "up/secret"] {
        let read = format!(r#"fs/read_text_file {{"path": "{outside}"}}"#);
        let answer = answer_of(&agent, &mut told, &read).await;
        assert!(answer.contains("is not in the workspace"), "{answer}");
        let run = format!(r#"terminal/create {{"command": "true", "cwd": "{outside}"}}"#);
        assert!(answer_of(&agent, &mut told, &run).await.contains("is not in the workspace"));
    }
    let run = r#"terminal/create {"command": "sh", "args": ["-c", "echo $GREETING; echo oh >&2; exit 3"], "env": [{"name": "GREETING", "value": "hi"}]}"#;
    assert_eq!(answer_of(&agent, &mut told, run).await, r#"{"terminalId": "terminal-1"}"#);
    let wait = r#"terminal/wait_for_exit {"terminalId": "terminal-1"}"#;
    assert_eq!(answer_of(&agent, &mut told, wait).await, r#"{"exitCode": 3}"#);
    let output = r#"terminal/output {"terminalId": "terminal-1"}"#;
    let shown = answer_of(&agent, &mut told, output).await;
    assert!(shown.contains(r#""output": "hi\noh\n", "truncated": false"#), "{shown}");
    let flood = r#"terminal/create {"command": "yes | head -c 100000; touch shown; sleep 1000", "outputByteLimit": 10}"#;
    assert_eq!(answer_of(&agent, &mut told, flood).await, r#"{"terminalId": "terminal-2"}"#);
    assert!(alive(&format!("{}/terminal-2", stage.marker)) > 0);
    while !work.join("shown").exists() {
        tokio::task::yield_now().await;
    }
    let kill = r#"terminal/kill {"terminalId": "terminal-2"}"#;
    assert_eq!(answer_of(&agent, &mut told, kill).await, "{}");
    let wait = r#"terminal/wait_for_exit {"terminalId": "terminal-2"}"#;
    assert_eq!(answer_of(&agent, &mut told, wait).await, r#"{"signal": "15"}"#);
    let output = r#"terminal/output {"terminalId": "terminal-2"}"#;
    let shown = answer_of(&agent, &mut told, output).await;
    assert!(shown.contains(r#""output": "y\ny\ny\ny\ny\n", "truncated": true"#), "{shown}");
    let release = r#"terminal/release {"terminalId": "terminal-2"}"#;
    assert_eq!(answer_of(&agent, &mut told, release).await, "{}");
    assert!(answer_of(&agent, &mut told, release).await.contains("there is no terminal"));
    let unknown = answer_of(&agent, &mut told, r#"fs/of_tomorrow {"x": 1}"#).await;
    assert!(unknown.contains("-32601"), "{unknown}");
    let stays = r#"terminal/create {"command": "setsid sleep 1000 & sleep 1000"}"#;
    answer_of(&agent, &mut told, stays).await;
    let ended = agent.end(GRACE).await.unwrap();
    assert_eq!((ended.exit, ended.swept.alive), (AgentExit::Code(0), 0));
    assert_eq!(alive(&format!("{}/terminal-3", stage.marker)), 0);
}

#[tokio::test]
async fn what_is_denied_is_not_done_and_the_agent_sees_why() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    let work = stage.work();
    std::fs::write(work.join("in"), "hidden").unwrap();
    let inside = std::fs::canonicalize(&work).unwrap().display().to_string();
    let rows = [
        (r#"fs/read_text_file {"path": "x/../in"}"#, "Read", json!({"path": format!("{inside}/in")})),
        (
            r#"fs/write_text_file {"path": "made", "content": "c"}"#,
            "Write",
            json!({"path": format!("{inside}/made"), "content": "c"}),
        ),
        (
            r#"terminal/create {"command": "touch", "args": ["made"], "env": [{"name": "A", "value": "b"}]}"#,
            "Bash",
            json!({"command": "touch", "args": ["made"], "cwd": inside, "env": {"A": "b"}}),
        ),
        (
            r#"terminal/create {"command": "touch made"}"#,
            "Bash",
            json!({"command": "touch made", "cwd": inside}),
        ),
    ];
    std::fs::create_dir(work.join("x")).unwrap();
    for (prompt, tool, input) in rows {
        let denied = AskAnswer::Deny { reason: "not on a Sunday".to_owned() };
        let (said, wanted) = answer_when(&agent, &mut told, (prompt, denied)).await;
        assert!(said.contains("denied: not on a Sunday"), "{prompt}: {said}");
        let [question] = &wanted[..] else { panic!("{prompt}: {wanted:?}") };
        assert_eq!(question.tool.as_deref(), Some(tool), "{prompt}");
        assert_eq!(question.input, Some(Value::from(input)), "{prompt}");
        let again = agent.answer(&question.ask_id, AskAnswer::Allow).await;
        assert!(matches!(again, Err(DriverError::Unsupported { .. })), "{prompt}");
    }
    assert!(!work.join("made").exists());
    agent.send(r#"fs/write_text_file {"path": "made", "content": "late"}"#).await.unwrap();
    let wants = told.until(|signal| matches!(signal, AgentSignal::Wants(_))).await.pop();
    let Some(AgentSignal::Wants(question)) = wants else { panic!("{wants:?}") };
    agent.interrupt().await.unwrap();
    told.turn_end().await;
    assert!(agent.answer(&question.ask_id, AskAnswer::Allow).await.is_err(), "nobody waits for it");
    assert!(!work.join("made").exists());
}

#[tokio::test]
async fn an_agent_goes_on_with_its_session_as_it_can() {
    let rows = [
        ("resumes", "A7", "(session/resume of small 1)"),
        ("loads", "A7", "(session/load of small 1)"),
        ("late", "A7", "(session/load of small 1)"),
        (
            "never",
            "A1",
            "(session/new of small 1: it did not go on with the session A7, so this one is new: it failed: not found)",
        ),
        ("", "A1", "(session/new of small 1: it cannot go on with the session A7, so this one is new)"),
    ];
    for (mode, session, line) in rows {
        let stage = Stage::new();
        let spec = LaunchSpec { resume: Some("A7".to_owned()), ..spec(&stage, mode) };
        let (agent, mut told) = start(spec).await;
        let opened = told.until(|signal| matches!(signal, AgentSignal::Began { .. })).await;
        assert_eq!(opened.len(), 1, "its history tells nothing");
        assert_eq!(began(&opened).0.as_deref(), Some(session), "{mode}");
        assert_eq!(answer_of(&agent, &mut told, "on").await, "heard on");
        let lines = agent.screen(20).await.unwrap().lines;
        assert!(lines.contains(&line.to_owned()), "{mode}: {lines:?}");
    }
}

#[tokio::test]
async fn noise_is_passed_over_and_kept_for_people() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    assert_eq!(answer_of(&agent, &mut told, "noise").await, "fine");
    let lines = agent.screen(20).await.unwrap().lines;
    for line in ["not a message", "(a line of 9000000 bytes was left out)", "{broken"] {
        assert!(lines.iter().any(|said| said == line), "{line}: {lines:?}");
    }
}

#[tokio::test]
async fn an_agent_that_opens_no_session_ends_and_says_why() {
    let rows = [("login", "Authentication required"), ("later", "version 1")];
    for (mode, why) in rows {
        let stage = Stage::new();
        let (agent, mut told) = start(spec(&stage, mode)).await;
        agent.send("one").await.unwrap();
        told.exit().await;
        let lines = agent.screen(20).await.unwrap().lines;
        assert!(lines.iter().any(|line| line.contains(why)), "{mode}: {lines:?}");
    }
    let stage = Stage::new();
    let driver = driver_of(DriverKind::Acp, PromptDelivery::Protocol, StreamFlavour::Acp);
    let (signals, _told) = Told::channel();
    let why = acp::launch(stage.spec(driver, &["no-such-agent"]), signals).await.unwrap_err();
    assert!(why.to_string().contains("was not found in PATH"), "{why}");
}

#[tokio::test]
async fn an_agent_that_stays_is_ended_with_what_it_started_elsewhere() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "stays")).await;
    assert_eq!(answer_of(&agent, &mut told, "one").await, "heard one");
    assert_eq!(alive(&stage.marker), 2);
    let ended = agent.end(Duration::from_millis(600)).await.unwrap();
    assert_eq!((ended.exit, ended.swept.alive), (AgentExit::Signal(9), 0));
    assert_eq!(alive(&stage.marker), 0);
}

#[tokio::test]
async fn an_agent_that_dies_is_told_with_its_last_words() {
    let stage = Stage::new();
    let (agent, mut told) = start(spec(&stage, "")).await;
    agent.send("die").await.unwrap();
    assert_eq!(told.exit().await.last(), Some(&AgentSignal::Exited(AgentExit::Code(7))));
    let lines = agent.screen(1).await.unwrap().lines;
    assert_eq!(lines, ["(ended: exit code 7: out of luck)"]);
}
