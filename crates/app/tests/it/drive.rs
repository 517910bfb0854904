//! Driving an agent until a check passes.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// Fails first, and mends it when it is told what the check found.
const LEARNS: &str = "#!/bin/sh\ncase \"$1\" in *'it is still bad'*) echo good > out ;; *) echo bad > out ;; esac\necho tried\n";
const CHECK: &str = "if grep -q good out; then echo fine; else echo it is still bad; exit 3; fi";

fn agent(env: &TestEnv, script: &str) -> String {
    let path = env.file("agent.sh", script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_string_lossy().into_owned()
}

fn trace(env: &TestEnv, run_id: &str) -> Vec<Value> {
    let lines = env.run(&["trace", run_id, "--json"]).expect(0).stdout;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_the_check_found_is_fed_back_until_it_passes() {
    let env = TestEnv::new(BINARY);
    let agent = agent(&env, LEARNS);
    let args = ["drive", "--cli", &agent, "--check", CHECK, "--prompt", "make it good", "--json"];
    let told: Value = serde_json::from_str(&env.run(&args).expect(0).stdout).unwrap();
    assert_eq!((&told["status"], &told["attempts"]), (&json!("success"), &json!(2)), "{told}");

    let records = trace(&env, told["run_id"].as_str().unwrap());
    let turns: Vec<_> = records.iter().filter(|record| record["record"] == "turn").collect();
    let seen: Vec<_> = turns
        .iter()
        .map(|turn| json!([turn["tool"], turn["cli_outcome"]["code"], turn["verifier_verdict"]]))
        .collect();
    let expected = [
        json!(["drive_cli", 0, "not_run"]),
        json!(["check_outcome", null, "fail"]),
        json!(["drive_cli", 0, "not_run"]),
        json!(["check_outcome", null, "pass"]),
    ];
    assert_eq!(seen, expected);
    assert_eq!(turns[0]["prompt"], "make it good");
    assert!(turns[2]["prompt"].as_str().unwrap().contains("it is still bad"), "{}", turns[2]);
    assert_eq!(records.last().unwrap()["termination"]["status"], "success", "{records:?}");

    let run_id = told["run_id"].as_str().unwrap();
    let listed = env.run(&["runs"]).expect(0).stdout;
    assert!(listed.contains(run_id) && listed.contains("completed"), "{listed}");
    let shown = env.run(&["trace", &run_id[run_id.len() - 8..]]).expect(0).stdout;
    assert!(shown.contains("check_outcome") && shown.contains("fail"), "{shown}");
}

#[test]
fn it_stops_when_the_attempts_are_spent_or_the_gate_refuses() {
    let env = TestEnv::new(BINARY);
    let agent = agent(&env, "#!/bin/sh\nexit 7\n");
    let args = ["drive", "--cli", &agent, "--check", "false", "--prompt", "try", "--attempts", "2"];
    let spent = env.run(&args).expect(1);
    assert!(spent.stdout.contains("2. ") && spent.stdout.contains("exit 7"), "{}", spent.stdout);
    assert!(spent.stderr.contains("the check does not pass after 2 attempts"), "{}", spent.stderr);

    let refused = ["drive", "--cli", &agent, "--check", "rm -rf /", "--prompt", "try"];
    let refused = env.run(&refused).expect(1);
    assert!(refused.stderr.contains("policy") || refused.stderr.contains("refused"), "{}", refused.stderr);
    let missing = ["drive", "--cli", "no-such-program", "--check", "true", "--prompt", "try"];
    let missing = env.run(&missing).expect(1);
    assert!(missing.stderr.contains("no-such-program"), "{}", missing.stderr);
    env.run(&["drive", "--cli", "x", "--check", "true", "--prompt", "p", "--dir", "nowhere"]).expect(4);
    env.run(&["drive", "--cli", "x", "--check", "true", "--prompt", "p", "--budget", "0"]).expect(2);
}

#[test]
fn a_daemon_that_dies_under_a_drive_is_found_again_and_the_run_goes_on() {
    let env = TestEnv::new(BINARY);
    // The first drive waits for the daemon's death; what it began is begun again.
    let agent = agent(
        &env,
        "#!/bin/sh\necho began\nif [ ! -e died ]; then touch began; sleep 600; fi\necho good > out\n",
    );
    env.run(&["runs"]).expect(0);
    let mut command = env.command(&["drive", "--cli", &agent, "--check", CHECK, "--prompt", "work"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    // The agent's first word says that the callback is under way.
    while let Some(line) = lines.next().map(Result::unwrap) {
        let began = line.contains("began");
        seen.push(line);
        if began {
            break;
        }
    }
    env.file("died", "");
    kill_process(env.daemon_pid().unwrap(), Signal::KILL).unwrap();
    seen.extend(lines.map(Result::unwrap));
    assert!(child.wait().unwrap().success(), "{seen:?}");
    let run_id = seen[0].split([' ', ':']).nth(1).unwrap();
    let records = trace(&env, run_id);
    let indexes: Vec<_> = records
        .iter()
        .filter(|record| record["record"] == "turn")
        .map(|turn| turn["index"].clone())
        .collect();
    assert_eq!(indexes, (0..indexes.len()).map(|at| json!(at)).collect::<Vec<_>>(), "{records:?}");
    assert_eq!(records.last().unwrap()["termination"]["status"], "success", "{records:?}");
    env.run(&["journal", "verify"]).expect(0);
}
