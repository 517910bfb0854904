//! Checks: a command in a fresh process that says whether an outcome holds, and about which tree it says so.

use super::{WorkerContext, WorkerSettings, failed};
use crate::workspaces;
use adjutant_model::Value;
use adjutant_model::blueprint::{CheckCommand, CheckSpec};
use adjutant_model::run::{ErrorClass, StepOutcome};
use adjutant_sessions::environment::environment;
use adjutant_sessions::git::Git;
use adjutant_sessions::process::{self, EndedBy, Exit, ProcessSpec};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where a check runs, and its bounds.
#[derive(Debug)]
pub struct CheckPlace<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// The environment that the allow-list is applied to.
    pub env: &'a [(String, String)],
    /// Limits.
    pub settings: &'a WorkerSettings,
    /// What marks its processes.
    pub marker: String,
    /// Ends it early.
    pub cancel: CancellationToken,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckReport {
    /// Whether it ended as it should, with the output it should have.
    pub passed: bool,
    /// How it ended.
    pub exit: Exit,
    /// Whether its time was over.
    pub timed_out: bool,
    /// The end of what it wrote, standard error behind standard output.
    pub output_tail: String,
    /// How long it took.
    pub duration: Duration,
    /// The git tree it looked at; `None` outside of git.
    pub tree: Option<String>,
    /// Whether the tree was another one when it had ended.
    pub tree_changed: bool,
}

impl CheckReport {
    /// Says in one line how it ended, with the last line of its output.
    pub fn summary(&self) -> String {
        let ended = match (self.timed_out, self.exit) {
            (true, _) => "timed out".to_owned(),
            (false, Exit::Code(code)) => format!("exit {code}"),
            (false, Exit::Signal(signal)) => format!("signal {signal}"),
        };
        let last = self.output_tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let mut summary = format!("{ended} in {} ms", self.duration.as_millis());
        if !last.is_empty() {
            // Writing to a string cannot fail.
            let _infallible = write!(summary, ": {}", last.trim());
        }
        summary
    }

    fn value(&self) -> Value {
        let exit_code = match self.exit {
            Exit::Code(code) => Value::from(i64::from(code)),
            Exit::Signal(_) => Value::Null,
        };
        let mut entries = vec![
            ("passed", Value::Bool(self.passed)),
            ("exit_code", exit_code),
            ("output_tail", Value::from(self.output_tail.as_str())),
            ("duration_ms", Value::from(u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX))),
            ("tree", self.tree.as_deref().map_or(Value::Null, Value::from)),
        ];
        if let Exit::Signal(signal) = self.exit {
            entries.push(("signal", Value::from(i64::from(signal))));
        }
        if self.timed_out {
            entries.push(("timed_out", Value::Bool(true)));
        }
        if self.tree_changed {
            entries.push(("tree_changed", Value::Bool(true)));
        }
        Value::object(entries)
    }
}

/// Runs a step's check in the run's workspace. A check that does not pass is a result; one that cannot be run is a
/// failure of the step.
pub async fn run(spec: &CheckSpec, ctx: &WorkerContext) -> StepOutcome {
    let place = CheckPlace {
        dir: &ctx.work_dir,
        env: &ctx.env,
        settings: &ctx.settings,
        marker: crate::dispatch::marker(&ctx.run_id, &ctx.path, ctx.attempt),
        cancel: ctx.cancel.clone(),
    };
    match execute(spec, &Git::new(&ctx.env), place).await {
        Ok(report) => StepOutcome::Done(report.value()),
        Err(message) => failed(ErrorClass::User, message),
    }
}

/// Runs a check. The tree is taken before the command starts: it is what the command looked at.
///
/// # Errors
/// Why it could not be run, as a sentence fragment.
pub async fn execute(spec: &CheckSpec, git: &Git, place: CheckPlace<'_>) -> Result<CheckReport, String> {
    let tree = tree(git, place.dir).await?;
    let argv = match &spec.command {
        CheckCommand::Line(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        CheckCommand::Argv(argv) => argv.clone(),
    };
    let timeout = spec.timeout_secs.map_or(place.settings.check_timeout, Duration::from_secs);
    let env = environment(&[], place.env.iter().cloned(), &BTreeMap::new());
    let process = ProcessSpec {
        timeout: Some(timeout),
        grace: place.settings.grace,
        stdout_bytes_max: place.settings.output_kept_bytes,
        stderr_tail_bytes: place.settings.output_kept_bytes,
        marker: Some(place.marker),
        env,
        ..ProcessSpec::new(argv, place.dir.to_owned())
    };
    let outcome = process::run(process, place.cancel, None).await.map_err(|error| error.to_string())?;
    if outcome.ended_by == EndedBy::Cancelled {
        return Err("the check was cancelled".to_owned());
    }
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let output = [stdout.trim_end(), outcome.stderr_tail.trim_end()].join("\n");
    let output = output.trim();
    let tail_from = output.ceil_char_boundary(output.len().saturating_sub(place.settings.output_kept_bytes));
    let has_text = spec.output_contains.as_ref().is_none_or(|text| output.contains(text.as_str()));
    let timed_out = outcome.ended_by == EndedBy::Timeout;
    let after = self::tree(git, place.dir).await?;
    Ok(CheckReport {
        passed: outcome.exit == Exit::Code(spec.expect_exit) && has_text && !timed_out,
        exit: outcome.exit,
        timed_out,
        output_tail: output[tail_from..].to_owned(),
        duration: outcome.duration,
        tree_changed: after != tree,
        tree,
    })
}

async fn tree(git: &Git, dir: &Path) -> Result<Option<String>, String> {
    workspaces::tree(git, dir).await.map_err(|error| format!("the git tree could not be read: {error}"))
}
