//! Caches reduced to what they keep: for comparing eviction policies on traces.

mod lfu;
mod lru;
mod ordered;
mod residents;
mod rivals;
mod s3fifo;

pub use lfu::SampledLfu;
pub use lru::SampledLru;
pub use ordered::{Order, Ordered};
pub use rivals::CacheMode;
pub use s3fifo::S3Fifo;

/// A cache that is asked for one object after the other.
pub trait Cache {
    /// Asks for an object of so many bytes, which is stored if it was not there; whether it was.
    fn ask(&mut self, object: u32, bytes: u32) -> bool;
}

/// Misses of a cache over a trace, as a share of the requests.
pub fn miss_ratio(cache: &mut dyn Cache, requests: &[u32], bytes: impl Fn(u32) -> u32) -> f64 {
    let misses = requests
        .iter()
        .filter(|&&object| !cache.ask(object, bytes(object)))
        .count();
    misses as f64 / requests.len() as f64
}
