//! The operators' door: a WebSocket at `/v1/operators/{sid}/ws`, opened by the operator's own token.
//!
//! An operator outlives its socket: what it has to answer is sent again when it is back. A socket that it opens while
//! another is open takes that one's place. What cannot be read, and what nobody waits for, is answered by an `error`
//! frame; besides that nothing is sent before the first request.

use crate::answer::{Answer, Refusal};
use crate::body::PathPart;
use crate::convert;
use crate::socket::{self, LOST, Outbound, Parting, READ_BUFFER_BYTES, WRITE_MAX};
use adjutant_engine::operators::{OperatorLink, OperatorReply};
use adjutant_engine::{EngineError, Plane};
use adjutant_model::action::Caller;
use adjutant_protocol::ApiError;
use adjutant_protocol::ErrorCode;
use adjutant_protocol::operator::{OperatorFrame, ReplyFrame};
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message as Wire, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A frame is at most so large.
const FRAME_BYTES_MAX: usize = 2 << 20;

/// Opens an operator's socket: frames are JSON objects with a `type`. The daemon sends `spawn`, `hook_before`,
/// `hook_after`, `ask` and `error`; the operator sends `spawn_ack`, `spawn_halt`, `hook_ack` and `answer`.
#[utoipa::path(get, path = "/v1/operators/{sid}/ws", tag = "operators",
    params(("sid" = String, Path, description = "The operator.")), responses(
    (status = 101, description = "The socket is open."), (status = 400, body = ApiError),
    (status = 401, body = ApiError), (status = 403, body = ApiError), (status = 404, body = ApiError),
    (status = 503, body = ApiError)))]
pub(crate) async fn upgrade(
    State(plane): State<Plane>,
    Extension(caller): Extension<Caller>,
    PathPart(sid): PathPart,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer<Response> {
    // Who may not open it hears that first, whatever the request is.
    let known = plane.operator_get(&caller, &sid)?.operator.sid;
    let upgrade = upgrade.map_err(|error| Refusal::invalid(format!("a WebSocket opens here: {error}")))?;
    Ok(upgrade
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(async move |socket| match plane.operator_attach(&caller, known.as_str()) {
            Ok(link) => serve(plane, caller, socket, link).await,
            Err(error) => tracing::debug!(%error, "an operator left while its socket opened"),
        }))
}

async fn serve(plane: Plane, caller: Caller, socket: WebSocket, link: OperatorLink) {
    let (sink, stream) = socket.split();
    let (closing, parting) = (CancellationToken::new(), Parting::new(FRAME_BYTES_MAX));
    let (outbound, outgoing) = socket::queue(closing.clone());
    let writer = tokio::spawn(socket::write(sink, outgoing, closing.clone(), parting.clone()));
    Session { plane, caller, link, outbound, closing: closing.clone(), parting }.live(stream).await;
    // The writer sends what waits, and then ends by itself.
    if tokio::time::timeout(WRITE_MAX, writer).await.is_err() {
        closing.cancel();
    }
}

/// An open socket.
struct Session {
    plane: Plane,
    caller: Caller,
    link: OperatorLink,
    outbound: Outbound,
    /// Is cancelled when the operator takes nothing any more.
    closing: CancellationToken,
    parting: Parting,
}

impl Session {
    /// Sends what the operator is asked and takes what it says, until it goes, is lost, or another socket is open.
    async fn live(self, mut stream: SplitStream<WebSocket>) {
        let (over, stopping) = (self.link.over(), self.plane.stopping());
        let mut token_ended = std::pin::pin!(self.plane.token_ended(&self.caller));
        let mut heard = Instant::now();
        loop {
            let message = tokio::select! {
                () = self.closing.cancelled() => return,
                () = stopping.cancelled() => return self.parting.because("the daemon stops; come back"),
                () = &mut token_ended => return self.closing.cancel(),
                () = over.cancelled() => return self.parting.because("another socket has taken this one's place, or the operator has left"),
                () = tokio::time::sleep_until(heard + LOST) => return self.parting.because("nothing was heard of you"),
                call = self.link.next() => {
                    self.send(&convert::operator_frame(call)).await;
                    continue;
                }
                message = stream.next() => message,
            };
            heard = Instant::now();
            self.link.heard();
            match message {
                Some(Ok(Wire::Text(text))) => self.take(text.as_str()).await,
                Some(Ok(Wire::Binary(_))) => self.refuse(None, unreadable("frames are texts")).await,
                Some(Ok(Wire::Ping(_) | Wire::Pong(_))) => {}
                Some(Err(error)) => return self.parting.broken(&error),
                Some(Ok(Wire::Close(_))) | None => return,
            }
        }
    }

    async fn take(&self, text: &str) {
        let frame = match read(text) {
            Ok(frame) => frame,
            Err(Unread { req_id, why }) => return self.refuse(req_id, unreadable(why)).await,
        };
        let (req_id, reply): (String, OperatorReply) = convert::operator_reply(frame);
        if let Err(error) = self.link.reply(&req_id, reply).await {
            self.refuse(Some(req_id), told(&error)).await;
        }
    }

    async fn refuse(&self, req_id: Option<String>, error: ApiError) {
        let ApiError { error, code, hint, .. } = error;
        self.send(&OperatorFrame::Error { req_id, error, code, hint }).await;
    }

    /// Queues a frame when there is room, so that who does not read cannot ask on and on.
    async fn send(&self, frame: &OperatorFrame) {
        let text = serde_json::to_string(frame).expect("a frame is JSON");
        // One that is gone gets it again when it is back.
        let _sent = self.outbound.send(text).await;
    }
}

fn told(error: &EngineError) -> ApiError {
    ApiError { error: error.to_string(), code: error.code().to_owned(), hint: error.hint(), details: None }
}

fn unreadable(what: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, what)
        .hinted("send `answer`, `hook_ack`, `spawn_ack` or `spawn_halt` with the `req_id` that came")
}

/// A frame that is none.
struct Unread {
    /// The request that it was about, when it says one.
    req_id: Option<String>,
    /// What is wrong, and where.
    why: String,
}

/// Reads a frame; a mistake names its place.
fn read(text: &str) -> Result<ReplyFrame, Unread> {
    let wrong = |error: String| {
        let named = serde_json::from_str::<serde_json::Value>(text).ok();
        let req_id = named.as_ref().and_then(|frame| frame.get("req_id")?.as_str().map(str::to_owned));
        let req_id = req_id.filter(|id| id.len() <= 8192);
        Unread { req_id, why: format!("the frame cannot be read{error}") }
    };
    let mut frame = serde_json::Deserializer::from_str(text);
    let read: ReplyFrame = serde_path_to_error::deserialize(&mut frame).map_err(|error| {
        let place = match error.path().to_string() {
            path if path == "." => String::new(),
            path => format!(" at `{path}`"),
        };
        wrong(format!("{place}: {}", error.into_inner()))
    })?;
    frame.end().map_err(|error| wrong(format!(": {error}")))?;
    Ok(read)
}
