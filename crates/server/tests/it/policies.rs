//! Policies of files besides the plane's: what they are about, who they are read for, and what they refuse.

use crate::gate::{Agent, started};
use crate::harness::{Daemon, identity, one_step, refused, task};
use crate::rpc::{Bench, Door};
use adjutant_protocol::http::{JudgeParams, TaskParams};
use adjutant_testkit::repository;
use serde_json::json;
use std::fs;
use std::path::Path;

/// Gives a policy that denies a tool.
fn denying(rule: &str, tool: &str) -> String {
    format!("[[rule]]\nname = \"{rule}\"\neffect = \"deny\"\ntool = \"{tool}\"\n")
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
    fs::write(path, text).expect("the policy is written");
}

fn agent_policy(daemon: &Daemon, agent: &str, text: &str) {
    write(&daemon.path(&format!("policies/agents/{agent}.toml")), text);
}

/// Gives a task whose one step checks a command in a directory.
fn check_in(dir: &Path, command: &str) -> TaskParams {
    let blueprint = one_step(json!({"kind": "check", "spec": {"command": command}}));
    TaskParams { work_dir: Some(dir.to_string_lossy().into_owned()), ..task(blueprint, json!({"in": 1})) }
}

/// Executes a task; gives the run and the rule that decided its first turn.
async fn decided(daemon: &Daemon, params: &TaskParams) -> (String, Option<String>) {
    let run_id = daemon.client.task_start(params).await.expect("it is accepted").run_id;
    daemon.plane.run_ended(&run_id.parse().expect("an id")).await.expect("it ends");
    let explained = daemon.client.turn_explain(&run_id, 0).await.expect("it is explained");
    let rule = explained.judgements.first().and_then(|verdict| verdict.rule.clone());
    (run_id, rule)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_path_in_the_workspace_is_not_outside_of_it() {
    let daemon = Daemon::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    let here = dir.to_string_lossy();
    for (command, denied) in [
        (format!("rm -rf {here}/build"), false),
        (format!("cd {here} && rm -rf build"), false),
        (format!("rm -rf {here}/a/../build"), false),
        (format!("rm -rf {here}"), true),
        (format!("rm -rf {here}/.."), true),
        (format!("rm -rf {here}-2/nothing"), true),
        ("rm -rf /nowhere/at/all".to_owned(), true),
    ] {
        let (_, rule) = decided(&daemon, &check_in(dir, &command)).await;
        let expected = if denied { "delete-outside-the-workspace" } else { "flows-run-their-steps" };
        assert_eq!(rule.as_deref(), Some(expected), "{command}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_shell_is_judged_by_its_workspace_and_its_own_policy() {
    let agent = Agent::new();
    let daemon = Daemon::with_program(agent.program()).await;
    agent_policy(&daemon, "worker", &denying("no-web", "fetch"));
    agent_policy(&daemon, "rehearsal", &denying("no-mail", "mail"));
    agent_policy(&daemon, "another", &denying("no-shell", "Bash"));
    let (run_id, token) = started(&daemon, &agent).await;
    let workspace = daemon.client.run(&run_id).await.expect("the run").workspace.expect("a folder").path;
    let worker = daemon.client_with(&token);
    for (tool, command, rule) in [
        ("Bash", format!("rm -r {workspace}/target"), None),
        ("Bash", format!("rm -r {workspace}"), Some("delete-outside-the-workspace")),
        ("Bash", "rm -r /nowhere".to_owned(), Some("delete-outside-the-workspace")),
        ("fetch", "x".to_owned(), Some("no-web")),
        ("mail", "x".to_owned(), Some("no-mail")),
    ] {
        let params = JudgeParams { tool: tool.to_owned(), parameters: json!({"command": command}) };
        let judged = worker.gate_judge(&params).await.expect("it is judged");
        assert_eq!((judged.allowed, judged.rule.as_deref()), (rule.is_none(), rule), "{tool} {command}");
    }
    agent.end().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projects_policy_holds_for_its_runs_wherever_they_work_in_it() {
    let daemon = Daemon::start().await;
    let project = daemon.path("project");
    repository::with_one_file(&project);
    write(&project.join(".adjutant/policy.toml"), &denying("no-checks", "step:check"));
    fs::create_dir_all(project.join("deep/below")).expect("a folder");
    let linked = daemon.path("linked");
    repository::git(&project, &["worktree", "add", "-q", "--detach", &linked.to_string_lossy()]);
    let elsewhere = tempfile::tempdir().expect("a folder");
    for (dir, rule) in [
        (project.clone(), "no-checks"),
        (project.join("deep/below"), "no-checks"),
        (linked, "no-checks"),
        (elsewhere.path().to_owned(), "flows-run-their-steps"),
    ] {
        let (_, found) = decided(&daemon, &check_in(&dir, "true")).await;
        assert_eq!(found.as_deref(), Some(rule), "{}", dir.display());
    }
    let project_root = Some(project.to_string_lossy().into_owned());
    let in_worktree = TaskParams { work_dir: None, project_root, ..check_in(&project, "true") };
    let (run_id, rule) = decided(&daemon, &in_worktree).await;
    assert_eq!(rule.as_deref(), Some("no-checks"));
    let explained = daemon.client.turn_explain(&run_id, 0).await.expect("it is explained");
    let scopes: Vec<_> = explained.judgements[0].matched.iter().map(|hit| hit.scope.as_str()).collect();
    assert_eq!(scopes, ["plane", "project"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_narrower_policy_only_tightens() {
    let policy = "[[rule]]\nname = \"plane\"\neffect = \"deny\"\ntool = \"step:check\"\nwhen = \"agent == 'worker'\"\n";
    let daemon = Daemon::with_policy(policy).await;
    agent_policy(&daemon, "worker", "[[rule]]\nname = \"own\"\neffect = \"allow\"\ntool = \"*\"\n");
    let dir = tempfile::tempdir().expect("a folder");
    let (_, rule) = decided(&daemon, &check_in(dir.path(), "true")).await;
    assert_eq!(rule.as_deref(), Some("plane"));
    let function = task(identity(), json!({"in": 1}));
    assert_eq!(decided(&daemon, &function).await.1, None);
    agent_policy(&daemon, "worker", &denying("no-functions", "step:function"));
    assert_eq!(decided(&daemon, &function).await.1.as_deref(), Some("no-functions"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_used_refuses_the_run_and_names_the_place() {
    let daemon = Daemon::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join(".adjutant/policy.toml");
    for (text, place) in [
        ("[[rule]]\nname = \"x\"\neffect = \"forbid\"\ntool = \"*\"\n", "/rule/0/effect"),
        ("[[rule]]\nname = \"x\"\neffect = \"deny\"\nwhen = \"1 +\"\n", "/rule/0/when"),
        ("[[rule]]\nname = \n", "line 2"),
        ("mode = \"strict\"\n", "mode"),
    ] {
        write(&path, text);
        let (status, error) = refused(daemon.client.task_start(&check_in(dir.path(), "true")).await);
        assert_eq!((status, error.code.as_str()), (400, "invalid_request"), "{text}");
        assert!(error.error.contains(".adjutant/policy.toml") && error.error.contains(place), "{error:?}");
    }
    fs::remove_file(&path).expect("it was there");
    fs::create_dir(&path).expect("a folder in its place");
    let (_, error) = refused(daemon.client.task_start(&check_in(dir.path(), "true")).await);
    assert!(error.error.contains("it is no file"), "{error:?}");
    fs::remove_dir(&path).expect("it was there");
    std::os::unix::fs::symlink("/nowhere/at/all", &path).expect("a link to nothing");
    let (_, error) = refused(daemon.client.task_start(&check_in(dir.path(), "true")).await);
    assert!(error.error.contains("cannot be used"), "{error:?}");

    agent_policy(&daemon, "agent-a", "default = \"maybe\"\n");
    let door = Door::of_agent(&daemon, "agent-a", Bench::default()).await;
    let action = json!({"type": "state_read", "parameters": {"key": "x"}});
    for (method, params) in [
        ("runs.start", json!({"intent": "test"})),
        ("proposal.submit", json!({"proposal": {"actions": [action]}})),
        ("permission.evaluate", json!({"action": action})),
    ] {
        let (code, message) = door.refused(method, params).await;
        assert!(
            code == -32602 && message.contains("agent-a.toml") && message.contains("/default"),
            "{message}"
        );
    }
    let runs = daemon.client.runs(10).await.expect("the runs");
    assert!(runs.runs.is_empty(), "nothing was begun: {runs:?}");
    daemon.stop().await;
}

#[tokio::test]
async fn a_clients_run_is_judged_by_its_agents_policy_until_it_ends() {
    let daemon = Daemon::with_lease(60_000).await;
    agent_policy(&daemon, "agent-a", &denying("no-search", "search"));
    let tools = Bench::answering([Ok(json!("found"))]);
    let door = Door::of_agent(&daemon, "agent-a", tools.clone()).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    let status = |result: serde_json::Value| result["results"][0]["status"].clone();
    assert_eq!(status(door.submit("search", json!({})).await), "rejected", "also without a run");
    let run_id = door.start("agent-a").await;
    // Who could write the file must not free a run that is open.
    fs::remove_dir_all(daemon.path("policies")).expect("it was there");
    assert_eq!(status(door.submit("search", json!({})).await), "rejected");
    drop(door);
    let daemon = daemon.restarted_with_lease(60_000).await;
    let door = Door::of_agent(&daemon, "agent-a", tools.clone()).await;
    door.call("tools.register", json!([{"name": "search"}])).await;
    door.call("runs.resume", json!({"run_id": run_id})).await;
    assert_eq!(status(door.submit("search", json!({})).await), "rejected");
    assert!(tools.asked().is_empty());
    let matched = daemon.client.turn_explain(&run_id, 1).await.expect("it is explained").judgements;
    assert_eq!(matched[0].matched[0].scope, "agent");
    door.call("runs.complete", json!({"run_id": run_id, "outcome": {"status": "success"}})).await;
    assert_eq!(status(door.submit("search", json!({})).await), "succeeded", "the file is gone");
    daemon.stop().await;
}
