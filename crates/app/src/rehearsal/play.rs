//! Playing a script: one step after the other, each shown as it happens.

use super::gate::{Gate, Permission, Reach};
use super::script::{Crash, Step, ToolStep};
use super::stream::{Ending, Stream};
use super::tools::Tools;
use adjutant_model::Value;
use serde_json::json;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// One performance.
pub(super) struct Player<W> {
    /// What the reader sees.
    pub(super) stream: Stream<W>,
    /// What judges tool calls.
    pub(super) gate: Gate,
    /// What performs them.
    pub(super) tools: Tools,
}

/// How the performance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With a code; the `result` line is written.
    Exited(u8),
    /// As no agent should; there is no `result` line.
    Crashed(Crash),
}

impl<W: Write> Player<W> {
    /// Plays the steps to their end.
    ///
    /// # Errors
    /// What the stream said when it could not be written.
    pub(super) async fn play(mut self, steps: Vec<Step>) -> io::Result<End> {
        let began = Instant::now();
        self.stream.init(&self.tools.root(), &self.gate.describe())?;
        for step in steps {
            match step {
                Step::Say(text) => self.stream.said(&text)?,
                Step::Think(text) => self.stream.thought(&text)?,
                Step::Call(call) => self.call(call).await?,
                Step::Ask { question, default } => self.ask(&question, default.as_deref())?,
                Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Step::Exit { code, result } => return self.exit(code, result, began),
                Step::Crash(crash) => return self.crash(crash),
            }
        }
        self.exit(0, None, began)
    }

    fn exit(&mut self, code: u8, result: Option<String>, began: Instant) -> io::Result<End> {
        let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.stream.result(&Ending { code, result, duration_ms })?;
        Ok(End::Exited(code))
    }

    fn crash(&mut self, crash: Crash) -> io::Result<End> {
        match crash {
            Crash::Cut => self.stream.cut()?,
            Crash::Hang | Crash::Signal(_) => {}
        }
        Ok(End::Crashed(crash))
    }

    fn ask(&mut self, question: &str, default: Option<&str>) -> io::Result<()> {
        self.stream.said(question)?;
        let answer = match default {
            Some(default) => format!("nobody answers in print mode; going on with: {default}"),
            None => "nobody answers in print mode; going on without an answer".to_owned(),
        };
        self.stream.notice(&answer)
    }

    async fn call(&mut self, call: ToolStep) -> io::Result<()> {
        let (name, input, reach) = as_claude_names_it(&call);
        let shown = self.stream.called(name, &input)?;
        let turn = match self.gate.judge(name, &input, reach).await {
            Permission::Denied { why } => return self.stream.denied(&shown, &why),
            Permission::Granted { turn, remark } => {
                if let Some(remark) = remark {
                    self.stream.notice(&remark)?;
                }
                turn
            }
        };
        let outcome = self.perform(&call).await;
        match &outcome {
            Ok(text) => self.stream.returned(&shown, text)?,
            Err(text) => self.stream.failed(&shown, text)?,
        }
        if let Some(turn) = turn
            && let Some(remark) = self.gate.settle(turn, &outcome).await
        {
            self.stream.notice(&remark)?;
        }
        Ok(())
    }

    async fn perform(&self, call: &ToolStep) -> Result<String, String> {
        match call {
            ToolStep::Read { path } => self.tools.read(path),
            ToolStep::Write { path, content } => self.tools.write(path, content),
            ToolStep::Patch { path, find, replace } => self.tools.patch(path, find, replace),
            ToolStep::Run { command, timeout_ms } => self.tools.run(command, *timeout_ms).await,
            ToolStep::Pretend { result: Value::String(text), .. } => Ok(text.to_string()),
            ToolStep::Pretend { result, .. } => Ok(result.to_string()),
        }
    }
}

/// Gives a call's tool and parameters by the names that Claude Code has for them, and what the call may do.
fn as_claude_names_it(call: &ToolStep) -> (&str, serde_json::Value, Reach) {
    match call {
        ToolStep::Read { path } => ("Read", json!({"file_path": path}), Reach::Reads),
        ToolStep::Write { path, content } => {
            ("Write", json!({"file_path": path, "content": content}), Reach::Writes)
        }
        ToolStep::Patch { path, find, replace } => {
            ("Edit", json!({"file_path": path, "old_string": find, "new_string": replace}), Reach::Writes)
        }
        ToolStep::Run { command, .. } => ("Bash", json!({"command": command}), Reach::Writes),
        ToolStep::Pretend { name, input, .. } => (name, input.into(), Reach::Writes),
    }
}

#[cfg(test)]
mod tests;
