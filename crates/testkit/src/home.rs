//! A data folder of a test's own, on which planes come and go.

use crate::environment;
use adjutant_engine::{Plane, Settings};
use adjutant_store::StoreOptions;
use adjutant_store::journal::{self, VerifyReport};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A variable of the daemon's environment that no allow-list lets pass.
pub const HIDDEN: (&str, &str) = ("HIDDEN_KEY", "hidden");

/// A data folder; it goes when this is dropped, and what lives in its terminals.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        environment::end_hosted(self.folder.path());
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// Makes an empty one.
    pub fn new() -> Self {
        Home { folder: tempfile::tempdir().expect("a folder for the test") }
    }

    /// Gives the data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a path in the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Checks the journal of the store here.
    pub fn journal_report(&self) -> VerifyReport {
        journal::verify(&StoreOptions::new(self.folder()).path()).expect("the journal is readable")
    }

    /// Gives settings for a plane here: a hermetic environment with [`HIDDEN`] in it, no program of Adjutant's own,
    /// and a short grace for programs that are ended.
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.folder.path().to_owned(), "/nonexistent/adjutant".into());
        let hidden = (HIDDEN.0.to_owned(), HIDDEN.1.to_owned());
        settings.env = environment::hermetic(self.folder.path()).into_iter().chain([hidden]).collect();
        settings.worker.grace = Duration::from_millis(300);
        settings
    }

    /// Gives settings for a plane whose agents are small programs: as [`Home::settings`], with a stand-in for Adjutant's
    /// own program, which becomes the agent at once.
    pub fn settings_hosting(&self) -> Settings {
        let host = self.path("host");
        if !host.exists() {
            std::fs::write(&host, "#!/bin/sh\nshift\nexec \"$@\"\n").expect("the program is written");
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(&host, mode).expect("it can be started");
        }
        Settings { exe: host, ..self.settings() }
    }

    /// Writes an agent in print mode: a shell script, which gets the path of the file that it notes in what it is told.
    /// The script is `NAME.sh` and the file `NAME.told`.
    pub fn agent(&self, name: &str, script: &str) {
        self.agent_by(
            name,
            script,
            "[[driver]]\nkind = \"headless\"\nprompt = \"protocol\"\nstream = \"claude_stream_json\"\n",
        );
    }

    /// As [`Home::agent`], with the driver as it stands in a profile, to which the arguments are added.
    pub fn agent_by(&self, name: &str, script: &str, driver: &str) {
        std::fs::create_dir_all(self.path("agents")).expect("the folder is made");
        let file = self.path(&format!("{name}.sh"));
        std::fs::write(&file, script).expect("the agent is written");
        let args = format!("[[\"{}\", \"{}\"]]", file.display(), self.told_file(name).display());
        let profile = format!(
            "name = \"{name}\"\nprogram = \"/bin/sh\"\n{driver}args = {args}\nresume_args = {args}\n"
        );
        std::fs::write(self.path(&format!("agents/{name}.toml")), profile).expect("the profile is written");
    }

    /// Gives what an agent has noted of what it was told.
    pub fn told(&self, name: &str) -> String {
        std::fs::read_to_string(self.told_file(name)).unwrap_or_default()
    }

    fn told_file(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}.told"))
    }

    /// Opens a plane here, as a daemon does at its start: every open run has an owner when this returns.
    pub async fn plane(&self) -> Plane {
        let plane = Plane::open(self.settings()).await.expect("the plane opens");
        plane.endpoint_set("http://127.0.0.1:9".to_owned());
        plane.resume().await.expect("the plane resumes");
        plane
    }
}
