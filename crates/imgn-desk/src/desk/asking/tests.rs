//! A gallery that others could reach, and that does not answer: what is taken in for it waits in the journal.

use std::{path::PathBuf, sync::Arc, time::Duration};

use imgn_core::{App, Home, Intake, Options, protocol::Token};
use tempfile::TempDir;

use super::*;
use crate::{Host, tray::TrayAction};

const GALLERY: &str = "https://gallery.invalid/";

struct Silent;

impl Host for Silent {
    fn copy(&self, _text: String) -> Result<(), String> {
        Ok(())
    }

    fn tell(&self, _news: News) {}

    fn act(&self, _action: TrayAction) {}
}

struct Setting {
    folder: TempDir,
    core: App,
    desk: Desk,
}

impl Setting {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        let options = Options {
            server: Some(GALLERY.to_owned()),
            token: Some(Token::new("imgn_token")),
            ..Options::default()
        };
        let core = App::open(home, options).await.unwrap();
        let desk = Desk::new(core.clone(), Arc::new(Silent)).await;
        Self { folder, core, desk }
    }

    fn picture(&self, name: &str) -> PathBuf {
        const ICON: &[u8] = include_bytes!("../../../../../icons/32x32.png");
        let path = self.folder.path().join(name);
        std::fs::write(&path, ICON).unwrap();
        path
    }

    fn take(&self, path: PathBuf) -> tokio::task::JoinHandle<Result<Intake, CommandError>> {
        let desk = self.desk.clone();
        tokio::spawn(async move { desk.take_files(vec![path]).await })
    }

    async fn question(&self) -> Question {
        loop {
            if let Some(question) = self.desk.asked() {
                return question;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn what_is_asked_about_is_taken_in_after_a_yes_and_asked_about_once() {
    let setting = Setting::new().await;
    let taking = setting.take(setting.picture("a.png"));
    let question = setting.question().await;
    assert_eq!((question.server.as_str(), question.pictures), (GALLERY, 1));
    assert!(!question.keeps_location && question.with_location == 0);
    assert!(setting.desk.asked_thumb(question.id, 0).await.is_some());
    assert!(setting.desk.asked_thumb(question.id, 1).await.is_none());
    assert!(setting.core.uploads().await.is_empty(), "nothing yet");
    setting.desk.answer(question.id, false).await.unwrap();
    let taken = taking.await.unwrap().unwrap();
    assert!(taken.withheld && !taken.is_nothing() && taken.pictures == 0);
    assert!(setting.core.uploads().await.is_empty());

    // Two at a time: the second is not asked about any more.
    let taking =
        [setting.picture("b.png"), setting.picture("c.png")].map(|path| setting.take(path));
    let question = setting.question().await;
    assert!(setting.desk.asked_thumb(question.id, 0).await.is_some());
    setting.desk.answer(question.id, true).await.unwrap();
    for taking in taking {
        assert_eq!(taking.await.unwrap().unwrap().pictures, 1);
    }
    assert_eq!(setting.core.uploads().await.len(), 2);
    assert_eq!(setting.desk.asked(), None);
}

#[tokio::test]
async fn who_gives_up_takes_the_question_along() {
    let setting = Setting::new().await;
    let taking = setting.take(setting.picture("a.png"));
    let question = setting.question().await;
    taking.abort();
    assert!(taking.await.unwrap_err().is_cancelled());
    assert_eq!(setting.desk.asked(), None);
    // An answer to what is no question any more publishes nothing, and confirms nothing.
    setting.desk.answer(question.id, true).await.unwrap();
    let gallery = setting.core.gallery().await.unwrap();
    assert!(setting.core.must_ask(&gallery).await);
    assert!(setting.core.uploads().await.is_empty());
}

#[tokio::test]
async fn what_is_no_picture_is_refused_without_a_question() {
    let setting = Setting::new().await;
    let path = setting.folder.path().join("notes.txt");
    std::fs::write(&path, b"no picture").unwrap();
    let taken = setting.take(path).await.unwrap().unwrap();
    assert_eq!((taken.pictures, taken.refused), (0, 1));
}
