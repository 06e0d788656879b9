//! The tree against `BTreeMap`, and every byte accounted for.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::drain::TreeDrain;
use super::*;
use crate::entry::{Kind, Meta};
use crate::memory;
use crate::reclaim::{self, Drain};
use crate::usage::Usage;

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

/// A published version: an entry that owns its tree.
struct Version(Entry<'static>);

impl Version {
    fn publish(root: Root) -> Version {
        let record = root.to_record(7);
        let shape = (Kind::Hash, Form::Tree);
        Version(Entry::allocate(
            1,
            b"key",
            shape,
            [&record[..]].into_iter(),
            &Meta::default(),
            Usage::from_bits(0),
        ))
    }

    fn tree(&self) -> Tree<'_, 2> {
        Tree::of(self.0)
    }

    /// Publishes what an edit made in place of this version.
    fn succeed(self, edit: TreeEdit<'_, 2>) -> Option<Version> {
        match edit.finish() {
            Some((root, delta)) => {
                // SAFETY: no other thread knows the old version.
                unsafe { delta.published(&reclaim::pin()) };
                // SAFETY: as above; the tree lives on.
                unsafe { self.0.block().free() };
                Some(Version::publish(root))
            }
            None => {
                self.free();
                None
            }
        }
    }

    /// Frees all on this thread.
    fn free(self) {
        let root = Root::of(self.0);
        memory::count_retired(root.memory_bytes as i64);
        let mut drain = TreeDrain::new(root);
        while drain.drain_slice() {}
        // SAFETY: no other thread knows the entry.
        unsafe { self.0.block().free() };
    }
}

fn key_of(number: u32) -> Vec<u8> {
    format!("field:{number}").into_bytes()
}

fn value_of(number: u32, bytes: usize) -> Vec<u8> {
    let mut value = number.to_string().into_bytes();
    value.resize(bytes.max(1), b'.');
    value
}

fn apply(edit: &mut TreeEdit<'_, 2>, model: &mut Model, step: (bool, u32, usize)) {
    let (is_put, number, bytes) = step;
    let (key, value) = (key_of(number), value_of(number, bytes));
    let place = (hash_of(&key), key.clone());
    if is_put {
        let is_new = model.insert(place, value.clone()).is_none();
        assert_eq!(edit.put([&key, &value]), is_new);
    } else {
        assert_eq!(edit.remove(&key), model.remove(&place).is_some());
    }
    assert_eq!(edit.len(), model.len());
}

/// What is put, and then what is removed, each at once.
fn apply_all(edit: &mut TreeEdit<'_, 2>, model: &mut Model, steps: &[(bool, u32, usize)]) {
    let keyed = |&(is_put, number, bytes): &_| (is_put, key_of(number), value_of(number, bytes));
    let keyed: Vec<_> = steps.iter().map(keyed).collect();
    let puts = || keyed.iter().filter(|(is_put, ..)| *is_put);
    let removes = || keyed.iter().filter(|(is_put, ..)| !is_put);
    edit.put_all(puts().map(|(_, key, value)| [&key[..], &value[..]]));
    edit.remove_all(removes().map(|(_, key, _)| &key[..]));
    for (_, key, value) in puts() {
        model.insert((hash_of(key), key.clone()), value.clone());
    }
    for (_, key, _) in removes() {
        model.remove(&(hash_of(key), key.clone()));
    }
}

fn check(tree: Tree<'_, 2>, model: &Model) {
    assert_eq!(tree.len(), model.len());
    let found: Vec<_> = tree.iter().collect();
    let expected = model
        .iter()
        .map(|((hash, key), value)| (*hash, [&key[..], &value[..]]));
    assert!(found.iter().copied().eq(expected));
    for (index, (hash, group)) in found.iter().enumerate().step_by(1 + found.len() / 50) {
        assert_eq!(tree.nth(index), *group);
        assert_eq!(tree.find(group[0]), Some(*group));
        assert_eq!(
            tree.iter_from(*hash).next().map(|(hash, _)| hash),
            Some(*hash)
        );
    }
    assert_eq!(tree.find(b"nothing"), None);
    check_shape(tree);
}

/// Counts, levels, bounds and sizes of all nodes.
fn check_shape(tree: Tree<'_, 2>) {
    fn below(link: Link, level: Option<u8>, low: u32, high: u64) -> u64 {
        // SAFETY: the tree under test is there.
        match unsafe { link.node() } {
            Node::Leaf(items) => {
                assert!(level.is_none_or(|level| level == 0));
                let inside = |&hash: &u32| (u64::from(low)..high).contains(&u64::from(hash));
                assert!(items.hashes.iter().all(inside));
                items.len() as u64
            }
            Node::Inner(inner) => {
                assert!(level.is_none_or(|level| level == inner.level));
                assert!((1..=inner::FANOUT_MAX).contains(&inner.len()));
                for at in 0..inner.len() {
                    assert!(link.is_marked() || !inner.link(at).is_marked());
                    let low = if at == 0 { low } else { inner.slot(at).first };
                    let next = (at + 1 < inner.len()).then(|| inner.slot(at + 1).first);
                    let high = next.map_or(high, u64::from);
                    let count = below(inner.link(at), Some(inner.level - 1), low, high);
                    assert_eq!(count, inner.count(at));
                }
                inner.slots().iter().map(|slot| slot.count).sum()
            }
        }
    }
    if let Some(link) = tree.link {
        assert_eq!(below(link, None, 0, 1 << 32), tree.len);
    }
}

/// Steps with values short, long for a leaf, and of a block of their own.
fn steps(keys: u32, len: usize) -> impl Strategy<Value = Vec<(bool, u32, usize)>> {
    let bytes = prop_oneof![4 => 1usize..40, 2 => 100usize..250, 1 => 250usize..600];
    prop::collection::vec((prop::bool::weighted(0.6), 0..keys, bytes), 1..len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn versions_follow_the_model(
        edits in prop::collection::vec((any::<bool>(), steps(400, 150)), 1..12),
    ) {
        let before = memory::counted_here().0;
        let mut model = Model::new();
        let mut version: Option<Version> = None;
        for (number, (is_bulk, steps)) in edits.into_iter().enumerate() {
            let mut edit = match &version {
                Some(version) => TreeEdit::of(version.0),
                None => Builder::new().finish(),
            };
            let kept = model.clone();
            if is_bulk {
                apply_all(&mut edit, &mut model, &steps);
            } else {
                for step in steps {
                    apply(&mut edit, &mut model, step);
                }
            }
            check(edit.view(), &model);
            if let Some(version) = &version {
                check(version.tree(), &kept);
            }
            if number % 3 == 2 {
                model = kept;
                drop(edit);
            } else {
                version = match version {
                    Some(version) => {
                        // SAFETY: the version's nodes live on in the edit.
                        let edit = unsafe {
                            std::mem::transmute::<TreeEdit<'_, 2>, TreeEdit<'static, 2>>(edit)
                        };
                        version.succeed(edit)
                    }
                    None => edit.finish().map(|(root, delta)| {
                        // SAFETY: there is no older version.
                        unsafe { delta.published(&reclaim::pin()) };
                        Version::publish(root)
                    }),
                };
            }
            if let Some(version) = &version {
                check(version.tree(), &model);
            }
        }
        if let Some(version) = version {
            version.free();
        }
        prop_assert_eq!(memory::counted_here().0, before);
    }

    #[test]
    fn a_scan_meets_all_that_stays(
        changes in prop::collection::vec(steps(600, 60), 1..40),
        count in 1usize..30,
    ) {
        let mut edit = built(300..600);
        let mut model = edit.view().iter().map(|(hash, [key, value])| {
            ((hash, key.to_vec()), value.to_vec())
        }).collect();
        let (mut met, mut cursor) = (BTreeSet::new(), 0);
        let mut changes = changes.into_iter();
        loop {
            cursor = edit.view().scan(cursor, count, |[key, _]| { met.insert(key.to_vec()); });
            if cursor == 0 {
                break;
            }
            // Only the keys below 300 come and go.
            for (is_put, number, bytes) in changes.next().unwrap_or_default() {
                apply(&mut edit, &mut model, (is_put, number % 300, bytes));
            }
        }
        for number in 300..600 {
            prop_assert!(met.contains(&key_of(number)));
        }
    }
}

fn built(numbers: std::ops::Range<u32>) -> TreeEdit<'static, 2> {
    let mut keys: Vec<_> = numbers
        .map(|number| {
            (
                hash_of(&key_of(number)),
                key_of(number),
                value_of(number, 20),
            )
        })
        .collect();
    keys.sort();
    let mut builder = Builder::new();
    for (hash, key, value) in &keys {
        builder.push(*hash, &[key, value]);
    }
    assert_eq!(builder.len(), keys.len());
    builder.finish()
}

#[test]
fn what_is_built_in_order_is_a_tree() {
    let before = memory::counted_here();
    for len in [0, 1, 2, 60, 100, 5_000, 200_000] {
        let mut edit = built(0..len);
        assert_eq!(edit.len(), len as usize);
        check_shape(edit.view());
        assert!(edit.put([b"another", b"value"]));
        assert_eq!(edit.remove(&key_of(0)), len > 0);
        check_shape(edit.view());
        let live = memory::counted_here().0 - before.0;
        assert_eq!(live as u64, edit.ledger.memory_bytes);
    }
    let mut builder = Builder::<1>::new();
    builder.push(5, &[&[b'x'; 1000]]);
    drop(builder);
    assert_eq!(memory::counted_here(), before);
}

#[test]
fn elements_of_one_hash_stay_together() {
    let mut builder = Builder::<1>::new();
    let keys: Vec<String> = (0..20_000).map(|number| format!("{number:08}")).collect();
    for (number, key) in keys.iter().enumerate() {
        let hash = if number < 19_000 { 5 } else { 6 };
        builder.push(hash, &[key.as_bytes()]);
    }
    let edit = builder.finish();
    let mut visits = 0;
    let cursor = edit.view().scan(0, 10, |_| visits += 1);
    assert_eq!((visits, cursor), (19_000, 6));
    let found = edit.view().iter().map(|(_, [key])| key.to_vec());
    assert!(found.eq(keys.into_iter().map(String::into_bytes)));
}

#[test]
fn a_large_tree_goes_in_slices_and_is_counted_at_once() {
    let before = memory::counted_here();
    let (root, delta) = built(0..50_000).finish().expect("elements");
    // SAFETY: there is no older version.
    unsafe { delta.published(&reclaim::pin()) };
    let version = Version::publish(root);
    // SAFETY: nobody else knows the version.
    unsafe { retire_tree(version.0, &reclaim::pin()) };
    // SAFETY: as above.
    unsafe { version.0.block().free() };
    let after = memory::counted_here();
    assert_eq!(after.0, before.0);
    assert!(after.1 > before.1);
}

#[test]
fn a_deep_tree_grows_and_shrinks_in_one_edit_and_in_many() {
    const LEN: u32 = 40_000;
    let before = memory::counted_here().0;
    let mut edit = Builder::new().finish();
    for number in 0..LEN {
        assert!(edit.put([&key_of(number), &value_of(number, 30)]));
    }
    check_shape(edit.view());
    for number in 0..LEN / 2 {
        assert!(edit.remove(&key_of(number)));
    }
    check_shape(edit.view());
    let (root, delta) = edit.finish().expect("elements");
    // SAFETY: there is no older version.
    unsafe { delta.published(&reclaim::pin()) };
    let mut version = Some(Version::publish(root));
    for number in LEN / 2..LEN {
        let old = version.take().expect("elements");
        let mut edit = TreeEdit::of(old.0);
        assert!(edit.remove(&key_of(number)));
        if number % 1000 == 0 {
            check_shape(edit.view());
        }
        version = old.succeed(edit);
    }
    assert!(version.is_none());
    assert_eq!(memory::counted_here().0, before);
}

#[test]
fn many_at_once_make_trees_of_every_height() {
    let before = memory::counted_here();
    for (there, more) in [
        (0, 9),
        (1, 40_000),
        (40_000, 9),
        (1_000, 1_000),
        (9_000, 90_000),
    ] {
        let mut edit = built(0..there);
        let puts: Vec<_> = (there / 2..there + more)
            .map(|number| (true, number, 1 + number as usize % 300))
            .collect();
        let entry =
            |(hash, [key, value]): (u32, [&[u8]; 2])| ((hash, key.to_vec()), value.to_vec());
        let mut model: Model = edit.view().iter().map(entry).collect();
        apply_all(&mut edit, &mut model, &puts);
        check(edit.view(), &model);
        let removes = |numbers: std::ops::Range<u32>| -> Vec<_> {
            numbers.map(|number| (false, number, 0)).collect()
        };
        for numbers in [there..there + 7, 0..there + more / 2, 0..there + more] {
            apply_all(&mut edit, &mut model, &removes(numbers));
            check(edit.view(), &model);
            let live = memory::counted_here().0 - before.0;
            assert_eq!(live as u64, edit.ledger.memory_bytes);
        }
        assert!(edit.link.is_none());
    }
    assert_eq!(memory::counted_here(), before);
}

#[test]
fn a_member_that_is_there_is_no_change() {
    let members: Vec<String> = (0..1_000).map(|number| format!("{number}")).collect();
    let all = || members.iter().map(|member| [member.as_bytes()]);
    let mut edit = build(all());
    let link = edit.link;
    edit.put_all(all());
    edit.remove_all([&b"nobody"[..], b"none"].into_iter());
    assert_eq!((edit.link, edit.len()), (link, 1_000));
}

#[test]
fn older_versions_see_no_later_amendments() {
    const LEN: u32 = 5_000;
    let before = memory::counted_here();
    let guard = reclaim::pin();
    let mut edit = Builder::new().finish();
    let mut model = Model::new();
    for number in 0..LEN {
        apply(&mut edit, &mut model, (true, number, 20));
    }
    let publish = |edit: TreeEdit<'_, 2>| {
        let (root, delta) = edit.finish().expect("elements");
        // SAFETY: the guard lives longer than all views of older versions.
        unsafe { delta.published(&guard) };
        Version::publish(root)
    };
    let mut versions = vec![(publish(edit), model.clone())];
    for step in 0..60 {
        let (last, _) = versions.last().expect("at least one");
        if step % 7 == 3 {
            let mut lost = TreeEdit::of(last.0);
            for number in 0..step {
                lost.put([&key_of(number * 31 % LEN), b"lost"]);
            }
        }
        let mut edit = TreeEdit::of(last.0);
        for number in 0..=step % 3 {
            let number = (step * 97 + number) % (LEN + 50);
            apply(&mut edit, &mut model, (step % 5 != 4, number, 20));
        }
        versions.push((publish(edit), model.clone()));
    }
    for (version, model) in &versions {
        check(version.tree(), model);
    }
    let (last, _) = versions.pop().expect("at least one");
    last.free();
    for (version, _) in versions {
        // SAFETY: no other thread knows the entry.
        unsafe { version.0.block().free() };
    }
    drop(guard);
    reclaim::settle();
    assert_eq!(memory::counted_here().0, before.0);
}
