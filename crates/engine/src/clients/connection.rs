//! A connection of an outside client, and everything that belongs to it alone.

mod registry;

mod runs;

mod submit;

pub use runs::RunStart;
pub use submit::Submitted;

use super::proposals::ToolExecutor;
use super::run::{ClientRunHandle, RunCommand};
use crate::approvals::Asker;
use crate::error::EngineError;
use crate::gate::CallOrigin;
use crate::plane::Core;
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::policy::{PolicyEffect, PolicyRule, PolicyScope, ToolCall};
use adjutant_rules::document::Lint;
use adjutant_rules::policy::{self, PolicySet};
use adjutant_rules::proposal::{ToolSet, World};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A connection has at most so many tools, and so many rules.
const REGISTERED_MAX: usize = 1024;

/// What a connection is made of.
#[derive(Debug)]
pub struct ConnectionParams {
    /// Its public name.
    pub id: Arc<str>,
    /// Whose token was shown.
    pub caller: Caller,
    /// The way to its tools.
    pub executor: Arc<dyn ToolExecutor>,
}

/// Where a rule of a connection holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyScopeName {
    /// For everything that the connection submits.
    Global,
    /// For what is submitted under this scope.
    Session(String),
}

/// A connection of an outside client.
#[derive(Debug)]
pub struct Connection {
    core: Arc<Core>,
    id: Arc<str>,
    caller: Caller,
    executor: Arc<dyn ToolExecutor>,
    book: Mutex<Book>,
    closing: CancellationToken,
    proposals: TaskTracker,
}

#[derive(Debug)]
struct Book {
    tools: ToolSet,
    rules: Vec<Bound>,
    /// `rules` as they are judged by.
    set: Arc<PolicySet>,
    sessions: BTreeMap<String, Vec<Bound>>,
    world: World,
    run: Option<Current>,
    /// Runs that this connection drives or has driven, for when it goes.
    runs: Vec<ClientRunHandle>,
    /// Runs that it sees, for when it goes.
    watched: Vec<ClientRunHandle>,
    in_flight: HashMap<Arc<str>, Vec<CancellationToken>>,
}

/// A rule as it is judged by and as it came.
#[derive(Debug, Clone)]
struct Bound {
    rule: PolicyRule,
    wire: Value,
}

/// The run that proposals are of.
#[derive(Debug, Clone)]
struct Current {
    run_id: Arc<str>,
    agent_id: Arc<str>,
    handle: ClientRunHandle,
    /// The rules that the run is bound to, whatever becomes of the connection's own.
    rules: Vec<PolicyRule>,
}

impl Default for Book {
    fn default() -> Self {
        Book {
            tools: ToolSet::default(),
            rules: Vec::new(),
            set: connection_set(&[]),
            sessions: BTreeMap::new(),
            world: World::default(),
            run: None,
            runs: Vec::new(),
            watched: Vec::new(),
            in_flight: HashMap::new(),
        }
    }
}

/// The rules that a proposal is judged by besides the plane's, and where it comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct InForce {
    sets: Vec<Arc<PolicySet>>,
    session: Option<String>,
    run: Option<Arc<str>>,
    agent: Option<Arc<str>>,
    /// Set when everything is refused, with the reason.
    refused: Option<String>,
}

/// What the rules say of a call.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Judged {
    pub(super) effect: PolicyEffect,
    pub(super) reason: String,
    pub(super) rule: Option<String>,
}

impl Connection {
    pub(crate) fn new(core: Arc<Core>, params: ConnectionParams) -> Arc<Self> {
        let ConnectionParams { id, caller, executor } = params;
        Arc::new(Connection {
            core,
            id,
            caller,
            executor,
            book: Mutex::default(),
            closing: CancellationToken::new(),
            proposals: TaskTracker::new(),
        })
    }

    /// Gives its public name.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Gives whose token was shown.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(super) fn executor(&self) -> &dyn ToolExecutor {
        &*self.executor
    }

    pub(super) fn asker(&self) -> Asker {
        Asker {
            token_id: self.caller.token_id.as_str().to_owned(),
            agent_id: self.caller.agent_id.clone(),
            connection: self.id.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_world<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        change(&mut self.lock().world)
    }

    /// Judges a call without doing it.
    pub fn evaluate(&self, call: &ToolCall) -> (PolicyEffect, String, Option<String>) {
        let judged = self.judge(&self.in_force(None), call);
        (judged.effect, judged.reason, judged.rule)
    }

    fn in_force(&self, session_id: Option<&str>) -> InForce {
        let book = self.lock();
        let mut sets = Vec::new();
        if let Some(run) = &book.run {
            // What the connection has as well is told once.
            let own = |rule: &&PolicyRule| book.rules.iter().any(|bound| bound.rule == **rule);
            let only: Vec<PolicyRule> = run.rules.iter().filter(|rule| !own(rule)).cloned().collect();
            if !only.is_empty() {
                sets.push(Arc::new(PolicySet::new(PolicyScope::Run, only)));
            }
        }
        sets.push(book.set.clone());
        let refused = session_id.and_then(|id| match book.sessions.get(id) {
            Some(session) => {
                sets.push(connection_set(session));
                None
            }
            None => Some(format!("policy session '{id}' is not open")),
        });
        InForce {
            sets,
            session: session_id.map(str::to_owned),
            run: book.run.as_ref().map(|run| run.run_id.clone()),
            agent: book.run.as_ref().map(|run| run.agent_id.clone()).or_else(|| self.caller.agent_id.clone()),
            refused,
        }
    }

    pub(super) fn judge(&self, in_force: &InForce, call: &ToolCall) -> Judged {
        if let Some(reason) = &in_force.refused {
            return Judged { effect: PolicyEffect::Deny, reason: reason.clone(), rule: None };
        }
        let state = self.with_world(|world| world.state.snapshot());
        let from = CallOrigin {
            agent: in_force.agent.as_deref(),
            session: in_force.session.as_deref(),
            run: in_force.run.as_deref(),
            state: Some(&state),
        };
        let judgement = self.core.gate.judge_action(&in_force.sets, call, from);
        Judged { effect: judgement.effect, reason: judgement.reason, rule: judgement.rule }
    }

    /// Cancels every proposal in flight; no more are taken.
    pub fn stop_proposals(&self) {
        self.closing.cancel();
    }

    /// Ends the connection: its proposals stop, their turns are kept, and then its runs begin their leases.
    pub async fn close(&self) {
        self.closing.cancel();
        self.proposals.close();
        self.proposals.wait().await;
        let (runs, watched) = {
            let mut book = self.lock();
            (std::mem::take(&mut book.runs), std::mem::take(&mut book.watched))
        };
        for run in runs.into_iter().chain(watched) {
            // A run that is over has nothing to lease.
            drop(run.commands.send(RunCommand::Detached { connection: self.id.clone() }).await);
        }
    }
}

fn connection_set(rules: &[Bound]) -> Arc<PolicySet> {
    let rules: Vec<_> = rules.iter().map(|bound| bound.rule.clone()).collect();
    Arc::new(PolicySet::new(PolicyScope::Connection, rules))
}

/// Reads the rules that a run was bound to.
fn rules_of(policies: &[Value]) -> Result<Vec<PolicyRule>, EngineError> {
    policies.iter().map(policy::read_wire).collect::<Result<_, _>>().map_err(refused_lints)
}

fn refused_lints(lints: Vec<Lint>) -> EngineError {
    let all: Vec<String> = lints.iter().map(ToString::to_string).collect();
    EngineError::invalid(all.join("; "))
}
