//! The task that owns an agent over ACP.
//!
//! ```text
//! opening ──Opened──► idle ──prompt──► busy ──answer──► idle
//!    └──refused──► ended                └── cancel, and every open permission is answered `cancelled`
//! ```
//!
//! It never waits for anybody but in its loop: what becomes known waits in an outbox, files are read and written beside
//! it. While the outbox is full the agent is not listened to, commands still are.

use super::connection::{Connection, Inbound, Opened, told};
use super::files;
use super::terminals::Terminals;
use super::updates::{Updates, chosen};
use super::wishes::Wish;
use crate::driver::clock::now;
use crate::driver::heard::{Heard, Meter, shown};
use crate::driver::owned::{Command, PROMPTS_MAX, Voice, how_it_ended, no_process, prompts_full};
use crate::driver::piped::{LINGER, Piped};
use crate::driver::{DriverError, Ended, LaunchSpec, usage_kept};
use crate::mailbox::Mailbox;
use crate::process;
use adjutant_model::session::{AgentExit, AgentSignal, AskAnswer, SignalSource};
use agent_client_protocol::v1::Responder;
use agent_client_protocol::v1::schema::{
    CancelNotification, ContentBlock, CreateTerminalResponse, KillTerminalRequest, PermissionOption,
    PromptRequest, ReadTextFileResponse, ReleaseTerminalRequest, RequestPermissionOutcome,
    RequestPermissionRequest, RequestPermissionResponse, SelectedPermissionOutcome, SessionNotification,
    TerminalOutputRequest, TextContent, WaitForTerminalExitRequest, WaitForTerminalExitResponse,
};
use agent_client_protocol::{Error, UntypedMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// How long an agent may take to open its session.
const OPEN_PATIENCE: Duration = Duration::from_secs(180);

/// The code of what the gate denies: one of those that JSON-RPC leaves to applications.
const DENIED: i32 = -32_099;

/// So many permissions may be asked at once, and so much may be wanted; more is denied.
const ASKED_MAX: usize = 64;

/// How long an agent that closed its connection may take to end.
const CLOSED_GRACE: Duration = Duration::from_secs(5);

/// How an agent came to its end, and what told so.
struct Over {
    ended: Ended,
    evidence: String,
}

/// A permission that the agent waits for.
struct Asked {
    options: Vec<PermissionOption>,
    responder: Responder<Value>,
}

/// Something that the agent wants done and waits for.
struct Wanted {
    wish: Wish,
    responder: Responder<Value>,
}

/// The owner's state.
pub(super) struct Owner {
    spec: LaunchSpec,
    voice: Voice,
    piped: Piped,
    connection: Connection,
    updates: Updates,
    terminals: Terminals,
    session: Option<String>,
    asked: BTreeMap<String, Asked>,
    wanted: BTreeMap<String, Wanted>,
    asked_count: u64,
    prompts: VecDeque<String>,
    is_busy: bool,
    open_until: Option<Instant>,
}

impl Owner {
    pub(super) fn new(spec: LaunchSpec, voice: Voice, piped: Piped, connection: Connection) -> Owner {
        let told = usage_kept::read(&spec.folder, spec.resume.as_deref());
        Owner {
            prompts: spec.prompt.clone().into_iter().collect(),
            updates: Updates::new(Meter::going_on(told)),
            spec,
            voice,
            piped,
            connection,
            terminals: Terminals::default(),
            session: None,
            asked: BTreeMap::new(),
            wanted: BTreeMap::new(),
            asked_count: 0,
            is_busy: false,
            open_until: Some(Instant::now() + OPEN_PATIENCE),
        }
    }

    pub(super) async fn run(mut self, mut commands: Mailbox<Command>) {
        let signals = self.voice.channel();
        loop {
            let open_until = self.open_until;
            let is_over = tokio::select! {
                permit = signals.reserve(), if self.voice.waits() => {
                    self.voice.hand(permit);
                    ControlFlow::Continue(())
                }
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => ControlFlow::Break(self.end(Duration::ZERO).await),
                },
                inbound = self.connection.next(), if !self.voice.is_full() => self.inbound(inbound).await,
                exit = self.piped.wait() => ControlFlow::Break(self.exited(exit).await),
                () = sleep_until(open_until.unwrap_or_else(Instant::now)), if open_until.is_some() => {
                    let why = format!("it has not opened a session in {} s", OPEN_PATIENCE.as_secs());
                    ControlFlow::Break(self.refused(&why).await)
                }
            };
            if let ControlFlow::Break(over) = is_over {
                return self.voice.over(over.ended, &over.evidence).await;
            }
        }
    }

    async fn command(&mut self, command: Command) -> ControlFlow<Over> {
        // Whoever asked may have stopped waiting for the answer.
        match command {
            Command::Send { text, done } => drop(done.send(self.take_prompt(text))),
            Command::Answer { ask_id, answer, done } => drop(done.send(self.answer(&ask_id, &answer))),
            Command::Interrupt { done } => drop(done.send(self.interrupt())),
            Command::End { grace } => return ControlFlow::Break(self.end(grace).await),
        }
        ControlFlow::Continue(())
    }

    async fn inbound(&mut self, inbound: Inbound) -> ControlFlow<Over> {
        match inbound {
            Inbound::Opened(Ok(opened)) => self.opened(opened),
            Inbound::Opened(Err(why)) => return ControlFlow::Break(self.refused(&why).await),
            Inbound::Notification(message) => self.notification(message),
            Inbound::Request(message, responder) => self.request(message, *responder),
            Inbound::Prompted(answer) => {
                let answer = answer.map_err(|why| told("its turn", &why));
                let heard = self.updates.answered(answer.as_ref().map_err(String::as_str), now());
                self.heard(heard);
            }
            Inbound::Unspoken(line) => self.voice.say(&line),
            Inbound::Closed => {
                let ended = self.piped.end_gently(CLOSED_GRACE).await;
                let how = how_it_ended(ended.exit, self.piped.complaint().await);
                return ControlFlow::Break(self.over(ended, &how).await);
            }
        }
        ControlFlow::Continue(())
    }

    fn opened(&mut self, opened: Opened) {
        self.open_until = None;
        let is_new = opened.method == "session/new";
        if is_new {
            self.updates.is_new();
        }
        self.updates.opened();
        let evidence = match opened.remarks.split_first() {
            Some((agent, rest)) if !rest.is_empty() => {
                format!("{} of {agent}: {}", opened.method, rest.join("; "))
            }
            Some((agent, _)) => format!("{} of {agent}", opened.method),
            None => opened.method.to_owned(),
        };
        self.voice.say(&format!("({evidence})"));
        let began = AgentSignal::Began {
            agent_session: Some(opened.session.clone()),
            model: opened.model,
            transcript: None,
        };
        self.session = Some(opened.session);
        self.voice.known(SignalSource::Protocol, &shown(&evidence), began);
        self.next_prompt();
    }

    fn take_prompt(&mut self, text: String) -> Result<(), DriverError> {
        if self.prompts.len() >= PROMPTS_MAX {
            return Err(prompts_full());
        }
        self.prompts.push_back(text);
        self.next_prompt();
        Ok(())
    }

    /// Tells the agent the next prompt when it waits for one.
    fn next_prompt(&mut self) {
        let Some(session) = self.session.clone().filter(|_| !self.is_busy) else { return };
        let Some(text) = self.prompts.pop_front() else { return };
        self.voice.say(&format!("< {text}"));
        self.updates.prompted();
        let words = vec![ContentBlock::Text(TextContent::new(text))];
        let sent = UntypedMessage::new("session/prompt", PromptRequest::new(session, words))
            .and_then(|request| self.connection.prompt(request));
        match sent {
            Ok(()) => self.is_busy = true,
            Err(why) => {
                let error = Some(told("the prompt", &why));
                let ended = AgentSignal::TurnEnded { text: None, error };
                self.voice.known(SignalSource::Process, "it could not be told", ended);
            }
        }
    }

    fn answer(&mut self, ask_id: &str, answer: &AskAnswer) -> Result<(), DriverError> {
        let Some(asked) = self.asked.get(ask_id) else { return self.settle(ask_id, answer) };
        let option = chosen(&asked.options, answer)?;
        let asked = self.asked.remove(ask_id).ok_or_else(|| unknown(ask_id))?;
        respond(asked.responder, Ok(outcome(option)));
        if let AskAnswer::Deny { reason } = answer {
            // The protocol has no words for why; people see them.
            self.voice.say(&format!("  denied: {reason}"));
        }
        let settled = AgentSignal::AskSettled { ask_id: Some(ask_id.to_owned()) };
        self.voice.known(SignalSource::Protocol, "it was answered", settled);
        Ok(())
    }

    fn interrupt(&mut self) -> Result<(), DriverError> {
        let Some(session) = self.session.clone().filter(|_| self.is_busy) else { return Ok(()) };
        self.updates.interrupted();
        let notice = UntypedMessage::new("session/cancel", CancelNotification::new(session));
        let sent = notice.and_then(|notice| self.connection.notify(notice));
        self.cancel_asked();
        sent.map_err(|why| DriverError::Failed { what: told("the interrupt", &why) })
    }

    /// Answers every open permission as the protocol wants it when a turn is cancelled.
    fn cancel_asked(&mut self) {
        for (ask_id, asked) in std::mem::take(&mut self.asked) {
            respond(asked.responder, Ok(outcome(None)));
            let settled = AgentSignal::AskSettled { ask_id: Some(ask_id) };
            self.voice.known(SignalSource::Protocol, "it was cancelled", settled);
        }
        for (ask_id, wanted) in std::mem::take(&mut self.wanted) {
            respond(wanted.responder, Err(denied("the turn is over")));
            let settled = AgentSignal::AskSettled { ask_id: Some(ask_id) };
            self.voice.known(SignalSource::Protocol, "it was cancelled", settled);
        }
    }

    fn notification(&mut self, message: UntypedMessage) {
        if message.method() != "session/update" {
            return;
        }
        // A kind of update that is not known is left out.
        let Ok(notification) = serde_json::from_value::<SessionNotification>(message.params) else { return };
        let heard = self.updates.read(notification.update);
        self.heard(heard);
    }

    fn heard(&mut self, heard: Vec<Heard>) {
        // What was counted is kept before it is told: after a crash in between it is missing, and never told twice.
        if let Some(session) = &self.session
            && heard.iter().any(|one| matches!(one, Heard::Signal { what: AgentSignal::UsedMore(_), .. }))
        {
            usage_kept::write(&self.spec.folder, session, self.updates.counted());
        }
        for one in heard {
            match one {
                Heard::Signal { evidence, what } => self.voice.known(SignalSource::Protocol, &evidence, what),
                Heard::Said(text) => self.voice.say(&text),
                Heard::Reply(_) => {}
                Heard::TurnOver => {
                    self.cancel_asked();
                    self.is_busy = false;
                    self.next_prompt();
                }
            }
        }
    }

    fn request(&mut self, message: UntypedMessage, responder: Responder<Value>) {
        let (method, params) = message.into_parts();
        match method.as_str() {
            "session/request_permission" => match read::<RequestPermissionRequest>(params) {
                Ok(request) => self.permission(&request, responder),
                Err(why) => respond(responder, Err(why)),
            },
            "fs/read_text_file" | "fs/write_text_file" | "terminal/create" => {
                match self.wish(&method, params) {
                    Ok(wish) => self.wanted(wish, responder),
                    Err(why) => respond(responder, Err(why)),
                }
            }
            "terminal/wait_for_exit" => {
                let exit = read::<WaitForTerminalExitRequest>(params)
                    .and_then(|request| self.terminals.exit(&request.terminal_id.0).map_err(invalid));
                match exit {
                    Ok(exit) => drop(tokio::spawn(async move {
                        respond(responder, value(WaitForTerminalExitResponse::new(exit.await)));
                    })),
                    Err(why) => respond(responder, Err(why)),
                }
            }
            _ => respond(responder, self.terminal(&method, params)),
        }
    }

    fn terminal(&mut self, method: &str, params: Value) -> Result<Value, Error> {
        match method {
            "terminal/output" => {
                let request: TerminalOutputRequest = read(params)?;
                value(self.terminals.output(&request.terminal_id.0).map_err(invalid)?)
            }
            "terminal/kill" => {
                let request: KillTerminalRequest = read(params)?;
                self.terminals.kill(&request.terminal_id.0).map_err(invalid).map(|()| json!({}))
            }
            "terminal/release" => {
                let request: ReleaseTerminalRequest = read(params)?;
                self.terminals.release(&request.terminal_id.0).map_err(invalid).map(|()| json!({}))
            }
            _ => Err(Error::method_not_found().data(Value::from(method))),
        }
    }

    fn permission(&mut self, request: &RequestPermissionRequest, responder: Responder<Value>) {
        if self.asked.len() >= ASKED_MAX {
            return respond(responder, Ok(outcome(None)));
        }
        let ask_id = self.next_ask_id();
        let question = self.updates.question(ask_id.clone(), request, now());
        self.voice.say(&format!("? {}", question.text));
        self.voice.known(SignalSource::Protocol, "session/request_permission", AgentSignal::Asked(question));
        self.asked.insert(ask_id, Asked { options: request.options.clone(), responder });
    }

    fn wish(&self, method: &str, params: Value) -> Result<Wish, Error> {
        let workspace = &self.spec.cwd;
        match method {
            "fs/read_text_file" => Wish::read(workspace, read(params)?),
            "fs/write_text_file" => Wish::write(workspace, read(params)?),
            _ => Wish::run(workspace, read(params)?),
        }
        .map_err(invalid)
    }

    /// Asks the gate whether something may be done.
    fn wanted(&mut self, wish: Wish, responder: Responder<Value>) {
        if self.wanted.len() >= ASKED_MAX {
            return respond(responder, Err(denied("too much is wanted at once")));
        }
        let ask_id = self.next_ask_id();
        let question = wish.question(ask_id.clone(), now());
        self.voice.known(SignalSource::Protocol, wish.method(), AgentSignal::Wants(question));
        self.wanted.insert(ask_id, Wanted { wish, responder });
    }

    /// Does what the gate allows, and tells the agent why when it does not.
    fn settle(&mut self, ask_id: &str, answer: &AskAnswer) -> Result<(), DriverError> {
        let Some(Wanted { wish, responder }) = self.wanted.remove(ask_id) else {
            return Err(unknown(ask_id));
        };
        match answer {
            AskAnswer::Allow => self.grant(wish, responder),
            AskAnswer::Deny { reason } => {
                self.voice.say(&format!("  denied: {reason}"));
                respond(responder, Err(denied(reason)));
            }
            AskAnswer::Text(_) => {
                self.wanted.insert(ask_id.to_owned(), Wanted { wish, responder });
                let what = "it is allowed or denied, and nothing else".to_owned();
                return Err(DriverError::Unsupported { what });
            }
        }
        Ok(())
    }

    fn grant(&mut self, wish: Wish, responder: Responder<Value>) {
        let workspace = self.spec.cwd.clone();
        match wish {
            Wish::Read { path, span } => drop(tokio::task::spawn_blocking(move || {
                let text = files::read(&workspace, &path, span).map_err(invalid);
                respond(responder, text.and_then(|text| value(ReadTextFileResponse::new(text))));
            })),
            Wish::Write { path, content } => drop(tokio::task::spawn_blocking(move || {
                let written = files::write(&workspace, &path, &content).map_err(invalid);
                respond(responder, written.map(|()| json!({})));
            })),
            Wish::Run { request, cwd } => {
                let made = self.terminals.create(&self.spec, &request, &cwd).map_err(invalid);
                respond(responder, made.and_then(|id| value(CreateTerminalResponse::new(id))));
            }
        }
    }

    fn next_ask_id(&mut self) -> String {
        self.asked_count += 1;
        format!("{}.{}", self.spec.launch, self.asked_count)
    }

    /// The agent did not open a session, and is of no use.
    async fn refused(&mut self, why: &str) -> Over {
        let complaint = why.to_owned();
        self.voice.say(&format!("! {complaint}"));
        self.connection.close();
        let ended = self.piped.end_gently(CLOSED_GRACE).await;
        let said = self.piped.complaint().await.map(|line| format!(" ({line})")).unwrap_or_default();
        self.over(ended, &shown(&format!("{complaint}{said}"))).await
    }

    /// The agent's program has ended by itself.
    async fn exited(&mut self, exit: AgentExit) -> Over {
        // What it said last may still be on its way.
        let rest = async {
            loop {
                match self.connection.next().await {
                    Inbound::Closed => return,
                    Inbound::Opened(Err(why)) => self.voice.say(&format!("! {why}")),
                    Inbound::Notification(message) => self.notification(message),
                    Inbound::Unspoken(line) => self.voice.say(&line),
                    Inbound::Opened(Ok(_)) | Inbound::Request(..) | Inbound::Prompted(_) => {}
                }
            }
        };
        timeout(LINGER, rest).await.ok();
        let how = how_it_ended(exit, self.piped.complaint().await);
        let swept = self.piped.sweep().await;
        self.over(Ended { exit, swept }, &how).await
    }

    async fn end(&mut self, grace: Duration) -> Over {
        self.cancel_asked();
        self.connection.close();
        let ended = self.piped.end_gently(grace).await;
        self.over(ended, &ended.exit.to_string()).await
    }

    /// Ends what the agent left behind.
    async fn over(&mut self, mut ended: Ended, evidence: &str) -> Over {
        self.terminals.end().await;
        let swept = process::sweep_prefix(&format!("{}/", self.spec.marker)).await;
        ended.swept.killed += swept.killed;
        ended.swept.alive += swept.alive;
        self.voice.say(&format!("(ended: {evidence})"));
        self.voice.show_handle(no_process(&self.spec));
        Over { ended, evidence: evidence.to_owned() }
    }
}

fn outcome(option: Option<String>) -> Value {
    let outcome = match option {
        Some(id) => RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(id)),
        None => RequestPermissionOutcome::Cancelled,
    };
    value(RequestPermissionResponse::new(outcome)).unwrap_or_default()
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Error> {
    serde_json::from_value(params).map_err(|why| invalid(why.to_string()))
}

fn value(answer: impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(answer).map_err(|why| Error::internal_error().data(Value::from(why.to_string())))
}

/// The protocol reserves no code for it; the reason stands in the message, which is what agents show.
fn denied(reason: &str) -> Error {
    Error::new(DENIED, format!("denied: {reason}"))
}

fn unknown(ask_id: &str) -> DriverError {
    DriverError::Unsupported { what: format!("nothing is asked under `{ask_id}`") }
}

fn invalid(why: impl ToString) -> Error {
    Error::invalid_params().data(Value::from(why.to_string()))
}

fn respond(responder: Responder<Value>, answer: Result<Value, Error>) {
    // An agent that is gone needs no answer.
    responder.respond_with_result(answer).ok();
}
