//! Sets against a naive model, in every encoding.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::entry::Meta;

/// The entry a value would become; never freed here, see [`Held`].
struct Held(Entry<'static>);

impl Held {
    fn new(value: &NewValue<'_>) -> Held {
        let slices = value.body.slices();
        let shape = (value.kind, value.form);
        Held(Entry::allocate(1, b"key", shape, &slices, &Meta::default()))
    }
}

fn set_of(members: &[&str], limits: &Limits) -> Held {
    let mut edit = SetEdit::new(None, limits).expect("no entry");
    edit.expect(members.len());
    for member in members {
        edit.add(member.as_bytes());
    }
    match edit.finish() {
        Edited::Changed(value) => Held::new(&value),
        other => panic!("{other:?}"),
    }
}

fn members(set: Set<'_>) -> Vec<String> {
    let texts = set
        .iter()
        .map(|m| String::from_utf8(m.to_vec()).expect("text"));
    texts.collect()
}

#[test]
fn few_integers_are_in_numeric_order() {
    let held = set_of(&["30", "-7", "100000", "5", "30"], &Limits::DEFAULT);
    let set = Set::of(held.0).expect("a set");
    assert_eq!(members(set), ["-7", "5", "30", "100000"]);
    assert_eq!(encoding(held.0), Encoding::Intset);
    assert!(set.contains(b"30") && !set.contains(b"030"));
}

#[test]
fn encodings_change_as_in_redis() {
    let small = Limits {
        set_integers_max: 4,
        set_entries_max: 2,
        set_element_bytes_max: 3,
        ..Limits::DEFAULT
    };
    let cases: &[(&[&str], Encoding)] = &[
        (&["1", "2", "3", "4"], Encoding::Intset),
        (&["1", "2", "3", "4", "5"], Encoding::Hashtable),
        (&["1", "a"], Encoding::Listpack),
        (&["1", "2", "a"], Encoding::Hashtable),
        (&["a", "1"], Encoding::Listpack),
        (&["a", "b", "c"], Encoding::Hashtable),
        (&["abcd"], Encoding::Hashtable),
        (&["1234", "a"], Encoding::Hashtable),
    ];
    for (members, expected) in cases {
        assert_eq!(
            encoding(set_of(members, &small).0),
            *expected,
            "{members:?}"
        );
    }
}

#[test]
fn algebra_over_mixed_encodings() {
    let (a, b) = (
        set_of(&["1", "2", "3"], &Limits::DEFAULT),
        set_of(&["2", "x", "3"], &Limits::DEFAULT),
    );
    let sets = [Set::of(a.0).ok(), Set::of(b.0).ok()];
    let collect = |run: fn(&[Option<Set<'static>>], &mut Vec<String>)| {
        let mut found = Vec::new();
        run(&sets, &mut found);
        found.sort();
        found
    };
    let both = collect(|sets, found| intersection(sets, |member| keep(found, member)));
    let any = collect(|sets, found| union(sets, |member| keep(found, member)));
    let first = collect(|sets, found| difference(sets, |member| keep(found, member)));
    assert_eq!(both, ["2", "3"]);
    assert_eq!(any, ["1", "2", "3", "x"]);
    assert_eq!(first, ["1"]);
    assert_eq!(intersection_len(&sets, 1), 1);
    assert_eq!(intersection_len(&[sets[0], None], 0), 0);
}

fn keep(found: &mut Vec<String>, member: Member<'_>) -> ControlFlow<()> {
    found.push(String::from_utf8(member.to_vec()).expect("text"));
    ControlFlow::Continue(())
}

proptest! {
    #[test]
    fn a_set_is_a_set(steps in prop::collection::vec((any::<bool>(), -20i64..20, any::<bool>()), 1..80)) {
        let mut model = BTreeSet::new();
        let mut edit = SetEdit::new(None, &Limits::DEFAULT).expect("no entry");
        for (add, number, text) in steps {
            let member = if text { format!("m{number}") } else { number.to_string() };
            if add {
                prop_assert_eq!(edit.add(member.as_bytes()), model.insert(member));
            } else {
                prop_assert_eq!(edit.remove(member.as_bytes()), model.remove(&member));
            }
            prop_assert_eq!(edit.len(), model.len());
        }
        match edit.finish() {
            Edited::Changed(value) => {
                let held = Held::new(&value);
                let found: BTreeSet<String> =
                    members(Set::of(held.0).expect("a set")).into_iter().collect();
                prop_assert_eq!(found, model);
            }
            Edited::Emptied => prop_assert!(model.is_empty()),
            Edited::Unchanged => prop_assert!(model.is_empty()),
        }
    }
}
