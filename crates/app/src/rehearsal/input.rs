//! Standard input, read by a thread of its own, so that whoever waits for it can wait for other things as well.

use std::io::{self, Read};
use tokio::sync::mpsc;

/// So much is read at once.
const CHUNK_BYTES: usize = 8 << 10;

/// So many chunks may wait.
const CHUNKS_MAX: usize = 64;

/// A line may be so long: 64 MiB.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Gives what standard input brings until it is closed.
///
/// The thread is not waited for: it may sit in a read that nothing ends.
pub(super) fn chunks() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match stdin.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    if sender.blocking_send(chunk[..read].to_vec()).is_err() {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
    receiver
}

/// Standard input line by line.
pub(super) struct Lines {
    chunks: mpsc::Receiver<Vec<u8>>,
    held: Vec<u8>,
    searched: usize,
}

impl Lines {
    /// Begins to read.
    pub(super) fn start() -> Lines {
        Lines { chunks: chunks(), held: Vec::new(), searched: 0 }
    }

    /// Gives the next line without its end, `None` at the end of input. What is left without a line end is a line.
    ///
    /// It may be cancelled: nothing is lost.
    pub(super) async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = self.held[self.searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.held, rest);
                self.searched = 0;
                return Ok(Some(text(&line)));
            }
            self.searched = self.held.len();
            if self.held.len() > LINE_BYTES_MAX {
                return Err(io::Error::other(format!("a line is longer than {LINE_BYTES_MAX} bytes")));
            }
            match self.chunks.recv().await {
                Some(chunk) => self.held.extend(chunk),
                None if self.held.is_empty() => return Ok(None),
                None => {
                    self.searched = 0;
                    return Ok(Some(text(&std::mem::take(&mut self.held))));
                }
            }
        }
    }
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}
