//! The script of a rehearsal: what the agent does, in order.
//!
//! A script is a list of maps with a single key, the step's kind. It is read whole before anything is played: an
//! unknown step or field is refused with its place.

use adjutant_model::Value;
use adjutant_rules::document::{Cursor, Lints};
use rustix::process::Signal;

/// The kinds of steps, as a script writes them.
const KINDS: [&str; 11] =
    ["say", "think", "read", "write", "patch", "run", "tool", "ask", "sleep", "exit", "crash"];

/// The tools that a rehearsal really has; a `tool` step may not pretend to be one of them.
const REAL_TOOLS: [(&str, &str); 4] =
    [("Read", "read"), ("Write", "write"), ("Edit", "patch"), ("Bash", "run")];

/// The longest pause that a script may make: one hour.
const SLEEP_MS_MAX: u64 = 3_600_000;

/// How long a command may take unless its step says otherwise.
const RUN_TIMEOUT_MS: u64 = 120_000;

/// One thing the agent does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Tells the reader something.
    Say(String),
    /// Thinks aloud.
    Think(String),
    /// Calls a tool, once the gate has let it.
    Call(ToolStep),
    /// Asks a person; in print mode no one answers.
    Ask {
        /// What it wants to know.
        question: String,
        /// What it goes on with.
        default: Option<String>,
    },
    /// Pauses for so many milliseconds.
    Sleep(u64),
    /// Ends with this code.
    Exit {
        /// The code; anything but 0 is an error.
        code: u8,
        /// What the last line of the stream carries, instead of the last words.
        result: Option<String>,
    },
    /// Ends as no agent should.
    Crash(Crash),
}

/// A tool call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToolStep {
    /// `Read {file_path}`
    Read {
        /// The file, below the current directory.
        path: String,
    },
    /// `Write {file_path, content}`
    Write {
        /// The file, below the current directory.
        path: String,
        /// All that it holds afterwards.
        content: String,
    },
    /// `Edit {file_path, old_string, new_string}`
    Patch {
        /// The file, below the current directory.
        path: String,
        /// Must occur exactly once.
        find: String,
        /// What stands there afterwards.
        replace: String,
    },
    /// `Bash {command}`
    Run {
        /// A command line for `sh -c`.
        command: String,
        /// How long it may take.
        timeout_ms: u64,
    },
    /// A tool that only pretends: the gate judges it, and the script says what came out.
    Pretend {
        /// The tool's name.
        name: String,
        /// Its parameters.
        input: Value,
        /// What it gives.
        result: Value,
    },
}

/// An end that no agent should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The process kills itself with a signal.
    Signal(CrashSignal),
    /// It does nothing more and never ends.
    Hang,
    /// It stops in the middle of a line, as if its connection were cut, with code 0.
    Cut,
}

/// The signals that a script can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrashSignal {
    Kill,
    Term,
    Int,
    Hup,
    Quit,
    Abrt,
    Segv,
}

impl CrashSignal {
    /// Gives the signal of the system.
    pub(super) fn number(self) -> Signal {
        match self {
            CrashSignal::Kill => Signal::KILL,
            CrashSignal::Term => Signal::TERM,
            CrashSignal::Int => Signal::INT,
            CrashSignal::Hup => Signal::HUP,
            CrashSignal::Quit => Signal::QUIT,
            CrashSignal::Abrt => Signal::ABORT,
            CrashSignal::Segv => Signal::SEGV,
        }
    }
}

impl Crash {
    const NAMES: [(&str, Crash); 9] = [
        ("kill", Crash::Signal(CrashSignal::Kill)),
        ("term", Crash::Signal(CrashSignal::Term)),
        ("int", Crash::Signal(CrashSignal::Int)),
        ("hup", Crash::Signal(CrashSignal::Hup)),
        ("quit", Crash::Signal(CrashSignal::Quit)),
        ("abrt", Crash::Signal(CrashSignal::Abrt)),
        ("segv", Crash::Signal(CrashSignal::Segv)),
        ("hang", Crash::Hang),
        ("cut", Crash::Cut),
    ];

    fn parse(text: &str) -> Option<Self> {
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_prefix("sig").unwrap_or(&lower);
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, crash)| crash)
    }
}

/// Reads a script from its document; what is wrong in it goes to `lints`.
pub(crate) fn read(document: &Value, lints: &mut Lints) -> Vec<Step> {
    let root = Cursor::root(document);
    root.elements(lints).iter().filter_map(|at| read_step(at, lints)).collect()
}

fn read_step(at: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    let entries = at.entries(lints);
    let [(kind, body)] = entries.as_slice() else {
        if at.value().as_object().is_some() {
            let message = format!("a step has exactly one key, this one has {}", entries.len());
            lints.error_with_hint(at, "step-shape", message, format!("one of: {}", KINDS.join(", ")));
        }
        return None;
    };
    match *kind {
        "say" => Some(Step::Say(body.string(lints)?.to_owned())),
        "think" => Some(Step::Think(body.string(lints)?.to_owned())),
        "ask" => read_ask(body, lints),
        "sleep" => body.whole(0, SLEEP_MS_MAX, lints).map(Step::Sleep),
        "exit" => read_exit(body, lints),
        "crash" => read_crash(body, lints),
        "read" => Some(Step::Call(ToolStep::Read { path: body.string(lints)?.to_owned() })),
        "write" => read_write(body, lints).map(Step::Call),
        "patch" => read_patch(body, lints).map(Step::Call),
        "run" => read_run(body, lints).map(Step::Call),
        "tool" => read_tool(body, lints).map(Step::Call),
        unknown => {
            let message = format!("unknown step `{unknown}`");
            lints.error_with_hint(body, "unknown-field", message, format!("known: {}", KINDS.join(", ")));
            None
        }
    }
}

fn read_ask(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    if let Some(question) = body.value().as_str() {
        return Some(Step::Ask { question: question.to_owned(), default: None });
    }
    body.object(&["question", "default"], lints)?;
    let default = body.member("default").and_then(|at| at.string(lints)).map(str::to_owned);
    Some(Step::Ask { question: text(body, "question", lints)?, default })
}

fn read_exit(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    if matches!(body.value(), Value::Number(_)) {
        return Some(Step::Exit { code: exit_code(body, lints)?, result: None });
    }
    body.object(&["code", "result"], lints)?;
    let result = body.member("result").and_then(|at| at.string(lints)).map(str::to_owned);
    let code = exit_code(&body.required("code", lints)?, lints)?;
    Some(Step::Exit { code, result })
}

fn exit_code(at: &Cursor<'_>, lints: &mut Lints) -> Option<u8> {
    u8::try_from(at.whole(0, 255, lints)?).ok()
}

fn read_crash(body: &Cursor<'_>, lints: &mut Lints) -> Option<Step> {
    let name = body.string(lints)?;
    let crash = Crash::parse(name);
    if crash.is_none() {
        let known = Crash::NAMES.map(|(name, _)| name).join(", ");
        lints.error_with_hint(
            body,
            "unknown-crash",
            format!("unknown crash `{name}`"),
            format!("known: {known}"),
        );
    }
    crash.map(Step::Crash)
}

fn read_write(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["path", "content"], lints)?;
    let (path, content) = (text(body, "path", lints), text(body, "content", lints));
    Some(ToolStep::Write { path: path?, content: content? })
}

fn read_patch(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["path", "find", "replace"], lints)?;
    let (path, find, replace) =
        (text(body, "path", lints), text(body, "find", lints), text(body, "replace", lints));
    if let (Some(find), Some(at)) = (&find, body.member("find"))
        && find.is_empty()
    {
        lints.error(&at, "empty-find", "an empty text occurs everywhere");
    }
    Some(ToolStep::Patch { path: path?, find: find?, replace: replace? })
}

fn read_run(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    if let Some(command) = body.value().as_str() {
        return Some(ToolStep::Run { command: command.to_owned(), timeout_ms: RUN_TIMEOUT_MS });
    }
    body.object(&["command", "timeout_ms"], lints)?;
    let timeout_ms = match body.member("timeout_ms") {
        Some(at) => at.whole(1, SLEEP_MS_MAX, lints)?,
        None => RUN_TIMEOUT_MS,
    };
    Some(ToolStep::Run { command: text(body, "command", lints)?, timeout_ms })
}

fn read_tool(body: &Cursor<'_>, lints: &mut Lints) -> Option<ToolStep> {
    body.object(&["name", "input", "result"], lints)?;
    let name = text(body, "name", lints)?;
    if let Some((_, step)) = REAL_TOOLS.into_iter().find(|(real, _)| *real == name) {
        let at = body.member("name")?;
        let message = format!("`{name}` is a tool that a rehearsal really has");
        lints.error_with_hint(&at, "real-tool", message, format!("write the step `{step}` instead"));
    }
    let input = body.member("input").map_or_else(|| Value::object::<&str>([]), |at| at.value().clone());
    let result = body.member("result").map_or(Value::Null, |at| at.value().clone());
    Some(ToolStep::Pretend { name, input, result })
}

fn text(body: &Cursor<'_>, key: &str, lints: &mut Lints) -> Option<String> {
    let at = body.required(key, lints)?;
    at.string(lints).map(str::to_owned)
}

impl Step {
    /// Gives the step with every `{prompt}` in its texts replaced.
    ///
    /// Paths and command lines are left alone: what a prompt says must not become a path or a command.
    pub(crate) fn with_prompt(self, prompt: &str) -> Step {
        let fill = |text: String| text.replace("{prompt}", prompt);
        match self {
            Step::Say(text) => Step::Say(fill(text)),
            Step::Think(text) => Step::Think(fill(text)),
            Step::Ask { question, default } => {
                Step::Ask { question: fill(question), default: default.map(fill) }
            }
            Step::Exit { code, result } => Step::Exit { code, result: result.map(fill) },
            Step::Call(call) => Step::Call(match call {
                ToolStep::Write { path, content } => ToolStep::Write { path, content: fill(content) },
                ToolStep::Patch { path, find, replace } => {
                    ToolStep::Patch { path, find: fill(find), replace: fill(replace) }
                }
                same @ (ToolStep::Read { .. } | ToolStep::Run { .. } | ToolStep::Pretend { .. }) => same,
            }),
            same @ (Step::Sleep(_) | Step::Crash(_)) => same,
        }
    }
}

#[cfg(test)]
mod tests;
