//! Items, one by one: `lru_crawler metadump` and `mgdump`, and `stats cachedump`.
//!
//! A list is written in steps, each under a guard of its own; where it goes on is a cursor of
//! SCAN. So an item that is there all the while is listed, one that comes or goes may be, and
//! nobody waits for more than a step.

use store::Entry;

use super::Call;
use super::text::Text;
use crate::protocol::memcached::{KEY_BYTES_MAX, List, ListForm, Listed, Writer, overhead_bytes};

/// Items of a step, if they are cheap: as KEYS.
const ITEMS_PER_STEP: usize = 1_000;
/// Items between two looks at how much was done.
const ITEMS_PER_LOOK: usize = 16;
/// So many bytes of a document are as much work as an item: they are printed to be counted.
const BYTES_PER_ITEM: usize = 64;

impl Call<'_> {
    /// Writes some of a list; what is left of it.
    pub(super) fn list(&self, list: List, reply: &mut Writer<'_, '_>) -> Option<List> {
        if list.cursor.is_none() {
            reply.list_begins(list.form);
        }
        let (mut cursor, mut work) = (list.cursor.unwrap_or(0), 0);
        let mut items_left = list.items_left;
        let mut is_whole = !list.has_items;
        while !is_whole {
            if work >= ITEMS_PER_STEP {
                return Some(List {
                    cursor: Some(cursor),
                    items_left,
                    ..list
                });
            }
            cursor = self.db.scan(cursor, ITEMS_PER_LOOK, |entry| {
                work += 1;
                if items_left > 0
                    && let Some(text) = self.text_of(entry)
                {
                    work += match text {
                        Text::String(_) => 0,
                        Text::Document(..) => text.len() / BYTES_PER_ITEM,
                    };
                    items_left -= u64::from(self.list_item(list.form, (entry, text), reply));
                }
            });
            is_whole = cursor == 0 || items_left == 0;
        }
        reply.list_ends(list.form);
        None
    }

    /// Writes an item, unless its key is none that a client of Memcached can ask for, or none that
    /// the list can name; whether it did.
    fn list_item(
        &self,
        form: ListForm,
        (entry, text): (Entry<'_>, Text<'_>),
        reply: &mut Writer<'_, '_>,
    ) -> bool {
        let key = entry.key();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return false;
        }
        let now_ms = self.db.now_ms();
        let item = Listed {
            key,
            expires_at_s: entry.expires_at_ms().map(|at_ms| at_ms / 1000),
            used_at_s: now_ms.saturating_sub(entry.idle_ms(now_ms)) / 1000,
            token: entry.token(),
            was_fetched: entry.was_fetched(),
            size_bytes: key.len() + text.len() + overhead_bytes(entry.client_flags()),
            client_flags: entry.client_flags(),
            value_bytes: text.len(),
        };
        reply.listed(form, &item)
    }
}
