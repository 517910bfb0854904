//! What a drive does with its own hands: it starts the agent's program and runs the check, as tools of the runtime
//! door, each in a process group of its own that ends when the daemon gives the call up.

use crate::config;
use crate::progress::visible_lines;
use adjutant_engine::clock;
use adjutant_engine::templates;
use adjutant_engine::worker::{self, Performed, Progress, WorkerContext, WorkerSettings};
use adjutant_model::blueprint::{Agent, AgentSpec, CheckCommand, CheckSpec, CommandSpec, OutputSpec};
use adjutant_model::run::{StepFailure, StepOutcome, StepPath, Usage};
use adjutant_model::{RunId, TaskId, Value};
use adjutant_protocol::rpc::{ToolAnswer, ToolRequest, ToolSpec, Tools};
use anyhow::{Context, Result};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tool that drives the agent.
pub(super) const DRIVE: &str = "drive_cli";
/// The tool that runs the check.
pub(super) const CHECK: &str = "check_outcome";

/// So much of an agent's answer is told, in bytes from the end.
const TAIL_MAX: usize = 4 * 1024;
/// How many lines of progress may wait.
const PROGRESS_MAX: usize = 256;

/// How the tools work.
#[derive(Debug, Clone)]
pub(super) struct Hands {
    /// A template's name, or a program.
    pub(super) cli: String,
    pub(super) dir: PathBuf,
    pub(super) timeout: Duration,
    pub(super) check_timeout: Duration,
    pub(super) scratch: PathBuf,
    /// Takes what the agent says meanwhile.
    pub(super) said: mpsc::Sender<Progress>,
    /// Holds what is under way, so that it can be awaited in the end.
    pub(super) work: TaskTracker,
}

impl Hands {
    /// Gives what is offered to the daemon.
    pub(super) fn offer() -> [ToolSpec; 2] {
        let text = json!({"type": "string"});
        let schema = |names: &[&str]| {
            let properties: BTreeMap<&str, _> = names.iter().map(|name| (*name, &text)).collect();
            json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
        };
        let tool = |name: &str, description: &str, parameters| ToolSpec {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            parameters,
            ..ToolSpec::default()
        };
        [
            tool(DRIVE, "starts a coding agent's program without a terminal", schema(&["cli", "prompt"])),
            tool(CHECK, "runs a command in a fresh process and says whether it passes", schema(&["command"])),
        ]
    }

    async fn perform(
        self,
        request: ToolRequest,
        cancel: CancellationToken,
    ) -> Result<serde_json::Value, String> {
        let text = |key: &str| {
            let text = request.parameters.get(key).and_then(serde_json::Value::as_str);
            text.map(str::to_owned).ok_or_else(|| format!("`{key}` is missing"))
        };
        match request.tool.as_str() {
            DRIVE => self.drive(&text("prompt")?, request.attempt, cancel).await,
            CHECK => self.check(text("command")?, cancel).await,
            other => Err(format!("there is no tool `{other}` here")),
        }
    }

    async fn drive(
        self,
        prompt: &str,
        attempt: u32,
        cancel: CancellationToken,
    ) -> Result<serde_json::Value, String> {
        let ctx = self.context(attempt, cancel).map_err(|error| format!("{error:#}"))?;
        let agent = Agent::new(self.cli.as_str(), AgentSpec::Command(command(&self.cli, self.timeout)));
        let performed = worker::perform(&agent, &BTreeMap::new(), Value::from(prompt), &ctx).await;
        driven(&self.cli, performed)
    }

    async fn check(self, line: String, cancel: CancellationToken) -> Result<serde_json::Value, String> {
        let ctx = self.context(1, cancel).map_err(|error| format!("{error:#}"))?;
        let spec = CheckSpec {
            command: CheckCommand::Line(line),
            expect_exit: 0,
            output_contains: None,
            timeout_secs: Some(self.check_timeout.as_secs()),
        };
        let agent = Agent::new(CHECK, AgentSpec::Check(spec));
        match worker::perform(&agent, &BTreeMap::new(), Value::Null, &ctx).await.outcome {
            StepOutcome::Done(report) | StepOutcome::Skipped(report) => Ok((&report).into()),
            StepOutcome::Failed(failure) => Err(failure.message),
        }
    }

    fn context(&self, attempt: u32, cancel: CancellationToken) -> Result<WorkerContext> {
        let settings = WorkerSettings::default();
        Ok(WorkerContext {
            run_id: RunId::new(clock::fresh_id()),
            task_id: TaskId::new(clock::fresh_id()),
            path: StepPath::new("drive"),
            attempt,
            work_dir: self.dir.clone(),
            scratch: self.scratch.clone(),
            env: config::environment().into(),
            adjutant_exe: std::env::current_exe().context("Adjutant's own program is not found")?,
            gate: None,
            settings,
            cancel,
            progress: self.said.clone(),
        })
    }
}

impl Tools for Hands {
    fn call(&self, request: ToolRequest) -> ToolAnswer {
        let hands = self.clone();
        Box::pin(async move {
            let cancel = CancellationToken::new();
            // A call that is given up is dropped here, and its work, in a task of its own, is told to end.
            let _ends_the_work = cancel.clone().drop_guard();
            let work = hands.work.clone().spawn(hands.perform(request, cancel));
            work.await.unwrap_or_else(|_| Err("the tool panicked".to_owned()))
        })
    }
}

/// Starts a program that we know by its template, and any other one with the prompt behind its own words.
fn command(cli: &str, timeout: Duration) -> CommandSpec {
    let timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    if templates::NAMES.contains(&cli) {
        return CommandSpec { template: Some(cli.to_owned()), timeout_ms, ..CommandSpec::default() };
    }
    CommandSpec {
        argv: vec![cli.to_owned(), "{prompt}".to_owned()],
        use_stdin: Some(false),
        output: Some(OutputSpec::default()),
        timeout_ms,
        ..CommandSpec::default()
    }
}

/// Says how the program ended, in the fields that the daemon reads of a tool that drives one.
fn driven(cli: &str, performed: Performed) -> Result<serde_json::Value, String> {
    let Performed { outcome, usage } = performed;
    let mut answer = match outcome {
        StepOutcome::Done(value) | StepOutcome::Skipped(value) => {
            let said = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            json!({"cli": cli, "exit_code": 0, "timed_out": false, "output_tail": tail(&said)})
        }
        // A program that could not be started has no way of ending.
        StepOutcome::Failed(StepFailure { message, value: None, .. }) => return Err(message),
        StepOutcome::Failed(StepFailure { message, value: Some(value), .. }) => {
            let field = |key: &str| value.get(key).map_or(serde_json::Value::Null, Into::into);
            let printed = [field("stdout_tail"), field("stderr_tail")];
            let printed: String = printed.iter().filter_map(serde_json::Value::as_str).collect();
            json!({
                "cli": cli, "exit_code": field("code"), "timed_out": field("timed_out") == json!(true),
                "signal": field("signal"), "error": message, "output_tail": tail(&printed),
            })
        }
    };
    if let Some(usage) = usage {
        answer["usage"] = json!(usage);
    }
    Ok(answer)
}

/// Reads what an attempt used from what the tool answered.
pub(super) fn usage_of(answer: &serde_json::Value) -> Option<Usage> {
    serde_json::from_value(answer.get("usage")?.clone()).ok()
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(TAIL_MAX);
    let start = (start..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[start..]
}

/// Shows what the agent says as lines; it ends with the last sender.
pub(super) async fn show_said(mut said: mpsc::Receiver<Progress>) {
    while let Some(Progress { what, text }) = said.recv().await {
        for line in visible_lines(&text).lines() {
            // A reader that has gone is noticed by the command itself.
            drop(super::say(&format!("   {what:<7} {line}")));
        }
    }
}

/// Makes the way from the hands to the screen.
pub(super) fn channel() -> (mpsc::Sender<Progress>, mpsc::Receiver<Progress>) {
    mpsc::channel(PROGRESS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::run::ErrorClass;

    fn failed(value: Option<serde_json::Value>) -> Performed {
        let value = value.map(Value::from);
        StepOutcome::Failed(StepFailure { message: "it failed".to_owned(), class: ErrorClass::Retry, value })
            .into()
    }

    #[test]
    fn how_the_program_ended_stands_in_the_fields_that_are_read() {
        for (performed, expected) in [
            (StepOutcome::Done(Value::from("fixed")).into(), json!([0, false, null, "fixed"])),
            (StepOutcome::Done(Value::from(json!({"a": 1}))).into(), json!([0, false, null, "{\"a\":1}"])),
            (
                failed(Some(json!({"code": 3, "signal": null, "stdout_tail": "a", "stderr_tail": "b"}))),
                json!([3, false, null, "ab"]),
            ),
            (
                failed(Some(json!({"code": null, "signal": null, "timed_out": true, "timeout_ms": 5}))),
                json!([null, true, null, ""]),
            ),
            (failed(Some(json!({"code": null, "signal": 9}))), json!([null, false, 9, ""])),
        ] {
            let answer = driven("claude", performed).unwrap();
            let told = ["exit_code", "timed_out", "signal", "output_tail"].map(|key| answer[key].clone());
            assert_eq!(json!(told), expected);
        }
        assert_eq!(driven("claude", failed(None)), Err("it failed".to_owned()));
    }

    #[test]
    fn a_long_answer_is_told_by_its_end_in_whole_characters() {
        let long = "é".repeat(TAIL_MAX);
        assert_eq!(tail(&long).len(), TAIL_MAX);
        assert_eq!(tail(&format!("x{long}")).chars().next(), Some('é'));
        assert_eq!(tail("short"), "short");
    }
}
