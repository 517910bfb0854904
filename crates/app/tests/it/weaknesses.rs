//! What systems of this kind get wrong with sessions and hooks, each as a sentence that holds here, through the real
//! program with the rehearsal agent.
//!
//! Shown elsewhere, at the level where it is decided:
//! - a hook reads the agent's JSON, and what it denies is denied: `hooks::an_agent_is_told_what_the_gate_says`,
//!   `hooks::without_a_daemon_the_profile_decides_and_others_agents_are_not_hindered`; every known event and any other
//!   is taken: `server: hooks::both_forms_are_taken_and_every_event_known_or_not`;
//! - hooks that people install stand beside those that are there, and what is malformed is left alone:
//!   `hooks::hooks_are_installed_for_all_agents_of_a_person_and_removed_exactly`,
//!   `rules: hook::settings::what_is_malformed_is_not_touched`;
//! - hooks feed the breaker, which closes again: `server: hooks::a_breaker_opens_by_what_hooks_tell_outlives_the_daemon_
//!   and_a_person_closes_it`, `server: hooks::one_trial_is_let_in_after_the_cool_down`;
//! - ids, names and ends of ids find a session, and `stop` by a name really ends the agent:
//!   `session::a_session_is_begun_watched_told_stopped_gone_on_with_and_ended_behind_a_snapshot`;
//! - two that write one session do not lose each other's writes: `store: managed::what_was_not_seen_is_not_written_over`;
//!   a store that cannot be read is never taken for an empty one: `store: open`;
//! - a crash at any moment of a session's life ends as no crash: `testkit: trials::a_session_bears_a_crash_before_and_
//!   behind_each_commit`;
//! - unsaved work is never removed: `sessions: lost`, `sessions: remove`;
//! - refs, URLs and models are never options, and a session's token leads nowhere else: `server: managed`;
//! - no secret and no prompt is readable by others: `sessions: tmux::an_agent_has_its_environment_and_nothing_else_and_
//!   no_secret_is_seen`; ending an agent ends all of it and nobody else: `sessions: descendants`.

use crate::BINARY;
use adjutant_testkit::TestEnv;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What a session of these tests is told.
const TASK: &str = "Fix the größte of all mistakes.";
/// However slow the machine is, what is not so after so long will not be.
const PATIENCE: Duration = Duration::from_secs(60);
/// Works, and says back what it is told.
const WORKS: &str = "\
- write: { path: made.txt, content: 'made by an agent' }
- say: \"You said: {prompt}\"
";
/// Never ends by itself, nor when it is asked to.
const HANGS: &str =
    "- write: { path: made.txt, content: 'made by an agent' }\n- hang: { ignore_term: true }\n";

/// A place with a project, whose daemon knows what agents play.
struct Place(TestEnv);

impl Place {
    fn new(script: &str) -> Place {
        let env = TestEnv::new(BINARY);
        env.project();
        env.file("script.yaml", script);
        let place = Place(env);
        place.daemon();
        place
    }

    /// Has a daemon run that knows the script.
    fn daemon(&self) {
        let mut command = self.0.command(&["session", "ls", "--json"]);
        command.env("ADJUTANT_REHEARSAL", self.0.work("script.yaml"));
        command.env("ADJUTANT_REHEARSAL_HOME", self.0.work("transcripts"));
        drop(self.0.finish(&mut command).expect(0));
    }

    /// Kills the daemon, and has the next one run.
    fn crash(&self) {
        let pid = self.0.daemon_pid().expect("a daemon runs");
        kill_process(pid, Signal::KILL).expect("it can be killed");
        wait("the daemon is gone", || !Path::new(&format!("/proc/{}/stat", pid.as_raw_nonzero())).exists());
        self.daemon();
    }

    fn new_args<'a>(name: &'a str, driver: &'a str) -> [&'a str; 12] {
        [
            "session",
            "new",
            "--agent",
            "rehearsal",
            "--task",
            TASK,
            "--project",
            "project",
            "--driver",
            driver,
            "--name",
            name,
        ]
    }

    fn begin(&self, name: &str, driver: &str) {
        drop(self.0.run(&Self::new_args(name, driver)).expect(0));
    }

    /// Starts a command that is not waited for.
    fn meanwhile(&self, args: &[&str]) -> Child {
        self.0.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts")
    }

    fn sessions(&self) -> Vec<Value> {
        let listed = self.0.run(&["session", "ls", "--all", "--json"]).expect(0).output.stdout;
        let listed: Value = serde_json::from_slice(&listed).expect("JSON");
        listed["sessions"].as_array().expect("a list").clone()
    }

    fn session(&self, name: &str) -> Value {
        let found = self.sessions().into_iter().find(|session| session["name"] == name);
        found.unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Waits until a session is so.
    #[track_caller]
    fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let sessions = self.sessions().into_iter();
            let found = sessions.filter(|session| session["name"] == name).find(|session| is_so(session));
            if let Some(found) = found {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "it has not come to be: {:#?}", self.sessions());
            pause();
        }
    }

    fn until_turns(&self, name: &str, turns: u64) -> Value {
        self.until(name, |session| session["turns"].as_u64() >= Some(turns))
    }

    /// Gives what happened to a session, as its journal has it.
    fn events(&self, name: &str) -> Vec<Value> {
        let logs = self.0.run(&["session", "logs", name, "--json"]).expect(0).output.stdout;
        BufReader::new(&logs[..])
            .lines()
            .map(|line| serde_json::from_str(&line.expect("text")).expect("JSON"))
            .collect()
    }
}

/// Waits until something outside of the daemon is so.
#[track_caller]
fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: it has not come to be");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing tells when another process has gone or come")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

/// Gives the processes that carry a session's marker.
fn alive(session: &Value) -> Vec<Pid> {
    let marker = format!("ADJUTANT_EFFECT=session:{}/", session["id"].as_str().expect("an id"));
    let processes = fs::read_dir("/proc").expect("it is there").filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let pid: i32 = name.to_str()?.parse().ok()?;
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let carries = environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(marker.as_bytes()));
        carries.then(|| Pid::from_raw(pid)).flatten()
    });
    processes.collect()
}

#[test]
fn a_session_is_told_its_task_says_that_it_arrived_and_the_project_s_own_settings_stay() {
    let place = Place::new(WORKS);
    let own = place.0.file("project/.claude/settings.json", "{ \"hooks\": {\"Stop\": []}, malformed\n");
    drop(
        place
            .0
            .finish(place.0.program("git").current_dir(place.0.work("project")).args(["add", "-A"]))
            .expect(0),
    );
    let commit = ["-c", "user.name=u", "-c", "user.email=u@example.org", "commit", "--quiet", "-m", "own"];
    drop(place.0.finish(place.0.program("git").current_dir(place.0.work("project")).args(commit)).expect(0));
    place.begin("told", "tmux");
    let session = place.until_turns("told", 1);
    assert!(session["delivered_at"].is_string(), "{session}");
    assert_eq!(
        (&session["task"], &session["activity"]["source"]),
        (&json!(TASK), &json!("hook")),
        "{session}"
    );
    let screen = place.0.run(&["session", "screen", "told"]).expect(0).stdout;
    assert!(screen.contains(&format!("You said: {TASK}")), "{screen}");

    let diff = place.0.run(&["session", "diff", "told"]).expect(0).stdout;
    assert!(diff.contains("made.txt") && !diff.contains(".claude"), "{diff}");
    assert!(fs::read_to_string(own).unwrap().ends_with("malformed\n"));
    let user = place.0.folder().join("user");
    let left: Vec<_> = fs::read_dir(user).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "nothing is written into the person's home: {left:?}");

    let folder = place.0.home().join("sessions").join(session["id"].as_str().unwrap());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_kept = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("scrollback"));
        let text = fs::read(&path).unwrap_or_default();
        assert!(
            is_kept || !String::from_utf8_lossy(&text).contains(TASK),
            "{} has the prompt",
            path.display()
        );
    }
}

#[test]
fn after_a_crash_what_lives_is_found_and_what_a_person_has_stopped_stays_stopped() {
    let place = Place::new(WORKS);
    place.begin("lives", "tmux");
    place.begin("stopped", "tmux");
    let lives = place.until_turns("lives", 1);
    let stopped = place.until_turns("stopped", 1);
    drop(place.0.run(&["session", "stop", "stopped"]).expect(0));
    assert_eq!(alive(&stopped), [], "its agent is gone, and not only its record");
    let events = place.events("lives").len();

    place.crash();
    let found = place.session("lives");
    assert_eq!(
        (&found["state"], &found["pid"], &found["launches"]),
        (&json!("active"), &lives["pid"], &json!(1))
    );
    assert!(place.events("lives").len() >= events, "what happened is not forgotten");
    drop(place.0.run(&["session", "send", "lives", "And the rest."]).expect(0));
    place.until_turns("lives", 2);
    let stays = place.session("stopped");
    assert_eq!(
        (&stays["state"], &stays["desired"], &stays["launches"]),
        (&json!("stopped"), &json!("stopped"), &json!(1))
    );
    assert_eq!(alive(&stopped), []);

    let refused = place.0.run(&["session", "send", "stopped", "are you there?"]).expect(1);
    assert!(refused.stderr.contains("session resume"), "{}", refused.stderr);
    assert_eq!(place.session("stopped")["state"], "stopped", "what is sent brings nobody back");
    drop(place.0.run(&["session", "resume", "stopped"]).expect(0));
    wait("what is resumed really runs", || !alive(&stopped).is_empty());
}

#[test]
fn an_agent_that_dies_by_itself_is_really_started_again() {
    let place = Place::new(WORKS);
    place.begin("dies", "tmux");
    let session = place.until_turns("dies", 1);
    for pid in alive(&session) {
        kill_process(pid, Signal::KILL).ok();
    }
    let again = place.until("dies", |session| session["launches"] == 2 && session["phase"] == "running");
    wait("it really runs", || !alive(&again).is_empty());
    assert!(again["state"] == "active" && again["pid"] != session["pid"], "{again}");
}

#[test]
fn a_session_that_cannot_begin_keeps_its_task_says_why_and_leaves_nothing() {
    let place = Place::new(WORKS);
    let profile = "name = \"broken\"\nprogram = \"/nonexistent/agent\"\n";
    fs::create_dir_all(place.0.home().join("agents")).unwrap();
    fs::write(place.0.home().join("agents/broken.toml"), profile).unwrap();
    let args =
        ["session", "new", "--agent", "broken", "--task", TASK, "--project", "project", "--name", "never"];
    let refused = place.0.run(&args).expect(1);
    assert!(refused.stderr.contains("/nonexistent/agent"), "{}", refused.stderr);
    let session = place.session("never");
    assert_eq!((&session["state"], &session["task"]), (&json!("errored"), &json!(TASK)), "{session}");
    assert!(session["reason"].as_str().unwrap().contains("/nonexistent/agent"), "{session}");
    let inbox = place.0.run(&["inbox"]).expect(0).stdout;
    assert!(inbox.contains("never"), "{inbox}");
    place.crash();
    assert_eq!(place.session("never")["state"], "errored", "and nobody starts it again");
    drop(place.0.run(&["session", "rm", "never", "--force"]).expect(0));
    assert_eq!(place.session("never")["state"], "decommissioned");
}

#[test]
fn every_session_is_in_one_list_and_what_is_said_of_it_has_one_form() {
    let place = Place::new(WORKS);
    for name in ["one", "two", "three"] {
        place.begin(name, "headless");
    }
    let listed = place.sessions();
    let names: Vec<&str> = listed.iter().filter_map(|session| session["name"].as_str()).collect();
    assert_eq!(names, ["three", "two", "one"], "the newest first");
    place.until_turns("one", 1);
    let mut wrong = BTreeSet::new();
    for value in place.sessions().iter().chain(&place.events("one")) {
        look(value, "", &mut wrong);
    }
    assert_eq!(wrong, BTreeSet::new(), "snake_case names, and times as RFC 3339");
}

/// Collects the members that are not named or written as all others are.
fn look(value: &Value, place: &str, wrong: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                let place = format!("{place}.{key}");
                let is_plain = key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                let is_time = (key.ends_with("_at") || key == "at" || key == "since") && !member.is_null();
                let is_instant =
                    member.as_str().is_some_and(|text| text.len() >= 20 && text.as_bytes()[10] == b'T');
                if !is_plain || (is_time && !is_instant) {
                    wrong.insert(place.clone());
                }
                look(member, &place, wrong);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| look(item, place, wrong)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn a_daemon_that_is_killed_while_a_session_begins_leaves_one_that_begins() {
    let place = Place::new(WORKS);
    let args = Place::new_args("begins", "tmux");
    let mut asked = place.meanwhile(&args);
    wait("the session is asked for", || place.0.home().join("workspaces").is_dir());
    place.crash();
    drop(asked.wait());
    let session = place.until_turns("begins", 1);
    assert_eq!(
        (&session["state"], session["delivered_at"].is_string()),
        (&json!("active"), true),
        "{session}"
    );
    drop(place.0.run(&["journal", "verify"]).expect(0));
}

#[test]
fn a_daemon_that_is_killed_while_it_ends_a_session_ends_it_the_next_time() {
    let place = Place::new(HANGS);
    for (name, args, state) in [
        ("stops", &["session", "stop", "stops"][..], "stopped"),
        ("goes", &["session", "rm", "goes", "--force"][..], "decommissioned"),
    ] {
        place.begin(name, "tmux");
        let has_worked = |session: &Value| {
            session["workspace_path"].as_str().is_some_and(|path| Path::new(path).join("made.txt").exists())
        };
        let session = place.until(name, has_worked);
        assert!(!alive(&session).is_empty());
        let mut asked = place.meanwhile(args);
        place.until(name, |session| session["phase"] != "running");
        place.crash();
        drop(asked.wait());
        let ended = place.until(name, |session| session["state"] == state && session["phase"] == "resting");
        assert_eq!(alive(&ended), [], "{ended}");
    }
    let gone = place.session("goes");
    let kept = gone["snapshot_ref"].as_str().expect("its work is kept");
    let shown = place.0.finish(
        place
            .0
            .program("git")
            .current_dir(place.0.work("project"))
            .args(["show", &format!("{kept}:made.txt")]),
    );
    assert_eq!(shown.expect(0).stdout, "made by an agent");
    drop(place.0.run(&["journal", "verify"]).expect(0));
}

#[test]
fn nothing_that_is_shown_of_a_session_steers_the_terminal_of_who_looks() {
    let place =
        Place::new("- say: \"\\e]0;owned\\a\\e[2J{prompt}\"\n- ask: { question: \"Which\\e[2J?\" }\n");
    let task = "Look\u{1b}[201~ here\u{1b}]52;c;eA==\u{7}.";
    for driver in ["tmux", "headless"] {
        let args = ["session", "new", "--agent", "rehearsal", "--task", task, "--project", "project"];
        let made = place.0.run(&[&args[..], &["--driver", driver, "--name", driver]].concat()).expect(0);
        place.until(driver, |session| session["activity"]["activity"] == "waiting");
        let mut shown = vec![made.output];
        for what in ["show", "logs", "screen", "diff"] {
            shown.push(place.0.run(&["session", what, driver]).expect(0).output);
        }
        shown.push(place.0.run(&["session", "ls"]).expect(0).output);
        shown.push(place.0.run(&["inbox"]).expect(0).output);
        for output in shown {
            let is_clean = |bytes: &[u8]| !bytes.contains(&0x1b) && !bytes.contains(&7);
            assert!(is_clean(&output.stdout) && is_clean(&output.stderr), "{output:?}");
        }
    }
    for (key, value) in [("--agent", "nobody\u{1b}[2J"), ("--ref", "x\u{1b}[2J"), ("--model", "-\u{1b}[2J")] {
        let refused = place.0.run(&["session", "new", "--task", "t", "--project", "project", key, value]);
        assert_ne!(refused.code, Some(0), "{key}");
        assert!(!refused.output.stderr.contains(&0x1b), "{key}: {}", refused.stderr);
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_no_session() {
    let env = TestEnv::new(BINARY);
    env.project();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let script = env.file("script.yaml", WORKS);
    let mut serve = env.command(&["serve"]);
    serve.env("ADJUTANT_REHEARSAL", script).env("RUST_LOG", "debug").stdout(Stdio::null()).stderr(full);
    let mut daemon = serve.spawn().expect("it starts");
    wait("the daemon is ready", || env.daemon_json().is_some());
    let place = Place(env);
    place.begin("goes-on", "headless");
    place.until_turns("goes-on", 1);
    drop(place.0.run(&["session", "stop", "goes-on"]).expect(0));
    assert!(daemon.try_wait().expect("it can be asked").is_none(), "the daemon lives");
    daemon.kill().expect("it can be killed");
    daemon.wait().expect("it has ended");
}
