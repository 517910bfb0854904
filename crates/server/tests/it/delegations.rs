//! Sessions that give work to sessions, and blueprints whose steps sessions do; their agents are small programs.

use crate::harness::{Daemon, one_step, refused, task};
use adjutant_engine::Settings;
use adjutant_protocol::http::{DelegateParams, DelegationView, HostParams, ManagedView};
use adjutant_testkit::{Repository, until};
use serde_json::json;
use std::path::Path;

/// An agent in print mode: it keeps its token, says back what it is told, and does what the words in it say.
pub(crate) const ECHO: &str = r#"
name = "echo"
program = "sh"
[[driver]]
kind = "headless"
prompt = "protocol"
stream = "claude_stream_json"
args = [["-c", '''
echo "$ADJUTANT_TOKEN" > shown.txt
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  text=${line#*'"content":"'}; text=${text%%'"'*}
  printf '%s\n' "$text" >> told.txt
  case "$text" in *die*) exit 3;; *hang*) sleep 600;; esac
  error=false; case "$text" in fail*) error=true;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  printf '%s\n' '{"type":"result","is_error":'$error',"result":"did '"$text"'","total_cost_usd":0.5,"usage":{"input_tokens":7,"output_tokens":3}}'
done
''']]
"#;

pub(crate) async fn daemon(may_spawn: bool) -> Daemon {
    daemon_with(|settings| settings.sessions_agents_may_spawn = may_spawn).await
}

/// Starts a daemon that knows the agent `echo`, with settings of its own.
pub(crate) async fn daemon_with(change: impl FnOnce(&mut Settings)) -> Daemon {
    Daemon::with_settings(|settings| {
        settings.sessions_default_agent = "echo".to_owned();
        settings.sessions_auto_resume = false;
        std::fs::create_dir_all(settings.folder.join("agents")).expect("a folder");
        std::fs::write(settings.folder.join("agents/echo.toml"), ECHO).expect("it is written");
        change(settings);
    })
    .await
}

pub(crate) async fn parent(daemon: &Daemon, project: &Repository) -> ManagedView {
    let project = Some(project.project.to_string_lossy().into_owned());
    let (agent, task) = (Some("echo".to_owned()), "begin".to_owned());
    let params = HostParams { project, agent, task, name_hint: Some("lead".into()), ..HostParams::default() };
    let made = daemon.client.session_host(&params).await.expect("it is hosted");
    seen(daemon, &made.id, |view| view.turns == 1).await
}

pub(crate) async fn seen(daemon: &Daemon, id: &str, is_so: impl Fn(&ManagedView) -> bool) -> ManagedView {
    until(&daemon.plane, async || {
        Ok(Some(daemon.client.session_managed(id).await.expect("it is there")).filter(&is_so))
    })
    .await
}

pub(crate) fn work(agent: &str, text: &str) -> DelegateParams {
    DelegateParams { agent: agent.to_owned(), task: text.to_owned(), ..DelegateParams::default() }
}

/// Waits until a delegation of a session is so.
pub(crate) async fn delegation(
    daemon: &Daemon,
    (session, id): (&str, &str),
    is_so: impl Fn(&DelegationView) -> bool,
) -> DelegationView {
    until(&daemon.plane, async || {
        let found = daemon.client.session_delegations(session).await.expect("they are listed");
        Ok(found.delegations.into_iter().find(|found| found.delegation_id == id).filter(&is_so))
    })
    .await
}

/// Gives what the agent of a session was told, from the first prompt on.
pub(crate) fn told(view: &ManagedView) -> String {
    file(view, "told.txt")
}

pub(crate) fn file(view: &ManagedView, name: &str) -> String {
    let folder = view.workspace_path.as_deref().expect("a workspace");
    std::fs::read_to_string(Path::new(folder).join(name)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_a_child_on_its_parents_branch_whose_end_is_told_once() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let lead = parent(&daemon, &project).await;
    let made =
        daemon.client.session_delegate(&lead.name, &work("research", "look")).await.expect("it begins");
    assert_eq!((made.agent.as_str(), made.profile.as_str()), ("research", "echo"));
    assert_eq!((made.tier.as_str(), made.circuit.as_str()), ("sonnet", "closed"));
    let which = (lead.id.as_str(), made.delegation_id.as_str());
    let ended = delegation(&daemon, which, |found| found.told_at.is_some()).await;
    assert_eq!((ended.status.as_str(), ended.result.as_deref()), ("completed", Some("did look")));
    let child = daemon.client.session_managed(&ended.child_session_id).await.expect("it is there");
    assert_eq!((child.parent.as_ref(), child.git_ref.as_ref()), (Some(&lead.id), lead.branch.as_ref()));
    let lead = seen(&daemon, &lead.id, |view| view.turns == 2).await;
    let words = format!("Your delegation {} to the agent research is completed.", made.delegation_id);
    assert_eq!(told(&lead).matches(&words).count(), 1, "{}", told(&lead));
    let rows = daemon.plane.events_of(&lead.id, 0, 100).await.expect("they are read");
    let kinds = rows.iter().map(|row| row.event.kind()).filter(|kind| kind.starts_with("delegation"));
    let expected = ["delegation_queued", "delegation_changed", "delegation_changed", "delegation_told"];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);

    let daemon = daemon.restarted_with(|settings| settings.sessions_auto_resume = false).await;
    let again = daemon.client.session_managed(&lead.id).await.expect("it is there");
    assert_eq!(told(&again), told(&lead), "nothing is told again");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_delegates_waits_for_a_person_also_over_a_restart() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let lead = parent(&daemon, &project).await;
    let other = parent(&daemon, &project).await;
    let agent = daemon.client_with(file(&lead, "shown.txt").trim());
    assert_eq!(refused(agent.session_delegate(&other.id, &work("x", "y")).await).0, 403, "another's");
    assert_eq!(refused(agent.session_delegate("nope", &work("x", "y")).await).0, 403, "nobody's");
    assert_eq!(refused(agent.session_managed(&lead.id).await).0, 403, "and no other route");
    let queued = agent.session_delegate(&lead.id, &work("x", "one")).await.expect("it is taken");
    let denied = agent.session_delegate(&lead.id, &work("x", "two")).await.expect("it is taken");
    assert_eq!((queued.status.as_str(), denied.status.as_str()), ("queued", "queued"));
    assert_eq!(agent.session_delegations(&lead.name).await.expect("its own").delegations.len(), 2);
    let waiting = daemon.client.inbox().await.expect("the inbox").approvals;
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    assert!(waiting.iter().all(|approval| approval.tool == "agent_delegate"), "{waiting:?}");

    let daemon = daemon.restarted_with(|settings| settings.sessions_auto_resume = false).await;
    for (queued, answer) in [(&queued, "approve"), (&denied, "deny")] {
        let line = format!("POST /v1/approvals/{}", queued.approval_id.as_deref().expect("an approval"));
        let answered = daemon.send(&line, &json!({"decision": answer}).to_string()).await;
        assert_eq!(answered.status, 200, "{answered:?}");
    }
    let ended = |found: &DelegationView| found.ended_at.is_some();
    let done = delegation(&daemon, (&lead.id, &queued.delegation_id), ended).await;
    assert_eq!((done.status.as_str(), done.result.as_deref()), ("completed", Some("did one")));
    let cancelled = delegation(&daemon, (&lead.id, &denied.delegation_id), ended).await;
    let why = cancelled.reason.as_deref().unwrap_or_default();
    assert!(cancelled.status == "cancelled" && why.contains("denied"), "{cancelled:?}");
    assert_eq!(
        refused(daemon.client.session_managed(&denied.child_session_id).await).0,
        404,
        "none was made"
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delegation_is_judged_in_the_order_that_clients_know() {
    let (daemon, project) = (daemon(true).await, Repository::new());
    let best = DelegateParams { tier: Some("best".to_owned()), ..work("x", "fail") };
    assert_eq!(refused(daemon.client.session_delegate("nope", &best).await).0, 404);
    let lead = parent(&daemon, &project).await;
    assert_eq!(refused(daemon.client.session_delegate(&lead.id, &best).await).0, 400);
    let agent = daemon.client_with(file(&lead, "shown.txt").trim());
    for _ in 0..3 {
        let made = agent.session_delegate(&lead.id, &work("x", "fail")).await.expect("it may spawn");
        let which = (lead.id.as_str(), made.delegation_id.as_str());
        let failed =
            delegation(&daemon, which, |found| found.circuit == "open" || found.told_at.is_some()).await;
        assert_eq!(failed.status, "failed", "{failed:?}");
    }
    let refusal = async || Ok(Some(refused(agent.session_delegate(&lead.id, &best).await)));
    let (status, error) = until(&daemon.plane, refusal).await;
    assert_eq!(status, 409, "{error:?}");
    assert!(error.error.contains("circuit breaker of x is open"), "{error:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_done_by_a_session_in_the_runs_workspace() {
    let daemon = daemon(false).await;
    let spec = |keep: &str| one_step(json!({"kind": "session", "spec": {"agent": "echo", "keep": keep}}));
    let run = async |keep: &str, prompt: &str| {
        let request = task(spec(keep), json!({"in": prompt}));
        let started = daemon.client.task_start(&request).await.expect("it starts");
        until(&daemon.plane, async || {
            let run = daemon.client.run(&started.run_id).await.expect("it is there");
            Ok(Some(run).filter(|run| run.ended_at.is_some()))
        })
        .await
    };
    let done = run("on_failure", "write").await;
    let out = done.final_ctx.as_ref().expect("a result")["out"].clone();
    assert_eq!((&out["text"], &out["usage"]["cost_usd"]), (&json!("did write"), &json!(0.5)), "{out}");
    assert_eq!(done.usage.as_ref().and_then(|usage| usage.cost_usd), Some(0.5));
    let session = daemon.client.session_managed(out["session_id"].as_str().expect("an id")).await;
    assert_eq!(session.expect("it is there").state, "decommissioned");
    let folder = done.workspace.as_ref().expect("a workspace").path.clone();
    let told = std::fs::read_to_string(Path::new(&folder).join("told.txt")).expect("the run's folder stays");
    assert_eq!(told, "write\n");

    let failed = run("on_failure", "fail").await;
    assert_eq!(failed.status, "failed", "{failed:?}");
    let died = run("never", "die").await;
    assert!(format!("{:?}", died.error).contains("exit code 3"), "{died:?}");
    let kept = daemon.client.sessions_managed(None).await.expect("they are listed").sessions;
    assert_eq!(kept.iter().map(|kept| kept.state.as_str()).collect::<Vec<_>>(), ["stopped"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_goes_on_with_its_session_over_a_restart_and_a_cancelled_one_stops_it() {
    let daemon = daemon(false).await;
    let blueprint = one_step(json!({"kind": "session", "spec": {"agent": "echo"}}));
    let request = task(blueprint, json!({"in": "hang"}));
    let started = daemon.client.task_start(&request).await.expect("it starts");
    let session = until(&daemon.plane, async || {
        let found = daemon.client.sessions_managed(None).await.expect("they are listed").sessions;
        Ok(found.into_iter().find(|found| found.pid.is_some()))
    })
    .await;
    let daemon = daemon.restarted().await;
    // Its agent did not outlive the daemon, so it is started again.
    seen(&daemon, &session.id, |view| view.launches == 2 && view.pid.is_some()).await;
    let sessions = daemon.client.sessions_managed(Some("all")).await.expect("they are listed").sessions;
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    let line = format!("POST /v1/runs/{}/cancel", started.run_id);
    let cancelled = daemon.send(&line, "{}").await;
    let run = daemon.client.run(&started.run_id).await.expect("it is there");
    assert_eq!(cancelled.status, 200, "{cancelled:?}: {run:?}");
    let stopped = seen(&daemon, &session.id, |view| view.state == "stopped").await;
    assert_eq!(stopped.pid, None);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn delegations_are_listed_whoever_looks_and_cancelled_with_the_session_that_does_them() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    let lead = parent(&daemon, &project).await;
    let client = &daemon.client;
    let begun = client.session_delegate(&lead.id, &work("research", "hang")).await.expect("it begins");
    let id = &begun.delegation_id;
    let child = seen(&daemon, &begun.child_session_id, |view| {
        view.workspace_path.is_some() && told(view).contains("hang")
    })
    .await;
    assert_eq!(client.delegations(true).await.expect("they are listed").delegations.len(), 1);
    assert_eq!(client.delegation(id).await.expect("it is there").status, "running");

    let cancelled = client.delegation_cancel(id).await.expect("it is cancelled");
    assert_eq!(cancelled.status, "cancelled", "{cancelled:?}");
    let stopped = client.session_managed(&child.id).await.expect("it is there");
    assert_eq!((stopped.state.as_str(), stopped.workspace_path.is_some()), ("stopped", true));
    assert_eq!(refused(client.delegation_cancel(id).await).0, 409);
    // The parent is told of this end as of any.
    delegation(&daemon, (&lead.id, id), |found| found.told_at.is_some()).await;
    assert_eq!(client.delegations(true).await.expect("they are listed").delegations, []);
    assert_eq!(client.delegations(false).await.expect("they are listed").delegations.len(), 1);

    let own = daemon.client_with(file(&seen(&daemon, &lead.id, |_| true).await, "shown.txt").trim());
    let asked = own.session_delegate(&lead.id, &work("research", "look")).await.expect("it is asked");
    assert_eq!(asked.status, "queued");
    let cancelled = client.delegation_cancel(&asked.delegation_id).await.expect("it is cancelled");
    assert_eq!(cancelled.status, "cancelled", "{cancelled:?}");
    assert_eq!(client.inbox().await.expect("it is read").approvals, [], "nobody is asked any more");
    assert_eq!(refused(own.delegations(false).await).0, 403);
    for line in ["GET /v1/delegations/nobody", "GET /v1/delegations?state=x"] {
        assert_eq!(daemon.send(line, "").await.status, 400, "{line}");
    }
    daemon.stop().await;
}
