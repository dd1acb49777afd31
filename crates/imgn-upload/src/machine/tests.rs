//! Properties of the machine under any order of events.

use std::collections::BTreeMap;

use imgn_protocol::{
    ErrorCode, FileName, Image, ImageId, PresignedUrl, Rejection, Sha256, Timestamp, UploadId,
};
use proptest::prelude::*;

use super::*;

fn id(number: u128) -> UploadId {
    uuid::Uuid::from_u128(number).into()
}

fn content(size: u64) -> Content {
    Content {
        sha256: Sha256::of(&size.to_le_bytes()),
        fingerprint: Fingerprint {
            size,
            modified_ns: 0,
            changed_ns: 0,
            inode: 0,
        },
        location_removed: false,
        started_anew: false,
    }
}

fn signed() -> SignedRequest {
    SignedRequest {
        method: "PUT".to_owned(),
        url: PresignedUrl::new("https://store.example/k?X-Amz-Signature=5ec7e7".to_owned()),
        headers: BTreeMap::new(),
        expires_at: Timestamp::UNIX_EPOCH,
    }
}

fn image() -> Box<Image> {
    Box::new(Image {
        id: ImageId::new(),
        sequence: 1,
        file_name: FileName::clean("a.png"),
        width: 1,
        height: 1,
        content_type: "image/png".to_owned(),
        size: 4,
        sha256: Sha256::of(b""),
        thumbhash: String::new(),
        animated: false,
        taken_at: None,
        created_at: Timestamp::UNIX_EPOCH,
        camera: None,
        lens: None,
        exposure: None,
        location: None,
        owner: "tester".to_owned(),
        url: "https://gallery.example/1".to_owned(),
        display_url: None,
    })
}

fn open(mode: Mode, with_url: bool, with_part: bool) -> UploadAnswer {
    let part = Part {
        number: 1,
        size: 4,
        checksum: Sha256::of(b"data").into(),
    };
    UploadAnswer::Open {
        key: "k".to_owned(),
        mode,
        part_size: 4,
        part_count: 1,
        checksum_algorithm: imgn_protocol::ChecksumAlgorithm::Sha256,
        parts: with_part.then_some(part).into_iter().collect(),
        signed: with_url.then(signed),
    }
}

fn calls() -> impl Strategy<Value = Call> {
    prop::sample::select(vec![
        Call::Open,
        Call::Sign,
        Call::Put,
        Call::Status,
        Call::Complete,
        Call::Abort,
    ])
}

fn failures() -> impl Strategy<Value = Failure> {
    let code = prop::option::of(prop::sample::select(ErrorCode::ALL));
    let retry_after = None;
    prop_oneof![
        Just(Failure::Unreachable {
            reason: "refused".to_owned()
        }),
        Just(Failure::Broken {
            reason: "reset".to_owned()
        }),
        Just(Failure::Garbled {
            reason: "words".to_owned()
        }),
        (200_u16..600, code).prop_map(move |(status, code)| Failure::Server {
            status,
            code,
            detail: "words".to_owned(),
            retry_after,
        }),
        (200_u16..600).prop_map(move |status| Failure::Store {
            status,
            code: "Any".to_owned(),
            detail: "words".to_owned(),
            retry_after,
        }),
    ]
}

fn answers() -> impl Strategy<Value = UploadAnswer> {
    let rejection = Rejection {
        code: ErrorCode::NotAPicture,
        message: "words".to_owned(),
    };
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(url, part)| open(Mode::Single, url, part)),
        Just(open(Mode::Multipart, false, false)),
        Just(UploadAnswer::Verifying),
        Just(UploadAnswer::Published { image: image() }),
        Just(UploadAnswer::Rejected(rejection)),
        Just(UploadAnswer::Aborted),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Go),
        Just(Event::Cancel),
        Just(Event::Retry),
        Just(Event::Summed(content(4))),
        Just(Event::Changed),
        Just(Event::Touched),
        Just(Event::Pause),
        Just(Event::Resume),
        Just(Event::Hold("words".to_owned())),
        Just(Event::PartsSent(vec![])),
        (any::<bool>(), calls(), failures()).prop_map(|(moved, call, failure)| Event::Halted {
            moved,
            call,
            failure,
        }),
        Just(Event::Unreadable(Fault::new(
            UploadCode::FileMissing,
            "words"
        ))),
        Just(Event::Renewed(id(2))),
        answers().prop_map(Event::Answered),
        Just(Event::Signed(signed())),
        Just(Event::Sent),
        Just(Event::Aborted),
        (calls(), failures()).prop_map(|(call, failure)| Event::Failed(call, failure)),
    ]
}

/// The answers that an effect can have, the worst server and disk included.
fn outcome(
    effect: &Effect,
    answer: UploadAnswer,
    failure: Option<Failure>,
    changed: bool,
) -> Event {
    let failed = |call: Call| failure.clone().map(|failure| Event::Failed(call, failure));
    match effect {
        Effect::Sum if changed => Event::Changed,
        Effect::Sum => Event::Summed(content(4)),
        Effect::Renew => Event::Renewed(id(3)),
        Effect::Open(_) => failed(Call::Open).unwrap_or(Event::Answered(answer)),
        Effect::Sign(_) => failed(Call::Sign).unwrap_or(Event::Signed(signed())),
        Effect::Put(..) if changed => Event::Changed,
        Effect::Put(..) => failed(Call::Put).unwrap_or(Event::Sent),
        Effect::SendParts { .. } if changed => Event::Touched,
        Effect::SendParts { .. } => match failure {
            Some(failure) => Event::Halted {
                moved: false,
                call: Call::Put,
                failure,
            },
            None => Event::PartsSent(vec![]),
        },
        Effect::Complete(..) => failed(Call::Complete).unwrap_or(Event::Answered(answer)),
        Effect::Status { .. } => failed(Call::Status).unwrap_or(Event::Answered(answer)),
        Effect::Abort(_) => failed(Call::Abort).unwrap_or(Event::Aborted),
        Effect::BackOff { .. } | Effect::AwaitServer { .. } | Effect::AwaitFile => Event::Go,
    }
}

/// What a program was told of a rejected upload still names it.
#[test]
fn a_rejected_upload_keeps_its_last_id_on_the_server() {
    let target = Target {
        session: id(2),
        content: content(4),
        sent: true,
    };
    let work = Work::at(Stage::Verifying { target, asked: 0 });
    let rejection = Rejection {
        code: ErrorCode::NotAPicture,
        message: "words".to_owned(),
    };
    let event = Event::Answered(UploadAnswer::Rejected(rejection));
    let (state, _) = step(State::Working(work), event);
    assert!(matches!(state, State::Rejected { .. }));
    assert_eq!(state.session(), Some(id(2)));
}

/// Whoever cancels and wants it after all need not wait for the server in between.
#[test]
fn what_is_wanted_while_it_is_taken_back_starts_anew() {
    let target = Target {
        session: id(1),
        content: content(4),
        sent: false,
    };
    let working = State::Working(Work::at(Stage::Aborting(target)));
    let offline = Failure::Unreachable {
        reason: "no route".to_owned(),
    };
    let (waiting, _) = step(working.clone(), Event::Failed(Call::Abort, offline));
    assert!(matches!(waiting, State::Waiting { .. }));
    for state in [working, waiting] {
        let (state, effect) = step(state, Event::Retry);
        assert_eq!(effect, Some(Effect::Abort(id(1))));
        let (state, effect) = step(state, Event::Aborted);
        assert_eq!(effect, Some(Effect::Renew));
        assert!(!state.has_ended());
    }
}

proptest! {
    /// Whatever happens, in whatever order, a state that is written down and read back knows how to go on; and what has
    /// ended asks for nothing.
    #[test]
    fn any_state_survives_the_journal_and_goes_on(happened in prop::collection::vec(events(), 0..40)) {
        let mut state = State::Queued { session: id(1) };
        for event in happened {
            let (next, effect) = step(state, event);
            let json = serde_json::to_string(&next).unwrap();
            prop_assert!(!json.contains("5ec7e7"), "a URL was written down: {json}");
            let read: State = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&read, &next);
            if next.is_active() {
                let (going, effect) = step(read, Event::Go);
                prop_assert!(going.is_active());
                prop_assert!(effect.is_some(), "stuck in {:?}", going);
            } else {
                prop_assert_eq!(effect, None);
            }
            state = next;
        }
    }

    /// Against a server and a disk that do their worst, but can be reached and look at a picture only so often, every
    /// upload ends.
    #[test]
    fn every_upload_ends(
        moves in prop::collection::vec((answers(), prop::option::of(failures()), any::<bool>()), 1..8),
    ) {
        let mut moves = moves.into_iter().cycle();
        let (mut state, mut effect) = step(State::Queued { session: id(1) }, Event::Go);
        let (mut asked, mut waited) = (0, 0);
        for _ in 0..2000 {
            let Some(wanted) = effect else { break };
            let (mut answer, mut failure, changed) = moves.next().unwrap();
            if matches!(wanted, Effect::Status { .. }) {
                asked += 1;
                if asked > 20 && answer == UploadAnswer::Verifying {
                    answer = UploadAnswer::Published { image: image() };
                }
            }
            let is_away = |failure: &Failure| {
                failure.is_outage() || matches!(failure, Failure::Unreachable { .. })
            };
            if failure.as_ref().is_some_and(is_away) {
                waited += 1;
                if waited > 200 {
                    failure = None;
                }
            }
            let event = outcome(&wanted, answer, failure, changed);
            (state, effect) = step(state, event);
        }
        prop_assert!(state.has_ended(), "{:?}", state);
    }

    /// A cancelled upload is never failed, and never begins anew by itself.
    #[test]
    fn cancelled_stays_cancelled(failures in prop::collection::vec(failures(), 0..30)) {
        let target = Target { session: id(1), content: content(4), sent: true };
        let work = Work::at(Stage::Sending { target, fresh: false });
        let (mut state, effect) = step(State::Working(work), Event::Cancel);
        prop_assert_eq!(effect, Some(Effect::Abort(id(1))));
        for failure in failures {
            (state, _) = step(state, Event::Failed(Call::Abort, failure));
            let aborting = matches!(
                &state,
                State::Working(Work { stage: Stage::Aborting(_), .. })
                    | State::Waiting { work: Work { stage: Stage::Aborting(_), .. }, .. }
            );
            prop_assert!(aborting || state == State::Cancelled, "{:?}", state);
            (state, _) = step(state, Event::Go);
        }
    }
}
