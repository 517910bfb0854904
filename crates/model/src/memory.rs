//! Memory: facts that outlive the session, the run or the person that they came from.
//!
//! A fact is said once and never rewritten: a later one takes its place, or it is forgotten, and then its text is gone.

use crate::id::{FactId, GoalId, RunId, SessionId};
use crate::run::StepPath;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// For whom a fact holds; as a text it is `plane`, `project:<path or URL>`, `agent:<name>` or `goal:<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FactScope {
    /// For everybody.
    Plane,
    /// For whoever works on a project: its absolute path, or its URL.
    Project(String),
    /// For an agent, by the name of its profile.
    Agent(String),
    /// For whoever serves a goal.
    Goal(GoalId),
}

impl FactScope {
    /// Gives which kind it is: `plane`, `project`, `agent` or `goal`.
    pub fn kind(&self) -> &'static str {
        match self {
            FactScope::Plane => "plane",
            FactScope::Project(_) => "project",
            FactScope::Agent(_) => "agent",
            FactScope::Goal(_) => "goal",
        }
    }

    /// Reads a scope's text.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "plane" {
            return Some(FactScope::Plane);
        }
        let (kind, of) = text.split_once(':').filter(|(_, of)| !of.is_empty())?;
        match kind {
            "project" => Some(FactScope::Project(of.to_owned())),
            "agent" => Some(FactScope::Agent(of.to_owned())),
            "goal" => of.parse().ok().map(FactScope::Goal),
            _ => None,
        }
    }
}

impl fmt::Display for FactScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FactScope::Plane => f.write_str("plane"),
            FactScope::Project(project) => write!(f, "project:{project}"),
            FactScope::Agent(agent) => write!(f, "agent:{agent}"),
            FactScope::Goal(goal_id) => write!(f, "goal:{goal_id}"),
        }
    }
}

impl TryFrom<String> for FactScope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        FactScope::parse(&text).ok_or(text)
    }
}

impl From<FactScope> for String {
    fn from(scope: FactScope) -> String {
        scope.to_string()
    }
}

/// Where a fact came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FactSource {
    /// The agent of a managed session.
    Session {
        /// The session.
        session_id: SessionId,
    },
    /// A step of a run.
    Run {
        /// The run.
        run_id: RunId,
        /// The step.
        path: StepPath,
    },
    /// A person, or a program that is no session of ours.
    Person {
        /// How the journal names them.
        name: String,
    },
}

/// Something that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Its id.
    pub id: FactId,
    /// For whom it holds.
    pub scope: FactScope,
    /// What is remembered.
    pub text: String,
    /// Words that it is found by, too.
    pub tags: Vec<String>,
    /// Where it came from.
    pub source: FactSource,
    /// When it was said.
    pub created_at: Timestamp,
    /// Until when it holds; without an end when nothing is said.
    pub valid_until: Option<Timestamp>,
    /// What took its place, and when.
    pub successor: Option<Successor>,
}

/// What took a fact's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor {
    /// The fact that did; it may be forgotten since.
    pub by: FactId,
    /// When.
    pub at: Timestamp,
}

impl Fact {
    /// Tells whether it holds.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.successor.is_none() && self.valid_until.is_none_or(|until| until > now)
    }
}

/// A fact that was found, and how well it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundFact {
    /// The fact.
    pub fact: Fact,
    /// BM25 over text and tags, less for what is older; more is better.
    pub score: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Uuid;

    #[test]
    fn a_scope_is_one_word_that_is_read_back() {
        let goal = FactScope::Goal(GoalId::new(Uuid::from_u128(7)));
        for (scope, text) in [
            (FactScope::Plane, "plane"),
            (FactScope::Project("/p: q".into()), "project:/p: q"),
            (FactScope::Agent("claude".into()), "agent:claude"),
            (goal, "goal:g-0000000000000007"),
        ] {
            assert_eq!(scope.to_string(), text);
            assert_eq!(FactScope::parse(text), Some(scope));
        }
        for wrong in ["", "project", "project:", "goal:x", "team:a", "Plane"] {
            assert_eq!(FactScope::parse(wrong), None, "{wrong}");
        }
    }
}
