//! `adjutant rehearsal`: plays a script as an agent would, without a model, a key or a network.
//!
//! Its modes are those of real agents: print mode, a terminal, Claude Code's control protocol over pipes, and ACP. What
//! it prints has the shape of Claude Code's stream-json, its tools have Claude Code's names, it calls hooks as Claude
//! Code does, and in print mode it asks the gate before each call. It touches nothing outside of the directory it is
//! started in but its transcripts, and what the commands do that its script and the hooks run.

mod acp;

mod cast;

mod confine;

mod fork;

mod gate;

mod headless;

mod hooks;

mod input;

mod play;

mod print;

mod quota;

mod script;

mod session;

mod stage;

mod stream;

mod terminal;

mod tools;

use crate::config;
use crate::exit::Failure;
use adjutant_protocol::ExitCode as Code;
use adjutant_rules::document::Lints;
use adjutant_rules::source;
use anyhow::{Context, Result};
use cast::Cast;
use clap::{Args, ValueEnum};
use fork::ChildArgs;
use gate::Gate;
use headless::Asking;
use play::End;
use script::{Crash, Hang, OnTerm, Script};
use session::{Opening, SessionError};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stream::Stream;
use tokio::signal::unix::{SignalKind, signal};

/// The variable that names the script when the command line does not.
const SCRIPT_VARIABLE: &str = "ADJUTANT_REHEARSAL";

/// The variable that names the folder of the transcripts.
const HOME_VARIABLE: &str = "ADJUTANT_REHEARSAL_HOME";

/// The pause between two signals that should end the process.
const CRASH_PAUSE: Duration = Duration::from_millis(20);

/// A script may be so long.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// What is played where a person or a program will prompt, when nobody names a script.
const ECHO: &str = "echo";

/// The scripts that the program carries, by name.
const BUILT_IN: [(&str, &str); 3] = [
    ("fix-failing-test", include_str!("../../../examples/rehearsals/fix-failing-test.yaml")),
    ("session", include_str!("../../../examples/rehearsals/session.yaml")),
    (ECHO, include_str!("../../../examples/rehearsals/echo.yaml")),
];

/// What to play, and how.
#[derive(Debug, Args)]
pub(crate) struct RehearsalArgs {
    /// A YAML file, or the name of a built-in script; by default ADJUTANT_REHEARSAL.
    script: Option<String>,
    /// What the agent is asked; fills `{prompt}` in the script's texts.
    #[arg(long, default_value = "", hide_default_value = true)]
    prompt: String,
    /// Take prompts from a terminal (or from lines of standard input) and play a turn for each.
    #[arg(long, conflicts_with_all = ["acp", "input_format"])]
    interactive: bool,
    /// Speak the Agent Client Protocol on standard input and output.
    #[arg(long, conflicts_with_all = ["input_format", "prompt", "resume", "session_id"])]
    acp: bool,
    /// `stream-json`: take user messages and control requests as lines of JSON, and give a result for each message.
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    input_format: InputFormat,
    /// Only `stream-json`, which is what it prints anyway.
    #[arg(long, value_name = "FORMAT")]
    output_format: Option<OutputFormat>,
    /// `stdio`: ask whoever writes the messages for permission.
    #[arg(long, value_name = "NAME", requires = "input_format")]
    permission_prompt_tool: Option<PermissionPromptTool>,
    /// Go on with the session that has this id.
    #[arg(long, value_name = "ID", conflicts_with = "session_id")]
    resume: Option<String>,
    /// Begin a session with this id.
    #[arg(long, value_name = "UUID")]
    session_id: Option<String>,
    /// Hook settings in Claude Code's form, besides those of the project's `.claude` folder.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How the agent asks: `default`, `acceptEdits` or `bypassPermissions`; hooks are told it.
    #[arg(long, value_name = "MODE", default_value = "default", hide_default_value = true)]
    permission_mode: String,
    #[command(flatten)]
    child: ChildArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum InputFormat {
    Text,
    StreamJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OutputFormat {
    StreamJson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PermissionPromptTool {
    Stdio,
}

/// Plays a script to its end.
///
/// The end is the script's own: this does not return for a code of its own or for a crash.
pub(crate) async fn run(args: RehearsalArgs) -> Result<Code> {
    if args.child.child {
        return fork::wait(&args.child).await;
    }
    let cast = cast(&args)?;
    if args.acp {
        return end_as(acp::run(cast).await?).await;
    }
    let opening = match (&args.resume, &args.session_id) {
        (Some(id), _) => Opening::Resumed(id.clone()),
        (None, Some(id)) => Opening::Named(id.clone()),
        (None, None) => Opening::New,
    };
    let session = cast.session(cast.cwd.clone(), &opening).map_err(explained)?;
    let end = if args.interactive {
        terminal::run(&cast, session, args.prompt).await?
    } else if args.input_format == InputFormat::StreamJson {
        let asking = match args.permission_prompt_tool {
            Some(PermissionPromptTool::Stdio) => Asking::Host,
            None => Asking::Nobody,
        };
        headless::run(&cast, session, asking).await?
    } else {
        let gate = Gate::from_access(config::var("ADJUTANT_URL"), config::var("ADJUTANT_TOKEN"))?;
        let stream = Stream::new(io::stdout(), session.id().to_owned());
        let mut player = cast.player(stream, session, gate);
        print::play(&mut player, &args.prompt).await.context("the stream cannot be written")?
    };
    end_as(end).await
}

/// Gathers what every session of this process shares.
fn cast(args: &RehearsalArgs) -> Result<Cast> {
    let takes_prompts = args.interactive || args.acp || args.input_format == InputFormat::StreamJson;
    let named = args.script.clone().or_else(|| config::var(SCRIPT_VARIABLE));
    let name = named.or_else(|| takes_prompts.then(|| ECHO.to_owned())).ok_or_else(|| {
        Failure::usage("no script is named")
            .hinted(format!("name a YAML file, or a built-in one: {}", known()))
    })?;
    let script = read(&name, &text_of(&name)?)?;
    let cwd =
        std::env::current_dir().and_then(fs::canonicalize).context("there is no directory to play in")?;
    let asked = config::var(HOME_VARIABLE).map(PathBuf::from);
    // A single turn that nobody can come back to leaves nothing behind.
    let is_kept = takes_prompts || args.resume.is_some() || args.session_id.is_some();
    let home = asked.or_else(|| is_kept.then(default_home));
    Ok(Cast {
        script,
        cwd,
        home,
        env: config::environment(),
        settings: args.settings.clone(),
        permission_mode: args.permission_mode.clone(),
    })
}

fn default_home() -> PathBuf {
    std::env::temp_dir().join(format!("adjutant-rehearsal-{}", rustix::process::getuid().as_raw()))
}

fn known() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

fn explained(error: SessionError) -> anyhow::Error {
    let code = match error {
        SessionError::Unknown(_) => Code::NotFound,
        SessionError::NotAnId(_) | SessionError::Taken(_) => Code::Usage,
        SessionError::Foreign { .. } | SessionError::File { .. } => Code::Failed,
    };
    let message = format!("{:#}", anyhow::Error::new(error));
    Failure::new(code, message).hinted(format!("{HOME_VARIABLE} names the folder of the transcripts")).into()
}

fn text_of(name: &str) -> Result<String> {
    let path = Path::new(name);
    if let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name && !path.is_file()) {
        return Ok((*text).to_owned());
    }
    let unreadable = |error: io::Error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let code = if missing { Code::NotFound } else { Code::Usage };
        let known = known();
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
fn read(name: &str, text: &str) -> Result<Script> {
    let placed = match source::read(text) {
        Ok(source) => {
            let mut lints = Lints::default();
            let script = script::read(source.value(), &mut lints);
            if !lints.has_error() {
                return Ok(script);
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
        End::Done | End::Stopped(_) | End::Exited { code: 0, .. } => Ok(Code::Ok),
        End::Interrupted | End::Limited { .. } => Ok(Code::Failed),
        End::Exited { code, .. } => crate::exit::exit_as_told(code),
        End::Crashed(Crash::Cut) => Ok(Code::Ok),
        End::Hung(hang) => hung(hang).await,
        End::Crashed(Crash::Hang) => hung(Hang { on_term: OnTerm::End }).await,
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

/// Stays for ever, and with a deaf ear when the script says so.
async fn hung(hang: Hang) -> Result<Code> {
    let ignored = match hang.on_term {
        OnTerm::End => Vec::new(),
        OnTerm::Ignore => {
            vec![
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::interrupt())?,
            ]
        }
    };
    std::future::pending::<()>().await;
    drop(ignored);
    Ok(Code::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_script_can_be_played() {
        for (name, text) in BUILT_IN {
            assert!(!read(name, text).unwrap().turns.is_empty(), "{name}");
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
