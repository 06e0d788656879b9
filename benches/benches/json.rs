//! Documents in process: parse, print, read one path, update one path, filter a thousand elements.
//!
//! Beside `serde_json::Value`, whose paths are `serde_json_path`'s and `jsonpath-rust`'s, and
//! beside `sonic-rs` and `simd-json` for parsing alone. Paths are compiled outside of what is
//! measured where both sides allow it, and inside (`with its path`) as a server does it. An update
//! of a `Value` is in place and destroys the version before; ours keeps it: a row of its own says
//! what a `Value` takes to do the same.
//!
//! The time is that of the thread's CPU clock, so that what else the machine does is not in it.

use std::hint::black_box;
use std::time::Duration;

use benches::clock::thread_cpu;
use benches::corpus::{self, Corpus, profile};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Throughput};
use json::{Condition, Document, Path};
use jsonpath_rust::query::js_path_process;
use serde_json::Value;
use serde_json_path::JsonPath;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const FIELD: &str = "$.prefs.theme";
const SIZES: [usize; 4] = [90, 4_000, 100_000, 1_000_000];

/// The time a thread runs.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        thread_cpu()
    }

    fn end(&self, start: Duration) -> Duration {
        thread_cpu() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

type Criterion = criterion::Criterion<CpuTime>;

fn main() {
    let mut criterion = criterion::Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .configure_from_args();
    let mut corpora = vec![Corpus {
        name: "user",
        text: corpus::user(123),
    }];
    corpora.extend(corpus::large());
    for corpus in &corpora {
        parse(&mut criterion, corpus);
        print(&mut criterion, corpus);
    }
    for bytes in SIZES {
        read(&mut criterion, bytes);
        update(&mut criterion, bytes);
    }
    filter(&mut criterion);
    criterion.final_summary();
}

fn document(text: &str) -> Document {
    Document::parse(text.as_bytes()).expect("it is JSON")
}

fn tree(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

fn parse(criterion: &mut Criterion, Corpus { name, text }: &Corpus) {
    let mut group = criterion.benchmark_group(format!("parse/{name}"));
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("mayfly", |bencher| {
        bencher.iter_with_large_drop(|| document(black_box(text)));
    });
    group.bench_function("serde_json", |bencher| {
        bencher.iter_with_large_drop(|| tree(black_box(text)));
    });
    group.bench_function("sonic-rs", |bencher| {
        let parse = || sonic_rs::from_str::<sonic_rs::Value>(black_box(text));
        bencher.iter_with_large_drop(parse);
    });
    group.bench_function("simd-json", |bencher| {
        bencher.iter_batched_ref(
            || text.clone().into_bytes(),
            |bytes| simd_json::to_owned_value(bytes).expect("it is JSON"),
            BatchSize::LargeInput,
        );
    });
}

fn print(criterion: &mut Criterion, Corpus { name, text }: &Corpus) {
    let mut group = criterion.benchmark_group(format!("print/{name}"));
    group.throughput(Throughput::Bytes(text.len() as u64));
    let (ours, theirs) = (document(text), tree(text));
    let mut out = Vec::with_capacity(2 * text.len());
    group.bench_function("mayfly", |bencher| {
        bencher.iter(|| {
            out.clear();
            black_box(&ours).root().print(&mut out);
            out.len()
        });
    });
    group.bench_function("serde_json", |bencher| {
        bencher.iter(|| {
            out.clear();
            serde_json::to_writer(&mut out, black_box(&theirs)).expect("memory");
            out.len()
        });
    });
}

fn read(criterion: &mut Criterion, bytes: usize) {
    let text = profile(bytes);
    let (ours, theirs) = (document(&text), tree(&text));
    let mut group = criterion.benchmark_group(format!("read one path/{bytes}"));
    let path = Path::parse(FIELD.as_bytes()).expect("a path");
    group.bench_function("mayfly", |bencher| {
        bencher.iter(|| {
            path.first(black_box(&ours).root())
                .expect("short")
                .is_some()
        });
    });
    group.bench_function("mayfly with its path", |bencher| {
        bencher.iter(|| {
            let path = Path::parse(black_box(FIELD).as_bytes()).expect("a path");
            path.first(black_box(&ours).root())
                .expect("short")
                .is_some()
        });
    });
    let path = JsonPath::parse(FIELD).expect("a path");
    group.bench_function("serde_json_path", |bencher| {
        bencher.iter(|| path.query(black_box(&theirs)).first().is_some());
    });
    group.bench_function("serde_json_path with its path", |bencher| {
        bencher.iter(|| {
            let path = JsonPath::parse(black_box(FIELD)).expect("a path");
            path.query(black_box(&theirs)).first().is_some()
        });
    });
    let path = jsonpath_rust::parser::parse_json_path(FIELD).expect("a path");
    group.bench_function("jsonpath-rust", |bencher| {
        bencher.iter(|| {
            js_path_process(&path, black_box(&theirs))
                .expect("short")
                .len()
        });
    });
}

fn update(criterion: &mut Criterion, bytes: usize) {
    let text = profile(bytes);
    let (mut ours, mut theirs) = (document(&text), tree(&text));
    let mut group = criterion.benchmark_group(format!("update one path/{bytes}"));
    let path = Path::parse(FIELD.as_bytes()).expect("a path");
    let value = document("\"light\"");
    group.bench_function("mayfly", |bencher| {
        bencher.iter(|| {
            let next = ours.borrow().set(&path, value.borrow(), Condition::Always);
            ours = next.expect("it fits").expect("the field is there");
        });
    });
    group.bench_function("serde_json in place", |bencher| {
        bencher.iter(|| {
            let field = theirs.pointer_mut("/prefs/theme").expect("it is there");
            *field = Value::String(black_box("light").to_owned());
        });
    });
    group.bench_function("serde_json, old version kept", |bencher| {
        bencher.iter(|| {
            let mut next = theirs.clone();
            let field = next.pointer_mut("/prefs/theme").expect("it is there");
            *field = Value::String(black_box("light").to_owned());
            theirs = next;
        });
    });
    group.bench_function("serde_json, as a blob", |bencher| {
        bencher.iter(|| {
            let mut next = tree(black_box(&text));
            let field = next.pointer_mut("/prefs/theme").expect("it is there");
            *field = Value::String(black_box("light").to_owned());
            serde_json::to_string(&next).expect("memory")
        });
    });
}

fn filter(criterion: &mut Criterion) {
    let elements: Vec<String> = (0..1_000)
        .map(|id| {
            format!(
                r#"{{"id":{id},"name":"item {id}","price":{}.5}}"#,
                id * 7 % 100
            )
        })
        .collect();
    let text = format!("[{}]", elements.join(","));
    let (ours, theirs) = (document(&text), tree(&text));
    let mut group = criterion.benchmark_group("filter 1000 elements");
    group.throughput(Throughput::Elements(1_000));
    let filter = "$[?@.price < 10 && @.name != 'item 7']";
    let path = Path::parse(filter.as_bytes()).expect("a path");
    group.bench_function("mayfly", |bencher| {
        bencher.iter(|| path.find(black_box(&ours).root()).expect("short").len());
    });
    let path = JsonPath::parse(filter).expect("a path");
    group.bench_function("serde_json_path", |bencher| {
        bencher.iter(|| path.query(black_box(&theirs)).len());
    });
    let path = jsonpath_rust::parser::parse_json_path(filter).expect("a path");
    group.bench_function("jsonpath-rust", |bencher| {
        bencher.iter(|| {
            js_path_process(&path, black_box(&theirs))
                .expect("short")
                .len()
        });
    });
}
