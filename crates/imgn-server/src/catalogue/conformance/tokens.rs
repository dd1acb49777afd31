//! Tokens: how they end, what they are for, and when they were used.

use std::time::Duration;

use super::*;
use crate::catalogue::{Presented, TokenError, database::Sql};

async fn presented(catalogue: &Catalogue, token: &imgn_protocol::Token) -> Presented {
    let fingerprint = crate::auth::fingerprint(token);
    catalogue.caller(&fingerprint).await.unwrap()
}

fn until(expires_at: Timestamp) -> Grant {
    Grant {
        expires_at: Some(expires_at),
        ..Role::Uploader.into()
    }
}

#[tokio::test]
async fn a_token_ends_by_itself_and_its_name_can_have_another() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let later = Timestamp::now() + Duration::from_secs(3600);
        let grant = Grant {
            scopes: "upload".parse().unwrap(),
            ..until(later)
        };
        let bob = catalogue.add_token("bob", grant).await.unwrap();
        assert!(
            matches!(presented(catalogue, &bob).await, Presented::Valid(caller) if !caller.scopes.delete)
        );
        let taken = catalogue.add_token("bob", Role::Admin).await;
        assert!(matches!(taken, Err(TokenError::Exists { .. })), "{taken:?}");
        let owner = async || -> i64 {
            sql("SELECT id FROM tokens WHERE name = 'bob'")
                .scalar(&catalogue.reader)
                .await
                .unwrap()
        };
        let before = owner().await;
        sql("UPDATE tokens SET expires_at = $1 WHERE name = 'bob'")
            .bind(now())
            .execute(&catalogue.writer)
            .await
            .unwrap();
        assert!(matches!(
            presented(catalogue, &bob).await,
            Presented::Expired
        ));
        let again = catalogue.add_token("bob", Role::Admin).await.unwrap();
        assert!(matches!(
            presented(catalogue, &bob).await,
            Presented::Unknown
        ));
        assert!(
            matches!(presented(catalogue, &again).await, Presented::Valid(caller) if caller.role == Role::Admin)
        );
        assert_eq!(owner().await, before, "what was uploaded stays theirs");
        let rows = catalogue.tokens().await.unwrap();
        let bob = rows.iter().find(|row| row.name == "bob").unwrap();
        assert_eq!((bob.expires_at, bob.scopes), (None, Scopes::ALL));
        catalogue.close().await;
    }
}

#[tokio::test]
async fn the_last_use_is_noted_to_the_day_and_once_on_it() {
    for case in cases().await {
        let catalogue = &case.catalogue;
        let bob = catalogue.add_token("bob", Role::Uploader).await.unwrap();
        let used = async || {
            let rows = catalogue.tokens().await.unwrap();
            let bob = rows.into_iter().find(|row| row.name == "bob").unwrap();
            bob.last_used_on
        };
        assert_eq!(used().await, None);
        presented(catalogue, &bob).await;
        let today = used().await.unwrap();
        let age = Timestamp::now().as_second() - today.as_second();
        assert!((0..=24 * 60 * 60).contains(&age), "{age}");
        assert_eq!(today.as_second() % (24 * 60 * 60), 0);
        for (day, expected) in [
            (1_i64, today),
            (1_000_000, timestamp(1_000_000 * 86_400_000).unwrap()),
        ] {
            sql("UPDATE tokens SET last_used_on = $1 WHERE name = 'bob'")
                .bind(day)
                .execute(&catalogue.writer)
                .await
                .unwrap();
            presented(catalogue, &bob).await;
            assert_eq!(
                used().await,
                Some(expected),
                "a later day is not taken back"
            );
        }
        catalogue.close().await;
    }
}

/// Of SQLite, which ends a transaction by itself when the disk is full.
#[tokio::test]
async fn a_full_disk_is_over_once_there_is_room() {
    let case = case_of_sqlite().await;
    let catalogue = &case.catalogue;
    let pages: i64 = sql("PRAGMA page_count")
        .scalar(&catalogue.writer)
        .await
        .unwrap();
    let limit = Sql::built(&format!("PRAGMA max_page_count = {pages}"));
    let _: i64 = limit.scalar(&catalogue.writer).await.unwrap();
    let mut added = 0;
    let full = loop {
        // Long names, so that it does not take many.
        let name = format!("{added}{}", "x".repeat(50));
        match catalogue.add_token(&name, Role::Uploader).await {
            Ok(_) => added += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(full, TokenError::Catalogue(CatalogueError::Full)),
        "{full:?} after {added}"
    );
    // The limit was the connection's, which has gone.
    catalogue.add_token("bob", Role::Uploader).await.unwrap();
}
