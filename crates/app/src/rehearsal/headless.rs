//! Headless turns: Claude Code's control protocol over pipes, a result for each prompt.
//!
//! The host writes prompts, answers and requests as lines; prompts that wait together are one prompt, as they are for
//! Claude Code, so a host sends the next one after the result. At the end of input what was asked for is played, and
//! the agent ends.

mod message;

use super::cast::Cast;
use super::gate::Gate;
use super::input::Lines;
use super::play::{End, Player};
use super::print;
use super::session::Session;
use super::stage::{Called, Choice, Shown, Stage};
use super::stream::{Outcome, Stream};
use anyhow::{Context, Result};
use futures_util::FutureExt;
use message::{Control, Message};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Stdout, Write};
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Whom the agent asks for permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// The host.
    Host,
    /// Nobody: what needs permission is denied.
    Nobody,
}

type Answers = Rc<RefCell<HashMap<String, oneshot::Sender<Result<Value, String>>>>>;

/// The host as the agent sees it.
pub(super) struct Host {
    stream: Stream<Stdout>,
    asking: Asking,
    answers: Answers,
}

/// Plays a turn for each prompt until input ends; gives how it ends.
pub(super) async fn run(cast: &Cast, session: Session, asking: Asking) -> Result<End> {
    let answers = Answers::default();
    let stream = Stream::new(io::stdout(), session.id().to_owned());
    let host = Host { stream, asking, answers: Rc::clone(&answers) };
    let mut headless = Headless {
        player: cast.player(host, session, Gate::Absent),
        lines: Lines::start(),
        desk: Desk { answers, prompts: Vec::new(), mode: None, is_open: true },
    };
    headless.play().await.context("the stream cannot be used")
}

struct Headless {
    player: Player<Host>,
    lines: Lines,
    desk: Desk,
}

/// What came from the host and waits.
struct Desk {
    answers: Answers,
    prompts: Vec<String>,
    mode: Option<String>,
    is_open: bool,
}

/// What a line means for the turn that is played.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    Nothing,
    Interrupt,
    Refuse(String),
}

impl Headless {
    async fn play(&mut self) -> io::Result<End> {
        self.player.open().await?;
        let mut last = Outcome::Success;
        while let Some(prompt) = self.prompt().await? {
            let began = Instant::now();
            let head = print::head(&self.player);
            self.player.stage.stream.init(&head)?;
            let end = self.turn(&prompt).await?;
            if end == End::Interrupted {
                self.player.stage.stream.interrupted()?;
            }
            let Some(ending) = print::ending(&end, began) else { return Ok(end) };
            self.player.stage.stream.result(&ending)?;
            last = ending.outcome;
            if matches!(end, End::Exited { .. }) {
                self.player.close("other").await?;
                return Ok(end);
            }
        }
        self.player.close("other").await?;
        Ok(End::Exited { code: u8::from(last != Outcome::Success), result: None })
    }

    /// Waits for a prompt; `None` when there will be none.
    async fn prompt(&mut self) -> io::Result<Option<String>> {
        loop {
            let line = if self.desk.prompts.is_empty() && self.desk.is_open {
                self.lines.next().await?
            } else {
                match self.lines.next().now_or_never() {
                    Some(line) if self.desk.is_open => line?,
                    _ => break,
                }
            };
            if let Act::Refuse(why) = self.desk.take(line)? {
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
        }
        if let Some(mode) = self.desk.mode.take() {
            self.player.session.set_permission_mode(mode);
        }
        let prompts = std::mem::take(&mut self.desk.prompts);
        Ok(Some(prompts.join("\n")).filter(|_| !prompts.is_empty()))
    }

    /// Plays a turn, with an ear for the host.
    async fn turn(&mut self, prompt: &str) -> io::Result<End> {
        let Headless { player, lines, desk } = self;
        let cancel = CancellationToken::new();
        let turn = player.turn(prompt, &cancel);
        tokio::pin!(turn);
        loop {
            let line = tokio::select! {
                end = &mut turn => return end,
                line = lines.next(), if desk.is_open => line?,
            };
            match desk.take(line)? {
                Act::Nothing => {}
                Act::Interrupt => cancel.cancel(),
                Act::Refuse(why) => return Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            }
        }
    }
}

impl Desk {
    /// Takes a line; at the end of input nobody answers any more.
    fn take(&mut self, line: Option<String>) -> io::Result<Act> {
        let Some(line) = line else {
            self.is_open = false;
            self.answers.borrow_mut().clear();
            return Ok(Act::Nothing);
        };
        if line.trim().is_empty() {
            return Ok(Act::Nothing);
        }
        match message::read(&line) {
            Message::Prompt(prompt) => self.prompts.push(prompt),
            Message::Control { id, request } => return self.control(&id, request),
            Message::Answer { id, answer } => {
                if let Some(waiting) = self.answers.borrow_mut().remove(&id) {
                    // Whoever asked may have been interrupted in the meantime.
                    drop(waiting.send(answer));
                }
            }
            Message::Ignored => {}
            Message::Invalid(why) => return Ok(Act::Refuse(why)),
        }
        Ok(Act::Nothing)
    }

    fn control(&mut self, id: &str, request: Control) -> io::Result<Act> {
        let success = |response: Value| json!({"subtype": "success", "request_id": id, "response": response});
        let (response, act) = match request {
            Control::Initialize => {
                let has = json!({"commands": [], "output_style": "default", "models": [], "account": {}});
                (success(has), Act::Nothing)
            }
            Control::Interrupt => (success(json!({"still_queued": []})), Act::Interrupt),
            Control::SetPermissionMode(mode) => {
                let response = success(json!({"mode": mode}));
                self.mode = Some(mode);
                (response, Act::Nothing)
            }
            Control::Unknown(subtype) => {
                let error = format!("a rehearsal does not know the control request `{subtype}`");
                (json!({"subtype": "error", "request_id": id, "error": error}), Act::Nothing)
            }
        };
        write(&json!({"type": "control_response", "response": response}))?;
        Ok(act)
    }
}

impl Host {
    /// Asks whether a tool may be used; gives what the host says.
    async fn can_use(
        &mut self,
        tool: &str,
        input: &Value,
        call: &str,
        cancel: &CancellationToken,
    ) -> Result<Value, Choice> {
        let id = Uuid::new_v4().to_string();
        let (sender, answer) = oneshot::channel();
        self.answers.borrow_mut().insert(id.clone(), sender);
        let request = json!({
            "subtype": "can_use_tool",
            "tool_name": tool,
            "display_name": tool,
            "input": input,
            "permission_suggestions": [],
            "tool_use_id": call,
        });
        if write(&json!({"type": "control_request", "request_id": id, "request": request})).is_err() {
            return Err(Choice::Stop);
        }
        tokio::select! {
            answer = answer => match answer {
                Ok(answer) => answer.map_err(Choice::Deny),
                Err(_) => Err(Choice::Deny("nobody can answer any more".to_owned())),
            },
            () = cancel.cancelled() => {
                self.answers.borrow_mut().remove(&id);
                // The host that interrupted may be gone.
                drop(write(&json!({"type": "control_cancel_request", "request_id": id})));
                Err(Choice::Stop)
            }
        }
    }
}

impl Stage for Host {
    fn show(&mut self, shown: &Shown<'_>) -> io::Result<()> {
        self.stream.show(shown)
    }

    async fn permit(&mut self, call: &Called, cancel: &CancellationToken) -> Choice {
        if self.asking == Asking::Nobody {
            return self.stream.permit(call, cancel).await;
        }
        let answer = match self.can_use(&call.name, &call.input, &call.id, cancel).await {
            Ok(answer) => answer,
            Err(choice) => return choice,
        };
        if answer["behavior"] == "allow" {
            return Choice::Allow;
        }
        if answer["interrupt"] == true {
            return Choice::Stop;
        }
        Choice::Deny(answer["message"].as_str().unwrap_or("the host denied it").to_owned())
    }

    async fn ask(&mut self, question: &str, cancel: &CancellationToken) -> Option<String> {
        if self.asking == Asking::Nobody {
            return None;
        }
        let asked = json!({"question": question, "header": "Question", "options": [], "multiSelect": false});
        let input = json!({"questions": [asked]});
        let call = format!("toolu_{}", Uuid::new_v4().simple());
        let answer = self.can_use("AskUserQuestion", &input, &call, cancel).await.ok()?;
        Some(answer["updatedInput"]["answers"][question].as_str()?.to_owned())
    }
}

/// Writes a line of the control protocol, which belongs to no session.
fn write(line: &Value) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes())?;
    stdout.flush()
}
