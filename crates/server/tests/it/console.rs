//! The console, the settings and the metrics, as doors show them.

use crate::harness::{Daemon, identity, task};
use adjutant_testkit::{repository, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

async fn observer(daemon: &Daemon) -> String {
    let params = json!({"agent_id": "ann", "role": "observer"});
    let params = serde_json::from_value(params).expect("a session");
    daemon.client.session_create(&params).await.expect("it is made").session_id
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_tells_the_fleet_and_what_is_wrong() {
    let daemon = Daemon::start().await;
    let console = daemon.send("GET /v1/console", "").await;
    let shown: Value = serde_json::from_str(&console.body).expect("JSON");
    assert_eq!(
        (shown["service_id"].as_str(), shown["display_name"].as_str()),
        (Some("adjutant"), Some("Adjutant"))
    );
    assert_eq!((shown["status"].as_str(), &shown["metrics_schema_version"]), (Some("ok"), &json!(1)));
    assert_eq!(shown["metrics"]["fleet"]["total"], json!(0));
    let resume = json!({"desired": true, "env": true, "pending_restart": false});
    assert_eq!(shown["metrics"]["auto_resume"], resume);
    fs::write(daemon.path("config.toml"), "nonsense = 1\n").expect("it is written");
    let console = daemon.client.console().await.expect("it always answers");
    assert_eq!(console.status, "degraded");
    assert!(console.problems[0].contains("`nonsense` is no setting"), "{:?}", console.problems);
    let supervisor = daemon.client.supervisor().await.expect("it answers");
    assert_eq!((supervisor.fleet.total, supervisor.auto_resume.env), (0, true));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_changed_by_the_owner_and_hold_after_a_restart() {
    let daemon = Daemon::start().await;
    fs::write(daemon.path("config.toml"), "# mine\n[sessions]\nmax_alive = 4 # few\n")
        .expect("it is written");
    let set = |text: &str| json!({"set": serde_json::from_str::<Value>(text).expect("JSON")}).to_string();
    for (body, status, told) in [
        (set(r#"{"sessions.max_alive": "many"}"#), 400, "`sessions.max_alive` is a whole number"),
        (set(r#"{"sessions.alive": 1}"#), 400, "`sessions.alive` is no setting"),
        (set("{}"), 400, "1 to 64 settings"),
        (r#"{"set": {}, "more": 1}"#.to_owned(), 400, "unknown field `more`"),
    ] {
        let refused = daemon.send("PATCH /v1/config", &body).await;
        assert_eq!(refused.status, status, "{body}");
        assert!(refused.error().error.contains(told), "{refused:?}");
    }
    let hint = daemon.send("PATCH /v1/config", &set(r#"{"sessions.alive": 1}"#)).await.error().hint;
    assert!(hint.expect("what there is").contains("sessions.max_alive"));
    let change = set(r#"{"sessions.max_alive": 5, "telemetry.service_name": "mine"}"#);
    let observer = observer(&daemon).await;
    assert_eq!(daemon.send_as(&observer, "PATCH /v1/config", &change).await.status, 403);
    assert_eq!(daemon.send_as(&observer, "GET /v1/config", "").await.status, 200);
    let changed = daemon.send("PATCH /v1/config", &change).await;
    let changed: Value = serde_json::from_str(&changed.body).expect("JSON");
    let pending = |config: &Value| -> Vec<String> {
        let settings = config["settings"].as_array().expect("a list");
        let pending = settings.iter().filter(|setting| setting["pending_restart"] == json!(true));
        pending.map(|setting| setting["key"].as_str().expect("a key").to_owned()).collect()
    };
    assert_eq!(pending(&changed), ["telemetry.service_name"]);
    assert_eq!(changed["workspace_root_template"], json!("{data}/workspaces"));
    let text = fs::read_to_string(daemon.path("config.toml")).expect("it is there");
    assert_eq!(text, "# mine\n[sessions]\nmax_alive = 5 # few\n\n[telemetry]\nservice_name = \"mine\"\n");
    let off = r#"{"enabled": false}"#;
    assert_eq!(daemon.send_as(&observer, "PUT /v1/supervisor/auto_resume", off).await.status, 403);
    let set = daemon.send("PUT /v1/supervisor/auto_resume", off).await;
    assert_eq!(set.body, r#"{"desired":false,"env":false,"pending_restart":false}"#);
    let daemon = daemon.restarted().await;
    let config = daemon.client.config().await.expect("it answers");
    assert!(!config.auto_resume && !config.settings.iter().any(|setting| setting.pending_restart));
    daemon.stop().await;
}

/// Gives the names of the labels of all samples and the values that they have.
fn labels(metrics: &str) -> BTreeSet<String> {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let inside = samples.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0.to_owned()));
    inside.flat_map(|labels| labels.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_counted_and_their_labels_name_nobody() {
    let daemon = Daemon::start().await;
    let request = task(identity(), json!({"in": "a-very-secret-input"}));
    let run = daemon.client.task_run(&request).await.expect("it ends").run_id;
    let hook = json!({"session_id": uuid(), "hook_event_name": "PreToolUse", "tool_name": "Bash",
        "tool_input": {"command": "ls"}, "cwd": "/somewhere"});
    drop(daemon.send("POST /v1/hooks", &hook.to_string()).await);
    let metrics = daemon.client.metrics().await.expect("it answers");
    for sample in [
        "adjutant_steps_total{outcome=\"succeeded\"} 1",
        "adjutant_runs{driver=\"flow\",status=\"done\"} 1",
        "adjutant_runs{driver=\"client\",status=\"running\"} 0",
        "adjutant_gate_decisions_total{of=\"step\",decision=\"allow\"} 1",
        "adjutant_sessions{state=\"active\"} 0",
        "adjutant_approvals_waiting 0",
        "adjutant_store_takes_writes 1",
        "adjutant_job_rounds_total{job=\"data_collect\"} 0",
        "# TYPE adjutant_steps_total counter",
        "# TYPE adjutant_store_commit_seconds histogram",
        "# TYPE process_resident_memory_bytes gauge",
    ] {
        assert!(metrics.lines().any(|line| line == sample), "{sample}: {metrics}");
    }
    let known = [
        "outcome",
        "driver",
        "status",
        "of",
        "decision",
        "state",
        "activity",
        "job",
        "part",
        "le",
        "version",
        "answered_by",
    ];
    for label in labels(&metrics) {
        let (name, value) = label.split_once('=').expect("a value");
        assert!(known.contains(&name) && value.len() < 24, "{label}");
    }
    for secret in [
        run.as_str(),
        "a-very-secret-input",
        "identity",
        "/somewhere",
        daemon.home.path("").to_str().expect("text"),
    ] {
        assert!(!metrics.contains(secret), "{secret}");
    }
    lint(&metrics);
    let open = daemon.send_headed("GET /metrics", "accept: application/openmetrics-text\r\n", "").await;
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.ends_with("# EOF\n") && open.body.contains("# TYPE adjutant_steps counter\n"));
    daemon.stop().await;
}

fn uuid() -> &'static str {
    "0190d1f0-0000-7000-8000-000000000001"
}

/// Has Prometheus' own tool look at the text, where there is one.
fn lint(metrics: &str) {
    let tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut tool) = tool else { return };
    std::io::Write::write_all(&mut tool.stdin.take().expect("piped"), metrics.as_bytes()).expect("it reads");
    let found = tool.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&found.stderr).into_owned();
    assert!(found.status.success() && told.is_empty(), "{told}\n{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_need_a_token_unless_the_owner_says_otherwise() {
    let daemon = Daemon::start().await;
    let head = format!("host: {}\r\n", daemon.host());
    assert_eq!(daemon.send_with("GET /metrics", &head).await.status, 401);
    assert_eq!(daemon.send_as(&observer(&daemon).await, "GET /metrics", "").await.status, 200);
    let wanted = serde_json::from_value(json!({"agent_id": "a", "role": "worker"})).expect("a session");
    let worker = daemon.client.session_create(&wanted).await.expect("it is made").session_id;
    assert_eq!(daemon.send_as(&worker, "GET /metrics", "").await.status, 403);
    let open = [("metrics.needs_token".to_owned(), json!(false))].into();
    daemon.client.config_set(open).await.expect("it is changed");
    assert_eq!(daemon.send_with("GET /metrics", &head).await.status, 200);
    assert_eq!(
        daemon.send_with("GET /metrics", "host: evil.example\r\n").await.status,
        403,
        "no page may ask"
    );
    daemon.stop().await;
}

/// An agent in print mode that tells its tokens and model and no price.
const AGENT: &str = r#"
while read -r line; do
  case "$line" in *'"type":"user"'*) ;; *) continue;; esac
  echo '{"type":"system","subtype":"init","session_id":"S1","model":"claude-sonnet-4-5"}'
  echo '{"type":"assistant","message":{"id":"m1","usage":{"input_tokens":100000,"output_tokens":20000},"content":[]}}'
  echo '{"type":"result","is_error":false,"result":"done","usage":{"input_tokens":100000,"output_tokens":20000}}'
done
"#;

#[tokio::test(flavor = "multi_thread")]
async fn tokens_without_a_price_are_reckoned_for_their_session_and_its_goal() {
    let daemon = Daemon::with_settings(|settings| {
        let folder = &settings.folder;
        fs::create_dir_all(folder.join("agents")).expect("the folder is made");
        let script = folder.join("agent.sh");
        fs::write(&script, AGENT).expect("the agent is written");
        let profile = format!(
            "name = \"counter\"\nprogram = \"/bin/sh\"\n[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\n\
             stream = \"claude_stream_json\"\nargs = [[\"{}\"]]\n",
            script.display()
        );
        fs::write(folder.join("agents/counter.toml"), profile).expect("the profile is written");
        repository::with_one_file(&folder.join("project"));
    })
    .await;
    let goal = daemon.send("POST /v1/goals", &json!({"description": "cheap"}).to_string()).await;
    let goal: Value = serde_json::from_str(&goal.body).expect("a goal");
    let goal_id = goal["id"].as_str().expect("an id");
    let wanted =
        json!({"project": daemon.path("project"), "task": "do it", "agent": "counter", "goal": goal_id});
    let made = daemon.send("POST /v1/sessions/managed", &wanted.to_string()).await;
    let made: Value = serde_json::from_str(&made.body).expect("a session");
    let id = daemon.plane.session_id(made["id"].as_str().expect("an id")).await.expect("it is there");
    until(&daemon.plane, async || {
        Ok(Some(daemon.plane.session_managed(id).await?.session).filter(|session| session.turns > 0))
    })
    .await;
    let shown = daemon.send(&format!("GET /v1/sessions/managed/{id}"), "").await;
    let shown: Value = serde_json::from_str(&shown.body).expect("a session");
    let is_about = |cost: &Value, usd: f64| (cost.as_f64().expect("it is known") - usd).abs() < 1e-9;
    assert!(is_about(&shown["usage"]["cost_usd"], 0.6), "{shown}");
    assert_eq!(shown["usage"]["cost_is_estimated"], json!(true));
    let sum = daemon.client.goal_cost(goal_id).await.expect("it is known");
    assert_eq!((sum.sessions, sum.input_tokens, sum.is_estimated), (1, 100_000, true));
    assert!((sum.cost_usd.expect("it is known") - 0.6).abs() < 1e-9, "{sum:?}");
    let own = [("prices.sonnet".to_owned(), json!([1, 1]))].into();
    daemon.client.config_set(own).await.expect("it is changed");
    let sum = daemon.client.goal_cost(goal_id).await.expect("it is known");
    assert!((sum.cost_usd.expect("it is known") - 0.12).abs() < 1e-9, "{sum:?}");
    daemon.stop().await;
}
