//! Tables for people: columns that are as wide as they need to be, and fewer of them where there is no room.
//!
//! Pure: what stands in a cell is made fit for a terminal here, whoever wrote it.

use crate::progress::View;
use crate::progress::width::{cell, cut, width};
use rustix::termios::tcgetwinsize;
use std::io;

/// What stands between two columns.
const GAP: &str = "  ";
/// So many columns stay, however little room there is.
const KEPT: usize = 2;

/// How something is meant, where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// What is worth less attention.
    Quiet,
    Good,
    /// What waits for somebody.
    Waits,
    Bad,
}

/// What it is shown on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paper {
    /// How many columns there are; as many as are needed when nothing is said.
    pub(super) columns: Option<usize>,
    /// Whether it shows colours.
    pub(super) is_coloured: bool,
}

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its title.
    pub(super) title: &'static str,
    /// It may be cut to so many columns of the terminal; not at all when nothing is said.
    pub(super) width_min: Option<usize>,
    /// It is left out before those with a higher rank where there is no room.
    pub(super) rank: u8,
}

/// A cell's text and how it is meant.
pub(super) type Cell = (String, Tone);

impl Paper {
    /// Looks at standard output: a terminal has a width and, unless that is not wanted, colours.
    pub(super) fn of_stdout() -> Paper {
        let columns = tcgetwinsize(io::stdout()).ok().map(|size| usize::from(size.ws_col));
        Paper {
            columns: columns.filter(|columns| *columns > 0),
            is_coloured: View::choose(false) == View::Live,
        }
    }

    /// Gives a text in its colour.
    pub(super) fn painted(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => return text.to_owned(),
            Tone::Quiet => 2,
            Tone::Good => 32,
            Tone::Waits => 33,
            Tone::Bad => 31,
        };
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Gives a line that is not wider than there is room.
    pub(super) fn line(self, text: &str) -> String {
        self.columns.map_or_else(|| cell(text), |columns| cut(text, columns))
    }
}

/// Lays rows out below the titles of their columns. Columns in which nothing stands are left out.
pub(super) fn lines(columns: &[Column], rows: &[Vec<Cell>], paper: Paper) -> Vec<String> {
    let rows: Vec<Vec<Cell>> =
        rows.iter().map(|row| row.iter().map(|(text, tone)| (cell(text), *tone)).collect()).collect();
    let mut shown: Vec<usize> =
        (0..columns.len()).filter(|at| rows.iter().any(|row| !row[*at].0.is_empty())).collect();
    let needed = |at: usize| {
        let widest = rows.iter().map(|row| width(&row[at].0)).max().unwrap_or(0);
        widest.max(width(columns[at].title))
    };
    let least = |at: usize| columns[at].width_min.map_or(needed(at), |min| min.min(needed(at)));
    let mut widths: Vec<usize> = (0..columns.len()).map(needed).collect();
    if let Some(room) = paper.columns {
        while total(&shown, least) > room && shown.len() > KEPT {
            let Some(first) = shown.iter().copied().min_by_key(|at| columns[*at].rank) else { break };
            shown.retain(|at| *at != first);
        }
        // Where even that is too much the last one gives way to the first, by which a row is known.
        shrink(&mut widths, &shown, (room, least));
        let last = shown.last().copied();
        shrink(&mut widths, &shown, (room, |at| if Some(at) == last { 1 } else { least(at) }));
        if total(&shown, |at| widths[at]) > room {
            shown.truncate(1);
        }
    }
    let titles = columns.iter().map(|column| (column.title.to_owned(), Tone::Quiet)).collect();
    std::iter::once(titles).chain(rows).map(|row| line(&row, &shown, &widths, paper)).collect()
}

/// Takes what is too much from those that may be cut, the one that has most to spare first.
fn shrink(widths: &mut [usize], shown: &[usize], (room, least): (usize, impl Fn(usize) -> usize)) {
    while total(shown, |at| widths[at]) > room {
        let spare = |at: &usize| widths[*at].saturating_sub(least(*at));
        let Some(widest) = shown.iter().copied().max_by_key(spare).filter(|at| spare(at) > 0) else { return };
        widths[widest] -= 1;
    }
}

fn total(shown: &[usize], width_of: impl Fn(usize) -> usize) -> usize {
    shown.iter().map(|at| width_of(*at)).sum::<usize>() + GAP.len() * shown.len().saturating_sub(1)
}

fn line(row: &[Cell], shown: &[usize], widths: &[usize], paper: Paper) -> String {
    let mut line = String::new();
    let mut owed = 0;
    for (place, at) in shown.iter().enumerate() {
        let (text, tone) = &row[*at];
        let room = paper.columns.map_or(usize::MAX, |columns| columns.min(widths[*at]));
        let text = cut(text, room);
        if place > 0 {
            owed += GAP.len();
        }
        if !text.is_empty() {
            line.push_str(&" ".repeat(owed));
            line.push_str(&paper.painted(&text, *tone));
            owed = 0;
        }
        owed += widths[*at].saturating_sub(width(&text));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "NAME", width_min: None, rank: 9 },
        Column { title: "DOES", width_min: Some(8), rank: 8 },
        Column { title: "SINCE", width_min: None, rank: 5 },
        Column { title: "BRANCH", width_min: Some(6), rank: 1 },
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |cells: [&str; 4]| cells.map(|text| (text.to_owned(), Tone::Plain)).to_vec();
        vec![
            row(["api", "waits: may it run `cargo test`?", "3 min", "adjutant/api"]),
            row(["漢字", "works", "2 h", "adjutant/漢字-漢字"]),
        ]
    }

    fn shown(columns: Option<usize>) -> Vec<String> {
        lines(&COLUMNS, &rows(), Paper { columns, is_coloured: false })
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        assert_eq!(
            shown(None),
            [
                "NAME  DOES                             SINCE  BRANCH",
                "api   waits: may it run `cargo test`?  3 min  adjutant/api",
                "漢字  works                            2 h    adjutant/漢字-漢字",
            ]
        );
    }

    #[test]
    fn where_there_is_no_room_texts_are_cut_and_then_columns_are_left_out() {
        assert_eq!(
            shown(Some(50)),
            [
                "NAME  DOES                 SINCE  BRANCH",
                "api   waits: may it run…   3 min  adjutant/api",
                "漢字  works                2 h    adjutant/漢字-…",
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn no_width_makes_a_line_that_is_wider() {
        for columns in 1..80 {
            for line in shown(Some(columns)) {
                assert!(width(&line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn what_a_stranger_writes_stays_in_its_cell() {
        let hostile = [
            "a\nb".to_owned(),
            "\x1b[2J\x1b[H\x1b]0;x\x07".to_owned(),
            "\u{202e}gnorw".to_owned(),
            format!("z{}", "\u{301}".repeat(1000)),
        ];
        let row: Vec<Cell> = hostile.into_iter().map(|text| (text, Tone::Plain)).collect();
        let lines = lines(&COLUMNS, &[row], Paper { columns: None, is_coloured: false });
        assert_eq!(lines[1], "a b   ␛[2J␛[H␛]0;x␇  �gnorw  z");
    }

    #[test]
    fn colours_take_no_room() {
        let rows = [vec![("api".to_owned(), Tone::Good), ("works".to_owned(), Tone::Plain)]];
        let lines = lines(&COLUMNS[..2], &rows, Paper { columns: Some(40), is_coloured: true });
        assert_eq!(lines, ["\x1b[2mNAME\x1b[0m  \x1b[2mDOES\x1b[0m", "\x1b[32mapi\x1b[0m   works"]);
    }
}
