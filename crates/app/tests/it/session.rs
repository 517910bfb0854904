//! Managed sessions and the inbox from the command line, with the rehearsal agent.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Writes something first, and says back what it is told.
const WRITES: &str = "\
turns:
  - - write: { path: made.txt, content: 'made by an agent' }
    - say: \"Begun: {prompt}\"
  - - say: \"You said: {prompt}\"
";

/// Commits something.
const COMMITS: &str = "\
- write: { path: made.txt, content: 'made by an agent' }
- run: git add made.txt && git -c user.name=a -c user.email=a@b commit --quiet -m made
";

/// Asks, and says what it was told.
const ASKS: &str = "\
turns:
  - - ask: { question: \"Which colour?\\e[2J\" }
    - say: done
";

/// Makes a place with a project, whose daemon knows what agents play.
fn place(script: &str) -> TestEnv {
    let env = TestEnv::new(BINARY);
    env.project();
    let script = env.file("script.yaml", script);
    let mut first = env.command(&["session", "ls"]);
    let transcripts = env.work("transcripts");
    first.env("ADJUTANT_REHEARSAL", script).env("ADJUTANT_REHEARSAL_HOME", transcripts);
    let first = env.finish(&mut first).expect(0).stdout;
    assert_eq!(first, "no sessions; `adjutant --home [HOME] session new --task TEXT` begins one\n");
    env
}

/// Waits until the journal has told so often of a session that its agent does this.
fn until(env: &TestEnv, session: &str, (activity, times): (&Value, usize)) {
    let mut command = env.command(&["session", "logs", session, "-f", "--json"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let is_it = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["kind"] == "session_activity_changed" && event["payload"]["activity"] == *activity
    };
    let seen = lines.map(Result::unwrap).filter(is_it).take(times).count();
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(seen, times, "{session} has not become {activity} so often");
}

fn new(env: &TestEnv, name: &str) -> String {
    let args =
        ["session", "new", "--agent", "rehearsal", "--driver", "headless", "--task", "Begin.", "--name"];
    let mut command = env.command(&args);
    let made = env.finish(command.arg(name).current_dir(env.work("project/tests"))).expect(0).stdout;
    assert!(made.starts_with(&format!("{name} is active (rehearsal by headless, branch ")), "{made}");
    assert!(made.contains(&format!("follow it:   adjutant --home [HOME] session logs {name} -f")), "{made}");
    made
}

#[test]
fn a_session_is_begun_watched_told_stopped_gone_on_with_and_ended_behind_a_snapshot() {
    let env = place(WRITES);
    new(&env, "api");
    // It is idle before its task as well.
    until(&env, "api", (&"idle".into(), 2));

    let listed = env.run(&["session", "ls"]).expect(0).stdout;
    assert!(listed.starts_with("NAME  DOES") && listed.contains("\napi   idle "), "{listed}");
    assert!(listed.contains("rehearsal/headless") && listed.ends_with("\n1 idle\n"), "{listed}");
    let listed: Value =
        serde_json::from_str(&env.run(&["session", "ls", "--json"]).expect(0).stdout).unwrap();
    let id = listed["sessions"][0]["id"].as_str().unwrap();
    let shown = env.run(&["session", "show", &id[id.len() - 9..]]).expect(0).stdout;
    assert!(shown.starts_with("api  idle\n") && shown.contains("  | Begin.\n"), "{shown}");
    assert!(shown.contains(id) && shown.contains("  project     [ROOT]/work/project\n"), "{shown}");

    env.run(&["session", "send", "api", "Now the rest."]).expect(0);
    until(&env, "api", (&"idle".into(), 3));
    let screen = env.run(&["session", "screen", "api"]).expect(0).stdout;
    assert!(screen.contains("Begun: Begin.") && screen.contains("You said: Now the rest."), "{screen}");
    let diff = env.run(&["session", "diff", "api"]).expect(0).stdout;
    assert!(diff.contains("+made by an agent"), "{diff}");

    let stopped = env.run(&["session", "stop", "api", "nope"]).expect(1);
    assert!(stopped.stdout.starts_with("api is stopped; "), "{}", stopped.stdout);
    assert!(stopped.stdout.contains("\nnope: there is no session `nope`\n"), "{}", stopped.stdout);
    assert!(
        stopped.stderr.starts_with("error: 1 of 2 sessions did not do that\nhint: "),
        "{}",
        stopped.stderr
    );
    let logs = env.run(&["session", "logs", "api", "-f"]).expect(0).stdout;
    assert!(logs.contains("  it is stopped: stopped as asked\n"), "{logs}");
    assert!(logs.contains("its agent is started (1.)") && logs.contains("it was told 13 bytes"), "{logs}");

    let resumed = env.run(&["session", "resume", "api", "--json"]).expect(0).stdout;
    let resumed: Value = serde_json::from_str(&resumed).unwrap();
    assert_eq!((&resumed["state"], &resumed["launches"]), (&"active".into(), &2.into()), "{resumed}");

    let refused = env.run(&["session", "rm", "api"]).expect(1);
    assert!(refused.stderr.contains("hint: ") && refused.stderr.contains("force"), "{}", refused.stderr);
    let removed = env.run(&["session", "rm", "api", "--force"]).expect(0).stdout;
    assert!(removed.starts_with("api is decommissioned; its last state stays under refs/"), "{removed}");
    assert!(removed.contains(&format!("workspace restore {id}` brings it back")), "{removed}");
    assert!(env.run(&["session", "ls"]).expect(0).stdout.starts_with("no sessions; "));
    let all = env.run(&["session", "ls", "--all"]).expect(0).stdout;
    assert!(all.contains("\napi   decommissioned ") && all.ends_with("\n1 decommissioned\n"), "{all}");
    env.run(&["session", "send", id, "more"]).expect(1);
    env.run(&["journal", "verify"]).expect(0);
}

#[test]
fn what_a_session_has_committed_is_merged_into_a_branch_when_the_checks_pass() {
    let env = place(COMMITS);
    new(&env, "api");
    until(&env, "api", (&"idle".into(), 2));
    env.run(&["session", "merge", "api", "--into", "main", "--check", "false"]).expect(1);
    assert!(!env.work("project/made.txt").exists());
    let merged =
        env.run(&["session", "merge", "api", "--into", "main", "--check", "test -e made.txt"]).expect(0);
    assert!(
        merged.stdout.starts_with("✓ test -e made.txt") && merged.stdout.contains("main is at "),
        "{}",
        merged.stdout
    );
    let removed = env.run(&["session", "rm", "api"]).expect(0).stdout;
    assert!(removed.starts_with("api is decommissioned"), "{removed}");
}

#[test]
fn a_question_waits_in_the_inbox_with_the_command_that_answers_it() {
    let env = place(ASKS);
    assert_eq!(env.run(&["inbox"]).expect(0).stdout, "nothing waits for you\n");
    new(&env, "paint");
    until(&env, "paint", (&serde_json::json!({"waiting": "question"}), 1));

    let listed = env.run(&["session", "ls"]).expect(0).stdout;
    assert!(listed.contains("\npaint  waits: question: Which colour?␛[2J"), "{listed}");
    assert!(listed.ends_with("\n1 waits for you: `adjutant --home [HOME] inbox`\n"), "{listed}");
    let inbox = env.run(&["inbox"]).expect(0);
    assert!(inbox.stdout.contains("  paint  question: Which colour?␛[2J"), "{}", inbox.stdout);
    let said = String::from_utf8(inbox.output.stdout).unwrap();
    let command = said.lines().find_map(|line| line.trim().strip_prefix("`adjutant ")).unwrap();
    let line = command.trim_end_matches('`').replace(" TEXT ", " blue ");
    let answered = env.finish(env.program("sh").args(["-c", &format!("{BINARY} {line}")])).expect(0);
    assert_eq!(answered.stdout, "paint has the answer\n");
    until(&env, "paint", (&"idle".into(), 2));
    assert_eq!(env.run(&["inbox"]).expect(0).stdout, "nothing waits for you\n");
    let attach = env.run(&["session", "attach", "paint"]).expect(1);
    assert!(attach.stderr.contains("session logs paint -f` follows it"), "{}", attach.stderr);
    env.run(&["session", "answer", "paint", "blue"]).expect(1);
}

#[test]
fn what_cannot_be_is_said_before_a_daemon_is_started() {
    let env = TestEnv::new(BINARY);
    let task = ["session", "new", "--task", "t"];
    let nowhere = env.run(&task).expect(2);
    let expected = "error: this directory is in no git repository\nhint: say which project it is: `--project DIR`, or \
                    `--repo URL`\n";
    assert_eq!(nowhere.stderr, expected);
    env.run(&[&task[..], &["--project", "nowhere"]].concat()).expect(4);
    env.run(&["session", "new"]).expect(2);
    for wrong in [["--max-cost", "NaN"], ["--max-tokens", "0"], ["--driver", "telepathy"], ["--tier", "x"]] {
        env.run(&[&task[..], &wrong].concat()).expect(2);
    }
    assert!(!env.home().exists(), "nothing was started for it");

    env.project();
    let here = [&task[..], &["--project", "project"]].concat();
    let nobody = env.run(&[&here[..], &["--agent", "nobody"]].concat()).expect(2);
    assert!(nobody.stderr.contains("there is no agent `nobody`"), "{}", nobody.stderr);
    let unknown = env.run(&["session", "show", "zzz"]).expect(4);
    let hint = "hint: `adjutant --home [HOME] session ls` lists them\n";
    assert_eq!(unknown.stderr, format!("error: there is no session `zzz`\n{hint}"));
    env.run(&["session", "show", ".."]).expect(4);
    env.run(&["session", "ls", "--watch"]).expect(2);
}

#[test]
fn a_session_that_cannot_begin_fails_the_command_with_the_reason() {
    let env = place(WRITES);
    let args = ["session", "new", "--task", "t", "--project", "project", "--agent", "rehearsal", "--driver"];
    let refused = env.run(&[&args[..], &["headless", "--ref", "no-such-branch"]].concat());
    assert!(matches!(refused.code, Some(1 | 2)), "{}", refused.stderr);
    assert!(refused.stderr.contains("no-such-branch"), "{}", refused.stderr);
}
