//! Every id is its own type with its own prefix; this file is the registry of them.
//!
//! Ids are arguments everywhere: whoever may draw randomness makes a [`Uuid`] and passes it in.

use crate::run::StepPath;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
pub use uuid::Uuid;

/// A text that is not an id of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// What was expected, for example `run_ and 32 hex digits`.
    pub expected: &'static str,
    /// What was given.
    pub given: String,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got {:?}", self.expected, self.given)
    }
}

impl std::error::Error for InvalidId {}

macro_rules! typed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $digits:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes the id that shows `uuid`.
            pub fn new(uuid: Uuid) -> Self {
                let hex = uuid.simple().to_string();
                Self(format!("{}{}", $prefix, &hex[32 - $digits..]).into())
            }

            /// Gives the id as it is shown and stored.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.strip_prefix($prefix).unwrap_or("");
                let valid = digits.len() == $digits
                    && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                if valid {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId {
                        expected: concat!($prefix, " and ", $digits, " hex digits"),
                        given: text.chars().take(80).collect(),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl From<&$name> for Arc<str> {
            fn from(id: &$name) -> Arc<str> {
                id.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

typed_id!(
    /// One execution of a blueprint, or of an outside client's proposals.
    RunId, "run_", 32
);
typed_id!(
    /// A request to execute a blueprint; it has one or more runs.
    TaskId, "task_", 32
);
typed_id!(
    /// An intent with acceptance checks.
    GoalId, "g-", 16
);
typed_id!(
    /// A connected client that does steps and answers.
    OperatorId, "op_", 32
);
typed_id!(
    /// A request to change a blueprint.
    IssueId, "h-", 32
);
typed_id!(
    /// The public name of a token; the secret itself is stored only as a hash.
    TokenId, "token_", 32
);

/// Names one attempt of a step where wires have one word for it: `ST-<run>-<attempt>-<path>`.
///
/// It follows from what it names and can be read back; it needs no escaping in a URL, so the path stands in it with `.`
/// for `/` and `_` for `#`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

impl StepId {
    /// What every id of this kind starts with.
    pub const PREFIX: &'static str = "ST-";

    /// Names an attempt of a step.
    pub fn of(run_id: &RunId, path: &StepPath, attempt: u32) -> Self {
        let run = &run_id.as_str()[RunId::PREFIX.len()..];
        let path = match path.as_str() {
            // The root is the one path that has a dot.
            "." => "root".to_owned(),
            path => path.replace('/', ".").replace('#', "_"),
        };
        Self(format!("{}{run}-{attempt}-{path}", Self::PREFIX).into())
    }

    /// Gives what it names: the run, the step in it, and which attempt.
    pub fn names(&self) -> (RunId, StepPath, u32) {
        read_step_id(&self.0).expect("it was read when it was made")
    }

    /// Gives the id as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn read_step_id(text: &str) -> Option<(RunId, StepPath, u32)> {
    let mut parts = text.strip_prefix(StepId::PREFIX)?.splitn(3, '-');
    let run_id = format!("{}{}", RunId::PREFIX, parts.next()?).parse().ok()?;
    let attempt = parts.next()?.parse().ok()?;
    let path = parts.next().filter(|path| !path.is_empty() && path.len() <= 4096)?;
    let is_plain = path.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
    let path = if path == "root" { ".".to_owned() } else { path.replace('.', "/").replace('_', "#") };
    is_plain.then(|| (run_id, StepPath::new(path), attempt))
}

impl FromStr for StepId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match read_step_id(text) {
            Some((run_id, path, attempt)) => Ok(StepId::of(&run_id, &path, attempt)),
            None => Err(InvalidId {
                expected: "ST-, 32 hex digits, an attempt and a path",
                given: text.chars().take(80).collect(),
            }),
        }
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(id: StepId) -> String {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

typed_id!(
    /// Something that a step or a person has put on the data path.
    OutputId, "out_", 32
);
typed_id!(
    /// Something that is remembered.
    FactId, "fact_", 32
);
typed_id!(
    /// The handing over of a session's work to another agent.
    HandoffId, "handoff_", 32
);
typed_id!(
    /// A call that takes long.
    CallId, "call_", 32
);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Makes the id that shows `uuid`.
            pub fn new(uuid: Uuid) -> Self {
                $name(uuid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // In the one form that it is shown in, but for the case, which says nothing.
                let is_so = |uuid: &Uuid| uuid.hyphenated().to_string().eq_ignore_ascii_case(text);
                let parsed = Uuid::try_parse(text).ok().filter(is_so);
                parsed.map($name).ok_or_else(|| InvalidId {
                    expected: "a UUID with hyphens",
                    given: text.chars().take(80).collect(),
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }
    };
}

uuid_id!(
    /// The name of a session: a UUID. An attached session's secret is a token's.
    SessionId
);
uuid_id!(
    /// Work that a session gives to another one: a UUID.
    DelegationId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_named_in_one_word_that_is_read_back() {
        let run = RunId::new(Uuid::from_u128(0xab));
        for (path, attempt, shown) in [(".", 1, "1-root"), ("0/2/body#3/1", 2, "2-0.2.body_3.1")] {
            let path = StepPath::new(path);
            let id = StepId::of(&run, &path, attempt);
            assert_eq!(id.as_str(), format!("ST-000000000000000000000000000000ab-{shown}"));
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_eq!(id.names(), (run.clone(), path, attempt));
        }
        for wrong in [
            "",
            "ST-",
            "ST-00-1-0",
            "ST-000000000000000000000000000000ab-x-0",
            "ST-000000000000000000000000000000ab-1-../x",
        ] {
            assert!(wrong.parse::<StepId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_print_parse_and_refuse_what_is_not_theirs() {
        let uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        let run = RunId::new(uuid);
        assert_eq!(run.as_str(), "run_0123456789abcdef0123456789abcdef");
        assert_eq!(run.as_str().parse(), Ok(run.clone()));
        assert_eq!(GoalId::new(uuid).as_str(), "g-0123456789abcdef");
        for wrong in [
            "",
            "run_",
            "task_0123456789abcdef0123456789abcdef",
            "run_0123456789ABCDEF0123456789abcdef",
            "run_../../etc/passwd",
        ] {
            assert!(wrong.parse::<RunId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_session_has_one_form() {
        let text = "01234567-89ab-cdef-0123-456789abcdef";
        for said in [text.to_owned(), text.to_uppercase(), text.replace("ab", "Ab")] {
            assert_eq!(said.parse::<SessionId>().map(|id| id.to_string()).as_deref(), Ok(text), "{said}");
        }
        for wrong in [
            "",
            "0123456789abcdef0123456789abcdef",
            "{01234567-89ab-cdef-0123-456789abcdef}",
            "01234567-89ab-cdef-0123-456789abcdeg",
        ] {
            assert!(wrong.parse::<SessionId>().is_err(), "{wrong}");
        }
    }
}
