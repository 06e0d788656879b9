//! Random choices.

use std::collections::HashSet;

/// `count` of the `len` items of `all`, all equally likely and none of them twice, or all there
/// are; `nth` gives one of them.
pub(super) fn of<T>(
    (all, len): (impl Iterator<Item = T>, usize),
    nth: impl FnMut(usize) -> T,
    count: usize,
) -> Vec<T> {
    if count >= len {
        return all.collect();
    }
    if count >= len / 4 {
        return of_iter(all, len, count);
    }
    distinct(len, count).into_iter().map(nth).collect()
}

/// `count` of the `len` items of `all`, all equally likely, in the order they come in.
///
/// Selection sampling: D. Knuth, "The Art of Computer Programming", vol. 2, 3.4.2, algorithm S.
fn of_iter<T>(all: impl Iterator<Item = T>, len: usize, count: usize) -> Vec<T> {
    let (mut left, mut wanted) = (len, count);
    all.filter(|_| {
        let is_chosen = fastrand::usize(..left) < wanted;
        left -= 1;
        wanted -= usize::from(is_chosen);
        is_chosen
    })
    .collect()
}

/// `count` different numbers below `len`, in random order.
fn distinct(len: usize, count: usize) -> Vec<usize> {
    assert!(count <= len, "not so many different numbers");
    if count * 3 >= len {
        let mut all: Vec<usize> = (0..len).collect();
        for at in 0..count {
            all.swap(at, fastrand::usize(at..len));
        }
        all.truncate(count);
        return all;
    }
    let mut seen = HashSet::with_capacity(count);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let number = fastrand::usize(..len);
        if seen.insert(number) {
            chosen.push(number);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_iterator_just_so_many_are_chosen() {
        for count in [0, 1, 50, 99, 100] {
            assert_eq!(of_iter(0..100, 100, count).len(), count);
        }
    }

    #[test]
    fn numbers_are_distinct_and_in_range() {
        for (len, count) in [(0, 0), (1, 1), (10, 9), (1000, 10)] {
            let chosen = distinct(len, count);
            let unique: HashSet<_> = chosen.iter().collect();
            assert_eq!((chosen.len(), unique.len()), (count, count));
            assert!(chosen.iter().all(|&number| number < len));
        }
    }
}
