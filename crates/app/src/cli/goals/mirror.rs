//! Goals without a daemon: what `goals.json` says of them, told as old news.
//!
//! Only what looks is answered so. Whatever changes a goal needs the store, and fails as any command does.

use super::{Form, GoalCommand, Request, ids, list, print, show};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_protocol::http::GoalsView;
use adjutant_protocol::{ClientError, ErrorCode, ExitCode as Code};
use adjutant_rules::redact::redact;
use anyhow::{Error, Result};
use std::io::{self, Write};
use std::path::Path;

/// Tells whether an answer means that the daemon or its store cannot be had.
pub(super) fn is_away(error: &Error) -> bool {
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Unreachable { .. }) => true,
        Some(ClientError::Api { error, .. }) => error.code == ErrorCode::StoreUnreadable.as_str(),
        Some(ClientError::Protocol(_) | ClientError::Id(_)) | None => false,
    }
}

/// Answers from the mirror what only looks; `why` says what is wrong, and is the answer where the mirror has none.
pub(super) fn look(
    folder: &Path,
    request: &Request,
    (form, commands): (Form, &Commands),
    why: Error,
) -> Result<Code> {
    let (status, one) = match request {
        Request::Other(GoalCommand::Ls { status }) => (status.as_deref(), None),
        Request::Other(GoalCommand::Show(goal)) => (None, Some(goal.goal.as_str())),
        Request::Other(_) | Request::New(_) | Request::Update(_) => return Err(why),
    };
    let Ok(goals) = adjutant_server::goals_mirrored(folder, status) else { return Err(why) };
    warn(&goals, &why)?;
    let Some(given) = one else { return list::show(&goals, (form, commands)) };
    let mut goal = ids::goal_among(&goals.goals, given)?.clone();
    goal.stale_since = goals.stale_since;
    if let Form::Json = form {
        return print(&serde_json::to_string(&goal)?);
    }
    for line in show::whole(&goal, None) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

/// Says that it is old news, and why, where people see it and programs that read the rest do not.
fn warn(goals: &GoalsView, why: &Error) -> Result<()> {
    let hint = why.downcast_ref::<Failure>().and_then(Failure::hint);
    let since = goals.stale_since.as_deref().unwrap_or("an unknown time");
    let mut stderr = io::stderr().lock();
    writeln!(
        stderr,
        "warning: this is `goals.json`, stale since {since}: {}",
        visible(&redact(&format!("{why:#}")))
    )?;
    if let Some(hint) = hint {
        writeln!(stderr, "hint: {}", visible(&redact(hint)))?;
    }
    Ok(())
}
