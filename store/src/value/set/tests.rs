//! Sets against a naive model, in every encoding, packed and as trees.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use proptest::prelude::*;

use super::*;
use crate::memory;
use crate::value::held::Held;
use crate::value::memory_bytes;

type Model = BTreeSet<Vec<u8>>;

/// Limits under which sets become trees soon, later, and never in these tests.
fn all_limits() -> [Limits; 3] {
    [0, 100, 1 << 20].map(|packed_bytes_max| Limits {
        packed_bytes_max,
        ..Limits::DEFAULT
    })
}

fn set_of<T: AsRef<[u8]>>(members: &[T], limits: &Limits) -> Held {
    let mut edit = SetEdit::new(None, limits).expect("no entry");
    edit.expect(members.len());
    for member in members {
        edit.add(member.as_ref());
    }
    Held::after(None, edit.finish()).expect("members")
}

fn numbered(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("member:{number}")).collect()
}

fn members(set: Set<'_>) -> Vec<String> {
    let texts = set
        .iter()
        .map(|m| String::from_utf8(m.to_vec()).expect("text"));
    texts.collect()
}

fn check(set: Set<'_>, model: &Model) {
    let found: Model = set.iter().map(|member| member.to_vec()).collect();
    assert_eq!(
        (&found, set.len(), set.iter().count()),
        (model, model.len(), model.len())
    );
    for (index, member) in set.iter().enumerate() {
        assert!(set.contains(&member));
        assert_eq!(*set.nth(index), *member);
    }
    assert!(!set.contains(b"nothing"));
    let (mut visited, mut cursor) = (Model::new(), 0);
    loop {
        cursor = set.scan(cursor, 7, |member| {
            visited.insert(member.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&visited, model);
}

#[test]
fn few_integers_are_in_numeric_order() {
    let held = set_of(&["30", "-7", "100000", "5", "30"], &Limits::DEFAULT);
    let set = Set::of(held.entry()).expect("a set");
    assert_eq!(members(set), ["-7", "5", "30", "100000"]);
    assert_eq!(encoding(held.entry()), Encoding::Intset);
    assert!(set.contains(b"30") && !set.contains(b"030"));
}

#[test]
fn encodings_change_as_in_redis_whatever_is_inside() {
    let cases: &[(&[&str], Encoding)] = &[
        (&["1", "2", "3", "4"], Encoding::Intset),
        (&["1", "2", "3", "4", "5"], Encoding::Hashtable),
        (&["1", "a"], Encoding::Listpack),
        (&["1", "2", "a"], Encoding::Hashtable),
        (&["a", "1"], Encoding::Listpack),
        (&["a", "b", "c"], Encoding::Hashtable),
        (&["abcd"], Encoding::Hashtable),
    ];
    for packed_bytes_max in [0, 2048] {
        let small = Limits {
            set_integers_max: 4,
            set_entries_max: 2,
            set_element_bytes_max: 3,
            packed_bytes_max,
            ..Limits::DEFAULT
        };
        for (members, expected) in cases {
            let held = set_of(members, &small);
            assert_eq!(encoding(held.entry()), *expected, "{members:?}");
        }
    }
    let held = set_of(
        &["1234", "a"],
        &Limits {
            set_element_bytes_max: 3,
            ..Limits::DEFAULT
        },
    );
    assert_eq!(encoding(held.entry()), Encoding::Hashtable);
}

#[test]
fn many_integers_are_a_tree_still_called_intset() {
    let limits = Limits {
        set_integers_max: 100_000,
        ..Limits::DEFAULT
    };
    let numbers: Vec<String> = (0..80_000).map(|number| number.to_string()).collect();
    let held = set_of(&numbers, &limits);
    assert_eq!(held.entry().form(), Form::Tree);
    assert_eq!(encoding(held.entry()), Encoding::Intset);
    let mut edit = SetEdit::new(Some(held.entry()), &limits).expect("a set");
    for number in &numbers[20..] {
        assert!(edit.remove(number.as_bytes()));
    }
    let edited = edit.finish();
    let held = Held::after(Some(held), edited).expect("members");
    let set = Set::of(held.entry()).expect("a set");
    assert_eq!(members(set), numbers[..20]);
    assert_eq!(encoding(held.entry()), Encoding::Intset);
    let edit = SetEdit::new(Some(held.entry()), &Limits::DEFAULT).expect("a set");
    assert!(matches!(edit.finish(), Edited::Unchanged));
}

#[test]
fn five_hundred_and_twelve_wide_integers_stay_in_order() {
    let numbers: Vec<String> = (0..512i64).map(|n| (n + (1 << 40)).to_string()).collect();
    let held = set_of(&numbers, &Limits::DEFAULT);
    assert_eq!(members(Set::of(held.entry()).expect("a set")), numbers);
}

#[test]
fn popping_takes_members_out() {
    for (limits, count) in all_limits()
        .into_iter()
        .flat_map(|l| [(l, 7), (l, 150), (l, 999)])
    {
        let all = numbered(0..200);
        let held = set_of(&all, &limits);
        let mut edit = SetEdit::new(Some(held.entry()), &limits).expect("a set");
        let popped: Model = edit.pop(count).into_iter().collect();
        assert_eq!(
            (popped.len(), edit.len()),
            (count.min(200), 200 - count.min(200))
        );
        assert!(popped.iter().all(|member| !edit.contains(member)));
        assert!(
            all.iter()
                .all(|m| edit.contains(m.as_bytes()) || popped.contains(m.as_bytes()))
        );
        let edited = edit.finish();
        assert_eq!(matches!(edited, Edited::Emptied), count == 999);
        Held::after(Some(held), edited);
    }
}

#[test]
fn a_builder_takes_any_order() {
    for limits in all_limits() {
        let before = memory::counted_here().0;
        let all = numbered(0..3_000);
        let tree = set_of(&all, &limits);
        let ordered = members(Set::of(tree.entry()).expect("a set"));
        let mut shuffled = all.clone();
        shuffled.reverse();
        let repeated = [&ordered[..], &ordered[..10], &all[..]].concat();
        for order in [&ordered, &shuffled, &repeated] {
            let mut builder = SetBuilder::new(&limits);
            order
                .iter()
                .for_each(|member| builder.add(member.as_bytes()));
            assert_eq!(builder.len(), 3_000);
            let held = Held::new(builder.finish().expect("members"));
            let model = all
                .iter()
                .map(|member| member.clone().into_bytes())
                .collect();
            check(Set::of(held.entry()).expect("a set"), &model);
            assert_eq!(encoding(held.entry()), Encoding::Hashtable);
        }
        let mut unused = SetBuilder::new(&limits);
        ordered
            .iter()
            .for_each(|member| unused.add(member.as_bytes()));
        drop((unused, tree));
        assert_eq!(memory::counted_here().0, before);
    }
}

fn collected(run: impl FnOnce(&mut dyn FnMut(Member<'_>) -> ControlFlow<()>)) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    run(&mut |member| {
        found.push(member.to_vec());
        ControlFlow::Continue(())
    });
    found.sort();
    found
}

#[test]
fn algebra_over_mixed_encodings() {
    let (a, b) = (
        set_of(&["1", "2", "3"], &Limits::DEFAULT),
        set_of(&["2", "x", "3"], &Limits::DEFAULT),
    );
    let sets = [Set::of(a.entry()).ok(), Set::of(b.entry()).ok()];
    let both = collected(|visit| intersection(&sets, visit));
    let any = collected(|visit| union(&sets, visit));
    let first = collected(|visit| difference(&sets, visit));
    assert_eq!(both, [b"2", b"3"]);
    assert_eq!(any, [b"1", b"2", b"3", b"x"]);
    assert_eq!(first, [b"1"]);
    assert_eq!(intersection_len(&sets, 1), 1);
    assert_eq!(intersection_len(&[sets[0], None], 0), 0);
}

/// Sets of very different sizes, so that trees are walked, asked and met by packed sets.
#[test]
fn algebra_over_all_sizes() {
    let sizes = [3, 40, 90, 700, 5_000];
    let steps = [1, 2, 3];
    let mut models: Vec<Model> = Vec::new();
    for (size, step) in sizes
        .into_iter()
        .flat_map(|size| steps.map(|step| (size, step)))
    {
        let numbers = (0..size).map(|number| (number * step).to_string().into_bytes());
        models.push(numbers.collect());
    }
    let helds: Vec<Held> = models
        .iter()
        .map(|model| set_of(&model.iter().collect::<Vec<_>>(), &Limits::DEFAULT))
        .collect();
    for a in 0..models.len() {
        for b in 0..models.len() {
            let c = (a + b) % models.len();
            let sets = [a, b, c].map(|at| Set::of(helds[at].entry()).ok());
            let [a, b, c] = [a, b, c].map(|at| &models[at]);
            let both: Vec<_> = a
                .iter()
                .filter(|m| b.contains(*m) && c.contains(*m))
                .collect();
            let first: Vec<_> = a
                .iter()
                .filter(|m| !b.contains(*m) && !c.contains(*m))
                .collect();
            let any: Model = a.iter().chain(b).chain(c).cloned().collect();
            assert!(
                collected(|visit| intersection(&sets, visit))
                    .iter()
                    .eq(both.iter().copied())
            );
            assert!(collected(|visit| difference(&sets, visit)).iter().eq(first));
            assert!(collected(|visit| union(&sets, visit)).iter().eq(&any));
            assert_eq!(intersection_len(&sets, 0), both.len());
            assert_eq!(intersection_len(&sets, 10), both.len().min(10));
        }
    }
}

proptest! {
    #[test]
    fn members_at_once_are_as_one_by_one(
        batches in prop::collection::vec(
            (any::<bool>(), prop::collection::vec((0i64..300, 0usize..9), 1..200)),
            1..5,
        ),
        integers in any::<bool>(),
    ) {
        for limits in all_limits() {
            let before = memory::counted_here().0;
            let (mut by_one, mut at_once): (Option<Held>, Option<Held>) = (None, None);
            for (is_add, members) in &batches {
                let text = |&(number, kind): &(i64, usize)| match kind {
                    0..5 if integers => number.to_string(),
                    8 => format!("{number:0>300}"),
                    _ => format!("m{number}"),
                };
                let texts: Vec<String> = members.iter().map(text).collect();
                let members: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
                let edit = |held: &Option<Held>| {
                    SetEdit::new(held.as_ref().map(Held::entry), &limits).expect("a set")
                };
                let (mut one, mut all) = (edit(&by_one), edit(&at_once));
                let changed = match is_add {
                    true => {
                        one.expect(members.len());
                        all.expect(members.len());
                        let added = members.iter().filter(|member| one.add(member)).count();
                        (added, all.add_all(&members))
                    }
                    false => (
                        members.iter().filter(|member| one.remove(member)).count(),
                        all.remove_all(members.iter().copied()),
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
                let set = Set::of(one.entry()).expect("a set");
                let model = set.iter().map(|member| member.to_vec()).collect();
                check(Set::of(all.entry()).expect("a set"), &model);
            }
            drop((by_one, at_once));
            prop_assert_eq!(memory::counted_here().0, before);
        }
    }

    #[test]
    fn a_set_is_a_set(
        edits in prop::collection::vec(
            prop::collection::vec((any::<bool>(), -20i64..20, 0usize..4), 1..40),
            1..6,
        ),
    ) {
        for limits in all_limits() {
            let before = memory::counted_here().0;
            let mut model = Model::new();
            let mut held: Option<Held> = None;
            for steps in &edits {
                let old = held.as_ref().map(Held::entry);
                let mut edit = SetEdit::new(old, &limits).expect("a set");
                for (add, number, kind) in steps {
                    let member = match kind {
                        0 | 1 => number.to_string(),
                        2 => format!("m{number}"),
                        _ => format!("{number:0>300}"),
                    }
                    .into_bytes();
                    if *add {
                        prop_assert_eq!(edit.add(&member), model.insert(member));
                    } else {
                        prop_assert_eq!(edit.remove(&member), model.remove(&member));
                    }
                    prop_assert_eq!(edit.len(), model.len());
                }
                let edited = edit.finish();
                held = Held::after(held, edited);
                match &held {
                    Some(held) => {
                        check(Set::of(held.entry()).expect("a set"), &model);
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
