//! Issues: from an intent to a version, or to the reason why there is none.

use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_engine::enhance::{IssueFilter, IssueParams, OrbitParams, SettingParams, default_axes};
use adjutant_engine::registry::{BlueprintBase, BlueprintWrite, BlueprintWritten, VersionSelector};
use adjutant_engine::{EngineError, Plane, RunFilter};
use adjutant_model::action::Caller;
use adjutant_model::client_run::{Approval, ApprovalStatus};
use adjutant_model::event::Event;
use adjutant_model::issue::{AxisStatus, EnhanceOutcome, EnhanceSetting, Issue, IssueStatus};
use adjutant_model::run::RunStatus;
use adjutant_model::{IssueId, Value};
use adjutant_testkit::{Home, json, owner, until};
use serde_json::{Value as Json, json};
use std::time::Instant;

/// Does what the intent says, when that is JSON; else it gives the intent as the patch.
const AS_TOLD: &str = "local ctx = ...\nlocal told, ops = pcall(host.yaml_to_json, ctx.issue.intent)\n\
                       if told and type(ops) == 'table' then return ops end\nreturn ctx.issue.intent";

fn main_blueprint(description: &str) -> Json {
    json!({"id": "main", "metadata": {"description": description, "version_label": "1.0.0"},
        "agents": [{"name": "identity", "kind": "function", "spec": {"fn_id": "identity"}}],
        "flow": {"kind": "step", "ref": "identity", "in": {"op": "lit", "value": []}, "out": {"op": "path", "at": "$.x"}}})
}

fn lua(source: &str) -> Json {
    json!({"kind": "lua", "spec": {"source": source}})
}

fn shell(line: &str) -> Json {
    json!({"kind": "command", "spec": {"argv": ["sh", "-c", line]}})
}

/// Gives a spawner that says that it began, and waits for the file `go`, which it takes away.
fn held(home: &Home, patch: &Json) -> Json {
    let (began, go) = (home.path("began"), home.path("go"));
    shell(&format!(
        "echo >> '{0}'; until rm '{1}' 2>/dev/null; do sleep 0.02; done; cat <<'END'\n{patch}\nEND",
        began.display(),
        go.display()
    ))
}

fn go(home: &Home) {
    std::fs::write(home.path("go"), "").expect("the file is written");
}

fn began(home: &Home) -> usize {
    std::fs::read_to_string(home.path("began")).map_or(0, |text| text.lines().count())
}

/// Waits until a spawner has begun so often; nothing but the file tells.
async fn begins(home: &Home, count: usize) {
    while began(home) < count {
        tokio::task::yield_now().await;
    }
}

fn described(text: &str) -> Json {
    json!({"ops": [{"op": "replace", "path": "/metadata/description", "value": text}], "bump": "minor",
        "rationale": "the old one was wrong"})
}

async fn write(plane: &Plane, document: Json, base: BlueprintBase) -> Result<BlueprintWritten, EngineError> {
    let id = document["id"].as_str().expect("an id").to_owned();
    let write = BlueprintWrite { id, document: json(document), base, rationale: String::new(), label: None };
    plane.blueprint_write(&owner(), write).await
}

fn setting(spawner: Option<Json>) -> EnhanceSetting {
    EnhanceSetting {
        id: "default".to_owned(),
        blueprint_id: "enhance-default".to_owned(),
        version: VersionSelector::Latest,
        ttl_secs: 60,
        verifier_axes: default_axes(),
        spawner: spawner.map(Value::from),
        meta: json(json!({})),
    }
}

async fn put(plane: &Plane, setting: EnhanceSetting) -> Result<EnhanceSetting, EngineError> {
    plane.enhance_setting_put(&owner(), SettingParams { setting, orbit: None }).await
}

/// Gives a plane with the blueprint `main` and this spawner.
async fn plane(home: &Home, spawner: Json) -> Plane {
    with(home, setting(Some(spawner))).await
}

async fn with(home: &Home, setting: EnhanceSetting) -> Plane {
    let plane = home.plane().await;
    write(&plane, main_blueprint("old"), BlueprintBase::CreateOnly).await.expect("it is registered");
    put(&plane, setting).await.expect("the setting is kept");
    plane
}

async fn open(plane: &Plane, intent: impl ToString) -> IssueId {
    open_on(plane, "main", intent).await
}

async fn open_on(plane: &Plane, blueprint_id: &str, intent: impl ToString) -> IssueId {
    let params = IssueParams { blueprint_id: blueprint_id.to_owned(), intent: intent.to_string() };
    plane.issue_open(&owner(), params).await.expect("it is opened").id
}

async fn ended(plane: &Plane, id: &IssueId) -> Issue {
    until(plane, async || {
        let issue = plane.issue_get(id).await?;
        Ok(issue.state.status().is_terminal().then_some(issue))
    })
    .await
}

async fn stands(plane: &Plane, id: &IssueId, status: IssueStatus) -> Issue {
    until(plane, async || {
        let issue = plane.issue_get(id).await?;
        Ok((issue.state.status() == status).then_some(issue))
    })
    .await
}

async fn waits(plane: &Plane, id: &IssueId) -> String {
    until(plane, async || Ok(plane.issue_get(id).await?.state.reason().map(str::to_owned))).await
}

async fn head(plane: &Plane) -> (String, Json) {
    let head = plane.blueprint_head("main").await.expect("it is there");
    (head.version, Json::from(&head.document))
}

async fn versions(plane: &Plane) -> usize {
    plane.blueprint_history("main", None, 1000).await.expect("readable").len()
}

fn reason(issue: &Issue) -> &str {
    issue.state.reason().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_becomes_a_version_with_a_label_an_entry_and_a_run() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let (before, _) = head(&plane).await;
    let id = open(&plane, described("new")).await;
    let issue = ended(&plane, &id).await;
    let (version, document) = head(&plane).await;
    assert_eq!(issue.state.new_version(), Some(version.as_str()), "{}", reason(&issue));
    assert_eq!(document["metadata"], json!({"description": "new", "version_label": "1.1.0"}));
    let epoch = issue.epoch.expect("it had one");
    assert_eq!(epoch.base_version, before);
    assert_eq!(plane.run_get(&epoch.run_id).await.expect("it is there").status, RunStatus::Done);

    let entry = plane.enhance_entry(&id).await.expect("it is logged");
    assert_eq!(
        (entry.outcome, entry.prev_hash.as_str(), entry.new_hash.as_str()),
        (EnhanceOutcome::Applied, before.as_str(), version.as_str())
    );
    assert_eq!(
        (entry.run_id.as_ref(), entry.rationale.as_str()),
        (Some(&epoch.run_id), "the old one was wrong")
    );
    let axes: Vec<_> = entry.verdicts.iter().map(|verdict| verdict.axis.as_str()).collect();
    assert_eq!(axes, ["des", "canonical", "noop", "agent-ref", "compiles"]);
    assert!(entry.verdicts.iter().all(|verdict| verdict.status == AxisStatus::Pass), "{entry:?}");
    let written = plane.blueprint_history("main", None, 1).await.expect("readable").remove(0);
    assert_eq!(
        (written.author, written.rationale),
        (format!("enhance:{id}"), "the old one was wrong".to_owned())
    );
    assert_eq!((written.parent, written.label.as_deref()), (Some(before), Some("1.1.0")));

    let kinds: Vec<_> = plane
        .events_of(id.as_str(), 0, 100)
        .await
        .expect("readable")
        .iter()
        .map(|row| row.event.kind())
        .collect();
    assert_eq!(kinds, ["issue_opened", "issue_status_changed", "issue_status_changed", "issue_decided"]);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_verifier_denies_is_rejected_and_logged_and_changes_nothing() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let (before, _) = head(&plane).await;
    let op = |op: Json| json!({"ops": [op], "rationale": "r"});
    let replace = |path: &str, value: Json| op(json!({"op": "replace", "path": path, "value": value}));
    for (intent, expected) in [
        (
            json!({"ops": [], "rationale": "r"}).to_string(),
            "verifier deny: noop: patch is no-op (new_hash == prev_hash)",
        ),
        (replace("/id", json!("other")).to_string(), "des: the id cannot change: main would become other"),
        (replace("/flow/ref", json!("nobody")).to_string(), "agent-ref: no agent is called nobody"),
        (
            replace("/agents/0/spec/fn_id", json!("no-such-fn")).to_string(),
            "compiles: /agents/0/spec/fn_id: unknown function `no-such-fn`",
        ),
        (
            op(json!({"op": "remove", "path": "/nothing"})).to_string(),
            "json_patch: operation 0 (remove \"/nothing\"): there is no such place",
        ),
        (op(json!({"op": "merge", "path": "/id"})).to_string(), "json_patch: operation 0 cannot be read"),
        (
            op(json!({"op": "remove", "path": "/flow"})).to_string(),
            "des: `flow` is missing or has the wrong form",
        ),
        (replace("", json!([1])).to_string(), "json_patch: the patch leaves no object"),
        (op(json!({"op": "remove", "path": "/id"})).to_string(), "des: `id` is no text"),
        (replace("/metadata", json!([])).to_string(), "compiles: /metadata: expected an object"),
        (json!({"ops": []}).to_string(), "patch: `rationale` must be a text that says why"),
        (
            "I would rather not".to_owned(),
            "patch: expected one JSON object {ops, bump, rationale}, found a text",
        ),
    ] {
        let issue = ended(&plane, &open(&plane, &intent).await).await;
        assert_eq!(issue.state.status(), IssueStatus::Rejected, "{intent}");
        let reason = reason(&issue);
        assert!(reason.starts_with("verifier deny: ") && reason.contains(expected), "{intent}: {reason}");
        let entry = plane.enhance_entry(&issue.id).await.expect("it is logged");
        assert_eq!((entry.outcome, entry.new_hash.as_str()), (EnhanceOutcome::Rejected, ""), "{entry:?}");
        assert_eq!(entry.prev_hash, before);
    }
    assert_eq!((head(&plane).await.0, versions(&plane).await), (before, 1));
    let log = plane.enhance_log(Some("main".to_owned()), 1000).await.expect("readable");
    assert_eq!(log.len(), 12);
    assert!(log.windows(2).all(|pair| pair[0].at <= pair[1].at), "the oldest first");
    assert!(plane.enhance_log(Some("other".to_owned()), 1000).await.expect("readable").is_empty());
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_axis_the_registry_still_takes_nothing_that_cannot_run_or_has_another_id() {
    let home = Home::new();
    let plane =
        with(&home, EnhanceSetting { verifier_axes: vec!["noop".to_owned()], ..setting(Some(lua(AS_TOLD))) })
            .await;
    let replace = |path: &str, value: &str| json!({"ops": [{"op": "replace", "path": path, "value": value}], "rationale": "r"});
    let broken = ended(&plane, &open(&plane, replace("/agents/0/spec/fn_id", "no-such-fn")).await).await;
    assert!(
        reason(&broken).contains("compiles: /agents/0/spec/fn_id: unknown function"),
        "{}",
        reason(&broken)
    );
    let moved = ended(&plane, &open(&plane, replace("/id", "other")).await).await;
    assert!(reason(&moved).contains("the id of `main` cannot change"), "{}", reason(&moved));
    assert_eq!(plane.enhance_entry(&moved.id).await.expect("it is logged").outcome, EnhanceOutcome::Faulted);
    assert_eq!(versions(&plane).await, 1);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_put_a_fence_around_its_patch() {
    let home = Home::new();
    let fenced =
        format!("cat > /dev/null; cat <<'END'\nHere it is:\n```json\n{}\n```\nEND", described("fenced"));
    let plane = plane(&home, shell(&fenced)).await;
    let issue = ended(&plane, &open(&plane, "describe it").await).await;
    assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));
    assert_eq!(head(&plane).await.1["metadata"]["description"], "fenced");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_out_of_a_rationale() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let mut patch = described("tidy");
    patch["rationale"] = json!("tidy\narchive: true");
    let issue = ended(&plane, &open(&plane, patch).await).await;
    assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));
    let head = plane.blueprint_head("main").await.expect("it is there");
    assert_eq!(head.archived_at, None);
    assert_eq!(head.entry.expect("it is registered").rationale, "tidy\narchive: true");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_logged_like_decisions() {
    let home = Home::new();
    let plane = plane(&home, shell("echo broken >&2; exit 3")).await;
    let issue = ended(&plane, &open(&plane, "x").await).await;
    assert!(reason(&issue).starts_with("dispatch failed: "), "{}", reason(&issue));
    let entry = plane.enhance_entry(&issue.id).await.expect("it is logged");
    assert_eq!((entry.outcome, entry.reasons), (EnhanceOutcome::Faulted, vec![reason(&issue).to_owned()]));

    let orbit = json!({"id": "bare", "agents": [lua("return 1")], "flow": {"kind": "let", "at": "$.commit",
        "value": {"op": "lit", "value": {"committed": false, "rationale": "", "verdicts_summary": [], "reasons": []}}}});
    let mut orbit = orbit;
    orbit["agents"][0]["name"] = json!("patch-spawner");
    let own = EnhanceSetting { blueprint_id: "bare".to_owned(), ..setting(None) };
    let params =
        SettingParams { setting: own, orbit: Some(OrbitParams { document: json(orbit), base: None }) };
    plane.enhance_setting_put(&owner(), params).await.expect("it is kept with its orbit");
    let issue = ended(&plane, &open(&plane, "x").await).await;
    assert_eq!(reason(&issue), "commit shape: `reasons` is empty");
    assert_eq!(versions(&plane).await, 1);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_within_its_ceiling_that_is_not_committed_has_one_entry() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let issue = ended(&plane, &open(&plane, json!({"rationale": "nothing to do"})).await).await;
    assert!(reason(&issue).starts_with("verifier deny:"), "{}", reason(&issue));
    assert_eq!(plane.enhance_log(None, 1000).await.expect("readable").len(), 1);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ceiling_ends_the_work_and_commits_nothing() {
    let home = Home::new();
    let (began, went_on) = (home.path("began"), home.path("went-on"));
    let slow = shell(&format!("echo > '{}'; sleep 300; echo > '{}'", began.display(), went_on.display()));
    let plane = with(&home, EnhanceSetting { ttl_secs: 1, ..setting(Some(slow)) }).await;
    let (before, _) = head(&plane).await;
    let issue = ended(&plane, &open(&plane, "x").await).await;
    for part in ["exceeded the 1s ceiling", "ttl_secs", "its work was ended", "nothing was committed"] {
        assert!(reason(&issue).contains(part), "{part}: {}", reason(&issue));
    }
    assert_eq!((head(&plane).await.0, versions(&plane).await), (before, 1));
    assert_eq!(plane.enhance_entry(&issue.id).await.expect("it is logged").outcome, EnhanceOutcome::Faulted);
    // When the plane has stopped, everything that it started has ended.
    plane.stop().await;
    assert!(!went_on.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_spawner_an_issue_waits_and_says_for_what() {
    let home = Home::new();
    let plane = home.plane().await;
    write(&plane, main_blueprint("old"), BlueprintBase::CreateOnly).await.expect("it is registered");
    let id = open(&plane, described("new")).await;
    let reason = waits(&plane, &id).await;
    assert!(reason.contains("an enhance setting `default`"), "{reason}");
    put(&plane, setting(None)).await.expect("the setting is kept");
    let reason = until(&plane, async || {
        let issue = plane.issue_get(&id).await?;
        Ok(issue.state.reason().filter(|reason| reason.contains("patch-spawner")).map(str::to_owned))
    })
    .await;
    assert!(reason.contains("names no `spawner`"), "{reason}");
    assert_eq!(plane.issue_get(&id).await.expect("it is there").state.status(), IssueStatus::Pending);
    put(&plane, setting(Some(lua(AS_TOLD)))).await.expect("the setting is kept");
    assert_eq!(ended(&plane, &id).await.state.status(), IssueStatus::Applied);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_issues_on_one_blueprint_never_run_at_once_and_two_on_different_ones_do() {
    let home = Home::new();
    let plane = plane(&home, held(&home, &described("held"))).await;
    let mut other = main_blueprint("old");
    other["id"] = json!("other");
    write(&plane, other, BlueprintBase::CreateOnly).await.expect("it is registered");
    let first = open(&plane, "one").await;
    let second = open(&plane, "two").await;
    let elsewhere = open_on(&plane, "other", "three").await;
    stands(&plane, &first, IssueStatus::InFlight).await;
    stands(&plane, &elsewhere, IssueStatus::InFlight).await;
    begins(&home, 2).await;
    assert_eq!(plane.issue_get(&second).await.expect("it is there").state.status(), IssueStatus::Pending);
    assert_eq!(began(&home), 2);
    go(&home);
    while home.path("go").exists() {
        tokio::task::yield_now().await;
    }
    go(&home);
    assert_eq!(ended(&plane, &first).await.state.status(), IssueStatus::Applied);
    assert_eq!(ended(&plane, &elsewhere).await.state.status(), IssueStatus::Applied);
    begins(&home, 3).await;
    let (version, _) = head(&plane).await;
    go(&home);
    let second = ended(&plane, &second).await;
    assert_eq!(second.epoch.as_ref().map(|epoch| epoch.base_version.as_str()), Some(version.as_str()));
    assert!(reason(&second).contains("noop"), "the first had done it: {}", reason(&second));
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_during_an_epoch_is_never_overwritten() {
    let home = Home::new();
    let add =
        json!({"ops": [{"op": "add", "path": "/metadata/tags", "value": ["enhanced"]}], "rationale": "r"});
    let plane = plane(&home, held(&home, &add)).await;
    let id = open(&plane, "tag it").await;
    begins(&home, 1).await;
    let (base, _) = head(&plane).await;
    let pushed =
        write(&plane, main_blueprint("pushed by a person"), BlueprintBase::Version(base.clone())).await;
    let pushed = pushed.expect("a person may push at any time").version;
    go(&home);
    begins(&home, 2).await;
    let issue = plane.issue_get(&id).await.expect("it is there");
    assert_eq!((issue.conflicts, issue.state.status()), (1, IssueStatus::InFlight));
    assert_eq!(issue.epoch.map(|epoch| epoch.base_version), Some(pushed.clone()));
    assert_eq!(head(&plane).await.0, pushed, "nothing was overwritten");
    go(&home);
    let issue = ended(&plane, &id).await;
    let (version, document) = head(&plane).await;
    assert_eq!(issue.state.new_version(), Some(version.as_str()), "{}", reason(&issue));
    assert_eq!(document["metadata"]["description"], "pushed by a person");
    assert_eq!(document["metadata"]["tags"], json!(["enhanced"]));
    let parents: Vec<_> = plane
        .blueprint_history("main", None, 10)
        .await
        .expect("readable")
        .into_iter()
        .map(|entry| entry.parent)
        .collect();
    assert_eq!(parents, [Some(pushed), Some(base), None]);
    assert_eq!(plane.enhance_log(None, 10).await.expect("readable").len(), 1);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_push_in_each_of_four_epochs_the_issue_is_rejected() {
    let home = Home::new();
    let plane = plane(&home, held(&home, &described("new"))).await;
    let id = open(&plane, "describe it").await;
    for epoch in 1..=4 {
        begins(&home, epoch).await;
        let (base, _) = head(&plane).await;
        write(&plane, main_blueprint(&format!("push {epoch}")), BlueprintBase::Version(base))
            .await
            .expect("it is pushed");
        go(&home);
    }
    let issue = ended(&plane, &id).await;
    assert_eq!((issue.state.status(), issue.conflicts), (IssueStatus::Rejected, 4));
    assert!(
        reason(&issue).contains("during each of 4 epochs")
            && reason(&issue).contains("nothing was overwritten")
    );
    assert_eq!(head(&plane).await.1["metadata"]["description"], "push 4");
    let entry = plane.enhance_entry(&id).await.expect("it is logged");
    assert_eq!((entry.outcome, entry.rationale.as_str()), (EnhanceOutcome::Faulted, "the old one was wrong"));
    plane.stop().await;
}

async fn asked(plane: &Plane) -> Approval {
    until(plane, async || Ok(plane.approvals(Some(ApprovalStatus::Pending), 10).await?.pop())).await
}

fn with_approval() -> EnhanceSetting {
    let verifier_axes = ["noop", "approval", "compiles"].map(str::to_owned).to_vec();
    EnhanceSetting { verifier_axes, ..setting(Some(lua(AS_TOLD))) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_the_last_word_and_sees_the_exact_change() {
    let home = Home::new();
    let plane = with(&home, with_approval()).await;
    let caller = owner();
    let answerer = |reason| Answerer { caller: &caller, connection: None, face: Face::Person, reason };

    let approved = open(&plane, described("new")).await;
    let approval = asked(&plane).await;
    let question = approval.parameters.get("question").and_then(Value::as_str).expect("a text");
    for part in [
        "the blueprint main",
        "the old one was wrong",
        "/metadata/description",
        "\"new\"",
        &head(&plane).await.0,
    ] {
        assert!(question.contains(part), "{part}: {question}");
    }
    plane
        .approval_answer(&approval.id, Answer::Approve { option: None }, answerer(""))
        .await
        .expect("it is answered");
    let issue = ended(&plane, &approved).await;
    assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));

    let denied = open(&plane, described("newer")).await;
    let approval = asked(&plane).await;
    plane
        .approval_answer(&approval.id, Answer::Deny, answerer("not on a Friday"))
        .await
        .expect("it is answered");
    let issue = ended(&plane, &denied).await;
    for part in ["verifier deny: approval: ", "denied", "not on a Friday"] {
        assert!(reason(&issue).contains(part), "{part}: {}", reason(&issue));
    }
    assert_eq!(versions(&plane).await, 2);

    let noop = ended(&plane, &open(&plane, described("new")).await).await;
    assert_eq!(reason(&noop), "verifier deny: noop: patch is no-op (new_hash == prev_hash)");
    assert_eq!(
        plane.approvals(None, 10).await.expect("readable").len(),
        2,
        "nobody is asked about what is denied anyway"
    );
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_a_change_outlives_the_daemon() {
    let home = Home::new();
    let plane = with(&home, with_approval()).await;
    let id = open(&plane, described("new")).await;
    let before = asked(&plane).await;
    let run_id = plane.issue_get(&id).await.expect("it is there").epoch.expect("it has begun").run_id;
    plane.stop().await;

    let plane = home.plane().await;
    let approval = asked(&plane).await;
    assert_eq!(approval, before);
    let caller = owner();
    let answerer = Answerer { caller: &caller, connection: None, face: Face::Person, reason: "" };
    plane
        .approval_answer(&approval.id, Answer::Approve { option: None }, answerer)
        .await
        .expect("it is answered");
    let issue = ended(&plane, &id).await;
    assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));
    assert_eq!(issue.epoch.expect("it had one").run_id, run_id, "the same run");
    assert_eq!(plane.run_list(RunFilter::default()).await.expect("readable").len(), 1);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_in_flight_is_taken_up_by_the_next_daemon() {
    let home = Home::new();
    let plane = plane(&home, held(&home, &described("new"))).await;
    let id = open(&plane, "describe it").await;
    begins(&home, 1).await;
    let first = plane.issue_get(&id).await.expect("it is there");
    plane.stop().await;

    let plane = home.plane().await;
    assert_eq!(plane.issue_get(&id).await.expect("it is there"), first, "it is still in flight");
    begins(&home, 2).await;
    go(&home);
    let issue = ended(&plane, &id).await;
    assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));
    assert_eq!(issue.epoch, first.epoch, "by the same run");
    assert_eq!(
        (versions(&plane).await, plane.run_list(RunFilter::default()).await.expect("readable").len()),
        (2, 1)
    );
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_is_taken_back_before_and_during_its_epoch() {
    let home = Home::new();
    let plane = plane(&home, held(&home, &described("new"))).await;
    let running = open(&plane, "one").await;
    let pending = open(&plane, "two").await;
    begins(&home, 1).await;
    let cancelled = plane.issue_cancel(&owner(), &pending, "not needed").await.expect("it is taken back");
    assert_eq!(reason(&cancelled), "cancelled by host: not needed");
    let cancelled = plane.issue_cancel(&owner(), &running, "enough").await.expect("it is taken back");
    assert_eq!(cancelled.state.status(), IssueStatus::Cancelled);
    assert!(reason(&cancelled).contains("enough"), "{}", reason(&cancelled));
    let run = plane.run_get(&cancelled.epoch.expect("it had one").run_id).await.expect("it is there");
    assert_eq!(run.status, RunStatus::Cancelled);
    let again = plane.issue_cancel(&owner(), &running, "").await.expect("it is so already");
    assert_eq!(again.state.status(), IssueStatus::Cancelled);
    assert_eq!(versions(&plane).await, 1);

    put(&plane, setting(Some(lua(AS_TOLD)))).await.expect("the setting is kept");
    let done = open(&plane, described("new")).await;
    ended(&plane, &done).await;
    let late = plane.issue_cancel(&owner(), &done, "").await.expect_err("it has ended");
    assert_eq!((late.code(), late.to_string()), ("conflict", format!("{done} is applied already")));
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_issue_can_be_about_is_refused() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let open = async |blueprint_id: &str, intent: &str| {
        let params = IssueParams { blueprint_id: blueprint_id.to_owned(), intent: intent.to_owned() };
        plane.issue_open(&owner(), params).await.expect_err("it is refused")
    };
    assert_eq!(open("main", " \n").await.code(), "invalid_request");
    let unknown = open("nobody", "x").await;
    assert_eq!((unknown.code(), unknown.hint().is_some()), ("not_found", true));
    assert_eq!(open("../main", "x").await.code(), "invalid_request");
    plane.blueprint_archive(&owner(), "main").await.expect("it is archived");
    assert_eq!(open("main", "x").await.code(), "blueprint_archived");
    assert!(
        plane
            .issue_list(IssueFilter { limit: 10, ..IssueFilter::default() })
            .await
            .expect("readable")
            .is_empty()
    );
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blueprint_that_was_archived_meanwhile_or_holds_a_secret_is_not_touched() {
    let home = Home::new();
    let plane = plane(&home, held(&home, &described("new"))).await;
    let first = open(&plane, "one").await;
    let second = open(&plane, "two").await;
    begins(&home, 1).await;
    plane.blueprint_archive(&owner(), "main").await.expect("it is archived");
    go(&home);
    let first = ended(&plane, &first).await;
    assert!(reason(&first).contains("is archived"), "{}", reason(&first));
    assert!(waits(&plane, &second).await.contains("archived"), "it waits until somebody takes it out");
    put(&plane, setting(Some(lua(AS_TOLD)))).await.expect("the setting is kept");
    plane.blueprint_unarchive(&owner(), "main").await.expect("it is taken out");
    put(&plane, setting(Some(lua(AS_TOLD)))).await.expect("the setting is kept");
    ended(&plane, &second).await;

    let mut secret = main_blueprint("password=Zk29fjqLw0sQ7");
    secret["id"] = json!("secret");
    write(&plane, secret, BlueprintBase::CreateOnly).await.expect("it is registered with a warning");
    let issue = ended(&plane, &open_on(&plane, "secret", described("new")).await).await;
    assert!(reason(&issue).contains("looks like a secret"), "{}", reason(&issue));
    assert_eq!(issue.epoch, None, "no run saw it");
    assert!(plane.enhance_entry(&issue.id).await.is_ok(), "it is logged");
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_is_looked_at_before_anything_is_kept() {
    let home = Home::new();
    let plane = home.plane().await;
    let mut orbit = main_blueprint("an orbit");
    orbit["id"] = json!("orbit");
    let inline = |setting: EnhanceSetting| SettingParams {
        setting: EnhanceSetting { blueprint_id: "orbit".to_owned(), ..setting },
        orbit: Some(OrbitParams { document: json(orbit.clone()), base: None }),
    };
    let refused = async |caller: &Caller, params: SettingParams| {
        plane.enhance_setting_put(caller, params).await.expect_err("it is refused")
    };
    let zero = refused(&owner(), inline(EnhanceSetting { ttl_secs: 0, ..setting(None) })).await;
    assert!(zero.code() == "invalid_request" && zero.to_string().contains("ttl_secs: 0"), "{zero}");
    let place = refused(&owner(), inline(setting(Some(lua("return 1"))))).await;
    assert!(place.to_string().contains("patch-spawner"), "{place}");
    let unknown = json!({"kind": "function", "spec": {"fn_id": "nope"}});
    let broken = refused(&owner(), SettingParams { setting: setting(Some(unknown)), orbit: None }).await;
    assert_eq!(broken.code(), "blueprint_invalid", "{broken}");
    let agent = Caller { agent_id: Some("coder".into()), ..owner() };
    let agent = refused(&agent, SettingParams { setting: setting(None), orbit: None }).await;
    assert_eq!(agent.code(), "forbidden", "what judges an agent is not its to say");
    let missing = EnhanceSetting { blueprint_id: "nobody".to_owned(), ..setting(None) };
    assert_eq!(refused(&owner(), SettingParams { setting: missing, orbit: None }).await.code(), "not_found");
    let mut secret = lua("return 1");
    secret["description"] = json!("password=Zk29fjqLw0sQ7");
    let secret = refused(&owner(), SettingParams { setting: setting(Some(secret)), orbit: None }).await;
    assert!(secret.to_string().contains("looks like a secret"), "{secret}");
    assert!(plane.enhance_setting_ids(10).await.expect("readable").is_empty());
    assert_eq!(plane.blueprint_head("orbit").await.expect_err("it was not registered").code(), "not_found");

    let kept = plane.enhance_setting_put(&owner(), inline(setting(None))).await.expect("it is kept");
    assert_eq!(plane.enhance_setting("default").await.expect("it is there"), kept);
    assert!(plane.blueprint_head("orbit").await.is_ok(), "it was registered with it");
    plane
        .enhance_setting_put(&owner(), inline(setting(None)))
        .await
        .expect("the head holds the same already");
    plane.enhance_setting_remove(&owner(), "default").await.expect("it is removed");
    assert_eq!(
        plane.enhance_setting_remove(&owner(), "default").await.expect_err("it is gone").code(),
        "not_found"
    );
    let rows = plane.events_of("plane", 0, 1000).await.expect("readable");
    assert!(rows.iter().any(|row| matches!(row.event, Event::EnhanceSettingRemoved { .. })));
    plane.stop().await;
}

/// Opens issues on blueprints in turn, and gives how many were applied a second.
async fn rate(plane: &Plane, blueprints: &[&str], count: usize) -> f64 {
    let begun = Instant::now();
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(open_on(plane, blueprints[n % blueprints.len()], described(&format!("{n}"))).await);
    }
    for id in &ids {
        let issue = ended(plane, id).await;
        assert_eq!(issue.state.status(), IssueStatus::Applied, "{}", reason(&issue));
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_issues_become_two_hundred_versions() {
    let home = Home::new();
    let plane = plane(&home, lua(AS_TOLD)).await;
    let lua_rate = rate(&plane, &["main"], 200).await;
    assert_eq!(
        (versions(&plane).await, head(&plane).await.1["metadata"]["version_label"].clone()),
        (201, json!("1.200.0"))
    );
    assert_eq!(plane.enhance_log(None, 1000).await.expect("readable").len(), 200);
    println!("200 issues on one blueprint, spawner lua: {lua_rate:.1} issues/s");

    let mut names = Vec::new();
    for n in 0..8 {
        let mut other = main_blueprint("old");
        other["id"] = json!(format!("other-{n}"));
        names.push(format!("other-{n}"));
        write(&plane, other, BlueprintBase::CreateOnly).await.expect("it is registered");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let side_by_side = rate(&plane, &names, 200).await;
    println!("200 issues on eight blueprints, spawner lua: {side_by_side:.1} issues/s");
    put(&plane, setting(Some(shell("sed 's/.*\"intent\":\"//; s/\",\"issue_id.*//; s/\\\\\"/\"/g'"))))
        .await
        .expect("it is kept");
    let program = rate(&plane, &["main"], 100).await;
    println!("100 issues on one blueprint, spawner sh: {program:.1} issues/s");
    plane.stop().await;
}
