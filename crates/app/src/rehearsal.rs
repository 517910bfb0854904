//! `adjutant rehearsal`: plays a script as an agent would, in print mode.
//!
//! It shows a blueprint at work without a model, a key or a network: what it prints has the shape of Claude Code's
//! stream-json, its tools have Claude Code's names, and it asks the gate before each call. It touches nothing
//! outside of the directory it is started in but by the commands that its script runs.

mod confine;

mod gate;

mod play;

mod script;

mod stream;

mod tools;

use crate::config;
use crate::exit::Failure;
use adjutant_protocol::ExitCode as Code;
use adjutant_rules::document::Lints;
use adjutant_rules::source;
use anyhow::{Context, Result};
use clap::Args;
use gate::Gate;
use play::{End, Player};
use script::{Crash, Step};
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use stream::Stream;
use tools::Tools;

/// The variable that names the script when the command line does not.
const SCRIPT_VARIABLE: &str = "ADJUTANT_REHEARSAL";

/// The pause between two signals that should end the process.
const CRASH_PAUSE: Duration = Duration::from_millis(20);

/// A script may be so long.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// The scripts that the program carries, by name.
const BUILT_IN: [(&str, &str); 1] =
    [("fix-failing-test", include_str!("../../../examples/rehearsals/fix-failing-test.yaml"))];

/// What to play.
#[derive(Debug, Args)]
pub(crate) struct RehearsalArgs {
    /// A YAML file, or the name of a built-in script; by default ADJUTANT_REHEARSAL.
    script: Option<String>,
    /// What the agent is asked; fills `{prompt}` in the script's texts.
    #[arg(long, default_value = "", hide_default_value = true)]
    prompt: String,
}

/// Plays a script to its end.
///
/// The end is the script's own: this does not return for a code of its own or for a crash.
pub(crate) async fn run(args: RehearsalArgs) -> Result<Code> {
    let name = args.script.or_else(|| config::var(SCRIPT_VARIABLE)).ok_or_else(|| {
        let known = BUILT_IN.map(|(name, _)| name).join(", ");
        Failure::usage("no script is named").hinted(format!("name a YAML file, or a built-in one: {known}"))
    })?;
    let steps = read(&name, &text_of(&name)?)?;
    let steps = steps.into_iter().map(|step| step.with_prompt(&args.prompt)).collect();
    let cwd =
        std::env::current_dir().and_then(fs::canonicalize).context("there is no directory to play in")?;
    let gate = Gate::from_access(config::var("ADJUTANT_URL"), config::var("ADJUTANT_TOKEN"))?;
    let stream = Stream::new(io::stdout(), uuid::Uuid::new_v4().to_string());
    let player = Player { stream, gate, tools: Tools::new(cwd, &config::environment()) };
    let end = player.play(steps).await.context("the stream cannot be written")?;
    end_as(end).await
}

fn text_of(name: &str) -> Result<String> {
    let path = Path::new(name);
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name && !path.exists()) {
        return Ok((*text).to_owned());
    }
    let unreadable = |error: io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let code = if missing { Code::NotFound } else { Code::Usage };
        let known = BUILT_IN.map(|(name, _)| name).join(", ");
        let failure = Failure::new(code, format!("the script {name} cannot be read: {error}"));
        failure.hinted(format!("a path is looked up from the directory it plays in; built in: {known}"))
    };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > SCRIPT_BYTES_MAX {
        return Err(
            Failure::usage(format!("the script {name} is longer than {SCRIPT_BYTES_MAX} bytes")).into()
        );
    }
    Ok(fs::read_to_string(path).map_err(unreadable)?)
}

/// Reads the whole script, or says all that is wrong with it.
fn read(name: &str, text: &str) -> Result<Vec<Step>> {
    let placed = match source::read(text) {
        Ok(source) => {
            let mut lints = Lints::default();
            let steps = script::read(source.value(), &mut lints);
            if !lints.has_error() {
                return Ok(steps);
            }
            lints.into_vec().into_iter().map(|lint| source.place(lint)).collect()
        }
        Err(placed) => placed,
    };
    let lines: Vec<String> = placed
        .iter()
        .map(|placed| {
            let hint = placed.lint.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
            format!("{name}:{placed}{hint}")
        })
        .collect();
    let message = format!("the script cannot be played, nothing was done\n{}", lines.join("\n"));
    Err(Failure::usage(message).into())
}

async fn end_as(end: End) -> Result<Code> {
    match end {
        End::Exited(0) => Ok(Code::Ok),
        End::Exited(code) => crate::exit::exit_as_told(code),
        End::Crashed(Crash::Cut) => Ok(Code::Ok),
        End::Crashed(Crash::Hang) => std::future::pending().await,
        End::Crashed(Crash::Signal(signal)) => {
            io::stdout().flush()?;
            // More than once: the runtime's own handler of SEGV takes the first one and steps aside.
            loop {
                rustix::process::kill_process(rustix::process::getpid(), signal.number())?;
                tokio::time::sleep(CRASH_PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_script_can_be_played() {
        for (name, text) in BUILT_IN {
            assert!(!read(name, text).unwrap().is_empty(), "{name}");
        }
    }

    #[test]
    fn mistakes_are_shown_with_line_and_column() {
        let text = "- say: hi\n- patch: { path: a, find: b, replace: c, every: true }\n- shout: hi\n";
        let error = read("s.yaml", text).unwrap_err().to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert_eq!(lines[0], "the script cannot be played, nothing was done");
        assert!(lines[1].starts_with("s.yaml:2:42: unknown field `every` [unknown-field]"), "{error}");
        assert!(lines[2].starts_with("s.yaml:3:3: unknown step `shout`"), "{error}");
    }
}
