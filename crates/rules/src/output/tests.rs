use super::*;

fn exited(code: i32, stdout: &str) -> Finished<'_> {
    Finished {
        ending: Ending::Exited { code },
        stdout: stdout.as_bytes(),
        stdout_truncated: false,
        stderr_tail: b"",
    }
}

fn spec(format: OutputFormat) -> OutputSpec {
    OutputSpec { format, ..OutputSpec::default() }
}

/// Shows an outcome as its value, or as `!` and its message.
fn shown(outcome: &StepOutcome) -> String {
    match outcome {
        StepOutcome::Done(value) | StepOutcome::Skipped(value) => value.to_string(),
        StepOutcome::Failed(failure) => format!("!{}", failure.message),
    }
}

#[test]
fn each_format_takes_its_value_from_standard_output() {
    use OutputFormat::{Auto, Json, Text};
    let rows = [
        (Auto, "{\"a\": 1}\n", "{\"a\":1}"),
        (Auto, " [1, 2]\n", "[1,2]"),
        (Auto, "42\n", "42"),
        (Auto, "true", "true"),
        (Auto, "null\n", "null"),
        (Auto, "\"x\"", "\"x\""),
        (Auto, "hello\n", "\"hello\""),
        (Auto, "hello\r\n\n", "\"hello\\r\\n\""),
        (Auto, "{not json}\n", "\"{not json}\""),
        (Auto, "", "\"\""),
        (Auto, "  \n", "\"  \""),
        (Auto, "1.2.3\n", "\"1.2.3\""),
        (Json, "{\"a\":1}", "{\"a\":1}"),
        (Json, "nope", "!standard output is not JSON: expected ident at line 1 column 2"),
        (Json, "", "!standard output is not JSON: EOF while parsing a value at line 1 column 0"),
        (Text, "{\"a\": 1}\n", "\"{\\\"a\\\": 1}\""),
    ];
    for (format, stdout, expected) in rows {
        let (outcome, _) = interpret(&spec(format), &exited(0, stdout));
        assert_eq!(shown(&outcome), expected, "{format:?} {stdout:?}");
    }
}

#[test]
fn json_that_was_cut_fails_and_text_that_was_cut_is_text() {
    use OutputFormat::{Auto, Json, Text};
    for (format, stdout, fails) in
        [(Auto, "[1, 2", true), (Json, "[1]", true), (Auto, "log", false), (Text, "[1", false)]
    {
        let finished = Finished { stdout_truncated: true, ..exited(0, stdout) };
        let (outcome, _) = interpret(&spec(format), &finished);
        assert_eq!(matches!(outcome, StepOutcome::Failed(_)), fails, "{format:?} {stdout}");
    }
}

#[test]
fn pointers_choose_the_result_and_what_success_is() {
    let stdout = r#"{"ok": true, "bad": false, "r": {"x": [7]}, "u": {"input_tokens": 3, "output_tokens": 4}, "m": "big", "t": 2}"#;
    let pointed = |result: &str, ok: &str| OutputSpec {
        format: OutputFormat::Json,
        result_ptr: Some(result.to_owned()),
        ok_from: if ok.is_empty() { OkFrom::ExitCode } else { OkFrom::Pointer(ok.to_owned()) },
        stats: StatsSpec {
            usage_ptr: Some("/u".to_owned()),
            model_ptr: Some("/m".to_owned()),
            num_turns_ptr: Some("/t".to_owned()),
        },
    };
    let rows = [
        ("/r/x/0", "", "7"),
        ("/r/x/0", "/ok", "7"),
        ("/r/x/0", "/bad", "!the output says false at /bad, not true"),
        ("/r/x/0", "/t", "!the output says 2 at /t, not true"),
        ("/r/x/0", "/none", "!the output has nothing at /none, where success should stand"),
        ("/r/y", "/ok", "!the output has nothing at /r/y, where the result should stand"),
    ];
    let expected = Usage {
        model: Some("big".to_owned()),
        input_tokens: Some(3),
        output_tokens: Some(4),
        num_turns: Some(2),
        cost_usd: None,
    };
    for (result, ok, shown_as) in rows {
        let (outcome, usage) = interpret(&pointed(result, ok), &exited(0, stdout));
        assert_eq!(shown(&outcome), shown_as, "{result} {ok}");
        assert_eq!(usage, expected);
    }
}

#[test]
fn a_failure_says_how_it_ended_and_shows_both_tails() {
    let rows = [
        (
            Ending::Exited { code: 3 },
            "!the command exited with code 3: no such file",
            r#""code":3,"signal":null"#,
        ),
        (
            Ending::Signalled { signal: 9 },
            "!the command was ended by signal 9: no such file",
            r#""code":null,"signal":9"#,
        ),
        (
            Ending::TimedOut { after_ms: 50 },
            "!the command took longer than 50 ms",
            r#""timed_out":true,"timeout_ms":50"#,
        ),
        (Ending::Cancelled, "!the command was cancelled", r#""code":null,"signal":null"#),
    ];
    for (ending, message, part) in rows {
        let finished = Finished {
            ending,
            stdout: b"{\"a\": 1}",
            stdout_truncated: false,
            stderr_tail: b"warning: x\n  no such file  \n)\n\n",
        };
        let (outcome, _) = interpret(&OutputSpec::default(), &finished);
        assert_eq!(shown(&outcome), message);
        let StepOutcome::Failed(StepFailure { value: Some(value), class, .. }) = outcome else {
            panic!("{ending:?}")
        };
        let text = value.to_string();
        assert!(text.contains(part), "{text}");
        assert_eq!(value.get("stdout_tail").and_then(Value::as_str), Some("{\"a\": 1}"));
        assert_eq!(class == ErrorClass::Gone, ending == Ending::Cancelled);
    }
}

#[test]
fn a_failure_without_standard_error_quotes_standard_output() {
    let (outcome, _) = interpret(&OutputSpec::default(), &exited(1, "one\ntest b failed\n"));
    assert_eq!(shown(&outcome), "!the command exited with code 1: test b failed");
    let (outcome, _) = interpret(&OutputSpec::default(), &exited(1, ""));
    assert_eq!(shown(&outcome), "!the command exited with code 1");
}

#[test]
fn tails_are_bounded_and_cut_between_characters() {
    let stderr = "é".repeat(TAIL_MAX);
    let finished = Finished { stderr_tail: &stderr.as_bytes()[1..], ..exited(1, "") };
    let (outcome, _) = interpret(&OutputSpec::default(), &finished);
    let StepOutcome::Failed(failure) = outcome else { panic!("exit code 1 fails") };
    assert!(failure.message.chars().count() < 400);
    let tail = failure
        .value
        .as_ref()
        .and_then(|value| value.pointer("/stderr_tail")?.as_str())
        .expect("it is there");
    assert!(tail.len() <= TAIL_MAX && tail.chars().all(|c| c == 'é'), "{} bytes", tail.len());
}

const CLAUDE: &str = r#"{"type":"system","subtype":"init","model":"claude-stub","tools":["Bash"]}
not json
{"type":"assistant","message":{"content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"I edit."},{"type":"tool_use","name":"Edit","input":{"file_path":"a.rs","old":"x"}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","content":"ok"}]}}
"#;

#[test]
fn claude_lines_end_with_a_result_that_is_judged_by_is_error() {
    let good = r#"{"type":"result","subtype":"success","is_error":false,"result":"Done.","num_turns":3,"total_cost_usd":0.25,"usage":{"input_tokens":10,"output_tokens":20}}"#;
    let bad =
        r#"{"type":"result","subtype":"success","is_error":true,"result":"API Error: 400","num_turns":1}"#;
    let odd = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"num_turns":1}"#;
    let rows = [
        (0, good, "\"Done.\""),
        (0, bad, "!the agent reports an error: API Error: 400"),
        (1, bad, "!the command exited with code 1: the agent reports an error: API Error: 400"),
        (1, good, "!the command exited with code 1"),
        (0, odd, "!the agent reports an error: error_during_execution"),
        (0, "", "!the agent ended without a `result` line"),
    ];
    for (code, result, expected) in rows {
        let stdout = format!("{CLAUDE}{result}\n");
        let (outcome, usage) = interpret(&spec(OutputFormat::StreamJson), &exited(code, &stdout));
        assert_eq!(shown(&outcome), expected);
        if result == good {
            let expected = Usage {
                model: Some("claude-stub".to_owned()),
                input_tokens: Some(10),
                output_tokens: Some(20),
                num_turns: Some(3),
                cost_usd: Some(0.25),
            };
            assert_eq!(usage, expected);
        }
    }
}

#[test]
fn codex_lines_give_the_last_message_unless_the_turn_failed() {
    let open = r#"{"type":"thread.started","thread_id":"t"}
{"type":"turn.started"}
{"type":"item.completed","item":{"id":"0","type":"error","message":"a warning"}}
{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"first"}}
{"type":"item.completed","item":{"id":"2","type":"agent_message","text":"last"}}
"#;
    let done =
        r#"{"type":"turn.completed","usage":{"input_tokens":5,"cached_input_tokens":1,"output_tokens":6}}"#;
    let failed = r#"{"type":"turn.failed","error":{"message":"stream cut"}}"#;
    let rows = [
        (0, done, "\"last\""),
        (0, failed, "!the agent's turn failed: stream cut"),
        (1, failed, "!the command exited with code 1: the agent's turn failed: stream cut"),
        (0, "", "!the agent ended before its turn was complete"),
    ];
    for (code, end, expected) in rows {
        let stdout = format!("{open}{end}\n");
        let (outcome, usage) = interpret(&spec(OutputFormat::CodexJson), &exited(code, &stdout));
        assert_eq!(shown(&outcome), expected);
        if end == done {
            assert_eq!(
                (usage.input_tokens, usage.output_tokens, usage.num_turns),
                (Some(5), Some(6), Some(1))
            );
        }
    }
}

#[test]
fn a_line_says_what_a_watcher_wants_to_see() {
    use OutputFormat::{Auto, CodexJson, Json, StreamJson, Text};
    let claude = CLAUDE.lines().nth(2).expect("the third line is the assistant's");
    let command = r#"{"type":"item.started","item":{"type":"command_execution","command":"ls -l"}}"#;
    let message = r#"{"type":"item.completed","item":{"type":"agent_message","text":"hi"}}"#;
    let thought = r#"{"type":"item.completed","item":{"type":"reasoning","text":"so"}}"#;
    let warning = r#"{"type":"item.completed","item":{"type":"error","message":"old config"}}"#;
    let mcp = r#"{"type":"item.started","item":{"type":"mcp_tool_call","server":"s","tool":"t","arguments":{"n":1}}}"#;
    type Shown<'a> = &'a [(&'a str, &'a str)];
    let rows: [(OutputFormat, &str, Shown<'_>); 14] = [
        (StreamJson, claude, &[("thought", "hm"), ("said", "I edit."), ("tool", "Edit: a.rs")]),
        (StreamJson, "not json", &[]),
        (StreamJson, r#"{"type":"user"}"#, &[]),
        (CodexJson, command, &[("tool", "command: ls -l")]),
        (CodexJson, message, &[("said", "hi")]),
        (CodexJson, thought, &[("thought", "so")]),
        (CodexJson, warning, &[("note", "old config")]),
        (CodexJson, mcp, &[("tool", "s.t: {\"n\":1}")]),
        (CodexJson, r#"{"type":"turn.failed","error":{"message":"cut"}}"#, &[("note", "cut")]),
        (Text, "  hello \n", &[("said", "hello")]),
        (Text, "   ", &[]),
        (Auto, "compiling", &[("said", "compiling")]),
        (Auto, "  \"key\": 1,", &[]),
        (Json, "{}", &[]),
    ];
    for (format, line, expected) in rows {
        let found = progress(format, line);
        let found: Vec<_> = found.iter().map(|p| (p.what.as_str(), p.text.as_str())).collect();
        assert_eq!(found, expected, "{format:?} {line}");
    }
    assert!(progress(Text, &"ü".repeat(5000))[0].text.len() <= PROGRESS_TEXT_MAX);
}
