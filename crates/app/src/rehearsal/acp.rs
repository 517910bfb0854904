//! The Agent Client Protocol, the agent's side: version 1, JSON-RPC in lines over standard input and output.
//!
//! Requests are taken in their order by one loop, which owns the sessions; a turn is played beside it, so that a
//! cancellation or another session's prompt is heard. When the client closes its side, the agent ends.

mod client;

mod update;

pub(super) use client::Client;

use super::cast::Cast;
use super::gate::Gate;
use super::input::Lines;
use super::play::{End, Player};
use super::session::{Opening, SessionError};
use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    AgentCapabilities, CancelNotification, ClientCapabilities, ContentBlock, EmbeddedResourceResource,
    Implementation, InitializeRequest, InitializeResponse, LoadSessionRequest, LoadSessionResponse,
    NewSessionRequest, NewSessionResponse, PromptRequest, PromptResponse, ResumeSessionRequest,
    ResumeSessionResponse, SessionCapabilities, SessionMode, SessionModeState, SessionResumeCapabilities,
    SetSessionModeRequest, SetSessionModeResponse, StopReason,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{self as protocol, Agent, Error, on_receive_notification, on_receive_request};
use anyhow::Result;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// So many requests may wait for the loop.
const ASKED_MAX: usize = 256;

/// The error that tells a client of the usage limit.
const LIMITED: i32 = -32003;

/// The ways in which the agent may ask.
const MODES: [(&str, &str); 3] =
    [("default", "Default"), ("acceptEdits", "Accept edits"), ("bypassPermissions", "Bypass permissions")];

/// Something that the client wants.
enum Asked {
    Initialize(Box<InitializeRequest>, Responder<InitializeResponse>),
    New(NewSessionRequest, Responder<NewSessionResponse>),
    Load(LoadSessionRequest, Responder<LoadSessionResponse>),
    Resume(ResumeSessionRequest, Responder<ResumeSessionResponse>),
    Mode(SetSessionModeRequest, Responder<SetSessionModeResponse>),
    Prompt(PromptRequest, Responder<PromptResponse>),
    Cancel(CancelNotification),
}

/// Serves a client until it closes its side; gives how the process ends.
pub(super) async fn run(cast: Cast) -> Result<End> {
    let (sender, asked) = mpsc::channel(ASKED_MAX);
    let incoming = futures_util::stream::unfold(Lines::start(), |mut lines| async move {
        Some((lines.next().await.transpose()?, lines))
    });
    let outgoing = futures_util::sink::unfold((), |(), line: String| async move {
        let mut stdout = io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    });
    let transport = protocol::Lines::new(outgoing, Box::pin(incoming));
    macro_rules! forward {
        ($variant:path) => {{
            let sender = sender.clone();
            async move |request, responder, _connection: ConnectionTo<protocol::Client>| {
                sender.send($variant(request, responder)).await.map_err(|_| Error::internal_error())
            }
        }};
    }
    let (initialized, cancelled) = (sender.clone(), sender.clone());
    let served = Agent
        .v1()
        .name("rehearsal")
        .on_receive_request(
            async move |request, responder, _connection: ConnectionTo<protocol::Client>| {
                let asked = Asked::Initialize(Box::new(request), responder);
                initialized.send(asked).await.map_err(|_| Error::internal_error())
            },
            on_receive_request!(),
        )
        .on_receive_request(forward!(Asked::New), on_receive_request!())
        .on_receive_request(forward!(Asked::Load), on_receive_request!())
        .on_receive_request(forward!(Asked::Resume), on_receive_request!())
        .on_receive_request(forward!(Asked::Mode), on_receive_request!())
        .on_receive_request(forward!(Asked::Prompt), on_receive_request!())
        .on_receive_notification(
            async move |cancel: CancelNotification, _connection: ConnectionTo<protocol::Client>| {
                cancelled.send(Asked::Cancel(cancel)).await.map_err(|_| Error::internal_error())
            },
            on_receive_notification!(),
        )
        .connect_with(transport, async |connection: ConnectionTo<protocol::Client>| {
            let mut served = Served {
                cast,
                connection,
                offers: ClientCapabilities::default(),
                sessions: HashMap::new(),
                turns: FuturesUnordered::new(),
            };
            served.serve(asked).await
        })
        .await;
    Ok(served?)
}

/// One connection.
struct Served {
    cast: Cast,
    connection: ConnectionTo<protocol::Client>,
    offers: ClientCapabilities,
    sessions: HashMap<String, Slot>,
    turns: FuturesUnordered<LocalBoxFuture<'static, Played>>,
}

/// A session; its player is away while a turn is played.
struct Slot {
    player: Option<Player<Client>>,
    cancel: CancellationToken,
    mode: Option<String>,
}

/// A turn that was played.
struct Played {
    id: String,
    player: Player<Client>,
    responder: Responder<PromptResponse>,
    end: io::Result<End>,
}

impl Served {
    async fn serve(&mut self, mut asked: mpsc::Receiver<Asked>) -> Result<End, Error> {
        let connection = self.connection.clone();
        let closed = connection.incoming_closed();
        tokio::pin!(closed);
        loop {
            let end = tokio::select! {
                asked = asked.recv() => match asked {
                    Some(asked) => self.take(asked).await.map(|()| None)?,
                    None => break,
                },
                Some(played) = self.turns.next(), if !self.turns.is_empty() => self.played(played)?,
                () = &mut closed => break,
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
        self.close().await;
        Ok(End::Done)
    }

    async fn take(&mut self, asked: Asked) -> Result<(), Error> {
        match asked {
            Asked::Initialize(request, responder) => {
                self.offers = request.client_capabilities;
                responder.respond(initialized())
            }
            Asked::New(request, responder) => match self.open(&request.cwd, &Opening::New).await {
                Ok(id) => responder.respond(NewSessionResponse::new(id).modes(self.modes())),
                Err(error) => responder.respond_with_error(error),
            },
            Asked::Load(request, responder) => {
                let opened = self.reopen(&request.cwd, &request.session_id.0).await;
                let opened = opened.and_then(|id| self.replay(&id));
                match opened {
                    Ok(()) => responder.respond(LoadSessionResponse::new().modes(self.modes())),
                    Err(error) => responder.respond_with_error(error),
                }
            }
            Asked::Resume(request, responder) => {
                match self.reopen(&request.cwd, &request.session_id.0).await {
                    Ok(_) => responder.respond(ResumeSessionResponse::new().modes(self.modes())),
                    Err(error) => responder.respond_with_error(error),
                }
            }
            Asked::Mode(request, responder) => match self.set_mode(&request) {
                Ok(()) => responder.respond(SetSessionModeResponse::new()),
                Err(error) => responder.respond_with_error(error),
            },
            Asked::Prompt(request, responder) => self.prompt(&request, responder),
            Asked::Cancel(cancel) => {
                if let Some(slot) = self.sessions.get(&*cancel.session_id.0) {
                    slot.cancel.cancel();
                }
                Ok(())
            }
        }
    }

    fn modes(&self) -> SessionModeState {
        let modes = MODES.map(|(id, name)| SessionMode::new(id, name)).to_vec();
        SessionModeState::new(self.cast.permission_mode.clone(), modes)
    }

    async fn reopen(&mut self, cwd: &Path, id: &str) -> Result<String, Error> {
        match self.sessions.get(id) {
            Some(Slot { player: None, .. }) => Err(invalid("a turn of this session is being played")),
            Some(_) | None => self.open(cwd, &Opening::Resumed(id.to_owned())).await,
        }
    }

    /// Opens a session and tells its hooks.
    async fn open(&mut self, cwd: &Path, opening: &Opening) -> Result<String, Error> {
        let cwd = directory(cwd)?;
        let session = self.cast.session(cwd, opening).map_err(refused)?;
        let id = session.id().to_owned();
        let earlier = session.earlier();
        let client =
            Client::new(self.connection.clone(), id.clone(), PathBuf::from(session.cwd()), &self.offers);
        let mut player = self.cast.player(client, session, Gate::Absent);
        player.open().await.map_err(Error::into_internal_error)?;
        if matches!(opening, Opening::Resumed(_)) {
            let told = format!("resumed with {earlier} earlier turns");
            player.notice(&told).map_err(Error::into_internal_error)?;
        }
        let slot = Slot { player: Some(player), cancel: CancellationToken::new(), mode: None };
        self.sessions.insert(id.clone(), slot);
        Ok(id)
    }

    /// Tells the client of the prompts that a session has had.
    fn replay(&mut self, id: &str) -> Result<(), Error> {
        let Some(player) = self.sessions.get_mut(id).and_then(|slot| slot.player.as_mut()) else {
            return Ok(());
        };
        for prompt in player.session.prompts().to_vec() {
            player.stage.replay(&prompt)?;
        }
        Ok(())
    }

    fn set_mode(&mut self, request: &SetSessionModeRequest) -> Result<(), Error> {
        let mode = &*request.mode_id.0;
        if !MODES.iter().any(|(known, _)| *known == mode) {
            return Err(invalid(&format!("unknown mode `{mode}`")));
        }
        let slot = self.sessions.get_mut(&*request.session_id.0).ok_or_else(unknown_session)?;
        match &mut slot.player {
            Some(player) => player.session.set_permission_mode(mode.to_owned()),
            None => slot.mode = Some(mode.to_owned()),
        }
        Ok(())
    }

    fn prompt(&mut self, request: &PromptRequest, responder: Responder<PromptResponse>) -> Result<(), Error> {
        let id = request.session_id.0.to_string();
        let Some(slot) = self.sessions.get_mut(&id) else {
            return responder.respond_with_error(unknown_session());
        };
        let Some(mut player) = slot.player.take() else {
            return responder.respond_with_error(invalid("a turn of this session is being played"));
        };
        slot.cancel = CancellationToken::new();
        let cancel = slot.cancel.clone();
        let prompt = text_of(&request.prompt);
        self.turns.push(Box::pin(async move {
            let end = player.turn(&prompt, &cancel).await;
            Played { id, player, responder, end }
        }));
        Ok(())
    }

    /// Answers a prompt; gives an end when the agent ends with it.
    fn played(&mut self, played: Played) -> Result<Option<End>, Error> {
        let Played { id, mut player, responder, end } = played;
        let end = end.map_err(Error::into_internal_error)?;
        match &end {
            End::Done | End::Stopped(_) | End::Exited { .. } => {
                responder.respond(PromptResponse::new(StopReason::EndTurn))?;
            }
            End::Interrupted => responder.respond(PromptResponse::new(StopReason::Cancelled))?,
            End::Limited { until, message } => {
                let error = Error::new(LIMITED, message).data(json!({"resets_at": until}));
                responder.respond_with_error(error)?;
            }
            // The prompt is never answered; dropping its responder would answer it.
            End::Crashed(_) | End::Hung(_) => {
                std::mem::forget(responder);
                return Ok(Some(end));
            }
        }
        if matches!(end, End::Exited { .. }) {
            return Ok(Some(end));
        }
        if let Some(slot) = self.sessions.get_mut(&id) {
            if let Some(mode) = slot.mode.take() {
                player.session.set_permission_mode(mode);
            }
            slot.player = Some(player);
        }
        Ok(None)
    }

    /// Ends every turn and every session.
    async fn close(&mut self) {
        for slot in self.sessions.values() {
            slot.cancel.cancel();
        }
        while let Some(played) = self.turns.next().await {
            if let Some(slot) = self.sessions.get_mut(&played.id) {
                slot.player = Some(played.player);
            }
        }
        for slot in self.sessions.values_mut() {
            if let Some(player) = &mut slot.player {
                // The client is gone; the hooks are told nevertheless.
                drop(player.close("other").await);
            }
        }
    }
}

fn initialized() -> InitializeResponse {
    let sessions = SessionCapabilities::new().resume(SessionResumeCapabilities::new());
    InitializeResponse::new(ProtocolVersion::V1)
        .agent_capabilities(AgentCapabilities::new().load_session(true).session_capabilities(sessions))
        .agent_info(Implementation::new("adjutant-rehearsal", env!("CARGO_PKG_VERSION")))
}

/// Gives the text of a prompt; what a client embeds is text as well, and a link is its address.
fn text_of(blocks: &[ContentBlock]) -> String {
    let texts: Vec<&str> = blocks
        .iter()
        .filter_map(|block| match block {
            ContentBlock::Text(text) => Some(text.text.as_str()),
            ContentBlock::ResourceLink(link) => Some(link.uri.as_str()),
            ContentBlock::Resource(embedded) => match &embedded.resource {
                EmbeddedResourceResource::TextResourceContents(contents) => Some(contents.text.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    texts.join("\n")
}

fn directory(cwd: &Path) -> Result<PathBuf, Error> {
    if !cwd.is_absolute() {
        return Err(invalid("the working directory is not an absolute path"));
    }
    let real = cwd.canonicalize().map_err(|error| invalid(&format!("{}: {error}", cwd.display())))?;
    if real.is_dir() { Ok(real) } else { Err(invalid(&format!("{} is no directory", cwd.display()))) }
}

fn refused(error: SessionError) -> Error {
    match error {
        SessionError::Unknown(_) => unknown_session().data(json!(error.to_string())),
        SessionError::NotAnId(_) | SessionError::Taken(_) => invalid(&error.to_string()),
        SessionError::Foreign { .. } | SessionError::File { .. } => {
            Error::internal_error().data(json!(format!("{:#}", anyhow::Error::new(error))))
        }
    }
}

fn unknown_session() -> Error {
    Error::new(-32002, "there is no such session")
}

fn invalid(why: &str) -> Error {
    Error::invalid_params().data(json!(why))
}
