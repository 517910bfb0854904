//! `adjutant errors`: what went wrong in Adjutant itself, and telling its developers of it.

use super::{ids, print};
use crate::commands::Commands;
use crate::progress::{visible, visible_lines};
use adjutant_protocol::http::{ErrorDetailView, ErrorView, ReportParams, ReportPreviewView, ScrubChangeView};
use adjutant_protocol::{Client, ExitCode as Code};
use anyhow::Result;
use clap::{Args, Subcommand};

/// So many digits of a fingerprint are shown in a list.
const SHOWN_DIGITS: usize = 12;

/// What to do with errors.
#[derive(Debug, Args)]
pub(crate) struct ErrorsArgs {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<ErrorsCommand>,
}

#[derive(Debug, Subcommand)]
enum ErrorsCommand {
    /// List errors, those that were seen last first.
    Ls {
        /// At most so many, from 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show an error, and what became of its report.
    Show {
        /// Its fingerprint, or a part of it that only one has.
        fingerprint: String,
    },
    /// Show what a report would say; nothing leaves this machine.
    Preview {
        /// Its fingerprint, or a part of it that only one has.
        fingerprint: String,
    },
    /// File a preview as an issue, word by word; without consent show it.
    Report {
        /// The error's fingerprint, or a part of it that only one has.
        fingerprint: String,
        /// The hash of the preview that you agree to.
        #[arg(long, value_name = "HASH")]
        consent: Option<String>,
    },
}

pub(crate) async fn run(client: &Client, commands: &Commands, args: ErrorsArgs) -> Result<Code> {
    match args.command.unwrap_or(ErrorsCommand::Ls { limit: 20 }) {
        ErrorsCommand::Ls { limit } => list(client, limit, args.json).await,
        ErrorsCommand::Show { fingerprint } => {
            let shown = client.error(&ids::error(client, &fingerprint).await?).await?;
            print(&if args.json { serde_json::to_string(&shown)? } else { detail(&shown) })
        }
        ErrorsCommand::Preview { fingerprint } => {
            let fingerprint = ids::error(client, &fingerprint).await?;
            let shown = client.error_preview(&fingerprint).await?;
            print(&if args.json { serde_json::to_string(&shown)? } else { preview(&shown, commands) })
        }
        ErrorsCommand::Report { fingerprint, consent } => {
            let fingerprint = ids::error(client, &fingerprint).await?;
            report((client, commands), &fingerprint, consent, args.json).await
        }
    }
}

async fn list(client: &Client, limit: usize, json: bool) -> Result<Code> {
    let shown = client.errors(Some(limit)).await?;
    if json {
        return print(&serde_json::to_string(&shown)?);
    }
    if shown.errors.is_empty() {
        return print("nothing went wrong in Adjutant");
    }
    for error in &shown.errors {
        print(&line(error))?;
    }
    let more = shown.total.saturating_sub(shown.errors.len() as u64);
    if more > 0 { print(&format!("and {more} more")) } else { Ok(Code::Ok) }
}

async fn report(
    (client, commands): (&Client, &Commands),
    fingerprint: &str,
    consent: Option<String>,
    json: bool,
) -> Result<Code> {
    let params = ReportParams { confirm: consent.is_some(), preview: consent };
    let reported = client.error_report(fingerprint, &params).await?;
    let code = match (reported.filed, &reported.preview) {
        (true, _) => Code::Ok,
        (false, Some(_)) => Code::WaitsForApproval,
        (false, None) => Code::Failed,
    };
    if json {
        print(&serde_json::to_string(&reported)?)?;
        return Ok(code);
    }
    if let Some(shown) = &reported.preview {
        print(&preview(shown, commands))?;
        return Ok(code);
    }
    print(&match (&reported.issue_url, reported.deduped) {
        (Some(url), Some(true)) => format!("added to {}", visible(url)),
        (Some(url), _) => format!("filed as {}", visible(url)),
        (None, _) => format!("not filed: {}", visible(reported.note.as_deref().unwrap_or_default())),
    })?;
    Ok(code)
}

fn line(error: &ErrorView) -> String {
    let digits = error.fingerprint.get(..SHOWN_DIGITS).unwrap_or(&error.fingerprint);
    format!("{digits}  {:>5} × {}  {}", error.occurrences, error.last_seen_at, visible(&error.summary))
}

fn detail(shown: &ErrorDetailView) -> String {
    let error = &shown.error;
    let mut text = format!(
        "{}\n{}\n{} times, {} to {}\n{} {} on {} {}\n\n{}\n{}",
        error.fingerprint,
        visible(shown.location.as_deref().unwrap_or("the place is not known")),
        error.occurrences,
        error.first_seen_at,
        error.last_seen_at,
        visible(&error.crate_target),
        visible(&error.crate_version),
        error.os,
        error.arch,
        visible_lines(&shown.message),
        visible_lines(&shown.fields),
    );
    text.push_str(&taken_out(&shown.scrub_changes));
    if let Some(report) = &shown.report {
        let url = report.issue_url.as_deref().unwrap_or_default();
        text.push_str(&format!("\nreported {}: {} {}", report.begun_at, report.state, visible(url)));
    }
    text.trim_end().to_owned()
}

fn preview(shown: &ReportPreviewView, commands: &Commands) -> String {
    let to = shown
        .destination
        .as_deref()
        .map_or_else(|| "nowhere; set `repository` below `[reports]` in config.toml".to_owned(), visible);
    let short = shown.fingerprint.get(..SHOWN_DIGITS).unwrap_or(&shown.fingerprint);
    format!(
        "to: {to}\ntitle: {}\nlabels: {}\n\n{}{}\nNothing has left this machine. This agrees to exactly these words:\n{}",
        visible(&shown.title),
        visible(&shown.labels.join(", ")),
        visible_lines(&shown.body),
        taken_out(&shown.scrub_changes),
        commands.line(&format!("errors report {short} --consent {}", shown.hash)),
    )
}

fn taken_out(changes: &[ScrubChangeView]) -> String {
    changes.iter().map(|change| format!("taken out: {}\n", visible(&change.hint))).collect()
}
