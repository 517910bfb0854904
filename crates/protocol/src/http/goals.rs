//! Goals on the wire.

use super::managed::BudgetView;
use crate::object;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// A new goal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalParams {
    /// The intent.
    pub description: String,
    /// What proves it.
    #[serde(default)]
    pub acceptance: Vec<CriterionParams>,
    /// A directory in the project's repository, absolute; checks run there when nothing that is linked has a workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The ids of the goals that must be done before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// What its pursuit may spend, all sessions of it together.
    #[serde(default, deserialize_with = "object::one")]
    pub budget: BudgetView,
    /// Until when it is pursued, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// When its checks are run again by themselves: a cron expression with five fields, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<String>,
}

/// A criterion: a text, or an object with a text, a check or both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriterionParams {
    /// For people.
    pub text: String,
    /// A command line that proves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

impl ToSchema for CriterionParams {}

impl PartialSchema for CriterionParams {
    fn schema() -> RefOr<Schema> {
        let text = |about: &str| ObjectBuilder::new().schema_type(Type::String).description(Some(about));
        let said = || text("For people.");
        let check = || text("A command line that proves it.");
        let nothing_else = || Some(AdditionalProperties::FreeForm(false));
        let with_text = ObjectBuilder::new()
            .property("text", said())
            .property("check", check().schema_type(SchemaType::from_iter([Type::String, Type::Null])))
            .required("text")
            .additional_properties(nothing_else());
        let with_check_alone = ObjectBuilder::new()
            .property("check", check())
            .required("check")
            .additional_properties(nothing_else());
        let about = "A criterion: a text, or an object with a text, a check or both.";
        let any = OneOfBuilder::new().item(said()).item(with_text).item(with_check_alone);
        Schema::OneOf(any.description(Some(about)).build()).into()
    }
}

impl<'de> Deserialize<'de> for CriterionParams {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CriterionVisitor)
    }
}

struct CriterionVisitor;

impl<'de> Visitor<'de> for CriterionVisitor {
    type Value = CriterionParams;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or {text, check}")
    }

    fn visit_str<E>(self, text: &str) -> Result<CriterionParams, E> {
        Ok(CriterionParams { text: text.to_owned(), check: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<CriterionParams, A::Error> {
        let (mut text, mut check) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "text" => text = Some(map.next_value()?),
                "check" => check = map.next_value()?,
                _ => return Err(de::Error::unknown_field(&key, &["text", "check"])),
            }
        }
        if text.is_none() && check.is_none() {
            return Err(de::Error::missing_field("text"));
        }
        Ok(CriterionParams { text: text.unwrap_or_default(), check })
    }
}

/// A goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GoalView {
    /// Its id.
    pub id: String,
    /// The intent.
    pub description: String,
    /// `pending`, `inProgress`, `blocked`, `done` or `abandoned`.
    pub status: String,
    /// Why it went there, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What proves it.
    pub acceptance: Vec<CriterionView>,
    /// The sessions and runs linked to it.
    pub sessions: Vec<LinkView>,
    /// `floor(100·verified/total)` of the links, or of the criteria while nothing is linked.
    pub progress: u8,
    /// The project's repository.
    pub project: Option<String>,
    /// The ids of the goals that must be done before it.
    pub depends_on: Vec<String>,
    /// What its pursuit may spend, all sessions of it together.
    pub budget: BudgetView,
    /// Until when it is pursued, RFC 3339.
    pub deadline: Option<String>,
    /// When its checks are run again by themselves.
    pub recheck: Option<RecheckView>,
    /// What a person should look at.
    pub alert: Option<GoalAlertView>,
    /// How it is pursued, or was last.
    #[serde(default)]
    pub pursuit: Option<PursuitView>,
    /// What people said, the oldest first.
    pub notes: Vec<String>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// When it last changed, RFC 3339.
    pub updated: String,
    /// When what is shown was so, RFC 3339: the store cannot be read, and this is out of its mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
}

/// How a goal is pursued: sessions work for it until its checks pass, or there is no more to spend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PursuitView {
    /// `launching`, `working`, `checking`, `telling`, `ending` or `ended`.
    pub state: String,
    /// Whether it was reached, once it is over.
    pub reached: Option<bool>,
    /// Why it was given up.
    pub reason: Option<String>,
    /// The profile of its agents.
    pub agent: String,
    /// How often an agent was told.
    pub attempt: u32,
    /// How often one is told at most.
    pub attempts_max: u32,
    /// All sessions that were ever begun for the goal; the last one is at work.
    pub sessions: Vec<String>,
    /// When it was asked for, RFC 3339.
    pub started_at: String,
}

/// How a goal is to be pursued.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PursueParams {
    /// The profile of its agents; `claude` when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// How they are hosted: `tmux`, `pty`, `acp` or `headless`; the profile's first when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Their model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How often an agent is told at most, 1 to 20; 3 when nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// When the checks of a goal are run again by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecheckView {
    /// A cron expression, in UTC.
    pub cron: String,
    /// When that is next, RFC 3339.
    pub next_at: String,
}

/// Something about a goal that a person should look at; whoever sets the goal's state has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GoalAlertView {
    /// `reopened`, `pursuit_stopped`, `deadline` or `unchecked`.
    pub what: String,
    /// The same in words.
    pub text: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A page of goals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GoalsView {
    /// The goals, the oldest first.
    pub goals: Vec<GoalView>,
    /// The id to ask for what is behind them with, as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When what is shown was so, RFC 3339: the store cannot be read, and this is its mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
}

/// A criterion with its last proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CriterionView {
    /// For people.
    pub text: String,
    /// A command line that proves it.
    pub check: Option<String>,
    /// The last proof.
    pub evidence: Option<EvidenceView>,
}

/// A session or run that works on a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LinkView {
    /// A session's or run's id.
    pub session_id: String,
    /// What it was to do.
    pub task: String,
    /// `launched`, `running`, `verified` or `failed`.
    pub state: String,
    /// What verified it, or speaks against it.
    pub evidence: Option<EvidenceView>,
}

/// What a check or a person said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvidenceView {
    /// `{type: "check", command}`, `{type: "turn", run_id, index}` or `{type: "sign_off", person}`.
    pub source: Value,
    /// Whether it speaks for the criterion.
    pub passed: bool,
    /// The git tree it is about.
    pub tree: Option<String>,
    /// The workspace that has that tree.
    pub workspace: Option<String>,
    /// Exit code, output or words.
    pub detail: String,
    /// When it was produced, RFC 3339.
    pub at: String,
    /// Why it does not count any more, where one goal is looked at: the tree that it is about has changed or is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<String>,
}

/// Work to link to a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkParams {
    /// A session's or run's id.
    pub session_id: String,
    /// What it is to do.
    #[serde(default)]
    pub task: String,
}

/// What shows that a criterion holds, or that a linked session or run has done what it was to do: a person's word, or
/// a turn of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceParams {
    /// Which criterion, from 0; this or `session_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<usize>,
    /// Which linked session or run; it is verified then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Who says so; this with `words`, or `turn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What they say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// The turn whose result says whether it passed, and on which tree.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub turn: Option<TurnRefParams>,
}

/// A turn of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TurnRefParams {
    /// The run.
    pub run_id: String,
    /// The turn's place in it, from 0.
    pub index: u64,
}

/// What is to be different about a goal; what is not said stays, and all of it is kept together or nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalUpdateParams {
    /// The intent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The project's repository, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The ids of the goals that must be done before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<String>>,
    /// What its pursuit may spend.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object::optional")]
    pub budget: Option<BudgetView>,
    /// Until when it is pursued, RFC 3339; an empty text takes the deadline away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// A cron expression; an empty text takes the schedule away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recheck: Option<String>,
    /// The link whose state is `state`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where that link stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Another state for the goal; `done` only through the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why it goes there; whoever gives a goal up says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A note.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteParams {
    /// What is said.
    pub note: String,
}

/// Another state for a goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoalStatusParams {
    /// `inProgress`, `blocked`, `done` or `abandoned`.
    pub status: String,
    /// Why; whoever gives a goal up says so.
    #[serde(default)]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_criterion_is_a_text_or_an_object() {
        let read = |json: &str| serde_json::from_str::<CriterionParams>(json);
        let made = |text: &str, check: Option<&str>| CriterionParams {
            text: text.to_owned(),
            check: check.map(str::to_owned),
        };
        assert_eq!(read(r#""fast""#).expect("a text"), made("fast", None));
        assert_eq!(read(r#"{"text":"fast","check":"true"}"#).expect("an object"), made("fast", Some("true")));
        assert_eq!(read(r#"{"check":"true"}"#).expect("an object"), made("", Some("true")));
        for wrong in ["{}", "3", r#"{"text":"a","chek":"b"}"#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
