//! Errors on the wire, and what each means over HTTP and as an exit code.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use utoipa::ToSchema;

/// What every door answers when it did not do what was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiError {
    /// What went wrong, for people.
    pub error: String,
    /// The stable name that programs read, one of [`ErrorCode`].
    pub code: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What programs may want to know besides.
    pub details: Option<Value>,
}

impl ApiError {
    /// Makes an error without a hint.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        ApiError { error: error.into(), code: code.as_str().to_owned(), hint: None, details: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hinted(self, hint: impl Into<String>) -> Self {
        ApiError { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for ApiError {}

/// How Adjutant's program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// All went well.
    Ok,
    /// The run failed, or what was asked was refused.
    Failed,
    /// The command line or a file says something that cannot be.
    Usage,
    /// There is no daemon, and none could be started.
    Unreachable,
    /// There is no such thing.
    NotFound,
    /// It waits for a person.
    WaitsForApproval,
    /// A defect of Adjutant.
    Bug,
}

impl ExitCode {
    /// Gives the number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Ok => 0,
            ExitCode::Failed => 1,
            ExitCode::Usage => 2,
            ExitCode::Unreachable => 3,
            ExitCode::NotFound => 4,
            ExitCode::WaitsForApproval => 5,
            ExitCode::Bug => 70,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $exit:ident;)*) => {
        /// The stable names of errors.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $name,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name),*];

            /// Gives the name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(ErrorCode::$name => $text,)* }
            }

            /// Gives the HTTP status.
            pub fn status(self) -> u16 {
                match self { $(ErrorCode::$name => $status,)* }
            }

            /// Gives how the program ends.
            pub fn exit(self) -> ExitCode {
                match self { $(ErrorCode::$name => ExitCode::$exit,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed, or says something that cannot be.
    InvalidRequest = "invalid_request", 400, Usage;
    /// No token, or one that is not good any more.
    Unauthenticated = "unauthenticated", 401, Failed;
    /// The token's role does not let it, or the request comes from a foreign page.
    Forbidden = "forbidden", 403, Failed;
    /// There is no such thing.
    NotFound = "not_found", 404, NotFound;
    /// The route is there, the method is not.
    MethodNotAllowed = "method_not_allowed", 405, Usage;
    /// The body stopped arriving.
    TooSlow = "too_slow", 408, Failed;
    /// It does not go together with what is.
    Conflict = "conflict", 409, Failed;
    /// The blueprint is archived: it neither runs nor changes.
    BlueprintArchived = "blueprint_archived", 409, Failed;
    /// The file of settings cannot be used as it is.
    ConfigUnusable = "config_unusable", 409, Usage;
    /// The goal is not proved.
    GoalNotProved = "goal_not_proved", 409, Failed;
    /// The goal does not take this.
    GoalRefused = "goal_refused", 409, Failed;
    /// It was about something that is over.
    Gone = "gone", 410, NotFound;
    /// What was delivered is not what is taken.
    DeliveryInvalid = "delivery_invalid", 422, Failed;
    /// Nobody is there who could do it.
    NoOperator = "no_operator", 503, Failed;
    /// What it is about cannot be reached now.
    OutOfReach = "out_of_reach", 503, Failed;
    /// The body is too large.
    TooLarge = "too_large", 413, Usage;
    /// The body has nothing of the range.
    RangeUnsatisfiable = "range_unsatisfiable", 416, Usage;
    /// The blueprint cannot run.
    BlueprintInvalid = "blueprint_invalid", 422, Usage;
    /// The run ended by an error in its flow.
    FlowFailed = "flow_failed", 422, Failed;
    /// The workspace could not be made, read or removed.
    WorkspaceFailed = "workspace_failed", 422, Failed;
    /// The run cannot go on again from that step.
    RerunRefused = "rerun_refused", 422, Failed;
    /// The run's driver is gone; the run can be resumed.
    RunInterrupted = "run_interrupted", 500, Failed;
    /// The run was cancelled while its request waited.
    RunCancelled = "run_cancelled", 409, Failed;
    /// A report of an error could not be filed.
    ReportFailed = "report_failed", 502, Failed;
    /// Too much at once.
    Busy = "busy", 429, Failed;
    /// A defect of Adjutant.
    Internal = "internal", 500, Bug;
    /// The daemon is stopping.
    Stopping = "stopping", 503, Unreachable;
    /// The disk is full.
    StoreFull = "store_full", 503, Failed;
    /// The store refused the change.
    StoreFailed = "store_failed", 503, Failed;
    /// The store is damaged.
    StoreDamaged = "store_damaged", 500, Failed;
    /// The store could not be read.
    StoreUnreadable = "store_unreadable", 503, Failed;
    /// The run took longer than the request waits.
    Timeout = "timeout", 504, Failed;
}

impl ErrorCode {
    /// Reads a code's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_name_and_a_status_of_an_error() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()));
            assert_ne!(code.exit(), ExitCode::Ok);
        }
    }
}
