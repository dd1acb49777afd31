//! The desk with a shell that only remembers what it was told, on a profile of its own and with no gallery.

use std::{fs, net::TcpListener};

use imgn_core::{Home, Options, UploadState, protocol::UploadId};
use tempfile::TempDir;

use super::*;
use crate::{DesktopPreferences, testing};

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
    let folder = tempfile::tempdir().unwrap();
    let home = Home::locate(Some(folder.path().to_owned())).unwrap();
    let core = App::open(home, Options::default()).await.unwrap();
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
    assert!(error.message.contains("add Ctrl"), "{error}");
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
async fn an_intake_of_nothing_is_told() {
    let (_folder, desk, shell) = desk(Shell::default()).await;
    desk.tell_intake(&Intake {
        pictures: 1,
        other_files: 3,
        ..Intake::default()
    });
    assert!(locked(&shell.told).is_empty());
    desk.tell_intake(&Intake {
        other_files: 3,
        ..Intake::default()
    });
    assert!(
        matches!(&locked(&shell.told)[..], [News::Failed(text)] if text.contains("no picture"))
    );
}
