//! In which order tasks go on.

use std::cell::RefCell;
use std::rc::Rc;

use super::tasks::HELD_BACK_MAX;
use super::*;

const NO_IDLE_WORK: Idle = Idle {
    is_due: || false,
    work: || {},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Executed(usize),
    Sent(usize),
}

/// What so many tasks do in one round, in its order.
fn round_of(tasks: usize) -> Vec<Half> {
    let done = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&done);
    let main = async move {
        for number in 0..tasks {
            let log = Rc::clone(&log);
            spawn_local(async move {
                log.borrow_mut().push(Half::Executed(number));
                hold_back().await;
                log.borrow_mut().push(Half::Sent(number));
            });
        }
        while log.borrow().len() < 2 * tasks {
            yield_now().await;
        }
    };
    run(main, NO_IDLE_WORK).expect("a poll");
    done.take()
}

#[test]
fn a_round_executes_for_all_before_it_sends_to_any() {
    let executed = (0..3).map(Half::Executed);
    let sent = (0..3).map(Half::Sent);
    assert_eq!(round_of(3), executed.chain(sent).collect::<Vec<_>>());
}

#[test]
fn who_holds_back_waits_for_so_many_others_at_most() {
    let done = round_of(3 * HELD_BACK_MAX);
    for number in 0..3 * HELD_BACK_MAX {
        let place = |half| done.iter().position(|&other| other == half).expect("done");
        let between = place(Half::Sent(number)) - place(Half::Executed(number));
        assert!(between <= HELD_BACK_MAX, "{between} after task {number}");
    }
}

#[test]
fn who_is_alone_does_not_hold_back() {
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    let main = async move {
        let mut alone = pin!(hold_back());
        poll_fn(|context| {
            count.set(count.get() + 1);
            alone.as_mut().poll(context)
        })
        .await;
    };
    run(main, NO_IDLE_WORK).expect("a poll");
    assert_eq!(polls.get(), 1);
}

#[test]
fn what_was_executed_is_sent_when_all_ends() {
    let done = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&done);
    let mut has_spawned = false;
    let main = poll_fn(move |context| {
        if std::mem::replace(&mut has_spawned, true) {
            return Poll::Ready(());
        }
        for number in 0..2 {
            let log = Rc::clone(&log);
            spawn_local(async move {
                log.borrow_mut().push(Half::Executed(number));
                hold_back().await;
                log.borrow_mut().push(Half::Sent(number));
            });
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    run(main, NO_IDLE_WORK).expect("a poll");
    let executed = [0, 1].map(Half::Executed);
    let sent = [0, 1].map(Half::Sent);
    assert_eq!(done.take(), [executed, sent].concat());
}
