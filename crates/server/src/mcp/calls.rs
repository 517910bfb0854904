//! Calls under way, so that the client that waits for one can end it.
//!
//! In the last revision a client ends a call by closing its stream, as whoever goes away does. In the earlier ones it
//! sends `notifications/cancelled`, which comes as a request of its own and names no more than the call's id; clients
//! that show the same token all count from the same number. So a client that begins is told the name of a conversation,
//! in the protocol's header for sessions, and shows it from then on. Nothing is kept of a conversation but its calls
//! under way: a name that is not known is as good as any. Where two calls could be meant none is ended.

use super::message::McpMessage;
use super::refusing;
use adjutant_model::action::Caller;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// Where a client shows its conversation.
const CONVERSATION: HeaderName = HeaderName::from_static("mcp-session-id");

/// The calls under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<CallKey, Vec<Arc<CancellationToken>>>>>);

/// What a client can say of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallKey {
    /// The token that was shown.
    token_id: String,
    conversation: Option<String>,
    /// The id that the client gave it, as JSON.
    id: String,
}

impl CallKey {
    pub(super) fn new(caller: &Caller, headers: &HeaderMap, id: String) -> Self {
        let shown = headers.get(CONVERSATION).and_then(|name| name.to_str().ok());
        CallKey { token_id: caller.token_id.to_string(), conversation: shown.map(str::to_owned), id }
    }
}

impl Calls {
    /// Enters a call until what is given back is dropped.
    pub(super) fn begin(&self, key: CallKey) -> UnderWay {
        let ended = Arc::new(CancellationToken::new());
        self.lock().entry(key.clone()).or_default().push(ended.clone());
        UnderWay { calls: self.clone(), key, ended }
    }

    fn cancel(&self, key: &CallKey) {
        if let Some([ended]) = self.lock().get(key).map(Vec::as_slice) {
            ended.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CallKey, Vec<Arc<CancellationToken>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    calls: Calls,
    key: CallKey,
    ended: Arc<CancellationToken>,
}

impl UnderWay {
    /// Returns when its client wants it no more.
    pub(super) async fn cancelled(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut calls = self.calls.lock();
        if let Some(same) = calls.get_mut(&self.key) {
            same.retain(|one| !Arc::ptr_eq(one, &self.ended));
            if same.is_empty() {
                calls.remove(&self.key);
            }
        }
    }
}

/// Names the conversation of a client that begins, and ends the call that a client wants no more. What is no message
/// is refused.
pub(super) async fn conversing(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    let (request, message) = match refusing::message(request).await {
        Ok(found) => found,
        Err(refused) => return refused,
    };
    if let Some(McpMessage::Notification { method, params }) = &message
        && method == "notifications/cancelled"
        && let Some(caller) = request.extensions().get::<Caller>()
    {
        calls.cancel(&CallKey::new(caller, request.headers(), params["requestId"].to_string()));
    }
    let is_first = matches!(&message, Some(McpMessage::Request { method, .. }) if method == "initialize");
    let begins = is_first && !request.headers().contains_key(CONVERSATION);
    let mut answer = refusing::in_form(next.run(request).await, message.as_ref()).await;
    if begins && answer.status() == StatusCode::OK {
        let name = adjutant_engine::clock::fresh_id().simple().to_string();
        answer.headers_mut().insert(CONVERSATION, HeaderValue::from_str(&name).expect("hex digits"));
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(token_id: &str, conversation: Option<&str>, id: &str) -> CallKey {
        let conversation = conversation.map(str::to_owned);
        CallKey { token_id: token_id.to_owned(), conversation, id: id.to_owned() }
    }

    #[test]
    fn a_call_is_ended_by_who_made_it_and_only_where_one_can_be_meant() {
        let calls = Calls::default();
        let first = calls.begin(key("t", Some("a"), "1"));
        for other in [key("t", Some("b"), "1"), key("u", Some("a"), "1"), key("t", Some("a"), "\"1\"")] {
            calls.cancel(&other);
        }
        assert!(!first.ended.is_cancelled());
        let twin = calls.begin(key("t", Some("a"), "1"));
        calls.cancel(&twin.key);
        assert!(!first.ended.is_cancelled() && !twin.ended.is_cancelled(), "nobody knows which is meant");
        drop(twin);
        calls.cancel(&first.key);
        assert!(first.ended.is_cancelled());
        drop(first);
        assert!(calls.lock().is_empty(), "nothing is kept");
    }
}
