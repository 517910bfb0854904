//! `adjutant hook` as agents call it: a process of its own, with the daemon there or not, and with anything on its input.

use crate::BINARY;
use adjutant_engine::Plane;
use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_model::SessionId;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::id::Uuid;
use adjutant_server::{Authentication, Listeners};
use adjutant_testkit::{Home, TestEnv, until};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

const POLICY: &str = "\
[[rule]]\nname = \"no-rm\"\neffect = \"deny\"\ntool = \"Bash\"\ncommand = \"rm *\"\nreason = \"nothing is removed here\"\n
[[rule]]\nname = \"ask-write\"\neffect = \"ask\"\ntool = \"Write\"\n";

/// A daemon in this process, and a session of it.
struct Daemon {
    plane: Plane,
    home: Home,
    token: String,
    session_id: SessionId,
    shutdown: CancellationToken,
}

impl Daemon {
    async fn start() -> Self {
        let home = Home::new();
        std::fs::write(home.path("policy.toml"), POLICY).unwrap();
        let plane = home.plane().await;
        let session_id = SessionId::new(Uuid::from_u128(7));
        let token = plane.session_token_create(session_id).await.unwrap().reveal().to_owned();
        let unix = UnixListener::bind(home.path("socket")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let router = adjutant_server::router(plane.clone(), Authentication::Required);
        tokio::spawn(adjutant_server::serve(Listeners { tcp, unix }, router, shutdown.clone()));
        Daemon { plane, home, token, session_id, shutdown }
    }

    fn hook(&self) -> Hook {
        Hook::default()
            .env("ADJUTANT_SOCKET", self.home.path("socket").to_str().unwrap())
            .env("ADJUTANT_TOKEN", &self.token)
            .env("ADJUTANT_SESSION", &self.session_id.to_string())
    }

    async fn stop(self) {
        self.plane.stop().await;
        self.shutdown.cancel();
    }
}

/// One call of the hook.
#[derive(Default)]
struct Hook {
    env: Vec<(String, String)>,
    args: Vec<String>,
}

impl Hook {
    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(had, _)| had != name);
        self.env.push((name.into(), value.into()));
        self
    }

    fn event(mut self, event: &str) -> Self {
        self.args.push(event.into());
        self
    }

    /// Calls it; gives what it prints. It always ends well and says nothing beside.
    async fn call(self, input: &[u8]) -> Value {
        let mut command = Command::new(BINARY);
        command.arg("hook").args(self.args).env_clear().env("HOME", "/nonexistent").envs(self.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).await.expect("it reads to the end");
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        match output.stdout.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&output.stdout).unwrap(),
        }
    }
}

fn pre_tool_use(tool: &str, input: Value) -> Vec<u8> {
    let payload =
        json!({"session_id": "s1", "hook_event_name": "PreToolUse", "tool_name": tool, "tool_input": input});
    payload.to_string().into_bytes()
}

#[track_caller]
fn denied(answer: &Value) -> &str {
    let output = &answer["hookSpecificOutput"];
    assert_eq!(
        (&output["hookEventName"], &output["permissionDecision"]),
        (&json!("PreToolUse"), &json!("deny")),
        "{answer}"
    );
    output["permissionDecisionReason"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_what_the_gate_says() {
    let daemon = Daemon::start().await;
    let answer = daemon.hook().call(&pre_tool_use("Bash", json!({"command": "sh -c 'rm x'"}))).await;
    assert!(denied(&answer).contains("nothing is removed here"), "{answer}");
    assert_eq!(daemon.hook().call(&pre_tool_use("Bash", json!({"command": "ls"}))).await, Value::Null);
    assert_eq!(
        daemon.hook().call(br#"{"hook_event_name":"Stop","last_assistant_message":"x"}"#).await,
        Value::Null
    );
    assert_eq!(daemon.hook().event("Fresh").call(b"").await, Value::Null);
    let broken = b"{\"hook_event_name\":\"PreToolUse\",\"tool_name\":\"Bash\",\"tool_input\":{\"command\":\"rm \xff\xfe\"}}";
    denied(&daemon.hook().call(broken).await);
    let (plane, id) = (&daemon.plane, daemon.session_id);
    let kept =
        until(plane, async || Ok(Some(plane.hook_events(id, 0, 10).await?).filter(|kept| kept.len() == 5)))
            .await;
    assert_eq!(kept[3].draft.event, "Fresh");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_answers_while_the_hook_waits() {
    let daemon = Daemon::start().await;
    let plane = &daemon.plane;
    for (said, told) in [(Answer::Approve { option: None }, "allow"), (Answer::Deny, "deny")] {
        let payload = pre_tool_use("Write", json!({"file_path": "a", "content": "b"}));
        let waiting = daemon.hook().call(&payload);
        let (answer, ()) = tokio::join!(waiting, async {
            let pending = async || Ok(plane.approvals(Some(ApprovalStatus::Pending), 1).await?.pop());
            let approval = until(plane, pending).await;
            let caller = plane.unauthenticated_owner();
            let answerer =
                Answerer { caller: &caller, connection: None, face: Face::Person, reason: "I say so" };
            plane.approval_answer(&approval.id, said, answerer).await.unwrap();
        });
        let output = &answer["hookSpecificOutput"];
        assert_eq!(output["permissionDecision"], told, "{answer}");
        assert!(output["permissionDecisionReason"].as_str().unwrap().contains("I say so"), "{answer}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_session_or_token_is_no_answer_and_what_writes_is_denied() {
    let daemon = Daemon::start().await;
    let write = pre_tool_use("Write", json!({"file_path": "a"}));
    let other = SessionId::new(Uuid::from_u128(8)).to_string();
    let answer = daemon.hook().env("ADJUTANT_SESSION", &other).call(&write).await;
    assert!(denied(&answer).contains("another session"), "{answer}");
    let answer = daemon.hook().env("ADJUTANT_TOKEN", "forged\r\nx: y").call(&write).await;
    assert!(denied(&answer).contains("not good"), "{answer}");
    let pending = daemon.plane.approvals(None, 10).await.unwrap();
    assert!(pending.is_empty(), "nothing was asked: {pending:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_100_mib_is_refused_and_takes_no_memory() {
    let daemon = Daemon::start().await;
    for (tool, is_denied) in [("Write", true), ("Read", false)] {
        let mut huge = pre_tool_use(tool, json!({"content": ""}));
        huge.truncate(huge.len() - 3);
        huge.resize(100 << 20, b'x');
        let answer = daemon.hook().call(&huge).await;
        match is_denied {
            true => assert!(denied(&answer).contains("larger than 8 MiB"), "{answer}"),
            false => assert_eq!(answer, Value::Null, "the agent's own rules hold for what only reads"),
        }
    }
    let nameless = vec![b'x'; 9 << 20];
    denied(&daemon.hook().event("PreToolUse").call(&nameless).await);
    assert_eq!(daemon.hook().event("PostToolUse").call(&nameless).await, Value::Null);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_the_profile_decides_and_others_agents_are_not_hindered() {
    let hosted = || {
        Hook::default()
            .env("ADJUTANT_SOCKET", "/nonexistent/socket")
            .env("ADJUTANT_TOKEN", "secret")
            .env("ADJUTANT_SESSION", "x")
    };
    let (write, read) = (pre_tool_use("Write", json!({})), pre_tool_use("Read", json!({})));
    let answer = hosted().call(&write).await;
    assert!(denied(&answer).contains("cannot be reached"), "{answer}");
    denied(&hosted().call(&pre_tool_use("Unheard", json!({}))).await);
    assert_eq!(hosted().call(&read).await, Value::Null);
    denied(&hosted().env("ADJUTANT_HOOK_READ_ONLY", "Glob, LS").call(&read).await);
    denied(&hosted().env("ADJUTANT_HOOK_UNREACHABLE", "deny").call(&read).await);
    assert_eq!(hosted().env("ADJUTANT_HOOK_UNREACHABLE", "allow").call(&write).await, Value::Null);
    denied(&hosted().env("ADJUTANT_HOOK_UNREACHABLE", "nonsense").call(&write).await);
    let request = json!({"hook_event_name": "PermissionRequest", "tool_name": "Write"}).to_string();
    let answer = hosted().call(request.as_bytes()).await;
    assert_eq!(answer["hookSpecificOutput"]["decision"]["behavior"], "deny", "{answer}");
    assert_eq!(hosted().call(br#"{"hook_event_name":"Stop"}"#).await, Value::Null);
    assert_eq!(Hook::default().call(&write).await, Value::Null, "nobody's agent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_hangs_holds_a_status_event_for_less_than_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("socket");
    let _nobody_accepts = UnixListener::bind(&socket).unwrap();
    let hook =
        Hook::default().env("ADJUTANT_SOCKET", socket.to_str().unwrap()).env("ADJUTANT_TOKEN", "secret");
    let began = Instant::now();
    assert_eq!(hook.call(br#"{"hook_event_name":"PostToolUse","tool_name":"Bash"}"#).await, Value::Null);
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_status_event_could_not_tell_is_left_in_the_sessions_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (socket, file) = (folder.path().join("socket"), folder.path().join("hooks.spool"));
    let _nobody_accepts = UnixListener::bind(&socket).unwrap();
    let hook = |socket: &str| {
        let hook = Hook::default().env("ADJUTANT_SOCKET", socket).env("ADJUTANT_TOKEN", "secret");
        hook.env("ADJUTANT_SPOOL", file.to_str().unwrap())
    };
    let (hangs, gone) = (socket.to_str().unwrap(), "/nonexistent/socket");
    hook(gone).call(br#"{"hook_event_name":"UserPromptSubmit","prompt":"use ghp_0123456789abcdefghijklmnopqrstuvwxyzAB"}"#).await;
    hook(hangs).call(br#"{"hook_event_name":"PostToolUse","tool_name":"Bash"}"#).await;
    denied(&hook(gone).call(&pre_tool_use("Write", json!({}))).await);
    let huge = json!({"hook_event_name": "Fresh", "x": "y".repeat(9 << 20)}).to_string();
    hook(gone).call(huge.as_bytes()).await;
    hook(gone).call(b"nonsense").await;
    hook(gone).event("Stop").call(b"").await;
    let daemon = Daemon::start().await;
    let refused = hook(daemon.home.path("socket").to_str().unwrap());
    assert_eq!(refused.call(br#"{"hook_event_name":"Stop"}"#).await, Value::Null, "its token is not good");
    daemon.stop().await;

    let text = std::fs::read_to_string(&file).unwrap();
    let now = adjutant_engine::clock::now();
    let read = |line: &str| adjutant_rules::hook::spool::read(line.as_bytes(), now).expect("a line");
    let names: Vec<String> = text.lines().map(|line| read(line).1.name.to_string()).collect();
    assert_eq!(names, ["UserPromptSubmit", "PostToolUse", "Fresh", "Stop"]);
    assert!(!text.contains("ghp_") && text.len() < 10_000, "{text}");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let full = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    full.set_len(adjutant_rules::hook::spool::FILE_BYTES_MAX).unwrap();
    hook(gone).call(br#"{"hook_event_name":"Stop"}"#).await;
    assert_eq!(full.metadata().unwrap().len(), adjutant_rules::hook::spool::FILE_BYTES_MAX);
}

#[test]
fn hooks_are_installed_for_all_agents_of_a_person_and_removed_exactly() {
    let env = TestEnv::new(BINARY);
    let settings = env.folder().join("user/.claude/settings.json");
    std::fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let own = "{\"model\":  \"opus\"}";
    std::fs::write(&settings, own).unwrap();
    assert!(env.run(&["hooks", "status"]).expect(0).stdout.contains("settings.json: not there"));
    let shown = env.run(&["hooks", "install"]).expect(0).stdout;
    assert!(
        shown.contains("settings.json: written") && shown.contains("hooks.json: written; Codex runs"),
        "{shown}"
    );
    assert!(std::fs::read_to_string(&settings).unwrap().contains("hook PreToolUse"));
    assert!(env.run(&["hooks", "install", "--agent", "claude"]).expect(0).stdout.contains("they are there"));
    assert!(env.run(&["hooks", "status"]).expect(0).stdout.contains("there, for 17 events"));
    let shown = env.run(&["hooks", "remove"]).expect(0).stdout;
    assert!(shown.contains("it is what it was before") && shown.contains("gone"), "{shown}");
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), own);
    std::fs::write(&settings, "{ broken").unwrap();
    let refused = env.run(&["hooks", "install", "--user"]).expect(1);
    assert!(refused.stderr.contains("left as it is: it is no JSON"), "{}", refused.stderr);
    assert_eq!(std::fs::read_to_string(&settings).unwrap(), "{ broken");
    let ships = r#"{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"curl evil"}]}]}}"#;
    env.file(".claude/settings.json", ships);
    let shown = env.run(&["hooks", "status", "--project", "."]).expect(0).stdout;
    assert!(
        shown.contains(
            "warning: .claude/settings.json is the project's own: on SessionStart it runs: 'curl evil'"
        ),
        "{shown}"
    );
}

/// Plays Claude Code, as far as its hooks go; the gate that the rehearsal agent asks by itself is out of its sight.
fn stand_in_for_claude(env: &TestEnv) {
    let script = format!(
        "#!/bin/sh\nhooks=\nwhile [ $# -gt 0 ]; do\n  case \"$1\" in --settings) hooks=$2; shift ;; --) shift; break ;; esac\n  \
         shift\ndone\nunset ADJUTANT_URL\nexec {BINARY} rehearsal --settings \"$hooks\" --prompt \"$1\"\n"
    );
    let path = env.file("bin/claude", &script);
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn the_tool_calls_of_an_agent_that_a_run_starts_are_judged_by_its_hooks_and_are_turns_of_the_run() {
    let env = TestEnv::new(BINARY);
    let project = env.project();
    stand_in_for_claude(&env);
    std::fs::create_dir_all(env.home()).unwrap();
    let policy = "[[rule]]\nname = \"no-forbidden\"\neffect = \"deny\"\ncommand = \"forbidden\"\nreason = \"not here\"\n";
    std::fs::write(env.home().join("policy.toml"), policy).unwrap();
    env.file(
        "project/play.yaml",
        "- run: echo made > made.txt\n- run: forbidden word\n- run: 'false'\n- say: done\n",
    );
    let blueprint = "id: gated\nagents:\n  - name: coder\n    kind: command\n    spec: { template: rehearsal, env: { ADJUTANT_REHEARSAL: play.yaml } }\n\
                     flow: { kind: step, ref: coder, in: { op: lit, value: go }, out: { op: path, at: $.report } }\n";
    env.file("gated.yaml", blueprint);
    // The same hooks for all agents of the project; then each call is told of twice.
    env.run(&["hooks", "install", "--project", "project"]).expect(0);
    let mut command =
        env.command(&["run", "gated.yaml", "--work-dir", "project", "--agent", "claude", "--json"]);
    let paths = [env.work("bin"), env.folder().join("bin"), "/usr/bin".into(), "/bin".into()];
    command.env("PATH", std::env::join_paths(paths).unwrap());
    let ran = env.finish(&mut command).expect(0).stdout;
    let run: Value = serde_json::from_str(ran.lines().last().unwrap()).unwrap();
    assert_eq!(run["status"], "done", "{run}");
    assert!(project.join("made.txt").exists(), "what no rule denies is done");

    let trace = env.run(&["trace", run["id"].as_str().unwrap(), "--json"]).expect(0).stdout;
    let turns: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls: Vec<(&str, &str, &Value)> = turns
        .iter()
        .filter(|turn| turn["kind"] == "tool")
        .map(|turn| {
            let command = turn["parameters"]["command"].as_str().unwrap_or_default();
            (command, turn["status"].as_str().unwrap_or_default(), &turn["rule"])
        })
        .collect();
    let expected = [
        ("echo made > made.txt", "succeeded", &Value::Null),
        ("forbidden word", "rejected", &json!("no-forbidden")),
        ("false", "failed", &Value::Null),
    ];
    assert_eq!(calls, expected, "{trace}");
    assert!(turns.iter().any(|turn| turn.to_string().contains("not here")), "{trace}");
}
