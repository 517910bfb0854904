//! Checks: what passes, what is a result all the same, and which tree it is about.

use crate::worker_fixture::{Fixture, done, failure, json};
use adjutant_model::Value;
use adjutant_model::blueprint::{AgentSpec, CheckCommand, CheckSpec};
use adjutant_testkit::repository::git;
use std::time::{Duration, Instant};

fn line(command: &str) -> CheckSpec {
    CheckSpec {
        command: CheckCommand::Line(command.to_owned()),
        expect_exit: 0,
        output_contains: None,
        timeout_secs: None,
    }
}

async fn check(fixture: &Fixture, spec: CheckSpec) -> Value {
    done(fixture.perform(AgentSpec::Check(spec), Value::Null).await.outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_passes_by_exit_code_and_output() {
    let fixture = Fixture::new();
    let with = |command: &str, expect_exit, contains: Option<&str>| CheckSpec {
        expect_exit,
        output_contains: contains.map(str::to_owned),
        ..line(command)
    };
    for (spec, passed, code) in [
        (with("true", 0, None), true, 0),
        (with("exit 3", 0, None), false, 3),
        (with("exit 3", 3, None), true, 3),
        (with("echo 12 passed", 0, Some("12 passed")), true, 0),
        (with("echo 12 passed >&2", 0, Some("12 passed")), true, 0),
        (with("echo 11 passed", 0, Some("12 passed")), false, 0),
        (with("echo 12 passed; exit 1", 0, Some("12 passed")), false, 1),
        (
            CheckSpec {
                command: CheckCommand::Argv(vec!["test".to_owned(), "-d".to_owned(), ".".to_owned()]),
                ..line("")
            },
            true,
            0,
        ),
    ] {
        let told = check(&fixture, spec.clone()).await;
        assert_eq!(told.get("passed"), Some(&Value::Bool(passed)), "{spec:?}");
        assert_eq!(told.get("exit_code"), Some(&Value::from(i64::from(code))), "{spec:?}");
        assert_eq!(told.get("tree"), Some(&Value::Null), "{spec:?}");
        assert!(told.get("duration_ms").is_some() && told.get("timed_out").is_none(), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_by_signal_or_timeout_is_a_result() {
    let fixture = Fixture::new();
    let killed = check(&fixture, line("kill -KILL $$")).await;
    assert_eq!((killed.get("passed"), killed.get("signal")), (Some(&json("false")), Some(&json("9"))));
    assert_eq!(killed.get("exit_code"), Some(&Value::Null));
    let began = Instant::now();
    let slow = check(&fixture, CheckSpec { timeout_secs: Some(1), ..line("echo begun; sleep 300") }).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((slow.get("passed"), slow.get("timed_out")), (Some(&json("false")), Some(&json("true"))));
    assert_eq!(slow.get("output_tail"), Some(&Value::from("begun")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kept_output_is_the_tail_and_bounded() {
    let mut fixture = Fixture::new();
    fixture.ctx.settings.output_kept_bytes = 1000;
    let told = check(&fixture, line("seq 1 100000; seq 1 100000 >&2; echo äöü >&2")).await;
    let tail = told.get("output_tail").and_then(Value::as_str).unwrap();
    assert!(tail.len() <= 1000 && tail.ends_with("100000\näöü"), "{} bytes: {tail}", tail.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_tree_it_looked_at() {
    let fixture = Fixture::new();
    let dir = &fixture.ctx.work_dir;
    git(dir, &["init", "-q"]);
    std::fs::write(dir.join("a.txt"), "one").unwrap();
    git(dir, &["add", "."]);
    git(dir, &["commit", "-qm", "first"]);
    let committed = git(dir, &["rev-parse", "HEAD^{tree}"]);
    let told = check(&fixture, line("true")).await;
    assert_eq!((told.get("tree"), told.get("tree_changed")), (Some(&Value::from(committed.as_str())), None));
    std::fs::write(dir.join("untracked.txt"), "two").unwrap();
    let dirty = check(&fixture, line("true")).await;
    assert_ne!(dirty.get("tree"), Some(&Value::from(committed.as_str())));
    let status = git(dir, &["status", "--porcelain"]);
    assert_eq!(status, "?? untracked.txt", "the index is left alone");
    let writes = check(&fixture, line("echo three > written.txt")).await;
    assert_eq!(
        (writes.get("tree"), writes.get("tree_changed")),
        (dirty.get("tree"), Some(&Value::Bool(true)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_cannot_be_started_fails_the_step() {
    let fixture = Fixture::new();
    let spec = CheckSpec { command: CheckCommand::Argv(vec!["no-such-program".to_owned()]), ..line("") };
    let failure = failure(fixture.perform(AgentSpec::Check(spec), Value::Null).await.outcome);
    assert!(failure.message.contains("no-such-program"), "{}", failure.message);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_sees_no_secrets() {
    let fixture = Fixture::new();
    let told = check(&fixture, line("echo [$HIDDEN_KEY]")).await;
    assert_eq!(told.get("output_tail"), Some(&Value::from("[]")));
}
