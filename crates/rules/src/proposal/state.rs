//! The state that proposals of a connection or run share: keys with values and versions.
//!
//! A version is drawn from one counter for the whole book and never comes again, so a key that was removed and set
//! anew is not taken for the old one. A clone and a snapshot are O(1); removing keys costs one pass over the book.

use adjutant_model::Value;
use adjutant_model::value::Object;
use immutable_chunkmap::map::MapM;
use std::sync::Arc;

/// How large the state may grow, as JSON.
const STATE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StateBook {
    values: Object,
    versions: MapM<Arc<str>, u64>,
    version_last: u64,
}

/// Why a write to the state was refused; nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateRefusal {
    /// There is no room.
    #[error("the state would grow beyond {STATE_BYTES_MAX} bytes")]
    Full,
    /// Somebody changed the key meanwhile.
    #[error("the key is not at the expected version")]
    Conflict,
}

impl StateBook {
    /// Makes a state that starts with these values.
    ///
    /// # Errors
    /// [`StateRefusal::Full`].
    pub fn starting_with(values: &Object) -> Result<StateBook, StateRefusal> {
        let mut book = StateBook::default();
        for (key, value) in values.iter() {
            book.set(key.clone(), value.clone())?;
        }
        Ok(book)
    }

    /// Takes up a state that was kept as its [`Self::entries`] and its [`Self::version_last`].
    pub fn restored(
        entries: impl IntoIterator<Item = (Arc<str>, Value, u64)>,
        version_last: u64,
    ) -> StateBook {
        let mut book = StateBook { version_last, ..StateBook::default() };
        for (key, value, version) in entries {
            book.version_last = book.version_last.max(version);
            book.versions.insert_cow(key.clone(), version);
            book.values.insert(key, value);
        }
        book
    }

    /// Gives keys with values and versions, in byte order of the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<str>, &Value, u64)> {
        let version = |key: &Arc<str>| self.versions.get(key).copied().unwrap_or_default();
        self.values.iter().map(move |(key, value)| (key, value, version(key)))
    }

    /// Gives the last version that was drawn, whatever has become of it.
    pub fn version_last(&self) -> u64 {
        self.version_last
    }

    /// Gives the value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Tells whether a key is there; a key whose value is null is.
    pub fn exists(&self, key: &str) -> bool {
        self.values.get(key).is_some()
    }

    /// Gives the version of a key, `None` when it is not there.
    pub fn version(&self, key: &str) -> Option<u64> {
        self.versions.get(key).copied()
    }

    /// Gives the keys in byte order.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.values.iter().map(|(key, _)| key)
    }

    /// Gives all values as an object.
    pub fn snapshot(&self) -> Value {
        Value::Object(self.values.clone())
    }

    /// Sets a key and gives its new version.
    ///
    /// # Errors
    /// [`StateRefusal::Full`].
    pub fn set(&mut self, key: Arc<str>, value: Value) -> Result<u64, StateRefusal> {
        let mut values = self.values.clone();
        values.insert(key.clone(), value);
        // Writes that make room are let through even when there is too much already.
        let size = size_of(&values);
        if size > STATE_BYTES_MAX && size > size_of(&self.values) {
            return Err(StateRefusal::Full);
        }
        self.values = values;
        self.version_last += 1;
        self.versions.insert_cow(key, self.version_last);
        Ok(self.version_last)
    }

    /// Sets or removes a key that is still at `version`; `None` is the version of a key that is not there.
    ///
    /// # Errors
    /// [`StateRefusal::Conflict`] when it is not, and [`StateRefusal::Full`].
    pub fn compare_and_set(
        &mut self,
        key: &Arc<str>,
        version: Option<u64>,
        value: Option<Value>,
    ) -> Result<(), StateRefusal> {
        if self.version(key) != version {
            return Err(StateRefusal::Conflict);
        }
        match value {
            Some(value) => self.set(key.clone(), value).map(|_version| ()),
            None => {
                self.remove(std::slice::from_ref(key));
                Ok(())
            }
        }
    }

    /// Takes back writes, each a key, the version it was left at and the value before it, and gives the keys that
    /// were put back. A key that is at another version now is somebody else's and stays.
    pub(super) fn undo<'a>(
        &mut self,
        writes: impl Iterator<Item = (&'a Arc<str>, u64, Option<&'a Value>)>,
    ) -> Vec<Arc<str>> {
        let mut undone = Vec::new();
        let mut removed = Vec::new();
        for (key, version, before) in writes {
            if self.version(key) != Some(version) {
                continue;
            }
            undone.push(key.clone());
            match before {
                // What stood there before found room then; putting it back must not fail.
                Some(value) => {
                    self.values.insert(key.clone(), value.clone());
                    self.version_last += 1;
                    self.versions.insert_cow(key.clone(), self.version_last);
                }
                None => removed.push(key.clone()),
            }
        }
        self.remove(&removed);
        undone
    }

    /// Removes keys; they come in byte order.
    fn remove(&mut self, keys: &[Arc<str>]) {
        if keys.is_empty() {
            return;
        }
        for key in keys {
            self.versions.remove_cow(key);
        }
        let kept = self.values.iter().filter(|(key, _)| keys.binary_search(key).is_err());
        self.values = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    }
}

fn size_of(values: &Object) -> u64 {
    Value::Object(values.clone()).size_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_key_is_set_read_compared_and_removed() {
        let mut book = StateBook::default();
        assert_eq!(book.set(key("b"), Value::Null), Ok(1));
        assert_eq!(book.set(key("a"), Value::from(1_u64)), Ok(2));
        assert!(book.exists("b") && !book.exists("c"));
        assert_eq!(book.keys().map(|key| &**key).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(book.snapshot().to_string(), r#"{"a":1,"b":null}"#);
        assert_eq!(book.compare_and_set(&key("a"), Some(1), None), Err(StateRefusal::Conflict));
        assert_eq!(book.compare_and_set(&key("a"), Some(2), None), Ok(()));
        assert_eq!((book.get("a"), book.version("a")), (None, None));
        assert_eq!(book.compare_and_set(&key("a"), Some(2), Some(Value::Null)), Err(StateRefusal::Conflict));
        assert_eq!(book.compare_and_set(&key("a"), None, Some(Value::Null)), Ok(()));
        assert_eq!(book.version("a"), Some(3), "a version never comes again");
    }

    #[test]
    fn a_kept_state_goes_on_where_it_was() {
        let mut book = StateBook::default();
        book.set(key("a"), Value::from("x")).unwrap();
        let gone = book.set(key("b"), Value::Null).unwrap();
        book.compare_and_set(&key("b"), Some(gone), None).unwrap();
        let entries: Vec<_> = book.entries().map(|(key, value, n)| (key.clone(), value.clone(), n)).collect();
        let mut restored = StateBook::restored(entries, book.version_last());
        assert_eq!(restored, book);
        assert_eq!(restored.set(key("b"), Value::Null), Ok(gone + 1));
        let Value::Object(values) = book.snapshot() else { panic!("a snapshot is an object") };
        assert_eq!(StateBook::starting_with(&values).map(|book| book.snapshot()), Ok(Value::Object(values)));
    }

    #[test]
    fn undoing_puts_back_what_nobody_else_changed() {
        let mut book = StateBook::default();
        book.set(key("kept"), Value::from("old")).unwrap();
        let before = book.clone();
        let kept = book.set(key("kept"), Value::from("mine")).unwrap();
        let theirs = book.set(key("theirs"), Value::from("mine")).unwrap();
        let made = book.set(key("made"), Value::from("mine")).unwrap();
        book.set(key("theirs"), Value::from("theirs")).unwrap();
        let (k, m, t) = (key("kept"), key("made"), key("theirs"));
        let writes = [(&k, kept, before.get("kept")), (&m, made, None), (&t, theirs, None)];
        assert_eq!(book.undo(writes.into_iter()), [k.clone(), m.clone()]);
        assert_eq!(book.snapshot().to_string(), r#"{"kept":"old","theirs":"theirs"}"#);
        assert!(book.version("kept") > Some(kept), "whoever compares sees that it changed");
    }

    #[test]
    fn a_write_that_finds_no_room_changes_nothing_and_room_can_be_made() {
        let mut book = StateBook::default();
        let large = Value::string("x".repeat(STATE_BYTES_MAX as usize / 2));
        book.set(key("a"), large.clone()).unwrap();
        let before = book.clone();
        assert_eq!(book.set(key("b"), large), Err(StateRefusal::Full));
        assert_eq!(book, before);
        assert!(book.set(key("a"), Value::Null).is_ok());
    }
}
