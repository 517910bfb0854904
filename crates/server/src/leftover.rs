//! What is left of a large body whose request is answered before it was read.
//!
//! A client that is still sending when the connection closes sees a broken pipe and never the answer. So the rest is
//! read and thrown away, up to a bound in bytes and time; then the connection closes as it would have.

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A body up to so large is in the sockets' own buffers before anybody answers.
const SMALL_BYTES: usize = 256 << 10;
/// At most so much is thrown away: twice the largest body that any route takes.
const LEFTOVER_BYTES_MAX: usize = 128 << 20;
/// It may take so long.
const LEFTOVER_TIME: Duration = Duration::from_secs(10);

/// Sees that what a handler leaves of a large body is read.
pub(crate) async fn read_away(request: Request, next: Next) -> Response {
    if !may_be_large(request.headers()) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let watched = Watched { left: Some(body.into_data_stream()) };
    next.run(Request::from_parts(parts, Body::from_stream(watched))).await
}

fn may_be_large(headers: &HeaderMap) -> bool {
    let len = headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<usize>().ok());
    len.map_or_else(|| headers.contains_key(header::TRANSFER_ENCODING), |len| len > SMALL_BYTES)
}

/// A body whose rest is thrown away when it is dropped.
struct Watched {
    left: Option<BodyDataStream>,
}

impl Stream for Watched {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(left) = &mut self.left else { return Poll::Ready(None) };
        let polled = left.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.left = None;
        }
        polled
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            // It ends by itself, and nobody waits for it.
            tokio::spawn(tokio::time::timeout(LEFTOVER_TIME, throw_away(left)));
        }
    }
}

async fn throw_away(mut left: BodyDataStream) {
    let mut room = LEFTOVER_BYTES_MAX;
    while let Some(Ok(chunk)) = left.next().await {
        let Some(less) = room.checked_sub(chunk.len()) else { return };
        room = less;
    }
}
