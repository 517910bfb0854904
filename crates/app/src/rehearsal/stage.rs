//! Where a rehearsal is seen: what every mode shows of a turn, and whom it can ask.

use super::script::{ToolStep, Usage};
use adjutant_model::time::Timestamp;
use serde_json::Value;
use std::io;
use tokio_util::sync::CancellationToken;

/// A mode's side of a performance.
///
/// Its implementations: print mode and the control protocol ([`super::stream::Stream`] and
/// [`super::headless::Host`]), the terminal ([`super::terminal::Screen`]), and ACP ([`super::acp::Client`]).
pub(super) trait Stage {
    /// Shows something when it happens.
    ///
    /// # Errors
    /// What the reader's end said when it could not be written to.
    fn show(&mut self, shown: &Shown<'_>) -> io::Result<()>;

    /// Tells whether a person looks on who should be notified of what waits for them.
    fn is_attended(&self) -> bool {
        false
    }

    /// Asks whether a call may be made that needs permission.
    async fn permit(&mut self, call: &Called, cancel: &CancellationToken) -> Choice;

    /// Asks a person something; `None` when nobody answers.
    async fn ask(&mut self, question: &str, cancel: &CancellationToken) -> Option<String>;

    /// Performs a call in its own way; `None` leaves it to the agent's tools.
    async fn perform(
        &mut self,
        _call: &Called,
        _step: &ToolStep,
        _cancel: &CancellationToken,
    ) -> Option<Result<String, String>> {
        None
    }
}

/// Something that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown<'a> {
    /// Words to the reader.
    Said(&'a str),
    /// A thought.
    Thought(&'a str),
    /// What is going to be done, with how far it is.
    Plan(&'a [String]),
    /// A tool is about to be called.
    Called(&'a Called),
    /// What a tool gave.
    Returned(&'a Called, &'a str),
    /// Why a tool failed.
    Failed(&'a Called, &'a str),
    /// Why a call was not made.
    Denied(&'a Called, &'a str),
    /// What comes now is a subagent's, until [`Shown::Left`].
    Entered(&'a Called),
    /// The subagent is done.
    Left,
    /// Something that is not the agent's own words.
    Notice(&'a str),
    /// What the model has used.
    Usage {
        /// Just now.
        used: &'a Usage,
        /// Since the session was opened.
        total: &'a Usage,
    },
    /// The context was made shorter.
    Compacted,
    /// The usage limit is reached.
    Quota {
        /// When it may go on.
        until: Timestamp,
        /// The agent's words for it.
        message: &'a str,
    },
    /// A line of a flood, with its end.
    Line(&'a str),
    /// Bytes for a terminal.
    Raw(&'a str),
    /// The end of a connection that is cut.
    Cut,
}

/// A tool call as it is shown, judged and reported.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Called {
    /// Its id.
    pub(super) id: String,
    /// The tool's name, as Claude Code has it.
    pub(super) name: String,
    /// Its parameters, likewise.
    pub(super) input: Value,
}

/// What became of a request for permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// It may be made.
    Allow,
    /// It may not, for this reason.
    Deny(String),
    /// It may not, and the turn is over.
    Stop,
}
