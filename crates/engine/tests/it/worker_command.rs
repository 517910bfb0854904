//! Commands: how they are started, what they see, how they end, and what of their output counts.

use crate::worker_fixture::{Fixture, done, failure, json};
use adjutant_engine::templates;
use adjutant_engine::worker::{GateAccess, Secret};
use adjutant_model::Value;
use adjutant_model::blueprint::{
    Agent, AgentSpec, CommandSpec, OkFrom, OutputFormat, OutputSpec, Profile, StatsSpec,
};
use adjutant_model::run::{ErrorClass, Usage};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

fn argv(argv: &[&str]) -> CommandSpec {
    CommandSpec { argv: argv.iter().map(|arg| (*arg).to_owned()).collect(), ..CommandSpec::default() }
}

fn sh(script: &str) -> CommandSpec {
    argv(&["sh", "-c", script])
}

fn template(name: &str) -> CommandSpec {
    CommandSpec { template: Some(name.to_owned()), ..CommandSpec::default() }
}

/// Puts a program in front of all others on the `PATH`.
fn install(fixture: &mut Fixture, name: &str, script: &str) {
    let bin = fixture.root.path().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder can be made");
    std::fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
    std::fs::set_permissions(bin.join(name), PermissionsExt::from_mode(0o755)).expect("it is ours");
    let path = |(key, value): &(String, String)| match key.as_str() {
        "PATH" => (key.clone(), format!("{}:{value}", bin.display())),
        _ => (key.clone(), value.clone()),
    };
    fixture.ctx.env = fixture.ctx.env.iter().map(path).collect();
}

fn add_env(fixture: &mut Fixture, added: &[(&str, &str)]) {
    let added = added.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    fixture.ctx.env = fixture.ctx.env.iter().cloned().chain(added).collect();
}

#[tokio::test(flavor = "multi_thread")]
async fn placeholders_are_filled_wherever_a_command_has_text() {
    let mut fixture = Fixture::new();
    fixture.profile = Profile {
        system_prompt: Some("be kind".to_owned()),
        model: Some("m1".to_owned()),
        tools: vec!["Read".to_owned(), "Edit".to_owned()],
        description: None,
    };
    let ctx = &fixture.ctx;
    let script = "printf '%s|' \"$@\"; printf '%s|' \"$FROM_ENV\"; cat";
    let mut spec = argv(&[
        "sh",
        "-c",
        script,
        "sh",
        "{prompt}",
        "{system}",
        "{model}",
        "{tools_csv}",
        "{work_dir}",
        "{task_id}",
        "{attempt}",
    ]);
    spec.env.insert("FROM_ENV".to_owned(), "{model}-{attempt}".to_owned());
    spec.stdin = Some("${model} {unknown} {model}".to_owned());
    let expected = format!(
        "hi|be kind|m1|Read,Edit|{}|{}|1|m1-1|${{model}} {{unknown}} m1",
        ctx.work_dir.display(),
        ctx.task_id
    );
    assert_eq!(done(fixture.command(spec, Value::from("hi")).await), Value::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prompt_is_a_text_or_the_member_prompt_or_json() {
    let fixture = Fixture::new();
    for (input, prompt) in [
        ("\"a b\"", "a b"),
        ("{\"prompt\":\"do\",\"x\":1}", "do"),
        ("{\"x\":[1]}", "{\"x\":[1]}"),
        ("null", "null"),
        ("{\"prompt\":1}", "{\"prompt\":1}"),
    ] {
        let mut spec = argv(&["printf", "%s", "{prompt}"]);
        spec.output = Some(OutputSpec { format: OutputFormat::Text, ..OutputSpec::default() });
        assert_eq!(done(fixture.command(spec, json(input)).await), Value::from(prompt), "{input}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_is_the_input_or_a_text_or_nothing() {
    let fixture = Fixture::new();
    let input = json("{\"b\":[1,null],\"a\":\"ä\"}");
    assert_eq!(done(fixture.command(argv(&["cat"]), input.clone()).await), input);
    let text = CommandSpec { stdin: Some("<{prompt}>".to_owned()), ..argv(&["cat"]) };
    assert_eq!(done(fixture.command(text, Value::from("x")).await), Value::from("<x>"));
    let none = CommandSpec { use_stdin: Some(false), ..sh("cat; echo end") };
    assert_eq!(done(fixture.command(none, input).await), Value::from("end"));
    let large = Value::from("x".repeat(1 << 20));
    assert_eq!(done(fixture.command(argv(&["true"]), large.clone()).await), Value::from(""));
    assert_eq!(done(fixture.command(argv(&["cat"]), large.clone()).await), large);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_what_is_allowed_and_what_is_ours() {
    let mut fixture = Fixture::new();
    let mut spec =
        sh("env | grep -v -e '^PWD=' -e '^_=' -e '^SHLVL=' -e '^ADJUTANT_EFFECT=' -e '^PATH=' | sort");
    spec.env.insert("MINE".to_owned(), "1".to_owned());
    spec.env.insert("ADJUTANT_STEP".to_owned(), "forged".to_owned());
    let home = fixture.root.path().display().to_string();
    let run = fixture.ctx.run_id.to_string();
    let expected = format!("ADJUTANT_ATTEMPT=1\nADJUTANT_RUN={run}\nADJUTANT_STEP=0/2\nHOME={home}\nMINE=1");
    assert_eq!(done(fixture.command(spec, Value::Null).await), Value::from(expected));
    let socket = Some("/run/adjutant.sock".into());
    let gate = GateAccess { url: "http://127.0.0.1:1".to_owned(), token: Secret::new("s3cret"), socket };
    assert!(!format!("{gate:?}").contains("s3cret"));
    fixture.ctx.gate = Some(gate);
    let spec = sh("echo $ADJUTANT_URL $ADJUTANT_TOKEN $HIDDEN_KEY");
    assert_eq!(done(fixture.command(spec, Value::Null).await), Value::from("http://127.0.0.1:1 s3cret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_file_is_for_this_user_only_and_outside_of_the_workspace() {
    let mut fixture = Fixture::new();
    fixture.profile.system_prompt = Some("be\nkind".to_owned());
    let spec = argv(&["sh", "-c", "stat -c %a \"$1\"; echo \"$1\"; cat \"$1\"", "sh", "{system_file}"]);
    let told = done(fixture.command(spec.clone(), Value::Null).await);
    let lines: Vec<&str> = told.as_str().unwrap().lines().collect();
    assert_eq!((lines[0], &lines[2..]), ("600", &["be", "kind"][..]));
    assert!(Path::new(lines[1]).starts_with(&fixture.ctx.scratch), "{}", lines[1]);
    fixture.profile.system_prompt = None;
    let failure = failure(fixture.command(spec, Value::Null).await);
    assert_eq!(failure.message, "nothing fills the placeholder {system_file}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_below_the_workspace_and_nowhere_else() {
    let fixture = Fixture::new();
    let work = &fixture.ctx.work_dir;
    std::fs::create_dir_all(work.join("a/b")).unwrap();
    symlink(fixture.root.path(), work.join("out")).unwrap();
    symlink(work.join("a"), work.join("in")).unwrap();
    let cwd = |cwd: &str| CommandSpec { cwd: Some(cwd.to_owned()), ..argv(&["pwd"]) };
    let real = work.canonicalize().unwrap();
    for (given, expected) in [("a/b", "a/b"), ("in/b", "a/b"), (".", "")] {
        let told = done(fixture.command(cwd(given), Value::Null).await);
        assert_eq!(Path::new(told.as_str().unwrap()), real.join(expected).components().as_path(), "{given}");
    }
    for given in ["..", "out", "out/work/..", "/tmp", "missing", "a/../.."] {
        let failure = failure(fixture.command(cwd(given), Value::Null).await);
        assert_eq!(failure.message, format!("the directory `{given}` is not in the workspace"));
        assert_eq!(failure.class, ErrorClass::User);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why() {
    let fixture = Fixture::new();
    std::fs::write(fixture.ctx.work_dir.join("plain"), "text").unwrap();
    for (spec, said) in [
        (argv(&["no-such-program"]), "no-such-program"),
        (argv(&["./plain"]), "plain"),
        (argv(&["echo", "{model}"]), "nothing fills the placeholder {model}"),
        (argv(&["echo", "{tools_csv}"]), "nothing fills the placeholder {tools_csv}"),
        (template("nobody"), "there is no template `nobody`"),
    ] {
        let failure = failure(fixture.command(spec, Value::Null).await);
        assert!(failure.message.contains(said), "{said}: {}", failure.message);
        assert_eq!(failure.class, ErrorClass::User, "{said}");
    }
    let long = failure(fixture.command(argv(&["echo", "{prompt}"]), Value::from("x".repeat(200_000))).await);
    assert_eq!(
        long.message,
        "an argument is 200000 bytes long and the system takes 131071; pass it on standard input"
    );
    let fits = Value::from("x".repeat(131_071));
    assert_eq!(done(fixture.command(argv(&["echo", "{prompt}"]), fits.clone()).await), fits);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_the_code_or_signal_and_the_tails() {
    let fixture = Fixture::new();
    let exited = failure(fixture.command(sh("echo out; echo broken >&2; exit 3"), Value::Null).await);
    assert_eq!(exited.message, "the command exited with code 3: broken");
    let value = exited.value.unwrap();
    for (key, expected) in
        [("code", "3"), ("signal", "null"), ("stdout_tail", "\"out\\n\""), ("stderr_tail", "\"broken\\n\"")]
    {
        assert_eq!(value.get(key), Some(&json(expected)), "{key}");
    }
    let killed = failure(fixture.command(sh("kill -KILL $$"), Value::Null).await);
    assert_eq!(killed.value.unwrap().get("signal"), Some(&json("9")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_time_is_over_leaves_nothing_behind() {
    let mut fixture = Fixture::new();
    fixture.ctx.settings.grace = Duration::from_millis(200);
    // One child ignores TERM and one leaves the process group.
    let script = "trap '' TERM; (trap '' TERM; sleep 300) & setsid sleep 300 & echo $! > pid; wait";
    let spec = CommandSpec { timeout_ms: Some(300), ..sh(script) };
    let began = Instant::now();
    let failure = failure(fixture.command(spec, Value::Null).await);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(failure.message, "the command took longer than 300 ms");
    assert_eq!(failure.class, ErrorClass::Retry);
    assert_eq!(failure.value.unwrap().get("timed_out"), Some(&Value::Bool(true)));
    let marker = format!("{}/", fixture.ctx.run_id);
    assert_eq!(marked(&marker), 0, "processes of the step are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_command_ends_with_all_it_started() {
    let mut fixture = Fixture::new();
    let spec = CommandSpec {
        output: Some(OutputSpec { format: OutputFormat::Text, ..OutputSpec::default() }),
        ..sh("setsid sleep 300 & sleep 300 & echo begun; wait")
    };
    let (_, mut progress) = tokio::sync::mpsc::channel(1);
    std::mem::swap(&mut fixture.progress, &mut progress);
    let (cancel, began) = (fixture.ctx.cancel.clone(), Instant::now());
    let (outcome, ()) = tokio::join!(fixture.command(spec, Value::Null), async move {
        assert_eq!(progress.recv().await.unwrap().text, "begun");
        cancel.cancel();
    });
    assert_eq!(failure(outcome).class, ErrorClass::Gone);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(marked(&format!("{}/", fixture.ctx.run_id)), 0, "processes of the step are left");
}

/// Counts the living processes that carry a marker which begins so.
fn marked(prefix: &str) -> usize {
    let wanted = format!("ADJUTANT_EFFECT={prefix}").into_bytes();
    let environs = std::fs::read_dir("/proc")
        .expect("Linux has it")
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("environ")).ok());
    environs
        .filter(|environ| environ.split(|byte| *byte == 0).any(|entry| entry.starts_with(&wanted)))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_read_as_the_spec_says() {
    let fixture = Fixture::new();
    let printing = |text: &str, output: OutputSpec| CommandSpec {
        stdin: Some(text.to_owned()),
        output: Some(output),
        ..argv(&["cat"])
    };
    let document = "{\"ok\":true,\"result\":{\"n\":1},\"usage\":{\"input_tokens\":5,\"output_tokens\":7},\"model\":\"m\"}";
    let pointed = OutputSpec {
        format: OutputFormat::Json,
        result_ptr: Some("/result/n".to_owned()),
        ok_from: OkFrom::Pointer("/ok".to_owned()),
        stats: StatsSpec {
            usage_ptr: Some("/usage".to_owned()),
            model_ptr: Some("/model".to_owned()),
            num_turns_ptr: None,
        },
    };
    let performed =
        fixture.perform(AgentSpec::Command(printing(document, pointed.clone())), Value::Null).await;
    assert_eq!(done(performed.outcome), Value::from(1_i64));
    let expected = Usage {
        input_tokens: Some(5),
        output_tokens: Some(7),
        model: Some("m".to_owned()),
        ..Usage::default()
    };
    assert_eq!(performed.usage, Some(expected));
    let refused =
        failure(fixture.command(printing("{\"ok\":false,\"result\":1}", pointed), Value::Null).await);
    assert!(refused.message.contains("/ok"), "{}", refused.message);
    let json_only = OutputSpec { format: OutputFormat::Json, ..OutputSpec::default() };
    assert!(
        failure(fixture.command(printing("words", json_only), Value::Null).await)
            .message
            .contains("not JSON")
    );
    let text = OutputSpec { format: OutputFormat::Text, ..OutputSpec::default() };
    assert_eq!(done(fixture.command(printing("[1]", text), Value::Null).await), Value::from("[1]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_fills_what_it_leaves_out_from_its_template() {
    let mut fixture = Fixture::new();
    let mut shared = argv(&["sh", "-c", "echo $A $B"]);
    shared.env = [("A", "1"), ("B", "2")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    fixture.templates.insert("shared".to_owned(), shared);
    let mut spec = template("shared");
    spec.env.insert("B".to_owned(), "3".to_owned());
    assert_eq!(done(fixture.command(spec, Value::Null).await), Value::from("1 3"));
    let own = CommandSpec { template: Some("shared".to_owned()), ..sh("echo own $A") };
    assert_eq!(done(fixture.command(own, Value::Null).await), Value::from("own 1"));
    // A blueprint's template stands before the built-in one of the same name.
    fixture.templates.insert("claude".to_owned(), argv(&["echo", "mine"]));
    assert_eq!(done(fixture.command(template("claude"), Value::Null).await), Value::from("mine"));
}

/// Plays Claude Code: tells its arguments and the variables it sees.
const CLAUDE: &str = r#"
test -t 0 || test -z "$(cat)" || exit 9
printf '{"type":"system","model":"m1"}\n'
printf '{"type":"assistant","message":{"content":[{"type":"text","text":"on it"}]}}\n'
args=$(printf '%s ' "$@")
printf '{"type":"result","is_error":false,"num_turns":2,"result":"%s; %s %s %s"}\n' "$args" "$ANTHROPIC_BASE_URL" "$DISABLE_TELEMETRY" "$HIDDEN_KEY$OPENAI_API_KEY""#;

#[tokio::test(flavor = "multi_thread")]
async fn claude_is_started_in_print_mode_with_what_it_needs() {
    let mut fixture = Fixture::new();
    install(&mut fixture, "claude", CLAUDE);
    add_env(
        &mut fixture,
        &[("ANTHROPIC_BASE_URL", "http://model"), ("DISABLE_TELEMETRY", "1"), ("OPENAI_API_KEY", "other")],
    );
    fixture.profile.model = Some("m1".to_owned());
    let performed = fixture.perform(AgentSpec::Command(template("claude")), Value::from("--fix it")).await;
    assert_eq!(
        done(performed.outcome),
        Value::from(
            "-p --output-format stream-json --verbose --permission-mode acceptEdits --model m1 \
             --allowedTools Bash,Edit,Write,Read,Glob,Grep -- --fix it ; http://model 1 "
        )
    );
    assert_eq!(performed.usage.unwrap().num_turns, Some(2));
    let progress = fixture.progress.try_recv().unwrap();
    assert_eq!((progress.what.as_str(), progress.text.as_str()), ("said", "on it"));
}

const CODEX: &str = r#"
test -z "$(cat)" || exit 9
args=$(printf '%s ' "$@")
printf '{"type":"turn.started"}\n{"type":"item.completed","item":{"type":"agent_message","text":"%s; %s %s"}}\n' "$args" "$STUB_KEY" "$HIDDEN_KEY"
printf '{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":2}}\n'"#;

#[tokio::test(flavor = "multi_thread")]
async fn codex_gets_the_keys_that_its_settings_name() {
    let mut fixture = Fixture::new();
    install(&mut fixture, "codex", CODEX);
    let home = fixture.root.path().join("codex");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("config.toml"), "[model_providers.stub]\nenv_key = \"STUB_KEY\"\n").unwrap();
    add_env(&mut fixture, &[("CODEX_HOME", home.to_str().unwrap()), ("STUB_KEY", "key")]);
    fixture.profile.system_prompt = Some("be kind".to_owned());
    let told = done(fixture.command(template("codex"), Value::from("-x")).await);
    assert_eq!(
        told,
        Value::from(
            "exec --json --skip-git-repo-check --sandbox workspace-write --config \
             developer_instructions='''be kind''' -- -x ; key "
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_is_played_by_our_own_program_and_asks_the_gate() {
    let mut fixture = Fixture::new();
    install(&mut fixture, "player", r#"printf '{"type":"result","result":"%s"}\n' "$*""#);
    fixture.ctx.adjutant_exe = fixture.root.path().join("bin/player");
    let told = done(fixture.command(template("rehearsal"), Value::from("fix")).await);
    assert_eq!(told, Value::from("rehearsal --prompt fix"));
    let agent = |name: &str| Agent::new("a", AgentSpec::Command(template(name)));
    assert!(templates::asks_gate(&agent("rehearsal")));
    assert!(templates::asks_gate(&agent("claude")) && templates::asks_gate(&agent("codex")));
    assert!(!templates::asks_gate(&agent("mine")));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_built_in_templates_call_hooks_with_the_steps_token_and_outside_of_the_workspace() {
    let mut fixture = Fixture::new();
    let claude = r#"test "$1" = --settings || exit 9; cat "$2"; echo "$ADJUTANT_TOKEN $ADJUTANT_SOCKET $ADJUTANT_HOOK_UNREACHABLE $2" >&2; exit 3"#;
    install(&mut fixture, "claude", claude);
    let socket = Some("/run/adjutant.sock".into());
    fixture.ctx.gate =
        Some(GateAccess { url: "http://127.0.0.1:1".to_owned(), token: Secret::new("s3cret"), socket });
    let failed = fixture.command(template("claude"), Value::from("x")).await;
    let told = format!("{failed:?}");
    assert!(told.contains("s3cret /run/adjutant.sock deny_writes"), "{told}");
    let file = fixture.ctx.scratch.join("hooks-0-2-1.json");
    assert!(told.contains(&file.display().to_string()), "{told}");
    let settings: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(settings["hooks"]["PreToolUse"].is_array(), "{settings}");
    assert!(!fixture.ctx.scratch.starts_with(&fixture.ctx.work_dir));
}
