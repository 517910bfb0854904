//! Hooks as Claude Code calls them: shell commands that are told of an event and may decide about it.

mod answer;

mod settings;

pub(super) use answer::{Decision, Verdict};
pub(super) use settings::Settings;

use adjutant_sessions::environment::environment;
use adjutant_sessions::process::{self, EndedBy, Exit, ProcessSpec};
use answer::{Ended, Printed};
use futures_util::future::join_all;
use serde_json::{Map, Value};
use settings::Handler;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// So much of what a hook prints is read.
const PRINTED_BYTES_MAX: usize = 1 << 20;

/// Something that hooks are told of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HookEvent {
    /// Its name, such as `PreToolUse`.
    pub(super) name: &'static str,
    /// What matchers are compared with: the tool, the source, the kind; empty matches every matcher.
    pub(super) about: String,
    /// What is told besides what every event tells.
    pub(super) fields: Value,
}

/// The hooks of a session.
#[derive(Debug)]
pub(super) struct Hooks {
    settings: Settings,
    /// What of the settings could not be used, until somebody has been told.
    pub(super) problems: Vec<String>,
    cwd: PathBuf,
    env: Vec<(String, String)>,
}

impl Hooks {
    /// Takes the settings; the commands run in `cwd` with the environment that the agent has.
    pub(super) fn new(mut settings: Settings, cwd: PathBuf, env: &[(String, String)]) -> Hooks {
        let names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
        let own = BTreeMap::from([("CLAUDE_PROJECT_DIR".to_owned(), cwd.display().to_string())]);
        let env = environment(&names, env.iter().cloned(), &own);
        Hooks { problems: std::mem::take(&mut settings.problems), settings, cwd, env }
    }

    /// Runs every hook of an event side by side and gives what they say together.
    pub(super) async fn fire(
        &self,
        mut told: Map<String, Value>,
        event: HookEvent,
        cancel: &CancellationToken,
    ) -> Verdict {
        let handlers = self.settings.handlers(event.name, &event.about);
        if handlers.is_empty() {
            return Verdict::default();
        }
        told.insert("hook_event_name".to_owned(), event.name.into());
        if let Value::Object(fields) = event.fields {
            told.extend(fields);
        }
        let mut input = Value::Object(told).to_string();
        input.push('\n');
        let runs = handlers.into_iter().map(|handler| self.run(handler, input.as_bytes(), cancel));
        let answers = join_all(runs).await;
        answers
            .into_iter()
            .map(|printed| answer::read(event.name, printed))
            .fold(Verdict::default(), Verdict::and)
    }

    async fn run(&self, handler: &Handler, input: &[u8], cancel: &CancellationToken) -> Printed {
        let argv = ["sh", "-c", &handler.command].map(str::to_owned).to_vec();
        let spec = ProcessSpec {
            timeout: Some(handler.timeout),
            env: self.env.clone(),
            stdin: input.to_vec(),
            stdout_bytes_max: PRINTED_BYTES_MAX,
            ..ProcessSpec::new(argv, self.cwd.clone())
        };
        let outcome = match process::run(spec, cancel.clone(), None).await {
            Ok(outcome) => outcome,
            Err(error) => {
                return Printed { ended: Ended::NotStarted(error.to_string()), ..Printed::default() };
            }
        };
        let ended = match (outcome.ended_by, outcome.exit) {
            (EndedBy::Timeout, _) => Ended::TimedOut(handler.timeout),
            (EndedBy::Cancelled, _) => Ended::Cancelled,
            (EndedBy::Itself, Exit::Code(code)) => Ended::Code(code),
            (EndedBy::Itself, Exit::Signal(signal)) => Ended::Signal(signal),
        };
        let stdout = String::from_utf8_lossy(&outcome.stdout).into_owned();
        Printed { ended, stdout, stderr: outcome.stderr_tail }
    }
}
