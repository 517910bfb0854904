//! The runtime door over real loopback WebSockets; names of tests begin with the acceptance case they show.

mod actions;
mod disk;
mod door;
mod hostile;
mod lifecycle;
mod limits;
mod narrated;
mod noise;
mod replay;
mod sessions;
mod stream;
mod trust;
mod turns;
mod typed;
mod weaknesses;

use crate::harness::Daemon;
use adjutant_protocol::rpc::{
    Notice, RpcClient, RpcClientError, RunTraceEvent, ToolAnswer, ToolRequest, Tools,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc::UnboundedReceiver;

/// Tools whose answers a test gives, and which remember what they were asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bench {
    asked: Arc<Mutex<Vec<ToolRequest>>>,
    answers: Arc<Mutex<Vec<Result<Value, String>>>>,
}

impl Bench {
    /// Answers the next calls with these, in order; later ones with the last.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Result<Value, String>>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Bench { asked: Arc::default(), answers: Arc::new(Mutex::new(answers)) }
    }

    pub(crate) fn asked(&self) -> Vec<ToolRequest> {
        self.asked.lock().expect("no test panics here").clone()
    }
}

impl Tools for Bench {
    fn call(&self, request: ToolRequest) -> ToolAnswer {
        self.asked.lock().expect("no test panics here").push(request);
        let mut answers = self.answers.lock().expect("no test panics here");
        let answer = if answers.len() > 1 { answers.pop() } else { answers.last().cloned() };
        Box::pin(async move { answer.unwrap_or(Ok(Value::Null)) })
    }
}

/// Waits for the next record of a run that was subscribed to.
pub(crate) async fn next_run_event(door: &mut Door) -> RunTraceEvent {
    let waiting = async {
        loop {
            match door.notices.recv().await.expect("the connection is there") {
                Notice::Run(event) => return event,
                Notice::Other { .. } => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("a record comes in time")
}

/// Looks again and again until something is there; nothing says when another connection has come so far.
pub(crate) async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, looking).await.expect("it comes in time")
}

/// Everything that a test waits for comes much sooner.
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

/// A client of a daemon's runtime door.
pub(crate) struct Door {
    pub(crate) client: RpcClient,
    pub(crate) notices: UnboundedReceiver<Notice>,
}

impl Door {
    /// Connects as the owner.
    pub(crate) async fn open(daemon: &Daemon, tools: impl Tools) -> Self {
        Self::with_token(daemon, &daemon.token, tools).await
    }

    pub(crate) async fn with_token(daemon: &Daemon, token: &str, tools: impl Tools) -> Self {
        let (client, notices) =
            RpcClient::connect(daemon.client.address(), token, tools).await.expect("the door opens");
        Door { client, notices }
    }

    /// Connects as an agent that the owner made a token for.
    pub(crate) async fn of_agent(daemon: &Daemon, agent_id: &str, tools: impl Tools) -> Self {
        let owner =
            daemon.plane.authenticate(&daemon.token).await.expect("the store reads").expect("the owner");
        let secret = daemon.plane.agent_token_create(&owner, agent_id, 600).await.expect("a token");
        Self::with_token(daemon, secret.reveal(), tools).await
    }

    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: Value) -> impl Future<Output = Value> {
        let (client, method) = (self.client.clone(), method.to_owned());
        async move {
            let answer = client.call(&method, params).await;
            answer.unwrap_or_else(|error| panic!("{method}: {error}"))
        }
    }

    /// Calls what must be refused, and gives the code and the message.
    pub(crate) async fn refused(&self, method: &str, params: Value) -> (i64, String) {
        match self.client.call(method, params).await {
            Err(RpcClientError::Refused(error)) => (error.code, error.message),
            other => panic!("{method} is not refused: {other:?}"),
        }
    }

    /// Starts a run of an agent and gives its id.
    pub(crate) async fn start(&self, agent_id: &str) -> String {
        let started = self.call("runs.start", json!({"agent_id": agent_id, "intent": "test"})).await;
        started["run_id"].as_str().expect("an id").to_owned()
    }

    /// Submits a proposal of one call of a tool, and gives its result.
    pub(crate) async fn submit(&self, tool: &str, parameters: Value) -> Value {
        let action = json!({"id": "a1", "type": "tool_call", "tool": tool, "parameters": parameters});
        let proposal = json!({"id": "p1", "actions": [action]});
        self.call("proposal.submit", json!({"proposal": proposal})).await
    }

    /// Gives the turns of a run.
    pub(crate) async fn turns(&self, run_id: &str) -> Vec<Value> {
        let trace = self.call("runs.get_trace", json!({"run_id": run_id, "limit": 5000})).await;
        let records = trace["records"].as_array().expect("records").clone();
        records.into_iter().filter(|record| record["record"] == "turn").collect()
    }
}
