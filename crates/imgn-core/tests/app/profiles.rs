//! Several galleries, what was chosen for the app, the history, the doctor, and what is asked before pictures become
//! public.

use axum::http::StatusCode;
use imgn_core::{
    App, Ask, Batch, ClientCode, Finding, Folders, GeneralPreferences, Language, Options, Origin,
    PreviewSource, Subject, Theme, UploadState, Verdict,
};
use imgn_protocol::Token;

use crate::gallery::{PNG, Shared, TOKEN, ended, file, home, serve, take, with_token};

fn general(proxy: &str, ask: Ask) -> GeneralPreferences {
    GeneralPreferences {
        theme: Theme::Dark,
        language: Language::German,
        proxy: proxy.to_owned(),
        ask,
    }
}

#[tokio::test]
async fn a_server_that_is_asked_by_https_and_has_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    let asked = url.replace("http://", "https://");
    let error = app.connect(&asked, None).await.unwrap_err();
    assert!(
        error.message.contains("begin its address with http://"),
        "{error:?}"
    );
}

#[tokio::test]
async fn galleries_are_known_shown_named_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (
        serve(&Shared::default()).await,
        serve(&Shared::default()).await,
    );
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&first, None).await.unwrap();
    app.connect(&second, None).await.unwrap();
    let known = |galleries: Vec<imgn_core::GalleryView>| -> Vec<(String, bool)> {
        galleries
            .into_iter()
            .map(|it| (it.url, it.is_current))
            .collect()
    };
    assert_eq!(
        known(app.galleries().await),
        [(first.clone(), false), (second.clone(), true)]
    );

    let state = app.switch_gallery(&first).await.unwrap();
    assert_eq!(state.server.unwrap().url, first);
    app.name_gallery(&first, " Home ").await.unwrap();
    assert_eq!(app.state().await.server.unwrap().name, "Home");
    let long = "x".repeat(61);
    assert_eq!(
        app.name_gallery(&first, &long).await.unwrap_err().code,
        ClientCode::InvalidInput.into()
    );
    // What is shown is left otherwise; what is not known is none.
    assert_eq!(
        app.forget_gallery(&first).await.unwrap_err().code,
        ClientCode::InvalidInput.into()
    );
    assert_eq!(
        app.switch_gallery("http://127.0.0.1:1")
            .await
            .unwrap_err()
            .code,
        ClientCode::InvalidServer.into()
    );
    app.quit().await;

    // At the next start it is the same, and another program may have left one meanwhile.
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    assert_eq!(app.state().await.server.unwrap().name, "Home");
    app.forget_gallery(&second).await.unwrap();
    assert_eq!(known(app.galleries().await), [(first, true)]);
    assert_eq!(app.disconnect().await.unwrap().server, None);
    assert!(app.galleries().await.is_empty());
}

#[tokio::test]
async fn the_history_shows_pictures_of_galleries_that_are_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let first = Shared::default();
    let (url, second) = (serve(&first).await, serve(&Shared::default()).await);
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    ended(&app).await;
    app.connect(&second, None).await.unwrap();
    first.lock().unwrap().refuses_tokens = true;
    let entry = app.history("", None, 1).await.unwrap().remove(0);
    assert!(!entry.is_current);
    let id = entry.image.id;
    let shown = app.thumb(id, 1280).await.unwrap();
    assert_eq!(shown, format!("a thumbnail of {id}").into_bytes());
    // What was never uploaded from here is nowhere else.
    let unknown = app.thumb(imgn_protocol::ImageId::new(), 1280).await;
    assert_eq!(
        unknown.unwrap_err().code,
        imgn_protocol::ErrorCode::NotFound.into()
    );
}

#[tokio::test]
async fn a_token_for_now_is_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), Options::default())
        .await
        .unwrap();
    let state = app.connect_for_now(&url, Token::new(TOKEN)).await.unwrap();
    let server = state.server.unwrap();
    assert!(server.signed_in && server.token_for_now);
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    assert_eq!(ended(&app).await[0].state, UploadState::Published);
    app.quit().await;
    let files = imgn_testkit::process::files_below(app.home().path()).unwrap();
    assert!(!files.is_empty());
    for (path, _) in files {
        let bytes = std::fs::read(&path).unwrap();
        let has_token = bytes.windows(TOKEN.len()).any(|it| it == TOKEN.as_bytes());
        assert!(!has_token, "{}", path.display());
    }
    let app = App::open(home(folder.path()), Options::default())
        .await
        .unwrap();
    assert!(!app.state().await.server.unwrap().signed_in, "it is gone");
}

#[tokio::test]
async fn what_was_uploaded_is_remembered_although_the_journal_forgets_it() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    let trip = folder.path().join("Trip to Malmö");
    std::fs::create_dir(&trip).unwrap();
    let first = file(&trip, "a.png", PNG);
    let second = file(folder.path(), "b.png", &[PNG, b"x"].concat());
    take(&app, vec![first.clone()]).await;
    ended(&app).await;
    take(&app, vec![second]).await;
    ended(&app).await;
    app.clear_finished(None).await.unwrap();
    // The file is not needed for it.
    std::fs::remove_file(&first).unwrap();
    app.quit().await;

    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    assert!(app.uploads().await.is_empty());
    let names = async |search: &str| -> Vec<String> {
        let entries = app.history(search, None, 100).await.unwrap();
        entries
            .iter()
            .map(|it| it.image.file_name.to_string())
            .collect()
    };
    assert_eq!(names("").await, ["b.png", "a.png"]);
    assert_eq!(
        names("MALMO").await,
        ["a.png"],
        "by its folder, whatever the accents"
    );
    assert!(names("nothing%").await.is_empty());
    let newest = app.history("", None, 1).await.unwrap();
    assert!(newest[0].is_current && !newest[0].is_gone);
    let rest = app.history("", Some(newest[0].upload), 1).await.unwrap();
    assert_eq!(rest[0].image.file_name.as_str(), "a.png");
    let with_paths = app.history_with_paths("malmö", None, 1).await.unwrap();
    assert_eq!(with_paths[0].1, first.display().to_string());
    let link = app.history_link(rest[0].image.id).await.unwrap();
    assert_eq!(link, format!("![a.png]({})", rest[0].image.url));

    // The same picture again is the newest again, and there once.
    let again = file(folder.path(), "c.png", PNG);
    take(&app, vec![again]).await;
    assert_eq!(ended(&app).await[0].state, UploadState::Duplicate);
    assert_eq!(names("").await, ["a.png", "b.png"]);

    // What is forgotten does not come back from the journal.
    let duplicate = app.history("", None, 1).await.unwrap()[0].upload;
    app.forget_history(Some(&[duplicate])).await.unwrap();
    assert_eq!(names("").await, ["b.png"]);
    app.quit().await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    assert_eq!(app.history("", None, 100).await.unwrap().len(), 1);
    app.forget_history(None).await.unwrap();
    assert!(app.history("", None, 100).await.unwrap().is_empty());
    assert_eq!(
        app.history("", None, 501).await.unwrap_err().code,
        ClientCode::InvalidInput.into()
    );
}

#[tokio::test]
async fn a_damaged_history_begins_anew_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let profile = home(folder.path());
    std::fs::write(
        profile.history(),
        b"no database at all, and longer than its header is",
    )
    .unwrap();
    let app = App::open(profile, with_token()).await.unwrap();
    app.connect(&url, None).await.unwrap();
    take(&app, vec![file(folder.path(), "a.png", PNG)]).await;
    assert_eq!(ended(&app).await[0].state, UploadState::Published);
    assert_eq!(app.history("", None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn another_proxy_is_asked_from_the_next_request_on() {
    // A proxy that knows no gallery: what it answers shows that it was asked.
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&asked);
    let proxy = axum::Router::new().fallback(move || {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { StatusCode::IM_A_TEAPOT }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, proxy).await });

    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        // Of no computer: RFC 2606.
        server: Some("http://gallery.invalid".to_owned()),
        ..with_token()
    };
    let app = App::open(home(folder.path()), options).await.unwrap();
    app.set_general_preferences(general(&address, Ask::First))
        .await
        .unwrap();
    app.check().await.unwrap_err();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    app.set_general_preferences(general("none", Ask::First))
        .await
        .unwrap();
    app.check().await.unwrap_err();
    assert_eq!(
        asked.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "not asked any more"
    );

    let refused = app
        .set_general_preferences(general("ftp://a", Ask::First))
        .await
        .unwrap_err();
    assert_eq!(refused.code, ClientCode::InvalidInput.into());
    let kept = app.general_preferences().await;
    assert_eq!(
        (kept.proxy.as_str(), kept.theme, kept.language),
        ("none", Theme::Dark, Language::German)
    );
}

#[tokio::test]
async fn what_others_cannot_reach_is_not_asked_about_unless_always() {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shared::default()).await;
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    assert!(app.gallery().await.is_err(), "there is nowhere to publish");
    app.connect(&url, None).await.unwrap();
    let gallery = app.gallery().await.unwrap();
    assert!(
        !app.must_ask(&gallery).await,
        "only this computer reaches it"
    );
    app.set_general_preferences(general("none", Ask::Always))
        .await
        .unwrap();
    assert!(app.must_ask(&gallery).await);
    app.confirm_gallery(&url).await.unwrap();
    assert!(app.must_ask(&gallery).await);
    app.quit().await;

    let public = Options {
        server: Some("https://gallery.invalid/".to_owned()),
        ..with_token()
    };
    let app = App::open(home(folder.path()), public.clone())
        .await
        .unwrap();
    app.set_general_preferences(general("none", Ask::First))
        .await
        .unwrap();
    let gallery = app.gallery().await.unwrap();
    assert!(app.must_ask(&gallery).await);
    app.confirm_gallery("https://gallery.invalid/")
        .await
        .unwrap();
    assert!(!app.must_ask(&gallery).await);
    app.quit().await;
    let app = App::open(home(folder.path()), public).await.unwrap();
    assert!(!app.must_ask(&gallery).await, "it was said once");
    app.set_general_preferences(general("none", Ask::Never))
        .await
        .unwrap();
    assert!(!app.must_ask(&gallery).await);
}

#[tokio::test]
async fn a_preview_tells_what_would_be_uploaded_and_uploads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(home(&folder.path().join("home")), with_token())
        .await
        .unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    let jpeg = imgn_testkit::pictures::jpeg(60, 40);
    file(&pictures, "a.jpg", &jpeg);
    file(&pictures, "notes.txt", b"no picture");
    let preview = app.preview(vec![pictures]).await.unwrap();
    assert_eq!((preview.pictures, preview.bytes), (1, jpeg.len() as u64));
    assert_eq!(preview.shown[0].name.as_str(), "a.jpg");
    assert!(preview.all_looked_through && preview.with_location == 0);
    let thumb = app
        .preview_thumb(preview.shown[0].source.clone(), 32)
        .await
        .unwrap();
    assert!(thumb.starts_with(&[0xff, 0xd8]), "a JPEG");

    let copied = vec![("Pasted".to_owned(), jpeg.clone())];
    assert_eq!(
        app.preview_copied(copied).await.unwrap().bytes,
        jpeg.len() as u64
    );
    let broken = PreviewSource::Bytes(b"no picture".to_vec());
    assert_eq!(
        app.preview_thumb(broken, 32).await.unwrap_err().code,
        ClientCode::InvalidInput.into()
    );
}

#[tokio::test]
async fn the_doctor_says_what_is_wrong_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    let finding = async |app: &App, subject: Subject| {
        let checks = app.examine().await;
        checks.into_iter().find(|it| it.subject == subject).unwrap()
    };
    assert_eq!(
        finding(&app, Subject::Server).await.finding,
        Finding::NoGallery
    );
    let url = serve(&Shared::default()).await;
    app.connect(&url, None).await.unwrap();
    assert_eq!(
        finding(&app, Subject::Server).await.finding,
        Finding::ServerAnswers
    );
    assert_eq!(
        finding(&app, Subject::Clock).await.finding,
        Finding::ClockRight
    );
    assert_eq!(
        finding(&app, Subject::Keyring).await.finding,
        Finding::KeyringNotAsked
    );
    assert_eq!(finding(&app, Subject::Disk).await.verdict, Verdict::Good);

    for (server, token, expected) in [
        (url.as_str(), "imgn_wrong", Finding::TokenRefused),
        ("http://127.0.0.1:1", TOKEN, Finding::ServerUnreachable),
    ] {
        let options = Options {
            server: Some(server.to_owned()),
            token: Some(Token::new(token)),
            ..Options::default()
        };
        let app = App::open(home(folder.path()), options).await.unwrap();
        let check = finding(&app, Subject::Server).await;
        assert_eq!(check.finding, expected, "{}", check.message);
        assert!(!check.message.contains(token), "{}", check.message);
    }
}

#[tokio::test]
async fn what_was_meant_for_a_gallery_goes_to_no_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Shared::default(), Shared::default());
    let urls = [serve(&one).await, serve(&two).await];
    let app = App::open(home(folder.path()), with_token()).await.unwrap();
    app.connect(&urls[0], None).await.unwrap();
    let meant = app.gallery().await.unwrap();
    app.connect(&urls[1], None).await.unwrap();
    let act = Batch::new(Origin::Person);
    let path = file(folder.path(), "a.png", PNG);
    let files = app.enqueue(&meant, vec![path], Folders::Refused, act, |_| {});
    let picture = app.enqueue_stream(&meant, PNG, "pasted", act);
    for refused in [files.await.unwrap_err(), picture.await.unwrap_err()] {
        assert_eq!(refused.code, ClientCode::GalleryChanged.into(), "{refused}");
    }
    assert!(app.uploads().await.is_empty());
    // It is shown again, by another connection.
    app.connect(&urls[0], None).await.unwrap();
    app.enqueue_stream(&meant, PNG, "pasted", act)
        .await
        .unwrap();
    assert_eq!(ended(&app).await.len(), 1);
    app.quit().await;
}
