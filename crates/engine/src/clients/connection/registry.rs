//! What a connection registers: tools, rules, scopes of rules, state.

use super::{Bound, Connection, PolicyScopeName, REGISTERED_MAX, connection_set, refused_lints, rules_of};
use crate::clients::run::{BoundTo, RunCommand};
use crate::clock;
use crate::error::EngineError;
use adjutant_model::Value;
use adjutant_model::proposal::ToolSpec;
use adjutant_rules::policy;
use adjutant_rules::proposal::{StateBook, Tool};
use std::sync::Arc;

impl Connection {
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
                    book.run.clone().map(|run| (run, BoundTo::Run))
                }
                PolicyScopeName::Session(id) => {
                    let rule = bound.rule.clone();
                    let rules = book.sessions.get_mut(id);
                    let rules = rules.ok_or_else(|| EngineError::not_found("policy session", id))?;
                    if rules.len() >= REGISTERED_MAX {
                        let message = format!("a policy session has at most {REGISTERED_MAX} rules");
                        return Err(EngineError::invalid(message));
                    }
                    rules.push(bound);
                    if let Some(run) = &mut book.run {
                        run.sessions.entry(id.clone()).or_default().push(rule.clone());
                        if run.under.as_ref() == Some(id) {
                            run.rules.push(rule);
                        }
                    }
                    book.run.clone().map(|run| match run.under.as_ref() == Some(id) {
                        true => (run, BoundTo::Both(id.clone())),
                        false => (run, BoundTo::Session(id.clone())),
                    })
                }
            }
        };
        if let Some((run, scope)) = run {
            // A run that is over meanwhile needs no rule.
            let bound = name.clone();
            run.handle.ask(|reply| RunCommand::Bind { name: bound, rule: wire, scope, reply }).await;
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

    /// Opens a scope of rules and gives its id; the run that is open keeps it too.
    pub async fn policy_session_open(&self) -> String {
        let id = clock::fresh_id().to_string();
        let run = {
            let mut book = self.lock();
            book.sessions.insert(id.clone(), Vec::new());
            book.run.clone()
        };
        if let Some(run) = run {
            drop(run.handle.commands.send(RunCommand::SessionOpened(id.clone())).await);
        }
        id
    }

    /// Closes a scope of rules; tells whether it was open.
    pub async fn policy_session_close(&self, id: &str) -> bool {
        let (was_open, run) = {
            let mut book = self.lock();
            (book.sessions.remove(id).is_some(), book.run.clone())
        };
        if let Some(run) = run.filter(|_| was_open) {
            drop(run.handle.commands.send(RunCommand::SessionClosed(id.to_owned())).await);
        }
        was_open
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
}
