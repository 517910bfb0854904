//! Runs that go on again, from the command line and through a daemon that is killed.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Three equal steps and one that holds until a file is there; each says in a file that it began.
const EQUAL: &str = r#"
id: equal
agents:
  - { name: note, kind: command, spec: { argv: [sh, -c, "echo began >> \"$1\"/log; cat", sh, "{work_dir}"] } }
  - { name: hold, kind: command, spec: { argv: [sh, -c, "echo holds >> \"$1\"/log; while [ ! -e \"$1\"/go ]; do sleep 0.02; done; cat", sh, "{work_dir}"] } }
flow:
  kind: seq
  children:
    - { kind: step, ref: note, in: { op: lit, value: 1 }, out: { op: path, at: $.a } }
    - { kind: step, ref: note, in: { op: lit, value: 1 }, out: { op: path, at: $.b } }
    - { kind: step, ref: note, in: { op: lit, value: 1 }, out: { op: path, at: $.c } }
    - { kind: step, ref: hold, in: { op: path, at: $ }, out: { op: path, at: $.d } }
"#;

fn last(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn equal_steps_that_settled_are_not_repeated_by_the_daemon_behind_a_killed_one() {
    let env = TestEnv::new(BINARY);
    env.file("equal.yaml", EQUAL);
    let log = || fs::read_to_string(env.work("log")).unwrap_or_default();
    let accepted = env.run(&["run", "equal.yaml", "--work-dir", ".", "--detach", "--json"]).expect(0);
    let run_id = last(&accepted.stdout)["run_id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !log().contains("holds") {
        assert!(Instant::now() < deadline, "the last step does not begin: {}", log());
        std::thread::yield_now();
    }
    kill_process(env.daemon_pid().unwrap(), Signal::KILL).unwrap();
    fs::write(env.work("go"), "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let run = loop {
        let run = last(&env.run(&["show", &run_id, "--json"]).expect(0).stdout);
        if run["status"] == "done" {
            break run;
        }
        assert!(Instant::now() < deadline, "it does not end: {run}");
    };
    assert_eq!((&run["epoch"], &run["final_ctx"]["d"]), (&json!(2), &json!({"a": 1, "b": 1, "c": 1})));
    assert_eq!(log().matches("began").count(), 3, "{}", log());
    assert_eq!(log().matches("holds").count(), 2, "only what was in flight begins again: {}", log());
    let steps = env.run(&["steps", &run_id, "--json"]).expect(0).stdout;
    assert_eq!(steps.lines().count(), 4, "{steps}");
}

#[test]
fn a_failed_run_is_looked_at_corrected_and_taken_back_to_the_step() {
    let env = TestEnv::new(BINARY);
    let needs = r#"
id: needs
agents:
  - { name: plan, kind: command, spec: { argv: [printf, "a plan"], use_stdin: false } }
  - { name: build, kind: command, spec: { argv: [sh, -c, "[ -e \"$1\"/go ] && echo '{\"built\": [1, 2]}'", sh, "{work_dir}"], use_stdin: false } }
flow:
  kind: seq
  children:
    - { kind: step, ref: plan, in: { op: path, at: $ }, out: { op: path, at: $.plan } }
    - { kind: step, ref: build, in: { op: path, at: $ }, out: { op: path, at: $.build } }
"#;
    env.file("needs.yaml", needs);
    let failed = env.run(&["run", "needs.yaml", "--work-dir", ".", "--json", "--input", "for=me"]).expect(1);
    let run = last(&failed.stdout);
    let run_id = run["id"].as_str().unwrap();
    let steps = env.run(&["steps", run_id]).expect(0).stdout;
    assert!(steps.lines().nth(1).unwrap().starts_with("blocked     1 "), "{steps}");
    assert_eq!(env.run(&["step", run_id, "plan"]).expect(0).stdout, "a plan\n");
    env.run(&["step", run_id, "build"]).expect(4);
    let refused = env.run(&["rerun", run_id, "--from", "nobody"]).expect(1);
    assert!(refused.stderr.contains("has no step `nobody`"), "{}", refused.stderr);
    env.run(&["resume", run_id]).expect(1);

    fs::write(env.work("go"), "").unwrap();
    let again = env.run(&["rerun", run_id, "--from", "build"]).expect(0).stdout;
    assert!(again.contains("again from build: 1 steps stay, 1 are taken back"), "{again}");
    assert!(again.contains("run done") && !again.contains("run failed"), "{again}");
    assert_eq!(env.run(&["step", run_id, "build", "--path", "$.built[1]"]).expect(0).stdout, "2\n");
    let trace = env.run(&["trace", run_id]).expect(0).stdout;
    assert!(trace.contains("(failed)"), "what was taken back stays to be seen: {trace}");

    let task = run["task_id"].as_str().unwrap();
    let other = last(&env.run(&["run", "--task", task, "--json", "--input", "for=you"]).expect(0).stdout);
    assert_eq!((&other["task_id"], &other["final_ctx"]["for"]), (&run["task_id"], &json!("you")));
    assert_ne!(other["id"], run["id"]);
    env.run(&["run", "--task", task, "--ttl", "5"]).expect(2);
}
