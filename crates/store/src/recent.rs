//! A bounded memory of what was used lately.
//!
//! Two generations: what is used moves to the young one; when that is full it becomes the old one and the former old
//! one is forgotten. So it holds at most twice `generation_len` entries, and never forgets what was used among the
//! last `generation_len` distinct keys.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map that forgets what was not used for long.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_len: usize,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(generation_len: usize) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), generation_len }
    }

    /// Gives the value of `key`, and remembers that it was used.
    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Sets the value of a key that is remembered; gives false when it is not.
    pub(crate) fn replace<Q>(&mut self, key: &Q, value: V) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let place = self.young.get_mut(key).or_else(|| self.old.get_mut(key));
        place.map(|place| *place = value).is_some()
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.generation_len {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten_in_bounds() {
        let mut recent = Recent::new(4);
        recent.insert("kept", 0);
        for n in 0..100 {
            recent.insert(Box::leak(n.to_string().into_boxed_str()), n);
            assert_eq!(recent.get("kept"), Some(0));
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get("1"), None);
        assert_eq!(recent.get("99"), Some(99));
        assert!(recent.replace("99", 7));
        assert_eq!(recent.get("99"), Some(7));
        recent.clear();
        assert!(!recent.replace("99", 8));
    }
}
