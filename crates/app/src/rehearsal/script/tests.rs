//! What a script may say, and what is refused.

use super::{
    Crash, CrashSignal, Filling, Flood, Fork, ForkEnvironment, ForkHome, Hang, OnInterrupt, OnTerm, Script,
    Step, ToolStep, Usage, read,
};
use adjutant_model::Value;
use adjutant_model::time::Timestamp;
use adjutant_rules::document::Lints;
use serde_json::json;
use std::time::Duration;

fn reading(document: serde_json::Value) -> (Vec<Step>, Vec<String>) {
    let mut lints = Lints::default();
    let mut script = read(&Value::from(document), &mut lints);
    (script.turns.swap_remove(0), lints.into_vec().iter().map(ToString::to_string).collect())
}

#[test]
fn every_step_is_read_in_both_its_forms() {
    let run = |command: &str, timeout_ms| Step::Call(ToolStep::Run { command: command.into(), timeout_ms });
    let ask =
        |default: Option<&str>| Step::Ask { question: "Sure?".into(), default: default.map(Into::into) };
    let cases = [
        (json!({"say": "hi"}), Step::Say("hi".into())),
        (json!({"think": "hm"}), Step::Think("hm".into())),
        (json!({"read": "a.txt"}), Step::Call(ToolStep::Read { path: "a.txt".into() })),
        (
            json!({"write": {"path": "a", "content": "b"}}),
            Step::Call(ToolStep::Write { path: "a".into(), content: "b".into() }),
        ),
        (
            json!({"patch": {"path": "a", "find": "b", "replace": ""}}),
            Step::Call(ToolStep::Patch { path: "a".into(), find: "b".into(), replace: String::new() }),
        ),
        (json!({"run": "ls"}), run("ls", 120_000)),
        (json!({"run": {"command": "ls", "timeout_ms": 5}}), run("ls", 5)),
        (
            json!({"tool": {"name": "mcp_tracker_close", "input": {"id": 7}, "result": "closed"}}),
            Step::Call(ToolStep::Pretend {
                name: "mcp_tracker_close".into(),
                input: Value::from(json!({"id": 7})),
                result: Value::from("closed"),
            }),
        ),
        (json!({"ask": "Sure?"}), ask(None)),
        (json!({"ask": {"question": "Sure?", "default": "yes"}}), ask(Some("yes"))),
        (json!({"sleep": 10}), Step::Sleep(10)),
        (json!({"plan": ["look", "fix"]}), Step::Plan(vec!["look".into(), "fix".into()])),
        (json!({"compact": null}), Step::Compact),
        (
            json!({"subagent": {"name": "Explore", "steps": [{"say": "hi"}]}}),
            Step::Subagent { name: "Explore".into(), steps: vec![Step::Say("hi".into())] },
        ),
        (
            json!({"usage": {"input_tokens": 3, "cost_usd": 0.5, "context_window": 100}}),
            Step::Usage(Usage { input_tokens: 3, cost_usd: 0.5, context_window: 100, ..Usage::default() }),
        ),
        (json!({"flood": {"bytes": 100}}), Step::Flood(Flood { bytes: 100, line_bytes: 80 })),
        (json!({"escape": "\u{1b}c"}), Step::Escape("\u{1b}c".into())),
        (
            json!({"fork": {"count": 2, "detach": true, "clean_env": true}}),
            Step::Fork(Fork {
                count: 2,
                home: ForkHome::Own,
                on_term: OnTerm::End,
                environment: ForkEnvironment::Empty,
            }),
        ),
        (
            json!({"quota": {"until": "1970-01-01T00:00:01Z"}}),
            Step::Quota { until: Timestamp::from_unix_ms(1000) },
        ),
        (json!({"hang": null}), Step::Hang(Hang { on_term: OnTerm::End })),
        (json!({"hang": {"ignore_term": true}}), Step::Hang(Hang { on_term: OnTerm::Ignore })),
        (json!({"exit": 3}), Step::Exit { code: 3, result: None }),
        (json!({"exit": {"code": 0, "result": "ok"}}), Step::Exit { code: 0, result: Some("ok".into()) }),
        (json!({"crash": "SIGSEGV"}), Step::Crash(Crash::Signal(CrashSignal::Segv))),
        (json!({"crash": "kill"}), Step::Crash(Crash::Signal(CrashSignal::Kill))),
        (json!({"crash": "cut"}), Step::Crash(Crash::Cut)),
    ];
    for (document, expected) in cases {
        assert_eq!(reading(json!([document])), (vec![expected], Vec::new()), "{document}");
    }
}

#[test]
fn every_mistake_is_named_with_its_place() {
    let cases = [
        (
            json!([{"quota": {"until": "3pm"}}]),
            "/0/quota/until: \"3pm\" is not an RFC 3339 instant such as 2026-01-31T09:30:00Z [not-an-instant]",
        ),
        (
            json!([{"usage": {"cost_usd": -1}}]),
            "/0/usage/cost_usd: expected a number that is not negative, found number `-1` [wrong-type]",
        ),
        (
            json!([{"subagent": {"name": "a", "steps": [{"shout": "b"}]}}]),
            "/0/subagent/steps/0/shout: unknown step `shout` [unknown-field]",
        ),
        (json!(["hi"]), "/0: expected an object, found string `\"hi\"` [wrong-type]"),
        (json!([{}]), "/0: a step has exactly one key, this one has 0 [step-shape]"),
        (json!([{"say": "a", "think": "b"}]), "/0: a step has exactly one key, this one has 2 [step-shape]"),
        (json!([{"shout": "a"}]), "/0/shout: unknown step `shout` [unknown-field]"),
        (json!([{"say": 1}]), "/0/say: expected a string, found number `1` [wrong-type]"),
        (json!([{"write": {"path": "a"}}]), "/0/write: the field `content` is missing [missing-field]"),
        (
            json!([{"patch": {"path": "a", "find": "b", "replace": "c", "all": true}}]),
            "/0/patch/all: unknown field `all` [unknown-field]",
        ),
        (
            json!([{"patch": {"path": "a", "find": "", "replace": "c"}}]),
            "/0/patch/find: an empty text occurs everywhere [empty-find]",
        ),
        (json!([{"crash": "boom"}]), "/0/crash: unknown crash `boom` [unknown-crash]"),
        (
            json!([{"exit": 256}]),
            "/0/exit: expected a whole number from 0 to 255, found number `256` [wrong-type]",
        ),
        (
            json!([{"tool": {"name": "Bash"}}]),
            "/0/tool/name: `Bash` is a tool that a rehearsal really has [real-tool]",
        ),
    ];
    for (document, expected) in cases {
        assert_eq!(reading(document.clone()).1, [expected], "{document}");
    }
}

#[test]
fn a_script_with_turns_says_more_about_the_agent() {
    let whole = |document: serde_json::Value| {
        let mut lints = Lints::default();
        let script = read(&Value::from(document), &mut lints);
        (script, lints.into_vec().iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let (script, lints) = whole(json!({
        "turns": [[{"say": "a"}], [{"say": "b"}]],
        "ask_for": ["Bash"],
        "idle_ms": 5,
        "on_interrupt": "silent",
    }));
    let expected = Script {
        turns: vec![vec![Step::Say("a".into())], vec![Step::Say("b".into())]],
        ask_for: vec!["Bash".into()],
        idle: Duration::from_millis(5),
        on_interrupt: OnInterrupt::Silent,
    };
    assert_eq!((&script, lints), (&expected, Vec::new()));
    assert!(script.asks_for("Bash") && !script.asks_for("Read"));
    for (document, expected) in [
        (json!({"say": "hi"}), "/say: unknown field `say` [unknown-field]"),
        (json!({"turns": []}), "/turns: there is no turn to play [no-turn]"),
        (
            json!({"turns": [[]], "on_interrupt": "cry"}),
            "/on_interrupt: unknown behaviour `cry` [unknown-behaviour]",
        ),
    ] {
        assert_eq!(whole(document.clone()).1.first().map(String::as_str), Some(expected), "{document}");
    }
}

fn filling(prompt: &str, turn: usize) -> Filling<'_> {
    Filling { prompt, previous: "before", turn }
}

#[test]
fn the_last_turn_comes_again_and_again() {
    let mut lints = Lints::default();
    let script =
        read(&Value::from(json!({"turns": [[{"say": "a"}], [{"say": "{turn}: {previous}"}]]})), &mut lints);
    let said = |turn| script.turn(filling("X", turn));
    assert_eq!(said(1), [Step::Say("a".into())]);
    assert_eq!(said(2), [Step::Say("2: before".into())]);
    assert_eq!(said(7), [Step::Say("7: before".into())]);
}

#[test]
fn a_prompt_fills_texts_but_neither_paths_nor_commands() {
    let filled = |document| {
        let (steps, lints) = reading(json!([document]));
        assert!(lints.is_empty(), "{lints:?}");
        steps.into_iter().map(|step| step.filled(filling("X", 1))).collect::<Vec<_>>()
    };
    assert_eq!(filled(json!({"say": "do {prompt}"})), [Step::Say("do X".into())]);
    assert_eq!(
        filled(json!({"write": {"path": "{prompt}", "content": "{prompt}"}})),
        [Step::Call(ToolStep::Write { path: "{prompt}".into(), content: "X".into() })]
    );
    let (steps, _) = reading(json!([{"say": "{prompt} {x}"}]));
    let once: Vec<_> = steps.into_iter().map(|step| step.filled(filling("{turn}", 1))).collect();
    assert_eq!(once, [Step::Say("{turn} {x}".into())]);
    let kept = json!({"run": "echo {prompt}"});
    assert_eq!(filled(kept.clone()), reading(json!([kept])).0);
}
