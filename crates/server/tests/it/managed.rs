//! Managed sessions at the HTTP door: what is wrong is refused before anything is made, what comes at once is done in
//! order, and a session's token leads nowhere but where its agent and hooks have to go.

use crate::harness::{Daemon, Raw};
use adjutant_engine::Settings;
use adjutant_engine::faults::{CommitFault, CommitHook, DiskFault};
use adjutant_engine::hosting::{HostParams, SessionCommand, SessionFilter};
use adjutant_model::action::{Caller, Role};
use adjutant_model::event::Event;
use adjutant_model::id::Uuid;
use adjutant_model::session::SessionState;
use adjutant_model::{SessionId, TokenId};
use adjutant_protocol::http::{self, SessionParams};
use adjutant_testkit::{repository, until};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An agent in print mode that shows what it is told, its own escape sequences included.
const AGENT: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  echo "$line" >> told
  echo '{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"\u001b]0;owned\u0007\u001b[2Jdone"}]}}'
  echo '{"type":"result","is_error":false,"result":"done"}'
done
"#;

/// Starts a daemon that knows the agent `noter` and has a project.
pub(crate) async fn start(change: impl FnOnce(&mut Settings)) -> Daemon {
    Daemon::with_settings(|settings| {
        let folder = &settings.folder;
        fs::create_dir_all(folder.join("agents")).expect("the folder is made");
        let script = folder.join("agent.sh");
        fs::write(&script, AGENT).expect("the agent is written");
        let profile = format!(
            "name = \"noter\"\nprogram = \"/bin/sh\"\n[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\n\
             stream = \"claude_stream_json\"\nargs = [[\"{}\"]]\n",
            script.display()
        );
        fs::write(folder.join("agents/noter.toml"), profile).expect("the profile is written");
        repository::with_one_file(&folder.join("project"));
        change(settings);
    })
    .await
}

fn wanted(daemon: &Daemon, more: Value) -> Value {
    let mut body = json!({"project": daemon.path("project"), "task": "do it", "agent": "noter"});
    for (key, value) in more.as_object().expect("members") {
        match value {
            Value::Null => drop(body.as_object_mut().expect("members").remove(key)),
            value => body[key] = value.clone(),
        }
    }
    body
}

async fn create(daemon: &Daemon, more: Value) -> Raw {
    daemon.send("POST /v1/sessions/managed", &wanted(daemon, more).to_string()).await
}

pub(crate) async fn created(daemon: &Daemon, more: Value) -> Value {
    let made = create(daemon, more).await;
    assert_eq!(made.status, 201, "{made:?}");
    serde_json::from_str(&made.body).expect("JSON")
}

/// Waits until a session's agent has ended a turn.
pub(crate) async fn idle(daemon: &Daemon, id: &str) {
    let id = daemon.plane.session_id(id).await.expect("it is there");
    until(&daemon.plane, async || {
        Ok(Some(daemon.plane.session_managed(id).await?.session).filter(|session| session.turns > 0))
    })
    .await;
}

/// How often the journal says that a session came to a state.
async fn times(daemon: &Daemon, id: &str, state: SessionState) -> usize {
    let rows = daemon.plane.events_of(id, 0, 1000).await.expect("they are read");
    let is_it = |event: &Event| matches!(event, Event::SessionStateChanged { to, .. } if *to == state);
    rows.iter().filter(|row| is_it(&row.event)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_be_an_option_an_escape_or_a_flood_is_refused_before_anything_is_made() {
    let daemon = start(|_| {}).await;
    let remote = |url: &str| json!({"project": null, "repo_url": url});
    let long = "x".repeat(300);
    let mut refused = vec![
        json!({"task": " \n"}),
        json!({"task": "x".repeat((256 << 10) + 1)}),
        json!({"task": null}),
        json!({"project": "relative"}),
        json!({"project": "--help"}),
        json!({"project": "/nonexistent"}),
        json!({"project": "/etc/passwd"}),
        json!({"project": "/\0"}),
        json!({"project": null}),
        json!({"repo_url": "https://example.org/x.git"}),
        json!({"agent": "../../etc/passwd"}),
        json!({"agent": "nobody\u{1b}[2J"}),
        json!({"agent": "noter", "runtime": "noter"}),
        json!({"driver": "telepathy"}),
        json!({"driver": "tmux"}),
        json!({"tier": "largest"}),
        json!({"goal": "x"}),
        json!({"wait_ms": -1}),
        json!({"budget": {"max_tokens": 0}}),
        json!({"budget": {"max_cost_usd": -0.5}}),
        json!({"budget": {"max_minutes": 1, "max_hours": 1}}),
        json!({"unheard_of": 1}),
        json!({"force": true}),
    ];
    refused.extend(
        ["--upload-pack=touch x", "-x", "a\nb", "a\0b", "a..b", "@{u}", "a b", &long]
            .map(|name| json!({"ref": name})),
    );
    refused.extend(["--yolo", "-m", "a b", "a\nb", "a\0b", "", &long].map(|name| json!({"model": name})));
    refused.extend(
        [
            "ext::sh -c 'touch x'",
            "--upload-pack=touch x",
            "-oProxyCommand=touch x",
            "ssh://-oProxyCommand=touch/x",
            "fd::17",
            "https://example.org/\nx",
            "https://example.org/\0x",
            "",
        ]
        .map(remote),
    );
    for more in refused {
        let answer = create(&daemon, more.clone()).await;
        let shown: String = more.to_string().chars().take(200).collect();
        assert_eq!(answer.status, 400, "{shown} {}", answer.body);
    }
    let flood = "x".repeat((2 << 20) + 1);
    assert_eq!(create(&daemon, json!({"task": flood})).await.status, 413);
    assert_eq!(daemon.send("POST /v1/sessions/managed", "{\"task\": ").await.status, 400);
    let sessions = daemon.plane.sessions_managed(SessionFilter::default()).await.expect("they are read");
    assert!(sessions.is_empty(), "{sessions:?}");
    assert!(!daemon.path("project/x").exists() && !daemon.path("x").exists());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_get_a_name_each_and_no_more_live_than_may() {
    let daemon = start(|settings| settings.sessions_alive_max = 4).await;
    let hint = json!({"name_hint": "Fix\u{1b}[2J it\n../..", "wait_ms": 0});
    let answers = futures_util::future::join_all((0..8).map(|_| create(&daemon, hint.clone()))).await;
    let (made, crowded): (Vec<&Raw>, Vec<&Raw>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), crowded.len()), (4, 4), "{answers:?}");
    for answer in &crowded {
        assert_eq!(answer.status, 429, "{answer:?}");
        assert!(answer.error().error.contains("sessions.max_alive"), "{answer:?}");
    }
    let views: Vec<Value> = made.iter().map(|made| serde_json::from_str(&made.body).expect("JSON")).collect();
    let names: BTreeSet<&str> = views.iter().filter_map(|view| view["name"].as_str()).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(
        names.iter().all(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')),
        "{names:?}"
    );

    let id = views[0]["id"].as_str().expect("an id");
    let stopped = daemon.send(&format!("POST /v1/sessions/managed/{id}/stop"), "").await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    assert_eq!(create(&daemon, hint.clone()).await.status, 201, "its place is free");
    let resumed = daemon.send(&format!("POST /v1/sessions/managed/{id}/resume"), "").await;
    assert_eq!(resumed.status, 429, "{resumed:?}");
    let view = daemon.send(&format!("GET /v1/sessions/managed/{id}"), "").await;
    assert!(view.body.contains("\"stopped\""), "and it is what it was: {view:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_twice_at_once_is_done_once() {
    let daemon = start(|_| {}).await;
    let view = created(&daemon, json!({"name_hint": "twice"})).await;
    let id = view["id"].as_str().expect("an id").to_owned();
    idle(&daemon, &id).await;
    let at_once = async |line: String, body: &str| {
        futures_util::future::join_all((0..4).map(|_| daemon.send(&line, body))).await
    };
    for answer in at_once(format!("POST /v1/sessions/managed/{id}/stop"), "").await {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("\"state\":\"stopped\""), "{answer:?}");
    }
    assert_eq!(times(&daemon, &id, SessionState::Stopped).await, 1);
    let force = r#"{"force": true}"#;
    for answer in at_once(format!("POST /v1/sessions/managed/{id}/decommission"), force).await {
        let is_done = answer.status == 200 && answer.body.contains("\"state\":\"decommissioned\"");
        assert!(is_done || answer.status == 409, "{answer:?}");
    }
    assert_eq!(times(&daemon, &id, SessionState::Decommissioned).await, 1);
    for (line, status) in [("stop", 409), ("resume", 409), ("interrupt", 409), ("runtime-stop", 409)] {
        let answer = daemon.send(&format!("POST /v1/sessions/managed/{id}/{line}"), "").await;
        assert_eq!(answer.status, status, "{line} {answer:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_on_a_full_disk_says_that_it_waits_and_is_done_when_there_is_room() {
    let full = Arc::new(AtomicBool::new(false));
    let seen = full.clone();
    let refuse = move |_| seen.load(Ordering::SeqCst).then_some(CommitFault::Refuse(DiskFault::Full));
    let daemon = start(|settings| settings.faults.commits = Some(CommitHook::new(refuse))).await;
    let view = created(&daemon, json!({})).await;
    let id = view["id"].as_str().expect("an id").to_owned();
    idle(&daemon, &id).await;
    full.store(true, Ordering::SeqCst);
    let held = daemon.send(&format!("POST /v1/sessions/managed/{id}/stop"), "").await;
    assert_eq!(held.status, 503, "{held:?}");
    let error = held.error();
    assert!(error.hint.is_some_and(|hint| hint.contains("free space")), "{held:?}");
    full.store(false, Ordering::SeqCst);
    let session = daemon.plane.session_id(&id).await.expect("it is there");
    until(&daemon.plane, async || {
        let found = daemon.plane.session_managed(session).await?.session;
        Ok((found.state == SessionState::Stopped).then_some(()))
    })
    .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_steers_a_terminal_reaches_nobody_who_looks() {
    let daemon = start(|_| {}).await;
    let task = "look\u{1b}[201~\u{1b}]52;c;eA==\u{7} here";
    let view = created(&daemon, json!({"task": task})).await;
    let id = view["id"].as_str().expect("an id").to_owned();
    idle(&daemon, &id).await;
    for what in ["", "/activity", "/screen", "/screen?lines=1", "/screen?lines=500"] {
        let answer = daemon.send(&format!("GET /v1/sessions/managed/{id}{what}"), "").await;
        assert_eq!(answer.status, 200, "{what} {answer:?}");
        assert!(!answer.body.contains('\u{1b}'), "{what} {answer:?}");
        if what.starts_with("/screen") {
            assert!(!answer.body.contains("u001b"), "{what} {answer:?}");
        }
    }
    for lines in ["0", "501", "x", "-1", "", "1&lines=2", "18446744073709551616"] {
        for what in ["activity", "screen"] {
            let answer =
                daemon.send(&format!("GET /v1/sessions/managed/{id}/{what}?lines={lines}"), "").await;
            assert_eq!(answer.status, 400, "{what} {lines} {answer:?}");
        }
    }
    for text in ["", &"x".repeat((1 << 20) + 1)] {
        let body = json!({"text": text}).to_string();
        let answer = daemon.send(&format!("POST /v1/sessions/managed/{id}/send"), &body).await;
        assert_eq!(answer.status, 400, "{} {answer:?}", text.len());
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_s_token_leads_nowhere_but_where_workers_may_go() {
    let daemon = start(|_| {}).await;
    let view = created(&daemon, json!({})).await;
    let id = daemon.plane.session_id(view["id"].as_str().expect("an id")).await.expect("it is there");
    let token = daemon.plane.session_token_create(id).await.expect("a token").reveal().to_owned();
    let document: Value = serde_json::from_str(include_str!("../../openapi.json")).expect("JSON");
    let workers = ["/v1/gate/", "/v1/worker/", "/v1/hooks", "/v1/data", "/v1/memory", "/v1/healthz"];
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        // What its own agent delegates is its own.
        if workers.iter().any(|route| path.starts_with(route)) || path.ends_with("/delegations") {
            continue;
        }
        let path = path.replace("{id}", &id.to_string());
        let path = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        for method in methods.as_object().expect("methods").keys() {
            let line = format!("{} {path}", method.to_uppercase());
            let answer = daemon.send_as(&token, &line, "{}").await;
            // Whoever leaves shows the session that is to end; this one is none of those.
            let status = if line == "DELETE /v1/sessions" { 404 } else { 403 };
            assert_eq!(answer.status, status, "{line} {answer:?}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    for line in ["GET /v1/worker/prompt", "POST /v1/worker/result"] {
        let answer = daemon.send_as(&token, line, "{}").await;
        assert!((400..500).contains(&answer.status), "it is no step's: {line} {answer:?}");
    }
    let stopped = daemon.send(&format!("POST /v1/sessions/managed/{id}/stop"), "").await;
    assert_eq!(stopped.status, 200, "{stopped:?}");
    let late = daemon.send_as(&token, "POST /v1/hooks", r#"{"hook_event_name": "Stop"}"#).await;
    assert_eq!(late.status, 401, "the token ends with its agent: {late:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_opens_nothing_that_the_role_does_not() {
    let daemon = start(|_| {}).await;
    for name in ["answer", "managed", "stop"] {
        let view = created(&daemon, json!({"name_hint": name})).await;
        assert_eq!(view["name"], name, "{view}");
    }
    let senior = SessionParams { agent_id: "ann".to_owned(), role: "senior".to_owned(), ttl_secs: None };
    let senior = daemon.client.session_create(&senior).await.expect("it is made").session_id;
    for (line, may) in [
        ("DELETE /v1/sessions/managed/answer", false),
        ("DELETE /v1/sessions/managed/stop", false),
        ("POST /v1/sessions/managed/answer/stop", false),
        ("POST /v1/sessions/managed/answer/decommission", false),
        ("POST /v1/sessions/managed/answer/answer", true),
        ("GET /v1/sessions/managed/answer", true),
    ] {
        let answer = daemon.send_as(&senior, line, r#"{"answer": "allow"}"#).await;
        assert_eq!(answer.status != 403, may, "{line} {answer:?}");
    }
    for name in ["..", "%2e%2e", "A", "a%00", "%1b%5b2J", &"x".repeat(4000), "-", "a%2Fb"] {
        let answer = daemon.send(&format!("GET /v1/sessions/managed/{name}"), "").await;
        assert!(matches!(answer.status, 400 | 404), "{name} {answer:?}");
        assert!(!answer.body.contains('\u{1b}'), "{answer:?}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_to_a_session_is_read_by_the_page_and_as_it_happens() {
    let daemon = start(|_| {}).await;
    let made = created(&daemon, json!({})).await;
    let id = made["id"].as_str().expect("an id");
    idle(&daemon, id).await;
    let all = daemon.client.session_events(id, 0).await.expect("a page");
    assert_eq!(all.next_after, None);
    let kinds: Vec<&str> = all.events.iter().map(|event| event.kind.as_str()).collect();
    for kind in ["session_created", "workspace_ready", "session_launched", "session_task_arrived"] {
        assert_eq!(kinds.iter().filter(|known| **known == kind).count(), 1, "{kind} once in {kinds:?}");
    }
    assert!(all.events.iter().all(|event| event.subject == id), "{all:?}");

    let (mut paged, mut after) = (Vec::new(), Some(0));
    while let Some(place) = after {
        let line = format!("GET /v1/sessions/managed/{id}/events?limit=2&after={place}");
        let page = daemon.send(&line, "").await;
        let page: http::EventPage = serde_json::from_str(&page.body).expect("a page");
        assert!(page.events.len() <= 2, "{page:?}");
        after = page.next_after;
        paged.extend(page.events);
    }
    assert_eq!(paged[..all.events.len()], all.events, "pages are the same rows");

    let name = made["name"].as_str().expect("a name");
    let place = all.events[0].seq;
    let mut live = daemon.client.session_events_live(name, place).await.expect("a stream");
    daemon.client.session_command(id, "stop").await.expect("it is stopped");
    let mut heard = Vec::new();
    while !heard.iter().any(|event: &http::EventView| {
        event.kind == "session_state_changed" && event.payload["to"] == "stopped"
    }) {
        heard.push(live.next().await.expect("it goes on").expect("an event"));
    }
    assert_eq!(heard[..all.events.len() - 1], all.events[1..], "it begins behind its place");

    for (line, status) in [
        ("GET /v1/sessions/managed/nobody/events", 404),
        ("GET /v1/sessions/managed/01890000-0000-7000-8000-00000000abcd/events", 404),
        ("GET /v1/sessions/managed/..%2f..%2fx/events?follow=true", 404),
    ] {
        assert_eq!(daemon.send(line, "").await.status, status, "{line}");
    }
    for query in ["after=x", "limit=-1", "follow=maybe", "subject=plane"] {
        let refused = daemon.send(&format!("GET /v1/sessions/managed/{id}/events?{query}"), "").await;
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_that_is_nearly_full_is_shown_and_waits_in_the_inbox_until_there_is_room() {
    let daemon = start(|_| {}).await;
    let made = created(&daemon, json!({})).await;
    let id = made["id"].as_str().expect("an id");
    idle(&daemon, id).await;
    let session = daemon.plane.session_id(id).await.expect("it is there");
    let token_id = TokenId::new(Uuid::nil());
    let owner =
        Caller { token_id, role: Role::Host, step: None, agent_id: None, of_session: None, name: None };
    for (used, pressure, kinds) in [
        (140, "warn", &[][..]),
        (170, "alert", &["context"]),
        (200, "compact", &["context"]),
        (10, "ok", &[]),
    ] {
        daemon.plane.memory_protect(&owner, session, (used, 200)).await.expect("it is taken");
        let context = daemon.client.session_managed(id).await.expect("it is there").context;
        let context = context.expect("it is known");
        assert_eq!((context.used_tokens, context.pressure.as_str()), (used, pressure));
        let inbox = daemon.client.inbox().await.expect("it is read").sessions;
        assert_eq!(inbox.iter().map(|item| &*item.kind).collect::<Vec<_>>(), kinds, "{used}");
    }
    daemon.plane.memory_protect(&owner, session, (200, 200)).await.expect("it is taken");
    daemon.client.session_command(id, "stop").await.expect("it is stopped");
    assert_eq!(daemon.client.inbox().await.expect("it is read").sessions, [], "nobody is there who forgets");
    let events = daemon.client.session_events(id, 0).await.expect("a page").events;
    let changes: Vec<&str> = events
        .iter()
        .filter(|event| event.kind == "context_pressure_changed")
        .filter_map(|event| event.payload["to"].as_str())
        .collect();
    assert_eq!(changes, ["warn", "alert", "compact", "ok", "compact"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_named_beforehand_is_made_once_however_many_make_it() {
    let daemon = start(|_| {}).await;
    for _ in 0..10 {
        let id = SessionId::new(Uuid::now_v7());
        let host = async || {
            let params = HostParams {
                id: Some(id),
                project: Some(daemon.path("project")),
                task: "do it".to_owned(),
                agent: Some("noter".to_owned()),
                ..HostParams::default()
            };
            daemon.plane.session_host(&adjutant_testkit::owner(), params, Duration::ZERO).await
        };
        let made = futures_util::future::join_all((0..4).map(|_| host())).await;
        for made in made {
            assert_eq!(made.expect("it is found, or made").session.id, id);
        }
        let rows = daemon.plane.events_of(&id.to_string(), 0, 100).await.expect("they are read");
        let created = rows.iter().filter(|row| row.event.kind() == "session_created").count();
        assert_eq!(created, 1);
        idle(&daemon, &id.to_string()).await;
        let force = SessionCommand::Decommission { force: true };
        daemon.plane.session_command(id, force, Duration::from_secs(30)).await.expect("it is over");
    }
    let alive =
        daemon.plane.sessions_managed(SessionFilter { is_live: true, ..SessionFilter::default() }).await;
    assert_eq!(alive.expect("a list"), []);
    daemon.stop().await;
}
