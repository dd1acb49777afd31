//! Those who sign in elsewhere: each is one owner, and nobody else.

use super::*;
use crate::catalogue::TokenError;

#[tokio::test]
async fn who_signs_in_is_one_owner_for_ever_and_no_token_is_theirs() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        // As an older server could.
        sql(
            "INSERT INTO tokens (name, role, hash, created_at) VALUES ('oidc:b', 'admin', NULL, 0)",
        )
        .execute(&catalogue.writer)
        .await
        .unwrap();
        let mut coming = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let catalogue = catalogue.clone();
            coming.spawn(async move { catalogue.member("https://i.example", "a").await.unwrap() });
        }
        let came = coming.join_all().await;
        let (owner, name) = came[0].clone();
        assert_eq!(name, "oidc:a");
        assert!(came.iter().all(|one| one.0 == owner), "{came:?}");
        let elsewhere = catalogue.member("https://j.example", "a").await.unwrap();
        assert!(
            elsewhere.0 != owner && elsewhere.1.starts_with("oidc:a#"),
            "{elsewhere:?}"
        );
        let (_, name) = catalogue.member("https://i.example", "b").await.unwrap();
        assert!(name.starts_with("oidc:b#"), "{name}");
        let taken = catalogue.add_token("oidc:a", Role::Admin).await;
        assert!(matches!(taken, Err(TokenError::Member)), "{taken:?}");
        assert_eq!(catalogue.tokens().await.unwrap().len(), 1);
        catalogue.close().await;
    }
}
