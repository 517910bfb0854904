//! What a person is told who did something wrong: once, with what to do about it, and with an exit code of its own.

use crate::BINARY;
use crate::mcp::Mcp;
use adjutant_testkit::TestEnv;
use serde_json::json;
use std::fs;

const BAD_BLUEPRINT: &str = "\
id: bad
agents:
  - { name: a, kind: function, spec: { fn_id: identty } }
flow: { kind: step, ref: b, in: { op: lit, value: 1 }, out: { op: path, at: $.x } }
";

#[test]
fn a_wrong_blueprint_is_shown_at_its_line_and_column_before_a_daemon_is_started() {
    let env = TestEnv::new(BINARY);
    env.file("bad.yaml", BAD_BLUEPRINT);
    let linted = env.run(&["blueprint", "lint", "bad.yaml"]).expect(2);
    for expected in [
        "error[unknown-function]: unknown function `identty`",
        "--> bad.yaml:3:47",
        "did you mean `identity`?",
        "--> bad.yaml:4:",
    ] {
        assert!(linted.stdout.contains(expected), "{expected} is missing:\n{}", linted.stdout);
    }
    assert_eq!(linted.stderr, "error: bad.yaml cannot run: 2 errors\n");
    let run = env.run(&["run", "bad.yaml"]).expect(2);
    assert!(run.stderr.starts_with("error: bad.yaml cannot run: 2 errors\n"), "{}", run.stderr);
    assert!(!env.home().exists(), "nothing was started for it");
}

#[test]
fn a_wrong_path_is_told_apart_from_a_wrong_name() {
    let env = TestEnv::new(BINARY);
    let missing = env.run(&["run", "nope.yaml"]).expect(4);
    let hint = "hint: check the path; registered and built-in blueprints go by their id\n";
    assert_eq!(missing.stderr, format!("error: there is no blueprint file nope.yaml\n{hint}"));
    let repo = env.run(&["run", "fix-failing-test", "--repo", "nowhere"]).expect(4);
    assert!(repo.stderr.starts_with("error: the directory nowhere cannot be used: "), "{}", repo.stderr);
    let name = env.run(&["run", "nope"]).expect(4);
    assert!(name.stderr.starts_with("error: the blueprint nope was not found\n"), "{}", name.stderr);
    let run = env.run(&["show", "zzz"]).expect(4);
    assert_eq!(run.stderr, "error: there is no run `zzz`\nhint: `adjutant --home [HOME] runs` lists them\n");
}

#[test]
fn a_missing_agent_fails_the_run_with_its_name() {
    let env = TestEnv::new(BINARY);
    env.project();
    let run = env.run(&["run", "fix-failing-test", "--repo", "project", "--agent", "claude"]).expect(1);
    assert!(run.stdout.contains("the program `claude` was not found in PATH"), "{}", run.stdout);
    assert!(run.stdout.contains("adjutant --home [HOME] doctor looks for claude"), "{}", run.stdout);
    let unknown = env.run(&["run", "fix-failing-test", "--repo", "project", "--agent", "nobody"]).expect(2);
    assert!(unknown.stderr.contains("nobody"), "{}", unknown.stderr);
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named() {
    let env = TestEnv::with_home(BINARY, "work/file/below");
    env.file("file", "not a folder");
    for args in [&["runs"][..], &["serve"]] {
        let refused = env.run(args).expect(1);
        assert!(refused.stderr.starts_with("error: the data folder [HOME] "), "{}", refused.stderr);
        assert!(
            refused.stderr.contains("Not a directory") & refused.stderr.contains("\nhint: "),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn a_token_that_does_not_fit_is_refused_and_made_anew_at_the_next_start() {
    let env = TestEnv::new(BINARY);
    env.run(&["runs"]).expect(0);
    fs::write(env.home().join("token"), "0".repeat(64)).unwrap();
    let refused = env.run(&["runs"]).expect(1);
    assert!(refused.stderr.contains("token"), "{}", refused.stderr);
    env.run(&["stop"]).expect(0);
    env.run(&["runs"]).expect(0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let env = TestEnv::new(BINARY);
    let exe = BINARY;
    let line = format!("{{ {exe} openapi; echo code $? >&2; }} | head -n 1");
    let ran = env.finish(env.program("sh").args(["-c", &line])).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("{\n", "code 0\n"));
    let line = format!("{{ {exe} completions bash; echo code $? >&2; }} | head -n 0");
    let ran = env.finish(env.program("sh").args(["-c", &line]));
    assert_eq!(ran.stderr, "code 0\n");
}

#[test]
fn help_and_mistakes_in_the_command_line_have_their_codes() {
    let env = TestEnv::new(BINARY);
    env.run(&["--help"]).expect(0);
    env.run(&["frobnicate"]).expect(2);
    env.run(&["run", "x.yaml", "--input", "novalue"]).expect(4);
    env.file("ok.yaml", "id: ok\nflow: { kind: seq, children: [] }\n");
    let input = env.run(&["run", "ok.yaml", "--input", "novalue"]).expect(2);
    assert_eq!(input.stderr, "error: `--input novalue` is not KEY=VALUE\n");
}

#[test]
fn what_is_forgotten_or_remembered_wrongly_is_told_with_what_helps() {
    let env = TestEnv::new(BINARY);
    let forgotten = env.run(&["memory", "forget", "nope"]).expect(4).stderr;
    let hint = "hint: `adjutant --home [HOME] memory ls --all` lists them\n";
    assert_eq!(forgotten, format!("error: there is no fact `nope`\n{hint}"));
    env.run(&["memory", "ls", "--all"]).expect(4);
    let here = env.run(&["memory", "remember", "tabs", "--here"]).expect(2).stderr;
    let hint = "hint: say for which project: `--scope project:PATH` instead of `--here`\n";
    assert_eq!(here, format!("error: this directory is in no git repository\n{hint}"));
}

#[test]
fn a_daemon_that_does_not_start_is_quoted_with_what_this_start_has_said() {
    let env = TestEnv::new(BINARY);
    fs::create_dir_all(env.home()).unwrap();
    fs::write(env.home().join("config.toml"), "[sessions]\nmax_live = 3\n").unwrap();
    for _ in 0..2 {
        let refused = env.run(&["runs"]).expect(3).stderr;
        assert_eq!(refused.matches("`sessions.max_live` is no setting").count(), 1, "{refused}");
    }
}

#[test]
fn a_token_of_a_role_is_made_and_taken_back_with_its_uses() {
    let env = TestEnv::new(BINARY);
    let token = env.run(&["token", "new", "--agent", "eve", "--role", "observer"]).expect(0).stdout;
    let mut mcp = Mcp::start(env.command(&["mcp"]).env("ADJUTANT_TOKEN", token.trim()));
    let listed = mcp.call(1, "session_list", json!({}));
    assert_eq!(listed["structuredContent"]["sessions"][0]["role"], "observer", "{listed}");
    let refused = mcp.call(2, "auto_resume_set", json!({"enabled": true})).to_string();
    assert!(refused.contains("adjutant token new --agent NAME --role operator"), "{refused}");
    mcp.close();
    let listed = env.run(&["token", "ls"]).expect(0).stdout;
    let line = listed.lines().find(|line| line.contains(" eve ")).unwrap();
    assert!(line.contains(" 2 uses"), "{line}");
    let (_, session) = line.rsplit_once(" session ").unwrap();
    let stopped = env.run(&["session", "stop", session]);
    let told = format!("the session {session} is attached: its agent is not hosted here");
    assert!(format!("{}{}", stopped.stdout, stopped.stderr).contains(&told), "{stopped:?}");
    let gone = env.run(&["token", "revoke", line.split_whitespace().next().unwrap()]).expect(0).stdout;
    assert!(gone.contains("taken back") && gone.contains(" 2 uses"), "{gone}");
    let unknown = env.run(&["token", "new", "--agent", "eve", "--role", "king"]).expect(2).stderr;
    assert!(unknown.starts_with("error: unknown role: `king`; known: operator"), "{unknown}");
}
