//! Commands for several sessions at once: each has its own result, and one that fails keeps none from the others.

use super::SeveralArgs;
use crate::cli::{ids, print};
use crate::commands::Commands;
use crate::exit::Failure;
use crate::launch;
use adjutant_protocol::http::{DecommissionParams, ManagedView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use futures_util::StreamExt;
use serde_json::json;
use std::path::Path;
use std::pin::pin;

/// So many sessions are told at once.
const AT_ONCE: usize = 8;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Stop,
    Resume,
    Remove { force: bool },
}

pub(super) async fn run(folder: &Path, deed: Deed, args: SeveralArgs) -> Result<Code> {
    let (client, commands) = (launch::client(folder).await?, Commands::of(folder));
    let SeveralArgs { sessions: given, json } = args;
    let each = futures_util::stream::iter(&given).map(async |one| (one, done(&client, deed, one).await));
    let mut each = pin!(each.buffered(AT_ONCE));
    let mut failed: Vec<anyhow::Error> = Vec::new();
    while let Some((one, done)) = each.next().await {
        match done {
            Ok(session) if json => print(&serde_json::to_string(&session)?)?,
            Ok(session) => print(&commands.in_text(&told(&session)))?,
            // The error of one alone is the command's own.
            Err(error) if given.len() == 1 => return Err(error),
            Err(error) => {
                let line = match json {
                    true => json!({"id": one, "error": format!("{error:#}")}).to_string(),
                    false => format!("{one}: {error:#}"),
                };
                failed.push(error);
                print(&line)?
            }
        };
    }
    if failed.is_empty() {
        return Ok(Code::Ok);
    }
    let message = format!("{} of {} sessions did not do that", failed.len(), given.len());
    Err(Failure::new(Code::Failed, message).hinted("`adjutant session ls` shows how they stand").into())
}

async fn done(client: &Client, deed: Deed, given: &str) -> Result<ManagedView> {
    let id = ids::session(client, given).await?.id;
    let session = match deed {
        Deed::Stop => client.session_command(&id, "stop").await?,
        Deed::Resume => client.session_command(&id, "resume").await?,
        Deed::Remove { force } => client.session_decommission(&id, &DecommissionParams { force }).await?,
    };
    match refused(deed, &session) {
        Some(failure) => Err(failure.into()),
        None => Ok(session),
    }
}

/// Gives why what was taken on did not come to be after all.
fn refused(deed: Deed, session: &ManagedView) -> Option<Failure> {
    let name = &session.name;
    let reason = session.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
    match deed {
        Deed::Resume if session.state == "errored" => {
            Some(Failure::new(Code::Failed, format!("{name} could not be started{reason}")))
        }
        // Whatever it was removed for is not wanted any more when its work keeps it.
        Deed::Remove { .. } if session.desired != "decommissioned" => {
            let failure = Failure::new(Code::Failed, format!("{name} is not removed{reason}"));
            Some(failure.hinted(format!("`adjutant session diff {name}` shows its work")))
        }
        Deed::Stop | Deed::Resume | Deed::Remove { .. } => None,
    }
}

/// Says how a session stands after it was told.
fn told(session: &ManagedView) -> String {
    let (name, id) = (&session.name, &session.id);
    match (session.state.as_str(), session.phase.as_str()) {
        ("decommissioned", _) => match &session.snapshot_ref {
            Some(kept) => format!(
                "{name} is decommissioned; its last state stays under {kept}, `adjutant workspace restore {id}` brings it \
                 back"
            ),
            None => format!("{name} is decommissioned"),
        },
        ("stopped", "resting") => {
            format!("{name} is stopped; `adjutant session resume {name}` starts it again")
        }
        _ => super::show::told(session),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::session;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_came_of_it_is_told_with_what_can_be_done_about_it() {
        let kept = "api is decommissioned; its last state stays under refs/adjutant/s/2, `adjutant workspace restore \
                    01890000-0000-7000-8000-00000000abcd` brings it back";
        for (over, expected) in [
            (
                json!({"state": "stopped", "phase": "resting"}),
                "api is stopped; `adjutant session resume api` starts it again",
            ),
            (json!({}), "api is active (claude by tmux, branch adjutant/api)"),
            (json!({"state": "decommissioned", "phase": "resting"}), "api is decommissioned"),
            (
                json!({"state": "decommissioned", "phase": "resting", "snapshot_ref": "refs/adjutant/s/2"}),
                kept,
            ),
        ] {
            assert_eq!(told(&session(&over)), expected, "{over}");
        }
    }

    #[test]
    fn a_removal_that_was_taken_back_is_a_failure() {
        let remove = Deed::Remove { force: false };
        for (deed, over, expected) in [
            (remove, json!({"desired": "decommissioned", "phase": "removing"}), None),
            (remove, json!({"desired": "stopped", "reason": "2 files"}), Some("api is not removed: 2 files")),
            (
                Deed::Resume,
                json!({"state": "errored", "reason": "no git"}),
                Some("api could not be started: no git"),
            ),
            (Deed::Stop, json!({"state": "errored"}), None),
        ] {
            let refused = refused(deed, &session(&over)).map(|failure| failure.to_string());
            assert_eq!(refused.as_deref(), expected, "{over}");
        }
    }
}
