//! `adjutant run` for people and for programs.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

const ECHO: &str = "\
id: echo
agents:
  - { name: same, kind: function, spec: { fn_id: identity } }
flow: { kind: step, ref: same, in: { op: path, at: $.given }, out: { op: path, at: $.got } }
";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_program_gets_events_as_json_lines_and_the_run_last() {
    let env = TestEnv::new(BINARY);
    env.file("echo.yaml", ECHO);
    for (given, expected) in
        [("given={\"a\":[1]}", json!({"a": [1]})), ("given=plain words", json!("plain words"))]
    {
        let ran = env.run(&["run", "echo.yaml", "--json", "--input", given]).expect(0);
        let lines = lines(&ran.stdout);
        let (run, events) = lines.split_last().unwrap();
        assert_eq!((&run["status"], &run["final_ctx"]["got"]), (&json!("done"), &expected));
        let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
        assert!(seqs.is_sorted() && events.iter().all(|event| event["subject"] == run["id"]));
        assert_eq!(events.last().unwrap()["payload"]["to"], "done");
    }
}

#[test]
fn values_of_the_command_line_go_over_those_of_a_file() {
    let env = TestEnv::new(BINARY);
    env.file("echo.yaml", ECHO);
    env.file("in.json", r#"{"given": 1, "kept": true}"#);
    let args = ["run", "echo.yaml", "--json", "--input-file", "in.json", "--input", "given=2"];
    let ran = env.run(&args).expect(0);
    assert_eq!(lines(&ran.stdout).pop().unwrap()["final_ctx"], json!({"given": 2, "got": 2, "kept": true}));
    env.file("list.json", "[1]");
    let refused = env.run(&["run", "echo.yaml", "--input-file", "list.json"]).expect(2);
    assert!(refused.stderr.contains("list.json is not a JSON object"), "{}", refused.stderr);
}

#[test]
fn what_an_agent_prints_cannot_drive_the_terminal() {
    let env = TestEnv::new(BINARY);
    env.file(
        "loud.yaml",
        r#"
id: loud
agents:
  - name: loud
    kind: command
    spec: { argv: [sh, -c, "printf 'a\\033[2J\\033]0;title\\007b\\n'"], use_stdin: false }
flow: { kind: step, ref: loud, in: { op: lit, value: null }, out: { op: path, at: $.said } }
"#,
    );
    let ran = env.run(&["run", "loud.yaml"]).expect(0);
    assert!(ran.stdout.contains("a␛[2J␛]0;title␇b"), "{}", ran.stdout);
    assert!(!ran.stdout.contains(['\x1b', '\x07']));
    let run_id = ran.stdout.split_whitespace().find(|word| word.starts_with("run_")).unwrap();
    let shown = env.run(&["trace", run_id]).expect(0).stdout + &env.run(&["show", run_id]).expect(0).stdout;
    assert!(!shown.contains(['\x1b', '\x07']), "{shown}");
}

#[test]
fn a_detached_run_is_found_by_a_part_of_its_id_and_can_be_cancelled() {
    let env = TestEnv::new(BINARY);
    env.file("slow.yaml", "id: slow\nflow: { kind: wait, ms: { op: lit, value: 600000 } }\n");
    let accepted = env.run(&["run", "slow.yaml", "--detach", "--json"]).expect(0);
    let run_id = lines(&accepted.stdout)[0]["run_id"].as_str().unwrap().to_owned();
    let tail = &run_id[run_id.len() - 12..];
    let cancelled = env.run(&["cancel", tail, "--reason", "enough"]).expect(0);
    assert!(cancelled.stdout.starts_with(&format!("{run_id} is ")), "{}", cancelled.stdout);
    let again = env.run(&["cancel", tail]);
    assert!(again.code == Some(1) || again.stdout.contains("cancelled"), "{}", again.stderr);
}

#[test]
fn a_failed_run_ends_the_command_with_its_code_and_says_why() {
    let env = TestEnv::new(BINARY);
    env.file(
        "fails.yaml",
        "\
id: fails
agents:
  - { name: no, kind: command, spec: { argv: [sh, -c, 'echo broken >&2; exit 7'], use_stdin: false } }
flow: { kind: step, ref: no, in: { op: lit, value: null }, out: { op: path, at: $.x } }
",
    );
    let ran = env.run(&["run", "fails.yaml"]).expect(1);
    assert!(ran.stdout.contains("run failed after "), "{}", ran.stdout);
    assert!(ran.stdout.contains("the command exited with code 7: broken"), "{}", ran.stdout);
}

/// Waits until it finds `go` in its directory, so that a test decides when the run is over.
const WAITS: &str = r#"
id: waits
agents:
  - name: waiter
    kind: command
    spec: { argv: [sh, -c, "until [ -e GO ]; do sleep 0.05; done; echo '{\"went\": true}'"], use_stdin: false }
flow: { kind: step, ref: waiter, in: { op: lit, value: null }, out: { op: path, at: $.out } }
"#;

#[test]
fn a_killed_daemon_is_started_again_by_who_follows_a_run_and_the_run_ends() {
    let env = TestEnv::new(BINARY);
    let go = env.work("go");
    env.file("waits.yaml", &WAITS.replace("GO", &go.to_string_lossy()));
    let mut follower = env.command(&["run", "waits.yaml", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap());
    shown.read_line(&mut String::new()).unwrap();
    let killed = env.daemon_pid().unwrap();
    kill_process(killed, Signal::KILL).unwrap();
    std::fs::write(go, "").unwrap();
    let mut rest = String::new();
    shown.read_to_string(&mut rest).unwrap();
    assert!(follower.wait().unwrap().success(), "{rest}");
    let lines = lines(&rest);
    let run = lines.last().unwrap();
    assert_eq!((&run["status"], &run["final_ctx"]["out"]), (&json!("done"), &json!({"went": true})));
    let seqs: Vec<_> = lines.iter().filter_map(|line| line["seq"].as_i64()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "no event is shown twice: {seqs:?}");
    assert_ne!(env.daemon_pid(), Some(killed));
}

#[test]
fn a_daemon_that_was_stopped_stays_stopped_under_who_follows_a_run() {
    let env = TestEnv::new(BINARY);
    env.file("waits.yaml", &WAITS.replace("GO", &env.work("go").to_string_lossy()));
    let mut follower = env
        .command(&["run", "waits.yaml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap());
    shown.read_line(&mut String::new()).unwrap();
    env.run(&["stop"]).expect(0);
    let ended = follower.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("the daemon stopped before run_") && said.contains("\nhint: "), "{said}");
    assert!(env.daemon_json().is_none());
}
