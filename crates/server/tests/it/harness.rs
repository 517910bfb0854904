//! A daemon without a process: a plane, its door on a free port and on a Unix socket, and clients of it.

use adjutant_engine::care::restore::put_in_place;
use adjutant_engine::{Plane, Settings};
use adjutant_protocol::http::{BlueprintRefParams, TaskParams};
use adjutant_protocol::{ApiError, Client, ClientError};
use adjutant_server::Listeners;
use adjutant_testkit::Home;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

pub(crate) struct Daemon {
    pub(crate) home: Home,
    pub(crate) plane: Plane,
    pub(crate) token: String,
    pub(crate) client: Client,
    address: SocketAddr,
    shutdown: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

/// A WebSocket without a client's manners.
pub(crate) struct WebSocket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl WebSocket {
    /// Goes as it should.
    pub(crate) async fn close(mut self) {
        self.0.close(None).await.expect("it is sent");
    }

    /// Breaks the transport: sends what is no frame at all.
    pub(crate) async fn garble(&mut self) {
        let MaybeTlsStream::Plain(stream) = self.0.get_mut() else { panic!("the door is plain TCP") };
        stream.write_all(&[0xff; 64]).await.expect("it is sent");
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("it is sent");
    }

    /// Gives the next text as JSON; nothing when the door has closed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(text.as_str()).expect("JSON")),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    /// Reads the body as the one form of errors.
    #[track_caller]
    pub(crate) fn error(&self) -> ApiError {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Daemon {
    pub(crate) async fn start() -> Self {
        Self::with_program("/nonexistent/adjutant".into()).await
    }

    /// Starts a daemon whose clients' runs wait so long for their clients.
    pub(crate) async fn with_lease(lease_ms: u64) -> Self {
        Self::with_settings(|settings| settings.client_lease_ms = lease_ms).await
    }

    /// Starts a daemon with a policy of its own.
    pub(crate) async fn with_policy(policy: &str) -> Self {
        Self::with_settings(|settings| {
            std::fs::write(settings.folder.join("policy.toml"), policy).expect("the policy is written");
        })
        .await
    }

    /// Opens a WebSocket of the runtime door, with a token in the header or without.
    pub(crate) async fn web_socket(&self, token: Option<&str>) -> WebSocket {
        self.web_socket_at("/rpc", token).await
    }

    /// Opens a WebSocket, with a token in the header or without.
    pub(crate) async fn web_socket_at(&self, path: &str, token: Option<&str>) -> WebSocket {
        let mut request = format!("ws://{}{path}", self.address).into_client_request().expect("an address");
        if let Some(token) = token {
            let bearer = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert("authorization", bearer);
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await.expect("the door opens");
        WebSocket(socket)
    }

    /// Starts a daemon that takes `exe` for Adjutant's own program.
    pub(crate) async fn with_program(exe: PathBuf) -> Self {
        Self::with_settings(|settings| settings.exe = exe).await
    }

    /// Starts a daemon with settings of its own.
    pub(crate) async fn with_settings(change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(Home::new(), change).await
    }

    /// Starts a daemon over a data folder that an earlier one may have left.
    async fn over(home: Home, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = home.settings();
        change(&mut settings);
        let plane = Plane::open(settings).await.expect("the plane opens");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let unix = UnixListener::bind(home.path("socket")).expect("a socket");
        let address = tcp.local_addr().expect("an address");
        let url = format!("http://{address}");
        let token = plane.owner_token_create().await.expect("a token").reveal().to_owned();
        plane.endpoint_set(url.clone());
        plane.resume().await.expect("the plane resumes");
        let shutdown = CancellationToken::new();
        let router = adjutant_server::router(plane.clone(), adjutant_server::Authentication::Required);
        let serving = tokio::spawn(adjutant_server::serve(Listeners { tcp, unix }, router, shutdown.clone()));
        let client = Client::new(url, token.as_str()).expect("a client");
        Daemon { home, plane, token, client, address, shutdown, serving }
    }

    /// Stops it as the program does: the plane first, then the door.
    pub(crate) async fn stop(self) {
        drop(self.stopped().await);
    }

    /// Stops it and starts another over the same data folder.
    pub(crate) async fn restarted(self) -> Self {
        self.restarted_with(|_| {}).await
    }

    /// Stops it and starts another with settings of its own.
    pub(crate) async fn restarted_with(self, change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(self.stopped().await, change).await
    }

    /// Waits until a restored store is ready, puts it in place as the program does, and starts another over it.
    pub(crate) async fn restored(self) -> Self {
        let order = self.plane.restore_wanted().await;
        let home = self.stopped().await;
        put_in_place(home.folder(), order).await.expect("it takes its place");
        Self::over(home, |_| {}).await
    }

    /// Stops it and starts another, whose clients' runs wait so long for their clients.
    pub(crate) async fn restarted_with_lease(self, lease_ms: u64) -> Self {
        Self::over(self.stopped().await, |settings| settings.client_lease_ms = lease_ms).await
    }

    /// Stops it and gives the data folder that it leaves, without its socket.
    async fn stopped(self) -> Home {
        self.plane.stop().await;
        self.shutdown.cancel();
        self.serving.await.expect("the door does not panic").expect("the door closes in good order");
        std::fs::remove_file(self.home.path("socket")).expect("the socket was there");
        self.home
    }

    pub(crate) fn client_with(&self, token: &str) -> Client {
        Client::new(self.client.address(), token).expect("a client")
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the door is open")
    }

    /// Sends a request with the owner's token and a body.
    pub(crate) async fn send(&self, line: &str, body: &str) -> Raw {
        self.send_headed(line, "", body).await
    }

    /// Sends a request with the owner's token, more lines of the head, and a body.
    pub(crate) async fn send_headed(&self, line: &str, more: &str, body: &str) -> Raw {
        let head = format!("host: {}\r\nauthorization: Bearer {}\r\n{more}", self.host(), self.token);
        exchange(self.connect().await, line, &head, body.as_bytes()).await
    }

    /// Sends a request with a token and a body.
    pub(crate) async fn send_as(&self, token: &str, line: &str, body: &str) -> Raw {
        let head = format!("host: {}\r\nauthorization: Bearer {token}\r\n", self.host());
        exchange(self.connect().await, line, &head, body.as_bytes()).await
    }

    /// Sends a request with a head of one's own.
    pub(crate) async fn send_with(&self, line: &str, head: &str) -> Raw {
        exchange(self.connect().await, line, head, b"").await
    }

    /// Sends a request with a head and a body of one's own.
    pub(crate) async fn send_body(&self, line: &str, head: &str, body: &[u8]) -> Raw {
        exchange(self.connect().await, line, head, body).await
    }

    /// Sends a request through the Unix socket.
    pub(crate) async fn send_through_socket(&self, line: &str, head: &str) -> Raw {
        let socket = UnixStream::connect(self.path("socket")).await.expect("the socket is open");
        exchange(socket, line, head, b"").await
    }
}

/// Sends a request such as `GET /v1/runs` and takes the whole answer.
async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    line: &str,
    head: &str,
    body: &[u8],
) -> Raw {
    let sent = request(line, head, body.len());
    stream.write_all(sent.as_bytes()).await.expect("the head is sent");
    // The door may answer and close before it has read all of a body that it does not want.
    drop(stream.write_all(body).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Raw { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Gives a request's head; the connection ends with its answer.
pub(crate) fn request(line: &str, head: &str, body_len: usize) -> String {
    format!("{line} HTTP/1.1\r\n{head}content-length: {body_len}\r\nconnection: close\r\n\r\n")
}

/// Gives a task of an inline blueprint.
pub(crate) fn task(blueprint: Value, init_ctx: Value) -> TaskParams {
    let request = json!({"blueprint": {"kind": "inline", "value": blueprint}, "init_ctx": init_ctx});
    serde_json::from_value(request).expect("a request")
}

/// Gives a blueprint whose one step hands `$.in` to an agent and writes `$.out`.
pub(crate) fn one_step(agent: Value) -> Value {
    let mut agent = agent;
    agent["name"] = json!("worker");
    json!({"id": "test", "agents": [agent],
        "flow": {"kind": "step", "ref": "worker", "in": {"op": "path", "at": "$.in"}, "out": {"op": "path", "at": "$.out"}}})
}

pub(crate) fn identity() -> Value {
    one_step(json!({"kind": "function", "spec": {"fn_id": "identity"}}))
}

/// Gives a blueprint that waits longer than any test.
pub(crate) fn endless() -> Value {
    json!({"id": "test", "agents": [], "flow": {"kind": "wait", "ms": 3_600_000}})
}

pub(crate) fn by_id(id: &str) -> BlueprintRefParams {
    BlueprintRefParams::Id { id: id.to_owned(), version: None }
}

/// Takes the error that the daemon answered with, and its status.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> (u16, ApiError) {
    match answer {
        Err(ClientError::Api { error, status }) => (status, error),
        other => panic!("no refusal: {other:?}"),
    }
}
