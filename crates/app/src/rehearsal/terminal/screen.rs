//! What a person sees: the agent's words and calls line by line, dialogs, and the prompt at the bottom.

use super::desk::Desk;
use crate::rehearsal::stage::{Called, Choice, Shown, Stage};
use rustix::termios::{isatty, tcgetwinsize};
use serde_json::Value;
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use tokio_util::sync::CancellationToken;

/// So many lines of a result are shown.
const RESULT_LINES_MAX: usize = 12;

/// A width to draw in when the terminal has none.
const COLUMNS: usize = 80;

/// Back to the beginning of the line, which is emptied.
const REDRAW: &str = "\r\x1b[K";

/// The agent's side of a terminal.
#[derive(Debug, Clone)]
pub(in crate::rehearsal) struct Screen {
    desk: Rc<RefCell<Desk>>,
    is_terminal: bool,
}

impl Screen {
    /// Makes the screen above a desk.
    pub(super) fn new(desk: Rc<RefCell<Desk>>) -> Screen {
        Screen { desk, is_terminal: isatty(io::stdout()) }
    }

    /// Shows the prompt as far as it is written.
    pub(super) fn draw(&mut self) -> io::Result<()> {
        let desk = self.desk.borrow();
        let Some((sign, text)) = desk.line() else { return Ok(()) };
        if self.is_terminal {
            write(&format!("{REDRAW}{sign}{}", tail(text, columns().saturating_sub(sign.len() + 1))))
        } else {
            write(if text.is_empty() { sign } else { "" })
        }
    }

    /// Shows a prompt that is taken now.
    pub(super) fn submitted(&mut self, prompt: &str) -> io::Result<()> {
        let begin = if self.is_terminal { REDRAW } else { "" };
        write(&format!("{begin}> {}\n", plain(prompt).replace('\n', "\n  ")))
    }

    /// Shows a line.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        write(&format!("{}\n", plain(text)))
    }
}

impl Stage for Screen {
    fn show(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        match *shown {
            Shown::Said(text) => self.line(&format!("● {}", indented(text))),
            Shown::Thought(text) => self.line(&format!("✻ {}", indented(text))),
            Shown::Plan(entries) => entries.iter().try_for_each(|entry| self.line(&format!("  ☐ {entry}"))),
            Shown::Called(call) => self.line(&format!("● {}", summary(call))),
            Shown::Returned(_, content) => self.line(&format!("  ⎿  {}", shortened(content))),
            Shown::Failed(_, content) => self.line(&format!("  ⎿  Error: {}", shortened(content))),
            Shown::Denied(_, why) => self.line(&format!("  ⎿  Denied: {}", shortened(why))),
            Shown::Entered(call) => self.line(&format!("  ┌ {}", summary(call))),
            Shown::Left => self.line("  └"),
            Shown::Notice(text) => self.line(&format!("  · {}", indented(text))),
            Shown::Usage { total, .. } => self.line(&format!(
                "  tokens: {} in, {} out · ${:.4} · context: {}/{}",
                total.input_tokens,
                total.output_tokens,
                total.cost_usd,
                total.context_used,
                total.context_window
            )),
            Shown::Compacted => self.line("  · the context was made shorter"),
            Shown::Quota { message, .. } => self.line(&format!("  ⎿  {message}")),
            Shown::Line(text) | Shown::Raw(text) => write(text),
            Shown::Cut => Ok(()),
        }
    }

    fn is_attended(&self) -> bool {
        true
    }

    async fn permit(&mut self, call: &Called, cancel: &CancellationToken) -> Choice {
        let answer = self.desk.borrow_mut().permit();
        let question =
            format!("╭ Permission\n│ {}\n╰ Allow {}? (y/n)", plain(&summary(call)), plain(&call.name));
        if write(&format!("{question}\n")).is_err() {
            return Choice::Stop;
        }
        let choice = tokio::select! {
            choice = answer => choice.unwrap_or_else(|_| Choice::Deny("nobody can answer any more".to_owned())),
            () = cancel.cancelled() => Choice::Stop,
        };
        self.desk.borrow_mut().close();
        choice
    }

    async fn ask(&mut self, _question: &str, cancel: &CancellationToken) -> Option<String> {
        let answer = self.desk.borrow_mut().ask();
        self.line("  (answer with a line, or Esc)").ok()?;
        self.draw().ok()?;
        let answer = tokio::select! {
            answer = answer => answer.ok().flatten(),
            () = cancel.cancelled() => None,
        };
        self.desk.borrow_mut().close();
        if self.is_terminal {
            write(REDRAW).ok()?;
        }
        answer
    }
}

/// Shows a call in a line: the tool, and the first of its parameters.
fn summary(call: &Called) -> String {
    let first = call.input.as_object().and_then(|fields| fields.values().next());
    match first {
        Some(Value::String(text)) => format!("{}({})", call.name, text.lines().next().unwrap_or("")),
        Some(value) => format!("{}({value})", call.name),
        None => call.name.clone(),
    }
}

fn shortened(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().take(RESULT_LINES_MAX).copied().collect::<Vec<_>>().join("\n     ");
    match lines.len().saturating_sub(RESULT_LINES_MAX) {
        0 => shown,
        more => format!("{shown}\n     … {more} lines more"),
    }
}

fn indented(text: &str) -> String {
    text.replace('\n', "\n  ")
}

/// Takes everything out of a text that would speak to the terminal; a script has the step `escape` for that.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// Gives the end of what is written, as far as it fits in a line.
fn tail(text: &str, columns: usize) -> String {
    let shown: Vec<char> = plain(text).chars().map(|c| if c == '\n' { '↵' } else { c }).collect();
    shown[shown.len().saturating_sub(columns)..].iter().collect()
}

fn columns() -> usize {
    tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col)).ok().filter(|n| *n > 0).unwrap_or(COLUMNS)
}

fn write(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_cannot_speak_to_the_terminal_and_fits() {
        assert_eq!(plain("a\u{1b}[2Jb\r\n\tc\u{9b}"), "a\u{fffd}[2Jb\u{fffd}\n\tc\u{fffd}");
        assert_eq!(tail("one\ntwo", 5), "e↵two");
        assert_eq!(shortened(&"x\n".repeat(14)).lines().last(), Some("     … 2 lines more"));
        for (input, expected) in
            [(json!({"command": "ls\nrm"}), "T(ls)"), (json!({"id": 7}), "T(7)"), (json!({}), "T")]
        {
            let call = Called { id: "1".into(), name: "T".into(), input };
            assert_eq!(summary(&call), expected);
        }
    }
}
