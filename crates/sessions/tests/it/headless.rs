//! Print mode: small programs that speak it, told and heard.

use crate::hosted::{Stage, Told, alive, driver_of, used};
use adjutant_model::profile::{DriverSpec, Fillings, PromptDelivery, StreamFlavour};
use adjutant_model::session::{
    AgentExit, AgentSignal, AskAnswer, AskOptionKind, DriverKind, SignalSource, WaitingFor,
};
use adjutant_sessions::driver::headless::{self, HeadlessAgent};
use adjutant_sessions::driver::{Adopted, AgentDriver, DriverError, LaunchSpec};
use adjutant_sessions::process::Cgroups;
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(5);

/// A program that says what it read of each prompt, and ends its turn; `TOTAL` counts over turns as Claude Code does.
const ECHO: &str = r#"
total=${TOTAL:-0}
while read -r line; do
  case "$line" in
  *'"interrupt"'*) continue;;
  *'"type":"user"'*) ;;
  *) continue;;
  esac
  text=${line#*'"content":"'}; text=${text%%'"'*}
  total=$((total + 10))
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  echo '{"type":"assistant","message":{"id":"msg'$total'","content":[{"type":"text","text":"heard '"$text"'"}],"usage":{"input_tokens":7,"output_tokens":1}}}'
  echo '{"type":"assistant","message":{"id":"msg'$total'","content":[{"type":"text","text":"again"}],"usage":{"input_tokens":7,"output_tokens":1}}}'
  echo '{"type":"result","is_error":false,"result":"done '"$text"'","total_cost_usd":0.'$total',"usage":{"input_tokens":7,"output_tokens":3},"modelUsage":{"m":{"inputTokens":'$((total * 7 / 10))',"outputTokens":'$((total * 3 / 10))',"contextWindow":1000}}}'
done
"#;

async fn start(spec: LaunchSpec) -> (HeadlessAgent, Told) {
    let (signals, told) = Told::channel();
    (headless::launch(spec, signals).await.unwrap(), told)
}

fn said(told: &[AgentSignal]) -> Vec<String> {
    let text = |signal: &AgentSignal| match signal {
        AgentSignal::TurnEnded { text, error } => Some(format!("{text:?} {error:?}")),
        _ => None,
    };
    told.iter().filter_map(text).collect()
}

#[tokio::test]
async fn prompts_go_in_one_at_a_time_and_each_turn_is_told() {
    let stage = Stage::new();
    let spec = LaunchSpec { prompt: Some("one".to_owned()), ..stage.script(DriverKind::Headless, ECHO) };
    let (agent, mut told) = start(spec).await;
    agent.send("two").await.unwrap();
    let first = told.turn_end().await;
    assert!(first.iter().any(|signal| matches!(
        signal,
        AgentSignal::Began { agent_session: Some(session), model: Some(_), .. } if session == "S1"
    )));
    assert_eq!(first.iter().filter(|signal| **signal == AgentSignal::PromptTaken).count(), 1);
    let second = told.turn_end().await;
    assert_eq!(said(&first), [r#"Some("done one") None"#]);
    assert_eq!(said(&second), [r#"Some("done two") None"#]);
    let both = used(&[first, second].concat());
    assert_eq!((both.input_tokens, both.output_tokens, both.cost_usd), (14, 6, Some(0.2)));
    assert_eq!((both.context_used, both.context_window), (Some(8), Some(1000)));
    let screen = agent.screen(4).await.unwrap();
    assert_eq!(screen.lines, ["again", "< two", "heard two", "again"]);
    let ended = agent.end(GRACE).await.unwrap();
    assert_eq!(ended.exit, AgentExit::Code(0), "its input was closed first");
    assert_eq!(told.exit().await.last(), Some(&AgentSignal::Exited(AgentExit::Code(0))));
    assert_eq!(agent.end(GRACE).await.unwrap(), ended, "ending again is fine");
    assert!(matches!(agent.send("three").await, Err(DriverError::Gone)));
    assert_eq!(alive(&stage.marker), 0);
    let raw = std::fs::read_to_string(stage.folder().join("scrollback")).unwrap();
    assert_eq!(raw.lines().count(), 8);
}

#[tokio::test]
async fn what_a_session_used_before_it_goes_on_is_not_counted_again() {
    let stage = Stage::new();
    let spec = LaunchSpec { prompt: Some("one".to_owned()), ..stage.script(DriverKind::Headless, ECHO) };
    let (agent, mut told) = start(spec.clone()).await;
    told.turn_end().await;
    let _ended = agent.end(GRACE).await.unwrap();
    for (resume, cost) in [("S1", Some(0.1)), ("S9", None)] {
        let mut again = LaunchSpec { resume: Some(resume.to_owned()), ..spec.clone() };
        again.env.push(("TOTAL".to_owned(), "10".to_owned()));
        let (agent, mut told) = start(again).await;
        let second = used(&told.turn_end().await);
        assert_eq!((second.input_tokens, second.output_tokens, second.cost_usd), (7, 3, cost), "{resume}");
        let _ended = agent.end(GRACE).await.unwrap();
        std::fs::remove_file(stage.folder().join("usage.json")).unwrap();
    }
}

/// Asks for a tool, and ends the turn with the answer that it read.
const ASK: &str = r#"
while read -r line; do
  case "$line" in
  *'"type":"user"'*)
    echo '{"type":"assistant","message":{"content":[{"type":"tool_use","id":"t1","name":"Task","input":{"subagent_type":"Explore"}}]}}'
    echo '{"type":"assistant","parent_tool_use_id":"t1","message":{"content":[{"type":"tool_use","id":"t2","name":"Bash","input":{"command":"touch x"}}]}}'
    echo '{"type":"control_request","request_id":"r1","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{"command":"touch x"},"tool_use_id":"t2"}}'
    read -r answer
    echo "$answer" > answers
    ok=false; case "$answer" in *deny*) ok=true;; esac
    echo '{"type":"user","parent_tool_use_id":"t1","message":{"content":[{"type":"tool_result","tool_use_id":"t2","is_error":'$ok',"content":"no by policy"}]}}'
    echo '{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"found"}]}]}}'
    echo '{"type":"result","is_error":false,"result":"ok"}';;
  esac
done
"#;

#[tokio::test]
async fn a_permission_is_asked_under_the_subagent_and_answered() {
    let stage = Stage::new();
    let (agent, mut told) = start(stage.script(DriverKind::Headless, ASK)).await;
    let answers = [
        (AskAnswer::Allow, true, r#""behavior":"allow","updatedInput":{"command":"touch x"}"#),
        (AskAnswer::Deny { reason: "no by policy".to_owned() }, false, r#""message":"no by policy""#),
        (AskAnswer::Text("deny".to_owned()), false, r#""behavior":"deny""#),
    ];
    for (answer, is_ok, written) in answers {
        agent.send("go").await.unwrap();
        let question = told.asked().await;
        assert_eq!((question.ask_id.as_str(), question.what), ("r1", WaitingFor::Permission));
        assert_eq!((question.text.as_str(), question.tool.as_deref()), ("Bash: touch x", Some("Bash")));
        assert_eq!(question.subagent.as_deref(), Some("Explore"));
        let kinds: Vec<_> = question.options.iter().map(|option| option.kind).collect();
        assert_eq!(kinds, [AskOptionKind::AllowOnce, AskOptionKind::RejectOnce]);
        assert!(matches!(
            agent.answer("r1", AskAnswer::Text("perhaps".to_owned())).await,
            Err(DriverError::Unsupported { .. })
        ));
        agent.answer("r1", answer).await.unwrap();
        let rest = told.turn_end().await;
        assert_eq!(rest[0], AgentSignal::AskSettled { ask_id: Some("r1".to_owned()) });
        let ended = |signal: &AgentSignal| match signal {
            AgentSignal::ToolEnded { tool, ok, .. } => Some((tool.clone(), *ok)),
            AgentSignal::SubagentEnded { name, ok } => Some((name.clone(), *ok)),
            _ => None,
        };
        let ends: Vec<_> = rest.iter().filter_map(ended).collect();
        assert_eq!(
            ends,
            [("Bash".to_owned(), is_ok), ("Explore".to_owned(), true), ("Task".to_owned(), true)]
        );
        let read = std::fs::read_to_string(stage.work().join("answers")).unwrap();
        assert!(read.contains(written), "{read}");
    }
    assert!(matches!(agent.answer("r1", AskAnswer::Allow).await, Err(DriverError::Unsupported { .. })));
}

#[tokio::test]
async fn each_question_of_a_request_is_answered_by_itself() {
    let script = r#"
        read -r line
        echo '{"type":"control_request","request_id":"q","request":{"subtype":"can_use_tool","tool_name":"AskUserQuestion","input":{"questions":[{"question":"Which?","options":[{"label":"Red"},{"label":"Blue"}]},{"question":"Why?"}]}}}'
        read -r answer; echo "$answer" > answers
        echo '{"type":"control_request","request_id":"gone","request":{"subtype":"can_use_tool","tool_name":"Bash","input":{}}}'
        echo '{"type":"control_cancel_request","request_id":"gone"}'
        echo '{"type":"control_request","request_id":"odd","request":{"subtype":"hook_callback"}}'
        read -r answer; echo "$answer" >> answers
        echo '{"type":"result","is_error":false,"result":"ok"}'
        read -r line"#;
    let stage = Stage::new();
    let (agent, mut told) = start(stage.script(DriverKind::Headless, script)).await;
    agent.send("go").await.unwrap();
    let first = told.asked().await;
    let second = told.asked().await;
    assert_eq!((first.what, first.options.len()), (WaitingFor::Question, 2));
    assert_eq!((first.ask_id.as_str(), second.ask_id.as_str()), ("q#0", "q#1"));
    assert!(matches!(agent.answer("q#1", AskAnswer::Allow).await, Err(DriverError::Unsupported { .. })));
    agent.answer("q#1", AskAnswer::Text("because".to_owned())).await.unwrap();
    agent.answer("q#0", AskAnswer::Text("Blue".to_owned())).await.unwrap();
    let rest = told.turn_end().await;
    let gone = AgentSignal::AskSettled { ask_id: Some("gone".to_owned()) };
    assert!(rest.contains(&gone), "what the agent withdraws is settled: {rest:#?}");
    let read = std::fs::read_to_string(stage.work().join("answers")).unwrap();
    assert!(read.contains(r#""answers":{"Which?":"Blue","Why?":"because"}"#), "{read}");
    assert!(read.lines().nth(1).unwrap().contains(r#""subtype":"error""#), "{read}");
}

#[tokio::test]
async fn an_error_is_read_from_is_error_and_a_spent_quota_with_its_reset() {
    let script = r#"
        read -r line
        echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":400,"result":"API Error: 400"}'
        read -r line
        echo '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1767225600}}'
        echo '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"limit"}'
        read -r line
        echo '{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["broken"]}'
        echo 'last words' >&2
        exit 3"#;
    let stage = Stage::new();
    let (agent, mut told) = start(stage.script(DriverKind::Headless, script)).await;
    agent.send("one").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"None Some("API Error: 400")"#]);
    agent.send("two").await.unwrap();
    let spent = told.until(|signal| matches!(signal, AgentSignal::QuotaSpent { .. })).await;
    let Some(AgentSignal::QuotaSpent { until, text }) = spent.last() else { panic!("{spent:#?}") };
    assert_eq!((until.map(|until| until.unix_ms()), text.as_str()), (Some(1_767_225_600_000), "limit"));
    agent.send("three").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"None Some("broken")"#]);
    assert_eq!(told.exit().await.last(), Some(&AgentSignal::Exited(AgentExit::Code(3))));
    assert_eq!(agent.screen(1).await.unwrap().lines, ["(ended: exit code 3: last words)"]);
    assert_eq!(agent.end(GRACE).await.unwrap().exit, AgentExit::Code(3));
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_without_an_error() {
    let script = r#"
        read -r line
        echo '{"type":"user","isReplay":true,"message":{"role":"user","content":"go"}}'
        read -r interrupt; echo "$interrupt" > answers
        echo '{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["aborted"]}'
        read -r line"#;
    let stage = Stage::new();
    let (agent, mut told) = start(stage.script(DriverKind::Headless, script)).await;
    agent.interrupt().await.unwrap();
    agent.send("go").await.unwrap();
    told.until(|signal| *signal == AgentSignal::PromptTaken).await;
    agent.interrupt().await.unwrap();
    assert_eq!(said(&told.turn_end().await), ["None None"]);
    let read = std::fs::read_to_string(stage.work().join("answers")).unwrap();
    assert!(read.contains(r#""request":{"subtype":"interrupt"}"#), "{read}");
}

#[tokio::test]
async fn hostile_output_hurts_nobody() {
    let script = r#"
        read -r line
        head -c 104857600 /dev/zero | tr '\0' x; echo
        printf '\377\376 not text\n{"type":\n[1]\n{"type":7}\n\033]0;title\007\033[2Jplain\n'
        echo '{"type":"result","is_error":false,"result":"ok"}'
        read -r line
        printf '{"type":"result","is_err'"#;
    let stage = Stage::new();
    let spec = LaunchSpec { scrollback_bytes_max: 10_000, ..stage.script(DriverKind::Headless, script) };
    let (agent, mut told) = start(spec).await;
    agent.send("go").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"Some("ok") None"#]);
    let lines = agent.screen(10).await.unwrap().lines;
    let expected =
        ["< go", "(a line of 104857600 bytes was left out)", "\u{fffd}\u{fffd} not text", r#"{"type":"#];
    assert_eq!(lines[..4], expected);
    assert_eq!(lines.last().map(String::as_str), Some("plain"));
    agent.send("end").await.unwrap();
    assert_eq!(told.exit().await.last(), Some(&AgentSignal::Exited(AgentExit::Code(0))));
    assert!(std::fs::metadata(stage.folder().join("scrollback")).unwrap().len() <= 10_000);
}

#[tokio::test]
async fn an_agent_that_heeds_nothing_ends_with_all_it_has_started() {
    let script = r#"
        trap '' TERM
        setsid sh -c "trap '' TERM; sleep 1000 & wait; sleep 1000" &
        echo '{"type":"system","subtype":"init","session_id":"S1"}'
        while :; do sleep 1000 & wait $!; done"#;
    let stage = Stage::new();
    let (agent, mut told) = start(stage.script(DriverKind::Headless, script)).await;
    told.until(|signal| matches!(signal, AgentSignal::Began { .. })).await;
    assert!(agent.handle().pid > 0 && agent.handle().started_ticks > 0);
    let ended = agent.end(Duration::from_millis(300)).await.unwrap();
    assert_eq!((ended.exit, ended.swept.alive), (AgentExit::Signal(9), 0));
    assert_eq!(alive(&stage.marker), 0);
}

/// Leaves a descendant behind that nothing but its cgroup tells of, then says its pid.
const ESCAPE: &str = r#"
mkfifo "$0.p"; (env -i setsid /bin/sh -c "trap '' TERM HUP; echo \$\$ > '$0.p'; while :; do /bin/sleep 1; done" >/dev/null 2>&1 &)
read pid < "$0.p"; echo '{"type":"system","subtype":"init","session_id":"'$pid'"}'
while read -r line; do :; done"#;

fn is_alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn nobody_leaves_a_cgroup_and_none_is_left() {
    let name = format!("adjutant-test-{}", uuid::Uuid::now_v7());
    let Some(cgroups) = Cgroups::detect(&name) else {
        println!("no cgroup can be made here: not tried");
        return;
    };
    for is_daemon_dead in [false, true] {
        let stage = Stage::new();
        let spec =
            LaunchSpec { cgroups: Some(cgroups.clone()), ..stage.script(DriverKind::Headless, ESCAPE) };
        let (agent, mut told) = start(spec.clone()).await;
        let began = told.until(|signal| matches!(signal, AgentSignal::Began { .. })).await.pop();
        let Some(AgentSignal::Began { agent_session: Some(hidden), .. }) = began else { panic!("{began:?}") };
        assert!(is_alive(&hidden));
        let handle = agent.handle();
        match is_daemon_dead {
            false => assert_eq!(agent.end(GRACE).await.unwrap().swept.alive, 0),
            true => {
                // As after a `kill -9` of the daemon: nobody ended anything.
                std::mem::forget(agent);
                let adopted = headless::adopt(handle, spec, Told::channel().0).await.unwrap();
                assert!(matches!(adopted, Adopted::Ended(AgentExit::WithDaemon)));
            }
        }
        assert!(!is_alive(&hidden), "dead daemon: {is_daemon_dead}");
    }
    let folder = cgroups.group("probe").expect("it can be made").procs();
    let folder = folder.parent().and_then(std::path::Path::parent).expect("it is in a folder").to_owned();
    let left = std::fs::read_dir(&folder).unwrap().filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.path().is_dir() && entry.file_name() != "probe")
    });
    assert_eq!(left.count(), 0);
    cgroups.remove();
    assert!(!folder.exists(), "what is empty goes");
}

#[tokio::test]
async fn what_is_left_of_a_dead_daemon_s_agent_is_ended_before_anything_else() {
    let stage = Stage::new();
    let spec = stage.script(DriverKind::Headless, ECHO);
    let mut left = tokio::process::Command::new("sleep")
        .arg("1000")
        .env("ADJUTANT_EFFECT", &stage.marker)
        .spawn()
        .unwrap();
    let (signals, _told) = Told::channel();
    let handle = adjutant_model::session::HostHandle {
        driver: DriverKind::Headless,
        launch: 1,
        terminal: None,
        pid: 0,
        started_ticks: 0,
    };
    let adopted = headless::adopt(handle, spec, signals).await.unwrap();
    assert!(matches!(adopted, Adopted::Ended(AgentExit::WithDaemon)));
    assert!(!left.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_queue_that_is_full_and_a_program_that_is_missing_are_told() {
    let stage = Stage::new();
    let (agent, _told) = start(stage.script(DriverKind::Headless, "sleep 1000")).await;
    for _ in 0..17 {
        agent.send("again").await.unwrap();
    }
    let full = agent.send("one too many").await.unwrap_err();
    assert!(full.to_string().contains("16 prompts wait"), "{full}");
    for stream in [StreamFlavour::ClaudeStreamJson, StreamFlavour::CodexJson] {
        let driver = driver_of(DriverKind::Headless, PromptDelivery::Protocol, stream);
        let (signals, _told) = Told::channel();
        let why = headless::launch(stage.spec(driver, &["no-such-agent"]), signals).await.unwrap_err();
        assert!(why.to_string().contains("`no-such-agent` was not found in PATH"), "{why}");
        assert!(why.hint().is_some_and(|hint| hint.contains("install")));
    }
}

/// One process for each prompt: it says its thread and which prompt it got.
const EXEC: &str = r#"
echo '{"type":"thread.started","thread_id":"T1"}'
echo '{"type":"turn.started"}'
case "$2" in
  wait) trap 'exit 1' INT; sleep 1000 & wait;;
  stubborn) trap '' INT TERM; sleep 1000 & wait; wait;;
  die) echo 'bad flag' >&2; exit 2;;
esac
echo '{"type":"item.completed","item":{"id":"i1","type":"agent_message","text":"'"$1 $2"'"}}'
echo '{"type":"turn.completed","usage":{"input_tokens":5,"output_tokens":1}}'
"#;

fn exec(stage: &Stage, first: Option<&str>) -> LaunchSpec {
    let path = stage.write("exec.sh", EXEC);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let driver = DriverSpec {
        args: vec![words(&[&path]), words(&["new", "{prompt}"])],
        resume_args: vec![words(&[&path]), words(&["{agent_session}", "{prompt}"])],
        ..driver_of(DriverKind::Headless, PromptDelivery::PerPrompt, StreamFlavour::CodexJson)
    };
    let fillings = Fillings { prompt: first.map(str::to_owned), ..Fillings::default() };
    LaunchSpec { fillings, ..stage.spec(driver, &["sh"]) }
}

#[tokio::test]
async fn each_prompt_has_a_process_and_the_second_goes_on_with_the_thread() {
    let stage = Stage::new();
    let (agent, mut told) = start(exec(&stage, Some("one"))).await;
    assert_eq!(said(&told.turn_end().await), [r#"Some("new one") None"#]);
    agent.send("two").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"Some("T1 two") None"#]);
    agent.send("die").await.unwrap();
    let why = said(&told.turn_end().await);
    assert_eq!(why, [r#"None Some("its turn was cut short: exit code 2: bad flag")"#]);
    agent.send("four").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"Some("T1 four") None"#]);
    assert!(matches!(agent.answer("x", AskAnswer::Allow).await, Err(DriverError::Unsupported { .. })));
    assert_eq!(agent.end(GRACE).await.unwrap().exit, AgentExit::Code(0));
    assert_eq!(agent.handle().pid, 0);
    told.exit().await;
}

#[tokio::test]
async fn an_interrupted_process_of_one_prompt_ends_and_the_agent_stays() {
    let stage = Stage::new();
    let (agent, mut told) = start(exec(&stage, None)).await;
    assert_eq!(agent.handle().pid, 0, "there is no process before the first prompt");
    for prompt in ["wait", "stubborn"] {
        agent.send(prompt).await.unwrap();
        told.until(|signal| *signal == AgentSignal::PromptTaken).await;
        assert!(agent.handle().pid > 0);
        agent.interrupt().await.unwrap();
        assert_eq!(said(&told.turn_end().await), ["None None"], "{prompt}");
    }
    agent.send("on").await.unwrap();
    assert_eq!(said(&told.turn_end().await), [r#"Some("T1 on") None"#]);
    assert_eq!(alive(&stage.marker), 0);
}

#[tokio::test]
async fn dropping_the_agent_ends_it() {
    let stage = Stage::new();
    let (agent, mut told) = start(exec(&stage, Some("wait"))).await;
    told.until(|signal| *signal == AgentSignal::PromptTaken).await;
    assert!(alive(&stage.marker) > 0);
    drop(agent);
    while alive(&stage.marker) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_end_is_told_by_the_process_and_the_rest_by_the_protocol() {
    let stage = Stage::new();
    let (signals, mut received) = tokio::sync::mpsc::channel(64);
    let spec = LaunchSpec { prompt: Some("one".to_owned()), ..stage.script(DriverKind::Headless, ECHO) };
    let agent = headless::launch(spec, signals).await.unwrap();
    let first = received.recv().await.unwrap();
    assert_eq!((first.source, first.evidence.as_str()), (SignalSource::Protocol, "init"));
    let _ended = agent.end(GRACE).await.unwrap();
    let mut last = None;
    while let Some(signal) = received.recv().await {
        last = Some(signal);
    }
    let last = last.unwrap();
    assert_eq!((last.source, last.evidence.as_str()), (SignalSource::Process, "exit code 0"));
}
