//! A git repository of a test's own: a pinned identity, no configuration of the machine or its user.

use crate::environment;
use adjutant_model::run::WorkspaceRecord;
use adjutant_sessions::Git;
use adjutant_sessions::worktree::{self, RemoveMode, RemoveParams, WorktreeParams};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Calls git as a user would, without what machine and user have configured, and gives what it says.
#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=U", "-c", "user.email=u@example.org", "-c", "commit.gpgSign=false"])
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs(environment::hermetic(dir))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git starts");
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    assert!(output.status.success(), "git {args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Commits all there is in a working tree.
#[track_caller]
pub fn commit(dir: &Path, message: &str) {
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--allow-empty", "-m", message]);
}

/// Makes a repository of a directory, which is made when it is not there, and commits what is in it.
#[track_caller]
pub fn init(dir: &Path) {
    std::fs::create_dir_all(dir).expect("the folder is made");
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    commit(dir, "start");
}

/// Makes a repository with one commit of one file: `file.txt`, a line with the word `one`.
#[track_caller]
pub fn with_one_file(dir: &Path) {
    std::fs::create_dir_all(dir).expect("the folder is made");
    std::fs::write(dir.join("file.txt"), "one\n").expect("the file is written");
    init(dir);
}

/// A project's repository, and a folder for workspaces.
#[derive(Debug)]
pub struct Repository {
    folder: TempDir,
    /// The project.
    pub project: PathBuf,
    /// The folder for workspaces.
    pub workspaces: PathBuf,
    /// How it is worked on.
    pub git: Git,
}

impl Default for Repository {
    fn default() -> Self {
        Self::new()
    }
}

impl Repository {
    /// Makes one in a folder `project` that holds `file`, and ignores `*.ignored`.
    pub fn new() -> Repository {
        Self::named("project")
    }

    /// Makes one in a folder of this name.
    pub fn named(name: &str) -> Repository {
        let repository = Self::empty(name);
        repository.write("file", "one\n");
        repository.write(".gitignore", "*.ignored\n");
        repository.commit(&repository.project, "first");
        repository
    }

    /// Makes one without a commit.
    pub fn empty(name: &str) -> Repository {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let root = folder.path().canonicalize().expect("it is there");
        let project = root.join(name);
        std::fs::create_dir_all(&project).expect("the folder is made");
        let git = Git::new(&environment::hermetic(&root));
        let repository = Repository { workspaces: root.join("work spaces"), folder, project, git };
        repository.sh(&repository.project, &["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Gives the folder that all of it is in.
    pub fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().expect("it is there")
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project.join(name), text).expect("the file is written");
    }

    /// Calls git as a user would, and gives what it says.
    #[track_caller]
    pub fn sh(&self, dir: &Path, args: &[&str]) -> String {
        git(dir, args)
    }

    /// Commits all there is in a working tree.
    #[track_caller]
    pub fn commit(&self, dir: &Path, message: &str) {
        commit(dir, message);
    }

    /// Gives the path and the branch of the workspace of a run.
    pub fn place(&self, run: &str) -> (PathBuf, String) {
        (self.workspaces.join(run), format!("adjutant/{run}"))
    }

    /// Makes the workspace of a run.
    pub async fn workspace(&self, run: &str) -> WorkspaceRecord {
        let (path, branch) = self.place(run);
        let params = WorktreeParams { project: &self.project, path: &path, branch: &branch, base: None };
        worktree::create(&self.git, params).await.expect("the worktree is made")
    }

    /// Gives the params of a removal.
    pub fn removal<'a>(&'a self, record: &'a WorkspaceRecord, mode: RemoveMode) -> RemoveParams<'a> {
        RemoveParams { record, workspaces: &self.workspaces, mode, name: "run_1" }
    }
}

/// The ref of the first snapshot of `run_1`.
pub const SNAPSHOT_REF: &str = "refs/adjutant/snapshots/run_1/1";
