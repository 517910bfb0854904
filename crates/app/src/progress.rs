//! Following a run: its events as a person or a program wants to see them.
//!
//! What agents say is text of strangers: control characters are made visible and never reach the terminal.

pub(crate) mod cost;

pub(crate) mod feed;

pub(crate) mod width;

mod board;

mod text;

mod tree;

pub(crate) use text::{visible, visible_line, visible_lines};

use crate::config;
use adjutant_engine::clock;
use adjutant_protocol::Client;
use adjutant_protocol::http::EventView;
use anyhow::Result;
use board::{Board, Line, Tone};
use feed::Feed;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tree::Tree;

/// The tree takes at most so many lines of a terminal, and leaves so many of it to what is said.
const TREE_LINES_MAX: usize = 24;
const LINES_LEFT: usize = 4;
/// How often the times of running steps are brought up.
const TICK: Duration = Duration::from_millis(200);

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// What agents say as it happens, and the tree of the steps below it, on a terminal.
    Live,
    /// A line with its time for each.
    Plain,
    /// A JSON line for each.
    Json,
}

impl View {
    /// Chooses by what the output is.
    pub(crate) fn choose(json: bool) -> View {
        let dumb =
            config::var("NO_COLOR").is_some() || config::var("TERM").is_some_and(|term| term == "dumb");
        match (json, io::stdout().is_terminal() && !dumb) {
            (true, _) => View::Json,
            (false, true) => View::Live,
            (false, false) => View::Plain,
        }
    }
}

/// Follows a run, from behind a place of the journal, until it is over or interrupted, through restarts of the daemon; gives a client of the one that runs then.
pub(crate) async fn follow(folder: &Path, run_id: &str, (view, from): (View, i64)) -> Result<Client> {
    let mut feed = Feed::behind(from, run_id, folder).await?;
    let mut screen = Screen::new(view);
    let mut tick = tokio::time::interval(TICK);
    loop {
        let event = {
            let mut next = pin!(feed.next());
            loop {
                tokio::select! {
                    event = &mut next => break event?,
                    _ = tick.tick() => screen.draw(),
                }
            }
        };
        screen.show(feed.client(), &event).await?;
        if is_end(&event) {
            return Ok(feed.client().clone());
        }
    }
}

fn is_end(event: &EventView) -> bool {
    let to = event.payload.get("to").and_then(Value::as_str).unwrap_or_default();
    event.kind == "run_status_changed"
        && ["done", "failed", "cancelled", "interrupted", "incomplete"].contains(&to)
}

/// Where the events of one run are shown.
struct Screen {
    view: View,
    board: Board,
    /// Outputs that came with a page of the trace before their event did.
    outputs: HashMap<u64, Value>,
    tree: Tree,
    bars: MultiProgress,
    shown: Vec<ProgressBar>,
}

impl Screen {
    fn new(view: View) -> Self {
        let (board, outputs) = (Board::default(), HashMap::new());
        let (tree, bars) = (Tree::default(), MultiProgress::new());
        Screen { view, board, outputs, tree, bars, shown: Vec::new() }
    }

    async fn show(&mut self, client: &Client, event: &EventView) -> Result<()> {
        if self.view == View::Json {
            return Ok(writeln!(io::stdout().lock(), "{}", serde_json::to_string(event)?)?);
        }
        self.fetch_outputs(client, event).await;
        let lines = self.board.take(event, &self.outputs);
        self.tree.take(event);
        if is_end(event) {
            self.end()?;
        }
        // On a terminal the tree says which steps run and which ended well.
        let in_tree = |line: &Line| {
            self.view == View::Live
                && event.kind == "run_advanced"
                && matches!(line.tone, Tone::Quiet | Tone::Good)
        };
        for line in lines.iter().filter(|line| !in_tree(line)) {
            self.print(event, line)?;
        }
        if !is_end(event) {
            self.draw();
        }
        Ok(())
    }

    /// Looks what came out of steps that settle now. Without it a line is shorter, so a failure is no error.
    async fn fetch_outputs(&mut self, client: &Client, event: &EventView) {
        for turn in self.board.outputs_of_interest(event) {
            if self.outputs.contains_key(&turn) {
                continue;
            }
            let page = client.trace(&event.subject, turn.checked_sub(1)).await.unwrap_or_default();
            self.outputs.extend(page.into_iter().filter_map(|turn| Some((turn.index, turn.output?))));
        }
    }

    fn print(&self, event: &EventView, line: &Line) -> Result<()> {
        if self.view == View::Live {
            let text = match line.tone {
                Tone::Plain => line.text.clone(),
                Tone::Quiet => format!("\x1b[2m{}\x1b[0m", line.text),
                Tone::Good => format!("\x1b[32m{}\x1b[0m", line.text),
                Tone::Bad => format!("\x1b[31m{}\x1b[0m", line.text),
            };
            return Ok(self.bars.suspend(|| writeln!(io::stdout().lock(), "{text}"))?);
        }
        // The time of day, out of `2026-01-31T09:30:00.123Z`.
        let time = event.at.get(11..23).unwrap_or(&event.at);
        Ok(writeln!(io::stdout().lock(), "{time}  {}", line.text)?)
    }

    /// Brings the tree below the other lines up to now.
    fn draw(&mut self) {
        if self.view != View::Live {
            return;
        }
        let height = rustix::termios::tcgetwinsize(io::stdout()).map_or(24, |size| usize::from(size.ws_row));
        let lines_max = height.saturating_sub(LINES_LEFT).clamp(1, TREE_LINES_MAX);
        let lines = self.tree.lines(lines_max, clock::now());
        while self.shown.len() > lines.len() {
            if let Some(bar) = self.shown.pop() {
                bar.finish_and_clear();
            }
        }
        for (at, line) in lines.into_iter().enumerate() {
            if self.shown.len() == at {
                let style = ProgressStyle::with_template("{wide_msg}").expect("the template is valid");
                self.shown.push(self.bars.add(ProgressBar::new_spinner().with_style(style)));
            }
            self.shown[at].set_message(line);
            self.shown[at].tick();
        }
    }

    /// Leaves the tree as it is in the end behind as plain lines.
    fn end(&mut self) -> Result<()> {
        if self.view != View::Live {
            return Ok(());
        }
        for bar in self.shown.drain(..) {
            bar.finish_and_clear();
        }
        for line in self.tree.lines(TREE_LINES_MAX, clock::now()) {
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }
}
