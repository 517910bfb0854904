//! Objects: a sorted slice while they are small, a persistent tree when they grow.

use super::{Shape, Value};
use immutable_chunkmap::map::MapS;
use std::sync::Arc;

/// Up to so many keys an object is one sorted slice: copying it is cheaper than walking a tree.
const SMALL_MAX: usize = 16;

/// A shared object; keys are in byte order.
#[derive(Clone)]
pub struct Object {
    keys: Keys,
    shape: Shape,
}

#[derive(Clone)]
enum Keys {
    Small(Arc<Vec<(Arc<str>, Value)>>),
    Large(MapS<Arc<str>, Value>),
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Default for Object {
    fn default() -> Self {
        Object { keys: Keys::Small(Arc::default()), shape: Shape::EMPTY }
    }
}

impl Object {
    /// Gives the value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.keys {
            Keys::Small(entries) => {
                entries.binary_search_by(|(k, _)| (**k).cmp(key)).ok().map(|found| &entries[found].1)
            }
            Keys::Large(map) => map.get(key),
        }
    }

    /// Gives the number of keys.
    pub fn len(&self) -> usize {
        match &self.keys {
            Keys::Small(entries) => entries.len(),
            Keys::Large(map) => map.len(),
        }
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets `key`; a shared object is copied as far as the change goes, and no further.
    pub fn insert(&mut self, key: Arc<str>, value: Value) {
        let shape = self.shape.with(&value);
        let key_size = key.len() as u64 + 3;
        let replaced = match &mut self.keys {
            Keys::Small(entries) => {
                let entries = Arc::make_mut(entries);
                match entries.binary_search_by(|(k, _)| k.cmp(&key)) {
                    Ok(found) => Some(std::mem::replace(&mut entries[found].1, value)),
                    Err(place) => {
                        entries.insert(place, (key, value));
                        None
                    }
                }
            }
            Keys::Large(map) => map.insert_cow(key, value),
        };
        self.shape = Shape {
            depth: shape.depth,
            size: match &replaced {
                Some(old) => shape.size.saturating_sub(old.shape().size + 1),
                None => shape.size + key_size,
            },
        };
        self.grow();
    }

    /// Gives the entries in key order.
    pub fn iter(&self) -> ObjectIter<'_> {
        match &self.keys {
            Keys::Small(entries) => ObjectIter::Small(entries.iter()),
            Keys::Large(map) => ObjectIter::Large(Box::new(map.into_iter())),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    fn grow(&mut self) {
        if let Keys::Small(entries) = &mut self.keys
            && entries.len() > SMALL_MAX
        {
            let entries = std::mem::take(Arc::make_mut(entries));
            self.keys = Keys::Large(entries.into_iter().collect());
        }
    }
}

/// The entries of an object in key order.
///
/// The tree's own iterator carries its whole way on the stack, many kilobytes of it; walking a nested value
/// recursively needs it out of the way.
pub enum ObjectIter<'a> {
    #[doc(hidden)]
    Small(std::slice::Iter<'a, (Arc<str>, Value)>),
    #[doc(hidden)]
    Large(Box<dyn Iterator<Item = (&'a Arc<str>, &'a Value)> + 'a>),
}

impl<'a> Iterator for ObjectIter<'a> {
    type Item = (&'a Arc<str>, &'a Value);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            ObjectIter::Small(entries) => entries.next().map(|(key, value)| (key, value)),
            ObjectIter::Large(entries) => entries.next(),
        }
    }
}

impl FromIterator<(Arc<str>, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, Value)>>(iter: I) -> Self {
        let mut object = Object::default();
        for (key, value) in iter {
            object.insert(key, value);
        }
        object
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        match (&self.keys, &other.keys) {
            (Keys::Small(a), Keys::Small(b)) if Arc::ptr_eq(a, b) => true,
            _ => self.len() == other.len() && self.iter().eq(other.iter()),
        }
    }
}
