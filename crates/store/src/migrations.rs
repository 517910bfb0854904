//! The schema's history: append-only, one idea each. `schema.sql` is the sum, and a test compares the two.
//!
//! A migration that was released is never changed. Types are spelled as SQLite spells them; nothing else here is
//! particular to it.

/// One step of the schema.
#[derive(Debug)]
pub(crate) struct Migration {
    /// What it is about, for messages.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) sql: &'static str,
}

/// All steps; the version of a store is how many of them it has.
pub(crate) const MIGRATIONS: [Migration; 37] = [
    Migration {
        name: "which migrations ran, and when",
        sql: "CREATE TABLE schema_versions (
    version INTEGER PRIMARY KEY,
    applied_at INTEGER NOT NULL
);",
    },
    Migration {
        name: "blobs: content too large for a row, by the hash of its bytes",
        sql: "CREATE TABLE blobs (
    hash TEXT PRIMARY KEY,
    content BLOB NOT NULL
);",
    },
    Migration {
        name: "blueprints: every version that was ever run",
        sql: "CREATE TABLE blueprints (
    hash TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX blueprints_by_id ON blueprints (id);",
    },
    Migration {
        name: "tasks and runs; a run has an owner and an epoch, its workspace a node",
        sql: "CREATE TABLE tasks (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    goal TEXT,
    blueprint_id TEXT NOT NULL,
    blueprint_hash TEXT NOT NULL REFERENCES blueprints (hash),
    input TEXT NOT NULL,
    request TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL REFERENCES tasks (id),
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    blueprint_id TEXT NOT NULL,
    blueprint_hash TEXT NOT NULL REFERENCES blueprints (hash),
    ttl_ms INTEGER NOT NULL,
    ttl_source TEXT NOT NULL,
    goal_id TEXT,
    agent_override TEXT,
    error TEXT,
    result TEXT,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX runs_by_task ON runs (task_id);
CREATE INDEX runs_by_status ON runs (status, number);
CREATE TABLE workspaces (
    run INTEGER PRIMARY KEY REFERENCES runs (number),
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    project TEXT,
    branch TEXT,
    base TEXT,
    node TEXT NOT NULL
);",
    },
    Migration {
        name: "turns: the key is the run's number above the turn's index",
        sql: "CREATE TABLE turns (
    key INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    parameters TEXT NOT NULL,
    output TEXT,
    error TEXT,
    rule TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER
);",
    },
    Migration {
        name: "the journal, the places of each subject, the head, and the checkpoints that retention leaves",
        sql: "CREATE TABLE journal (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    subject TEXT NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    hash BLOB NOT NULL
);
CREATE TABLE journal_places (
    subject TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (subject, seq)
);
CREATE TABLE journal_head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    seq INTEGER NOT NULL
);
INSERT INTO journal_head (id, seq) VALUES (1, 0);
CREATE TABLE journal_checkpoints (
    subject TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    hash BLOB NOT NULL
);",
    },
    Migration {
        name: "goals",
        sql: "CREATE TABLE goals (
    id TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    acceptance TEXT NOT NULL,
    links TEXT NOT NULL,
    progress INTEGER NOT NULL,
    project TEXT,
    notes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);",
    },
    Migration {
        name: "tokens, by the hash of the secret",
        sql: "CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    run_id TEXT,
    path TEXT,
    attempt INTEGER,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
);
CREATE INDEX tokens_by_run ON tokens (run_id);",
    },
    Migration {
        name: "runs that clients drive and their turns, approvals, and tokens of agents",
        sql: "CREATE TABLE client_runs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    agent_id TEXT NOT NULL,
    intent TEXT NOT NULL,
    outcome_description TEXT,
    token_id TEXT NOT NULL,
    status TEXT NOT NULL,
    outcome TEXT,
    policies TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    turns INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX client_runs_by_agent ON client_runs (agent_id, number);
CREATE INDEX client_runs_by_status ON client_runs (status, number);
CREATE TABLE client_turns (
    run_id TEXT NOT NULL,
    turn INTEGER NOT NULL,
    settled INTEGER NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (run_id, turn)
) WITHOUT ROWID;
CREATE TABLE approvals (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    run_id TEXT,
    agent_id TEXT,
    token_id TEXT NOT NULL,
    connection TEXT NOT NULL,
    tool TEXT NOT NULL,
    parameters TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    reason TEXT NOT NULL,
    status TEXT NOT NULL,
    deadline INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    resolved_at INTEGER,
    resolved_by TEXT
);
CREATE INDEX approvals_by_status ON approvals (status, number);
ALTER TABLE tokens ADD COLUMN agent_id TEXT;",
    },
    Migration { name: "what the model of a turn used", sql: "ALTER TABLE turns ADD COLUMN usage TEXT;" },
    Migration {
        name: "the option that an answer to an approval chose",
        sql: "ALTER TABLE approvals ADD COLUMN chosen TEXT;",
    },
    Migration {
        name: "how much a client's run may take, and how many calls it has begun",
        sql: "ALTER TABLE client_runs ADD COLUMN limits TEXT;
ALTER TABLE client_runs ADD COLUMN tool_calls INTEGER NOT NULL DEFAULT 0;",
    },
    Migration {
        name: "the scopes of rules that a client's run is bound to",
        sql: "ALTER TABLE client_runs ADD COLUMN sessions TEXT;",
    },
    Migration {
        name: "the versions and heads of registered blueprints",
        sql: "CREATE TABLE blueprint_versions (
    id TEXT NOT NULL,
    number INTEGER NOT NULL,
    version TEXT NOT NULL REFERENCES blueprints (hash),
    parent TEXT,
    author TEXT NOT NULL,
    rationale TEXT NOT NULL,
    label TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id, number)
);
CREATE INDEX blueprint_versions_by_version ON blueprint_versions (id, version);
CREATE TABLE blueprint_heads (
    id TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    description TEXT,
    tags TEXT NOT NULL,
    archived_at INTEGER
);",
    },
    Migration {
        name: "issues, the settings they are handled by, and what was decided",
        sql: "CREATE TABLE issues (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    blueprint_id TEXT NOT NULL,
    intent TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    new_version TEXT,
    run_id TEXT,
    base_version TEXT,
    setting_id TEXT,
    ttl_secs INTEGER,
    epoch_started_at INTEGER,
    conflicts INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX issues_by_status ON issues (status, blueprint_id, number);
CREATE INDEX issues_by_blueprint ON issues (blueprint_id, number);
CREATE UNIQUE INDEX issues_in_flight ON issues (blueprint_id) WHERE status = 'in_flight';
CREATE TABLE enhance_settings (
    id TEXT PRIMARY KEY,
    blueprint_id TEXT NOT NULL,
    version_kind TEXT NOT NULL,
    version_value TEXT,
    ttl_secs INTEGER NOT NULL,
    axes TEXT NOT NULL,
    spawner TEXT,
    meta TEXT NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE enhance_log (
    number INTEGER PRIMARY KEY,
    issue_id TEXT NOT NULL UNIQUE REFERENCES issues (id),
    blueprint_id TEXT NOT NULL,
    run_id TEXT,
    prev_hash TEXT NOT NULL,
    new_hash TEXT NOT NULL,
    intent TEXT NOT NULL,
    rationale TEXT NOT NULL,
    verdicts TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reasons TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX enhance_log_by_blueprint ON enhance_log (blueprint_id, number);",
    },
    Migration {
        name: "the session that a token is, and how often and when it was shown",
        sql: "ALTER TABLE tokens ADD COLUMN session_id TEXT;
ALTER TABLE tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN last_seen_at INTEGER;
CREATE UNIQUE INDEX tokens_by_session ON tokens (session_id);",
    },
    Migration {
        name: "outputs on the data path, whose bytes are files, and the runs that refer to them",
        sql: "CREATE TABLE outputs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT,
    run_id TEXT,
    task_id TEXT,
    path TEXT,
    attempt INTEGER,
    producer TEXT,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    event TEXT,
    parents TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX outputs_by_name ON outputs (name, number);
CREATE INDEX outputs_by_run ON outputs (run_id, size);
CREATE INDEX outputs_by_file ON outputs (sha256, size) WHERE event IS NULL;
CREATE TABLE output_runs (
    run_id TEXT NOT NULL,
    output INTEGER NOT NULL REFERENCES outputs (number) ON DELETE CASCADE,
    PRIMARY KEY (run_id, output)
) WITHOUT ROWID;
CREATE INDEX output_runs_by_output ON output_runs (output);",
    },
    Migration {
        name: "the epoch whose rerun took a turn back",
        sql: "ALTER TABLE turns ADD COLUMN superseded INTEGER;",
    },
    Migration {
        name: "what a run was given, when it is not what its task brought",
        sql: "CREATE TABLE run_inputs (
    run INTEGER PRIMARY KEY REFERENCES runs (number),
    input TEXT NOT NULL,
    request TEXT NOT NULL
);",
    },
    Migration {
        name: "operators, the seats of runs, and the stages of steps that operators have to do with",
        sql: "CREATE TABLE operators (
    sid TEXT PRIMARY KEY,
    token_id TEXT NOT NULL,
    description TEXT NOT NULL,
    manifest TEXT,
    roles TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
);
CREATE TABLE seats (
    run_id TEXT NOT NULL,
    slot TEXT NOT NULL,
    op TEXT,
    description TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (run_id, slot)
) WITHOUT ROWID;
CREATE TABLE step_stages (
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    stage TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run_id, path, attempt, stage)
) WITHOUT ROWID;
CREATE TABLE spawn_tokens (
    run_id TEXT NOT NULL,
    path TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    token_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (run_id, path, attempt, token_id)
) WITHOUT ROWID;",
    },
    Migration {
        name: "tokens that the agents of managed sessions bear",
        sql: "ALTER TABLE tokens ADD COLUMN of_session TEXT;
CREATE INDEX tokens_of_session ON tokens (of_session);",
    },
    Migration {
        name: "a workspace is a run's or a session's, and is known when its directory is gone",
        sql: "ALTER TABLE workspaces RENAME TO run_workspaces;
CREATE TABLE workspaces (
    number INTEGER PRIMARY KEY,
    holder TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    path TEXT NOT NULL,
    project TEXT,
    branch TEXT,
    base TEXT,
    node TEXT NOT NULL,
    removed INTEGER NOT NULL
);
INSERT INTO workspaces (holder, kind, path, project, branch, base, node, removed)
    SELECT r.id, w.kind, w.path, w.project, w.branch, w.base, w.node, 0
    FROM run_workspaces w JOIN runs r ON r.number = w.run ORDER BY w.run;
DROP TABLE run_workspaces;",
    },
    Migration {
        name: "managed sessions",
        sql: "CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    parent TEXT,
    state TEXT NOT NULL,
    node TEXT NOT NULL,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX sessions_by_name ON sessions (name) WHERE state <> 'decommissioned';
CREATE INDEX sessions_by_parent ON sessions (parent);",
    },
    Migration {
        name: "what hooks told, which may be forgotten, and the breakers of agents",
        sql: "CREATE TABLE hook_events (
    number INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    event TEXT NOT NULL,
    tool TEXT,
    size INTEGER NOT NULL,
    decision TEXT,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX hook_events_by_session ON hook_events (session_id, number);
CREATE INDEX hook_events_by_time ON hook_events (at);
CREATE TABLE breakers (
    agent TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    since INTEGER,
    failures INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);",
    },
    Migration {
        name: "work that sessions give to sessions",
        sql: "CREATE TABLE delegations (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    open INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    record TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX delegations_by_session ON delegations (session, created_at);
CREATE INDEX delegations_open ON delegations (created_at) WHERE open;",
    },
    Migration {
        name: "how full a session says that its context is",
        sql: "CREATE TABLE context_usage (
    session TEXT PRIMARY KEY,
    used INTEGER NOT NULL,
    window INTEGER NOT NULL,
    at INTEGER NOT NULL
);",
    },
    Migration {
        name: "what goals wait for, may spend, are checked by again, and want a person to see",
        sql: "ALTER TABLE goals ADD COLUMN depends_on TEXT NOT NULL DEFAULT '[]';
ALTER TABLE goals ADD COLUMN budget TEXT NOT NULL DEFAULT '{}';
ALTER TABLE goals ADD COLUMN deadline_at INTEGER;
ALTER TABLE goals ADD COLUMN recheck TEXT;
ALTER TABLE goals ADD COLUMN recheck_at INTEGER;
ALTER TABLE goals ADD COLUMN alert TEXT;
CREATE INDEX goals_in_order ON goals (created_at, id);
CREATE INDEX goals_by_status ON goals (status, created_at, id);
CREATE INDEX goals_by_recheck ON goals (recheck_at) WHERE recheck_at IS NOT NULL;
CREATE INDEX goals_with_alert ON goals (created_at) WHERE alert IS NOT NULL;",
    },
    Migration {
        name: "what is remembered, and the index of its words",
        sql: "CREATE TABLE facts (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    scope TEXT NOT NULL,
    text TEXT NOT NULL,
    text_hash TEXT NOT NULL,
    tags TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    valid_until INTEGER,
    successor TEXT,
    superseded_at INTEGER
);
CREATE INDEX facts_by_scope ON facts (scope, text_hash);
CREATE VIRTUAL TABLE facts_fts USING fts5 (
    text, tags, content = 'facts', content_rowid = 'number', tokenize = 'porter unicode61 remove_diacritics 2'
);",
    },
    Migration {
        name: "sessions whose work is handed over to another agent",
        sql: "CREATE TABLE handoffs (
    id TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    request_key TEXT,
    open INTEGER NOT NULL,
    record TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX handoffs_by_key ON handoffs (session, request_key);
CREATE INDEX handoffs_open ON handoffs (created_at) WHERE open;",
    },
    Migration {
        name: "a hook that comes twice is known again",
        sql: "ALTER TABLE hook_events ADD COLUMN hook_id TEXT;
CREATE UNIQUE INDEX hook_events_by_id ON hook_events (hook_id) WHERE hook_id IS NOT NULL;",
    },
    Migration {
        name: "agents that nobody hosts here",
        sql: "CREATE TABLE discovered (
    id TEXT PRIMARY KEY,
    agent_session TEXT NOT NULL UNIQUE,
    heard_at INTEGER NOT NULL,
    record TEXT NOT NULL
);",
    },
    Migration {
        name: "errors that were captured, and their reports",
        sql: "CREATE TABLE errors (
    fingerprint TEXT PRIMARY KEY,
    target TEXT NOT NULL,
    version TEXT NOT NULL,
    message TEXT NOT NULL,
    fields TEXT NOT NULL,
    location TEXT,
    os TEXT NOT NULL,
    arch TEXT NOT NULL,
    occurrences INTEGER NOT NULL,
    first_seen_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    scrub_changes TEXT NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX errors_by_time ON errors (last_seen_at, fingerprint);
CREATE TABLE report_previews (
    hash TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    destination TEXT,
    draft TEXT NOT NULL,
    scrub_changes TEXT NOT NULL,
    shown_to TEXT NOT NULL,
    shown_at INTEGER NOT NULL
);
CREATE INDEX report_previews_by_error ON report_previews (fingerprint, shown_at);
CREATE TABLE report_filings (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    preview TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    issue TEXT
);
CREATE INDEX report_filings_by_time ON report_filings (begun_at);",
    },
    Migration { name: "how goals are pursued", sql: "ALTER TABLE goals ADD COLUMN pursuit TEXT;" },
    Migration {
        name: "whether a person was told of a goal's deadline",
        sql: "ALTER TABLE goals ADD COLUMN deadline_told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX goals_by_deadline ON goals (deadline_at) WHERE deadline_at IS NOT NULL AND NOT deadline_told;",
    },
    Migration {
        name: "which rows name a content beside them, so that one that none names can go",
        sql: "CREATE INDEX approvals_parameters_beside ON approvals (parameters) WHERE substr(parameters, 1, 1) = '@';
CREATE INDEX client_runs_state_beside ON client_runs (state) WHERE substr(state, 1, 1) = '@';
CREATE INDEX client_turns_record_beside ON client_turns (record) WHERE substr(record, 1, 1) = '@';
CREATE INDEX enhance_settings_meta_beside ON enhance_settings (meta) WHERE substr(meta, 1, 1) = '@';
CREATE INDEX enhance_settings_spawner_beside ON enhance_settings (spawner) WHERE substr(spawner, 1, 1) = '@';
CREATE INDEX operators_manifest_beside ON operators (manifest) WHERE substr(manifest, 1, 1) = '@';
CREATE INDEX run_inputs_input_beside ON run_inputs (input) WHERE substr(input, 1, 1) = '@';
CREATE INDEX run_inputs_request_beside ON run_inputs (request) WHERE substr(request, 1, 1) = '@';
CREATE INDEX runs_result_beside ON runs (result) WHERE substr(result, 1, 1) = '@';
CREATE INDEX step_stages_value_beside ON step_stages (value) WHERE substr(value, 1, 1) = '@';
CREATE INDEX tasks_input_beside ON tasks (input) WHERE substr(input, 1, 1) = '@';
CREATE INDEX tasks_request_beside ON tasks (request) WHERE substr(request, 1, 1) = '@';
CREATE INDEX turns_output_beside ON turns (output) WHERE substr(output, 1, 1) = '@';
CREATE INDEX turns_parameters_beside ON turns (parameters) WHERE substr(parameters, 1, 1) = '@';",
    },
    Migration {
        name: "calls whose clients ask later how they ended",
        sql: "CREATE TABLE calls (
    id TEXT PRIMARY KEY,
    run_id TEXT,
    open INTEGER NOT NULL,
    record TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX calls_open ON calls (created_at) WHERE open;
CREATE INDEX calls_by_time ON calls (created_at);",
    },
    Migration {
        name: "why a goal stands where it does",
        sql: "ALTER TABLE goals ADD COLUMN reason TEXT;",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    fn schema_after(scripts: &[&str]) -> Vec<(String, String)> {
        let db = Connection::open_in_memory().unwrap();
        for script in scripts {
            db.execute_batch(script).unwrap();
        }
        let mut statement =
            db.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn the_workspaces_of_runs_stay_known_in_their_order() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        let (before, behind) = MIGRATIONS.split_at(20);
        before.iter().for_each(|step| db.execute_batch(step.sql).unwrap());
        db.execute_batch(
            "INSERT INTO blueprints (hash, id, document) VALUES ('h', 'b', '{}');
             INSERT INTO tasks (id, blueprint_id, blueprint_hash, input, request, created_at)
             VALUES ('t', 'b', 'h', '', '', 0);
             INSERT INTO runs (number, id, task_id, status, owner, epoch, blueprint_id, blueprint_hash, ttl_ms,
             ttl_source, created_at)
             VALUES (1, 'run_b', 't', 'done', 'o', 1, 'b', 'h', 1, 'request_body', 0),
             (2, 'run_a', 't', 'done', 'o', 1, 'b', 'h', 1, 'request_body', 0);
             INSERT INTO workspaces VALUES (2, 'worktree', '/a', '/p', 'x', 'c', 'local'),
             (1, 'given', '/b', NULL, NULL, NULL, 'local');",
        )
        .unwrap();
        behind.iter().for_each(|step| db.execute_batch(step.sql).unwrap());
        let mut statement =
            db.prepare("SELECT holder, path, removed FROM workspaces ORDER BY number").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        let rows: Vec<(String, String, bool)> = rows.map(Result::unwrap).collect();
        let expected = [("run_b", "/b", false), ("run_a", "/a", false)];
        assert_eq!(rows, expected.map(|(holder, path, removed)| (holder.into(), path.into(), removed)));
    }

    #[test]
    fn the_sum_of_the_migrations_is_the_schema_that_people_read() {
        let steps: Vec<&str> = MIGRATIONS.iter().map(|migration| migration.sql).collect();
        assert_eq!(schema_after(&steps), schema_after(&[include_str!("schema.sql")]));
    }
}
