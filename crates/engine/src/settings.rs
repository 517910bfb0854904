//! What the plane is told at its start.

use crate::enhance;
use crate::faults::Faults;
use crate::reports::{ErrorTap, ReportSettings};
use crate::worker::WorkerSettings;
use adjutant_model::Value;
use adjutant_rules::breaker::BreakerConfig;
use adjutant_rules::compress::CompressConfig;
use adjutant_rules::price::Price;
use adjutant_store::errors::ErrorLimits;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// What the plane is told at its start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data folder, absolute.
    pub folder: PathBuf,
    /// The environment that the daemon was started with; programs get only what the allow-lists let pass.
    pub env: Arc<[(String, String)]>,
    /// Adjutant's own program, for agents that are played by it.
    pub exe: PathBuf,
    /// Adjutant's version, for the journal and the status.
    pub version: String,
    /// The blueprints that are built in, by id.
    pub blueprints: BTreeMap<String, Value>,
    /// Limits of steps.
    pub worker: WorkerSettings,
    /// How long a run may take when neither request nor blueprint says, in seconds.
    pub run_ttl_secs: u64,
    /// How long a worker's token lives, in seconds.
    pub worker_token_secs: u64,
    /// How many runs may be open at once.
    pub runs_open_max: usize,
    /// How many turns a client's run may have.
    pub client_turns_max: u64,
    /// How many turns a client may tell of at once.
    pub client_batch_max: usize,
    /// How long a client's run waits for its client to come back, in milliseconds.
    pub client_lease_ms: u64,
    /// How long a person has to answer an approval, in milliseconds.
    pub approval_ms: u64,
    /// An operator that was not heard of for so long is away, in milliseconds.
    pub operator_lost_ms: u64,
    /// An operator that was away for so long is known no more, in milliseconds.
    pub operator_forget_ms: u64,
    /// How often operators that were away for too long are forgotten, in milliseconds; 0 leaves it to the start.
    pub operator_sweep_ms: u64,
    /// How often it is looked for goals whose checks are due again, in milliseconds.
    pub goal_recheck_ms: u64,
    /// How long a step whose result is there waits for its operator, who is away, in milliseconds.
    pub operator_grace_ms: u64,
    /// How often what is counted of tokens is kept, in milliseconds.
    pub token_uses_ms: u64,
    /// How often ended tokens are forgotten, in milliseconds.
    pub token_forget_ms: u64,
    /// A body on the data path is at most so large, in bytes.
    pub data_body_bytes_max: u64,
    /// The outputs of one run are together at most so large, in bytes.
    pub data_run_bytes_max: u64,
    /// So many bodies may arrive at once.
    pub data_uploads_max: usize,
    /// A body of which nothing arrives for so long is given up, in milliseconds.
    pub data_idle_ms: u64,
    /// How often outputs that nothing needs are looked for, in milliseconds.
    pub data_collect_ms: u64,
    /// An output that nothing needs is kept so long, in milliseconds.
    pub data_unused_ms: u64,
    /// An output of a run is kept so long after the run's end, in milliseconds.
    pub data_keep_ms: u64,
    /// How often it is looked for what retention lets go, in milliseconds.
    pub retention_ms: u64,
    /// A run that ended so long ago goes, in milliseconds; without it runs are kept.
    pub run_keep_ms: Option<u64>,
    /// Of each blueprint, and of each agent of clients, so many runs are kept; without it all.
    pub runs_kept_max: Option<u64>,
    /// A session that was decommissioned so long ago goes, and a delegation or handoff that ended so long ago, in
    /// milliseconds; without it they are kept.
    pub session_keep_ms: Option<u64>,
    /// An approval that ended so long ago and is of no run that is kept goes, in milliseconds; without it it is kept.
    pub approval_keep_ms: Option<u64>,
    /// What the journal says of nothing that is kept goes so much later, in milliseconds; without it it stays.
    pub journal_keep_ms: Option<u64>,
    /// What all workspaces may take on the disk together, in bytes; without it there is no limit.
    pub workspace_bytes_max: Option<u64>,
    /// How often workspaces that nobody needs are looked for, in milliseconds; 0 leaves it to whoever asks.
    pub workspace_collect_ms: u64,
    /// The workspace of work that ended so long ago is removed when nothing in it is unsaved, in milliseconds.
    pub workspace_keep_ms: u64,
    /// From the workspace of work that ended so long ago goes what a build makes again, in milliseconds.
    pub workspace_artefacts_ms: u64,
    /// How often the enhance loop looks for what nobody told it of, in milliseconds.
    pub enhance_ms: u64,
    /// So many managed sessions may be alive at once.
    pub sessions_alive_max: usize,
    /// Whether agents that died by themselves are started again.
    pub sessions_auto_resume: bool,
    /// Whether models may begin agents without a person's approval: sessions, delegations, and steps of their runs.
    pub sessions_agents_may_spawn: bool,
    /// The model of sessions that say neither a model nor a tier.
    pub sessions_default_model: Option<String>,
    /// What tokens cost, by a part of a model's name; these go over the shipped prices.
    pub prices: BTreeMap<String, Price>,
    /// Whether the metrics need a token.
    pub metrics_need_token: bool,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
    /// The keys of `config.toml` that the command line has the last word about.
    pub pinned: BTreeSet<&'static str>,
    /// The profile that plays an agent whose name is no profile's.
    pub sessions_default_agent: String,
    /// The daemon's Unix socket, for hooks.
    pub socket: Option<PathBuf>,
    /// The socket of the tmux server that hosts terminals; in the data folder when nothing is said.
    pub tmux_socket: Option<PathBuf>,
    /// When an agent that fails is left alone.
    pub breaker: BreakerConfig,
    /// What is kept of tools' outputs.
    pub compress: CompressConfig,
    /// How long what hooks told is kept, in milliseconds.
    pub hook_keep_ms: u64,
    /// So much of what hooks told is kept.
    pub hook_events_max: u64,
    /// How often what hooks told is looked through for what is to be forgotten, in milliseconds.
    pub hook_forget_ms: u64,
    /// The pause between two looks for what hooks have left in files, in milliseconds.
    pub hook_spool_ms: u64,
    /// The pause between two looks for agents that nobody hosts and that are silent, in milliseconds.
    pub discovered_sweep_ms: u64,
    /// Where errors are taken.
    pub errors: ErrorTap,
    /// How much of captured errors is kept.
    pub error_limits: ErrorLimits,
    /// How often errors that other programs left are looked for, in milliseconds.
    pub errors_ms: u64,
    /// Where reports of errors go.
    pub reports: ReportSettings,
    /// What a trial puts in its way; none otherwise.
    pub faults: Faults,
}

/// Where traces go, and what is in them.
#[derive(Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// The receiver's address, such as `http://127.0.0.1:4318`; without one nothing is sent.
    pub endpoint: Option<String>,
    /// The file with certificates of further authorities in PEM, by which a receiver is known; absolute.
    pub ca_file: Option<PathBuf>,
    /// Headers that go with each request, such as the receiver's key.
    pub headers: BTreeMap<String, String>,
    /// The file with further headers, which go before those of the same name; absolute.
    pub headers_file: Option<PathBuf>,
    /// What the sender is called.
    pub service_name: String,
    /// Whether what steps were given and gave is in them.
    pub with_content: bool,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        TelemetrySettings {
            endpoint: None,
            ca_file: None,
            headers: BTreeMap::new(),
            headers_file: None,
            service_name: "adjutant".to_owned(),
            with_content: false,
        }
    }
}

impl fmt::Debug for TelemetrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of headers are secrets.
        let headers: Vec<&String> = self.headers.keys().collect();
        f.debug_struct("TelemetrySettings")
            .field("endpoint", &self.endpoint)
            .field("ca_file", &self.ca_file)
            .field("headers", &headers)
            .field("headers_file", &self.headers_file)
            .field("service_name", &self.service_name)
            .field("with_content", &self.with_content)
            .finish()
    }
}

impl Settings {
    /// Gives the defaults for a data folder.
    pub fn new(folder: PathBuf, exe: PathBuf) -> Self {
        Settings {
            folder,
            env: Arc::from([]),
            exe,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            blueprints: BTreeMap::from([enhance::builtin_blueprint()]),
            worker: WorkerSettings::default(),
            run_ttl_secs: 1800,
            worker_token_secs: 1800,
            runs_open_max: 10_000,
            client_turns_max: 2000,
            client_batch_max: 256,
            client_lease_ms: 10_000,
            approval_ms: 300_000,
            operator_lost_ms: 150_000,
            operator_forget_ms: 86_400_000,
            operator_sweep_ms: 300_000,
            goal_recheck_ms: 5_000,
            operator_grace_ms: 10_000,
            token_uses_ms: 5_000,
            token_forget_ms: 3_600_000,
            data_body_bytes_max: 64 << 20,
            data_run_bytes_max: 4 << 30,
            data_uploads_max: 64,
            data_idle_ms: 30_000,
            data_collect_ms: 60_000,
            workspace_bytes_max: None,
            workspace_collect_ms: 3_600_000,
            workspace_keep_ms: 14 * 24 * 3_600_000,
            workspace_artefacts_ms: 24 * 3_600_000,
            enhance_ms: 10_000,
            data_unused_ms: 24 * 3_600_000,
            data_keep_ms: 30 * 24 * 3_600_000,
            retention_ms: 60_000,
            run_keep_ms: None,
            runs_kept_max: None,
            session_keep_ms: None,
            approval_keep_ms: None,
            journal_keep_ms: None,
            sessions_alive_max: 16,
            sessions_auto_resume: true,
            sessions_agents_may_spawn: false,
            sessions_default_model: None,
            prices: BTreeMap::new(),
            metrics_need_token: true,
            telemetry: TelemetrySettings::default(),
            pinned: BTreeSet::new(),
            sessions_default_agent: "claude".to_owned(),
            socket: None,
            tmux_socket: None,
            breaker: BreakerConfig::default(),
            compress: CompressConfig::default(),
            hook_keep_ms: 30 * 24 * 3_600_000,
            hook_events_max: 500_000,
            hook_forget_ms: 3_600_000,
            hook_spool_ms: 15_000,
            discovered_sweep_ms: 60_000,
            errors: ErrorTap::default(),
            error_limits: ErrorLimits { rows: 500, bytes: 4 << 20 },
            errors_ms: 10_000,
            reports: ReportSettings::default(),
            faults: Faults::default(),
        }
    }
}
