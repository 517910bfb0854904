//! The receiving end of a queue whose messages carry the way back to who waits for an answer.
//!
//! A dropped receiver empties its queue once, and may miss a message that is being put in at that instant. It would lie
//! there as long as anybody has a sender, and its sender may be the one that waits for the answer. A mailbox that goes
//! receives what is still coming to its end, so every way back is dropped and nobody waits for ever.

use std::ops::{Deref, DerefMut};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// The receiver of a queue; it is used as one.
#[derive(Debug)]
pub struct Mailbox<M: Send + 'static> {
    /// There until the mailbox goes.
    queue: Option<mpsc::Receiver<M>>,
}

/// Makes a queue with room for `len_max` messages.
pub fn mailbox<M: Send + 'static>(len_max: usize) -> (mpsc::Sender<M>, Mailbox<M>) {
    let (sender, queue) = mpsc::channel(len_max);
    (sender, Mailbox { queue: Some(queue) })
}

impl<M: Send + 'static> Deref for Mailbox<M> {
    type Target = mpsc::Receiver<M>;

    fn deref(&self) -> &Self::Target {
        self.queue.as_ref().expect("only a mailbox that goes has none")
    }
}

impl<M: Send + 'static> DerefMut for Mailbox<M> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.queue.as_mut().expect("only a mailbox that goes has none")
    }
}

impl<M: Send + 'static> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let Some(mut queue) = self.queue.take() else { return };
        queue.close();
        while queue.try_recv().is_ok() {}
        // Without a runtime nobody puts anything in any more either.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { while queue.recv().await.is_some() {} });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::mailbox;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test(flavor = "multi_thread", worker_threads = 8)]
    async fn nobody_waits_for_a_mailbox_that_has_gone() {
        for round in 0..2000 {
            let (sender, mut mailbox) = mailbox::<oneshot::Sender<()>>(64);
            let asking = (0..8).map(|_| {
                let sender = sender.clone();
                tokio::spawn(async move {
                    loop {
                        let (reply, answer) = oneshot::channel();
                        if sender.send(reply).await.is_err() || answer.await.is_err() {
                            return;
                        }
                    }
                })
            });
            let asking: Vec<_> = asking.collect();
            for _ in 0..8 {
                let reply = mailbox.recv().await.expect("somebody asks");
                reply.send(()).expect("it waits");
            }
            drop(mailbox);
            for one in asking {
                let told = tokio::time::timeout(Duration::from_secs(30), one).await;
                told.unwrap_or_else(|_| panic!("round {round}: one waits for ever")).unwrap();
            }
        }
    }
}
