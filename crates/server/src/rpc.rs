//! The runtime door: JSON-RPC 2.0 over a WebSocket at `/rpc` and `/`.
//!
//! ```text
//! upgrade ── a good token in the header, or none is needed ──► Open
//!    └── no token ──► Knocking ── `session.auth` within 10 s ──► Open ── closed, lost, too slow ──► leases begin
//!                        └── anything else: -32001 and closed
//! ```
//!
//! One task reads, one writes, and every call has a task of its own; so calls overtake one another, and a slow one
//! holds up none. A proposal takes its place in its run in the order of the frames.

mod callbacks;

mod frame;

mod journal;

mod methods;

mod params;

use crate::auth::ThroughSocket;
use crate::socket::{self, LOST, Outbound, Parting, READ_BUFFER_BYTES, WRITE_MAX};
use adjutant_engine::Plane;
use adjutant_engine::clients::{Connection, ConnectionParams};
use adjutant_model::action::Caller;
use adjutant_protocol::rpc::{RpcCode, RpcError};
use axum::extract::ws::{Message as Wire, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use callbacks::Callbacks;
use frame::{Frame, Message};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use serde_json::Value;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A message is at most so large.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// The first call must come within this time.
const KNOCK: Duration = Duration::from_secs(10);
/// So many calls of a connection may be under way.
const CALLS_MAX: usize = 512;
/// How long the calls of a connection that is gone may still take.
const DRAIN: Duration = Duration::from_secs(10);

/// Whether connections must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// They must.
    Required,
    /// Whoever reaches the door is the owner.
    Off,
}

/// Takes an upgrade. A bad token in the header is refused at once; without one the first call must show it.
pub(crate) async fn upgrade(
    State((plane, authentication)): State<(Plane, Authentication)>,
    upgrade: WebSocketUpgrade,
    request: Request,
) -> Response {
    let through_socket = request.extensions().get::<ThroughSocket>().is_some();
    let caller = match (authentication, crate::auth::bearer(request.headers())) {
        (Authentication::Off, _) => Some(plane.unauthenticated_owner()),
        (Authentication::Required, None) => None,
        (Authentication::Required, Some(secret)) => match plane.authenticate(secret).await {
            Ok(Some(caller)) => Some(caller),
            Ok(None) => return crate::auth::bad_token(),
            Err(error) => return crate::answer::Refusal::from(error).into_response(),
        },
    };
    tracing::debug!(through_socket, known = caller.is_some(), "a client connects to the runtime door");
    let door = Door { plane, authentication };
    upgrade
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(move |socket| door.serve(socket, caller))
}

/// What all connections have.
#[derive(Debug, Clone)]
struct Door {
    plane: Plane,
    authentication: Authentication,
}

impl Door {
    async fn serve(self, socket: WebSocket, caller: Option<Caller>) {
        let (sink, mut stream) = socket.split();
        let (closing, parting) = (CancellationToken::new(), Parting::new(MESSAGE_BYTES_MAX));
        let (outbound, outgoing) = socket::queue(closing.clone());
        let writer = tokio::spawn(socket::write(sink, outgoing, closing.clone(), parting.clone()));
        let line = Line { outbound, closing: closing.clone(), parting };
        if let Some(caller) = self.known(caller, &mut stream, &line).await {
            self.open(caller, stream, &line).await;
        }
        drop(line);
        // The writer sends what waits, and then ends by itself.
        if tokio::time::timeout(WRITE_MAX, writer).await.is_err() {
            closing.cancel();
        }
    }

    /// Waits for the first call of a client that has shown no token yet.
    async fn known(
        &self,
        caller: Option<Caller>,
        stream: &mut SplitStream<WebSocket>,
        line: &Line,
    ) -> Option<Caller> {
        if caller.is_some() {
            return caller;
        }
        let text = tokio::time::timeout(KNOCK, next_text(stream, &line.parting)).await.ok()??;
        let (id, admitted) = match frame::read(&text) {
            Frame::One(Message::Call { id, method, params }) if method == "session.auth" => {
                (id.unwrap_or_default(), self.admitted(&params).await)
            }
            Frame::One(Message::Call { id, .. }) => (id.unwrap_or_default(), Err(knock_first())),
            Frame::One(Message::Wrong { id, error }) => (id, Err(error)),
            Frame::One(Message::Reply { .. }) | Frame::Batch(_) => (Value::Null, Err(knock_first())),
        };
        let (answer, caller) = match admitted {
            Ok((answer, caller)) => (Ok(answer), Some(caller)),
            Err(error) => (Err(error), None),
        };
        line.outbound.send(frame::answer(&id, answer).to_string()).await;
        caller
    }

    async fn admitted(&self, params: &Value) -> Result<(Value, Caller), RpcError> {
        let caller = methods::session::caller(&self.plane, params).await?;
        Ok((methods::session::admitted(&caller, self.authentication), caller))
    }

    async fn open(&self, caller: Caller, mut stream: SplitStream<WebSocket>, line: &Line) {
        let Line { outbound, closing, parting } = line;
        let callbacks = Callbacks::new(outbound.clone());
        let id: Arc<str> = methods::session::fresh_client_id().into();
        let params = ConnectionParams { id, caller, executor: callbacks.clone() };
        let session = Arc::new(Session {
            door: self.clone(),
            connection: self.plane.connect(params),
            callbacks,
            outbound: outbound.clone(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            tasks: TaskTracker::new(),
            over: closing.child_token(),
            closing: closing.clone(),
            parting: parting.clone(),
            feed: std::sync::Mutex::default(),
        });
        session.read(&mut stream).await;
        session.close().await;
    }
}

/// The way to a client, and the ways to end it.
#[derive(Debug)]
struct Line {
    outbound: Outbound,
    closing: CancellationToken,
    parting: Parting,
}

/// An open connection.
#[derive(Debug)]
struct Session {
    door: Door,
    connection: Arc<Connection>,
    callbacks: Arc<Callbacks>,
    outbound: Outbound,
    calls: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Is cancelled when the client is to be let go.
    closing: CancellationToken,
    parting: Parting,
    /// Is cancelled when the connection ends, whatever the reason.
    over: CancellationToken,
    /// The feed of the journal, when the client asked for it.
    feed: std::sync::Mutex<Option<CancellationToken>>,
}

impl Session {
    /// Reads until the client goes, is lost, is too slow, or the daemon stops.
    async fn read(self: &Arc<Self>, stream: &mut SplitStream<WebSocket>) {
        let stopping = self.door.plane.stopping();
        let mut heard = Instant::now();
        let mut token_ended = std::pin::pin!(self.door.plane.token_ended(self.connection.caller()));
        loop {
            let message = tokio::select! {
                () = self.closing.cancelled() => return,
                () = stopping.cancelled() => return,
                () = &mut token_ended => return self.closing.cancel(),
                () = tokio::time::sleep_until(heard + LOST) => return,
                message = stream.next() => message,
            };
            heard = Instant::now();
            match message {
                Some(Ok(Wire::Text(text))) => {
                    if self.take(text.as_str()).await.is_break() {
                        return;
                    }
                }
                Some(Ok(Wire::Binary(_))) => {
                    let error = RpcError::new(RpcCode::InvalidRequest, "frames are texts");
                    self.outbound.offer(frame::answer(&Value::Null, Err(error)).to_string());
                }
                Some(Ok(Wire::Ping(_) | Wire::Pong(_))) => {}
                Some(Err(error)) => return self.parting.broken(&error),
                Some(Ok(Wire::Close(_))) | None => return,
            }
        }
    }

    /// Takes a frame; what must stand in the order of the frames is done here, the rest in a task.
    async fn take(self: &Arc<Self>, text: &str) -> ControlFlow<()> {
        match frame::read(text) {
            Frame::One(Message::Reply { id, result }) => self.callbacks.answered(&id, result),
            Frame::One(message) => {
                let (place, answer) = self.begin(message).await;
                self.answer(
                    Vec::from_iter(place),
                    async move { answer.await.map(|answer| answer.to_string()) },
                )
                .await;
            }
            Frame::Batch(members) => {
                let (mut places, mut answers) = (Vec::new(), Vec::with_capacity(members.len()));
                for member in members {
                    let (place, answer) = self.begin(member).await;
                    places.extend(place);
                    answers.push(answer);
                }
                let text = async move {
                    let answers = futures_util::future::join_all(answers).await;
                    let answers: Vec<Value> = answers.into_iter().flatten().collect();
                    (!answers.is_empty()).then(|| Value::Array(answers).to_string())
                };
                self.answer(places, text).await;
            }
        }
        // Frames of a client that is let go are not read on; and a busy reader lets the others run.
        tokio::task::yield_now().await;
        if self.closing.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Sends an answer when it is there. A call keeps its place until the client has room for the answer; what has no
    /// place is answered before more is read, so that who does not read cannot ask on and on.
    async fn answer(
        self: &Arc<Self>,
        places: Vec<OwnedSemaphorePermit>,
        text: impl Future<Output = Option<String>> + Send + 'static,
    ) {
        let outbound = self.outbound.clone();
        let is_bounded = !places.is_empty();
        let answering = async move {
            if let Some(text) = text.await {
                outbound.send(text).await;
            }
            drop(places);
        };
        match is_bounded {
            true => drop(self.tasks.spawn(answering)),
            false => answering.await,
        }
    }

    /// Begins a message and gives the place that a call has among those under way, and the future of its answer; a
    /// message without an id is answered by nothing.
    async fn begin(
        self: &Arc<Self>,
        message: Message,
    ) -> (Option<OwnedSemaphorePermit>, Pin<Box<dyn Future<Output = Option<Value>> + Send>>) {
        match message {
            Message::Call { id, method, params } => match self.calls.clone().try_acquire_owned() {
                Ok(permit) => {
                    let doing = methods::begin(self, &method, params).await;
                    let answer = async move {
                        let answer = doing.await;
                        id.map(|id| frame::answer(&id, answer))
                    };
                    (Some(permit), Box::pin(answer))
                }
                Err(_) => {
                    let error = format!("{CALLS_MAX} calls of this connection are under way");
                    let error = RpcError::new(RpcCode::Busy, error).hinted("wait for some answers first");
                    (None, Box::pin(std::future::ready(id.map(|id| frame::answer(&id, Err(error))))))
                }
            },
            Message::Reply { id, result } => {
                self.callbacks.answered(&id, result);
                (None, Box::pin(std::future::ready(None)))
            }
            Message::Wrong { id, error } => {
                (None, Box::pin(std::future::ready(Some(frame::answer(&id, Err(error))))))
            }
        }
    }

    /// Ends what belongs to the connection; calls that are being answered may finish, so that what a client said last
    /// counts.
    async fn close(&self) {
        let feed = self.feed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(feed) = feed {
            feed.cancel();
        }
        self.connection.stop_proposals();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(connection = %self.connection.id(), "calls of a connection that is gone still run");
        }
        self.callbacks.close();
        self.over.cancel();
        self.connection.close().await;
    }
}

fn knock_first() -> RpcError {
    RpcError::new(RpcCode::Unauthenticated, "the first call is `session.auth`")
        .hinted("send `session.auth {\"token\": …}`; the owner's is the file `token` in the data folder")
}

async fn next_text(stream: &mut SplitStream<WebSocket>, parting: &Parting) -> Option<String> {
    loop {
        match stream.next().await? {
            Ok(Wire::Text(text)) => return Some(text.as_str().to_owned()),
            Ok(Wire::Ping(_) | Wire::Pong(_)) => {}
            Ok(Wire::Binary(_) | Wire::Close(_)) => return None,
            Err(error) => {
                parting.broken(&error);
                return None;
            }
        }
    }
}
