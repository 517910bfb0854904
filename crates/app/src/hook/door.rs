//! The daemon's door as hooks know it: one request over its Unix socket, with a limit to every wait.

use crate::config;
use crate::daemon::read_if_there;
use adjutant_model::id::Uuid;
use adjutant_protocol::ApiError;
use adjutant_protocol::discovery::{DAEMON_FILE, DaemonFile, TOKEN_FILE};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// An event that decides nothing waits so long at most.
const STATUS_WAIT: Duration = Duration::from_millis(900);
/// While a decision is waited for, the daemon is asked so often whether it is there.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// It has so long to say that it is.
const LOOK_WAIT: Duration = Duration::from_secs(5);
/// A decision is waited for so long at most: less than agents are told to wait for their hooks.
const DECISION_WAIT: Duration = Duration::from_secs(3500);
/// An answer is at most so large.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoAnswer {
    /// In words.
    pub(super) why: String,
    /// Whether the daemon has refused to take what was sent; else it may not have it.
    pub(super) is_refused: bool,
}

impl NoAnswer {
    fn missing(why: impl ToString) -> Self {
        NoAnswer { why: why.to_string(), is_refused: false }
    }
}

/// Where the daemon is, and as whom it is asked.
#[derive(Debug, Clone)]
pub(super) struct Door {
    socket: PathBuf,
    token: String,
    session: Option<String>,
    is_ours: bool,
}

impl Door {
    /// Finds the door: as the environment says, or that of the data folder.
    ///
    /// # Errors
    /// Why there is none; nothing when the agent is none of ours.
    pub(super) fn find(home: Option<PathBuf>) -> Result<Self, Option<String>> {
        let session = config::var("ADJUTANT_SESSION");
        let token = config::token().map_err(|failure| Some(failure.to_string()))?;
        match (config::var("ADJUTANT_SOCKET"), token) {
            (Some(socket), Some(token)) => Ok(Door { socket: socket.into(), token, session, is_ours: true }),
            (None, Some(_)) => Err(Some("ADJUTANT_SOCKET does not say where the daemon is".to_owned())),
            (_, None) if session.is_some() => {
                Err(Some("ADJUTANT_TOKEN is not in the environment".to_owned()))
            }
            (_, None) => Self::of_folder(home).ok_or(None),
        }
    }

    fn of_folder(home: Option<PathBuf>) -> Option<Self> {
        let folder = config::data_folder(home.as_deref()).ok()?;
        let daemon: DaemonFile =
            serde_json::from_str(&read_if_there(&folder.join(DAEMON_FILE)).ok()??).ok()?;
        let token = read_if_there(&folder.join(TOKEN_FILE)).ok()??.trim().to_owned();
        Some(Door { socket: daemon.socket.into(), token, session: None, is_ours: false })
    }

    /// Tells whether Adjutant has started the agent.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// Asks and gives the answer's body; of a hook that is known by an id it says that.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn ask(&self, body: &[u8], id: Option<Uuid>) -> Result<String, NoAnswer> {
        let decides = id.is_none();
        let began = Instant::now();
        let answer = self.apart(self.request(body, id));
        let wait = if decides { LOOK_EVERY } else { STATUS_WAIT };
        loop {
            match answer.recv_timeout(wait) {
                Ok(answer) => {
                    return answer.map_err(NoAnswer::missing).and_then(|bytes| read_answer(&bytes));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(NoAnswer::missing("the request was not made"));
                }
                Err(RecvTimeoutError::Timeout) if !decides => {
                    return Err(NoAnswer::missing("the daemon is slow to answer"));
                }
                Err(RecvTimeoutError::Timeout) if began.elapsed() > DECISION_WAIT => {
                    let waited = DECISION_WAIT.as_secs();
                    return Err(NoAnswer::missing(format!("nothing was decided in {waited} s")));
                }
                Err(RecvTimeoutError::Timeout) => self.look().map_err(NoAnswer::missing)?,
            }
        }
    }

    /// Sees whether the daemon is still there.
    fn look(&self) -> Result<(), String> {
        let head = "GET /v1/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        match self.apart(head.as_bytes().to_vec()).recv_timeout(LOOK_WAIT) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the daemon does not answer any more".to_owned()),
        }
    }

    fn request(&self, body: &[u8], id: Option<Uuid>) -> Vec<u8> {
        let Door { token, session, .. } = self;
        let session =
            session.as_ref().map_or_else(String::new, |id| format!("x-adjutant-session: {}\r\n", plain(id)));
        let id = id.map_or_else(String::new, |id| format!("x-adjutant-hook: {id}\r\n"));
        let mut request = format!(
            "POST /v1/hooks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n{session}{id}\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            plain(token),
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// Exchanges a request for an answer in a thread of its own, because no wait on a socket's opening has a limit.
    fn apart(&self, request: Vec<u8>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
        let socket = self.socket.clone();
        let (told, answer) = mpsc::sync_channel(1);
        let exchanging = std::thread::Builder::new().spawn(move || {
            // Nobody waits for it any more when the time is over.
            drop(told.send(exchange(&socket, &request)));
        });
        // Without a thread the channel is closed, which is told like any other failure.
        drop(exchanging);
        answer
    }
}

fn exchange(socket: &PathBuf, request: &[u8]) -> io::Result<Vec<u8>> {
    let unreachable =
        |error: io::Error| io::Error::new(error.kind(), format!("the daemon cannot be reached: {error}"));
    let mut stream = UnixStream::connect(socket).map_err(unreachable)?;
    // The door may answer before it has read all of a body that it does not want.
    let sent = stream.write_all(request);
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).and(sent.or(Ok(())))?;
    Ok(answer)
}

/// Leaves nothing of a text that could end a line of the head.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Reads the answer's body.
fn read_answer(answer: &[u8]) -> Result<String, NoAnswer> {
    let text =
        std::str::from_utf8(answer).map_err(|_| NoAnswer::missing("the daemon's answer is no text"))?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| NoAnswer::missing("the daemon went away before it answered"))?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    if status == 200 {
        return Ok(body.to_owned());
    }
    let why = match serde_json::from_str::<ApiError>(body) {
        Ok(error) => error.error,
        Err(_) => format!("the daemon answered with status {status}"),
    };
    Err(NoAnswer { why, is_refused: (400..500).contains(&status) })
}
