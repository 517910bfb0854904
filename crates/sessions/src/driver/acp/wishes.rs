//! What an agent wants its client to do for it: read and write files, run commands.
//!
//! Each is a tool call like the agent's own, under the name that such a tool has elsewhere, so the same rules are about
//! it. It is confined to the workspace first, then judged, and done as it was judged or not at all.

use super::files::{self, FileError, Span};
use crate::driver::heard::shown;
use adjutant_model::Timestamp;
use adjutant_model::Value;
use adjutant_model::session::{AgentQuestion, WaitingFor};
use agent_client_protocol::v1::schema::{CreateTerminalRequest, ReadTextFileRequest, WriteTextFileRequest};
use std::path::{Path, PathBuf};

/// Something that an agent wants done.
#[derive(Debug)]
pub(super) enum Wish {
    /// Read a file.
    Read {
        /// Where it is, resolved.
        path: PathBuf,
        /// Which lines.
        span: Span,
    },
    /// Write a file.
    Write {
        /// Where it is, resolved.
        path: PathBuf,
        /// What it shall hold.
        content: String,
    },
    /// Run a command.
    Run {
        /// Which, where and how.
        request: CreateTerminalRequest,
        /// Where, resolved.
        cwd: PathBuf,
    },
}

impl Wish {
    /// Takes a request for a file's text.
    pub(super) fn read(workspace: &Path, request: ReadTextFileRequest) -> Result<Wish, FileError> {
        let path = files::resolved(workspace, &request.path)?;
        Ok(Wish::Read { path, span: Span { line: request.line, limit: request.limit } })
    }

    /// Takes a request to write a file.
    pub(super) fn write(workspace: &Path, request: WriteTextFileRequest) -> Result<Wish, FileError> {
        let path = files::resolved(workspace, &request.path)?;
        Ok(Wish::Write { path, content: request.content })
    }

    /// Takes a request to run a command.
    pub(super) fn run(workspace: &Path, request: CreateTerminalRequest) -> Result<Wish, FileError> {
        let cwd = files::folder(workspace, request.cwd.as_deref())?;
        Ok(Wish::Run { request, cwd })
    }

    /// Gives the protocol's name for it.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Wish::Read { .. } => "fs/read_text_file",
            Wish::Write { .. } => "fs/write_text_file",
            Wish::Run { .. } => "terminal/create",
        }
    }

    /// Gives it as a question to the gate.
    pub(super) fn question(&self, ask_id: String, now: Timestamp) -> AgentQuestion {
        let (tool, input) = self.call();
        AgentQuestion {
            ask_id,
            what: WaitingFor::Permission,
            text: shown(&format!("{tool}: {}", self.words())),
            tool: Some(tool.to_owned()),
            input: Some(input),
            options: Vec::new(),
            subagent: None,
            asked_at: now,
        }
    }

    fn call(&self) -> (&'static str, Value) {
        let text = |path: &Path| Value::from(path.to_string_lossy().into_owned());
        match self {
            Wish::Read { path, .. } => ("Read", Value::object([("path", text(path))])),
            Wish::Write { path, content } => {
                let content = Value::from(content.as_str());
                ("Write", Value::object([("path", text(path)), ("content", content)]))
            }
            Wish::Run { request, cwd } => {
                let args = request.args.iter().map(|word| Value::from(word.as_str()));
                let env = request.env.iter().map(|variable| {
                    let value = Value::from(variable.value.as_str());
                    (variable.name.clone(), value)
                });
                let command = [("command", Value::from(request.command.as_str())), ("cwd", text(cwd))];
                // A command without arguments is a line for the shell.
                let args = (!request.args.is_empty()).then(|| ("args", Value::array(args)));
                let env = (!request.env.is_empty()).then(|| ("env", Value::object(env)));
                ("Bash", Value::object(command.into_iter().chain(args).chain(env)))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Wish::Read { path, .. } | Wish::Write { path, .. } => path.display().to_string(),
            Wish::Run { request, .. } => {
                let words = std::iter::once(request.command.as_str());
                words.chain(request.args.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
            }
        }
    }
}
