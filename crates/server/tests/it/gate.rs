//! The gate as a started agent meets it: with a token that is good for its own step and for nothing else.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_model::client_run::ApprovalStatus;
use adjutant_protocol::Client;
use adjutant_protocol::http::{ApprovalAnswer, JudgeParams, SettleParams};
use adjutant_testkit::until;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An agent that hands its token over, and ends when it is told to.
pub(crate) struct Agent {
    folder: TempDir,
}

impl Agent {
    pub(crate) fn new() -> Self {
        let agent = Agent { folder: tempfile::tempdir().expect("a folder for the agent") };
        for pipe in ["token", "end"] {
            let status =
                std::process::Command::new("mkfifo").arg(agent.path(pipe)).status().expect("mkfifo starts");
            assert!(status.success());
        }
        let (token, end) = (agent.path("token"), agent.path("end"));
        let script = format!(
            "#!/bin/sh\nprintf %s \"$ADJUTANT_TOKEN\" > '{}'\ncat '{}' > /dev/null\nprintf '%s\\n' '{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":\"ended\"}}'\n",
            token.display(),
            end.display()
        );
        std::fs::write(agent.program(), script).expect("the program is written");
        std::fs::set_permissions(agent.program(), std::fs::Permissions::from_mode(0o755))
            .expect("it may be started");
        agent
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.path("agent")
    }

    /// Waits until the agent runs; gives its token.
    async fn token(&self) -> String {
        on_pipe(self.path("token"), |path| std::fs::read_to_string(path).expect("the token")).await
    }

    pub(crate) async fn end(&self) {
        on_pipe(self.path("end"), |path| std::fs::write(path, "end").expect("it is told")).await;
    }
}

/// Opens a pipe, which takes until its other end is open.
async fn on_pipe<T: Send + 'static>(path: PathBuf, work: fn(&Path) -> T) -> T {
    tokio::task::spawn_blocking(move || work(&path)).await.expect("no panic")
}

fn judge(tool: &str) -> JudgeParams {
    JudgeParams { tool: tool.to_owned(), parameters: json!({"path": "x"}) }
}

/// Starts a run whose agent is in its step; gives the run's id and the agent's token.
pub(crate) async fn started(daemon: &Daemon, agent: &Agent) -> (String, String) {
    let blueprint = one_step(json!({"kind": "command", "spec": {"template": "rehearsal"}}));
    let run_id =
        daemon.client.task_start(&task(blueprint, json!({"in": "go"}))).await.expect("it is accepted").run_id;
    (run_id, agent.token().await)
}

/// Starts a run whose agent is in its step; gives the run's id and a client with the agent's token.
async fn in_step(daemon: &Daemon, agent: &Agent) -> (String, Client) {
    let (run_id, token) = started(daemon, agent).await;
    (run_id, daemon.client_with(&token))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_tool_calls_are_judged_recorded_and_settled() {
    let agent = Agent::new();
    let daemon = Daemon::with_program(agent.program()).await;
    let (run_id, worker) = in_step(&daemon, &agent).await;

    let judged = worker.gate_judge(&judge("read_file")).await.expect("it is judged");
    assert!(judged.allowed, "{judged:?}");
    assert_eq!(judged.decided_by, "policy");
    worker
        .gate_settle(judged.turn, &SettleParams { ok: true, output: json!("text") })
        .await
        .expect("it is settled");
    let (status, _) =
        refused(worker.gate_settle(judged.turn, &SettleParams { ok: true, output: json!(1) }).await);
    assert_eq!(status, 404, "a call settles once");
    let refusal = worker.gate_judge(&judge("a tool with spaces")).await.expect("it is judged");
    assert_eq!((refusal.allowed, refusal.decided_by.as_str()), (false, "validation"));

    let turns = daemon.client.trace(&run_id, None).await.expect("the trace");
    let tools: Vec<_> = turns
        .iter()
        .filter(|turn| turn.kind == "tool")
        .map(|turn| (turn.name.as_str(), turn.status.as_str()))
        .collect();
    assert_eq!(tools, [("read_file", "succeeded"), ("a tool with spaces", "rejected")]);
    agent.end().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workers_token_reaches_the_gate_and_nothing_else_until_its_step_is_over() {
    let agent = Agent::new();
    let daemon = Daemon::with_program(agent.program()).await;
    let (run_id, worker) = in_step(&daemon, &agent).await;
    for (status, error) in [
        refused(worker.status().await),
        refused(worker.run(&run_id).await),
        refused(worker.run_cancel(&run_id, None).await),
        refused(worker.goals(None).await),
        refused(worker.workspaces().await),
    ] {
        assert_eq!((status, error.code.as_str()), (403, "forbidden"));
    }
    let (status, error) = refused(daemon.client.gate_judge(&judge("read_file")).await);
    assert_eq!((status, error.code.as_str()), (403, "forbidden"), "the owner has no step");

    agent.end().await;
    let run_id = run_id.parse().expect("an id");
    daemon.plane.run_ended(&run_id).await.expect("the run ends");
    let (status, _) = refused(worker.gate_judge(&judge("read_file")).await);
    assert_eq!(status, 401, "the token went with the run");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_a_rule_asks_about_waits_for_an_answer_that_is_not_its_own() {
    let agent = Agent::new();
    let rule =
        "[[rule]]\nname = \"ask-first\"\neffect = \"ask\"\ntool = \"write_file\"\nreason = \"it writes\"\n";
    let daemon = Daemon::with_settings(|settings| {
        settings.exe = agent.program();
        std::fs::write(settings.folder.join("policy.toml"), rule).expect("the policy is written");
    })
    .await;
    let (_, worker) = in_step(&daemon, &agent).await;
    for (decision, allowed) in [("approve", true), ("deny", false)] {
        let asking = worker.clone();
        let judging = tokio::spawn(async move { asking.gate_judge(&judge("write_file")).await });
        let id = until(&daemon.plane, async || {
            Ok(daemon.plane.approvals(Some(ApprovalStatus::Pending), 1).await?.pop().map(|found| found.id))
        })
        .await;
        // Other calls of the same agent are judged meanwhile.
        assert!(worker.gate_judge(&judge("read_file")).await.expect("it is judged").allowed);
        let said = |decision: &str, option: Option<&str>| ApprovalAnswer {
            decision: decision.to_owned(),
            reason: String::new(),
            option: option.map(str::to_owned),
        };
        let (status, _) = refused(worker.approval_answer(&id, &said("approve", None)).await);
        assert_eq!(status, 403, "the asker's own token");
        let (status, error) = refused(daemon.client.approval_answer(&id, &said("approve", Some("x"))).await);
        assert_eq!((status, error.code.as_str()), (400, "invalid_request"), "it has no options");
        assert!(!judging.is_finished());
        daemon.client.approval_answer(&id, &said(decision, None)).await.expect("it is answered");
        let judged = judging.await.expect("no panic").expect("it is judged");
        assert_eq!((judged.allowed, judged.decided_by.as_str()), (allowed, "approval"));
        assert_eq!(judged.rule.as_deref(), Some("ask-first"));
        assert!(judged.reason.contains("it writes") && judged.reason.contains(&id), "{}", judged.reason);
    }
    agent.end().await;
    daemon.stop().await;
}
