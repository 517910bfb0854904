//! Errors of Adjutant from outside: captured, without secrets wherever they are kept, reported by consent, once.

use crate::BINARY;
use adjutant_testkit::github::{Call, Turn, private_file};
use adjutant_testkit::{FakeGithub, TestEnv};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Leaves an error for the daemon, as another program of Adjutant does.
fn leave(env: &TestEnv, message: &str) {
    let line = json!({"at": "2026-01-31T09:30:00Z", "version": "0.1.0", "target": "adjutant::x", "message": message,
        "fields": "", "location": "crates/app/src/x.rs:1", "occurrences": 1});
    fs::create_dir_all(env.home()).unwrap();
    let path = env.home().join("errors.jsonl");
    let before = fs::read_to_string(&path).unwrap_or_default();
    fs::write(path, format!("{before}{line}\n{{\"not\": \"ours\"}}\n")).unwrap();
}

fn with_github(env: &TestEnv, github: &FakeGithub, token: &str) {
    let config = format!("[reports]\nrepository = \"owner/name\"\napi_base = \"{}\"\n", github.url());
    fs::create_dir_all(env.home()).unwrap();
    fs::write(env.home().join("config.toml"), config).unwrap();
    private_file(&env.home().join("report-token"), token);
}

fn json_of(env: &TestEnv, args: &[&str], code: i32) -> Value {
    serde_json::from_str(&env.run(&[&["errors", "--json"], args].concat()).expect(code).stdout).unwrap()
}

#[track_caller]
fn holds_not(folder: &Path, secret: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in {path:?}");
    }
}

#[test]
fn an_error_is_listed_shown_previewed_and_reported_by_consent() {
    let (env, github) = (TestEnv::new(BINARY), FakeGithub::start());
    with_github(&env, &github, adjutant_testkit::github::TOKEN);
    assert_eq!(env.run(&["errors"]).expect(0).stdout, "nothing went wrong in Adjutant\n");
    // What cannot be written is an error of the daemon itself.
    let mirror = env.home().join("goals.json");
    fs::remove_file(&mirror).unwrap();
    fs::create_dir(&mirror).unwrap();
    env.run(&["goal", "new", "it works", "--check", "true"]).expect(0);
    let listed = env.run(&["errors", "ls"]).expect(0).stdout;
    assert!(listed.contains("[adjutant_engine::goals::keeper] goals.json cannot be written"), "{listed}");
    let short = listed.split_whitespace().next().unwrap();
    let shown = env.run(&["errors", "show", short]).expect(0).stdout;
    assert!(shown.contains("crates/engine/src/goals/keeper.rs:") && shown.contains("error="), "{shown}");
    let preview = env.run(&["errors", "preview", short]).expect(0).stdout;
    let hash = preview.trim_end().rsplit(' ').next().unwrap().to_owned();
    assert!(preview.contains("to: http://127.0.0.1:") && hash.len() == 64, "{preview}");
    assert!(
        preview.contains(&format!("\nadjutant --home [HOME] errors report {short} --consent ")),
        "{preview}"
    );
    env.run(&["errors", "report", short]).expect(5);
    env.run(&["errors", "report", short, "--consent", &"0".repeat(64)]).expect(4);
    assert_eq!(github.calls(), []);
    let reported = env.run(&["errors", "report", short, "--consent", &hash]).expect(0).stdout;
    assert!(
        reported.starts_with("filed as http://127.0.0.1:") && reported.ends_with("/issues/1\n"),
        "{reported}"
    );
    let again = env.run(&["errors", "report", short, "--consent", &hash]).expect(1).stdout;
    assert!(again.starts_with("not filed: this error was reported within the last 24 hours"), "{again}");
    assert!(preview.contains(&github.issues()[0].title), "{preview}");
}

#[test]
fn a_daemon_that_is_killed_over_a_filing_leaves_no_second_issue() {
    let (env, github) = (TestEnv::new(BINARY), FakeGithub::start());
    with_github(&env, &github, adjutant_testkit::github::TOKEN);
    leave(&env, "it broke");
    let fingerprint = json_of(&env, &["ls"], 0)["errors"][0]["fingerprint"].as_str().unwrap().to_owned();
    let hash = json_of(&env, &["preview", &fingerprint], 0)["hash"].as_str().unwrap().to_owned();
    github.next(Call::Create, Turn::DoAndHang);
    let mut asking = env.command(&["errors", "report", &fingerprint, "--consent", &hash]).spawn().unwrap();
    github.await_call(Call::Create);
    kill_process(env.daemon_pid().unwrap(), Signal::KILL).unwrap();
    assert!(!asking.wait().unwrap().success());
    let shown = json_of(&env, &["show", &fingerprint], 0);
    assert_eq!(shown["report"]["state"], "begun", "its daemon has died over it");
    let reported = json_of(&env, &["report", &fingerprint, "--consent", &hash], 0);
    assert_eq!((&reported["filed"], &reported["deduped"]), (&json!(true), &json!(true)), "{reported}");
    let issues = github.issues();
    assert_eq!((issues.len(), issues[0].comments.len()), (1, 0));
}

#[test]
fn what_another_program_left_is_taken_up_without_its_secrets() {
    let env = TestEnv::new(BINARY);
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    leave(&env, &format!("with {secret} in it"));
    leave(&env, &format!("with {secret} in it"));
    let errors = json_of(&env, &["ls"], 0);
    assert_eq!((&errors["total"], &errors["errors"][0]["occurrences"]), (&json!(1), &json!(2)), "{errors}");
    let fingerprint = errors["errors"][0]["fingerprint"].as_str().unwrap();
    let shown = json_of(&env, &["show", fingerprint], 0);
    assert_eq!(shown["message"], "with [redacted:github-token] in it");
    assert_eq!(shown["scrub_changes"], json!([{"pattern": "GithubToken", "hint": "GitHub token (1)"}]));
    assert!(!env.home().join("errors.jsonl").exists() && !env.home().join("errors.taken.jsonl").exists());
    env.run(&["stop"]).expect(0);
    holds_not(env.home(), &secret);
}

#[test]
fn the_log_has_neither_the_token_nor_a_secret_of_the_settings() {
    let (env, github) = (TestEnv::new(BINARY), FakeGithub::start());
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    with_github(&env, &github, &secret);
    leave(&env, "it broke");
    let logged = |args: &[&str]| env.finish(env.command(args).env("ADJUTANT_LOG", "trace"));
    logged(&["errors"]).expect(0);
    let fingerprint = json_of(&env, &["ls"], 0)["errors"][0]["fingerprint"].as_str().unwrap().to_owned();
    let hash = json_of(&env, &["preview", &fingerprint], 0)["hash"].as_str().unwrap().to_owned();
    let refused = logged(&["errors", "report", &fingerprint, "--consent", &hash]).expect(1);
    assert!(
        refused.stderr.contains("401") && refused.stderr.contains("hint: give a token"),
        "{}",
        refused.stderr
    );
    env.run(&["stop"]).expect(0);
    // A mistake in the settings is shown with its line.
    fs::write(env.home().join("config.toml"), format!("[reports]\ntoken = \"{secret}\"\n")).unwrap();
    let mistaken = env.run(&["errors"]).expect(3);
    assert!(mistaken.stderr.contains("token") && !mistaken.stderr.contains(&secret), "{}", mistaken.stderr);
    let log = fs::read_to_string(env.home().join("daemon.log")).unwrap();
    assert!(log.contains("`reports.token`"), "{log}");
    assert!(!log.contains(&secret), "{log}");
}
