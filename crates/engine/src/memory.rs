//! Memory: facts that sessions, runs and people leave for whoever comes after them.
//!
//! What is remembered is without secrets before it is stored. What an agent sees and adds to follows from its token
//! ([`reach`]), and the gate judges it like any tool call: a step's stands as a turn in its run, a session's recall as a
//! row of its own. Neither holds a fact's text, so that what is forgotten is gone.

use crate::clock;
use crate::error::EngineError;
use crate::hosting;
use crate::plane::{Core, Plane};
use crate::policies;
use crate::record;
use crate::runs::{ToolEnd, ToolWent};
use adjutant_model::action::{Caller, Role};
use adjutant_model::event::Event;
use adjutant_model::memory::{Fact, FactScope, FactSource, FoundFact, Successor};
use adjutant_model::policy::ToolCall;
use adjutant_model::run::WorkspaceKind;
use adjutant_model::session::{Session, SessionSource};
use adjutant_model::{FactId, SessionId, Timestamp, Value};
use adjutant_rules::memory::{self, QUERY_BYTES_MAX, RECALLED, RECALLED_MAX, Reach, SCOPE_FACTS_MAX};
pub use adjutant_rules::memory::{LISTED_MAX, TEXT_BYTES_MAX};
use adjutant_store::memory::text_hash;
use adjutant_store::{Draft, FactFilter, Write, WriteError};
use std::path::PathBuf;
use std::sync::Arc;

/// The tool that agents remember by, as policies and traces name it.
pub const REMEMBER_TOOL: &str = "memory_remember";
/// The tool that agents recall by.
pub const RECALL_TOOL: &str = "memory_recall";

/// Something to remember.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RememberParams {
    /// What.
    pub text: String,
    /// For whom: `plane`, `project:<path or URL>`, `agent:<name>` or `goal:<id>`; an agent's project when nothing is
    /// said, and a person's `plane`.
    pub scope: Option<String>,
    /// Words that it is found by, too.
    pub tags: Vec<String>,
    /// Until when it holds; without an end when nothing is said.
    pub valid_until: Option<Timestamp>,
}

/// What was remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The fact.
    pub fact: Fact,
    /// Whether it is new; the scope may have had one that says the same.
    pub is_new: bool,
}

/// What is to be recalled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecallParams {
    /// Words; facts that have any of them are found.
    pub query: String,
    /// Only in these scopes; everywhere where the caller may look when there are none.
    pub scopes: Vec<String>,
    /// Only what has all of these tags.
    pub tags: Vec<String>,
    /// At most so many, the best first; 10 when nothing is said, and never more than 50.
    pub limit: Option<usize>,
}

/// Which facts are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FactsShown {
    /// Only of these scopes.
    pub scopes: Vec<String>,
    /// Only what has all of these tags.
    pub tags: Vec<String>,
    /// Whether those that hold no more are among them.
    pub is_all: bool,
    /// At most so many.
    pub limit: usize,
}

/// What takes a fact's place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SupersedeParams {
    /// What holds now.
    pub text: String,
    /// Its tags; those of the fact before it when nothing is said.
    pub tags: Option<Vec<String>>,
    /// Until when it holds.
    pub valid_until: Option<Timestamp>,
}

impl Plane {
    /// Remembers something. What the scope holds already is found and not said twice.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::Forbidden`] for a scope that is not the caller's or by a rule,
    /// [`EngineError::NotFound`] for an unknown goal, [`EngineError::Crowded`] when the scope is full.
    pub async fn memory_remember(
        &self,
        caller: &Caller,
        params: RememberParams,
    ) -> Result<Remembered, EngineError> {
        let (core, reach) = (&self.core, reach(&self.core, caller).await?);
        let scope = match params.scope.as_deref().map(scope_read).transpose()? {
            Some(scope) => Some(placed(scope).await),
            None => None,
        };
        let scope = reach.adds_to(scope).map_err(EngineError::Forbidden)?;
        if let FactScope::Goal(goal_id) = &scope {
            core.goals.get(goal_id).await?;
        }
        let fact = fact(caller, scope, (&params.text, &params.tags, params.valid_until))?;
        let told = Value::object([
            ("scope", Value::from(fact.scope.to_string())),
            ("text_hash", Value::from(text_hash(&fact.text))),
        ]);
        let turn = admitted(self, caller, REMEMBER_TOOL, told).await?;
        let remembered = remember(core, caller, fact).await;
        let told = remembered.as_ref().map(|remembered| Value::from(remembered.fact.id.as_str()));
        settled(self, caller, (turn, told)).await?;
        remembered
    }

    /// Recalls what has the words of a query, the best first. A session's and a run's recall stands in its trace.
    ///
    /// # Errors
    /// [`EngineError::Invalid`], [`EngineError::Forbidden`] for a scope that is not the caller's or by a rule.
    pub async fn memory_recall(
        &self,
        caller: &Caller,
        params: RecallParams,
    ) -> Result<Vec<FoundFact>, EngineError> {
        let core = &self.core;
        let RecallParams { query, scopes, tags, limit } = params;
        let (now, limit) = (clock::now(), limit.unwrap_or(RECALLED));
        if query.len() > QUERY_BYTES_MAX || !query.chars().any(char::is_alphanumeric) {
            return Err(EngineError::invalid(format!(
                "`query` has a word, and at most {QUERY_BYTES_MAX} bytes"
            )));
        }
        if !(1..=RECALLED_MAX).contains(&limit) {
            return Err(EngineError::invalid(format!("`limit` is 1 to {RECALLED_MAX}, not {limit}")));
        }
        let mut filter = filter(core, caller, (&scopes, &tags)).await?;
        (filter.valid_at, filter.limit) = (Some(now), limit);
        let turn =
            admitted(self, caller, RECALL_TOOL, Value::object([("query", Value::from(query.as_str()))]))
                .await?;
        let found = core.store.facts_search(&query, filter, now).await.map_err(EngineError::from);
        let ids =
            |found: &Vec<FoundFact>| found.iter().map(|found| found.fact.id.clone()).collect::<Vec<_>>();
        let told =
            found.as_ref().map(|found| Value::array(ids(found).iter().map(|id| Value::from(id.as_str()))));
        settled(self, caller, (turn, told)).await?;
        let found = found?;
        if let Some(session_id) = caller.of_session {
            let event = Event::MemoryRecalled { query_hash: text_hash(&query), facts: ids(&found) };
            let mut write = Write::default();
            let (actor, subject) = (caller.actor().into(), session_id.to_string().into());
            write.journal(Draft { at: now, actor, subject, event });
            core.store.write(write).await?;
        }
        Ok(found)
    }

    /// Lists facts that the caller sees, the newest first.
    ///
    /// # Errors
    /// As [`Plane::memory_recall`].
    pub async fn memory_list(&self, caller: &Caller, shown: FactsShown) -> Result<Vec<Fact>, EngineError> {
        let FactsShown { scopes, tags, is_all, limit } = shown;
        let mut filter = filter(&self.core, caller, (&scopes, &tags)).await?;
        filter.valid_at = (!is_all).then(clock::now);
        filter.limit = limit.clamp(1, LISTED_MAX);
        Ok(self.core.store.facts(filter).await?)
    }

    /// Gives a fact.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], also for one that the caller does not see.
    pub async fn memory_get(&self, caller: &Caller, id: &FactId) -> Result<Fact, EngineError> {
        seen(&self.core, &reach(&self.core, caller).await?, id).await
    }

    /// Puts another fact in one's place; the old one is recalled no more.
    ///
    /// # Errors
    /// As [`Plane::memory_remember`], [`EngineError::NotFound`], [`EngineError::Conflict`] when it has a successor.
    pub async fn memory_supersede(
        &self,
        caller: &Caller,
        id: &FactId,
        params: SupersedeParams,
    ) -> Result<Fact, EngineError> {
        let core = &self.core;
        let reach = reach(core, caller).await?;
        let old = seen(core, &reach, id).await?;
        if !reach.replaces(&old) {
            let why =
                "a person said that; an agent says beside it what it knows better, and a person decides";
            return Err(EngineError::Forbidden(why.to_owned()));
        }
        let scope = reach.adds_to(Some(old.scope.clone())).map_err(EngineError::Forbidden)?;
        let tags = params.tags.unwrap_or_else(|| old.tags.clone());
        let new = fact(caller, scope, (&params.text, &tags, params.valid_until))?;
        let told = Value::object([("supersedes", Value::from(id.as_str()))]);
        let turn = admitted(self, caller, REMEMBER_TOOL, told).await?;
        let superseded = supersede(core, caller, (&old, new)).await;
        let told = superseded.as_ref().map(|new| Value::from(new.id.as_str()));
        settled(self, caller, (turn, told)).await?;
        superseded
    }

    /// Forgets a fact: its text stands nowhere any more. An agent forgets only what it said itself.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Forbidden`]
    pub async fn memory_forget(&self, caller: &Caller, id: &FactId) -> Result<(), EngineError> {
        let core = &self.core;
        let reach = reach(core, caller).await?;
        let fact = seen(core, &reach, id).await?;
        if !reach.forgets(&fact) {
            return Err(EngineError::Forbidden("an agent forgets only what it said itself".to_owned()));
        }
        let mut write = Write::default();
        write.fact_forget(id);
        let event = Event::FactForgotten { text_hash: text_hash(&fact.text) };
        write.journal(Draft { at: clock::now(), actor: caller.actor().into(), subject: id.into(), event });
        match core.store.write(write).await {
            Ok(_) => Ok(()),
            Err(WriteError::RowsUnexpected { .. }) => Err(unknown(id)),
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes the fact that somebody says.
fn fact(
    caller: &Caller,
    scope: FactScope,
    (text, tags, valid_until): (&str, &[String], Option<Timestamp>),
) -> Result<Fact, EngineError> {
    let now = clock::now();
    if valid_until.is_some_and(|until| until <= now) {
        return Err(EngineError::invalid("`valid_until` is over already"));
    }
    Ok(Fact {
        id: FactId::new(clock::fresh_id()),
        scope,
        text: memory::text_read(&record::text(text)).map_err(EngineError::invalid)?.to_owned(),
        tags: tags_read(tags)?,
        source: source(caller),
        created_at: now,
        valid_until,
        successor: None,
    })
}

fn source(caller: &Caller) -> FactSource {
    match (caller.of_session, &caller.step) {
        (Some(session_id), _) => FactSource::Session { session_id },
        (None, Some(step)) => FactSource::Run { run_id: step.run_id.clone(), path: step.path.clone() },
        (None, None) => FactSource::Person { name: caller.actor() },
    }
}

async fn remember(core: &Core, caller: &Caller, fact: Fact) -> Result<Remembered, EngineError> {
    if let Some(fact) = core.store.fact_same(&fact.scope, &fact.text, fact.created_at).await? {
        return Ok(Remembered { fact, is_new: false });
    }
    match core.store.write(kept(caller, &fact, None)).await {
        Ok(_) => Ok(Remembered { fact, is_new: true }),
        Err(WriteError::RowsUnexpected { .. }) => Err(full(&fact.scope)),
        Err(error) => Err(error.into()),
    }
}

async fn supersede(core: &Core, caller: &Caller, (old, new): (&Fact, Fact)) -> Result<Fact, EngineError> {
    let mut write = kept(caller, &new, Some(&old.id));
    write.fact_supersede(&old.id, &Successor { by: new.id.clone(), at: new.created_at });
    match core.store.write(write).await {
        Ok(_) => return Ok(new),
        Err(WriteError::RowsUnexpected { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    match core.store.fact_get(&old.id).await?.map(|old| old.successor) {
        None => Err(unknown(&old.id)),
        Some(None) => Err(full(&old.scope)),
        Some(Some(Successor { by, .. })) => Err(EngineError::Conflict {
            message: format!("{} has a successor already", old.id),
            hint: Some(format!("supersede {by}, which took its place")),
        }),
    }
}

fn kept(caller: &Caller, fact: &Fact, supersedes: Option<&FactId>) -> Write {
    let mut write = Write::default();
    write.fact_add(fact, SCOPE_FACTS_MAX);
    let event = Event::FactRemembered {
        scope: fact.scope.kind().to_owned(),
        text_hash: text_hash(&fact.text),
        supersedes: supersedes.cloned(),
    };
    let (actor, subject) = (caller.actor().into(), (&fact.id).into());
    write.journal(Draft { at: fact.created_at, actor, subject, event });
    write
}

fn full(scope: &FactScope) -> EngineError {
    EngineError::Crowded(format!(
        "`{scope}` has {SCOPE_FACTS_MAX} facts, and no scope has more; `adjutant memory forget` makes room"
    ))
}

fn unknown(id: &FactId) -> EngineError {
    EngineError::not_found("fact", id)
}

async fn seen(core: &Core, reach: &Reach, id: &FactId) -> Result<Fact, EngineError> {
    core.store.fact_get(id).await?.filter(|fact| reach.sees(fact)).ok_or_else(|| unknown(id))
}

/// Gives which facts a caller means, of those that it sees.
async fn filter(
    core: &Core,
    caller: &Caller,
    (scopes, tags): (&[String], &[String]),
) -> Result<FactFilter, EngineError> {
    let scopes = memory::scopes_read(scopes).map_err(EngineError::invalid)?;
    let scopes = futures_util::future::join_all(scopes.into_iter().map(placed)).await;
    let looked = reach(core, caller).await?.looks_in(scopes);
    let scopes = looked
        .map_err(|scope| EngineError::Forbidden(format!("`{scope}` is not this agent's to look in")))?;
    Ok(FactFilter { scopes, tags: tags_read(tags)?, ..FactFilter::default() })
}

fn tags_read(tags: &[String]) -> Result<Vec<String>, EngineError> {
    let without_secrets: Vec<String> = tags.iter().map(|tag| record::text(tag)).collect();
    memory::tags_read(&without_secrets).map_err(EngineError::invalid)
}

/// Gives a scope as it is kept: a project is one, wherever in it somebody stands.
async fn placed(scope: FactScope) -> FactScope {
    match scope {
        FactScope::Project(path) if path.starts_with('/') => {
            let at = PathBuf::from(&path);
            let project = tokio::task::spawn_blocking(move || policies::project_of(&at)).await;
            FactScope::Project(project.map_or(path, |project| project.to_string_lossy().into_owned()))
        }
        scope @ (FactScope::Plane | FactScope::Project(_) | FactScope::Agent(_) | FactScope::Goal(_)) => {
            scope
        }
    }
}

fn scope_read(text: &str) -> Result<FactScope, EngineError> {
    memory::scope_read(&record::text(text)).map_err(EngineError::invalid)
}

/// Gives whose facts a caller sees and adds to.
async fn reach(core: &Core, caller: &Caller) -> Result<Reach, EngineError> {
    if caller.role != Role::Worker {
        return Ok(Reach::All);
    }
    let scopes = match (caller.of_session, &caller.step) {
        (Some(session_id), _) => session_scopes(core, &hosting::get(core, session_id).await?).await?,
        (None, Some(step)) => {
            let run = core.store.run_get(&step.run_id).await?;
            let run = run.ok_or_else(|| EngineError::not_found("run", &step.run_id))?;
            let project = run.workspace.and_then(|workspace| match workspace.kind {
                WorkspaceKind::Given => Some(workspace.path),
                WorkspaceKind::Worktree | WorkspaceKind::Scratch => workspace.project,
            });
            let agent = run.agent_override.or_else(|| caller.agent_id.as_deref().map(str::to_owned));
            scopes(project, agent, run.goal_id).await
        }
        (None, None) => scopes(None, caller.agent_id.as_deref().map(str::to_owned), None).await,
    };
    Ok(Reach::Own { scopes, source: source(caller) })
}

/// Gives the scopes of a session's agent, the project's first.
pub(crate) async fn session_scopes(core: &Core, session: &Session) -> Result<Vec<FactScope>, EngineError> {
    let project = match &session.source {
        SessionSource::Project { path, .. } => path.clone(),
        SessionSource::Remote { url, .. } => url.clone(),
        SessionSource::Directory { path } => {
            let workspace = core.store.workspace_of(&session.id.into()).await?;
            workspace.and_then(|workspace| workspace.project).unwrap_or_else(|| path.clone())
        }
    };
    Ok(scopes(Some(project), Some(session.agent.clone()), session.goal_id.clone()).await)
}

async fn scopes(
    project: Option<String>,
    agent: Option<String>,
    goal_id: Option<adjutant_model::GoalId>,
) -> Vec<FactScope> {
    let project = match project {
        Some(project) => Some(placed(FactScope::Project(project)).await),
        None => None,
    };
    [project, agent.map(FactScope::Agent), goal_id.map(FactScope::Goal)].into_iter().flatten().collect()
}

/// Has the gate judge what an agent does with memory; gives the turn of a step's.
async fn admitted(
    plane: &Plane,
    caller: &Caller,
    tool: &str,
    parameters: Value,
) -> Result<Option<u64>, EngineError> {
    let call = ToolCall { tool: tool.to_owned(), parameters };
    let (turn, judgement) = match (caller.of_session, &caller.step) {
        (Some(session_id), _) => (None, session_judged(&plane.core, caller, (session_id, &call)).await?),
        (None, Some(_)) => {
            let judged = plane.tool_judge(caller, call).await?;
            (Some(judged.turn), judged.judgement)
        }
        (None, None) => return Ok(None),
    };
    match judgement.allowed {
        true => Ok(turn),
        false => Err(EngineError::Forbidden(judgement.reason)),
    }
}

async fn session_judged(
    core: &Arc<Core>,
    caller: &Caller,
    (session_id, call): (SessionId, &ToolCall),
) -> Result<adjutant_model::policy::Judgement, EngineError> {
    let session = hosting::get(core, session_id).await?;
    hosting::judgement(core, &session, (caller, call)).await
}

/// Settles the turn of what a step did with memory.
async fn settled(
    plane: &Plane,
    caller: &Caller,
    (turn, told): (Option<u64>, Result<Value, &EngineError>),
) -> Result<(), EngineError> {
    let Some(turn) = turn else { return Ok(()) };
    let end = match told {
        Ok(output) => ToolEnd { went: ToolWent::Well, output },
        Err(error) => ToolEnd { went: ToolWent::Wrong, output: Value::from(error.to_string()) },
    };
    plane.tool_settle(caller, turn, end).await
}
