//! The few calls by which an issue is filed. But for traces, nothing else of Adjutant speaks to another machine.
//!
//! No redirect is followed, an answer is read up to a limit, and each call has a deadline. A failure says whether it is
//! certain that nothing was filed.

use super::ReportSettings;
use super::token::{self, AppSettings, TokenSource};
use crate::clock;
use crate::error::chain;
use crate::worker::Secret;
use adjutant_model::Timestamp;
use adjutant_model::report::{FiledIssue, ReportDraft};
use adjutant_rules::redact::redact;
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use serde_json::{Value, json};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// An answer is at most so large, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// An App's token is used until so long before its end, in milliseconds.
const TOKEN_MARGIN_MS: u64 = 300_000;
/// So many of the newest issues are looked through for what the search does not know yet.
const LOOKED_THROUGH: &str = "100";
/// The revision of the API.
const API_VERSION: &str = "2022-11-28";
/// An address of an issue is at most so long.
const URL_BYTES_MAX: usize = 2048;

/// What the door to GitHub remembers.
#[derive(Debug, Default)]
pub(super) struct Github {
    http: OnceLock<Client>,
    app_token: Mutex<Option<AppToken>>,
}

#[derive(Debug, Clone)]
struct AppToken {
    app: AppSettings,
    secret: Secret,
    expires_at: Timestamp,
}

/// Why a report was not filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileError {
    /// What went wrong; nothing in it is secret.
    pub(super) message: String,
    /// What to do about it.
    pub(super) hint: &'static str,
    /// Whether an issue may have come of it all the same.
    pub(super) came: Came,
}

/// Whether something came of a filing that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing did, of this filing; of an earlier one nobody has looked.
    NotLooked,
    /// Nothing did, and nothing of an earlier one was found.
    Nothing,
    /// Nobody knows.
    Unknown,
}

const TOKEN_HINT: &str = "give a token that may write issues of the repository";
const LATER_HINT: &str = "try again later";
const AGAIN_HINT: &str = "agree to it again; whether it went through is looked at first";
const PLACE_HINT: &str = "check `repository` and `api_base` below `[reports]` in config.toml";

impl FileError {
    fn new(message: impl AsRef<str>, hint: &'static str) -> Self {
        FileError { message: redact(message.as_ref()).into_owned(), hint, came: Came::NotLooked }
    }

    /// Says that the daemon's stop came in between.
    pub(super) fn stopped() -> Self {
        Self::new("the daemon is stopping", AGAIN_HINT).came(Came::Unknown)
    }

    fn came(self, came: Came) -> Self {
        FileError { came, ..self }
    }
}

/// An issue that is there.
struct FoundIssue {
    issue: FiledIssue,
    is_open: bool,
    body: String,
}

/// A repository, and the right to file there.
struct Door<'d> {
    http: &'d Client,
    base: &'d Url,
    repository: &'d str,
    token: Secret,
    timeout: Duration,
}

impl Github {
    /// Files an issue, or finds the one that has the marker: then the report is a comment of it, unless it stands there
    /// word by word already.
    pub(super) async fn file(
        &self,
        settings: &ReportSettings,
        repository: &str,
        source: TokenSource,
        draft: &ReportDraft,
        marker: &str,
    ) -> Result<FiledIssue, FileError> {
        let http = self.http(&settings.api_base)?;
        let timeout = settings.timeout;
        let base = &settings.api_base;
        let token = match source {
            TokenSource::Token(token) => token,
            TokenSource::App(app) => self.app_token(http, base, timeout, app).await?,
        };
        let door = Door { http, base, repository, token, timeout };
        match door.find(draft, marker).await? {
            Some(found) if is_same(&found.body, &draft.body) => Ok(found.issue),
            Some(found) => {
                if !door.has_comment(&found.issue, draft).await? {
                    door.comment(&found.issue, draft).await?;
                }
                Ok(found.issue)
            }
            None => door.create(draft).await,
        }
    }

    fn http(&self, base: &Url) -> Result<&Client, FileError> {
        if let Some(http) = self.http.get() {
            return Ok(http);
        }
        super::choose_crypto();
        let builder =
            Client::builder().redirect(redirect::Policy::none()).connect_timeout(Duration::from_secs(10));
        let builder = if base.scheme() == "http" { builder.no_proxy() } else { builder };
        let http =
            builder.build().map_err(|error| FileError::new(format!("no client: {error}"), LATER_HINT))?;
        Ok(self.http.get_or_init(|| http))
    }

    /// Gives the token of an App's installation, got anew when the last one is nearly over.
    async fn app_token(
        &self,
        http: &Client,
        base: &Url,
        timeout: Duration,
        app: AppSettings,
    ) -> Result<Secret, FileError> {
        let known = self.app_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let now = clock::now();
        if let Some(known) =
            known.filter(|known| known.app == app && known.expires_at > now.plus_ms(TOKEN_MARGIN_MS))
        {
            return Ok(known.secret);
        }
        let jwt = token::app_jwt(&app, now)
            .map_err(|what| FileError::new(what, "check `[reports]` in config.toml"))?;
        let door = Door { http, base, repository: "", token: jwt, timeout };
        let path =
            ["app", "installations", &app.installation_id.to_string(), "access_tokens"].map(str::to_owned);
        let got = door.call(door.request(Method::POST, &path, &[]), 201, "a token for the App").await;
        // It is a posting that files nothing.
        let answer = got.map_err(|error| error.came(Came::NotLooked))?;
        let unread = || FileError::new("GitHub's token for the App cannot be read", LATER_HINT);
        let secret =
            answer["token"].as_str().filter(|token| !token.is_empty()).map(Secret::new).ok_or_else(unread)?;
        let expires_at =
            answer["expires_at"].as_str().and_then(|at| Timestamp::parse(at).ok()).ok_or_else(unread)?;
        let token = AppToken { app, secret: secret.clone(), expires_at };
        *self.app_token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        Ok(secret)
    }
}

impl Door<'_> {
    /// Finds the issue of an error: that which says the same word by word, else the oldest one that is open.
    async fn find(&self, draft: &ReportDraft, marker: &str) -> Result<Option<FoundIssue>, FileError> {
        let searched = format!("\"{}\" repo:{} is:issue in:body", marker_text(marker), self.repository);
        let search = self.request(Method::GET, &["search", "issues"].map(str::to_owned), &[("q", &searched)]);
        let answer = self.call(search, 200, "the search for the issue").await?;
        let mut found = with_marker(&answer["items"], marker);
        if found.is_empty() {
            // The search learns of an issue some time after it was filed; the list has it at once.
            let query =
                [("state", "all"), ("sort", "created"), ("direction", "desc"), ("per_page", LOOKED_THROUGH)];
            let list = self.request(Method::GET, &self.issues(&[]), &query);
            found = with_marker(&self.call(list, 200, "the list of issues").await?, marker);
        }
        let same = found.iter().position(|issue| is_same(&issue.body, &draft.body));
        if let Some(at) = same {
            return Ok(Some(found.swap_remove(at)));
        }
        Ok(found.into_iter().filter(|issue| issue.is_open).min_by_key(|issue| issue.issue.number))
    }

    async fn has_comment(&self, issue: &FiledIssue, draft: &ReportDraft) -> Result<bool, FileError> {
        let path = self.issues(&[&issue.number.to_string(), "comments"]);
        let comments = self.request(Method::GET, &path, &[("per_page", LOOKED_THROUGH)]);
        let answer = self.call(comments, 200, "the comments of the issue").await?;
        let bodies = answer.as_array().into_iter().flatten().filter_map(|comment| comment["body"].as_str());
        Ok(bodies.into_iter().any(|body| is_same(body, &draft.body)))
    }

    async fn comment(&self, issue: &FiledIssue, draft: &ReportDraft) -> Result<(), FileError> {
        let path = self.issues(&[&issue.number.to_string(), "comments"]);
        let comment = self.request(Method::POST, &path, &[]).json(&json!({"body": draft.body}));
        self.call(comment, 201, "the comment").await.map(drop).map_err(looked)
    }

    async fn create(&self, draft: &ReportDraft) -> Result<FiledIssue, FileError> {
        let body = json!({"title": draft.title, "body": draft.body, "labels": draft.labels});
        let create = self.request(Method::POST, &self.issues(&[]), &[]).json(&body);
        let answer = self.call(create, 201, "the issue").await.map_err(looked)?;
        let unread =
            || FileError::new("GitHub's answer to the issue cannot be read", AGAIN_HINT).came(Came::Unknown);
        let (number, url) = named(&answer).ok_or_else(unread)?;
        Ok(FiledIssue { number, url, deduped: false })
    }

    /// Gives the path below the repository's issues.
    fn issues(&self, below: &[&str]) -> Vec<String> {
        let (owner, name) = self.repository.split_once('/').unwrap_or((self.repository, ""));
        ["repos", owner, name, "issues"].iter().chain(below).map(|part| (*part).to_owned()).collect()
    }

    fn request(&self, method: Method, path: &[String], query: &[(&str, &str)]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.http
            .request(method, url)
            .timeout(self.timeout)
            .bearer_auth(self.token.reveal())
            .header("accept", "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION)
            .header("user-agent", concat!("adjutant/", env!("CARGO_PKG_VERSION")))
    }

    /// Sends a request and takes the answer, which must have this status.
    async fn call(&self, request: RequestBuilder, expected: u16, what: &str) -> Result<Value, FileError> {
        let request =
            request.build().map_err(|error| FileError::new(format!("{what}: {error}"), PLACE_HINT))?;
        let is_post = *request.method() == Method::POST;
        let unknown = |error: FileError| if is_post { error.came(Came::Unknown) } else { error };
        let response = self.http.execute(request).await.map_err(|error| {
            // The address may hold anything that a setting holds.
            let error = error.without_url();
            let failed = FileError::new(format!("{what}: {}", causes(&error)), AGAIN_HINT);
            if error.is_connect() { failed } else { unknown(failed) }
        })?;
        let status = response.status().as_u16();
        let waits = response.headers().get("retry-after").is_some()
            || response.headers().get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let answer = body(response).await;
        if status == expected {
            let told = answer.map_err(|why| unknown(FileError::new(format!("{what}: {why}"), AGAIN_HINT)))?;
            return serde_json::from_slice(&told)
                .map_err(|_| unknown(FileError::new(format!("{what}: the answer is no JSON"), AGAIN_HINT)));
        }
        let said = answer.ok().and_then(|told| serde_json::from_slice::<Value>(&told).ok());
        let said = said.as_ref().and_then(|told| told["message"].as_str()).unwrap_or_default();
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let message = format!("{what}: GitHub answered {status} {said}");
        let message = message.trim_end();
        Err(match status {
            300..400 => {
                FileError::new(format!("{what}: it was sent elsewhere, and that is not followed"), PLACE_HINT)
            }
            401 => FileError::new(message, TOKEN_HINT),
            403 | 429 if waits || status == 429 => FileError::new(message, LATER_HINT),
            403 => FileError::new(message, TOKEN_HINT),
            404 | 410 | 422 => FileError::new(message, PLACE_HINT),
            400..500 => FileError::new(message, PLACE_HINT),
            _ => unknown(FileError::new(message, AGAIN_HINT)),
        })
    }
}

/// Says of a failure that was none before the posting that it was looked for the issue.
fn looked(error: FileError) -> FileError {
    match error.came {
        Came::NotLooked => error.came(Came::Nothing),
        Came::Nothing | Came::Unknown => error,
    }
}

async fn body(mut response: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error.without_url()))? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err("the answer is too large".to_owned());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Says why a call failed, with all its causes.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    chain(error)
}

/// Gives what a search can find of a marker: the words in the comment.
fn marker_text(marker: &str) -> &str {
    marker.trim_start_matches("<!--").trim_end_matches("-->").trim()
}

fn with_marker(issues: &Value, marker: &str) -> Vec<FoundIssue> {
    let found = |issue: &Value| {
        let body = issue["body"].as_str().filter(|body| body.contains(marker))?;
        let (number, url) = named(issue)?;
        let is_open = issue["state"].as_str() == Some("open");
        let issue = FiledIssue { number, url, deduped: true };
        Some(FoundIssue { issue, is_open, body: body.to_owned() })
    };
    let issues = issues.as_array().map(Vec::as_slice).unwrap_or_default();
    issues.iter().filter(|issue| issue.get("pull_request").is_none()).filter_map(found).collect()
}

/// Reads an issue's number and address; an address that is none of the web is refused.
fn named(issue: &Value) -> Option<(u64, String)> {
    let number = issue["number"].as_u64().filter(|number| *number > 0)?;
    let url = issue["html_url"].as_str().filter(|url| url.len() <= URL_BYTES_MAX)?;
    let url = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()))?;
    Some((number, url.to_string()))
}

/// Tells whether two texts are the same; editors on the web change the ends of lines.
fn is_same(one: &str, other: &str) -> bool {
    one.lines().map(str::trim_end).eq(other.lines().map(str::trim_end)) || one.trim() == other.trim()
}
