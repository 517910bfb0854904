//! The runs of a connection: started, taken up, told of, watched, ended, read.

use super::{Bound, Connection, Current, rules_of};
use crate::clients::read::{self, RunSummary, Trace};
use crate::clients::run::{self, Ending, Launch, RunCommand};
use crate::clients::subscriber::{RunTail, Subscriber};
use crate::clients::{Dropped, StartedRun, may, subject, turns, visible};
use crate::clock;
use crate::error::EngineError;
use crate::policies;
use crate::record;
use adjutant_model::Value;
use adjutant_model::client_run::{ClientRun, ClientRunLimits};
use adjutant_model::event::Event;
use adjutant_model::policy::PolicyRule;
use adjutant_model::run::RunStatus;

use adjutant_rules::proposal::StateBook;
use adjutant_store::{Draft, Write, WriteError};
use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// How much it may take.
    pub limits: ClientRunLimits,
    /// The scope of rules that it is started under: these hold for all of the run.
    pub session_id: Option<String>,
}

impl Connection {
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
        let files = Arc::new(policies::of_agent(&self.core, &agent_id).await?);
        let run = self.fresh_run(agent_id, &start, key)?;
        let mut write = Write::default();
        write.client_run_create(&run);
        let event = Event::ClientRunStarted {
            agent_id: run.agent_id.to_string(),
            intent: run.intent.clone(),
            token_id: run.token_id.clone(),
        };
        for event in std::iter::once(event).chain(files.events()) {
            let actor = self.caller.actor().into();
            write.journal(Draft { at: run.started_at, actor, subject: subject(&run.id), event });
        }
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
            sessions: BTreeMap::new(),
            state: Value::Null,
            files: files.clone(),
        };
        let (rules, sessions) = (rules_of(&run.policies)?, sessions_of(&run.sessions)?);
        let under = start.session_id;
        let launch = Launch { run, files: files.clone(), connection: Some(self.id.clone()), settled: 0 };
        let handle = run::start(&self.core, launch);
        let (run_id, agent_id) = (started.run_id.clone(), started.agent_id.clone());
        self.go_on_with(Current { run_id, agent_id, handle, rules, sessions, under, files });
        Ok(started)
    }

    fn fresh_run(
        &self,
        agent_id: Arc<str>,
        start: &RunStart,
        key: Option<&str>,
    ) -> Result<ClientRun, EngineError> {
        let book = self.lock();
        let under = start
            .session_id
            .as_ref()
            .map(|id| book.sessions.get(id).ok_or_else(|| EngineError::not_found("policy session", id)));
        let under = under.transpose()?.into_iter().flatten();
        let wire = |rules: &[Bound]| rules.iter().map(|bound| bound.wire.clone()).collect();
        Ok(ClientRun {
            id: key.map_or_else(|| clock::fresh_id().to_string(), str::to_owned).into(),
            agent_id,
            intent: record::text(&start.intent),
            outcome_description: start.outcome_description.as_deref().map(record::text),
            token_id: self.caller.token_id.as_str().to_owned(),
            status: RunStatus::Running,
            outcome: None,
            policies: book.rules.iter().chain(under).map(|bound| bound.wire.clone()).collect(),
            sessions: book.sessions.iter().map(|(id, rules)| (id.clone(), wire(rules))).collect(),
            limits: start.limits,
            tool_calls: 0,
            state: book.world.state.snapshot(),
            owner: self.core.owner.clone(),
            epoch: 1,
            turns: 0,
            started_at: clock::now(),
            ended_at: None,
        })
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
        let same = may(&self.caller, found)
            && found.agent_id == *agent_id
            && found.intent == record::text(&start.intent)
            && found.limits == start.limits
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
        let over = || conflict("its run is over", "use another key, or read it with `runs.get_trace`");
        let bound = handle.ask(|reply| RunCommand::Bound { reply }).await.ok_or_else(over)?;
        let (rules, sessions) = (rules_of(&bound.policies)?, sessions_of(&bound.sessions)?);
        let (under, files) = (start.session_id.clone(), bound.files.clone());
        let agent_id = agent_id.clone();
        self.go_on_with(Current { run_id, agent_id, handle, rules, sessions, under, files });
        Ok(StartedRun { cursor: 0, ..bound })
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
        let (rules, sessions) = (rules_of(&resumed.policies)?, sessions_of(&resumed.sessions)?);
        if let Some(values) = resumed.state.as_object() {
            let state = StateBook::starting_with(values)
                .map_err(|refusal| EngineError::invalid(refusal.to_string()))?;
            self.lock().world.state = state;
        }
        let (run_id, agent_id) = (resumed.run_id.clone(), resumed.agent_id.clone());
        let (under, files) = (None, resumed.files.clone());
        self.sessions_take_up(&resumed.sessions)?;
        self.go_on_with(Current { run_id, agent_id, handle, rules, sessions, under, files });
        Ok(resumed)
    }

    /// Opens the scopes of rules of a run that is taken up, under their ids; what is open already stays as it is.
    fn sessions_take_up(&self, sessions: &BTreeMap<String, Vec<Value>>) -> Result<(), EngineError> {
        for (id, wires) in sessions {
            let rules = rules_of(wires)?.into_iter().zip(wires);
            let bound = || rules.map(|(rule, wire)| Bound { rule, wire: wire.clone() }).collect();
            self.lock().sessions.entry(id.clone()).or_insert_with(bound);
        }
        Ok(())
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
        let reason = Some(format!("{}: {}", self.caller.actor(), record::text(reason)));
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
            book.watched.retain(|run| !run.commands.is_closed());
            if !book.watched.iter().any(|run| run.commands.same_channel(&handle.commands)) {
                book.watched.push(handle);
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

    /// Lists the runs of an agent, or of all that the caller may see, the newest first.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`] for another agent than the token's.
    pub async fn run_list(
        &self,
        agent_id: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RunSummary>, EngineError> {
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
}

/// Reads the scopes of rules that a run was bound to.
fn sessions_of(
    sessions: &BTreeMap<String, Vec<Value>>,
) -> Result<BTreeMap<String, Vec<PolicyRule>>, EngineError> {
    sessions.iter().map(|(id, rules)| Ok((id.clone(), rules_of(rules)?))).collect()
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
