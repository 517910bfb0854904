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
use crate::policies::{self, RunPolicies};
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::policy::{GateStage, Judgement, PolicyEffect, PolicyRule, PolicyScope, ToolCall};
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
    /// Those for what is submitted under a scope, by its id.
    sessions: BTreeMap<String, Vec<PolicyRule>>,
    /// The scope that it was started under.
    under: Option<String>,
    /// The policies of files that hold in it.
    files: Arc<RunPolicies>,
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
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the policy of the connection's agent cannot be used.
    pub async fn evaluate(&self, call: &ToolCall) -> Result<Judgement, EngineError> {
        Ok(self.judge(&self.in_force(None).await?, call))
    }

    /// Gives the rules that hold now besides the plane's, the widest first.
    async fn in_force(&self, session_id: Option<&str>) -> Result<InForce, EngineError> {
        let of_run = self.lock().run.as_ref().map(|run| run.files.clone());
        let files = match (of_run, &self.caller.agent_id) {
            (Some(files), _) => files,
            // What comes without a run is judged by the agent's policy as it is now.
            (None, Some(agent_id)) => Arc::new(policies::of_agent(&self.core, agent_id).await?),
            (None, None) => Arc::default(),
        };
        Ok(self.with_files(&files, session_id))
    }

    fn with_files(&self, files: &RunPolicies, session_id: Option<&str>) -> InForce {
        let book = self.lock();
        let agent = book.run.as_ref().map(|run| &run.agent_id).or(self.caller.agent_id.as_ref());
        let names: Vec<&str> = agent.map(|agent| &**agent).into_iter().collect();
        let mut sets: Vec<_> = files.sets(&names).cloned().collect();
        if let Some(run) = &book.run {
            // What the connection has as well is told once.
            let session = session_id.and_then(|id| book.sessions.get(id)).into_iter().flatten();
            let own: Vec<_> = book.rules.iter().chain(session).map(|bound| &bound.rule).collect();
            let in_session = session_id.and_then(|id| run.sessions.get(id)).into_iter().flatten();
            let bound = run.rules.iter().chain(in_session);
            let only: Vec<PolicyRule> = bound.filter(|rule| !own.contains(rule)).cloned().collect();
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
            agent: agent.cloned(),
            refused,
        }
    }

    pub(super) fn judge(&self, in_force: &InForce, call: &ToolCall) -> Judgement {
        if let Some(reason) = &in_force.refused {
            return Judgement::new(GateStage::Policy, PolicyEffect::Deny, reason.as_str());
        }
        let state = self.with_world(|world| world.state.snapshot());
        let from = CallOrigin {
            agent: in_force.agent.as_deref(),
            session: in_force.session.as_deref(),
            project: None,
            workspace: None,
            run: in_force.run.as_deref(),
            state: Some(&state),
        };
        self.core.gate.judge_action(&in_force.sets, call, from)
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
