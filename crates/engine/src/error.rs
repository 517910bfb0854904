//! What the plane refuses, and why.

use crate::roster::RosterKind;
use adjutant_model::run::ErrorClass;
use adjutant_model::{GoalId, SessionId, Value};
use adjutant_rules::document::Lint;
use adjutant_rules::goal::{GateRefusal, GoalRefusal};
use adjutant_store::{ReadError, WriteError};
use std::io::ErrorKind;
use thiserror::Error;

/// Why the plane did not do what was asked.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The request says something that cannot be.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The blueprint cannot run.
    #[error("the blueprint cannot run: {}", lints.first().map(ToString::to_string).unwrap_or_default())]
    Blueprint {
        /// Everything that is wrong with it.
        lints: Vec<Lint>,
    },
    /// There is no such thing.
    #[error("the {kind} {id} was not found")]
    NotFound {
        /// What was looked for: `run`, `task`, `goal`, `blueprint`, `version`, `workspace`, `error`.
        kind: &'static str,
        /// The id that was given.
        id: String,
    },
    /// There is such a session, and Adjutant does not host its agent.
    #[error("the session {id} is {}: its agent is not hosted here", kind.as_str())]
    NotHosted {
        /// The session.
        id: SessionId,
        /// How it is known here.
        kind: RosterKind,
    },
    /// The file of settings cannot be used as it is.
    #[error("{message}")]
    Config {
        /// What is wrong with it.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// The caller's role does not let it.
    #[error("{0}")]
    Forbidden(String),
    /// A model wants to begin a session, which it may not by itself.
    #[error("an agent begins no session by itself: spawning over MCP is off")]
    SpawnOff,
    /// What was asked does not go together with what is.
    #[error("{message}")]
    Conflict {
        /// Why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A run cannot go on again from a step.
    #[error("{message}")]
    RerunRefused {
        /// Why.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A blueprint is not what a write was based on; what it is now stays.
    #[error("{message}")]
    BlueprintConflict {
        /// The blueprint.
        id: String,
        /// Its head, when there is one.
        head: Option<String>,
        /// What does not fit.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A blueprint is archived: it neither runs nor changes.
    #[error("the blueprint {0} is archived; POST /v1/blueprints/{0}/unarchive first")]
    BlueprintArchived(String),
    /// A goal is not proved.
    #[error("goal {goal_id} is not proved: {}", refusal.missing.join("; "))]
    GoalGate {
        /// The goal.
        goal_id: GoalId,
        /// What is missing.
        refusal: GateRefusal,
    },
    /// A goal does not take this.
    #[error(transparent)]
    Goal(GoalRefusal),
    /// A workspace could not be made, read or removed.
    #[error("{message}")]
    Workspace {
        /// Why.
        message: String,
        /// What to do about it.
        hint: Option<String>,
        /// What may be done about it.
        class: ErrorClass,
    },
    /// A report of an error could not be filed.
    #[error("{message}")]
    Report {
        /// Why.
        message: String,
        /// What to do about it.
        hint: String,
        /// What may be done about it.
        class: ErrorClass,
    },
    /// The whole store could not be copied, looked at or replaced; it is as it was.
    #[error("{message}")]
    Care {
        /// Why.
        message: String,
        /// The stable name that programs read.
        code: &'static str,
        /// What to do about it.
        hint: Option<String>,
        /// What may be done about it.
        class: ErrorClass,
    },
    /// It was about something that is over.
    #[error("{0}")]
    Over(String),
    /// What was delivered is not what is taken.
    #[error("{0}")]
    Unfit(String),
    /// Nobody is there who could do it.
    #[error("{0}")]
    NoOperator(String),
    /// What it is about cannot be reached now.
    #[error("{0}")]
    OutOfReach(String),
    /// Too much at once.
    #[error("{0} runs are open, and no more are taken at once")]
    Busy(usize),
    /// Too many of something else at once.
    #[error("{0}")]
    Crowded(String),
    /// It is more than is taken.
    #[error("{message}")]
    TooLarge {
        /// How much is.
        message: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The disk that holds the outputs' files refused.
    #[error("the file of an output could not be {done}")]
    Body {
        /// What was to be done with it.
        done: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Something of ours went wrong.
    #[error("{0}")]
    Defect(&'static str),
    /// The plane is stopping.
    #[error("the daemon is stopping and takes no new work")]
    Stopping,
    /// The store refuses for now; what was asked waits, and is done when it takes it.
    #[error("it waits for the store, which refuses the change: {0}")]
    Held(String),
    /// The store took nothing; nothing has changed.
    #[error("the store refused the change, and nothing was changed")]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error("the store could not be read")]
    Read(#[from] ReadError),
}

impl EngineError {
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        EngineError::Invalid { message: message.into(), hint: None }
    }

    pub(crate) fn not_found(kind: &'static str, id: impl ToString) -> Self {
        EngineError::NotFound { kind, id: id.to_string() }
    }

    /// Gives it in words, with what may be done about it behind.
    pub(crate) fn with_hint(&self) -> String {
        let hint = self.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
        format!("{self}{hint}")
    }

    /// Gives what may be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            EngineError::NotFound { .. } | EngineError::NotHosted { .. } | EngineError::Over(_) => {
                ErrorClass::Gone
            }
            EngineError::Unfit(_) => ErrorClass::User,
            EngineError::NoOperator(_) | EngineError::OutOfReach(_) => ErrorClass::Retry,
            EngineError::Invalid { .. }
            | EngineError::Blueprint { .. }
            | EngineError::Forbidden(_)
            | EngineError::SpawnOff
            | EngineError::TooLarge { .. } => ErrorClass::User,
            EngineError::Conflict { .. }
            | EngineError::RerunRefused { .. }
            | EngineError::BlueprintConflict { .. }
            | EngineError::BlueprintArchived(_)
            | EngineError::Config { .. }
            | EngineError::GoalGate { .. }
            | EngineError::Goal(_) => ErrorClass::User,
            EngineError::Defect(_) => ErrorClass::Bug,
            EngineError::Busy(_)
            | EngineError::Crowded(_)
            | EngineError::Body { .. }
            | EngineError::Held(_)
            | EngineError::Stopping => ErrorClass::Retry,
            EngineError::Workspace { class, .. }
            | EngineError::Report { class, .. }
            | EngineError::Care { class, .. } => *class,
            EngineError::Write(error) => error.class(),
            EngineError::Read(error) => error.class(),
        }
    }

    /// Gives the stable name that programs read.
    pub fn code(&self) -> &'static str {
        match self {
            EngineError::Invalid { .. } => "invalid_request",
            EngineError::Blueprint { .. } => "blueprint_invalid",
            EngineError::NotFound { .. } | EngineError::NotHosted { .. } => "not_found",
            EngineError::Config { .. } => "config_unusable",
            EngineError::Forbidden(_) | EngineError::SpawnOff => "forbidden",
            EngineError::Conflict { .. } | EngineError::BlueprintConflict { .. } => "conflict",
            EngineError::BlueprintArchived(_) => "blueprint_archived",
            EngineError::RerunRefused { .. } => "rerun_refused",
            EngineError::GoalGate { .. } => "goal_not_proved",
            EngineError::Goal(refusal) if refusal.is_malformed() => "invalid_request",
            EngineError::Goal(refusal) => match refusal.class() {
                ErrorClass::Gone => "not_found",
                ErrorClass::User | ErrorClass::Retry | ErrorClass::Bug => "goal_refused",
            },
            EngineError::Workspace { .. } => "workspace_failed",
            EngineError::Report { .. } => "report_failed",
            EngineError::Care { code, .. } => code,
            EngineError::Over(_) => "gone",
            EngineError::Unfit(_) => "delivery_invalid",
            EngineError::NoOperator(_) => "no_operator",
            EngineError::OutOfReach(_) => "out_of_reach",
            EngineError::Busy(_) | EngineError::Crowded(_) => "busy",
            EngineError::TooLarge { .. } => "too_large",
            EngineError::Body { source, .. } if source.kind() == ErrorKind::StorageFull => "store_full",
            EngineError::Body { .. } => "store_failed",
            EngineError::Defect(_) => "internal",
            EngineError::Stopping => "stopping",
            EngineError::Held(_) => "store_failed",
            EngineError::Write(WriteError::Full(_)) => "store_full",
            EngineError::Write(_) => "store_failed",
            EngineError::Read(_) => "store_unreadable",
        }
    }

    /// Gives what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Invalid { hint, .. }
            | EngineError::Conflict { hint, .. }
            | EngineError::Workspace { hint, .. }
            | EngineError::Care { hint, .. } => hint.clone(),
            EngineError::RerunRefused { hint, .. }
            | EngineError::Config { hint, .. }
            | EngineError::Report { hint, .. } => Some(hint.clone()),
            EngineError::BlueprintConflict { hint, .. } => Some(hint.clone()),
            EngineError::BlueprintArchived(id) => {
                Some(format!("`adjutant blueprint unarchive {id}` does it, too"))
            }
            EngineError::Blueprint { .. } => {
                Some("`adjutant blueprint lint FILE` shows every place".to_owned())
            }
            EngineError::NotFound { kind, .. } => Some(match *kind {
                "run" => "`adjutant runs` lists the runs".to_owned(),
                "goal" => "`adjutant goal ls` lists the goals".to_owned(),
                "blueprint" => "`adjutant blueprint ls` lists the blueprints".to_owned(),
                "version" => "`adjutant blueprint log ID` lists the versions".to_owned(),
                "error" | "preview" => "`adjutant errors` lists the errors".to_owned(),
                "issue" => "`adjutant issue ls` lists the issues".to_owned(),
                "enhance setting" => "`adjutant enhance settings ls` lists the settings".to_owned(),
                "session" => "`adjutant session ls` lists the sessions".to_owned(),
                "fact" => "`adjutant memory ls --all` lists what is remembered".to_owned(),
                "token" => "`adjutant token ls` lists the tokens".to_owned(),
                kind => format!("check the {kind}'s id"),
            }),
            EngineError::NotHosted { kind: RosterKind::Attached, .. } => {
                Some("whoever holds its token drives it; `adjutant token ls` shows that token".to_owned())
            }
            EngineError::NotHosted { .. } => Some(
                "go to the terminal that it was started in, or begin one that is hosted: `adjutant session new`"
                    .to_owned(),
            ),
            EngineError::GoalGate { .. } => Some("`adjutant goal check` runs its checks now".to_owned()),
            EngineError::Write(WriteError::Full(_)) => Some(
                "free space on the disk of the data folder; open runs go on by themselves then".to_owned(),
            ),
            EngineError::Held(_) => {
                Some("free space on the disk of the data folder; it is done by itself then".to_owned())
            }
            EngineError::TooLarge { hint, .. } => Some((*hint).to_owned()),
            EngineError::Write(_) | EngineError::Read(_) | EngineError::Body { .. } => {
                Some("`adjutant doctor` looks at the store".to_owned())
            }
            EngineError::NoOperator(_) => {
                Some("`POST /v1/operators` joins; then name its sid as `operator_sid`".to_owned())
            }
            EngineError::OutOfReach(_) => {
                Some("it is tried again by itself; ask again in a while".to_owned())
            }
            EngineError::Over(_) => Some("its run goes on without it, or has ended".to_owned()),
            EngineError::Unfit(_) => Some("deliver again what the agent's contract takes".to_owned()),
            EngineError::Busy(_) | EngineError::Crowded(_) => {
                Some("try again when some have ended".to_owned())
            }
            EngineError::SpawnOff => Some(
                "`agent_delegate` asks a person for it; `agents_may_spawn = true` below `[sessions]` in config.toml \
                 lets agents begin sessions"
                    .to_owned(),
            ),
            EngineError::Forbidden(_)
            | EngineError::Goal(_)
            | EngineError::Defect(_)
            | EngineError::Stopping => None,
        }
    }

    /// Gives what programs may want to know besides.
    pub fn details(&self) -> Option<Value> {
        let tally = |tally: &adjutant_rules::goal::Tally| {
            [("verified", Value::from(tally.verified as u64)), ("total", Value::from(tally.total as u64))]
        };
        match self {
            EngineError::GoalGate { refusal, .. } => {
                let missing = Value::array(refusal.missing.iter().map(|text| Value::from(text.as_str())));
                let more = [("criteria", Value::object(tally(&refusal.criteria))), ("missing", missing)];
                Some(Value::object(tally(&refusal.links).into_iter().chain(more)))
            }
            EngineError::Blueprint { lints } => {
                Some(Value::object([("lints", Value::array(lints.iter().map(lint_value)))]))
            }
            EngineError::BlueprintConflict { id, head, .. } => {
                let head = head.as_deref().map_or(Value::Null, Value::from);
                Some(Value::object([("id", Value::from(id.as_str())), ("head", head)]))
            }
            EngineError::Invalid { .. }
            | EngineError::NotFound { .. }
            | EngineError::NotHosted { .. }
            | EngineError::Config { .. }
            | EngineError::Forbidden(_)
            | EngineError::SpawnOff
            | EngineError::Conflict { .. }
            | EngineError::RerunRefused { .. }
            | EngineError::BlueprintArchived(_)
            | EngineError::Goal(_)
            | EngineError::Workspace { .. }
            | EngineError::Report { .. }
            | EngineError::Care { .. }
            | EngineError::Over(_)
            | EngineError::Unfit(_)
            | EngineError::NoOperator(_)
            | EngineError::OutOfReach(_)
            | EngineError::Held(_)
            | EngineError::Busy(_)
            | EngineError::Crowded(_)
            | EngineError::TooLarge { .. }
            | EngineError::Body { .. }
            | EngineError::Defect(_)
            | EngineError::Stopping
            | EngineError::Write(_)
            | EngineError::Read(_) => None,
        }
    }
}

fn lint_value(lint: &Lint) -> Value {
    Value::object([
        ("name", Value::from(lint.name)),
        ("pointer", Value::from(lint.pointer.as_str())),
        ("message", Value::from(lint.message.as_str())),
        ("hint", lint.hint.as_deref().map_or(Value::Null, Value::from)),
    ])
}

/// Gives an error with its causes, each once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
