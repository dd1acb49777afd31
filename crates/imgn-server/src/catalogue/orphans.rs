//! Which of the objects in the store nobody knows any more.

use super::{
    Catalogue, CatalogueError,
    database::{either, sql},
};

impl Catalogue {
    /// Whether there is any picture. A catalogue that has none is about to be filled, or is not the bucket's.
    pub(crate) async fn has_pictures(&self) -> Result<bool, CatalogueError> {
        sql("SELECT id FROM images LIMIT 1")
            .returns_a_row(&self.reader)
            .await
    }

    /// Those of these ids that are no picture's, no upload's, whatever became of it, and of nothing that is expected.
    pub(crate) async fn unknown(&self, ids: &[&str]) -> Result<Vec<String>, CatalogueError> {
        macro_rules! unknown_of {
            ($ids:literal) => {
                concat!(
                    "SELECT value FROM ",
                    $ids,
                    " WHERE NOT EXISTS (SELECT 1 FROM images WHERE id = value)
                     AND NOT EXISTS (SELECT 1 FROM uploads WHERE image_id = value)
                     AND NOT EXISTS (SELECT 1 FROM uploads WHERE id = value)
                     AND NOT EXISTS (SELECT 1 FROM staged WHERE image_id = value)
                     AND NOT EXISTS (SELECT 1 FROM staged WHERE id = value)"
                )
            };
        }
        let ids = serde_json::Value::from(ids.to_vec()).to_string();
        either(
            unknown_of!("json_each($1)"),
            unknown_of!("jsonb_array_elements_text($1::jsonb) AS ids (value)"),
        )
        .bind(ids)
        .scalars(&self.reader)
        .await
    }
}
