//! Small numbers in the place of what many requests have in common.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// Numbers from 0 in the order of first appearance.
#[derive(Debug)]
pub(super) struct Numbers<T>(HashMap<T, u32>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Numbers<T> {
    /// The number of a value.
    pub(super) fn of<Q>(&mut self, value: &Q) -> u32
    where
        T: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(number) = self.0.get(value) {
            return *number;
        }
        self.of_owned(value.into())
    }

    /// The number of a value that the caller has no other use for.
    pub(super) fn of_owned(&mut self, value: T) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(value).or_insert(next)
    }

    /// The values by their numbers.
    pub(super) fn values(&self) -> Vec<&T> {
        let mut values: Vec<(&T, u32)> = self
            .0
            .iter()
            .map(|(value, number)| (value, *number))
            .collect();
        values.sort_unstable_by_key(|(_, number)| *number);
        values.into_iter().map(|(value, _)| value).collect()
    }
}
