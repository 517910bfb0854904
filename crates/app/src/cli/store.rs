//! `adjutant store`: backups, checks, and what takes how much room.
//!
//! A backup is written by the daemon, which has the store; the path is made absolute here, where it was typed. A check
//! needs no daemon, so that it can say why none starts.

use super::print;
use super::table::{self, Column, Paper, Tone};
use crate::exit::Failure;
use crate::progress::visible;
use crate::{daemon, launch};
use adjutant_engine::care::restore::{RestoreOutcome, restore_alone};
use adjutant_protocol::ExitCode as Code;
use adjutant_protocol::http::{
    BackupParams, BackupView, CheckFindingView, CheckView, SizesView, StoreRestoreParams, StoreRestoreView,
};
use adjutant_store::{CheckError, CheckReport, Interrupt, RestoreError, check};
use anyhow::{Context, Result};
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A daemon that has not come back by then does not come back: it ends its agents' steps in order, and opens the store.
const RESTORE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often a daemon that starts anew is asked.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Make a backup of everything in one file, while the daemon works.
    ///
    /// It has the database and the bytes of outputs, and is checked before it appears under its name. Workspaces,
    /// their snapshots and settings are not in it.
    Backup {
        /// The file, outside of the data folder.
        file: PathBuf,
        /// Put it in the place of a file that is there.
        #[arg(long)]
        force: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a backup in the place of the store, also while the daemon works: it starts anew over it.
    ///
    /// The file is checked wholly before anything is touched. What is replaced is kept in a folder `replaced-…` in the
    /// data folder, and its `store.db` can be restored in turn. Tokens that are not good now are not good then.
    Restore {
        /// The backup, or the `store.db` of a store that was replaced.
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look whether the store is whole; works with and without a daemon.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what takes how much room.
    Sizes {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(folder: &Path, command: StoreCommand) -> Result<Code> {
    match command {
        StoreCommand::Backup { file, force, json } => backup(folder, &file, force, json).await,
        StoreCommand::Restore { file, json } => restore(folder, &file, json).await,
        StoreCommand::Check { json } => {
            let found = match launch::running(folder).await? {
                Some(client) => client.store_check().await?,
                None => check_apart(folder)?,
            };
            checked(&found, json)
        }
        StoreCommand::Sizes { json } => {
            let sizes = launch::client(folder).await?.store_sizes().await?;
            match json {
                true => print(&serde_json::to_string(&sizes)?),
                false => sizes_lines(&sizes).iter().try_fold(Code::Ok, |_, line| print(line)),
            }
        }
    }
}

async fn backup(folder: &Path, file: &Path, force: bool, json: bool) -> Result<Code> {
    let params = BackupParams { file: typed(file)?, force };
    let made = launch::client(folder).await?.store_backup(&params).await?;
    print(&if json { serde_json::to_string(&made)? } else { made_text(&made) })?;
    if made.lost_count == 0 {
        return Ok(Code::Ok);
    }
    let failure = Failure::new(
        Code::Failed,
        format!("{} bodies are not in it, because the store has lost them", made.lost_count),
    );
    Err(failure.hinted("everything else is in the backup; `adjutant store check` names them").into())
}

async fn restore(folder: &Path, file: &Path, json: bool) -> Result<Code> {
    let file = typed(file)?;
    let (ended, lost_count) = match launch::running(folder).await? {
        Some(client) => {
            let since = client.status().await?.started_at;
            let begun = client.store_restore(&StoreRestoreParams { file }).await?;
            (restored_by_the_daemon(folder, &begun.id, &since).await?, begun.lost_count)
        }
        None => restored_alone(folder, Path::new(&file)).await?,
    };
    if json {
        print(&serde_json::to_string(&ended)?)?;
    }
    match (ended.ok, json) {
        (true, true) => Ok(Code::Ok),
        (true, false) => print(&restored_text(&ended, lost_count)),
        (false, _) => {
            let reason = ended.reason.unwrap_or_default();
            let failure = Failure::new(Code::Failed, format!("it was not restored: {}", visible(&reason)));
            Err(failure.hinted("the store is what it was; `adjutant doctor` looks at it").into())
        }
    }
}

/// Waits for the daemon that lives again, and asks it how the restore ended; `since` is when it started before.
async fn restored_by_the_daemon(folder: &Path, id: &str, since: &str) -> Result<StoreRestoreView> {
    let deadline = Instant::now() + RESTORE_TIMEOUT;
    loop {
        // Its token may be another one now, so it is found as if for the first time.
        let client = match launch::running(folder).await? {
            // It has died, and the next one takes the steps that are left.
            None if !launch::lock_is_held(folder) => Some(launch::client(folder).await?),
            client => client,
        };
        if let Some(client) = client
            && let Ok(status) = client.status().await
            && status.started_at != since
        {
            let last = client.store_restores().await?.last.filter(|last| last.id == id);
            return last.ok_or_else(|| {
                let failure = Failure::new(Code::Failed, "it was not restored: the daemon died before that");
                failure.hinted("the store is what it was; try again").into()
            });
        }
        if Instant::now() > deadline {
            let failure = Failure::new(Code::Unreachable, "the daemon has not come back yet");
            return Err(failure
                .hinted("its log is `daemon.log` in the data folder; `adjutant status` starts nothing")
                .into());
        }
        // Nothing tells a process that another one, which is not its child, goes on.
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Restores where no daemon runs, as when none starts because the store is damaged.
async fn restored_alone(folder: &Path, file: &Path) -> Result<(StoreRestoreView, u64)> {
    let _lock = daemon::lock(folder)?;
    let (ended, lost_count) = restore_alone(folder, file, "host").await.map_err(|error| {
        let code = match error {
            RestoreError::Source { .. } | RestoreError::Check(_) => Code::Usage,
            RestoreError::Unsound { .. }
            | RestoreError::Copy { .. }
            | RestoreError::Open(_)
            | RestoreError::Write(_)
            | RestoreError::File { .. }
            | RestoreError::InTheWay { .. }
            | RestoreError::Interrupted => Code::Failed,
        };
        let text = format!("{:#}", anyhow::Error::new(error));
        anyhow::Error::new(Failure::new(code, text).hinted("nothing was changed"))
    })?;
    let view = StoreRestoreView {
        id: ended.id,
        at: ended.at.to_string(),
        file: ended.file,
        ok: matches!(ended.outcome, RestoreOutcome::Done { .. }),
        reason: None,
        kept: match &ended.outcome {
            RestoreOutcome::Done { kept, .. } => Some(kept.to_string_lossy().into_owned()),
            RestoreOutcome::Failed { .. } => None,
        },
        tokens_ended: match ended.outcome {
            RestoreOutcome::Done { tokens_ended, .. } => tokens_ended,
            RestoreOutcome::Failed { .. } => 0,
        },
    };
    Ok((view, lost_count))
}

fn restored_text(ended: &StoreRestoreView, lost_count: u64) -> String {
    let lost = match lost_count {
        0 => String::new(),
        count => format!("\n{count} bodies of outputs did not come with it"),
    };
    let tokens = match ended.tokens_ended {
        0 => String::new(),
        count => format!("\n{count} tokens that it had are not good any more"),
    };
    let kept = ended.kept.as_deref().unwrap_or_default();
    format!(
        "{} is the store now\nwhat it replaced is kept in {}{tokens}{lost}",
        visible(&ended.file),
        visible(kept)
    )
}

/// Gives a path that was typed here as one that holds everywhere.
fn typed(file: &Path) -> Result<String> {
    let absolute =
        std::path::absolute(file).with_context(|| format!("{} cannot be found", file.display()))?;
    let text = absolute.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format!("{} is no UTF-8", file.display())).into())
}

fn made_text(made: &BackupView) -> String {
    format!(
        "{}: {}, {} journal rows, {} bodies; checked\njournal root {}",
        visible(&made.file),
        size(made.bytes),
        made.journal_rows,
        made.bodies,
        made.journal_root
    )
}

/// Checks without a daemon.
fn check_apart(folder: &Path) -> Result<CheckView> {
    let report = check::check(folder, &Interrupt::default()).map_err(|error| match &error {
        CheckError::Missing { .. } => {
            Failure::new(Code::NotFound, format!("there is no store in {}", folder.display()))
                .hinted("the first run makes it; ADJUTANT_HOME or --home names another folder")
                .into()
        }
        CheckError::Foreign { .. }
        | CheckError::Newer { .. }
        | CheckError::Database { .. }
        | CheckError::Interrupted => anyhow::Error::new(error),
    })?;
    Ok(view(report))
}

fn view(report: CheckReport) -> CheckView {
    let finding = |finding: &adjutant_store::CheckFinding| CheckFindingView {
        matter: finding.matter.as_str().to_owned(),
        text: finding.text.clone(),
    };
    CheckView {
        ok: report.is_sound(),
        findings: report.findings.iter().map(finding).collect(),
        findings_count: report.findings_count,
        journal_rows: report.journal_rows,
        journal_removed: report.journal_removed,
        journal_seq: report.journal_seq,
        journal_root: report.journal_root,
        contents: report.contents,
        bodies: report.bodies,
        bodies_bytes: report.bodies_bytes,
        bodies_unnamed: report.bodies_unnamed,
    }
}

fn checked(found: &CheckView, json: bool) -> Result<Code> {
    if json {
        print(&serde_json::to_string(found)?)?;
    } else {
        for finding in &found.findings {
            print(&format!("{}: {}", finding.matter, visible(&finding.text)))?;
        }
    }
    match (found.ok, json) {
        (true, true) => Ok(Code::Ok),
        (true, false) => print(&sound_text(found)),
        (false, _) => {
            let things = if found.findings_count == 1 { "thing is" } else { "things are" };
            let failure = Failure::new(Code::Failed, format!("{} {things} wrong", found.findings_count));
            Err(failure
                .hinted("stop the daemon and keep a copy of the data folder before anything else")
                .into())
        }
    }
}

fn sound_text(found: &CheckView) -> String {
    let unnamed = match found.bodies_unnamed {
        0 => String::new(),
        count => format!("; {count} files that nothing names, which the daemon removes at its next start"),
    };
    format!(
        "the store is sound: {} journal rows, {} contents, {} bodies of {}{unnamed}\njournal root {}",
        found.journal_rows,
        found.contents,
        found.bodies,
        size(found.bodies_bytes),
        found.journal_root
    )
}

const COLUMNS: [Column; 3] = [
    Column { title: "WHAT", width_min: None, rank: 9 },
    Column { title: "COUNT", width_min: None, rank: 5 },
    Column { title: "SIZE", width_min: None, rank: 8 },
];

fn sizes_lines(sizes: &SizesView) -> Vec<String> {
    let cell = |text: String| (text, Tone::Plain);
    let mut rows: Vec<_> = sizes
        .kinds
        .iter()
        .map(|kind| vec![cell(kind.kind.clone()), cell(kind.rows.to_string()), cell(size(kind.bytes))])
        .collect();
    rows.push(vec![cell("together".to_owned()), cell(String::new()), cell(size(sizes.bytes))]);
    table::lines(&COLUMNS, &rows, Paper::of_stdout())
}

/// Gives a size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20),
    }
}
