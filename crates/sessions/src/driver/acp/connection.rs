//! The connection to an agent: messages of the protocol between pipes and the owner.
//!
//! Everything that the agent sends goes to the owner untyped, so that a kind of update that this version does not know
//! is left out there and breaks nothing here.

use crate::driver::LaunchSpec;
use crate::driver::lines::{Line, Lines};
use crate::driver::piped::Pipes;
use crate::driver::said::RawStream;
use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    ClientCapabilities, FileSystemCapabilities, Implementation, InitializeRequest, InitializeResponse,
    LoadSessionRequest, NewSessionRequest, ResumeSessionRequest, SessionConfigKind, SessionConfigOption,
    SessionConfigOptionCategory, SessionConfigSelectOptions, SessionConfigValueId,
    SetSessionConfigOptionRequest,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{Agent, Client, Error, Lines as Transport, UntypedMessage};
use futures_util::{sink, stream};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// So many messages of the agent may wait before it is not read any more.
const INBOX_MAX: usize = 64;

/// What comes from the agent, and of its connection.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Its session is open, or why it is not.
    Opened(Result<Opened, String>),
    /// A notification.
    Notification(UntypedMessage),
    /// A request, and by what it is answered.
    Request(UntypedMessage, Box<Responder<Value>>),
    /// A prompt was answered.
    Prompted(Result<Value, Error>),
    /// A line that is no message.
    Unspoken(String),
    /// The connection is over.
    Closed,
}

/// A session that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Opened {
    /// Its id.
    pub(super) session: String,
    /// Its model, when that is told.
    pub(super) model: Option<String>,
    /// By which method it was opened.
    pub(super) method: &'static str,
    /// What people should know of it.
    pub(super) remarks: Vec<String>,
}

/// A connection. Dropping it closes the agent's input.
#[derive(Debug)]
pub(super) struct Connection {
    inbox: mpsc::Receiver<Inbound>,
    sender: mpsc::Sender<Inbound>,
    agent: Option<ConnectionTo<Agent>>,
    agents: mpsc::Receiver<ConnectionTo<Agent>>,
    task: Option<AbortOnDropHandle<()>>,
}

impl Connection {
    /// Connects, and begins to open a session.
    pub(super) fn start(pipes: Pipes, scrollback: RawStream, spec: &LaunchSpec) -> Connection {
        let (sender, inbox) = mpsc::channel(INBOX_MAX);
        let (agent_sender, agents) = mpsc::channel(1);
        let wanted =
            Wanted { cwd: spec.cwd.clone(), resume: spec.resume.clone(), model: spec.fillings.model.clone() };
        let task = tokio::spawn(serve(pipes, scrollback, wanted, sender.clone(), agent_sender));
        let task = Some(AbortOnDropHandle::new(task));
        Connection { inbox, sender, agent: None, agents, task }
    }

    /// Gives what comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Inbound {
        // The sender is held here too, so the channel never closes.
        self.inbox.recv().await.unwrap_or(Inbound::Closed)
    }

    /// Sends a request whose answer comes as [`Inbound::Prompted`].
    pub(super) fn prompt(&mut self, request: UntypedMessage) -> Result<(), Error> {
        let sent = self.agent().ok_or_else(closed)?.send_request(request);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let answer = sent.block_task().await;
            sender.send(Inbound::Prompted(answer)).await.ok();
        });
        Ok(())
    }

    /// Sends a notification.
    pub(super) fn notify(&mut self, notification: UntypedMessage) -> Result<(), Error> {
        self.agent().ok_or_else(closed)?.send_notification(notification)
    }

    /// Closes the agent's input.
    pub(super) fn close(&mut self) {
        self.agent = None;
        self.task = None;
    }

    fn agent(&mut self) -> Option<&ConnectionTo<Agent>> {
        if self.agent.is_none() {
            self.agent = self.agents.try_recv().ok();
        }
        self.agent.as_ref()
    }
}

fn closed() -> Error {
    Error::internal_error().data(Value::from("the connection is closed"))
}

async fn serve(
    pipes: Pipes,
    scrollback: RawStream,
    wanted: Wanted,
    sender: mpsc::Sender<Inbound>,
    agents: mpsc::Sender<ConnectionTo<Agent>>,
) {
    let transport = transport(pipes, scrollback, sender.clone());
    let (requests, notifications, opened) = (sender.clone(), sender.clone(), sender.clone());
    let served = Client
        .v1()
        .name("adjutant")
        .on_receive_request(
            async move |request: UntypedMessage, responder, _agent| {
                requests.send(Inbound::Request(request, Box::new(responder))).await.map_err(|_| closed())
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_notification(
            async move |notification: UntypedMessage, _agent| {
                notifications.send(Inbound::Notification(notification)).await.map_err(|_| closed())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .connect_with(transport, async move |agent: ConnectionTo<Agent>| {
            agents.send(agent.clone()).await.map_err(|_| closed())?;
            let session = open(&agent, &wanted).await;
            opened.send(Inbound::Opened(session)).await.map_err(|_| closed())?;
            agent.incoming_closed().await;
            Ok(())
        });
    if let Err(error) = served.await {
        tracing::debug!(%error, "the connection to an agent has ended");
    }
    sender.send(Inbound::Closed).await.ok();
}

type Outgoing = std::pin::Pin<Box<dyn futures_util::Sink<String, Error = io::Error> + Send>>;
type Incoming = std::pin::Pin<Box<dyn futures_util::Stream<Item = io::Result<String>> + Send>>;

/// Makes a transport of a program's pipes: what is written is a line each, what is read and is no JSON goes elsewhere.
fn transport(
    pipes: Pipes,
    scrollback: RawStream,
    sender: mpsc::Sender<Inbound>,
) -> Transport<Outgoing, Incoming> {
    let outgoing = sink::unfold(pipes.stdin, async |mut stdin: ChildStdin, line: String| {
        stdin.write_all(line.as_bytes()).await?;
        stdin.write_all(b"\n").await?;
        io::Result::Ok(stdin)
    });
    let reader = Reader { lines: pipes.stdout, scrollback, sender };
    let incoming = stream::unfold(reader, async |mut reader: Reader| {
        let line = reader.next_message().await?;
        Some((Ok(line), reader))
    });
    Transport::new(Box::pin(outgoing), Box::pin(incoming))
}

struct Reader {
    lines: Lines<ChildStdout>,
    scrollback: RawStream,
    sender: mpsc::Sender<Inbound>,
}

impl Reader {
    async fn next_message(&mut self) -> Option<String> {
        loop {
            let unspoken = match self.lines.next().await? {
                Line::Text(text) => {
                    self.scrollback.push(&text);
                    if text.starts_with('{') && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
                        return Some(text);
                    }
                    text
                }
                Line::TooLong { bytes } => format!("(a line of {bytes} bytes was left out)"),
            };
            // Nothing depends on it, so nothing waits for it.
            self.sender.try_send(Inbound::Unspoken(unspoken)).ok();
        }
    }
}

/// What session is wanted.
struct Wanted {
    cwd: PathBuf,
    resume: Option<String>,
    model: Option<String>,
}

/// An agent that does not go on with its session is asked once more after so long.
const GO_ON_PAUSE: Duration = Duration::from_secs(1);

/// What an agent says of a session that it has opened.
struct Answer {
    session: String,
    method: &'static str,
    options: Vec<SessionConfigOption>,
}

/// Opens a session: the wanted one when the agent can go on with it, else a new one.
async fn open(agent: &ConnectionTo<Agent>, wanted: &Wanted) -> Result<Opened, String> {
    let files = FileSystemCapabilities::new().read_text_file(true).write_text_file(true);
    let hello = InitializeRequest::new(ProtocolVersion::V1)
        .client_capabilities(ClientCapabilities::new().fs(files).terminal(true))
        .client_info(Implementation::new("adjutant", env!("CARGO_PKG_VERSION")));
    let found = agent.send_request(hello).block_task().await.map_err(|why| told("initialize", &why))?;
    let mut remarks = Vec::new();
    if let Some(info) = &found.agent_info {
        remarks.push(format!("{} {}", info.name, info.version));
    }
    let answer = match go_on(agent, wanted, &found, &mut remarks).await {
        Some(answer) => answer,
        None => {
            let request = NewSessionRequest::new(wanted.cwd.clone());
            let made = agent.send_request(request).block_task().await;
            let made = made.map_err(|why| match found.auth_methods.is_empty() {
                true => told("session/new", &why),
                false => format!("{}; it may have to be logged in first", told("session/new", &why)),
            })?;
            let options = made.config_options.unwrap_or_default();
            Answer { session: made.session_id.to_string(), method: "session/new", options }
        }
    };
    let model = choose_model(agent, &answer, wanted.model.as_deref(), &mut remarks).await;
    Ok(Opened { session: answer.session, model, method: answer.method, remarks })
}

/// Goes on with the wanted session; `None` when none is wanted, or the agent cannot, which is remarked.
async fn go_on(
    agent: &ConnectionTo<Agent>,
    wanted: &Wanted,
    found: &InitializeResponse,
    remarks: &mut Vec<String>,
) -> Option<Answer> {
    let session = wanted.resume.clone()?;
    let capabilities = &found.agent_capabilities;
    let way = match (capabilities.session_capabilities.resume.is_some(), capabilities.load_session) {
        (true, _) => GoOn::Resume,
        (false, true) => GoOn::Load,
        (false, false) => {
            remarks.push(format!("it cannot go on with the session {session}, so this one is new"));
            return None;
        }
    };
    let mut went = asked_to_go_on(agent, wanted, (&session, way)).await;
    if went.is_err() {
        // Gemini does not always find at once what its last process has just written.
        tokio::time::sleep(GO_ON_PAUSE).await;
        went = asked_to_go_on(agent, wanted, (&session, way)).await;
    }
    match went {
        Ok((method, options)) => Some(Answer { session, method, options: options.unwrap_or_default() }),
        Err(why) => {
            let why = told("it", &why);
            remarks.push(format!("it did not go on with the session {session}, so this one is new: {why}"));
            None
        }
    }
}

/// How an agent is asked to go on with a session.
#[derive(Clone, Copy)]
enum GoOn {
    /// It shows nothing of what was.
    Resume,
    /// It shows all of it again.
    Load,
}

async fn asked_to_go_on(
    agent: &ConnectionTo<Agent>,
    wanted: &Wanted,
    (session, way): (&str, GoOn),
) -> Result<(&'static str, Option<Vec<SessionConfigOption>>), Error> {
    let (session, cwd) = (session.to_owned(), wanted.cwd.clone());
    match way {
        GoOn::Resume => {
            let request = ResumeSessionRequest::new(session, cwd);
            let answer = agent.send_request(request).block_task().await?;
            Ok(("session/resume", answer.config_options))
        }
        GoOn::Load => {
            let request = LoadSessionRequest::new(session, cwd);
            let answer = agent.send_request(request).block_task().await?;
            Ok(("session/load", answer.config_options))
        }
    }
}

/// Chooses the wanted model among those that the agent offers, and gives the one in use.
async fn choose_model(
    agent: &ConnectionTo<Agent>,
    answer: &Answer,
    wanted: Option<&str>,
    remarks: &mut Vec<String>,
) -> Option<String> {
    let is_model =
        |option: &&SessionConfigOption| option.category == Some(SessionConfigOptionCategory::Model);
    let option = answer.options.iter().find(is_model)?;
    let SessionConfigKind::Select(select) = &option.kind else { return None };
    let current = select.current_value.to_string();
    let Some(wanted) = wanted.filter(|wanted| *wanted != current) else { return Some(current) };
    let offered: Vec<String> = match &select.options {
        SessionConfigSelectOptions::Ungrouped(options) => {
            options.iter().map(|option| option.value.to_string()).collect()
        }
        SessionConfigSelectOptions::Grouped(groups) => {
            groups.iter().flat_map(|group| &group.options).map(|option| option.value.to_string()).collect()
        }
        _ => Vec::new(),
    };
    if !offered.iter().any(|model| model == wanted) {
        let offered = offered.join(", ");
        remarks.push(format!("it has no model `{wanted}` and goes on with `{current}`; it has: {offered}"));
        return Some(current);
    }
    let value = SessionConfigValueId::new(wanted);
    let request = SetSessionConfigOptionRequest::new(answer.session.clone(), option.id.clone(), value);
    match agent.send_request(request).block_task().await {
        Ok(_) => Some(wanted.to_owned()),
        Err(why) => {
            remarks.push(told("the choice of the model", &why));
            Some(current)
        }
    }
}

/// Says what an agent answered instead of what was wanted.
pub(super) fn told(what: &str, why: &Error) -> String {
    let details = why.data.as_ref().map(|data| match data {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let details = details.map(|details| format!(" ({})", crate::driver::heard::shown(&details)));
    format!("{what} failed: {}{}", why.message, details.unwrap_or_default())
}
