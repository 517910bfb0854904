//! The screen behind a terminal that the daemon holds, and its answers to what programs ask a terminal.

use crate::driver::Screen;
use crate::screen::plain;
use alacritty_terminal::event::{Event, EventListener, WindowSize};
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line, Point};
use alacritty_terminal::term::{Config, Term, TermMode};
use alacritty_terminal::vte::ansi::{Processor, Rgb};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// How many lines of a terminal's past are kept in memory.
const HISTORY_LINES_MAX: usize = 2_000;

/// A terminal's size, as its emulator wants it.
#[derive(Debug, Clone, Copy)]
struct Size {
    columns: u16,
    rows: u16,
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.rows)
    }

    fn columns(&self) -> usize {
        usize::from(self.columns)
    }
}

/// Gives the answers to a program's questions to who writes to it.
#[derive(Debug)]
struct Answers {
    writes: mpsc::Sender<Vec<u8>>,
    size: Arc<Mutex<Size>>,
}

impl EventListener for Answers {
    fn send_event(&self, event: Event) {
        let text = match event {
            Event::PtyWrite(text) => text,
            Event::ColorRequest(index, format) => format(color(index)),
            Event::TextAreaSizeRequest(format) => {
                let size = *self.size.lock().unwrap_or_else(PoisonError::into_inner);
                format(WindowSize {
                    num_lines: size.rows,
                    num_cols: size.columns,
                    cell_width: 8,
                    cell_height: 16,
                })
            }
            // There is no clipboard, and nobody looks at titles, bells and the cursor's shape.
            Event::ClipboardStore(..)
            | Event::ClipboardLoad(..)
            | Event::MouseCursorDirty
            | Event::Title(_)
            | Event::ResetTitle
            | Event::CursorBlinkingChange
            | Event::Wakeup
            | Event::Bell
            | Event::Exit
            | Event::ChildExit(_) => return,
        };
        // Who asks and does not read gets no answers.
        self.writes.try_send(text.into_bytes()).ok();
    }
}

/// A light text on a dark ground, and what else is asked for grey.
fn color(index: usize) -> Rgb {
    let level = match index {
        256 => 0xd8,
        257 => 0x10,
        _ => 0x80,
    };
    Rgb { r: level, g: level, b: level }
}

/// A terminal's screen.
pub(super) struct Emulator {
    term: Term<Answers>,
    parser: Processor,
    size: Arc<Mutex<Size>>,
}

impl Emulator {
    /// Makes an empty screen whose answers go to `writes`.
    pub(super) fn new((columns, rows): (u16, u16), writes: mpsc::Sender<Vec<u8>>) -> Emulator {
        let size = Size { columns, rows };
        let shared = Arc::new(Mutex::new(size));
        let config = Config { scrolling_history: HISTORY_LINES_MAX, ..Config::default() };
        let answers = Answers { writes, size: Arc::clone(&shared) };
        Emulator { term: Term::new(config, &size, answers), parser: Processor::new(), size: shared }
    }

    /// Takes what the program put out.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.parser.advance(&mut self.term, bytes);
    }

    /// Takes another size.
    pub(super) fn resize(&mut self, (columns, rows): (u16, u16)) {
        let size = Size { columns, rows };
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
        self.term.resize(size);
    }

    /// Tells whether the program wants to know what is pasted.
    pub(super) fn wants_brackets(&self) -> bool {
        self.term.mode().contains(TermMode::BRACKETED_PASTE)
    }

    /// Gives the last lines, those that scrolled by included.
    pub(super) fn screen(&mut self, lines_max: usize) -> Screen {
        // A picture that the program did not finish is shown as far as it is.
        if self.parser.sync_bytes_count() > 0 {
            self.parser.stop_sync(&mut self.term);
        }
        let grid = self.term.grid();
        let (first, last) = (grid.topmost_line(), grid.bottommost_line());
        let wanted = i32::try_from(lines_max).unwrap_or(i32::MAX);
        let screen_lines = i32::try_from(grid.screen_lines()).unwrap_or(i32::MAX);
        let first = first.max(Line(last.0.saturating_sub(wanted.saturating_add(screen_lines))));
        let text =
            self.term.bounds_to_string(Point::new(first, Column(0)), Point::new(last, grid.last_column()));
        let text = plain(&text);
        let mut lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.drain(..lines.len().saturating_sub(lines_max));
        let cursor = grid.cursor.point;
        let number = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        Screen {
            lines: lines.into_iter().map(str::to_owned).collect(),
            size: (number(grid.columns()), number(grid.screen_lines())),
            cursor: Some((number(cursor.column.0), u16::try_from(cursor.line.0).unwrap_or(0))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulator() -> (Emulator, mpsc::Receiver<Vec<u8>>) {
        let (writes, written) = mpsc::channel(64);
        (Emulator::new((20, 4), writes), written)
    }

    #[test]
    fn what_agents_interfaces_ask_a_terminal_is_answered() {
        let (mut emulator, mut written) = emulator();
        let mut answer = |question: &[u8]| {
            emulator.take(question);
            written.try_recv().map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default()
        };
        assert_eq!(answer(b"ab\x1b[6n"), "\x1b[1;3R");
        assert!(answer(b"\x1b[c").starts_with("\x1b[?"));
        assert!(answer(b"\x1b[>c").starts_with("\x1b[>"));
        assert!(answer(b"\x1b]10;?\x07").starts_with("\x1b]10;rgb:d8"));
        assert!(answer(b"\x1b]11;?\x07").starts_with("\x1b]11;rgb:10"));
        assert_eq!(answer(b"\x1b[18t"), "\x1b[8;4;20t");
        assert_eq!(answer(b"\x1b]52;c;?\x07"), "", "nothing of a clipboard is told");
    }

    #[test]
    fn the_screen_is_what_a_person_would_see() {
        let (mut emulator, _written) = emulator();
        for at in 0..10 {
            emulator.take(format!("line {at}\r\n").as_bytes());
        }
        emulator.take(b"\xff\xfe \x1b]0;title\x07\x1b[31mred\x1b[0m");
        let screen = emulator.screen(3);
        assert_eq!(screen.lines[..2], ["line 8", "line 9"]);
        assert!(screen.lines[2].ends_with("red"), "{screen:?}");
        assert_eq!(emulator.screen(100).lines.len(), 11);
        emulator.resize((40, 6));
        assert_eq!(emulator.screen(1).size, (40, 6));
    }
}
