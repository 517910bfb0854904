//! What the doors over WebSocket have in common: one bounded queue and one task that writes, who is asked now and then
//! whether it is there, and what it is told when the connection ends.

mod outbound;

mod parting;

pub(crate) use outbound::{Outbound, Outgoing, queue};
pub(crate) use parting::Parting;

use axum::extract::ws::{Message as Wire, WebSocket};
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What a connection buffers of what it reads; an idle one holds it.
pub(crate) const READ_BUFFER_BYTES: usize = 16 << 10;
/// How often a client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);
/// A client that said nothing for so long is lost.
pub(crate) const LOST: Duration = Duration::from_secs(150);
/// A client that takes nothing for so long is let go.
pub(crate) const WRITE_MAX: Duration = Duration::from_secs(10);

/// Writes what is queued, and asks now and then whether the client is there.
pub(crate) async fn write(
    mut sink: SplitSink<WebSocket, Wire>,
    mut outgoing: Outgoing,
    closing: CancellationToken,
    parting: Parting,
) {
    let mut ping = tokio::time::interval_at(Instant::now() + PING, PING);
    loop {
        let message = tokio::select! {
            biased;
            () = closing.cancelled() => break,
            text = outgoing.next() => match text {
                Some(text) => Wire::Text(text.into()),
                None => break,
            },
            _ = ping.tick() => Wire::Ping(axum::body::Bytes::new()),
        };
        let sent = tokio::select! {
            sent = sink.send(message) => sent.is_ok(),
            () = tokio::time::sleep(WRITE_MAX) => false,
        };
        if !sent {
            closing.cancel();
            return;
        }
    }
    let close = Wire::Close(Some(parting.frame(closing.is_cancelled())));
    // The client may be gone; then nobody hears it.
    drop(tokio::time::timeout(Duration::from_secs(1), sink.send(close)).await);
}
