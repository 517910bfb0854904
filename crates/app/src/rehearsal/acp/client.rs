//! The client as the agent sees it: it is shown updates, gives permission, and lends its files and terminals.

use super::update;
use crate::rehearsal::script::ToolStep;
use crate::rehearsal::stage::{Called, Choice, Shown, Stage};
use crate::rehearsal::tools::patched;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    ClientCapabilities, CreateTerminalRequest, KillTerminalRequest, PermissionOption, PermissionOptionKind,
    ReadTextFileRequest, ReleaseTerminalRequest, RequestPermissionOutcome, RequestPermissionRequest,
    SessionNotification, SessionUpdate, Terminal, TerminalExitStatus, TerminalId, TerminalOutputRequest,
    ToolCallContent, WaitForTerminalExitRequest, WriteTextFileRequest,
};
use agent_client_protocol::{self as protocol, Error};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// So much of a command's output is kept.
const OUTPUT_BYTES_MAX: u64 = 32 << 10;

/// What may be chosen. The order is nothing to rely on, and a kind may come twice: a client chooses by kind.
const OPTIONS: [(&str, &str, PermissionOptionKind); 5] = [
    ("always", "Always allow this tool", PermissionOptionKind::AllowAlways),
    ("once", "Allow", PermissionOptionKind::AllowOnce),
    ("once-too", "Allow, and mention it", PermissionOptionKind::AllowOnce),
    ("no", "Reject", PermissionOptionKind::RejectOnce),
    ("never", "Always reject this tool", PermissionOptionKind::RejectAlways),
];

/// The client's side of a session.
#[derive(Debug)]
pub(in crate::rehearsal) struct Client {
    connection: ConnectionTo<protocol::Client>,
    id: String,
    cwd: PathBuf,
    reads: bool,
    writes: bool,
    has_terminals: bool,
    /// What was chosen for always, by tool.
    settled: HashMap<String, Choice>,
}

impl Client {
    /// Makes the client of a session, with what it offers.
    pub(super) fn new(
        connection: ConnectionTo<protocol::Client>,
        id: String,
        cwd: PathBuf,
        offers: &ClientCapabilities,
    ) -> Client {
        Client {
            connection,
            id,
            cwd,
            reads: offers.fs.read_text_file,
            writes: offers.fs.write_text_file,
            has_terminals: offers.terminal,
            settled: HashMap::new(),
        }
    }

    /// Shows a prompt of the past.
    pub(super) fn replay(&self, prompt: &str) -> Result<(), Error> {
        self.send(SessionUpdate::UserMessageChunk(update::chunk(prompt)))
    }

    fn send(&self, update: SessionUpdate) -> Result<(), Error> {
        self.connection.send_notification(SessionNotification::new(self.id.clone(), update))
    }

    async fn read(&self, path: &str) -> Result<String, String> {
        let request = ReadTextFileRequest::new(self.id.clone(), self.cwd.join(path));
        let response = self.connection.send_request(request).block_task().await;
        response.map(|response| response.content).map_err(|error| said(path, &error))
    }

    async fn write(&self, path: &str, content: String) -> Result<(), String> {
        let request = WriteTextFileRequest::new(self.id.clone(), self.cwd.join(path), content);
        self.connection.send_request(request).block_task().await.map_err(|error| said(path, &error))?;
        Ok(())
    }

    /// Performs a call on the client's files, as far as it offers them.
    async fn edit(&self, step: &ToolStep) -> Option<Result<String, String>> {
        match step {
            ToolStep::Read { path } if self.reads => Some(self.read(path).await),
            ToolStep::Write { path, content } if self.writes => {
                let written = format!("wrote {} bytes to {path}", content.len());
                Some(self.write(path, content.clone()).await.map(|()| written))
            }
            ToolStep::Patch { path, find, replace } if self.reads && self.writes => {
                Some(self.patch(path, find, replace).await)
            }
            ToolStep::Read { .. }
            | ToolStep::Write { .. }
            | ToolStep::Patch { .. }
            | ToolStep::Run { .. }
            | ToolStep::Pretend { .. } => None,
        }
    }

    async fn patch(&self, path: &str, find: &str, replace: &str) -> Result<String, String> {
        let text = self.read(path).await?;
        self.write(path, patched(path, &text, find, replace)?).await?;
        Ok(format!("patched {path}"))
    }

    /// Runs a command in a terminal of the client's.
    async fn run(
        &self,
        call: &Called,
        command: &str,
        timeout_ms: u64,
        cancel: &CancellationToken,
    ) -> Result<String, String> {
        let request = CreateTerminalRequest::new(self.id.clone(), "sh")
            .args(vec!["-c".to_owned(), command.to_owned()])
            .cwd(self.cwd.clone())
            .output_byte_limit(OUTPUT_BYTES_MAX);
        let created = self.connection.send_request(request).block_task().await;
        let terminal = created.map_err(|error| said("the terminal", &error))?.terminal_id;
        let content = vec![ToolCallContent::Terminal(Terminal::new(terminal.clone()))];
        self.send(update::in_progress(call, content)).map_err(|error| said("the client", &error))?;
        let outcome = self.finish(&terminal, timeout_ms, cancel).await;
        let release = ReleaseTerminalRequest::new(self.id.clone(), terminal);
        // It is the client's to clean up when it cannot even do that.
        drop(self.connection.send_request(release).block_task().await);
        outcome
    }

    /// Waits for a terminal's command, which ends when its time is up or somebody interrupts.
    async fn finish(
        &self,
        terminal: &TerminalId,
        timeout_ms: u64,
        cancel: &CancellationToken,
    ) -> Result<String, String> {
        let wait = WaitForTerminalExitRequest::new(self.id.clone(), terminal.clone());
        let exit = tokio::select! {
            exit = self.connection.send_request(wait).block_task() => {
                Ok(exit.map_err(|error| said("the terminal", &error))?.exit_status)
            }
            () = tokio::time::sleep(Duration::from_millis(timeout_ms)) => {
                Err(format!("ended after {timeout_ms} ms"))
            }
            () = cancel.cancelled() => Err("interrupted".to_owned()),
        };
        if exit.is_err() {
            let kill = KillTerminalRequest::new(self.id.clone(), terminal.clone());
            // What the terminal has printed is read in any case.
            drop(self.connection.send_request(kill).block_task().await);
        }
        let output = TerminalOutputRequest::new(self.id.clone(), terminal.clone());
        let output = self.connection.send_request(output).block_task().await;
        let output = output.map_err(|error| said("the terminal", &error))?.output;
        match exit {
            Ok(TerminalExitStatus { exit_code: Some(0), .. }) => Ok(output),
            Ok(TerminalExitStatus { exit_code: Some(code), .. }) => {
                Err(format!("exit code {code}\n{output}"))
            }
            Ok(status) => {
                Err(format!("ended by signal {}\n{output}", status.signal.as_deref().unwrap_or("unknown")))
            }
            Err(why) => Err(format!("{why}\n{output}")),
        }
    }
}

impl Stage for Client {
    fn show(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        if let Shown::Cut = shown {
            let mut stdout = io::stdout().lock();
            io::Write::write_all(&mut stdout, br#"{"jsonrpc":"2.0","method":"session/up"#)?;
            return io::Write::flush(&mut stdout);
        }
        match update::update(shown) {
            Some(update) => self.send(update).map_err(io::Error::other),
            None => Ok(()),
        }
    }

    async fn permit(&mut self, call: &Called, cancel: &CancellationToken) -> Choice {
        if let Some(choice) = self.settled.get(&call.name) {
            return choice.clone();
        }
        let options = OPTIONS.map(|(id, name, kind)| PermissionOption::new(id, name, kind)).to_vec();
        let request = RequestPermissionRequest::new(self.id.clone(), update::pending(call), options);
        let response = tokio::select! {
            response = self.connection.send_request(request).block_task() => response,
            () = cancel.cancelled() => return Choice::Stop,
        };
        let chosen = match response.map(|response| response.outcome) {
            Ok(RequestPermissionOutcome::Selected(selected)) => selected.option_id,
            Ok(_) => return Choice::Stop,
            Err(error) => return Choice::Deny(said("the client gave no permission", &error)),
        };
        let denied = || Choice::Deny("the user does not want to proceed with this tool use".to_owned());
        let kind = OPTIONS.iter().find(|(id, ..)| *id == &*chosen.0).map(|(_, _, kind)| *kind);
        let choice = match kind {
            Some(PermissionOptionKind::AllowOnce | PermissionOptionKind::AllowAlways) => Choice::Allow,
            Some(_) => denied(),
            None => Choice::Deny(format!("the client chose `{}`, which was not offered", chosen.0)),
        };
        if matches!(kind, Some(PermissionOptionKind::AllowAlways | PermissionOptionKind::RejectAlways)) {
            self.settled.insert(call.name.clone(), choice.clone());
        }
        choice
    }

    async fn ask(&mut self, _question: &str, _cancel: &CancellationToken) -> Option<String> {
        None
    }

    async fn perform(
        &mut self,
        call: &Called,
        step: &ToolStep,
        cancel: &CancellationToken,
    ) -> Option<Result<String, String>> {
        if let Err(error) = self.send(update::in_progress(call, Vec::new())) {
            return Some(Err(said("the client", &error)));
        }
        match step {
            ToolStep::Run { command, timeout_ms } if self.has_terminals => {
                Some(self.run(call, command, *timeout_ms, cancel).await)
            }
            ToolStep::Read { .. }
            | ToolStep::Write { .. }
            | ToolStep::Patch { .. }
            | ToolStep::Run { .. }
            | ToolStep::Pretend { .. } => tokio::select! {
                outcome = self.edit(step) => outcome,
                () = cancel.cancelled() => Some(Err("interrupted".to_owned())),
            },
        }
    }
}

fn said(about: &str, error: &Error) -> String {
    format!("{about}: {error}")
}
