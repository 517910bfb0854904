//! A connection of an outside client, and everything that belongs to it alone.

use super::proposals::{self, Drive, SubmitParams, ToolExecutor};
use super::read::{self, RunSummary, Trace};
use super::run::{self, ClientRunHandle, Ending, Launch, RunCommand};
use super::subscriber::{RunTail, Subscriber};
use super::{Dropped, StartedRun, subject, turns, visible};
use crate::approvals::Asker;
use crate::clock;
use crate::error::EngineError;
use crate::gate::CallOrigin;
use crate::plane::Core;
use crate::record;
use adjutant_model::Value;
use adjutant_model::action::Caller;
use adjutant_model::client_run::ClientRun;
use adjutant_model::event::Event;
use adjutant_model::policy::{PolicyEffect, PolicyRule, PolicyScope, ToolCall};
use adjutant_model::proposal::{Proposal, ProposalResult, ToolSpec};
use adjutant_model::run::RunStatus;
use adjutant_rules::document::Lint;
use adjutant_rules::policy::{self, PolicySet};
use adjutant_rules::proposal::{
    Given, ProposalLimits, StateBook, Tool, ToolSet, Verification, World, read, read_draft, verify,
};
use adjutant_store::{Draft, Write, WriteError};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
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

/// What a run is started with.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStart {
    /// What it is for.
    pub intent: String,
    /// The agent it is recorded under.
    pub agent_id: Option<String>,
    /// What else the agent is called; makes an id when there is none.
    pub agent_name: Option<String>,
    /// What should come out.
    pub outcome_description: Option<String>,
    /// Becomes the run's id; the same again is the same run.
    pub idempotency_key: Option<String>,
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
    /// Runs that this connection has to do with, for when it goes.
    runs: Vec<ClientRunHandle>,
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

/// A proposal that was taken and has its place in its run.
#[derive(Debug)]
pub struct Submitted {
    connection: Arc<Connection>,
    proposal: Proposal,
    tools: ToolSet,
    limits: ProposalLimits,
    in_force: InForce,
    place: Option<Place>,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Place {
    handle: ClientRunHandle,
    run_id: Arc<str>,
    reserved: oneshot::Receiver<Result<u64, Dropped>>,
}

impl Submitted {
    /// Drives the proposal to its end; a connection that goes in between stops it.
    ///
    /// # Errors
    /// [`EngineError`]; nothing of the proposal was done then, unless the daemon is stopping.
    pub async fn driven(self) -> Result<Arc<ProposalResult>, EngineError> {
        let Submitted { connection, proposal, tools, limits, in_force, place, cancel } = self;
        let id = proposal.id.clone();
        let run = match place {
            None => Ok(None),
            Some(Place { handle, run_id, reserved }) => {
                let reserved = reserved.await.unwrap_or(Err(Dropped::RunTerminal));
                reserved.map(|base| Some((handle, run_id, base))).map_err(proposals::refused)
            }
        };
        let driven = match run {
            Err(error) => Ok(Err(error)),
            Ok(run) => {
                let drive = Drive {
                    connection: connection.clone(),
                    proposal,
                    tools,
                    limits,
                    in_force,
                    run,
                    cancel: cancel.clone(),
                };
                // It goes on to its end even when nobody waits for its answer any more.
                connection.proposals.spawn(proposals::drive(drive)).await
            }
        };
        connection.submission_over(&id, &cancel);
        driven.map_err(|_| EngineError::Defect("the proposal's driver panicked"))?
    }
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

    /// Registers tools; one of the same name is replaced. Gives how many were given.
    ///
    /// # Errors
    /// [`EngineError::Blueprint`] with everything that is wrong; nothing was registered then.
    pub fn tools_register(&self, tools: &[Value]) -> Result<usize, EngineError> {
        let read: Vec<Tool> =
            tools.iter().map(Tool::read).collect::<Result<_, _>>().map_err(refused_lints)?;
        let mut book = self.lock();
        if book.tools.iter().count() + read.len() > REGISTERED_MAX {
            return Err(EngineError::invalid(format!("a connection has at most {REGISTERED_MAX} tools")));
        }
        for tool in read {
            let name = tool.spec().name.clone();
            let same = book.tools.get(&name).is_some_and(|known| known.spec() == tool.spec());
            if !same {
                book.world.caches.tool_forget(&name);
                book.tools.insert(tool);
            }
        }
        Ok(tools.len())
    }

    /// Forgets tools by name; gives how many there were.
    pub fn tools_unregister(&self, names: &[String]) -> usize {
        let mut book = self.lock();
        names.iter().filter(|name| book.tools.remove(name)).count()
    }

    /// Gives the registered tools.
    pub fn tools(&self) -> Vec<ToolSpec> {
        self.lock().tools.iter().map(|tool| tool.spec().clone()).collect()
    }

    /// Registers a rule, for the connection or for one scope of it; it also holds for the run that is open.
    ///
    /// # Errors
    /// [`EngineError::Blueprint`] with what is wrong, [`EngineError::NotFound`] for a scope that is not open.
    pub async fn policy_register(&self, wire: Value, scope: &PolicyScopeName) -> Result<String, EngineError> {
        let rule = policy::read_wire(&wire).map_err(refused_lints)?;
        let name = rule.name.clone();
        let run = {
            let mut book = self.lock();
            let bound = Bound { rule, wire: wire.clone() };
            match scope {
                PolicyScopeName::Global => {
                    if book.rules.len() >= REGISTERED_MAX {
                        let message = format!("a connection has at most {REGISTERED_MAX} rules");
                        return Err(EngineError::invalid(message));
                    }
                    if let Some(run) = &mut book.run {
                        run.rules.push(bound.rule.clone());
                    }
                    book.rules.push(bound);
                    book.set = connection_set(&book.rules);
                    book.run.clone()
                }
                PolicyScopeName::Session(id) => {
                    let rules = book.sessions.get_mut(id);
                    rules.ok_or_else(|| EngineError::not_found("policy session", id))?.push(bound);
                    None
                }
            }
        };
        if let Some(run) = run {
            // A run that is over meanwhile needs no rule.
            let bound = name.clone();
            run.handle.ask(|reply| RunCommand::Bind { name: bound, rule: wire, reply }).await;
        }
        Ok(name)
    }

    /// Looks whether every rule could be registered.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] with what is wrong.
    pub fn policies_check(&self, wire: &[Value]) -> Result<(), EngineError> {
        rules_of(wire).map(drop)
    }

    /// Gives the connection's rules as they came, with their scope.
    pub fn policies(&self) -> Vec<(PolicyScopeName, String, Value)> {
        let book = self.lock();
        let of = |scope: PolicyScopeName, rules: &[Bound]| -> Vec<_> {
            rules.iter().map(|bound| (scope.clone(), bound.rule.name.clone(), bound.wire.clone())).collect()
        };
        let mut all = of(PolicyScopeName::Global, &book.rules);
        for (id, rules) in &book.sessions {
            all.extend(of(PolicyScopeName::Session(id.clone()), rules));
        }
        all
    }

    /// Removes the connection's own rules of a name; gives how many. Rules that a run is bound to stay with the run.
    pub fn policy_remove(&self, name: &str) -> usize {
        let mut book = self.lock();
        let before = book.rules.len() + book.sessions.values().map(Vec::len).sum::<usize>();
        book.rules.retain(|bound| bound.rule.name != name);
        book.set = connection_set(&book.rules);
        book.sessions.values_mut().for_each(|rules| rules.retain(|bound| bound.rule.name != name));
        before - book.rules.len() - book.sessions.values().map(Vec::len).sum::<usize>()
    }

    /// Opens a scope of rules and gives its id.
    pub fn policy_session_open(&self) -> String {
        let id = clock::fresh_id().to_string();
        self.lock().sessions.insert(id.clone(), Vec::new());
        id
    }

    /// Closes a scope of rules; tells whether it was open.
    pub fn policy_session_close(&self, id: &str) -> bool {
        self.lock().sessions.remove(id).is_some()
    }

    /// Gives the connection's state.
    pub fn state(&self) -> StateBook {
        self.lock().world.state.clone()
    }

    /// Sets a key of the connection's state; the run that is open keeps it too.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the state would be too large.
    pub async fn state_set(&self, key: Arc<str>, value: Value) -> Result<(), EngineError> {
        let (run, snapshot) = {
            let mut book = self.lock();
            book.world.state.set(key, value).map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
            (book.run.clone(), book.world.state.snapshot())
        };
        if let Some(run) = run {
            drop(run.handle.commands.send(RunCommand::StateSet(snapshot)).await);
        }
        Ok(())
    }

    /// Plays a proposal through without doing anything.
    ///
    /// # Errors
    /// [`EngineError::Blueprint`] with everything that is wrong.
    pub fn verify(&self, proposal: &Value, initial: Option<&Value>) -> Result<Verification, EngineError> {
        let proposal = read_draft(proposal, given(&mut fresh_ids())).map_err(refused_lints)?;
        let (tools, state) = {
            let book = self.lock();
            (book.tools.clone(), book.world.state.clone())
        };
        let state = match initial.and_then(Value::as_object) {
            Some(values) => StateBook::starting_with(values)
                .map_err(|refusal| EngineError::invalid(refusal.to_string()))?,
            None => state,
        };
        Ok(verify(&proposal, &tools, &state))
    }

    /// Judges a call without doing it.
    pub fn evaluate(&self, call: &ToolCall) -> (PolicyEffect, String, Option<String>) {
        let judged = self.judge(&self.in_force(None), call);
        (judged.effect, judged.reason, judged.rule)
    }

    /// Takes a proposal: it gets its place in the run before the next one is taken.
    ///
    /// # Errors
    /// [`EngineError`]; nothing of the proposal will be done then.
    pub async fn submit(self: &Arc<Self>, params: SubmitParams) -> Result<Submitted, EngineError> {
        let proposal = read(&params.proposal, given(&mut fresh_ids())).map_err(refused_lints)?;
        let in_force = self.in_force(params.session_id.as_deref());
        let (tools, run) = {
            let book = self.lock();
            (book.tools.clone(), book.run.clone())
        };
        let place = match run {
            None => None,
            Some(Current { run_id, handle, .. }) => {
                let (reply, reserved) = oneshot::channel();
                let count = proposal.actions.len() as u64;
                let over = |_| proposals::refused(Dropped::RunTerminal);
                handle.commands.send(RunCommand::Reserve { count, reply }).await.map_err(over)?;
                Some(Place { handle, run_id, reserved })
            }
        };
        let cancel = self.closing.child_token();
        self.lock().in_flight.entry(proposal.id.clone()).or_default().push(cancel.clone());
        let connection = self.clone();
        Ok(Submitted { connection, proposal, tools, limits: params.limits, in_force, place, cancel })
    }

    fn submission_over(&self, proposal_id: &Arc<str>, cancel: &CancellationToken) {
        cancel.cancel();
        let mut book = self.lock();
        if let Some(tokens) = book.in_flight.get_mut(proposal_id) {
            tokens.retain(|token| !token.is_cancelled());
            if tokens.is_empty() {
                book.in_flight.remove(proposal_id);
            }
        }
    }

    /// Cancels the proposals of a label that are in flight; gives how many.
    pub fn proposal_cancel(&self, proposal_id: &str) -> usize {
        let tokens = self.lock().in_flight.get(proposal_id).cloned().unwrap_or_default();
        tokens.iter().for_each(CancellationToken::cancel);
        tokens.len()
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

    /// Starts a run; it becomes the one that proposals are of before this answers.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] without an intent or an agent, [`EngineError::Forbidden`] for another agent than the
    /// token's, [`EngineError::Conflict`] when the key stands for another run.
    pub async fn run_start(&self, start: RunStart) -> Result<StartedRun, EngineError> {
        if start.intent.trim().is_empty() {
            return Err(EngineError::invalid("`intent` says what the run is for; it is blank"));
        }
        let agent_id = self.agent_of(&start)?;
        let key = start.idempotency_key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        if let Some(key) = key
            && let Some(found) = self.core.store.client_run_get(key).await?
        {
            return self.started_already(&found, &agent_id, &start).await;
        }
        let run = self.fresh_run(agent_id, &start, key);
        let mut write = Write::default();
        write.client_run_create(&run);
        let event = Event::ClientRunStarted {
            agent_id: run.agent_id.to_string(),
            intent: run.intent.clone(),
            token_id: run.token_id.clone(),
        };
        let actor = self.caller.actor().into();
        write.journal(Draft { at: run.started_at, actor, subject: subject(&run.id), event });
        match self.core.store.write(write).await {
            Ok(_) => {}
            // The same key was used at the same time.
            Err(WriteError::Constraint(_)) if key.is_some() => {
                let found = self.core.store.client_run_get(&run.id).await?;
                let found = found.ok_or_else(|| EngineError::not_found("run", &run.id))?;
                return self.started_already(&found, &run.agent_id, &start).await;
            }
            Err(error) => return Err(error.into()),
        }
        let started = StartedRun {
            run_id: run.id.clone(),
            agent_id: run.agent_id.clone(),
            cursor: 0,
            policies: Vec::new(),
            state: Value::Null,
        };
        let rules = self.lock().rules.iter().map(|bound| bound.rule.clone()).collect();
        let handle = run::start(&self.core, Launch { run, connection: Some(self.id.clone()), settled: 0 });
        let (run_id, agent_id) = (started.run_id.clone(), started.agent_id.clone());
        self.go_on_with(Current { run_id, agent_id, handle, rules });
        Ok(started)
    }

    fn fresh_run(&self, agent_id: Arc<str>, start: &RunStart, key: Option<&str>) -> ClientRun {
        let book = self.lock();
        ClientRun {
            id: key.map_or_else(|| clock::fresh_id().to_string(), str::to_owned).into(),
            agent_id,
            intent: record::text(&start.intent),
            outcome_description: start.outcome_description.as_deref().map(record::text),
            token_id: self.caller.token_id.as_str().to_owned(),
            status: RunStatus::Running,
            outcome: None,
            policies: book.rules.iter().map(|bound| bound.wire.clone()).collect(),
            state: book.world.state.snapshot(),
            owner: self.core.owner.clone(),
            epoch: 1,
            turns: 0,
            started_at: clock::now(),
            ended_at: None,
        }
    }

    fn agent_of(&self, start: &RunStart) -> Result<Arc<str>, EngineError> {
        let asked = start.agent_id.as_deref().map(str::trim).filter(|id| !id.is_empty());
        if let Some(bound) = &self.caller.agent_id {
            return match asked {
                Some(other) if other != &**bound => {
                    Err(EngineError::Forbidden(format!("this token acts as `{bound}` and no other agent")))
                }
                Some(_) | None => Ok(bound.clone()),
            };
        }
        let named = start.agent_name.as_deref().map(slug).filter(|slug| !slug.is_empty());
        match (asked, named) {
            (Some(id), _) if id.len() <= 256 => Ok(id.into()),
            (Some(_), _) => Err(EngineError::invalid("`agent_id` is longer than 256 bytes")),
            (None, Some(slug)) => Ok(format!("name:{slug}").into()),
            (None, None) => Err(EngineError::invalid("`agent_id` or `agent_name` says which agent this is")),
        }
    }

    /// Answers a start with a key that is known: the same run for the same request on the same connection.
    async fn started_already(
        &self,
        found: &ClientRun,
        agent_id: &Arc<str>,
        start: &RunStart,
    ) -> Result<StartedRun, EngineError> {
        let conflict = |message: &str, hint: &str| EngineError::Conflict {
            message: format!("idempotency key `{}`: {message}", found.id),
            hint: Some(hint.to_owned()),
        };
        let same = super::may(&self.caller, found)
            && found.agent_id == *agent_id
            && found.intent == record::text(&start.intent)
            && found.outcome_description == start.outcome_description.as_deref().map(record::text);
        if !same {
            return Err(conflict("it stands for another request", "use another key"));
        }
        if found.status.is_terminal() {
            return Err(conflict("its run is over", "use another key, or read it with `runs.get_trace`"));
        }
        let handle = self.core.clients.get(&found.id).ok_or(EngineError::Stopping)?;
        let ours = self.lock().run.as_ref().is_some_and(|run| run.run_id == found.id)
            || self.lock().runs.iter().any(|run| run.commands.same_channel(&handle.commands));
        if !ours {
            return Err(conflict("its run is another connection's", "go on with it by `runs.resume`"));
        }
        let run_id = found.id.clone();
        let rules = rules_of(&found.policies)?;
        self.go_on_with(Current { run_id: run_id.clone(), agent_id: agent_id.clone(), handle, rules });
        Ok(StartedRun {
            run_id,
            agent_id: agent_id.clone(),
            cursor: 0,
            policies: Vec::new(),
            state: Value::Null,
        })
    }

    fn go_on_with(&self, current: Current) {
        let mut book = self.lock();
        book.runs.retain(|run| !run.commands.is_closed());
        if !book.runs.iter().any(|run| run.commands.same_channel(&current.handle.commands)) {
            book.runs.push(current.handle.clone());
        }
        book.run = Some(current);
    }

    /// Goes on with a run of an earlier connection: its rules and its state come with it, and what the earlier
    /// connection still sends for it is refused.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a run that is not there, is another's, or is over.
    pub async fn run_resume(&self, run_id: &str) -> Result<StartedRun, EngineError> {
        let unknown = || EngineError::not_found("open run", run_id);
        visible(&self.core, &self.caller, run_id).await?.ok_or_else(unknown)?;
        let handle = self.core.clients.get(run_id).ok_or_else(unknown)?;
        let connection = self.id.clone();
        let resumed =
            handle.ask(|reply| RunCommand::Resume { connection, reply }).await.ok_or_else(unknown)?;
        let rules = rules_of(&resumed.policies)?;
        if let Some(values) = resumed.state.as_object() {
            let state = StateBook::starting_with(values)
                .map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
            self.lock().world.state = state;
        }
        let (run_id, agent_id) = (resumed.run_id.clone(), resumed.agent_id.clone());
        self.go_on_with(Current { run_id, agent_id, handle, rules });
        Ok(resumed)
    }

    /// Ends a run as its client says.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for a run that is not there or is another's, [`EngineError::Conflict`] when it is over.
    pub async fn run_complete(&self, run_id: &str, outcome: Value) -> Result<(), EngineError> {
        let status = match outcome.get("status").and_then(Value::as_str) {
            Some("success" | "partial_success" | "done") => RunStatus::Done,
            Some("give_up" | "timeout" | "failure") => RunStatus::Failed,
            Some(other) => {
                return Err(EngineError::invalid(format!(
                    "`outcome.status` is success, partial_success, give_up, timeout, failure or done, not `{other}`"
                )));
            }
            None => return Err(EngineError::invalid("`outcome.status` is missing")),
        };
        let outcome = Some(record::without_secrets(&outcome));
        self.run_end(run_id, Ending { status, outcome, reason: None }).await
    }

    /// Stops a run: its proposals in flight are cancelled.
    ///
    /// # Errors
    /// As [`Connection::run_complete`].
    pub async fn run_cancel(&self, run_id: &str, reason: &str) -> Result<(), EngineError> {
        let reason = Some(format!("{}: {reason}", self.caller.actor()));
        self.run_end(run_id, Ending { status: RunStatus::Cancelled, outcome: None, reason }).await
    }

    async fn run_end(&self, run_id: &str, ending: Ending) -> Result<(), EngineError> {
        let unknown = || EngineError::not_found("run", run_id);
        let run = visible(&self.core, &self.caller, run_id).await?.ok_or_else(unknown)?;
        let over = || EngineError::Conflict { message: format!("run {run_id} is over"), hint: None };
        if run.status.is_terminal() {
            return Err(over());
        }
        let handle = self.core.clients.get(run_id).ok_or_else(over)?;
        handle.ask(|reply| RunCommand::End { ending, reply }).await.ok_or_else(over)?;
        let mut book = self.lock();
        if book.run.as_ref().is_some_and(|current| &*current.run_id == run_id) {
            book.run = None;
        }
        Ok(())
    }

    /// Records turns that the client tells of; gives the index of the first.
    ///
    /// # Errors
    /// The outer one when the batch is malformed, the inner one when it was dropped.
    pub async fn record_turns(
        &self,
        run_id: &str,
        told: &[Value],
    ) -> Result<Result<u64, Dropped>, EngineError> {
        let max = self.core.settings.client_batch_max;
        if told.is_empty() || told.len() > max {
            return Err(EngineError::invalid(format!("`turns` has 1 to {max} turns, not {}", told.len())));
        }
        let now = clock::now();
        let read: Vec<_> = told
            .iter()
            .enumerate()
            .map(|(at, turn)| turns::narrated(turn, now).map_err(|why| format!("`turns[{at}]`: {why}")))
            .collect::<Result<_, _>>()
            .map_err(EngineError::invalid)?;
        let Ok(turns) = read.into_iter().collect::<Result<Vec<_>, Dropped>>() else {
            return Ok(Err(Dropped::TurnTooLarge));
        };
        let Some(run) = visible(&self.core, &self.caller, run_id).await? else {
            return Ok(Err(Dropped::RunNotFound));
        };
        let Some(handle) = self.core.clients.get(run_id).filter(|_| !run.status.is_terminal()) else {
            return Ok(Err(Dropped::RunTerminal));
        };
        let recorded = handle.ask(|reply| RunCommand::Record { turns, reply }).await;
        Ok(recorded.unwrap_or(Err(Dropped::RunTerminal)))
    }

    /// Sees a run live; gives what it has missed, or nothing when there is no such run or it is another's.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn run_subscribe(
        &self,
        run_id: &str,
        subscriber: Subscriber,
    ) -> Result<Option<RunTail>, EngineError> {
        let Some(run) = visible(&self.core, &self.caller, run_id).await? else { return Ok(None) };
        if let Some(handle) = self.core.clients.get(run_id)
            && let Some(tail) = handle.ask(|reply| RunCommand::Subscribe { subscriber, reply }).await
        {
            let mut book = self.lock();
            if !book.runs.iter().any(|run| run.commands.same_channel(&handle.commands)) {
                book.runs.push(handle);
            }
            return tail.map(Some);
        }
        let over = self.core.store.client_run_get(run_id).await?.unwrap_or(run);
        let turns = over.turns;
        read::tail(&self.core, &over, turns).await.map(Some)
    }

    /// Sees a run no more; tells whether it did.
    pub async fn run_unsubscribe(&self, run_id: &str) -> bool {
        let Some(handle) = self.core.clients.get(run_id) else { return false };
        let connection = self.id.clone();
        handle.ask(|reply| RunCommand::Unsubscribe { connection, reply }).await.unwrap_or(false)
    }

    /// Lists the runs of an agent, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for another agent than the token's.
    pub async fn run_list(&self, agent_id: &str, limit: usize) -> Result<Vec<RunSummary>, EngineError> {
        read::list(&self.core, &self.caller, agent_id, limit).await
    }

    /// Gives a page of a run's records; nothing when there is no such run or it is another's.
    ///
    /// # Errors
    /// [`EngineError::Read`]
    pub async fn run_trace(
        &self,
        run_id: &str,
        cursor: u64,
        limit: usize,
    ) -> Result<Option<Trace>, EngineError> {
        read::trace(&self.core, &self.caller, run_id, (cursor, limit)).await
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
        let runs = std::mem::take(&mut self.lock().runs);
        for run in runs {
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

fn fresh_ids() -> impl Iterator<Item = String> {
    std::iter::repeat_with(|| clock::fresh_id().simple().to_string()[20..].to_owned())
}

fn given(ids: &mut dyn Iterator<Item = String>) -> Given<'_> {
    Given { ids, now: clock::now() }
}

fn refused_lints(lints: Vec<Lint>) -> EngineError {
    let all: Vec<String> = lints.iter().map(ToString::to_string).collect();
    EngineError::invalid(all.join("; "))
}

/// Makes an id of a name: small letters and digits, everything else one `-`.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::slug;

    #[test]
    fn a_name_becomes_an_id() {
        for (name, expected) in
            [("Bulldozer Agent", "bulldozer-agent"), ("  A__b! ", "a-b"), ("é", ""), ("x1", "x1")]
        {
            assert_eq!(slug(name), expected, "{name}");
        }
    }
}
