//! What a run cost, where people and programs look for it.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use serde_json::{Value, json};

/// Two agents: one reports in the way of Claude Code, one as its blueprint describes.
const REPORTS: &str = r#"
id: reports
agents:
  - name: claude-like
    kind: command
    spec:
      argv:
        - printf
        - '{"type":"result","is_error":false,"result":"ok","num_turns":2,"total_cost_usd":0.0123,"usage":{"input_tokens":1000,"output_tokens":500}}'
      use_stdin: false
      output: { format: stream_json }
  - name: described
    kind: command
    spec:
      argv: [printf, '{"u":{"input_tokens":234,"output_tokens":67},"t":1}']
      use_stdin: false
      output: { format: json, stats: { usage_ptr: /u, num_turns_ptr: /t } }
flow:
  kind: seq
  children:
    - { kind: step, ref: claude-like, in: { op: lit, value: null }, out: { op: path, at: $.a } }
    - { kind: step, ref: described, in: { op: lit, value: null }, out: { op: path, at: $.b } }
"#;

const LINE: &str = "$0.0123 · 1 234 tokens in, 567 out · 3 turns";

fn last(text: &str) -> Value {
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn what_agents_report_is_added_up_for_people_and_for_programs() {
    let env = TestEnv::new(BINARY);
    env.file("reports.yaml", REPORTS);
    let shown = env.run(&["run", "reports.yaml"]).expect(0).stdout;
    assert!(shown.contains(&format!("\nwhat it cost:  {LINE}\n")), "{shown}");
    assert!(!shown.contains("cost_usd"), "the report itself is not shown: {shown}");

    let events = env.run(&["run", "reports.yaml", "--json"]).expect(0).stdout;
    let cost = json!({"cost_usd": 0.0123, "input_tokens": 1234, "output_tokens": 567, "num_turns": 3});
    let run = last(&events);
    assert_eq!(run["usage"], cost);
    let run_id = run["id"].as_str().unwrap();
    let row = env.run(&["show", run_id]).expect(0).stdout;
    assert!(row.lines().any(|line| line == format!("cost        {LINE}")), "{row}");
    assert_eq!(last(&env.run(&["show", run_id, "--json"]).expect(0).stdout)["usage"], cost);
}

#[test]
fn a_run_whose_agents_report_nothing_has_no_cost() {
    let env = TestEnv::new(BINARY);
    env.file("quiet.yaml", "id: quiet\nflow: { kind: seq, children: [] }\n");
    let shown = env.run(&["run", "quiet.yaml"]).expect(0).stdout;
    assert!(!shown.contains("cost"), "{shown}");
    let run = last(&env.run(&["run", "quiet.yaml", "--json"]).expect(0).stdout);
    assert!(run.get("usage").is_none(), "{run}");
    let shown = env.run(&["show", run["id"].as_str().unwrap()]).expect(0).stdout;
    assert!(!shown.contains("cost"), "{shown}");
}
