//! The desk with a shell that only remembers what it was told, on a profile of its own and with no gallery.

use std::{fs, net::TcpListener, time::Duration};

use imgn_core::{Home, Options, UploadPreferences, UploadState, protocol::UploadId};
use imgn_server::{Config, Role, Server};
use imgn_testkit::{pictures, process::eventually};
use tempfile::TempDir;

use super::*;
use crate::{DesktopPreferences, testing};

/// No upload to a server of this process takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Shell {
    told: Mutex<Vec<News>>,
    copied: Mutex<Vec<String>>,
    /// Why nothing can be copied.
    broken: Option<String>,
}

impl Host for Shell {
    fn copy(&self, text: String) -> Result<(), String> {
        match &self.broken {
            Some(reason) => Err(reason.clone()),
            None => {
                locked(&self.copied).push(text);
                Ok(())
            }
        }
    }

    fn tell(&self, news: News) {
        locked(&self.told).push(news);
    }

    fn act(&self, _action: TrayAction) {}
}

async fn desk(shell: Shell) -> (TempDir, Desk, Arc<Shell>) {
    desk_at(Options::default(), shell).await
}

async fn desk_at(gallery: Options, shell: Shell) -> (TempDir, Desk, Arc<Shell>) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(folder.path().to_owned())).unwrap();
    let core = App::open(home, gallery).await.unwrap();
    // Whoever runs the tests is shown nothing.
    let quiet = core.keep_desktop_settings(|settings| settings.notify = false);
    quiet.await.unwrap();
    let shell = Arc::new(shell);
    let desk = Desk::new(core, Arc::clone(&shell) as Arc<dyn Host>).await;
    (folder, desk, shell)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn is_taken(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_err()
}

#[tokio::test]
async fn a_choice_is_made_whole_or_not_at_all() {
    let (folder, desk, _) = desk(Shell::default()).await;
    let before = desk.preferences();
    let port = free_port();
    let editors = DesktopPreferences {
        editors: true,
        editors_port: port,
        ..before.clone()
    };

    // The editors' port is free, and the key is none.
    let wrong = DesktopPreferences {
        hotkey: "U".to_owned(),
        ..editors.clone()
    };
    let error = desk.choose(wrong).await.unwrap_err();
    assert!(error.message.contains("hold more with it"), "{error}");
    assert!(!is_taken(port));
    assert_eq!(desk.preferences(), before);

    // All can be done, and nothing be kept.
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, "not = [settings").unwrap();
    desk.choose(editors.clone()).await.unwrap_err();
    assert!(!is_taken(port));
    assert_eq!(desk.preferences(), before);
    fs::write(&settings, "[desktop]\nnotify = false\n").unwrap();

    desk.choose(editors.clone()).await.unwrap();
    assert!(is_taken(port));
    let chosen = desk.preferences();
    assert!(
        chosen
            .editors_key
            .as_ref()
            .is_some_and(|key| key.len() == 64)
    );

    // Another port, which another program has: the one of before is still served.
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let moved = DesktopPreferences {
        editors_port: theirs.local_addr().unwrap().port(),
        ..chosen.clone()
    };
    desk.choose(moved).await.unwrap_err();
    assert!(is_taken(port));
    assert_eq!(desk.preferences(), chosen);
    assert!(
        fs::read_to_string(&settings)
            .unwrap()
            .contains(&port.to_string())
    );

    desk.choose(DesktopPreferences {
        editors: false,
        ..chosen
    })
    .await
    .unwrap();
    assert!(!is_taken(port));
}

#[tokio::test]
async fn a_blank_key_of_the_file_is_replaced_at_the_start() {
    let (folder, desk, shell) = desk(Shell::default()).await;
    let port = free_port();
    desk.0
        .core
        .keep_desktop_settings(move |settings| {
            settings.editors = true;
            settings.editors_port = port;
            settings.editors_key = Some(" ".to_owned());
        })
        .await
        .unwrap();
    let again = Desk::new(desk.0.core.clone(), shell).await;
    again.begin().await;
    let key = again.preferences().editors_key.unwrap();
    assert_eq!(key.len(), 64);
    let kept = fs::read_to_string(folder.path().join("settings.toml")).unwrap();
    assert!(kept.contains(&key));
    again.end().await;
    assert!(!is_taken(port));
}

#[tokio::test]
async fn what_does_not_work_at_the_start_is_told_for_as_long_as_it_is_chosen() {
    let (_folder, desk, shell) = desk(Shell::default()).await;
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = theirs.local_addr().unwrap().port();
    desk.0
        .core
        .keep_desktop_settings(move |settings| {
            settings.editors = true;
            settings.editors_port = port;
            settings.hotkey = "Hyper+U".to_owned();
        })
        .await
        .unwrap();
    let again = Desk::new(desk.0.core.clone(), Arc::clone(&shell) as Arc<dyn Host>).await;
    again.begin().await;
    let shown = again.preferences();
    assert!(shown.hotkey_problem.as_ref().unwrap().contains("Hyper+U"));
    assert!(shown.editors_problem.as_ref().unwrap().contains("PicGo"));
    assert_eq!(locked(&shell.told).len(), 2);
    let none = DesktopPreferences {
        editors: false,
        hotkey: String::new(),
        ..shown
    };
    again.choose(none).await.unwrap();
    let shown = again.preferences();
    assert_eq!((shown.hotkey_problem, shown.editors_problem), (None, None));
}

fn ended(desk: &Desk, origin: Origin) -> Ended {
    let upload = testing::view(UploadId::new(), UploadState::Published);
    let mut batches = locked(&desk.0.batches);
    let batch = Batch::new(origin);
    batches.begin(batch);
    batches.add(batch, [upload.id.parse().unwrap()]);
    batches.close(batch, &[upload]).remove(0)
}

#[tokio::test]
async fn links_are_copied_for_people_and_what_was_not_copied_is_told() {
    let (_folder, well, shell) = desk(Shell::default()).await;
    well.tell(ended(&well, Origin::Program)).await;
    assert!(
        locked(&shell.copied).is_empty(),
        "the program has it itself"
    );
    well.tell(ended(&well, Origin::Person)).await;
    assert_eq!(locked(&shell.copied).len(), 1);
    assert_eq!(*locked(&shell.told), [News::LinksCopied(1)]);

    let broken = Shell {
        broken: Some("no display".to_owned()),
        ..Shell::default()
    };
    let (_folder, desk, shell) = desk(broken).await;
    desk.tell(ended(&desk, Origin::Person)).await;
    while locked(&shell.told).is_empty() {
        tokio::task::yield_now().await;
    }
    let expected = News::Failed("The link could not be copied (no display).".to_owned());
    assert_eq!(*locked(&shell.told), [expected]);
}

#[tokio::test]
async fn what_is_tried_again_before_its_end_was_heard_of_ends_with_its_link() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(Config::embedded(data.path())).await.unwrap();
    let gallery = Options {
        server: Some(server.url().to_string()),
        token: Some(server.add_token("ada", Role::Uploader).await.unwrap()),
        ..Options::default()
    };
    let (folder, desk, shell) = desk_at(gallery, Shell::default()).await;
    let core = &desk.0.core;
    let preferences = UploadPreferences {
        keep_location: false,
        jobs: Some(1),
        bytes_per_second: Some(100_000),
    };
    core.set_upload_preferences(preferences).await.unwrap();
    let picture = folder.path().join("again.png");
    fs::write(&picture, pictures::sized_png(3_000_000, 4)).unwrap();

    // Whoever hears of uploads has not had a turn: the act that took it in still waits for it.
    desk.take_files(vec![picture]).await.unwrap();
    let id: UploadId = core.uploads().await[0].id.parse().unwrap();
    core.cancel(id).await.unwrap();
    let then = core.uploads_of(&[id]).await;
    assert_eq!(then[0].state, UploadState::Cancelled);
    desk.retry(id).await.unwrap();
    // And hears only now of what was before.
    desk.hear_of(then).await;
    let preferences = UploadPreferences {
        bytes_per_second: None,
        ..preferences
    };
    core.set_upload_preferences(preferences).await.unwrap();
    tokio::spawn(desk.clone().run());
    let copied = async || Ok(locked(&shell.copied).first().cloned());
    let link = eventually("its link is copied", PATIENCE, copied).await;
    assert!(link.unwrap().starts_with("![again.png]("));
    server.shutdown().await;
}

#[tokio::test]
async fn an_intake_of_nothing_is_told() {
    let (_folder, desk, shell) = desk(Shell::default()).await;
    desk.tell_intake(&Intake {
        pictures: 1,
        other_files: 3,
        ..Intake::default()
    });
    // There are pictures; what was left alone is no failure.
    assert!(locked(&shell.told).is_empty());
    desk.tell_intake(&Intake {
        other_files: 3,
        ..Intake::default()
    });
    assert!(
        matches!(&locked(&shell.told)[..], [News::Failed(text)] if text.contains("no picture"))
    );
}
