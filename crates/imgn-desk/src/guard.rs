//! What is about to become public, and whether it may: asked of a person in the window, one thing after the other.
//!
//! Invariant: what is asked about is not taken in before somebody says yes, and nothing is taken in where nobody does.

use imgn_core::{Preview, PreviewPicture, PreviewSource};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Names a question, for as long as the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(transparent)]
pub struct QuestionId(pub u32);

/// A question, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Question {
    /// Which.
    pub id: QuestionId,
    /// The gallery's address.
    pub server: String,
    /// How many pictures.
    pub pictures: u32,
    /// Their bytes together.
    pub bytes: u64,
    /// The first of them.
    pub files: Vec<QuestionFile>,
    /// How many say where they were taken, of those that were looked through.
    pub with_location: u32,
    /// Whether all of them were.
    pub all_looked_through: bool,
    /// Whether that is sent with them.
    pub keeps_location: bool,
    /// Whether it is asked before every upload.
    pub always: bool,
}

/// A picture of a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct QuestionFile {
    /// What it is called in the gallery.
    pub name: String,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    /// Whether it says where it was taken.
    pub has_location: bool,
}

/// The question that is open.
#[derive(Default)]
pub(crate) struct Guard {
    last: u32,
    open: Option<Open>,
}

struct Open {
    view: Question,
    sources: Vec<PreviewSource>,
    answer: oneshot::Sender<bool>,
}

/// What is asked beside what is to be uploaded.
pub(crate) struct About {
    pub(crate) server: String,
    pub(crate) keeps_location: bool,
    pub(crate) always: bool,
}

impl Guard {
    /// Asks; whoever waits hears the answer, or that there is none.
    pub(crate) fn ask(
        &mut self,
        preview: Preview,
        about: About,
    ) -> (QuestionId, oneshot::Receiver<bool>) {
        self.last = self.last.wrapping_add(1);
        let id = QuestionId(self.last);
        let file = |picture: &PreviewPicture| QuestionFile {
            name: picture.name.to_string(),
            size: picture.size,
            has_location: picture.has_location,
        };
        let view = Question {
            id,
            server: about.server,
            pictures: preview.pictures,
            bytes: preview.bytes,
            files: preview.shown.iter().map(file).collect(),
            with_location: preview.with_location,
            all_looked_through: preview.all_looked_through,
            keeps_location: about.keeps_location,
            always: about.always,
        };
        let (answer, answered) = oneshot::channel();
        let sources = preview.shown.into_iter().map(|picture| picture.source);
        self.open = Some(Open {
            view,
            sources: sources.collect(),
            answer,
        });
        (id, answered)
    }

    /// What is asked now.
    pub(crate) fn view(&self) -> Option<Question> {
        self.open.as_ref().map(|open| open.view.clone())
    }

    /// A picture of a question that is open.
    pub(crate) fn source(&self, id: QuestionId, index: usize) -> Option<PreviewSource> {
        let open = self.open.as_ref().filter(|open| open.view.id == id)?;
        open.sources.get(index).cloned()
    }

    /// Takes the question back with what it was about; none where it is another one's turn.
    pub(crate) fn take(&mut self, id: QuestionId) -> Option<Question> {
        self.open
            .take_if(|open| open.view.id == id)
            .map(|open| open.view)
    }

    /// Tells who waits. Answers what it was about; none where it is another one's turn.
    pub(crate) fn answer(&mut self, id: QuestionId, may_publish: bool) -> Option<Question> {
        let open = self.open.take_if(|open| open.view.id == id)?;
        // Who waited may have given up.
        let _ = open.answer.send(may_publish);
        Some(open.view)
    }

    /// The gallery is another one: what was asked is no question any more.
    pub(crate) fn withdraw(&mut self) -> bool {
        self.open.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        About {
            server: "https://gallery.example/".to_owned(),
            keeps_location: false,
            always: false,
        }
    }

    #[tokio::test]
    async fn each_question_has_one_answer_and_silence_is_a_no() {
        let mut guard = Guard::default();
        let (first, heard) = guard.ask(Preview::default(), about());
        assert_eq!(guard.view().map(|view| view.id), Some(first));
        assert!(guard.answer(first, true).is_some());
        assert_eq!(heard.await, Ok(true));
        assert!(guard.answer(first, true).is_none(), "once");

        let (second, heard) = guard.ask(Preview::default(), about());
        assert_ne!(first, second);
        assert!(guard.answer(first, true).is_none(), "of another question");
        assert!(guard.withdraw());
        assert!(heard.await.is_err());
        assert_eq!(guard.view(), None);
    }
}
