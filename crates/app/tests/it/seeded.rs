//! Secrets of every kind, given to a real daemon at every door: none is found in any file of the data folder, in what a
//! report would say, or in the issue that is filed.
//!
//! Each door is given secrets of its own, so that what is found tells where it came in. The samples are put together here
//! so that no scanner takes them for any. Paths are no secrets of a data folder, but must not leave with a report.

use crate::BINARY;
use crate::mcp::{Mcp, begin};
use adjutant_testkit::github::{TOKEN, private_file};
use adjutant_testkit::{FakeGithub, TestEnv, repository};
use serde_json::{Value, json};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

/// A secret of one kind, and how it stands in a text.
struct Seed {
    door: &'static str,
    kind: &'static str,
    secret: String,
    text: String,
}

/// What was given away, and what is looked for.
#[derive(Default)]
struct Seeds(Vec<Seed>);

impl Seeds {
    /// Gives a text with a secret of each kind for a door.
    fn text(&mut self, door: &'static str) -> String {
        let seeds = seeds(door, self.0.len() * 1000);
        let text = seeds.iter().map(|seed| format!("{}\n", seed.text)).collect();
        self.0.extend(seeds);
        text
    }

    /// Gives such a text in one line.
    fn line(&mut self, door: &'static str) -> String {
        self.text(door).replace('\n', " ")
    }

    #[track_caller]
    fn are_not_in(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let found = self.0.iter().filter(|seed| text.contains(&seed.secret));
        let found: Vec<String> =
            found.map(|seed| format!("{} of {}: {}", seed.kind, seed.door, seed.secret)).collect();
        assert!(found.is_empty(), "{place} has {found:#?}");
    }
}

/// Draws what looks drawn at random, another for each number.
fn drawn(number: usize, len: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let at = |n: usize| {
        let mut hasher = DefaultHasher::new();
        (number, n).hash(&mut hasher);
        LETTERS[hasher.finish() as usize % LETTERS.len()]
    };
    (0..len).map(|n| char::from(at(n))).collect()
}

/// Gives a secret of each kind that is known.
fn seeds(door: &'static str, first: usize) -> Vec<Seed> {
    let plain: [(&str, &str, usize); 31] = [
        ("anthropic key", "sk-ant-api03-", 40),
        ("openai key", "sk-", 48),
        ("openai project key", "sk-proj-", 40),
        ("openrouter key", "sk-or-", 20),
        ("github token", "ghp_", 36),
        ("github oauth token", "gho_", 36),
        ("github server token", "ghs_", 36),
        ("github fine-grained token", "github_pat_", 60),
        ("gitlab token", "glpat-", 20),
        ("google key", "AIza", 35),
        ("google token", "ya29.", 60),
        ("google secret", "GOCSPX-", 28),
        ("slack bot token", "xoxb-", 40),
        ("slack user token", "xoxp-", 40),
        ("slack app token", "xapp-", 40),
        ("slack hook", "https://hooks.slack.com/services/", 40),
        ("stripe key", "sk_live_", 24),
        ("stripe hook", "whsec_", 32),
        ("npm token", "npm_", 36),
        ("pypi token", "pypi-", 60),
        ("docker token", "dckr_pat_", 27),
        ("hugging face token", "hf_", 34),
        ("bearer", "sent bearer ", 40),
        ("authorization header", "Authorization: Bearer ", 40),
        ("raw authorization header", "Authorization: ", 44),
        ("negotiated header", "Authorization: Negotiate ", 44),
        ("basic header", "authorization: basic ", 30),
        ("named secret", "client_secret: ", 30),
        ("variable", "DB_PASSWORD=", 14),
        ("exported variable", "export SIGNING_KEY=", 30),
        ("token in an address", "https://", 40),
    ];
    let seed = |kind, secret, text| Seed { door, kind, secret, text };
    let mut all: Vec<Seed> = plain
        .iter()
        .enumerate()
        .map(|(place, (kind, before, len))| {
            let secret = drawn(first + place * 3 + 1, *len);
            let behind = if *kind == "token in an address" { "@example.org/a.git" } else { "" };
            let text = format!("{before}{secret}{behind}");
            seed(*kind, secret, text)
        })
        .collect();
    let upper: String =
        drawn(first + 500, 40).to_uppercase().chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    all.push(seed("aws key", format!("AKIA{upper}"), format!("AKIA{upper}")));
    let (head, body, sign) = (drawn(first + 601, 20), drawn(first + 607, 40), drawn(first + 613, 43));
    all.push(seed("jwt", sign.clone(), format!("eyJ{head}.eyJ{body}.{sign}")));
    let (body, sign) = (drawn(first + 617, 40), drawn(first + 619, 43));
    all.push(seed("opaque jwt", sign.clone(), format!("eyJ{head}.{body}.{sign}")));
    let (one, two) = (drawn(first + 631, 30), drawn(first + 641, 36));
    all.push(seed("sendgrid key", two.clone(), format!("SG.{}.{two}", drawn(first + 643, 22))));
    all.push(seed("password of an address", one.clone(), format!("postgres://me:{one}@host/db")));
    let (first_line, last_line) = (drawn(first + 701, 60), drawn(first + 709, 60));
    let block =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{first_line}\n{last_line}\n-----END RSA PRIVATE KEY-----");
    all.push(seed("first line of a private key", first_line, String::new()));
    all.push(seed("last line of a private key", last_line, block));
    all
}

/// Gives what every file below a folder holds.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push((path.to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
}

fn blueprint(argv: &[&str], literal: &str) -> Value {
    let lit = json!({"op": "lit", "value": literal});
    json!({"id": "leaks", "agents": [{"name": "a", "kind": "command", "spec": {"argv": argv, "use_stdin": true}}],
        "flow": {"kind": "seq", "children": [
            {"kind": "step", "ref": "a", "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.out"}},
            {"kind": "let", "in": lit, "out": {"op": "path", "at": "$.own"}}]}})
}

/// Calls a tool; what it refuses is an answer too.
fn call(mcp: &mut Mcp, id: &mut u64, name: &str, arguments: Value) -> Value {
    *id += 1;
    mcp.call(*id, name, arguments)
}

#[test]
fn no_secret_of_any_kind_that_came_in_at_any_door_is_kept_or_leaves() {
    let (env, github, mut seeds) = (TestEnv::new(BINARY), FakeGithub::start(), Seeds::default());
    let config = format!("[reports]\nrepository = \"owner/name\"\napi_base = \"{}\"\n", github.url());
    fs::create_dir_all(env.home()).unwrap();
    fs::write(env.home().join("config.toml"), config).unwrap();
    private_file(&env.home().join("report-token"), TOKEN);
    let project = env.work("project");
    repository::with_one_file(&project);
    let project = project.to_string_lossy().into_owned();
    let (out, err) =
        (env.file("place/out", &seeds.text("stdout")), env.file("place/err", &seeds.text("stderr")));
    let place = out.parent().unwrap().to_string_lossy().into_owned();
    drop(err);

    // An error of another program of ours, with paths as well.
    let paths = ["/home/alice/clients/acme/x.rs", r"C:\Users\alice\acme\x.rs"];
    let line = json!({"at": "2026-01-31T09:30:00Z", "version": "0.1.0", "target": "adjutant::x",
        "message": format!("it broke {}in {}", seeds.text("error message"), paths[0]),
        "fields": format!("why={}at {}", seeds.text("error fields"), paths[1]),
        "location": null, "occurrences": 1});
    fs::write(env.home().join("errors.jsonl"), format!("{line}\n")).unwrap();

    let mut mcp = Mcp::start(env.command(&["mcp"]).env("ADJUTANT_LOG", "trace").stderr(Stdio::null()));
    mcp.ask(1, "initialize", begin("2025-11-25"));
    let mut id = 10;
    let mut call = |name: &str, arguments: Value| call(&mut mcp, &mut id, name, arguments);

    // Turns: what a run is given, what its program says well and badly, and what it is for.
    let talks = blueprint(&["sh", "-c", "cat out; cat err >&2; cat"], "fine");
    let fails = blueprint(&["sh", "-c", "cat out; cat err >&2; exit 3"], "fine");
    for (document, input, goal) in
        [(talks, "first context", "run's goal"), (fails, "second context", "other goal")]
    {
        let (text, goal) = (seeds.text(input), seeds.line(goal));
        let ran = call(
            "task_run",
            json!({"blueprint": document, "input": {"in": text, "nested": [{"a": text}]},
            "goal": goal, "work_dir": place}),
        );
        assert!(ran["content"][0]["text"].is_string(), "{ran}");
    }
    let own = blueprint(
        &["echo", &seeds.line("inline blueprint's words")],
        &seeds.text("inline blueprint's literal"),
    );
    let refused = call("run_start", json!({"blueprint": own, "work_dir": place}));
    assert_eq!(refused["isError"], true, "{refused}");

    // Hooks, by the door of models and by the agents' own way.
    let hook = |text: &str| {
        json!({"session_id": "s1", "hook_event_name": "PostToolUse", "tool_name": "Bash", "cwd": "/",
            "tool_input": {"command": text}, "tool_response": {"stdout": text}, "more": [text]})
    };
    let call_hook = |text: &str, spool: Option<&Path>| {
        let mut command = env.command(&["hook"]);
        if let Some(spool) = spool {
            command.env("ADJUTANT_SPOOL", spool).env("ADJUTANT_TOKEN", "t");
            command.env("ADJUTANT_SESSION", "00000000-0000-4000-8000-000000000001");
            command.env("ADJUTANT_SOCKET", env.home().join("nobody"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(hook(text).to_string().as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    call_hook(&seeds.text("hook"), None);

    // A memory.
    for (text, tag) in [("memory", "memory's tag"), ("other memory", "other memory's tag")] {
        let tags = json!([seeds.line(tag)]);
        let kept =
            call("memory_remember", json!({"text": seeds.text(text), "scope": format!("project:{project}")}));
        assert!(kept["structuredContent"]["id"].is_string(), "{kept}");
        call("memory_remember", json!({"text": "plain", "tags": tags}));
    }
    call("memory_recall", json!({"query": seeds.text("recall")}));

    // A goal: every text of it.
    let acceptance = json!([{"text": seeds.line("criterion")}, {"text": "plain", "check": "cat file.txt"}]);
    let goal = call(
        "goal_create",
        json!({"description": seeds.text("goal"), "acceptance": acceptance, "project": project}),
    );
    let goal_id = goal["structuredContent"]["id"].clone();
    assert!(goal_id.is_string(), "{goal}");
    let checks = json!([{"text": "x", "check": seeds.line("check")}]);
    let refused =
        call("goal_create", json!({"description": "checked", "acceptance": checks, "project": project}));
    assert_eq!(refused["isError"], true, "{refused}");
    call("goal_note", json!({"goal_id": goal_id, "note": seeds.text("note")}));
    call("goal_link", json!({"goal_id": goal_id, "session_id": "somebody", "task": seeds.text("link")}));
    call("goal_check", json!({"goal_id": goal_id}));
    call(
        "goal_update",
        json!({"goal_id": goal_id, "description": seeds.text("other goal's text"),
        "session_id": "somebody", "state": "failed", "note": seeds.text("update's note")}),
    );
    call("goal_update", json!({"goal_id": goal_id, "status": "abandoned", "reason": seeds.text("reason")}));

    // Other arguments of tools; most are refused, and none is kept.
    let nobody = "00000000-0000-4000-8000-000000000001";
    for (name, arguments) in [
        ("session_new", json!({"repo_url": seeds.line("url"), "ref": "main", "task": seeds.text("task")})),
        (
            "session_new",
            json!({"repo_url": project, "ref": seeds.line("ref"), "task": "x", "name_hint": seeds.line("name")}),
        ),
        (
            "agent_delegate",
            json!({"session_id": nobody, "agent": seeds.line("agent"), "task": seeds.text("delegation")}),
        ),
        ("session_send", json!({"session_id": nobody, "text": seeds.text("prompt")})),
        ("session_status", json!({"session_id": seeds.line("session id")})),
        (
            "hook_event",
            json!({"session_id": nobody, "event": seeds.line("event"), "payload": {"a": seeds.text("payload")}}),
        ),
        ("issue_open", json!({"blueprint_id": "demo", "intent": seeds.text("intent")})),
        (
            "approval_resolve",
            json!({"approval_id": seeds.line("approval"), "decision": "deny", "reason": seeds.text("why")}),
        ),
        ("config_write", json!({"default_model": seeds.line("model")})),
        ("circuit_breaker_status", json!({"agent": seeds.line("breaker")})),
        ("run_status", json!({"run_id": seeds.line("run id")})),
        (
            "blueprint_show",
            json!({"blueprint_id": seeds.line("blueprint id"), "version": seeds.line("version")}),
        ),
        ("preview_bug_report", json!({"fingerprint": seeds.line("fingerprint")})),
        ("goal_show", json!({"goal_id": seeds.line("goal id")})),
        ("no_such_tool", json!({"a": seeds.text("unknown tool")})),
    ] {
        call(name, arguments);
    }

    // The report, seen by whoever asks and filed by consent.
    let errors = call("list_recent_errors", json!({}));
    let fingerprint = errors["structuredContent"]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|error| error["crate_target"] == "adjutant::x")
        .expect("it is kept")["fingerprint"]
        .clone();
    let preview = call("preview_bug_report", json!({"fingerprint": fingerprint}));
    let hash = preview["structuredContent"]["hash"].as_str().expect("a hash").to_owned();
    let (fingerprint, told) = (fingerprint.as_str().unwrap().to_owned(), format!("{errors}{preview}"));
    mcp.close();
    let reported = env.run(&["errors", "report", &fingerprint, "--consent", &hash]).expect(0).stdout;
    assert!(reported.starts_with("filed as"), "{reported}");
    let filed = format!("{:?}", github.issues());
    env.run(&["stop"]).expect(0);
    call_hook(&seeds.text("spool"), Some(&env.home().join("hooks.spool")));
    assert!(env.home().join("hooks.spool").exists(), "the hook found nobody");

    for (place, text) in [("the preview", &told), ("the issue", &filed)] {
        seeds.are_not_in(place, text.as_bytes());
        for path in ["alice", "acme"] {
            assert!(!text.contains(path), "{place} has {path}: {text}");
        }
    }
    let mut kept = Vec::new();
    files(env.home(), &mut kept);
    for name in ["store.db", "daemon.log", "goals.json", "hooks.spool"] {
        assert!(kept.iter().any(|(path, _)| path.ends_with(name)), "{name} is among them");
    }
    let all: Vec<u8> = kept.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    assert!(
        String::from_utf8_lossy(&all).contains("[redacted:github-token]"),
        "what was given is kept without"
    );
    for (path, bytes) in &kept {
        seeds.are_not_in(path, bytes);
    }
}
