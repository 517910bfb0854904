//! Outside clients: their connections, the runs that they drive, and the proposals that they submit.
//!
//! A [`Connection`] holds what belongs to one connection and goes with it: tools, rules, scopes of rules, state. A run
//! outlives its connection: it has an owner task of its own, and the rules and state that were in force when it
//! started are kept with it.

mod connection;

mod proposals;

mod read;

mod recover;

mod run;

mod subscriber;

mod turns;

pub use adjutant_rules::proposal::ProposalLimits;
pub use connection::{Connection, ConnectionParams, PolicyScopeName, RunStart, Submitted};
pub use proposals::{SubmitParams, ToolExecution, ToolExecutor};
pub use read::{RunSummary, Trace};
pub(crate) use recover::resume_open;
pub use subscriber::{RunEvent, RunTail, Subscriber, wire_status};

use crate::error::EngineError;
use crate::plane::Core;
use crate::policies::RunPolicies;
use adjutant_model::Value;
use adjutant_model::action::{Caller, Role};
use adjutant_model::client_run::ClientRun;
use run::ClientRunHandle;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// With this begins what the journal calls a client's run.
const SUBJECT: &str = "client:";

/// A run that a connection goes on with.
#[derive(Debug, Clone)]
pub struct StartedRun {
    /// Its id.
    pub run_id: Arc<str>,
    /// The agent it is recorded under.
    pub agent_id: Arc<str>,
    /// How many of its turns have settled.
    pub cursor: u64,
    pub(crate) policies: Vec<Value>,
    pub(crate) sessions: BTreeMap<String, Vec<Value>>,
    pub(crate) state: Value,
    pub(crate) files: Arc<RunPolicies>,
}

/// Why turns were not recorded; nothing of the batch was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// There is no such run, or it is another's; the two look the same.
    #[error("there is no such run")]
    RunNotFound,
    /// The run is over.
    #[error("the run is over")]
    RunTerminal,
    /// The run would have more turns than it may.
    #[error("the run would have more turns than a run may")]
    RunTurnLimit,
    /// A turn is too large even when it is cut.
    #[error("a turn is too large even when it is cut")]
    TurnTooLarge,
}

impl Dropped {
    /// Gives the reason's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Dropped::RunNotFound => "run_not_found",
            Dropped::RunTerminal => "run_terminal",
            Dropped::RunTurnLimit => "run_turn_limit",
            Dropped::TurnTooLarge => "turn_too_large",
        }
    }
}

/// The clients' runs that are open in this daemon.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    open: Mutex<HashMap<Arc<str>, ClientRunHandle>>,
}

impl Clients {
    pub(crate) fn get(&self, run_id: &str) -> Option<ClientRunHandle> {
        self.lock().get(run_id).cloned()
    }

    fn insert(&self, run_id: Arc<str>, handle: ClientRunHandle) {
        self.lock().insert(run_id, handle);
    }

    fn remove(&self, run_id: &str) {
        let removed = self.lock().remove(run_id);
        drop(removed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Arc<str>, ClientRunHandle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives what the journal calls a client's run.
pub(crate) fn subject(run_id: &str) -> Arc<str> {
    format!("{SUBJECT}{run_id}").into()
}

/// Gives the client's run that rows with this subject are about.
pub(crate) fn run_of_subject(subject: &str) -> Option<&str> {
    subject.strip_prefix(SUBJECT)
}

/// Tells whether a caller may go on with a run, and read it: a host, the run's agent, or the token that started it.
fn may(caller: &Caller, run: &ClientRun) -> bool {
    match (caller.role, &caller.agent_id) {
        (Role::Host, _) => true,
        (_, Some(agent_id)) => *agent_id == run.agent_id,
        (Role::Operator | Role::Worker | Role::Observer | Role::Senior, None) => {
            caller.token_id.as_str() == run.token_id
        }
    }
}

/// Gives a run that the caller may see; another's looks like none.
pub(crate) async fn visible(
    core: &Core,
    caller: &Caller,
    run_id: &str,
) -> Result<Option<ClientRun>, EngineError> {
    let run = core.store.client_run_get(run_id).await?;
    Ok(run.filter(|run| may(caller, run)))
}
