//! What a reader of the stream sees.

use super::*;
use crate::rehearsal::cast::Cast;
use crate::rehearsal::session::Opening;
use crate::rehearsal::stream::Stream;
use crate::rehearsal::{print, script};
use adjutant_model::Value;
use adjutant_rules::document::Lints;
use adjutant_rules::output::progress;
use serde_json::Value as Json;

struct Shown {
    end: End,
    text: String,
    lines: Vec<Json>,
    folder: tempfile::TempDir,
}

async fn played(gate: Gate, document: Json) -> Shown {
    let folder = tempfile::tempdir().unwrap();
    let env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    let mut lints = Lints::default();
    let script = script::read(&Value::from(document), &mut lints);
    assert!(!lints.has_error(), "{lints:?}");
    let cast = Cast {
        script,
        cwd: folder.path().canonicalize().unwrap(),
        home: None,
        env,
        settings: None,
        permission_mode: "default".to_owned(),
    };
    let session = cast.session(cast.cwd.clone(), &Opening::New).unwrap();
    let mut out = Vec::new();
    let stream = Stream::new(&mut out, "session".to_owned());
    let mut player = cast.player(stream, session, gate);
    let end = print::play(&mut player, "").await.unwrap();
    drop(player);
    let text = String::from_utf8(out).unwrap();
    let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Shown { end, text, lines, folder }
}

impl Shown {
    fn last(&self) -> &Json {
        self.lines.last().unwrap()
    }

    /// Gives the results of tools: whether each is an error, and its text.
    fn results(&self) -> Vec<(bool, &str)> {
        let blocks = self.lines.iter().filter_map(|line| line.pointer("/message/content/0"));
        blocks
            .filter(|block| block["type"] == "tool_result")
            .map(|block| (block["is_error"] == true, block["content"].as_str().unwrap()))
            .collect()
    }
}

/// A gate at a port where nobody listens.
fn dead_gate() -> Gate {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Gate::from_access(Some(format!("http://127.0.0.1:{port}")), Some("token".to_owned())).unwrap()
}

#[tokio::test]
async fn the_stream_opens_with_init_and_closes_with_a_result() {
    let shown = played(Gate::Absent, json!([{"think": "hm"}, {"say": "hello"}])).await;
    assert_eq!(shown.end, End::Done);
    assert_eq!((&shown.lines[0]["type"], &shown.lines[0]["subtype"]), (&json!("system"), &json!("init")));
    assert_eq!(shown.lines[0]["gate"], json!("none: ADJUTANT_URL is not set, so nothing judges tool calls"));
    assert_eq!(shown.lines[1]["message"]["content"], json!([{"type": "thinking", "thinking": "hm"}]));
    assert_eq!(shown.lines[2]["message"]["content"], json!([{"type": "text", "text": "hello"}]));
    let last = shown.last();
    assert_eq!(
        (&last["type"], &last["subtype"], &last["is_error"]),
        (&json!("result"), &json!("success"), &json!(false))
    );
    assert_eq!((&last["result"], &last["num_turns"]), (&json!("hello"), &json!(2)));
    assert_eq!(last["usage"], json!({"input_tokens": 0, "output_tokens": 0}));
    assert!(shown.lines.iter().all(|line| line["session_id"] == "session"));
}

#[tokio::test]
async fn tools_work_on_the_directory_and_a_failed_one_does_not_end_the_script() {
    let script = json!([
        {"write": {"path": "src/a.txt", "content": "red\n"}},
        {"patch": {"path": "src/a.txt", "find": "red", "replace": "blue"}},
        {"patch": {"path": "src/a.txt", "find": "red", "replace": "blue"}},
        {"read": "src/a.txt"},
        {"read": "../outside"},
        {"run": "cat src/a.txt; exit 4"},
        {"tool": {"name": "mcp_tracker_close", "input": {"id": 7}, "result": {"closed": true}}},
        {"ask": {"question": "Go on?", "default": "yes"}},
    ]);
    let shown = played(Gate::Absent, script).await;
    assert_eq!(
        shown.results(),
        [
            (false, "wrote 4 bytes to src/a.txt"),
            (false, "patched src/a.txt"),
            (true, "src/a.txt: the text to replace does not occur"),
            (false, "blue\n"),
            (true, "../outside is outside of the directory that the rehearsal plays in"),
            (true, "exit code 4\nblue\n"),
            (false, "{\"closed\":true}"),
        ]
    );
    assert_eq!(std::fs::read_to_string(shown.folder.path().join("src/a.txt")).unwrap(), "blue\n");
    let notice = shown.lines.iter().find(|line| line["subtype"] == "notice").unwrap();
    assert_eq!(notice["message"], "nobody answers; going on with: yes");
    assert_eq!(shown.last()["result"], "Go on?");
}

#[tokio::test]
async fn without_an_answer_of_the_gate_only_reading_goes_on() {
    let script = json!([
        {"read": "absent"},
        {"write": {"path": "a", "content": "b"}},
        {"run": "touch ran"},
        {"tool": {"name": "mcp_x_y"}},
    ]);
    let shown = played(dead_gate(), script).await;
    let results = shown.results();
    assert!(results[0].1.starts_with("absent: "), "{results:?}");
    for (is_error, text) in &results[1..] {
        assert!(is_error & text.contains("does not answer, so nothing is changed"), "{text}");
    }
    assert!(shown.text.contains("only reading goes on without it"));
    assert_eq!(std::fs::read_dir(shown.folder.path()).unwrap().count(), 0);
    let denials = shown.last()["permission_denials"].as_array().unwrap();
    let names: Vec<_> = denials.iter().map(|denial| denial["tool_name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Write", "Bash", "mcp_x_y"]);
}

#[tokio::test]
async fn an_exit_ends_the_script_with_its_code_and_words() {
    let shown =
        played(Gate::Absent, json!([{"exit": {"code": 3, "result": "gave up"}}, {"say": "never"}])).await;
    assert_eq!(shown.end, End::Exited { code: 3, result: Some("gave up".to_owned()) });
    let last = shown.last();
    assert_eq!(
        (&last["is_error"], &last["subtype"], &last["result"]),
        (&json!(true), &json!("error_during_execution"), &json!("gave up"))
    );
    assert!(!shown.text.contains("never"));
}

#[tokio::test]
async fn a_crash_leaves_no_result() {
    let hung = End::Hung(Hang { on_term: OnTerm::End });
    for (name, end) in [("cut", End::Crashed(Crash::Cut)), ("hang", hung)] {
        let shown = played(Gate::Absent, json!([{"say": "hi"}, {"crash": name}])).await;
        assert_eq!(shown.end, end);
        assert!(!shown.text.contains(r#""type":"result""#), "{name}");
        assert_eq!(shown.text.ends_with('\n'), name != "cut");
    }
}

#[tokio::test]
async fn the_one_reader_of_agents_understands_the_stream() {
    use adjutant_model::blueprint::OutputFormat::StreamJson;
    let shown = played(Gate::Absent, json!([{"think": "a"}, {"say": "b"}, {"run": "echo c"}])).await;
    let seen: Vec<(&str, String)> = shown
        .text
        .lines()
        .flat_map(|line| progress(StreamJson, line))
        .map(|progress| (progress.what.as_str(), progress.text))
        .collect();
    let expected = [("thought", "a"), ("said", "b"), ("tool", "Bash: echo c")];
    assert_eq!(seen, expected.map(|(what, text)| (what, text.to_owned())));
}
