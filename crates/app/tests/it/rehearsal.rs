//! The rehearsal agent as a process.

mod acp;

mod headless;

mod hooks;

mod stage;

mod terminal;

use crate::BINARY;
use adjutant_testkit::{Ran, TestEnv};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;

fn played(env: &TestEnv, script: &str) -> Ran {
    env.file("script.yaml", script);
    env.run(&["rehearsal", "script.yaml", "--prompt", "make it blue"])
}

fn last(ran: &Ran) -> Value {
    serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap()
}

#[test]
fn a_script_ends_as_it_says() {
    let env = TestEnv::new(BINARY);
    let ran = played(&env, "- say: 'I was asked to {prompt}.'\n").expect(0);
    assert_eq!(last(&ran)["result"], "I was asked to make it blue.");
    let ran = played(&env, "- exit: { code: 3, result: gave up }\n").expect(3);
    assert_eq!((&last(&ran)["is_error"], &last(&ran)["result"]), (&true.into(), &"gave up".into()));
    for (name, signal) in [("kill", 9), ("segv", 11), ("SIGTERM", 15)] {
        let ran = played(&env, &format!("- say: hi\n- crash: {name}\n"));
        assert_eq!(ran.output.status.signal(), Some(signal), "{name}");
        assert!(!ran.stdout.contains("\"type\":\"result\""));
    }
    let cut = played(&env, "- crash: cut\n").expect(0);
    assert!(!cut.stdout.ends_with('\n'));
}

#[test]
fn a_script_with_a_mistake_is_not_begun() {
    let env = TestEnv::new(BINARY);
    let refused = played(&env, "- write: { path: made, content: x }\n- shout: hi\n").expect(2);
    assert!(refused.stdout.is_empty() && !env.work("made").exists());
    assert!(refused.stderr.contains("script.yaml:2:3: unknown step `shout`"), "{}", refused.stderr);
    let missing = env.run(&["rehearsal", "absent.yaml"]).expect(4);
    assert!(missing.stderr.contains("built in: fix-failing-test"), "{}", missing.stderr);
    env.run(&["rehearsal"]).expect(2);
}

#[test]
fn without_a_gate_it_says_so_and_with_a_dead_one_it_changes_nothing() {
    let env = TestEnv::new(BINARY);
    env.file("script.yaml", "- write: { path: made, content: x }\n");
    let dead = env
        .finish(env.command(&["rehearsal", "script.yaml"]).env("ADJUTANT_URL", "http://127.0.0.1:9"))
        .expect(0);
    assert!(dead.stdout.contains("does not answer, so nothing is changed") && !env.work("made").exists());
    let open = env.run(&["rehearsal", "script.yaml"]).expect(0);
    assert!(open.stdout.contains("none: ADJUTANT_URL is not set"), "{}", open.stdout);
    assert!(env.work("made").exists());
}

#[test]
fn children_that_are_left_behind_live_in_a_session_of_their_own() {
    let env = TestEnv::new(BINARY);
    let ran =
        played(&env, "- fork: { count: 2, detach: true, ignore_term: true, clean_env: true }\n").expect(0);
    let notice: Value = ran.stdout.lines().find(|line| line.contains("children")).unwrap().parse().unwrap();
    let pids: Vec<i32> = notice["message"]
        .as_str()
        .unwrap()
        .trim_start_matches("children: ")
        .split(' ')
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 2);
    for pid in pids {
        let of = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
        let stat = String::from_utf8(of("stat")).unwrap();
        let session = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap();
        assert_eq!((session, of("environ")), (pid.to_string().as_str(), Vec::new()));
        let ignored = String::from_utf8(of("status")).unwrap();
        let caught = ignored.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
        assert!(caught & (1 << 14) != 0, "SIGTERM is caught");
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

#[test]
fn a_flood_is_as_long_as_the_script_says() {
    let env = TestEnv::new(BINARY);
    let ran = played(&env, "- flood: { bytes: 1000, line_bytes: 300 }\n").expect(0);
    let lengths: Vec<usize> = ran
        .stdout
        .lines()
        .map(|line| line.parse::<Value>().unwrap())
        .filter_map(|line| Some(line.pointer("/message/content/0/text")?.as_str()?.len()))
        .collect();
    assert_eq!(lengths, [300, 300, 300, 100]);
}

#[test]
fn what_the_model_used_and_where_its_limit_is_stand_in_the_result() {
    let env = TestEnv::new(BINARY);
    let script = "- usage: { input_tokens: 7, output_tokens: 2, cost_usd: 0.25, context_window: 1000 }\n\
                  - quota: { until: '2030-01-01T15:00:00Z' }\n";
    let ran = played(&env, script).expect(1);
    let last = last(&ran);
    assert_eq!(last["usage"], serde_json::json!({"input_tokens": 7, "output_tokens": 2}));
    assert_eq!((&last["total_cost_usd"], &last["api_error_status"]), (&0.25.into(), &429.into()));
    assert_eq!((&last["is_error"], &last["subtype"]), (&true.into(), &"success".into()));
    assert_eq!(last["result"], "You've hit your session limit · resets Jan 1, 3pm (UTC)");
    assert!(ran.stdout.contains("\"resetsAt\":1893510000"), "{}", ran.stdout);
}

#[test]
fn a_session_is_kept_only_where_somebody_can_come_back_to_it() {
    let env = TestEnv::new(BINARY);
    played(&env, "- say: hi\n").expect(0);
    assert_eq!(std::fs::read_dir(env.folder().join("tmp")).unwrap().count(), 0);
    let id = "00000000-0000-4000-8000-00000000000a";
    env.run(&["rehearsal", "script.yaml", "--session-id", id, "--prompt", "one"]).expect(0);
    env.file("script.yaml", "- say: '{turn}: {prompt}, before {previous}'\n");
    let again = env.run(&["rehearsal", "script.yaml", "--resume", id, "--prompt", "two"]).expect(0);
    assert_eq!(
        (&last(&again)["result"], &last(&again)["session_id"]),
        (&"2: two, before one".into(), &id.into())
    );
    let unknown = "00000000-0000-4000-8000-00000000000b";
    let refused = env.run(&["rehearsal", "script.yaml", "--resume", unknown]).expect(4);
    assert!(refused.stderr.contains("no conversation found with session id"), "{}", refused.stderr);
}

#[test]
fn the_variable_names_the_script_when_the_command_line_does_not() {
    let env = TestEnv::new(BINARY);
    env.file("other.yaml", "- say: by variable\n");
    let ran = env.finish(env.command(&["rehearsal"]).env("ADJUTANT_REHEARSAL", "other.yaml")).expect(0);
    assert_eq!(last(&ran)["result"], "by variable");
}
