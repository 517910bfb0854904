//! Errors of Adjutant: captured, kept, shown, and filed as issues when a person has agreed to the very words.
//!
//! [`tap`] takes what is logged as an error and what panics, [`keep`] scrubs and stores it. A preview is stored under the
//! hash of what it says and where it goes, and consent names that hash, so that nothing else is ever filed. A filing is a
//! row before the first call: the row is what the limits count, so two at once are one, and whoever comes after a crash
//! looks whether the issue is there before another is made ([`github`]). Before there is consent nothing is called.
//!
//! A model never agrees, whosever token it shows: for it a person is asked by an approval that shows the very words, and
//! that only the owner answers, at a face of people.

mod github;
mod keep;
mod spool;
mod tap;
mod token;

use crate::approvals::{self, Asker, Question};
use crate::clock;
use crate::error::EngineError;
use crate::plane::{Core, Plane};
use crate::runs::STORE_RETRY;
use adjutant_model::action::Caller;
use adjutant_model::event::Event;
use adjutant_model::policy::ToolCall;
use adjutant_model::report::{ErrorRecord, FiledIssue, Filing, FilingState, ReportPreview};
use adjutant_model::run::ErrorClass;
use adjutant_model::{Timestamp, Value};
use adjutant_rules::approval::{self, Answered};
use adjutant_rules::report::{self, Admission, HOUR_MS, HOURLY_MAX, Limit, SAME_ERROR_MS};
use adjutant_rules::scrub::Scrubber;
use adjutant_store::reports::FilingLimits;
use adjutant_store::{Draft, Write, WriteError};
use github::{Came, FileError, Github};
use reqwest::Url;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use token::TokenSource;

pub(crate) use github::causes;
pub(crate) use keep::{JOB, keep, watch};
pub use spool::LeftErrors;
pub use tap::{ErrorLayer, ErrorTap, tell_panics};
pub use token::AppSettings;
pub(crate) use token::private_file;

/// A list has at most so many errors.
pub const ERRORS_MAX: usize = 100;
/// A list has so many errors when nothing is said.
pub const ERRORS_DEFAULT: usize = 20;
/// Where issues are filed when the settings do not say.
const API_BASE: &str = "https://api.github.com";
/// The tool that asks for a report, as its approval names it.
pub(crate) const TOOL: &str = "report_bug";
/// Why a person is asked.
const ASK_REASON: &str =
    "a model wants this error to be reported in these words, which leave this machine then";
/// A call takes at most so long.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// What somebody is told who was shown a preview.
const PREVIEW_NOTE: &str = "nothing has left this machine; exactly this is filed when its hash is agreed to";

/// Where reports go, and by what right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportSettings {
    /// The base of the API's addresses.
    pub api_base: Url,
    /// The repository, `owner/name`; without one nothing is filed.
    pub repository: Option<String>,
    /// The file with a token; `report-token` in the data folder when nothing is said.
    pub token_file: Option<PathBuf>,
    /// The GitHub App that files when there is no token.
    pub app: Option<AppSettings>,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Default for ReportSettings {
    fn default() -> Self {
        ReportSettings {
            api_base: Url::parse(API_BASE).expect("it is an address"),
            repository: None,
            token_file: None,
            app: None,
            timeout: CALL_TIMEOUT,
        }
    }
}

impl ReportSettings {
    /// Takes the base of the API's addresses: over TLS, or on this machine.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn api_base_set(&mut self, text: &str) -> Result<(), String> {
        let url = Url::parse(text).map_err(|_| format!("`{API_BASE}` is an address, this is none"))?;
        let is_here = url.host_str().is_some_and(|host| ["127.0.0.1", "localhost", "[::1]"].contains(&host));
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
        if !is_safe {
            return Err("it must begin with https://".to_owned());
        }
        if !url.username().is_empty()
            || url.password().is_some()
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err("it must be no more than a host and a path; a token stands elsewhere".to_owned());
        }
        self.api_base = url;
        Ok(())
    }

    /// Takes the repository, `owner/name`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn repository_set(&mut self, text: &str) -> Result<(), String> {
        self.repository = Some(report::repository(text)?.to_owned());
        Ok(())
    }

    /// Names where reports go.
    fn destination(&self) -> Option<String> {
        let repository = self.repository.as_deref()?;
        Some(format!("{} {repository}", self.api_base.as_str().trim_end_matches('/')))
    }
}

/// What the plane knows of reports besides the store.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    github: Github,
}

/// The errors that were seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorList {
    /// Those that were seen last first.
    pub errors: Vec<ErrorRecord>,
    /// How many there are.
    pub total: u64,
    /// How many of them a list may have.
    pub limit: usize,
}

/// An error, and what became of its last report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorInfo {
    /// The error.
    pub error: ErrorRecord,
    /// Its last report, when there was one.
    pub filing: Option<Filing>,
}

/// A preview, and what is said to whoever sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownPreview {
    /// The preview.
    pub preview: ReportPreview,
    /// What it means.
    pub note: String,
}

/// What somebody agrees to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consent {
    /// To nothing yet.
    None,
    /// To the preview of this hash.
    Preview(String),
    /// To the preview that the same token was shown last.
    LastShown,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Nobody has agreed to it; nothing was filed.
    Asked(ShownPreview),
    /// A person was asked to agree to it; nothing was filed yet.
    Waits {
        /// The approval that the owner answers.
        approval_id: String,
        /// What is filed then.
        shown: ShownPreview,
    },
    /// Too many were filed; nothing was filed.
    Limited {
        /// Why, and until when.
        note: String,
    },
    /// It cannot be filed from here; nothing was filed.
    Unsent {
        /// Why.
        note: String,
    },
    /// It is an issue, or a comment of one.
    Filed(FiledIssue),
}

/// Chooses what TLS computes with. Every client of HTTP in this process needs that, also one that has no use for TLS.
pub fn choose_crypto() {
    // Somebody else may have chosen before, which does as well.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Says in a line what an error is.
pub fn summary(error: &ErrorRecord) -> String {
    report::summary(error)
}

impl Plane {
    /// Gives the errors that were seen last, also those of this moment.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] unless `limit` is from 1 to [`ERRORS_MAX`], [`EngineError::Read`].
    pub async fn errors(&self, limit: usize) -> Result<ErrorList, EngineError> {
        if !(1..=ERRORS_MAX).contains(&limit) {
            return Err(EngineError::invalid(format!("`limit` is 1 to {ERRORS_MAX}, not {limit}")));
        }
        up_to_date(&self.core).await;
        let store = &self.core.store;
        Ok(ErrorList { errors: store.errors(limit).await?, total: store.error_count().await?, limit })
    }

    /// Gives an error, and what became of its last report.
    ///
    /// # Errors
    /// [`EngineError::NotFound`]
    pub async fn error_get(&self, fingerprint: &str) -> Result<ErrorInfo, EngineError> {
        up_to_date(&self.core).await;
        let error = found(&self.core, fingerprint).await?;
        let filing = self.core.store.report_filing_last(fingerprint).await?;
        Ok(ErrorInfo { error, filing })
    }

    /// Words an issue of an error and keeps the words, so that somebody can agree to them. Nothing leaves the machine.
    ///
    /// # Errors
    /// [`EngineError::NotFound`], [`EngineError::Write`].
    pub async fn error_preview(
        &self,
        caller: &Caller,
        fingerprint: &str,
    ) -> Result<ShownPreview, EngineError> {
        up_to_date(&self.core).await;
        preview(&self.core, caller, fingerprint).await
    }

    /// Files what somebody has agreed to, word by word. Whoever asks may go: what was begun comes to its end.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] for an unknown error or preview, [`EngineError::Conflict`] when the preview goes elsewhere
    /// than the settings say, [`EngineError::Report`] when the filing failed.
    pub async fn error_report(
        &self,
        caller: &Caller,
        fingerprint: &str,
        consent: Consent,
    ) -> Result<Reported, EngineError> {
        up_to_date(&self.core).await;
        report(&self.core, caller, fingerprint, consent).await
    }

    /// Asks a person for a model whether what it wants reported may be filed; what it says itself is no consent. When the
    /// owner approves, the very preview is filed. Asking twice asks once, and a restart of the daemon withdraws it.
    ///
    /// # Errors
    /// As [`Plane::error_report`], but for the filing itself.
    pub async fn error_report_ask(
        &self,
        caller: &Caller,
        fingerprint: &str,
        wanted: Consent,
    ) -> Result<Reported, EngineError> {
        up_to_date(&self.core).await;
        ask(&self.core, caller, fingerprint, wanted).await
    }
}

/// Has what was just told kept; when that cannot be, what was kept is shown.
async fn up_to_date(core: &Core) {
    tokio::select! {
        _status = core.jobs.run(JOB) => {}
        () = core.stopping.cancelled() => {}
    }
}

async fn found(core: &Core, fingerprint: &str) -> Result<ErrorRecord, EngineError> {
    let unknown = || EngineError::not_found("error", fingerprint.chars().take(64).collect::<String>());
    if !report::is_fingerprint(fingerprint) {
        return Err(unknown());
    }
    core.store.error_get(fingerprint).await?.ok_or_else(unknown)
}

async fn preview(core: &Core, caller: &Caller, fingerprint: &str) -> Result<ShownPreview, EngineError> {
    let error = found(core, fingerprint).await?;
    let mut draft = report::draft(&error);
    // What was kept has no secrets; this is for what only the whole of it would show.
    let mut scrubber = Scrubber::default();
    draft.title = scrubber.scrub(&draft.title);
    draft.body = scrubber.scrub(&draft.body);
    let destination = core.settings.reports.destination();
    let preview = ReportPreview {
        hash: report::consent_hash(destination.as_deref(), &draft),
        fingerprint: error.fingerprint,
        destination,
        draft,
        scrub_changes: error.scrub_changes.into_iter().chain(scrubber.changes()).collect(),
        shown_to: caller.token_id.clone(),
        shown_at: clock::now(),
    };
    let mut write = Write::default();
    write.report_preview_put(&preview);
    core.store.write(write).await?;
    Ok(ShownPreview { preview, note: PREVIEW_NOTE.to_owned() })
}

async fn report(
    core: &Arc<Core>,
    caller: &Caller,
    fingerprint: &str,
    consent: Consent,
) -> Result<Reported, EngineError> {
    let Some(agreed) = agreed_to(core, caller, fingerprint, consent).await? else {
        return Ok(Reported::Asked(preview(core, caller, fingerprint).await?));
    };
    let now = clock::now();
    let ready = match ready(core, &agreed, now).await? {
        Ok(ready) => ready,
        Err(not_now) => return Ok(not_now),
    };
    let Ready { repository, source, admitted } = ready;
    let begun = match begin(core, caller, &agreed, admitted, now).await? {
        Begun::Filing(begun) => begun,
        Begun::Limited(note) => return Ok(Reported::Limited { note }),
    };
    let job = FilingJob { begun, repository, source, agreed, actor: caller.actor() };
    let core = core.clone();
    let tasks = core.tasks.clone();
    let filing = tasks.spawn(async move { job.perform(&core).await });
    filing.await.map_err(|_| EngineError::Defect("the filing of a report panicked"))?
}

/// Gives the preview that is agreed to; nothing when nobody has agreed to one that was shown.
async fn agreed_to(
    core: &Core,
    caller: &Caller,
    fingerprint: &str,
    consent: Consent,
) -> Result<Option<ReportPreview>, EngineError> {
    match consent {
        Consent::None => Ok(None),
        Consent::Preview(hash) => {
            let kept = core.store.report_preview_get(&hash).await?;
            let kept = kept.filter(|preview| preview.fingerprint == fingerprint);
            if kept.is_none() {
                found(core, fingerprint).await?;
            }
            let hash: String = hash.chars().take(64).collect();
            kept.map(Some).ok_or_else(|| EngineError::not_found("preview", hash))
        }
        Consent::LastShown => {
            let last = core.store.report_preview_last(fingerprint).await?;
            Ok(last.filter(|preview| preview.shown_to == caller.token_id))
        }
    }
}

/// What a filing needs.
struct Ready {
    repository: String,
    source: TokenSource,
    admitted: Admitted,
}

/// Gives what the filing of a preview needs, or what its asker is told because it cannot be filed now.
async fn ready(
    core: &Core,
    agreed: &ReportPreview,
    now: Timestamp,
) -> Result<Result<Ready, Reported>, EngineError> {
    let settings = &core.settings.reports;
    let unsent = |note: String| Ok(Err(Reported::Unsent { note }));
    let Some(repository) = settings.repository.clone() else {
        let note =
            "no repository is set; `repository = \"owner/name\"` below `[reports]` in config.toml sets it";
        return unsent(note.to_owned());
    };
    if agreed.destination != settings.destination() {
        let message = "the preview goes elsewhere than the settings say by now".to_owned();
        let hint = Some("look at a new preview and agree to that".to_owned());
        return Err(EngineError::Conflict { message, hint });
    }
    let admitted = admitted(core, &agreed.fingerprint, now).await?;
    if let Admitted::Limited(note) = admitted {
        return Ok(Err(Reported::Limited { note }));
    }
    match token::source(settings, &core.settings.folder, &core.settings.env) {
        Ok(Some(source)) => Ok(Ok(Ready { repository, source, admitted })),
        Ok(None) => unsent(format!(
            "there is no token; put one into the file `report-token` in the data folder, or into {}",
            token::VARIABLE
        )),
        Err(note) => unsent(note),
    }
}

/// Asks the owner to agree to what a model wants reported, and files it when that is approved.
async fn ask(
    core: &Arc<Core>,
    caller: &Caller,
    fingerprint: &str,
    wanted: Consent,
) -> Result<Reported, EngineError> {
    let is_wanted = wanted != Consent::None;
    let preview = match agreed_to(core, caller, fingerprint, wanted).await? {
        Some(preview) => preview,
        None => {
            let shown = preview(core, caller, fingerprint).await?;
            if !is_wanted {
                return Ok(Reported::Asked(shown));
            }
            shown.preview
        }
    };
    if let Err(not_now) = ready(core, &preview, clock::now()).await? {
        return Ok(not_now);
    }
    let call = call(&preview);
    let effect = approvals::fingerprint(&call);
    let asked = approvals::pending(core).await?.into_iter().find(|one| one.fingerprint == effect);
    let approval_id = match asked {
        Some(approval) => approval.id,
        None => raise(core, caller, (call, &preview)).await?,
    };
    let shown = ShownPreview { preview, note: PREVIEW_NOTE.to_owned() };
    Ok(Reported::Waits { approval_id, shown })
}

/// Gives what a report is to whoever approves it: where it goes, and every word of it.
fn call(preview: &ReportPreview) -> ToolCall {
    let text = |text: &str| Value::from(text);
    let labels = preview.draft.labels.iter().map(|label| text(label));
    let parameters = Value::object([
        ("fingerprint", text(&preview.fingerprint)),
        ("preview", text(&preview.hash)),
        ("to", preview.destination.as_deref().map_or(Value::Null, text)),
        ("title", text(&preview.draft.title)),
        ("body", text(&preview.draft.body)),
        ("labels", Value::array(labels)),
    ]);
    ToolCall { tool: TOOL.to_owned(), parameters }
}

/// Raises the approval of a report; gives its id when it is durable, and waits for it apart.
async fn raise(
    core: &Arc<Core>,
    caller: &Caller,
    (call, preview): (ToolCall, &ReportPreview),
) -> Result<String, EngineError> {
    let (id, now) = (approvals::fresh_id(), clock::now());
    let asker = Asker { token_id: caller.token_id.to_string(), ..Asker::plane(caller.agent_id.clone()) };
    let question = Question { call, reason: ASK_REASON.to_owned(), run_id: None };
    let deadline = now.plus_ms(core.live().approval_ms);
    let mut write = Write::default();
    approvals::raise(&mut write, id.clone(), (&asker, &question), (now, deadline));
    core.store.write(write).await?;
    let (apart, caller, preview, waits_for) = (core.clone(), caller.clone(), preview.clone(), id.clone());
    core.tasks.spawn(async move {
        tokio::select! {
            // The next daemon withdraws the question.
            () = apart.stopping.cancelled() => {}
            () = file_when_approved(&apart, &caller, preview, &waits_for) => {}
        }
    });
    Ok(id)
}

async fn file_when_approved(core: &Arc<Core>, caller: &Caller, preview: ReportPreview, approval_id: &str) {
    let Some(ended) = approvals::ended(core, approval_id).await else { return };
    if !approval::judgement(None, ASK_REASON, &Answered::from(&ended)).allowed {
        return;
    }
    let consent = Consent::Preview(preview.hash);
    // Nobody waits for it; what an error would say here would be one more error to report.
    match report(core, caller, &preview.fingerprint, consent).await {
        Ok(Reported::Limited { note } | Reported::Unsent { note }) => {
            tracing::warn!(approval = %approval_id, %note, "a report that was agreed to is not filed");
        }
        Ok(Reported::Filed(_) | Reported::Asked(_) | Reported::Waits { .. }) => {}
        Err(error) => {
            tracing::warn!(approval = %approval_id, %error, "a report that was agreed to is not filed");
        }
    }
}

/// Whether a report may be filed, and over which earlier one.
enum Admitted {
    New,
    Again(Filing),
    Limited(String),
}

async fn admitted(core: &Core, fingerprint: &str, now: Timestamp) -> Result<Admitted, EngineError> {
    let since = Timestamp::from_unix_ms(now.unix_ms() - SAME_ERROR_MS.cast_signed());
    let recent = core.store.report_filings_since(since).await?;
    Ok(match report::admission(&recent, fingerprint, &core.owner, now) {
        Admission::New => Admitted::New,
        Admission::Again(filing) => Admitted::Again(filing.clone()),
        Admission::Limited(limit) => Admitted::Limited(limit_note(limit)),
    })
}

fn limit_note(limit: Limit) -> String {
    match limit {
        Limit::SameError { until } => {
            format!("this error was reported within the last 24 hours; again from {until}")
        }
        Limit::Hourly { until } => {
            format!("{HOURLY_MAX} reports were filed within an hour; again from {until}")
        }
        Limit::UnderWay => "a report of this error is being filed".to_owned(),
    }
}

/// A filing that is begun, or why it is not.
enum Begun {
    Filing(BegunFiling),
    Limited(String),
}

/// A filing that is this daemon's, and whether an earlier one's end is not known.
struct BegunFiling {
    filing: Filing,
    is_again: bool,
}

/// Keeps that a filing begins; of two at once one does.
async fn begin(
    core: &Core,
    caller: &Caller,
    agreed: &ReportPreview,
    admitted: Admitted,
    now: Timestamp,
) -> Result<Begun, EngineError> {
    let before = |ms: u64| Timestamp::from_unix_ms(now.unix_ms() - ms.cast_signed());
    let mut write = Write::default();
    let begun = match admitted {
        Admitted::Again(earlier) => {
            let owner = core.owner.clone();
            let preview = agreed.hash.clone();
            let filing = Filing { preview, state: FilingState::Begun, owner, issue: None, ..earlier.clone() };
            write.report_filing_put(&filing, (earlier.state, &earlier.owner));
            BegunFiling { filing, is_again: true }
        }
        Admitted::New | Admitted::Limited(_) => {
            let filing = Filing {
                id: clock::fresh_id().simple().to_string(),
                fingerprint: agreed.fingerprint.clone(),
                preview: agreed.hash.clone(),
                state: FilingState::Begun,
                owner: core.owner.clone(),
                begun_at: now,
                issue: None,
            };
            let limits = FilingLimits {
                same_error_since: before(SAME_ERROR_MS),
                all_since: before(HOUR_MS),
                count: HOURLY_MAX as u64,
            };
            write.report_filing_begin(&filing, limits);
            BegunFiling { filing, is_again: false }
        }
    };
    write.journal(draft(&begun.filing, caller.actor()));
    match core.store.write(write).await {
        Ok(_) => Ok(Begun::Filing(begun)),
        // Another was quicker.
        Err(WriteError::RowsUnexpected { .. }) => {
            let limited = match self::admitted(core, &agreed.fingerprint, clock::now()).await? {
                Admitted::Limited(note) => note,
                Admitted::New | Admitted::Again(_) => limit_note(Limit::UnderWay),
            };
            Ok(Begun::Limited(limited))
        }
        Err(error) => Err(error.into()),
    }
}

fn draft(filing: &Filing, actor: String) -> Draft {
    let event = Event::ErrorReport {
        preview: filing.preview.clone(),
        state: filing.state,
        issue: filing.issue.clone(),
    };
    let subject = format!("error:{}", filing.fingerprint).into();
    Draft { at: clock::now(), actor: actor.into(), subject, event }
}

/// A filing on its way.
struct FilingJob {
    begun: BegunFiling,
    repository: String,
    source: TokenSource,
    agreed: ReportPreview,
    actor: String,
}

impl FilingJob {
    async fn perform(self, core: &Core) -> Result<Reported, EngineError> {
        let marker = report::marker(&self.agreed.fingerprint);
        let settings = &core.settings.reports;
        let filing =
            core.reports.github.file(settings, &self.repository, self.source, &self.agreed.draft, &marker);
        let filed = tokio::select! {
            filed = filing => filed,
            () = core.stopping.cancelled() => Err(FileError::stopped()),
        };
        let BegunFiling { filing: begun, is_again } = self.begun;
        let (state, issue) = match &filed {
            Ok(issue) => (FilingState::Filed, Some(issue.clone())),
            Err(error) => match error.came {
                Came::Nothing => (FilingState::Failed, None),
                Came::NotLooked if !is_again => (FilingState::Failed, None),
                Came::NotLooked | Came::Unknown => (FilingState::Uncertain, None),
            },
        };
        let ended = Filing { state, issue, ..begun.clone() };
        let mut write = Write::default();
        write.report_filing_put(&ended, (begun.state, &begun.owner)).journal(draft(&ended, self.actor));
        keep_end(core, write).await;
        match filed {
            Ok(issue) => Ok(Reported::Filed(issue)),
            Err(error) => Err(failed(error, state)),
        }
    }
}

/// Keeps how a filing has ended. One that could not be kept is looked for by the next daemon.
async fn keep_end(core: &Core, write: Write) {
    let write = Arc::new(write);
    while let Err(error) = core.store.write(write.clone()).await {
        tracing::warn!(%error, "how a report has ended could not be kept; it is tried again");
        tokio::select! {
            () = core.stopping.cancelled() => return,
            () = tokio::time::sleep(STORE_RETRY) => {}
        }
    }
}

fn failed(error: FileError, state: FilingState) -> EngineError {
    let class = match state {
        FilingState::Failed => ErrorClass::User,
        FilingState::Begun | FilingState::Uncertain | FilingState::Filed => ErrorClass::Retry,
    };
    EngineError::Report { message: error.message, hint: error.hint.to_owned(), class }
}
