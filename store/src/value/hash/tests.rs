//! Hashes against a naive model, packed and as trees.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::memory;
use crate::value::held::Held;
use crate::value::{deep_copy, memory_bytes, same_value};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Limits under which hashes become trees soon, later, and never in these tests.
fn all_limits() -> [Limits; 3] {
    [0, 300, 1 << 20].map(|packed_bytes_max| Limits {
        packed_bytes_max,
        ..Limits::DEFAULT
    })
}

fn hash_of_fields(len: usize, limits: &Limits) -> Held {
    let mut edit = HashEdit::new(None, limits).expect("no entry");
    for number in 0..len {
        let (field, value) = (format!("field:{number}"), format!("value:{number}"));
        assert!(edit.set(field.as_bytes(), value.as_bytes()));
    }
    Held::after(None, edit.finish()).expect("fields")
}

fn check(hash: Hash<'_>, model: &Model) {
    let found: Vec<_> = hash.iter().collect();
    let sorted: Model = found
        .iter()
        .map(|(f, v)| (f.to_vec(), v.to_vec()))
        .collect();
    assert_eq!((&sorted, found.len()), (model, model.len()));
    for (index, (field, value)) in found.iter().enumerate() {
        assert_eq!(hash.get(field), Some(*value));
        assert_eq!(hash.nth(index), (*field, *value));
    }
    assert!(!hash.contains(b"nothing"));
    let mut visited = Model::new();
    let mut cursor = 0;
    loop {
        cursor = hash.scan(cursor, 7, |field, value| {
            visited.insert(field.to_vec(), value.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&visited, model);
}

#[test]
fn encodings_change_as_in_redis_whatever_is_inside() {
    for limits in all_limits() {
        let cases = [
            (512, 64, Encoding::Listpack),
            (513, 1, Encoding::Hashtable),
            (1, 65, Encoding::Hashtable),
        ];
        for (len, value_bytes, expected) in cases {
            let mut edit = HashEdit::new(None, &limits).expect("no entry");
            for number in 0..len {
                edit.set(format!("{number}").as_bytes(), &vec![b'x'; value_bytes]);
            }
            let held = Held::after(None, edit.finish()).expect("fields");
            assert_eq!(encoding(held.entry()), expected, "{len} of {value_bytes}");
        }
    }
}

#[test]
fn a_large_hash_is_a_tree_and_packed_again_when_small() {
    let limits = Limits::DEFAULT;
    let mut held = Some(hash_of_fields(70_000, &limits));
    assert_eq!(held.as_ref().expect("fields").entry().form(), Form::Tree);
    let mut edit = HashEdit::new(held.as_ref().map(Held::entry), &limits).expect("a hash");
    for number in 10..70_000 {
        assert!(edit.remove(format!("field:{number}").as_bytes()));
    }
    let edited = edit.finish();
    held = Held::after(held, edited);
    let entry = held.as_ref().expect("fields").entry();
    assert_eq!(
        (entry.form(), encoding(entry)),
        (Form::Plain, Encoding::Hashtable)
    );
    assert_eq!(Hash::of(entry).expect("a hash").len(), 10);
}

#[test]
fn a_scan_goes_on_when_the_tree_was_packed_meanwhile() {
    let limits = Limits::DEFAULT;
    let held = hash_of_fields(200, &limits);
    let mut seen = Vec::new();
    let tree = Hash::of(held.entry()).expect("a hash");
    let cursor = tree.scan(0, 100, |field, _| seen.push(field.to_vec()));
    assert_ne!(cursor, 0);
    let mut edit = HashEdit::new(Some(held.entry()), &limits).expect("a hash");
    for number in 5..200 {
        edit.remove(format!("field:{number}").as_bytes());
    }
    let edited = edit.finish();
    let held = Held::after(Some(held), edited).expect("fields");
    assert_eq!(held.entry().form(), Form::Plain);
    let packed = Hash::of(held.entry()).expect("a hash");
    assert_eq!(
        packed.scan(cursor, 1, |field, _| seen.push(field.to_vec())),
        0
    );
    for number in 0..5 {
        assert!(seen.contains(&format!("field:{number}").into_bytes()));
    }
}

#[test]
fn samples_are_distinct_fields() {
    for limits in all_limits() {
        let held = hash_of_fields(300, &limits);
        let hash = Hash::of(held.entry()).expect("a hash");
        for count in [0, 1, 10, 74, 75, 299, 300, 1000] {
            let sample: Model = hash
                .sample(count)
                .into_iter()
                .map(|(field, value)| (field.to_vec(), value.to_vec()))
                .collect();
            assert_eq!(sample.len(), count.min(300));
        }
        assert!(hash.contains(hash.random().0));
    }
}

#[test]
fn a_copy_shares_nothing_and_an_unchanged_value_all() {
    let before = memory::counted_here().0;
    let held = hash_of_fields(5_000, &Limits::DEFAULT);
    let copy = Held::new(deep_copy(held.entry()));
    let bytes = memory_bytes(held.entry()) + memory_bytes(copy.entry());
    assert_eq!(memory::counted_here().0 - before, bytes as i64);
    drop(held);
    let entry = copy.entry();
    let same = Held::after(Some(copy), Edited::Changed(same_value(entry))).expect("fields");
    let hash = Hash::of(same.entry()).expect("a hash");
    assert_eq!(hash.iter().count(), 5_000);
    assert_eq!(hash.get(b"field:4999"), Some(b"value:4999".as_slice()));
    drop(same);
    assert_eq!(memory::counted_here().0, before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn fields_at_once_are_as_one_by_one(
        batches in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((0u32..300, 0usize..99), 1..300)),
            1..5,
        ),
    ) {
        for limits in all_limits() {
            let before = memory::counted_here().0;
            let (mut by_one, mut at_once): (Option<Held>, Option<Held>) = (None, None);
            for (is_set, fields) in &batches {
                let text = |&(number, bytes): &_| (format!("f{number}"), "v".repeat(bytes));
                let texts: Vec<(String, String)> = fields.iter().map(text).collect();
                let pairs: Vec<[&[u8]; 2]> = texts
                    .iter()
                    .map(|(field, value)| [field.as_bytes(), value.as_bytes()])
                    .collect();
                let fields: Vec<&[u8]> = pairs.iter().map(|[field, _]| *field).collect();
                let edit = |held: &Option<Held>| {
                    HashEdit::new(held.as_ref().map(Held::entry), &limits).expect("a hash")
                };
                let (mut one, mut all) = (edit(&by_one), edit(&at_once));
                let changed = match is_set {
                    true => {
                        one.expect(pairs.len());
                        all.expect(pairs.len());
                        let set = |[field, value]: &&[&[u8]; 2]| one.set(field, value);
                        (pairs.iter().filter(set).count(), all.set_all(&pairs))
                    }
                    false => (
                        fields.iter().filter(|field| one.remove(field)).count(),
                        all.remove_all(&fields),
                    ),
                };
                prop_assert_eq!(changed.0, changed.1);
                prop_assert_eq!(one.is_emptied(), all.is_emptied());
                let (one, all) = (one.finish(), all.finish());
                prop_assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&all));
                by_one = Held::after(by_one, one);
                at_once = Held::after(at_once, all);
                prop_assert_eq!(by_one.is_some(), at_once.is_some());
                let (Some(one), Some(all)) = (&by_one, &at_once) else {
                    continue;
                };
                prop_assert_eq!(encoding(one.entry()), encoding(all.entry()));
                let hash = Hash::of(one.entry()).expect("a hash");
                let model = hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
                check(Hash::of(all.entry()).expect("a hash"), &model);
            }
            drop((by_one, at_once));
            prop_assert_eq!(memory::counted_here().0, before);
        }
    }

    #[test]
    fn a_hash_is_a_map(
        edits in prop::collection::vec(
            prop::collection::vec((any::<bool>(), 0u8..60, 0usize..300), 1..40),
            1..10,
        ),
    ) {
        for limits in all_limits() {
            let before = memory::counted_here().0;
            let mut model = Model::new();
            let mut held: Option<Held> = None;
            for steps in &edits {
                let old = held.as_ref().map(Held::entry);
                let mut edit = HashEdit::new(old, &limits).expect("a hash");
                for (is_set, number, bytes) in steps {
                    let field = format!("f{number}").into_bytes();
                    if *is_set {
                        let value = vec![*number; *bytes];
                        let is_new = model.insert(field.clone(), value.clone()).is_none();
                        prop_assert_eq!(edit.set(&field, &value), is_new);
                    } else {
                        prop_assert_eq!(edit.remove(&field), model.remove(&field).is_some());
                    }
                    prop_assert_eq!(edit.len(), model.len());
                    prop_assert_eq!(edit.get(&field), model.get(&field).map(|v| &v[..]));
                }
                let edited = edit.finish();
                held = Held::after(held, edited);
                match &held {
                    Some(held) => {
                        check(Hash::of(held.entry()).expect("a hash"), &model);
                        let live = memory::counted_here().0 - before;
                        prop_assert_eq!(live as usize, memory_bytes(held.entry()));
                    }
                    None => prop_assert!(model.is_empty()),
                }
            }
            drop(held);
            prop_assert_eq!(memory::counted_here().0, before);
        }
    }
}
