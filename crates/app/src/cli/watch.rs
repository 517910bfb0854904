//! Pages that are shown once, or again and again as what they show changes.

use super::print;
use crate::exit::Failure;
use crate::launch;
use crate::progress::feed;
use adjutant_protocol::{Client, ClientError, ExitCode as Code};
use anyhow::Result;
use rustix::termios::tcgetwinsize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// How often a page is looked at again; times in it go on by themselves.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is shown.
#[derive(Debug)]
pub(super) struct Page {
    /// For people.
    pub(super) lines: Vec<String>,
    /// For programs.
    pub(super) json: String,
}

/// Shows a page: as lines or, for programs, as JSON; once or until Ctrl-C.
pub(super) async fn show(
    folder: &Path,
    (json, again): (bool, bool),
    page: impl AsyncFn(&Client) -> Result<Page>,
) -> Result<Code> {
    if again && !json && !io::stdout().is_terminal() {
        let failure = Failure::usage("`--watch` draws on a terminal, and standard output is none");
        return Err(failure.hinted("with `--json` it prints a line for each change").into());
    }
    let mut client = launch::client(folder).await?;
    let mut shown = None;
    loop {
        match page(&client).await {
            Ok(page) if json => {
                if shown.as_ref() != Some(&page.json) {
                    print(&page.json)?;
                }
                shown = Some(page.json);
            }
            Ok(page) if again => draw(&page.lines)?,
            Ok(page) => {
                for line in &page.lines {
                    print(line)?;
                }
            }
            Err(error) if again && is_away(&error) => {
                client = feed::again(folder).await?.ok_or(error)?;
            }
            Err(error) => return Err(error),
        }
        if !again {
            return Ok(Code::Ok);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_away(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<ClientError>(), Some(ClientError::Unreachable { .. }))
}

/// Draws over what was drawn before, without clearing it first, so that nothing flickers.
fn draw(lines: &[String]) -> Result<()> {
    let height = tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row)).max(2);
    let over = lines.len().saturating_sub(height - 1);
    let shown = lines.iter().take(lines.len() - over);
    let mut text: String = shown.map(|line| format!("{line}\x1b[K\n")).collect();
    if over > 0 {
        text.push_str(&format!("… {over} more lines\x1b[K"));
    }
    let mut stdout = io::stdout().lock();
    write!(stdout, "\x1b[H{text}\x1b[J")?;
    Ok(stdout.flush()?)
}
