//! The submodules of a worktree, filled without a word in anybody's configuration.
//!
//! What the project has of a submodule already is taken from there; the rest comes over https or ssh, and nothing else:
//! a path or a command in `.gitmodules` is not ours to follow. What cannot be filled is told and leaves an empty folder.

use super::snapshot::listed;
use crate::git::{Call, Git, GitError};
use std::path::{Path, PathBuf};

/// How many submodules are filled at most, nested ones included.
const SUBMODULES_MAX: usize = 200;

/// A submodule that could not be filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmoduleTrouble {
    /// Its path in the worktree.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Fills the submodules of a worktree, nested ones included; gives those that could not be.
///
/// # Errors
/// [`GitError`] when the worktree itself cannot be read.
pub async fn fill_submodules(git: &Git, dir: &Path) -> Result<Vec<SubmoduleTrouble>, GitError> {
    let common = ["rev-parse", "--path-format=absolute", "--git-common-dir"];
    let common = PathBuf::from(git.line(&Call::new(dir, &common)).await?);
    let mut troubles = Vec::new();
    let mut waiting = vec![(PathBuf::new(), common)];
    let mut seen = 0;
    while let Some((at, source)) = waiting.pop() {
        for module in modules(git, &dir.join(&at)).await? {
            let path = at.join(&module.path);
            seen += 1;
            let filled = match seen {
                ..=SUBMODULES_MAX => module.fill(git, &dir.join(&at), &source).await,
                _ => Err("there are too many".to_owned()),
            };
            match filled {
                Ok(()) => waiting.push((path, source.join("modules").join(&module.name))),
                Err(why) => {
                    troubles.push(SubmoduleTrouble { path: path.to_string_lossy().into_owned(), why });
                }
            }
        }
    }
    Ok(troubles)
}

/// A submodule as `.gitmodules` and the index name it.
struct Module {
    name: String,
    path: String,
    commit: String,
}

/// Lists the submodules that a worktree's index has.
async fn modules(git: &Git, dir: &Path) -> Result<Vec<Module>, GitError> {
    if !dir.join(".gitmodules").symlink_metadata().is_ok_and(|found| found.is_file()) {
        return Ok(Vec::new());
    }
    let ask = ["config", "--file", ".gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$"];
    let Some(said) = git.ask(&Call::new(dir, &ask)).await? else { return Ok(Vec::new()) };
    let mut modules = Vec::new();
    for (key, path) in said.split('\0').filter_map(|entry| entry.split_once('\n')) {
        let Some(name) = key.strip_prefix("submodule.").and_then(|rest| rest.strip_suffix(".path")) else {
            continue;
        };
        let list = ["--literal-pathspecs", "ls-files", "--stage", "-z", "--", path];
        let entries = listed(&git.output(&Call::new(dir, &list)).await?);
        let link = entries.iter().find(|entry| entry.words[0] == "160000" && entry.path == path.as_bytes());
        if let Some(link) = link {
            let [_, commit, _] = link.words.clone();
            modules.push(Module { name: name.to_owned(), path: path.to_owned(), commit });
        }
    }
    Ok(modules)
}

impl Module {
    async fn fill(&self, git: &Git, dir: &Path, source: &Path) -> Result<(), String> {
        let is_plain = !self.name.split('/').any(|part| matches!(part, "" | "." | ".."))
            && !self.name.starts_with('-')
            && !self.name.contains(|c: char| c == '=' || c.is_control());
        if !is_plain {
            return Err("its name cannot be one".to_owned());
        }
        let own = self.own(git, source).await;
        // Said for this call alone: a submodule that is made known by `init` would be so in the user's repository.
        let args =
            ["submodule", "--quiet", "update", "--checkout", "--no-recommend-shallow", "--", &self.path];
        let call = Call::new(dir, &args).with_config(format!("submodule.{}.active=true", self.name));
        let call = match &own {
            Some(own) => call
                .with_config(format!("submodule.{}.url={}", self.name, own.display()))
                .with_env("GIT_ALLOW_PROTOCOL", "file"),
            None => call.with_env("GIT_ALLOW_PROTOCOL", "https:ssh"),
        };
        git.output(&call).await.map_err(|error| told(&error))?;
        match own {
            Some(own) => self.name_remote(git, dir, &own).await.map_err(|error| told(&error)),
            None => Ok(()),
        }
    }

    /// Gives the repository that the project has of the submodule, when it has the commit.
    async fn own(&self, git: &Git, source: &Path) -> Option<PathBuf> {
        let path = source.join("modules").join(&self.name);
        let is_there = path.join("HEAD").is_file() && path.to_str().is_some_and(|text| !text.contains('\n'));
        let has_it = is_there && git.commit_of(&path, &self.commit).await.ok().flatten().is_some();
        has_it.then_some(path)
    }

    /// Lets the submodule push to where the project's own pushes to.
    async fn name_remote(&self, git: &Git, dir: &Path, own: &Path) -> Result<(), GitError> {
        let url = git.ask(&Call::new(own, &["config", "--get", "remote.origin.url"])).await?;
        if let Some(url) = url {
            let inner = dir.join(&self.path);
            git.output(&Call::new(&inner, &["config", "--", "remote.origin.url", &url])).await?;
        }
        Ok(())
    }
}

fn told(error: &GitError) -> String {
    match error {
        GitError::Failed { stderr_tail, .. } => {
            stderr_tail.lines().find(|line| line.starts_with("fatal:")).unwrap_or(stderr_tail).to_owned()
        }
        error => error.to_string(),
    }
}
