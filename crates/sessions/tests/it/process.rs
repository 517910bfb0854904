//! Running programs: ends, limits, input and output.

use crate::fixtures::{run, shell};
use adjutant_model::run::ErrorClass;
use adjutant_sessions::process::{self, SearchedPath};
use adjutant_sessions::{EndedBy, Exit, ProcessSpec, SpawnError, environment};
use adjutant_testkit::environment::hermetic;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_end_of_a_program_is_told_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let table = [
        ("exit 0", Exit::Code(0)),
        ("exit 7", Exit::Code(7)),
        ("exit 255", Exit::Code(255)),
        ("kill -TERM $$", Exit::Signal(15)),
        ("kill -KILL $$", Exit::Signal(9)),
    ];
    for (script, exit) in table {
        let outcome = run(shell(dir.path(), script)).await;
        assert_eq!((outcome.exit, outcome.ended_by), (exit, EndedBy::Itself), "{script}");
        assert_eq!((outcome.descendants_killed, outcome.descendants_alive), (0, 0), "{script}");
    }
}

#[tokio::test]
async fn output_and_error_output_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run(shell(dir.path(), "echo out; printf 'bad \\377' >&2; printf 'no line end'")).await;
    assert_eq!(outcome.stdout, b"out\nno line end");
    assert_eq!(outcome.stderr_tail, "bad \u{fffd}");
    assert!(!outcome.stdout_truncated);
}

#[tokio::test]
async fn a_flood_is_drained_and_its_tail_kept() {
    let dir = tempfile::tempdir().unwrap();
    let script = "head -c 104857600 /dev/zero; printf end; head -c 1048576 /dev/zero >&2; printf tail >&2";
    let outcome = run(shell(dir.path(), script)).await;
    assert_eq!(outcome.exit, Exit::Code(0));
    assert!(
        outcome.stdout_truncated && outcome.stdout.len() == 8 << 20 && outcome.stdout.ends_with(b"\0end")
    );
    assert!(outcome.stderr_tail.len() == 64 << 10 && outcome.stderr_tail.ends_with("\0tail"));
}

#[tokio::test]
async fn input_larger_than_a_pipe_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let stdin: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
    let outcome = run(ProcessSpec { stdin: stdin.clone(), ..shell(dir.path(), "cat") }).await;
    assert!(outcome.stdout == stdin, "{} bytes came back", outcome.stdout.len());
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let dir = tempfile::tempdir().unwrap();
    for script in ["exit 0", "head -c 1 > /dev/null", "exec <&-; exit 0"] {
        let outcome = run(ProcessSpec { stdin: vec![b'x'; 1 << 20], ..shell(dir.path(), script) }).await;
        assert_eq!(outcome.exit, Exit::Code(0), "{script}");
    }
    let outcome = run(shell(dir.path(), "cat")).await;
    assert_eq!(outcome.stdout, b"", "without input there is an end of file at once");
}

#[tokio::test]
async fn a_timeout_lets_a_program_end_well_and_kills_one_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let table = [
        ("trap 'exit 3' TERM; while :; do sleep 0.01; done", Exit::Code(3)),
        ("exec sleep 1000", Exit::Signal(15)),
        ("trap '' TERM; while :; do sleep 0.01; done", Exit::Signal(9)),
    ];
    for (script, exit) in table {
        let spec = shell(dir.path(), script);
        let spec = ProcessSpec {
            timeout: Some(Duration::from_millis(300)),
            grace: Duration::from_millis(300),
            ..spec
        };
        let outcome = run(spec).await;
        assert_eq!((outcome.exit, outcome.ended_by), (exit, EndedBy::Timeout), "{script}");
        assert!(outcome.duration >= Duration::from_millis(300) && outcome.duration < Duration::from_secs(30));
    }
}

#[tokio::test]
async fn a_program_is_cancelled_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let (sender, mut lines) = mpsc::channel(8);
    let spec = shell(dir.path(), "echo ready; exec sleep 1000");
    let running = tokio::spawn(process::run(spec, cancel.clone(), Some(sender)));
    assert_eq!(lines.recv().await.as_deref(), Some("ready"));
    cancel.cancel();
    let outcome = running.await.unwrap().unwrap();
    assert_eq!((outcome.exit, outcome.ended_by), (Exit::Signal(15), EndedBy::Cancelled));
    assert_eq!(outcome.stdout, b"ready\n", "what it said before is kept");
}

#[tokio::test]
async fn nothing_is_started_that_was_cancelled_before() {
    let dir = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = process::run(shell(dir.path(), "touch started"), cancel, None).await.unwrap_err();
    assert!(matches!(error, SpawnError::Cancelled { .. }), "{error}");
    assert!(!dir.path().join("started").exists());
}

#[tokio::test]
async fn lines_arrive_while_the_program_runs_and_the_last_one_needs_no_end() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("gate"), "").unwrap();
    let (sender, mut lines) = mpsc::channel(8);
    // The program goes on only when the first line was seen.
    let spec = shell(dir.path(), "echo one; while [ -e gate ]; do sleep 0.01; done; printf two");
    let running = tokio::spawn(process::run(spec, CancellationToken::new(), Some(sender)));
    assert_eq!(lines.recv().await.as_deref(), Some("one"));
    std::fs::remove_file(dir.path().join("gate")).unwrap();
    assert_eq!(lines.recv().await.as_deref(), Some("two"));
    assert_eq!(lines.recv().await, None, "the channel closes with the program");
    assert_eq!(running.await.unwrap().unwrap().lines_dropped, 0);
}

#[tokio::test]
async fn a_receiver_that_does_not_read_costs_lines_and_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, mut lines) = mpsc::channel(10);
    let outcome =
        process::run(shell(dir.path(), "seq 1 5000"), CancellationToken::new(), Some(sender)).await.unwrap();
    assert_eq!((outcome.exit, outcome.lines_dropped), (Exit::Code(0), 4990));
    assert_eq!(lines.recv().await.as_deref(), Some("1"));
    assert!(outcome.stdout.ends_with(b"4999\n5000\n"));
}

#[tokio::test]
async fn a_program_sees_the_environment_it_was_given_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let from = hermetic(dir.path()).into_iter().chain([("SECRET".to_owned(), "s".to_owned())]);
    let extra = BTreeMap::from([("EXTRA".to_owned(), "a=b c".to_owned())]);
    let spec = ProcessSpec {
        env: environment(&[], from, &extra),
        marker: Some("run_1/step".to_owned()),
        ..shell(dir.path(), "env | cut -d= -f1 | sort; echo \"$EXTRA $ADJUTANT_EFFECT\"")
    };
    let text = String::from_utf8(run(spec).await.stdout).unwrap();
    // PWD, OLDPWD, SHLVL and `_` are made by the shell.
    let names: Vec<&str> =
        text.lines().filter(|line| !["PWD", "OLDPWD", "SHLVL", "_"].contains(line)).collect();
    assert_eq!(names, ["ADJUTANT_EFFECT", "EXTRA", "HOME", "PATH", "a=b c run_1/step"]);
}

#[test]
fn only_the_listed_variables_pass() {
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let from = [
        ("PATH", "/bin"),
        ("HOME", "/h"),
        ("LANG", "C"),
        ("TMPDIR", "/t"),
        ("API_KEY", "k"),
        ("GIT_DIR", "/g"),
        ("path", "/no"),
    ];
    let extra =
        BTreeMap::from([("HOME".to_owned(), "/other".to_owned()), ("A=B".to_owned(), "x".to_owned())]);
    let passed = environment(&["API_KEY"], pairs(&from).into_iter(), &extra);
    let expected = [("API_KEY", "k"), ("HOME", "/other"), ("LANG", "C"), ("PATH", "/bin"), ("TMPDIR", "/t")];
    assert_eq!(passed, pairs(&expected));
    assert_eq!(environment(&[], pairs(&from).into_iter(), &BTreeMap::new()).len(), 4);
}

#[tokio::test]
async fn what_cannot_be_started_is_told_by_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    file("plain", "#!/bin/sh\n", 0o644);
    file("no-interpreter", "#!/no/such/interpreter\n", 0o755);
    let start = async |program: &str, cwd: &str| {
        let spec = ProcessSpec {
            argv: vec![program.to_owned()],
            cwd: dir.path().join(cwd),
            ..shell(dir.path(), "")
        };
        process::run(spec, CancellationToken::new(), None).await.unwrap_err()
    };

    let error = start("no-such-program-here", ".").await;
    assert!(matches!(&error, SpawnError::NotFound { in_path: SearchedPath::Yes, .. }), "{error:?}");
    assert_eq!(error.to_string(), "the program `no-such-program-here` was not found in PATH");
    assert_eq!(error.class(), ErrorClass::User);
    let error = start("./missing", ".").await;
    assert_eq!(error.to_string(), "the program `./missing` was not found");
    let error = start("./plain", ".").await;
    assert!(matches!(&error, SpawnError::NotExecutable { path } if path.ends_with("plain")), "{error:?}");
    let error = start("./no-interpreter", ".").await;
    assert!(matches!(&error, SpawnError::InterpreterMissing { .. }), "{error:?}");
    let error = start("true", "gone").await;
    assert!(matches!(&error, SpawnError::CwdMissing { cwd, .. } if cwd.ends_with("gone")), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Gone);
    assert!(matches!(start("", ".").await, SpawnError::EmptyCommand));
    let error = start("tr\0ue", ".").await;
    assert!(matches!(&error, SpawnError::Io { .. }) && error.class() == ErrorClass::User, "{error:?}");
}

#[tokio::test]
async fn a_program_is_found_in_the_path_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let tool = dir.path().join("my-tool");
    std::fs::write(&tool, "#!/bin/sh\necho \"$1\"\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    let spec = ProcessSpec {
        argv: vec!["my-tool".to_owned(), "-x y".to_owned()],
        env: vec![("PATH".to_owned(), format!("/nowhere:{}:/usr/bin:/bin", dir.path().display()))],
        ..shell(dir.path(), "")
    };
    assert_eq!(run(spec).await.stdout, b"-x y\n");
}
