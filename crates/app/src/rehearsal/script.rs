//! The script of a rehearsal: what the agent does, in order.
//!
//! A script is a list of steps, played once for each prompt, or an object whose `turns` hold a list of steps for each
//! prompt; the last of them repeats. A step is a map with a single key, its kind. A script is read whole before
//! anything is played: an unknown step or field is refused with its place.

mod reading;

pub(crate) use reading::read;

use adjutant_model::Value;
use adjutant_model::time::Timestamp;
use rustix::process::Signal;
use std::time::Duration;

/// What an agent plays, whatever the mode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    /// What it does for each prompt; never empty.
    pub(super) turns: Vec<Vec<Step>>,
    /// The tools that need somebody's permission; `*` is every tool.
    pub(super) ask_for: Vec<String>,
    /// How long it sits idle before it says so in a notification.
    pub(super) idle: Duration,
    /// What an interrupted turn tells its hooks.
    pub(super) on_interrupt: OnInterrupt,
}

/// What an interrupted turn tells its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// That it stopped.
    Stop,
    /// Nothing, as Claude Code does.
    Silent,
}

/// One thing the agent does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    /// Tells the reader something.
    Say(String),
    /// Thinks aloud.
    Think(String),
    /// Shows what it is going to do, entry by entry.
    Plan(Vec<String>),
    /// Calls a tool, once it may.
    Call(ToolStep),
    /// Asks a person; where no one can answer it goes on.
    Ask {
        /// What it wants to know.
        question: String,
        /// What it goes on with.
        default: Option<String>,
    },
    /// Lets a subagent do something.
    Subagent {
        /// Its kind.
        name: String,
        /// What it does.
        steps: Vec<Step>,
    },
    /// Tells what the model has used.
    Usage(Usage),
    /// Makes its context shorter.
    Compact,
    /// Pauses for so many milliseconds.
    Sleep(u64),
    /// Prints very much.
    Flood(Flood),
    /// Sends bytes to the terminal as they are.
    Escape(String),
    /// Starts processes that outlive it.
    Fork(Fork),
    /// Runs into its usage limit, which ends the turn.
    Quota {
        /// When it may go on.
        until: Timestamp,
    },
    /// Answers nothing any more, and stays.
    Hang(Hang),
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

/// What a model has used, as a script says it; a rehearsal asks none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Usage {
    /// Tokens that went in.
    pub(crate) input_tokens: u64,
    /// Tokens that came out.
    pub(crate) output_tokens: u64,
    /// What that cost, in US dollars.
    pub(crate) cost_usd: f64,
    /// Tokens in the context now.
    pub(crate) context_used: u64,
    /// How many fit.
    pub(crate) context_window: u64,
}

/// Much output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood {
    /// How much, line ends included.
    pub(crate) bytes: u64,
    /// How long each line is, its end included.
    pub(crate) line_bytes: u64,
}

/// Processes that outlive the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fork {
    /// How many.
    pub(crate) count: u64,
    /// Where they live.
    pub(crate) home: ForkHome,
    /// What they do when they are told to end.
    pub(crate) on_term: OnTerm,
    /// What they know of where they come from.
    pub(crate) environment: ForkEnvironment,
}

/// The session that a child belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForkHome {
    /// The agent's.
    Same,
    /// One of its own, by `setsid`.
    Own,
}

/// The environment of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForkEnvironment {
    /// The agent's.
    Inherited,
    /// Empty, so that no marker leads back.
    Empty,
}

/// What a process does at SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnTerm {
    /// It ends.
    End,
    /// Nothing.
    Ignore,
}

/// How an agent hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hang {
    /// What it does at SIGTERM.
    pub(crate) on_term: OnTerm,
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

/// What fills the braces in a script's texts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filling<'a> {
    /// `{prompt}`: what the agent is asked.
    pub(crate) prompt: &'a str,
    /// `{previous}`: what it was asked before that, empty at first.
    pub(crate) previous: &'a str,
    /// `{turn}`: which prompt of its session this is, from 1.
    pub(crate) turn: usize,
}

impl Filling<'_> {
    /// Fills a text in one pass: what a prompt says is not filled again.
    fn fill(self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            filled.push_str(&rest[..at]);
            let turn = self.turn.to_string();
            let known = [("{prompt}", self.prompt), ("{previous}", self.previous), ("{turn}", &turn)];
            let from = &rest[at..];
            let (taken, value) =
                known.into_iter().find(|(name, _)| from.starts_with(name)).unwrap_or(("{", "{"));
            filled.push_str(value);
            rest = &from[taken.len()..];
        }
        filled + rest
    }
}

impl Script {
    /// Gives the filled steps of a turn; after the last one that is written it comes again and again.
    pub(super) fn turn(&self, filling: Filling<'_>) -> Vec<Step> {
        let index = filling.turn.saturating_sub(1).min(self.turns.len().saturating_sub(1));
        let steps = self.turns.get(index).cloned().unwrap_or_default();
        steps.into_iter().map(|step| step.filled(filling)).collect()
    }

    /// Tells whether a tool needs somebody's permission.
    pub(super) fn asks_for(&self, tool: &str) -> bool {
        self.ask_for.iter().any(|name| name == "*" || name == tool)
    }
}

impl Step {
    /// Gives the step with the braces in its texts filled.
    ///
    /// Paths and command lines are left alone: what a prompt says must not become a path or a command.
    pub(crate) fn filled(self, filling: Filling<'_>) -> Step {
        let fill = |text: String| filling.fill(&text);
        match self {
            Step::Say(text) => Step::Say(fill(text)),
            Step::Think(text) => Step::Think(fill(text)),
            Step::Plan(entries) => Step::Plan(entries.into_iter().map(fill).collect()),
            Step::Ask { question, default } => {
                Step::Ask { question: fill(question), default: default.map(fill) }
            }
            Step::Subagent { name, steps } => {
                Step::Subagent { name, steps: steps.into_iter().map(|step| step.filled(filling)).collect() }
            }
            Step::Exit { code, result } => Step::Exit { code, result: result.map(fill) },
            Step::Call(call) => Step::Call(match call {
                ToolStep::Write { path, content } => ToolStep::Write { path, content: fill(content) },
                ToolStep::Patch { path, find, replace } => {
                    ToolStep::Patch { path, find: fill(find), replace: fill(replace) }
                }
                same @ (ToolStep::Read { .. } | ToolStep::Run { .. } | ToolStep::Pretend { .. }) => same,
            }),
            same @ (Step::Usage(_)
            | Step::Compact
            | Step::Sleep(_)
            | Step::Flood(_)
            | Step::Escape(_)
            | Step::Fork(_)
            | Step::Quota { .. }
            | Step::Hang(_)
            | Step::Crash(_)) => same,
        }
    }
}

#[cfg(test)]
mod tests;
