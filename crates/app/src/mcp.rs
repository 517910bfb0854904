//! `adjutant mcp`: the MCP door on standard input and output, for agents that start their servers themselves.
//!
//! It forwards each message to the daemon's door and prints what comes back; nothing but messages is printed. The daemon
//! is looked for with each request, so one that was started anew is found. What the door says of itself is answered here
//! while there is no daemon; only a request that needs one starts it. A call that a client cancels is one whose answer
//! nobody waits for, which the daemon hears.
//!
//! It shows the owner's token, or `ADJUTANT_TOKEN`, which must say something where it is set. A child of an agent that
//! Adjutant hosts has that in its environment, with the address and socket of its daemon; it never starts a daemon, which
//! would live in its agent's confinement.

use crate::exit::Failure;
use crate::{config, launch};
use adjutant_protocol::discovery::TOKEN_FILE;
use adjutant_protocol::{ApiError, Client, ClientError, ErrorCode, ExitCode as Code};
use adjutant_server::{BadMessage, McpMessage, OfflineMcp};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

/// A message has at most so many bytes: what the door takes, and room for its escapes.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// So many messages may wait to be looked at.
const LINES_MAX: usize = 64;
/// The code of an error that is the client's.
const INVALID_REQUEST: i64 = -32600;
/// That of one that is not.
const INTERNAL_ERROR: i64 = -32603;
/// What is under way when its client has closed its side may take so long.
const GRACE: Duration = Duration::from_secs(10);
/// From this revision on a request says in its headers what it is.
const WITH_HEADERS: &str = "2026-07-28";
/// Where a request says its revision.
const REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// Forwards messages until the client closes standard input.
pub(crate) async fn run(home: Option<PathBuf>) -> Result<Code> {
    let bridge = Arc::new(Bridge {
        folder: folder(home)?,
        token: config::token()?,
        url: config::var("ADJUTANT_URL"),
        may_start: config::var("ADJUTANT_SESSION").is_none(),
        revision: Mutex::new(None),
        offline: OfflineMcp::default(),
    });
    let mut lines = read_lines();
    let (mut open, mut by_id) = (JoinSet::new(), HashMap::<String, AbortHandle>::new());
    while let Some(line) = lines.recv().await {
        while open.try_join_next().is_some() {}
        by_id.retain(|_, call| !call.is_finished());
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong => {
                print(&unanswered(&Value::Null, &too_long()));
                continue;
            }
        };
        match read(line) {
            Ok(Message::Request(request)) => {
                let (id, bridge) = (request.id.to_string(), bridge.clone());
                by_id.insert(id, open.spawn(async move { bridge.forward(request).await }));
            }
            Ok(Message::Cancelled(id)) => {
                by_id.remove(&id.to_string()).inspect(AbortHandle::abort);
            }
            // A door that remembers nothing has no use for it.
            Ok(Message::Other) => {}
            Err(bad) => print(&bad.answer().to_string()),
        }
    }
    // What is not over by then ends with this process, and the daemon hears that nobody waits.
    let _in_time = tokio::time::timeout(GRACE, async { while open.join_next().await.is_some() {} }).await;
    Ok(Code::Ok)
}

/// Gives the data folder: as asked for, or that of the daemon whose agent's child this is, or the usual one.
fn folder(home: Option<PathBuf>) -> Result<PathBuf> {
    let of_socket = || {
        let socket = PathBuf::from(config::var("ADJUTANT_SOCKET")?);
        socket.parent().filter(|folder| folder.join(TOKEN_FILE).is_file()).map(PathBuf::from)
    };
    let asked = home.or_else(|| if config::var("ADJUTANT_HOME").is_none() { of_socket() } else { None });
    Ok(config::data_folder(asked.as_deref())?)
}

/// What a client has written up to the end of a line.
enum Line {
    Whole(Vec<u8>),
    /// It was more than is taken, and is thrown away.
    TooLong,
}

/// Reads lines on a thread of its own: nothing wakes who waits for standard input.
fn read_lines() -> mpsc::Receiver<Line> {
    let (lines, arrived) = mpsc::channel(LINES_MAX);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    arrived
}

/// Gives the next line that says something; nothing at the end.
fn next_line(input: &mut impl BufRead) -> Option<Line> {
    loop {
        let mut line = Vec::new();
        match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line.len() as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") => {
                input.skip_until(b'\n').ok()?;
                return Some(Line::TooLong);
            }
            Ok(_) if line.trim_ascii().is_empty() => {}
            Ok(_) => return Some(Line::Whole(line)),
        }
    }
}

/// Prints a message in one line; a client that has gone needs none.
fn print(message: &str) {
    let mut output = io::stdout().lock();
    let line = message.replace(['\n', '\r'], " ");
    drop(writeln!(output, "{line}").and_then(|()| output.flush()));
}

/// A message of the client.
enum Message {
    Request(Request),
    /// The client does not wait for the request with this id any more.
    Cancelled(Value),
    Other,
}

struct Request {
    id: Value,
    method: String,
    params: Value,
    text: String,
}

fn read(line: Vec<u8>) -> Result<Message, BadMessage> {
    Ok(match McpMessage::read(&line)? {
        McpMessage::Request { id, method, params } => {
            let text = String::from_utf8(line).expect("what is JSON is UTF-8");
            Message::Request(Request { id, method, params, text })
        }
        McpMessage::Notification { method, params } if method == "notifications/cancelled" => {
            Message::Cancelled(params["requestId"].clone())
        }
        McpMessage::Notification { .. } | McpMessage::Answer => Message::Other,
    })
}

/// Between the client and the daemon.
struct Bridge {
    folder: PathBuf,
    token: Option<String>,
    url: Option<String>,
    may_start: bool,
    /// The revision that was agreed on at the beginning.
    revision: Mutex<Option<String>>,
    offline: OfflineMcp,
}

impl Bridge {
    async fn forward(&self, request: Request) {
        let Request { id, method, params, text } = request;
        let headers = self.headers(&method, &params);
        let client = match self.client(&method).await {
            Ok(Some(client)) => client,
            Ok(None) => return self.answered(&method, &self.offline.answer(&headers, text).await),
            Err(error) => return print(&unanswered(&id, &unreachable(&error))),
        };
        let mut messages = match client.mcp(&headers, text).await {
            Ok(messages) => messages,
            Err(error) => return print(&unanswered(&id, &said(error))),
        };
        while let Some(message) = messages.next().await {
            match message {
                Ok(message) => self.answered(&method, &message),
                Err(error) => print(&unanswered(&id, &said(error))),
            }
        }
    }

    /// Gives a client of the daemon; nothing when there is none and the request needs none.
    async fn client(&self, method: &str) -> Result<Option<Client>> {
        if let Some(client) = launch::running(&self.folder).await? {
            return self.with_token(client).map(Some);
        }
        if let (Some(url), Some(token)) = (&self.url, &self.token) {
            let client = Client::new(url.as_str(), token.as_str())?;
            if client.health().await.is_ok() {
                return Ok(Some(client));
            }
        }
        if OfflineMcp::answers(method) {
            return Ok(None);
        }
        if !self.may_start {
            let failure = Failure::new(Code::Unreachable, "the daemon of this agent does not answer");
            return Err(failure.hinted("it is started outside of agents: `adjutant status`").into());
        }
        let started = launch::client(&self.folder).await.context("no daemon could be started")?;
        self.with_token(started).map(Some)
    }

    fn with_token(&self, client: Client) -> Result<Client> {
        match &self.token {
            Some(token) => Ok(Client::new(client.address(), token.as_str())?),
            None => Ok(client),
        }
    }

    /// Gives the headers that say what a request is.
    fn headers(&self, method: &str, params: &Value) -> Vec<(&'static str, String)> {
        let own = params["_meta"][REVISION].as_str().map(str::to_owned);
        let agreed = || self.revision.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(revision) = own.or_else(agreed).filter(|_| method != "initialize") else {
            return Vec::new();
        };
        let mut headers = Vec::new();
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if revision.as_str() >= WITH_HEADERS && is_plain(method) {
            headers.push(("mcp-method", method.to_owned()));
            let name = ["name", "uri", "taskId"].into_iter().find_map(|key| params[key].as_str());
            headers.extend(name.filter(|name| is_plain(name)).map(|name| ("mcp-name", name.to_owned())));
        }
        if is_plain(&revision) {
            headers.push(("mcp-protocol-version", revision));
        }
        headers
    }

    /// Passes an answer on; that to the first request says which revision is spoken from then on.
    fn answered(&self, method: &str, message: &str) {
        if method == "initialize" {
            let message: Value = serde_json::from_str(message).unwrap_or_default();
            let agreed = message["result"]["protocolVersion"].as_str().map(str::to_owned);
            *self.revision.lock().unwrap_or_else(PoisonError::into_inner) = agreed;
        }
        print(message);
    }
}

/// Gives what a request is answered that the daemon does not answer.
fn unanswered(id: &Value, error: &ApiError) -> String {
    let is_clients = ErrorCode::parse(&error.code).is_some_and(|code| code.status() < 500);
    let code = if is_clients { INVALID_REQUEST } else { INTERNAL_ERROR };
    let data = json!({"code": error.code, "hint": error.hint});
    let told = json!({"code": code, "message": error.error, "data": data});
    json!({"jsonrpc": "2.0", "id": id, "error": told}).to_string()
}

fn said(error: ClientError) -> ApiError {
    match error {
        ClientError::Api { error, .. } => error,
        ClientError::Protocol(_) | ClientError::Id(_) => {
            ApiError::new(ErrorCode::Internal, error.to_string())
                .hinted("`adjutant doctor` looks at the daemon")
        }
        ClientError::Unreachable { .. } => unreachable(&anyhow::Error::new(error)),
    }
}

fn too_long() -> ApiError {
    let error = ApiError::new(
        ErrorCode::TooLarge,
        format!("the message is larger than {} MiB", LINE_BYTES_MAX >> 20),
    );
    error.hinted("say less at once, up to 2 MiB")
}

fn unreachable(error: &anyhow::Error) -> ApiError {
    let told = ApiError::new(ErrorCode::Stopping, format!("{error:#}"));
    told.hinted("`adjutant status` tells whether the daemon runs, `adjutant serve` runs it where one sees it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_request_a_cancellation_or_nothing_that_is_answered() {
        for (line, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, "request 1"),
            (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, r#"request "a""#),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#,
                "cancelled 7",
            ),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, "other"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "other"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, "-32600"),
            ("x", "-32700"),
        ] {
            let found = match read(line.as_bytes().to_vec()) {
                Ok(Message::Request(request)) => format!("request {}", request.id),
                Ok(Message::Cancelled(id)) => format!("cancelled {id}"),
                Ok(Message::Other) => "other".to_owned(),
                Err(bad) => bad.answer()["error"]["code"].to_string(),
            };
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_one_is_read() {
        let mut text = vec![b'x'; LINE_BYTES_MAX as usize * 2 + 7];
        text.extend_from_slice(b"\n\n{}\nrest");
        let mut input = text.as_slice();
        assert!(matches!(next_line(&mut input), Some(Line::TooLong)));
        assert!(matches!(next_line(&mut input), Some(Line::Whole(line)) if line == b"{}\n"));
        assert!(matches!(next_line(&mut input), Some(Line::Whole(line)) if line == b"rest"));
        assert!(next_line(&mut input).is_none());
    }

    #[test]
    fn what_is_the_clients_fault_is_an_invalid_request() {
        for (error, code, name) in [
            (
                ClientError::Api { error: ApiError::new(ErrorCode::TooLarge, "x"), status: 413 },
                -32600,
                "too_large",
            ),
            (
                ClientError::Api { error: ApiError::new(ErrorCode::StoreFull, "x"), status: 503 },
                -32603,
                "store_full",
            ),
            (ClientError::Protocol("x".to_owned()), -32603, "internal"),
        ] {
            let told: Value = serde_json::from_str(&unanswered(&json!(1), &said(error))).unwrap();
            assert_eq!(
                (&told["error"]["code"], &told["error"]["data"]["code"]),
                (&json!(code), &json!(name)),
                "{told}"
            );
        }
    }
}
