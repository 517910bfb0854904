//! Programs and repositories that depend on nothing of the machine but `PATH`.

use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::worktree::{self, RemoveMode, RemoveParams, WorktreeParams};
use adjutant_sessions::{Git, Outcome, ProcessSpec, environment, process};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// Gives the environment of started programs, with a home of its own.
#[expect(clippy::disallowed_methods, reason = "nothing but the machine knows where its programs are")]
pub(crate) fn env(home: &Path) -> Vec<(String, String)> {
    let from = [("PATH".to_owned(), std::env::var("PATH").unwrap())];
    let home = BTreeMap::from([("HOME".to_owned(), home.to_str().unwrap().to_owned())]);
    environment(&[], from.into_iter(), &home)
}

/// Gives the spec of a shell script that must end within a minute.
pub(crate) fn shell(dir: &Path, script: &str) -> ProcessSpec {
    let argv = ["sh", "-c", script].map(str::to_owned).to_vec();
    ProcessSpec {
        env: env(dir),
        timeout: Some(Duration::from_secs(60)),
        ..ProcessSpec::new(argv, dir.to_owned())
    }
}

/// Runs a program that nobody cancels or listens to.
pub(crate) async fn run(spec: ProcessSpec) -> Outcome {
    process::run(spec, CancellationToken::new(), None).await.unwrap()
}

/// A project's repository with one commit, and a folder for workspaces.
pub(crate) struct Repository {
    folder: TempDir,
    /// The project.
    pub(crate) project: PathBuf,
    /// The folder for workspaces.
    pub(crate) workspaces: PathBuf,
    /// How it is worked on.
    pub(crate) git: Git,
}

impl Repository {
    /// Makes one that holds `file`, and ignores `*.ignored`.
    pub(crate) fn new() -> Repository {
        Self::named("project")
    }

    /// Makes one in a folder of this name.
    pub(crate) fn named(name: &str) -> Repository {
        let repository = Self::empty(name);
        repository.write("file", "one\n");
        repository.write(".gitignore", "*.ignored\n");
        repository.commit(&repository.project, "first");
        repository
    }

    /// Makes one without a commit.
    pub(crate) fn empty(name: &str) -> Repository {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let project = root.join(name);
        std::fs::create_dir_all(&project).unwrap();
        let git = Git::new(&env(&root));
        let repository = Repository { workspaces: root.join("work spaces"), folder, project, git };
        repository.sh(&repository.project, &["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Gives the folder that all of it is in.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project.join(name), text).unwrap();
    }

    /// Calls git as a user would, and gives what it says.
    #[track_caller]
    pub(crate) fn sh(&self, dir: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "commit.gpgSign=false"])
            .args(args)
            .current_dir(dir)
            .env_clear()
            .envs(env(&self.root()))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "git {args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Commits all there is in a working tree.
    #[track_caller]
    pub(crate) fn commit(&self, dir: &Path, message: &str) {
        self.sh(dir, &["add", "--all"]);
        self.sh(dir, &["commit", "--quiet", "--allow-empty", "-m", message]);
    }

    /// Gives the params of the workspace of a run.
    pub(crate) fn place(&self, run: &str) -> (PathBuf, String) {
        (self.workspaces.join(run), format!("adjutant/{run}"))
    }

    /// Makes the workspace of a run.
    pub(crate) async fn workspace(&self, run: &str) -> WorkspaceRecord {
        let (path, branch) = self.place(run);
        let params = WorktreeParams { project: &self.project, path: &path, branch: &branch, base: None };
        worktree::create(&self.git, params).await.unwrap()
    }

    /// Gives the params of a removal.
    pub(crate) fn removal<'a>(&'a self, record: &'a WorkspaceRecord, mode: RemoveMode) -> RemoveParams<'a> {
        RemoveParams { record, workspaces: &self.workspaces, mode, snapshot_ref: SNAPSHOT_REF }
    }
}

/// The ref that tests keep snapshots under.
pub(crate) const SNAPSHOT_REF: &str = "refs/adjutant/snapshots/run_1/1";
