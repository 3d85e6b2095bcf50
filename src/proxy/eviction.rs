//! Who loses its slot where all slots are taken: the address that has the most of them, so that no
//! address evicts another that has fewer.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

/// Of those that have a slot, each with its address and since when it has been of no use: the one of
/// an address with the most slots that has been so for longest, also where several addresses have
/// equally many. A `newcomer` counts as if it had its slot already.
pub(crate) fn evicted<Id, Since: Copy + Ord>(
    taken: impl Iterator<Item = (Id, IpAddr, Since)> + Clone,
    newcomer: Option<IpAddr>,
) -> Option<(Id, Since)> {
    let mut counts = HashMap::<IpAddr, usize>::new();
    let addresses = taken.clone().map(|(_, address, _)| address);
    for address in addresses.chain(newcomer) {
        *counts.entry(address).or_default() += 1;
    }
    let evicted = taken.min_by_key(|&(_, address, since)| (Reverse(counts[&address]), since));
    evicted.map(|(id, _, since)| (id, since))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn evicted_of(taken: &[(u8, u64)], newcomer: Option<u8>) -> Option<(usize, u64)> {
        let taken = taken.iter().enumerate();
        let taken = taken.map(|(id, &(last, since))| (id, address(last), since));
        evicted(taken, newcomer.map(address))
    }

    #[test]
    fn the_address_with_the_most_slots_loses_the_oldest() {
        let taken = [(1, 1), (2, 5), (2, 3), (2, 4), (3, 2)];
        assert_eq!(evicted_of(&taken, None), Some((2, 3)));
        assert_eq!(evicted_of(&[], Some(1)), None);
    }

    #[test]
    fn of_addresses_that_have_equally_many_the_oldest_loses_whatever_their_order() {
        for rotated in 0..250_usize {
            let since = |last: u8| ((usize::from(last) + rotated) % 250) as u64;
            let taken: Vec<_> = (0..250).map(|last| (last, since(last))).collect();
            let oldest = taken.iter().position(|(_, since)| *since == 0).unwrap();
            assert_eq!(evicted_of(&taken, None), Some((oldest, 0)));
        }
    }

    #[test]
    fn a_newcomer_counts_with_its_address() {
        let taken = [(1, 1), (1, 2), (2, 3), (2, 4)];
        assert_eq!(evicted_of(&taken, None), Some((0, 1)));
        assert_eq!(evicted_of(&taken, Some(2)), Some((2, 3)));
        assert_eq!(evicted_of(&taken, Some(3)), Some((0, 1)));
    }
}
