//! Blueprints over the wire: registered, found, compared, archived, and run by their ids.

use crate::harness::{Daemon, identity, refused, task};
use adjutant_engine::Settings;
use adjutant_model::Value as Said;
use adjutant_protocol::http::{BlueprintRefParams, TaskParams, VersionSelectorParams};
use adjutant_protocol::{Archived, BlueprintSaid};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Gives a sound document of an id; another `note` is another version.
fn document(id: &str, note: &str) -> Value {
    let mut document = identity();
    document["id"] = json!(id);
    document["metadata"] = json!({"description": note});
    document
}

fn labelled(id: &str, label: &str) -> Value {
    let mut document = document(id, label);
    document["metadata"]["version_label"] = json!(label);
    document
}

fn on(base: &str) -> BlueprintSaid {
    BlueprintSaid { base: Some(base.to_owned()), ..BlueprintSaid::default() }
}

fn because(base: Option<&str>, rationale: &str) -> BlueprintSaid {
    BlueprintSaid {
        base: base.map(str::to_owned),
        rationale: Some(rationale.to_owned()),
        ..BlueprintSaid::default()
    }
}

impl Daemon {
    async fn put(&self, document: &Value, said: &BlueprintSaid) -> String {
        let id = document["id"].as_str().expect("an id");
        self.client.blueprint_write(id, document, said).await.expect("it is taken").version
    }

    fn by_version(&self, id: &str, version: Option<VersionSelectorParams>) -> TaskParams {
        let blueprint = BlueprintRefParams::Id { id: id.to_owned(), version };
        TaskParams { blueprint, ..task(json!({}), json!({"in": 1})) }
    }
}

fn with_built_in(settings: &mut Settings) {
    let document: Said = document("shipped", "as it was shipped").into();
    settings.blueprints.insert("shipped".to_owned(), document);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_becomes_a_version_that_is_found_in_every_way() {
    let daemon = Daemon::start().await;
    let first = document("main", "one");
    let answer = daemon.send("POST /v1/blueprints/main?rationale=first%20of%20all", &first.to_string()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let written: Value = serde_json::from_str(&answer.body).expect("JSON");
    let version = written["version"].as_str().expect("a version").to_owned();
    assert_eq!(written, json!({"id": "main", "version": version, "seeded": true, "diagnostics": []}));
    assert_eq!(version.len(), 64);

    let again = daemon.send("POST /v1/blueprints/main", &first.to_string()).await;
    let view: Value = serde_json::from_str(&again.body).expect("JSON");
    assert_eq!((again.status, &view["seeded"], &view["version"]), (200, &json!(false), &json!(version)));

    let head = daemon.send("GET /v1/blueprints/main/head", "").await;
    assert!(head.head.contains(&format!("etag: \"{version}\"")), "{}", head.head);
    let view: Value = serde_json::from_str(&head.body).expect("JSON");
    assert_eq!(
        (&view["id"], &view["version"], &view["blueprint"]),
        (&json!("main"), &json!(version), &first)
    );
    assert_eq!((&view["built_in"], &view["archived_at"]), (&json!(false), &Value::Null));

    let second =
        daemon.put(&document("main", "two"), &because(Some(&version), "because\narchive: true")).await;
    let history = daemon.client.blueprint_history("main", None, 10).await.expect("a history");
    let told: Vec<_> = history
        .entries
        .iter()
        .map(|entry| {
            (entry.number, entry.version.as_str(), entry.parent.as_deref(), entry.rationale.as_str())
        })
        .collect();
    assert_eq!(
        told,
        [
            (2, second.as_str(), Some(version.as_str()), "because\narchive: true"),
            (1, version.as_str(), None, "first of all"),
        ]
    );
    assert!(history.entries.iter().all(|entry| entry.author == "host" && entry.hash == entry.version));
    let old = daemon.client.blueprint_version("main", &version).await.expect("it stays");
    assert_eq!(old.blueprint, first);
    let head = daemon.client.blueprint_head("main").await.expect("it is there");
    assert_eq!((head.version.as_str(), head.archived_at), (second.as_str(), None), "text archives nothing");

    let diff = daemon.client.blueprint_diff("main", None, None).await.expect("a difference");
    assert_eq!((diff.from.as_str(), diff.to.as_str()), (version.as_str(), second.as_str()));
    assert_eq!(diff.patch, json!([{"op": "replace", "path": "/metadata/description", "value": "two"}]));
    assert!(diff.text.lines().any(|line| line.starts_with('-') && line.contains("one")), "{}", diff.text);
    assert!(diff.text.lines().any(|line| line.starts_with('+') && line.contains("two")), "{}", diff.text);

    let events = daemon.plane.events_of("blueprint:main", 0, 10).await.expect("its rows");
    assert_eq!(events.iter().map(|row| row.event.kind()).collect::<Vec<_>>(), ["blueprint_written"; 2]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_names_the_head_it_was_based_on_or_is_refused() {
    let daemon = Daemon::start().await;
    let one = daemon.put(&document("main", "one"), &BlueprintSaid::default()).await;
    let two = daemon.put(&document("main", "two"), &on(&one)).await;
    let third = document("main", "three").to_string();
    let unknown = "0".repeat(64);
    for (line, head, status, words) in [
        ("POST /v1/blueprints/main".to_owned(), String::new(), 409, "is there already"),
        (format!("POST /v1/blueprints/main?base={one}"), String::new(), 409, "has moved on"),
        (format!("POST /v1/blueprints/main?base={unknown}"), String::new(), 409, "has moved on"),
        ("POST /v1/blueprints/main".to_owned(), format!("if-match: \"{one}\"\r\n"), 409, "has moved on"),
        ("POST /v1/blueprints/main".to_owned(), "if-match: *\r\n".to_owned(), 400, "names the one version"),
        (format!("POST /v1/blueprints/main?base={two}"), format!("if-match: {one}\r\n"), 400, "different"),
        ("POST /v1/blueprints/main?base=head".to_owned(), String::new(), 400, "no version"),
        (format!("POST /v1/blueprints/main?bse={two}"), String::new(), 400, "bse"),
    ] {
        let answer = daemon.send_headed(&line, &head, &third).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        assert!(answer.error().error.contains(words), "{line}: {}", answer.error());
        if status == 409 {
            assert_eq!(answer.error().details.expect("details")["head"], json!(two));
            assert!(answer.error().hint.is_some());
        }
    }
    let answer =
        daemon.send_headed("POST /v1/blueprints/main", &format!("if-match: \"{two}\"\r\n"), &third).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let nothing = daemon.client.blueprint_write("new", &document("new", "x"), &on(&two)).await;
    let (status, error) = refused(nothing);
    assert_eq!((status, &error.details.expect("details")["head"]), (409, &Value::Null));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_writers_on_one_base_exactly_one_wins_and_nothing_is_lost() {
    let daemon = Daemon::start().await;
    let mut head = daemon.put(&document("main", "0"), &BlueprintSaid::default()).await;
    let mut heads = vec![head.clone()];
    for round in 0..8 {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16 {
            let (client, base) = (daemon.client.clone(), head.clone());
            let document = document("main", &format!("{round} by {writer}"));
            writers.spawn(async move { client.blueprint_write("main", &document, &on(&base)).await });
        }
        let mut won = Vec::new();
        for answer in writers.join_all().await {
            match answer {
                Ok(written) => won.push(written.version),
                refusal => {
                    let (status, error) = refused(refusal);
                    assert_eq!((status, error.code.as_str()), (409, "conflict"));
                }
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        head = won.remove(0);
        heads.push(head.clone());
    }
    let history = daemon.client.blueprint_history("main", None, 1000).await.expect("a history");
    let kept: Vec<&str> = history.entries.iter().rev().map(|entry| entry.version.as_str()).collect();
    assert_eq!(kept, heads);
    for pair in history.entries.windows(2) {
        assert_eq!(pair[0].parent.as_ref(), Some(&pair[1].version));
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_who_read_again_after_a_conflict_lose_nothing() {
    let daemon = Daemon::start().await;
    daemon.put(&document("main", ""), &BlueprintSaid::default()).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let client = daemon.client.clone();
        writers.spawn(async move {
            loop {
                let head = client.blueprint_head("main").await.expect("it is there");
                let mut next = head.blueprint;
                let said = next["metadata"]["description"].as_str().expect("text").to_owned();
                next["metadata"]["description"] = json!(format!("{said} {writer}"));
                match client.blueprint_write("main", &next, &on(&head.version)).await {
                    Ok(_) => return,
                    refusal => assert_eq!(refused(refusal).0, 409),
                }
            }
        });
    }
    writers.join_all().await;
    let head = daemon.client.blueprint_head("main").await.expect("it is there");
    let said = head.blueprint["metadata"]["description"].as_str().expect("text").to_owned();
    let names: BTreeSet<u32> = said.split_whitespace().map(|name| name.parse().expect("a number")).collect();
    assert_eq!(names, (0..16).collect());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_a_word_and_never_a_path() {
    let daemon = Daemon::start().await;
    let before = files(&daemon);
    for id in [
        "..%2f..%2fescape",
        "..%2Fx",
        "a%2fb",
        "%2e%2e",
        "A",
        "a b",
        "-a",
        "_a",
        &"a".repeat(65),
        "a%00",
        "%C3%A9",
    ] {
        let id = id.replace(' ', "%20");
        for line in [
            format!("POST /v1/blueprints/{id}"),
            format!("DELETE /v1/blueprints/{id}"),
            format!("GET /v1/blueprints/{id}/head"),
            format!("GET /v1/blueprints/{id}/history"),
            format!("GET /v1/blueprints/{id}/diff"),
            format!("GET /v1/blueprints/{id}/versions/{}", "0".repeat(64)),
            format!("POST /v1/blueprints/{id}/unarchive"),
        ] {
            let answer = daemon.send(&line, &document("main", "x").to_string()).await;
            assert_eq!(answer.status, 400, "{line}: {answer:?}");
            assert_eq!(answer.error().code, "invalid_request", "{line}");
        }
        let by_id = json!({"blueprint": {"kind": "id", "id": id}, "init_ctx": {}});
        assert_eq!(daemon.send("POST /v1/tasks", &by_id.to_string()).await.status, 400, "{id}");
    }
    let version = daemon.send("GET /v1/blueprints/main/versions/..%2f..%2fetc", "").await;
    assert_eq!((version.status, version.error().code.as_str()), (400, "invalid_request"));
    let own = daemon.send("POST /v1/blueprints/main", &document("../escape", "x").to_string()).await;
    assert_eq!(own.status, 422, "{own:?}");
    assert_eq!(files(&daemon), before, "no file was made");
    assert_eq!(registered(&daemon, Archived::Shown).await, [""; 0]);
    daemon.stop().await;
}

/// Gives the ids of what is listed and is not the daemon's own.
async fn registered(daemon: &Daemon, archived: Archived) -> Vec<String> {
    let listed = daemon.client.blueprints(None, archived).await.expect("a list").blueprints;
    listed.into_iter().filter(|entry| !entry.built_in).map(|entry| entry.id).collect()
}

/// Gives what stands in the data folder; a path that led out of it would have made its neighbour.
fn files(daemon: &Daemon) -> BTreeSet<String> {
    let folder = daemon.home.folder();
    assert!(!folder.join("../escape").exists() && !folder.join("../x").exists());
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_keeps_its_id_and_runs_or_is_refused_with_every_place() {
    let daemon = Daemon::start().await;
    let first = daemon.put(&document("main", "one"), &BlueprintSaid::default()).await;
    let mut cannot_run = document("main", "two");
    cannot_run["agents"][0]["spec"]["fn_id"] = json!("no-such-fn");
    let mut no_id = document("main", "two");
    no_id.as_object_mut().expect("an object").remove("id");
    let mut nobody = document("main", "two");
    nobody["flow"]["ref"] = json!("nobody");
    let mut broken_chunk = document("main", "two");
    broken_chunk["agents"][0] =
        json!({"name": "worker", "kind": "lua", "spec": {"source": "local x =\nreturn"}});
    for (given, name, pointer) in [
        (document("other", "two"), "id-mismatch", "/id"),
        (broken_chunk, "lua-syntax", "/agents/0/spec/source"),
        (cannot_run, "unknown-function", "/agents/0/spec/fn_id"),
        (no_id, "missing-field", ""),
        (nobody, "unresolved-agent-ref", "/flow/ref"),
        (json!({"agents": [{"$agent_md": "coder.md"}]}), "unresolved-reference", "/agents/0/$agent_md"),
        (
            json!({"default_init_ctx": {"$file": "/etc/passwd"}}),
            "unresolved-reference",
            "/default_init_ctx/$file",
        ),
        (json!({}), "missing-field", ""),
        (json!(7), "wrong-type", ""),
    ] {
        let (status, error) = refused(daemon.client.blueprint_write("main", &given, &on(&first)).await);
        assert_eq!((status, error.code.as_str()), (422, "blueprint_invalid"), "{given}");
        let lints = error.details.expect("details")["lints"].as_array().expect("a list").clone();
        let told = lints.iter().any(|lint| lint["name"] == name && lint["pointer"] == pointer);
        assert!(told, "{name} at {pointer}: {lints:?}");
    }
    assert_eq!(daemon.client.blueprint_head("main").await.expect("it stays").version, first);
    for body in ["{", "", "nonsense: yes"] {
        let answer = daemon.send("POST /v1/blueprints/main", body).await;
        assert!([400, 422].contains(&answer.status), "{body}: {answer:?}");
    }
    for (path, words) in [
        (format!("?base={first}&rationale={}", "x".repeat(4097)), "at most 4096 bytes"),
        (format!("?base={first}&label=newest"), "no semantic version"),
    ] {
        let answer =
            daemon.send(&format!("POST /v1/blueprints/main{path}"), &document("main", "x").to_string()).await;
        assert!(answer.status == 400 && answer.body.contains(words), "{path}: {answer:?}");
    }
    let lints = daemon.client.blueprint_lint(&json!({"id": "main", "colour": "red"})).await.expect("lints");
    assert!(!lints.can_run && lints.errors.iter().any(|lint| lint.pointer == "/colour"), "{lints:?}");
    assert!(daemon.client.blueprint_lint(&document("main", "x")).await.expect("lints").can_run);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_the_version_that_it_selects() {
    let daemon = Daemon::start().await;
    let mut versions = Vec::new();
    for label in ["1.0.0", "1.2.0", "2.0.0", "1.1.0"] {
        let said = versions.last().map_or_else(BlueprintSaid::default, |head: &String| on(head));
        versions.push(daemon.put(&labelled("main", label), &said).await);
    }
    let fixed = |value: &str| Some(VersionSelectorParams::Fixed { value: value.to_owned() });
    let req = |req: &str| Some(VersionSelectorParams::SemverReq { req: req.to_owned() });
    for (selector, expected) in [
        (None, &versions[3]),
        (Some(VersionSelectorParams::Latest), &versions[3]),
        (fixed(&versions[0]), &versions[0]),
        (req("^1"), &versions[1]),
        (req("<1.2"), &versions[3]),
        (req(">=1"), &versions[2]),
    ] {
        let done =
            daemon.client.task_run(&daemon.by_version("main", selector.clone())).await.expect("it is done");
        assert_eq!(&done.bound_version, expected, "{selector:?}");
        let again = daemon.by_version("main", fixed(&done.bound_version));
        assert_eq!(daemon.client.task_run(&again).await.expect("it is done").bound_version, *expected);
    }
    for (id, selector, status, code) in [
        ("nobody", None, 404, "not_found"),
        ("main", fixed(&"0".repeat(64)), 404, "not_found"),
        ("main", fixed("head"), 400, "invalid_request"),
        ("main", req("^3"), 404, "not_found"),
        ("main", req("newest"), 400, "invalid_request"),
    ] {
        let (got, error) = refused(daemon.client.task_run(&daemon.by_version(id, selector.clone())).await);
        assert_eq!((got, error.code.as_str()), (status, code), "{id} {selector:?}: {error}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_archived_neither_runs_nor_changes_until_it_is_taken_out() {
    let daemon = Daemon::start().await;
    let version = daemon.put(&document("main", "one"), &BlueprintSaid::default()).await;
    for _twice in 0..2 {
        daemon.client.blueprint_archive("main").await.expect("it is archived");
    }
    for selector in [None, Some(VersionSelectorParams::Fixed { value: version.clone() })] {
        let (status, error) = refused(daemon.client.task_run(&daemon.by_version("main", selector)).await);
        assert_eq!((status, error.code.as_str()), (409, "blueprint_archived"));
        assert!(error.error.ends_with("is archived; POST /v1/blueprints/main/unarchive first"), "{error}");
    }
    let (status, _) =
        refused(daemon.client.blueprint_write("main", &document("main", "two"), &on(&version)).await);
    assert_eq!(status, 409);
    assert!(daemon.client.blueprint_head("main").await.expect("it is kept").archived_at.is_some());
    assert_eq!(registered(&daemon, Archived::Hidden).await, [""; 0]);
    assert_eq!(registered(&daemon, Archived::Shown).await, ["main"]);
    for _twice in 0..2 {
        daemon.client.blueprint_unarchive("main").await.expect("it is out");
    }
    daemon.client.task_run(&daemon.by_version("main", None)).await.expect("it runs again");
    let events = daemon.plane.events_of("blueprint:main", 0, 10).await.expect("its rows");
    let kinds: Vec<_> = events.iter().map(|row| row.event.kind()).collect();
    assert_eq!(kinds, ["blueprint_written", "blueprint_archived", "blueprint_unarchived"]);
    for answer in
        [daemon.client.blueprint_archive("nobody").await, daemon.client.blueprint_unarchive("nobody").await]
    {
        assert_eq!(refused(answer).0, 404);
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_blueprint_goes_before_the_built_in_one_of_its_id() {
    let daemon = Daemon::with_settings(with_built_in).await;
    let shipped = daemon.client.blueprint_head("shipped").await.expect("it is built in");
    assert!(shipped.built_in && shipped.entry.is_none());
    let done = daemon.client.task_run(&daemon.by_version("shipped", None)).await.expect("it is done");
    assert_eq!(done.bound_version, shipped.version);
    let (status, _) = refused(daemon.client.blueprint_archive("shipped").await);
    assert_eq!(status, 409);
    let own = document("shipped", "as we have it");
    let (status, error) =
        refused(daemon.client.blueprint_write("shipped", &own, &BlueprintSaid::default()).await);
    assert_eq!(
        (status, error.details.expect("details")["head"].as_str()),
        (409, Some(shipped.version.as_str()))
    );
    let same = daemon.client.blueprint_write("shipped", &shipped.blueprint, &BlueprintSaid::default()).await;
    assert!(!same.expect("nothing is new").seeded);
    let version = daemon.put(&own, &on(&shipped.version)).await;
    let head = daemon.client.blueprint_head("shipped").await.expect("it is there");
    assert_eq!((head.built_in, head.version.as_str()), (false, version.as_str()));
    assert_eq!(head.entry.expect("it is registered").parent.as_ref(), Some(&shipped.version));
    let diff = daemon.client.blueprint_diff("shipped", None, None).await.expect("a difference");
    assert_eq!(diff.from, shipped.version);
    let fixed = Some(VersionSelectorParams::Fixed { value: shipped.version.clone() });
    let done = daemon.client.task_run(&daemon.by_version("shipped", fixed)).await.expect("it is done");
    assert_eq!(done.bound_version, shipped.version);
    assert_eq!(registered(&daemon, Archived::Hidden).await, ["shipped"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_outlive_the_daemon() {
    let daemon = Daemon::start().await;
    let one = daemon.put(&labelled("main", "1.0.0"), &because(None, "first")).await;
    let two = daemon.put(&labelled("main", "1.1.0"), &because(Some(&one), "second")).await;
    daemon.put(&document("old", "x"), &BlueprintSaid::default()).await;
    daemon.client.blueprint_archive("old").await.expect("it is archived");
    let history = daemon.client.blueprint_history("main", None, 10).await.expect("a history");
    let list = daemon.client.blueprints(None, Archived::Shown).await.expect("a list");

    let daemon = daemon.restarted().await;
    assert_eq!(daemon.client.blueprint_history("main", None, 10).await.expect("a history"), history);
    assert_eq!(daemon.client.blueprints(None, Archived::Shown).await.expect("a list"), list);
    let older = daemon.client.blueprint_history("main", Some(2), 10).await.expect("a history");
    assert_eq!(older.entries, history.entries[1..]);
    let req = Some(VersionSelectorParams::SemverReq { req: "=1.0.0".to_owned() });
    let done = daemon.client.task_run(&daemon.by_version("main", req)).await.expect("it is done");
    assert_eq!(done.bound_version, one);
    daemon.put(&document("main", "three"), &on(&two)).await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blueprints_are_written_by_those_whose_role_lets_them() {
    let daemon = Daemon::start().await;
    let agent = daemon.send("POST /v1/tokens", r#"{"agent_id": "loop"}"#).await;
    let agent: Value = serde_json::from_str(&agent.body).expect("JSON");
    let client = daemon.client_with(agent["token"].as_str().expect("a token"));
    let (status, error) =
        refused(client.blueprint_write("main", &document("main", "x"), &BlueprintSaid::default()).await);
    assert_eq!((status, error.code.as_str()), (403, "forbidden"));
    assert_eq!(refused(client.blueprint_head("main").await).0, 403);
    let head = format!("host: {}\r\n", daemon.host());
    assert_eq!(daemon.send_with("GET /v1/blueprints", &head).await.status, 401);
    daemon.stop().await;
}
