//! New values into the text of a settings file, with everything else in it as it was.

use toml_edit::{DocumentMut, Item, Table, Value};

use super::Settings;

/// What stands at the top of a file that imgn makes.
const HEAD: &str = "# imgn's settings. docs/SETTINGS.md tells of every key; what imgn does not know stays as it is.\n\n";

/// The text with these settings in it. A text that is none is replaced.
pub(super) fn into(text: &str, settings: &Settings) -> Result<String, toml_edit::ser::Error> {
    let new = toml_edit::ser::to_document(settings)?;
    let old: Settings = toml::from_str(text).unwrap_or_default();
    let old = toml_edit::ser::to_document(&old)?;
    let document = text.parse::<DocumentMut>();
    let (head, mut document) = match document {
        Ok(document) if !text.trim().is_empty() => ("", document),
        _ => (HEAD, DocumentMut::new()),
    };
    merge(document.as_table_mut(), new.as_table(), old.as_table());
    Ok(format!("{head}{document}"))
}

fn merge(into: &mut Table, new: &Table, old: &Table) {
    // Only what this version would have written is taken away.
    for (key, _) in old.iter().filter(|(key, _)| !new.contains_key(key)) {
        into.remove(key);
    }
    for (key, item) in new {
        let nested = Table::new();
        match (into.get_mut(key), as_table(item)) {
            (Some(Item::Table(there)), Some(table)) => {
                let old = old.get(key).and_then(as_table).unwrap_or(nested);
                merge(there, &table, &old);
            }
            (Some(there), _) if same(there, item) => {}
            (Some(Item::Value(there)), None) if item.is_value() => {
                let decor = there.decor().clone();
                if let Some(value) = item.as_value() {
                    *there = value.clone();
                    *there.decor_mut() = decor;
                }
            }
            _ => {
                into.insert(key, block(item));
            }
        }
    }
}

fn as_table(item: &Item) -> Option<Table> {
    match item {
        Item::Table(table) => Some(table.clone()),
        Item::Value(Value::InlineTable(table)) => Some(table.clone().into_table()),
        _ => None,
    }
}

/// As people write it: a table under its heading, several under one each.
fn block(item: &Item) -> Item {
    if let Some(table) = as_table(item) {
        return Item::Table(table);
    }
    match item.clone().into_array_of_tables() {
        Ok(tables) => Item::ArrayOfTables(tables),
        Err(other) => other,
    }
}

fn same(one: &Item, other: &Item) -> bool {
    plain(one) == plain(other)
}

/// The value alone, however it is written.
fn plain(item: &Item) -> Option<toml::Value> {
    let mut document = DocumentMut::new();
    document.insert("value", item.clone());
    let table: toml::Table = toml::from_str(&document.to_string()).ok()?;
    table.get("value").cloned()
}
