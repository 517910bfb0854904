//! The rehearsal agent as a process.

use crate::BINARY;
use adjutant_testkit::{Ran, TestEnv};
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
fn the_variable_names_the_script_when_the_command_line_does_not() {
    let env = TestEnv::new(BINARY);
    env.file("other.yaml", "- say: by variable\n");
    let ran = env.finish(env.command(&["rehearsal"]).env("ADJUTANT_REHEARSAL", "other.yaml")).expect(0);
    assert_eq!(last(&ran)["result"], "by variable");
}
