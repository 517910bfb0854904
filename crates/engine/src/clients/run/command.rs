//! What the owner of a client's run is told, and the way to it.

use crate::clients::subscriber::{RunTail, Subscriber};
use crate::clients::{Dropped, StartedRun};
use crate::clock;
use crate::error::EngineError;
use adjutant_model::client_run::{ClientRunLimits, ClientTurn};
use adjutant_model::policy::Judgement;
use adjutant_model::run::RunStatus;
use adjutant_model::{Timestamp, Value};
use adjutant_rules::client_run;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub(in crate::clients) type Answer<T> = oneshot::Sender<T>;

/// What an owner is told. Answers come when what they say is durable.
#[derive(Debug)]
pub(in crate::clients) enum RunCommand {
    /// Keep the next indexes for the actions of a proposal; answers the first. Only the connection that drives the
    /// run may ask.
    Reserve { connection: Arc<str>, count: u64, reply: Answer<Result<u64, Dropped>> },
    /// A turn has started or settled; what the gate said of it goes with the first that is told.
    Put { turn: Box<ClientTurn>, judgement: Option<Box<Judgement>>, reply: Option<Answer<()>> },
    /// A tool is about to be called, the first attempt with its turn; answers which limit of the run leaves no call.
    Call {
        turn: Option<Box<ClientTurn>>,
        judgement: Option<Box<Judgement>>,
        reply: Answer<Result<(), String>>,
    },
    /// Turns that the client tells of; their indexes are given here. Answers the first.
    Record { turns: Vec<ClientTurn>, reply: Answer<Result<u64, Dropped>> },
    /// The state of the run has changed.
    StateSet(Value),
    /// A rule is in force from now on, in the whole run or for what is submitted under a scope.
    Bind { name: String, rule: Value, scope: BoundTo, reply: Answer<()> },
    /// A scope of rules is open.
    SessionOpened(String),
    /// A scope of rules is closed.
    SessionClosed(String),
    /// Somebody wants to see it live.
    Subscribe { subscriber: Subscriber, reply: Answer<Result<RunTail, EngineError>> },
    /// A connection wants to see no more of it; answers whether it did.
    Unsubscribe { connection: Arc<str>, reply: Answer<bool> },
    /// Its client says how it ended.
    End { ending: Ending, reply: Answer<bool> },
    /// A connection is gone.
    Detached { connection: Arc<str> },
    /// Its connection goes on with it; answers what it is bound to.
    Bound { reply: Answer<StartedRun> },
    /// A connection goes on with it; answers the state it has.
    Resume { connection: Arc<str>, reply: Answer<StartedRun> },
}

/// What a rule is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::clients) enum BoundTo {
    /// The run.
    Run,
    /// A scope of rules.
    Session(String),
    /// The scope under which the run was started, and so the run.
    Both(String),
}

/// How a run ends.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::clients) struct Ending {
    pub(in crate::clients) status: RunStatus,
    pub(in crate::clients) outcome: Option<Value>,
    pub(in crate::clients) reason: Option<String>,
}

/// The way to an owner.
#[derive(Debug, Clone)]
pub(crate) struct ClientRunHandle {
    pub(in crate::clients) commands: mpsc::Sender<RunCommand>,
    /// Is cancelled when the run is about to end: what is in flight for it stops.
    pub(in crate::clients) ending: CancellationToken,
    /// How much it may take.
    pub(in crate::clients) limits: ClientRunLimits,
    pub(in crate::clients) started_at: Timestamp,
}

impl ClientRunHandle {
    /// Asks, and gives nothing when the run is over.
    pub(in crate::clients) async fn ask<T>(
        &self,
        command: impl FnOnce(Answer<T>) -> RunCommand,
    ) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Says which limit is reached when the run has taken all its time.
    pub(in crate::clients) fn time_over(&self) -> Option<String> {
        client_run::time_over(&self.limits, self.started_at, clock::now())
    }

    /// Waits until the run has taken all its time, for ever when it has no limit.
    pub(in crate::clients) async fn out_of_time(&self) {
        match client_run::over_at(&self.limits, self.started_at) {
            Some(at) => tokio::time::sleep(clock::until(at)).await,
            None => std::future::pending().await,
        }
    }
}
