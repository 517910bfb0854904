//! The session of an agent: its id, and the transcript that it is resumed from.
//!
//! The transcript has the shape of Claude Code's: one JSON object a line, each with the id of the one before. It is
//! kept below a folder of the rehearsal's own, never in the person's home.

use super::script::Usage;
use super::stage::Called;
use adjutant_engine::clock;
use rustix::fs::OFlags;
use serde_json::{Map, Value, json};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// A transcript that is longer is not resumed from.
const TRANSCRIPT_BYTES_MAX: u64 = 256 << 20;

/// A session that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    /// The id is no UUID, and it names a file.
    #[error("the session id {0:?} is not a UUID")]
    NotAnId(String),
    /// There is nothing to resume.
    #[error("no conversation found with session id {0}")]
    Unknown(Uuid),
    /// It would be begun a second time.
    #[error("the session id {0} is already in use")]
    Taken(Uuid),
    /// The folder belongs to somebody else.
    #[error("{path} belongs to another user")]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// The file system does not let it.
    #[error("the transcript {path} cannot be used")]
    File {
        /// The transcript or its folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opening {
    /// With an id of its own.
    New,
    /// With this id.
    Named(String),
    /// Where the session with this id ended.
    Resumed(String),
}

/// Where a session comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is new.
    Begun,
    /// It goes on.
    Resumed,
}

/// Where sessions are and what they share.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The folder that keeps transcripts; without one nothing is kept, and nothing can be resumed.
    pub(super) home: Option<PathBuf>,
    /// Where the agent works; a resolved path.
    pub(super) cwd: PathBuf,
    /// How the agent was told to ask.
    pub(super) permission_mode: String,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    id: String,
    origin: Origin,
    place: Place,
    transcript: Option<Transcript>,
    prompts: Vec<String>,
    earlier: usize,
    prompt_id: Option<String>,
    parent: Option<String>,
    usage: Usage,
    pending: Option<Usage>,
}

/// Where a session is kept.
#[derive(Debug)]
struct Transcript {
    path: PathBuf,
    file: File,
}

impl Session {
    /// Opens a session.
    pub(super) fn open(place: Place, opening: &Opening) -> Result<Session, SessionError> {
        let id = match opening {
            Opening::New => Uuid::new_v4(),
            Opening::Named(text) | Opening::Resumed(text) => {
                Uuid::try_parse(text).map_err(|_| SessionError::NotAnId(text.clone()))?
            }
        };
        let origin = match opening {
            Opening::New | Opening::Named(_) => Origin::Begun,
            Opening::Resumed(_) => Origin::Resumed,
        };
        let (transcript, past) = match &place.home {
            Some(home) => {
                let (transcript, past) = Transcript::open(&folder(home, &place.cwd)?, id, origin)?;
                (Some(transcript), past)
            }
            None if origin == Origin::Resumed => return Err(SessionError::Unknown(id)),
            None => (None, Past::default()),
        };
        Ok(Session {
            id: id.to_string(),
            origin,
            place,
            transcript,
            earlier: past.prompts.len(),
            prompts: past.prompts,
            prompt_id: None,
            parent: past.last,
            usage: Usage::default(),
            pending: None,
        })
    }

    /// Gives the id as text.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Gives where it comes from.
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }

    /// Gives where the agent works.
    pub(super) fn cwd(&self) -> String {
        self.place.cwd.display().to_string()
    }

    /// Gives how many prompts were resumed with.
    pub(super) fn earlier(&self) -> usize {
        self.earlier
    }

    /// Gives every prompt, the first one first.
    pub(super) fn prompts(&self) -> &[String] {
        &self.prompts
    }

    /// Gives what was used since the session was opened.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Gives how the agent asks.
    pub(super) fn permission_mode(&self) -> &str {
        &self.place.permission_mode
    }

    /// Sets how the agent asks.
    pub(super) fn set_permission_mode(&mut self, mode: String) {
        self.place.permission_mode = mode;
    }

    /// Gives what every hook is told.
    pub(super) fn told(&self) -> Map<String, Value> {
        let mut told = Map::new();
        told.insert("session_id".to_owned(), json!(self.id));
        let transcript = self.transcript.as_ref().map(|transcript| &transcript.path);
        told.insert("transcript_path".to_owned(), json!(transcript));
        told.insert("cwd".to_owned(), json!(self.place.cwd));
        if let Some(prompt_id) = &self.prompt_id {
            told.insert("prompt_id".to_owned(), json!(prompt_id));
        }
        told.insert("permission_mode".to_owned(), json!(self.place.permission_mode));
        told
    }

    /// Begins a turn: the hooks are told another prompt's id from now on.
    pub(super) fn begin(&mut self) {
        self.prompt_id = Some(Uuid::new_v4().to_string());
    }

    /// Keeps a prompt.
    pub(super) fn asked(&mut self, prompt: &str) -> io::Result<()> {
        self.prompts.push(prompt.to_owned());
        let message = json!({"role": "user", "content": [{"type": "text", "text": prompt}]});
        let fields = json!({
            "type": "user",
            "message": message,
            "promptId": self.prompt_id,
            "permissionMode": self.place.permission_mode,
        });
        self.line(fields)
    }

    /// Keeps a block of the agent's message.
    pub(super) fn answered(&mut self, block: Value) -> io::Result<()> {
        let used = self.pending.take();
        self.message(&[block], used)
    }

    /// Keeps a tool's result.
    pub(super) fn resulted(&mut self, call: &Called, result: &Result<String, String>) -> io::Result<()> {
        let (Ok(text) | Err(text)) = result;
        let block = json!({
            "type": "tool_result",
            "tool_use_id": call.id,
            "content": text,
            "is_error": result.is_err(),
        });
        self.line(json!({"type": "user", "message": {"role": "user", "content": [block]}}))
    }

    /// Keeps that a person interrupted the turn.
    pub(super) fn interrupted(&mut self) -> io::Result<()> {
        let block = json!({"type": "text", "text": "[Request interrupted by user]"});
        self.line(json!({"type": "user", "message": {"role": "user", "content": [block]}}))
    }

    /// Adds what was used; the next message carries it.
    pub(super) fn used(&mut self, usage: &Usage) {
        add(&mut self.usage, usage);
        add(self.pending.get_or_insert_default(), usage);
    }

    /// Ends a turn: what was used and is not yet told gets a message of its own.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        match self.pending.take() {
            Some(used) => self.message(&[], Some(used)),
            None => Ok(()),
        }
    }

    fn message(&mut self, content: &[Value], used: Option<Usage>) -> io::Result<()> {
        self.line(json!({
            "type": "assistant",
            "message": {
                "id": format!("msg_{}", Uuid::new_v4().simple()),
                "type": "message",
                "role": "assistant",
                "model": "rehearsal",
                "content": content,
                "usage": message_usage(&used.unwrap_or_default()),
            },
        }))
    }

    fn line(&mut self, mut line: Value) -> io::Result<()> {
        let Some(transcript) = &mut self.transcript else { return Ok(()) };
        let id = Uuid::new_v4().to_string();
        line["uuid"] = json!(id);
        line["parentUuid"] = json!(self.parent);
        line["sessionId"] = json!(self.id);
        line["timestamp"] = json!(clock::now());
        line["cwd"] = json!(self.place.cwd);
        line["isSidechain"] = json!(false);
        line["version"] = json!(env!("CARGO_PKG_VERSION"));
        self.parent = Some(id);
        let mut text = line.to_string();
        text.push('\n');
        transcript.file.write_all(text.as_bytes())
    }
}

impl Transcript {
    fn open(folder: &Path, id: Uuid, origin: Origin) -> Result<(Transcript, Past), SessionError> {
        let path = folder.join(format!("{id}.jsonl"));
        let mut options = OpenOptions::new();
        let options = options.append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let (past, file) = match origin {
            Origin::Begun => (Past::default(), options.create_new(true).open(&path)),
            Origin::Resumed => (Past::read(&path, id)?, options.open(&path)),
        };
        match file {
            Ok(file) => Ok((Transcript { path, file }, past)),
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Err(SessionError::Taken(id)),
            Err(source) => Err(SessionError::File { path, source }),
        }
    }
}

/// Gives a message's usage as Claude Code has it: the context is what went in and what was read from the cache.
pub(super) fn message_usage(used: &Usage) -> Value {
    json!({
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": used.context_used.saturating_sub(used.input_tokens),
    })
}

/// Adds tokens and cost; of the context the newer figures hold.
pub(super) fn add(sum: &mut Usage, more: &Usage) {
    sum.input_tokens = sum.input_tokens.saturating_add(more.input_tokens);
    sum.output_tokens = sum.output_tokens.saturating_add(more.output_tokens);
    sum.cost_usd += more.cost_usd;
    if more.context_used > 0 {
        sum.context_used = more.context_used;
    }
    if more.context_window > 0 {
        sum.context_window = more.context_window;
    }
}

/// What a transcript tells of the past.
#[derive(Debug, Default)]
struct Past {
    prompts: Vec<String>,
    last: Option<String>,
}

impl Past {
    /// Reads a transcript; a line that was not written whole is passed over.
    fn read(transcript: &Path, id: Uuid) -> Result<Past, SessionError> {
        let about = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => SessionError::Unknown(id),
            _ => SessionError::File { path: transcript.to_owned(), source },
        };
        let file = File::open(transcript).map_err(about)?;
        if file.metadata().map_err(about)?.len() > TRANSCRIPT_BYTES_MAX {
            return Err(about(io::Error::other(format!("it is longer than {TRANSCRIPT_BYTES_MAX} bytes"))));
        }
        let mut past = Past::default();
        for line in BufReader::new(file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Value>(&line.map_err(about)?) else { continue };
            past.last = line["uuid"].as_str().map(str::to_owned).or(past.last);
            // Only prompts carry one; results of tools and interruptions are a user's messages as well.
            if line["promptId"].is_string() {
                past.prompts.push(line["message"]["content"][0]["text"].as_str().unwrap_or("").to_owned());
            }
        }
        Ok(past)
    }
}

/// Makes the folder of a working directory's transcripts, for this user alone.
fn folder(home: &Path, cwd: &Path) -> Result<PathBuf, SessionError> {
    let slug: String =
        cwd.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let about = |source| SessionError::File { path: home.to_owned(), source };
    let folder = home.join("projects").join(slug);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(about)?;
    // Of a link it is the link's owner that counts: in a shared folder anybody could have made it.
    if fs::symlink_metadata(home).map_err(about)?.uid() != rustix::process::getuid().as_raw() {
        return Err(SessionError::Foreign { path: home.to_owned() });
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Place {
        Place {
            home: Some(folder.join("home")),
            cwd: folder.to_owned(),
            permission_mode: "default".to_owned(),
        }
    }

    #[test]
    fn a_session_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Session::open(place(folder.path()), &Opening::New).unwrap();
        first.begin();
        first.asked("one").unwrap();
        let call = Called { id: "t1".into(), name: "Bash".into(), input: json!({}) };
        first.resulted(&call, &Ok("x".into())).unwrap();
        first.interrupted().unwrap();
        first.begin();
        first.asked("two").unwrap();
        first.transcript.as_mut().unwrap().file.write_all(b"{\"promptId\": \"cut in the midd").unwrap();
        let again = Session::open(place(folder.path()), &Opening::Resumed(first.id().to_owned())).unwrap();
        assert_eq!((again.earlier(), again.prompts()), (2, first.prompts()));
        assert_eq!(again.parent, first.parent);
    }

    #[test]
    fn a_session_that_cannot_be_opened_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let id = "00000000-0000-4000-8000-000000000001";
        let open = |opening| {
            Session::open(place(folder.path()), &opening)
                .map(|session| session.id().to_owned())
                .map_err(|e| e.to_string())
        };
        assert_eq!(
            open(Opening::Resumed(id.into())),
            Err(format!("no conversation found with session id {id}"))
        );
        assert_eq!(open(Opening::Named(id.into())), Ok(id.to_owned()));
        assert_eq!(open(Opening::Named(id.into())), Err(format!("the session id {id} is already in use")));
        assert_eq!(
            open(Opening::Resumed("../../etc/passwd".into())),
            Err("the session id \"../../etc/passwd\" is not a UUID".to_owned())
        );
    }

    #[test]
    fn what_was_used_stands_in_the_next_message() {
        let folder = tempfile::tempdir().unwrap();
        let mut session = Session::open(place(folder.path()), &Opening::New).unwrap();
        let used = Usage {
            input_tokens: 10,
            output_tokens: 2,
            cost_usd: 0.5,
            context_used: 30,
            context_window: 100,
        };
        session.used(&used);
        session.answered(json!({"type": "text", "text": "hi"})).unwrap();
        session.answered(json!({"type": "text", "text": "there"})).unwrap();
        session.used(&used);
        session.settle().unwrap();
        assert_eq!((session.usage().input_tokens, session.usage().cost_usd), (20, 1.0));
        let text = fs::read_to_string(&session.transcript.unwrap().path).unwrap();
        let read: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"]["usage"].clone())
            .map(|usage| {
                usage["input_tokens"].as_u64().unwrap() + usage["cache_read_input_tokens"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(read, [30, 0, 30]);
    }
}
