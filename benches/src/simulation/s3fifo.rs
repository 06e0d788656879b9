//! S3-FIFO as it was published (J. Yang et al., "FIFO queues are all you need for cache
//! eviction", 2023): three queues.

use std::collections::VecDeque;

use super::Cache;

/// The most uses that count.
const FREQUENCY_MAX: u8 = 3;
/// The small queue's share of the bytes: 1 / 10.
const SMALL_PART: u64 = 10;
/// The least that the ghost queue remembers.
const GHOSTS_MIN: usize = 16;

/// Objects in the order in which they came.
#[derive(Debug, Default)]
struct Queue {
    objects: VecDeque<(u32, u32)>,
    bytes: u64,
}

impl Queue {
    fn push(&mut self, object: u32, bytes: u32) {
        self.objects.push_back((object, bytes));
        self.bytes += u64::from(bytes);
    }

    fn pop(&mut self) -> Option<(u32, u32)> {
        let (object, bytes) = self.objects.pop_front()?;
        self.bytes -= u64::from(bytes);
        Some((object, bytes))
    }
}

/// A small queue, a main one, and a ghost of what the small one let go.
#[derive(Debug)]
pub struct S3Fifo {
    capacity: u64,
    small: Queue,
    main: Queue,
    /// Objects with the number under which they were last remembered.
    ghosts: VecDeque<(u32, u64)>,
    /// By object, that number; 0: it is not remembered.
    ghost_numbers: Vec<u64>,
    last_number: u64,
    is_resident: Vec<bool>,
    frequencies: Vec<u8>,
}

impl S3Fifo {
    /// A cache of so many bytes for some of so many objects.
    pub fn new(objects: usize, capacity: u64) -> S3Fifo {
        S3Fifo {
            capacity,
            small: Queue::default(),
            main: Queue::default(),
            ghosts: VecDeque::new(),
            ghost_numbers: vec![0; objects],
            last_number: 0,
            is_resident: vec![false; objects],
            frequencies: vec![0; objects],
        }
    }

    fn evict(&mut self) {
        if self.small.bytes * SMALL_PART >= self.capacity || self.main.objects.is_empty() {
            self.evict_small();
        } else {
            self.evict_main();
        }
    }

    fn evict_small(&mut self) {
        while let Some((object, bytes)) = self.small.pop() {
            let at = object as usize;
            if self.frequencies[at] == 0 {
                self.is_resident[at] = false;
                return self.remember(object);
            }
            self.frequencies[at] = 0;
            self.main.push(object, bytes);
        }
    }

    fn evict_main(&mut self) {
        while let Some((object, bytes)) = self.main.pop() {
            let at = object as usize;
            if self.frequencies[at] == 0 {
                self.is_resident[at] = false;
                return;
            }
            self.frequencies[at] -= 1;
            self.main.push(object, bytes);
        }
    }

    fn remember(&mut self, object: u32) {
        self.last_number += 1;
        self.ghost_numbers[object as usize] = self.last_number;
        self.ghosts.push_back((object, self.last_number));
        while self.ghosts.len() > self.main.objects.len().max(GHOSTS_MIN) {
            if let Some((old, number)) = self.ghosts.pop_front()
                && self.ghost_numbers[old as usize] == number
            {
                self.ghost_numbers[old as usize] = 0;
            }
        }
    }
}

impl Cache for S3Fifo {
    fn ask(&mut self, object: u32, bytes: u32) -> bool {
        let at = object as usize;
        if self.is_resident[at] {
            self.frequencies[at] = (self.frequencies[at] + 1).min(FREQUENCY_MAX);
            return true;
        }
        while self.small.bytes + self.main.bytes + u64::from(bytes) > self.capacity
            && self.small.bytes + self.main.bytes > 0
        {
            self.evict();
        }
        self.frequencies[at] = 0;
        self.is_resident[at] = true;
        if std::mem::take(&mut self.ghost_numbers[at]) > 0 {
            self.main.push(object, bytes);
        } else {
            self.small.push(object, bytes);
        }
        false
    }
}
