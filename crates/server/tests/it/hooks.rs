//! Hooks over real sockets: what is taken, whose it is, what is answered, and what is kept of it.

#![expect(
    clippy::unwrap_used,
    reason = "what a test's helper does not get ends the test, as in the test itself"
)]

use crate::harness::{Daemon, refused};
use adjutant_model::SessionId;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::event::Event;
use adjutant_model::hook::HookRecord;
use adjutant_model::id::Uuid;
use adjutant_protocol::http::{ApprovalAnswer, TokenRequest};
use adjutant_testkit::until;
use serde_json::{Value, json};

const POLICY: &str = r#"
[[rule]]
name = "no-publish"
effect = "deny"
tool = "Bash"
command = "npm publish"
reason = "people publish"

[[rule]]
name = "ask-secrets"
effect = "ask"
tool = "Write"
params = { path = "*/secrets/*" }

[[rule]]
name = "reads"
effect = "allow"
tool = "Read"
"#;

/// A daemon and a session of it, as the session's agent sees them.
struct Hooked {
    daemon: Daemon,
    session_id: SessionId,
    token: String,
}

impl Hooked {
    async fn start() -> Self {
        Self::over(Daemon::with_policy(POLICY).await).await
    }

    async fn over(daemon: Daemon) -> Self {
        let session_id = SessionId::new(Uuid::from_u128(7));
        let token = daemon.plane.session_token_create(session_id).await.unwrap().reveal().to_owned();
        Hooked { daemon, session_id, token }
    }

    /// Posts a hook with the session's token; gives status and answer.
    async fn post(&self, body: &Value) -> (u16, Value) {
        self.post_as(&self.token, "", &body.to_string()).await
    }

    async fn post_as(&self, token: &str, more: &str, body: &str) -> (u16, Value) {
        let host = self.daemon.host();
        let head = format!("host: {host}\r\nauthorization: Bearer {token}\r\n{more}");
        let raw = self.daemon.send_body("POST /v1/hooks", &head, body.as_bytes()).await;
        (raw.status, serde_json::from_str(&raw.body).unwrap_or_else(|error| panic!("{error}: {raw:?}")))
    }

    async fn pre_tool_use(&self, tool: &str, input: Value) -> Value {
        let body = json!({"hook_event_name": "PreToolUse", "session_id": "a1", "tool_name": tool, "tool_input": input,
            "tool_use_id": "t1"});
        let (status, answer) = self.post(&body).await;
        assert_eq!(status, 200, "{answer}");
        answer["hookSpecificOutput"].clone()
    }

    /// Gives the id of the approval that is waited for.
    async fn pending(&self) -> String {
        let plane = &self.daemon.plane;
        let waits = async || Ok(plane.approvals(Some(ApprovalStatus::Pending), 1).await?.pop());
        until(plane, waits).await.id
    }

    /// Gives what is kept of the hooks, when it is so much.
    async fn kept(&self, count: usize) -> Vec<HookRecord> {
        let (plane, id) = (&self.daemon.plane, self.session_id);
        until(plane, async || {
            Ok(Some(plane.hook_events(id, 0, 100).await?).filter(|kept| kept.len() == count))
        })
        .await
    }

    async fn answer(&self, decision: &str) {
        let answer = ApprovalAnswer { decision: decision.into(), reason: "me".into(), option: None };
        self.daemon.client.approval_answer(&self.pending().await, &answer).await.unwrap();
    }

    /// Gives what the journal has of the session.
    async fn journal(&self) -> Vec<Event> {
        let rows = self.daemon.plane.events(0, 1000).await.unwrap().into_iter();
        rows.filter(|row| row.subject == self.session_id.to_string()).map(|row| row.event).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_forms_are_taken_and_every_event_known_or_not() {
    let hooked = Hooked::start().await;
    let id = hooked.session_id.to_string();
    for event in ["SessionStart", "Stop", "SubagentStopFailure", "Fresh"] {
        assert_eq!(hooked.post(&json!({"hook_event_name": event, "x": [1]})).await, (200, json!({})));
        let named = json!({"session_id": id, "event": event, "payload": null});
        let accepted = json!({"accepted": event, "session_id": id});
        assert_eq!(hooked.post(&named).await, (200, accepted.clone()));
        let owners = hooked.post_as(&hooked.daemon.token, "", &named.to_string()).await;
        assert_eq!(owners, (200, accepted));
    }
    let header = format!("x-adjutant-session: {id}\r\n");
    let body = r#"{"hook_event_name": "Stop"}"#;
    assert_eq!(hooked.post_as(&hooked.daemon.token, &header, body).await, (200, json!({})));
    let denied = json!({"session_id": id, "event": "PreToolUse", "payload":
        {"tool_name": "Bash", "tool_input": {"command": "cd x && npm  publish"}}});
    let (_, answer) = hooked.post(&denied).await;
    assert_eq!(answer["decision"]["effect"], "deny");
    assert_eq!(
        (&answer["decision"]["rule"], &answer["decision"]["decided_by"]),
        (&json!("no-publish"), &json!("policy"))
    );
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_speaks_for_another_session() {
    let hooked = Hooked::start().await;
    let (own, other) = (hooked.session_id.to_string(), SessionId::new(Uuid::from_u128(8)).to_string());
    let agents = TokenRequest { agent_id: "x".into(), ttl_secs: None };
    let agents = hooked.daemon.client.token_create(&agents).await.unwrap().token;
    let (owner, session) = (hooked.daemon.token.clone(), hooked.token.clone());
    let named = |id: &str| json!({"session_id": id, "event": "Stop"}).to_string();
    let raw = r#"{"hook_event_name": "Stop", "session_id": "whatever the agent calls it"}"#.to_owned();
    let header = |id: &str| format!("x-adjutant-session: {id}\r\n");
    for (token, header, body, status) in [
        (&session, String::new(), named(&other), 403),
        (&session, header(&other), raw.clone(), 403),
        (&session, header(&other), named(&own), 403),
        (&session, header("nonsense"), raw.clone(), 403),
        (&session, header(&own), raw.clone(), 200),
        (&owner, String::new(), named(&other), 404),
        (&owner, header(&other), raw.clone(), 404),
        (&owner, header(&own), named(&other), 400),
        (&owner, String::new(), named("nonsense"), 404),
        (&owner, String::new(), r#"{"hook_event_name": "Stop"}"#.to_owned(), 404),
        (&agents, String::new(), raw.clone(), 403),
        (&agents, String::new(), named(&own), 403),
        (&"00".repeat(32), String::new(), named(&own), 401),
    ] {
        let (found, answer) = hooked.post_as(token, &header, &body).await;
        assert_eq!(found, status, "{header} {body} {answer}");
    }
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_hook_is_refused_with_the_place_of_the_mistake() {
    let hooked = Hooked::start().await;
    for (body, status, says) in [
        ("", 400, "the body cannot be read"),
        ("{", 400, "the body cannot be read"),
        ("[]", 400, "a hook is an object"),
        ("{}", 400, "`event` is a text"),
        (r#"{"event": "Stop"}"#, 400, "`session_id` is a text"),
        (r#"{"event": "Stop", "session_id": "x", "sessionId": 1}"#, 400, "unknown field `sessionId`"),
    ] {
        let (found, answer) = hooked.post_as(&hooked.token, "", body).await;
        let error = answer["error"].as_str().unwrap();
        assert!(found == status && error.contains(says), "{body}: {found} {error}");
    }
    let large = json!({"hook_event_name": "PostToolUse", "tool_response": "x".repeat(9 << 20)});
    let (status, answer) = hooked.post(&large).await;
    assert_eq!((status, answer["code"].as_str()), (413, Some("too_large")));
    let fits = json!({"hook_event_name": "PostToolUse", "tool_response": "x".repeat(7 << 20)});
    assert_eq!(hooked.post(&fits).await.0, 200);
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_says_is_what_the_agent_is_told() {
    let hooked = Hooked::start().await;
    let denied = hooked.pre_tool_use("Bash", json!({"command": "npm publish"})).await;
    assert_eq!(denied["permissionDecision"], "deny");
    assert!(denied["permissionDecisionReason"].as_str().unwrap().contains("people publish"), "{denied}");
    assert_eq!(hooked.pre_tool_use("Read", json!({"file_path": "a"})).await["permissionDecision"], "allow");
    assert_eq!(
        hooked.pre_tool_use("Bash", json!({"command": "ls"})).await,
        Value::Null,
        "the agent's own rules hold"
    );
    assert_eq!(hooked.pre_tool_use("a tool", json!({})).await["permissionDecision"], "deny");
    let request =
        json!({"hook_event_name": "PermissionRequest", "tool_name": "Bash", "tool_input": {"command": "ls"}});
    let (_, answer) = hooked.post(&request).await;
    let allowed = json!({"hookEventName": "PermissionRequest", "decision": {"behavior": "allow"}});
    assert_eq!(answer["hookSpecificOutput"], allowed, "nobody sees a dialog of a hosted agent");
    let nameless = json!({"hook_event_name": "PreToolUse"});
    assert_eq!(hooked.post(&nameless).await.1["hookSpecificOutput"]["permissionDecision"], "deny");
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_for_the_person_who_is_asked_and_hears_what_they_say() {
    let hooked = Hooked::start().await;
    let input = || json!({"file_path": "/w/secrets/key", "content": "password = hunter2hunter2"});
    for (decision, told) in [("approve", "allow"), ("deny", "deny")] {
        let (answer, ()) = tokio::join!(hooked.pre_tool_use("Write", input()), hooked.answer(decision));
        assert_eq!(answer["permissionDecision"], told);
        assert!(answer["permissionDecisionReason"].as_str().unwrap().contains("me"), "{answer}");
    }
    let last = hooked.daemon.plane.approvals(Some(ApprovalStatus::Denied), 1).await.unwrap().remove(0);
    assert_eq!(last.connection, format!("hook:{}", hooked.session_id));
    assert!(!last.parameters.to_string().contains("hunter2"), "{}", last.parameters);
    let client = hooked.daemon.client_with(&hooked.token);
    let own = ApprovalAnswer { decision: "approve".into(), reason: String::new(), option: None };
    let waiting = hooked.pre_tool_use("Write", input());
    let (answer, ()) = tokio::join!(waiting, async {
        let id = hooked.pending().await;
        assert_eq!(refused(client.approval_answer(&id, &own).await).0, 403, "not the agent itself");
        hooked.answer("approve").await;
    });
    assert_eq!(answer["permissionDecision"], "allow");
    let codex = json!({"hook_event_name": "PermissionRequest", "turn_id": "t", "tool_name": "Write", "tool_input": input()});
    let (_, answer) = hooked.post(&codex).await;
    let behavior = &answer["hookSpecificOutput"]["decision"]["behavior"];
    assert_eq!(behavior, "allow", "who has approved the call is not asked again");
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_withdrawn_when_the_hook_goes_away() {
    let hooked = Hooked::start().await;
    let id = {
        let waiting = hooked.pre_tool_use("Write", json!({"file_path": "/w/secrets/key"}));
        tokio::select! {
            answer = waiting => panic!("nobody has answered: {answer}"),
            id = hooked.pending() => id,
        }
    };
    let plane = &hooked.daemon.plane;
    let withdrawn = async || Ok(plane.approvals(Some(ApprovalStatus::Withdrawn), 1).await?.pop());
    assert_eq!(until(plane, withdrawn).await.id, id);
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_tell_is_kept_without_secrets_and_short_and_the_journal_has_none_of_it() {
    let hooked = Hooked::start().await;
    let output: String = (0..1000).map(|n| format!("line {n} of the output\n")).collect();
    hooked.post(&json!({"hook_event_name": "UserPromptSubmit", "prompt": "use ghp_0123456789abcdefghijklmnopqrstuvwxyzAB"})).await;
    hooked
        .post(&json!({"hook_event_name": "PostToolUse", "tool_name": "Bash", "tool_response": {"stdout": output, "interrupted": false}}))
        .await;
    hooked.pre_tool_use("Bash", json!({"command": "npm publish"})).await;
    let (id, plane) = (hooked.session_id, hooked.daemon.plane.clone());
    let kept = hooked.kept(3).await;
    let names: Vec<&str> = kept.iter().map(|record| record.draft.event.as_str()).collect();
    assert_eq!(names, ["UserPromptSubmit", "PostToolUse", "PreToolUse"]);
    assert!(kept[0].draft.payload.contains("[redacted:github-token]"), "{}", kept[0].draft.payload);
    assert!(kept[1].draft.payload.contains("970 lines left out"), "{}", kept[1].draft.payload);
    assert_eq!(
        (kept[1].draft.tool.as_deref(), kept[2].draft.decision.as_deref()),
        (Some("Bash"), Some("deny"))
    );
    assert_eq!(plane.hook_events(id, kept[0].number, 1).await.unwrap(), kept[1..2]);
    assert!(plane.hooks_compressed().saved_bytes() > 10_000);
    let journal = hooked.journal().await;
    let received = journal.iter().filter(|event| matches!(event, Event::HookReceived { .. })).count();
    let judged: Vec<_> = journal.iter().filter(|event| matches!(event, Event::HookJudged { .. })).collect();
    assert_eq!((received, judged.len()), (3, 1));
    assert!(!serde_json::to_string(&journal).unwrap().contains("line 1"));
    let home = hooked.daemon.restarted().await;
    assert_eq!(home.plane.hook_events(id, 0, 10).await.unwrap(), kept, "they outlive the daemon");
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hooks_told_is_forgotten_by_age_and_by_number() {
    let hooked = Hooked::over(Daemon::with_settings(|settings| settings.hook_events_max = 2).await).await;
    for n in 0..5 {
        hooked.post(&json!({"hook_event_name": "Stop", "n": n})).await;
    }
    let (id, plane) = (hooked.session_id, hooked.daemon.plane.clone());
    hooked.kept(5).await;
    let acted = plane.job_run("hook_forget").await.unwrap();
    assert_eq!(acted.acted_total, 3, "{acted:?}");
    assert_eq!(plane.hook_events(id, 0, 10).await.unwrap().len(), 2);
    let daemon = hooked.daemon.restarted_with(|settings| settings.hook_keep_ms = 0).await;
    daemon.plane.job_run("hook_forget").await.unwrap();
    let left = daemon.plane.hook_events(id, 0, 10).await.unwrap();
    assert_eq!(left.len(), 1, "the last one keeps the numbers ascending");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_opens_by_what_hooks_tell_outlives_the_daemon_and_a_person_closes_it() {
    let hooked = Hooked::start().await;
    let delegate = async |hooked: &Hooked, agent: &str| {
        hooked.pre_tool_use("Agent", json!({"subagent_type": agent, "prompt": "go"})).await
    };
    assert_eq!(delegate(&hooked, "reviewer").await, Value::Null);
    for _ in 0..3 {
        hooked.post(&json!({"hook_event_name": "SubagentStopFailure", "agent_type": "reviewer"})).await;
        hooked.post(&json!({"hook_event_name": "SubagentStop", "agent_type": "coder"})).await;
    }
    let Hooked { daemon, session_id, token } = hooked;
    let hooked = Hooked { daemon: daemon.restarted().await, session_id, token };
    let denied = delegate(&hooked, "reviewer").await;
    let why = denied["permissionDecisionReason"].as_str().unwrap();
    assert!(denied["permissionDecision"] == "deny" && why.contains("3 times in a row"), "{denied}");
    assert_eq!(delegate(&hooked, "coder").await, Value::Null);
    let client = &hooked.daemon.client;
    let breakers = client.breakers().await.unwrap().breakers;
    assert_eq!(breakers.len(), 1, "asking after an agent makes nothing: {breakers:?}");
    assert_eq!((breakers[0].agent.as_str(), breakers[0].state.as_str()), ("reviewer", "open"));
    assert!(breakers[0].trial_at.is_some() && breakers[0].consecutive_failures == 3);
    assert_eq!(refused(client.breaker_reset("coder").await).0, 404);
    assert_eq!(client.breaker_reset("reviewer").await.unwrap().state, "closed");
    assert_eq!(delegate(&hooked, "reviewer").await, Value::Null);
    hooked.daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trial_is_let_in_after_the_cool_down() {
    let hooked =
        Hooked::over(Daemon::with_settings(|settings| settings.breaker.cool_down_ms = 0).await).await;
    for _ in 0..3 {
        hooked.post(&json!({"hook_event_name": "SubagentStopFailure", "agent_type": "reviewer"})).await;
    }
    let task = || hooked.pre_tool_use("Task", json!({"subagent_type": "reviewer"}));
    let cooled = hooked.daemon.client.breakers().await.unwrap().breakers;
    assert_eq!((cooled[0].state.as_str(), &cooled[0].trial_at), ("half_open", &None), "looking tells it");
    assert_eq!(task().await, Value::Null, "the trial");
    assert_eq!(task().await["permissionDecision"], "deny", "no second one beside it");
    hooked.post(&json!({"hook_event_name": "SubagentStop", "agent_type": "reviewer"})).await;
    assert_eq!(task().await, Value::Null);
    assert_eq!(hooked.daemon.client.breakers().await.unwrap().breakers[0].state, "closed");
    hooked.daemon.stop().await;
}

/// A hook of an agent that nobody hosts, with the owner's token.
async fn elsewhere(hooked: &Hooked, cwd: &str, more: Value) -> (u16, Value) {
    let mut body = json!({"session_id": "11111111-2222-4333-8444-555555555555", "cwd": cwd, "transcript_path": "/nonexistent"});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    hooked.post_as(&hooked.daemon.token, "", &body.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_somebody_else_started_is_known_by_its_hooks_and_gated_by_its_projects_policy() {
    let hooked = Hooked::start().await;
    let project = hooked.daemon.path("elsewhere");
    std::fs::create_dir_all(project.join(".adjutant")).unwrap();
    let policy = "[[rule]]\nname = \"no-curl\"\neffect = \"deny\"\ntool = \"Bash\"\ncommand = \"curl\"\n";
    std::fs::write(project.join(".adjutant/policy.toml"), policy).unwrap();
    let cwd = project.to_str().unwrap().to_owned();
    let client = &hooked.daemon.client;
    let found = async || {
        let mut sessions = client.sessions(Some("discovered")).await.unwrap().sessions;
        assert!(sessions.len() <= 1, "{sessions:?}");
        sessions.pop()
    };
    assert_eq!(found().await, None);
    let prompt = json!({"hook_event_name": "UserPromptSubmit", "prompt": "go"});
    assert_eq!(elsewhere(&hooked, &cwd, prompt).await, (200, json!({})));
    let session = found().await.unwrap();
    assert_eq!(
        (session.id.as_str(), session.kind.as_str()),
        ("11111111-2222-4333-8444-555555555555", "discovered")
    );
    assert_eq!((session.agent_id.as_str(), session.cwd.as_deref()), ("claude", Some(cwd.as_str())));
    assert_eq!((session.activity.activity.as_str(), session.state.as_str()), ("working", "active"));
    assert_eq!(session.activity.evidence, "UserPromptSubmit");

    let call = |event: &str, tool: &str, input: Value| json!({"hook_event_name": event, "tool_name": tool, "tool_input": input});
    let (_, denied) =
        elsewhere(&hooked, &cwd, call("PreToolUse", "Bash", json!({"command": "curl x"}))).await;
    assert_eq!(denied["hookSpecificOutput"]["permissionDecision"], "deny", "{denied}");
    let (_, quiet) =
        elsewhere(&hooked, &cwd, call("PermissionRequest", "Bash", json!({"command": "ls"}))).await;
    assert_eq!(quiet, json!({}), "somebody sees its dialogs");
    let asking = elsewhere(&hooked, &cwd, call("PreToolUse", "Write", json!({"file_path": "/w/secrets/k"})));
    let ((_, allowed), ()) = tokio::join!(asking, async {
        hooked.pending().await;
        assert_eq!(found().await.unwrap().activity.waiting_for.as_deref(), Some("permission"));
        hooked.answer("approve").await;
    });
    assert_eq!(allowed["hookSpecificOutput"]["permissionDecision"], "allow", "{allowed}");

    elsewhere(&hooked, &cwd, json!({"hook_event_name": "Stop"})).await;
    assert_eq!(found().await.unwrap().activity.activity, "idle");
    let all = client.sessions(None).await.unwrap().sessions;
    assert_eq!(all.len(), 1, "{all:?}");
    let Hooked { daemon, session_id, token } = hooked;
    let hooked = Hooked { daemon: daemon.restarted().await, session_id, token };
    let after = hooked.daemon.client.sessions(Some("discovered")).await.unwrap().sessions.remove(0);
    assert_eq!(
        (after.activity.activity.as_str(), after.id),
        ("idle", session.id.clone()),
        "it outlives the daemon"
    );
    elsewhere(&hooked, &cwd, json!({"hook_event_name": "SessionEnd"})).await;
    let over = hooked.daemon.client.sessions(None).await.unwrap().sessions.remove(0);
    assert_eq!((over.state.as_str(), over.activity.activity.as_str()), ("over", "unknown"));
    let kept = hooked.daemon.plane.hook_events(session.id.parse().unwrap(), 0, 100).await.unwrap();
    assert!(kept.iter().any(|record| record.draft.event == "Stop"), "{kept:?}");
    let (status, _) = hooked
        .post_as(
            &hooked.token,
            "",
            r#"{"hook_event_name": "Stop", "session_id": "11111111-2222-4333-8444-555555555555"}"#,
        )
        .await;
    assert_eq!(status, 200, "a session's own token is of its own session, whatever the agent calls it");
    assert_eq!(refused(hooked.daemon.client.sessions(Some("odd")).await).0, 400);
    hooked.daemon.stop().await;
}
