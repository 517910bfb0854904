//! Commands: a program in the run's workspace, its output read as the spec says.

use super::{Performed, Progress, WorkerContext, failed};
use crate::agents;
use crate::templates;
use adjutant_model::Value;
use adjutant_model::blueprint::{Agent, AgentSpec, CommandSpec, OutputFormat, OutputSpec};
use adjutant_model::run::ErrorClass;
use adjutant_rules::blueprint::{Fillings, MissingSource, fill, placeholders};
use adjutant_rules::output::{self, Ending, Finished};
use adjutant_sessions::environment::environment;
use adjutant_sessions::process::{self, EndedBy, Exit, Outcome, ProcessSpec};
use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// A step's value is at most so large; more output than that fails a JSON step and cuts a text.
const STDOUT_BYTES_MAX: usize = 8 << 20;
/// How many lines of a program may wait to be read for progress.
const LINES_MAX: usize = 256;

/// Linux takes single arguments up to here: 32 pages, with the NUL behind it.
const ARGUMENT_BYTES_MAX: usize = (128 << 10) - 1;

/// Why a command cannot be started as it is described.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the agent `{0}` is no command")]
    NotACommand(String),
    #[error("there is no template `{0}`")]
    UnknownTemplate(String),
    #[error(transparent)]
    Missing(#[from] MissingSource),
    #[error("the directory `{0}` is not in the workspace")]
    Outside(String),
    #[error("the system prompt could not be written: {0}")]
    SystemFile(io::Error),
    #[error("the settings of the agent's hooks could not be written: {0}")]
    HookFile(io::Error),
    #[error(
        "an argument is {0} bytes long and the system takes {ARGUMENT_BYTES_MAX}; pass it on standard input"
    )]
    ArgumentTooLong(usize),
}

/// Runs a command step.
pub async fn run(
    agent: &Agent,
    templates: &BTreeMap<String, CommandSpec>,
    input: &Value,
    ctx: &WorkerContext,
) -> Performed {
    let (spec, process) = match prepare(agent, templates, input, ctx) {
        Ok(prepared) => prepared,
        Err(refusal) => return failed(ErrorClass::User, refusal.to_string()).into(),
    };
    let output = spec.output.unwrap_or_default();
    let timeout = process.timeout;
    let (lines, received) = mpsc::channel(LINES_MAX);
    let telling = tokio::spawn(tell(output.format, received, ctx.progress.clone()));
    let outcome = process::run(process, ctx.cancel.clone(), Some(lines)).await;
    // The sender is gone, so this ends as soon as the last line was told.
    drop(telling.await);
    match outcome {
        Ok(outcome) => interpret(&output, &outcome, timeout),
        Err(error) => failed(error.class(), error.to_string()).into(),
    }
}

fn prepare(
    agent: &Agent,
    templates: &BTreeMap<String, CommandSpec>,
    input: &Value,
    ctx: &WorkerContext,
) -> Result<(CommandSpec, ProcessSpec), Refusal> {
    let AgentSpec::Command(own) = &agent.spec else { return Err(Refusal::NotACommand(agent.name.clone())) };
    let template = match &own.template {
        None => None,
        Some(name) => Some(
            templates
                .get(name)
                .cloned()
                .or_else(|| templates::builtin(name, &agent.profile))
                .ok_or_else(|| Refusal::UnknownTemplate(name.clone()))?,
        ),
    };
    let spec = fill(own, template.as_ref());
    let texts = Texts::new(agent, &spec, input, ctx)?;
    let fillings = texts.fillings(agent);
    let filled = |text: &String| placeholders(text, &fillings);
    let mut argv = spec.argv.iter().map(filled).collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = builtin_name(own, templates).filter(|_| ctx.gate.is_some()) {
        argv = with_hooks(name, argv, ctx)?;
    }
    if let Some(program) = argv.first_mut().filter(|program| *program == templates::OWN_PROGRAM) {
        *program = ctx.adjutant_exe.to_string_lossy().into_owned();
    }
    if let Some(long) = argv.iter().map(String::len).find(|len| *len > ARGUMENT_BYTES_MAX) {
        return Err(Refusal::ArgumentTooLong(long));
    }
    let stdin = match (&spec.stdin, spec.use_stdin) {
        (Some(text), _) => placeholders(text, &fillings)?.into_bytes(),
        (None, Some(false)) => Vec::new(),
        (None, Some(true) | None) => input.to_string().into_bytes(),
    };
    let process = ProcessSpec {
        stdin,
        timeout: spec.timeout_ms.map(Duration::from_millis).or(ctx.settings.command_timeout),
        grace: ctx.settings.grace,
        stdout_bytes_max: STDOUT_BYTES_MAX,
        stderr_tail_bytes: ctx.settings.output_kept_bytes,
        marker: Some(crate::dispatch::marker(&ctx.run_id, &ctx.path, ctx.attempt)),
        env: env(&spec, &fillings, ctx)?,
        ..ProcessSpec::new(argv, directory(&ctx.work_dir, spec.cwd.as_deref())?)
    };
    Ok((spec, process))
}

/// Gives the built-in template whose arguments a command has.
fn builtin_name<'a>(own: &'a CommandSpec, templates: &BTreeMap<String, CommandSpec>) -> Option<&'a str> {
    let name = own.template.as_deref().filter(|_| own.argv.is_empty())?;
    (!templates.contains_key(name)).then_some(name)
}

/// Makes the program of a built-in template call hooks; nothing of that stands in the workspace.
fn with_hooks(name: &str, argv: Vec<String>, ctx: &WorkerContext) -> Result<Vec<String>, Refusal> {
    let Some(profile) = templates::profile_of(name) else { return Ok(argv) };
    let file = format!("hooks-{}-{}.json", file_name(&ctx.path.to_string()), ctx.attempt);
    let hook = std::fs::create_dir_all(&ctx.scratch)
        .and_then(|()| agents::hook_settings_at(&ctx.adjutant_exe, profile, &ctx.scratch.join(file)));
    match hook.map_err(Refusal::HookFile)? {
        Some(hook) => Ok(templates::with_hooks(name, argv, hook)),
        None => Ok(argv),
    }
}

/// The texts that placeholders stand for.
struct Texts {
    prompt: String,
    tools_csv: Option<String>,
    work_dir: String,
    attempt: String,
    system_file: Option<String>,
    task_id: String,
}

impl Texts {
    fn new(agent: &Agent, spec: &CommandSpec, input: &Value, ctx: &WorkerContext) -> Result<Self, Refusal> {
        let wants_file = spec
            .argv
            .iter()
            .chain(&spec.stdin)
            .chain(spec.env.values())
            .any(|text| text.contains("{system_file}"));
        let system_file = match (&agent.profile.system_prompt, wants_file) {
            (Some(text), true) => {
                Some(system_file(&ctx.scratch, &ctx.path.to_string(), text).map_err(Refusal::SystemFile)?)
            }
            (Some(_) | None, _) => None,
        };
        Ok(Texts {
            prompt: prompt(input),
            tools_csv: (!agent.profile.tools.is_empty()).then(|| agent.profile.tools.join(",")),
            work_dir: ctx.work_dir.to_string_lossy().into_owned(),
            attempt: ctx.attempt.to_string(),
            system_file,
            task_id: ctx.task_id.to_string(),
        })
    }

    fn fillings<'a>(&'a self, agent: &'a Agent) -> Fillings<'a> {
        Fillings {
            prompt: Some(&self.prompt),
            system: agent.profile.system_prompt.as_deref(),
            system_file: self.system_file.as_deref(),
            model: agent.profile.model.as_deref(),
            tools_csv: self.tools_csv.as_deref(),
            work_dir: Some(&self.work_dir),
            task_id: Some(&self.task_id),
            attempt: Some(&self.attempt),
        }
    }
}

/// A prompt is the input when that is a text, else its member `prompt`, else its JSON.
pub(crate) fn prompt(input: &Value) -> String {
    match input.as_str().or_else(|| input.get("prompt").and_then(Value::as_str)) {
        Some(text) => text.to_owned(),
        None => input.to_string(),
    }
}

/// Writes the system prompt where only this user can read it.
fn system_file(scratch: &Path, step: &str, text: &str) -> io::Result<String> {
    std::fs::create_dir_all(scratch)?;
    let path = scratch.join(format!("system-{}.txt", file_name(step)));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    Ok(path.to_string_lossy().into_owned())
}

/// Gives a step's path as a part of a file's name.
fn file_name(step: &str) -> String {
    step.replace(['/', '#'], "-")
}

fn directory(work_dir: &Path, below: Option<&str>) -> Result<PathBuf, Refusal> {
    let Some(below) = below else { return Ok(work_dir.to_owned()) };
    let outside = || Refusal::Outside(below.to_owned());
    // Resolved, because a link in the workspace may lead out of it.
    let found = work_dir.join(below).canonicalize().map_err(|_| outside())?;
    let root = work_dir.canonicalize().map_err(|_| outside())?;
    if found.starts_with(root) { Ok(found) } else { Err(outside()) }
}

fn env(
    spec: &CommandSpec,
    fillings: &Fillings<'_>,
    ctx: &WorkerContext,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut extra = BTreeMap::new();
    for (name, text) in &spec.env {
        extra.insert(name.clone(), placeholders(text, fillings)?);
    }
    // After the spec's own, so that no blueprint can pass a step off as another.
    extra.extend([
        ("ADJUTANT_RUN".to_owned(), ctx.run_id.to_string()),
        ("ADJUTANT_STEP".to_owned(), ctx.path.to_string()),
        ("ADJUTANT_ATTEMPT".to_owned(), ctx.attempt.to_string()),
    ]);
    if let Some(gate) = &ctx.gate {
        extra.insert("ADJUTANT_URL".to_owned(), gate.url.clone());
        extra.insert("ADJUTANT_TOKEN".to_owned(), gate.token.reveal().to_owned());
        let socket = gate.socket.as_ref().map(|path| path.to_string_lossy().into_owned());
        extra.extend(socket.map(|path| ("ADJUTANT_SOCKET".to_owned(), path)));
        if let Some(profile) = spec.template.as_deref().and_then(templates::profile_of) {
            extra.extend([
                ("ADJUTANT_HOOK_UNREACHABLE".to_owned(), profile.on_unreachable.as_str().to_owned()),
                ("ADJUTANT_HOOK_READ_ONLY".to_owned(), profile.tools_read_only.join(",")),
            ]);
        }
    }
    let allowed = spec.template.as_deref().map(|name| templates::allowed(name, &ctx.env)).unwrap_or_default();
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    Ok(environment(&allowed, ctx.env.iter().cloned(), &extra))
}

async fn tell(format: OutputFormat, mut lines: mpsc::Receiver<String>, to: mpsc::Sender<Progress>) {
    while let Some(line) = lines.recv().await {
        for progress in output::progress(format, &line) {
            // Nobody waits for progress: when the channel is full it is lost.
            drop(to.try_send(Progress { what: progress.what.as_str().to_owned(), text: progress.text }));
        }
    }
}

fn interpret(spec: &OutputSpec, outcome: &Outcome, timeout: Option<Duration>) -> Performed {
    let ending = match (outcome.ended_by, outcome.exit) {
        (EndedBy::Timeout, _) => {
            let after = timeout.unwrap_or_default().as_millis();
            Ending::TimedOut { after_ms: u64::try_from(after).unwrap_or(u64::MAX) }
        }
        (EndedBy::Cancelled, _) => Ending::Cancelled,
        (EndedBy::Itself, Exit::Code(code)) => Ending::Exited { code },
        (EndedBy::Itself, Exit::Signal(signal)) => Ending::Signalled { signal },
    };
    let finished = Finished {
        ending,
        stdout: &outcome.stdout,
        stdout_truncated: outcome.stdout_truncated,
        stderr_tail: outcome.stderr_tail.as_bytes(),
    };
    let (outcome, usage) = output::interpret(spec, &finished);
    Performed { outcome, usage: (!usage.is_empty()).then_some(usage) }
}
