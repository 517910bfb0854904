//! Reading a program's standard output line by line, whatever it writes.
//!
//! A line that is longer than [`LINE_BYTES_MAX`] is read to its end and left out; bytes that are no UTF-8 are replaced;
//! what stands behind the last line end is a line, too.

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// How long a line of a protocol can be, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 8 << 20;

/// A line that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// Its text, without the line end.
    Text(String),
    /// It was too long and is left out.
    TooLong {
        /// How long it was, in bytes.
        bytes: u64,
    },
}

/// The lines of a stream.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    bytes: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Begins to read.
    pub(super) fn new(reader: R) -> Self {
        Lines { reader: BufReader::with_capacity(64 << 10, reader), line: Vec::new(), bytes: 0 }
    }

    /// Gives the next line; `None` at the end, which a broken pipe is as well. Cancel-safe: what was read of a line
    /// stays.
    pub(super) async fn next(&mut self) -> Option<Line> {
        loop {
            let chunk = self.reader.fill_buf().await.unwrap_or_default();
            if chunk.is_empty() {
                return (self.bytes > 0).then(|| self.take());
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let text = &chunk[..end.unwrap_or(chunk.len())];
            self.bytes += text.len() as u64;
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            let read = text.len() + usize::from(end.is_some());
            self.reader.consume(read);
            if end.is_some() {
                return Some(self.take());
            }
        }
    }

    /// Gives the stream back, of which nothing was read yet.
    pub(super) fn into_inner(self) -> R {
        self.reader.into_inner()
    }

    fn take(&mut self) -> Line {
        let (line, bytes) = (std::mem::take(&mut self.line), std::mem::take(&mut self.bytes));
        if bytes > line.len() as u64 {
            return Line::TooLong { bytes };
        }
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        Line::Text(String::from_utf8_lossy(line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines_of(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(bytes);
        let mut read = Vec::new();
        while let Some(line) = lines.next().await {
            read.push(line);
        }
        read
    }

    #[tokio::test]
    async fn whatever_is_written_is_read_as_lines() {
        let text = |text: &str| Line::Text(text.to_owned());
        let rows: [(&[u8], Vec<Line>); 5] = [
            (b"", vec![]),
            (b"one\ntwo\r\n", vec![text("one"), text("two")]),
            (b"\n\nhalf", vec![text(""), text(""), text("half")]),
            (b"\xff\xfe!\n", vec![text("\u{fffd}\u{fffd}!")]),
            (b"a\0b\n", vec![text("a\0b")]),
        ];
        for (bytes, expected) in rows {
            assert_eq!(lines_of(bytes).await, expected, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn a_line_without_measure_is_left_out_and_the_next_one_is_read() {
        let mut bytes = vec![b'x'; 3 * LINE_BYTES_MAX];
        bytes.extend_from_slice(b"\nnext\n");
        let found = lines_of(&bytes).await;
        assert_eq!(found, [Line::TooLong { bytes: bytes.len() as u64 - 6 }, Line::Text("next".to_owned())]);
    }
}
