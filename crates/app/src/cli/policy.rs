//! `adjutant policy test | explain`: what a policy file says about a command, and what the gate said of a turn.

use super::{ids, print};
use crate::exit::Failure;
use crate::progress::visible;
use adjutant_engine::gate::judge_by;
use adjutant_model::Value;
use adjutant_model::policy::{PolicyEffect, ToolCall};
use adjutant_protocol::http::{ExplanationView, VerdictView};
use adjutant_protocol::{Client, ExitCode as Code};
use adjutant_rules::policy::{self, Places};
use adjutant_rules::shell;
use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Say which rules of a file decide about a shell command, and why; exit code 0 allows, 1 denies, 5 asks.
    Test(TestArgs),
    /// Show which rules decided a turn of a run, and why.
    Explain(ExplainArgs),
}

/// Which turn.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A run's id, or a part that only one has.
    run: String,
    /// The turn's number, as `adjutant trace RUN` shows it.
    turn: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Shows which rules decided a turn.
pub(crate) async fn explain(client: &Client, args: ExplainArgs) -> Result<Code> {
    let run_id = ids::run_of_anybody(client, &args.run).await?.into_id();
    let explained = client.turn_explain(&run_id, args.turn).await?;
    if args.json {
        return print(&serde_json::to_string(&explained)?);
    }
    for line in explanation_lines(&explained) {
        print(&line)?;
    }
    Ok(Code::Ok)
}

fn explanation_lines(explained: &ExplanationView) -> Vec<String> {
    let ExplanationView { turn, kind, name, status, judgements, .. } = explained;
    let mut lines = vec![format!("turn     {turn}, {kind} {}, {status}", visible(name))];
    if judgements.is_empty() {
        let why = match kind.as_str() {
            "narrated" => "its client told of it; the gate was not asked",
            _ => "nothing to show: no rule was about it",
        };
        lines.push(format!("judged   {why}"));
    }
    lines.extend(judgements.iter().flat_map(verdict_lines));
    lines
}

fn verdict_lines(verdict: &VerdictView) -> Vec<String> {
    let matched = verdict.matched.iter().map(|hit| {
        let (rule, why) = (visible(&hit.rule), visible(&hit.why));
        format!("matches  {rule} ({}, {}): {why}", hit.effect, hit.scope)
    });
    let rule = verdict.rule.as_ref().map_or_else(String::new, |rule| format!(" by rule {}", visible(rule)));
    let decided =
        format!("{:<8} at {}{rule}: {}", verdict.effect, verdict.decided_by, visible(&verdict.reason));
    matched.chain([decided]).collect()
}

/// What is tried out.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The policy file; `-` is the shipped policy.
    file: PathBuf,
    /// The shell command.
    command: String,
    /// The tool that would run it.
    #[arg(long, default_value = "Bash")]
    tool: String,
}

/// Says what a policy file makes of a command.
pub(crate) fn test(folder: &Path, args: TestArgs) -> Result<Code> {
    let TestArgs { file, command, tool } = args;
    let shown = file.clone();
    let text = match file.to_str() {
        Some("-") => policy::DEFAULT_POLICY.to_owned(),
        Some(_) | None => std::fs::read_to_string(&file).map_err(|error| {
            Failure::new(Code::NotFound, format!("{} cannot be read: {error}", file.display()))
        })?,
    };
    let data_folder = folder.to_string_lossy();
    let places = Places { data_folder: data_folder.trim_end_matches('/') };
    let file = policy::read_file(&text, &places).map_err(|lints| {
        let all: Vec<String> = lints.iter().map(ToString::to_string).collect();
        Failure::usage(format!("{}: {}", shown.display(), all.join("; ")))
    })?;
    let line = shell::parse(&command);
    for started in &line.commands {
        let words = std::iter::once(started.program.as_str()).chain(started.args.iter().map(String::as_str));
        let words: Vec<String> = words.map(visible).collect();
        let around: String = started.wrappers.iter().map(|name| format!("{name} > ")).collect();
        print(&format!("starts   {around}{}", words.join(" ")))?;
    }
    for opaque in &line.opaque {
        print(&format!("opaque   {}", visible(opaque)))?;
    }
    let parameters = Value::object([("command", Value::from(command))]);
    let judgement = judge_by(file, &ToolCall { tool, parameters });
    for hit in &judgement.matched {
        print(&format!("matches  {} ({}): {}", visible(&hit.rule), hit.effect.as_str(), visible(&hit.why)))?;
    }
    print(&format!("{:<8} {}", judgement.effect.as_str(), visible(&judgement.reason)))?;
    Ok(match judgement.effect {
        PolicyEffect::Allow => Code::Ok,
        PolicyEffect::Ask => Code::WaitsForApproval,
        PolicyEffect::Deny => Code::Failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_protocol::http::RuleMatchView;

    fn explained(kind: &str, judgements: Vec<VerdictView>) -> ExplanationView {
        let (run_id, name) = ("run_1".to_owned(), "Bash".to_owned());
        ExplanationView {
            run_id,
            turn: 3,
            kind: kind.to_owned(),
            name,
            status: "rejected".to_owned(),
            judgements,
        }
    }

    #[test]
    fn an_explanation_names_every_rule_and_the_one_that_decided() {
        let hit = |rule: &str, effect: &str, scope: &str| RuleMatchView {
            rule: rule.to_owned(),
            scope: scope.to_owned(),
            effect: effect.to_owned(),
            why: "it deletes".to_owned(),
        };
        let verdict = VerdictView {
            allowed: false,
            effect: "deny".to_owned(),
            decided_by: "policy".to_owned(),
            rule: Some("no-rm".to_owned()),
            reason: "policy 'no-rm': it deletes".to_owned(),
            matched: vec![hit("shells", "allow", "plane"), hit("no-rm", "deny", "project")],
        };
        assert_eq!(
            explanation_lines(&explained("tool", vec![verdict])),
            [
                "turn     3, tool Bash, rejected",
                "matches  shells (allow, plane): it deletes",
                "matches  no-rm (deny, project): it deletes",
                "deny     at policy by rule no-rm: policy 'no-rm': it deletes",
            ]
        );
    }

    #[test]
    fn a_turn_that_nothing_was_said_of_says_so() {
        for (kind, line) in [
            ("step", "judged   nothing to show: no rule was about it"),
            ("narrated", "judged   its client told of it; the gate was not asked"),
        ] {
            assert_eq!(explanation_lines(&explained(kind, Vec::new()))[1], line, "{kind}");
        }
    }
}
