//! Random meta commands.

use fastrand::Rng;

use super::Request;

/// Keys, and two that are sent in base64. What marks a key is replaced in each episode.
const KEYS: &[&str] = &["KEY0", "KEY1", "KEY2", "KEY3", "KEY4"];
const BASE64_KEYS: &[&str] = &["K64KEY5", "K64KEY6"];
/// Expiries, far enough apart that the seconds a run takes do not matter.
const TIMES: &[&str] = &["0", "100", "1000", "2000000", "-1"];
const VALUES: &[&str] = &["", "1", "10", "99", "hello", "some words", "007", "1844"];
/// Tokens given by the client.
const TOKENS: &[&str] = &["9000000000000000001", "9000000000000000002"];

/// A meta command, in which there is a mistake now and then.
pub(super) fn request(random: &mut Rng) -> Request {
    let verb = pick(
        &["mg", "mg", "mg", "ms", "ms", "md", "ma", "ma", "me", "mn"],
        random,
    );
    if verb == "mn" {
        return Request::line(vec![verb.into()]);
    }
    let is_base64 = verb != "me" && random.u8(..8) == 0;
    let key = pick(if is_base64 { BASE64_KEYS } else { KEYS }, random);
    let mut words = vec![verb.to_owned(), key.to_owned()];
    if verb != "me" {
        let flags = flags(verb, is_base64, random);
        let goes_at_once = flags.iter().any(|flag| flag == "T-1" || flag == "N-1");
        // What memcached tells of a time that has passed wraps.
        let tells_time = |flag: &String| goes_at_once && flag == "t";
        words.extend(flags.into_iter().filter(|flag| !tells_time(flag)));
    }
    if random.u8(..40) == 0 && verb != "me" {
        let mistakes = [
            "v",
            "y",
            "Tx",
            "C-1",
            "!",
            "Mx",
            "J",
            "b",
            "F4294967296",
            "Fx",
        ];
        words.insert(
            random.usize(2..=words.len()),
            pick(&mistakes, random).into(),
        );
    }
    let mut request = Request::line(words.into_iter().map(String::into_bytes).collect());
    if verb == "ms" {
        let data = pick(VALUES, random).as_bytes().to_vec();
        request.words.insert(2, data.len().to_string().into_bytes());
        request.data = Some(data);
    }
    request
}

fn flags(verb: &str, is_base64: bool, random: &mut Rng) -> Vec<String> {
    let times = pick(TIMES, random);
    let token = pick(TOKENS, random);
    let compare = pick(
        &["CTOKEN", "COLD", "CTOKEN", "C18446744073709551615", "C0"],
        random,
    );
    let mode = match verb {
        "ma" => pick(&["MI", "M+", "MD", "M-"], random),
        _ => pick(&["ME", "MA", "MP", "MR", "MS"], random),
    };
    // Each flag with how often of ten times it is there.
    let may = match verb {
        "mg" => "v6 t3 c3 f3 s3 h3 k2 q2 u2 O2 l1 C2 T2 N2 R2 E1",
        "ms" => "c3 s3 k2 q2 O2 C3 T3 F3 I3 M3 N2 E1",
        "md" => "k2 q2 O2 C2 I5 T3 x2 E1",
        _ => "v6 t3 c3 k2 q1 O2 C2 T2 N4 J4 D4 M5 E1",
    };
    let mut flags = Vec::new();
    for (flag, tenths) in may.split(' ').map(|flag| flag.split_at(1)) {
        if random.u8(..10) >= tenths.parse::<u8>().expect("a digit") {
            continue;
        }
        flags.push(match flag {
            "O" => pick(&["O1", "Oabc", "O"], random).to_owned(),
            "C" => compare.to_owned(),
            "T" => format!("T{times}"),
            "N" => format!("N{}", pick(TIMES, random)),
            "R" => format!("R{}", pick(&["50", "500", "0", "-1"], random)),
            "F" => format!("F{}", pick(&["0", "7", "4294967295"], random)),
            "E" => format!("E{token}"),
            "J" => format!("J{}", pick(&["0", "13", "18446744073709551615"], random)),
            "D" => format!(
                "D{}",
                pick(&["0", "1", "5", "18446744073709551615"], random)
            ),
            "M" => mode.to_owned(),
            plain => plain.to_owned(),
        });
    }
    if verb == "ma" && !flags.iter().any(|flag| ["MD", "M-"].contains(&&flag[..])) {
        // When a number grows longer, memcached forgets the new time and the client's token.
        flags.retain(|flag| !flag.starts_with(['T', 'E']));
    }
    random.shuffle(&mut flags);
    if is_base64 {
        // memcached repeats a key as it was first stored, mayfly as it was asked for.
        flags.retain(|flag| flag != "k");
        flags.insert(random.usize(..=flags.len()), "b".to_owned());
    }
    flags
}

fn pick<'w>(all: &[&'w str], random: &mut Rng) -> &'w str {
    all[random.usize(..all.len())]
}
