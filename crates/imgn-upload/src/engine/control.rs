//! What the owner of uploads wants of them: hold back, go on, take back, try again, go sooner.
//!
//! Invariant: a wish is written down when it is answered, and steps an upload only while nobody else does.

use std::sync::Arc;

use imgn_protocol::UploadId;
use tokio::sync::oneshot;

use super::{
    Engine, Inner, STRIDE,
    known::{Upload, Wish},
};
use crate::{
    JournalError, State,
    machine::{Event, step},
};

impl Engine {
    /// Takes an upload back: on the server too, if it was opened there. Answers whether there is such an upload, and
    /// no other program drives it. So do all that follow; what is wished is written down when they answer.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub async fn cancel(&self, id: UploadId) -> Result<bool, JournalError> {
        self.0.wish_one(id, Event::Cancel).await
    }

    /// Tries again what failed, was rejected or cancelled, and looks at once for what an upload waits for.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn retry(&self, id: UploadId) -> Result<bool, JournalError> {
        self.0.wish_one(id, Event::Retry).await
    }

    /// Holds an upload back until [`Engine::resume`], also over the end of this program. Requests under way are given
    /// up; what the store has stays there.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn pause(&self, id: UploadId) -> Result<bool, JournalError> {
        self.0.wish_one(id, Event::Pause).await
    }

    /// Lets a paused upload go on.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn resume(&self, id: UploadId) -> Result<bool, JournalError> {
        self.0.wish_one(id, Event::Resume).await
    }

    /// Takes back all that has not ended. Answers how many uploads were asked; so do all that follow.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn cancel_all(&self) -> Result<usize, JournalError> {
        let ids = self.0.ids(|state| !state.has_ended());
        self.0.wish(&ids, &Event::Cancel).await
    }

    /// Holds back all that has not ended.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn pause_all(&self) -> Result<usize, JournalError> {
        let ids = self.0.ids(State::is_active);
        self.0.wish(&ids, &Event::Pause).await
    }

    /// Lets all go on that is paused.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn resume_all(&self) -> Result<usize, JournalError> {
        let ids = self.0.ids(|state| matches!(state, State::Paused { .. }));
        self.0.wish(&ids, &Event::Resume).await
    }

    /// Tries all again that failed.
    ///
    /// # Errors
    /// As [`Engine::cancel`].
    pub async fn retry_all_failed(&self) -> Result<usize, JournalError> {
        let ids = self.0.ids(|state| matches!(state, State::Failed { .. }));
        self.0.wish(&ids, &Event::Retry).await
    }

    /// Moves an upload in the queue before another, or to its end. Answers whether there are such uploads.
    ///
    /// # Errors
    /// When the journal cannot be written; then the order is as it was.
    pub async fn move_before(
        &self,
        id: UploadId,
        before: Option<UploadId>,
    ) -> Result<bool, JournalError> {
        let _ordering = self.0.ordering.lock().await;
        let Some(positions) = self.0.positions_for(id, |others| match before {
            Some(before) => others.iter().position(|(other, _)| *other == before),
            None => Some(others.len()),
        }) else {
            return Ok(false);
        };
        self.0.place(&positions).await
    }

    /// Moves an upload to the front of the queue. Answers whether there is such an upload.
    ///
    /// # Errors
    /// As [`Engine::move_before`].
    pub async fn move_to_front(&self, id: UploadId) -> Result<bool, JournalError> {
        let _ordering = self.0.ordering.lock().await;
        let Some(positions) = self.0.positions_for(id, |_| Some(0)) else {
            return Ok(false);
        };
        self.0.place(&positions).await
    }
}

impl Inner {
    fn ids(&self, is_meant: impl Fn(&State) -> bool) -> Vec<UploadId> {
        let known = self.known();
        let entries = known.iter().map(|upload| &upload.entry);
        entries
            .filter(|entry| is_meant(&entry.state))
            .map(|entry| entry.id)
            .collect()
    }

    async fn wish_one(self: &Arc<Self>, id: UploadId, event: Event) -> Result<bool, JournalError> {
        Ok(self.wish(&[id], &event).await? > 0)
    }

    /// What their owner wants of uploads. It is done to its end, even if nobody waits for the answer any more.
    async fn wish(
        self: &Arc<Self>,
        ids: &[UploadId],
        event: &Event,
    ) -> Result<usize, JournalError> {
        let (inner, ids, event) = (Arc::clone(self), ids.to_vec(), event.clone());
        tokio::spawn(async move { inner.carry_out(&ids, &event).await })
            .await
            .unwrap_or(Err(JournalError::Unheard))
    }

    /// Where a task has an upload, the task hears of the wish; the others are stepped here, and written down together.
    async fn carry_out(
        self: &Arc<Self>,
        ids: &[UploadId],
        event: &Event,
    ) -> Result<usize, JournalError> {
        let others: Vec<UploadId> = {
            let known = self.known();
            let is_owned = |id| known.get(id).is_some_and(|upload| upload.is_owned);
            ids.iter().copied().filter(|id| !is_owned(*id)).collect()
        };
        if !others.is_empty() {
            let claimed = self.journal.claim(&others).await?;
            let mut known = self.known();
            for entry in claimed {
                // Two wishes may have claimed it; whoever was first may have stepped it already.
                if known.get(entry.id).is_none_or(|upload| !upload.is_owned) {
                    known.learn(entry, true);
                }
            }
        }
        let forgetting = self.forgetting.read().await;
        let (mut heard, mut taken) = (Vec::new(), Vec::new());
        let mut goes_on_already = 0;
        {
            let mut known = self.known();
            for &id in ids {
                match known.get(id) {
                    // What it is at is not interrupted by the wish that it go on, but that it is taken back is by the
                    // wish that it be tried again.
                    Some(Upload {
                        driven: Some(reins),
                        entry,
                        ..
                    }) if matches!(event, Event::Resume | Event::Retry)
                        && reins.is_let_run()
                        && !(matches!(event, Event::Retry) && entry.state.is_taken_back())
                        && matches!(entry.state, State::Queued { .. } | State::Working(_)) =>
                    {
                        goes_on_already += 1;
                    }
                    Some(Upload {
                        driven: Some(reins),
                        ..
                    }) => {
                        let (sender, receiver) = oneshot::channel();
                        reins.pull(Wish {
                            event: event.clone(),
                            heard: sender,
                        });
                        heard.push(receiver);
                    }
                    Some(upload) if upload.is_owned => taken.extend(known.take(id)),
                    _ => {}
                }
            }
        }
        let asked = heard.len() + taken.len() + goes_on_already;
        let mut stepped: Vec<_> = taken
            .into_iter()
            .map(|entry| {
                (
                    entry.id,
                    entry.state.clone(),
                    step(entry.state, event.clone()).0,
                )
            })
            .collect();
        let mut saved = self.save_changed(&stepped).await;
        // What was wished of them meanwhile is done to them before anybody else gets them.
        while !stepped.is_empty() {
            let (mut again, mut answers) = (Vec::new(), Vec::new());
            for (id, before, after) in stepped {
                let state = if saved.is_ok() { after } else { before };
                let mut known = self.known();
                if known
                    .get(id)
                    .is_some_and(|upload| upload.entry.state != state)
                {
                    known.set(id, state.clone());
                }
                match known.let_go(id) {
                    Some(wish) => {
                        let (next, _) = step(state.clone(), wish.event);
                        again.push((id, state, next));
                        answers.push(wish.heard);
                    }
                    None => known.make_ready(id),
                }
            }
            if saved.is_ok() {
                saved = self.save_changed(&again).await;
            }
            if saved.is_ok() {
                for heard in answers {
                    // Nobody may be waiting any more.
                    let _ = heard.send(());
                }
            }
            stepped = again;
        }
        drop(forgetting);
        self.changed.notify_one();
        self.dispatch();
        if matches!(event, Event::Retry | Event::Resume) && self.known().offline.is_some() {
            self.nudged.notify_one();
        }
        for written in heard {
            // A task that ends without a word has met the end of the engine, or of the journal.
            let heard = written.await.map_err(|_| JournalError::Unheard);
            saved = saved.and(heard);
        }
        saved.map(|()| asked)
    }

    async fn save_changed(&self, stepped: &[(UploadId, State, State)]) -> Result<(), JournalError> {
        let changed: Vec<_> = stepped
            .iter()
            .filter(|(_, before, after)| before != after)
            .map(|(id, _, after)| (*id, after.clone()))
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        self.journal.save_all(&changed).await
    }

    /// The places that bring `id` to where `place` finds it among the others. All get new ones when there is no room.
    fn positions_for(
        &self,
        id: UploadId,
        place: impl Fn(&[(UploadId, i64)]) -> Option<usize>,
    ) -> Option<Vec<(UploadId, i64)>> {
        let known = self.known();
        known.get(id)?;
        let mut others: Vec<_> = known
            .in_order()
            .into_iter()
            .map(|upload| (upload.entry.id, upload.entry.position))
            .filter(|(other, _)| *other != id)
            .collect();
        let at = place(&others)?;
        let before = at.checked_sub(1).and_then(|before| others.get(before));
        let position = match (before, others.get(at)) {
            (None, None) => return Some(vec![]),
            (None, Some((_, after))) => after - STRIDE,
            (Some((_, before)), None) => before + STRIDE,
            (Some((_, before)), Some((_, after))) if after - before >= 2 => {
                before + (after - before) / 2
            }
            _ => {
                others.insert(at, (id, 0));
                let first = others.iter().map(|(_, position)| *position).max();
                let spread = others.iter().zip(1..);
                return Some(
                    spread
                        .map(|((id, _), n)| (*id, first.unwrap_or_default() + n * STRIDE))
                        .collect(),
                );
            }
        };
        Some(vec![(id, position)])
    }

    async fn place(&self, positions: &[(UploadId, i64)]) -> Result<bool, JournalError> {
        self.journal.place(positions).await?;
        self.known().place(positions);
        self.changed.notify_one();
        Ok(true)
    }
}
