//! Handoffs: another agent begins where one was, knows what it has to, and is started once.

use crate::delegations::{daemon, daemon_with, file, parent, seen, told};
use crate::harness::{Daemon, refused};
use adjutant_protocol::http::{
    GoalParams, HandoffParams, HandoffView, HostParams, ManagedView, RememberParams,
};
use adjutant_testkit::Repository;
use std::path::Path;

/// A second vendor: the same program under another name.
pub(crate) fn second(daemon: &Daemon) {
    let agents = daemon.path("agents");
    let profile = std::fs::read_to_string(agents.join("echo.toml")).expect("the first one's");
    // A brief says of files that they are `changed`, which is no word to hang by.
    let profile = profile.replace("name = \"echo\"", "name = \"other\"").replace("*hang*", "*stall*");
    std::fs::write(agents.join("other.toml"), profile).expect("it is written");
}

pub(crate) fn to(agent: &str) -> HandoffParams {
    HandoffParams { agent: agent.to_owned(), ..HandoffParams::default() }
}

async fn handed(daemon: &Daemon, session: &ManagedView, params: &HandoffParams) -> HandoffView {
    daemon.client.session_handoff(&session.name, params).await.expect("it is handed over")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_agent_begins_with_a_brief_on_what_was_not_committed() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    second(&daemon);
    let goal = GoalParams { description: "Ship it".into(), ..GoalParams::default() };
    let goal = daemon.client.goal_create(&goal).await.expect("a goal");
    let params = HostParams {
        project: Some(project.project.to_string_lossy().into_owned()),
        agent: Some("echo".into()),
        task: "Build the bridge.".into(),
        goal: Some(goal.id.clone()),
        ..HostParams::default()
    };
    let first = daemon.client.session_host(&params).await.expect("it is hosted");
    let first = seen(&daemon, &first.id, |view| view.turns == 1).await;
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let decided = RememberParams {
        text: "The bridge is of steel.".into(),
        scope: Some(format!("project:{}", project.project.display())),
        tags: vec!["decision".into()],
        ..RememberParams::default()
    };
    daemon.client.memory_remember(&decided).await.expect("it is remembered");
    let folder = first.workspace_path.clone().expect("a workspace");
    std::fs::write(Path::new(&folder).join("plan.md"), "half a plan").expect("it is written");

    let params = HandoffParams { note: Some(format!("Use {secret}.")), stop: true, ..to("other") };
    let handoff = handed(&daemon, &first, &params).await;
    let brief = &handoff.brief;
    for told in [
        "Build the bridge.",
        "Ship it",
        "The bridge is of steel. [decision]",
        "changed plan.md (+1 -0)",
        "did Build the bridge.",
        "What echo said last",
    ] {
        assert!(brief.contains(told), "{told}: {brief}");
    }
    assert!(!brief.contains(&secret) && brief.contains("[redacted:"), "{brief}");
    let successor = seen(&daemon, &handoff.successor.id, |view| view.turns == 1).await;
    assert_eq!((successor.agent.as_str(), successor.goal_id.as_ref()), ("other", Some(&goal.id)));
    assert_eq!(file(&successor, "plan.md"), "half a plan", "what was not committed is there");
    assert!(told(&successor).contains("You take over the work"), "{}", told(&successor));
    assert_eq!(daemon.client.session_managed(&first.id).await.expect("it is there").state, "stopped");
    let rows = daemon.plane.events_of(&first.id, 0, 1000).await.expect("they are read");
    let kinds: Vec<_> =
        rows.iter().map(|row| row.event.kind()).filter(|kind| kind.starts_with("handoff")).collect();
    assert_eq!(kinds, ["handoff_begun", "handoff_ended"]);
    assert!(!format!("{rows:?}").contains("half a plan"));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_finds_what_the_first_one_made() {
    let (daemon, project) = (daemon(false).await, Repository::new());
    second(&daemon);
    let first = parent(&daemon, &project).await;
    let params = HandoffParams { key: Some("k1".into()), ..to("other") };
    let (one, two) = tokio::join!(handed(&daemon, &first, &params), handed(&daemon, &first, &params));
    let three = handed(&daemon, &first, &params).await;
    assert_eq!((&one.handoff_id, &one.successor.id), (&two.handoff_id, &two.successor.id));
    assert_eq!(one.handoff_id, three.handoff_id);
    let other = HandoffParams { key: Some("k1".into()), ..to("echo") };
    assert_eq!(refused(daemon.client.session_handoff(&first.id, &other).await).0, 409);
    for (params, status) in [
        (to("nobody"), 400),
        (HandoffParams { driver: Some("radio".into()), ..to("other") }, 400),
        (HandoffParams { model: Some("--flag".into()), ..to("other") }, 400),
        (HandoffParams { note: Some("n".repeat(5000)), ..to("other") }, 400),
    ] {
        assert_eq!(refused(daemon.client.session_handoff(&first.id, &params).await).0, status, "{params:?}");
    }
    assert_eq!(refused(daemon.client.session_handoff("nope", &to("other")).await).0, 404);
    let agent = daemon.client_with(file(&first, "shown.txt").trim());
    assert_eq!(refused(agent.session_handoff(&first.id, &to("other")).await).0, 403, "an agent may not");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_failed_is_told_so_when_it_is_repeated() {
    let daemon = daemon_with(|settings| settings.sessions_alive_max = 1).await;
    let project = Repository::new();
    second(&daemon);
    let first = parent(&daemon, &project).await;
    let params = HandoffParams { key: Some("k1".into()), ..to("other") };
    let (status, error) = refused(daemon.client.session_handoff(&first.id, &params).await);
    assert_eq!((status, error.code.as_str()), (429, "busy"), "{error:?}");
    let (status, again) = refused(daemon.client.session_handoff(&first.id, &params).await);
    assert_eq!(status, 409, "{again:?}");
    assert!(again.error.contains("1 sessions are alive"), "{again:?}");
    assert!(again.hint.is_some_and(|hint| hint.contains("another `key`")));
    let params = HandoffParams { key: Some("k2".into()), stop: true, ..to("other") };
    let handed = handed(&daemon, &first, &params).await;
    seen(&daemon, &handed.successor.id, |view| view.turns == 1).await;
    daemon.stop().await;
}
