//! Policies of projects and agents: files that are read when a run starts, and in force until it ends.
//!
//! A project's is `.adjutant/policy.toml` at the top of its repository, and of the main working tree when the run was
//! given a linked one; never that of the worktree which the run's own agents write. An agent's is
//! `policies/agents/<agent>.toml` in the data folder. What was read is in the journal, so the next daemon judges by the
//! same. A file that is there and cannot be used refuses the run.

use crate::error::EngineError;
use crate::plane::Core;
use adjutant_model::blueprint::{Agent, AgentSpec};
use adjutant_model::event::{Event, JournalRow};
use adjutant_model::policy::PolicyScope;
use adjutant_rules::policy::{self, Places, PolicySet, names_functions};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A policy file has at most so many bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The policies of files that hold in one run besides the plane's, the widest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunPolicies {
    bound: Vec<Bound>,
}

#[derive(Debug, Clone)]
struct Bound {
    source: Source,
    set: Arc<PolicySet>,
    /// Whether a rule of it could refuse a built-in function.
    judges_functions: bool,
}

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    scope: PolicyScope,
    /// Whose it is, when it is an agent's.
    agent: Option<String>,
    path: String,
    text: String,
}

/// Whose policies hold in a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicyOwners {
    /// The directories that it was given.
    pub(crate) directories: Vec<PathBuf>,
    /// The names of its agents.
    pub(crate) agents: BTreeSet<String>,
}

impl RunPolicies {
    /// Gives the sets that hold for an agent that goes by these names, the widest first.
    pub(crate) fn sets<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Arc<PolicySet>> {
        self.of(names).map(|bound| &bound.set)
    }

    /// Gives those of the sets that are about functions.
    pub(crate) fn function_sets<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a PolicySet> {
        self.of(names).filter(|bound| bound.judges_functions).map(|bound| &*bound.set)
    }

    fn of<'a>(&'a self, names: &'a [&str]) -> impl Iterator<Item = &'a Bound> {
        let holds = |agent: &String| names.contains(&agent.as_str());
        self.bound.iter().filter(move |bound| bound.source.agent.as_ref().is_none_or(holds))
    }

    /// Gives what the journal says of them.
    pub(crate) fn events(&self) -> impl Iterator<Item = Event> {
        self.bound.iter().map(|bound| {
            let Source { scope, agent, path, text } = bound.source.clone();
            Event::PolicyBound { scope, agent, path, text }
        })
    }

    /// Takes up what the journal says.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when this version cannot use a policy that an earlier one could.
    pub(crate) fn of_journal(core: &Core, rows: &[JournalRow]) -> Result<Self, EngineError> {
        let sources = rows.iter().filter_map(|row| match &row.event {
            Event::PolicyBound { scope, agent, path, text } => {
                Some(Source { scope: *scope, agent: agent.clone(), path: path.clone(), text: text.clone() })
            }
            _ => None,
        });
        Self::ready(&core.settings.folder, sources)
    }

    fn ready(folder: &Path, sources: impl IntoIterator<Item = Source>) -> Result<Self, EngineError> {
        let data_folder = folder.to_string_lossy();
        let places = Places { data_folder: data_folder.trim_end_matches('/') };
        let ready = |source: Source| {
            let file = policy::read_file(&source.text, &places).map_err(|lints| {
                let all: Vec<String> = lints.iter().map(ToString::to_string).collect();
                unusable(&source.path, &all.join("; "))
            })?;
            let judges_functions = names_functions(&file);
            let set = PolicySet::new(source.scope, file.rules).with_default(file.default);
            Ok(Bound { source, set: Arc::new(set), judges_functions })
        };
        Ok(RunPolicies { bound: sources.into_iter().map(ready).collect::<Result<_, EngineError>>()? })
    }
}

/// Gives the names that an agent of a blueprint goes by: its own, and that of the program which plays it.
pub(crate) fn names_of<'a>(agent: &'a Agent, stand_in: Option<&'a str>) -> Vec<&'a str> {
    let program = match &agent.spec {
        AgentSpec::Command(spec) => spec.template.as_deref().map(|template| stand_in.unwrap_or(template)),
        AgentSpec::Session(spec) => Some(spec.agent.as_str()),
        AgentSpec::Function { .. } | AgentSpec::Lua(_) | AgentSpec::Check(_) | AgentSpec::Operator(_) => None,
    };
    std::iter::once(agent.name.as_str()).chain(program).collect()
}

/// Reads the policies that hold in a run which starts now.
///
/// # Errors
/// [`EngineError::Invalid`] with the place of the mistake.
pub(crate) async fn read(core: &Core, owners: PolicyOwners) -> Result<RunPolicies, EngineError> {
    let agents = core.settings.folder.join("policies/agents");
    // Most runs have neither, and find out by one look.
    if owners.directories.is_empty() && matches!(agents.try_exists(), Ok(false)) {
        return Ok(RunPolicies::default());
    }
    let folder = core.settings.folder.clone();
    let reading =
        tokio::task::spawn_blocking(move || RunPolicies::ready(&folder, sources(&agents, &owners)?));
    reading.await.map_err(|_| EngineError::Defect("the reader of policies panicked"))?
}

/// Reads the policy of an agent that connects from outside.
///
/// # Errors
/// As [`read`].
pub(crate) async fn of_agent(core: &Core, agent_id: &str) -> Result<RunPolicies, EngineError> {
    let agents = BTreeSet::from([agent_id.to_owned()]);
    read(core, PolicyOwners { directories: Vec::new(), agents }).await
}

fn sources(agents: &Path, owners: &PolicyOwners) -> Result<Vec<Source>, EngineError> {
    let mut found = Vec::new();
    let tops: BTreeSet<PathBuf> =
        owners.directories.iter().flat_map(|directory| tops_of(directory)).collect();
    for top in tops {
        found.extend(source(PolicyScope::Project, None, &top.join(".adjutant/policy.toml"))?);
    }
    for agent in &owners.agents {
        let path = agents.join(policy::agent_file(agent));
        found.extend(source(PolicyScope::Agent, Some(agent), &path)?);
    }
    Ok(found)
}

/// Gives the top of the working tree that a directory is in, and of the main one when that is a linked one; the
/// directory itself when it is in none.
fn tops_of(directory: &Path) -> Vec<PathBuf> {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let top = directory.ancestors().find(|folder| folder.join(".git").symlink_metadata().is_ok());
    let Some(top) = top else { return vec![directory] };
    std::iter::once(top.to_owned()).chain(main_of(top)).collect()
}

/// Gives the project that a directory is of: the top of its working tree, and of the main one when that is a linked one.
pub(crate) fn project_of(directory: &Path) -> PathBuf {
    tops_of(directory).pop().unwrap_or_else(|| directory.to_owned())
}

/// Gives the main working tree of a linked one, whose `.git` is a file with `gitdir: <main>/.git/worktrees/<name>`.
fn main_of(top: &Path) -> Option<PathBuf> {
    let link = fs::read_to_string(top.join(".git")).ok()?;
    let entry = top.join(link.trim().strip_prefix("gitdir:")?.trim());
    let worktrees = entry.parent().filter(|folder| folder.ends_with("worktrees"))?;
    let git = worktrees.parent().filter(|folder| folder.ends_with(".git"))?;
    let main = git.parent()?;
    Some(main.canonicalize().unwrap_or_else(|_| main.to_owned()))
}

/// Reads one file; nothing when there is none.
fn source(scope: PolicyScope, agent: Option<&String>, path: &Path) -> Result<Option<Source>, EngineError> {
    let shown = path.to_string_lossy().into_owned();
    let cannot = |why: &dyn std::fmt::Display| unusable(&shown, &why.to_string());
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if is_absent(&error) && fs::symlink_metadata(path).is_err() => return Ok(None),
        Err(error) => return Err(cannot(&error)),
    };
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Err(cannot(&format!("it is no file of at most {FILE_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
    Ok(Some(Source { scope, agent: agent.cloned(), path: shown, text }))
}

/// Tells whether nothing can be there: below a file there is no file, and none has a name that is too long.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    [NotFound, NotADirectory, InvalidFilename].contains(&error.kind())
}

fn unusable(path: &str, why: &str) -> EngineError {
    EngineError::Invalid {
        message: format!("the policy {path} cannot be used: {why}"),
        hint: Some("correct it, or take it away; `adjutant policy test FILE COMMAND` reads it".to_owned()),
    }
}
