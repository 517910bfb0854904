//! Goals from the command line.

use crate::BINARY;
use crate::daemon::await_gone;
use adjutant_testkit::TestEnv;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_check_that_fails_ends_the_command_so_and_a_refused_close_says_what_comes_next() {
    let env = TestEnv::new(BINARY);
    env.project();
    let made =
        env.run(&["goal", "new", "Slugs are clean", "--check", "sh tests/run.sh", "--repo", "project"]);
    let made = made.expect(0).stdout;
    let goal = made.split_whitespace().next().unwrap();

    let refused = env.run(&["goal", "close", goal]).expect(1);
    let hint = format!("hint: `adjutant --home [HOME] goal check {goal}` runs its checks now\n");
    assert!(refused.stderr.ends_with(&hint), "{}", refused.stderr);
    let failed = env.run(&["goal", "check", goal]).expect(1);
    assert!(failed.stdout.contains("failed: exit 1"), "{}", failed.stdout);
    let expected = format!(
        "error: 1 of 1 checks did not pass\nhint: they ran in [ROOT]/work/project; when it is mended: `adjutant --home \
         [HOME] goal check {goal}`\n"
    );
    assert_eq!(failed.stderr, expected);
    let refused = env.run(&["goal", "close", goal]).expect(1);
    assert!(refused.stderr.contains("hint: mend what the check found, then `adjutant"), "{}", refused.stderr);

    env.file("project/tests/run.sh", "true\n");
    assert!(env.run(&["goal", "check", goal]).expect(0).stderr.is_empty());
    let closed = env.run(&["goal", "close", goal]).expect(0).stdout;
    assert!(closed.contains("  done  "), "{closed}");
}

/// Makes a goal and gives its id.
fn made(env: &TestEnv, args: &[&str]) -> String {
    let made = env.run(&[&["goal", "new", "--json"], args].concat()).expect(0).stdout;
    let made: Value = serde_json::from_str(&made).unwrap();
    made["id"].as_str().unwrap().to_owned()
}

fn shown(env: &TestEnv, goal: &str) -> Value {
    serde_json::from_str(&env.run(&["goal", "show", goal, "--json"]).expect(0).stdout).unwrap()
}

fn mirrored(env: &TestEnv) -> Value {
    serde_json::from_slice(&fs::read(env.home().join("goals.json")).unwrap()).unwrap()
}

#[test]
fn all_that_the_door_does_with_goals_is_done_from_the_command_line() {
    let env = TestEnv::new(BINARY);
    env.project();
    assert_eq!(
        env.run(&["goal", "ls"]).expect(0).stdout,
        "no goals; `adjutant --home [HOME] goal new DESCRIPTION --check COMMAND` makes one\n"
    );
    let first = made(&env, &["first", "--accept", "it reads well"]);
    let all = [
        "Slugs are clean",
        "--check",
        "true",
        "--prove",
        "the file is there",
        "test -e slug.sh",
        "--accept",
        "it reads well",
        "--repo",
        "project",
        "--depends-on",
        &first[2..8],
        "--max-cost",
        "2.5",
        "--max-tokens",
        "900",
        "--max-minutes",
        "30",
        "--deadline",
        "2099-01-31T12:00:00Z",
        "--recheck",
        "0 6 * * *",
    ];
    let goal = made(&env, &all);
    let stands = shown(&env, &goal);
    assert_eq!(stands["acceptance"][1]["text"], "the file is there");
    assert_eq!(stands["budget"], json!({"max_cost_usd": 2.5, "max_tokens": 900, "max_minutes": 30}));
    assert_eq!(stands["depends_on"], json!([first]));
    let listed = env.run(&["goal", "list", "--status", "pending"]).expect(0).stdout;
    assert!(listed.starts_with("GOAL  ") && listed.contains(&goal), "{listed}");
    assert!(
        listed.contains("until 2099-01-31 12:00, checked at ") && listed.ends_with("\n2 pending\n"),
        "{listed}"
    );

    env.run(&["goal", "update", &goal]).expect(2);
    env.run(&[
        "goal",
        "update",
        &goal,
        "--description",
        "Clean",
        "--max-tokens",
        "5",
        "--no-deadline",
        "--no-recheck",
    ])
    .expect(0);
    env.run(&[
        "goal",
        "update",
        &goal,
        "--no-depends",
        "--note",
        "-- noted",
        "--status",
        "blocked",
        "--reason",
        "rain",
    ])
    .expect(0);
    let stands = shown(&env, &goal);
    assert_eq!(
        stands["budget"],
        json!({"max_cost_usd": 2.5, "max_tokens": 5, "max_minutes": 30}),
        "the rest stays"
    );
    assert_eq!(
        (&stands["deadline"], &stands["recheck"], &stands["depends_on"]),
        (&Value::Null, &Value::Null, &json!([]))
    );
    assert_eq!((&stands["status"], &stands["notes"]), (&json!("blocked"), &json!(["-- noted"])));
    env.run(&["goal", "update", &goal, "--no-budget", "--depends-on", &first]).expect(0);
    assert_eq!(shown(&env, &goal)["budget"], json!({}));

    env.run(&["goal", "link", &first, "nobody"]).expect(4);
    env.run(&["goal", "link", &first, "outside-1", "--foreign", "--task", "by others"]).expect(0);
    env.run(&["goal", "update", &first, "--link", "outside", "--state", "running"]).expect(0);
    assert_eq!(shown(&env, &first)["sessions"][0]["state"], "running");
    env.run(&["goal", "evidence", &first, "--person", "Ada"]).expect(2);
    let proved =
        ["goal", "evidence", &first, "--link", "outside-1", "--person", "Ada", "--words", "I looked"];
    let proved = env.run(&proved).expect(0).stdout;
    assert!(proved.contains("  outside-1  verified  passed by Ada: I looked\n"), "{proved}");
    env.run(&["goal", "sign-off", &first, "0", "--person", "Ada", "fine"]).expect(0);
    env.run(&["goal", "close", &first]).expect(0);

    env.run(&["goal", "status", &goal, "inProgress"]).expect(0);
    env.run(&["goal", "check", &goal]).expect(0);
    let said = ["goal", "evidence", &goal, "--criterion", "2", "--person", "Bo", "--words", "it does"];
    env.run(&said).expect(0);
    env.run(&["goal", "note", &goal, "--odd note"]).expect(0);
    let told = env.run(&["goal", "close", &goal]).expect(0).stdout;
    assert!(told.starts_with(&format!("{goal}  done  ")), "{told}");
    let told = env.run(&["goal", "show", &goal]).expect(0).stdout;
    assert!(told.contains("  1  the file is there (`test -e slug.sh`)  passed: exit 0"), "{told}");
    assert!(
        told.contains(&format!("\ndepends on  {first}\n")) && told.contains("\n  | --odd note\n"),
        "{told}"
    );
    let listed = env.run(&["goal", "ls", "--json"]).expect(0).stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["goals"][0]["status"], &listed["goals"][1]["status"]),
        (&json!("done"), &json!("done"))
    );
    env.run(&["goal", "status", &goal, "abandoned"]).expect(1);
    env.run(&["goal", "ls", "--status", "asleep"]).expect(2);
    env.run(&["goal", "show", "g-00000000000000ff"]).expect(4);
}

/// Acceptance case 40: whoever speaks the protocol on standard output says nothing else there.
#[test]
fn case_40_nothing_but_the_protocol_stands_on_standard_output() {
    let env = TestEnv::new(BINARY);
    let mut command = env.command(&["mcp"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let call = |id: u32, name: &str, arguments: Value| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}});
    let hello = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        call(2, "goal_create", json!({"description": "a goal"})),
        call(3, "goal_list", json!({})),
        call(4, "goal_create", json!({})),
        call(5, "goal_close", json!({"goal_id": "g-00000000000000ff"})),
    ];
    let mut stdin = child.stdin.take().unwrap();
    for line in &lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: std::collections::BTreeSet<u64> =
        answers.iter().filter_map(|answer| answer["id"].as_u64()).collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5], "{said}");
    assert!(answers.iter().all(|answer| answer["jsonrpc"] == "2.0"), "{said}");
}

/// Acceptance case 23, of the command line: the store cannot be opened, so no daemon starts.
#[test]
fn when_the_store_cannot_be_opened_goals_are_shown_from_the_mirror_and_marked_stale() {
    let env = TestEnv::new(BINARY);
    let goal = made(&env, &["Slugs are clean", "--check", "true"]);
    env.run(&["stop"]).expect(0);
    let before: Value = mirrored(&env);
    for name in ["store.db-wal", "store.db-shm"] {
        drop(fs::remove_file(env.home().join(name)));
    }
    fs::write(env.home().join("store.db"), "this is no database at all, and long enough to be looked at")
        .unwrap();

    let listed = env.run(&["goal", "ls"]).expect(0);
    assert!(listed.stdout.contains(&goal) && listed.stdout.contains("Slugs are clean"), "{}", listed.stdout);
    assert!(listed.stderr.starts_with("warning: this is `goals.json`, stale since 20"), "{}", listed.stderr);
    assert!(listed.stderr.contains("is not a SQLite database"), "{}", listed.stderr);
    let listed: Value = serde_json::from_str(&env.run(&["goal", "ls", "--json"]).expect(0).stdout).unwrap();
    assert!(listed["stale_since"].is_string(), "{listed}");
    assert_eq!(listed["goals"][0]["id"], before[0]["id"]);
    let shown = shown(&env, &goal[2..8]);
    assert_eq!((&shown["id"], &shown["stale_since"]), (&json!(goal), &listed["stale_since"]));
    env.run(&["goal", "show", "nope"]).expect(4);
    assert!(env.run(&["goal", "ls", "--status", "done"]).expect(0).stdout.starts_with("no goals; "));
    // Whatever changes a goal needs the truth.
    let refused = env.run(&["goal", "note", &goal, "n"]).expect(3);
    assert!(refused.stderr.starts_with("error: the daemon did not start: "), "{}", refused.stderr);
    assert_eq!(mirrored(&env), before, "nobody has touched the mirror");
    fs::remove_file(env.home().join("goals.json")).unwrap();
    env.run(&["goal", "ls"]).expect(3);
}

/// A folder where the mirror is made keeps it from being written: what a crash between the two writes leaves.
#[test]
fn a_daemon_that_dies_between_the_store_and_the_mirror_is_followed_by_one_that_mirrors_first() {
    let env = TestEnv::new(BINARY);
    let first = made(&env, &["first"]);
    fs::create_dir(env.home().join("goals.json.new")).unwrap();
    let second = made(&env, &["second"]);
    assert_eq!(mirrored(&env).as_array().map(Vec::len), Some(1), "the change stands, the mirror stays whole");
    let said = env.run(&["doctor"]).stdout;
    let said = said
        .lines()
        .find(|line| line.contains("goals.json is behind"))
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned();
    assert!(said.starts_with("warn  goals "), "{said}");

    let killed = env.daemon_pid().unwrap();
    kill_process(killed, Signal::KILL).unwrap();
    await_gone(killed);
    fs::remove_dir(env.home().join("goals.json.new")).unwrap();
    // The next daemon says where it is when the mirror is there already.
    let mut next = env.command(&["serve"]);
    let mut next = next.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let stale = env.daemon_json();
    let mirror = loop {
        match env.daemon_json() {
            Some(told) if Some(&told) != stale.as_ref() => break mirrored(&env),
            _ => std::thread::yield_now(),
        }
    };
    let ids: Vec<&str> = mirror.as_array().unwrap().iter().filter_map(|goal| goal["id"].as_str()).collect();
    assert_eq!(ids, [&first, &second]);
    env.run(&["journal", "verify"]).expect(0);
    env.run(&["stop"]).expect(0);
    next.wait().unwrap();
}

#[test]
fn a_mirror_that_could_not_be_written_is_whole_again_with_the_next_change() {
    let env = TestEnv::new(BINARY);
    let goal = made(&env, &["first"]);
    fs::create_dir(env.home().join("goals.json.new")).unwrap();
    env.run(&["goal", "note", &goal, "kept"]).expect(0);
    assert_eq!(mirrored(&env)[0]["notes"], json!([]));
    fs::remove_dir(env.home().join("goals.json.new")).unwrap();
    env.run(&["goal", "note", &goal, "as well"]).expect(0);
    assert_eq!(mirrored(&env)[0]["notes"], json!(["kept", "as well"]));
}

#[test]
fn commands_of_several_processes_lose_nothing_of_each_other() {
    let env = TestEnv::new(BINARY);
    let goal = made(&env, &["many hands"]);
    let notes: Vec<String> = (0..8).map(|n| format!("note {n}")).collect();
    let spawn = |note: &String| {
        let mut command = env.command(&["goal", "note", &goal, note]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let writing: Vec<_> = notes.iter().map(spawn).collect();
    let linking: Vec<_> = (0..2)
        .map(|_| {
            let mut command = env.command(&["goal", "link", &goal, "w-1", "--foreign"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    assert!(writing.into_iter().all(|mut child| child.wait().unwrap().success()));
    let linked = linking.into_iter().filter_map(|mut child| child.wait().unwrap().success().then_some(()));
    assert_eq!(linked.count(), 1, "a link is unique");
    let stands = shown(&env, &goal);
    let mut kept: Vec<&str> = stands["notes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    kept.sort_unstable();
    assert_eq!(kept, notes);
    assert_eq!(mirrored(&env)[0]["notes"], stands["notes"]);
}

/// Does one half when it is told first, and the other when it is told what failed.
const HALVES: &str = "\
turns:
  - - write: { path: one.txt, content: one }
    - say: Done.
  - - write: { path: two.txt, content: two }
    - say: Now it is.
";

#[test]
fn a_pursuit_is_watched_until_the_goal_is_reached() {
    let env = TestEnv::new(BINARY);
    env.project();
    let script = env.file("script.yaml", HALVES);
    let mut first = env.command(&["goal", "ls"]);
    first.env("ADJUTANT_REHEARSAL", script).env("ADJUTANT_REHEARSAL_HOME", env.work("transcripts"));
    env.finish(&mut first).expect(0);
    let goal = made(
        &env,
        &["Both halves", "--check", "test -f one.txt", "--check", "test -f two.txt", "--repo", "project"],
    );
    let watched =
        env.run(&["goal", "pursue", &goal, "--agent", "rehearsal", "--driver", "headless", "--watch"]);
    let watched = watched.expect(0).stdout;
    assert!(
        watched.contains("attempt 1 of 3 has not reached it; what fails: `test -f two.txt` succeeds"),
        "{watched}"
    );
    assert!(
        watched.contains("reached in attempt 2 of 3") && watched.contains("  done  100 %  "),
        "{watched}"
    );
    // The next one has more to prove than anybody does.
    let goal = made(&env, &["Never", "--check", "false", "--repo", "project"]);
    let args = [
        "goal",
        "pursue",
        &goal,
        "--agent",
        "rehearsal",
        "--driver",
        "headless",
        "--attempts",
        "1",
        "--watch",
    ];
    let failed = env.run(&args).expect(1);
    assert!(
        failed.stderr.contains("the goal is not reached: not reached in 1 attempts"),
        "{}",
        failed.stderr
    );
    let inbox = env.run(&["inbox"]).expect(0).stdout;
    assert!(inbox.contains("pursuit_stopped: ") && inbox.contains(&goal), "{inbox}");
}
