//! Documents to measure with: made, not shipped, and the same on every machine.
//!
//! `profile` is the story's user, to which history is added until it has the size that is wanted.
//! The other three are like the files that JSON libraries are measured with, in their mixture of
//! types: `tweets` (text of several scripts, repeated names, identifiers), `catalog` (integers and
//! short objects), `outline` (floats of full precision and nothing else).

use std::fmt::Write;

use fastrand::Rng;

const SEED: u64 = 7;

/// A corpus by name.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// What tables call it.
    pub name: &'static str,
    /// Compact JSON.
    pub text: String,
}

/// All but the profiles, of some hundred kilobytes each.
pub fn large() -> [Corpus; 3] {
    let corpus = |name, text| Corpus { name, text };
    [
        corpus("twitter-like", tweets(100)),
        corpus("citm-like", catalog(240)),
        corpus("canada-like", outline(40, 250)),
    ]
}

/// The user of the story, 92 bytes; `number` has three digits.
pub fn user(number: u32) -> String {
    format!(
        r#"{{"id":{number},"name":"Joe","email":"joe@test.com","age":30,"prefs":{{"theme":"dark","lang":"en"}}}}"#
    )
}

/// The user of the story with a history that brings the text to about `bytes`.
pub fn profile(bytes: usize) -> String {
    let mut text = user(123);
    if bytes <= text.len() {
        return text;
    }
    text.pop();
    text.push_str(r#","history":["#);
    let mut rng = Rng::with_seed(SEED);
    while text.len() + 80 < bytes {
        let (id, seconds) = (rng.u32(..10_000_000), rng.u32(..86_400));
        let page = word(&mut rng);
        let _ = write!(
            text,
            r#"{{"id":{id},"page":"/{page}","seconds":{seconds},"bought":{}}},"#,
            rng.bool()
        );
    }
    text.truncate(text.trim_end_matches(',').len());
    text.push_str("]}");
    text
}

/// A word of the alphabet.
fn word(rng: &mut Rng) -> String {
    let letters = rng.usize(3..9);
    (0..letters).map(|_| rng.lowercase()).collect()
}

fn words(rng: &mut Rng, count: usize) -> String {
    let words: Vec<String> = (0..count).map(|_| word(rng)).collect();
    words.join(" ")
}

/// Text as people write it, a part of it in other scripts.
fn message(rng: &mut Rng) -> String {
    let mut text = words(rng, 6);
    if rng.bool() {
        text.push(' ');
        text.extend((0..40).map(|_| rng.char('ぁ'..='ん')));
    }
    let _ = write!(text, r" \n@{} http:\/\/t.co\/{}", word(rng), word(rng));
    text
}

fn tweets(count: usize) -> String {
    let mut rng = Rng::with_seed(SEED);
    let statuses: Vec<String> = (0..count).map(|_| tweet(&mut rng)).collect();
    format!(
        r#"{{"statuses":[{}],"search_metadata":{{"completed_in":0.087,"count":{count}}}}}"#,
        statuses.join(",")
    )
}

fn tweet(rng: &mut Rng) -> String {
    let id = 505_874_924_095_815_681 + rng.u64(..1_000_000_000);
    let reply = match rng.bool() {
        true => format!(
            "{},\"in_reply_to_screen_name\":\"{}\"",
            rng.u32(..),
            word(rng)
        ),
        false => "null,\"in_reply_to_screen_name\":null".to_owned(),
    };
    format!(
        concat!(
            r#"{{"metadata":{{"result_type":"recent","iso_language_code":"ja"}},"#,
            r#""created_at":"Sun Aug 31 00:29:15 +0000 2014","id":{id},"id_str":"{id}","#,
            r#""text":"{text}","source":"<a href=\"http:\/\/twitter.com\" rel=\"nofollow\">Web<\/a>","#,
            r#""truncated":false,"in_reply_to_user_id":{reply},"user":{user},"geo":null,"#,
            r#""coordinates":null,"place":null,"contributors":null,"retweet_count":{retweets},"#,
            r#""favorite_count":{favorites},"entities":{{"hashtags":[],"symbols":[],"urls":[],"#,
            r#""user_mentions":[{{"screen_name":"{name}","id":{mention},"indices":[{from},{to}]}}]}},"#,
            r#""favorited":false,"retweeted":false,"lang":"ja"}}"#
        ),
        id = id,
        text = message(rng),
        reply = reply,
        user = account(rng),
        retweets = rng.u32(..200),
        favorites = rng.u32(..90),
        name = word(rng),
        mention = rng.u32(..),
        from = rng.u32(..60),
        to = rng.u32(60..140),
    )
}

fn account(rng: &mut Rng) -> String {
    let id = rng.u32(..);
    let mut color = || format!("{:06X}", rng.u32(..1 << 24));
    let (link, fill) = (color(), color());
    format!(
        concat!(
            r#"{{"id":{id},"id_str":"{id}","name":"{name}","screen_name":"{screen}","#,
            r#""location":"","description":"{about}","url":null,"protected":false,"#,
            r#""followers_count":{followers},"friends_count":{friends},"listed_count":2,"#,
            r#""created_at":"Wed Oct 03 08:45:12 +0000 2012","utc_offset":null,"time_zone":null,"#,
            r#""geo_enabled":false,"verified":false,"statuses_count":{statuses},"#,
            r#""profile_image_url":"http:\/\/pbs.twimg.com\/profile_images\/{id}\/{image}.jpeg","#,
            r#""profile_link_color":"{link}","profile_sidebar_fill_color":"{fill}","#,
            r#""profile_use_background_image":true,"default_profile":true,"following":false}}"#
        ),
        id = id,
        name = message(rng),
        screen = word(rng),
        about = message(rng),
        followers = rng.u32(..5_000),
        friends = rng.u32(..2_000),
        statuses = rng.u32(..90_000),
        image = word(rng),
        link = link,
        fill = fill,
    )
}

fn catalog(performances: usize) -> String {
    let mut rng = Rng::with_seed(SEED);
    let id = |rng: &mut Rng| rng.u32(100_000_000..400_000_000);
    let names: Vec<String> = (0..60)
        .map(|_| format!(r#""{}":"{}""#, id(&mut rng), words(&mut rng, 3)))
        .collect();
    let events: Vec<String> = (0..performances / 3)
        .map(|_| {
            let event = id(&mut rng);
            format!(
                concat!(
                    r#""{event}":{{"description":null,"id":{event},"logo":"/images/{logo}","#,
                    r#""name":"{name}","subTopicIds":[337184269,337184283],"#,
                    r#""subjectCode":null,"subtitle":null,"topicIds":[324846099,107888604]}}"#
                ),
                event = event,
                logo = word(&mut rng),
                name = words(&mut rng, 2),
            )
        })
        .collect();
    let performances: Vec<String> = (0..performances)
        .map(|_| performance(&mut rng, id))
        .collect();
    format!(
        r#"{{"areaNames":{{{}}},"blockNames":{{}},"events":{{{}}},"performances":[{}]}}"#,
        names.join(","),
        events.join(","),
        performances.join(",")
    )
}

fn performance(rng: &mut Rng, id: impl Fn(&mut Rng) -> u32) -> String {
    let category = id(rng);
    let prices: Vec<String> = (0..rng.u32(1..6))
        .map(|_| {
            format!(
                r#"{{"amount":{},"audienceSubCategoryId":337100890,"seatCategoryId":{category}}}"#,
                rng.u32(10..200) * 1_000
            )
        })
        .collect();
    let areas: Vec<String> = (0..rng.u32(1..16))
        .map(|_| format!(r#"{{"areaId":{},"blockIds":[]}}"#, id(rng)))
        .collect();
    format!(
        concat!(
            r#"{{"eventId":{},"id":{},"logo":null,"name":null,"prices":[{}],"#,
            r#""seatCategories":[{{"areas":[{}],"seatCategoryId":{}}}],"#,
            r#""seatMapImage":null,"start":{},"venueCode":"PLEYEL_PLEYEL"}}"#
        ),
        id(rng),
        id(rng),
        prices.join(","),
        areas.join(","),
        category,
        1_372_701_600_000 + rng.u64(..1_000_000_000),
    )
}

fn outline(rings: usize, points: usize) -> String {
    let mut rng = Rng::with_seed(SEED);
    let rings: Vec<String> = (0..rings)
        .map(|_| {
            let points: Vec<String> = (0..points)
                .map(|_| {
                    let (x, y) = (rng.f64() * -90.0 - 50.0, rng.f64() * 40.0 + 42.0);
                    format!("[{x},{y}]")
                })
                .collect();
            format!("[{}]", points.join(","))
        })
        .collect();
    format!(
        concat!(
            r#"{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":"#,
            r#"{{"name":"Canada"}},"geometry":{{"type":"Polygon","coordinates":[{}]}}}}]}}"#
        ),
        rings.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_what_they_are_called() {
        assert_eq!(user(123).len(), 92);
        for bytes in [90, 4_000, 100_000, 1_000_000] {
            let text = profile(bytes);
            assert!(text.len().abs_diff(bytes) < 100, "{}", text.len());
            assert!(text.ends_with("}"), "{text}");
        }
    }
}
