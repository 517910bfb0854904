//! What a connection is sent: one bounded queue, so that a client that does not read holds up nobody.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// So many messages may wait for a client.
const WAITING_MAX: usize = 2048;
/// So many bytes may wait for a client.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The way to a client. One that lets too much wait is let go.
#[derive(Debug, Clone)]
pub(super) struct Outbound {
    queue: mpsc::Sender<String>,
    bytes: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    too_slow: CancellationToken,
}

/// The other end.
#[derive(Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Receiver<String>,
    bytes: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

/// Makes a queue; `too_slow` is cancelled when it overflows.
pub(super) fn queue(too_slow: CancellationToken) -> (Outbound, Outgoing) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let bytes = std::sync::Arc::default();
    let outgoing = Outgoing { queue: receiver, bytes: std::sync::Arc::clone(&bytes) };
    (Outbound { queue: sender, bytes, too_slow }, outgoing)
}

impl Outbound {
    /// Queues a message; false when the client is gone or let go.
    pub(super) fn offer(&self, text: String) -> bool {
        use std::sync::atomic::Ordering::Relaxed;
        let len = text.len();
        let waiting = self.bytes.fetch_add(len, Relaxed);
        let room = waiting == 0 || waiting + len <= WAITING_BYTES_MAX;
        if room && self.queue.try_send(text).is_ok() {
            return true;
        }
        self.bytes.fetch_sub(len, Relaxed);
        self.too_slow.cancel();
        false
    }

    /// Queues a message when there is room, however long that takes; false when the client is gone.
    pub(super) async fn send(&self, text: String) -> bool {
        self.bytes.fetch_add(text.len(), std::sync::atomic::Ordering::Relaxed);
        self.queue.send(text).await.is_ok()
    }
}

impl Outgoing {
    /// Gives the next message; nothing when no more can come.
    pub(super) async fn next(&mut self) -> Option<String> {
        let text = self.queue.recv().await?;
        self.bytes.fetch_sub(text.len(), std::sync::atomic::Ordering::Relaxed);
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go_and_the_queue_stays_bounded() {
        let too_slow = CancellationToken::new();
        let (outbound, mut outgoing) = queue(too_slow.clone());
        for n in 0..WAITING_MAX {
            assert!(outbound.offer(n.to_string()));
        }
        assert!(!too_slow.is_cancelled());
        assert!(!outbound.offer("one more".to_owned()));
        assert!(too_slow.is_cancelled());
        assert_eq!(outgoing.next().await.as_deref(), Some("0"));
        drop(outgoing);
        assert!(!outbound.offer("nobody".to_owned()));
        assert!(!outbound.send("nobody".to_owned()).await);
    }

    #[tokio::test]
    async fn one_message_may_be_large_and_two_may_not() {
        let too_slow = CancellationToken::new();
        let (outbound, mut outgoing) = queue(too_slow.clone());
        let large = "x".repeat(WAITING_BYTES_MAX + 1);
        assert!(outbound.offer(large.clone()));
        assert!(!outbound.offer(large));
        assert_eq!(outgoing.next().await.map(|text| text.len()), Some(WAITING_BYTES_MAX + 1));
        assert!(outbound.offer("small".to_owned()));
    }
}
