//! Draining what a program writes, and keeping a bounded part of it.
//!
//! A drain reads until the end of its pipe, whatever happens to what it reads, so the program never waits for room.
//! Kept are the last bytes; lines go out as they happen and are dropped when the receiver has no room.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::task::AbortOnDropHandle;

/// How long a line can be that is sent as it happens; the rest of a longer one is left out.
pub const LINE_BYTES_MAX: usize = 1 << 20;

const CHUNK_BYTES: usize = 64 << 10;

/// What a drain has gathered.
#[derive(Debug, Default)]
pub(super) struct Drained {
    /// The last bytes.
    pub(super) tail: Vec<u8>,
    /// Whether there were more.
    pub(super) truncated: bool,
    /// How many lines found no room.
    pub(super) lines_dropped: u64,
}

/// A pipe that is being drained by a task of its own.
pub(super) struct Drain {
    sink: Arc<Mutex<Sink>>,
    task: AbortOnDropHandle<io::Result<()>>,
}

impl Drain {
    /// Begins to drain.
    pub(super) fn start<R>(pipe: R, tail_bytes_max: usize, lines: Option<mpsc::Sender<String>>) -> Drain
    where
        R: AsyncRead + Unpin + Send + 'static,
    {
        let sink = Arc::new(Mutex::new(Sink::new(tail_bytes_max, lines)));
        let task = tokio::spawn(drain(pipe, Arc::clone(&sink)));
        Drain { sink, task: AbortOnDropHandle::new(task) }
    }

    /// Waits for the end of the pipe, and tells whether it came in time.
    pub(super) async fn ended_within(&mut self, limit: Duration) -> bool {
        self.task.is_finished() || tokio::time::timeout(limit, &mut self.task).await.is_ok()
    }

    /// Stops and gives what was gathered.
    pub(super) fn finish(self) -> Drained {
        drop(self.task);
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        sink.finish()
    }
}

async fn drain<R: AsyncRead + Unpin>(mut pipe: R, sink: Arc<Mutex<Sink>>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let len = pipe.read(&mut chunk).await?;
        if len == 0 {
            return Ok(());
        }
        sink.lock().unwrap_or_else(PoisonError::into_inner).take(&chunk[..len]);
    }
}

#[derive(Debug)]
struct Sink {
    kept: Vec<u8>,
    kept_bytes_max: usize,
    truncated: bool,
    lines: Option<mpsc::Sender<String>>,
    line: Vec<u8>,
    lines_dropped: u64,
}

impl Sink {
    fn new(kept_bytes_max: usize, lines: Option<mpsc::Sender<String>>) -> Sink {
        Sink { kept: Vec::new(), kept_bytes_max, truncated: false, lines, line: Vec::new(), lines_dropped: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // Trimming only at twice the limit moves each byte at most once on average.
        if self.kept.len() > self.kept_bytes_max.saturating_mul(2) {
            self.trim();
        }
        if self.lines.is_some() {
            self.take_lines(bytes);
        }
    }

    fn take_lines(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            let room = LINE_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < piece.len() {
                self.send_line();
            }
        }
    }

    fn send_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let Some(lines) = &self.lines else { return };
        match lines.try_send(String::from_utf8_lossy(line).into_owned()) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.lines_dropped += 1,
            Err(TrySendError::Closed(_)) => self.lines = None,
        }
    }

    fn trim(&mut self) {
        if self.kept.len() > self.kept_bytes_max {
            self.truncated = true;
            self.kept.drain(..self.kept.len() - self.kept_bytes_max);
        }
    }

    fn finish(&mut self) -> Drained {
        if !self.line.is_empty() {
            self.send_line();
        }
        self.lines = None;
        self.trim();
        Drained {
            tail: std::mem::take(&mut self.kept),
            truncated: self.truncated,
            lines_dropped: self.lines_dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(chunks: &[&[u8]], room: usize) -> (Vec<String>, Drained) {
        let (sender, mut receiver) = mpsc::channel(room);
        let mut sink = Sink::new(16, Some(sender));
        for chunk in chunks {
            sink.take(chunk);
        }
        let drained = sink.finish();
        let mut lines = Vec::new();
        while let Ok(line) = receiver.try_recv() {
            lines.push(line);
        }
        (lines, drained)
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        let table: [(&[&[u8]], &[&str]); 6] = [
            (&[b"one\ntwo\n"], &["one", "two"]),
            (&[b"on", b"e\nt", b"wo"], &["one", "two"]),
            (&[b"\n\n"], &["", ""]),
            (&[b"dos\r\nunix\n"], &["dos", "unix"]),
            (&[b"\xff!\n"], &["\u{fffd}!"]),
            (&[], &[]),
        ];
        for (chunks, expected) in table {
            assert_eq!(lines_of(chunks, 8).0, expected, "{chunks:?}");
        }
    }

    #[test]
    fn a_full_receiver_costs_lines_and_not_the_kept_bytes() {
        let (lines, drained) = lines_of(&[b"1\n2\n3\n4\n"], 2);
        assert_eq!(lines, ["1", "2"]);
        assert_eq!(drained.lines_dropped, 2);
        assert_eq!(drained.tail, b"1\n2\n3\n4\n");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let chunk = vec![b'x'; LINE_BYTES_MAX];
        let (lines, _) = lines_of(&[&chunk, &chunk, b"\nnext\n"], 8);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LINE_BYTES_MAX, 4]);
    }

    #[test]
    fn the_tail_is_kept_and_the_rest_is_said_to_be_missing() {
        let (_, short) = lines_of(&[b"0123456789abcdef"], 1);
        assert_eq!((short.tail.as_slice(), short.truncated), (b"0123456789abcdef".as_slice(), false));
        let (_, long) = lines_of(&[b"0123456789abcdef", b"ghijklmnopqrstuvw", b"x"], 1);
        assert_eq!((long.tail.as_slice(), long.truncated), (b"ijklmnopqrstuvwx".as_slice(), true));
    }
}
