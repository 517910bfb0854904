//! Memory: what may be remembered, and whose facts a caller sees.
//!
//! People see every scope. An agent has its own: the plane's, its project's, its own name's and its goal's. It adds to
//! all of them but the plane's, which every agent of every project reads, and puts nothing in the place of what a person
//! said.

use adjutant_model::memory::{Fact, FactScope, FactSource};

/// A fact's text is at most so long, in bytes.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// A scope has at most so many facts, those that hold no more included.
pub const SCOPE_FACTS_MAX: u64 = 10_000;
/// A query is at most so long, in bytes.
pub const QUERY_BYTES_MAX: usize = 4 << 10;
/// At most so many facts are recalled at once.
pub const RECALLED_MAX: usize = 50;
/// So many are when nobody says.
pub const RECALLED: usize = 10;
/// At most so many facts are listed.
pub const LISTED_MAX: usize = 1000;
/// A fact has at most so many tags, and a request names at most so many of them and of scopes.
const TAGS_MAX: usize = 16;
/// A tag is at most so long, in bytes.
const TAG_BYTES_MAX: usize = 40;
/// What a scope names is at most so long, in bytes.
const SCOPE_BYTES_MAX: usize = 1024;

/// Whose facts a caller sees and adds to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A person's: every scope.
    All,
    /// An agent's: these scopes, the one that it adds to when nothing is said first.
    Own {
        /// The scopes, without the plane's.
        scopes: Vec<FactScope>,
        /// Where it is known to have said something itself.
        source: FactSource,
    },
}

impl Reach {
    /// Tells whether a fact is seen.
    pub fn sees(&self, fact: &Fact) -> bool {
        match self {
            Reach::All => true,
            Reach::Own { scopes, .. } => fact.scope == FactScope::Plane || scopes.contains(&fact.scope),
        }
    }

    /// Tells whether a fact may be forgotten: an agent's own may.
    pub fn forgets(&self, fact: &Fact) -> bool {
        match self {
            Reach::All => true,
            Reach::Own { source, .. } => match (source, &fact.source) {
                (FactSource::Run { run_id, .. }, FactSource::Run { run_id: of, .. }) => run_id == of,
                (own, of) => own == of,
            },
        }
    }

    /// Tells whether another fact may take a fact's place: what a person said, an agent leaves as it is.
    pub fn replaces(&self, fact: &Fact) -> bool {
        match (self, &fact.source) {
            (Reach::All, _) => true,
            (Reach::Own { .. }, FactSource::Person { .. }) => false,
            (Reach::Own { .. }, FactSource::Session { .. } | FactSource::Run { .. }) => true,
        }
    }

    /// Gives where to look when these scopes are asked for, and all that are seen when none is; nothing stands for every
    /// scope there is.
    ///
    /// # Errors
    /// The scope that is not the caller's.
    pub fn looks_in(&self, asked: Vec<FactScope>) -> Result<Option<Vec<FactScope>>, FactScope> {
        let Reach::Own { scopes, .. } = self else {
            return Ok(Some(asked).filter(|asked| !asked.is_empty()));
        };
        let own: Vec<FactScope> = scopes.iter().cloned().chain([FactScope::Plane]).collect();
        match asked.iter().find(|scope| !own.contains(scope)) {
            Some(scope) => Err(scope.clone()),
            None => Ok(Some(if asked.is_empty() { own } else { asked })),
        }
    }

    /// Gives the scope that a new fact gets.
    ///
    /// # Errors
    /// Why it may not be there.
    pub fn adds_to(&self, asked: Option<FactScope>) -> Result<FactScope, String> {
        let Reach::Own { scopes, .. } = self else { return Ok(asked.unwrap_or(FactScope::Plane)) };
        let own = || scopes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match asked {
            None => scopes.first().cloned().ok_or_else(|| "this agent has no scope of its own".to_owned()),
            Some(scope) if scopes.contains(&scope) => Ok(scope),
            Some(FactScope::Plane) => {
                Err(format!("only people remember for the whole plane; this agent's own are {}", own()))
            }
            Some(scope) => Err(format!("`{scope}` is not this agent's; its own are {}", own())),
        }
    }
}

/// Reads a fact's text, whose secrets are taken out already.
///
/// # Errors
/// What a text is.
pub fn text_read(text: &str) -> Result<&str, String> {
    let text = text.trim();
    let is_plain = !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    if !text.is_empty() && text.len() <= TEXT_BYTES_MAX && is_plain {
        return Ok(text);
    }
    Err(format!(
        "`text` has 1 to {TEXT_BYTES_MAX} bytes, not {}, and no control characters but new lines and tabs",
        text.len()
    ))
}

/// Reads tags: in lower case, each once, in their order.
///
/// # Errors
/// What a tag is.
pub fn tags_read(tags: &[String]) -> Result<Vec<String>, String> {
    if tags.len() > TAGS_MAX {
        return Err(format!("at most {TAGS_MAX} `tags`, not {}", tags.len()));
    }
    let mut read: Vec<String> = Vec::new();
    for tag in tags {
        let plain = |c: char| c.is_alphanumeric() || "._-".contains(c);
        let low = tag.trim().to_lowercase();
        if low.is_empty() || low.len() > TAG_BYTES_MAX || !low.chars().all(plain) {
            let shown: String = tag.chars().take(TAG_BYTES_MAX).collect();
            return Err(format!(
                "a tag is 1 to {TAG_BYTES_MAX} bytes of letters, digits and `._-`, not `{shown}`"
            ));
        }
        if !read.contains(&low) {
            read.push(low);
        }
    }
    Ok(read)
}

/// Reads scopes.
///
/// # Errors
/// As [`scope_read`], and when there are too many.
pub fn scopes_read(texts: &[String]) -> Result<Vec<FactScope>, String> {
    if texts.len() > TAGS_MAX {
        return Err(format!("at most {TAGS_MAX} `scopes`, not {}", texts.len()));
    }
    texts.iter().map(|text| scope_read(text)).collect()
}

/// Reads a scope.
///
/// # Errors
/// What a scope is.
pub fn scope_read(text: &str) -> Result<FactScope, String> {
    let text = text.trim();
    let fits = text.len() <= SCOPE_BYTES_MAX && !text.chars().any(char::is_control);
    let scope = FactScope::parse(text).filter(|scope| match scope {
        FactScope::Project(of) => of.starts_with('/') || of.contains("://") || of.contains('@'),
        FactScope::Plane | FactScope::Agent(_) | FactScope::Goal(_) => true,
    });
    scope.filter(|_| fits).ok_or_else(|| {
        let shown: String = text.chars().take(80).collect();
        format!(
            "a scope is `plane`, `project:` and an absolute path or a URL, `agent:` and a name, or `goal:` and an id, not \
             `{shown}`"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use adjutant_model::id::Uuid;
    use adjutant_model::{FactId, SessionId, Timestamp};

    fn own() -> Reach {
        let source = FactSource::Session { session_id: SessionId::new(Uuid::from_u128(1)) };
        let scopes = vec![FactScope::Project("/p".into()), FactScope::Agent("claude".into())];
        Reach::Own { scopes, source }
    }

    fn fact(scope: &str, session: u128) -> Fact {
        Fact {
            id: FactId::new(Uuid::from_u128(1)),
            scope: FactScope::parse(scope).expect("a scope"),
            text: "x".into(),
            tags: Vec::new(),
            source: FactSource::Session { session_id: SessionId::new(Uuid::from_u128(session)) },
            created_at: Timestamp::from_unix_ms(0),
            valid_until: None,
            successor: None,
        }
    }

    #[test]
    fn an_agent_sees_its_own_scopes_and_the_planes_and_adds_to_its_own() {
        for (scope, sees, adds) in [
            ("plane", true, false),
            ("project:/p", true, true),
            ("agent:claude", true, true),
            ("project:/q", false, false),
            ("agent:codex", false, false),
        ] {
            let asked = FactScope::parse(scope).expect("a scope");
            assert_eq!(own().sees(&fact(scope, 1)), sees, "{scope}");
            assert_eq!(own().looks_in(vec![asked.clone()]).is_ok(), sees, "{scope}");
            assert_eq!(own().adds_to(Some(asked.clone())).is_ok(), adds, "{scope}");
            assert!(Reach::All.sees(&fact(scope, 1)));
            assert_eq!(Reach::All.adds_to(Some(asked.clone())), Ok(asked));
        }
        assert_eq!(own().adds_to(None), Ok(FactScope::Project("/p".into())));
        assert_eq!(Reach::All.adds_to(None), Ok(FactScope::Plane));
        assert_eq!(own().looks_in(Vec::new()).map(|scopes| scopes.map(|scopes| scopes.len())), Ok(Some(3)));
        assert_eq!(Reach::All.looks_in(Vec::new()), Ok(None));
        assert!(own().forgets(&fact("plane", 1)) && !own().forgets(&fact("project:/p", 2)));
    }

    #[test]
    fn what_is_no_text_tag_or_scope_is_refused() {
        assert_eq!(text_read(" two\nlines "), Ok("two\nlines"));
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        for wrong in ["", "  ", "a\u{1b}[2J", "\0", &long] {
            assert!(text_read(wrong).is_err(), "{wrong:?}");
        }
        let tags = |tags: &[&str]| tags_read(&tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>());
        assert_eq!(tags(&["Build", "ci", "build"]), Ok(vec!["build".into(), "ci".into()]));
        for wrong in ["", "two words", "a\"b", &"y".repeat(41), "[redacted:x]"] {
            assert!(tags(&[wrong]).is_err(), "{wrong}");
        }
        assert!(tags(&["a"; 17]).is_err());
        for good in [
            "plane",
            "project:/p",
            "project:https://example.org/x",
            "agent:claude",
            " goal:g-0000000000000007",
        ] {
            assert!(scope_read(good).is_ok(), "{good}");
        }
        for wrong in ["", "project:relative", "agent:a\nb", "goal:7", "everything", &format!("agent:{long}")]
        {
            assert!(scope_read(wrong).is_err(), "{wrong}");
        }
    }
}
