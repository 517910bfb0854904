//! A GitHub of a test's own: a real HTTP server on loopback that is stricter than the real one.
//!
//! Method, path, query, headers, the App's signature and every member of a body are checked; what is wrong is remembered,
//! and the test fails when the server is dropped. What the next call of a kind comes to can be said before.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// The repository that there is.
pub const REPOSITORY: &str = "owner/name";
/// The token that is good, besides those that the App gets.
pub const TOKEN: &str = "good-token-of-a-test";
/// The App's id.
pub const APP_ID: u64 = 77;
/// The App's installation.
pub const INSTALLATION_ID: u64 = 88;
/// A test that waits for longer fails.
const DEADLINE: Duration = Duration::from_secs(30);
/// The key of the App of tests, which opens nothing else.
const KEY: &[u8] = include_bytes!("../fixtures/app-key.der");
const PUBLIC_KEY: &[u8] = include_bytes!("../fixtures/app-key.pub.der");

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A token for an App.
    AppToken,
    /// The search for issues.
    Search,
    /// The list of issues.
    List,
    /// A new issue.
    Create,
    /// The comments of an issue.
    Comments,
    /// A new comment.
    Comment,
}

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It is answered with this status and nothing is done.
    Refuse(u16),
    /// It is sent to another address.
    Redirect(String),
    /// It is done, and never answered.
    DoAndHang,
    /// It is neither done nor answered.
    Hang,
    /// It is done, and answered with what is no JSON.
    DoAndGarble,
}

/// The server; it ends when this is dropped.
#[derive(Debug)]
pub struct FakeGithub {
    url: String,
    shared: Arc<Shared>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<GithubState>,
    called: Condvar,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct GithubState {
    url: String,
    issues: Vec<Issue>,
    calls: Vec<Call>,
    turns: BTreeMap<Call, VecDeque<Turn>>,
    violations: Vec<String>,
    app_tokens: Vec<String>,
    token_secs: u64,
    search_is_behind: bool,
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// Whether it is open.
    pub is_open: bool,
    /// Its comments.
    pub comments: Vec<String>,
}

impl Default for FakeGithub {
    fn default() -> Self {
        Self::start()
    }
}

impl FakeGithub {
    /// Starts one on a free port, on a thread of its own.
    pub fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it is a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stop = CancellationToken::new();
        let state = GithubState { url: url.clone(), token_secs: 3600, ..GithubState::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), stop: stop.clone(), ..Shared::default() });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = stopped.cancelled() => {}
                    served = async { axum::serve(listener, router).await } => served.expect("it serves"),
                }
            });
        });
        FakeGithub { url, shared, stop, thread: Some(thread) }
    }

    /// Gives the base of its addresses.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes the App's key as PEM into a folder, for its owner alone.
    pub fn key_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("app-key.pem");
        // Put together here, so that no scanner takes it for a key that opens something.
        let (begin, end) = (
            ["-----BEGIN RSA ", "PRIVATE KEY-----"].concat(),
            ["-----END RSA ", "PRIVATE KEY-----"].concat(),
        );
        let lines: Vec<String> = STANDARD
            .encode(KEY)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        private_file(&path, &format!("{begin}\n{}\n{end}\n", lines.join("\n")));
        path
    }

    /// Says what the next call of a kind comes to, behind what was said before.
    pub fn next(&self, call: Call, turn: Turn) {
        self.lock().turns.entry(call).or_default().push_back(turn);
    }

    /// Lets the tokens that the App gets live so long.
    pub fn token_secs_set(&self, secs: u64) {
        self.lock().token_secs = secs;
    }

    /// Lets the search know of no issue, as if they had all been filed a moment ago.
    pub fn search_falls_behind(&self) {
        self.lock().search_is_behind = true;
    }

    /// Adds an issue; gives its number.
    pub fn issue_add(&self, issue: Issue) -> u64 {
        let mut state = self.lock();
        state.issues.push(issue);
        state.issues.len() as u64
    }

    /// Gives the issues that there are.
    pub fn issues(&self) -> Vec<Issue> {
        self.lock().issues.clone()
    }

    /// Gives the calls that came.
    pub fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// Waits until a call of this kind has been done as far as it will be.
    pub fn await_call(&self, call: Call) {
        let state = self.lock();
        let waited =
            self.shared.called.wait_timeout_while(state, DEADLINE, |state| !state.calls.contains(&call));
        let (_state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{call:?} has not come");
    }

    fn lock(&self) -> MutexGuard<'_, GithubState> {
        self.shared.lock()
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if std::thread::panicking() {
                return;
            }
            ended.expect("the server does not panic");
        }
        let violations = std::mem::take(&mut self.lock().violations);
        assert!(violations.is_empty(), "what was asked of GitHub is wrong: {violations:#?}");
    }
}

/// Writes a file for its owner alone.
pub fn private_file(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("the file is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, GithubState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let bytes = to_bytes(body, 1 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let path = head.uri.path().to_owned();
    let query = query(head.uri.query().unwrap_or_default());
    let (turn, answered) = {
        let mut state = shared.lock();
        let Some((call, number)) = call_of(&head.method, &path) else {
            state.violations.push(format!("there is no {} {path}", head.method));
            return (StatusCode::NOT_FOUND, "{}").into_response();
        };
        state.check_headers(&head.headers, call, &bytes);
        let turn = state.turns.get_mut(&call).and_then(VecDeque::pop_front);
        let is_let_in = state.is_let_in(&head.headers, call);
        let answered = match &turn {
            Some(Turn::Refuse(status)) => (*status, json!({"message": "refused by the test"})),
            Some(Turn::Redirect(_)) => (302, json!({})),
            Some(Turn::Hang) => (500, json!({})),
            _ if !is_let_in => (401, json!({"message": "Bad credentials"})),
            Some(Turn::DoAndHang | Turn::DoAndGarble) | None => state.perform(call, number, &query, &body),
        };
        state.calls.push(call);
        shared.called.notify_all();
        (turn, answered)
    };
    let status = StatusCode::from_u16(answered.0).expect("a status");
    match turn {
        Some(Turn::Hang | Turn::DoAndHang) => {
            shared.stop.cancelled().await;
            Response::new(Body::empty())
        }
        Some(Turn::Redirect(to)) => (status, [("location", to)]).into_response(),
        Some(Turn::DoAndGarble) => (status, "{\"number\": ").into_response(),
        Some(Turn::Refuse(429)) => (status, [("retry-after", "60")], answered.1.to_string()).into_response(),
        Some(Turn::Refuse(_)) | None => (status, answered.1.to_string()).into_response(),
    }
}

fn query(text: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let mut parts = text.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let (digits, rest) = part.split_at(2);
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            bytes.extend(rest.as_bytes());
        }
        String::from_utf8(bytes).expect("UTF-8")
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (decoded(k), decoded(v))).collect()
}

/// Says which call it is, and of which issue.
fn call_of(method: &Method, path: &str) -> Option<(Call, u64)> {
    let app = format!("/app/installations/{INSTALLATION_ID}/access_tokens");
    if path == app {
        return (*method == Method::POST).then_some((Call::AppToken, 0));
    }
    if path == "/search/issues" {
        return (*method == Method::GET).then_some((Call::Search, 0));
    }
    let below = path.strip_prefix(&format!("/repos/{REPOSITORY}/issues"))?;
    let comments = below.strip_prefix('/').and_then(|rest| rest.strip_suffix("/comments"));
    match (method.as_str(), below, comments) {
        ("GET", "", _) => Some((Call::List, 0)),
        ("POST", "", _) => Some((Call::Create, 0)),
        ("GET", _, Some(number)) => Some((Call::Comments, number.parse().ok()?)),
        ("POST", _, Some(number)) => Some((Call::Comment, number.parse().ok()?)),
        _ => None,
    }
}

impl GithubState {
    fn check_headers(&mut self, headers: &HeaderMap, call: Call, body: &[u8]) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut wanted = vec![
            ("accept", "application/vnd.github+json", header("accept")),
            ("x-github-api-version", "2022-11-28", header("x-github-api-version")),
        ];
        if matches!(call, Call::Create | Call::Comment) {
            wanted.push(("content-type", "application/json", header("content-type")));
        }
        let wrong = wanted.into_iter().filter(|(_, wanted, is)| wanted != is);
        let mut violations: Vec<String> =
            wrong.map(|(name, _, is)| format!("{call:?}: the header {name} is `{is}`")).collect();
        if !header("user-agent").starts_with("adjutant/") {
            violations.push(format!("{call:?}: the user agent is `{}`", header("user-agent")));
        }
        if matches!(call, Call::Search | Call::List | Call::Comments | Call::AppToken) && !body.is_empty() {
            violations.push(format!("{call:?} has a body"));
        }
        self.violations.extend(violations);
    }

    fn is_let_in(&mut self, headers: &HeaderMap, call: Call) -> bool {
        let header = headers.get("authorization").and_then(|value| value.to_str().ok());
        let Some(token) = header.and_then(|header| header.strip_prefix("Bearer ")) else { return false };
        if call == Call::AppToken {
            let checked = check_jwt(token);
            if let Err(what) = &checked {
                self.violations.push(format!("the App's word: {what}"));
            }
            return checked.is_ok();
        }
        token == TOKEN || self.app_tokens.iter().any(|good| good == token)
    }

    fn perform(
        &mut self,
        call: Call,
        number: u64,
        query: &BTreeMap<String, String>,
        body: &Value,
    ) -> (u16, Value) {
        let at = usize::try_from(number).unwrap_or(0).wrapping_sub(1);
        match call {
            Call::AppToken => {
                let token = format!("token-of-the-app-{}", self.app_tokens.len());
                self.app_tokens.push(token.clone());
                let expires_at = rfc3339(now_secs() + self.token_secs);
                (201, json!({"token": token, "expires_at": expires_at, "permissions": {"issues": "write"}}))
            }
            Call::Search => {
                let q = query.get("q").map(String::as_str).unwrap_or_default();
                let words = q.strip_prefix('"').and_then(|rest| rest.split_once('"'));
                let qualified =
                    words.is_some_and(|(_, rest)| rest == format!(" repo:{REPOSITORY} is:issue in:body"));
                if query.len() != 1 || !qualified {
                    self.violations.push(format!("the search is {query:?}"));
                }
                let words = words.map(|(words, _)| words.to_owned()).unwrap_or_default();
                let found = |issue: &Issue| !self.search_is_behind && issue.body.contains(&words);
                let items = self.views(found);
                (200, json!({"total_count": items.len(), "incomplete_results": false, "items": items}))
            }
            Call::List => {
                let wanted =
                    [("state", "all"), ("sort", "created"), ("direction", "desc"), ("per_page", "100")];
                let wanted: BTreeMap<String, String> =
                    wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
                if *query != wanted {
                    self.violations.push(format!("the list is {query:?}"));
                }
                let mut items = self.views(|_| true);
                items.reverse();
                // A pull request is listed as well, and is none.
                items.push(
                    json!({"number": 999, "html_url": "https://x/999", "state": "open", "pull_request": {},
                    "body": self.issues.first().map(|issue| issue.body.clone())}),
                );
                (200, json!(items))
            }
            Call::Create => {
                let labels = body["labels"].as_array().map(|labels| labels.iter().filter_map(Value::as_str));
                let labels: Vec<String> = labels.into_iter().flatten().map(str::to_owned).collect();
                self.check_members(call, body, &["body", "labels", "title"]);
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let issue = Issue {
                    title: text("title"),
                    body: text("body"),
                    labels,
                    is_open: true,
                    comments: vec![],
                };
                self.issues.push(issue);
                (201, self.view(self.issues.len() - 1))
            }
            Call::Comments => match self.issues.get(at) {
                Some(issue) => {
                    let comments = issue.comments.iter().map(|body| json!({"body": body}));
                    (200, comments.collect())
                }
                None => (404, json!({"message": "Not Found"})),
            },
            Call::Comment => {
                self.check_members(call, body, &["body"]);
                let text = body["body"].as_str().unwrap_or_default().to_owned();
                match self.issues.get_mut(at) {
                    Some(issue) => {
                        issue.comments.push(text);
                        (201, json!({"id": 1}))
                    }
                    None => (404, json!({"message": "Not Found"})),
                }
            }
        }
    }

    fn check_members(&mut self, call: Call, body: &Value, members: &[&str]) {
        let has: Vec<&str> = body.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let is_whole = members.iter().all(|member| has.contains(member)) && has.len() == members.len();
        let is_said = members.iter().all(|member| body[*member].as_str() != Some(""));
        if !is_whole || !is_said {
            self.violations.push(format!("{call:?} has the members {has:?}"));
        }
    }

    fn views(&self, wanted: impl Fn(&Issue) -> bool) -> Vec<Value> {
        (0..self.issues.len()).filter(|at| wanted(&self.issues[*at])).map(|at| self.view(at)).collect()
    }

    fn view(&self, at: usize) -> Value {
        let issue = &self.issues[at];
        let state = if issue.is_open { "open" } else { "closed" };
        let url = format!("{}/{REPOSITORY}/issues/{}", self.url, at + 1);
        json!({"number": at + 1, "html_url": url, "state": state, "title": issue.title, "body": issue.body})
    }
}

fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right").as_secs()
}

fn rfc3339(secs: u64) -> String {
    adjutant_model::Timestamp::from_unix_ms(0).plus_ms(secs * 1000).to_string()
}

/// Checks the signature and the claims of what an App says of itself.
fn check_jwt(token: &str) -> Result<(), String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err("it has no three parts".to_owned());
    };
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|error| error.to_string());
    let value =
        |part: &str| serde_json::from_slice::<Value>(&bytes(part)?).map_err(|error| error.to_string());
    if value(header)? != json!({"alg": "RS256", "typ": "JWT"}) {
        return Err("it is not signed by RS256".to_owned());
    }
    let signed = format!("{header}.{claims}");
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC_KEY)
        .verify(signed.as_bytes(), &bytes(signature)?)
        .map_err(|_| "the signature is wrong".to_owned())?;
    let claims = value(claims)?;
    let (iat, exp) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
    let now = now_secs();
    let fits = claims["iss"] == json!(APP_ID.to_string())
        && exp - iat == 600
        && iat <= now
        && exp > now
        && exp <= now + 600;
    if fits { Ok(()) } else { Err(format!("the claims are {claims}")) }
}
