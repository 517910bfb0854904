//! What a terminal sends, as keys: text, pastes, and the few keys that mean something.
//!
//! Bytes may arrive cut anywhere. A paste between its brackets is one key, whatever is in it; there is no guessing by
//! time, so Enter after fast text is Enter. Only an escape alone needs a clock, which is the caller's.

/// A paste may be so long; the rest of a longer one is dropped.
const PASTE_BYTES_MAX: usize = 4 << 20;

const PASTE_BEGINS: &[u8] = b"[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// A key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// A character.
    Char(char),
    /// A text that came between brackets.
    Paste(String),
    /// Enter.
    Enter,
    /// Backspace.
    Backspace,
    /// Ctrl-U.
    Clear,
    /// Ctrl-C.
    Interrupt,
    /// Esc.
    Escape,
    /// Ctrl-D.
    End,
}

/// What a line feed means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFeed {
    /// Enter: lines come through a pipe.
    Submits,
    /// Another line of the same text, as in a terminal, where Enter is a carriage return.
    Continues,
}

/// Bytes on their way to keys.
#[derive(Debug)]
pub(super) struct Keys {
    line_feed: LineFeed,
    held: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Escape,
    Sequence,
    Paste,
}

impl Keys {
    /// Makes a reader that has seen nothing.
    pub(super) fn new(line_feed: LineFeed) -> Self {
        Keys { line_feed, held: Vec::new(), state: State::Plain }
    }

    /// Takes bytes and gives the keys that they complete.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Vec::new();
        for byte in bytes {
            match self.state {
                State::Plain => self.plain(*byte, &mut keys),
                State::Escape => self.after_escape(*byte, &mut keys),
                State::Sequence => self.sequence(*byte),
                State::Paste => self.paste(*byte, &mut keys),
            }
        }
        keys
    }

    /// Tells whether an escape waits to be known as a key or as the beginning of a sequence.
    pub(super) fn is_undecided(&self) -> bool {
        self.state == State::Escape
    }

    /// Decides that the escape was a key.
    pub(super) fn decide(&mut self) -> Option<Key> {
        if !self.is_undecided() {
            return None;
        }
        self.state = State::Plain;
        Some(Key::Escape)
    }

    fn plain(&mut self, byte: u8, keys: &mut Vec<Key>) {
        if !self.held.is_empty() || byte >= 0x80 {
            return self.character(byte, keys);
        }
        match byte {
            0x1b => self.state = State::Escape,
            b'\r' => keys.push(Key::Enter),
            b'\n' => keys.push(match self.line_feed {
                LineFeed::Submits => Key::Enter,
                LineFeed::Continues => Key::Char('\n'),
            }),
            0x03 => keys.push(Key::Interrupt),
            0x04 => keys.push(Key::End),
            0x15 => keys.push(Key::Clear),
            0x08 | 0x7f => keys.push(Key::Backspace),
            b'\t' | b' '..=b'~' => keys.push(Key::Char(char::from(byte))),
            _ => {}
        }
    }

    /// Collects the bytes of a character beyond ASCII.
    fn character(&mut self, byte: u8, keys: &mut Vec<Key>) {
        self.held.push(byte);
        match std::str::from_utf8(&self.held) {
            Ok(text) => keys.extend(text.chars().map(Key::Char)),
            Err(error) if error.error_len().is_none() => return,
            Err(_) => keys.push(Key::Char(char::REPLACEMENT_CHARACTER)),
        }
        self.held.clear();
    }

    fn after_escape(&mut self, byte: u8, keys: &mut Vec<Key>) {
        match byte {
            b'[' | b'O' => {
                self.held.push(byte);
                self.state = State::Sequence;
            }
            0x1b => keys.push(Key::Escape),
            // Alt and Enter is another line, as it is in the agents' own interfaces.
            b'\r' | b'\n' => {
                self.state = State::Plain;
                keys.push(Key::Char('\n'));
            }
            _ => {
                self.state = State::Plain;
                keys.push(Key::Escape);
                self.plain(byte, keys);
            }
        }
    }

    fn sequence(&mut self, byte: u8) {
        self.held.push(byte);
        if (0x40..=0x7e).contains(&byte) || self.held.len() > 32 {
            self.state = if self.held == PASTE_BEGINS { State::Paste } else { State::Plain };
            self.held.clear();
        }
    }

    fn paste(&mut self, byte: u8, keys: &mut Vec<Key>) {
        if self.held.len() >= PASTE_BYTES_MAX + PASTE_ENDS.len() {
            self.held.remove(PASTE_BYTES_MAX);
        }
        self.held.push(byte);
        if let Some(pasted) = self.held.strip_suffix(PASTE_ENDS) {
            let text = String::from_utf8_lossy(pasted).replace("\r\n", "\n").replace('\r', "\n");
            keys.push(Key::Paste(text));
            self.held.clear();
            self.state = State::Plain;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line_feed: LineFeed, bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::new(line_feed);
        keys.feed(bytes)
    }

    fn chars(text: &str) -> Vec<Key> {
        text.chars().map(Key::Char).collect()
    }

    #[test]
    fn bytes_become_keys_however_they_are_cut() {
        let enter = |text: &str| [chars(text), vec![Key::Enter]].concat();
        let paste = |text: &str| vec![Key::Paste(text.to_owned()), Key::Enter];
        for (bytes, expected) in [
            (&b"hi\r"[..], enter("hi")),
            ("grüße 🎉\r".as_bytes(), enter("grüße 🎉")),
            (b"\x1b[200~a\rb\r\nc\x1b[201~\r", paste("a\nb\nc")),
            (b"\x1b[200~\x1b[A\x03\x1b[201~\r", paste("\u{1b}[A\u{3}")),
            (b"\x1b[A\x1bOB\x1b[1;5Cx\r", enter("x")),
            (b"a\nb\r", enter("a\nb")),
            (b"a\x1b\rb\r", enter("a\nb")),
            (b"\x1b\x1bx", [vec![Key::Escape, Key::Escape], chars("x")].concat()),
            (
                b"\x03\x04\x15\x7f\x08\x00",
                vec![Key::Interrupt, Key::End, Key::Clear, Key::Backspace, Key::Backspace],
            ),
            (b"\xffa\r", enter("\u{fffd}a")),
        ] {
            assert_eq!(typed(LineFeed::Continues, bytes), expected, "{bytes:?}");
            let mut keys = Keys::new(LineFeed::Continues);
            let one_by_one: Vec<Key> = bytes.iter().flat_map(|byte| keys.feed(&[*byte])).collect();
            assert_eq!(one_by_one, expected, "{bytes:?}");
        }
        assert_eq!(typed(LineFeed::Submits, b"a\nb\n"), [enter("a"), enter("b")].concat());
    }

    #[test]
    fn an_escape_alone_is_decided_by_whoever_has_the_clock() {
        let mut keys = Keys::new(LineFeed::Continues);
        assert_eq!((keys.feed(b"\x1b"), keys.is_undecided()), (vec![], true));
        assert_eq!((keys.decide(), keys.is_undecided(), keys.decide()), (Some(Key::Escape), false, None));
        assert_eq!(keys.feed(b"x"), chars("x"));
    }
}
