//! What all forms share in their tests: requests in a short notation, from bytes in any pieces.

use super::*;
use write::Form;

/// The requests in pieces that come one after the other, and whether the connection is to end.
pub(super) fn in_pieces<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<String>, bool) {
    let limits = Limits {
        item_bytes_max: 100,
    };
    let mut parser = Parser::default();
    let mut buffer: Vec<u8> = Vec::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut rest = &buffer[..];
        loop {
            match parser.next(&mut rest, &limits) {
                Ok(Some(request)) => found.push(notation(&request)),
                Ok(None) => break,
                Err(Broken) => return (found, true),
            }
        }
        let left = rest.len();
        buffer.drain(..buffer.len() - left);
    }
    (found, false)
}

/// A request in a short notation: `!` is a reply that is not wanted.
pub(super) fn notation(request: &Request<'_>) -> String {
    let is_silent = match request.form {
        Form::Text { noreply } => noreply,
        Form::Meta(form) => form.is_quiet,
        Form::Binary(form) => form.is_quiet,
    };
    let mark = if is_silent { "!" } else { "" };
    format!("{}{mark}", notation_of_verb(&request.verb))
}

fn notation_of_verb(verb: &Verb<'_>) -> String {
    match *verb {
        Verb::GetMany {
            keys,
            touch,
            with_tokens,
        } => {
            let keys: Vec<String> = keys.map(|key| key.escape_ascii().to_string()).collect();
            let plural = if with_tokens { "s" } else { "" };
            match touch {
                None => format!("get{plural} {}", keys.join(",")),
                Some(Exptime(at)) => format!("gat{plural} {at} {}", keys.join(",")),
            }
        }
        Verb::Store(store) => notation_of_store(&store),
        Verb::StoreTooLarge { key, removes } => {
            format!(
                "too large {}{}",
                notation_of_key(key),
                if removes { " gone" } else { "" }
            )
        }
        Verb::Arithmetic(arithmetic) => notation_of_arithmetic(arithmetic),
        Verb::Delete(delete) => {
            let mut text = format!("delete {}", notation_of_key(delete.key));
            option(&mut text, "C", delete.compare);
            option(&mut text, "E", delete.token);
            option(&mut text, "T", delete.touch.map(|exptime| exptime.0));
            option(&mut text, "I", delete.invalidates.then_some(()));
            option(&mut text, "x", delete.empties);
            text
        }
        Verb::Touch { key, exptime } => format!("touch {} {}", notation_of_key(key), exptime.0),
        Verb::Get(get) => {
            let mut text = format!("read {}", notation_of_key(get.key));
            option(&mut text, "T", get.touch.map(|exptime| exptime.0));
            option(
                &mut text,
                "N",
                get.vivify.map(|vivify| vivify.final_exptime(get.touch).0),
            );
            option(&mut text, "E", get.token);
            option(
                &mut text,
                "R",
                get.recache.map(|at| (at.0, get.touches_first)),
            );
            option(&mut text, "C", get.unless_token);
            option(&mut text, "u", (!get.notes_use).then_some(()));
            text
        }
        Verb::FlushAll { exptime } => format!("flush {}", exptime.0),
        Verb::Refused(refusal) => format!("{refusal:?}"),
        other => format!("{other:?}"),
    }
}

fn notation_of_arithmetic(arithmetic: Arithmetic<'_>) -> String {
    let Arithmetic {
        key,
        change,
        initial,
        touch,
        compare,
        token,
    } = arithmetic;
    let mut text = format!("{change:?} {}", notation_of_key(key));
    let initial = initial.map(|(number, vivify)| (number, vivify.final_exptime(touch).0));
    option(&mut text, "or", initial);
    option(&mut text, "T", touch.map(|exptime| exptime.0));
    option(&mut text, "C", compare);
    option(&mut text, "E", token);
    text
}

fn notation_of_store(store: &Store<'_>) -> String {
    let mut text = format!(
        "{:?} {} {} {} {}",
        store.mode,
        notation_of_key(store.key),
        store.client_flags,
        store.exptime.0,
        store.value.escape_ascii(),
    );
    option(&mut text, "C", store.compare);
    option(&mut text, "E", store.token);
    option(&mut text, "I", store.accepts_older.then_some(()));
    option(&mut text, "N", store.vivifies.then_some(()));
    text
}

fn option(text: &mut String, name: &str, value: Option<impl std::fmt::Debug>) {
    if let Some(value) = value {
        *text += &format!(" {name}{value:?}").replace("()", "");
    }
}

fn notation_of_key(key: Key<'_>) -> String {
    let mut room = KeyRoom::new();
    key.bytes(&mut room).escape_ascii().to_string()
}
