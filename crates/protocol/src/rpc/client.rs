//! The client of the runtime door.
//!
//! One task owns the socket. Calls go out as they are made and are answered by id; the daemon's calls of tools are
//! handed to [`Tools`], each in a task of its own, and are given up when the daemon says so.

use super::{RpcError, RunTraceEvent, ToolRequest};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The library fills its whole read buffer with zeros at every read; most frames are much smaller than this.
const READ_BUFFER_BYTES: usize = 8 << 10;

/// Why a call was not answered as it should.
#[derive(Debug, Error)]
pub enum RpcClientError {
    /// The door could not be reached, or did not let us in.
    #[error("the door at {address} cannot be reached")]
    Unreachable {
        /// Where.
        address: String,
        /// What went wrong on the way.
        #[source]
        source: Box<tungstenite::Error>,
    },
    /// The address is none.
    #[error("`{0}` is no address of a daemon")]
    Address(String),
    /// The daemon said no.
    #[error(transparent)]
    Refused(#[from] RpcError),
    /// The connection is gone.
    #[error("the connection to the daemon is gone")]
    Gone,
    /// The answer makes no sense.
    #[error("the daemon's answer cannot be read: {0}")]
    Protocol(String),
}

/// What a tool gives, or what went wrong.
pub type ToolAnswer = Pin<Box<dyn Future<Output = Result<Value, String>> + Send>>;

/// The tools that a client offers. The future of a call that is given up is dropped.
pub trait Tools: Send + Sync + 'static {
    /// Does what is asked.
    fn call(&self, request: ToolRequest) -> ToolAnswer;
}

/// Offers no tools.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTools;

impl Tools for NoTools {
    fn call(&self, request: ToolRequest) -> ToolAnswer {
        Box::pin(async move { Err(format!("there is no tool `{}` here", request.tool)) })
    }
}

/// What the daemon says without being asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A record of a run that was subscribed to.
    Run(RunTraceEvent),
    /// Something else, such as `events.event`.
    Other {
        /// The method.
        method: String,
        /// Its parameters.
        params: Value,
    },
}

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Answer = Result<Value, RpcError>;

/// A connection to the runtime door; clone it to call from several places. It ends with the last clone.
#[derive(Debug, Clone)]
pub struct RpcClient {
    outgoing: mpsc::Sender<Outgoing>,
    next: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Outgoing {
    text: String,
    waits: Option<(String, oneshot::Sender<Answer>)>,
}

/// Opens a WebSocket of a daemon, such as `http://127.0.0.1:4100`, and shows a token.
pub(crate) async fn open(address: &str, path: &str, token: &str) -> Result<Socket, RpcClientError> {
    let wrong = || RpcClientError::Address(address.to_owned());
    let rest = address.strip_prefix("http://").ok_or_else(wrong)?;
    let mut request = format!("ws://{rest}{path}").into_client_request().map_err(|_| wrong())?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
    request.headers_mut().insert("authorization", bearer);
    let unreachable =
        |source| RpcClientError::Unreachable { address: address.to_owned(), source: Box::new(source) };
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let opened = tokio_tungstenite::connect_async_with_config(request, Some(config), true).await;
    opened.map(|(socket, _)| socket).map_err(unreachable)
}

impl RpcClient {
    /// Connects to a daemon's address, such as `http://127.0.0.1:4100`, and shows a token.
    ///
    /// # Errors
    /// [`RpcClientError::Unreachable`], [`RpcClientError::Address`]
    pub async fn connect(
        address: &str,
        token: &str,
        tools: impl Tools,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Notice>), RpcClientError> {
        let socket = open(address, "/rpc", token).await?;
        let (outgoing, queue) = mpsc::channel(256);
        let (notices, noticed) = mpsc::unbounded_channel();
        let owner = Owner {
            socket,
            waiting: HashMap::new(),
            tools: Arc::new(tools),
            calls: JoinSet::new(),
            by_request: HashMap::new(),
            notices,
        };
        tokio::spawn(owner.live(queue));
        Ok((RpcClient { outgoing, next: Arc::new(AtomicU64::new(1)) }, noticed))
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`RpcClientError::Refused`] with what the daemon said, [`RpcClientError::Gone`]
    pub async fn call(&self, method: &str, params: Value) -> Result<Value, RpcClientError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let (told, answer) = oneshot::channel();
        let outgoing = Outgoing { text, waits: Some((id, told)) };
        self.outgoing.send(outgoing).await.map_err(|_| RpcClientError::Gone)?;
        Ok(answer.await.map_err(|_| RpcClientError::Gone)??)
    }
}

struct Owner {
    socket: Socket,
    waiting: HashMap<String, oneshot::Sender<Answer>>,
    tools: Arc<dyn Tools>,
    /// Calls of tools under way; each gives its request's id and the text to answer with.
    calls: JoinSet<(String, String)>,
    by_request: HashMap<String, AbortHandle>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Owner {
    async fn live(mut self, mut queue: mpsc::Receiver<Outgoing>) {
        loop {
            let sent = tokio::select! {
                outgoing = queue.recv() => match outgoing {
                    Some(Outgoing { text, waits }) => {
                        self.waiting.extend(waits);
                        self.socket.send(Message::text(text)).await
                    }
                    None => {
                        // Nobody is left who could call; what was under way is over.
                        drop(self.socket.close(None).await);
                        return;
                    }
                },
                done = self.calls.join_next(), if !self.calls.is_empty() => match done {
                    Some(Ok((request_id, text))) => {
                        self.by_request.remove(&request_id);
                        self.socket.send(Message::text(text)).await
                    }
                    // It was given up.
                    Some(Err(_)) | None => Ok(()),
                },
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        self.take(text.as_str());
                        Ok(())
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    // The library answers pings when it is polled.
                    Some(Ok(_)) => Ok(()),
                },
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, text: &str) {
        let Ok(mut message) = serde_json::from_str::<Value>(text) else { return };
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        let params = message.get_mut("params").map(Value::take).unwrap_or_default();
        match method.as_deref() {
            None => self.answered(message),
            Some("tools.execute") => self.execute(params),
            Some("tools.cancel") => {
                let given_up = params.get("request_id").and_then(Value::as_str);
                if let Some(call) = given_up.and_then(|id| self.by_request.remove(id)) {
                    call.abort();
                }
            }
            Some("runs.trace.event") => {
                if let Ok(event) = serde_json::from_value(params) {
                    // Nobody may be listening.
                    drop(self.notices.send(Notice::Run(event)));
                }
            }
            Some(other) => drop(self.notices.send(Notice::Other { method: other.to_owned(), params })),
        }
    }

    fn answered(&mut self, mut message: Value) {
        let id = message.get("id").and_then(Value::as_str).unwrap_or_default();
        let Some(told) = self.waiting.remove(id) else { return };
        let answer = match message.get_mut("error").map(Value::take) {
            Some(error) => Err(serde_json::from_value(error).unwrap_or_else(|error| RpcError {
                code: 0,
                message: format!("an error that cannot be read: {error}"),
                data: super::RpcErrorData::default(),
            })),
            None => Ok(message.get_mut("result").map(Value::take).unwrap_or_default()),
        };
        // Whoever called may have gone.
        drop(told.send(answer));
    }

    fn execute(&mut self, params: Value) {
        let Ok(request) = serde_json::from_value::<ToolRequest>(params) else { return };
        let request_id = request.request_id.clone();
        let answer = self.tools.call(request);
        let id = request_id.clone();
        let call = self.calls.spawn(async move {
            let text = match answer.await {
                Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
                Err(message) => {
                    json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": message}})
                }
            };
            (id, text.to_string())
        });
        self.by_request.insert(request_id, call);
    }
}
