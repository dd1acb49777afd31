//! Uploads in parts: how a file is divided, which of its parts the store has, and how they become one object.
//!
//! The store's list is the truth about parts. A part of the list counts when its number and its exact size fit the plan
//! and its checksum is known: from the list, or, where the store does not tell checksums, from what was signed. The
//! store takes only bytes whose checksum was signed, so a part for which one checksum was signed has that one. A part
//! for which several were (its file changed while it was read) is not reported, and so is sent again.
//!
//! Invariant: whatever is done here can be repeated after a crash at any moment. An upload is written down before the
//! store makes its multipart upload, and what the store made and nobody wrote down is taken up when the upload goes on,
//! or else found by the sweeper.

use std::collections::{BTreeMap, BTreeSet};

use imgn_protocol::{Checksum, ChecksumAlgorithm, CompletedPart, ErrorCode, Part, SignedRequest};

use crate::{
    catalogue::{Plan, Upload, UploadState},
    config::Config,
    error::{ApiError, chain},
    state::App,
    storage::{Completed, Multipart, StorageError, StoredPart, keys},
};

/// The most parts that S3 takes.
const MOST_PARTS: u64 = 10_000;

/// Parts are divided at whole multiples of this many bytes when the configured size would make too many.
const MIB: u64 = 1 << 20;

/// How many numbers an answer names.
const NAMED: usize = 5;

/// What the store has of an upload in parts.
pub(crate) enum Found {
    /// These of its parts, by number.
    Parts(Vec<StoredPart>),
    /// No multipart upload: what there was is lost, or there never was any.
    Nothing,
    /// The whole object.
    Object,
}

/// The size of a file's parts in bytes, and how many there are; `None` when it is sent by one PUT.
pub(crate) fn divide(size: u64, part_size: u64) -> Result<Option<(u64, u32)>, ApiError> {
    let least = size.div_ceil(MOST_PARTS).div_ceil(MIB).saturating_mul(MIB);
    let part_size = part_size.max(least);
    if size <= part_size.saturating_mul(2) {
        return Ok(None);
    }
    let count = u32::try_from(size.div_ceil(part_size)).unwrap_or(u32::MAX);
    if part_size > Config::LARGEST_PART_SIZE || u64::from(count) > MOST_PARTS {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!("{size} bytes are more than {MOST_PARTS} parts of 5 GiB hold."),
        ));
    }
    Ok(Some((part_size, count)))
}

/// How a new upload of so many bytes is sent in parts; `None` for one PUT. `liked` is what its client can sum with.
pub(crate) async fn plan(
    app: &App,
    size: u64,
    liked: &[ChecksumAlgorithm],
) -> Result<Option<Plan>, ApiError> {
    let Some((part_size, part_count)) = divide(size, app.config.part_size)? else {
        return Ok(None);
    };
    // A store that checks nothing of a part gets the whole file at once, which is verified as a whole.
    let choice = app.storage.abilities().await?.choose(liked);
    Ok(choice.map(|choice| Plan {
        part_size,
        part_count,
        algorithm: choice.algorithm,
        remembers_sums: !choice.is_listed,
    }))
}

/// The store's name for an open upload; the store makes it when there is none yet. `None` when the upload has ended. Of
/// one that is new at this moment, the store can have none that nobody wrote down.
pub(crate) async fn ensure(
    app: &App,
    upload: &Upload,
    plan: &Plan,
    content_type: &str,
    is_new: bool,
) -> Result<Option<String>, ApiError> {
    if upload.state != UploadState::Open || upload.multipart.is_some() {
        return Ok(upload.multipart.clone());
    }
    let key = keys::original(upload.image);
    let unnoted = if is_new {
        None
    } else {
        unnoted(app, &key).await?
    };
    let made = match unnoted {
        Some(made) => made,
        None => {
            app.storage
                .create_multipart(&key, content_type, Some(plan.algorithm))
                .await?
        }
    };
    let noted = app.catalogue.note_multipart(upload.id, &made).await?;
    let noted = noted
        .filter(|upload| upload.state == UploadState::Open)
        .and_then(|upload| upload.multipart);
    if noted.as_ref() != Some(&made)
        && let Err(error) = app.storage.abort_multipart(&key, &made).await
    {
        tracing::warn!(
            key,
            cause = chain(&error),
            "a multipart upload that lost a race is left for the sweeper"
        );
    }
    Ok(noted)
}

/// What the store made for this key before a crash, and nobody wrote down. The key is this upload's alone.
async fn unnoted(app: &App, key: &str) -> Result<Option<String>, StorageError> {
    let mut open = app.storage.open_multiparts(key).await?;
    open.retain(|multipart| multipart.key == key);
    Ok(open.pop().map(|multipart| multipart.id))
}

/// Signs the request that sends a part. Asks the store nothing once it has the upload.
pub(crate) async fn sign(
    app: &App,
    upload: &Upload,
    plan: &Plan,
    content_type: &str,
    number: Option<u32>,
    checksum: &Checksum,
) -> Result<Option<SignedRequest>, ApiError> {
    let number = number.ok_or_else(|| {
        ApiError::invalid(format!(
            "This upload is sent in parts (its mode is `multipart`); `part` says which, from 1 to {}.",
            plan.part_count
        ))
    })?;
    let size = plan
        .size_of(number, upload.announced.size)
        .ok_or_else(|| no_such_part(plan, number))?;
    check_algorithm(plan, number, checksum)?;
    let Some(id) = ensure(app, upload, plan, content_type, false).await? else {
        return Ok(None);
    };
    // Written down before the URL exists: what it may write is known, even if this answer is never sent.
    let is_open = app
        .catalogue
        .part_signed(upload, &id, number, checksum, app.expiry())
        .await?;
    if !is_open {
        return Ok(None);
    }
    let key = keys::original(upload.image);
    let multipart = named(&key, &id, plan);
    let signed = app.storage.sign_part(multipart, number, size, checksum);
    Ok(Some(signed.await?))
}

/// What the store has of an open upload.
pub(crate) async fn find(app: &App, upload: &Upload, plan: &Plan) -> Result<Found, ApiError> {
    let key = keys::original(upload.image);
    let Some(id) = &upload.multipart else {
        return Ok(Found::Nothing);
    };
    if let Some(mut parts) = app.storage.parts(named(&key, id, plan)).await? {
        let size = upload.announced.size;
        parts.retain(|part| plan.size_of(part.number, size) == Some(part.size));
        return Ok(Found::Parts(parts));
    }
    if app.storage.size(&key).await?.is_some() {
        return Ok(Found::Object);
    }
    tracing::warn!(upload = %upload.id, "the store has lost a multipart upload");
    app.catalogue.forget_multipart(upload.id, id).await?;
    Ok(Found::Nothing)
}

/// The parts as the client is told them: those whose checksum is known for sure.
pub(crate) async fn report(
    app: &App,
    upload: &Upload,
    plan: &Plan,
    parts: &[StoredPart],
) -> Result<Vec<Part>, ApiError> {
    let signed = signed(app, upload, plan).await?;
    Ok(parts
        .iter()
        .filter_map(|part| {
            let checksum = match part.checksum {
                Some(checksum) => checksum,
                None => only(signed.get(&part.number)?)?,
            };
            Some(Part {
                number: part.number,
                size: part.size,
                checksum,
            })
        })
        .collect())
}

/// Puts the parts together that the store has, once they are all there and are those that the client says it sent. An
/// empty claim means what the store has.
pub(crate) async fn complete(
    app: &App,
    upload: &Upload,
    plan: &Plan,
    claim: &[CompletedPart],
) -> Result<(), ApiError> {
    let claim = claimed(plan, claim)?;
    let mut parts = match find(app, upload, plan).await? {
        Found::Parts(parts) => parts,
        Found::Nothing => vec![],
        Found::Object => return Ok(()),
    };
    let there: BTreeSet<u32> = parts.iter().map(|part| part.number).collect();
    let missing: Vec<u32> = (1..=plan.part_count)
        .filter(|number| !there.contains(number))
        .collect();
    if !missing.is_empty() {
        return Err(not_there(&missing));
    }
    let signed = signed(app, upload, plan).await?;
    for part in &mut parts {
        let known = signed.get(&part.number);
        let Some(claimed) = claim.get(&part.number) else {
            part.checksum = part.checksum.or_else(|| known.and_then(only));
            continue;
        };
        let is_right = match part.checksum {
            Some(listed) => listed == *claimed,
            None => known.is_some_and(|known| known.contains(claimed)),
        };
        if !is_right {
            return Err(ApiError::new(
                ErrorCode::ChecksumMismatch,
                format!(
                    "Part {} in the store does not have the checksum {claimed}; send it again.",
                    part.number
                ),
            ));
        }
        part.checksum = Some(*claimed);
    }
    let key = keys::original(upload.image);
    let Some(id) = &upload.multipart else {
        return Err(not_there(&[1]));
    };
    let multipart = named(&key, id, plan);
    match app.storage.complete_multipart(multipart, &parts).await? {
        Completed::Done => Ok(()),
        Completed::Unknown => match app.storage.size(&key).await? {
            Some(_) => Ok(()),
            None => {
                app.catalogue.forget_multipart(upload.id, id).await?;
                let all: Vec<u32> = (1..=plan.part_count).collect();
                Err(not_there(&all))
            }
        },
        Completed::Refused(reason) => {
            tracing::warn!(upload = %upload.id, reason, "the store refused to complete");
            Err(ApiError::new(
                ErrorCode::NotUploaded,
                format!("The store did not put the parts together ({reason}); send them again."),
            ))
        }
    }
}

fn named<'a>(key: &'a str, id: &'a str, plan: &Plan) -> Multipart<'a> {
    Multipart {
        key,
        id,
        algorithm: plan.algorithm,
    }
}

/// What was signed for each part, where the store does not tell checksums.
async fn signed(
    app: &App,
    upload: &Upload,
    plan: &Plan,
) -> Result<BTreeMap<u32, BTreeSet<Checksum>>, ApiError> {
    let mut signed: BTreeMap<u32, BTreeSet<Checksum>> = BTreeMap::new();
    if plan.remembers_sums {
        let rows = app.catalogue.signed_parts(upload.id, plan.algorithm);
        for (number, checksum) in rows.await? {
            signed.entry(number).or_default().insert(checksum);
        }
    }
    Ok(signed)
}

/// The checksum, when there is just one.
fn only(sums: &BTreeSet<Checksum>) -> Option<Checksum> {
    sums.first().filter(|_| sums.len() == 1).copied()
}

/// The client's claim by number: nothing, or every part once.
fn claimed(plan: &Plan, claim: &[CompletedPart]) -> Result<BTreeMap<u32, Checksum>, ApiError> {
    let mut claimed = BTreeMap::new();
    for part in claim {
        let number = part.number;
        if !(1..=plan.part_count).contains(&number) {
            return Err(no_such_part(plan, number));
        }
        check_algorithm(plan, number, &part.checksum)?;
        if claimed.insert(number, part.checksum).is_some() {
            return Err(ApiError::invalid(format!(
                "`parts` names part {number} twice."
            )));
        }
    }
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let missing: Vec<u32> = (1..=plan.part_count)
        .filter(|number| !claimed.contains_key(number))
        .collect();
    if missing.is_empty() {
        Ok(claimed)
    } else {
        Err(ApiError::invalid(format!(
            "`parts` must name all {} parts, or none for what the store has; it lacks {}.",
            plan.part_count,
            list(&missing)
        )))
    }
}

fn check_algorithm(plan: &Plan, number: u32, checksum: &Checksum) -> Result<(), ApiError> {
    if checksum.algorithm() == plan.algorithm {
        return Ok(());
    }
    let wanted = match plan.algorithm {
        ChecksumAlgorithm::Sha256 => "SHA-256 (64 digits)",
        ChecksumAlgorithm::Crc64Nvme => "CRC-64/NVME (16 digits)",
        ChecksumAlgorithm::Crc32c => "CRC-32C (8 digits)",
    };
    Err(ApiError::invalid(format!(
        "The parts of this upload are summed with {wanted}; the checksum of part {number} is of another kind."
    )))
}

fn no_such_part(plan: &Plan, number: u32) -> ApiError {
    ApiError::invalid(format!(
        "There is no part {number}; the parts of this upload are numbered from 1 to {}.",
        plan.part_count
    ))
}

fn not_there(missing: &[u32]) -> ApiError {
    ApiError::new(
        ErrorCode::NotUploaded,
        format!(
            "The store does not have {}; send what is missing, and complete again.",
            list(missing)
        ),
    )
}

/// "part 3", "parts 1, 2 and 5", "parts 1, 2, 3, 4, 5 and 27 more".
fn list(numbers: &[u32]) -> String {
    let mut named: Vec<String> = numbers
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    if numbers.len() > NAMED {
        named.push(format!("{} more", numbers.len() - NAMED));
    }
    match named.split_last() {
        Some((last, [])) => format!("part {last}"),
        Some((last, first)) => format!("parts {} and {last}", first.join(", ")),
        None => "no part".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: u64 = Config::DEFAULT_PART_SIZE;

    #[test]
    fn a_file_is_divided_into_at_most_10_000_parts_that_hold_exactly_it() {
        assert_eq!(divide(1, DEFAULT).unwrap(), None);
        assert_eq!(divide(2 * DEFAULT, DEFAULT).unwrap(), None);
        assert_eq!(
            divide(2 * DEFAULT + 1, DEFAULT).unwrap(),
            Some((DEFAULT, 3))
        );
        let most = 10_000 * DEFAULT;
        assert_eq!(divide(most, DEFAULT).unwrap(), Some((DEFAULT, 10_000)));
        let (part_size, count) = divide(most + 1, DEFAULT).unwrap().unwrap();
        assert_eq!(part_size, 9 * MIB);
        assert_eq!(u64::from(count), (most + 1).div_ceil(9 * MIB));
        let largest = 10_000 * Config::LARGEST_PART_SIZE;
        assert!(divide(largest, DEFAULT).unwrap().is_some());
        for size in [largest + 1, u64::MAX] {
            assert!(divide(size, DEFAULT).is_err(), "{size}");
        }
        for size in [2 * DEFAULT + 1, 3 * DEFAULT, most - 1, most + 1] {
            let (part_size, part_count) = divide(size, DEFAULT).unwrap().unwrap();
            let plan = Plan {
                part_size,
                part_count,
                algorithm: ChecksumAlgorithm::Sha256,
                remembers_sums: false,
            };
            let sizes = (1..=part_count).map(|number| plan.size_of(number, size).unwrap());
            assert_eq!(sizes.sum::<u64>(), size);
            assert!(plan.size_of(part_count, size).unwrap() > 0);
            assert_eq!(plan.size_of(0, size), None);
            assert_eq!(plan.size_of(part_count + 1, size), None);
        }
    }

    #[test]
    fn numbers_are_listed_as_people_do() {
        assert_eq!(list(&[3]), "part 3");
        assert_eq!(list(&[1, 2, 5]), "parts 1, 2 and 5");
        let many: Vec<u32> = (1..=7).collect();
        assert_eq!(list(&many), "parts 1, 2, 3, 4, 5 and 2 more");
    }
}
