//! An issue from the command line: it waits, is approved, and becomes a version; another is denied.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use serde_json::Value;

const SETTING: &str = r#"
ttl_secs: 60
verifier_axes: [des, canonical, noop, agent-ref, compiles, approval]
spawner:
  kind: command
  spec:
    use_stdin: false
    argv:
      - printf
      - "Sure:\n```json\n%s\n```\n"
      - '{"ops": [{"op": "add", "path": "/metadata/tags", "value": ["better"]}], "rationale": "a tag"}'
"#;

/// How often something is looked at that has to come.
const LOOKS: usize = 1000;

/// Waits until the one approval is there, and gives its id.
fn asked(env: &TestEnv) -> String {
    for _ in 0..LOOKS {
        let shown = env.run(&["approvals"]).expect(0).stdout;
        if let Some(id) = shown.split_whitespace().next().filter(|word| word.starts_with("approval-")) {
            assert!(shown.contains("Shall the blueprint fix-failing-test change?"), "{shown}");
            return id.to_owned();
        }
    }
    panic!("nobody was asked: {}", env.run(&["issue", "ls"]).expect(0).stdout)
}

/// Waits until an issue has ended, and gives it.
fn ended(env: &TestEnv, id: &str) -> Value {
    for _ in 0..LOOKS {
        let shown = env.run(&["issue", "show", id, "--json"]).expect(0).stdout;
        let issue: Value = serde_json::from_str(&shown).unwrap();
        if issue["status"] != "pending" && issue["status"] != "in_flight" {
            return issue;
        }
    }
    panic!("it does not end: {}", env.run(&["issue", "ls"]).expect(0).stdout)
}

#[test]
fn an_issue_is_opened_answered_shown_and_logged() {
    let env = TestEnv::new(BINARY);
    env.file("setting.yaml", SETTING);
    let unknown = env.run(&["issue", "open", "nobody", "x"]).expect(4);
    assert!(unknown.stderr.contains("the blueprint nobody was not found"), "{}", unknown.stderr);
    let blueprint = "fix-failing-test";
    let waits = env.run(&["issue", "open", blueprint, "Tag it"]).expect(0).stdout.trim().to_owned();
    let broken = env.file("broken.yaml", "ttl_secs: 0\n");
    let broken = env.run(&["enhance", "settings", "put", "default", &broken.to_string_lossy()]).expect(2);
    assert!(broken.stderr.contains("ttl_secs: 0"), "{}", broken.stderr);
    let kept = env.run(&["enhance", "settings", "put", "default", "setting.yaml"]).expect(0).stdout;
    assert!(kept.contains("compiles, approval"), "{kept}");
    assert_eq!(env.run(&["enhance", "settings", "ls"]).expect(0).stdout, "default\n");

    env.run(&["approvals", "approve", &asked(&env)]).expect(0);
    let applied = ended(&env, &waits[..30]);
    assert_eq!(applied["status"], "applied", "{applied}");
    let version = applied["new_version"].as_str().unwrap();
    assert!(env.run(&["issue", "show", &waits]).expect(0).stdout.contains(version));
    let denied = env.run(&["issue", "open", blueprint, "Tag it again", "--wait"]).expect(1);
    assert!(denied.stderr.contains("verifier deny: noop:"), "{}", denied.stderr);
    let listed = env.run(&["issue", "ls", "--status", "applied"]).expect(0).stdout;
    assert!(listed.contains(&waits) && !listed.contains("again"), "{listed}");
    let late = env.run(&["issue", "cancel", &waits]).expect(1);
    assert!(late.stderr.contains("is applied already"), "{}", late.stderr);
    let log = env.run(&["enhance", "log"]).expect(0).stdout;
    assert!(log.contains("applied") && log.contains("rejected"), "{log}");
    let entry = env.run(&["enhance", "log", &waits]).expect(0).stdout;
    assert!(entry.contains("approval   pass a person has approved it"), "{entry}");
    env.run(&["enhance", "settings", "rm", "default"]).expect(0);
}
