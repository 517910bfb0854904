//! The keys of `config.toml`: one table says of each what it takes, what it means, and when it holds.
//!
//! A new setting is a row here and a field of [`Settings`]. A key whose last part is `*` stands for names that people
//! choose, such as those of models.

use crate::reports::ReportSettings;
use crate::settings::Settings;
use crate::telemetry;
use adjutant_model::Value;
use adjutant_rules::compress::CompressLevel;
use adjutant_rules::price::Price;
use adjutant_rules::report;
use std::path::{Path, PathBuf};

/// When a change of a key holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakesEffect {
    /// With the next thing that reads it.
    AtOnce,
    /// With the daemon's next start.
    Restart,
}

impl TakesEffect {
    /// Gives the name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            TakesEffect::AtOnce => "at_once",
            TakesEffect::Restart => "restart",
        }
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Yes or no.
    Switch,
    /// A whole number in these bounds, inclusive.
    Whole(u64, u64),
    /// A text of at most so many bytes that this lets pass; what it says of others is a sentence fragment.
    Text(usize, fn(&str) -> Result<(), &'static str>),
    /// The absolute path of a file. When somebody sets it, this looks at the file and says what is wrong with it; a file
    /// that is gone later keeps no daemon from starting.
    File(fn(&Path) -> Result<(), String>),
    /// The value of a header of at most so many bytes; the name that a person has chosen is the header's.
    Header(usize),
    /// US dollars per million tokens that are read, and per million that are written.
    Price,
}

/// A key of the file.
pub(super) struct Key {
    /// Its section and its name.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
    pub(super) takes: TakesEffect,
    /// Whether its value is shown to nobody.
    pub(super) is_secret: bool,
    /// What it means, for people.
    pub(super) about: &'static str,
    /// Gives what holds; for a chosen name that one's.
    pub(super) get: fn(&Settings, &str) -> Value,
    /// Takes a value of its kind over.
    pub(super) set: fn(&mut Settings, &str, &Value),
}

/// A day.
const DAY_MS: u64 = 24 * 3_600_000;
/// A hundred years.
const DAYS_MAX: u64 = 36_500;
/// Numbers that are counted with 32 bits.
const MANY: u64 = u32::MAX as u64;

use Kind::{Switch, Text, Whole};
use TakesEffect::{AtOnce, Restart};

/// All keys, by section.
pub(super) const KEYS: &[Key] = &[
    Key {
        path: "sessions.max_alive",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "so many agents may be alive at once",
        get: |settings, _| Value::from(settings.sessions_alive_max as u64),
        set: |settings, _, value| settings.sessions_alive_max = whole(value) as usize,
    },
    Key {
        path: "sessions.auto_resume",
        kind: Switch,
        takes: AtOnce,
        is_secret: false,
        about: "whether an agent that died by itself is started again",
        get: |settings, _| Value::from(settings.sessions_auto_resume),
        set: |settings, _, value| settings.sessions_auto_resume = is_true(value),
    },
    Key {
        path: "sessions.agents_may_spawn",
        kind: Switch,
        takes: AtOnce,
        is_secret: false,
        about: "whether models may begin agents without a person's approval",
        get: |settings, _| Value::from(settings.sessions_agents_may_spawn),
        set: |settings, _, value| settings.sessions_agents_may_spawn = is_true(value),
    },
    Key {
        path: "sessions.default_agent",
        kind: Text(64, model),
        takes: AtOnce,
        is_secret: false,
        about: "the profile that plays an agent whose name is no profile's",
        get: |settings, _| Value::from(settings.sessions_default_agent.as_str()),
        set: |settings, _, value| settings.sessions_default_agent = text(value).unwrap_or_default(),
    },
    Key {
        path: "sessions.default_model",
        kind: Text(256, model),
        takes: AtOnce,
        is_secret: false,
        about: "the model of a session that says neither a model nor a tier; else the agent's own",
        get: |settings, _| text_or_null(settings.sessions_default_model.as_deref()),
        set: |settings, _, value| settings.sessions_default_model = text(value),
    },
    Key {
        path: "hooks.compression",
        kind: Text(16, level),
        takes: AtOnce,
        is_secret: false,
        about: "what is kept of a tool's output that a hook tells: `off` all, `trim`, `summarise`, `caveman` its length",
        get: |settings, _| Value::from(settings.compress.default_level.as_str()),
        set: |settings, _, value| settings.compress.default_level = level_of(value),
    },
    Key {
        path: "hooks.compression_of.*",
        kind: Text(16, level),
        takes: AtOnce,
        is_secret: false,
        about: "the same for one tool, by the agent's name of it, such as `Bash`",
        get: |settings, name| {
            settings.compress.tools.get(name).map_or(Value::Null, |it| Value::from(it.as_str()))
        },
        set: |settings, name, value| {
            settings.compress.tools.insert(name.to_owned(), level_of(value));
        },
    },
    Key {
        path: "approvals.deadline_secs",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "an approval that nobody answers is denied then",
        get: |settings, _| Value::from(settings.approval_ms / 1000),
        set: |settings, _, value| settings.approval_ms = whole(value) * 1000,
    },
    Key {
        path: "runs.max_open",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "so many runs may be open at once",
        get: |settings, _| Value::from(settings.runs_open_max as u64),
        set: |settings, _, value| settings.runs_open_max = whole(value) as usize,
    },
    Key {
        path: "runs.ttl_secs",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "how long a run may take when neither request nor blueprint says",
        get: |settings, _| Value::from(settings.run_ttl_secs),
        set: |settings, _, value| settings.run_ttl_secs = whole(value),
    },
    Key {
        path: "workspaces.max_gib",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "what all workspaces may take on the disk; beyond it nothing new begins",
        get: |settings, _| settings.workspace_bytes_max.map_or(Value::Null, |bytes| Value::from(bytes >> 30)),
        set: |settings, _, value| settings.workspace_bytes_max = Some(whole(value) << 30),
    },
    Key {
        path: "workspaces.keep_days",
        kind: Whole(0, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "a workspace whose work ended so long ago and is saved goes",
        get: |settings, _| Value::from(settings.workspace_keep_ms / DAY_MS),
        set: |settings, _, value| settings.workspace_keep_ms = whole(value) * DAY_MS,
    },
    Key {
        path: "workspaces.artefacts_days",
        kind: Whole(0, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "what a build makes again goes from it sooner",
        get: |settings, _| Value::from(settings.workspace_artefacts_ms / DAY_MS),
        set: |settings, _, value| settings.workspace_artefacts_ms = whole(value) * DAY_MS,
    },
    Key {
        path: "retention.hook_events_days",
        kind: Whole(1, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "what hooks told is kept so long",
        get: |settings, _| Value::from(settings.hook_keep_ms / DAY_MS),
        set: |settings, _, value| settings.hook_keep_ms = whole(value) * DAY_MS,
    },
    Key {
        path: "retention.hook_events_max",
        kind: Whole(1, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "so much of what hooks told is kept",
        get: |settings, _| Value::from(settings.hook_events_max),
        set: |settings, _, value| settings.hook_events_max = whole(value),
    },
    Key {
        path: "retention.outputs_days",
        kind: Whole(1, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "an output on the data path is kept so long after its runs have ended",
        get: |settings, _| Value::from(settings.data_keep_ms / DAY_MS),
        set: |settings, _, value| settings.data_keep_ms = whole(value) * DAY_MS,
    },
    Key {
        path: "retention.runs_days",
        kind: Whole(0, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "a run is kept so long after its end; 0 keeps it for good",
        get: |settings, _| days(settings.run_keep_ms),
        set: |settings, _, value| settings.run_keep_ms = days_ms(value),
    },
    Key {
        path: "retention.runs_max",
        kind: Whole(0, MANY),
        takes: AtOnce,
        is_secret: false,
        about: "so many runs are kept of each blueprint, and of each agent of clients; 0 keeps all",
        get: |settings, _| Value::from(settings.runs_kept_max.unwrap_or(0)),
        set: |settings, _, value| settings.runs_kept_max = Some(whole(value)).filter(|count| *count > 0),
    },
    Key {
        path: "retention.sessions_days",
        kind: Whole(0, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "a decommissioned session, and a delegation or handoff that has ended, is kept so long; 0 keeps it for good",
        get: |settings, _| days(settings.session_keep_ms),
        set: |settings, _, value| settings.session_keep_ms = days_ms(value),
    },
    Key {
        path: "retention.approvals_days",
        kind: Whole(0, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "an approval is kept so long after its end, and as long as its run; 0 keeps it for good",
        get: |settings, _| days(settings.approval_keep_ms),
        set: |settings, _, value| settings.approval_keep_ms = days_ms(value),
    },
    Key {
        path: "retention.journal_days",
        kind: Whole(0, DAYS_MAX),
        takes: AtOnce,
        is_secret: false,
        about: "what the journal says of nothing that is kept stays so long; 0 keeps it for good",
        get: |settings, _| days(settings.journal_keep_ms),
        set: |settings, _, value| settings.journal_keep_ms = days_ms(value),
    },
    Key {
        path: "metrics.needs_token",
        kind: Switch,
        takes: AtOnce,
        is_secret: false,
        about: "whether `/metrics` needs a token",
        get: |settings, _| Value::from(settings.metrics_need_token),
        set: |settings, _, value| settings.metrics_need_token = is_true(value),
    },
    Key {
        path: "telemetry.otlp_endpoint",
        kind: Text(2048, endpoint),
        takes: Restart,
        is_secret: false,
        about: "where traces are sent by OTLP over HTTP, such as `http://127.0.0.1:4318`; without it nowhere",
        get: |settings, _| text_or_null(settings.telemetry.endpoint.as_deref()),
        set: |settings, _, value| settings.telemetry.endpoint = text(value),
    },
    Key {
        path: "telemetry.ca_file",
        kind: Kind::File(telemetry::ca_file_check),
        takes: Restart,
        is_secret: false,
        about: "a file of certificates in PEM: authorities besides the system's that an `https://` receiver may be known by",
        get: |settings, _| path_or_null(settings.telemetry.ca_file.as_deref()),
        set: |settings, _, value| settings.telemetry.ca_file = text(value).map(PathBuf::from),
    },
    Key {
        path: "telemetry.service_name",
        kind: Text(256, printable),
        takes: Restart,
        is_secret: false,
        about: "what the traces' sender is called",
        get: |settings, _| Value::from(settings.telemetry.service_name.as_str()),
        set: |settings, _, value| settings.telemetry.service_name = text(value).unwrap_or_default(),
    },
    Key {
        path: "telemetry.content",
        kind: Switch,
        takes: Restart,
        is_secret: false,
        about: "whether traces have what steps were given and gave, without secrets",
        get: |settings, _| Value::from(settings.telemetry.with_content),
        set: |settings, _, value| settings.telemetry.with_content = is_true(value),
    },
    Key {
        path: "telemetry.headers.*",
        kind: Kind::Header(4096),
        takes: Restart,
        is_secret: true,
        about: "a header that goes with the traces",
        get: |settings, name| text_or_null(settings.telemetry.headers.get(name).map(String::as_str)),
        set: |settings, name, value| {
            settings.telemetry.headers.extend(text(value).map(|text| (name.to_owned(), text)));
        },
    },
    Key {
        path: "telemetry.headers_file",
        kind: Kind::File(telemetry::headers_file_check),
        takes: Restart,
        is_secret: false,
        about: "a file of headers that go with the traces, each a line `name: value`; only its owner may read it",
        get: |settings, _| path_or_null(settings.telemetry.headers_file.as_deref()),
        set: |settings, _, value| settings.telemetry.headers_file = text(value).map(PathBuf::from),
    },
    Key {
        path: "reports.repository",
        kind: Text(256, repository),
        takes: Restart,
        is_secret: false,
        about: "where errors of Adjutant are reported when you agree to the words, `owner/name`",
        get: |settings, _| text_or_null(settings.reports.repository.as_deref()),
        set: |settings, _, value| settings.reports.repository = text(value),
    },
    Key {
        path: "reports.api_base",
        kind: Text(2048, api_base),
        takes: Restart,
        is_secret: false,
        about: "the base of the addresses of the API that takes reports",
        get: |settings, _| Value::from(settings.reports.api_base.as_str()),
        set: |settings, _, value| {
            settings.reports.api_base_set(value.as_str().unwrap_or_default()).unwrap_or_default();
        },
    },
    Key {
        path: "reports.token_file",
        kind: Text(4096, absolute),
        takes: Restart,
        is_secret: false,
        about: "the file with the token that reports; `report-token` in the data folder when nothing is said",
        get: |settings, _| path_or_null(settings.reports.token_file.as_deref()),
        set: |settings, _, value| settings.reports.token_file = text(value).map(PathBuf::from),
    },
    Key {
        path: "reports.app_id",
        kind: Whole(1, u64::MAX),
        takes: Restart,
        is_secret: false,
        about: "the GitHub App that reports when there is no token; with `installation_id` and `app_key_file`",
        get: |settings, _| settings.reports.app.as_ref().map_or(Value::Null, |app| Value::from(app.app_id)),
        set: |settings, _, value| settings.reports.app.get_or_insert_default().app_id = whole(value),
    },
    Key {
        path: "reports.installation_id",
        kind: Whole(1, u64::MAX),
        takes: Restart,
        is_secret: false,
        about: "the App's installation",
        get: |settings, _| {
            settings.reports.app.as_ref().map_or(Value::Null, |app| Value::from(app.installation_id))
        },
        set: |settings, _, value| settings.reports.app.get_or_insert_default().installation_id = whole(value),
    },
    Key {
        path: "reports.app_key_file",
        kind: Text(4096, absolute),
        takes: Restart,
        is_secret: false,
        about: "the file with the App's key",
        get: |settings, _| path_or_null(settings.reports.app.as_ref().map(|app| app.key_file.as_path())),
        set: |settings, _, value| {
            settings.reports.app.get_or_insert_default().key_file =
                text(value).map(PathBuf::from).unwrap_or_default();
        },
    },
    Key {
        path: "prices.*",
        kind: Kind::Price,
        takes: AtOnce,
        is_secret: false,
        about: "US dollars per million tokens that a model reads and writes: `[3.0, 15.0]`; a part of its name suffices",
        get: |settings, name| settings.prices.get(name).map_or(Value::Null, price_value),
        set: |settings, name, value| {
            settings.prices.extend(price(value).map(|price| (name.to_owned(), price)));
        },
    },
];

fn whole(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number.as_u64().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => 0,
    }
}

/// Gives a span in days; none of it is 0.
fn days(ms: Option<u64>) -> Value {
    Value::from(ms.unwrap_or(0) / DAY_MS)
}

/// Reads a span in days, of which 0 is none.
fn days_ms(value: &Value) -> Option<u64> {
    Some(whole(value) * DAY_MS).filter(|ms| *ms > 0)
}

fn is_true(value: &Value) -> bool {
    *value == Value::Bool(true)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Reads a price: what is read and what is written, neither less than nothing.
pub(super) fn price(value: &Value) -> Option<Price> {
    let amount = |value: &Value| match value {
        Value::Number(number) => number.as_f64().filter(|amount| amount.is_finite() && *amount >= 0.0),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match value.as_array()? {
        [input, output] => Some(Price { input: amount(input)?, output: amount(output)? }),
        _ => None,
    }
}

fn price_value(price: &Price) -> Value {
    Value::array([price.input, price.output].map(|amount| Value::from_f64(amount).unwrap_or_default()))
}

fn text_or_null(text: Option<&str>) -> Value {
    text.map_or(Value::Null, Value::from)
}

fn level(text: &str) -> Result<(), &'static str> {
    CompressLevel::parse(text).map(drop).ok_or("is `off`, `trim`, `summarise` or `caveman`")
}

fn level_of(value: &Value) -> CompressLevel {
    value.as_str().and_then(CompressLevel::parse).unwrap_or_default()
}

fn model(text: &str) -> Result<(), &'static str> {
    let is_plain = !text.is_empty()
        && !text.starts_with('-')
        && !text.chars().any(|c| c.is_control() || c.is_whitespace());
    is_plain.then_some(()).ok_or("is a model's name")
}

fn endpoint(text: &str) -> Result<(), &'static str> {
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_plain = !text.chars().any(|c| c.is_control() || c.is_whitespace());
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !host.contains('@'));
    (is_url && is_plain).then_some(()).ok_or("is an `http://` or `https://` URL without credentials")
}

fn repository(text: &str) -> Result<(), &'static str> {
    report::repository(text).map(drop).map_err(|_| "is `owner/name`")
}

fn api_base(text: &str) -> Result<(), &'static str> {
    let what = "is an `https://` URL of a host and a path, without credentials";
    ReportSettings::default().api_base_set(text).map_err(|_| what)
}

pub(super) fn absolute(text: &str) -> Result<(), &'static str> {
    Path::new(text).is_absolute().then_some(()).ok_or("is an absolute path")
}

fn path_or_null(path: Option<&Path>) -> Value {
    path.map_or(Value::Null, |path| Value::from(path.to_string_lossy().as_ref()))
}

pub(super) fn printable(text: &str) -> Result<(), &'static str> {
    let is_plain = !text.is_empty() && text.chars().all(|c| c.is_ascii() && !c.is_ascii_control());
    is_plain.then_some(()).ok_or("is printable ASCII")
}
