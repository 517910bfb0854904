//! What a connection is sent: one bounded queue, so that a client that does not read holds up nobody.

use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// So many messages may wait for a client.
const WAITING_MAX: usize = 2048;
/// So many bytes may wait for a client.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// The way to a client. One that lets too much wait is let go.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    queue: mpsc::Sender<String>,
    room: Arc<Semaphore>,
    too_slow: CancellationToken,
}

/// The other end.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: mpsc::Receiver<String>,
    room: Arc<Semaphore>,
}

/// Makes a queue; `too_slow` is cancelled when it overflows.
pub(crate) fn queue(too_slow: CancellationToken) -> (Outbound, Outgoing) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
    let outgoing = Outgoing { queue: receiver, room: room.clone() };
    (Outbound { queue: sender, room, too_slow }, outgoing)
}

/// Gives the bytes that a message takes of the room; one that is larger than all of it waits alone.
fn bytes_of(text: &str) -> u32 {
    u32::try_from(text.len().min(WAITING_BYTES_MAX)).expect("the room is smaller")
}

impl Outbound {
    /// Queues a message; false when the client is gone or let go.
    pub(crate) fn offer(&self, text: String) -> bool {
        if let Ok(taken) = self.room.try_acquire_many(bytes_of(&text))
            && self.queue.try_send(text).is_ok()
        {
            // The other end gives it back.
            taken.forget();
            return true;
        }
        self.too_slow.cancel();
        false
    }

    /// Queues a message when there is room, however long that takes; false when the client is gone.
    pub(crate) async fn send(&self, text: String) -> bool {
        let Ok(taken) = self.room.acquire_many(bytes_of(&text)).await else { return false };
        let is_sent = self.queue.send(text).await.is_ok();
        if is_sent {
            taken.forget();
        }
        is_sent
    }
}

impl Outgoing {
    /// Gives the next message; nothing when no more can come.
    pub(crate) async fn next(&mut self) -> Option<String> {
        let text = self.queue.recv().await?;
        self.room.add_permits(bytes_of(&text) as usize);
        Some(text)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // Nobody gives room back any more; whoever waits for it learns that the client is gone.
        self.room.close();
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
