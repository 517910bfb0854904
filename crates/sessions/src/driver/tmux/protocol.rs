//! The lines of tmux' control mode, and the words that go back. Pure.
//!
//! A line is a notification, or it begins or ends the reply to a command. Replies hold only what was asked for, in
//! formats of ours; what agents show comes escaped, in `%output`.

/// A pane's number, as in `%5`.
pub(super) type PaneNumber = u32;

/// A window's number, as in `@5`.
pub(super) type WindowNumber = u32;

/// A line that tmux wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A reply begins, to a command of this client when it is `ours`.
    Begin { number: u64, ours: bool },
    /// The reply has ended well.
    End { number: u64 },
    /// The reply has ended, and was what went wrong.
    Error { number: u64 },
    /// A pane's program wrote something.
    Output { pane: PaneNumber, bytes: Vec<u8> },
    /// A pane is not heard until it is continued.
    Paused { pane: PaneNumber },
    /// A window got another name.
    Renamed { window: WindowNumber, name: String },
    /// A window is gone.
    Closed,
    /// tmux lets this client go.
    Exit,
    /// Anything else, such as a line within a reply.
    Text(Vec<u8>),
}

/// Reads a line, without its end.
pub(super) fn line(bytes: &[u8]) -> Line {
    notification(bytes).unwrap_or_else(|| Line::Text(bytes.to_vec()))
}

fn notification(bytes: &[u8]) -> Option<Line> {
    let (word, rest) = split(bytes.strip_prefix(b"%")?);
    match word {
        b"output" => {
            let (pane, text) = split(rest);
            Some(Line::Output { pane: numbered(pane, b'%')?, bytes: unescaped(text) })
        }
        b"extended-output" => {
            let (pane, rest) = split(rest);
            let at = rest.windows(3).position(|part| part == b" : ")?;
            Some(Line::Output { pane: numbered(pane, b'%')?, bytes: unescaped(&rest[at + 3..]) })
        }
        b"begin" => bracket(rest).map(|(number, flags)| Line::Begin { number, ours: flags & 1 == 1 }),
        b"end" => bracket(rest).map(|(number, _)| Line::End { number }),
        b"error" => bracket(rest).map(|(number, _)| Line::Error { number }),
        b"pause" => Some(Line::Paused { pane: numbered(rest, b'%')? }),
        b"window-renamed" | b"unlinked-window-renamed" => {
            let (window, name) = split(rest);
            let name = String::from_utf8_lossy(name).into_owned();
            Some(Line::Renamed { window: numbered(window, b'@')?, name })
        }
        b"window-close" | b"unlinked-window-close" => Some(Line::Closed),
        b"exit" => Some(Line::Exit),
        _ => None,
    }
}

/// Reads `TIME NUMBER FLAGS`.
fn bracket(rest: &[u8]) -> Option<(u64, u64)> {
    let mut words = std::str::from_utf8(rest).ok()?.split(' ');
    let number = words.nth(1)?.parse().ok()?;
    Some((number, words.next()?.parse().ok()?))
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b' ') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, b""),
    }
}

fn numbered(word: &[u8], sign: u8) -> Option<u32> {
    std::str::from_utf8(word.strip_prefix(&[sign])?).ok()?.parse().ok()
}

/// Takes back what tmux did to control characters and backslashes: three octal digits behind a backslash.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        rest = match octal(&rest[at + 1..]) {
            Some(byte) => {
                out.push(byte);
                &rest[at + 4..]
            }
            None => {
                out.push(b'\\');
                &rest[at + 1..]
            }
        };
    }
    out.extend_from_slice(rest);
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    digits.get(..3)?.iter().try_fold(0_u8, |byte, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        byte.checked_mul(8)?.checked_add(digit)
    })
}

/// Makes one word of a command line of what a word is to be, whatever it holds; `None` when no line can hold it.
pub(super) fn quoted(word: &str) -> Option<String> {
    if word.contains(|c: char| c.is_control()) {
        return None;
    }
    Some(format!("'{}'", word.replace('\'', r"'\''")))
}

/// Keeps a path from being read as a format, for commands that expand their arguments.
pub(super) fn unformatted(path: &str) -> String {
    path.replace('#', "##")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_control_mode_are_read() {
        let output = |pane, bytes: &[u8]| Line::Output { pane, bytes: bytes.to_vec() };
        let text = |text: &[u8]| Line::Text(text.to_vec());
        let table: Vec<(&[u8], Line)> = vec![
            (b"%begin 1795962822 276 1", Line::Begin { number: 276, ours: true }),
            (b"%begin 1795962822 276 0", Line::Begin { number: 276, ours: false }),
            (b"%end 1795962822 276 1", Line::End { number: 276 }),
            (b"%error 1795962822 276 1", Line::Error { number: 276 }),
            (br"%output %1 hi\015\012", output(1, b"hi\r\n")),
            (br"%output %1  two\134040 \377 \9 \", output(1, b" two\\040 \xff \\9 \\")),
            (b"%output %1 \xff\xc3\xbc", output(1, b"\xff\xc3\xbc")),
            (br"%extended-output %7 0 : a : b\033[m", output(7, b"a : b\x1b[m")),
            (b"%output %x nothing", text(b"%output %x nothing")),
            (b"%pause %3", Line::Paused { pane: 3 }),
            (b"%window-renamed @4 a.ended", Line::Renamed { window: 4, name: "a.ended".to_owned() }),
            (b"%window-close @4", Line::Closed),
            (b"%unlinked-window-close @4", Line::Closed),
            (b"%exit", Line::Exit),
            (b"%exit lost server", Line::Exit),
            (b"T %1 @1 99", text(b"T %1 @1 99")),
            (b"%begin", text(b"%begin")),
            (b"%end x", text(b"%end x")),
            (b"%", text(b"%")),
            (b"", text(b"")),
        ];
        for (bytes, expected) in table {
            assert_eq!(line(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn no_line_makes_it_panic() {
        for len in 0..40 {
            for seed in 0..200_u32 {
                let alphabet = br"%\0127 @:outpend";
                let pick = |at: u32| {
                    alphabet[(seed.wrapping_mul(2_654_435_761).wrapping_add(at * 40_503) >> 7) as usize
                        % alphabet.len()]
                };
                let bytes: Vec<u8> = (0..len).map(pick).collect();
                line(&bytes);
                line(&[b"%output %1 ", bytes.as_slice()].concat());
            }
        }
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(
            quoted("it's #{x} \"$HOME\" ; kill-server").unwrap(),
            r#"'it'\''s #{x} "$HOME" ; kill-server'"#
        );
        assert_eq!(quoted("a\nkill-server"), None);
        assert_eq!(unformatted("/a#(touch x)"), "/a##(touch x)");
    }
}
