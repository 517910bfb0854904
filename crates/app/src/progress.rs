//! Following a run: its events as a person or a program wants to see them.
//!
//! What agents say is text of strangers: control characters are made visible and never reach the terminal.

use crate::config;
use adjutant_protocol::http::EventView;
use adjutant_protocol::{Client, ClientError};
use anyhow::Result;
use futures_util::StreamExt;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often a broken stream is taken up again before the command gives up.
const RECONNECTS_MAX: u32 = 50;
/// A line of an agent shows so many characters.
const LINE_CHARS: usize = 200;
/// Beyond so many steps in flight only their number is shown.
const BARS_MAX: usize = 12;

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// A live list on a terminal.
    Live,
    /// A line for each.
    Plain,
    /// A JSON line for each.
    Json,
}

impl View {
    /// Chooses by what the output is.
    pub(crate) fn choose(json: bool) -> View {
        let dumb = config::var("NO_COLOR").is_some() || config::var("TERM").is_some_and(|term| term == "dumb");
        match (json, io::stdout().is_terminal() && !dumb) {
            (true, _) => View::Json,
            (false, true) => View::Live,
            (false, false) => View::Plain,
        }
    }
}

/// Follows a run until it is over.
pub(crate) async fn follow(client: &Client, run_id: &str, view: View) -> Result<()> {
    let mut screen = Screen::new(view);
    let (mut cursor, mut lost) = (0, 0);
    loop {
        let mut events = client.events(cursor, Some(run_id)).await?;
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                // The daemon may be restarted under us; the cursor finds the place again.
                Err(ClientError::Unreachable { .. }) => break,
                Err(error) => return Err(error.into()),
            };
            (cursor, lost) = (event.seq, 0);
            screen.show(&event)?;
            if is_end(&event) {
                return Ok(());
            }
        }
        lost += 1;
        if lost > RECONNECTS_MAX {
            anyhow::bail!("the daemon closed the stream of {run_id} again and again");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is_end(event: &EventView) -> bool {
    event.kind == "run_status_changed" && ["done", "failed", "cancelled", "incomplete"].contains(&text(&event.payload, "/to"))
}

struct Screen {
    view: View,
    bars: MultiProgress,
    /// Steps in flight: when they began, who does them, and their line on a terminal.
    steps: HashMap<u64, Step>,
    began: Instant,
}

struct Step {
    path: String,
    agent: String,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Screen {
    fn new(view: View) -> Self {
        Screen { view, bars: MultiProgress::new(), steps: HashMap::new(), began: Instant::now() }
    }

    fn show(&mut self, event: &EventView) -> Result<()> {
        if self.view == View::Json {
            return self.line(&serde_json::to_string(event)?);
        }
        let payload = &event.payload;
        match event.kind.as_str() {
            "run_created" => self.line(&format!("run {} of blueprint {}", event.subject, text(payload, "/blueprint_id"))),
            "workspace_ready" => self.line(&format!("workspace {}", text(payload, "/path"))),
            "run_advanced" => self.advanced(payload),
            "agent_progress" => self.agent(payload),
            "tool_judged" => self.judged(payload),
            "run_adopted" => self.line("the daemon was restarted and goes on with the run"),
            "run_status_changed" => self.status(payload),
            _ => Ok(()),
        }
    }

    fn advanced(&mut self, payload: &Value) -> Result<()> {
        for input in array(payload, "/inputs").iter().filter(|input| text(input, "/type") == "settled") {
            let Some(step) = self.steps.remove(&number(input, "/turn")) else { continue };
            if let Some(bar) = &step.bar {
                bar.finish_and_clear();
            }
            let mark = if text(input, "/status") == "succeeded" { "ok  " } else { "FAIL" };
            let took = step.began.elapsed().as_millis();
            self.line(&format!("{mark} {} {} ({took} ms)", step.path, step.agent))?;
        }
        for started in array(payload, "/started") {
            let (path, agent) = (text(started, "/path").to_owned(), text(started, "/ref").to_owned());
            let bar = self.bar(&path, &agent);
            let step = Step { path, agent, began: Instant::now(), bar };
            if self.view == View::Plain {
                self.line(&format!("...  {} {}", step.path, step.agent))?;
            }
            self.steps.insert(number(started, "/turn"), step);
        }
        Ok(())
    }

    fn bar(&self, path: &str, agent: &str) -> Option<ProgressBar> {
        if self.view != View::Live || self.steps.len() >= BARS_MAX {
            return None;
        }
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is valid");
        let bar = self.bars.add(ProgressBar::new_spinner().with_style(style).with_message(format!("{path} {agent}")));
        bar.enable_steady_tick(Duration::from_millis(120));
        Some(bar)
    }

    fn agent(&mut self, payload: &Value) -> Result<()> {
        let words = shortened(&visible(text(payload, "/text")));
        self.line(&format!("       {:<8} {words}", text(payload, "/what")))
    }

    fn judged(&mut self, payload: &Value) -> Result<()> {
        let tool = text(payload, "/tool");
        if payload.pointer("/judgement/allowed") == Some(&Value::Bool(true)) {
            return Ok(());
        }
        let reason = shortened(&visible(text(payload, "/judgement/reason")));
        let line = format!("DENIED {tool}: {reason}");
        self.line(&if self.view == View::Live { format!("\x1b[31m{line}\x1b[0m") } else { line })
    }

    fn status(&mut self, payload: &Value) -> Result<()> {
        let to = text(payload, "/to");
        if ["running", "waiting"].contains(&to) {
            return Ok(());
        }
        for step in self.steps.drain() {
            if let Some(bar) = step.1.bar {
                bar.finish_and_clear();
            }
        }
        let why = match (payload.pointer("/error/message"), payload.pointer("/reason")) {
            (Some(Value::String(message)), _) => format!(": {}", visible(message)),
            (_, Some(Value::String(reason))) => format!(": {}", visible(reason)),
            _ => String::new(),
        };
        self.line(&format!("run {to} after {} ms{why}", self.began.elapsed().as_millis()))
    }

    fn line(&self, line: &str) -> Result<()> {
        if self.view == View::Live {
            self.bars.suspend(|| writeln!(io::stdout().lock(), "{line}"))?;
        } else {
            writeln!(io::stdout().lock(), "{line}")?;
        }
        Ok(())
    }
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

fn array<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LINE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Makes control characters visible, so that no text can drive a terminal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { shown(c) }).collect()
}

/// As [`visible`], but lines and tabs stay.
pub(crate) fn visible_lines(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { c } else { shown(c) }).collect()
}

fn shown(c: char) -> char {
    match c {
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('�'),
        '\u{7f}' => '␡',
        // C1 controls, and the marks that turn the direction of text.
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '�',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_reaches_the_terminal() {
        assert_eq!(visible("a\x1b[31mb\r\n\tc\u{9b}d\u{202e}"), "a␛[31mb␍  c�d�");
        assert_eq!(visible_lines("a\n\tb\x07"), "a\n\tb␇");
    }
}
