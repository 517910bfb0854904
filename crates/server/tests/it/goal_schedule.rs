//! What happens to goals by itself: checks that are run again in their time, deadlines that pass, budgets that are spent,
//! and that none of it says a secret.
//!
//! Time is in the hands of the tests: what a schedule waits for is put into the past, and its round is asked for.

use crate::harness::{Daemon, one_step, task};
use adjutant_engine::goals::GoalFilter;
use adjutant_model::event::Event;
use adjutant_model::goal::{Goal, GoalAlertKind, GoalStatus, PursuitEnd};
use adjutant_protocol::http::{GoalParams, GoalStatusParams, GoalView, TaskParams};
use adjutant_testkit::{repository, until};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The schedule's own name of what runs checks again.
const RECHECK: &str = "goal_recheck";
/// That of what tells of deadlines.
const DEADLINES: &str = "goal_deadlines";

async fn made(daemon: &Daemon, params: Value) -> GoalView {
    let params: GoalParams = serde_json::from_value(params).expect("parameters");
    daemon.client.goal_create(&params).await.expect("it is made")
}

async fn act(daemon: &Daemon, goal: &GoalView, what: &str) -> GoalView {
    daemon.client.goal_do(&goal.id, what, &json!({})).await.unwrap_or_else(|error| panic!("{what}: {error}"))
}

async fn stands(daemon: &Daemon, goal: &GoalView) -> Goal {
    daemon.plane.goal_get(&goal.id.parse().expect("an id")).await.expect("it is there")
}

/// Says that every schedule has been due for an hour.
fn make_due(folder: &Path) {
    let store = Connection::open(folder.join("store.db")).expect("the store is there");
    let due = "UPDATE goals SET recheck_at = recheck_at - 3600000 * 24 * 400 WHERE recheck_at IS NOT NULL";
    assert!(store.execute(due, ()).expect("it is changed") > 0, "no goal has a schedule");
}

/// Has the schedule look at once, and gives how that ended.
async fn round(daemon: &Daemon, job: &str) -> String {
    let status = daemon.plane.job_run(job).await.expect("there is such a job");
    status.last.expect("a round has ended").outcome
}

/// A daemon whose schedule looks when it is asked to, and at its start.
async fn start() -> Daemon {
    Daemon::with_settings(|settings| settings.goal_recheck_ms = 0).await
}

/// A project, and a goal that is done on it: its file says one.
async fn done_in_its_project(daemon: &Daemon) -> GoalView {
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let check = json!([{"text": "it says one", "check": "grep -q one file.txt"}]);
    let params =
        json!({"description": "one", "acceptance": check, "project": project, "recheck": "0 6 * * *"});
    let goal = made(daemon, params).await;
    act(daemon, &goal, "check").await;
    assert_eq!(act(daemon, &goal, "close").await.status, "done");
    goal
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_finds_a_failure_reopens_the_goal_and_a_person_is_told() {
    let daemon = start().await;
    let goal = done_in_its_project(&daemon).await;
    let project = daemon.path("project");

    // What is not due is left alone, and what passes again stays done.
    assert_eq!(round(&daemon, RECHECK).await, "nothing was due");
    make_due(daemon.home.folder());
    let first = stands(&daemon, &goal).await.acceptance[0].evidence.clone().expect("evidence");
    assert_eq!(round(&daemon, RECHECK).await, "acted on 1");
    let again = stands(&daemon, &goal).await;
    let second = again.acceptance[0].evidence.clone().expect("evidence");
    assert!(again.status == GoalStatus::Done && second.passed && second.at > first.at, "{again:?}");

    fs::write(project.join("file.txt"), "broken\n").expect("the file is written");
    repository::git(&project, &["commit", "--quiet", "-am", "break it"]);
    let tree = repository::git(&project, &["rev-parse", "HEAD^{tree}"]);
    make_due(daemon.home.folder());
    assert_eq!(round(&daemon, RECHECK).await, "acted on 1");
    let goal = stands(&daemon, &goal).await;
    let evidence = goal.acceptance[0].evidence.clone().expect("evidence");
    assert_eq!((evidence.passed, evidence.tree.as_deref()), (false, Some(tree.trim())), "{evidence:?}");
    assert_eq!(evidence.workspace.as_deref(), project.to_str(), "it is looked at in its project");
    assert_eq!(goal.status, GoalStatus::InProgress);
    let next = goal.recheck.clone().expect("a schedule").next_at;
    assert!(next > evidence.at, "it goes on");

    let inbox = daemon.client.inbox().await.expect("the inbox").goals;
    assert_eq!(
        (inbox.len(), inbox[0].kind.as_str(), inbox[0].goal_id.as_str()),
        (1, "reopened", goal.id.as_str())
    );
    assert!(inbox[0].text.contains("not met any more: it says one"), "{inbox:?}");
    let rows = daemon.plane.events_of(goal.id.as_str(), 0, 1000).await.expect("readable");
    let reopened = rows.iter().find(|row| {
        matches!(
            row.event,
            Event::GoalStatusChanged { from: GoalStatus::Done, to: GoalStatus::InProgress, .. }
        )
    });
    assert_eq!(&*reopened.expect("it stands in the journal").actor, "plane");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_while_no_daemon_was_there_is_caught_up_at_the_next_start() {
    let daemon = start().await;
    let goal = done_in_its_project(&daemon).await;
    fs::write(daemon.path("project/file.txt"), "broken\n").expect("the file is written");
    make_due(daemon.home.folder());
    let daemon = daemon.restarted().await;
    let id = goal.id.parse().expect("an id");
    let reopened = until(&daemon.plane, async || {
        let goal = daemon.plane.goal_get(&id).await?;
        Ok(Some(goal).filter(|goal| goal.status == GoalStatus::InProgress))
    })
    .await;
    assert_eq!(reopened.alert.expect("a person should look").what, GoalAlertKind::Reopened);
    daemon.stop().await;
}

/// A run's work is looked at in its worktree until that is gone; then in the project, where it was merged to.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_looks_at_the_worktree_of_the_work_and_then_at_the_project() {
    let daemon = start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let check = json!([{"text": "it says two", "check": "grep -q two file.txt"}]);
    let params =
        json!({"description": "two", "acceptance": check, "project": project, "recheck": "0 6 * * *"});
    let goal = made(&daemon, params).await;
    let edit = one_step(json!({"kind": "command", "spec": {"argv": ["sh", "-c", "echo two >> file.txt"]}}));
    let params = TaskParams {
        project_root: Some(project.to_string_lossy().into_owned()),
        goal_id: Some(goal.id.clone()),
        ..task(edit, json!({"in": null}))
    };
    let run_id = daemon.client.task_run(&params).await.expect("it is done").run_id;
    act(&daemon, &goal, "check").await;
    assert_eq!(act(&daemon, &goal, "close").await.status, "done");
    let evidence = stands(&daemon, &goal).await.acceptance[0].evidence.clone().expect("evidence");
    let worktree = evidence.workspace.expect("a workspace");
    assert_ne!(Path::new(&worktree), project);

    // The project never said two, and is not asked.
    make_due(daemon.home.folder());
    assert_eq!(round(&daemon, RECHECK).await, "acted on 1");
    assert_eq!(stands(&daemon, &goal).await.status, GoalStatus::Done);

    let two = fs::read(Path::new(&worktree).join("file.txt")).expect("it is there");
    fs::write(project.join("file.txt"), two).expect("the file is written");
    repository::git(&project, &["commit", "--quiet", "-am", "merge it"]);
    let holder = adjutant_model::Holder::Run(run_id.parse().expect("an id"));
    let forced = adjutant_engine::RemoveMode::Force;
    daemon.plane.workspace_remove(&holder, forced).await.expect("it is removed");
    make_due(daemon.home.folder());
    assert_eq!(round(&daemon, RECHECK).await, "acted on 1");
    let merged = stands(&daemon, &goal).await;
    let evidence = merged.acceptance[0].evidence.clone().expect("evidence");
    assert_eq!((merged.status, evidence.workspace.as_deref()), (GoalStatus::Done, project.to_str()));

    fs::write(project.join("file.txt"), "one\n").expect("the file is written");
    make_due(daemon.home.folder());
    assert_eq!(round(&daemon, RECHECK).await, "acted on 1");
    assert_eq!(stands(&daemon, &goal).await.status, GoalStatus::InProgress);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_checked_again_is_noted_once_and_keeps_no_other_goal_waiting() {
    let daemon = start().await;
    let goal = done_in_its_project(&daemon).await;
    let other = daemon.path("other");
    repository::with_one_file(&other);
    let check = json!([{"text": "it says one", "check": "grep -q one file.txt"}]);
    let params = json!({"description": "o", "acceptance": check, "project": other, "recheck": "0 6 * * *"});
    let second = made(&daemon, params).await;
    fs::remove_dir_all(daemon.path("project")).expect("it was there");
    for _ in 0..2 {
        make_due(daemon.home.folder());
        assert_eq!(round(&daemon, RECHECK).await, "acted on 2");
    }
    let gone = stands(&daemon, &goal).await;
    assert_eq!(gone.notes.len(), 1, "{:?}", gone.notes);
    assert!(gone.notes[0].starts_with("its checks could not be run again: "), "{:?}", gone.notes);
    assert_eq!(gone.alert.as_ref().map(|alert| alert.what), Some(GoalAlertKind::Unchecked));
    assert!(stands(&daemon, &second).await.acceptance[0].evidence.as_ref().is_some_and(|found| found.passed));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_is_told_once_and_again_when_there_is_another() {
    let daemon = start().await;
    let late = json!({"description": "late", "acceptance": ["words"], "deadline": "2020-01-01T00:00:00Z"});
    let goal = made(&daemon, late).await;
    made(&daemon, json!({"description": "has time", "deadline": "2099-01-01T00:00:00Z"})).await;
    let given_up = made(&daemon, json!({"description": "over", "deadline": "2020-01-01T00:00:00Z"})).await;
    let over = GoalStatusParams { status: "abandoned".to_owned(), reason: Some("no time".to_owned()) };
    daemon.client.goal_do(&given_up.id, "status", &over).await.expect("it is given up");
    assert_eq!(round(&daemon, DEADLINES).await, "acted on 1");
    let inbox = async || daemon.client.inbox().await.expect("the inbox").goals;
    let told = inbox().await;
    assert_eq!(
        told.iter().filter(|item| item.goal_id == goal.id && item.kind == "deadline").count(),
        1,
        "{told:?}"
    );
    let seen = GoalStatusParams { status: "pending".to_owned(), reason: None };
    daemon.client.goal_do(&goal.id, "status", &seen).await.expect("it is seen");
    assert_eq!(round(&daemon, DEADLINES).await, "nothing was due");
    assert!(!inbox().await.iter().any(|item| item.goal_id == goal.id), "it was seen");

    let another = r#"{"deadline": "2021-01-01T00:00:00Z"}"#;
    let another = daemon.send(&format!("POST /v1/goals/{}", goal.id), another).await;
    assert_eq!(another.status, 200, "{another:?}");
    assert_eq!(round(&daemon, DEADLINES).await, "acted on 1");
    assert!(inbox().await.iter().any(|item| item.goal_id == goal.id && item.kind == "deadline"));
    let listed = daemon.plane.goal_list(GoalFilter::default()).await.expect("readable").goals;
    assert!(listed.iter().any(|goal| goal.description == "has time" && goal.alert.is_none()), "{listed:?}");
    daemon.stop().await;
}

/// A daemon whose agent `worker` does some work for each prompt, and says that its turn is over by the line `$end`.
async fn with_agent(work: &str) -> Daemon {
    let script = format!(
        r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  printf '%s\n' "$line" >> "$1"
  echo '{{"type":"system","subtype":"init","session_id":"S1","model":"m"}}'
  end='{{"type":"result","is_error":false,"result":"done"}}'
  {work}
  echo "$end"
done
"#
    );
    Daemon::with_settings(|settings| {
        settings.goal_recheck_ms = 0;
        let folder = &settings.folder;
        fs::create_dir_all(folder.join("agents")).expect("the folder is made");
        fs::write(folder.join("agent.sh"), script).expect("the agent is written");
        let [script, told] = ["agent.sh", "told"].map(|name| folder.join(name).display().to_string());
        let profile = format!(
            "name = \"worker\"\nprogram = \"/bin/sh\"\n[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\n\
             stream = \"claude_stream_json\"\nargs = [[\"{script}\", \"{told}\"]]\n"
        );
        fs::write(folder.join("agents/worker.toml"), profile).expect("the profile is written");
        repository::with_one_file(&folder.join("project"));
    })
    .await
}

/// Pursues a goal with one check until that is over.
async fn pursued(daemon: &Daemon, mut params: Value) -> Goal {
    params["description"] = json!("make made.txt");
    params["project"] = json!(daemon.path("project"));
    let goal = made(daemon, params).await;
    let begun = daemon.send(&format!("POST /v1/goals/{}/pursue", goal.id), r#"{"agent": "worker"}"#).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = goal.id.parse().expect("an id");
    until(&daemon.plane, async || {
        Ok(Some(daemon.plane.goal_get(&id).await?).filter(|goal| goal.pursued().is_none()))
    })
    .await
}

#[track_caller]
fn why_stopped(goal: &Goal) -> &str {
    match goal.pursuit.as_ref().and_then(|pursuit| pursuit.end()) {
        Some(PursuitEnd::Stopped { reason }) => reason,
        other => panic!("it was not stopped: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_whose_deadline_passes_stops_with_its_session_and_a_person_is_told() {
    let daemon = with_agent("sleep 600").await;
    let deadline = instant_in(1500);
    let goal = pursued(&daemon, json!({"acceptance": [{"check": "false"}], "deadline": deadline})).await;
    assert_eq!(why_stopped(&goal), "its deadline has passed");
    let session = goal.sessions[0].session_id.parse().expect("a session");
    let session = daemon.plane.session_managed(session).await.expect("it is there").session;
    assert_eq!(session.state.as_str(), "stopped");
    round(&daemon, DEADLINES).await;
    let inbox = daemon.client.inbox().await.expect("the inbox").goals;
    assert_eq!(
        inbox.iter().map(|item| item.kind.as_str()).collect::<Vec<_>>(),
        ["pursuit_stopped"],
        "said once"
    );
    let again = daemon.send(&format!("POST /v1/goals/{}/pursue", goal.id), r#"{"agent": "worker"}"#).await;
    assert!(again.status == 409 && again.error().error.contains("deadline"), "{again:?}");
    daemon.stop().await;
}

/// Gives the instant in so many milliseconds.
fn instant_in(ms: u64) -> String {
    adjutant_engine::clock::now().plus_ms(ms).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_stops_when_its_budget_is_spent_and_begins_not_without_a_larger_one() {
    let spends = r#"end='{"type":"result","is_error":false,"result":"done","usage":{"input_tokens":900,"output_tokens":200}}'"#;
    let daemon = with_agent(spends).await;
    let params = json!({"acceptance": [{"check": "false"}], "budget": {"max_tokens": 1000}});
    let goal = pursued(&daemon, params).await;
    assert!(why_stopped(&goal).starts_with("its budget is spent: 1100 of 1000 tokens"), "{:?}", goal.notes);
    assert_eq!(goal.pursuit.as_ref().map(|pursuit| pursuit.attempt), Some(1), "nobody was told again");
    let told = fs::read_to_string(daemon.path("told")).expect("the agent noted it");
    assert_eq!(told.lines().count(), 1, "{told}");
    let inbox = daemon.client.inbox().await.expect("the inbox").goals;
    assert_eq!(inbox[0].kind, "pursuit_stopped");
    let pursue = format!("POST /v1/goals/{}/pursue", goal.id);
    let again = daemon.send(&pursue, r#"{"agent": "worker"}"#).await;
    assert!(again.status == 409 && again.error().error.contains("is spent"), "{again:?}");
    daemon.stop().await;
}

/// An earlier pursuit leaves a session that never reached it; the next one is measured by its own work alone.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_pursuit_left_undone_hinders_no_later_one() {
    let daemon = with_agent(r#"if [ -e "${1%told}allowed" ]; then echo made > made.txt; fi"#).await;
    let goal = pursued(&daemon, json!({"acceptance": [{"check": "test -f made.txt"}]})).await;
    assert_eq!(why_stopped(&goal), "not reached in 3 attempts");
    fs::write(daemon.path("allowed"), "").expect("the file is written");
    let begun = daemon.send(&format!("POST /v1/goals/{}/pursue", goal.id), r#"{"agent": "worker"}"#).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let reached = until(&daemon.plane, async || {
        Ok(Some(daemon.plane.goal_get(&goal.id).await?).filter(|goal| goal.pursued().is_none()))
    })
    .await;
    assert_eq!((reached.status, reached.sessions.len()), (GoalStatus::Done, 1), "{:?}", reached.notes);
    assert_eq!(reached.pursuit.expect("a pursuit").sessions.len(), 2, "what both cost is known");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pursuit_says_no_secret_that_a_check_has_printed() {
    let secret = format!("ghp_{}", "aB3dE5fG7h".repeat(4));
    let daemon = with_agent("true").await;
    fs::write(daemon.path("project/secret.txt"), &secret).expect("the file is written");
    repository::git(&daemon.path("project"), &["add", "secret.txt"]);
    repository::git(&daemon.path("project"), &["commit", "--quiet", "-m", "a secret"]);
    let goal = pursued(&daemon, json!({"acceptance": [{"check": "cat secret.txt; false"}]})).await;
    let told = fs::read_to_string(daemon.path("told")).expect("the agent noted it");
    let rows = daemon.plane.events_of(goal.id.as_str(), 0, 1000).await.expect("readable");
    let mirror = fs::read_to_string(daemon.path("goals.json")).expect("the mirror is there");
    assert!(told.contains("[redacted:github-token]"), "what failed is told all the same: {told}");
    for said in [told, format!("{rows:?}"), mirror, format!("{goal:?}")] {
        assert!(!said.contains(&secret), "{said}");
    }
    let body = json!({"description": "d", "acceptance": [{"check": format!("curl -H 'x: {secret}' h")}]});
    let refused = daemon.send("POST /v1/goals", &body.to_string()).await;
    assert_eq!((refused.status, refused.error().code.as_str()), (400, "invalid_request"), "{refused:?}");
    assert!(!refused.body.contains(&secret) && refused.error().hint.is_some(), "{refused:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_waits_for_a_person_does_not_keep_the_daemon_from_stopping() {
    let policy = "[[rule]]\nname = \"all\"\neffect = \"ask\"\ntool = \"step:check\"\n";
    let daemon = Daemon::with_settings(|settings| {
        settings.goal_recheck_ms = 0;
        fs::write(settings.folder.join("policy.toml"), policy).expect("the policy is written");
    })
    .await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    let check = json!([{"text": "it says one", "check": "grep -q one file.txt"}]);
    let goal = json!({"description": "one", "acceptance": check, "project": project, "recheck": "0 6 * * *"});
    let goal = made(&daemon, goal).await;
    make_due(daemon.home.folder());
    let plane = daemon.plane.clone();
    let looking = tokio::spawn(async move { plane.job_run(RECHECK).await });
    let approval = until(&daemon.plane, async || {
        Ok(daemon.client.approvals(Some("pending")).await.expect("a list").approvals.pop())
    })
    .await;
    assert_eq!(approval.agent_id.as_deref(), Some("plane"), "it says who asks");
    let daemon = daemon.restarted().await;
    looking.await.expect("it does not panic");
    let left = daemon.client.approvals(Some("withdrawn")).await.expect("a list").approvals;
    assert_eq!(left.iter().map(|one| &one.id).collect::<Vec<_>>(), [&approval.id]);
    assert!(stands(&daemon, &goal).await.alert.is_none(), "the next daemon asks anew");
    daemon.stop().await;
}
