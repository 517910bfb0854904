//! What the plane is told at its start.

use crate::enhance;
use crate::faults::Faults;
use crate::worker::WorkerSettings;
use adjutant_model::Value;
use adjutant_rules::breaker::BreakerConfig;
use adjutant_rules::compress::CompressConfig;
use std::collections::BTreeMap;
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
    /// Whether agents of sessions may start others without a person's approval.
    pub sessions_agents_may_spawn: bool,
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
    /// What a trial puts in its way; none otherwise.
    pub faults: Faults,
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
            sessions_alive_max: 16,
            sessions_auto_resume: true,
            sessions_agents_may_spawn: false,
            sessions_default_agent: "claude".to_owned(),
            socket: None,
            tmux_socket: None,
            breaker: BreakerConfig::default(),
            compress: CompressConfig::default(),
            hook_keep_ms: 30 * 24 * 3_600_000,
            hook_events_max: 500_000,
            hook_forget_ms: 3_600_000,
            faults: Faults::default(),
        }
    }
}
