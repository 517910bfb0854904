//! Sessions over the daemon's end: what hosts their agents may be slow, or end with the daemon.

use adjutant_engine::approvals::{Answer, Answerer, Face};
use adjutant_engine::hosting::{HostParams, SessionCommand};
use adjutant_engine::{Plane, Settings};
use adjutant_model::SessionId;
use adjutant_model::client_run::ApprovalStatus;
use adjutant_model::event::Event;
use adjutant_model::session::{Activity, DriverKind, Session, SessionPhase, SessionState, WaitingFor};
use adjutant_testkit::{Home, owner, repository, until};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// An agent in a terminal.
const TERMINAL: &str = "echo ready\nwhile read -r line; do echo \"told: $line\"; done\n";

/// An agent in print mode that never ends its turn.
const HEADLESS: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"m"}'
  echo "$line" >> "$1"
  echo '{"type":"assistant","message":{"id":"m1","content":[{"type":"text","text":"on it"}]}}'
done
"#;

/// An agent over ACP whose prompts are what it asks its client for, `method {params}`; it notes what it is answered.
const ACP: &str = r#"
import json, sys
def send(o):
    sys.stdout.write(json.dumps(dict(o, jsonrpc="2.0")) + "\n"); sys.stdout.flush()
def read():
    line = sys.stdin.readline()
    if not line: sys.exit(0)
    return json.loads(line)
while True:
    o = read(); m = o.get("method"); i = o.get("id")
    if m == "initialize": send({"id": i, "result": {"protocolVersion": 1, "agentCapabilities": {}}})
    elif m == "session/new": send({"id": i, "result": {"sessionId": "A1"}})
    elif m == "session/prompt":
        method, _, params = o["params"]["prompt"][0]["text"].partition(" ")
        send({"id": "q", "method": method, "params": dict(json.loads(params), sessionId="A1")})
        answer = read()
        while answer.get("id") != "q": answer = read()
        with open(sys.argv[1], "a") as f: f.write(json.dumps(answer) + "\n")
        send({"id": i, "result": {"stopReason": "end_turn"}})
    elif i is not None and m: send({"id": i, "error": {"code": -32601, "message": "Method not found"}})
"#;

/// Makes a home with a project and the agent `teller`.
fn home_with(driver: DriverKind, script: &str, more: &str) -> Home {
    let home = Home::new();
    repository::with_one_file(&home.path("project"));
    fs::create_dir(home.path("agents")).expect("the folder is made");
    fs::write(home.path("agent.sh"), script).expect("the agent is written");
    let [script, told] = ["agent.sh", "told"].map(|name| home.path(name).display().to_string());
    let args = format!("[[\"{script}\", \"{told}\"]]");
    let program = if driver == DriverKind::Acp { "python3" } else { "/bin/sh" };
    let profile = format!(
        "name = \"teller\"\nprogram = \"{program}\"\n\
         [terminal]\nready_quiet_ms = 50\nready_max_ms = 2000\nsubmit_pause_ms = 20\nidle_quiet_ms = 300\n\
         [[driver]]\nkind = \"{}\"\n{more}\nargs = {args}\nresume_args = {args}\n",
        driver.as_str()
    );
    fs::write(home.path("agents/teller.toml"), profile).expect("the profile is written");
    // What Adjutant's own program does before an agent becomes it is not of these tests.
    fs::write(home.path("host"), "#!/bin/sh\nshift\nexec \"$@\"\n").expect("the program is written");
    fs::set_permissions(home.path("host"), fs::Permissions::from_mode(0o700)).expect("it can be started");
    home
}

async fn daemon(home: &Home, auto_resume: bool) -> Plane {
    let settings = Settings { exe: home.path("host"), sessions_auto_resume: auto_resume, ..home.settings() };
    let plane = Plane::open(settings).await.expect("the plane opens");
    plane.endpoint_set("http://127.0.0.1:9".to_owned());
    plane.resume().await.expect("the plane resumes");
    plane
}

async fn hosted(plane: &Plane, home: &Home, driver: DriverKind) -> SessionId {
    let params = HostParams {
        project: Some(home.path("project")),
        task: "look around".to_owned(),
        agent: Some("teller".to_owned()),
        driver: Some(driver),
        ..HostParams::default()
    };
    plane.session_host(&owner(), params, Duration::ZERO).await.expect("it is made").session.id
}

async fn session_when(plane: &Plane, id: SessionId, is_so: impl Fn(&Session) -> bool) -> Session {
    until(plane, async || Ok(Some(plane.session_managed(id).await?.session).filter(|session| is_so(session))))
        .await
}

/// A server of terminals that is stopped, until this is dropped.
struct Stopped {
    pid: String,
}

impl Stopped {
    fn server(socket: PathBuf) -> Stopped {
        let asked =
            Command::new("tmux").arg("-S").arg(socket).args(["display-message", "-p", "#{pid}"]).output();
        let pid = String::from_utf8(asked.expect("tmux starts").stdout).expect("a number").trim().to_owned();
        signal("-STOP", &pid);
        Stopped { pid }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("-CONT", &self.pid);
    }
}

fn signal(signal: &str, pid: &str) {
    assert!(
        Command::new("kill").args([signal, pid]).status().expect("kill starts").success(),
        "{signal} {pid}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_terminal_does_not_answer_is_left_alone_and_found_when_it_does() {
    let home = home_with(DriverKind::Tmux, TERMINAL, "prompt = \"typed\"");
    let plane = daemon(&home, true).await;
    let id = hosted(&plane, &home, DriverKind::Tmux).await;
    let idle = session_when(&plane, id, |session| {
        session.to_tell.is_none() && session.activity.activity == Activity::Idle
    })
    .await;
    let pid = idle.handle.expect("it is there").pid;
    plane.stop().await;

    let stopped = Stopped::server(home.path("tmux.sock"));
    let plane = daemon(&home, true).await;
    let lost = session_when(&plane, id, |session| session.activity.activity == Activity::Unknown).await;
    assert_eq!((lost.phase, lost.state), (SessionPhase::Running, SessionState::Active));
    assert!(lost.activity.evidence.contains("does not answer"), "{:?}", lost.activity);
    let refused = plane.session_send(id, "hello".to_owned()).await.expect_err("nobody hears it");
    assert_eq!((refused.code(), refused.hint().is_some()), ("out_of_reach", true), "{refused}");
    drop(stopped);

    let found = session_when(&plane, id, |session| session.activity.activity == Activity::Idle).await;
    assert_eq!(
        (found.launches, found.handle.map(|handle| handle.pid)),
        (1, Some(pid)),
        "it is the same agent"
    );
    plane.session_send(id, "hello".to_owned()).await.expect("it is told");
    session_when(&plane, id, |session| session.activity.activity == Activity::Idle).await;
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_ends_an_agent_whose_terminal_does_not_answer() {
    let home = home_with(DriverKind::Tmux, TERMINAL, "prompt = \"typed\"");
    let plane = daemon(&home, true).await;
    let id = hosted(&plane, &home, DriverKind::Tmux).await;
    let idle = session_when(&plane, id, |session| session.activity.activity == Activity::Idle).await;
    let pid = idle.handle.expect("it is there").pid;
    plane.stop().await;

    let stopped = Stopped::server(home.path("tmux.sock"));
    let plane = daemon(&home, true).await;
    session_when(&plane, id, |session| session.activity.activity == Activity::Unknown).await;
    let ended = plane.session_command(id, SessionCommand::Stop, Duration::from_secs(20)).await;
    let ended = ended.expect("it is followed").session;
    assert_eq!((ended.phase, ended.state), (SessionPhase::Resting, SessionState::Stopped));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "its process has ended: {stat}");
    drop(stopped);
    plane.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_ends_with_every_daemon_goes_on_with_every_next_one() {
    let more = "prompt = \"protocol\"\nstream = \"claude_stream_json\"";
    let home = home_with(DriverKind::Headless, HEADLESS, more);
    let mut plane = daemon(&home, true).await;
    let id = hosted(&plane, &home, DriverKind::Headless).await;
    // More often than a storm is.
    for launch in 1..=7 {
        let works =
            |session: &Session| session.launches == launch && session.activity.activity == Activity::Working;
        let session = session_when(&plane, id, works).await;
        assert_eq!((session.state, session.deaths.len()), (SessionState::Active, 0), "start {launch}");
        plane.stop().await;
        plane = daemon(&home, launch < 7).await;
    }
    let session = session_when(&plane, id, |session| session.phase == SessionPhase::Resting).await;
    assert_eq!((session.state, session.launches), (SessionState::Stopped, 7));
    let reason = session.reason.expect("it says why");
    assert_eq!(reason, "it ended with the daemon that held it; auto_resume is off");
    let told = fs::read_to_string(home.path("told")).expect("it was told");
    assert_eq!((told.matches("look around").count(), told.matches("go on with your task").count()), (1, 6));
    plane.stop().await;
}

/// Waits until a file has so many lines, and gives the last.
async fn answered(plane: &Plane, home: &Home, id: SessionId, count: u64) -> String {
    session_when(plane, id, |session| session.turns == count).await;
    let answers = fs::read_to_string(home.path("told")).expect("it was answered");
    answers.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_asks_its_client_for_goes_through_the_gate() {
    let home = home_with(DriverKind::Acp, ACP, "prompt = \"protocol\"\nstream = \"acp\"");
    fs::create_dir_all(home.path("project/.adjutant")).expect("the folder is made");
    let rules = "[[rule]]\nname = \"no-secrets\"\neffect = \"deny\"\ntool = \"Write\"\n\
                 params = { path = \"*/secret*\" }\nreason = \"secrets are not yours\"\n\
                 [[rule]]\nname = \"ask-to-touch\"\neffect = \"ask\"\ncommand = \"touch asked\"\n";
    fs::write(home.path("project/.adjutant/policy.toml"), rules).expect("the policy is written");
    let plane = daemon(&home, true).await;
    let params = HostParams {
        project: Some(home.path("project")),
        task: r#"fs/write_text_file {"path": "made.txt", "content": "made"}"#.to_owned(),
        agent: Some("teller".to_owned()),
        driver: Some(DriverKind::Acp),
        ..HostParams::default()
    };
    let hosted = plane.session_host(&owner(), params, Duration::ZERO).await.expect("it is made");
    let id = hosted.session.id;
    let answer = answered(&plane, &home, id, 1).await;
    assert!(answer.contains("result"), "{answer}");
    let workspace = plane.session_managed(id).await.expect("it is there").workspace.expect("it has one").path;
    let made = |name: &str| fs::read_to_string(PathBuf::from(&workspace).join(name)).ok();
    assert_eq!(made("made.txt").as_deref(), Some("made"));

    let denied = [
        (r#"fs/write_text_file {"path": "secret.txt", "content": "x"}"#, "secrets are not yours"),
        (r#"terminal/create {"command": "sh", "args": ["-c", "rm -rf /"]}"#, "denied: "),
        (r#"terminal/create {"command": "sudo rm -rf /etc"}"#, "denied: "),
        (r#"fs/read_text_file {"path": "/etc/passwd"}"#, "is not in the workspace"),
    ];
    for ((prompt, why), turn) in denied.into_iter().zip(2..) {
        plane.session_send(id, prompt.to_owned()).await.expect("it is told");
        let answer = answered(&plane, &home, id, turn).await;
        assert!(answer.contains("error") && answer.contains(why), "{prompt}: {answer}");
    }
    assert_eq!(made("secret.txt"), None);
    let journal = plane.events_of(&id.to_string(), 0, 1000).await.expect("it is read");
    let allowed: Vec<bool> = journal
        .iter()
        .filter_map(|row| match &row.event {
            Event::HookJudged { judgement, .. } => Some(judgement.allowed),
            _ => None,
        })
        .collect();
    // What is not in the workspace is refused before anybody judges it.
    assert_eq!(allowed, [true, false, false, false], "nothing else tells of these calls");

    for (is_allowed, turn) in [(false, 6), (true, 7)] {
        let run = r#"terminal/create {"command": "touch", "args": ["asked"]}"#;
        plane.session_send(id, run.to_owned()).await.expect("it is told");
        let waiting = Activity::Waiting(WaitingFor::Permission);
        session_when(&plane, id, |session| session.activity.activity == waiting).await;
        let pending = until(&plane, async || {
            let found = plane.approvals(Some(ApprovalStatus::Pending), 10).await?;
            Ok(Some(found).filter(|found| !found.is_empty()))
        })
        .await;
        let [approval] = &pending[..] else { panic!("one is asked: {pending:?}") };
        assert_eq!(approval.tool, "Bash");
        assert_eq!(made("asked"), None);
        let caller = owner();
        let answerer = Answerer { caller: &caller, connection: None, face: Face::Person, reason: "" };
        let said = if is_allowed { Answer::Approve { option: None } } else { Answer::Deny };
        plane.approval_answer(&approval.id, said, answerer).await.expect("it is answered");
        let answer = answered(&plane, &home, id, turn).await;
        assert_eq!(answer.contains("terminalId"), is_allowed, "{answer}");
    }
    until(&plane, async || Ok(made("asked"))).await;
    plane.stop().await;
}
