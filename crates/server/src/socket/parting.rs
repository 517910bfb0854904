//! What a client is told when its connection ends.

use axum::extract::ws::{CloseFrame, close_code};
use std::error::Error;
use std::sync::{Arc, OnceLock};
use tokio_tungstenite::tungstenite;

/// Why a connection ends; whoever ends it says so, and the writer passes it on.
#[derive(Debug, Clone)]
pub(crate) struct Parting {
    said: Arc<OnceLock<CloseFrame>>,
    message_bytes_max: usize,
}

impl Parting {
    /// Begins with nothing to say, on a connection whose messages are at most so large.
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Parting { said: Arc::default(), message_bytes_max }
    }

    /// Keeps why the connection ends in good order.
    pub(crate) fn because(&self, reason: &'static str) {
        self.said.get_or_init(|| CloseFrame { code: close_code::NORMAL, reason: reason.into() });
    }

    /// Keeps what is wrong with what the client sent; nobody hears of a connection that broke.
    pub(crate) fn broken(&self, error: &axum::Error) {
        let broken = error.source().and_then(|error| error.downcast_ref::<tungstenite::Error>());
        let (code, reason) = match broken {
            Some(tungstenite::Error::Capacity(_)) => {
                (close_code::SIZE, format!("a message has at most {} bytes", self.message_bytes_max))
            }
            Some(tungstenite::Error::Utf8(_)) => (close_code::INVALID, "a text is UTF-8".to_owned()),
            Some(tungstenite::Error::Protocol(_)) => {
                (close_code::PROTOCOL, "the frames break the rules of WebSocket".to_owned())
            }
            Some(_) | None => return,
        };
        self.said.get_or_init(|| CloseFrame { code, reason: reason.into() });
    }

    /// Gives what the client is told at the end.
    pub(crate) fn frame(&self, let_go: bool) -> CloseFrame {
        if let_go {
            let reason = "too slow, or over; come back with your cursor".into();
            return CloseFrame { code: close_code::POLICY, reason };
        }
        let bye = || CloseFrame { code: close_code::NORMAL, reason: "bye".into() };
        self.said.get().cloned().unwrap_or_else(bye)
    }
}
