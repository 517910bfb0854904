//! What a script may say, and what is refused.

use super::{Crash, CrashSignal, Step, ToolStep, read};
use adjutant_model::Value;
use adjutant_rules::document::Lints;
use serde_json::json;

fn reading(document: serde_json::Value) -> (Vec<Step>, Vec<String>) {
    let mut lints = Lints::default();
    let steps = read(&Value::from(document), &mut lints);
    (steps, lints.into_vec().iter().map(ToString::to_string).collect())
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
        (json!({"say": "hi"}), "/: expected an array, found object `{\"say\":\"hi\"}` [wrong-type]"),
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
fn a_prompt_fills_texts_but_neither_paths_nor_commands() {
    let filled = |document| {
        let (steps, lints) = reading(json!([document]));
        assert!(lints.is_empty(), "{lints:?}");
        steps.into_iter().map(|step| step.with_prompt("X")).collect::<Vec<_>>()
    };
    assert_eq!(filled(json!({"say": "do {prompt}"})), [Step::Say("do X".into())]);
    assert_eq!(
        filled(json!({"write": {"path": "{prompt}", "content": "{prompt}"}})),
        [Step::Call(ToolStep::Write { path: "{prompt}".into(), content: "X".into() })]
    );
    let kept = json!({"run": "echo {prompt}"});
    assert_eq!(filled(kept.clone()), reading(json!([kept])).0);
}
