//! `adjutant hook`: the command that agents call; it hands on what they say and prints what they are told.
//!
//! Each tool call of an agent waits for this process, so it comes before everything else in `main`: no runtime, no
//! reading of other commands, no client library, but one request in HTTP/1.1 over the daemon's Unix socket, written by
//! hand ([`door`]). It always ends with 0, for agents take other codes for a refusal; what is refused is said in the
//! answer. An event that decides nothing holds its agent for a second at most; one that the daemon may not have is left in
//! the file that `ADJUTANT_SPOOL` names ([`spool`]), under the id that the request had.
//!
//! An agent that Adjutant has started has in its environment `ADJUTANT_SOCKET`, `ADJUTANT_TOKEN` and `ADJUTANT_SESSION`,
//! and `ADJUTANT_HOOK_UNREACHABLE` and `ADJUTANT_HOOK_READ_ONLY` for when the daemon does not answer: then tools that
//! write, and those that are not known, are denied unless it says otherwise. Without a token the agent is somebody
//! else's, with hooks that were installed for all of them: then the data folder is looked for, and when nobody answers
//! there nothing is said and nothing is hindered.

mod door;
mod payload;
mod spool;

use crate::config;
use adjutant_engine::clock;
use adjutant_model::hook::{HookEvent, HookVerdict};
use adjutant_model::profile::OnUnreachable;
use adjutant_rules::hook::answer::{Unreachable, Vendor, agent_answer, unreachable};
use door::{Door, NoAnswer};
use payload::Payload;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The tools of known agents that only read.
const READ_ONLY: &str = "Read,Glob,Grep,LS,NotebookRead,read_file,list_dir,grep_files";

/// What stands behind `adjutant hook`.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct HookArgs {
    /// The event, for agents that do not say it in what they send, and for what cannot be read.
    event: Option<String>,
}

/// Reads the command line as far as it calls this command and nothing else; any other form goes the way of all commands.
pub(crate) fn called(args: impl Iterator<Item = OsString>) -> Option<HookArgs> {
    let mut args = args.skip(1);
    if args.next()?.to_str() != Some("hook") {
        return None;
    }
    match (args.next().map(OsString::into_string), args.next()) {
        (None, None) => Some(HookArgs { event: None }),
        (Some(Ok(event)), None) if !event.starts_with('-') => Some(HookArgs { event: Some(event) }),
        _ => None,
    }
}

/// Answers one hook.
pub(crate) fn run(home: Option<PathBuf>, args: HookArgs) -> ExitCode {
    let payload = Payload::read(io::stdin().lock(), args.event);
    if let Some(answer) = answer(home, &payload) {
        // An agent that does not listen any more has gone on without it.
        drop(writeln!(io::stdout().lock(), "{answer}"));
    }
    ExitCode::SUCCESS
}

/// Gives what is printed; nothing when the agent goes by its own rules.
fn answer(home: Option<PathBuf>, payload: &Payload) -> Option<String> {
    let event = payload.event();
    let id = (!event.is_some_and(HookEvent::decides)).then(clock::fresh_id);
    let NoAnswer { why, is_refused } = match Door::find(home) {
        Err(None) => return None,
        Err(Some(why)) => NoAnswer { why, is_refused: false },
        Ok(door) => match payload.body() {
            Err(why) => NoAnswer { why, is_refused: false },
            Ok(body) => match door.ask(&body, id) {
                Ok(answer) => return (answer.trim() != "{}").then_some(answer),
                Err(_) if !door.is_ours() => return None,
                Err(none) => none,
            },
        },
    };
    if let (Some(id), Some(path), false) = (id, config::var("ADJUTANT_SPOOL"), is_refused) {
        spool::put(Path::new(&path), (id, payload));
    }
    let event = event?;
    let verdict = without_the_daemon(event, payload.tool.as_deref(), &why)?;
    Some(agent_answer(event, &verdict, payload.vendor())?.to_string())
}

fn without_the_daemon(event: HookEvent, tool: Option<&str>, why: &str) -> Option<HookVerdict> {
    let policy = match config::var("ADJUTANT_HOOK_UNREACHABLE").as_deref() {
        Some("allow") => OnUnreachable::Allow,
        Some("deny") => OnUnreachable::Deny,
        _ => OnUnreachable::DenyWrites,
    };
    let names = config::var("ADJUTANT_HOOK_READ_ONLY").unwrap_or_else(|| READ_ONLY.to_owned());
    let read_only: Vec<&str> = names.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    unreachable(event, tool, Unreachable { policy, read_only: &read_only, why })
}

impl Payload {
    /// Tells whose format the answer is in.
    fn vendor(&self) -> Vendor {
        if self.has_turn && !self.has_prompt { Vendor::Codex } else { Vendor::Claude }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_command_goes_the_short_way() {
        for (line, expected) in [
            ("adjutant hook", Some(None)),
            ("adjutant hook Stop", Some(Some("Stop"))),
            ("adjutant hook --help", None),
            ("adjutant hook Stop more", None),
            ("adjutant hooks", None),
            ("adjutant --home x hook", None),
            ("adjutant", None),
        ] {
            let args = called(line.split(' ').map(OsString::from));
            let expected = expected.map(|event| HookArgs { event: event.map(str::to_owned) });
            assert_eq!(args, expected, "{line}");
        }
    }
}
