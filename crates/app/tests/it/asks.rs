//! A person answers what a flow, and the agent in it, ask.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

const FLOW: &str = "\
id: asks
agents:
  - name: coder
    kind: command
    spec: { template: rehearsal, env: { ADJUTANT_REHEARSAL: script.yaml } }
flow:
  kind: seq
  children:
    - { kind: ask, question: Which way?, options: [left, right], out: { op: path, at: $.way } }
    - { kind: step, ref: coder, in: { op: lit, value: go }, out: { op: path, at: $.said } }
";

const POLICY: &str =
    "[[rule]]\nname = \"ask-first\"\neffect = \"ask\"\ntool = \"Bash\"\nreason = \"it is a shell\"\n";

/// Gives the id of the one approval that waits, and how it is shown.
fn pending(env: &TestEnv) -> (String, String) {
    let shown = env.run(&["approvals"]).expect(0).stdout;
    let id = shown.split_whitespace().next().unwrap().to_owned();
    assert!(id.starts_with("approval-") && shown.contains("pending"), "{shown}");
    (id, shown)
}

#[test]
fn a_question_outlives_a_killed_daemon_and_an_agent_waits_for_its_answer() {
    let env = TestEnv::new(BINARY);
    std::fs::create_dir(env.home()).unwrap();
    std::fs::write(env.home().join("policy.toml"), POLICY).unwrap();
    env.file("asks.yaml", FLOW);
    env.file("script.yaml", "- run: printf done > made\n- say: I was let\n");
    let mut command = env.command(&["run", "asks.yaml", "--work-dir", ".", "--json"]);
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());

    lines.find(|event| event["payload"]["to"] == "waiting").unwrap();
    let (id, shown) = pending(&env);
    assert!(shown.contains("Which way?") && shown.contains("right"), "{shown}");
    kill_process(env.daemon_pid().unwrap(), Signal::KILL).unwrap();
    assert_eq!(pending(&env).0, id, "the next daemon waits for the same answer");
    let wrong = env.run(&["approvals", "approve", &id, "--option", "up"]).expect(2);
    assert!(wrong.stderr.contains("the options are `left`, `right`"), "{}", wrong.stderr);
    let said = env.run(&["approvals", "approve", &id, "--option", "right"]).expect(0).stdout;
    assert!(said.contains("approved"), "{said}");

    lines.find(|event| event["payload"]["judgement"]["effect"] == "ask").unwrap();
    let (id, shown) = pending(&env);
    assert!(shown.contains("printf done > made") && shown.contains("ask-first"), "{shown}");
    assert!(!env.work("made").exists(), "the agent waits");
    env.run(&["approvals", "approve", &id]).expect(0);
    let run = lines.last().unwrap();
    assert_eq!((&run["status"], &run["final_ctx"]["way"]), (&json!("done"), &json!("right")), "{run}");
    assert!(running.wait().unwrap().success() && env.work("made").exists());
}
