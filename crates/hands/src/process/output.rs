//! Draining an output: every byte is read, a bounded part is kept, lines are passed on as they come.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A line that is passed on is at most so long; the rest of it is dropped.
const LINE_BYTES_MAX: usize = 256 << 10;

/// The kept part of an output: all of it, or its tail.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    bytes_max: usize,
    truncated: bool,
}

impl Kept {
    pub(super) fn new(bytes_max: usize) -> Self {
        Kept { bytes: Vec::new(), bytes_max, truncated: false }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend_from_slice(chunk);
        // Twice the bound may stand for a while, so that each byte is moved once on average.
        if self.bytes.len() > 2 * self.bytes_max {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let over = self.bytes.len().saturating_sub(self.bytes_max);
        if over > 0 {
            self.bytes.drain(..over);
            self.truncated = true;
        }
    }
}

/// Cuts a stream into lines and passes them on.
#[derive(Debug)]
pub(super) struct Lines {
    to: mpsc::Sender<String>,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn new(to: mpsc::Sender<String>) -> Self {
        Lines { to, line: Vec::new() }
    }

    fn push(&mut self, chunk: &[u8]) {
        for byte in chunk {
            if *byte == b'\n' {
                self.pass();
            } else if self.line.len() < LINE_BYTES_MAX {
                self.line.push(*byte);
            }
        }
    }

    fn pass(&mut self) {
        let line = std::mem::take(&mut self.line);
        // Full or closed: the line is dropped, the program is not slowed.
        drop(self.to.try_send(String::from_utf8_lossy(&line).into_owned()));
    }
}

/// An output that is being drained.
#[derive(Debug)]
pub(super) struct Draining {
    kept: Arc<Mutex<Kept>>,
    task: JoinHandle<()>,
}

pub(super) fn drain(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    kept: Kept,
    lines: Option<Lines>,
) -> Draining {
    let kept = Arc::new(Mutex::new(kept));
    let shared = kept.clone();
    let task = tokio::spawn(async move {
        let mut lines = lines;
        let mut chunk = vec![0; 16 << 10];
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            shared.lock().unwrap_or_else(PoisonError::into_inner).push(&chunk[..count]);
            if let Some(lines) = &mut lines {
                lines.push(&chunk[..count]);
            }
        }
        if let Some(lines) = lines.as_mut().filter(|lines| !lines.line.is_empty()) {
            lines.pass();
        }
    });
    Draining { kept, task }
}

impl Draining {
    /// Waits for the end of the output, but not longer than `at_most`, and gives what was kept.
    pub(super) async fn finish(mut self, at_most: Duration) -> (Vec<u8>, bool) {
        if tokio::time::timeout(at_most, &mut self.task).await.is_err() {
            self.task.abort();
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.trim();
        (std::mem::take(&mut kept.bytes), kept.truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_kept_and_the_loss_is_told() {
        let mut kept = Kept::new(4);
        for chunk in ["ab", "cdef", "ghijklm"] {
            kept.push(chunk.as_bytes());
        }
        kept.trim();
        assert_eq!((kept.bytes.as_slice(), kept.truncated), (&b"jklm"[..], true));
        let mut whole = Kept::new(4);
        whole.push(b"abcd");
        whole.trim();
        assert_eq!((whole.bytes.as_slice(), whole.truncated), (&b"abcd"[..], false));
    }
}
