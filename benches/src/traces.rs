//! Sequences of requests to caches: recorded ones, and synthetic ones.
//!
//! A recorded trace is a file of little-endian 64-bit object ids in the order of the requests,
//! compressed with zstd, in the folder that `MAYFLY_TRACES` names.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use fastrand::Rng;
use ruzstd::decoding::StreamingDecoder;

/// Requests, each for one of `objects` objects.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What tables call it.
    pub name: String,
    /// The object of each request, below `objects`.
    pub requests: Vec<u32>,
    /// How many different objects there are.
    pub objects: usize,
}

/// All recorded traces in the folder that `MAYFLY_TRACES` names; none if it names none.
///
/// # Errors
/// An unreadable folder or file.
pub fn recorded() -> io::Result<Vec<Trace>> {
    let Some(folder) = std::env::var_os("MAYFLY_TRACES") else {
        return Ok(Vec::new());
    };
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|file| Ok(file?.path()))
        .collect::<io::Result<_>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(".u64.zst"));
    paths.sort();
    paths.iter().map(read).collect()
}

fn read(path: &PathBuf) -> io::Result<Trace> {
    let mut bytes = Vec::new();
    let decoder = StreamingDecoder::new(File::open(path)?).map_err(io::Error::other);
    decoder?.read_to_end(&mut bytes)?;
    let ids = bytes.chunks_exact(8).map(|id| {
        let id = id.try_into().expect("eight bytes");
        u64::from_le_bytes(id)
    });
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(numbered(file.trim_end_matches(".u64.zst"), ids))
}

/// Numbers objects in the order of their first requests.
fn numbered(name: &str, ids: impl Iterator<Item = u64>) -> Trace {
    let mut numbers = HashMap::new();
    let requests = ids
        .map(|id| {
            let next = numbers.len() as u32;
            *numbers.entry(id).or_insert(next)
        })
        .collect();
    Trace {
        name: name.into(),
        requests,
        objects: numbers.len(),
    }
}

/// Requests by Zipf's law: the object of rank r is asked for in proportion to r to the -`skew`.
pub fn zipf(skew: f64, objects: usize, requests: usize) -> Trace {
    let ranks = Zipf::new(skew, objects);
    let mut rng = Rng::with_seed(1);
    Trace {
        name: format!("zipf {skew}"),
        requests: (0..requests).map(|_| ranks.draw(&mut rng)).collect(),
        objects,
    }
}

/// Zipf's law over objects that change places: a thousandth of the way, all ranks move on by a
/// thousandth of the objects.
pub fn drift(skew: f64, objects: usize, requests: usize) -> Trace {
    let ranks = Zipf::new(skew, objects);
    let mut rng = Rng::with_seed(2);
    let step = (requests / 1000).max(1);
    let shift = |at: usize| (at / step * (objects / 1000).max(1)) as u64;
    Trace {
        name: format!("drift {skew}"),
        requests: (0..requests)
            .map(|at| {
                let rank = u64::from(ranks.draw(&mut rng));
                ((rank + shift(at)) % objects as u64) as u32
            })
            .collect(),
        objects,
    }
}

/// Zipf's law over half of the objects, among scans over the other half, which nobody asks for
/// twice: a fifth of the requests.
pub fn scans(skew: f64, objects: usize, requests: usize) -> Trace {
    let half = objects / 2;
    let ranks = Zipf::new(skew, half);
    let mut rng = Rng::with_seed(3);
    let mut scanned = half as u32;
    let requests = (0..requests)
        .map(|at| {
            // Scans come in runs.
            if at / 1000 % 5 == 0 {
                scanned += 1;
                if scanned as usize >= objects {
                    scanned = half as u32;
                }
                scanned
            } else {
                ranks.draw(&mut rng)
            }
        })
        .collect();
    Trace {
        name: format!("scans {skew}"),
        requests,
        objects,
    }
}

/// Draws ranks by Zipf's law, by looking up a sum.
struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    fn new(skew: f64, objects: usize) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=objects)
            .map(|rank| {
                sum += (rank as f64).powf(-skew);
                sum
            })
            .collect();
        Zipf { sums }
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let last = self.sums.last().expect("at least one object");
        let at = rng.f64() * last;
        self.sums.partition_point(|sum| *sum <= at) as u32
    }
}

/// The bytes of an object's value: a generalized Pareto distribution with the parameters that
/// B. Atikoglu et al. give for the pool ETC ("Workload Analysis of a Large-Scale Key-Value
/// Store", 2012), at most 1 MB.
pub fn value_bytes(object: u32) -> u32 {
    const SCALE: f64 = 214.476;
    const SHAPE: f64 = 0.348_238;
    let uniform = Rng::with_seed(u64::from(object) ^ 0xE7C).f64();
    let bytes = SCALE / SHAPE * ((1.0 - uniform).powf(-SHAPE) - 1.0);
    (bytes as u32).clamp(1, 1 << 20)
}
