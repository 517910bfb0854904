//! What a follower is told, event by event.

use super::*;
use serde_json::json;

/// An event so many milliseconds after the run began.
fn event(ms: i64, kind: &str, payload: Value) -> EventView {
    EventView {
        seq: ms + 1,
        at: Timestamp::from_unix_ms(1_768_000_000_000 + ms).to_string(),
        actor: "plane".to_owned(),
        subject: "run_1".to_owned(),
        kind: kind.to_owned(),
        payload,
    }
}

fn started(turn: u64, path: &str, agent: &str) -> Value {
    json!({"turn": turn, "path": path, "attempt": 1, "ref": agent})
}

fn settled_as(turn: u64, status: &str) -> Value {
    json!({"type": "settled", "turn": turn, "path": "-", "attempt": 1, "status": status})
}

fn advanced(ms: i64, inputs: Vec<Value>, started: Vec<Value>) -> EventView {
    event(ms, "run_advanced", json!({"inputs": inputs, "started": started}))
}

fn told(board: &mut Board, event: &EventView) -> Vec<String> {
    board.take(event, &HashMap::new()).into_iter().map(|line| line.text).collect()
}

#[test]
fn each_event_is_told_in_its_own_words() {
    let mut board = Board::default();
    let mut told = |event: EventView| told(&mut board, &event);
    assert_eq!(told(event(0, "run_created", json!({"blueprint_id": "fix"}))), ["run run_1 of blueprint fix"]);
    let workspace = json!({"kind": "worktree", "path": "/w", "branch": "adjutant/run_1", "node": "local"});
    assert_eq!(told(event(1, "workspace_ready", workspace)), ["workspace /w on branch adjutant/run_1"]);
    assert_eq!(told(event(2, "run_status_changed", json!({"from": "pending", "to": "running"}))), [""; 0]);
    assert_eq!(told(advanced(5, vec![], vec![started(0, "0", "coder")])), ["...  0 coder"]);
    let said = json!({"turn": 0, "path": "0", "what": "said", "text": "hi\x1b[2J"});
    assert_eq!(told(event(6, "agent_progress", said)), ["       said     hi␛[2J"]);
    let judgement =
        json!({"allowed": false, "decided_by": "policy", "rule": "no-rm", "reason": "it deletes"});
    let judged = json!({"turn": 1, "path": "0", "tool": "Bash", "judgement": judgement});
    assert_eq!(told(event(7, "tool_judged", judged)), ["       DENIED   Bash by `no-rm`: it deletes"]);
    let asked = json!({"turn": 2, "path": "0", "tool": "Bash", "judgement":
        {"allowed": false, "effect": "ask", "decided_by": "policy", "rule": "ask-first", "reason": "it costs"}});
    assert_eq!(
        told(event(8, "tool_judged", asked)),
        ["       ASKS     Bash by `ask-first`: it costs (`adjutant approvals` shows it)"]
    );
    let allowed = json!({"turn": 2, "path": "0", "tool": "Read", "judgement": {"allowed": true}});
    assert_eq!(told(event(8, "tool_judged", allowed)), [""; 0]);
    assert_eq!(told(advanced(25, vec![settled_as(0, "failed")], vec![])), ["FAIL 0 coder failed (20 ms)"]);
    let error = json!({"code": "step_failed", "message": "no such program", "step": "0"});
    let failed = json!({"from": "running", "to": "failed", "error": error});
    assert_eq!(
        told(event(30, "run_status_changed", failed)),
        ["run failed after 30 ms: no such program at step 0"]
    );
}

#[test]
fn a_check_is_told_by_what_it_found_and_not_by_having_run() {
    let red = json!({"passed": false, "exit_code": 1, "output_tail": "FAIL a\n2 failed\n\n"});
    for (output, expected) in [
        (red, "not  0 tests did not pass, exit code 1: 2 failed (10 ms)"),
        (json!({"passed": true, "exit_code": 0}), "ok   0 tests passed (10 ms)"),
        (json!("just text"), "ok   0 tests (10 ms)"),
    ] {
        let mut board = Board::default();
        board.take(&advanced(0, vec![], vec![started(0, "0", "tests")]), &HashMap::new());
        let event = advanced(10, vec![settled_as(0, "succeeded")], vec![]);
        assert_eq!(board.outputs_of_interest(&event), [0]);
        let lines = board.take(&event, &HashMap::from([(0, output)]));
        assert_eq!(lines[0].text, expected);
    }
}

#[test]
fn what_starts_together_in_great_number_is_counted() {
    let mut board = Board::default();
    let many: Vec<Value> = (0..20).map(|i| started(i, &format!("1/body#{i}/0"), "worker")).collect();
    assert_eq!(told(&mut board, &advanced(0, vec![], many)), ["...  1/… 20 steps at once (worker)"]);
    let mut lines = Vec::new();
    for turn in 0..20 {
        let status = if turn == 7 { "failed" } else { "succeeded" };
        let event = advanced(1 + turn, vec![settled_as(turn.unsigned_abs(), status)], vec![]);
        assert_eq!(board.outputs_of_interest(&event), [0; 0]);
        lines.extend(told(&mut board, &event));
    }
    let expected = [
        "     1/… worker 5/20 done",
        "FAIL 1/body#7/0 worker failed (8 ms)",
        "     1/… worker 10/20 done, 1 failed",
        "     1/… worker 15/20 done, 1 failed",
        "     1/… worker 20/20 done, 1 failed",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_few_steps_at_once_are_listed_and_their_words_are_told() {
    let mut board = Board::default();
    let few: Vec<Value> = (0..3).map(|i| started(i, &format!("body#{i}"), "a")).collect();
    assert_eq!(told(&mut board, &advanced(0, vec![], few)).len(), 3);
    let words = event(1, "agent_progress", json!({"turn": 1, "what": "tool", "text": "Read: x"}));
    assert_eq!(told(&mut board, &words), ["       tool     Read: x"]);
}
