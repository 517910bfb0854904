//! Operators over real WebSockets, and their workers over HTTP.

mod hostile;
mod layers;
mod lifecycle;
mod seats;
mod workers;

use crate::harness::{Daemon, Raw, WebSocket};
use adjutant_model::RunId;
use adjutant_model::run::{RunRecord, TurnRecord};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Everything that a test waits for comes much sooner.
const DEADLINE: Duration = Duration::from_secs(20);

/// An operator of a test.
pub(crate) struct Operator {
    pub(crate) sid: String,
    pub(crate) token: String,
    socket: Option<WebSocket>,
}

impl Operator {
    /// Joins without opening a socket.
    pub(crate) async fn join(daemon: &Daemon, params: Value) -> Operator {
        let raw = daemon.send("POST /v1/operators", &params.to_string()).await;
        assert_eq!(raw.status, 200, "{raw:?}");
        let joined: Value = serde_json::from_str(&raw.body).expect("JSON");
        let text = |key: &str| joined[key].as_str().expect("a text").to_owned();
        Operator { sid: text("sid"), token: text("token"), socket: None }
    }

    /// Joins and opens its socket.
    pub(crate) async fn present(daemon: &Daemon) -> Operator {
        let mut operator = Operator::join(daemon, json!({"desc": "a test"})).await;
        operator.connect(daemon).await;
        operator
    }

    pub(crate) async fn connect(&mut self, daemon: &Daemon) {
        let path = format!("/v1/operators/{}/ws", self.sid);
        self.socket = Some(daemon.web_socket_at(&path, Some(&self.token)).await);
        // The daemon takes the socket up a moment after it has agreed to it.
        while self.shown(daemon).await["connected"] == json!(false) {
            tokio::task::yield_now().await;
        }
    }

    /// Goes away, and waits until the daemon has noticed.
    pub(crate) async fn disconnect(&mut self, daemon: &Daemon) {
        self.socket.take().expect("it is connected").close().await;
        while self.shown(daemon).await["connected"] == json!(true) {
            tokio::task::yield_now().await;
        }
    }

    /// Gives how the daemon shows it.
    pub(crate) async fn shown(&self, daemon: &Daemon) -> Value {
        let raw = daemon.send_as(&self.token, &format!("GET /v1/operators/{}", self.sid), "").await;
        assert_eq!(raw.status, 200, "{raw:?}");
        serde_json::from_str(&raw.body).expect("JSON")
    }

    pub(crate) fn socket(&mut self) -> &mut WebSocket {
        self.socket.as_mut().expect("it is connected")
    }

    /// Gives the next frame, which must be of a type.
    #[track_caller]
    pub(crate) fn frame(&mut self, kind: &str) -> impl Future<Output = Value> {
        let kind = kind.to_owned();
        async move {
            let next = tokio::time::timeout(DEADLINE, self.socket().next()).await;
            let frame = next.unwrap_or_else(|_| panic!("no `{kind}` comes")).expect("the socket is open");
            assert_eq!(frame["type"], json!(kind), "{frame}");
            frame
        }
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket().send(&frame.to_string()).await;
    }

    /// Says that a step is done.
    pub(crate) async fn ack(&mut self, spawn: &Value) {
        self.send(json!({"type": "spawn_ack", "req_id": spawn["req_id"]})).await;
    }
}

/// Sends a request as the worker that a `spawn` frame is about.
pub(crate) async fn as_worker(daemon: &Daemon, spawn: &Value, line: &str, body: &str) -> Raw {
    let token = spawn["capability_token"].as_str().expect("a token");
    daemon.send_as(token, line, body).await
}

/// Delivers a result, which is taken.
pub(crate) async fn submit(daemon: &Daemon, spawn: &Value, body: &str) {
    let raw = as_worker(daemon, spawn, "POST /v1/worker/submit", body).await;
    assert_eq!(raw.status, 204, "{raw:?}");
}

/// Gives a blueprint whose one step is an operator's, with more fields of the agent and of the document.
pub(crate) fn operated(agent: Value, more: Value) -> Value {
    let mut worker = json!({"name": "worker", "kind": "operator"});
    let mut document = json!({"id": "test", "operators": [{"name": "main"}],
        "flow": {"kind": "step", "ref": "worker", "in": {"op": "path", "at": "$.in"}, "out": {"op": "path", "at": "$.out"}}});
    merge(&mut worker, agent);
    document["agents"] = json!([worker]);
    merge(&mut document, more);
    document
}

pub(crate) fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("an object") };
    for (key, value) in more {
        into[key] = value;
    }
}

/// Starts a run of a blueprint that goes on by itself, with more fields of the request.
pub(crate) async fn launch(daemon: &Daemon, blueprint: Value, more: Value) -> RunId {
    let raw = launch_raw(daemon, blueprint, more).await;
    assert_eq!(raw.status, 202, "{raw:?}");
    let started: Value = serde_json::from_str(&raw.body).expect("JSON");
    started["run_id"].as_str().expect("an id").parse().expect("an id")
}

pub(crate) async fn launch_raw(daemon: &Daemon, blueprint: Value, more: Value) -> Raw {
    let mut request = json!({"blueprint": {"kind": "inline", "value": blueprint},
        "init_ctx": {"in": "do it"}, "detach": true});
    merge(&mut request, more);
    daemon.send("POST /v1/tasks", &request.to_string()).await
}

/// Waits for the end of a run.
pub(crate) async fn ended(daemon: &Daemon, run_id: &RunId) -> Arc<RunRecord> {
    let ended = tokio::time::timeout(DEADLINE, daemon.plane.run_ended(run_id)).await;
    ended.expect("the run ends in time").expect("the plane answers")
}

/// Waits for the end of a run that is done, and gives what it wrote at `$.out`.
pub(crate) async fn out(daemon: &Daemon, run_id: &RunId) -> Value {
    let run = ended(daemon, run_id).await;
    let ctx: Value = (run.result.as_ref().unwrap_or_else(|| panic!("{run:?}"))).into();
    assert_eq!(run.status.as_str(), "done", "{run:?}");
    ctx["out"].clone()
}

pub(crate) async fn turns(daemon: &Daemon, run_id: &RunId) -> Vec<TurnRecord> {
    daemon.plane.turns(run_id, None, 1000).await.expect("the turns are readable")
}

/// Waits until the run says something that holds a text.
pub(crate) async fn until_said(daemon: &Daemon, run_id: &RunId, text: &str) {
    let said = adjutant_testkit::until(&daemon.plane, async || {
        let rows = daemon.plane.events_of(run_id.as_str(), 0, 1000).await?;
        let told = |row: &adjutant_model::event::JournalRow| format!("{:?}", row.event).contains(text);
        Ok(rows.iter().any(told).then_some(()))
    });
    said.await;
}

pub(crate) fn json_of(raw: &Raw) -> Value {
    serde_json::from_str(&raw.body).unwrap_or_else(|error| panic!("{error}: {raw:?}"))
}
