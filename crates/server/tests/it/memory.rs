//! Memory over the door: who sees what, that it shows what was recalled, and that what is forgotten is gone.

use crate::delegations::{daemon, file, parent};
use crate::gate::{Agent, started};
use crate::harness::{Daemon, refused};
use adjutant_model::action::Role;
use adjutant_protocol::http::{FactView, RecallParams, RememberParams, SessionParams, SupersedeParams};
use adjutant_protocol::{Client, ClientError};
use adjutant_testkit::Repository;
use serde_json::json;

fn say(text: &str, scope: Option<&str>) -> RememberParams {
    RememberParams { text: text.to_owned(), scope: scope.map(str::to_owned), ..RememberParams::default() }
}

async fn recalled(client: &Client, query: &str) -> Vec<String> {
    let params = RecallParams { query: query.to_owned(), ..RecallParams::default() };
    texts(client.memory_recall(&params).await.expect("it is recalled").facts)
}

fn texts(facts: Vec<FactView>) -> Vec<String> {
    facts.into_iter().map(|fact| fact.text).collect()
}

fn unsaid() -> (Option<String>, Option<String>) {
    (None, None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_remembers_recalls_supersedes_and_forgets() {
    let daemon = Daemon::start().await;
    let client = &daemon.client;
    let params = RememberParams { tags: vec!["CI".into()], ..say(" The tests run with make check. ", None) };
    let first = client.memory_remember(&params).await.expect("it is remembered");
    assert_eq!((first.text.as_str(), first.scope.as_str()), ("The tests run with make check.", "plane"));
    assert_eq!((first.source.kind.as_str(), first.source.id.as_str()), ("person", "host"));
    let again =
        daemon.send("POST /v1/memory", &json!({"text": "The tests run with make check."}).to_string()).await;
    assert_eq!(again.status, 200, "it is kept once: {again:?}");
    let wrong = daemon.send("POST /v1/memory", r#"{"text": "x", "ttl": 3}"#).await;
    assert!(wrong.status == 400 && wrong.body.contains("ttl"), "{wrong:?}");
    for (params, told) in [
        (say("x", Some("team:a")), "a scope is"),
        (say("x", Some("goal:g-0000000000000007")), "was not found"),
        (say(" ", None), "`text` has"),
        (RememberParams { tags: vec!["two words".into()], ..say("x", None) }, "a tag is"),
        (
            RememberParams { valid_until: Some("2020-01-01T00:00:00Z".into()), ..say("x", None) },
            "over already",
        ),
        (RememberParams { valid_until: Some("soon".into()), ..say("x", None) }, "no instant"),
    ] {
        let (_, error) = refused(client.memory_remember(&params).await);
        assert!(error.error.contains(told), "{told}: {error:?}");
    }
    assert_eq!(recalled(client, "how do I test?").await, ["The tests run with make check."]);
    let (status, error) = refused(
        client.memory_recall(&RecallParams { query: "\"* (".into(), ..RecallParams::default() }).await,
    );
    assert_eq!((status, error.code.as_str()), (400, "invalid_request"));

    let params =
        SupersedeParams { text: "The tests run with make test.".into(), ..SupersedeParams::default() };
    let second = client.memory_supersede(&first.id, &params).await.expect("it is superseded");
    assert_eq!(second.tags, ["ci"], "the tags stay");
    let (status, error) = refused(client.memory_supersede(&first.id, &params).await);
    assert!(status == 409 && error.hint.is_some_and(|hint| hint.contains(&second.id)), "one successor");
    assert_eq!(recalled(client, "tests").await, ["The tests run with make test."]);
    assert_eq!(client.memory(&unsaid(), true).await.expect("a list").facts.len(), 2);
    assert_eq!(client.memory(&(None, Some("ci".into())), false).await.expect("a list").facts.len(), 1);

    client.memory_forget(&second.id).await.expect("it is forgotten");
    assert_eq!(refused(client.memory_forget(&second.id).await).0, 404);
    assert!(recalled(client, "tests").await.is_empty(), "the one before it does not come back");
    let rows = daemon.plane.events_of(&second.id, 0, 10).await.expect("they are read");
    let kinds: Vec<_> = rows.iter().map(|row| row.event.kind()).collect();
    assert_eq!(kinds, ["fact_remembered", "fact_forgotten"]);
    assert!(!format!("{rows:?}").contains("make test"), "{rows:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_out_before_it_is_kept() {
    let daemon = Daemon::start().await;
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let fact =
        daemon.client.memory_remember(&say(&format!("the key is {secret}"), None)).await.expect("kept");
    assert!(!fact.text.contains(&secret) && fact.text.contains("[redacted:"), "{}", fact.text);
    let tagged = RememberParams { tags: vec![format!("sk-ant-{}", "a1b2".repeat(8))], ..say("x", None) };
    assert_eq!(refused(daemon.client.memory_remember(&tagged).await).0, 400, "a secret is no tag");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sessions_agent_has_its_own_scopes_and_its_recall_stands_in_its_journal() {
    let (daemon, project, other) = (daemon(false).await, Repository::new(), Repository::new());
    let session = parent(&daemon, &project).await;
    let agent = daemon.client_with(file(&session, "shown.txt").trim());
    let elsewhere = format!("project:{}", other.project.display());
    for (text, scope) in [
        ("this plane is shared", "plane"),
        ("this project is another", elsewhere.as_str()),
        ("this agent is echo", "agent:echo"),
        ("this agent is codex", "agent:codex"),
    ] {
        daemon.client.memory_remember(&say(text, Some(scope))).await.expect("it is remembered");
    }
    let own = agent.memory_remember(&say("this project needs make", None)).await.expect("it is remembered");
    assert_eq!(own.scope, format!("project:{}", project.project.display()));
    assert_eq!((own.source.kind.as_str(), own.source.id.as_str()), ("session", session.id.as_str()));
    let mut seen = recalled(&agent, "this").await;
    seen.sort();
    assert_eq!(seen, ["this agent is echo", "this plane is shared", "this project needs make"]);
    let shown = agent.memory(&unsaid(), false).await.expect("a list");
    assert_eq!(shown.facts.len(), 3);
    for scope in ["plane", "agent:codex", elsewhere.as_str()] {
        assert_eq!(refused(agent.memory_remember(&say("x", Some(scope))).await).0, 403, "{scope}");
    }
    let there = RecallParams { query: "this".into(), scopes: vec![elsewhere], ..RecallParams::default() };
    assert_eq!(refused(agent.memory_recall(&there).await).0, 403);
    let shared = shown.facts.iter().find(|fact| fact.scope == "plane").expect("it is seen");
    assert_eq!(refused(agent.memory_forget(&shared.id).await).0, 403, "it said so not itself");
    let of_person = say("this project ships on monday", Some(&format!("{}/.", own.scope)));
    let of_person = daemon.client.memory_remember(&of_person).await.expect("it is remembered");
    assert_eq!(of_person.scope, own.scope, "however the project is said");
    let other = SupersedeParams { text: "it ships today".into(), ..SupersedeParams::default() };
    let (status, error) = refused(agent.memory_supersede(&of_person.id, &other).await);
    assert!(status == 403 && error.error.contains("a person said that"), "{error:?}");
    agent.memory_supersede(&own.id, &other).await.expect("its own");
    agent.memory_forget(&own.id).await.expect("its own");

    let rows = daemon.plane.events_of(&session.id, 0, 100).await.expect("they are read");
    let told: Vec<_> = rows.iter().filter(|row| row.event.kind() == "memory_recalled").collect();
    assert_eq!(told.len(), 1, "{rows:?}");
    let row = format!("{told:?}");
    assert!(row.contains(&own.id) && !row.contains("needs make"), "{row}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steps_recall_is_a_turn_of_its_run_and_a_rule_may_deny_it() {
    let agent = Agent::new();
    let daemon = Daemon::with_settings(|settings| {
        settings.exe = agent.program();
        let policy = "[[rule]]\nname = \"no-notes\"\neffect = \"deny\"\ntool = \"memory_remember\"\nreason = \"read only\"\n";
        std::fs::write(settings.folder.join("policy.toml"), policy).expect("the policy is written");
    })
    .await;
    let fact = daemon.client.memory_remember(&say("the port is 8080", None)).await.expect("a person may");
    let (run_id, token) = started(&daemon, &agent).await;
    let worker = daemon.client_with(&token);
    assert_eq!(recalled(&worker, "which port").await, ["the port is 8080"]);
    let (status, error) = refused(worker.memory_remember(&say("x", None)).await);
    assert!(status == 403, "{error:?}");
    let turns = daemon.client.trace(&run_id, None).await.expect("the trace");
    let turn = turns.iter().find(|turn| turn.name == "memory_recall").expect("a turn of its own");
    assert_eq!((turn.status.as_str(), turn.output.clone()), ("succeeded", Some(json!([fact.id]))));
    assert_eq!(turn.parameters, json!({"query": "which port"}));
    agent.end().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_does_with_memory_what_it_may() {
    let daemon = Daemon::start().await;
    daemon.client.memory_remember(&say("the port is 8080", None)).await.expect("the owner may");
    for (role, remembers, recalls) in
        [(Role::Operator, true, true), (Role::Observer, false, true), (Role::Senior, false, true)]
    {
        let params = SessionParams { agent_id: "x".into(), role: role.as_str().into(), ttl_secs: Some(60) };
        let token = daemon.client.session_create(&params).await.expect("a session").session_id;
        let client = daemon.client_with(&token);
        let said = client.memory_remember(&say(&format!("{role:?} was here"), None)).await;
        assert_eq!(said.is_ok(), remembers, "{role:?}: {said:?}");
        let heard =
            client.memory_recall(&RecallParams { query: "port".into(), ..RecallParams::default() }).await;
        assert_eq!(heard.is_ok(), recalls, "{role:?}: {heard:?}");
    }
    let nobody = daemon.client_with("nobody").memory(&unsaid(), false).await;
    assert!(matches!(nobody, Err(ClientError::Api { status: 401, .. })), "{nobody:?}");
    daemon.stop().await;
}
