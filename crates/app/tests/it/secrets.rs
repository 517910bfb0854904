//! What no file of the data folder holds.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use std::fs;
use std::path::Path;

/// An agent that prints what it should not, on both outputs, well and badly.
const LEAKS: &str = r#"
id: leaks
agents:
  - name: talks
    kind: command
    spec: { argv: [sh, -c, "cat key; echo '{\"note\": \"x\"}' >/dev/null"], use_stdin: false }
  - name: fails
    kind: command
    spec: { argv: [sh, -c, "cat key; cat key >&2; exit 3"], use_stdin: false }
  - name: passes-on
    kind: command
    spec: { argv: [cat] }
flow:
  kind: seq
  children:
    - { kind: step, ref: talks, in: { op: lit, value: null }, out: { op: path, at: $.said } }
    - { kind: step, ref: passes-on, in: { op: path, at: $ }, out: { op: path, at: $.again } }
    - { kind: step, ref: fails, in: { op: path, at: $.said }, out: { op: path, at: $.never } }
"#;

fn holds(folder: &Path, secret: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            holds(&path, secret, found);
        } else if let Ok(bytes) = fs::read(&path)
            && bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
        {
            found.push(path.to_string_lossy().into_owned());
        }
    }
}

#[test]
fn no_seeded_secret_reaches_the_store_the_trace_the_mirror_or_the_log() {
    let env = TestEnv::new(BINARY);
    // Put together here, so that no scanner takes the sample for one.
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    env.file("leaks.yaml", LEAKS);
    let place = env.file("place/key", &secret).parent().unwrap().to_string_lossy().into_owned();
    let logged = |args: &[&str]| env.finish(env.command(args).env("ADJUTANT_LOG", "debug"));
    let input = format!("given=use {secret}");
    let shown = logged(&["run", "leaks.yaml", "--work-dir", &place, "--input", &input]).expect(1);
    assert!(shown.stdout.contains("[redacted:github-token]"), "{}", shown.stdout);
    let drive =
        ["drive", "--cli", "cat", "--check", "cat key; false", "--prompt", &secret, "--attempts", "1"];
    let _no_agent_would_say_so = logged(&[&drive[..], &["--dir", &place]].concat()).expect(1);
    let goal = logged(&["goal", "new", &format!("hide {secret}"), "--check", "cat key", "--repo", &place]);
    let goal = goal.expect(0).stdout.split_whitespace().next().unwrap().to_owned();
    logged(&["goal", "note", &goal, &secret]).expect(0);
    let _the_place_is_no_repository = logged(&["goal", "check", &goal]);
    for run in env.run(&["runs"]).expect(0).stdout.lines() {
        let trace = env.run(&["trace", run.split_whitespace().next().unwrap(), "--json"]).expect(0).stdout;
        assert!(trace.contains("[redacted:github-token]") && !trace.contains(&secret), "{trace}");
    }
    env.run(&["stop"]).expect(0);
    let mut found = Vec::new();
    holds(env.home(), &secret, &mut found);
    assert!(found.is_empty(), "the secret is in {found:?}");
    assert!(env.home().join("store.db").exists() && env.home().join("daemon.log").exists());
}
